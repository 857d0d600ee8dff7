// SPDX-License-Identifier: MIT
/*
 * ADD, CONVERT and MAXPOOL. The plain codec stands for one code after the other and
 * exact sums; with the others rows are decoded, summed in doubles and encoded.
 */
#include <string.h>

#include "kernel.h"

#define BATCH 1024		/* values that are decoded at once; even */
#define SHORT 64		/* parts below this are decoded together */
#define TASK_ELEMENTS 8192
#define POLL_ROWS 16		/* of a window between looks at whether to give up */
#define POLL_VECTORS 16		/* the same of outputs */

static uint8_t *line_at(const struct xrnpe_elementwise *job, unsigned int operand, uint64_t line)
{
	const struct xrnpe_operand *o = &job->cmd->operand[operand];

	return (uint8_t *)job->memory[operand] + line / job->lines_in_row * o->row_stride +
	       line % job->lines_in_row * o->pixel_stride;
}

/* What lies in a byte with the last of an odd number of 4-bit codes is zero. */
static void clear_tail(enum xrnpe_format format, uint8_t *row, size_t count)
{
	if (xrnpe_format_bits(format) == 4 && count % 2)
		row[count / 2] &= 15;
}

/* ---- ADD and CONVERT --------------------------------------------------- */

static uint32_t scale_word(const struct xrnpe_elementwise *job, size_t index)
{
	return xrnpe_word(job->memory[XRNPE_OPERAND_SCALE], index);
}

/* A run of elements of a line. */
struct part {
	const uint8_t *a, *b;	/* @b: ADD's */
	uint8_t *out;
	size_t count;
};

static struct part part_of(const struct xrnpe_elementwise *job, uint64_t index)
{
	const struct xrnpe_operand *o = job->cmd->operand;
	uint64_t line = index / job->parts_in_line, first = index % job->parts_in_line * job->part;
	struct part part = {
		.a = line_at(job, XRNPE_OPERAND_IFM, line) +
		     xrnpe_row_bytes(o[XRNPE_OPERAND_IFM].format, first),
		.out = line_at(job, XRNPE_OPERAND_OFM, line) +
		       xrnpe_row_bytes(o[XRNPE_OPERAND_OFM].format, first),
		.count = job->line - first < job->part ? job->line - first : job->part,
	};

	if (job->cmd->opcode == XRNPE_OP_ADD)
		part.b = line_at(job, XRNPE_OPERAND_IFM2, line) +
			 xrnpe_row_bytes(o[XRNPE_OPERAND_IFM2].format, first);
	return part;
}

static void exact_part(const struct xrnpe_elementwise *job, struct part part, uint32_t *status)
{
	const struct xrnpe_operand *o = job->cmd->operand;
	enum xrnpe_format in = o[XRNPE_OPERAND_IFM].format, in2 = o[XRNPE_OPERAND_IFM2].format;
	enum xrnpe_format out = o[XRNPE_OPERAND_OFM].format;

	for (size_t i = 0; i < part.count; i++) {
		struct xrnpe_exact x = { 0 };
		struct xrnpe_real real;

		xrnpe_exact_add_code(&x, in, xrnpe_load(in, part.a, i), scale_word(job, 0));
		if (part.b)
			xrnpe_exact_add_code(&x, in2, xrnpe_load(in2, part.b, i), scale_word(job, 2));
		else
			xrnpe_exact_add_code(&x, XRNPE_FORMAT_F32, scale_word(job, 1), XRNPE_F32_ONE);
		real = xrnpe_exact_output(job->cmd, job->cmd->slope, x);
		xrnpe_store(out, part.out, i, xrnpe_round(out, real, status));
	}
	clear_tail(out, part.out, part.count);
}

/* Codes from one packed row to another, whose elements up to there are set. */
static void copy_codes(enum xrnpe_format format, uint8_t *to, size_t to_at,
		       const uint8_t *from, size_t from_at, size_t count)
{
	if (xrnpe_format_bits(format) != 4 || !((to_at | from_at) % 2)) {
		to += xrnpe_row_bytes(format, to_at);
		memcpy(to, from + xrnpe_row_bytes(format, from_at), xrnpe_row_bytes(format, count));
		clear_tail(format, to, count);
		return;
	}
	for (; count; count--, to_at++, from_at++) {
		uint8_t code = from[from_at / 2] >> from_at % 2 * 4 & 15;

		to[to_at / 2] = (uint8_t)(to_at % 2 ? to[to_at / 2] | code << 4 : code);
	}
}

/*
 * As many parts as fit are summed as one: lines may be as short as a pixel. Short ones
 * are put together before they are decoded.
 */
static void fast_parts(const struct xrnpe_elementwise *job, uint64_t first, uint64_t end,
		       uint32_t *status)
{
	const struct xrnpe_operand *o = job->cmd->operand;
	enum xrnpe_format in = o[XRNPE_OPERAND_IFM].format, in2 = o[XRNPE_OPERAND_IFM2].format;
	enum xrnpe_format out = o[XRNPE_OPERAND_OFM].format;
	bool two = job->cmd->opcode == XRNPE_OP_ADD, gather = job->part < SHORT;
	uint8_t row[BATCH * sizeof(float)], row2[BATCH * sizeof(float)];
	float a[BATCH], b[BATCH];
	struct xrnpe_affine affine = {
		.relu = job->cmd->activation == XRNPE_ACT_RELU,
		.odd = out != XRNPE_FORMAT_F32,
	};
	size_t count = 0;

	xrnpe_decode_row(XRNPE_FORMAT_F32, job->memory[XRNPE_OPERAND_SCALE], &affine.scale, 1);
	xrnpe_decode_row(XRNPE_FORMAT_F32, (const uint8_t *)job->memory[XRNPE_OPERAND_SCALE] +
			 (two ? 2 : 1) * sizeof(float), &affine.other, 1);
	for (uint64_t i = first; i < end; i++) {
		struct part part = part_of(job, i);

		if (gather)
			copy_codes(in, row, count, part.a, 0, part.count);
		else
			job->codec->decode(in, part.a, a + count, part.count);
		if (two && gather)
			copy_codes(in2, row2, count, part.b, 0, part.count);
		else if (two)
			job->codec->decode(in2, part.b, b + count, part.count);
		count += part.count;
	}
	if (gather)
		job->codec->decode(in, row, a, count);
	if (two && gather)
		job->codec->decode(in2, row2, b, count);
	job->codec->sum(&affine, a, two ? b : NULL, count);
	if (gather)
		job->codec->encode(out, a, row, count, status);
	count = 0;
	for (uint64_t i = first; i < end; i++) {
		struct part part = part_of(job, i);

		if (gather) {
			copy_codes(out, part.out, 0, row, count, part.count);
		} else {
			job->codec->encode(out, a + count, part.out, part.count, status);
			clear_tail(out, part.out, part.count);
		}
		count += part.count;
	}
}

static void sum_task(const struct xrnpe_elementwise *job, uint64_t first, uint64_t end,
		     uint32_t *status)
{
	uint64_t together = BATCH / job->part;

	for (uint64_t i = first; i < end; i += together) {
		uint64_t next = end - i < together ? end : i + together;

		if (job->codec->sum) {
			fast_parts(job, i, next, status);
			continue;
		}
		for (uint64_t j = i; j < next && !xrnpe_cancelled(job->cancel); j++)
			exact_part(job, part_of(job, j), status);
	}
}

/* ---- MAXPOOL ----------------------------------------------------------- */

/* Orders codes by value; -0 comes before +0 and NaR after everything. */
static int32_t key_of(enum xrnpe_format format, uint32_t code)
{
	unsigned int bits = xrnpe_format_bits(format);

	if (xrnpe_is_nar(format, code))
		return INT32_MAX;
	if (!(code >> (bits - 1)))
		return (int32_t)code;
	return format == XRNPE_FORMAT_FP4 ? 7 - (int32_t)code : (int32_t)code - (1 << bits);
}

/* The taps of a window that are inside the input, [y][x] from @first on. */
struct window {
	const uint8_t *first;
	size_t rows, columns;
	uint64_t row_step, column_step;	/* bytes */
	const volatile bool *cancel;
};

/* Of @count taps from @at on, @step apart: those within 0..@size-1. At least one is. */
static size_t clip(int *at, int step, size_t count, int size)
{
	while (*at < 0) {
		*at += step;
		count--;
	}
	while (*at + (int)(count - 1) * step >= size)
		count--;
	return count;
}

static struct window window_of(const struct xrnpe_elementwise *job, uint64_t position)
{
	const struct xrnpe_operand *o = &job->cmd->operand[XRNPE_OPERAND_IFM];
	const struct xrnpe_dims_image *d = &job->cmd->image;
	int y = (int)(position / d->out_w) * d->stride_h - d->pad_top;
	int x = (int)(position % d->out_w) * d->stride_w - d->pad_left;
	struct window window = {
		.rows = clip(&y, d->dilation_h, d->kernel_h, d->in_h),
		.columns = clip(&x, d->dilation_w, d->kernel_w, d->in_w),
		.row_step = (uint64_t)d->dilation_h * o->row_stride,
		.column_step = (uint64_t)d->dilation_w * o->pixel_stride,
		.cancel = job->cancel,
	};

	window.first = (const uint8_t *)job->memory[XRNPE_OPERAND_IFM] +
		       (uint64_t)y * o->row_stride + (uint64_t)x * o->pixel_stride;
	return window;
}

static void exact_pool(enum xrnpe_format format, struct window window, uint8_t *out, size_t count)
{
	for (size_t c = 0; c < count && !xrnpe_cancelled(window.cancel); c++) {
		int32_t best = INT32_MIN;

		for (size_t i = 0; i < window.rows; i++) {
			for (size_t j = 0; j < window.columns; j++) {
				uint32_t code = xrnpe_load(format, window.first + i * window.row_step +
							   j * window.column_step, c);
				int32_t key = key_of(format, code);

				if (key <= best)
					continue;
				best = key;
				xrnpe_store(format, out, c, code);
			}
		}
	}
}

/*
 * In vectors codes become keys of as many bits that order the same as signed integers;
 * those of 4 bits stand in the upper halves of bytes. A posit less one is its key, as
 * NaR, the least integer, wraps to the largest. FP4 is sign and magnitude.
 */
#define VECTOR 16
#define INLINE __attribute__((always_inline)) static inline

typedef uint8_t bytes __attribute__((vector_size(VECTOR)));
typedef int8_t signed_bytes __attribute__((vector_size(VECTOR)));
typedef uint16_t halfs __attribute__((vector_size(VECTOR)));
typedef int16_t signed_halfs __attribute__((vector_size(VECTOR)));

INLINE bytes to_keys(enum xrnpe_format format, bytes code)
{
	switch (format) {
	case XRNPE_FORMAT_FP4:
		return code ^ ((bytes)((signed_bytes)code < 0) & 0x70);
	case XRNPE_FORMAT_P4:
		return code - 0x10;
	case XRNPE_FORMAT_P8:
		return code - 1;
	default:
		return (bytes)((halfs)code - 1);
	}
}

INLINE bytes from_keys(enum xrnpe_format format, bytes key)
{
	switch (format) {
	case XRNPE_FORMAT_FP4:
		return to_keys(format, key);
	case XRNPE_FORMAT_P4:
		return key + 0x10;
	case XRNPE_FORMAT_P8:
		return key + 1;
	default:
		return (bytes)((halfs)key + 1);
	}
}

INLINE bytes larger(enum xrnpe_format format, bytes a, bytes b)
{
	bytes mask = format == XRNPE_FORMAT_P16 ? (bytes)((signed_halfs)a > (signed_halfs)b) :
						  (bytes)((signed_bytes)a > (signed_bytes)b);

	return (a & mask) | (b & ~mask);
}

/* @size bytes of codes, one vector at the most. */
INLINE void pool_vector(enum xrnpe_format format, const struct window *window, size_t at,
			uint8_t *out, size_t size)
{
	const bytes least = format == XRNPE_FORMAT_P16 ? (bytes)((halfs){ 0 } + 0x8000) :
							 (bytes){ 0 } + 0x80;
	bytes low = least, high = least, code = { 0 };

	for (size_t i = 0; i < window->rows; i++) {
		const uint8_t *from = window->first + i * window->row_step + at;

		if (i % POLL_ROWS == POLL_ROWS - 1 && xrnpe_cancelled(window->cancel))
			return;
		for (size_t j = 0; j < window->columns; j++, from += window->column_step) {
			memcpy(&code, from, size);
			if (xrnpe_format_bits(format) == 4) {
				low = larger(format, to_keys(format, (bytes)((halfs)code << 4) & 0xf0), low);
				code &= 0xf0;
			}
			high = larger(format, to_keys(format, code), high);
		}
	}
	code = from_keys(format, high);
	if (xrnpe_format_bits(format) == 4)
		code |= (bytes)((halfs)from_keys(format, low) >> 4);
	memcpy(out + at, &code, size);
}

/* @format is no variable. */
INLINE void pool_as(enum xrnpe_format format, const struct window *window, uint8_t *out,
		    size_t count)
{
	size_t size = xrnpe_row_bytes(format, count);

	if (size < VECTOR)
		pool_vector(format, window, 0, out, size);
	for (size_t at = VECTOR; at <= size; at += VECTOR) {
		if (!(at % (POLL_VECTORS * VECTOR)) && xrnpe_cancelled(window->cancel))
			return;
		pool_vector(format, window, at - VECTOR, out, VECTOR);
	}
	/* The last vector may do some again. */
	if (size > VECTOR && size % VECTOR)
		pool_vector(format, window, size - VECTOR, out, VECTOR);
}

static void fast_pool(enum xrnpe_format format, struct window window, uint8_t *out, size_t count)
{
	switch (format) {
	case XRNPE_FORMAT_FP4:
		pool_as(XRNPE_FORMAT_FP4, &window, out, count);
		break;
	case XRNPE_FORMAT_P4:
		pool_as(XRNPE_FORMAT_P4, &window, out, count);
		break;
	case XRNPE_FORMAT_P8:
		pool_as(XRNPE_FORMAT_P8, &window, out, count);
		break;
	default:
		pool_as(XRNPE_FORMAT_P16, &window, out, count);
		break;
	}
}

static void pool_task(const struct xrnpe_elementwise *job, uint64_t first, uint64_t end)
{
	enum xrnpe_format format = job->cmd->operand[XRNPE_OPERAND_OFM].format;

	for (uint64_t p = first; p < end && !xrnpe_cancelled(job->cancel); p++) {
		uint8_t *out = line_at(job, XRNPE_OPERAND_OFM, p);

		(job->codec->sum ? fast_pool : exact_pool)(format, window_of(job, p), out, job->line);
		clear_tail(format, out, job->line);
	}
}

/* ---- tasks ------------------------------------------------------------- */

/* Whether elements @pixels pixels apart follow each other without a gap. */
static bool dense(const struct xrnpe_elementwise *job, bool rows)
{
	const struct xrnpe_dims_image *d = &job->cmd->image;

	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++) {
		const struct xrnpe_operand *o = &job->cmd->operand[i];
		uint64_t bits = xrnpe_format_bits(o->format);

		if (i == XRNPE_OPERAND_SCALE || i == XRNPE_OPERAND_WEIGHT ||
		    (i == XRNPE_OPERAND_IFM2 && job->cmd->opcode != XRNPE_OP_ADD))
			continue;
		if (rows ? o->row_stride != (uint64_t)o->pixel_stride * d->in_w :
			   (uint64_t)o->pixel_stride * 8 != bits * d->in_c)
			return false;
	}
	return true;
}

void xrnpe_elementwise_plan(struct xrnpe_elementwise *job)
{
	const struct xrnpe_dims_image *d = &job->cmd->image;
	uint64_t lines;

	job->line = d->in_c;
	if (job->cmd->opcode == XRNPE_OP_MAXPOOL) {
		job->lines_in_row = d->out_w;
		lines = (uint64_t)d->out_h * d->out_w;
	} else if (!dense(job, false)) {
		job->lines_in_row = d->in_w;
		lines = (uint64_t)d->in_h * d->in_w;
	} else if (!dense(job, true)) {
		job->lines_in_row = 1;
		job->line *= d->in_w;
		lines = d->in_h;
	} else {
		job->lines_in_row = 1;
		job->line *= (uint64_t)d->in_h * d->in_w;
		lines = 1;
	}
	job->part = job->line < BATCH || job->cmd->opcode == XRNPE_OP_MAXPOOL ? job->line : BATCH;
	job->parts_in_line = (job->line - 1) / job->part + 1;
	job->parts = lines * job->parts_in_line;
	job->chunk = TASK_ELEMENTS / job->part + 1;
	job->tasks = (job->parts - 1) / job->chunk + 1;
}

void xrnpe_elementwise_run(const struct xrnpe_elementwise *job, uint64_t index, uint32_t *status)
{
	uint64_t first = index * job->chunk, end = first + job->chunk;

	if (end > job->parts)
		end = job->parts;
	if (job->cmd->opcode == XRNPE_OP_MAXPOOL)
		pool_task(job, first, end);
	else
		sum_task(job, first, end, status);
}
