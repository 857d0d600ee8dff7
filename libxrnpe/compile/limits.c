// SPDX-License-Identifier: MIT
/* Limits as users write them. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <strings.h>

#include "cost.h"
#include "error.h"
#include "xrnpe.h"

enum kind {
	SMALLER,
	BYTES,
	SECONDS,
	CYCLES,
	JOULES,
	ERROR,
};

static const struct unit {
	const char *name;
	enum kind kind;
	double factor;
} units[] = {
	{ "", BYTES, 1 }, { "KiB", BYTES, 1024 }, { "MiB", BYTES, 1024 * 1024 },
	{ "x", SMALLER, 1 }, { "%", ERROR, 0.01 },
	{ "s", SECONDS, 1 }, { "ms", SECONDS, 1e-3 }, { "us", SECONDS, 1e-6 },
	{ "cycles", CYCLES, 1 }, { "kcycles", CYCLES, 1e3 }, { "Mcycles", CYCLES, 1e6 },
	{ "J", JOULES, 1 }, { "mJ", JOULES, 1e-3 }, { "uJ", JOULES, 1e-6 },
};

static const struct unit *find_unit(const char *name)
{
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		if (!strcasecmp(name, units[i].name))
			return &units[i];
	}
	return NULL;
}

/* Of two limits the tighter one holds. */
static void tighten(double *limit, double value)
{
	*limit = *limit > 0 ? fmin(*limit, value) : value;
}

/* A number and its unit, if it has one. */
static const struct unit *parse(const char *text, double *value)
{
	const struct unit *unit;
	char *end;

	errno = 0;
	*value = strtod(text, &end);
	unit = find_unit(end);
	if (end == text || errno || !unit || !(*value > 0 && *value < 0x1p53))
		return NULL;
	*value *= unit->factor;
	return unit;
}

int xrnpe_limits_parse(const char *text, const struct xrnpe_graph *graph,
		       struct xrnpe_limits *limits, struct xrnpe_error *error)
{
	const struct xrnpe_machine machine = XRNPE_MACHINE_DEFAULT;
	double bytes = (double)limits->bytes, value;
	const struct unit *unit = parse(text, &value);

	if (!unit)
		return xrnpe_fail(error, -EINVAL,
				  "budget %s: is not bytes (61440, 60KiB, 1.5MiB), a factor (4x), a time (2ms, 300us), cycles (1.5Mcycles), an energy (2mJ, 80uJ) or an error (1%%)",
				  text);
	switch (unit->kind) {
	case SMALLER:
	case BYTES:
		tighten(&bytes, unit->kind == BYTES ? value : (double)xrnpe_graph_bytes(graph) / value);
		/* Less than a byte is none, and no limit is not what was asked for. */
		limits->bytes = (uint64_t)fmin(fmax(bytes, 1), 0x1p63);
		break;
	case SECONDS:
		tighten(&limits->cycles, value * machine.clock_khz * 1e3);
		break;
	case CYCLES:
		tighten(&limits->cycles, value);
		break;
	case JOULES:
		tighten(&limits->picojoules, value * 1e12);
		break;
	case ERROR:
		tighten(&limits->error, value);
		break;
	}
	return 0;
}

int xrnpe_governor_parse(const char *text, struct xrnpe_governor *governor,
			 struct xrnpe_error *error)
{
	double value;
	const struct unit *unit = parse(text, &value);

	switch (unit ? unit->kind : BYTES) {
	case SECONDS:
		tighten(&governor->seconds, value);
		return 0;
	case JOULES:
		tighten(&governor->picojoules, value * 1e12);
		return 0;
	case ERROR:
		tighten(&governor->error, value);
		return 0;
	default:
		return xrnpe_fail(error, -EINVAL,
				  "budget %s: is not a time (2ms, 300us), an energy (2mJ, 80uJ) or an error (1%%)",
				  text);
	}
}
