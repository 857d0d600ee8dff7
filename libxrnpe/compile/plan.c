// SPDX-License-Identifier: MIT
/* Memory planning: buffers that are not in use at the same time share memory. */
#include <errno.h>
#include <stdlib.h>

#include "compile.h"

static int larger_first(const void *a, const void *b)
{
	const struct plan_buffer *const *x = a, *const *y = b;

	if ((*x)->size != (*y)->size)
		return (*x)->size < (*y)->size ? 1 : -1;
	return *x < *y ? -1 : *x > *y;
}

static int lower_first(const void *a, const void *b)
{
	const struct plan_buffer *const *x = a, *const *y = b;

	return (*x)->offset < (*y)->offset ? -1 : (*x)->offset > (*y)->offset;
}

/*
 * Large buffers first, each into the lowest gap between those it lives with: for
 * the chains with side branches that networks are, this is close to the least.
 */
int plan_buffers(struct plan_buffer *buffers, uint32_t count, uint64_t *total)
{
	struct plan_buffer **order = malloc(count * sizeof(*order) + 1);
	struct plan_buffer **living = malloc(count * sizeof(*living) + 1);

	*total = 0;
	for (uint32_t i = 0; order && i < count; i++)
		order[i] = &buffers[i];
	if (order)
		qsort(order, count, sizeof(*order), larger_first);
	for (uint32_t i = 0; order && living && i < count; i++) {
		struct plan_buffer *buffer = order[i];
		uint64_t offset = 0;
		uint32_t others = 0;

		for (uint32_t k = 0; k < i; k++) {
			if (order[k]->first <= buffer->last && buffer->first <= order[k]->last)
				living[others++] = order[k];
		}
		qsort(living, others, sizeof(*living), lower_first);
		for (uint32_t k = 0; k < others && living[k]->offset < offset + buffer->size; k++) {
			uint64_t end = living[k]->offset + living[k]->size;

			end = (end + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
			if (end > offset)
				offset = end;
		}
		buffer->offset = offset;
		if (offset + buffer->size > *total)
			*total = offset + buffer->size;
	}
	free(order);
	free(living);
	return order && living ? 0 : -ENOMEM;
}
