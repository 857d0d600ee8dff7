/* SPDX-License-Identifier: MIT */
/* Formats of layers, as lines of text: LAYER=WEIGHT/INPUT+ADDED. */
#ifndef XRNPE_FORMATS_H
#define XRNPE_FORMATS_H

#include "xrnpe.h"

/* What was given on the command line; the names of layers are its own. */
struct formats {
	struct xrnpe_layer_formats *list;
	size_t count;
};

/*
 * Append "LAYER=fp4/p8": weights and inputs; "LAYER=p8": both; "LAYER=fp4/p8+p16": what it adds,
 * if that is no input like others; without "LAYER=": of all other layers. Returns 0 or -EINVAL
 * with a message.
 */
int formats_add(struct formats *formats, const char *text, struct xrnpe_error *error);

/* Append all lines of a file, see lines.h. */
int formats_read(struct formats *formats, const char *path, struct xrnpe_error *error);

/* Write the formats of a model's layers as such a file. */
int formats_write(const struct xrnpe_model *model, const char *path, struct xrnpe_error *error);

/* "fp4/p8": weights, inputs, as above; a layer without parameters has inputs only; "cpu". */
void formats_text(const struct xrnpe_layer_info *layer, char *text, size_t size);

void formats_free(struct formats *formats);

#endif
