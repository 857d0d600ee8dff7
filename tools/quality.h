/* SPDX-License-Identifier: MIT */
/* How much a model differs from its network, as it is shown. */
#ifndef XRNPE_QUALITY_H
#define XRNPE_QUALITY_H

#include "xrnpe.h"

/* A line of text. */
void print_quality(const struct xrnpe_quality *quality);

/* Members of an object, with a comma behind. */
void print_quality_json(const struct xrnpe_quality *quality);

#endif
