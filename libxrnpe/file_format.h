/* SPDX-License-Identifier: MIT */
/*
 * The .xrnpe file as it is on disk: a header, a table of sections, and the sections, all
 * little-endian. Documentation/model-format.rst describes it.
 *
 * There is one way only to write a given model: sections in a fixed order, back to back
 * at multiples of FILE_ALIGN with zeros between. The loader insists on it, so that no byte
 * of a file can change unnoticed.
 */
#ifndef XRNPE_FILE_FORMAT_H
#define XRNPE_FILE_FORMAT_H

#include <stddef.h>
#include <zlib.h>

#include "model.h"

#define FILE_MAGIC "\x89XRNPE\n\x1a"
#define FILE_VERSION 6u
#define FILE_ALIGN 64

enum section_id {
	SECTION_INFO,
	SECTION_POINTS,
	SECTION_STRINGS,
	SECTION_COMMANDS,
	SECTION_COMMAND_LAYERS,
	SECTION_LAYERS,
	SECTION_TENSORS,
	SECTION_STEPS,
	SECTION_BINDINGS,
	SECTION_CPU,
	SECTION_CONSTANTS,
	SECTIONS,
};

struct file_section {
	uint64_t offset;	/* from the start of the file */
	uint64_t size;		/* bytes */
	uint32_t crc;		/* CRC-32 of them */
	uint32_t reserved;
};

struct file_header {
	char magic[8];
	uint32_t version;
	uint32_t crc;		/* CRC-32 of the header, table included, with this field zero */
	uint64_t size;		/* of the file */
	uint32_t section_count;
	uint32_t reserved;
	/* So far the header is the same in all versions. */
	struct file_section section[SECTIONS];
};

#define HEADER_SIZE(sections) (offsetof(struct file_header, section) + \
			       (uint64_t)(sections) * sizeof(struct file_section))

struct file_info {
	uint64_t constants, inputs, outputs;	/* bytes */
	uint32_t input_count;
	uint32_t output_count;
	uint32_t producer;	/* string */
	uint32_t point;		/* that a session begins with */
};

/* Tables that have records of each point. Section command layers is as long as commands. */
enum file_table {
	TABLE_COMMANDS,
	TABLE_LAYERS,
	TABLE_TENSORS,
	TABLE_STEPS,
	TABLE_BINDINGS,
	TABLES,
};

struct file_point {
	uint32_t records[TABLES];	/* its own, behind those of the points before */
	uint32_t quality_inputs;
	uint32_t quality_unseen;
	uint32_t task_inputs;	/* 0: there were no labels */
	uint32_t task_classes;
	uint32_t reserved;
	uint64_t arena;		/* bytes */
	double quality_error;
	double quality_spread;	/* may be infinite */
	double task_score, task_float_score, task_loss, task_spread;
};

/* Strings are offsets into the strings section. */
struct file_layer {
	uint32_t name;
	uint32_t op;
	uint32_t why;
	uint32_t place;
	uint32_t rank;
	uint32_t dims[XRNPE_TENSOR_RANK];
	uint32_t format;
	uint32_t weight_format;
	uint32_t added_format;
	uint32_t out_format;
	uint32_t output;
	uint32_t index, step, part;
	uint32_t reserved;
	uint64_t macs;
	uint64_t bytes;
	uint64_t float_bytes;
	double error;
	double weight_error[4];
	double input_error[4];
};

struct file_tensor {
	uint32_t name;
	uint32_t type;
	uint32_t rank;
	uint32_t dims[XRNPE_TENSOR_RANK];
	uint32_t channels, height, width;
	uint32_t channels_first;
	uint32_t region;
	uint32_t format;
	uint32_t row_stride;
	uint32_t pixel_stride;
	float scale;
	uint64_t offset;
};

struct file_step {
	uint32_t kind;
	uint32_t first, count;
	uint32_t gather_first, gather_count;
	uint32_t scatter_first, scatter_count;
	uint32_t reserved;
};

struct file_binding {
	uint32_t cpu;		/* string: name of a tensor of the model in section cpu */
	uint32_t tensor;	/* index */
};

/* What is on disk has no holes. */
_Static_assert(sizeof(struct file_header) == 32 + 24 * SECTIONS, "header");
_Static_assert(sizeof(struct file_info) == 40, "info");
_Static_assert(sizeof(struct file_point) == 96, "point");
_Static_assert(sizeof(struct file_layer) == 176, "layer");
_Static_assert(sizeof(struct file_tensor) == 80, "tensor");
_Static_assert(sizeof(struct file_step) == 32, "step");
_Static_assert(sizeof(struct file_binding) == 8, "binding");
_Static_assert(sizeof(struct xrnpe_cmd) == 192, "command");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "libxrnpe is for little-endian hosts");

static inline uint64_t file_align(uint64_t offset)
{
	return (offset + FILE_ALIGN - 1) / FILE_ALIGN * FILE_ALIGN;
}

static inline uint32_t file_checksum(const void *bytes, uint64_t size)
{
	return (uint32_t)crc32_z(crc32_z(0, NULL, 0), bytes, size);
}

/* Of the @size bytes of a header, as if its field crc were zero. */
static inline uint32_t file_header_checksum(const void *header, uint64_t size)
{
	const size_t at = offsetof(struct file_header, crc), after = at + sizeof(uint32_t);
	uLong crc = crc32_z(crc32_z(0, NULL, 0), header, at);

	crc = crc32_z(crc, (const unsigned char *)"\0\0\0", sizeof(uint32_t));
	return (uint32_t)crc32_z(crc, (const unsigned char *)header + after, size - after);
}

#endif
