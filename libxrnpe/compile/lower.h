/* SPDX-License-Identifier: MIT */
/* Inside lowering: a model while it is made. */
#ifndef XRNPE_LOWER_H
#define XRNPE_LOWER_H

#include "compile.h"

/*
 * A tensor may exist in several versions: one in each format, and one more of binary32,
 * for the caller to read, or of bytes, that the caller wrote.
 */
enum {
	VERSION_F32 = XRNPE_FORMAT_F32,
	VERSION_OUTPUT = XRNPE_OUTPUT_FORMATS,	/* binary32, in the region of outputs */
	VERSION_BYTES,				/* in the region of inputs, in the caller's order */
	VERSIONS,
};

static inline enum xrnpe_format version_format(unsigned int version)
{
	return version == VERSION_OUTPUT ? XRNPE_FORMAT_F32 :
	       version == VERSION_BYTES ? XRNPE_FORMAT_U8 : (enum xrnpe_format)version;
}

/* Of a tensor; those that are the same share those of compiler->tensors[].same. */
struct versions {
	unsigned int needed, made;	/* bit by version */
	unsigned int primary;	/* the version that is there first; others come from it */
	unsigned int has_buffer;	/* bit by format */
	uint32_t buffer[XRNPE_OUTPUT_FORMATS];
	uint64_t constant[COMPILE_FORMATS];	/* of a tensor that is one: offset by format */
};

struct lowering {
	struct compiler *compiler;
	struct xrnpe_model *model;
	struct versions *versions;	/* by tensor */
	uint64_t *in_offset, *out_offset;	/* by tensor: in the regions of inputs and outputs */
	struct plan_buffer *buffers;
	uint32_t buffer_count;
	uint32_t time;		/* that buffers live in: commands and the CPU's nodes */
	bool ended;		/* no memory is used any more, only described */
	uint32_t layer;		/* that commands are added to */
	uint32_t cmd_room;
	uint32_t *cpu;		/* by tensor: its index in the CPU's graph, or GRAPH_NONE */
};

static inline uint32_t lower_same(const struct lowering *low, uint32_t tensor)
{
	return low->compiler->tensors[tensor].same;
}

static inline struct versions *lower_versions(const struct lowering *low, uint32_t tensor)
{
	return &low->versions[lower_same(low, tensor)];
}

/* ---- versions.c -------------------------------------------------------- */

/* From the readers of each tensor find the versions it needs. */
void lower_find_versions(struct lowering *low);

/* The format in which node @n reads its @k-th tensor. */
enum xrnpe_format lower_read_format(const struct lowering *low, uint32_t n, uint32_t k);

/* What a code value of a version is times. */
float lower_scale(const struct lowering *low, uint32_t tensor, unsigned int version);

/*
 * Where a version lies, seen as @image, of which only @part is meant (NULL: all). The
 * memory is in use now. While commands are made, an offset in the arena is that in a buffer,
 * with the buffer's index above it; lower_place_buffers() makes it one in the arena.
 */
void lower_locate(struct lowering *low, uint32_t tensor, unsigned int version,
		  const struct image *image, const struct image_part *part,
		  struct xrnpe_operand *operand);

/* The same of @part of an image that is packed and begins at 0. */
void lower_part(const struct image *image, const struct image_part *part, enum xrnpe_format format,
		struct xrnpe_operand *operand);

/* Memory of @size bytes from now on, for the next command too. */
uint64_t lower_temporary(struct lowering *low, uint64_t size);

/* Let @cmd read the bytes that @tensor is given as. */
void lower_locate_bytes(const struct lowering *low, uint32_t tensor, struct xrnpe_cmd *cmd);

/* Give arena offsets to all buffers. */
int lower_place_buffers(struct lowering *low);
uint64_t lower_place_offset(const struct lowering *low, uint64_t offset);

/* ---- command.c --------------------------------------------------------- */

/* Add the commands of node @n, which is on the device. */
int lower_add_node(struct lowering *low, uint32_t n);

/* Make the versions of @tensor that are needed and not there. */
int lower_add_conversions(struct lowering *low, uint32_t tensor);

/* ---- table.c ----------------------------------------------------------- */

/*
 * The table of node @n, a function of one number: packed codes of format @out by code of
 * format @in. Returns NULL without memory.
 */
void *table_make(const struct compiler *compiler, uint32_t n, enum xrnpe_format in, float in_scale,
		 enum xrnpe_format out, float out_scale, size_t *size);

/* ---- steps.c ----------------------------------------------------------- */

/* Go through all nodes: jobs, and steps on the CPU with its graph. */
int steps_make(struct lowering *low);

/* ---- describe.c -------------------------------------------------------- */

/* The layers. */
int describe_layers(struct lowering *low);

/* Where what each of them writes is; commands and steps are there. */
int describe_layer_outputs(struct lowering *low);

/* Inputs and outputs, and where they lie in their regions. */
int describe_interface(struct lowering *low);

/* Another tensor of the model; its index by @index. */
int describe_tensor(struct lowering *low, uint32_t tensor, unsigned int version, uint32_t *index);

#endif
