// SPDX-License-Identifier: MIT
/*
 * The calibration data: their shapes, what is odd about them, which of them numbers are
 * fitted to, and which are kept aside, for errors that hold on data not seen before.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "error.h"

/*
 * Of so many inputs, or fewer that are left, one is kept aside, and no more than that: an error
 * differs from input to input by a third or so, and with 64 is known to 5 % of it.
 */
#define ONE_ASIDE_OF 4
#define MOST_ASIDE 64
/* An input is wild if its largest value is so many times what is usual. */
#define WILD 16

/* ---- shapes ------------------------------------------------------------ */

/* How many inputs of @info's shape @array has; 0: its shape is another. */
static size_t count_inputs(const struct xrnpe_array *array, const struct xrnpe_tensor_info *info)
{
	unsigned int rank = info->rank;
	bool batch = rank && info->dims[0] == 1;
	size_t skip = array->rank == rank + 1;

	/* A single one, of which the 1 is left out. */
	if (batch && array->rank + 1 == rank)
		return !memcmp(array->dims, info->dims + 1, array->rank * sizeof(*array->dims));
	if (array->rank != rank && !skip)
		return 0;
	for (unsigned int i = !skip && batch; i < rank; i++) {
		if (array->dims[i + skip] != info->dims[i])
			return 0;
	}
	return skip || batch ? array->dims[0] : 1;
}

/* "N x 3 x 32 x 32". */
static void wanted_text(const struct xrnpe_tensor_info *info, char *text, size_t size)
{
	size_t used = (size_t)snprintf(text, size, "N");

	for (unsigned int i = info->rank && info->dims[0] == 1; i < info->rank && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, " x %zu", info->dims[i]);
}

int inputs_check(struct compiler *compiler)
{
	const struct xrnpe_graph *graph = compiler->source;
	size_t known = 0;
	char text[160], name[64];

	for (uint32_t i = 0; i < graph->input_count; i++) {
		const struct xrnpe_tensor_info *info = &graph->infos[i];
		const struct xrnpe_array *array = &compiler->options->calibration[i];
		size_t count = count_inputs(array, info);

		wanted_text(info, text, sizeof(text));
		graph_printable(info->name, name);
		if (array->rank && !array->dims[0])
			return xrnpe_fail(compiler->error, -EINVAL,
					  "%s: there are no calibration data of %s", graph->name, name);
		if (!count && graph->input_count == 1)
			return xrnpe_fail(compiler->error, -EINVAL,
					  "%s: calibration data are not of shape %s", graph->name, text);
		if (!count)
			return xrnpe_fail(compiler->error, -EINVAL,
					  "%s: calibration data of %s are not of shape %s", graph->name,
					  name, text);
		if (i && count != known)
			return xrnpe_fail(compiler->error, -EINVAL,
					  "%s: calibration data have %zu of %s, but %zu of the inputs before",
					  graph->name, count, name, known);
		known = count;
	}
	return 0;
}

/* ---- values ------------------------------------------------------------ */

static int compare(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

/* The largest magnitudes of each of @count of the graph's @i-th input; false: one is not finite. */
static bool find_largest(const struct compiler *compiler, uint32_t i, size_t count, float *largest,
			 size_t *bad)
{
	const float *values = compiler->options->calibration[i].data;
	size_t each = compiler->source->infos[i].count;

	for (size_t n = 0; n < count; n++) {
		largest[n] = 0;
		for (size_t k = 0; k < each; k++) {
			float size = fabsf(values[n * each + k]);

			*bad = n;
			if (!isfinite(size))
				return false;
			largest[n] = fmaxf(largest[n], size);
		}
	}
	return true;
}

/*
 * Mark in @wild what differs so much from the others that it would spoil the scales.
 * @sorted: room for @count
 */
static void find_wild(const struct compiler *compiler, const char *name, const float *largest,
		      size_t count, float *sorted, bool *wild)
{
	size_t found = 0, first = 0, out = 0;
	float usual;

	memcpy(sorted, largest, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), compare);
	usual = sorted[count / 2];
	for (size_t n = count; usual > 0 && n--;) {
		if (largest[n] / usual > WILD) {
			found++;
			first = n;
		}
		/* With those that another of the graph's inputs has left out. */
		out += wild[n] || largest[n] / usual > WILD;
	}
	/* What is not rare is not wild. */
	if (!found || out * ONE_ASIDE_OF > count)
		return;
	for (size_t n = 0; n < count; n++)
		wild[n] |= largest[n] / usual > WILD;
	compile_note(compiler, "calibration: %zu of %zu inputs left out: of %s input %zu has a value of %.3g, where %.3g is usual",
		     found, count, name, first, (double)largest[first], (double)usual);
}

/* Whether the values behind index @k of the second dimension are zero in all inputs. */
static bool is_dead(const float *values, size_t count, size_t channels, size_t inner, size_t k)
{
	for (size_t n = 0; n < count; n++) {
		for (size_t i = 0; i < inner; i++) {
			if (values[(n * channels + k) * inner + i] != 0)
				return false;
		}
	}
	return true;
}

/* Name channels, or features, that are never anything but zero. */
static void find_dead(const struct compiler *compiler, uint32_t i, const char *name, size_t count)
{
	const struct xrnpe_tensor_info *info = &compiler->source->infos[i];
	size_t channels = info->rank > 1 && info->dims[0] == 1 ? info->dims[1] : 0;
	const float *values = compiler->options->calibration[i].data;
	size_t dead = 0, first = 0;

	for (size_t k = channels; k--;) {
		if (is_dead(values, count, channels, info->count / channels, k)) {
			dead++;
			first = k;
		}
	}
	if (dead && dead < channels)
		compile_note(compiler, "calibration: %zu of the %zu channels of %s are zero in all inputs, %s[:, %zu] first",
			     dead, channels, name, name, first);
}

/*
 * Look at all values of the graph's @i-th input. @told: there are values that are not zero, or
 * none are needed.
 */
static int look(struct compiler *compiler, uint32_t i, size_t count, float *largest, bool *wild,
		bool *told)
{
	const struct xrnpe_graph *graph = compiler->source;
	const float *values = compiler->options->calibration[i].data;
	size_t each = graph->infos[i].count, bad, k;
	char name[64];

	graph_printable(graph->infos[i].name, name);
	if (!find_largest(compiler, i, count, largest, &bad))
		return xrnpe_fail(compiler->error, -EINVAL,
				  "%s: calibration input %zu of %s has a value that is not finite",
				  graph->name, bad, name);
	for (k = 1; k < count * each && values[k] == values[0]; k++)
		;
	if (graph->infos[i].type != XRNPE_TYPE_FLOAT || !each || k < count * each || values[0] != 0)
		*told = true;
	if (k >= count * each && each > 1)
		/* Zero without its sign, if it has one. */
		compile_note(compiler, "calibration: all values of %s are %g", name, values[0] + 0.0);
	else if (count > 1 && each && !memcmp(values, values + each, (count - 1) * each * sizeof(*values)))
		compile_note(compiler, "calibration: all inputs of %s are the same", name);
	if (graph->infos[i].type != XRNPE_TYPE_FLOAT)
		return 0;
	find_dead(compiler, i, name, count);
	find_wild(compiler, name, largest, count, largest + count, wild);
	return 0;
}

/* Look at all data: mark inputs that are better left out in @wild. */
static int look_at_all(struct compiler *compiler, size_t count, bool *wild)
{
	const struct xrnpe_graph *graph = compiler->source;
	float *largest = malloc(2 * count * sizeof(*largest));
	bool told = !graph->input_count;
	int ret = largest ? 0 : xrnpe_fail_memory(compiler->error);

	for (uint32_t i = 0; !ret && i < graph->input_count; i++)
		ret = look(compiler, i, count, largest, wild, &told);
	free(largest);
	if (!ret && !told)
		ret = xrnpe_fail(compiler->error, -EINVAL,
				 "%s: calibration data are all zero: they tell nothing of what the network will see",
				 graph->name);
	return ret;
}

/* Whether the @x-th of all inputs is below, like, or above the @y-th, in some order. */
static int compare_values(const struct compiler *compiler, size_t x, size_t y)
{
	const struct xrnpe_graph *graph = compiler->source;
	int order = 0;

	for (uint32_t i = 0; !order && i < graph->input_count; i++) {
		const float *values = compiler->options->calibration[i].data;
		size_t each = graph->infos[i].count;

		order = memcmp(values + x * each, values + y * each, each * sizeof(*values));
	}
	return order;
}

static int compare_inputs(const void *a, const void *b, void *compiler)
{
	size_t x = *(const size_t *)a, y = *(const size_t *)b;
	int order = compare_values(compiler, x, y);

	return order ? order : (x > y) - (x < y);
}

/* Mark in @out what is there a second time: kept aside it would be no input not seen before. */
static int find_repeated(struct compiler *compiler, size_t count, bool *out)
{
	size_t *sorted = malloc(count * sizeof(*sorted)), found = 0;

	if (!sorted)
		return xrnpe_fail_memory(compiler->error);
	for (size_t n = 0; n < count; n++)
		sorted[n] = n;
	qsort_r(sorted, count, sizeof(*sorted), compare_inputs, compiler);
	for (size_t n = 1; n < count; n++) {
		if (compare_values(compiler, sorted[n - 1], sorted[n]))
			continue;
		out[sorted[n]] = true;
		found++;
	}
	free(sorted);
	if (found)
		compile_note(compiler, "calibration: %zu of %zu inputs left out: they are the same as others",
			     found, count);
	return 0;
}

/* ---- which are used ---------------------------------------------------- */

/* Every so many-th of the @count in @from is moved to @to, @wanted in all, evenly spread. */
static size_t spread(size_t *from, size_t count, size_t *to, size_t wanted)
{
	size_t taken = 0, left = 0;

	for (size_t i = 0; i < count; i++) {
		if (taken < wanted && i >= (2 * taken + 1) * count / (2 * wanted))
			to[taken++] = from[i];
		else
			from[left++] = from[i];
	}
	return left;
}

size_t inputs_count(const struct compiler *compiler)
{
	/* What takes nothing always gives the same. */
	return compiler->source->input_count ?
	       count_inputs(compiler->options->calibration, compiler->source->infos) : 1;
}

/*
 * Choose among the @good inputs listed in @all. With labels it becomes compiler->task's list, of
 * those that nothing is fitted to: of others labels tell nothing.
 */
static void choose(struct compiler *compiler, size_t *all, size_t good)
{
	bool labels = compiler->options->labels;
	size_t most = labels ? (good + 1) / 2 : good, aside;

	most = most < XRNPE_CALIBRATION_MAX ? most : XRNPE_CALIBRATION_MAX;
	if (good > most && !labels)
		compile_note(compiler, "calibration: %zu of %zu inputs are used, spread over the data",
			     most, good);
	aside = most < ONE_ASIDE_OF ? 0 : (most + ONE_ASIDE_OF - 1) / ONE_ASIDE_OF;
	aside = aside < MOST_ASIDE ? aside : MOST_ASIDE;
	compiler->unseen_wanted = aside;
	compiler->fitted_count = most - aside;
	good = spread(all, good, compiler->inputs + compiler->fitted_count, aside);
	good = spread(all, good, compiler->inputs, compiler->fitted_count);
	if (!labels)
		return;
	memcpy(all + good, compiler->inputs + compiler->fitted_count, aside * sizeof(*all));
	compiler->task.inputs = all;
	compiler->task.count = good + aside;
}

int inputs_choose(struct compiler *compiler)
{
	size_t count = inputs_count(compiler), good = 0;
	size_t *all = malloc(count * sizeof(*all));
	bool *out = calloc(count, sizeof(*out));
	int ret;

	compiler->inputs = malloc(XRNPE_CALIBRATION_MAX * sizeof(*compiler->inputs));
	ret = all && out && compiler->inputs ? look_at_all(compiler, count, out) :
					       xrnpe_fail_memory(compiler->error);
	if (!ret)
		ret = find_repeated(compiler, count, out);
	for (size_t n = 0; !ret && n < count; n++) {
		if (!out[n])
			all[good++] = n;
	}
	if (!ret)
		choose(compiler, all, good);
	if (!compiler->task.inputs)
		free(all);
	free(out);
	return ret;
}
