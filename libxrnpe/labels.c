// SPDX-License-Identifier: MIT
#include <errno.h>
#include <math.h>

#include "error.h"
#include "graph.h"
#include "labels.h"

int labels_check(const struct xrnpe_array *labels, const char *name, size_t count,
		 const struct xrnpe_tensor_info *out, struct xrnpe_error *error)
{
	char text[64];

	for (size_t i = 0; i < count; i++) {
		double label = labels->data[i];

		if (label != trunc(label))
			return xrnpe_fail(error, -EINVAL, "%s: label %zu is %g, which is no class",
					  name, i, label);
		if (!(label >= 0 && label < (double)out->count))
			return xrnpe_fail(error, -EINVAL, "%s: label %zu is %g; output %s tells %zu classes",
					  name, i, label, graph_printable(out->name, text), out->count);
	}
	return 0;
}

size_t labels_class(const float *values, size_t count)
{
	size_t best = 0;

	for (size_t i = 0; i < count; i++) {
		if (isnan(values[i]))
			return count;
		if (values[i] > values[best])
			best = i;
	}
	return best;
}
