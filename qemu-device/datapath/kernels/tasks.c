// SPDX-License-Identifier: MIT
/*
 * MATMUL and CONV2D cut into tasks.
 *
 * Kernels of tiles read decoded weights: panels of some channels of a group. All
 * threads share them, so that each is decoded once. As many as half of a cache holds
 * make a column. Its tasks are to decode a panel each, and then to multiply a piece of
 * the positions by all of them. Tasks are handed out in order, so that one which has to
 * wait for others waits only for what threads are at already. Columns take turns at a few
 * places in memory, so that these are of limited size whatever the product. Of a command that
 * is prepared all panels are kept instead, and only pieces are left as tasks.
 */
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "kernel.h"

#define PIECES 32	/* of a column, for each thread: the last ones end at about the same time */
#define POLL_ROWS 64	/* of transposed weights between looks at whether to give up */
#define LINES 2		/* of an image in a piece, at least, for each that the next one needs too */

/* What has been done of all the columns that have had a place. */
struct xrnpe_place {
	_Atomic uint64_t decoded;	/* panels */
	_Atomic uint64_t multiplied;	/* pieces */
};

static uint64_t quotient_up(uint64_t a, uint64_t b)
{
	return (a - 1) / b + 1;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* ---- plans ------------------------------------------------------------ */

/* Positions in a piece: whole rows of tiles. */
static uint64_t piece_positions(const struct xrnpe_product *product, uint64_t rows, unsigned int threads)
{
	const struct xrnpe_dims_image *d = &product->cmd->image;
	uint64_t share = quotient_up(product->positions, threads > 1 ? (uint64_t)threads * PIECES : 1);

	if (product->cmd->opcode == XRNPE_OP_CONV2D)
		share = larger(share, LINES * (d->kernel_h - 1ull) * d->dilation_h / d->stride_h * d->out_w);
	return quotient_up(share, rows) * rows;
}

static size_t column_bytes(const struct xrnpe_tasks *tasks)
{
	return tasks->column_panels * tasks->tiling.panel_bytes;
}

static void plan_panels(struct xrnpe_tasks *tasks, unsigned int threads)
{
	const struct xrnpe_product *product = tasks->product;
	const struct xrnpe_tiling *tiling = &tasks->tiling;
	uint64_t groups = product->channels / product->group_channels;
	uint64_t together = larger(tiling->column_bytes / tiling->panel_bytes, 1);

	tasks->group_panels = xrnpe_panels(product->group_channels, tiling->lanes);
	tasks->panels = groups * tasks->group_panels;
	tasks->shape.p1 = piece_positions(product, tiling->rows, threads);
	tasks->pieces = quotient_up(product->positions, tasks->shape.p1);
	tasks->places = 2;
	if (tasks->pieces < threads) {
		/* Then it is the columns that keep the threads busy. */
		together = larger(smaller(together, tasks->panels / (2 * threads)), 1);
		tasks->places = 2 * threads;
	}
	tasks->share_bytes = groups > 1 && product->group_channels % 2 && xrnpe_format_bits(product->out) == 4;
	tasks->column_panels = smaller(together, tasks->panels);
	tasks->columns = quotient_up(tasks->panels, tasks->column_panels);
	tasks->places = smaller(tasks->places, tasks->columns);
	tasks->count = tasks->panels + tasks->columns * tasks->pieces;
	tasks->shared = tasks->places * (column_bytes(tasks) + sizeof(struct xrnpe_place));
}

/* Bytes between rows that were columns: an odd number of lines, see gemm_tiles.c. */
static size_t rows_pitch(const struct xrnpe_product *product)
{
	return (xrnpe_row_bytes(product->weight.format, product->k) / 128 * 2 + 3) * 64;
}

void xrnpe_tasks_plan(struct xrnpe_tasks *tasks, unsigned int threads)
{
	const struct xrnpe_product *product = tasks->product;

	tasks->shape = (struct xrnpe_block){ 0, product->positions, 0, product->channels };
	if (tasks->kernel->tiling) {
		tasks->tiling = tasks->kernel->tiling(product);
		plan_panels(tasks, threads);
	} else {
		tasks->kernel->shape(product, threads, &tasks->shape);
		tasks->columns = quotient_up(product->channels, tasks->shape.n1);
		tasks->count = quotient_up(product->positions, tasks->shape.p1) * tasks->columns;
	}
	tasks->scratch = tasks->kernel->scratch(product, &tasks->shape);
	if (xrnpe_transposed(product)) {
		tasks->rows = (tasks->scratch + 63) / 64 * 64;
		tasks->scratch = tasks->rows + rows_pitch(product) *
				 (tasks->kernel->tiling ? tasks->tiling.lanes : tasks->shape.n1);
	}
}

/* ---- tasks ------------------------------------------------------------ */

/* False if the command is cancelled before. */
static bool wait_for(const struct xrnpe_tasks *tasks, _Atomic uint64_t *count, uint64_t value)
{
	while (atomic_load_explicit(count, memory_order_acquire) < value) {
		if (xrnpe_cancelled(tasks->product->cancel))
			return false;
		sched_yield();
	}
	return true;
}

static void add_one(_Atomic uint64_t *count)
{
	atomic_fetch_add_explicit(count, 1, memory_order_release);
}

/* The channels of @count panels from @panel on, all of a group. */
static struct xrnpe_block block_of(const struct xrnpe_tasks *tasks, uint64_t panel, uint64_t count)
{
	const struct xrnpe_product *product = tasks->product;
	uint64_t first = panel / tasks->group_panels * product->group_channels;
	uint64_t n = panel % tasks->group_panels * tasks->tiling.lanes;

	return (struct xrnpe_block){
		.n0 = first + n,
		.n1 = first + smaller(n + count * tasks->tiling.lanes, product->group_channels),
	};
}

/* The product with the weights of a block's channels as rows, though they may be columns. */
static struct xrnpe_product with_rows(const struct xrnpe_tasks *tasks, const struct xrnpe_block *block,
				      void *scratch)
{
	struct xrnpe_product product = *tasks->product;
	struct xrnpe_factor *weight = &product.weight;
	const uint8_t *from = weight->memory;
	size_t stride = weight->row_stride;

	if (!xrnpe_transposed(&product))
		return product;
	product.first_weight = block->n0;
	weight->memory = (uint8_t *)scratch + tasks->rows;
	weight->row_stride = rows_pitch(&product);
	for (size_t k = 0, some; k < product.k && !xrnpe_cancelled(product.cancel); k += some) {
		some = product.k - k < POLL_ROWS ? product.k - k : POLL_ROWS;
		xrnpe_copy_columns(weight->format, from + k * stride, stride, (size_t)block->n0,
				   (uint8_t *)scratch + tasks->rows, weight->row_stride, k, some,
				   (size_t)(block->n1 - block->n0));
	}
	return product;
}

/* Decode panel @index of all. */
static void fill_panel(const struct xrnpe_tasks *tasks, uint64_t index, void *panel, void *scratch)
{
	struct xrnpe_block block = block_of(tasks, index, 1);
	struct xrnpe_product rows = with_rows(tasks, &block, scratch);

	tasks->kernel->fill(&rows, block.n0, (size_t)(block.n1 - block.n0), panel, scratch);
}

/* Multiply piece @piece of the positions by @count panels, from panel @first of all on. */
static void multiply(const struct xrnpe_tasks *tasks, uint64_t piece, uint64_t first, uint64_t count,
		     const uint8_t *panels, void *scratch, uint32_t *status)
{
	for (uint64_t at = 0, some; at < count; at += some) {
		struct xrnpe_block block;

		/* Up to the end of a group. */
		some = smaller(count - at, tasks->group_panels - (first + at) % tasks->group_panels);
		block = block_of(tasks, first + at, some);
		block.p0 = piece * tasks->shape.p1;
		block.p1 = smaller(block.p0 + tasks->shape.p1, tasks->product->positions);
		tasks->kernel->run(tasks->product, &block, panels + at * tasks->tiling.panel_bytes, scratch, status);
	}
}

static void run_panels(const struct xrnpe_tasks *tasks, uint64_t index, void *scratch, uint32_t *status)
{
	const uint64_t column_tasks = tasks->column_panels + tasks->pieces;
	/* The last column may have fewer panels. */
	uint64_t c = index / column_tasks, i = index % column_tasks, first = c * tasks->column_panels;
	uint64_t panels = smaller(tasks->column_panels, tasks->panels - first);
	uint64_t turn = c / tasks->places, before = turn * tasks->column_panels;
	struct xrnpe_place *place = &tasks->place[c % tasks->places];
	uint8_t *panel = tasks->memory + c % tasks->places * column_bytes(tasks);

	if (i < panels) {
		if (!wait_for(tasks, &place->multiplied, turn * tasks->pieces))
			return;
		fill_panel(tasks, first + i, panel + i * tasks->tiling.panel_bytes, scratch);
		add_one(&place->decoded);
		return;
	}
	if (!wait_for(tasks, &place->decoded, before + panels))
		return;
	/* The column before may have the other half of a byte. */
	if (tasks->share_bytes && c &&
	    !wait_for(tasks, &tasks->place[(c - 1) % tasks->places].multiplied,
		      ((c - 1) / tasks->places + 1) * tasks->pieces))
		return;
	multiply(tasks, i - panels, first, panels, panel, scratch, status);
	add_one(&place->multiplied);
}

static void run_kept(const struct xrnpe_tasks *tasks, uint64_t index, void *scratch, uint32_t *status)
{
	uint64_t first = index / tasks->pieces * tasks->column_panels;

	multiply(tasks, index % tasks->pieces, first, smaller(tasks->column_panels, tasks->panels - first),
		 tasks->kept + first * tasks->tiling.panel_bytes, scratch, status);
}

size_t xrnpe_tasks_kept_bytes(const struct xrnpe_tasks *tasks)
{
	/* Nothing keeps apart columns that share bytes but the places that they take turns at. */
	return tasks->kernel->tiling && !tasks->share_bytes ? tasks->panels * tasks->tiling.panel_bytes : 0;
}

void xrnpe_tasks_keep(struct xrnpe_tasks *tasks, void *memory, void *scratch)
{
	for (uint64_t i = 0; i < tasks->panels; i++)
		fill_panel(tasks, i, (uint8_t *)memory + i * tasks->tiling.panel_bytes, scratch);
	tasks->kept = memory;
	tasks->count = tasks->columns * tasks->pieces;
	tasks->shared = 0;
}

void xrnpe_tasks_start(struct xrnpe_tasks *tasks, void *memory)
{
	if (!tasks->shared)
		return;
	tasks->memory = memory;
	tasks->place = (struct xrnpe_place *)(tasks->memory + tasks->places * column_bytes(tasks));
	memset(tasks->place, 0, tasks->places * sizeof(*tasks->place));
}

void xrnpe_tasks_run(const struct xrnpe_tasks *tasks, uint64_t index, void *scratch, uint32_t *status)
{
	const struct xrnpe_product *product = tasks->product;
	struct xrnpe_product rows;
	struct xrnpe_block block;

	if (tasks->kept) {
		run_kept(tasks, index, scratch, status);
		return;
	}
	if (tasks->kernel->tiling) {
		run_panels(tasks, index, scratch, status);
		return;
	}
	block.p0 = index / tasks->columns * tasks->shape.p1;
	block.n0 = index % tasks->columns * tasks->shape.n1;
	block.p1 = smaller(block.p0 + tasks->shape.p1, product->positions);
	block.n1 = smaller(block.n0 + tasks->shape.n1, product->channels);
	rows = with_rows(tasks, &block, scratch);
	tasks->kernel->run(&rows, &block, NULL, scratch, status);
}
