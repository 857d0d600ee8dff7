// SPDX-License-Identifier: MIT
/* Plans of commands, and commands that are planned once and run often. */
#include "prepare.h"

#include <stdlib.h>

#include "environment.h"

#define POLL_SCALES 4096	/* between looks at whether the command is cancelled */

/* ---- MATMUL and CONV2D ------------------------------------------------ */

static struct xrnpe_factor factor_of(const struct xrnpe_planner *planner, const struct xrnpe_operand *o,
				     const void *memory)
{
	return (struct xrnpe_factor){
		.memory = memory,
		.row_stride = o->row_stride,
		.format = o->format,
		.narrow = o->format < XRNPE_FORMAT_P16 ? planner->narrow[o->format] : NULL,
	};
}

struct xrnpe_product xrnpe_product_of(const struct xrnpe_planner *planner, const struct xrnpe_cmd *cmd,
				      void *const memory[XRNPE_OPERANDS], const volatile bool *cancel)
{
	const struct xrnpe_operand *o = cmd->operand;
	const struct xrnpe_dims_image *d = &cmd->image;
	struct xrnpe_product product = {
		.cmd = cmd,
		.ifm = factor_of(planner, &o[XRNPE_OPERAND_IFM], memory[XRNPE_OPERAND_IFM]),
		.weight = factor_of(planner, &o[XRNPE_OPERAND_WEIGHT], memory[XRNPE_OPERAND_WEIGHT]),
		.scale = memory[XRNPE_OPERAND_SCALE],
		.residual = cmd->flags & XRNPE_CMD_RESIDUAL ? memory[XRNPE_OPERAND_IFM2] : NULL,
		.ofm = memory[XRNPE_OPERAND_OFM],
		.out = o[XRNPE_OPERAND_OFM].format,
		.cancel = cancel,
	};

	if (cmd->opcode == XRNPE_OP_MATMUL) {
		product.positions = cmd->matmul.m;
		product.channels = product.group_channels = cmd->matmul.n;
		product.k = cmd->matmul.k;
	} else {
		product.positions = (uint64_t)d->out_h * d->out_w;
		product.channels = d->out_c;
		product.group_channels = d->out_c / d->groups;
		product.k = (size_t)d->kernel_h * d->kernel_w * (d->in_c / d->groups);
	}
	return product;
}

static const struct xrnpe_kernel *kernel_for(const struct xrnpe_kernel *kernel,
					     const struct xrnpe_product *product)
{
	for (const struct xrnpe_kernel *const *other = kernel->preferred; other && *other; other++) {
		if ((*other)->suits(product))
			return *other;
	}
	return kernel->suits && !kernel->suits(product) ? kernel->otherwise : kernel;
}

void xrnpe_plan_product(const struct xrnpe_planner *planner, const struct xrnpe_product *product,
			struct xrnpe_tasks *tasks)
{
	*tasks = (struct xrnpe_tasks){ .kernel = kernel_for(planner->kernel, product), .product = product };
	xrnpe_tasks_plan(tasks, planner->threads);
}

/* ---- the others --------------------------------------------------------- */

void xrnpe_plan_pass(const struct xrnpe_planner *planner, const struct xrnpe_cmd *cmd,
		     void *const memory[XRNPE_OPERANDS], const volatile bool *cancel, struct xrnpe_pass *pass)
{
	*pass = (struct xrnpe_pass){ .cmd = cmd, .memory = memory, .cancel = cancel, .codec = planner->codec };
	xrnpe_pass_plan(pass);
}

int64_t xrnpe_illegal_scale(const struct xrnpe_cmd *cmd, const uint8_t *record, const volatile bool *cancel)
{
	const struct xrnpe_scales_shape shape = xrnpe_cmd_scales(cmd);
	bool no_bias = cmd->opcode == XRNPE_OP_ADD || cmd->opcode == XRNPE_OP_MAX || cmd->opcode == XRNPE_OP_MIN;

	for (uint64_t i = 0; i < shape.records; i++) {
		for (size_t j = 0; j < shape.words; j++) {
			uint32_t word = xrnpe_word(record + i * shape.stride, j);

			if ((word & 0x7f800000) == 0x7f800000 || (no_bias && j == 1 && word << 1))
				return (int64_t)(i * shape.stride + j * sizeof(word));
		}
		if (!(i % POLL_SCALES) && xrnpe_cancelled(cancel))
			break;
	}
	return -1;
}

/* ---- prepared commands -------------------------------------------------- */

/* Without memory for decoded weights they are decoded each time. */
static void keep_weights(struct xrnpe_prepared *prepared, size_t most)
{
	struct xrnpe_tasks *tasks = &prepared->tasks;
	size_t size = xrnpe_tasks_kept_bytes(tasks);
	void *panels, *scratch;

	if (!size || size > most - prepared->size)
		return;
	panels = aligned_alloc(64, size);
	scratch = aligned_alloc(64, (tasks->scratch + 63) / 64 * 64);
	if (panels && scratch) {
		xrnpe_tasks_keep(tasks, panels, scratch);
		prepared->panels = panels;
		prepared->size += size;
	} else {
		free(panels);
	}
	free(scratch);
}

static void plan(struct xrnpe_prepared *prepared, const struct xrnpe_planner *planner,
		 void *const memory[XRNPE_OPERANDS], size_t most)
{
	const struct xrnpe_cmd *cmd = &prepared->cmd;

	if (xrnpe_cmd_multiplies(cmd)) {
		const struct xrnpe_product product = xrnpe_product_of(planner, cmd, memory, NULL);

		xrnpe_plan_product(planner, &product, &prepared->tasks);
		/* A batch has weights of its own for each matrix. */
		if (cmd->opcode != XRNPE_OP_MATMUL || cmd->matmul.batch == 1)
			keep_weights(prepared, most);
		prepared->tasks.product = NULL;
	} else if (cmd->opcode != XRNPE_OP_BARRIER && cmd->opcode != XRNPE_OP_TIMESTAMP) {
		xrnpe_plan_pass(planner, cmd, memory, NULL, &prepared->pass);
		prepared->pass.memory = NULL;
	}
}

struct xrnpe_prepared *xrnpe_datapath_prepare(const struct xrnpe_datapath *datapath, const struct xrnpe_cmd *cmd,
					      void *const memory[XRNPE_OPERANDS], size_t most)
{
	struct xrnpe_prepared *prepared;
	environment before;

	if (most < sizeof(*prepared) || xrnpe_illegal_scale(cmd, memory[XRNPE_OPERAND_SCALE], NULL) >= 0)
		return NULL;
	prepared = calloc(1, sizeof(*prepared));
	if (!prepared)
		return NULL;
	prepared->cmd = *cmd;
	prepared->size = sizeof(*prepared);
	before = set_environment();
	plan(prepared, xrnpe_datapath_planner(datapath), memory, most);
	restore_environment(before);
	return prepared;
}

size_t xrnpe_prepared_size(const struct xrnpe_prepared *prepared)
{
	return prepared->size;
}

void xrnpe_prepared_free(struct xrnpe_prepared *prepared)
{
	if (!prepared)
		return;
	free(prepared->panels);
	free(prepared);
}
