// SPDX-License-Identifier: MIT
#include "costs.h"

#include <stdio.h>

uint64_t costs_bytes(const struct xrnpe_counters *counters)
{
	uint64_t bytes = counters->bytes_other;

	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++)
		bytes += counters->bytes[i];
	return bytes;
}

uint64_t costs_products(const struct xrnpe_counters *counters)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < XRNPE_PRODUCT_FORMATS; i++) {
		for (unsigned int w = 0; w < XRNPE_PRODUCT_FORMATS; w++)
			sum += counters->products[i][w];
	}
	return sum;
}

void costs_formats(const struct xrnpe_counters *counters, char *text, size_t size)
{
	size_t used = 0;

	snprintf(text, size, "-");
	for (unsigned int i = 0; i < XRNPE_PRODUCT_FORMATS; i++) {
		for (unsigned int w = 0; w < XRNPE_PRODUCT_FORMATS && used < size; w++) {
			if (counters->products[i][w])
				used += (size_t)snprintf(text + used, size - used, "%s%s/%s",
							 used ? ", " : "", xrnpe_format_name(w),
							 xrnpe_format_name(i));
		}
	}
}
