// SPDX-License-Identifier: MIT
/* Points of a model: picked by number, and listed. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "console.h"
#include "error.h"
#include "points.h"
#include "quality.h"

int take_point(const char *command, const char *text, int *point)
{
	size_t count = 0;

	if (strcmp(text, "0") && !parse_count(text, INT32_MAX, &count))
		return misused(command, "--point is not the number of one: %s", text);
	*point = (int)count;
	return 0;
}

int select_point(struct xrnpe_model **model, int point, const char *path, struct xrnpe_error *error)
{
	struct xrnpe_model *found;

	if (point == NO_POINT)
		return 0;
	found = xrnpe_model_point(*model, (unsigned int)point);
	if (!found)
		return xrnpe_fail(error, -EINVAL, "%s: has no point %d; the last is %u", path, point,
				  xrnpe_model_point_count(*model) - 1);
	*model = found;
	return 0;
}

struct point_needs point_needs(const struct xrnpe_model *point,
			       const struct xrnpe_device_info *device,
			       const struct xrnpe_energy *energy)
{
	struct point_needs needs = { 0 };

	for (unsigned int i = 0; i < xrnpe_model_layer_count(point); i++)
		needs.bytes += xrnpe_model_layer(point, i)->bytes;
	xrnpe_model_predict(point, device, energy, &needs.cost, NULL);
	xrnpe_model_footprint(point, &needs.memory);
	needs.own = needs.memory.own_constants + needs.memory.own_commands;
	return needs;
}

static bool exceeds(double value, double limit)
{
	return limit > 0 && value > limit;
}

void note_excess(const char *command, unsigned int index, const struct xrnpe_model *point,
		 const struct xrnpe_governor *limits, const struct xrnpe_device_info *device,
		 const struct xrnpe_energy *energy)
{
	const struct point_needs needs = point_needs(point, device, energy);
	double error = xrnpe_model_quality(point)->error;

	if (exceeds(needs.cost.seconds, limits->seconds) ||
	    exceeds(needs.cost.picojoules, limits->picojoules) || exceeds(error, limits->error))
		fprintf(stderr, "xrnpe %s: no point keeps the budget: point %u, which comes closest, takes %.3g ms and %.3g uJ, and is off by %.3g %%\n",
			command, index, 1e3 * needs.cost.seconds, needs.cost.picojoules / 1e6, 100 * error);
}

void print_points(const struct xrnpe_model *model, const struct xrnpe_device_info *device,
		  const struct xrnpe_energy *energy)
{
	unsigned int count = xrnpe_model_point_count(model);

	if (count == 1)
		return;
	printf("\n%5s  %9s  %9s  %9s  %9s  %9s  %9s\n", "point", "bytes", "own", "cycles", "ms", "uJ",
	       "error");
	for (unsigned int i = 0; i < count; i++) {
		const struct xrnpe_model *point = xrnpe_model_point(model, i);
		const struct point_needs needs = point_needs(point, device, energy);

		printf("%5u  %9" PRIu64 "  %9" PRIu64 "  %9" PRIu64 "  %9.3f  %9.3f  %7.3f %%%s\n", i,
		       needs.bytes, needs.own, (uint64_t)needs.cost.counters.cycles,
		       1e3 * needs.cost.seconds, needs.cost.picojoules / 1e6,
		       100 * xrnpe_model_quality(point)->error,
		       i == xrnpe_model_point_index(model) ? "  *" : "");
	}
}

void print_points_json(const struct xrnpe_model *model, const struct xrnpe_device_info *device,
		       const struct xrnpe_energy *energy)
{
	printf("\"point\": %u, \"points\": [", xrnpe_model_point_index(model));
	for (unsigned int i = 0; i < xrnpe_model_point_count(model); i++) {
		const struct xrnpe_model *point = xrnpe_model_point(model, i);
		const struct point_needs needs = point_needs(point, device, energy);

		printf("%s{\"bytes\": %" PRIu64 ", \"cycles\": %" PRIu64 ", \"seconds\": %.9g, \"picojoules\": %.9g, ",
		       i ? ",\n  " : "\n  ", needs.bytes, (uint64_t)needs.cost.counters.cycles,
		       needs.cost.seconds, needs.cost.picojoules);
		print_quality_json(xrnpe_model_quality(point));
		printf("\"constants\": %" PRIu64 ", \"own_constants\": %" PRIu64 ", \"own_commands\": %" PRIu64 "}",
		       needs.memory.used_constants, needs.memory.own_constants,
		       needs.memory.own_commands);
	}
	printf("], ");
}
