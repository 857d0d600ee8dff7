/* SPDX-License-Identifier: MIT */
/* What the parts of `xrnpe disasm` share. */
#ifndef XRNPE_DISASM_H
#define XRNPE_DISASM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "xrnpe.h"

/* Print a log of QEMU's trace, @size bytes, at least one, without a zero among them. */
int disasm_trace(const char *path, const char *data, size_t size, bool json, struct xrnpe_error *error);

#endif
