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

const struct operator operators_function[] = {
	{ "Function", 1, 1, 1, "operators operands parameters constants", .infer = infer_function,
	  .compute = compute_function },
	{ 0 },
};
