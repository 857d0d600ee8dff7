/* SPDX-License-Identifier: MIT */
/*
 * The windows of convolutions where tiles find them, without im2col: in the decoded lines of
 * the image. Positions side by side are a fixed distance apart there, so a tile is some groups,
 * each of four such positions, a quad, or of seven; at the end of a line of the output there may
 * be fewer. Taps side by side are a run, in which values follow each other. Included with ROWS,
 * a multiple of QUAD, defined.
 */
#ifndef XRNPE_DATAPATH_WINDOWS_H
#define XRNPE_DATAPATH_WINDOWS_H

#include "lines.h"

#define QUAD 4
#define QUADS (ROWS / QUAD)
#define SEVEN 7			/* as many as there are in lines of 7 x 2^n positions */
#define MOST_GROUPS 7
#define MOST_LINES QUADS	/* of the output that a tile may be of */

/* What a line of the output sees of the image. */
struct sight {
	int64_t y;				/* the line; -1: none yet */
	struct xrnpe_line *line[UINT8_MAX];	/* by line of the kernel */
	bool any_nar;
};

struct windows {
	/* Of the first positions of a tile's groups, by line of the kernel. */
	const uint8_t *at[UINT8_MAX][MOST_GROUPS];
	size_t row[MOST_GROUPS];	/* those positions, of the tile */
	bool any_nar;			/* in what it sees, and around it */
	size_t group, groups;		/* positions of a group, and groups of a tile, at the most */
	size_t pitch;			/* bytes from position to position in a group */
	size_t lines, runs, run_pitch;	/* of a window, and in each of its lines */

	struct xrnpe_lines image;
	struct sight sight[MOST_LINES];
};

/* Runs in a line of a window. */
static inline size_t runs_in_line(const struct xrnpe_dims_image *d)
{
	return d->dilation_w == 1 ? 1 : d->kernel_w;
}

/* Bytes of memory for windows_start(); 0 if there cannot be lines. Tiles read past them a bit. */
static inline size_t windows_size(const struct xrnpe_product *product, const struct xrnpe_decoder *decoder)
{
	size_t channels = xrnpe_inputs(product), lines = xrnpe_lines_size(product, decoder, channels, MOST_LINES);

	return lines ? lines + SEVEN * product->cmd->image.stride_w * channels * decoder->size + 64 : 0;
}

/* For the group of output channel @n; tiles of QUADS quads. */
static inline void windows_start(struct windows *windows, const struct xrnpe_product *product,
				 const struct xrnpe_decoder *decoder, uint64_t n, void *memory)
{
	const struct xrnpe_dims_image *d = &product->cmd->image;

	xrnpe_lines_start_group(&windows->image, product, decoder, n, MOST_LINES, memory);
	windows->group = QUAD;
	windows->groups = QUADS;
	windows->pitch = d->stride_w * windows->image.pixel;
	windows->lines = d->kernel_h;
	windows->runs = runs_in_line(d);
	windows->run_pitch = d->dilation_w * windows->image.pixel;
	for (size_t i = 0; i < MOST_LINES; i++)
		windows->sight[i].y = -1;
}

/* Other tiles: @groups of @group positions, or as many as are of MOST_LINES lines. */
static inline void windows_group(struct windows *windows, size_t group, size_t groups)
{
	size_t in_line = (windows->image.product->cmd->image.out_w - 1) / group + 1;
	size_t most = (MOST_LINES - 1) * in_line + 1;

	windows->group = group;
	windows->groups = groups < most ? groups : most;
}

/* What a tile has to know where windows are something else: one run of values each, @pitch apart. */
static inline void windows_of_runs(struct windows *windows, size_t group, size_t pitch)
{
	windows->group = group;
	windows->pitch = pitch;
	windows->lines = windows->runs = 1;
	windows->run_pitch = 0;
}

/* The line of the image that line @i of the kernel sees from line @y of the output. */
static inline struct xrnpe_line *windows_line(struct windows *windows, uint64_t y, size_t i)
{
	const struct xrnpe_dims_image *d = &windows->image.product->cmd->image;

	return xrnpe_lines_at(&windows->image, y * d->stride_h + i * d->dilation_h);
}

/* NULL if the command is cancelled. */
static inline struct sight *windows_look(struct windows *windows, uint64_t y)
{
	struct sight *sight = &windows->sight[y % MOST_LINES];

	if (sight->y == (int64_t)y)
		return sight;
	sight->y = (int64_t)y;
	sight->any_nar = false;
	for (size_t i = 0; i < windows->lines; i++) {
		if (xrnpe_cancelled(windows->image.product->cancel))
			return NULL;
		sight->line[i] = windows_line(windows, y, i);
		sight->any_nar |= sight->line[i]->any_nar;
	}
	return sight;
}

/*
 * Whether any input of the position in column @x of line @y of the output is NaR. @d: the command's
 * dimensions, or with its lines some of other columns.
 */
static inline bool windows_nar_at(struct windows *windows, const struct xrnpe_dims_image *d, uint64_t y, uint64_t x)
{
	bool nar = false;

	for (size_t i = 0; i < d->kernel_h; i++) {
		const struct xrnpe_line *line = windows_line(windows, y, i);

		for (size_t j = 0; line->any_nar && j < d->kernel_w; j++)
			nar |= line->nar[x * d->stride_w + j * d->dilation_w];
	}
	return nar;
}

/*
 * Place a tile: as many of the positions from @p on, before @end, as groups take. Returns the
 * number of those, 0 if the command is cancelled. @rows: out, positions; @nar: out, if there is
 * any_nar, by position, whether an input is NaR.
 */
static inline size_t windows_place(struct windows *windows, uint64_t p, uint64_t end, size_t *rows, bool *nar)
{
	const struct xrnpe_dims_image *d = &windows->image.product->cmd->image;
	/* There are less than 2^32 positions. */
	uint32_t width = d->out_w, y = (uint32_t)p / width, x = (uint32_t)p % width;
	size_t q;

	*rows = 0;
	windows->any_nar = false;
	for (q = 0; q < windows->groups && p < end; q++) {
		size_t some = windows->group, offset = x * windows->pitch;
		const struct sight *sight = windows_look(windows, y);

		if (!sight)
			return 0;
		some = width - x < some ? width - x : some;
		some = end - p < some ? (size_t)(end - p) : some;
		for (size_t i = 0; i < windows->lines; i++)
			windows->at[i][q] = sight->line[i]->values + offset;
		windows->row[q] = *rows;
		windows->any_nar |= sight->any_nar;
		*rows += some;
		p += some;
		x += (uint32_t)some;
		if (x == width) {
			x = 0;
			y++;
		}
	}
	for (size_t i = 0; windows->any_nar && i < *rows; i++) {
		uint64_t at = p - *rows + i;

		nar[i] = windows_nar_at(windows, d, at / width, at % width);
	}
	return q;
}

/* The positions that the last group of a line lacks. */
static inline uint64_t windows_lack(const struct xrnpe_product *product, size_t group)
{
	return (group - product->cmd->image.out_w % group) % group;
}

/*
 * Whether tiles are faster than im2col, which takes a share of the time of the products
 * of each panel of @lanes channels: what groups lack of positions must cost less.
 */
static inline bool windows_pay(const struct xrnpe_product *product, size_t group, uint64_t lanes)
{
	const uint64_t share = 4, width = product->cmd->image.out_w;

	return windows_lack(product, group) * xrnpe_panels(product->group_channels, lanes) * share <= width;
}

#endif
