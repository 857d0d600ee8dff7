// SPDX-License-Identifier: MIT
/*
 * xrnpe bench elementwise: commands that are no products, beside memcpy in the same run.
 * All of them should be limited by memory.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "commands.h"
#include "console.h"
#include "internal.h"

#define SECONDS 0.2		/* at least, for all of them */
#define ELEMENTS 65536		/* at least, in a turn: else clocks would be measured */

static const char usage[] =
	"usage: xrnpe bench elementwise [--format fp4|p4|p8|p16] [--threads N] [--kernel NAME]\n"
	"                               [--json]\n"
	"\n"
	"Measures sums, products, conversions from camera images, tables and copies of the\n"
	"datapath on this machine. Without --format: all four. --kernel: another than the\n"
	"fastest that this CPU runs.\n"
	"\n"
	"Columns: billions of outputs a second of small tensors, of some 1024 and 16384\n"
	"elements, and of large ones; of these GB/s that are read and written; memcpy's, of as\n"
	"many bytes on one thread, in the same run; and the ratio. A row of JSON is an object.\n";

/* What is measured: a command but for its formats, and which of these are the row's. */
struct row {
	const char *name;
	struct xrnpe_cmd cmd;
	enum xrnpe_format in;	/* XRNPE_FORMATS: the row's, as all others are */
	bool scales;		/* a channel has its own */
	uint32_t gap;		/* elements after each pixel of the output, whose channels are a part */
};

#define LAYER .image = { .in_h = 112, .in_w = 112, .in_c = 64 }
#define CAMERA .image = { .in_h = 480, .in_w = 640, .in_c = 3 }
#define COPY(h, w, c, times) .copy = { .in_h = h, .in_w = w, .in_c = c, .out_h = h * times, \
	.out_w = w * times, .out_c = c, .up_h = times, .up_w = times }
#define SAME XRNPE_FORMATS

static const struct row rows[] = {
	{ "add", { .opcode = XRNPE_OP_ADD, .activation = XRNPE_ACT_RELU, LAYER }, SAME, false, 0 },
	{ "mul", { .opcode = XRNPE_OP_MUL, LAYER }, SAME, false, 0 },
	{ "mul, a pixel", { .opcode = XRNPE_OP_MUL, .flags = XRNPE_CMD_PER_PIXEL, LAYER }, SAME, false, 0 },
	{ "max", { .opcode = XRNPE_OP_MAX, LAYER }, SAME, false, 0 },
	{ "convert", { .opcode = XRNPE_OP_CONVERT, LAYER }, SAME, false, 0 },
	{ "from u8", { .opcode = XRNPE_OP_CONVERT, CAMERA }, XRNPE_FORMAT_U8, false, 0 },
	{ "from u8, scales", { .opcode = XRNPE_OP_CONVERT, CAMERA }, XRNPE_FORMAT_U8, true, 0 },
	{ "from u8 planes", { .opcode = XRNPE_OP_CONVERT, .order = XRNPE_ORDER_CHW, CAMERA },
	  XRNPE_FORMAT_U8, true, 0 },
	{ "table", { .opcode = XRNPE_OP_LUT, LAYER }, SAME, false, 0 },
	{ "table of 3", { .opcode = XRNPE_OP_LUT, CAMERA }, SAME, false, 0 },
	{ "copy", { .opcode = XRNPE_OP_COPY, COPY(112, 112, 64, 1) }, SAME, false, 0 },
	{ "concatenate", { .opcode = XRNPE_OP_COPY, COPY(112, 112, 64, 1) }, SAME, false, 64 },
	{ "resize x2", { .opcode = XRNPE_OP_COPY, COPY(56, 56, 64, 2) }, SAME, false, 0 },
	{ "planes to pixels", { .opcode = XRNPE_OP_COPY, .order = XRNPE_ORDER_CHW, COPY(112, 112, 64, 1) },
	  SAME, false, 0 },
	/* The output's axes are channels, rows and columns. */
	{ "pixels to planes", { .opcode = XRNPE_OP_COPY, .order = XRNPE_ORDER_WCH, COPY(64, 112, 112, 1) },
	  SAME, false, 0 },
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

/* Elements of small tensors, some. */
static const double small_sizes[] = { 1024, 16384 };

#define SMALL (sizeof(small_sizes) / sizeof(small_sizes[0]))

struct work {
	struct xrnpe_cmd cmd;
	void *memory[XRNPE_OPERANDS];
	size_t bytes;			/* of all operands but scales and tables */
	double outputs;
	uint8_t *from, *to;		/* half as many, for memcpy */
};

/* ---- a command and its memory -------------------------------------------- */

/* As many rows as columns, so that there are @elements, but no more channels or other ones. */
static void shrink(struct xrnpe_cmd *cmd, double elements)
{
	bool copy = cmd->opcode == XRNPE_OP_COPY;
	double channels = copy ? (double)cmd->copy.in_c * cmd->copy.up_h * cmd->copy.up_w : cmd->image.in_c;
	uint16_t side = 1;

	while (channels * (side + 1) * (side + 1) <= elements)
		side++;
	if (!copy) {
		cmd->image.in_h = cmd->image.in_w = side;
		return;
	}
	cmd->copy.in_h = cmd->copy.in_w = side;
	cmd->copy.out_h = (uint16_t)(side * cmd->copy.up_h);
	cmd->copy.out_w = (uint16_t)(side * cmd->copy.up_w);
}

static void set_operand(const struct row *row, struct xrnpe_cmd *cmd, unsigned int i, enum xrnpe_format format)
{
	struct xrnpe_operand *o = &cmd->operand[i];
	struct xrnpe_layout l;
	uint64_t gap = i == XRNPE_OPERAND_OFM ? row->gap : 0;

	o->format = (uint8_t)format;
	if (i == XRNPE_OPERAND_IFM && row->in != SAME)
		o->format = (uint8_t)row->in;
	if (i == XRNPE_OPERAND_SCALE) {
		bool one = cmd->opcode == XRNPE_OP_CONVERT ? !row->scales : cmd->opcode == XRNPE_OP_MUL;

		o->format = XRNPE_FORMAT_F32;
		o->row_stride = one ? 0 : sizeof(struct xrnpe_scale);
	} else if (i != XRNPE_OPERAND_WEIGHT) {
		l = xrnpe_cmd_layout(cmd, i);
		o->pixel_stride = (uint32_t)xrnpe_row_bytes(o->format, l.elements + gap);
		o->row_stride = (uint32_t)l.pixels * o->pixel_stride;
	}
}

static void fill(const struct xrnpe_operand *o, unsigned int i, uint8_t *memory, size_t size)
{
	for (size_t j = 0; i == XRNPE_OPERAND_SCALE && j < size / 8; j++) {
		xrnpe_store(XRNPE_FORMAT_F32, memory, 2 * j,
			    xrnpe_encode(XRNPE_FORMAT_F32, 0.01 * (double)(j + 1), &(uint32_t){ 0 }));
		xrnpe_store(XRNPE_FORMAT_F32, memory, 2 * j + 1, 0);
	}
	for (size_t j = 0; i != XRNPE_OPERAND_SCALE && j < size * 8 / xrnpe_format_bits(o->format); j++) {
		uint32_t code = (uint32_t)rand() & ((1u << xrnpe_format_bits(o->format)) - 1);

		xrnpe_store(o->format, memory, j, xrnpe_is_nar(o->format, code) ? 1 : code);
	}
}

static void dispose(struct work *work)
{
	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++)
		free(work->memory[i]);
	free(work->from);
	free(work->to);
}

/* @elements: of a small tensor, or zero. */
static int make(const struct row *row, enum xrnpe_format format, double elements, struct work *work)
{
	const struct xrnpe_extent extent = { UINT64_MAX, XRNPE_REGION_READ | XRNPE_REGION_WRITE };
	struct xrnpe_span spans[XRNPE_OPERANDS];
	struct xrnpe_fault fault;

	*work = (struct work){ .cmd = row->cmd };
	if (elements)
		shrink(&work->cmd, elements);
	work->outputs = (double)xrnpe_cmd_work(&work->cmd);
	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++) {
		if (xrnpe_cmd_has_operand(&work->cmd, i))
			set_operand(row, &work->cmd, i, format);
	}
	if (!xrnpe_cmd_check(&work->cmd, 0, &extent, 1, spans, &fault)) {
		errno = EINVAL;
		return -1;
	}
	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++) {
		if (!spans[i].size)
			continue;
		work->memory[i] = calloc(spans[i].size, 1);
		if (!work->memory[i])
			return -1;
		fill(&work->cmd.operand[i], i, work->memory[i], spans[i].size);
		if (i == XRNPE_OPERAND_OFM)
			work->bytes += (size_t)work->outputs * xrnpe_format_bits(format) / 8;
		else if (i != XRNPE_OPERAND_SCALE && i != XRNPE_OPERAND_WEIGHT)
			work->bytes += spans[i].size;
	}
	work->from = calloc(work->bytes / 2, 1);
	work->to = calloc(work->bytes / 2, 1);
	return work->from && work->to ? 0 : -1;
}

/* ---- measuring ------------------------------------------------------------- */

/* Seconds that a command takes, and memcpy. */
struct seconds {
	double ours, copy;
};

static int measure(struct xrnpe_datapath *datapath, struct work *work, struct seconds *seconds)
{
	int times = 1 + (int)(ELEMENTS / work->outputs);
	double start = seconds_now();

	*seconds = (struct seconds){ 1e9, 1e9 };
	for (int i = 0; i < BENCH_TURNS || seconds_now() - start < SECONDS; i++) {
		double before = seconds_now(), between;

		for (int j = 0; j < times; j++) {
			struct xrnpe_fault fault;
			uint32_t status = 0;
			int ret = xrnpe_datapath_run(datapath, &work->cmd, 0, work->memory, NULL, &status, &fault);

			if (ret) {
				errno = ret == -ENOMEM ? ENOMEM : EINVAL;
				return -1;
			}
		}
		between = seconds_now();
		memcpy(work->to, work->from, work->bytes / 2);
		/* Or a compiler finds that nobody reads the copy. */
		__asm__ volatile("" : : "r"(work->to) : "memory");
		bench_keep_least(&seconds->copy, seconds_now() - between);
		bench_keep_least(&seconds->ours, (between - before) / times);
	}
	return 0;
}

static int measure_row(const struct bench_options *options, struct xrnpe_datapath *datapath,
		       const struct row *row, enum xrnpe_format format)
{
	struct seconds seconds = { 0, 0 };
	struct work work;
	double rate[SMALL + 1], bytes;
	int ret = 0;

	for (size_t i = 0; i <= SMALL && !ret; i++) {
		ret = make(row, format, i < SMALL ? small_sizes[i] : 0, &work) || measure(datapath, &work, &seconds);
		rate[i] = work.outputs / seconds.ours * 1e-9;
		bytes = (double)work.bytes;
		dispose(&work);
	}
	if (ret)
		return ret;
	printf(options->json ?
	       "{\"name\": \"%s\", \"format\": \"%s\", \"threads\": %u, \"kernel\": \"%s\", "
	       "\"goutputs_1k\": %.3f, \"goutputs_16k\": %.3f, \"goutputs\": %.3f, \"gbs\": %.3f, "
	       "\"memcpy_gbs\": %.3f, \"ratio_to_memcpy\": %.3f}\n" :
	       "%-17s %-4s %3u  %-12s %6.2f %6.2f %6.2f %7.2f %7.2f %6.2f\n", row->name,
	       xrnpe_format_name(format), options->threads, xrnpe_datapath_kernel(datapath), rate[0], rate[1], rate[2],
	       bytes / seconds.ours * 1e-9, bytes / seconds.copy * 1e-9, seconds.copy / seconds.ours);
	fflush(stdout);
	return 0;
}

/* ---- command line ---------------------------------------------------------- */

int xrnpe_bench_elementwise(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "format", required_argument, NULL, 'f' },
		{ "threads", required_argument, NULL, 't' },
		{ "kernel", required_argument, NULL, 'k' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct bench_options options = { .threads = 1 };
	struct xrnpe_datapath *datapath;
	int status, ret = 0;

	status = take_options(argc, argv, "f:t:k:jh", long_options, usage, bench_take, &options);
	if (status >= 0)
		return status;
	if (optind + 1 != argc)
		return misused(argv[0], "one benchmark is expected");
	datapath = xrnpe_datapath_new(options.threads, options.kernel);
	if (datapath && !options.json)
		printf("%-17s %-4s %3s  %-12s %6s %6s %6s %7s %7s %6s\n", "", "", "thr", "kernel", "1k", "16k",
		       "Gout/s", "GB/s", "memcpy", "ratio");
	for (int format = 0; datapath && format < XRNPE_PRODUCT_FORMATS && !ret; format++) {
		for (size_t i = 0; i < ROWS && !ret && (!options.has_format || format == (int)options.format); i++)
			ret = measure_row(&options, datapath, &rows[i], (enum xrnpe_format)format);
	}
	if (!datapath || ret)
		fprintf(stderr, "xrnpe bench: %s\n", strerror(errno));
	xrnpe_datapath_free(datapath);
	return !datapath || ret;
}
