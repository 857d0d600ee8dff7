// SPDX-License-Identifier: MIT
/* Rounding of weights, correction of biases, and what is said of calibration data. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "effect.h"
#include "round.h"
#include "unit/compile_run.h"
#include "unit/compile_tests.h"

/* ---- lattices ---------------------------------------------------------- */

START_TEST(lattice_has_all_values)
{
	enum xrnpe_format format = (enum xrnpe_format)_i;
	struct lattice lattice;

	lattice_fill(&lattice, format);
	for (uint32_t i = 0; i < lattice.count; i++) {
		ck_assert(!i || lattice.values[i - 1] < lattice.values[i]);
		ck_assert_float_eq((float)xrnpe_decode(format, lattice.codes[i]), lattice.values[i]);
	}
	for (uint32_t code = 0; code < 1u << xrnpe_format_bits(format); code++) {
		double value = xrnpe_decode(format, code);

		if (isfinite(value))
			ck_assert_float_eq(lattice.values[lattice_nearest(&lattice, (float)value)],
					   (float)value);
	}
}
END_TEST

START_TEST(nearest_is_nearest)
{
	struct lattice lattice;
	uint32_t state = 9;

	lattice_fill(&lattice, (enum xrnpe_format)_i);
	for (int k = 0; k < 1000; k++) {
		float value = onnx_noise(&state) * expf(4 * onnx_noise(&state)), least = INFINITY;

		for (uint32_t i = 0; i < lattice.count; i++)
			least = fminf(least, fabsf(lattice.values[i] - value));
		ck_assert_float_eq(fabsf(lattice.values[lattice_nearest(&lattice, value)] - value),
				   least);
	}
}
END_TEST

/* ---- weights ----------------------------------------------------------- */

/* A convolution; of its inputs, which are smooth, neighbours are alike. */
static Onnx__ModelProto *smooth_network(void)
{
	Onnx__ModelProto *model = image_network(6, 10, 10);

	onnx_floats(model, "w", DIMS(8, 6, 3, 3), NULL);
	onnx_attr_ints(onnx_node(model, "Conv", "x w", "y"), "pads", DIMS(1, 1, 1, 1));
	return model;
}

static struct xrnpe_array *smooth_inputs(const struct xrnpe_graph *graph)
{
	struct xrnpe_array *arrays = noise(graph, CALIBRATION, 5);

	for (size_t i = 1; i < arrays->count; i++)
		arrays->data[i] = 0.95f * arrays->data[i - 1] + 0.3f * arrays->data[i];
	return arrays;
}

/* As if inputs were independent of each other. */
static void forget_moments(struct moments *moments)
{
	memset(moments->factors, 0, moments->groups * moments->size * sizeof(*moments->factors));
	for (uint32_t g = 0; g < moments->groups; g++) {
		for (uint32_t b = 0; b < moments->block_count; b++) {
			const struct moments_block *block = &moments->blocks[b];

			for (uint32_t i = 0; i < block->size; i++)
				moments->factors[g * moments->size + block->factors +
						 (size_t)i * (block->size + 1)] = 1;
		}
	}
	for (size_t i = 0; i < (size_t)moments->groups * moments->length; i++)
		moments->diagonal[i] = 1;
}

/* Relative error of the only node's outputs, with its weights in @format. */
static double weight_error(struct compiler *compiler, const struct moments *moments,
			   enum xrnpe_format format)
{
	const struct node_plan *plan = &compiler->nodes[0];
	const struct graph_node *node = &compiler->graph->nodes[0];
	uint32_t weights = plan->place.weights.tensor, output = node->outputs[0];
	size_t count = graph_count(&compiler->graph->tensors[output].shape);
	float *values = malloc(graph_count(&compiler->graph->tensors[weights].shape) * sizeof(float));
	float *out = malloc(count * sizeof(float));
	struct squares sum = { 0 };

	ck_assert(values && out);
	ck_assert_int_eq(quantize_node(compiler, 0, moments, format), 0);
	quantize_restore(&plan->place.weights, &plan->weight[format], format, values);
	for (uint32_t i = 0; i < compiler->image_count; i++) {
		void **tensors = compiler->images[i]->tensors;
		void *exact = tensors[weights], *result = tensors[output];

		tensors[weights] = values;
		measure_linear(compiler->images[i], node, tensors, NULL, out);
		squares_add(&sum, out, result, count);
		tensors[weights] = exact;
		tensors[output] = result;
	}
	quantize_free(&compiler->nodes[0].weight[format]);
	free(values);
	free(out);
	return sqrt(squares_relative(&sum));
}

START_TEST(errors_cancel)
{
	struct xrnpe_graph *graph = load(smooth_network());
	struct xrnpe_array *inputs = smooth_inputs(graph);
	struct xrnpe_compile_options options = { .calibration = inputs };
	struct compiler compiler = { .source = graph, .options = &options, .error = &error };
	enum xrnpe_format format = (enum xrnpe_format)_i;
	struct moments moments;
	double with, without;

	ck_assert_int_eq(inputs_choose(&compiler), 0);
	ck_assert_int_eq(compile_prepare(&compiler), 0);
	ck_assert_int_eq(calibrate_run(&compiler), 0);
	ck_assert_int_eq(moments_measure(&compiler, 0, compiler.images, compiler.image_count,
					 &moments), 0);
	with = weight_error(&compiler, &moments, format);
	forget_moments(&moments);
	without = weight_error(&compiler, &moments, format);
	ck_assert_double_lt(with, 0.75 * without);
	moments_free(&moments);
	compile_clean_up(&compiler);
	noise_free(graph, inputs);
	xrnpe_graph_free(graph);
}
END_TEST

#define LENGTH 24

/* Round @weights, of inputs with means of products @products. */
static void fit_weights(const float *products, const float *weights, float *rounded)
{
	float scale;

	ck_assert_int_eq(xrnpe_fit_weights(XRNPE_FORMAT_FP4, 1, LENGTH, weights, products, &scale,
					   rounded), 0);
}

/* In which order inputs come has no influence on what their weights become. */
START_TEST(order_of_inputs_does_not_matter)
{
	float products[LENGTH][LENGTH], turned[LENGTH][LENGTH];
	float weights[LENGTH], backwards[LENGTH], rounded[LENGTH], other[LENGTH];
	uint32_t state = (uint32_t)_i + 1;

	for (int i = 0; i < LENGTH; i++) {
		weights[i] = backwards[LENGTH - 1 - i] = onnx_noise(&state);
		for (int j = 0; j < LENGTH; j++) {
			products[i][j] = (float)(i + 1) * (float)(j + 1) * powf(0.9f, fabsf((float)(i - j)));
			turned[LENGTH - 1 - i][LENGTH - 1 - j] = products[i][j];
		}
	}
	fit_weights(products[0], weights, rounded);
	fit_weights(turned[0], backwards, other);
	for (int i = 0; i < LENGTH; i++)
		ck_assert_float_eq_tol(rounded[i], other[LENGTH - 1 - i], 1e-5f);
}
END_TEST

/* Weights that a format holds with some scale are exact, though another one is tried first. */
START_TEST(scales_are_looked_for)
{
	enum { ROWS = 3 };
	const float real[ROWS] = { 1, 1, 2 };
	float products[LENGTH * LENGTH] = { 0 }, weights[ROWS * LENGTH], scratch[ROUND_SCRATCH * LENGTH];
	float scales[ROWS] = { 1.3f, 1.3f, 2.6f };
	uint8_t chosen[ROUND_LANES * LENGTH];
	struct lattice lattice;
	struct moments moments;

	lattice_fill(&lattice, (enum xrnpe_format)_i);
	for (uint32_t i = 0; i < LENGTH; i++) {
		products[i * (LENGTH + 1)] = 1;
		for (uint32_t k = 0; k < ROWS; k++)
			weights[k * LENGTH + i] = real[k] * lattice.values[(k + i) % lattice.count];
	}
	ck_assert_int_eq(moments_of_products(LENGTH, products, &moments), 0);
	round_weights(&moments, 0, &lattice, weights, ROWS, scales, chosen, scratch);
	for (uint32_t k = 0; k < ROWS; k++) {
		ck_assert_float_eq_tol(scales[k], real[k], 1e-6f);
		for (uint32_t i = 0; i < LENGTH; i++)
			ck_assert_float_eq(lattice.values[chosen[i * ROUND_LANES + k]],
					   lattice.values[(k + i) % lattice.count]);
	}
	moments_free(&moments);
}
END_TEST

/* Weights make up for inputs of which the layers before lost a part. */
START_TEST(lost_inputs_are_made_up_for)
{
	float products[LENGTH * LENGTH], weights[LENGTH], made_up[LENGTH];
	double scratch[2 * LENGTH];
	struct moments moments;

	for (int i = 0; i < LENGTH; i++) {
		weights[i] = made_up[i] = (float)sin(i + 1);
		for (int j = 0; j < LENGTH; j++)
			products[i * LENGTH + j] = powf(0.3f, (float)abs(i - j)) * (float)((i % 3 + 3) * (j % 3 + 3));
	}
	ck_assert_int_eq(moments_of_products(LENGTH, products, &moments), 0);
	/* All inputs are half of what they should be. */
	moments.lacks = products;
	moments.lack_share = 1;
	round_compensate(&moments, 0, made_up, scratch);
	moments.lacks = NULL;
	for (int i = 0; i < LENGTH; i++)
		ck_assert_float_eq_tol(made_up[i] - weights[i], weights[i], 0.15f);
	moments_free(&moments);
}
END_TEST

/* What weights of a model are rounded for is what its layers read: that has less error. */
START_TEST(weights_are_rounded_again)
{
	const struct xrnpe_layer_formats few_bits = {
		.weight = XRNPE_FORMAT_FP4, .input = XRNPE_FORMAT_P4,
	};
	struct xrnpe_graph *graph = load(onnx_resnet());
	struct xrnpe_array *inputs = noise(graph, 6 * CALIBRATION, 1);
	double errors[2];

	for (unsigned int points = 1; points <= 2; points++) {
		const struct xrnpe_compile_options options = {
			.calibration = inputs, .formats = &few_bits, .format_count = 1, .points = points,
		};
		struct xrnpe_model *model;

		ck_assert_msg(!xrnpe_compile(graph, &options, &model, &error), "%s", error.message);
		errors[points - 1] = run_error(graph, model);
		xrnpe_model_free(model);
	}
	ck_assert_double_lt(errors[0], 0.85 * errors[1]);
	noise_free(graph, inputs);
	xrnpe_graph_free(graph);
}
END_TEST

/*
 * What weights cost is that on inputs that they were not rounded for; on these, of which there
 * are fewer than weights in a sum, it would be next to nothing.
 */
START_TEST(effects_are_those_on_others)
{
	const struct xrnpe_layer_formats fp4 = {
		.weight = XRNPE_FORMAT_FP4, .input = XRNPE_FORMAT_P16,
	};
	Onnx__ModelProto *onnx = image_network(256, 1, 1);
	struct xrnpe_compile_options options = { .formats = &fp4, .format_count = 1 };
	struct compiler compiler = { .options = &options, .error = &error };
	struct xrnpe_graph *graph;
	struct xrnpe_array *inputs;
	struct xrnpe_model *model;
	double effect, actual;

	onnx_floats(onnx, "w", DIMS(32, 256, 1, 1), NULL);
	onnx_node(onnx, "Conv", "x w", "y");
	compiler.source = graph = load(onnx);
	options.calibration = inputs = noise(graph, CALIBRATION, 1);
	ck_assert_int_eq(inputs_choose(&compiler), 0);
	ck_assert_int_eq(compile_prepare(&compiler), 0);
	ck_assert_int_eq(calibrate_run(&compiler), 0);
	ck_assert_int_eq(scale_tensors(&compiler), 0);
	ck_assert_int_eq(measure_losses(&compiler), 0);
	effect = compiler.nodes[0].weight_loss[XRNPE_FORMAT_FP4].effect;
	compile_clean_up(&compiler);
	ck_assert_msg(!xrnpe_compile(graph, &options, &model, &error), "%s", error.message);
	actual = run_error(graph, model);
	ck_assert_double_gt(effect, actual * actual / 1.3);
	ck_assert_double_lt(effect, actual * actual * 1.3);
	xrnpe_model_free(model);
	noise_free(graph, inputs);
	xrnpe_graph_free(graph);
}
END_TEST

/*
 * However long a network is, what it takes to find a node's effects is not much more: the more there
 * is to compute behind it, the fewer inputs that is done for.
 */
START_TEST(effects_of_long_networks)
{
	const uint32_t layers = 10u << _i;
	Onnx__ModelProto *onnx = image_network(4, 6, 6);
	struct xrnpe_compile_options options = { 0 };
	struct compiler compiler = { .options = &options, .error = &error };
	struct xrnpe_graph *graph;
	struct xrnpe_array *inputs;
	struct effect *effect;
	uint32_t before = 1;
	char names[2][16] = { "x" };

	onnx_floats(onnx, "w", DIMS(4, 4, 3, 3), NULL);
	for (uint32_t i = 0; i < layers; i++) {
		char operands[32];

		snprintf(operands, sizeof(operands), "%s w", names[i % 2]);
		snprintf(names[(i + 1) % 2], sizeof(names[0]), i + 1 < layers ? "y%u" : "y", i);
		onnx_attr_ints(onnx_node(onnx, "Conv", operands, names[(i + 1) % 2]), "pads", DIMS(1, 1, 1, 1));
	}
	compiler.source = graph = load(onnx);
	options.calibration = inputs = noise(graph, CALIBRATION, 1);
	ck_assert_int_eq(inputs_choose(&compiler), 0);
	ck_assert_int_eq(compile_prepare(&compiler), 0);
	ck_assert_int_eq(calibrate_run(&compiler), 0);
	ck_assert_uint_eq(compiler.graph->node_count, layers);
	effect = effect_new(&compiler, 1);
	ck_assert_ptr_nonnull(effect);
	for (uint32_t n = 0; n < layers; n++) {
		uint32_t images = effect_images(effect, n);

		ck_assert_uint_ge(images, before);
		ck_assert_uint_le(images * (layers - 1 - n), 96);
		before = images;
	}
	ck_assert_uint_eq(before, 12);
	effect_free(effect);
	compile_clean_up(&compiler);
	noise_free(graph, inputs);
	xrnpe_graph_free(graph);
}
END_TEST

/* Weights of a channel that has died are zero, not the least number that there is. */
START_TEST(tiny_weights_become_zero)
{
	Onnx__ModelProto *model = image_network(4, 6, 6);
	float values[4 * 4 * 9];
	struct xrnpe_model *compiled;
	struct xrnpe_graph *graph;
	uint32_t state = 2;

	for (int i = 0; i < 4 * 36; i++)
		values[i] = onnx_noise(&state) * (i / 36 == 3 ? 1e-18f : 1);
	onnx_floats(model, "w", DIMS(4, 4, 3, 3), values);
	onnx_node(model, "Conv", "x w", "y");
	graph = load(model);
	ck_assert_int_eq(compile(graph, xrnpe_graph_bytes(graph) * 10 / 25, &compiled), 0);
	ck_assert_double_lt(run_error(graph, compiled), 0.02);
	xrnpe_model_free(compiled);
	xrnpe_graph_free(graph);
}
END_TEST

/* ---- biases ------------------------------------------------------------ */

START_TEST(what_is_certain_of_a_shift)
{
	struct shift shift = { .sum = 3, .squares = 9 };
	const struct image first = { 1, 9, 2, true }, last = { 9, 1, 2, false };
	float values[18];
	double means[2];

	/* One input: nothing. */
	ck_assert_double_eq(shift_certain(&shift, 1), 0);
	/* The same by all: all. */
	shift = (struct shift){ .sum = 3 * 8, .squares = 9 * 8 };
	ck_assert_double_eq_tol(shift_certain(&shift, 8), 3, 1e-12);
	/* As large as its spread: nothing; somewhat larger: a part, with its sign. */
	shift = (struct shift){ .sum = 8 * 0.1, .squares = 8 };
	ck_assert_double_eq(shift_certain(&shift, 8), 0);
	shift = (struct shift){ .sum = 8 * -2, .squares = 8 * (4 + 4) };
	ck_assert_double_lt(shift_certain(&shift, 8), 0);
	ck_assert_double_gt(shift_certain(&shift, 8), -2);
	/* From outputs. */
	for (int i = 0; i < 18; i++)
		values[i] = (float)(i * i);
	channel_means(&first, values, means);
	ck_assert_double_eq_tol(means[0], 204 / 9.0, 1e-12);
	ck_assert_double_eq_tol(means[1], 1581 / 9.0, 1e-12);
	channel_means(&last, values, means);
	ck_assert_double_eq_tol(means[0], 816 / 9.0, 1e-12);
	ck_assert_double_eq_tol(means[1], 969 / 9.0, 1e-12);
	shift = (struct shift){ 0 };
	for (int i = 0; i < 3; i++)
		shifts_add(&shift, 1, (double[]){ 1.25 });
	ck_assert_double_eq_tol(shift_certain(&shift, 3), 1.25, 1e-12);
}
END_TEST

/* ---- ends --------------------------------------------------------------- */

/* Behind a sigmoid errors are relative to 1, also if it became part of a product or a function. */
START_TEST(probabilities_are_known)
{
	static const struct {
		const char *before, *op;
		bool probability;
	} cases[] = {
		{ "Relu", "Sigmoid", true }, { "Relu", "HardSigmoid", true },
		{ "Conv", "Sigmoid", true }, { "Conv", "HardSigmoid", true },
		{ "Neg", "Sigmoid", true },
		{ "Conv", "HardSwish", false }, { "Conv", "Relu", false }, { "Sigmoid", "Neg", false },
	};
	const struct xrnpe_compile_options options = { 0 };
	Onnx__ModelProto *model = image_network(4, 6, 6);
	struct compiler compiler = { .options = &options, .error = &error };
	struct xrnpe_graph *graph;

	onnx_floats(model, "w", DIMS(4, 4, 3, 3), NULL);
	onnx_node(model, cases[_i].before, strcmp(cases[_i].before, "Conv") ? "x" : "x w", "b");
	onnx_node(model, cases[_i].op, "b", "s");
	onnx_node(model, "Flatten", "s", "y");
	compiler.source = graph = load(model);
	ck_assert_int_eq(compile_prepare(&compiler), 0);
	ck_assert_uint_eq(compiler.end_count, 1);
	ck_assert_int_eq(compiler.ends[0].probability, cases[_i].probability);
	compile_clean_up(&compiler);
	xrnpe_graph_free(graph);
}
END_TEST

/* ---- what is said ------------------------------------------------------ */

static char notes[4096];

static void take_note(void *data, const char *text)
{
	strncat(notes, text, sizeof(notes) - strlen(notes) - 2);
	strcat(notes, "\n");
}

static int compile_noting(const struct xrnpe_graph *graph, const struct xrnpe_array *inputs,
			  struct xrnpe_model **model)
{
	const struct xrnpe_compile_options options = {
		.calibration = inputs, .note = take_note, .limits.bytes = 1 << 20,
	};

	*notes = '\0';
	return xrnpe_compile(graph, &options, model, &error);
}

static void is_noted(const struct xrnpe_graph *graph, const struct xrnpe_array *inputs,
		     const char *text)
{
	struct xrnpe_model *model;

	ck_assert_msg(!compile_noting(graph, inputs, &model), "%s", error.message);
	if (text)
		ck_assert_msg(strstr(notes, text), "no \"%s\" in \"%s\"", text, notes);
	else
		ck_assert_str_eq(notes, "");
	ck_assert_double_lt(run_error(graph, model), 0.02);
	xrnpe_model_free(model);
}

START_TEST(odd_data_are_named)
{
	struct xrnpe_graph *graph = load(smooth_network());
	size_t each = xrnpe_graph_input(graph, 0)->count;
	struct xrnpe_array *inputs = noise(graph, CALIBRATION, 1);
	struct xrnpe_model *model;

	is_noted(graph, inputs, NULL);
	inputs->data[5 * each + 7] = 1e6f;
	is_noted(graph, inputs, "1 of 24 inputs left out: of x input 5 has a value of 1e+06");
	noise_free(graph, inputs);

	inputs = noise(graph, CALIBRATION, 1);
	for (size_t i = each; i < inputs->count; i++)
		inputs->data[i] = inputs->data[i - each];
	is_noted(graph, inputs, "all inputs of x are the same");
	is_noted(graph, inputs, "23 of 24 inputs left out: they are the same as others");
	is_noted(graph, inputs, "1 input is too few");
	noise_free(graph, inputs);

	inputs = noise(graph, 2, 1);
	for (size_t i = 0; i < inputs->count; i++)
		inputs->data[i] = -0.0f;
	ck_assert_int_eq(compile_noting(graph, inputs, &model), -EINVAL);
	ck_assert_msg(strstr(notes, "all values of x are 0\n"), "%s", notes);
	noise_free(graph, inputs);

	inputs = noise(graph, 3, 1);
	is_noted(graph, inputs, "3 inputs are too few");
	noise_free(graph, inputs);
	inputs = noise(graph, 1, 1);
	is_noted(graph, inputs, "1 input is too few");
	noise_free(graph, inputs);
	inputs = noise(graph, 4, 1);
	is_noted(graph, inputs, "the one input");
	noise_free(graph, inputs);
	inputs = noise(graph, XRNPE_CALIBRATION_MAX + 9, 1);
	is_noted(graph, inputs, "512 of 521 inputs are used");
	noise_free(graph, inputs);
	xrnpe_graph_free(graph);
}
END_TEST

/* A quarter of the inputs of each of four tensors is odd, of each another: all would be. */
START_TEST(not_all_are_left_out)
{
	Onnx__ModelProto *onnx = onnx_new();
	const char *const names[] = { "a", "b", "c", "d" };
	struct xrnpe_array *inputs;
	struct xrnpe_graph *graph;
	struct xrnpe_model *model;

	for (int i = 0; i < 4; i++)
		onnx_input(onnx, names[i], DIMS(1, 4));
	onnx_node(onnx, "Add", "a b", "ab");
	onnx_node(onnx, "Add", "c d", "cd");
	onnx_node(onnx, "Mul", "ab cd", "y");
	onnx_output(onnx, "y", DIMS(0));
	graph = load(onnx);
	inputs = noise(graph, 4, 1);
	for (size_t i = 0; i < 4; i++)
		inputs[i].data[4 * i] = 1000;
	ck_assert_msg(!compile_noting(graph, inputs, &model), "%s", error.message);
	ck_assert_msg(strstr(notes, "1 of 4 inputs left out: of a input 0"), "%s", notes);
	ck_assert_msg(!strstr(notes, "of b input"), "%s", notes);
	ck_assert_uint_eq(xrnpe_model_quality(model)->inputs, 3);
	xrnpe_model_free(model);
	noise_free(graph, inputs);
	xrnpe_graph_free(graph);
}
END_TEST

/* A channel that is zero throughout calibration works when it wakes up. */
START_TEST(dead_channels_may_wake_up)
{
	struct xrnpe_graph *graph = load(smooth_network());
	struct xrnpe_array *inputs = noise(graph, CALIBRATION, 1);
	struct xrnpe_model *model;

	for (size_t i = 0; i < inputs->count; i++) {
		if (i / 100 % 6 == 3)
			inputs->data[i] = 0;
	}
	ck_assert_int_eq(compile_noting(graph, inputs, &model), 0);
	ck_assert_str_eq(notes, "calibration: 1 of the 6 channels of x are zero in all inputs, "
			 "x[:, 3] first\n");
	ck_assert_double_lt(run_error(graph, model), 0.02);
	xrnpe_model_free(model);
	noise_free(graph, inputs);
	xrnpe_graph_free(graph);
}
END_TEST

/* ---- what is reported --------------------------------------------------- */

/* What is said of a model holds on data that nobody has seen. */
START_TEST(reported_is_true)
{
	static const double factors[] = { 1.5, 2.5, 3.5 };
	struct xrnpe_graph *graph = load(onnx_resnet());

	for (int i = 0; i < 3; i++) {
		uint64_t bytes = (uint64_t)((double)xrnpe_graph_bytes(graph) / factors[i]);
		const struct xrnpe_quality *quality;
		struct xrnpe_model *model;
		double actual;

		ck_assert_int_eq(compile(graph, bytes, &model), 0);
		quality = xrnpe_model_quality(model);
		actual = run_error(graph, model);
		ck_assert(quality->unseen && quality->inputs == 6);
		ck_assert_double_lt(actual, 1.3 * quality->error);
		ck_assert_double_gt(actual, quality->error / 1.3);
		xrnpe_model_free(model);
	}
	xrnpe_graph_free(graph);
}
END_TEST

/* Of what is allowed use is made, and it is kept on data that nobody has seen. */
START_TEST(error_limit_is_kept)
{
	static const double errors[] = { 0.003, 0.01, 0.03, 0.1 };
	struct xrnpe_graph *graph = load(onnx_resnet());
	struct xrnpe_array *inputs = noise(graph, CALIBRATION, 1);
	struct xrnpe_cost cost, before = { .counters.cycles = UINT64_MAX };

	for (int i = 0; i < 4; i++) {
		const struct xrnpe_compile_options options = {
			.calibration = inputs, .limits.error = errors[i],
		};
		struct xrnpe_model *model;

		ck_assert_msg(!xrnpe_compile(graph, &options, &model, &error), "%s", error.message);
		ck_assert_double_le(xrnpe_model_quality(model)->error, errors[i]);
		ck_assert_double_lt(run_error(graph, model), 1.3 * errors[i]);
		xrnpe_model_predict(model, NULL, NULL, &cost, NULL);
		/* What a choice goes by are estimates. */
		ck_assert_double_le((double)cost.counters.cycles, 1.1 * (double)before.counters.cycles);
		before = cost;
		xrnpe_model_free(model);
	}
	noise_free(graph, inputs);
	xrnpe_graph_free(graph);
}
END_TEST

START_TEST(cycles_and_energy_are_kept)
{
	struct xrnpe_graph *graph = load(onnx_resnet());
	struct xrnpe_array *inputs = noise(graph, CALIBRATION, 1);
	struct xrnpe_compile_options options = { .calibration = inputs };
	struct xrnpe_model *model;
	struct xrnpe_cost free_of_limits, cost;

	options.limits.bytes = 1 << 20;
	ck_assert_int_eq(xrnpe_compile(graph, &options, &model, &error), 0);
	xrnpe_model_predict(model, NULL, NULL, &free_of_limits, NULL);
	xrnpe_model_free(model);
	options.limits.cycles = 0.9 * (double)free_of_limits.counters.cycles;
	ck_assert_msg(!xrnpe_compile(graph, &options, &model, &error), "%s", error.message);
	xrnpe_model_predict(model, NULL, NULL, &cost, NULL);
	ck_assert_double_le((double)cost.counters.cycles, options.limits.cycles);
	ck_assert_double_lt(run_error(graph, model), 0.1);
	xrnpe_model_free(model);
	options.limits.cycles = 0;
	options.limits.picojoules = 0.8 * free_of_limits.picojoules;
	ck_assert_msg(!xrnpe_compile(graph, &options, &model, &error), "%s", error.message);
	xrnpe_model_predict(model, NULL, NULL, &cost, NULL);
	ck_assert_double_le(cost.picojoules, options.limits.picojoules);
	ck_assert_double_lt(run_error(graph, model), 0.1);
	xrnpe_model_free(model);
	options.limits.picojoules = 1;
	ck_assert_int_eq(xrnpe_compile(graph, &options, &model, &error), -ENOSPC);
	ck_assert_msg(strstr(error.message, "budget of 1e-06 uJ is too small"), "%s", error.message);
	noise_free(graph, inputs);
	xrnpe_graph_free(graph);
}
END_TEST

/*
 * Who limits the energy, or the cycles, to those of a model that was found for a limit of error gets
 * none that is worse, but for what cannot be told.
 */
START_TEST(what_an_error_takes_is_enough)
{
	static const double errors[] = { 0.003, 0.03, 0.1 };
	struct xrnpe_graph *graph = load(onnx_resnet());
	struct xrnpe_array *inputs = noise(graph, CALIBRATION, 1);
	struct xrnpe_compile_options options = { .calibration = inputs, .limits.error = errors[_i] };
	struct xrnpe_limits limits[2] = { 0 };
	struct xrnpe_model *model;
	struct xrnpe_cost cost;

	ck_assert_msg(!xrnpe_compile(graph, &options, &model, &error), "%s", error.message);
	xrnpe_model_predict(model, NULL, NULL, &cost, NULL);
	xrnpe_model_free(model);
	limits[0].picojoules = cost.picojoules;
	limits[1].cycles = (double)cost.counters.cycles;
	for (int k = 0; k < 2; k++) {
		options.limits = limits[k];
		ck_assert_msg(!xrnpe_compile(graph, &options, &model, &error), "%s", error.message);
		ck_assert_double_lt(xrnpe_model_quality(model)->error, 1.2 * errors[_i]);
		xrnpe_model_free(model);
	}
	noise_free(graph, inputs);
	xrnpe_graph_free(graph);
}
END_TEST

/*
 * Of what was tried for @model within @bytes nothing has much less error, and what is much faster has
 * more; that was looked for.
 */
static void check_tried(const struct xrnpe_model *model, uint64_t bytes, double cycles)
{
	double chosen = xrnpe_model_quality(model)->error, least = INFINITY;
	unsigned int faster = 0;

	for (unsigned int i = 0; i < xrnpe_model_trial_count(model); i++) {
		const struct xrnpe_trial *trial = xrnpe_model_trial(model, i);

		if (trial->bytes > bytes)
			continue;
		least = fmin(least, trial->quality.error);
		faster += trial->cycles < cycles;
		ck_assert(trial->cycles > 0.9 * cycles || trial->quality.error > chosen);
	}
	ck_assert_double_le(chosen, 1.1 * least);
	ck_assert_uint_gt(faster, 0);
}

/*
 * Who limits bytes alone gets no model that takes much more time than another one within them that
 * is better by more than what is known of its error.
 */
START_TEST(bytes_alone_cost_no_time)
{
	struct xrnpe_graph *graph = load(onnx_resnet());
	struct xrnpe_array *inputs = noise(graph, CALIBRATION, 1);
	struct xrnpe_compile_options options = { .calibration = inputs };
	struct xrnpe_model *model, *faster;
	const struct xrnpe_quality *quality;
	struct xrnpe_cost cost, less;

	options.limits.bytes = xrnpe_graph_bytes(graph) / (_i + 2);
	ck_assert_msg(!xrnpe_compile(graph, &options, &model, &error), "%s", error.message);
	quality = xrnpe_model_quality(model);
	xrnpe_model_predict(model, NULL, NULL, &cost, NULL);
	check_tried(model, options.limits.bytes, (double)cost.counters.cycles);
	for (double share = 0.5; share < 0.95; share += 0.1) {
		options.limits.cycles = share * (double)cost.counters.cycles;
		if (xrnpe_compile(graph, &options, &faster, &error))
			continue;
		xrnpe_model_predict(faster, NULL, NULL, &less, NULL);
		ck_assert_msg(xrnpe_model_quality(faster)->error > quality->error - quality->spread,
			      "%llu cycles have an error of %g +- %g, %llu one of %g",
			      (unsigned long long)cost.counters.cycles, quality->error, quality->spread,
			      (unsigned long long)less.counters.cycles, xrnpe_model_quality(faster)->error);
		xrnpe_model_free(faster);
	}
	xrnpe_model_free(model);
	noise_free(graph, inputs);
	xrnpe_graph_free(graph);
}
END_TEST

/*
 * Tables of 16 bits of the same function may be one or not, which is seen when they are made. Where there
 * is no room for as many as there are, only these get a smaller format, not the weights, too.
 */
START_TEST(bytes_of_tables)
{
	static const char *const nodes[][2] = {
		{ "x w", "a" }, { "sa w", "b" }, { "sb w", "c" }, { "sc w", "d" },
	};
	Onnx__ModelProto *onnx = image_network(16, 12, 12);
	struct xrnpe_compile_options options = { .limits.bytes = 100000 };
	struct xrnpe_model *model;
	struct xrnpe_graph *graph;
	struct xrnpe_array *inputs;

	onnx_floats(onnx, "w", DIMS(16, 16, 3, 3), NULL);
	for (size_t i = 0; i < 4; i++) {
		char name[3] = { 's', nodes[i][1][0] };

		onnx_node(onnx, "Conv", nodes[i][0], nodes[i][1]);
		onnx_node(onnx, "Sigmoid", nodes[i][1], i < 3 ? name : "y");
	}
	graph = load(onnx);
	options.calibration = inputs = noise(graph, CALIBRATION, 1);
	ck_assert_msg(!xrnpe_compile(graph, &options, &model, &error), "%s", error.message);
	for (uint32_t i = 0; i < xrnpe_model_layer_count(model); i++)
		ck_assert_int_ge(xrnpe_model_layer(model, i)->format, XRNPE_FORMAT_P8);
	xrnpe_model_free(model);
	noise_free(graph, inputs);
	xrnpe_graph_free(graph);
}
END_TEST

/* Compile @graph for @limits, and tell what the model costs; or what the message says is needed. */
static double needed(const struct xrnpe_graph *graph, const struct xrnpe_array *inputs,
		     const struct xrnpe_limits *limits, struct xrnpe_cost *cost)
{
	const struct xrnpe_compile_options options = { .calibration = inputs, .limits = *limits };
	const char *need;
	struct xrnpe_model *model;
	int ret = xrnpe_compile(graph, &options, &model, &error);

	if (!ret) {
		xrnpe_model_predict(model, NULL, NULL, cost, NULL);
		xrnpe_model_free(model);
		return 0;
	}
	ck_assert_int_eq(ret, -ENOSPC);
	need = strstr(error.message, "found need ");
	ck_assert_msg(need, "%s", error.message);
	return strtod(need + strlen("found need "), NULL);
}

/*
 * What a message says is needed is the least, and can be had, as can all that is more, with and
 * without an error.
 */
START_TEST(what_is_needed_is_enough)
{
	struct xrnpe_graph *graph = load(onnx_resnet());
	struct xrnpe_array *inputs = noise(graph, CALIBRATION, 1);
	double cycles = needed(graph, inputs, &(struct xrnpe_limits){ .cycles = 1 }, NULL);
	double microjoules = needed(graph, inputs, &(struct xrnpe_limits){ .picojoules = 1 }, NULL);
	const struct xrnpe_layer_formats fp4 = { .weight = XRNPE_FORMAT_FP4, .input = XRNPE_FORMAT_FP4 };
	const struct xrnpe_compile_options narrow = {
		.calibration = inputs, .formats = &fp4, .format_count = 1,
	};
	struct xrnpe_model *model;
	struct xrnpe_cost least;

	ck_assert_msg(!xrnpe_compile(graph, &narrow, &model, &error), "%s", error.message);
	xrnpe_model_predict(model, NULL, NULL, &least, NULL);
	xrnpe_model_free(model);
	ck_assert_double_le(cycles, (double)least.counters.cycles);
	ck_assert_double_le(microjoules, 1.001e-6 * least.picojoules);
	for (int i = 0; i < 12; i++) {
		double more = 1 + i / 24.0;
		/* The message rounds to 4 digits. */
		struct xrnpe_limits limits[] = {
			{ .cycles = more * cycles },
			{ .picojoules = 1.001e6 * more * microjoules },
			{ .cycles = more * cycles, .error = 0.9 },
			{ .picojoules = 1.001e6 * more * microjoules, .error = 0.9 },
		};

		for (size_t k = 0; k < sizeof(limits) / sizeof(limits[0]); k++) {
			struct xrnpe_cost cost;

			ck_assert_msg(needed(graph, inputs, &limits[k], &cost) == 0, "%zu at %g: %s", k, more,
				      error.message);
			if (limits[k].cycles > 0)
				ck_assert_double_le((double)cost.counters.cycles, limits[k].cycles);
			else
				ck_assert_double_le(cost.picojoules, limits[k].picojoules);
		}
	}
	noise_free(graph, inputs);
	xrnpe_graph_free(graph);
}
END_TEST

TCase *compile_precision_tests(void)
{
	TCase *tests = tcase_create("precision");

	tcase_set_timeout(tests, 120);
	tcase_add_loop_test(tests, lattice_has_all_values, 0, XRNPE_FORMAT_P16);
	tcase_add_loop_test(tests, nearest_is_nearest, 0, XRNPE_FORMAT_P16);
	tcase_add_loop_test(tests, errors_cancel, 0, XRNPE_FORMAT_P16);
	tcase_add_loop_test(tests, order_of_inputs_does_not_matter, 0, 16);
	tcase_add_loop_test(tests, scales_are_looked_for, XRNPE_FORMAT_FP4, XRNPE_FORMAT_P8);
	tcase_add_test(tests, effects_are_those_on_others);
	tcase_add_loop_test(tests, effects_of_long_networks, 0, 3);
	tcase_add_test(tests, tiny_weights_become_zero);
	tcase_add_test(tests, what_is_certain_of_a_shift);
	tcase_add_loop_test(tests, probabilities_are_known, 0, 8);
	tcase_add_test(tests, odd_data_are_named);
	tcase_add_test(tests, not_all_are_left_out);
	tcase_add_test(tests, dead_channels_may_wake_up);
	tcase_add_test(tests, reported_is_true);
	tcase_add_test(tests, error_limit_is_kept);
	tcase_add_test(tests, cycles_and_energy_are_kept);
	tcase_add_loop_test(tests, what_an_error_takes_is_enough, 0, 3);
	tcase_add_test(tests, lost_inputs_are_made_up_for);
	tcase_add_test(tests, weights_are_rounded_again);
	tcase_add_loop_test(tests, bytes_alone_cost_no_time, 0, 4);
	tcase_add_test(tests, bytes_of_tables);
	tcase_add_test(tests, what_is_needed_is_enough);
	return tests;
}
