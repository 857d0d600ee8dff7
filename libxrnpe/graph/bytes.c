// SPDX-License-Identifier: MIT
#include "bytes.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

/* Most channels of what is taken for an image whichever way its dimensions are. */
#define USUAL_CHANNELS 4
/* Means beyond are none of bytes, and would take their precision. */
#define MOST_MEAN 65536

/* ---- numbers --------------------------------------------------------------- */

/* The index of a channel of a pixel, where channels are outermost or innermost. */
static size_t index_of(const struct graph_bytes *bytes, bool first, size_t pixel, size_t channel)
{
	return first ? channel * bytes->height * bytes->width + pixel :
		       pixel * bytes->channels + channel;
}

int bytes_decode(const struct graph_bytes *bytes, const float *values, float *reals)
{
	size_t pixels = (size_t)bytes->height * bytes->width;

	for (size_t p = 0; p < pixels; p++) {
		for (uint32_t c = 0; c < bytes->channels; c++) {
			float byte = values[index_of(bytes, bytes->planar, p, c)];

			if (!(byte >= 0 && byte <= UINT8_MAX && byte == floorf(byte)))
				return -EINVAL;
			reals[index_of(bytes, bytes->first, p, c)] = (byte - bytes->mean[c]) * bytes->scale[c];
		}
	}
	return 0;
}

void bytes_encode(const struct graph_bytes *bytes, const float *reals, uint8_t *to)
{
	size_t pixels = (size_t)bytes->height * bytes->width;

	for (size_t p = 0; p < pixels; p++) {
		for (uint32_t c = 0; c < bytes->channels; c++) {
			float real = reals[index_of(bytes, bytes->first, p, c)];

			to[index_of(bytes, bytes->planar, p, c)] =
				(uint8_t)(lroundf(real / bytes->scale[c] + bytes->mean[c]));
		}
	}
}

/* ---- making them ----------------------------------------------------------- */

const struct graph_bytes *bytes_input(const struct xrnpe_graph *graph, uint32_t i)
{
	return graph->bytes && graph->bytes[i].channels ? &graph->bytes[i] : NULL;
}

void bytes_free(struct xrnpe_graph *graph)
{
	for (uint32_t i = 0; graph->bytes && i < graph->input_count; i++) {
		free(graph->bytes[i].mean);
		free(graph->bytes[i].scale);
	}
	free(graph->bytes);
}

/* Whether an image's channels are its second dimension, not its last. */
static bool has_channels_first(const struct xrnpe_tensor_info *info)
{
	return info->dims[1] <= USUAL_CHANNELS || info->dims[3] > USUAL_CHANNELS;
}

/* @from, of one channel or of all, or NULL: all @value. */
static float *by_channel(const float *from, size_t count, uint32_t channels, float value)
{
	float *values = malloc(channels * sizeof(*values));

	for (uint32_t c = 0; values && c < channels; c++)
		values[c] = !from ? value : from[count > 1 ? c : 0];
	return values;
}

static int make(struct xrnpe_graph *graph, uint32_t i, const struct xrnpe_byte_input *from,
		struct xrnpe_error *error)
{
	struct xrnpe_tensor_info *info = &graph->infos[i];
	struct graph_bytes *bytes = &graph->bytes[i];
	uint32_t channels;
	bool first, finite = true;
	char name[64];

	graph_printable(info->name, name);
	if (info->type != XRNPE_TYPE_FLOAT || info->rank != 4 || info->dims[0] != 1)
		return xrnpe_fail(error, -ENOTSUP,
				  "%s: input %s cannot be given as bytes: it is no image of 1 x channels x height x width, or 1 x height x width x channels",
				  graph->name, name);
	first = has_channels_first(info);
	channels = (uint32_t)info->dims[first ? 1 : 3];
	if (from->channels > 1 && from->channels != channels)
		return xrnpe_fail(error, -EINVAL,
				  "%s: input %s has %u channels, but means or scales are given for %zu",
				  graph->name, name, channels, from->channels);
	*bytes = (struct graph_bytes){
		.height = (uint32_t)info->dims[first ? 2 : 1],
		.width = (uint32_t)info->dims[first ? 3 : 2],
		.channels = channels, .first = first, .planar = from->planar && channels > 1,
		.mean = by_channel(from->mean, from->channels, channels, 0),
		.scale = by_channel(from->scale, from->channels, channels, 1),
	};
	if (!bytes->mean || !bytes->scale)
		return xrnpe_fail_memory(error);
	for (uint32_t c = 0; c < channels; c++)
		finite &= fabsf(bytes->mean[c]) <= MOST_MEAN && isnormal(bytes->scale[c]);
	if (!finite)
		return xrnpe_fail(error, -EINVAL, "%s: a mean or scale of input %s is out of range",
				  graph->name, name);
	info->type = XRNPE_TYPE_BYTE;
	info->dims[1] = from->planar ? channels : bytes->height;
	info->dims[2] = from->planar ? bytes->height : bytes->width;
	info->dims[3] = from->planar ? bytes->width : channels;
	return 0;
}

int bytes_set(struct xrnpe_graph *graph, const struct xrnpe_graph_options *options,
	      struct xrnpe_error *error)
{
	int ret = 0;

	if (!options || !options->byte_count)
		return 0;
	graph->bytes = calloc(graph->input_count + 1, sizeof(*graph->bytes));
	if (!graph->bytes)
		return xrnpe_fail_memory(error);
	for (size_t k = 0; !ret && k < options->byte_count; k++) {
		const struct xrnpe_byte_input *from = &options->bytes[k];
		uint32_t i = 0;

		while (i < graph->input_count && from->input && strcmp(graph->infos[i].name, from->input))
			i++;
		if (!from->input && graph->input_count != 1)
			ret = xrnpe_fail(error, -EINVAL, "%s: has %u inputs: which is given as bytes?",
					 graph->name, graph->input_count);
		else if (i == graph->input_count)
			ret = xrnpe_fail(error, -EINVAL, "%s: has no input %s to be given as bytes",
					 graph->name, from->input);
		else if (graph->bytes[i].channels)
			ret = xrnpe_fail(error, -EINVAL, "%s: input %s is given as bytes twice", graph->name,
					 graph->infos[i].name);
		else
			ret = make(graph, i, from, error);
	}
	return ret;
}
