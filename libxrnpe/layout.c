// SPDX-License-Identifier: MIT
/* How tensors lie in memory, told by the dimensions of their shape. */
#include <errno.h>

#include "datapath.h"
#include "error.h"
#include "graph.h"
#include "model.h"

/* An axis of the device's view: @size elements, @stride bytes apart. */
struct axis {
	size_t size, stride;
};

/*
 * The axes in C order of the shape, the innermost first. Those that follow each other without
 * a gap are one. Returns how many.
 */
static unsigned int find_axes(const struct xrnpe_model_tensor *t, struct axis axes[3])
{
	const struct axis channels = { t->channels, xrnpe_format_bits(t->format) / 8 };
	const struct axis pixels = { t->width, t->pixel_stride }, rows = { t->height, t->row_stride };
	const struct axis all[] = {
		t->channels_first ? pixels : channels, t->channels_first ? rows : pixels,
		t->channels_first ? channels : rows,
	};
	unsigned int count = 0;

	for (unsigned int i = 0; i < 3; i++) {
		struct axis *last = count ? &axes[count - 1] : NULL;

		if (last && (all[i].size == 1 || all[i].stride == last->size * last->stride))
			last->size *= all[i].size;
		else if (last && last->size == 1)
			*last = all[i];
		else
			axes[count++] = all[i];
	}
	return count;
}

/* The stride of a dimension of @size elements which in C order are @step elements apart. */
static bool find_stride(const struct axis *axes, unsigned int count, size_t step, size_t size,
			size_t *stride)
{
	for (unsigned int i = 0; i < count; i++) {
		if (step < axes[i].size || (size == 1 && i + 1 == count)) {
			*stride = step * axes[i].stride;
			return step * size <= axes[i].size || size == 1;
		}
		if (step % axes[i].size)
			return false;
		step /= axes[i].size;
	}
	return false;
}

static int find_layout(const struct xrnpe_model *model, const struct xrnpe_model_tensor *t,
		       struct xrnpe_layout *layout, struct xrnpe_error *error)
{
	struct axis axes[3];
	unsigned int count = find_axes(t, axes);
	size_t step = 1;
	char name[64];

	*layout = (struct xrnpe_layout){ .format = t->format, .size = xrnpe_model_tensor_bytes(t) };
	for (unsigned int i = t->info.rank; i--; step *= t->info.dims[i]) {
		if (!find_stride(axes, count, step, t->info.dims[i], &layout->strides[i]))
			return xrnpe_fail(error, -ENOTSUP, "%s: %s lies in an order that strides cannot tell",
					  model->name, graph_printable(t->info.name, name));
	}
	return 0;
}

int xrnpe_model_input_layout(const struct xrnpe_model *model, unsigned int i,
			     struct xrnpe_layout *layout, struct xrnpe_error *error)
{
	return find_layout(model, &model->tensors[i], layout, error);
}

int xrnpe_model_output_layout(const struct xrnpe_model *model, unsigned int i,
			      struct xrnpe_layout *layout, struct xrnpe_error *error)
{
	return find_layout(model, &model->tensors[model->input_count + i], layout, error);
}
