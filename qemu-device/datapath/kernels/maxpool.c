// SPDX-License-Identifier: MIT
/* MAXPOOL: with the plain codec one code after the other, else in vectors. */
#include "kernel.h"

#define POLL_ROWS 16		/* of a window between looks at whether to give up */
#define POLL_VECTORS 16		/* the same of outputs */

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

/* The rows of the windows in line @y of the output; from the first pixel of them on. */
static struct window window_rows(const struct xrnpe_pass *pass, uint64_t y)
{
	const struct xrnpe_operand *o = &pass->cmd->operand[XRNPE_OPERAND_IFM];
	const struct xrnpe_dims_image *d = &pass->cmd->image;
	int row = (int)y * d->stride_h - d->pad_top;
	struct window window = {
		.rows = clip(&row, d->dilation_h, d->kernel_h, d->in_h),
		.row_step = (uint64_t)d->dilation_h * o->row_stride,
		.column_step = (uint64_t)d->dilation_w * o->pixel_stride,
		.cancel = pass->cancel,
	};

	window.first = (const uint8_t *)pass->memory[XRNPE_OPERAND_IFM] + (uint64_t)row * o->row_stride;
	return window;
}

/* The window of column @x, given its rows. */
static struct window window_of(const struct xrnpe_pass *pass, struct window window, uint64_t x)
{
	const struct xrnpe_dims_image *d = &pass->cmd->image;
	int column = (int)x * d->stride_w - d->pad_left;

	window.columns = clip(&column, d->dilation_w, d->kernel_w, d->in_w);
	window.first += (uint64_t)column * pass->cmd->operand[XRNPE_OPERAND_IFM].pixel_stride;
	return window;
}

static void exact_pool(enum xrnpe_format format, const struct window *window, uint8_t *out, size_t count)
{
	for (size_t c = 0; c < count && !xrnpe_cancelled(window->cancel); c++) {
		int32_t best = INT32_MIN;

		for (size_t i = 0; i < window->rows; i++) {
			if (i % POLL_ROWS == POLL_ROWS - 1 && xrnpe_cancelled(window->cancel))
				return;
			for (size_t j = 0; j < window->columns; j++) {
				uint32_t code = xrnpe_load(format, window->first + i * window->row_step +
							   j * window->column_step, c);
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

/* The largest keys so far: of 4-bit codes there are two in a byte. */
struct keys {
	bytes low, high;
};

/* Those of @rows rows more, from @from on, of @size bytes, one vector at the most. */
INLINE struct keys pool_rows(enum xrnpe_format format, struct keys keys, const struct window *window,
			     const uint8_t *from, size_t rows, size_t size)
{
	const size_t columns = window->columns;
	const uint64_t row_step = window->row_step, column_step = window->column_step;
	bytes code = { 0 };

	for (; rows; rows--, from += row_step) {
		const uint8_t *at = from;

		for (size_t j = columns; j; j--, at += column_step) {
			memcpy(&code, at, size);
			if (format <= XRNPE_FORMAT_P4) {
				keys.low = larger(format, to_keys(format, (bytes)((halfs)code << 4) & 0xf0), keys.low);
				code &= 0xf0;
			}
			keys.high = larger(format, to_keys(format, code), keys.high);
		}
	}
	return keys;
}

INLINE void pool_vector(enum xrnpe_format format, const struct window *window, size_t at,
			uint8_t *out, size_t size)
{
	const bytes least = format == XRNPE_FORMAT_P16 ? (bytes)((halfs){ 0 } + 0x8000) :
							 (bytes){ 0 } + 0x80;
	struct keys keys = { least, least };
	const uint8_t *from = window->first + at;
	size_t rows = window->rows;
	bytes code;

	for (; rows > POLL_ROWS; rows -= POLL_ROWS, from += POLL_ROWS * window->row_step) {
		keys = pool_rows(format, keys, window, from, POLL_ROWS, size);
		if (xrnpe_cancelled(window->cancel))
			return;
	}
	keys = pool_rows(format, keys, window, from, rows, size);
	code = from_keys(format, keys.high);
	if (format <= XRNPE_FORMAT_P4)
		code |= (bytes)((halfs)from_keys(format, keys.low) >> 4);
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

static void fast_pool(enum xrnpe_format format, const struct window *window, uint8_t *out, size_t count)
{
	switch (format) {
	case XRNPE_FORMAT_FP4:
		pool_as(XRNPE_FORMAT_FP4, window, out, count);
		break;
	case XRNPE_FORMAT_P4:
		pool_as(XRNPE_FORMAT_P4, window, out, count);
		break;
	case XRNPE_FORMAT_P8:
		pool_as(XRNPE_FORMAT_P8, window, out, count);
		break;
	default:
		pool_as(XRNPE_FORMAT_P16, window, out, count);
		break;
	}
}

static void plan(struct xrnpe_pass *pass)
{
	const struct xrnpe_dims_image *d = &pass->cmd->image;

	pass->line = d->out_c;
	pass->inner = d->out_w;
	pass->lines = (uint64_t)d->out_h * d->out_w;
	xrnpe_pass_cut(pass, pass->line, 1);
}

static void run(const struct xrnpe_pass *pass, uint64_t first, uint64_t end, uint32_t *status)
{
	enum xrnpe_format format = pass->cmd->operand[XRNPE_OPERAND_OFM].format;
	const uint64_t *step = pass->step[XRNPE_OPERAND_OFM];
	uint8_t *line = pass->memory[XRNPE_OPERAND_OFM];
	struct window rows = { 0 };
	uint64_t y = 0, x = 0;

	(void)status;
	for (uint64_t p = first; p < end && !xrnpe_cancelled(pass->cancel); p++, x++) {
		struct window window;
		uint8_t *out;

		if (p == first || x == pass->inner) {
			y = p / pass->inner;
			x = p % pass->inner;
			rows = window_rows(pass, y);
		}
		out = line + y * step[XRNPE_OUTER] + x * step[XRNPE_INNER];
		window = window_of(pass, rows, x);
		(pass->codec->sum ? fast_pool : exact_pool)(format, &window, out, pass->line);
		xrnpe_clear_tail(format, out, pass->line);
	}
}

const struct xrnpe_operation xrnpe_maxpool = { plan, run };
