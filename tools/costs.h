/* SPDX-License-Identifier: MIT */
/* What inferences cost, for tables. */
#ifndef XRNPE_TOOLS_COSTS_H
#define XRNPE_TOOLS_COSTS_H

#include "xrnpe.h"

/* Bytes over the bus, in all. */
uint64_t costs_bytes(const struct xrnpe_counters *counters);

/* Products, padding included. */
uint64_t costs_products(const struct xrnpe_counters *counters);

/* Formats of the products, weights and inputs: "fp4/p8", more by commas; "-" without. */
void costs_formats(const struct xrnpe_counters *counters, char *text, size_t size);

#endif
