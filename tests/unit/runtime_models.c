// SPDX-License-Identifier: MIT
/* Models made by hand of the tiny one. */
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "unit/runtime_tests.h"

static struct xrnpe_error error;

struct xrnpe_model *slow_model(void)
{
	const uint32_t commands = strcmp(test_device(), "emu") ? 4 : 24;
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

/* Let the second point's records of scales be behind all constants, twice as large. */
static void double_scales(struct xrnpe_model *const points[2])
{
	enum { SIZE = TINY_OUT_C * sizeof(struct xrnpe_scale) };
	char *constants = realloc(points[0]->constants, TINY_CONSTANTS + SIZE);
	float values[SIZE / sizeof(float)];

	memcpy(values, constants + TINY_SCALES, SIZE);
	for (size_t i = 0; i < SIZE / sizeof(float); i++)
		values[i] *= 2;
	memcpy(constants + TINY_CONSTANTS, values, SIZE);
	free(points[1]->constants);
	for (unsigned int p = 0; p < 2; p++) {
		points[p]->constants = constants;
		points[p]->region_size[XRNPE_MODEL_CONSTANTS] = TINY_CONSTANTS + SIZE;
	}
	points[1]->cmds[1].operand[XRNPE_OPERAND_SCALE].offset = TINY_CONSTANTS;
}

/* What is between its commands moves behind the arena that was, and they are jobs of their own. */
static void rearrange(struct xrnpe_model *point)
{
	uint64_t at = (point->region_size[XRNPE_MODEL_ARENA] + 63) / 64 * 64;

	point->region_size[XRNPE_MODEL_ARENA] = at + 2 * TINY_IN;
	point->cmds[0].operand[XRNPE_OPERAND_OFM].offset = at;
	point->cmds[1].operand[XRNPE_OPERAND_IFM].offset = at;
	point->tensors[2].offset = at;
	point->layer_outputs[0] = (struct xrnpe_layer_output){ .index = 2, .step = 1 };
	point->layer_outputs[1].step++;
	point->steps = realloc(point->steps, (point->step_count + 1) * sizeof(*point->steps));
	memmove(point->steps + 1, point->steps, point->step_count++ * sizeof(*point->steps));
	point->steps[0].count = point->steps[1].first = point->steps[1].count = 1;
}

struct xrnpe_model *two_points(struct xrnpe_model *(*make)(void))
{
	struct xrnpe_model *points[] = { make(), make() };

	double_scales(points);
	rearrange(points[1]);
	xrnpe_graph_free(points[1]->cpu);
	points[1]->cpu = points[0]->cpu;
	points[1]->quality.error = 0.125;
	ck_assert_int_eq(xrnpe_model_link(points, 2, 0), 0);
	ck_ok(xrnpe_model_check(points[0], &error), error);
	ck_assert_int_eq(xrnpe_model_count_constants(points[0]), 0);
	return points[0];
}
