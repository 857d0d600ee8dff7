/* SPDX-License-Identifier: MIT */
/* How much a model differs from its network, and what it loses, as it is shown. */
#ifndef XRNPE_QUALITY_H
#define XRNPE_QUALITY_H

#include <stdio.h>

#include "xrnpe.h"

/* A line of text. */
void print_quality(const struct xrnpe_quality *quality);

/* Members of an object, with a comma behind. */
void print_quality_json(const struct xrnpe_quality *quality);

/* The same of what is known of a task; of NULL, nothing. */
void print_task(FILE *file, const struct xrnpe_task *task);
void print_task_json(const struct xrnpe_task *task);

#endif
