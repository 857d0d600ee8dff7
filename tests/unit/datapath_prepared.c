// SPDX-License-Identifier: MIT
/*
 * Commands that are prepared: what is kept of them. That they give the bits of those that are
 * not, datapath_run.c tests with all of its commands.
 */
#include <errno.h>

#include "unit/datapath_tests.h"

enum { M = 40, N = 70, K = 33 };

/* A product of many positions, and its memory. */
struct product {
	struct xrnpe_cmd cmd;
	uint8_t ifm[M * K], weight[N * K], ofm[M * N];
	uint32_t scale[N][2];
	void *memory[XRNPE_OPERANDS];
	struct xrnpe_datapath *datapath;
	uint8_t expected[M * N];
};

static void run_as_it_is(struct product *product, uint8_t ofm[M * N])
{
	struct xrnpe_fault fault;
	uint32_t status = 0;

	ck_assert_int_eq(xrnpe_datapath_run(product->datapath, &product->cmd, 0, product->memory, NULL, &status,
					    &fault), 0);
	memcpy(ofm, product->ofm, sizeof(product->ofm));
}

static void make(struct product *product, const char *kernel)
{
	struct xrnpe_operand *o = product->cmd.operand;
	uint64_t state = 1;

	*product = (struct product){ .cmd = { .opcode = XRNPE_OP_MATMUL, .matmul = { M, N, K, 1, { 0 } } } };
	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++)
		o[i].format = XRNPE_FORMAT_P8;
	o[XRNPE_OPERAND_IFM].row_stride = o[XRNPE_OPERAND_WEIGHT].row_stride = K;
	o[XRNPE_OPERAND_OFM].row_stride = N;
	o[XRNPE_OPERAND_SCALE].row_stride = sizeof(product->scale[0]);
	for (size_t i = 0; i < sizeof(product->ifm); i++)
		product->ifm[i] = (uint8_t)random_word(&state);
	for (size_t i = 0; i < sizeof(product->weight); i++)
		product->weight[i] = (uint8_t)random_word(&state);
	for (size_t i = 0; i < N; i++)
		product->scale[i][0] = 0x3c000000;	/* 2^-7 */
	product->memory[XRNPE_OPERAND_IFM] = product->ifm;
	product->memory[XRNPE_OPERAND_WEIGHT] = product->weight;
	product->memory[XRNPE_OPERAND_SCALE] = product->scale;
	product->memory[XRNPE_OPERAND_OFM] = product->ofm;
	product->datapath = xrnpe_datapath_new(1, kernel);
	ck_assert_ptr_nonnull(product->datapath);
	run_as_it_is(product, product->expected);
}

static int run_prepared(struct product *product, const struct xrnpe_prepared *prepared, const volatile bool *cancel)
{
	uint32_t status = 0;

	memset(product->ofm, 0x55, sizeof(product->ofm));
	return xrnpe_datapath_run_prepared(product->datapath, prepared, product->memory, cancel, &status);
}

/* Kernels that decode weights for many positions do so once: then nobody reads them any more. */
START_TEST(weights_are_kept)
{
	struct product product;
	size_t least = 0;

	for (const char *const *kernel = xrnpe_datapath_kernels(); *kernel; kernel++) {
		struct xrnpe_prepared *prepared;

		make(&product, *kernel);
		prepared = xrnpe_datapath_prepare(product.datapath, &product.cmd, product.memory, SIZE_MAX);
		ck_assert_ptr_nonnull(prepared);
		/* All but the first, the plain one, do. */
		if (!least) {
			least = xrnpe_prepared_size(prepared);
		} else {
			ck_assert_uint_ge(xrnpe_prepared_size(prepared), least + sizeof(product.weight));
			memset(product.weight, 0, sizeof(product.weight));
			memset(product.scale, 0, sizeof(product.scale));
		}
		for (int i = 0; i < 2; i++) {
			ck_assert_int_eq(run_prepared(&product, prepared, NULL), 0);
			ck_assert_mem_eq(product.ofm, product.expected, sizeof(product.ofm));
		}
		xrnpe_prepared_free(prepared);
		xrnpe_datapath_free(product.datapath);
	}
}
END_TEST

/* Those whose kernel is chosen by inputs, too, may have any when they run. */
START_TEST(other_inputs)
{
	enum { SIDE = 32, C = 32, TAPS = 9 };
	static const uint8_t weights[] = { XRNPE_FORMAT_P8, XRNPE_FORMAT_P16 };
	static uint16_t ifm[SIDE * SIDE * C], weight[C * TAPS * C], ofm[2][SIDE * SIDE * C];
	uint32_t scale[C][2], status = 0;
	struct xrnpe_cmd cmd = { .opcode = XRNPE_OP_CONV2D, .image = {
		SIDE, SIDE, C, SIDE, SIDE, C, 1, 3, 3, 1, 1, 1, 1, 1, 1, { 0 } } };
	uint8_t format = weights[_i];
	void *memory[XRNPE_OPERANDS] = {
		[XRNPE_OPERAND_IFM] = ifm, [XRNPE_OPERAND_WEIGHT] = weight, [XRNPE_OPERAND_SCALE] = scale,
	};
	struct xrnpe_datapath *datapath = xrnpe_datapath_new(1, NULL);
	struct xrnpe_prepared *prepared;
	struct xrnpe_fault fault;
	uint64_t state = 1;

	for (size_t i = 0; i < C; i++)
		memcpy(scale[i], (uint32_t[]){ 0x3c000000, 0 }, sizeof(scale[i]));
	for (size_t i = 0; i < C * TAPS * C; i++)
		xrnpe_store(format, weight, i, random_word(&state) & (format == XRNPE_FORMAT_P8 ? 0x7f : 0x7fff));
	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++)
		cmd.operand[i] = (struct xrnpe_operand){ .format = XRNPE_FORMAT_P16, .pixel_stride = C * sizeof(uint16_t),
							 .row_stride = SIDE * C * sizeof(uint16_t) };
	cmd.operand[XRNPE_OPERAND_WEIGHT] = (struct xrnpe_operand){
		.format = format, .pixel_stride = (uint32_t)xrnpe_row_bytes(format, C),
		.row_stride = (uint32_t)xrnpe_row_bytes(format, TAPS * C) };
	cmd.operand[XRNPE_OPERAND_SCALE] = (struct xrnpe_operand){
		.format = XRNPE_FORMAT_F32, .row_stride = sizeof(scale[0]) };
	prepared = xrnpe_datapath_prepare(datapath, &cmd, memory, SIZE_MAX);
	ck_assert_ptr_nonnull(prepared);
	/* From the smallest to the largest. */
	for (size_t i = 0; i < SIDE * SIDE * C; i++)
		ifm[i] = (uint16_t)(random_word(&state) % INT16_MAX + 1);
	memory[XRNPE_OPERAND_OFM] = ofm[0];
	ck_assert_int_eq(xrnpe_datapath_run_prepared(datapath, prepared, memory, NULL, &status), 0);
	xrnpe_prepared_free(prepared);
	xrnpe_datapath_free(datapath);
	datapath = xrnpe_datapath_new(1, "plain");
	memory[XRNPE_OPERAND_OFM] = ofm[1];
	ck_assert_int_eq(xrnpe_datapath_run(datapath, &cmd, 0, memory, NULL, &status, &fault), 0);
	xrnpe_datapath_free(datapath);
	ck_assert_mem_eq(ofm[0], ofm[1], sizeof(ofm[0]));
}
END_TEST

/* With a byte less, and a byte less than that takes. */
START_TEST(no_more_than_allowed)
{
	struct product product;
	struct xrnpe_prepared *prepared;
	size_t most = SIZE_MAX;
	int made = 0;

	make(&product, NULL);
	while ((prepared = xrnpe_datapath_prepare(product.datapath, &product.cmd, product.memory, most))) {
		ck_assert_uint_le(xrnpe_prepared_size(prepared), most);
		most = xrnpe_prepared_size(prepared) - 1;
		ck_assert_int_eq(run_prepared(&product, prepared, NULL), 0);
		ck_assert_mem_eq(product.ofm, product.expected, sizeof(product.ofm));
		xrnpe_prepared_free(prepared);
		made++;
	}
	/* The plain kernel keeps no weights anyway. */
	ck_assert_int_eq(made, xrnpe_datapath_kernels()[1] ? 2 : 1);
	xrnpe_datapath_free(product.datapath);
}
END_TEST

START_TEST(illegal_scales_are_not_prepared)
{
	struct product product;

	make(&product, NULL);
	product.scale[N - 1][1] = 0x7f800000;
	ck_assert_ptr_null(xrnpe_datapath_prepare(product.datapath, &product.cmd, product.memory, SIZE_MAX));
	xrnpe_datapath_free(product.datapath);
}
END_TEST

START_TEST(cancelled)
{
	struct product product;
	struct xrnpe_prepared *prepared;
	const bool cancel = true;

	make(&product, NULL);
	prepared = xrnpe_datapath_prepare(product.datapath, &product.cmd, product.memory, SIZE_MAX);
	ck_assert_int_eq(run_prepared(&product, prepared, &cancel), -ECANCELED);
	xrnpe_prepared_free(prepared);
	xrnpe_datapath_free(product.datapath);
}
END_TEST

/* What a command without tensors does is no different. */
START_TEST(timestamp)
{
	struct xrnpe_cmd cmds[] = { { .opcode = XRNPE_OP_BARRIER }, { .opcode = XRNPE_OP_TIMESTAMP } };
	struct xrnpe_datapath *datapath = xrnpe_datapath_new(1, NULL);
	uint8_t word[8] = { 0 };
	void *memory[XRNPE_OPERANDS] = { [XRNPE_OPERAND_OFM] = word };

	xrnpe_datapath_set_cycles(datapath, 7);
	for (size_t i = 0; i < 2; i++) {
		struct xrnpe_prepared *prepared = xrnpe_datapath_prepare(datapath, &cmds[i], memory, SIZE_MAX);
		uint32_t status = 0;

		ck_assert_uint_eq(word[0], 0);
		ck_assert_int_eq(xrnpe_datapath_run_prepared(datapath, prepared, memory, NULL, &status), 0);
		xrnpe_prepared_free(prepared);
	}
	ck_assert_uint_eq(word[0], 7);
	xrnpe_datapath_free(datapath);
}
END_TEST

TCase *datapath_prepared_tests(void)
{
	TCase *tests = tcase_create("prepared");

	tcase_add_test(tests, weights_are_kept);
	tcase_add_loop_test(tests, other_inputs, 0, 2);
	tcase_add_test(tests, no_more_than_allowed);
	tcase_add_test(tests, illegal_scales_are_not_prepared);
	tcase_add_test(tests, cancelled);
	tcase_add_test(tests, timestamp);
	return tests;
}
