// SPDX-License-Identifier: MIT
/* The fuzz target on a given number of inputs that are the same in every run. */
#include <stdio.h>
#include <stdlib.h>

#include "fuzz/products.h"

int main(int argc, char **argv)
{
	unsigned long runs = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
	uint64_t random = 1;
	uint8_t data[256];

	if (!runs) {
		fprintf(stderr, "usage: %s RUNS\n", argv[0]);
		return EXIT_FAILURE;
	}
	for (unsigned long i = 0; i < runs; i++) {
		for (size_t j = 0; j < sizeof(data); j++)
			data[j] = (uint8_t)random_word(&random);
		LLVMFuzzerTestOneInput(data, sizeof(data));
	}
	printf("1..1\nok 1 - %lu commands\n", runs);
	return EXIT_SUCCESS;
}
