// SPDX-License-Identifier: MIT
#include "layers.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "console.h"
#include "error.h"
#include "formats.h"

/* Of a layer's name in that of a file. */
#define MOST_NAME 200

/* ---- which ----------------------------------------------------------------- */

static bool is_all(const struct arguments *names)
{
	return !names->count || (names->count == 1 && !strcmp(names->values[0], "all"));
}

static int find_layer(const struct xrnpe_model *model, const char *name, unsigned int *index,
		      struct xrnpe_error *error)
{
	unsigned int i = 0;

	while (i < xrnpe_model_layer_count(model) && strcmp(xrnpe_model_layer(model, i)->name, name))
		i++;
	*index = i;
	return i < xrnpe_model_layer_count(model) ? 0 :
	       xrnpe_fail(error, -EINVAL, "--layers: there is no layer %s; xrnpe info lists them", name);
}

int layers_find(struct layers *layers, const struct xrnpe_model *model,
		const struct layers_options *options, struct xrnpe_error *error)
{
	bool all = is_all(&options->names);
	int ret = 0;

	layers->model = model;
	layers->count = all ? xrnpe_model_layer_count(model) : options->names.count;
	layers->list = calloc(layers->count, sizeof(*layers->list));
	if (!layers->list) {
		layers->count = 0;
		return xrnpe_fail_memory(error);
	}
	for (unsigned int i = 0; !ret && i < layers->count; i++) {
		layers->list[i].index = i;
		if (!all)
			ret = find_layer(model, options->names.values[i], &layers->list[i].index, error);
	}
	return ret;
}

void layers_free(struct layers *layers)
{
	for (unsigned int i = 0; i < layers->count; i++) {
		xrnpe_array_clear(&layers->list[i].wrote);
		xrnpe_array_clear(&layers->list[i].exact);
		free(layers->list[i].file);
		free(layers->list[i].exact_file);
	}
	free(layers->list);
}

static const struct xrnpe_layer_info *info_of(const struct layers *layers, unsigned int i)
{
	return xrnpe_model_layer(layers->model, layers->list[i].index);
}

static size_t count_elements(const struct xrnpe_layer_info *info)
{
	size_t count = 1;

	for (unsigned int i = 0; i < info->rank; i++)
		count *= info->dims[i];
	return count;
}

/* ---- the model ------------------------------------------------------------- */

static int make_room(struct layers *layers, size_t count, struct xrnpe_error *error)
{
	int ret = 0;

	for (unsigned int i = 0; !ret && i < layers->count; i++) {
		const struct xrnpe_layer_info *info = info_of(layers, i);

		ret = new_batch(&layers->list[i].wrote, info->rank, info->dims, count, error);
	}
	return ret;
}

/* One of the inputs. */
static int run_once(struct layers *layers, struct xrnpe_request *request, size_t at,
		    const float *const *inputs, float *const *outputs, struct xrnpe_error *error)
{
	int ret = run_single(request, layers->model, at, inputs, outputs, error);

	for (unsigned int i = 0; !ret && i < layers->count; i++) {
		size_t count = count_elements(info_of(layers, i));

		ret = xrnpe_request_get_layer(request, layers->list[i].index,
					      layers->list[i].wrote.data + at * count, count, error);
	}
	return ret;
}

int layers_run(struct layers *layers, struct xrnpe_session *session, size_t count,
	       const float *const *inputs, float *const *outputs, uint32_t *status,
	       struct xrnpe_error *error)
{
	struct xrnpe_request *request = NULL;
	int ret = make_room(layers, count, error);

	*status = 0;
	if (!ret)
		ret = xrnpe_request_new(session, &request, error);
	for (unsigned int i = 0; !ret && i < layers->count; i++)
		ret = xrnpe_request_keep_layer(request, layers->list[i].index, true, error);
	for (size_t at = 0; !ret && at < count; at++) {
		ret = run_once(layers, request, at, inputs, outputs, error);
		if (!ret)
			*status |= xrnpe_request_result(request)->status;
	}
	xrnpe_request_free(request);
	return ret;
}

/* ---- the network ----------------------------------------------------------- */

/* The network's inputs from the model's, by name. */
static int match_inputs(const struct layers *layers, const struct xrnpe_graph *graph,
			const char *path, const float *const *inputs, const float **matched,
			struct xrnpe_error *error)
{
	for (unsigned int i = 0; i < xrnpe_graph_input_count(graph); i++) {
		const struct xrnpe_tensor_info *takes = xrnpe_graph_input(graph, i);

		for (unsigned int k = 0; k < xrnpe_model_input_count(layers->model); k++) {
			const struct xrnpe_tensor_info *has = xrnpe_model_input(layers->model, k);

			if (!strcmp(has->name, takes->name) && has->count == takes->count &&
			    (has->type == XRNPE_TYPE_BYTE) == (takes->type == XRNPE_TYPE_BYTE))
				matched[i] = inputs[k];
		}
		if (!matched[i])
			return xrnpe_fail(error, -EINVAL,
					  "--reference %s: its input %s is not one of the model's, or not alike: was the model compiled from it, with the same --shape and --input-format?",
					  path, takes->name);
	}
	return 0;
}

/* The tensors of the network that layers write, their names and room for them; how many. */
static int list_tensors(struct layers *layers, const struct xrnpe_graph *graph, size_t count,
			const char **names, float **values, size_t *listed, struct xrnpe_error *error)
{
	int ret = 0;

	*listed = 0;
	for (unsigned int i = 0; !ret && i < layers->count; i++) {
		const struct xrnpe_layer_info *info = info_of(layers, i);
		struct xrnpe_array *exact = &layers->list[i].exact;
		struct xrnpe_tensor_info tensor;

		/* What the compiler added, the network does not have. */
		if (xrnpe_graph_tensor(graph, info->output, &tensor, NULL) ||
		    tensor.count != count_elements(info))
			continue;
		ret = new_batch(exact, info->rank, info->dims, count, error);
		names[*listed] = info->output;
		values[(*listed)++] = exact->data;
	}
	if (!ret && !*listed)
		ret = xrnpe_fail(error, -EINVAL, "the reference has none of the layers' outputs");
	return ret;
}

/* Whether a shape is given for input @name. */
static bool has_shape(const struct xrnpe_graph_options *how, const char *name)
{
	for (size_t i = 0; i < how->shape_count; i++) {
		if (!strcmp(how->shapes[i].input, name))
			return true;
	}
	return false;
}

/*
 * The network, whose open dimensions are those of the model, unless they are given. Bytes have an
 * order of their own.
 */
static int load_reference(const struct layers *layers, const struct layers_options *options,
			  struct xrnpe_graph **graph, struct xrnpe_error *error)
{
	unsigned int count = xrnpe_model_input_count(layers->model);
	struct xrnpe_graph_options how = options->how;
	struct xrnpe_shape *shapes;
	int ret = xrnpe_graph_load(options->reference, &how, graph, error);

	if (ret != -ENOTSUP)
		return ret;
	shapes = calloc(how.shape_count + count + 1, sizeof(*shapes));
	if (!shapes)
		return xrnpe_fail_memory(error);
	for (size_t i = 0; i < how.shape_count; i++)
		shapes[i] = how.shapes[i];
	for (unsigned int i = 0; i < count; i++) {
		const struct xrnpe_tensor_info *info = xrnpe_model_input(layers->model, i);
		struct xrnpe_shape shape = { .input = info->name, .rank = info->rank };

		if (has_shape(&options->how, info->name) || info->type == XRNPE_TYPE_BYTE || !info->rank)
			continue;
		memcpy(shape.dims, info->dims, sizeof(shape.dims));
		shapes[how.shape_count++] = shape;
	}
	how.shapes = shapes;
	/* If that does not help, the first message tells more. */
	if (!xrnpe_graph_load(options->reference, &how, graph, NULL))
		ret = 0;
	free(shapes);
	return ret;
}

static int run_reference(struct layers *layers, const struct layers_options *options, size_t count,
			 const float *const *inputs, struct xrnpe_error *error)
{
	const char **names = calloc(layers->count + 1, sizeof(*names));
	float **values = calloc(layers->count + 1, sizeof(*values));
	const float **matched = NULL;
	struct xrnpe_graph *graph = NULL;
	size_t listed;
	int ret = names && values ? load_reference(layers, options, &graph, error) :
				    xrnpe_fail_memory(error);

	if (!ret) {
		matched = calloc(xrnpe_graph_input_count(graph) + 1, sizeof(*matched));
		ret = matched ? match_inputs(layers, graph, options->reference, inputs, matched, error) :
				xrnpe_fail_memory(error);
	}
	if (!ret)
		ret = list_tensors(layers, graph, count, names, values, &listed, error);
	if (!ret)
		ret = xrnpe_graph_run_tensors(graph, count, matched, names, listed, values, NULL, NULL,
					      error);
	xrnpe_graph_free(graph);
	free(matched);
	free(names);
	free(values);
	return ret;
}

/* ---- what is known of them --------------------------------------------------- */

static void measure(struct layer_values *layer)
{
	double off = 0, size = 0;

	for (size_t i = 0; i < layer->wrote.count; i++) {
		float value = layer->wrote.data[i];

		layer->nans += isnan(value);
		layer->largest = fabsf(value) > layer->largest ? fabsf(value) : layer->largest;
		if (layer->exact.data) {
			double exact = layer->exact.data[i];

			off += ((double)value - exact) * ((double)value - exact);
			size += exact * exact;
		}
	}
	layer->error = off == 0 ? 0 : sqrt(off / size);
}

/* "FOLDER/012-block.conv1.npy" of /block/conv1: what of a name is fit for that of a file. */
static char *file_name(const char *folder, unsigned int index, const char *name, const char *ending)
{
	char *path = NULL, *at;

	name += strspn(name, "/");
	if (asprintf(&path, "%s/%03u-%.*s%s", folder, index, MOST_NAME, name, ending) < 0)
		return NULL;
	for (at = path + strlen(folder) + 1; *at; at++) {
		if (*at == '/' || (unsigned char)*at < ' ' || *at == 0x7f)
			*at = '.';
	}
	return path;
}

static int write_layer(const struct layers *layers, unsigned int i, const char *folder,
		       struct xrnpe_error *error)
{
	struct layer_values *layer = &layers->list[i];
	const char *name = info_of(layers, i)->name;
	int ret;

	layer->file = file_name(folder, layer->index, name, ".npy");
	ret = layer->file ? xrnpe_npy_write(layer->file, &layer->wrote, error) : xrnpe_fail_memory(error);
	if (ret || !layer->exact.data)
		return ret;
	layer->exact_file = file_name(folder, layer->index, name, ".fp32.npy");
	return layer->exact_file ? xrnpe_npy_write(layer->exact_file, &layer->exact, error) :
				   xrnpe_fail_memory(error);
}

int layers_finish(struct layers *layers, const struct layers_options *options, size_t count,
		  const float *const *inputs, struct xrnpe_error *error)
{
	int ret = options->reference ? run_reference(layers, options, count, inputs, error) : 0;

	for (unsigned int i = 0; !ret && i < layers->count; i++) {
		measure(&layers->list[i]);
		if (options->folder)
			ret = write_layer(layers, i, options->folder, error);
	}
	return ret;
}

/* ---- how it is shown --------------------------------------------------------- */

void layers_print(const struct layers *layers)
{
	int name_width = 5, op_width = 9;

	for (unsigned int i = 0; i < layers->count; i++) {
		name_width = wider(name_width, info_of(layers, i)->name);
		op_width = wider(op_width, info_of(layers, i)->op);
	}
	printf("%-*s  %-*s  %-10s  %-6s  %13s  %9s  %8s  %9s\n", name_width, "layer", op_width,
	       "operators", "formats", "writes", "shape", "largest", "NaNs", "error");
	for (unsigned int i = 0; i < layers->count; i++) {
		const struct xrnpe_layer_info *info = info_of(layers, i);
		const struct layer_values *layer = &layers->list[i];
		char shape[64], formats[16], error[16] = "-";

		shape_text(info->rank, info->dims, shape, sizeof(shape));
		formats_text(info, formats, sizeof(formats));
		if (layer->exact.data)
			snprintf(error, sizeof(error), "%.2e", layer->error);
		printf("%-*s  %-*s  %-10s  %-6s  %13s  %9.3g  %8zu  %9s\n", name_width, info->name,
		       op_width, info->op, formats, xrnpe_format_name(info->out_format), shape,
		       (double)layer->largest, layer->nans, error);
	}
}

/* A number, or null where JSON has none. */
static void print_number_json(const char *key, double value)
{
	printf(isfinite(value) ? ", \"%s\": %.9g" : ", \"%s\": null", key, value);
}

static void print_text_json(const char *key, const char *text)
{
	printf(", \"%s\": ", key);
	json_string(stdout, text);
}

static void print_layer_json(const struct layers *layers, unsigned int i)
{
	const struct xrnpe_layer_info *info = info_of(layers, i);
	const struct layer_values *layer = &layers->list[i];
	char formats[16];

	formats_text(info, formats, sizeof(formats));
	printf("{\"name\": ");
	json_string(stdout, info->name);
	print_text_json("op", info->op);
	print_text_json("output", info->output);
	print_text_json("formats", formats);
	print_text_json("out_format", xrnpe_format_name(info->out_format));
	printf(", \"shape\": [");
	for (unsigned int k = 0; k < info->rank; k++)
		printf(k ? ", %zu" : "%zu", info->dims[k]);
	printf("], \"nans\": %zu", layer->nans);
	print_number_json("largest", (double)layer->largest);
	if (layer->exact.data)
		print_number_json("error", layer->error);
	if (layer->file)
		print_text_json("file", layer->file);
	if (layer->exact_file)
		print_text_json("reference_file", layer->exact_file);
	printf("}");
}

void layers_print_json(const struct layers *layers)
{
	printf(", \"layers\": [");
	for (unsigned int i = 0; i < layers->count; i++) {
		printf(i ? ",\n  " : "\n  ");
		print_layer_json(layers, i);
	}
	printf("]");
}
