// SPDX-License-Identifier: MIT
/* LSTM and GRU: against the formulas of ONNX's specification, in either order of axes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph.h"
#include "unit/graph_tests.h"
#include "unit/onnx_builder.h"

enum { STEPS = 3, BATCH = 2, SIZE = 2, HIDDEN = 3, DIRECTIONS = 2, MOST = 4 * HIDDEN };

/* Of one direction, as the file has them. */
struct parameters {
	float W[MOST][SIZE], R[MOST][HIDDEN], B[2][MOST], P[3][HIDDEN];
};

static struct parameters parameters[DIRECTIONS];
static float X[STEPS][BATCH][SIZE], H[DIRECTIONS][BATCH][HIDDEN];
static float C[DIRECTIONS][BATCH][HIDDEN];

/* What is right. */
static float Y[STEPS][DIRECTIONS][BATCH][HIDDEN];
static float Y_h[DIRECTIONS][BATCH][HIDDEN], Y_c[DIRECTIONS][BATCH][HIDDEN];

static void fill(void *values, size_t size, uint32_t *state)
{
	for (size_t i = 0; i < size / sizeof(float); i++)
		((float *)values)[i] = onnx_noise(state);
}

/* Before its function: gate @i of element @j. */
static double gate(const struct parameters *p, const float *x, const float *h, int i, int j)
{
	int row = i * HIDDEN + j;
	double sum = (double)p->B[0][row] + (double)p->B[1][row];

	for (int k = 0; k < SIZE; k++)
		sum += (double)p->W[row][k] * x[k];
	for (int k = 0; k < HIDDEN; k++)
		sum += (double)p->R[row][k] * h[k];
	return sum;
}

static double sigmoid(double x)
{
	return 1 / (1 + exp(-x));
}

static void step_lstm(const struct parameters *p, const float *x, float *h, float *c)
{
	float before[HIDDEN];

	memcpy(before, h, sizeof(before));
	for (int j = 0; j < HIDDEN; j++) {
		double i = sigmoid(gate(p, x, before, 0, j) + (double)p->P[0][j] * c[j]);
		double f = sigmoid(gate(p, x, before, 2, j) + (double)p->P[2][j] * c[j]);
		double next = f * c[j] + i * tanh(gate(p, x, before, 3, j));
		double o = sigmoid(gate(p, x, before, 1, j) + (double)p->P[1][j] * next);

		c[j] = (float)next;
		h[j] = (float)(o * tanh(next));
	}
}

static void compute_lstm(void)
{
	for (int d = 0; d < DIRECTIONS; d++) {
		for (int b = 0; b < BATCH; b++) {
			memcpy(Y_h[d][b], H[d][b], sizeof(H[d][b]));
			memcpy(Y_c[d][b], C[d][b], sizeof(C[d][b]));
			for (int i = 0; i < STEPS; i++) {
				int t = d ? STEPS - 1 - i : i;

				step_lstm(&parameters[d], X[t][b], Y_h[d][b], Y_c[d][b]);
				memcpy(Y[t][d][b], Y_h[d][b], sizeof(Y[t][d][b]));
			}
		}
	}
}

/* Lines of @size elements, @rows times @columns of them, to @columns times @rows. */
static const float *swapped(const void *from, size_t rows, size_t columns, size_t size, float *to)
{
	for (size_t i = 0; i < rows * columns; i++)
		memcpy(to + i * size, (const float *)from + (i % rows * columns + i / rows) * size,
		       size * sizeof(*to));
	return to;
}

/* The weights of all directions, @gates of four. */
static void add_weights(Onnx__ModelProto *model, size_t gates)
{
	float W[DIRECTIONS][MOST][SIZE], R[DIRECTIONS][MOST][HIDDEN], B[DIRECTIONS * 2 * MOST];
	float P[DIRECTIONS][3][HIDDEN];
	size_t rows = gates * HIDDEN;

	for (size_t d = 0; d < DIRECTIONS; d++) {
		memcpy((float *)W + d * rows * SIZE, parameters[d].W, rows * sizeof(*parameters[d].W));
		memcpy((float *)R + d * rows * HIDDEN, parameters[d].R, rows * sizeof(*parameters[d].R));
		for (size_t half = 0; half < 2; half++)
			memcpy(B + (2 * d + half) * rows, parameters[d].B[half], rows * sizeof(*B));
		memcpy(P[d], parameters[d].P, sizeof(P[d]));
	}
	onnx_floats(model, "W", DIMS(DIRECTIONS, (int64_t)rows, SIZE), (float *)W);
	onnx_floats(model, "R", DIMS(DIRECTIONS, (int64_t)rows, HIDDEN), (float *)R);
	onnx_floats(model, "B", DIMS(DIRECTIONS, 2 * (int64_t)rows), B);
	if (gates == 4)
		onnx_floats(model, "P", DIMS(DIRECTIONS, 3 * HIDDEN), (float *)P);
}

/* The outputs of @op for X and the states, in the order that @batch_first says. */
static void run(const char *op, bool batch_first, float *y, float *h, float *c)
{
	bool lstm = !strcmp(op, "LSTM");
	int64_t first = batch_first ? BATCH : STEPS, second = batch_first ? STEPS : BATCH;
	int64_t outer = batch_first ? BATCH : DIRECTIONS, inner = batch_first ? DIRECTIONS : BATCH;
	float x[STEPS * BATCH * SIZE], states[2][DIRECTIONS * BATCH * HIDDEN];
	Onnx__ModelProto *model = onnx_new();
	Onnx__NodeProto *node = onnx_node(model, op, lstm ? "X W R B lengths H C P" : "X W R B lengths H",
					  lstm ? "Y Y_h Y_c" : "Y Y_h");
	struct xrnpe_graph *graph = NULL;
	struct xrnpe_error error;
	const float *inputs[] = { (float *)X, (float *)H, (float *)C };
	float *outputs[] = { y, h, c };
	size_t size;
	uint8_t *data;

	onnx_input(model, "X", DIMS(first, second, SIZE));
	onnx_input(model, "H", DIMS(outer, inner, HIDDEN));
	if (lstm)
		onnx_input(model, "C", DIMS(outer, inner, HIDDEN));
	add_weights(model, lstm ? 4 : 3);
	onnx_ints(model, "lengths", DIMS(STEPS, STEPS));
	onnx_attr_string(node, "direction", "bidirectional");
	onnx_attr_int(node, "layout", batch_first);
	onnx_output(model, "Y", DIMS(1));
	onnx_output(model, "Y_h", DIMS(1));
	if (lstm)
		onnx_output(model, "Y_c", DIMS(1));
	data = onnx_pack(model, &size);
	ck_assert_msg(!xrnpe_graph_parse("m.onnx", data, size, NULL, &graph, &error), "%s", error.message);
	if (batch_first) {
		inputs[0] = swapped(X, STEPS, BATCH, SIZE, x);
		inputs[1] = swapped(H, DIRECTIONS, BATCH, HIDDEN, states[0]);
		inputs[2] = swapped(C, DIRECTIONS, BATCH, HIDDEN, states[1]);
	}
	ck_assert_int_eq(xrnpe_graph_run(graph, 1, inputs, outputs, NULL, NULL, &error), 0);
	xrnpe_graph_free(graph);
	onnx_free(model);
	free(data);
}

static void setup(void)
{
	uint32_t state = 1;

	fill(parameters, sizeof(parameters), &state);
	fill(X, sizeof(X), &state);
	fill(H, sizeof(H), &state);
	fill(C, sizeof(C), &state);
}

static void check(const float *got, const void *want, size_t size, const char *what)
{
	for (size_t i = 0; i < size / sizeof(float); i++)
		ck_assert_msg(fabsf(got[i] - ((const float *)want)[i]) < 1e-6f, "%s: element %zu is %g, not %g",
			      what, i, got[i], ((const float *)want)[i]);
}

START_TEST(lstm)
{
	float y[STEPS * DIRECTIONS * BATCH * HIDDEN], back[STEPS * DIRECTIONS * BATCH * HIDDEN];
	float h[DIRECTIONS * BATCH * HIDDEN], c[DIRECTIONS * BATCH * HIDDEN];

	compute_lstm();
	run("LSTM", false, y, h, c);
	check(y, Y, sizeof(Y), "Y");
	check(h, Y_h, sizeof(Y_h), "Y_h");
	check(c, Y_c, sizeof(Y_c), "Y_c");
	run("LSTM", true, y, h, c);
	/* batch, steps, directions: batch to the end, as one step after the other has it. */
	check(swapped(y, BATCH, STEPS * DIRECTIONS, HIDDEN, back), Y, sizeof(Y), "Y, batch first");
	check(swapped(h, BATCH, DIRECTIONS, HIDDEN, back), Y_h, sizeof(Y_h), "Y_h, batch first");
	check(swapped(c, BATCH, DIRECTIONS, HIDDEN, back), Y_c, sizeof(Y_c), "Y_c, batch first");
}
END_TEST

START_TEST(gru)
{
	float y[2][STEPS * DIRECTIONS * BATCH * HIDDEN], back[STEPS * DIRECTIONS * BATCH * HIDDEN];
	float h[2][DIRECTIONS * BATCH * HIDDEN];

	run("GRU", false, y[0], h[0], NULL);
	run("GRU", true, y[1], h[1], NULL);
	check(swapped(y[1], BATCH, STEPS * DIRECTIONS, HIDDEN, back), y[0], sizeof(y[0]), "Y");
	check(swapped(h[1], BATCH, DIRECTIONS, HIDDEN, back), h[0], sizeof(h[0]), "Y_h");
}
END_TEST

TCase *graph_recurrent_tests(void)
{
	TCase *tests = tcase_create("recurrent");

	tcase_add_checked_fixture(tests, setup, NULL);
	tcase_add_test(tests, lstm);
	tcase_add_test(tests, gru);
	return tests;
}
