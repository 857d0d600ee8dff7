// SPDX-License-Identifier: MIT
/*
 * The AMX kernel with a model of its instructions, for CPUs that have AVX-512 only.
 *
 * The model follows Intel's definition (Software Developer's Manual, volume 2), with
 * palette 1. What would fault on a CPU aborts, and so does what the kernel should not
 * do: configure tiles that are, which it must have forgotten to release.
 */
#undef NDEBUG
#include <assert.h>
#include <string.h>

#include "datapath.h"

#ifdef __x86_64__

#define MODEL_TILES 8
#define MODEL_ROWS 16
#define MODEL_ROW_BYTES 64

/* A thread's tiles. */
static _Thread_local struct {
	bool configured;
	size_t rows[MODEL_TILES], row_bytes[MODEL_TILES];
	uint8_t tile[MODEL_TILES][MODEL_ROWS][MODEL_ROW_BYTES];
} model;

static bool tile_supported(void)
{
	return true;
}

static void model_configure(const void *memory)
{
	const uint8_t *config = memory;

	assert(!model.configured);
	memset(&model, 0, sizeof(model));
	assert(config[0] == 1);		/* palette */
	assert(config[1] == 0);		/* start_row: of a load that is resumed */
	for (size_t i = 2; i < 16; i++)
		assert(config[i] == 0);
	for (size_t i = 0; i < 16; i++) {
		size_t row_bytes = config[16 + 2 * i] | (size_t)config[17 + 2 * i] << 8;
		size_t rows = config[48 + i];

		assert(i < MODEL_TILES || (!rows && !row_bytes));
		assert(rows <= MODEL_ROWS && row_bytes <= MODEL_ROW_BYTES);
		assert(!rows == !row_bytes);
		if (!rows)
			continue;
		model.rows[i] = rows;
		model.row_bytes[i] = row_bytes;
	}
	model.configured = true;
}

static void model_release(void)
{
	memset(&model, 0, sizeof(model));
}

static void model_check(size_t tile)
{
	assert(model.configured && tile < MODEL_TILES && model.rows[tile]);
}

static void model_zero(size_t tile)
{
	model_check(tile);
	memset(model.tile[tile], 0, sizeof(model.tile[tile]));
}

static void model_load(size_t tile, const uint8_t *from, size_t pitch)
{
	model_zero(tile);
	for (size_t row = 0; row < model.rows[tile]; row++)
		memcpy(model.tile[tile][row], from + row * pitch, model.row_bytes[tile]);
}

static void model_store(size_t tile, void *to, size_t pitch)
{
	model_check(tile);
	for (size_t row = 0; row < model.rows[tile]; row++)
		memcpy((uint8_t *)to + row * pitch, model.tile[tile][row], model.row_bytes[tile]);
}

static void model_check_dot(size_t sum, size_t a, size_t b)
{
	model_check(sum);
	model_check(a);
	model_check(b);
	assert(sum != a && sum != b && a != b);
	assert(model.row_bytes[sum] % 4 == 0 && model.row_bytes[a] % 4 == 0 &&
		      model.row_bytes[b] % 4 == 0);
	assert(model.rows[sum] == model.rows[a]);
	assert(model.row_bytes[sum] == model.row_bytes[b]);
	assert(model.row_bytes[a] / 4 == model.rows[b]);
}

/* TDPBSSD: sum[m][n] += the four products of a[m][4 k..] and b[k][4 n..], modulo 2^32. */
static void model_dot(size_t sum, size_t a, size_t b)
{
	model_check_dot(sum, a, b);
	for (size_t m = 0; m < model.rows[sum]; m++) {
		uint32_t words[MODEL_ROW_BYTES / 4];

		memcpy(words, model.tile[sum][m], sizeof(words));
		for (size_t k = 0; k < model.rows[b]; k++) {
			const int8_t *x = (const int8_t *)model.tile[a][m] + 4 * k;
			const int8_t *y = (const int8_t *)model.tile[b][k];

			for (size_t n = 0; n < model.row_bytes[b] / 4; n++, y += 4)
				words[n] += (uint32_t)(x[0] * y[0] + x[1] * y[1] + x[2] * y[2] + x[3] * y[3]);
		}
		memcpy(model.tile[sum][m], words, sizeof(words));
	}
}

/* The binary32 whose upper half is the @i'th bfloat16 of a row. */
static float model_float(const uint8_t *row, size_t i)
{
	uint8_t bytes[4] = { 0, 0, row[2 * i], row[2 * i + 1] };
	float value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

/*
 * A result rounds to nearest, and subnormals are zero. The kernel must not depend on that,
 * nor on the order of additions: all are integers of at most 2^24.
 */
static float model_integer(double value)
{
	assert(value >= -0x1p24 && value <= 0x1p24 && value == (int)value);
	return (float)value;
}

/*
 * TDPBF16PS: of the pairs of a[m][2 k..] and b[k][2 n..] the first products are added up,
 * and the second ones, each by a fused multiply-add; then both sums, and that to sum[m][n].
 */
static void model_dot_floats(size_t sum, size_t a, size_t b)
{
	model_check_dot(sum, a, b);
	for (size_t m = 0; m < model.rows[sum]; m++) {
		float total[MODEL_ROW_BYTES / 4], part[MODEL_ROW_BYTES / 2] = { 0 };

		memcpy(total, model.tile[sum][m], sizeof(total));
		for (size_t k = 0; k < model.rows[b]; k++) {
			for (size_t n = 0; n < model.row_bytes[b] / 2; n++)
				part[n] = model_integer((double)part[n] +
							(double)model_float(model.tile[a][m], 2 * k + n % 2) *
							(double)model_float(model.tile[b][k], n));
		}
		for (size_t n = 0; n < model.row_bytes[b] / 4; n++) {
			float both = model_integer((double)part[2 * n] + (double)part[2 * n + 1]);

			total[n] = model_integer((double)total[n] + (double)both);
		}
		memcpy(model.tile[sum][m], total, sizeof(total));
	}
}

/* In the place of those in amx.h. */
#define tile_configure model_configure
#define tile_release model_release
#define tile_zero model_zero
#define tile_load model_load
#define tile_store model_store
#define tile_dot model_dot
#define tile_dot_floats model_dot_floats

#include "kernels/gemm_amx.c"

#endif
