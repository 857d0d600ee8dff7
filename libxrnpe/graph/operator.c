// SPDX-License-Identifier: MIT
/* The table of operators, and what their families share. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "operator.h"
#include "operators/families.h"

/* ---- the table --------------------------------------------------------- */

static const struct operator *const families[] = {
	operators_convolution, operators_pool, operators_matrix, operators_normalization,
	operators_activation, operators_arithmetic, operators_logic, operators_reduction,
	operators_layout, operators_selection, operators_join, operators_resize,
	operators_grid, operators_recurrent, operators_function, operators_constant,
};

const struct operator *operator_find(const char *name)
{
	for (size_t i = 0; i < sizeof(families) / sizeof(*families); i++) {
		for (const struct operator *op = families[i]; op->name; op++) {
			if (!strcmp(op->name, name))
				return op;
		}
	}
	return NULL;
}

bool xrnpe_operator(unsigned int i, struct xrnpe_operator_info *info)
{
	for (size_t f = 0; f < sizeof(families) / sizeof(*families); f++) {
		/* What folding makes is the library's own. */
		if (families[f] == operators_function)
			continue;
		for (const struct operator *op = families[f]; op->name; op++) {
			if (i--)
				continue;
			*info = (struct xrnpe_operator_info){ op->name, op->min_inputs, op->max_inputs,
							      op->max_outputs, op->attributes };
			return true;
		}
	}
	return false;
}

/* ---- outputs and inputs ------------------------------------------------ */

int op_output(const struct op *op, uint32_t i, enum graph_type type,
	      const struct graph_shape *shape)
{
	struct graph_tensor *tensor = graph_output(op->graph, op->node, i);

	if (!tensor)
		return 0;
	tensor->type = type;
	tensor->shape = *shape;
	return 0;
}

static const char *type_name(enum graph_type type)
{
	return type == GRAPH_FLOAT ? "float" : type == GRAPH_INT ? "integer" : "bool";
}

int op_check_input(const struct op *op, uint32_t i, enum graph_type type, const char *what)
{
	const struct graph_tensor *tensor = op_input(op, i);

	if (!tensor)
		return op_fail(op, -EINVAL, "%s is missing", what);
	if (tensor->type != type)
		return op_fail(op, -ENOTSUP, "%s is of type %s, not %s", what,
			       type_name(tensor->type), type_name(type));
	return 0;
}

int op_constant(const struct op *op, uint32_t i, enum graph_type type, const char *what,
		const struct graph_tensor **tensor)
{
	char text[64];
	int ret = op_check_input(op, i, type, what);

	if (ret)
		return ret;
	*tensor = op_input(op, i);
	if (!(*tensor)->data)
		return op_fail(op, -ENOTSUP, "%s %s is computed, not constant", what,
			       graph_printable((*tensor)->name, text));
	return 0;
}

int op_constant_float(const struct op *op, uint32_t i, const char *what, float *value)
{
	const struct graph_tensor *tensor;
	int ret;

	if (!op_has_input(op, i))
		return 0;
	ret = op_constant(op, i, GRAPH_FLOAT, what, &tensor);
	if (ret)
		return ret;
	if (graph_count(&tensor->shape) != 1)
		return op_fail(op, -EINVAL, "%s has %zu elements, not one", what,
			       graph_count(&tensor->shape));
	*value = *(const float *)tensor->data;
	return 0;
}

/* ---- attributes -------------------------------------------------------- */

const struct graph_attribute *op_attribute(const struct op *op, const char *name)
{
	for (uint32_t i = 0; i < op->node->attribute_count; i++) {
		if (!strcmp(op->node->attributes[i].name, name))
			return &op->node->attributes[i];
	}
	return NULL;
}

static int check_int(const struct op *op, const char *name, int64_t value, int64_t min,
		     int64_t max)
{
	if (value >= min && value <= max)
		return 0;
	return op_fail(op, -ENOTSUP, "attribute %s is %lld; supported is %lld to %lld", name,
		       (long long)value, (long long)min, (long long)max);
}

int op_int(const struct op *op, const char *name, int64_t min, int64_t max, int64_t fallback,
	   int64_t *value)
{
	const struct graph_attribute *attribute = op_attribute(op, name);

	*value = fallback;
	if (!attribute)
		return 0;
	if (attribute->kind != GRAPH_ATTRIBUTE_INT)
		return op_fail(op, -EINVAL, "attribute %s is not an integer", name);
	*value = attribute->ints[0];
	return check_int(op, name, *value, min, max);
}

int op_bool(const struct op *op, const char *name, bool fallback, bool *value)
{
	int64_t number;
	int ret = op_int(op, name, 0, 1, fallback, &number);

	*value = number != 0;
	return ret;
}

int op_float(const struct op *op, const char *name, float fallback, float *value)
{
	const struct graph_attribute *attribute = op_attribute(op, name);

	*value = fallback;
	if (!attribute)
		return 0;
	if (attribute->kind != GRAPH_ATTRIBUTE_FLOAT)
		return op_fail(op, -EINVAL, "attribute %s is not a float", name);
	*value = attribute->floats[0];
	if (!isfinite(*value))
		return op_fail(op, -EINVAL, "attribute %s is not finite", name);
	return 0;
}

int op_ints(const struct op *op, const char *name, int64_t min, int64_t max, size_t count,
	    int64_t *values)
{
	const struct graph_attribute *attribute = op_attribute(op, name);

	if (!attribute)
		return 0;
	if (attribute->kind != GRAPH_ATTRIBUTE_INTS)
		return op_fail(op, -EINVAL, "attribute %s is not a list of integers", name);
	if (attribute->count != count)
		return op_fail(op, -EINVAL, "attribute %s has %zu elements, not %zu", name,
			       attribute->count, count);
	for (size_t i = 0; i < count; i++) {
		int ret = check_int(op, name, attribute->ints[i], min, max);

		if (ret)
			return ret;
		values[i] = attribute->ints[i];
	}
	return 0;
}

int op_choice(const struct op *op, const char *name, const char *choices, uint32_t *index)
{
	const struct graph_attribute *attribute = op_attribute(op, name);
	size_t length;

	*index = 0;
	if (!attribute)
		return 0;
	if (attribute->kind != GRAPH_ATTRIBUTE_STRING)
		return op_fail(op, -EINVAL, "attribute %s is not a string", name);
	length = strlen(attribute->string);
	for (const char *word = choices; *word; (*index)++) {
		size_t end = strcspn(word, " ");

		if (end == length && !memcmp(word, attribute->string, length))
			return 0;
		word += end + (word[end] == ' ');
	}
	return op_fail(op, -ENOTSUP, "attribute %s is \"%.40s\"; supported are: %s", name,
		       attribute->string, choices);
}

int op_axis(const struct op *op, const char *name, uint32_t rank, bool end, int64_t fallback,
	    uint32_t *axis)
{
	int64_t value;
	int ret = op_int(op, name, INT64_MIN, INT64_MAX, fallback, &value);

	if (ret)
		return ret;
	if (value < -(int64_t)rank || value >= (int64_t)rank + end)
		return op_fail(op, -EINVAL, "%s %lld is not one of the %u axes of its input", name,
			       (long long)value, rank);
	*axis = (uint32_t)(value < 0 ? value + rank : value);
	return 0;
}

int op_list(const struct op *op, const char *name, uint32_t input, int64_t **values,
	    size_t *count)
{
	const struct graph_attribute *attribute = name ? op_attribute(op, name) : NULL;
	const int64_t *from;
	int ret;

	*values = NULL;
	*count = 0;
	if (attribute) {
		if (attribute->kind != GRAPH_ATTRIBUTE_INTS)
			return op_fail(op, -EINVAL, "attribute %s is not a list of integers", name);
		from = attribute->ints;
		*count = attribute->count;
	} else if (input != GRAPH_NONE && op_has_input(op, input)) {
		const struct graph_tensor *tensor;
		char what[32];

		if (name)
			snprintf(what, sizeof(what), "%s", name);
		else
			snprintf(what, sizeof(what), "input %u", input);
		ret = op_constant(op, input, GRAPH_INT, what, &tensor);
		if (ret)
			return ret;
		if (tensor->shape.rank > 1)
			return op_fail(op, -EINVAL, "%s is of rank %u, not a list", what,
				       tensor->shape.rank);
		from = tensor->data;
		*count = graph_count(&tensor->shape);
	} else {
		return 0;
	}
	*values = malloc(*count * sizeof(**values) + 1);
	if (!*values)
		return xrnpe_fail_memory(op->error);
	memcpy(*values, from, *count * sizeof(**values));
	return 0;
}

/* ---- broadcasting and moving ------------------------------------------- */

bool op_broadcast(const struct graph_shape *a, const struct graph_shape *b,
		  struct graph_shape *out)
{
	const struct graph_shape *longer = a->rank >= b->rank ? a : b;
	const struct graph_shape *shorter = longer == a ? b : a;
	uint32_t lead = longer->rank - shorter->rank;
	struct graph_shape made = *longer;

	for (uint32_t i = 0; i < shorter->rank; i++) {
		uint32_t dim = shorter->dims[i], *to = &made.dims[lead + i];

		if (*to == 1)
			*to = dim;
		else if (dim != 1 && dim != *to)
			return false;
	}
	*out = made;
	return true;
}

void call_strides(const struct graph_shape *from, const struct graph_shape *to,
		  size_t strides[GRAPH_MAX_RANK])
{
	uint32_t lead = to->rank - from->rank;
	size_t stride = 1;

	for (uint32_t i = to->rank; i--;) {
		bool has = i >= lead;

		strides[i] = has && from->dims[i - lead] > 1 ? stride : 0;
		stride *= has ? from->dims[i - lead] : 1;
	}
}

void call_packed(const struct graph_shape *shape, ptrdiff_t strides[GRAPH_MAX_RANK])
{
	ptrdiff_t stride = 1;

	for (uint32_t i = shape->rank; i--; stride *= shape->dims[i])
		strides[i] = stride;
}

static inline __attribute__((always_inline))
void gather_line(char *out, const char *in, ptrdiff_t stride, size_t count, size_t size)
{
	for (size_t i = 0; i < count; i++)
		memcpy(out + i * size, in + (ptrdiff_t)i * stride * (ptrdiff_t)size, size);
}

static void gather_some(char *out, const char *in, ptrdiff_t stride, size_t count, size_t size)
{
	/* The size as a constant makes the copy one instruction. */
	if (stride == 1)
		memcpy(out, in, count * size);
	else if (size == sizeof(float))
		gather_line(out, in, stride, count, sizeof(float));
	else
		gather_line(out, in, stride, count, size);
}

/* Lines that are transposed together, so that what a cache line holds is used at once. */
#define TILE 16

/*
 * Elements of 4 bytes that lie side by side along another axis than the last one of the
 * result, @apart elements apart there: @count lines of @line elements, @step apart in @in.
 */
static void transpose_some(char *out, size_t apart, const char *in, ptrdiff_t step, size_t line,
			   size_t count)
{
	for (size_t i = 0; i < line; i++) {
		const char *from = in + (ptrdiff_t)i * step * (ptrdiff_t)sizeof(float);

		for (size_t k = 0; k < count; k++)
			memcpy(out + (k * apart + i) * sizeof(float), from + k * sizeof(float),
			       sizeof(float));
	}
}

/*
 * call_gather() for what lies side by side along axis @near, in elements of 4 bytes: as
 * copies of tiles; all axes but that and the last are walked through.
 */
static void transpose(const struct graph_shape *shape, const char *in,
		      const ptrdiff_t strides[GRAPH_MAX_RANK], uint32_t near, char *out)
{
	uint32_t last = shape->rank - 1;
	size_t line = shape->dims[last], count = shape->dims[near], apart;
	size_t rounds = graph_count(shape) / (line * count);
	ptrdiff_t packed[GRAPH_MAX_RANK];

	call_packed(shape, packed);
	apart = (size_t)packed[near];
	for (size_t n = 0; n < rounds; n++) {
		size_t rest = n;
		ptrdiff_t from = 0, to = 0;

		for (uint32_t i = last; i--;) {
			if (i == near)
				continue;
			from += (ptrdiff_t)(rest % shape->dims[i]) * strides[i];
			to += (ptrdiff_t)(rest % shape->dims[i]) * packed[i];
			rest /= shape->dims[i];
		}
		for (size_t k = 0; k < count; k += TILE)
			transpose_some(out + ((size_t)to + k * apart) * sizeof(float), apart,
				       in + (from + (ptrdiff_t)k) * (ptrdiff_t)sizeof(float),
				       strides[last], line, count - k < TILE ? count - k : TILE);
	}
}

void call_gather(const struct graph_shape *shape, size_t size, const void *in, ptrdiff_t start,
		 const ptrdiff_t strides[GRAPH_MAX_RANK], void *out)
{
	uint32_t at[GRAPH_MAX_RANK] = { 0 }, last = shape->rank ? shape->rank - 1 : 0;
	size_t line = shape->rank ? shape->dims[last] : 1;
	size_t lines = line ? graph_count(shape) / line : 0;
	const char *from = (const char *)in + start * (ptrdiff_t)size;
	char *to = out;

	for (uint32_t i = 0; lines && size == sizeof(float) && i < last; i++) {
		if (strides[i] == 1 && strides[last] != 1 && shape->dims[i] > 1) {
			transpose(shape, from, strides, i, out);
			return;
		}
	}
	for (; lines; lines--, to += line * size) {
		gather_some(to, from, shape->rank ? strides[last] : 1, line, size);
		for (uint32_t i = last; i--;) {
			from += strides[i] * (ptrdiff_t)size;
			if (++at[i] < shape->dims[i])
				break;
			from -= strides[i] * (ptrdiff_t)size * shape->dims[i];
			at[i] = 0;
		}
	}
}
