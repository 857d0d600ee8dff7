// SPDX-License-Identifier: MIT
/*
 * Placing of what takes several convolutions, each of which makes other elements of the
 * output: those that have the same taps, or channels that something is added to; or each of
 * which adds up a part. Along an axis elements with the same taps are runs, of such that are
 * equally far apart, as is what they are made of.
 */
#include <stdlib.h>
#include <string.h>

#include "operators/families.h"
#include "operators/windows.h"
#include "place.h"

/* A node of more convolutions takes more to set them up than to compute them. */
#define MOST_PIECES 1024

struct run {
	uint32_t out, out_step, count;	/* elements of the output */
	uint32_t in;			/* what lies before it is not read */
	struct graph_window window;	/* over the input from there on; for @count elements */
	uint32_t tap, tap_step;		/* the kernel's, backwards; GRAPH_NONE: zero */
	float weight[2];		/* of an interpolation or an average: of the first tap, and of others */
};

bool place_in_pieces(struct placing *p, uint32_t count)
{
	p->place->pieces = calloc(count, sizeof(*p->place->pieces));
	p->place->piece_count = p->place->pieces ? count : 0;
	p->no_memory |= !p->place->pieces;
	for (uint32_t i = 0; i < p->place->piece_count; i++)
		p->place->pieces[i] = (struct place_piece){
			.cmd = p->place->cmd, .from = IMAGE_WHOLE, .to = IMAGE_WHOLE,
		};
	return p->place->pieces;
}

void place_sum(struct place_piece *piece, uint32_t i, uint32_t count)
{
	piece->continues = i > 0;
	piece->partial = i + 1 < count;
	if (piece->continues)
		piece->cmd.flags |= XRNPE_CMD_RESIDUAL;
}

/* ---- two axes ---------------------------------------------------------- */

/* Runs along both axes of an image. */
struct grid {
	struct run *h, *w;
	uint32_t h_count, w_count;
};

/* The piece of two runs, and how many taps it has. */
static uint32_t set_piece(const struct run *h, const struct run *w, const struct image *in,
			  const struct image *out, uint32_t groups, struct place_piece *piece)
{
	const struct image rest = { in->h - h->in, in->w - w->in, in->c, in->first };
	const struct image made = { h->count, w->count, out->c, out->first };

	place_windows(&piece->cmd, XRNPE_OP_CONV2D, &rest, &made, &h->window, &w->window, groups);
	piece->from = (struct image_part){ h->in, w->in, 0, 1, 1 };
	piece->to = (struct image_part){ h->out, w->out, 0, h->out_step, w->out_step };
	return h->window.kernel * w->window.kernel;
}

/* A piece for each pair of runs, and taps one behind the other. */
static bool set_pieces(struct placing *p, const struct grid *grid, const struct image *in,
		       const struct image *out, uint32_t groups)
{
	uint32_t taps = 0;

	if (!place_in_pieces(p, grid->h_count * grid->w_count))
		return false;
	for (uint32_t i = 0; i < p->place->piece_count; i++) {
		struct place_piece *piece = &p->place->pieces[i];

		piece->tap = taps;
		taps += set_piece(&grid->h[i / grid->w_count], &grid->w[i % grid->w_count], in, out,
				  groups, piece);
	}
	p->place->cmd = p->place->pieces[0].cmd;
	p->place->weights.taps = taps;
	return true;
}

/* ---- transposed convolution -------------------------------------------- */

/* A run without a tap: of zeros, by which something is multiplied. */
static void set_empty(struct run *run)
{
	run->in = 0;
	run->tap = GRAPH_NONE;
	run->window = (struct graph_window){ .kernel = 1, .stride = 1, .dilation = 1 };
}

/*
 * Element y of the output is the sum of the taps k times elements (y + pad - k dilation) /
 * stride of the input, where that is an integer. So elements a stride apart have the same
 * taps, and each next of them reads the next element of the input.
 */
static void find_phase(const struct graph_window *axis, uint32_t in, uint32_t out, uint32_t phase,
		       struct run *run)
{
	uint32_t at = phase + axis->pad_begin, first = 0, step = 1, taps;
	int64_t begin;

	*run = (struct run){
		.out = phase, .out_step = axis->stride, .count = (out - phase - 1) / axis->stride + 1,
	};
	while (step * axis->dilation % axis->stride)
		step++;
	while (first < step && first * axis->dilation % axis->stride != at % axis->stride)
		first++;
	if (first == step || first >= axis->kernel) {
		set_empty(run);
		return;
	}
	taps = (axis->kernel - first - 1) / step + 1;
	run->tap = first + (taps - 1) * step;
	run->tap_step = step;
	run->window = (struct graph_window){
		.kernel = taps, .stride = 1, .dilation = step * axis->dilation / axis->stride,
	};
	/* What the last tap, which comes first, is multiplied with. */
	begin = ((int64_t)at - (int64_t)run->tap * axis->dilation) / axis->stride;
	if (begin >= (int64_t)in)
		set_empty(run);
	else if (begin >= 0)
		run->in = (uint32_t)begin;
	else
		run->window.pad_begin = (uint32_t)-begin;
}

/* A run for each phase that the output has; their number. */
static uint32_t find_phases(const struct graph_window *axis, uint32_t in, uint32_t out,
			    struct run *runs)
{
	uint32_t count = axis->stride < out ? axis->stride : out;

	for (uint32_t i = 0; i < count; i++)
		find_phase(axis, in, out, i, &runs[i]);
	return count;
}

/* Which tap of the kernel, whose lines have @width, each tap of the pieces is. */
static void set_order(const struct grid *grid, uint32_t width, uint32_t *order)
{
	for (uint32_t i = 0; i < grid->h_count * grid->w_count; i++) {
		const struct run *h = &grid->h[i / grid->w_count], *w = &grid->w[i % grid->w_count];

		for (uint32_t y = 0; y < h->window.kernel; y++) {
			for (uint32_t x = 0; x < w->window.kernel; x++)
				*order++ = h->tap == GRAPH_NONE || w->tap == GRAPH_NONE ? GRAPH_NONE :
					   (h->tap - y * h->tap_step) * width + w->tap - x * w->tap_step;
		}
	}
}

static const char *check_phases(const struct grid *grid, uint32_t channels)
{
	if (grid->h_count * grid->w_count > MOST_PIECES)
		return "is made of more than 1024 convolutions";
	for (uint32_t i = 0; i < grid->h_count * grid->w_count; i++) {
		const struct graph_window *h = &grid->h[i / grid->w_count].window;
		const struct graph_window *w = &grid->w[i % grid->w_count].window;

		if (!place_window_fits(h) || !place_window_fits(w))
			return PLACE_LARGE_WINDOWS;
		if ((uint64_t)h->kernel * w->kernel * channels > XRNPE_MAX_K)
			return "a sum has more than 32768 products";
	}
	return NULL;
}

/* The phases of both axes as one grid, and the node from these. */
static const char *place_phases(struct placing *p, const struct image *in, const struct image *out,
				struct run runs[2][UINT8_MAX])
{
	const struct graph_windows *windows = &p->node->params.windows;
	const struct graph_window h = place_lines(windows), w = place_pixels(windows);
	const struct grid grid = {
		runs[0], runs[1], find_phases(&h, in->h, out->h, runs[0]),
		find_phases(&w, in->w, out->w, runs[1]),
	};
	uint32_t in_c = in->c / windows->groups, out_c = out->c / windows->groups;
	size_t taps = (size_t)h.kernel * w.kernel;
	struct weights *weights = &p->place->weights;
	const char *why = check_phases(&grid, in_c);

	if (why || !place_biases(p, out->c))
		return why ? why : PLACE_COMPUTED_WEIGHTS;
	if (!set_pieces(p, &grid, in, out, windows->groups))
		return NULL;
	weights->order = malloc(weights->taps * sizeof(*weights->order));
	p->no_memory |= !weights->order;
	if (p->no_memory)
		return NULL;
	set_order(&grid, w.kernel, weights->order);
	weights->tensor = p->node->inputs[1];
	weights->out_c = out->c;
	weights->in_c = in_c;
	weights->groups = windows->groups;
	weights->stride_t = 1;
	weights->stride_n = taps;
	weights->stride_c = taps * out_c;
	weights->stride_group = taps * out_c * in_c;
	place_weights(p, in, out);
	return NULL;
}

const char *place_transposed_convolution(struct placing *p)
{
	struct run (*runs)[UINT8_MAX];
	struct image in, out;
	const char *why = place_window_images(p, &in, &out);

	if (why)
		return why;
	if (!place_constant(p, 1))
		return PLACE_COMPUTED_WEIGHTS;
	runs = calloc(2, sizeof(*runs));
	p->no_memory |= !runs;
	if (runs)
		why = place_phases(p, &in, &out, runs);
	free(runs);
	return why;
}

/* ---- interpolation ----------------------------------------------------- */

/* Twice, half, or thrice the size: more runs are of a factor that is no small number. */
#define MOST_RUNS 12

/* Whether element @i, of the same taps as @run, at @in of the input, is the next of it. */
static bool continues(const struct run *run, uint32_t i, uint32_t in)
{
	uint32_t first = run->in + (run->count - 1) * run->window.stride;

	if (run->count == 1)
		return in > run->in && in - run->in <= UINT8_MAX;
	return i == run->out + run->count * run->out_step && in == first + run->window.stride;
}

static void append(struct run *run, uint32_t i, uint32_t in)
{
	if (run->count == 1) {
		run->out_step = i - run->out;
		run->window.stride = in - run->in;
	}
	run->count++;
}

/* Element @one as the next of a run, the latest of several, or as a new one. False: they are too many. */
static bool add_element(struct run *runs, uint32_t *count, const struct run *one)
{
	uint32_t k = *count;

	while (k && (runs[k - 1].weight[0] != one->weight[0] ||
		     runs[k - 1].window.kernel != one->window.kernel ||
		     !continues(&runs[k - 1], one->out, one->in)))
		k--;
	if (!k && *count == MOST_RUNS)
		return false;
	if (k)
		append(&runs[k - 1], one->out, one->in);
	else
		runs[(*count)++] = *one;
	return true;
}

/* Runs of Resize's axis @axis, of elements with the same weights; 0: they are too many. */
static uint32_t find_runs(const struct graph_node *node, uint32_t axis, uint32_t in, uint32_t out,
			  struct run *runs)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < out; i++) {
		struct run one = { .out = i, .out_step = 1, .count = 1 };

		one.in = resize_weights(node, axis, in, out, i, one.weight);
		one.window = (struct graph_window){
			.kernel = one.weight[1] != 0 ? 2 : 1, .stride = 1, .dilation = 1,
		};
		if (!add_element(runs, &count, &one))
			return 0;
	}
	return count;
}

/* The runs of the axis of @shape that is @along of @image; of one that stays, a single run. */
static uint32_t find_axis(const struct placing *p, const struct image *image, enum image_axis along,
			  uint32_t size, struct run *runs)
{
	const struct graph_shape *from = &place_input(p, 0)->shape, *to = &place_output(p)->shape;

	for (uint32_t i = 0; i < to->rank; i++) {
		if (to->dims[i] != from->dims[i] && image_axis(to, image, i) == along)
			return find_runs(p->node, i, from->dims[i], to->dims[i], runs);
	}
	runs[0] = (struct run){
		.out_step = 1, .count = size, .weight = { 1 },
		.window = { .kernel = 1, .stride = 1, .dilation = 1 },
	};
	return 1;
}

bool place_interpolates(const struct graph_node *node, const struct graph_shape *in,
			const struct graph_shape *out)
{
	struct run runs[MOST_RUNS];

	for (uint32_t i = 0; i < in->rank; i++) {
		if (in->dims[i] != out->dims[i] && !find_runs(node, i, in->dims[i], out->dims[i], runs))
			return false;
	}
	return true;
}

/* A piece for each pair of runs, with weights by both. */
static void place_runs(struct placing *p, const struct grid *grid, const struct image *in,
		       const struct image *out)
{
	float *fixed;

	if (!set_pieces(p, grid, in, out, in->c) ||
	    !place_floats(p, &p->place->weights.fixed, p->place->weights.taps, 0))
		return;
	fixed = p->place->weights.fixed;
	for (uint32_t i = 0; i < p->place->piece_count; i++) {
		const struct run *lines = &grid->h[i / grid->w_count], *pixels = &grid->w[i % grid->w_count];

		for (uint32_t y = 0; y < lines->window.kernel; y++) {
			for (uint32_t x = 0; x < pixels->window.kernel; x++)
				*fixed++ = lines->weight[y > 0] * pixels->weight[x > 0];
		}
	}
	place_average(p, in, out);
}

const char *place_interpolation(struct placing *p, const struct image *in, const struct image *out)
{
	struct run h[MOST_RUNS], w[MOST_RUNS];
	const struct grid grid = {
		h, w, find_axis(p, out, IMAGE_H, out->h, h), find_axis(p, out, IMAGE_W, out->w, w),
	};

	if (!grid.h_count || !grid.w_count)
		return "its weights differ from pixel to pixel";
	place_runs(p, &grid, in, out);
	return NULL;
}

/* ---- averages ---------------------------------------------------------- */

/*
 * Runs of windows along an axis that have as many of @in elements. Those are of the largest number
 * they are divided by, *@most, with weights that make up for what others are divided by. 0: they are
 * too many.
 */
static uint32_t find_windows(const struct graph_window *axis, bool count_padding, uint32_t in,
			     uint32_t out, struct run *runs, size_t *most)
{
	uint32_t count = 0;

	*most = 0;
	for (uint32_t pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < out; i++) {
			const struct window_taps taps = window_taps(axis, in, i);
			size_t divisor = count_padding ? taps.padded : taps.count;
			float weight = (float)*most / (float)divisor;
			const struct run one = {
				.out = i, .out_step = 1, .count = 1, .in = (uint32_t)taps.first,
				.window = { .kernel = (uint32_t)taps.count, .stride = 1,
					    .dilation = axis->dilation },
				.weight = { weight, weight },
			};

			if (!pass)
				*most = divisor > *most ? divisor : *most;
			else if (!add_element(runs, &count, &one))
				return 0;
		}
	}
	return count;
}

const char *place_uneven(struct placing *p, const struct image *in, const struct image *out)
{
	const struct graph_windows *windows = &p->node->params.windows;
	const struct graph_window y = place_lines(windows), x = place_pixels(windows);
	struct run h[MOST_RUNS], w[MOST_RUNS];
	size_t lines, pixels;
	const struct grid grid = {
		h, w, find_windows(&y, windows->count_padding, in->h, out->h, h, &lines),
		find_windows(&x, windows->count_padding, in->w, out->w, w, &pixels),
	};

	if (!grid.h_count || !grid.w_count)
		return "its averages at the border are over many numbers of elements";
	if ((uint64_t)y.kernel * x.kernel > XRNPE_MAX_K)
		return "a sum has more than 32768 products";
	if (place_floats(p, &p->place->factor, in->c, 1.0f / (float)(lines * pixels)))
		place_runs(p, &grid, in, out);
	return NULL;
}

/*
 * What one command adds up along each of two axes, at most: windows have 255 elements, sums 32768.
 */
#define TILE 128

static uint32_t tile(uint32_t size, uint32_t from)
{
	return size - from < TILE ? size - from : TILE;
}

const char *place_tiles(struct placing *p, const struct image *in, const struct image *out,
			bool of_lines, bool of_pixels)
{
	uint32_t lines = of_lines ? in->h : 1, pixels = of_pixels ? in->w : 1;
	uint32_t columns = (pixels + TILE - 1) / TILE, count = (lines + TILE - 1) / TILE * columns;

	if (count > MOST_PIECES)
		return "is made of more than 1024 convolutions";
	if (!place_in_pieces(p, count))
		return NULL;
	for (uint32_t i = 0; i < count; i++) {
		struct place_piece *piece = &p->place->pieces[i];
		uint32_t y = i / columns * TILE, x = i % columns * TILE;
		const struct graph_window h = { .kernel = tile(lines, y), .stride = 1, .dilation = 1 };
		const struct graph_window w = { .kernel = tile(pixels, x), .stride = 1, .dilation = 1 };
		const struct image part = {
			of_lines ? h.kernel : in->h, of_pixels ? w.kernel : in->w, in->c, in->first,
		};

		place_windows(&piece->cmd, XRNPE_OP_CONV2D, &part, out, &h, &w, in->c);
		piece->from.h = y;
		piece->from.w = x;
		place_sum(piece, i, count);
	}
	p->place->cmd = p->place->pieces[0].cmd;
	p->place->weights.taps = lines * pixels;
	place_average(p, in, out);
	return NULL;
}

/* ---- channels that something is added to ------------------------------- */

/* Whether nothing but one node reads @tensor. */
static bool is_read_once(const struct xrnpe_graph *graph, uint32_t tensor)
{
	uint32_t *readers = graph_readers(graph);
	bool once = readers && readers[tensor] == 1;

	free(readers);
	return once;
}

/*
 * Whether @plan, of a Pad, makes an image like @out by channels of zeros, of which *@first come
 * before what it reads, so that no byte of 4-bit codes is divided.
 */
static bool pads_channels(const struct node_plan *plan, const struct image *out, uint32_t *first)
{
	const struct xrnpe_dims_copy *copy = &plan->place.cmd.copy;
	const struct image *in = &plan->place.reads[0].image;

	*first = copy->pad_c;
	return plan->place.kind == PLACE_COPY && plan->place.fill == 0 && out->first && in->first &&
	       in->h == out->h && in->w == out->w && copy->out_c == out->c && copy->in_c < out->c &&
	       *first % 2 == 0 && (in->c % 2 == 0 || *first + in->c == out->c);
}

/* A piece for the channels before @first, those of @in from there on, and what is left. */
static bool divide_channels(struct placing *p, const struct image *in, uint32_t first,
			    uint32_t channels)
{
	const uint32_t ends[] = { first, first + in->c, channels };
	uint32_t count = 0, row = 0;

	if (!place_in_pieces(p, 1 + (first > 0) + (ends[1] < channels)))
		return false;
	for (int i = 0; i < 3; row = ends[i++]) {
		struct place_piece *piece = &p->place->pieces[count];

		if (row == ends[i])
			continue;
		if (row != first)
			piece->cmd.flags &= ~XRNPE_CMD_RESIDUAL;
		if (piece->cmd.opcode == XRNPE_OP_MATMUL)
			piece->cmd.matmul.n = ends[i] - row;
		else
			piece->cmd.image.out_c = (uint16_t)(ends[i] - row);
		piece->row = piece->to.c = row;
		count++;
	}
	return true;
}

void place_unpadded(struct placing *p)
{
	static const struct choice choice = { XRNPE_FORMAT_P8, XRNPE_FORMAT_P8 };
	struct compiler *compiler = p->compiler;
	uint32_t padded = p->node->inputs[GRAPH_RESIDUAL], n = place_producer(compiler, padded), first;
	const struct image *out = &compiler->tensors[p->node->outputs[0]].image;
	const struct node_plan *pad = n == GRAPH_NONE ? NULL : &compiler->nodes[n];
	struct place *place = p->place;
	const struct place_read whole = place->reads[1];
	const struct node_plan before = { .place = *place };
	uint64_t cycles;

	if (!pad || place->weights.groups != 1 || place->piece_count ||
	    strcmp(compiler->graph->nodes[n].op->name, "Pad") || !pads_channels(pad, out, &first) ||
	    !is_read_once(compiler->source, padded))
		return;
	cycles = lower_cost(&before, out, choice).cycles + lower_cost(pad, out, choice).cycles;
	if (!divide_channels(p, &pad->place.reads[0].image, first, out->c))
		return;
	place->reads[1].tensor = pad->place.reads[0].tensor;
	place->reads[1].image = pad->place.reads[0].image;
	if (lower_cost(&(struct node_plan){ .place = *place }, out, choice).cycles < cycles) {
		p->node->inputs[GRAPH_RESIDUAL] = place->reads[1].tensor;
		p->node->residual_first = (size_t)first * image_pixels(out);
		return;
	}
	place->reads[1] = whole;
	free(place->pieces);
	place->pieces = NULL;
	place->piece_count = 0;
}
