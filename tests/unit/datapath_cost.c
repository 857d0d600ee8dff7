// SPDX-License-Identifier: MIT
/* The cycle model: cases computed by hand, what holds for every command, and the reference. */
#include <stddef.h>

#include "cost.h"
#include "fuzz/command.h"
#include "names.h"
#include "reference/reference.h"
#include "unit/datapath_tests.h"

#define RANDOM_COMMANDS 20000

static const struct xrnpe_machine machine = {
	.rows = 8, .cols = 8, .bus_bytes = 16, .sram_kib = 256, .latency = 100, .clock_khz = 1000000,
};

static const struct xrnpe_extent everything = { UINT64_MAX, XRNPE_REGION_READ | XRNPE_REGION_WRITE };

static struct xrnpe_counters cost(const struct xrnpe_machine *on, const struct xrnpe_cmd *cmd)
{
	struct xrnpe_counters counters = { 0 };

	xrnpe_cmd_cost(on, cmd, &counters);
	return counters;
}

/* Bytes over the bus, all together. */
static uint64_t moved(const struct xrnpe_counters *c)
{
	uint64_t bytes = c->bytes_other;

	for (int i = 0; i < XRNPE_OPERANDS; i++)
		bytes += c->bytes[i];
	return bytes;
}

/* ---- commands ----------------------------------------------------------- */

static struct xrnpe_operand tensor(uint8_t format, uint64_t w, uint64_t c, uint32_t gap)
{
	uint32_t align = xrnpe_format_bits(format) / 8, pixel;

	gap = align > 1 ? gap / align * align : gap;
	pixel = (uint32_t)xrnpe_row_bytes(format, c) + gap;
	return (struct xrnpe_operand){
		.row_stride = (uint32_t)w * pixel + gap, .pixel_stride = pixel, .format = format,
	};
}

static struct xrnpe_operand scales(uint32_t bytes)
{
	return (struct xrnpe_operand){ .row_stride = bytes, .format = XRNPE_FORMAT_F32 };
}

/* A matrix of @rows; each pixel of a tensor is one. */
static struct xrnpe_operand matrix(uint8_t format, uint64_t rows, uint64_t columns, uint32_t gap)
{
	struct xrnpe_operand o = tensor(format, 1, columns, gap);

	o.row_stride = o.pixel_stride;
	o.pixel_stride = 0;
	o.batch_stride = (uint32_t)rows * o.row_stride;
	return o;
}

static struct xrnpe_cmd matmul(uint32_t m, uint32_t n, uint32_t k, uint8_t ifm, uint8_t weight,
			       uint8_t ofm, uint32_t gap)
{
	struct xrnpe_cmd cmd = { .opcode = XRNPE_OP_MATMUL, .matmul = { m, n, k, 1 } };

	cmd.operand[XRNPE_OPERAND_IFM] = matrix(ifm, m, k, gap);
	cmd.operand[XRNPE_OPERAND_WEIGHT] = matrix(weight, n, k, gap);
	cmd.operand[XRNPE_OPERAND_SCALE] = scales(8);
	cmd.operand[XRNPE_OPERAND_OFM] = matrix(ofm, m, n, gap);
	return cmd;
}

static struct xrnpe_cmd window(uint8_t opcode, struct xrnpe_dims_image d, uint8_t ifm, uint8_t weight,
			       uint8_t ofm, uint32_t gap)
{
	struct xrnpe_cmd cmd = { .opcode = opcode, .image = d };

	cmd.operand[XRNPE_OPERAND_IFM] = tensor(ifm, d.in_w, d.in_c, gap);
	cmd.operand[XRNPE_OPERAND_OFM] = tensor(ofm, d.out_w, d.out_c, gap);
	if (opcode == XRNPE_OP_CONV2D) {
		cmd.operand[XRNPE_OPERAND_WEIGHT] =
			tensor(weight, d.kernel_h * d.kernel_w, d.in_c / d.groups, gap);
		cmd.operand[XRNPE_OPERAND_SCALE] = scales(8);
	}
	return cmd;
}

static struct xrnpe_cmd elementwise(uint8_t opcode, uint16_t h, uint16_t w, uint16_t c, uint8_t ifm,
				    uint8_t second, uint8_t ofm, uint32_t gap)
{
	struct xrnpe_cmd cmd = { .opcode = opcode, .image = { .in_h = h, .in_w = w, .in_c = c } };

	cmd.operand[XRNPE_OPERAND_IFM] = tensor(ifm, w, c, gap);
	cmd.operand[XRNPE_OPERAND_OFM] = tensor(ofm, w, c, gap);
	if (opcode == XRNPE_OP_LUT) {
		cmd.operand[XRNPE_OPERAND_WEIGHT].format = ofm;
		return cmd;
	}
	if (opcode != XRNPE_OP_CONVERT)
		cmd.operand[XRNPE_OPERAND_IFM2] = tensor(second, w, c, gap);
	cmd.operand[XRNPE_OPERAND_SCALE] = scales(opcode == XRNPE_OP_MUL ? 0 : 8);
	return cmd;
}

static struct xrnpe_cmd copy(uint16_t h, uint16_t w, uint16_t c, uint8_t up, uint8_t format, uint32_t gap)
{
	struct xrnpe_cmd cmd = {
		.opcode = XRNPE_OP_COPY,
		.copy = { .in_h = h, .in_w = w, .in_c = c, .out_h = (uint16_t)(h * up),
			  .out_w = (uint16_t)(w * up), .out_c = c, .up_h = up, .up_w = up },
	};

	cmd.operand[XRNPE_OPERAND_IFM] = tensor(format, w, c, gap);
	cmd.operand[XRNPE_OPERAND_OFM] = tensor(format, (uint64_t)w * up, c, gap);
	return cmd;
}

/* ---- by hand ------------------------------------------------------------ */

START_TEST(one_tile)
{
	struct xrnpe_cmd cmd = matmul(8, 8, 64, XRNPE_FORMAT_P8, XRNPE_FORMAT_P8, XRNPE_FORMAT_P8, 0);
	struct xrnpe_counters c = cost(&machine, &cmd);

	ck_assert_uint_eq(c.bytes[XRNPE_OPERAND_IFM], 8 * 64);
	ck_assert_uint_eq(c.bytes[XRNPE_OPERAND_IFM2], 0);
	ck_assert_uint_eq(c.bytes[XRNPE_OPERAND_WEIGHT], 8 * 64);
	ck_assert_uint_eq(c.bytes[XRNPE_OPERAND_SCALE], 8 * 8);
	ck_assert_uint_eq(c.bytes[XRNPE_OPERAND_OFM], 8 * 8);
	ck_assert_uint_eq(c.bytes_other, 192);
	/*
	 * The bus: 1344 bytes in 84 cycles, more than the array's 64 / 2 = 32. Before and
	 * after: 32 for a command, 8 + 8 - 2 to fill, 8 rows drained 2 at a time, 100 latency.
	 */
	ck_assert_uint_eq(c.cycles, 32 + 14 + 4 + 100 + 84);
	ck_assert_uint_eq(c.stall_cycles, 100 + 84 - 32);
	ck_assert_uint_eq(c.commands, 1);
	ck_assert_uint_eq(c.products[XRNPE_FORMAT_P8][XRNPE_FORMAT_P8], 8 * 8 * 64);
	ck_assert_uint_eq(c.blocks_active, 8 * 8 * 64 * 3 * 3);
	ck_assert_uint_eq(c.blocks_active + c.blocks_gated, c.cycles * 64 * 49);
}
END_TEST

START_TEST(products_of_a_row)
{
	struct xrnpe_cmd cmd = matmul(1, 1024, 1024, XRNPE_FORMAT_FP4, XRNPE_FORMAT_FP4, XRNPE_FORMAT_F32, 0);
	struct xrnpe_counters c = cost(&machine, &cmd);
	uint64_t bytes = 512 + 1024 * 512 + 1024 * 8 + 1024 * 4 + 192;

	/* Bound by the bus; the array would take 128 tiles of 256 cycles. */
	ck_assert_uint_eq(moved(&c), bytes);
	ck_assert_uint_eq(c.cycles, 32 + 14 + 1 + 100 + bytes / 16);
	ck_assert_uint_eq(c.stall_cycles, 100 + bytes / 16 - 128 * 256);
}
END_TEST

START_TEST(many_tiles)
{
	struct xrnpe_cmd cmd = matmul(20, 20, 512, XRNPE_FORMAT_P16, XRNPE_FORMAT_P4, XRNPE_FORMAT_P16, 0);
	struct xrnpe_counters c = cost(&machine, &cmd);
	/* 8 rows of 1 KiB and 8 of 256 bytes take 640 cycles: 128 more than the first tile's sums. */
	uint64_t first = (8 * 1024 + 8 * 256) / 16 - 512;

	ck_assert_uint_eq(c.cycles, 32 + 14 + 8 + 100 + first + 3 * 3 * 512);
	ck_assert_uint_eq(c.stall_cycles, 100 + first);
	ck_assert_uint_eq(c.bytes[XRNPE_OPERAND_WEIGHT], 20 * 256);
	ck_assert_uint_eq(c.bytes[XRNPE_OPERAND_OFM], 20 * 40);
	ck_assert_uint_eq(c.products[XRNPE_FORMAT_P16][XRNPE_FORMAT_P4], 20 * 20 * 512);
	ck_assert_uint_eq(c.blocks_active, 0);	/* powers of two */

	/* Rows with gaps: 40 bytes are three words of the bus. */
	cmd.operand[XRNPE_OPERAND_OFM].row_stride += 2;
	c = cost(&machine, &cmd);
	ck_assert_uint_eq(c.bytes[XRNPE_OPERAND_OFM], 20 * 48);
}
END_TEST

START_TEST(matrices)
{
	struct xrnpe_cmd cmd = matmul(8, 8, 64, XRNPE_FORMAT_P8, XRNPE_FORMAT_P8, XRNPE_FORMAT_P8, 0);
	struct xrnpe_machine small = machine;
	struct xrnpe_counters c, same;

	cmd.matmul.batch = 10;
	c = cost(&machine, &cmd);
	ck_assert_uint_eq(c.bytes[XRNPE_OPERAND_WEIGHT], 10 * 512);
	/* The same weights for all: a matrix of 80 rows, whatever the weights' size. */
	small.sram_kib = 1;
	cmd.operand[XRNPE_OPERAND_WEIGHT].batch_stride = 0;
	c = cost(&small, &cmd);
	cmd = matmul(80, 8, 64, XRNPE_FORMAT_P8, XRNPE_FORMAT_P8, XRNPE_FORMAT_P8, 0);
	same = cost(&small, &cmd);
	ck_assert_mem_eq(&c, &same, sizeof(c));
}
END_TEST

START_TEST(windows)
{
	const struct xrnpe_dims_image d = {
		.in_h = 32, .in_w = 32, .in_c = 16, .out_h = 32, .out_w = 32, .out_c = 16, .groups = 16,
		.kernel_h = 3, .kernel_w = 3, .stride_h = 1, .stride_w = 1, .dilation_h = 1,
		.dilation_w = 1, .pad_top = 1, .pad_left = 1,
	};
	struct xrnpe_cmd cmd = window(XRNPE_OP_CONV2D, d, 2, 2, 2, 0);
	struct xrnpe_counters c = cost(&machine, &cmd);
	uint64_t bytes = 2 * 16384 + 144 + 128 + 192;

	/* Depthwise: 128 x 2 tiles of 9 / 2 cycles; bound by the bus. */
	ck_assert_uint_eq(moved(&c), bytes);
	ck_assert_uint_eq(c.cycles, 32 + 14 + 4 + 100 + bytes / 16);
	ck_assert_uint_eq(c.stall_cycles, 100 + bytes / 16 - 128 * 2 * 5);

	/* 1 x 1 with a stride of 2 reads every second line. */
	cmd.image.kernel_h = cmd.image.kernel_w = 1;
	cmd.image.stride_h = cmd.image.stride_w = 2;
	cmd.image.out_h = cmd.image.out_w = 16;
	cmd.image.pad_top = cmd.image.pad_left = 0;
	c = cost(&machine, &cmd);
	ck_assert_uint_eq(c.bytes[XRNPE_OPERAND_IFM], 16 * 16 * 16);
}
END_TEST

/* What does not fit in SRAM is read again. */
START_TEST(read_again)
{
	struct xrnpe_machine small = machine;
	struct xrnpe_cmd cmd = matmul(256, 256, 512, 2, 2, 2, 0);
	struct xrnpe_counters c;

	/* 16 rows take 8 KiB, so that all weights stay beside them. */
	small.sram_kib = 136;
	c = cost(&small, &cmd);
	ck_assert_uint_eq(c.bytes[XRNPE_OPERAND_WEIGHT], 256 * 512);
	ck_assert_uint_eq(c.bytes[XRNPE_OPERAND_IFM], 256 * 512);
	/* Two blocks of 112 channels and a rest: the input three times. */
	small.sram_kib = 135;
	c = cost(&small, &cmd);
	ck_assert_uint_eq(c.bytes[XRNPE_OPERAND_WEIGHT], 256 * 512);
	ck_assert_uint_eq(c.bytes[XRNPE_OPERAND_IFM], 3 * 256 * 512);
	/* 8 KiB: neither stays. A quarter holds the sums of 8 x 16: every operand many times. */
	small.sram_kib = 8;
	c = cost(&small, &cmd);
	ck_assert_uint_eq(c.bytes[XRNPE_OPERAND_WEIGHT], 32 * 256 * 512);
	ck_assert_uint_eq(c.bytes[XRNPE_OPERAND_IFM], 32 * 256 * 512);
}
END_TEST

START_TEST(others)
{
	struct xrnpe_cmd cmd = { .opcode = XRNPE_OP_BARRIER };
	struct xrnpe_counters c = cost(&machine, &cmd);

	ck_assert_uint_eq(c.cycles, 32 + 100 + 192 / 16);
	ck_assert_uint_eq(moved(&c), 192);
	cmd.opcode = XRNPE_OP_TIMESTAMP;
	c = cost(&machine, &cmd);
	ck_assert_uint_eq(c.cycles, 32 + 100 + 192 / 16 + 1);
	ck_assert_uint_eq(c.bytes[XRNPE_OPERAND_OFM], 16);

	/* One scale vector for all pixels is read once. */
	cmd = elementwise(XRNPE_OP_MUL, 16, 16, 64, 2, 2, 2, 0);
	cmd.operand[XRNPE_OPERAND_IFM2].row_stride = 0;
	cmd.operand[XRNPE_OPERAND_IFM2].pixel_stride = 0;
	c = cost(&machine, &cmd);
	ck_assert_uint_eq(c.bytes[XRNPE_OPERAND_IFM2], 64);
	ck_assert_uint_eq(c.bytes[XRNPE_OPERAND_SCALE], 16);
	ck_assert_uint_eq(c.cycles, 32 + 100 + (2 * 16384 + 64 + 16 + 192) / 16);

	/* Tables of 16-bit codes: one fits in half of SRAM, one is used in two parts. */
	cmd = elementwise(XRNPE_OP_LUT, 16, 16, 64, 3, 0, 3, 0);
	c = cost(&machine, &cmd);
	ck_assert_uint_eq(c.bytes[XRNPE_OPERAND_WEIGHT], 131072);
	ck_assert_uint_eq(c.cycles, 32 + 100 + (131072 + 2 * 32768 + 192) / 16);
	cmd = elementwise(XRNPE_OP_LUT, 16, 16, 64, 3, 0, 4, 0);
	c = cost(&machine, &cmd);
	ck_assert_uint_eq(c.bytes[XRNPE_OPERAND_WEIGHT], 262144);
	ck_assert_uint_eq(c.bytes[XRNPE_OPERAND_IFM], 2 * 32768);

	/* A window of 9: 16 comparisons a cycle. */
	cmd = window(XRNPE_OP_MAXPOOL, (struct xrnpe_dims_image){
		.in_h = 32, .in_w = 32, .in_c = 64, .out_h = 32, .out_w = 32, .out_c = 64, .groups = 1,
		.kernel_h = 3, .kernel_w = 3, .stride_h = 1, .stride_w = 1, .dilation_h = 1,
		.dilation_w = 1, .pad_top = 1, .pad_left = 1 }, 2, 0, 2, 0);
	c = cost(&machine, &cmd);
	ck_assert_uint_eq(c.cycles, 32 + 100 + 65536 * 9 / 16);
	ck_assert_uint_eq(c.stall_cycles, 100);

	/* Each input line once for two of the output; of a slice only what is used. */
	cmd = copy(16, 16, 64, 2, 2, 0);
	c = cost(&machine, &cmd);
	ck_assert_uint_eq(c.bytes[XRNPE_OPERAND_IFM], 16384);
	ck_assert_uint_eq(c.bytes[XRNPE_OPERAND_OFM], 65536);
	cmd.copy.out_c = 16;
	c = cost(&machine, &cmd);
	ck_assert_uint_eq(c.bytes[XRNPE_OPERAND_IFM], 4096);
}
END_TEST

/* ---- every command ------------------------------------------------------ */

static uint32_t between(uint64_t *state, uint32_t lo, uint32_t hi)
{
	return lo + random_below(state, hi - lo + 1);
}

/* Small and large alike. */
static uint32_t size(uint64_t *state, uint32_t most)
{
	return between(state, 1, 1 + (most - 1) / (1u << random_below(state, 10)));
}

static struct xrnpe_cmd random_window(uint64_t *state, uint8_t opcode, uint32_t gap)
{
	uint8_t format = (uint8_t)random_below(state, 4);
	uint16_t groups = (uint16_t)(random_below(state, 3) ? 1 : size(state, 64));
	struct xrnpe_dims_image d = {
		.in_c = (uint16_t)size(state, 512), .out_c = (uint16_t)size(state, 512), .groups = groups,
		.kernel_h = (uint8_t)between(state, 1, 7), .kernel_w = (uint8_t)between(state, 1, 7),
		.stride_h = (uint8_t)between(state, 1, 3), .stride_w = (uint8_t)between(state, 1, 3),
		.dilation_h = (uint8_t)between(state, 1, 2), .dilation_w = (uint8_t)between(state, 1, 2),
		.out_h = (uint16_t)size(state, 100), .out_w = (uint16_t)size(state, 100),
	};

	d.in_h = (uint16_t)((d.out_h - 1) * d.stride_h + (d.kernel_h - 1) * d.dilation_h + 1);
	d.in_w = (uint16_t)((d.out_w - 1) * d.stride_w + (d.kernel_w - 1) * d.dilation_w + 1);
	if (opcode == XRNPE_OP_MAXPOOL) {
		d.groups = 1;
		d.out_c = d.in_c;
		return window(opcode, d, format, 0, format, gap);
	}
	d.in_c = (uint16_t)(d.in_c * groups);
	d.out_c = (uint16_t)(d.out_c * groups);
	return window(opcode, d, format, (uint8_t)random_below(state, 4),
		      (uint8_t)random_below(state, 5), gap);
}

static struct xrnpe_cmd random_cmd(uint64_t *state)
{
	uint8_t opcode = (uint8_t)between(state, XRNPE_OP_MATMUL, XRNPE_OP_TIMESTAMP);
	uint8_t a = (uint8_t)random_below(state, 4), b = (uint8_t)random_below(state, 4);
	uint8_t out = (uint8_t)random_below(state, 5);
	uint16_t h = (uint16_t)size(state, 200), w = (uint16_t)size(state, 200);
	uint16_t c = (uint16_t)size(state, 1000);
	uint32_t gap = random_below(state, 2) * 4 * random_below(state, 20);
	struct xrnpe_cmd cmd = { .opcode = opcode };

	switch (opcode) {
	case XRNPE_OP_MATMUL:
		cmd = matmul(size(state, 2000), size(state, 2000), size(state, 10000), a, b, out, gap);
		cmd.matmul.batch = random_below(state, 4) ? 1 : size(state, 10);
		for (int i = 0; i <= XRNPE_OPERAND_WEIGHT; i += XRNPE_OPERAND_WEIGHT) {
			if (!random_below(state, 3))
				cmd.operand[i].batch_stride = 0;
		}
		return cmd;
	case XRNPE_OP_CONV2D:
	case XRNPE_OP_MAXPOOL:
		return random_window(state, opcode, gap);
	case XRNPE_OP_COPY:
		return copy(h, w, c, (uint8_t)between(state, 1, 4), out, gap);
	case XRNPE_OP_BARRIER:
	case XRNPE_OP_TIMESTAMP:
		return cmd;
	default:
		return elementwise(opcode, h, w, c, a, b, out, gap);
	}
}

static struct xrnpe_machine random_machine(uint64_t *state)
{
	return (struct xrnpe_machine){
		.rows = size(state, 32), .cols = size(state, 32), .bus_bytes = 4u << random_below(state, 4),
		.sram_kib = size(state, 1024), .latency = between(state, 1, 500), .clock_khz = 1,
	};
}

/* What is counted is what Documentation/hardware.rst says. */
START_TEST(as_written)
{
	struct source source = { .state = 4 };
	int legal = 0;

	for (int i = 0; i < 4 * RANDOM_COMMANDS; i++) {
		const struct xrnpe_machine some = random_machine(&source.state);
		struct xrnpe_cmd cmd = random_cmd(&source.state);
		struct xrnpe_counters want = { 0 }, got;
		struct xrnpe_span spans[XRNPE_OPERANDS];
		struct xrnpe_fault fault;
		char text[XRNPE_CMD_TEXT];

		if (i % 4)
			make_command(&source, (uint8_t)between(&source.state, XRNPE_OP_MATMUL, XRNPE_OP_TIMESTAMP),
				     1u << between(&source.state, 8, 28), &cmd);
		if (!xrnpe_cmd_check(&cmd, 0, &everything, 1, spans, &fault))
			continue;
		legal++;
		got = cost(&some, &cmd);
		ref_cost(&some, &cmd, &want);
		xrnpe_cmd_text(&cmd, text, sizeof(text));
		ck_assert_msg(!memcmp(&want, &got, sizeof(want)),
			      "%s: %llu cycles, not %llu, on %u x %u, bus %u, SRAM %u KiB", text,
			      (unsigned long long)got.cycles, (unsigned long long)want.cycles, some.rows,
			      some.cols, some.bus_bytes, some.sram_kib);
	}
	ck_assert_int_gt(legal, 3 * RANDOM_COMMANDS);
}
END_TEST

START_TEST(invariants)
{
	uint64_t state = 1;

	for (int i = 0; i < RANDOM_COMMANDS; i++) {
		const struct xrnpe_machine some = random_machine(&state);
		struct xrnpe_cmd cmd = random_cmd(&state);
		struct xrnpe_counters c = cost(&some, &cmd);
		struct xrnpe_span spans[XRNPE_OPERANDS];
		struct xrnpe_fault fault;
		uint8_t ifm = cmd.operand[XRNPE_OPERAND_IFM].format;
		uint8_t weight = cmd.operand[XRNPE_OPERAND_WEIGHT].format;
		uint64_t products = 0, rate;

		xrnpe_cmd_check(&cmd, 0, &everything, 1, spans, &fault);
		ck_assert_uint_ne(fault.kind, XRNPE_FAULT_ILLEGAL_FIELD);
		ck_assert_uint_ne(fault.kind, XRNPE_FAULT_OUT_OF_BOUNDS);

		for (int f = 0; f < XRNPE_PRODUCT_FORMATS; f++) {
			for (int g = 0; g < XRNPE_PRODUCT_FORMATS; g++)
				products += c.products[f][g];
		}
		ck_assert_uint_eq(products, xrnpe_cmd_macs(&cmd));
		rate = products ? xrnpe_rate(ifm, weight) : 1;
		ck_assert_uint_ge(c.cycles * rate * some.rows * some.cols, products);
		ck_assert_uint_ge((c.cycles - c.stall_cycles) * rate * some.rows * some.cols, products);
		ck_assert_uint_lt(c.stall_cycles, c.cycles);
		ck_assert_uint_ge(c.stall_cycles, some.latency);
		ck_assert_uint_ge(c.cycles * some.bus_bytes, moved(&c));
		ck_assert_uint_eq(c.blocks_active + c.blocks_gated,
				  c.cycles * some.rows * some.cols * XRNPE_BLOCKS);
		for (int o = 0; fault.kind == XRNPE_FAULT_NONE && o < XRNPE_OPERANDS; o++) {
			ck_assert_uint_eq(c.bytes[o] % some.bus_bytes, 0);
			ck_assert_uint_eq(!c.bytes[o], !spans[o].size);
		}
	}
}
END_TEST

/* Larger, all else the same: not less of anything. */
START_TEST(monotonic)
{
	uint64_t state = 2;

	for (int i = 0; i < RANDOM_COMMANDS; i++) {
		uint8_t formats[3] = { (uint8_t)random_below(&state, 4), (uint8_t)random_below(&state, 4),
				       (uint8_t)random_below(&state, 5) };
		uint32_t dims[3] = { size(&state, 2000), size(&state, 2000), size(&state, 10000) };
		struct xrnpe_cmd cmd = matmul(dims[0], dims[1], dims[2], formats[0], formats[1], formats[2], 0);
		struct xrnpe_counters c = cost(&machine, &cmd), larger;

		dims[random_below(&state, 3)] += 1 + random_below(&state, 20);
		cmd = matmul(dims[0], dims[1], dims[2], formats[0], formats[1], formats[2], 0);
		larger = cost(&machine, &cmd);
		ck_assert_msg(larger.cycles >= c.cycles && moved(&larger) >= moved(&c),
			      "%u x %u x %u", dims[0], dims[1], dims[2]);
	}
	for (int i = 0; i < RANDOM_COMMANDS; i++) {
		struct xrnpe_cmd cmd = random_window(&state, XRNPE_OP_CONV2D, 0);
		struct xrnpe_counters c = cost(&machine, &cmd), larger;
		struct xrnpe_dims_image d = cmd.image;
		uint32_t by = 1 + random_below(&state, 20);

		switch (random_below(&state, 3)) {
		case 0:
			d.out_h += by;
			d.in_h += by * d.stride_h;
			break;
		case 1:
			d.out_w += by;
			d.in_w += by * d.stride_w;
			break;
		default:
			d.out_c += by * d.groups;
		}
		cmd = window(XRNPE_OP_CONV2D, d, cmd.operand[XRNPE_OPERAND_IFM].format,
			     cmd.operand[XRNPE_OPERAND_WEIGHT].format,
			     cmd.operand[XRNPE_OPERAND_OFM].format, 0);
		larger = cost(&machine, &cmd);
		ck_assert_msg(larger.cycles >= c.cycles && moved(&larger) >= moved(&c),
			      "%u x %u x %u, %u channels in %u groups, kernel %u x %u", d.out_h,
			      d.out_w, d.out_c, d.in_c, d.groups, d.kernel_h, d.kernel_w);
	}
}
END_TEST

static double utilisation(const struct xrnpe_cmd *cmd)
{
	unsigned int rate = xrnpe_rate(cmd->operand[XRNPE_OPERAND_IFM].format,
				       cmd->operand[XRNPE_OPERAND_WEIGHT].format);

	return (double)xrnpe_cmd_macs(cmd) /
	       (double)(cost(&machine, cmd).cycles * machine.rows * machine.cols * rate);
}

/* Products of matrices from 256 on keep nine tenths of the array busy, in all formats. */
START_TEST(large_products)
{
	uint64_t state = 3;

	for (uint8_t i = 0; i < XRNPE_PRODUCT_FORMATS; i++) {
		for (uint8_t w = 0; w < XRNPE_PRODUCT_FORMATS; w++) {
			struct xrnpe_cmd cmd = matmul(256, 256, 256, i, w, XRNPE_FORMAT_F32, 0);

			ck_assert_double_ge(utilisation(&cmd), 0.99);
			for (int j = 0; j < 200; j++) {
				uint32_t m = 255 + size(&state, 1800), n = 255 + size(&state, 1800);
				uint32_t k = 255 + size(&state, 16000);

				cmd = matmul(m, n, k, i, w, (uint8_t)random_below(&state, 5), 0);
				ck_assert_msg(utilisation(&cmd) >= 0.9, "%u x %u x %u: %g", m, n, k,
					      utilisation(&cmd));
			}
			cmd = matmul(256, 256, XRNPE_MAX_K, i, w, XRNPE_FORMAT_F32, 0);
			ck_assert_double_ge(utilisation(&cmd), 0.99);
		}
	}
}
END_TEST

/* Convolutions of real networks, of 4- and 8-bit operands. */
START_TEST(networks)
{
	static const struct {
		const char *name;
		double least;		/* of the array's use, each layer */
		uint16_t size[2], in_c, out_c, groups;
		uint8_t kernel, stride;
	} layers[] = {
		{ "ResNet-20, first", 0.88, { 32, 32 }, 3, 16, 1, 3, 1 },
		{ "ResNet-20, 32 x 32", 0.96, { 32, 32 }, 16, 16, 1, 3, 1 },
		{ "ResNet-20, 16 x 16", 0.97, { 16, 16 }, 32, 32, 1, 3, 1 },
		{ "ResNet-20, 8 x 8", 0.97, { 8, 8 }, 64, 64, 1, 3, 1 },
		{ "UL-VIO 1", 0.98, { 256, 512 }, 6, 8, 1, 5, 2 },
		{ "UL-VIO 2", 0.98, { 128, 256 }, 8, 16, 1, 3, 2 },
		{ "UL-VIO 3", 0.99, { 64, 128 }, 16, 64, 1, 5, 2 },
		{ "UL-VIO 4", 0.99, { 32, 64 }, 64, 64, 1, 3, 2 },
		{ "UL-VIO 5", 0.99, { 16, 32 }, 64, 64, 1, 3, 1 },
		{ "UL-VIO 6", 0.99, { 16, 32 }, 64, 192, 1, 3, 2 },
		{ "UL-VIO 7", 0.99, { 8, 16 }, 192, 64, 1, 3, 1 },
		{ "UL-VIO 8", 0.97, { 8, 16 }, 64, 378, 1, 3, 2 },
		{ "MobileNet, pointwise", 0.98, { 112, 112 }, 32, 64, 1, 1, 1 },
		/* The bus limits these; a group's single column would use 1/8 at the most. */
		{ "MobileNet, depthwise", 0.4, { 112, 112 }, 32, 32, 32, 3, 1 },
		{ "MobileNet, depthwise, 5 x 5", 0.7, { 56, 56 }, 64, 64, 64, 5, 1 },
		{ "MobileNet, depthwise, stride 2", 0.15, { 112, 112 }, 64, 64, 64, 3, 2 },
	};

	for (size_t i = 0; i < sizeof(layers) / sizeof(layers[0]); i++) {
		struct xrnpe_dims_image d = {
			.in_h = layers[i].size[0], .in_w = layers[i].size[1], .in_c = layers[i].in_c,
			.out_h = layers[i].size[0] / layers[i].stride,
			.out_w = layers[i].size[1] / layers[i].stride, .out_c = layers[i].out_c,
			.groups = layers[i].groups, .kernel_h = layers[i].kernel,
			.kernel_w = layers[i].kernel, .stride_h = layers[i].stride,
			.stride_w = layers[i].stride, .dilation_h = 1, .dilation_w = 1,
			.pad_top = layers[i].kernel / 2, .pad_left = layers[i].kernel / 2,
		};

		for (uint8_t weight = XRNPE_FORMAT_FP4; weight <= XRNPE_FORMAT_P8; weight++) {
			struct xrnpe_cmd cmd = window(XRNPE_OP_CONV2D, d, XRNPE_FORMAT_P8, weight,
						      XRNPE_FORMAT_P8, 0);

			ck_assert_msg(utilisation(&cmd) >= layers[i].least, "%s: %g", layers[i].name,
				      utilisation(&cmd));
		}
		struct xrnpe_cmd cmd = window(XRNPE_OP_CONV2D, d, 0, 0, 0, 0);

		ck_assert_msg(utilisation(&cmd) >= layers[i].least, "%s, 4 bits: %g", layers[i].name,
			      utilisation(&cmd));
	}
}
END_TEST

START_TEST(rates)
{
	ck_assert_uint_eq(xrnpe_rate(XRNPE_FORMAT_P16, XRNPE_FORMAT_FP4), 1);
	ck_assert_uint_eq(xrnpe_rate(XRNPE_FORMAT_P4, XRNPE_FORMAT_P8), 2);
	ck_assert_uint_eq(xrnpe_rate(XRNPE_FORMAT_FP4, XRNPE_FORMAT_P4), 4);
	for (int i = 0; i < XRNPE_PRODUCT_FORMATS; i++) {
		for (int w = 0; w < XRNPE_PRODUCT_FORMATS; w++)
			ck_assert_uint_le(xrnpe_rate(i, w) * xrnpe_blocks(i, w), XRNPE_BLOCKS);
	}
	ck_assert_uint_eq(xrnpe_blocks(XRNPE_FORMAT_P16, XRNPE_FORMAT_P16), XRNPE_BLOCKS);
}
END_TEST

START_TEST(energy)
{
	const struct xrnpe_energy by_hand = {
		.product = { [XRNPE_FORMAT_P8] = { [XRNPE_FORMAT_FP4] = 2 } },
		.gated_block = 1, .sram_byte = 3, .memory_byte = 100, .cycle = 10, .sharing = 4,
	};
	const struct xrnpe_counters c = {
		.cycles = 7, .blocks_gated = 5, .bytes = { 16, 0, 32, 16, 16 }, .bytes_other = 192,
		.products[XRNPE_FORMAT_P8][XRNPE_FORMAT_FP4] = 80, .products[XRNPE_FORMAT_P16][0] = 16,
	};
	struct xrnpe_energy e = xrnpe_energy_default();

	/* 80 products in 40 cycles and 16 in 16, of two words each that 4 elements share. */
	ck_assert_double_eq(xrnpe_energy_pj(&by_hand, &c),
			    7 * 10 + 5 + 80 * 2 + 272 * 100 + (272 + 2 * (40 + 16) * 2 / 4) * 3);

	for (int i = 0; i < XRNPE_PRODUCT_FORMATS; i++) {
		for (int w = 0; w < XRNPE_PRODUCT_FORMATS; w++) {
			ck_assert_double_gt(e.product[i][w], 0);
			ck_assert_double_eq(e.product[i][w], e.product[w][i]);
			ck_assert_double_le(e.product[i][w], e.product[XRNPE_FORMAT_P16][XRNPE_FORMAT_P16]);
			ck_assert_double_ge(e.product[i][w], e.product[XRNPE_FORMAT_P4][XRNPE_FORMAT_P4]);
		}
	}
	/* 49 blocks, and 128 bits aligned and added. */
	ck_assert_double_eq_tol(e.product[XRNPE_FORMAT_P16][XRNPE_FORMAT_P16],
				28. / 45 * (49 * .0125 + 2 * 128 * .003125), 1e-12);
}
END_TEST

TCase *datapath_cost_tests(void)
{
	TCase *tcase = tcase_create("cost");

	tcase_add_test(tcase, rates);
	tcase_add_test(tcase, one_tile);
	tcase_add_test(tcase, products_of_a_row);
	tcase_add_test(tcase, many_tiles);
	tcase_add_test(tcase, matrices);
	tcase_add_test(tcase, windows);
	tcase_add_test(tcase, read_again);
	tcase_add_test(tcase, others);
	tcase_add_test(tcase, as_written);
	tcase_add_test(tcase, invariants);
	tcase_add_test(tcase, monotonic);
	tcase_add_test(tcase, large_products);
	tcase_add_test(tcase, networks);
	tcase_add_test(tcase, energy);
	return tcase;
}
