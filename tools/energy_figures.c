// SPDX-License-Identifier: MIT
#include "energy_figures.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "console.h"
#include "error.h"
#include "lines.h"

/* "memory_byte=40" */
static int set(void *data, const char *text, struct xrnpe_error *error)
{
	const char *equals = strchr(text, '=');
	char *name, *end;
	double value;
	int ret;

	if (!equals)
		return xrnpe_fail(error, -EINVAL, "%s: is not NAME=PICOJOULES", text);
	value = strtod(equals + 1, &end);
	if (end == equals + 1 || *end)
		return xrnpe_fail(error, -EINVAL, "%s: is not NAME=PICOJOULES", text);
	name = strndup(text, (size_t)(equals - text));
	ret = name ? xrnpe_energy_set(data, name, value, error) : xrnpe_fail_memory(error);
	free(name);
	return ret;
}

int take_energy(const char *argument, struct xrnpe_energy *energy)
{
	struct xrnpe_error error;
	int ret = strchr(argument, '=') && access(argument, F_OK) ? set(energy, argument, &error) :
		  lines_read(argument, set, energy, &error);

	return ret ? failed(&error) : 0;
}

void energy_print_json(const struct xrnpe_energy *energy)
{
	printf("{\"gated_block\": %.9g, \"sram_byte\": %.9g, \"memory_byte\": %.9g, \"cycle\": %.9g, "
	       "\"sharing\": %.9g", energy->gated_block, energy->sram_byte, energy->memory_byte,
	       energy->cycle, energy->sharing);
	for (unsigned int w = 0; w < XRNPE_PRODUCT_FORMATS; w++) {
		for (unsigned int i = 0; i < XRNPE_PRODUCT_FORMATS; i++)
			printf(", \"%s/%s\": %.9g", xrnpe_format_name(w), xrnpe_format_name(i),
			       energy->product[i][w]);
	}
	printf("}");
}
