// SPDX-License-Identifier: MIT
/* The compiler from end to end: ONNX in, commands out, run in the emulator. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "onnx.h"
#include "round.h"
#include "unit/compile_run.h"
#include "unit/compile_tests.h"

/* The emulator counts what was predicted: when it is asked, not else. */
START_TEST(predicted_is_counted)
{
	static const struct xrnpe_counters nothing = { 0 };
	struct xrnpe_graph *graph = load(onnx_resnet());
	struct xrnpe_cost total, *layers;
	struct xrnpe_request *request;
	struct xrnpe_session *session;
	struct xrnpe_device *device;
	struct xrnpe_model *model;
	uint64_t cycles = 0;

	ck_assert_msg(!compile(graph, xrnpe_graph_bytes(graph) / 3, &model), "%s", error.message);
	layers = calloc(xrnpe_model_layer_count(model), sizeof(*layers));
	ck_assert_ptr_nonnull(layers);
	xrnpe_model_predict(model, NULL, NULL, &total, layers);
	for (unsigned int i = 0; i < xrnpe_model_layer_count(model); i++) {
		const struct xrnpe_cost *cost = &layers[i];

		cycles += cost->counters.cycles;
		ck_assert_double_ge(cost->utilisation, 0);
		ck_assert_double_lt(cost->utilisation, 1);
		ck_assert_int_eq(cost->utilisation > 0, xrnpe_model_layer(model, i)->macs > 0);
		ck_assert_double_gt(cost->picojoules, 0);
	}
	ck_assert_uint_eq(cycles, total.counters.cycles);
	ck_assert_uint_eq(total.counters.commands, model->cmd_count);
	ck_assert_double_eq_tol(total.seconds, (double)cycles * 1e-9, 1e-15);

	ck_assert_int_eq(xrnpe_device_open("emu", &device, &error), 0);
	ck_assert_int_eq(xrnpe_session_new(device, model, NULL, &session, &error), 0);
	ck_assert_int_eq(xrnpe_request_new(session, &request, &error), 0);
	for (int count = 0; count < 2; count++) {
		const struct xrnpe_result *result = xrnpe_request_result(request);

		xrnpe_request_count(request, count);
		ck_assert_int_eq(xrnpe_request_submit(request, &error), 0);
		ck_assert_int_eq(xrnpe_request_wait(request, -1, &error), 0);
		ck_assert_mem_eq(&result->counters, count ? &total.counters : &nothing,
				 sizeof(nothing));
	}

	/* The last command finds a NaN among its scales: it was executed, and that is all. */
	const struct xrnpe_operand *scale = &model->cmds[model->cmd_count - 1].operand[XRNPE_OPERAND_SCALE];
	const struct xrnpe_counters *counters;
	const float nan = NAN;

	ck_assert_uint_eq(scale->region, XRNPE_MODEL_CONSTANTS);
	memcpy((char *)model->constants + scale->offset, &nan, sizeof(nan));
	xrnpe_request_free(request);
	xrnpe_session_free(session);
	ck_assert_int_eq(xrnpe_session_new(device, model, NULL, &session, &error), 0);
	ck_assert_int_eq(xrnpe_request_new(session, &request, &error), 0);
	xrnpe_request_count(request, true);
	ck_assert_int_eq(xrnpe_request_submit(request, &error), 0);
	ck_assert_int_eq(xrnpe_request_wait(request, -1, &error), -EFAULT);
	counters = &xrnpe_request_result(request)->counters;
	ck_assert_uint_eq(counters->commands, model->cmd_count);
	ck_assert_uint_eq(counters->bytes_other, (model->cmd_count - 1) * sizeof(*model->cmds));

	/* Twice the array: faster. */
	struct xrnpe_device_info larger = *xrnpe_device_info(device);
	struct xrnpe_cost there;

	larger.rows *= 2;
	xrnpe_model_predict(model, &larger, NULL, &there, NULL);
	ck_assert_uint_lt(there.counters.cycles, total.counters.cycles);

	xrnpe_request_free(request);
	xrnpe_session_free(session);
	xrnpe_device_close(device);
	xrnpe_model_free(model);
	xrnpe_graph_free(graph);
	free(layers);
}
END_TEST

START_TEST(budget_buys_accuracy)
{
	static const double factors[] = { 1.2, 1.8, 2.4, 3 }, limits[] = { 0.005, 0.02, 0.1, 0.3 };
	struct xrnpe_graph *graph = load(onnx_resnet());
	double before = 0;

	for (int i = 0; i < 4; i++) {
		uint64_t budget = (uint64_t)((double)xrnpe_graph_bytes(graph) / factors[i]);
		struct xrnpe_model *model;
		double now;

		ck_assert_msg(!compile(graph, budget, &model), "%s", error.message);
		ck_assert_uint_le(bytes_of(model), budget);
		/* Not more than padding besides the layers' bytes. */
		ck_assert_uint_ge(model->region_size[XRNPE_MODEL_CONSTANTS], bytes_of(model));
		ck_assert_uint_le(model->region_size[XRNPE_MODEL_CONSTANTS],
				  bytes_of(model) + 8 * model->cmd_count);
		now = run_error(graph, model);
		/* Less memory never helps, but for luck. */
		ck_assert_double_ge(now, 0.8 * before);
		ck_assert_double_le(now, limits[i]);
		before = now;
		xrnpe_model_free(model);
	}
	xrnpe_graph_free(graph);
}
END_TEST

/* 4 bits, 8 bits, 16 bits. */
static void wider_loses_less(const double errors[4])
{
	ck_assert_double_gt(errors[XRNPE_FORMAT_FP4], 2 * errors[XRNPE_FORMAT_P8]);
	ck_assert_double_gt(errors[XRNPE_FORMAT_P8], 20 * errors[XRNPE_FORMAT_P16]);
	ck_assert_double_gt(errors[XRNPE_FORMAT_P16], 0);
}

START_TEST(layers_are_described)
{
	struct xrnpe_graph *graph = load(onnx_resnet());
	struct xrnpe_model *model = faithful(graph, 0.02);
	const struct xrnpe_layer_info *layer;

	ck_assert_uint_eq(xrnpe_model_layer_count(model), 7);
	ck_assert_uint_eq(xrnpe_model_input_count(model), 1);
	ck_assert_str_eq(xrnpe_model_input(model, 0)->name, "image");
	ck_assert_uint_eq(xrnpe_model_input(model, 0)->rank, 4);
	ck_assert_str_eq(xrnpe_model_output(model, 0)->name, "logits");
	ck_assert_uint_eq(xrnpe_model_output(model, 0)->rank, 2);
	layer = xrnpe_model_layer(model, 2);
	ck_assert_str_eq(layer->name, "n_c2");
	ck_assert_str_eq(layer->op, "Conv+BatchNormalization+Relu");
	ck_assert_uint_eq(layer->macs, 9 * 16 * 72);
	ck_assert_uint_eq(layer->dims[1], 16);
	ck_assert_uint_eq(layer->dims[2], 3);
	ck_assert_uint_eq(layer->float_bytes, 4 * (1152 + 16));
	ck_assert_uint_ge(layer->bytes, 1152 * xrnpe_format_bits(layer->weight_format) / 8 + 16 * 8);
	wider_loses_less(layer->weight_error);
	wider_loses_less(layer->input_error);
	ck_assert_double_gt(layer->error, 0);
	layer = xrnpe_model_layer(model, 1);
	ck_assert_str_eq(layer->op, "MaxPool");
	ck_assert_double_lt(layer->weight_error[0], 0);
	ck_assert_double_lt(layer->input_error[0], 0);
	layer = xrnpe_model_layer(model, 5);
	ck_assert_str_eq(layer->op, "GlobalAveragePool");
	ck_assert_double_lt(layer->weight_error[0], 0);
	ck_assert_int_eq(layer->weight_format, layer->format);
	wider_loses_less(layer->input_error);
	layer = xrnpe_model_layer(model, 6);
	ck_assert_int_eq(layer->out_format, XRNPE_FORMAT_F32);
	ck_assert_uint_eq(layer->rank, 2);
	xrnpe_model_free(model);
	xrnpe_graph_free(graph);
}
END_TEST

/* The model of @graph that @threads make. */
static struct xrnpe_model *made_by(const char *threads, const struct xrnpe_graph *graph,
				   const struct xrnpe_array *calibration)
{
	const struct xrnpe_compile_options options = { .calibration = calibration };
	struct xrnpe_model *model;

	ck_assert_int_eq(setenv("XRNPE_THREADS", threads, 1), 0);
	ck_assert_msg(!xrnpe_compile(graph, &options, &model, &error), "%s", error.message);
	return model;
}

static void is_same(const struct xrnpe_model *a, const struct xrnpe_model *b)
{
	ck_assert_uint_eq(a->cmd_count, b->cmd_count);
	if (a->cmd_count)
		ck_assert_mem_eq(a->cmds, b->cmds, a->cmd_count * sizeof(*a->cmds));
	ck_assert_uint_eq(a->region_size[0], b->region_size[0]);
	if (a->region_size[0])
		ck_assert_mem_eq(a->constants, b->constants, a->region_size[0]);
	ck_assert_double_eq(a->quality.error, b->quality.error);
	ck_assert_double_eq(a->quality.spread, b->quality.spread);
	ck_assert_uint_eq(a->layer_count, b->layer_count);
	for (uint32_t i = 0; i < a->layer_count; i++)
		ck_assert_double_eq(a->layers[i].error, b->layers[i].error);
}

/* Whatever the number of threads that calibrate, measure, round weights and correct biases. */
START_TEST(same_model_each_time)
{
	static const char *const threads[] = { "2", "3", "16" };
	struct xrnpe_graph *graph = load((_i < NETWORKS ? networks[_i] : onnx_resnet)());
	/* As many as it takes for weights to be rounded again. */
	struct xrnpe_array *calibration = noise(graph, 4 * CALIBRATION, 1);
	struct xrnpe_model *first = made_by("1", graph, calibration);

	for (size_t i = 0; i < sizeof(threads) / sizeof(threads[0]); i++) {
		struct xrnpe_model *model = made_by(threads[i], graph, calibration);

		is_same(first, model);
		xrnpe_model_free(model);
	}
	xrnpe_model_free(first);
	noise_free(graph, calibration);
	xrnpe_graph_free(graph);
}
END_TEST

/* The first input that is too large for the network is told, whichever thread comes to one first. */
START_TEST(too_large_calibration)
{
	static const char *const threads[] = { "1", "5" };
	struct xrnpe_graph *graph = load(onnx_resnet());
	struct xrnpe_array *calibration = noise(graph, CALIBRATION, 1);
	const struct xrnpe_compile_options options = { .calibration = calibration };
	size_t each = calibration->count / CALIBRATION;
	char message[sizeof(error.message)] = "";
	struct xrnpe_model *model;

	for (size_t i = 2 * each; i < calibration->count; i++)
		calibration->data[i] *= 1e38f;
	for (size_t i = 0; i < 2; i++) {
		ck_assert_int_eq(setenv("XRNPE_THREADS", threads[i], 1), 0);
		ck_assert_int_eq(xrnpe_compile(graph, &options, &model, &error), -EINVAL);
		ck_assert_msg(strstr(error.message, "gives a value that is not finite"), "%s", error.message);
		if (i)
			ck_assert_str_eq(error.message, message);
		strcpy(message, error.message);
	}
	noise_free(graph, calibration);
	xrnpe_graph_free(graph);
}
END_TEST

/* What reads an operand lives while it is read: no command's output lies over its inputs. */
START_TEST(operands_do_not_overlap)
{
	struct xrnpe_graph *graph = load(onnx_resnet());
	struct xrnpe_extent extents[XRNPE_MODEL_REGIONS];
	struct xrnpe_model *model;

	ck_assert_int_eq(compile(graph, 0, &model), 0);
	for (int r = 0; r < XRNPE_MODEL_REGIONS; r++)
		extents[r] = (struct xrnpe_extent){ model->region_size[r],
						    xrnpe_model_region_flags[r] };
	for (uint32_t i = 0; i < model->cmd_count; i++) {
		struct xrnpe_span spans[XRNPE_OPERANDS];
		struct xrnpe_fault fault;
		const struct xrnpe_span *out = &spans[XRNPE_OPERAND_OFM];

		ck_assert(xrnpe_cmd_check(&model->cmds[i], i, extents, XRNPE_MODEL_REGIONS, spans,
					  &fault));
		for (int k = 0; k < XRNPE_OPERAND_OFM; k++)
			ck_assert(spans[k].region != out->region || !spans[k].size ||
				  spans[k].offset + spans[k].size <= out->offset ||
				  out->offset + out->size <= spans[k].offset);
	}
	xrnpe_model_free(model);
	xrnpe_graph_free(graph);
}
END_TEST

/* ---- networks of other forms ------------------------------------------- */

START_TEST(wide_formats_are_faithful)
{
	struct xrnpe_graph *graph = load(networks[_i]());

	xrnpe_model_free(faithful(graph, 0.02));
	xrnpe_graph_free(graph);
}
END_TEST

/* The CPU computes what the device cannot, and nothing else; in few steps, with few copies. */
START_TEST(the_rest_is_on_the_cpu)
{
	static const struct {
		Onnx__ModelProto *(*network)(void);
		unsigned int cpu, steps, copies;
	} cases[] = { { parts_network, 1, 3, 5 }, { token_network, 0, 1, 4 } };
	struct xrnpe_graph *graph = load(cases[_i].network());
	struct xrnpe_model *model = faithful(graph, 0.02);
	unsigned int copies = 0, cpu = 0;

	for (unsigned int i = 0; i < xrnpe_model_layer_count(model); i++) {
		const struct xrnpe_layer_info *layer = xrnpe_model_layer(model, i);

		cpu += layer->place == XRNPE_PLACE_CPU;
		ck_assert_str_eq(layer->why, layer->place == XRNPE_PLACE_DEVICE ? "" :
				 "the device has no command for it");
		ck_assert(layer->place == XRNPE_PLACE_DEVICE || !strcmp(layer->op, "LogSoftmax"));
	}
	for (uint32_t i = 0; i < model->cmd_count; i++)
		copies += model->cmds[i].opcode == XRNPE_OP_COPY;
	ck_assert_uint_eq(cpu, cases[_i].cpu);
	ck_assert_uint_eq(model->step_count, cases[_i].steps);
	ck_assert_uint_eq(copies, cases[_i].copies);
	xrnpe_model_free(model);
	xrnpe_graph_free(graph);
}
END_TEST

static enum xrnpe_format pick(uint32_t *state, bool four_bits)
{
	*state = *state * 1664525 + 1013904223;
	return four_bits ? *state >> 24 & 3 : 2 + (*state >> 24 & 1);
}

/* Of those that node @n can read all its inputs in. */
static enum xrnpe_format pick_input(const struct compiler *compiler, uint32_t n, uint32_t *state,
				    bool four_bits)
{
	enum xrnpe_format format = pick(state, four_bits);

	while (!options_allow(compiler, n, format))
		format++;
	return format;
}

/* Products are in the formats that their layer is said to have. */
static void layers_match_commands(const struct xrnpe_model *model)
{
	for (uint32_t i = 0; i < model->cmd_count; i++) {
		const struct xrnpe_layer_info *layer = &model->layers[model->cmd_layer[i]];

		if (!xrnpe_cmd_macs(&model->cmds[i]))
			continue;
		ck_assert_int_eq(layer->format, model->cmds[i].operand[XRNPE_OPERAND_IFM].format);
		ck_assert_int_eq(layer->weight_format,
				 model->cmds[i].operand[XRNPE_OPERAND_WEIGHT].format);
	}
}

/* Round the weights of node @n, if it has any. */
static void quantize(struct compiler *compiler, uint32_t n)
{
	const struct node_plan *plan = &compiler->nodes[n];
	struct moments moments = { 0 };

	if (plan->place.kind == PLACE_WEIGHTS)
		ck_assert_int_eq(moments_measure(compiler, n, compiler->images, compiler->image_count,
						 &moments), 0);
	ck_assert_int_eq(quantize_node(compiler, n, &moments, plan->choice.weight), 0);
	moments_free(&moments);
}

/* Force every mixture of formats upon a network: whatever is chosen, commands are right. */
START_TEST(any_choice_is_right)
{
	struct xrnpe_graph *graph = load(networks[_i % NETWORKS]());
	struct xrnpe_array *calibration = noise(graph, CALIBRATION, 1);
	struct xrnpe_compile_options options = { .calibration = calibration };
	struct compiler compiler = { .source = graph, .options = &options, .error = &error };
	uint32_t state = (uint32_t)_i * 2654435761u;
	struct xrnpe_model *model = NULL;
	bool four_bits = _i / NETWORKS % 2, again = _i / NETWORKS / 2 % 2;

	ck_assert_int_eq(compile_prepare(&compiler), 0);
	ck_assert_int_eq(inputs_choose(&compiler), 0);
	ck_assert_int_eq(calibrate_run(&compiler), 0);
	ck_assert_int_eq(scale_tensors(&compiler), 0);
	for (uint32_t n = 0; n < compiler.graph->node_count; n++) {
		struct node_plan *plan = &compiler.nodes[n];
		enum xrnpe_format input = pick_input(&compiler, n, &state, four_bits);
		enum xrnpe_format weight = pick(&state, four_bits);

		plan->choice = (struct choice){ plan->place.kind == PLACE_WEIGHTS ? weight : input,
						input };
		plan->residual = pick_input(&compiler, n, &state, four_bits);
		quantize(&compiler, n);
	}
	ck_assert_msg(!lower_model(&compiler, &model), "%s", error.message);
	ck_assert_int_eq(tune_model(&compiler, model, again), 0);
	ck_assert_msg(!xrnpe_model_check(model, &error), "%s", error.message);
	layers_match_commands(model);
	ck_assert_double_le(run_error(graph, model), four_bits ? 0.7 : 0.08);
	compile_clean_up(&compiler);
	noise_free(graph, calibration);
	xrnpe_model_free(model);
	xrnpe_graph_free(graph);
}
END_TEST

/* ---- refusals ---------------------------------------------------------- */

START_TEST(budget_too_small)
{
	struct xrnpe_graph *graph = load(onnx_resnet());
	struct xrnpe_model *model;
	unsigned long long least;
	char text[XRNPE_ERROR_SIZE];

	ck_assert_int_eq(compile(graph, 1000, &model), -ENOSPC);
	ck_assert_int_eq(sscanf(error.message, "m.onnx: budget of 1000 bytes is too small: the "
				"smallest formats need %llu", &least), 1);
	ck_assert_int_eq(compile(graph, least - 1, &model), -ENOSPC);
	snprintf(text, sizeof(text), "m.onnx: budget of %llu bytes is too small: the smallest "
		 "formats need %llu", least - 1, least);
	ck_assert_str_eq(error.message, text);
	ck_assert_msg(!compile(graph, least, &model), "%s", error.message);
	ck_assert_uint_le(bytes_of(model), least);
	xrnpe_model_free(model);
	xrnpe_graph_free(graph);
}
END_TEST

START_TEST(calibration_does_not_fit)
{
	struct xrnpe_graph *graph = load(onnx_resnet());
	struct xrnpe_array *calibration = noise(graph, 3, 1);
	struct xrnpe_compile_options options = { .calibration = calibration };
	struct xrnpe_model *model;

	calibration->dims[3] = 6;
	calibration->dims[4] = 24;
	ck_assert_int_eq(xrnpe_compile(graph, &options, &model, &error), -EINVAL);
	ck_assert_str_eq(error.message,
			 "m.onnx: calibration data are not of shape N x 1 x 12 x 12");
	calibration->dims[3] = calibration->dims[4] = 12;
	calibration->dims[0] = 0;
	ck_assert_int_eq(xrnpe_compile(graph, &options, &model, &error), -EINVAL);
	ck_assert_str_eq(error.message, "m.onnx: there are no calibration data of image");
	calibration->dims[0] = 3;
	calibration->data[200] = INFINITY;
	ck_assert_int_eq(xrnpe_compile(graph, &options, &model, &error), -EINVAL);
	ck_assert_str_eq(error.message, "m.onnx: calibration input 1 of image has a value that "
			 "is not finite");
	noise_free(graph, calibration);
	xrnpe_graph_free(graph);
}
END_TEST

/* Nothing can be learnt from it. */
START_TEST(all_zero_calibration)
{
	struct xrnpe_graph *graph = load(onnx_resnet());
	struct xrnpe_array *calibration = noise(graph, 2, 1);
	struct xrnpe_compile_options options = { .calibration = calibration };
	struct xrnpe_model *model;

	memset(calibration->data, 0, calibration->count * sizeof(float));
	ck_assert_int_eq(xrnpe_compile(graph, &options, &model, &error), -EINVAL);
	ck_assert_msg(strstr(error.message, "all zero"), "%s", error.message);
	noise_free(graph, calibration);
	xrnpe_graph_free(graph);
}
END_TEST

/* What the device cannot do the CPU does, and the layer says why. */
START_TEST(device_cannot)
{
	Onnx__ModelProto *onnx = image_network(258, 16, 16);
	struct xrnpe_model *model;
	struct xrnpe_graph *graph;
	const struct xrnpe_layer_info *layer;

	onnx_floats(onnx, "w", DIMS(2, 129, 16, 16), NULL);
	onnx_node(onnx, "Relu", "x", "r");
	onnx_attr_int(onnx_node(onnx, "Conv", "r w", "y"), "group", 2);
	graph = load(onnx);
	model = faithful(graph, 1e-6);
	ck_assert_uint_eq(xrnpe_model_layer_count(model), 2);
	layer = xrnpe_model_layer(model, 1);
	ck_assert_int_eq(layer->place, XRNPE_PLACE_CPU);
	ck_assert_str_eq(layer->why, "a sum has more than 32768 products");
	ck_assert_int_eq(layer->out_format, XRNPE_FORMAT_F32);
	ck_assert_double_lt(layer->error, 1e-6);
	xrnpe_model_free(model);
	xrnpe_graph_free(graph);
}
END_TEST

/* Of all lines and pixels, or of lines: a pool with a window as large. */
START_TEST(device_takes_the_largest)
{
	Onnx__ModelProto *onnx = image_network(4, 6, 6);
	struct xrnpe_model *model;
	struct xrnpe_graph *graph;

	onnx_floats(onnx, "w", DIMS(4, 4, 3, 3), NULL);
	onnx_node(onnx, "Conv", "x w", "c");
	onnx_node(onnx, "GlobalMaxPool", "c", "g");
	onnx_attr_ints(onnx_node(onnx, "ReduceMax", "c", "m"), "axes", DIMS(2));
	onnx_node(onnx, "Add", "m g", "y");
	graph = load(onnx);
	model = on_device(graph, 2e-4);
	ck_assert_uint_eq(xrnpe_model_layer_count(model), 4);
	xrnpe_model_free(model);
	xrnpe_graph_free(graph);
}
END_TEST

/* Blocks of pixels become channels, of an odd number, and back. */
START_TEST(blocks)
{
	Onnx__ModelProto *onnx = image_network(3, 8, 6);
	struct xrnpe_graph *graph;

	onnx_floats(onnx, "w1", DIMS(3, 3, 3, 3), NULL);
	onnx_floats(onnx, "w2", DIMS(12, 12, 1, 1), NULL);
	onnx_attr_ints(onnx_node(onnx, "Conv", "x w1", "a"), "pads", DIMS(1, 1, 1, 1));
	onnx_attr_int(onnx_node(onnx, "SpaceToDepth", "a", "b"), "blocksize", 2);
	onnx_node(onnx, "Conv", "b w2", "c");
	onnx_attr_int(onnx_node(onnx, "DepthToSpace", "c", "d"), "blocksize", 2);
	onnx_node(onnx, "Conv", "d w1", "y");
	graph = load(onnx);
	xrnpe_model_free(on_device(graph, 2e-3));
	xrnpe_graph_free(graph);
}
END_TEST

/* Behind a product it is part of that, and a conversion elsewhere: it needs no table. */
START_TEST(hard_sigmoids)
{
	Onnx__ModelProto *onnx = image_network(4, 8, 8);
	struct xrnpe_model *model;
	struct xrnpe_graph *graph;

	onnx_floats(onnx, "w", DIMS(4, 4, 3, 3), NULL);
	onnx_attr_float(onnx_node(onnx, "HardSigmoid", "x", "a"), "alpha", 0.3f);
	onnx_node(onnx, "Conv", "a w", "b");
	onnx_node(onnx, "HardSigmoid", "b", "y");
	graph = load(onnx);
	model = on_device(graph, 2e-3);
	ck_assert_uint_eq(xrnpe_model_layer_count(model), 2);
	for (uint32_t i = 0; i < model->cmd_count; i++)
		ck_assert_int_ne(model->cmds[i].opcode, XRNPE_OP_LUT);
	xrnpe_model_free(model);
	xrnpe_graph_free(graph);
}
END_TEST

/* A table of 16 bits holds codes, not binary32, which is converted from these. */
START_TEST(tables_of_codes)
{
	Onnx__ModelProto *onnx = image_network(4, 8, 8);
	struct xrnpe_model *model;
	struct xrnpe_graph *graph;

	onnx_floats(onnx, "w", DIMS(4, 4, 3, 3), NULL);
	onnx_node(onnx, "Conv", "x w", "c");
	onnx_node(onnx, "Sigmoid", "c", "y");
	graph = load(onnx);
	model = faithful(graph, 2e-3);
	for (uint32_t i = 0; i < model->cmd_count; i++)
		ck_assert(model->cmds[i].opcode != XRNPE_OP_LUT ||
			  model->cmds[i].operand[XRNPE_OPERAND_IFM].format != XRNPE_FORMAT_P16 ||
			  model->cmds[i].operand[XRNPE_OPERAND_OFM].format == XRNPE_FORMAT_P16);
	ck_assert_int_eq(xrnpe_model_layer(model, 1)->format, XRNPE_FORMAT_P16);
	xrnpe_model_free(model);
	xrnpe_graph_free(graph);
}
END_TEST

static int stop_midway(void *data, size_t done, size_t total)
{
	ck_assert_uint_le(done, total);
	return done == *(size_t *)data;
}

START_TEST(stops_when_told)
{
	struct xrnpe_graph *graph = load(onnx_resnet());
	struct xrnpe_array *calibration = noise(graph, 2, 1);
	/* 2 inputs, 6 measurements of 5 products, 3 of a sum and a pooling, 7 layers to tune */
	size_t at = 0, stages[] = { 1, 2, 10, 31, 42 };
	struct xrnpe_compile_options options = {
		.calibration = calibration, .progress = stop_midway, .progress_data = &at,
	};
	struct xrnpe_model *model;

	for (int i = 0; i < 5; i++) {
		at = stages[i];
		ck_assert_int_eq(xrnpe_compile(graph, &options, &model, &error), -ECANCELED);
	}
	noise_free(graph, calibration);
	xrnpe_graph_free(graph);
}
END_TEST

struct countdown {
	size_t calls, stop;
};

static int stop_at_call(void *data, size_t done, size_t total)
{
	struct countdown *countdown = data;

	return ++countdown->calls == countdown->stop;
}

/* Not even the last of the models that are tried is made when there is one to return. */
START_TEST(stops_in_any_trial)
{
	struct xrnpe_graph *graph = load(onnx_resnet());
	struct xrnpe_array *calibration = noise(graph, 4, 1);
	struct countdown countdown = { 0 };
	struct xrnpe_compile_options options = {
		.calibration = calibration, .progress = stop_at_call, .progress_data = &countdown,
	};
	struct xrnpe_model *model;
	size_t all;

	ck_assert_int_eq(xrnpe_compile(graph, &options, &model, &error), 0);
	xrnpe_model_free(model);
	all = countdown.calls;
	for (size_t before = 0; before < 3; before++) {
		countdown = (struct countdown){ .stop = all - before };
		ck_assert_int_eq(xrnpe_compile(graph, &options, &model, &error), -ECANCELED);
		ck_assert_uint_eq(countdown.calls, countdown.stop);
	}
	noise_free(graph, calibration);
	xrnpe_graph_free(graph);
}
END_TEST

TCase *compile_model_tests(void)
{
	TCase *tests = tcase_create("model");

	tcase_set_timeout(tests, 120);
	tcase_add_test(tests, predicted_is_counted);
	tcase_add_test(tests, budget_buys_accuracy);
	tcase_add_test(tests, layers_are_described);
	tcase_add_loop_test(tests, same_model_each_time, 0, NETWORKS + 1);
	tcase_add_test(tests, operands_do_not_overlap);
	tcase_add_loop_test(tests, wide_formats_are_faithful, 0, NETWORKS);
	tcase_add_loop_test(tests, the_rest_is_on_the_cpu, 0, 2);
	tcase_add_loop_test(tests, any_choice_is_right, 0, 10 * NETWORKS);
	tcase_add_test(tests, budget_too_small);
	tcase_add_test(tests, calibration_does_not_fit);
	tcase_add_test(tests, all_zero_calibration);
	tcase_add_test(tests, too_large_calibration);
	tcase_add_test(tests, device_cannot);
	tcase_add_test(tests, device_takes_the_largest);
	tcase_add_test(tests, blocks);
	tcase_add_test(tests, hard_sigmoids);
	tcase_add_test(tests, tables_of_codes);
	tcase_add_test(tests, stops_when_told);
	tcase_add_test(tests, stops_in_any_trial);
	return tests;
}
