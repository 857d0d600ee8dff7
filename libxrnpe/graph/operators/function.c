// SPDX-License-Identifier: MIT
/*
 * Function, an operator of this library's own: what several element-wise nodes make of one
 * number. fold_function.c finds them. It computes what they did, one after the other with
 * their own compute(), so that its results have the same bits.
 *
 * Its steps are in its attributes. A value is a number: 0 is x, then come the constants,
 * then the results of the steps; the last of these is y.
 */
#include "families.h"

/* Elements that all steps are computed for before the next ones: what caches hold. */
#define BLOCK 1024

/* Operators of float elements that may be steps, and how many values each reads. */
static const struct {
	const char *name;
	uint32_t inputs;
} steps[] = {
	{ "Add", 2 }, { "Sub", 2 }, { "Mul", 2 }, { "Div", 2 }, { "Max", 2 }, { "Min", 2 },
	{ "Pow", 2 }, { "PRelu", 2 }, { "Relu", 1 }, { "LeakyRelu", 1 }, { "Clip", 1 },
	{ "HardSigmoid", 1 }, { "HardSwish", 1 }, { "Sigmoid", 1 }, { "Swish", 1 }, { "Tanh", 1 },
	{ "Erf", 1 }, { "Gelu", 1 }, { "Softplus", 1 }, { "Elu", 1 }, { "Neg", 1 }, { "Abs", 1 },
	{ "Sign", 1 }, { "Reciprocal", 1 }, { "Floor", 1 }, { "Ceil", 1 }, { "Round", 1 },
	{ "Sqrt", 1 }, { "Exp", 1 }, { "Log", 1 },
};

uint32_t function_step_inputs(const char *name)
{
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		if (!strcmp(steps[i].name, name))
			return steps[i].inputs;
	}
	return 0;
}

/* Attribute @name, a list of @kind of @count elements at most. */
static int read_list(const struct op *op, const char *name, enum graph_attribute_kind kind,
		     size_t most, const struct graph_attribute **list)
{
	*list = op_attribute(op, name);
	if (!*list || (*list)->kind != kind)
		return op_fail(op, -EINVAL, "attribute %s is missing", name);
	if ((*list)->count > most)
		return op_fail(op, -EINVAL, "attribute %s has %zu elements", name, (*list)->count);
	return 0;
}

/* The word at *@names as an operator's row, and *@names behind it; NULL: it is no step. */
static const struct operator *next_operator(const char **names)
{
	size_t length = strcspn(*names, " ");
	char name[16];

	if (length >= sizeof(name))
		return NULL;
	memcpy(name, *names, length);
	name[length] = 0;
	*names += length + ((*names)[length] == ' ');
	return function_step_inputs(name) ? operator_find(name) : NULL;
}

static int infer_function(const struct op *op)
{
	const struct graph_attribute *operators, *operands, *parameters, *constants;
	const char *names;
	size_t count = 0;
	int ret = op_check_input(op, 0, GRAPH_FLOAT, "input");

	if (!ret)
		ret = read_list(op, "operators", GRAPH_ATTRIBUTE_STRING, 1, &operators);
	if (!ret)
		ret = read_list(op, "operands", GRAPH_ATTRIBUTE_INTS, 2 * FUNCTION_STEPS, &operands);
	if (!ret)
		ret = read_list(op, "parameters", GRAPH_ATTRIBUTE_FLOATS, 2 * FUNCTION_STEPS,
				&parameters);
	if (!ret)
		ret = read_list(op, "constants", GRAPH_ATTRIBUTE_FLOATS, FUNCTION_STEPS, &constants);
	if (ret)
		return ret;
	for (names = operators->string; *names; count++) {
		size_t values = 1 + constants->count + count;

		if (count >= FUNCTION_STEPS || 2 * count + 2 > operands->count || !next_operator(&names))
			return op_fail(op, -EINVAL, "step %zu is none", count);
		for (size_t i = 2 * count; i < 2 * count + 2; i++) {
			if (operands->ints[i] < 0 || operands->ints[i] >= (int64_t)values)
				return op_fail(op, -EINVAL, "step %zu reads what is not there", count);
		}
	}
	if (!count || operands->count != 2 * count || parameters->count != 2 * count)
		return op_fail(op, -EINVAL, "%zu steps have other numbers of operands or parameters",
			       count);
	op->node->scratch = count * BLOCK * sizeof(float);
	return op_output(op, 0, GRAPH_FLOAT, &op_input(op, 0)->shape);
}

/* A function while it is computed: a graph of its values, each a block of elements. */
struct function {
	struct graph_tensor values[1 + 2 * FUNCTION_STEPS];
	void *data[1 + 2 * FUNCTION_STEPS];
	struct graph_node nodes[FUNCTION_STEPS];
	uint32_t inputs[FUNCTION_STEPS][2], outputs[FUNCTION_STEPS];
	uint32_t constants, steps;
};

static const struct graph_attribute *find(const struct graph_node *node, const char *name)
{
	return op_attribute(&(struct op){ .node = (struct graph_node *)node }, name);
}

static void read_steps(const struct graph_node *node, struct function *function)
{
	const struct graph_attribute *constants = find(node, "constants");
	const int64_t *operands = find(node, "operands")->ints;
	const float *parameters = find(node, "parameters")->floats;
	const char *names = find(node, "operators")->string;
	uint32_t s = 0;

	function->constants = (uint32_t)constants->count;
	for (uint32_t i = 0; i < function->constants; i++)
		function->data[1 + i] = &constants->floats[i];
	for (; *names; s++) {
		struct graph_node *step = &function->nodes[s];

		function->inputs[s][0] = (uint32_t)operands[2 * s];
		function->inputs[s][1] = (uint32_t)operands[2 * s + 1];
		function->outputs[s] = 1 + function->constants + s;
		*step = (struct graph_node){
			.op = next_operator(&names),
			.inputs = function->inputs[s],
			.outputs = &function->outputs[s],
			.output_count = 1,
			.params.scalar = { parameters[2 * s], parameters[2 * s + 1],
					   parameters[2 * s] != 0 },
		};
		step->input_count = function_step_inputs(step->op->name);
	}
	function->steps = s;
}

static void compute_function(const struct op_call *call)
{
	struct function function = { .steps = 0 };
	const struct xrnpe_graph graph = { .tensors = function.values };
	size_t count = graph_count(&call_output(call, 0)->shape);
	const float *in = call_in(call, 0);
	float *out = call_out(call, 0), *scratch = call->scratch;
	uint32_t results;

	read_steps(call->node, &function);
	results = 1 + function.constants;
	for (size_t at = 0; at < count; at += BLOCK) {
		const struct graph_shape block = { 1, {
			(uint32_t)(count - at < BLOCK ? count - at : BLOCK) } };

		function.values[0].shape = block;
		function.data[0] = (void *)(in + at);
		for (uint32_t s = 0; s < function.steps; s++) {
			function.values[results + s].shape = block;
			function.data[results + s] = s + 1 < function.steps ? scratch + s * BLOCK :
										out + at;
			function.nodes[s].op->compute(&(struct op_call){
				&graph, &function.nodes[s], function.data, NULL });
		}
	}
}

/* ---- gates -------------------------------------------------------------- */

/* What a value is of x. */
struct form {
	enum {
		NUMBER,	/* offset */
		LINE,	/* x * slope + offset */
		LIMITED, /* that, limited to lo .. hi */
		GATE,	/* and that times x */
		OTHER,
	} kind;
	struct graph_gate is;
};

static const struct form other = { .kind = OTHER };

static struct form times(struct form form, float factor)
{
	form.is.slope *= factor;
	form.is.offset *= factor;
	form.is.lo *= factor;
	form.is.hi *= factor;
	return form.kind <= LINE || factor > 0 ? form : other;
}

static struct form limit(struct form form, float lo, float hi)
{
	if (form.kind != LINE && form.kind != LIMITED)
		return other;
	form.is.lo = form.kind == LINE ? lo : fmaxf(form.is.lo, lo);
	form.is.hi = form.kind == LINE ? hi : fminf(form.is.hi, hi);
	form.kind = LIMITED;
	return form.is.lo <= form.is.hi ? form : other;
}

static struct form multiply(const struct form *a, const struct form *b)
{
	struct form made;

	if (a->kind == NUMBER)
		return times(*b, a->is.offset);
	if (b->kind == NUMBER)
		return times(*a, b->is.offset);
	if (a->kind == LIMITED && b->kind == LINE)
		return multiply(b, a);
	if (a->kind != LINE || a->is.offset != 0 || b->kind != LIMITED)
		return other;
	made = times(*b, a->is.slope);
	made.kind = made.kind == OTHER ? OTHER : GATE;
	return made;
}

/* The sum of a line, or a number, and a number. */
static struct form add(struct form a, const struct form *b)
{
	if (a.kind > LINE || b->kind > LINE || (a.kind == LINE && b->kind == LINE))
		return other;
	a.is.slope += b->is.slope;
	a.is.offset += b->is.offset;
	a.kind = a.kind == LINE || b->kind == LINE ? LINE : NUMBER;
	return a;
}

/* What @step makes of @a and, if it reads two values, @b. */
static struct form apply(const struct graph_node *step, const struct form *a, const struct form *b)
{
	const char *op = step->op->name;
	float alpha = step->params.scalar.a, beta = step->params.scalar.b;
	struct form offset = { NUMBER, { .offset = beta } }, line;

	if (!strcmp(op, "Mul"))
		return multiply(a, b);
	if (!strcmp(op, "Div") && b->kind == NUMBER)
		return times(*a, 1 / b->is.offset);
	if (!strcmp(op, "Add"))
		return add(*a, b);
	if (!strcmp(op, "Sub")) {
		line = times(*b, -1);
		return add(*a, &line);
	}
	if (!strcmp(op, "Clip"))
		return limit(*a, alpha, beta);
	if (!strcmp(op, "Relu"))
		return limit(*a, 0, INFINITY);
	if (!strcmp(op, "Max") && b->kind == NUMBER)
		return limit(*a, b->is.offset, INFINITY);
	if (!strcmp(op, "Min") && b->kind == NUMBER)
		return limit(*a, -INFINITY, b->is.offset);
	if (!strcmp(op, "HardSigmoid")) {
		line = times(*a, alpha);
		line = add(line, &offset);
		return line.kind == LINE ? limit(line, 0, 1) : other;
	}
	return other;
}

bool function_is_gate(const struct graph_node *node, struct graph_gate *gate)
{
	struct form values[1 + 2 * FUNCTION_STEPS] = { { LINE, { .slope = 1 } } };
	struct function function = { .steps = 0 };
	const struct form *last;

	if (!strcmp(node->op->name, "HardSwish")) {
		*gate = (struct graph_gate){ 1.0f / 6, 0.5f, 0, 1 };
		return true;
	}
	if (strcmp(node->op->name, "Function"))
		return false;
	read_steps(node, &function);
	for (uint32_t i = 1; i <= function.constants; i++)
		values[i] = (struct form){ NUMBER, { .offset = *(const float *)function.data[i] } };
	for (uint32_t s = 0; s < function.steps; s++)
		values[function.outputs[s]] = apply(&function.nodes[s], &values[function.inputs[s][0]],
						    &values[function.inputs[s][1]]);
	last = &values[function.constants + function.steps];
	*gate = last->is;
	return last->kind == GATE && isfinite(gate->slope) && isfinite(gate->offset) &&
	       isfinite(gate->lo) && isfinite(gate->hi) && gate->slope != 0 &&
	       (gate->lo != 0 || gate->hi != 0);
}

const struct operator operators_function[] = {
	{ "Function", 1, 1, 1, "operators operands parameters constants", .infer = infer_function,
	  .compute = compute_function },
	{ 0 },
};
