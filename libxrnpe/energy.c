// SPDX-License-Identifier: MIT
/* Figures by which energy is told, as programs set them. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "cost.h"
#include "error.h"
#include "figures.h"

static const struct {
	const char *name;
	size_t at;
	double least;
} figures[] = {
	{ "gated_block", offsetof(struct xrnpe_energy, gated_block), 0 },
	{ "sram_byte", offsetof(struct xrnpe_energy, sram_byte), 0 },
	{ "memory_byte", offsetof(struct xrnpe_energy, memory_byte), 0 },
	{ "cycle", offsetof(struct xrnpe_energy, cycle), 0 },
	{ "sharing", offsetof(struct xrnpe_energy, sharing), 1 },
};

#define FIGURES (sizeof(figures) / sizeof(*figures))

/* More than any of these takes. */
#define MOST 1e12

static bool is_good(double value, double least)
{
	return value >= least && value <= MOST;
}

/* The product called "fp4/p8": weights, then inputs. NULL: there is none. */
static double *find_product(struct xrnpe_energy *energy, const char *name)
{
	for (unsigned int i = 0; i < XRNPE_PRODUCT_FORMATS; i++) {
		for (unsigned int w = 0; w < XRNPE_PRODUCT_FORMATS; w++) {
			const char *weight = xrnpe_format_name(w), *input = xrnpe_format_name(i);
			size_t length = strlen(weight);

			if (!strncmp(name, weight, length) && name[length] == '/' &&
			    !strcmp(name + length + 1, input))
				return &energy->product[i][w];
		}
	}
	return NULL;
}

void xrnpe_energy_init(struct xrnpe_energy *energy)
{
	*energy = xrnpe_energy_default();
}

int xrnpe_energy_set(struct xrnpe_energy *energy, const char *name, double value,
		     struct xrnpe_error *error)
{
	double *figure = find_product(energy, name), least = 0;

	for (size_t i = 0; i < FIGURES; i++) {
		if (strcmp(figures[i].name, name))
			continue;
		figure = (double *)((char *)energy + figures[i].at);
		least = figures[i].least;
	}
	if (!figure)
		return xrnpe_fail(error, -EINVAL,
				  "there is no figure %s; there are gated_block, sram_byte, memory_byte, cycle, sharing, and products such as fp4/p8",
				  name);
	if (!is_good(value, least))
		return xrnpe_fail(error, -EINVAL, "%s is %g, not a number from %g to %g", name, value,
				  least, MOST);
	*figure = value;
	return 0;
}

int figures_check(const struct xrnpe_energy *energy, struct xrnpe_error *error)
{
	for (size_t i = 0; i < FIGURES; i++) {
		double value = *(const double *)((const char *)energy + figures[i].at);

		if (!is_good(value, figures[i].least))
			return xrnpe_fail(error, -EINVAL, "energy: %s is %g, not a number from %g to %g",
					  figures[i].name, value, figures[i].least, MOST);
	}
	for (unsigned int i = 0; i < XRNPE_PRODUCT_FORMATS; i++) {
		for (unsigned int w = 0; w < XRNPE_PRODUCT_FORMATS; w++)
			if (!is_good(energy->product[i][w], 0))
				return xrnpe_fail(error, -EINVAL, "energy: %s/%s is %g, not a number from 0 to %g",
						  xrnpe_format_name(w), xrnpe_format_name(i),
						  energy->product[i][w], MOST);
	}
	return 0;
}
