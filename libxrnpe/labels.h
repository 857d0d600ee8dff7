/* SPDX-License-Identifier: MIT */
/* What inputs should give: the class of each, which the largest element of an output tells. */
#ifndef XRNPE_LABELS_H
#define XRNPE_LABELS_H

#include "xrnpe.h"

/* That the first @count of @labels, which messages call @name, are classes that @out tells. */
int labels_check(const struct xrnpe_array *labels, const char *name, size_t count,
		 const struct xrnpe_tensor_info *out, struct xrnpe_error *error);

/* The class that @count values tell; none, which is @count, if one of them is a NaN. */
size_t labels_class(const float *values, size_t count);

#endif
