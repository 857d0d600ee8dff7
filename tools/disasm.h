/* SPDX-License-Identifier: MIT */
/* What the parts of `xrnpe disasm` share: options, commands and job records as text. */
#ifndef XRNPE_DISASM_H
#define XRNPE_DISASM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datapath.h"
#include "xrnpe.h"

struct disasm_options {
	const char *path;
	size_t stride;		/* 0: a record follows the other */
	int point;		/* of a model, or NO_POINT */
	bool raw, record, fields, json;
};

/* Where commands reach: a model's regions, a job's, or any memory. */
struct disasm_places {
	struct xrnpe_extent extents[XRNPE_MAX_REGIONS];
	unsigned int count;
	const char *const *names;	/* of regions, or NULL */
};

/* Whether records may be so many bytes apart. */
bool disasm_stride_is_legal(size_t stride);

/* Print the commands of a buffer of @size bytes, @stride apart; as JSON without brackets. */
int disasm_commands(const struct disasm_options *options, const struct disasm_places *places,
		    const unsigned char *data, size_t size, size_t stride, struct xrnpe_error *error);

/* Print a job record; as JSON without a line's end. */
void disasm_record(const struct xrnpe_job_record *record, bool json);

/* Print a dump of the driver's, text that begins with DISASM_DUMP. */
#define DISASM_DUMP "XR-NPE dump "
int disasm_dump(const struct disasm_options *options, const char *data, size_t size,
		struct xrnpe_error *error);

/* Print a log of QEMU's trace, @size bytes, at least one, without a zero among them. */
int disasm_trace(const char *path, const char *data, size_t size, bool json, struct xrnpe_error *error);

#endif
