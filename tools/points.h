/* SPDX-License-Identifier: MIT */
/* Points of a model on the command line. */
#ifndef XRNPE_TOOLS_POINTS_H
#define XRNPE_TOOLS_POINTS_H

#include "xrnpe.h"

/* That which the model begins with, as long as --point says nothing. */
#define NO_POINT (-1)

/* Take --point. Returns 0, or an exit status with what is wrong printed. */
int take_point(const char *command, const char *text, int *point);

/* Replace *@model by point @point of it, which has its reference. Returns 0 or -EINVAL. */
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

/*
 * Say on standard error for @command if what @point, which a governor picked, needs is more than
 * @limits: then no point keeps them.
 */
void note_excess(const char *command, unsigned int index, const struct xrnpe_model *point,
		 const struct xrnpe_governor *limits, const struct xrnpe_device_info *device,
		 const struct xrnpe_energy *energy);

/* A table of that; nothing of one point alone. */
void print_points(const struct xrnpe_model *model, const struct xrnpe_device_info *device,
		  const struct xrnpe_energy *energy);

/* A member of an object, with a comma behind. */
void print_points_json(const struct xrnpe_model *model, const struct xrnpe_device_info *device,
		       const struct xrnpe_energy *energy);

#endif
