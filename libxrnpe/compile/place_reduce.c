// SPDX-License-Identifier: MIT
/*
 * Placing of what makes one number of many: the mean, the sum or the largest, by windows that
 * cover all of them.
 */
#include <string.h>

#include "place.h"

/* The node that computes input @i of @node, if its operator is @op; else NULL. */
static const struct graph_node *producer(const struct compiler *compiler,
					 const struct graph_node *node, uint32_t i, const char *op)
{
	uint32_t n = place_producer(compiler, node->inputs[i]);
	const struct graph_node *found = n != GRAPH_NONE ? &compiler->graph->nodes[n] : NULL;

	return found && !strcmp(found->op->name, op) ? found : NULL;
}

/* Whether exponentials are summed of numbers from which the largest was not taken before. */
static bool sums_any_powers(const struct placing *p)
{
	const struct graph_node *powers = producer(p->compiler, p->node, 0, "Exp");
	const struct graph_node *less = powers ? producer(p->compiler, powers, 0, "Sub") : NULL;

	return powers && !(less && producer(p->compiler, less, 1, "ReduceMax"));
}

static bool is_largest(const struct placing *p)
{
	return !strcmp(p->node->op->name, "ReduceMax") || !strcmp(p->node->op->name, "GlobalMaxPool");
}

/*
 * For averages of @count elements that are sums: what makes these of them. Returns NULL, or why
 * there are none.
 */
static const char *set_sum(struct placing *p, const struct image *in, uint32_t count)
{
	if (strcmp(p->node->op->name, "ReduceSum"))
		return NULL;
	if (sums_any_powers(p))
		return "its exponentials are of numbers without a limit";
	place_floats(p, &p->place->factor, in->c, (float)count);
	return NULL;
}

/* What @h and @w cover of @in, which makes @out. */
static const char *reduce(struct placing *p, const struct image *in, const struct image *out,
			  const struct graph_window *h, const struct graph_window *w)
{
	const char *why;

	if (is_largest(p))
		return place_maxima(p, in, out, h, w);
	why = set_sum(p, in, h->kernel * w->kernel);
	return why || p->no_memory ? why : place_averages(p, in, out, h, w);
}

bool place_pixel_windows(const struct image *image, bool of_lines, bool of_pixels, struct image *view,
			 struct graph_window *h, struct graph_window *w)
{
	uint32_t lines = 1, pixels = (uint32_t)image_pixels(image);
	bool all = (of_lines || image->h == 1) && (of_pixels || image->w == 1);

	*view = *image;
	if (all && (image->h > UINT8_MAX || image->w > UINT8_MAX)) {
		while (lines < UINT8_MAX && (pixels % lines || pixels / lines > UINT8_MAX))
			lines++;
		if (pixels % lines == 0)
			*view = (struct image){ lines, pixels / lines, image->c, image->first };
	}
	*h = (struct graph_window){ .kernel = all || of_lines ? view->h : 1, .stride = 1, .dilation = 1 };
	*w = (struct graph_window){ .kernel = all || of_pixels ? view->w : 1, .stride = 1, .dilation = 1 };
	return place_window_fits(h) && place_window_fits(w);
}

static const char *reduce_pixels(struct placing *p, const struct image *in, bool of_lines,
				 bool of_pixels)
{
	const struct image out = {
		of_lines ? 1 : in->h, of_pixels ? 1 : in->w, in->c, in->first,
	};
	uint32_t count = (of_lines ? in->h : 1) * (of_pixels ? in->w : 1);
	struct graph_window h, w;
	struct image view;
	const char *why;

	if (place_pixel_windows(in, of_lines, of_pixels, &view, &h, &w) &&
	    (count <= XRNPE_MAX_K || is_largest(p)))
		return reduce(p, &view, &out, &h, &w);
	if (is_largest(p))
		return PLACE_LARGE_WINDOWS;
	why = set_sum(p, in, count);
	return why || p->no_memory ? why : place_tiles(p, in, &out, of_lines, of_pixels);
}

const char *place_channels(const struct image *image, struct image *view, struct graph_window *h,
			   struct graph_window *w)
{
	uint32_t lines = 1;
	uint64_t pixels;

	while (image->c % lines || image->c / lines > UINT8_MAX)
		lines++;
	*h = (struct graph_window){ .kernel = lines, .stride = lines, .dilation = 1 };
	*w = (struct graph_window){ .kernel = image->c / lines, .stride = 1, .dilation = 1 };
	pixels = image_pixels(image) * (uint64_t)lines;
	*view = (struct image){ (uint32_t)pixels, w->kernel, 1, false };
	if (pixels > UINT16_MAX && lines == 1) {
		w->stride = w->kernel;
		*view = (struct image){ image->h, image->w * image->c, 1, false };
	}
	return view->h > UINT16_MAX || view->w > UINT16_MAX || !place_window_fits(h) ?
	       PLACE_TOO_LARGE : NULL;
}

static const char *reduce_channels(struct placing *p, const struct image *in)
{
	struct graph_window h, w;
	struct image view, out;
	const char *why = place_channels(in, &view, &h, &w);

	if (why)
		return why;
	out = (struct image){ view.h / h.kernel, view.w / w.kernel, 1, in->first };
	p->lies = *in;
	return reduce(p, &view, &out, &h, &w);
}

const char *place_global(struct placing *p)
{
	struct image in;

	if (!image_first(&place_input(p, 0)->shape, &in))
		return PLACE_NO_IMAGE;
	return reduce_pixels(p, &in, true, true);
}

const char *place_reduced(const struct placing *p, struct image *in, bool reduced[IMAGE_NONE])
{
	const struct graph_shape *shape = &place_input(p, 0)->shape;

	if (!graph_count(shape) || !place_image(p, 0, in))
		return PLACE_NO_IMAGE;
	for (uint32_t i = 0; i < shape->rank; i++) {
		enum image_axis axis = image_axis(shape, in, i);

		if (!p->node->params.reduce.reduced[i] || shape->dims[i] == 1)
			continue;
		if (axis == IMAGE_NONE)
			return "the axes that it reduces are not an image's";
		reduced[axis] = true;
	}
	return reduced[IMAGE_C] && (reduced[IMAGE_H] || reduced[IMAGE_W]) ?
	       "reduces channels and pixels" : NULL;
}

const char *place_reduction(struct placing *p)
{
	bool reduced[IMAGE_NONE] = { false };
	struct image in;
	const char *why = place_reduced(p, &in, reduced);

	if (why)
		return why;
	return reduced[IMAGE_C] ? reduce_channels(p, &in) :
				  reduce_pixels(p, &in, reduced[IMAGE_H], reduced[IMAGE_W]);
}
