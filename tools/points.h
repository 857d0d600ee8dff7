/* SPDX-License-Identifier: MIT */
/* Points of a model on the command line. */
#ifndef XRNPE_TOOL_POINTS_H
#define XRNPE_TOOL_POINTS_H

#include <stdbool.h>

#include "xrnpe.h"

/* That which the model begins with, as long as --point says nothing. */
#define NO_POINT (-1)

/* The number of a point. */
bool parse_point(const char *text, int *point);

/* Point @point of *@model, which is replaced by it, or the error. The reference stays the one. */
int select_point(struct xrnpe_model **model, int point, const char *path, struct xrnpe_error *error);

/* What a point takes on @device, or on the default one, energy by @energy. */
struct point_needs {
	uint64_t bytes;		/* of parameters */
	uint64_t own;		/* of constants and commands: what no other point uses */
	struct xrnpe_cost cost;
	struct xrnpe_footprint memory;
};

struct point_needs point_needs(const struct xrnpe_model *point,
			       const struct xrnpe_device_info *device,
			       const struct xrnpe_energy *energy);

/* A table of that; nothing of one point alone. */
void print_points(const struct xrnpe_model *model, const struct xrnpe_device_info *device,
		  const struct xrnpe_energy *energy);


/* A member of an object, with a comma behind. */
void print_points_json(const struct xrnpe_model *model, const struct xrnpe_device_info *device,
		       const struct xrnpe_energy *energy);

#endif
