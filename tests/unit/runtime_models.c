// SPDX-License-Identifier: MIT
/* Models made by hand of the tiny one. */
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "unit/runtime_tests.h"

static struct xrnpe_error error;

struct xrnpe_model *slow_model(uint32_t commands)
{
	struct xrnpe_model *model = tiny_model();
	struct xrnpe_cmd cmd = {
		.opcode = XRNPE_OP_MATMUL,
		.operand = {
			[XRNPE_OPERAND_IFM] = { .region = XRNPE_MODEL_ARENA, .format = XRNPE_FORMAT_P8 },
			[XRNPE_OPERAND_WEIGHT] = { .region = XRNPE_MODEL_ARENA, .format = XRNPE_FORMAT_P8 },
			[XRNPE_OPERAND_SCALE] = { .region = XRNPE_MODEL_ARENA, .format = XRNPE_FORMAT_F32 },
			[XRNPE_OPERAND_OFM] = { .offset = 65536, .region = XRNPE_MODEL_ARENA,
						.format = XRNPE_FORMAT_P8, .row_stride = 512 },
		},
		.matmul = { .m = 64, .n = 512, .k = 32768, .batch = 1 },
	};

	model->region_size[XRNPE_MODEL_ARENA] = 262144;
	model->cmds = realloc(model->cmds, commands * sizeof(cmd));
	model->cmd_layer = realloc(model->cmd_layer, commands * sizeof(*model->cmd_layer));
	model->cmd_count = commands;
	model->steps[0].count = model->cmd_count;
	model->layer_outputs[0] = (struct xrnpe_layer_output){ .index = 2 };
	for (uint32_t i = 0; i < commands; i++) {
		model->cmds[i] = cmd;
		model->cmd_layer[i] = 1;
	}
	ck_ok(xrnpe_model_check(model, &error), error);
	return model;
}

/* The graph y = -x of TINY_OUT elements. */
static struct xrnpe_graph *negation(void)
{
	const struct graph_shape shape = { 3, { TINY_OUT_C, 3, 2 } };
	struct xrnpe_graph *graph = graph_new("negation");
	uint32_t x, y;

	graph->opset = 17;

	ck_ok(graph_add_tensor(graph, strdup("x"), &x, &error), error);
	ck_ok(graph_add_tensor(graph, strdup("y"), &y, &error), error);
	ck_ok(build_input(graph, x, GRAPH_FLOAT, &shape, &error), error);
	ck_ok(build_part(graph, "negate", "Neg", 1, &x, y, NULL, 0, &error), error);
	ck_ok(build_output(graph, "y", &error), error);
	ck_ok(build_end(graph, &error), error);
	return graph;
}

struct xrnpe_model *negative_model(void)
{
	struct xrnpe_model *model = tiny_model();
	struct xrnpe_operand *ofm = &model->cmds[1].operand[XRNPE_OPERAND_OFM];
	struct xrnpe_model_tensor *result;

	model->region_size[XRNPE_MODEL_ARENA] = 64 + 4 * TINY_OUT;
	ofm->region = XRNPE_MODEL_ARENA;
	ofm->offset = 64;
	model->tensors = realloc(model->tensors, 4 * sizeof(*model->tensors));
	result = &model->tensors[model->tensor_count++];
	*result = model->tensors[1];
	result->info.name = strdup("result");
	result->region = XRNPE_MODEL_ARENA;
	result->offset = 64;

	model->cpu = negation();
	model->binding_count = 2;
	model->bindings = calloc(2, sizeof(*model->bindings));
	model->bindings[0] = (struct xrnpe_model_binding){ graph_find(model->cpu, "x"), 3 };
	model->bindings[1] = (struct xrnpe_model_binding){ graph_find(model->cpu, "y"), 1 };
	model->step_count = 2;
	model->steps = realloc(model->steps, 2 * sizeof(*model->steps));
	model->steps[1] = (struct xrnpe_model_step){
		.kind = XRNPE_MODEL_CPU, .count = 1, .gather_count = 1, .scatter_first = 1,
		.scatter_count = 1,
	};
	return model;
}
