/* SPDX-License-Identifier: MIT */
/* How much a model differs from its network, and what it loses, as it is shown. */
#ifndef XRNPE_QUALITY_H
#define XRNPE_QUALITY_H

#include <stdio.h>

#include "xrnpe.h"

/*
 * ", 4.00 times smaller than FP32", or larger: of parameters that take @float_bytes in binary32, which
 * the text calls @binary32; nothing if there are none.
 */
void print_ratio(FILE *file, uint64_t bytes, uint64_t float_bytes, const char *binary32);

/* A line of text. */
void print_quality(const struct xrnpe_quality *quality);

/* Members of an object, with a comma behind. */
void print_quality_json(const struct xrnpe_quality *quality);

/* The same of what is known of a task; of NULL, nothing. */
void print_task(FILE *file, const struct xrnpe_task *task);
void print_task_json(const struct xrnpe_task *task);

#endif
