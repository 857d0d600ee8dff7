// SPDX-License-Identifier: MIT
/*
 * Constants of several points of a model become one region, in which what is equal lies once:
 * weights in the same format are, scales and biases mostly are not.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "onnx.h"
#include "points.h"

/* A part of a model's constants, and where it lies in the pool. */
struct moved {
	struct xrnpe_model_part *parts;
	uint64_t *to;
	size_t count;
};

struct pool {
	uint8_t *bytes;
	uint64_t size;
	struct xrnpe_model_part *parts;
	size_t count;
};

/* The offset of @size bytes like these, if the pool has them. */
static bool find(const struct pool *pool, const void *bytes, uint64_t size, uint64_t *offset)
{
	for (size_t i = 0; i < pool->count; i++) {
		if (pool->parts[i].size == size &&
		    !memcmp(pool->bytes + pool->parts[i].offset, bytes, size)) {
			*offset = pool->parts[i].offset;
			return true;
		}
	}
	return false;
}

/* Append @size bytes, and what aligns them. */
static bool append(struct pool *pool, const void *bytes, uint64_t size, uint64_t *offset)
{
	uint64_t at = model_align(pool->size);
	uint8_t *larger = realloc(pool->bytes, at + size);
	struct xrnpe_model_part *parts;

	if (larger)
		pool->bytes = larger;
	parts = realloc(pool->parts, (pool->count + 1) * sizeof(*parts));
	if (parts)
		pool->parts = parts;
	if (!larger || !parts)
		return false;
	memset(larger + pool->size, 0, at - pool->size);
	memcpy(larger + at, bytes, size);
	pool->size = at + size;
	parts[pool->count++] = (struct xrnpe_model_part){ at, size };
	*offset = at;
	return true;
}

static bool move(struct pool *pool, const struct xrnpe_model *model, struct moved *moved)
{
	bool done = !xrnpe_model_constant_parts(model, &moved->parts, &moved->count);

	if (done)
		moved->to = malloc((moved->count + 1) * sizeof(*moved->to));
	done = done && moved->to;
	for (size_t i = 0; done && i < moved->count; i++) {
		const struct xrnpe_model_part *part = &moved->parts[i];
		const uint8_t *bytes = (const uint8_t *)model->constants + part->offset;

		done = find(pool, bytes, part->size, &moved->to[i]) ||
		       append(pool, bytes, part->size, &moved->to[i]);
	}
	return done;
}

/* Let the commands of @model use the pool; @moved: its constants, in order. */
static void redirect(struct xrnpe_model *model, const struct moved *moved)
{
	struct xrnpe_span spans[XRNPE_OPERANDS];
	struct xrnpe_fault fault;

	for (uint32_t i = 0; i < model->cmd_count; i++) {
		/* Operands that a command does not have look like constants. */
		if (!xrnpe_model_cmd_check(model, i, spans, &fault))
			continue;
		for (unsigned int k = 0; k < XRNPE_OPERANDS; k++) {
			struct xrnpe_operand *operand = &model->cmds[i].operand[k];
			size_t part = moved->count;

			if (!spans[k].size || operand->region != XRNPE_MODEL_CONSTANTS)
				continue;
			while (moved->parts[part - 1].offset > operand->offset)
				part--;
			operand->offset += moved->to[part - 1] - moved->parts[part - 1].offset;
		}
	}
}

/* The CPU's nodes of @model as a file, from malloc(); none: NULL. */
static int write_cpu(const struct xrnpe_model *model, uint8_t **data, size_t *size,
		     struct xrnpe_error *error)
{
	uint32_t *nodes;
	int ret;

	*data = NULL;
	*size = 0;
	if (!model->cpu)
		return 0;
	nodes = malloc((model->cpu->node_count + (size_t)1) * sizeof(*nodes));
	ret = nodes ? onnx_write(model->cpu, nodes, data, size, error) : xrnpe_fail_memory(error);
	free(nodes);
	return ret;
}

/* The CPU computes the same, whatever the formats: it keeps its nodes when points change. */
static int check_cpu(struct xrnpe_model *const *models, uint32_t count, struct xrnpe_error *error)
{
	uint8_t *first, *other;
	size_t first_size, size;
	int ret = write_cpu(models[0], &first, &first_size, error);

	for (uint32_t i = 1; !ret && i < count; i++) {
		ret = write_cpu(models[i], &other, &size, error);
		if (!ret && (size != first_size || (size && memcmp(other, first, size))))
			ret = xrnpe_fail(error, -ENOTSUP,
					 "%s: its points do not have the same nodes on the CPU",
					 models[i]->name);
		free(other);
	}
	free(first);
	return ret;
}

/* Nothing can fail any more. */
static void settle(struct xrnpe_model *const *models, uint32_t count, struct xrnpe_model *whole,
		   const struct pool *pool, const struct moved *moved)
{
	for (uint32_t i = 0; i < count; i++) {
		redirect(models[i], &moved[i]);
		free(models[i]->constants);
		models[i]->constants = pool->bytes;
		models[i]->region_size[XRNPE_MODEL_CONSTANTS] = pool->size;
		if (models[i] == whole)
			continue;
		xrnpe_graph_free(models[i]->cpu);
		models[i]->cpu = whole->cpu;
	}
}

int share_constants(struct xrnpe_model *const *models, uint32_t count, uint32_t whole,
		    struct xrnpe_error *error)
{
	struct moved *moved = calloc(count, sizeof(*moved));
	struct pool pool = { 0 };
	bool done = moved;
	int ret = check_cpu(models, count, error);

	for (uint32_t i = 0; !ret && done && i < count; i++)
		done = move(&pool, models[i], &moved[i]);
	if (!ret && (!done || xrnpe_model_link(models, count, whole)))
		ret = xrnpe_fail_memory(error);
	if (ret)
		free(pool.bytes);
	else
		settle(models, count, models[whole], &pool, moved);
	for (uint32_t i = 0; moved && i < count; i++) {
		free(moved[i].parts);
		free(moved[i].to);
	}
	free(moved);
	free(pool.parts);
	return ret;
}
