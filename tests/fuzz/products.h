/* SPDX-License-Identifier: MIT */
/* What the fuzz target and its driver share. */
#ifndef TEST_FUZZ_PRODUCTS_H
#define TEST_FUZZ_PRODUCTS_H

#include <stddef.h>
#include <stdint.h>

#include "datapath.h"
#include "random.h"

/** libFuzzer's entry point: a command made from @data. Aborts if kernels differ. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
