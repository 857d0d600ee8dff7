// SPDX-License-Identifier: MIT
/*
 * LSTM and GRU, unrolled: nodes for each step of the sequence take the place of one that
 * loops, so that its products and functions are those of any network. The input's product
 * is one for all steps. Names are those of ONNX's specification: W, R, B, X, H, C, P.
 */
#include <stdlib.h>

#include "build.h"
#include "families.h"
#include "parts.h"

/* More steps would make a graph larger than any is. */
#define MAX_STEPS 1024

/* The tensors of one direction. */
struct cell {
	const struct op *op;
	struct graph_shape input;	/* steps x batch x size */
	uint32_t hidden, gates;
	uint32_t X;			/* steps x batch x size */
	uint32_t W, R, B;		/* by direction; B: GRAPH_NONE: zeros */
	uint32_t H, C;			/* states, by direction; GRAPH_NONE: zeros */
	uint32_t P;			/* LSTM: peepholes, by direction; GRAPH_NONE: none */
	uint32_t direction, directions;
	bool backward;
	bool linear_before_reset;	/* GRU */
	bool batch_first;		/* in the file's X, H, C and outputs */
};

/* ---- parts ------------------------------------------------------------- */

/* Elements @start .. @end - 1 along @axis. */
static uint32_t slice(const struct op *op, int *ret, uint32_t input, int64_t axis, int64_t start,
		      int64_t end)
{
	uint32_t starts = part_list(op, ret, 1, &start), ends = part_list(op, ret, 1, &end);
	uint32_t axes = part_list(op, ret, 1, &axis);

	return part(op, ret, "Slice", NULL, 4, input, starts, ends, axes);
}

/* The first two of @rank axes swapped. */
static uint32_t transpose(const struct op *op, int *ret, uint32_t rank, uint32_t input)
{
	return part_ints(op, ret, "Transpose", "perm", GRAPH_ATTRIBUTE_INTS, rank,
			 (const int64_t[]){ 1, 0, 2 }, input);
}

static uint32_t binary(const struct op *op, int *ret, const char *name, uint32_t a, uint32_t b)
{
	return part(op, ret, name, NULL, 2, a, b);
}

static uint32_t unary(const struct op *op, int *ret, const char *name, uint32_t a)
{
	return part(op, ret, name, NULL, 1, a);
}

/* What is of this direction: of directions x rows x columns, rows x columns. */
static uint32_t of_direction(const struct cell *cell, int *ret, uint32_t input, int64_t rows,
			     int64_t columns)
{
	uint32_t one = slice(cell->op, ret, input, 0, cell->direction, cell->direction + 1);

	return part_reshape(cell->op, ret, one, columns ? 2 : 1, (const int64_t[]){ rows, columns });
}

/* A state that is not given: batch x hidden zeros. */
static uint32_t zeros(const struct cell *cell, int *ret)
{
	const struct graph_shape shape = { 2, { cell->input.dims[1], cell->hidden } };
	uint32_t tensor = GRAPH_NONE;
	void *data;

	if (!*ret)
		*ret = graph_add_tensor(cell->op->graph, NULL, &tensor, cell->op->error);
	if (!*ret)
		*ret = build_constant(cell->op->graph, tensor, GRAPH_FLOAT, &shape, &data,
				      cell->op->error);
	return tensor;
}

static uint32_t state(const struct cell *cell, int *ret, uint32_t given)
{
	return given == GRAPH_NONE ? zeros(cell, ret) :
	       of_direction(cell, ret, given, cell->input.dims[1], cell->hidden);
}

/* Gate @i of batch x (gates * hidden). */
static uint32_t gate(const struct cell *cell, int *ret, uint32_t gates, int64_t i)
{
	return slice(cell->op, ret, gates, 1, i * cell->hidden, (i + 1) * cell->hidden);
}

/* Half of the biases, of the input's product (0) or the state's (1); GRAPH_NONE: none. */
static uint32_t bias(const struct cell *cell, int *ret, int64_t half)
{
	int64_t size = (int64_t)cell->gates * cell->hidden;
	uint32_t all;

	if (cell->B == GRAPH_NONE)
		return GRAPH_NONE;
	all = of_direction(cell, ret, cell->B, 2 * size, 0);
	return slice(cell->op, ret, all, 0, half * size, (half + 1) * size);
}

/* @x times the transpose of @weight, plus @added unless that is GRAPH_NONE. */
static uint32_t product(const struct op *op, int *ret, uint32_t x, uint32_t weight,
			uint32_t added)
{
	uint32_t result = binary(op, ret, "MatMul", x, transpose(op, ret, 2, weight));

	return added == GRAPH_NONE ? result : binary(op, ret, "Add", result, added);
}

/* ---- one step ---------------------------------------------------------- */

/* What a step needs besides its input. */
struct weights {
	uint32_t R, B;		/* of the state's product */
	uint32_t H, C;
	uint32_t P;		/* 3 * hidden, by gate: i, o, f */
};

/* Gate @i of an LSTM's @gates, what it sees of the cell's state added if it does. */
static uint32_t peeping_gate(const struct cell *cell, int *ret, uint32_t gates, int64_t i,
			     const struct weights *w)
{
	uint32_t own = gate(cell, ret, gates, i), seen;

	if (w->P == GRAPH_NONE)
		return own;
	seen = slice(cell->op, ret, w->P, 0, i * cell->hidden, (i + 1) * cell->hidden);
	return binary(cell->op, ret, "Add", own, binary(cell->op, ret, "Mul", seen, w->C));
}

static void step_lstm(const struct cell *cell, int *ret, uint32_t x, struct weights *w)
{
	const struct op *op = cell->op;
	uint32_t gates = binary(op, ret, "Add", x, product(op, ret, w->H, w->R, w->B));
	uint32_t i = unary(op, ret, "Sigmoid", peeping_gate(cell, ret, gates, 0, w));
	uint32_t f = unary(op, ret, "Sigmoid", peeping_gate(cell, ret, gates, 2, w));
	uint32_t c = unary(op, ret, "Tanh", gate(cell, ret, gates, 3)), o;

	w->C = binary(op, ret, "Add", binary(op, ret, "Mul", f, w->C), binary(op, ret, "Mul", i, c));
	/* The output's gate sees the new state. */
	o = unary(op, ret, "Sigmoid", peeping_gate(cell, ret, gates, 1, w));
	w->H = binary(op, ret, "Mul", o, unary(op, ret, "Tanh", w->C));
}

/* H' = (1 - z) * h + z * H = h + z * (H - h). */
static void step_gru(const struct cell *cell, int *ret, uint32_t x, struct weights *w)
{
	const struct op *op = cell->op;
	int64_t hidden = cell->hidden, all = 3 * hidden;
	uint32_t z, r, h, from_state;

	if (cell->linear_before_reset) {
		uint32_t gates = product(op, ret, w->H, w->R, w->B);

		z = binary(op, ret, "Add", gate(cell, ret, x, 0), gate(cell, ret, gates, 0));
		r = binary(op, ret, "Add", gate(cell, ret, x, 1), gate(cell, ret, gates, 1));
		r = unary(op, ret, "Sigmoid", r);
		from_state = binary(op, ret, "Mul", r, gate(cell, ret, gates, 2));
	} else {
		uint32_t both = slice(op, ret, w->R, 0, 0, 2 * hidden);
		uint32_t last = slice(op, ret, w->R, 0, 2 * hidden, all);
		uint32_t some = w->B, rest = w->B, gates;

		if (w->B != GRAPH_NONE) {
			some = slice(op, ret, w->B, 0, 0, 2 * hidden);
			rest = slice(op, ret, w->B, 0, 2 * hidden, all);
		}
		gates = product(op, ret, w->H, both, some);
		z = binary(op, ret, "Add", gate(cell, ret, x, 0), gate(cell, ret, gates, 0));
		r = binary(op, ret, "Add", gate(cell, ret, x, 1), gate(cell, ret, gates, 1));
		r = unary(op, ret, "Sigmoid", r);
		from_state = product(op, ret, binary(op, ret, "Mul", r, w->H), last, rest);
	}
	z = unary(op, ret, "Sigmoid", z);
	h = unary(op, ret, "Tanh", binary(op, ret, "Add", gate(cell, ret, x, 2), from_state));
	w->H = binary(op, ret, "Add", h,
		      binary(op, ret, "Mul", z, binary(op, ret, "Sub", w->H, h)));
}

/* ---- a direction ------------------------------------------------------- */

/*
 * All steps. @results: room for the state after each step, in the sequence's order, each
 * batch x hidden.
 */
static void unroll(const struct cell *cell, int *ret, uint32_t *results, struct weights *end,
		   void (*step)(const struct cell *cell, int *ret, uint32_t x, struct weights *w))
{
	const struct op *op = cell->op;
	int64_t steps = cell->input.dims[0], batch = cell->input.dims[1];
	int64_t rows = (int64_t)cell->gates * cell->hidden;
	struct weights w = { .C = GRAPH_NONE, .P = GRAPH_NONE };
	uint32_t all;

	w.R = of_direction(cell, ret, cell->R, rows, cell->hidden);
	w.B = bias(cell, ret, 1);
	w.H = state(cell, ret, cell->H);
	if (cell->gates == 4)
		w.C = state(cell, ret, cell->C);
	if (cell->P != GRAPH_NONE)
		w.P = of_direction(cell, ret, cell->P, 3 * (int64_t)cell->hidden, 0);
	all = part_reshape(op, ret, cell->X, 2, (const int64_t[]){ steps * batch, cell->input.dims[2] });
	all = product(op, ret, all, of_direction(cell, ret, cell->W, rows, cell->input.dims[2]),
		      bias(cell, ret, 0));
	for (int64_t i = 0; i < steps; i++) {
		int64_t t = cell->backward ? steps - 1 - i : i;

		step(cell, ret, slice(op, ret, all, 0, t * batch, (t + 1) * batch), &w);
		results[t] = w.H;
	}
	*end = w;
}

/*
 * Concatenate tensors along axis 0 as the node's output @index, of shape @dims; @perm: its
 * axes in another order, or NULL.
 */
static void join(const struct op *op, int *ret, uint32_t *tensors, uint32_t count, uint32_t index,
		 uint32_t rank, const int64_t *dims, const int64_t *perm)
{
	struct graph_attribute axis, order;
	uint32_t joined = GRAPH_NONE, inputs[2], output;

	if (*ret || index >= op->node->output_count || op->node->outputs[index] == GRAPH_NONE)
		return;
	output = op->node->outputs[index];
	*ret = graph_add_tensor(op->graph, NULL, &joined, op->error);
	if (!*ret && part_attribute(&axis, "axis", GRAPH_ATTRIBUTE_INT, 1, (const int64_t[]){ 0 }))
		*ret = xrnpe_fail_memory(op->error);
	if (!*ret)
		*ret = build_part(op->graph, op->node->name, "Concat", count, tensors, joined, &axis, 1, op->error);
	inputs[0] = joined;
	inputs[1] = part_list(op, ret, rank, dims);
	if (!perm) {
		if (!*ret)
			*ret = build_part(op->graph, op->node->name, "Reshape", 2, inputs, output, NULL, 0,
					  op->error);
		return;
	}
	joined = binary(op, ret, "Reshape", inputs[0], inputs[1]);
	if (!*ret && part_attribute(&order, "perm", GRAPH_ATTRIBUTE_INTS, rank, perm))
		*ret = xrnpe_fail_memory(op->error);
	if (!*ret)
		*ret = build_part(op->graph, op->node->name, "Transpose", 1, &joined, output, &order, 1,
				  op->error);
}

/* ---- the operators ----------------------------------------------------- */

static uint32_t optional(const struct op *op, uint32_t i)
{
	return i < op->node->input_count ? op->node->inputs[i] : GRAPH_NONE;
}

/* Only what is given as a constant can be known to be all steps. */
static int check_lengths(const struct op *op, uint32_t steps)
{
	const struct graph_tensor *lengths;
	int ret;

	if (!op_has_input(op, 4))
		return 0;
	ret = op_constant(op, 4, GRAPH_INT, "sequence_lens", &lengths);
	for (size_t i = 0; !ret && i < graph_count(&lengths->shape); i++) {
		if (((const int64_t *)lengths->data)[i] != steps)
			ret = op_fail(op, -ENOTSUP, "sequences shorter than the input are not supported");
	}
	return ret;
}

/* Other functions than those of the specification are not supported. */
static int check_activations(const struct op *op, const char *usual, uint32_t directions)
{
	const struct graph_attribute *attribute = op_attribute(op, "activations");
	size_t length = strlen(usual);
	const char *at;

	if (!attribute)
		return 0;
	if (attribute->kind != GRAPH_ATTRIBUTE_STRING)
		return op_fail(op, -EINVAL, "attribute activations is not a list of strings");
	at = attribute->string;
	for (uint32_t d = 0; d < directions; d++) {
		if (strncmp(at, usual, length))
			break;
		at += length + (at[length] == ' ');
		if (!*at)
			return 0;
	}
	return op_fail(op, -ENOTSUP, "attribute activations is \"%.60s\"; supported is \"%s\"",
		       attribute->string, usual);
}

static bool has_shape(const struct op *op, uint32_t i, uint32_t a, uint32_t b, uint32_t c)
{
	const struct graph_tensor *tensor = op_input(op, i);
	const struct graph_shape shape = { c ? 3 : 2, { a, b, c } };

	return !tensor || (tensor->type == GRAPH_FLOAT && graph_shape_equal(&tensor->shape, &shape));
}

static bool has_state(const struct op *op, uint32_t i, const struct cell *cell, uint32_t directions,
		      uint32_t hidden)
{
	uint32_t batch = cell->input.dims[1];

	return cell->batch_first ? has_shape(op, i, batch, directions, hidden) :
				   has_shape(op, i, directions, batch, hidden);
}

/* What both have in common; @cell gets sizes and tensors. */
static int check(const struct op *op, const char *activations, struct cell *cell,
		 uint32_t *direction)
{
	uint32_t gates = cell->gates, directions, hidden;
	int64_t size;
	int ret = op_choice(op, "direction", "forward reverse bidirectional", direction);

	directions = *direction == 2 ? 2 : 1;
	if (!ret)
		ret = check_activations(op, activations, directions);
	if (!ret && op_attribute(op, "clip"))
		ret = op_fail(op, -ENOTSUP, "attribute clip is not supported");
	if (!ret)
		ret = op_bool(op, "layout", false, &cell->batch_first);
	if (!ret)
		ret = op_check_input(op, 0, GRAPH_FLOAT, "input");
	if (ret)
		return ret;
	cell->input = op_input(op, 0)->shape;
	if (cell->batch_first) {
		cell->input.dims[0] = op_input(op, 0)->shape.dims[1];
		cell->input.dims[1] = op_input(op, 0)->shape.dims[0];
	}
	if (cell->input.rank != 3 || !cell->input.dims[0])
		return op_fail(op, -EINVAL, "input is not of rank 3: steps, batch, elements");
	if (cell->input.dims[0] > MAX_STEPS)
		return op_fail(op, -ENOTSUP, "has %u steps; supported is %d", cell->input.dims[0],
			       MAX_STEPS);
	if (op_input(op, 2)->shape.rank != 3)
		return op_fail(op, -EINVAL, "R is not of rank 3");
	hidden = op_input(op, 2)->shape.dims[2];
	ret = op_int(op, "hidden_size", hidden, hidden, hidden, &size);
	if (!ret)
		ret = check_lengths(op, cell->input.dims[0]);
	if (!ret && (hidden < 1 || hidden > 1 << 16 ||
		     !has_shape(op, 1, directions, gates * hidden, cell->input.dims[2]) ||
		     !has_shape(op, 2, directions, gates * hidden, hidden) ||
		     !has_shape(op, 3, directions, 2 * gates * hidden, 0) ||
		     !has_state(op, 5, cell, directions, hidden) ||
		     (gates == 4 && (!has_state(op, 6, cell, directions, hidden) ||
				     !has_shape(op, 7, directions, 3 * hidden, 0)))))
		ret = op_fail(op, -EINVAL, "weights, biases or states do not fit the input");
	cell->op = op;
	cell->hidden = hidden;
	cell->X = op->node->inputs[0];
	cell->W = op->node->inputs[1];
	cell->R = op->node->inputs[2];
	cell->B = optional(op, 3);
	cell->H = optional(op, 5);
	cell->C = gates == 4 ? optional(op, 6) : GRAPH_NONE;
	cell->P = gates == 4 ? optional(op, 7) : GRAPH_NONE;
	cell->directions = directions;
	return ret;
}

/* Steps or directions first, as all else has them. */
static void swap_inputs(struct cell *cell, int *ret)
{
	uint32_t *const tensors[] = { &cell->X, &cell->H, &cell->C };

	for (size_t i = 0; i < 3; i++) {
		if (*tensors[i] != GRAPH_NONE)
			*tensors[i] = transpose(cell->op, ret, 3, *tensors[i]);
	}
}

static int expand(const struct op *op, struct cell *cell, uint32_t direction,
		  void (*step)(const struct cell *cell, int *ret, uint32_t x, struct weights *w))
{
	static const int64_t sequence_order[] = { 2, 0, 1, 3 }, state_order[] = { 1, 0, 2 };
	uint32_t steps = cell->input.dims[0];
	int64_t dims[] = { steps, cell->directions, cell->input.dims[1], cell->hidden };
	uint32_t *results = malloc(2 * (size_t)steps * sizeof(*results));
	uint32_t *ordered = malloc(2 * (size_t)steps * sizeof(*ordered));
	uint32_t hidden[2], cells[2];
	const int64_t *sequence = cell->batch_first ? sequence_order : NULL;
	const int64_t *states = cell->batch_first ? state_order : NULL;
	int ret = results && ordered ? 0 : xrnpe_fail_memory(op->error);

	if (cell->batch_first)
		swap_inputs(cell, &ret);
	for (uint32_t d = 0; !ret && d < cell->directions; d++) {
		struct weights end;

		cell->direction = d;
		cell->backward = direction == 1 || d == 1;
		unroll(cell, &ret, results + d * steps, &end, step);
		hidden[d] = end.H;
		cells[d] = end.C;
	}
	for (uint32_t i = 0; !ret && i < steps * cell->directions; i++)
		ordered[i] = results[i % cell->directions * steps + i / cell->directions];
	join(op, &ret, ordered, steps * cell->directions, 0, 4, dims, sequence);
	join(op, &ret, hidden, cell->directions, 1, 3, dims + 1, states);
	if (cell->gates == 4)
		join(op, &ret, cells, cell->directions, 2, 3, dims + 1, states);
	free(results);
	free(ordered);
	return ret;
}

static int infer_lstm(const struct op *op)
{
	struct cell cell = { .gates = 4 };
	uint32_t direction;
	int64_t input_forget;
	int ret = op_int(op, "input_forget", 0, 0, 0, &input_forget);

	if (!ret)
		ret = check(op, "Sigmoid Tanh Tanh", &cell, &direction);
	return ret ? ret : expand(op, &cell, direction, step_lstm);
}

static int infer_gru(const struct op *op)
{
	struct cell cell = { .gates = 3 };
	uint32_t direction;
	int ret = op_bool(op, "linear_before_reset", false, &cell.linear_before_reset);

	if (!ret)
		ret = check(op, "Sigmoid Tanh", &cell, &direction);
	return ret ? ret : expand(op, &cell, direction, step_gru);
}

const struct operator operators_recurrent[] = {
	{ "LSTM", 3, 8, 3,
	  "activation_alpha activation_beta activations clip direction hidden_size input_forget layout",
	  .infer = infer_lstm, .since = 7 },
	{ "GRU", 3, 6, 2,
	  "activation_alpha activation_beta activations clip direction hidden_size layout linear_before_reset",
	  .infer = infer_gru, .since = 7 },
	{ 0 },
};
