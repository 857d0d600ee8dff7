// SPDX-License-Identifier: MIT
/* The device's numbers and commands for programs that train networks, or look closely. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "error.h"
#include "names.h"
#include "round.h"

/* In one matrix: indices have 32 bits. */
#define MAX_WEIGHTS (1u << 30)

static bool multiplies(enum xrnpe_format format)
{
	return (unsigned int)format < XRNPE_PRODUCT_FORMATS;
}

int xrnpe_quantize(enum xrnpe_format format, size_t rows, size_t columns, const float *scales,
		   const float *values, float *rounded)
{
	if (!multiplies(format))
		return -EINVAL;
	for (size_t i = 0; i < rows; i++)
		quantize_round(format, scales[i], values + i * columns, columns,
			       rounded + i * columns);
	return 0;
}

int xrnpe_fit_scales(enum xrnpe_format format, size_t rows, size_t columns, const float *values,
		     const double *importance, float *scales)
{
	float *scratch;

	if (!multiplies(format))
		return -EINVAL;
	scratch = columns < SIZE_MAX / 2 / sizeof(float) ? malloc(2 * columns * sizeof(float) + 1) : NULL;
	if (!scratch)
		return -ENOMEM;
	for (size_t i = 0; i < rows; i++)
		scales[i] = scale_find(format, values + i * columns, importance, columns, false,
				       scratch);
	free(scratch);
	return 0;
}

int xrnpe_fit_weights(enum xrnpe_format format, size_t rows, size_t columns, const float *weights,
		      const float *products, float *scales, float *rounded)
{
	const struct weights shape = {
		.stride_n = columns, .stride_c = 1, .out_c = (uint32_t)rows,
		.in_c = (uint32_t)columns, .taps = 1, .groups = 1,
	};
	struct quantized quantized = { 0 };
	struct moments moments;
	int ret;

	if (!multiplies(format) || !rows || !columns || rows > MAX_WEIGHTS / columns)
		return -EINVAL;
	ret = moments_of_products((uint32_t)columns, products, &moments);
	if (!ret)
		ret = quantize_weights(&shape, weights, &moments, NULL, format, false, &quantized);
	if (!ret) {
		quantize_restore(&shape, &quantized, format, rounded);
		memcpy(scales, quantized.scales, rows * sizeof(*scales));
	}
	quantize_free(&quantized);
	moments_free(&moments);
	return ret;
}

/* ---- commands ---------------------------------------------------------- */

static int fail(const struct xrnpe_cmd *cmd, const struct xrnpe_fault *fault,
		struct xrnpe_error *error)
{
	char text[320];

	xrnpe_fault_text(fault, cmd, NULL, text, sizeof(text));
	return xrnpe_fail(error, -EFAULT, "command %u: %s", fault->cmd, text);
}

static int run(struct xrnpe_datapath *datapath, const struct xrnpe_cmd *cmd, uint32_t index,
	       const struct xrnpe_memory *regions, const struct xrnpe_extent *extents,
	       unsigned int region_count, uint32_t *status, struct xrnpe_error *error)
{
	struct xrnpe_span spans[XRNPE_OPERANDS];
	void *memory[XRNPE_OPERANDS] = { NULL };
	struct xrnpe_fault fault;
	int ret;

	if (!xrnpe_cmd_check(cmd, index, extents, region_count, spans, &fault))
		return fail(cmd, &fault, error);
	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++) {
		if (spans[i].size)
			memory[i] = (char *)regions[spans[i].region].data + spans[i].offset;
	}
	ret = xrnpe_datapath_run(datapath, cmd, index, memory, NULL, status, &fault);
	return ret == -EFAULT ? fail(cmd, &fault, error) :
	       ret ? xrnpe_fail_memory(error) : 0;
}

int xrnpe_commands_run(const struct xrnpe_cmd *cmds, size_t count,
		       const struct xrnpe_memory *regions, unsigned int region_count,
		       uint32_t *status, struct xrnpe_error *error)
{
	struct xrnpe_extent extents[XRNPE_MAX_REGIONS];
	struct xrnpe_datapath *datapath;
	uint32_t ignored = 0;
	int ret = 0;

	if (region_count > XRNPE_MAX_REGIONS || count > XRNPE_MAX_CMDS)
		return xrnpe_fail(error, -EINVAL, "a job has at most %d regions and %d commands",
				  XRNPE_MAX_REGIONS, XRNPE_MAX_CMDS);
	for (unsigned int i = 0; i < region_count; i++)
		extents[i] = (struct xrnpe_extent){ regions[i].size, regions[i].flags };
	datapath = xrnpe_datapath_new(0, NULL);
	if (!datapath)
		return xrnpe_fail(error, -errno, "cannot start the datapath: %s", strerror(errno));
	for (size_t i = 0; !ret && i < count; i++)
		ret = run(datapath, &cmds[i], (uint32_t)i, regions, extents, region_count,
			  status ? status : &ignored, error);
	xrnpe_datapath_free(datapath);
	return ret;
}
