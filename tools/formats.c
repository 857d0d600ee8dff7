// SPDX-License-Identifier: MIT
/* Choices of formats that can be kept, edited and given again. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "formats.h"
#include "io.h"
#include "lines.h"

/* "fp4/p8", or "p8" for both; "fp4/p8+p16". */
static bool parse_formats(const char *text, struct xrnpe_layer_formats *formats)
{
	char copy[32], *added, *input;

	if (snprintf(copy, sizeof(copy), "%s", text) >= (int)sizeof(copy))
		return false;
	added = strchr(copy, '+');
	if (added)
		*added++ = '\0';
	input = strchr(copy, '/');
	if (input)
		*input++ = '\0';
	formats->adds = added;
	return !xrnpe_format_from_name(copy, &formats->weight) &&
	       !xrnpe_format_from_name(input ? input : copy, &formats->input) &&
	       (!added || !xrnpe_format_from_name(added, &formats->added));
}

int formats_add(struct formats *formats, const char *text, struct xrnpe_error *error)
{
	/* A layer's name may have a '=' in it, the formats have none. */
	const char *equals = strrchr(text, '=');
	struct xrnpe_layer_formats *list, made = { 0 };

	if (!parse_formats(equals ? equals + 1 : text, &made))
		return xrnpe_fail(error, -EINVAL, "%s: is not LAYER=WEIGHT/INPUT, or WEIGHT/INPUT+ADDED, with formats fp4, p4, p8, p16",
				  text);
	list = realloc(formats->list, (formats->count + 1) * sizeof(*list));
	if (!list)
		return xrnpe_fail_memory(error);
	formats->list = list;
	if (equals) {
		made.layer = strndup(text, (size_t)(equals - text));
		if (!made.layer)
			return xrnpe_fail_memory(error);
	}
	list[formats->count++] = made;
	return 0;
}

static int add_line(void *formats, const char *line, struct xrnpe_error *error)
{
	return formats_add(formats, line, error);
}

int formats_read(struct formats *formats, const char *path, struct xrnpe_error *error)
{
	return lines_read(path, add_line, formats, error);
}

/* The format of what it adds, where that is another one, and what stands before it. */
static const char *added_of(const struct xrnpe_layer_info *layer)
{
	return layer->added_format == layer->format ? "" : xrnpe_format_name(layer->added_format);
}

static const char *plus_of(const struct xrnpe_layer_info *layer)
{
	return *added_of(layer) ? "+" : "";
}

/* What only moves or compares numbers has no choice, and nothing is measured of it. */
static bool has_choice(const struct xrnpe_layer_info *layer)
{
	bool measured = false;

	for (unsigned int f = 0; f < XRNPE_PRODUCT_FORMATS; f++)
		measured |= layer->input_error[f] >= 0;
	return layer->place == XRNPE_PLACE_DEVICE && measured;
}

int formats_write(const struct xrnpe_model *model, const char *path, struct xrnpe_error *error)
{
	struct xrnpe_file file;
	int ret = xrnpe_file_create(&file, path, error);

	if (ret)
		return ret;
	fprintf(file.stream, "# layer=format of weights/format of inputs+format of what it adds, if another\n");
	for (unsigned int i = 0; i < xrnpe_model_layer_count(model); i++) {
		const struct xrnpe_layer_info *layer = xrnpe_model_layer(model, i);

		if (has_choice(layer))
			fprintf(file.stream, "%s=%s/%s%s%s\n", layer->name,
				xrnpe_format_name(layer->weight_format),
				xrnpe_format_name(layer->format), plus_of(layer), added_of(layer));
	}
	return xrnpe_file_commit(&file, error);
}

void formats_text(const struct xrnpe_layer_info *layer, char *text, size_t size)
{
	const char *input = xrnpe_format_name(layer->format);

	if (layer->place == XRNPE_PLACE_CPU)
		snprintf(text, size, "cpu");
	else if (layer->float_bytes)
		snprintf(text, size, "%s/%s%s%s", xrnpe_format_name(layer->weight_format), input,
			 plus_of(layer), added_of(layer));
	else
		snprintf(text, size, "%s", input);
}

void formats_free(struct formats *formats)
{
	for (size_t i = 0; i < formats->count; i++)
		free((char *)formats->list[i].layer);
	free(formats->list);
}
