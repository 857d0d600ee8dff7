/* SPDX-License-Identifier: MIT */
/*
 * The compiled model in memory: what the compiler makes, what a .xrnpe file
 * holds, what a session runs. Filled once, by the compiler or the loader, then
 * checked by xrnpe_model_check() and never changed.
 */
#ifndef XRNPE_MODEL_H
#define XRNPE_MODEL_H

#include <stdatomic.h>

#include "datapath.h"
#include "xrnpe.h"

/* The regions of a model's job: index into the region table. */
enum xrnpe_model_region {
	XRNPE_MODEL_CONSTANTS,	/* weights and scales; READ */
	XRNPE_MODEL_ARENA,	/* between layers; READ | WRITE; may have size 0 */
	XRNPE_MODEL_INPUT,	/* all inputs; READ */
	XRNPE_MODEL_OUTPUT,	/* all outputs; WRITE */
	XRNPE_MODEL_REGIONS,
};

/* XRNPE_REGION_* of each. */
extern const uint32_t xrnpe_model_region_flags[XRNPE_MODEL_REGIONS];

/* "constants" and so on. */
extern const char *const xrnpe_model_region_names[XRNPE_MODEL_REGIONS];

/*
 * A tensor in a region, as the device sees it: height x width pixels of channels, channels
 * contiguous; of height and width 1 both strides may be 0. Callers see the same elements
 * in C order of info.dims, which is channels x height x width where @channels_first is set
 * (leading dimensions of 1 left out), else height x width x channels.
 */
struct xrnpe_model_tensor {
	struct xrnpe_tensor_info info;	/* name is owned */
	enum xrnpe_model_region region;
	enum xrnpe_format format;	/* inputs, outputs and what the CPU reads or writes: F32; bytes: U8 */
	uint32_t channels, height, width;	/* their product is info.count */
	bool channels_first;
	uint64_t offset;		/* of element 0, in its region */
	uint32_t row_stride;		/* bytes from an image line to the next */
	uint32_t pixel_stride;		/* bytes from a pixel to the next */
	float scale;			/* a real value is code value * scale; 1 for F32 */
};

/* A model is steps, one after the other: a job of the device, or nodes on the CPU. */
enum xrnpe_model_step_kind {
	XRNPE_MODEL_JOB,
	XRNPE_MODEL_CPU,
};

struct xrnpe_model_step {
	enum xrnpe_model_step_kind kind;
	uint32_t first, count;		/* commands, or nodes of @cpu; at least 1 */
	/*
	 * CPU: entries of @bindings that are copied from the device's memory before, and
	 * to it behind.
	 */
	uint32_t gather_first, gather_count;
	uint32_t scatter_first, scatter_count;
};

/* A tensor of the CPU's nodes that lies in the device's memory too. */
struct xrnpe_model_binding {
	uint32_t cpu;			/* tensor of @cpu */
	uint32_t tensor;		/* of @tensors */
};

/*
 * Where a layer's first output is, for who wants to look at it.
 *
 * Of a layer on the device it is tensor @index, and there when the model is at @step and
 * @part of that step's commands have run; what follows may use its memory again. Of a layer
 * on the CPU it is the first output of node @index of @cpu, which keeps it.
 */
struct xrnpe_layer_output {
	uint32_t index;
	uint32_t step, part;		/* @part is less than the commands of @step; CPU: 0 */
};

/*
 * One point of a model. Points that were linked are one model: they live and are freed
 * together, and have all but the arena's size, commands, steps, bindings, tensors of the arena,
 * formats and errors in common.
 */
struct xrnpe_model {
	atomic_uint references;		/* of @whole: to any of its points; 1 by xrnpe_model_new() */

	/* The point that a session begins with, which has the list, and owns what all share. */
	struct xrnpe_model *whole;
	struct xrnpe_model **points;	/* of @whole; NULL: it is the only one */
	uint32_t point_count;		/* of @whole: at least 1 */
	uint32_t point;			/* index of this one */

	/*
	 * All strings are owned. @name: what messages call the model: the file it
	 * was loaded from, or the ONNX file, and the point, if there are several.
	 * @producer: who compiled it, and how.
	 */
	char *name;
	char *producer;

	uint64_t region_size[XRNPE_MODEL_REGIONS];	/* bytes */
	void *constants;		/* shared: region_size[XRNPE_MODEL_CONSTANTS] bytes */

	struct xrnpe_model_step *steps;
	uint32_t step_count;		/* at least 1; commands and nodes are in steps' order */

	/*
	 * The nodes that run on the CPU, by the same code as the FP32 reference; NULL: none.
	 * Shared. Its tensors keep their values from step to step.
	 */
	struct xrnpe_graph *cpu;
	struct xrnpe_model_binding *bindings;
	uint32_t binding_count;

	struct xrnpe_cmd *cmds;		/* little-endian, as the device reads them */
	uint32_t cmd_count;		/* of a job: 1..XRNPE_MAX_CMDS */
	uint32_t *cmd_layer;		/* by command: index into layers */

	/* Of several points: bytes of the constants that this one uses, and that no other does. */
	uint64_t used_constants, own_constants;

	struct xrnpe_quality quality;
	struct xrnpe_task task;		/* no inputs: there were no labels */
	struct xrnpe_trial *trials;	/* of @whole; not in a file */
	uint32_t trial_count;

	struct xrnpe_layer_info *layers;	/* their strings are owned */
	struct xrnpe_layer_output *layer_outputs;	/* by layer */
	uint32_t layer_count;		/* at least 1 */

	/* First all inputs, then all outputs, then others, in any region but the constants. */
	struct xrnpe_model_tensor *tensors;
	uint32_t tensor_count;
	uint32_t input_count;		/* at least 1 */
	uint32_t output_count;		/* at least 1 */
};

/* An empty model with one reference and all sizes 0, or NULL. Freed by xrnpe_model_free(). */
struct xrnpe_model *xrnpe_model_new(void);

struct xrnpe_model *xrnpe_model_ref(struct xrnpe_model *model);

/* xrnpe_model_load(), but the commands may be illegal. */
int xrnpe_model_read(const char *path, struct xrnpe_model **model, struct xrnpe_error *error);

/*
 * Check everything a session relies on, of all points: counts, formats, that tensors lie in their
 * regions, that every command passes xrnpe_cmd_check(). Returns 0 or -EINVAL with
 * a message that starts with the model's name.
 */
int xrnpe_model_check(const struct xrnpe_model *model, struct xrnpe_error *error);

/* All of that of one point but the commands; of those only that each belongs to a layer. */
int xrnpe_model_check_tables(const struct xrnpe_model *model, struct xrnpe_error *error);

/* xrnpe_cmd_check() of command @i in the model's regions. */
bool xrnpe_model_cmd_check(const struct xrnpe_model *model, uint32_t i,
			   struct xrnpe_span spans[XRNPE_OPERANDS], struct xrnpe_fault *fault);

/* ---- model_points.c ------------------------------------------------------ */

/*
 * Make points of one model of @count that were models of their own; @whole is the index of
 * that which a session begins with, and owns them. Their names get the number of the point.
 * Constants and CPU's nodes are the caller's affair. Nothing is changed on -ENOMEM.
 */
int xrnpe_model_link(struct xrnpe_model *const *points, uint32_t count, uint32_t whole);

/* That all points take and give the same, and are the same layers. */
int xrnpe_model_check_points(const struct xrnpe_model *model, struct xrnpe_error *error);

/* What constants are aligned to: what the widest of them, a scale, needs. */
#define XRNPE_MODEL_ALIGN sizeof(uint32_t)

static inline uint64_t model_align(uint64_t offset)
{
	return (offset + XRNPE_MODEL_ALIGN - 1) / XRNPE_MODEL_ALIGN * XRNPE_MODEL_ALIGN;
}

/* Some of the constants. */
struct xrnpe_model_part {
	uint64_t offset, size;
};

/*
 * The constants that a point's legal commands use, from malloc(): in order, apart from each
 * other, and aligned. Returns 0 or -ENOMEM.
 */
int xrnpe_model_constant_parts(const struct xrnpe_model *model, struct xrnpe_model_part **parts,
			       size_t *count);

/* Find how much each of several points uses, and alone. Returns 0 or -ENOMEM. */
int xrnpe_model_count_constants(const struct xrnpe_model *model);

/* ---- model.c again ------------------------------------------------------- */

/* Bytes from a tensor's first to its last element, inclusive; for legal strides. */
uint64_t xrnpe_model_tensor_bytes(const struct xrnpe_model_tensor *tensor);

/*
 * A fault of one of @model's jobs in words:
 * "command 3 (conv2d, layer conv2): ofm outside region 1 (arena): ..."
 */
void xrnpe_model_fault_text(const struct xrnpe_model *model, const struct xrnpe_fault *fault,
			    char *text, size_t size);

#endif
