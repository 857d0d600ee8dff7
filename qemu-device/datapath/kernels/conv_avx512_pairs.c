// SPDX-License-Identifier: MIT
/*
 * Convolutions of up to 8 bits to few channels with AVX-512: two positions side by side at once.
 *
 * A vector has 16 channels, of which there would be no more than half. So the outputs of two
 * positions, which follow each other in memory, are taken as one position of a convolution with
 * twice the channels and twice the stride. Its windows cover those of both: the weights of the
 * first position have zeros for the columns that only the second one sees, and the other way round.
 * Words are multiplied as in conv_avx512.c.
 */
#ifdef __x86_64__

#define STEP_BYTES (STEP * sizeof(int16_t))

#include "conv_avx512.h"

#define PAIR 2
#define PAIR_LANES 16	/* those of a vector */
#define SCALE_WORDS 3	/* of a record, at the most */

/* ---- the convolution of pairs ------------------------------------------- */

/* With the scales of the channels, of both positions. */
struct pairs {
	struct xrnpe_product product;
	struct xrnpe_cmd cmd;
	uint32_t scale[PAIR_LANES][SCALE_WORDS];
};

/* What follows from the command alone: all but the scales and weights. */
static void pair_up(const struct xrnpe_product *product, struct pairs *pairs)
{
	struct xrnpe_dims_image *d = &pairs->cmd.image;
	struct xrnpe_operand *weight = &pairs->cmd.operand[XRNPE_OPERAND_WEIGHT];

	pairs->cmd = *product->cmd;
	pairs->cmd.operand[XRNPE_OPERAND_OFM].pixel_stride *= PAIR;
	pairs->cmd.operand[XRNPE_OPERAND_SCALE].row_stride = sizeof(*pairs->scale);
	d->kernel_w = (uint8_t)(d->kernel_w + d->stride_w);
	d->stride_w = (uint8_t)(d->stride_w * PAIR);
	d->out_w /= PAIR;
	d->out_c = (uint16_t)(d->out_c * PAIR);
	weight->row_stride = (uint32_t)d->kernel_h * d->kernel_w * weight->pixel_stride;

	pairs->product = *product;
	pairs->product.cmd = &pairs->cmd;
	pairs->product.weight.row_stride = weight->row_stride;
	pairs->product.first_weight = 0;
	pairs->product.positions /= PAIR;
	pairs->product.channels *= PAIR;
	pairs->product.group_channels *= PAIR;
	pairs->product.k = (size_t)d->kernel_h * d->kernel_w * d->in_c;
}

/* The scales, too. */
static void pair_up_scaled(const struct xrnpe_product *product, struct pairs *pairs)
{
	const size_t stride = product->cmd->operand[XRNPE_OPERAND_SCALE].row_stride;
	const size_t words = product->cmd->activation == XRNPE_ACT_PRELU ? SCALE_WORDS : SCALE_WORDS - 1;

	pair_up(product, pairs);
	for (size_t i = 0; i < pairs->product.channels; i++)
		memcpy(pairs->scale[i], product->scale + i % product->channels * stride, words * sizeof(uint32_t));
	pairs->product.scale = (const uint8_t *)pairs->scale;
}

/* The weights, to @memory: rows of whole bytes a tap, of which zero is the code of zero. */
static void pair_up_weights(const struct xrnpe_product *product, struct pairs *pairs, uint8_t *memory)
{
	const struct xrnpe_dims_image *from = &product->cmd->image, *to = &pairs->cmd.image;
	const size_t tap = product->cmd->operand[XRNPE_OPERAND_WEIGHT].pixel_stride;
	const size_t row_stride = pairs->product.weight.row_stride;

	memset(memory, 0, pairs->product.channels * row_stride);
	for (size_t n = 0; n < pairs->product.channels; n++) {
		const uint8_t *row = xrnpe_weight_row(product, n % product->channels);
		uint8_t *at = memory + n * row_stride + n / product->channels * from->stride_w * tap;

		for (size_t i = 0; i < from->kernel_h; i++)
			memcpy(at + i * to->kernel_w * tap, row + i * from->kernel_w * tap, from->kernel_w * tap);
	}
	pairs->product.weight.memory = memory;
}

static struct plan plan_of(const struct xrnpe_product *product)
{
	return plan_for(product, xrnpe_avx512_words(product->ifm.format), xrnpe_largest(product->ifm.format));
}

/* Layout of the scratch memory; then rows_or_lines() and, for fill(), weights. */
struct scratch {
	int32_t sum[MOST_ROWS][LANES] __attribute__((aligned(64)));
	int64_t wide[MOST_ROWS][LANES];
	struct windows windows;
	struct pairs pairs;
};

static void fill(const struct xrnpe_product *product, uint64_t n, size_t count, void *memory, void *scratch)
{
	struct pairs *pairs = &((struct scratch *)scratch)->pairs;
	uint8_t *rows = (uint8_t *)((struct scratch *)scratch + 1);
	struct panel *panel = memory;
	struct plan plan;

	pair_up_scaled(product, pairs);
	plan = plan_of(&pairs->product);
	pair_up_weights(product, pairs, rows + rows_or_lines(&pairs->product, &plan));
	xrnpe_avx512_stage(&pairs->product, n, PAIR * count, &panel->stage);
	fill_panel(&pairs->product, &plan, n, PAIR * count, panel, rows);
}

/* ---- blocks ------------------------------------------------------------ */

/* NaR to those outputs of pair @p, at @out, that have it among their inputs. */
static void put_nar_inputs(const struct xrnpe_product *product, struct windows *windows, uint64_t p, uint8_t *out,
			   uint32_t *status)
{
	const struct xrnpe_dims_image *d = &product->cmd->image;

	for (size_t i = 0; i < PAIR; i++) {
		if (windows_nar_at(windows, d, (p * PAIR + i) / d->out_w, (p * PAIR + i) % d->out_w))
			xrnpe_put_nar(product, NULL, out, i * product->channels, (size_t)product->channels, status);
	}
}

TARGET static void run(const struct xrnpe_product *product, const struct xrnpe_block *block,
		       const void *panels, void *memory, uint32_t *status)
{
	const struct panel *panel = panels;
	struct scratch *scratch = memory;
	const struct xrnpe_product *paired = &scratch->pairs.product;
	size_t rows, count = PAIR * (size_t)product->channels;
	uint64_t end = block->p1 / PAIR;
	struct plan plan;

	pair_up_scaled(product, &scratch->pairs);
	plan = plan_of(paired);
	windows_start(&scratch->windows, paired, plan.input, 0, scratch + 1);
	windows_group(&scratch->windows, group_of(paired), groups_of(paired));
	for (uint64_t p = block->p0 / PAIR; p < end; p += rows) {
		uint8_t *out[MOST_ROWS];
		bool nar[MOST_ROWS];
		size_t groups = windows_place(&scratch->windows, p, end, &rows, nar);
		struct sums sums = { 0 };

		if (!groups || xrnpe_cancelled(product->cancel))
			return;
		xrnpe_output_rows(paired, p, rows, out);
		if (panel->safe) {
			multiply_tile(&scratch->windows, groups, 1, plan.steps, panel->weights, scratch->sum);
			sums.narrow = scratch->sum[0];
		} else {
			multiply_wide(&plan, panel, &scratch->windows, groups, 1, rows, scratch->sum, scratch->wide);
			sums.wide = scratch->wide[0];
		}
		xrnpe_avx512_put(paired, &panel->stage, &sums, p, out, rows, 0, count, status);
		for (size_t r = 0; r < rows; r++) {
			if (scratch->windows.any_nar && nar[r])
				put_nar_inputs(product, &scratch->windows, p + r, out[r], status);
			if (panel->stage.any_nar)
				xrnpe_put_nar(paired, panel->stage.nar, out[r], 0, count, status);
		}
	}
}

/* ---- the kernel -------------------------------------------------------- */

/* Whether the outputs of two positions are one row, and taps of weights too. */
static bool dense(const struct xrnpe_product *product)
{
	const struct xrnpe_operand *operand = product->cmd->operand;

	return operand[XRNPE_OPERAND_OFM].pixel_stride * 8ull == product->channels * xrnpe_format_bits(product->out) &&
	       operand[XRNPE_OPERAND_WEIGHT].pixel_stride ==
	       xrnpe_row_bytes(product->weight.format, xrnpe_inputs(product));
}

static bool suits(const struct xrnpe_product *product)
{
	const struct xrnpe_dims_image *d = &product->cmd->image;
	struct pairs pairs;

	/* Where windows do not overlap, those of pairs have as many zeros as there are weights. */
	if (product->cmd->opcode != XRNPE_OP_CONV2D || PAIR * product->channels > PAIR_LANES || d->groups > 1 ||
	    d->out_w % PAIR || d->dilation_w > 1 || d->stride_w >= d->kernel_w ||
	    d->kernel_w + d->stride_w > UINT8_MAX || product->residual || !dense(product))
		return false;
	pair_up(product, &pairs);
	return pairs.product.k <= XRNPE_MAX_K && xrnpe_conv_avx512.suits(&pairs.product);
}

static struct xrnpe_tiling tiling(const struct xrnpe_product *product)
{
	struct xrnpe_tiling tiling;
	struct pairs pairs;
	struct plan plan;

	pair_up(product, &pairs);
	plan = plan_of(&pairs.product);
	tiling = tiling_of(&plan, group_of(&pairs.product) * groups_of(&pairs.product));
	tiling.rows *= PAIR;
	return tiling;
}

static size_t scratch_size(const struct xrnpe_product *product, const struct xrnpe_block *shape)
{
	struct pairs pairs;
	struct plan plan;

	pair_up(product, &pairs);
	plan = plan_of(&pairs.product);
	return sizeof(struct scratch) + rows_or_lines(&pairs.product, &plan) +
	       (size_t)pairs.product.channels * pairs.product.weight.row_stride;
}

const struct xrnpe_kernel xrnpe_conv_avx512_pairs = {
	.suits = suits,
	.tiling = tiling,
	.fill = fill,
	.scratch = scratch_size,
	.run = run,
};

#endif
