// SPDX-License-Identifier: MIT
/* A file of its own, so that a test can put a function in its place that counts. */
#include "kernel.h"

bool xrnpe_cancelled(const volatile bool *cancel)
{
	return cancel && __atomic_load_n(cancel, __ATOMIC_RELAXED);
}
