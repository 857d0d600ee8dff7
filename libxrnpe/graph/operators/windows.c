// SPDX-License-Identifier: MIT
/* The attributes of sliding windows, and the sizes that follow from them. */
#include "windows.h"

/* Far more than any network has, and little enough to calculate with. */
#define MAX_EXTENT (1 << 20)

enum auto_pad {
	NOTSET,
	VALID,
	SAME_UPPER,
	SAME_LOWER,
};

static int check_kernel(const struct op *op, const uint32_t *kernel, uint32_t axes,
			int64_t values[2])
{
	if (kernel) {
		int64_t given[2] = { kernel[0], axes > 1 ? kernel[1] : 0 };
		int ret = op_ints(op, "kernel_shape", 1, MAX_EXTENT, axes, given);

		for (uint32_t i = 0; !ret && i < axes; i++) {
			values[i] = kernel[i];
			if (kernel[i] < 1 || kernel[i] > MAX_EXTENT)
				ret = op_fail(op, -EINVAL, "kernel size %u is impossible", kernel[i]);
			else if (given[i] != values[i])
				ret = op_fail(op, -EINVAL, "attribute kernel_shape contradicts the weights");
		}
		return ret;
	}
	if (!op_attribute(op, "kernel_shape"))
		return op_fail(op, -EINVAL, "attribute kernel_shape is missing");
	return op_ints(op, "kernel_shape", 1, MAX_EXTENT, axes, values);
}

int windows_attributes(const struct op *op, const uint32_t *kernel)
{
	struct graph_windows *windows = &op->node->params.windows;
	int64_t kernels[2], strides[2] = { 1, 1 }, dilations[2] = { 1, 1 }, pads[4] = { 0 };
	uint32_t axes = windows->axes;
	int ret = check_kernel(op, kernel, axes, kernels);

	if (!ret)
		ret = op_ints(op, "strides", 1, MAX_EXTENT, axes, strides);
	if (!ret)
		ret = op_ints(op, "dilations", 1, MAX_EXTENT, axes, dilations);
	if (!ret)
		ret = op_ints(op, "pads", 0, MAX_EXTENT, 2 * (size_t)axes, pads);
	for (uint32_t i = 0; !ret && i < axes; i++) {
		windows->axis[i] = (struct graph_window){
			.kernel = (uint32_t)kernels[i], .stride = (uint32_t)strides[i],
			.dilation = (uint32_t)dilations[i], .pad_begin = (uint32_t)pads[i],
			.pad_end = (uint32_t)pads[axes + i],
		};
		if ((kernels[i] - 1) * dilations[i] >= MAX_EXTENT)
			ret = op_fail(op, -ENOTSUP, "kernel reaches over %lld elements",
				      (long long)((kernels[i] - 1) * dilations[i] + 1));
	}
	return ret;
}

/* Padding and output size along one axis, as ONNX defines them. */
static int solve_axis(const struct op *op, int64_t in, enum auto_pad auto_pad, bool ceil_mode,
		      struct graph_window *axis, uint32_t *out)
{
	int64_t extent = ((int64_t)axis->kernel - 1) * axis->dilation + 1, stride = axis->stride;
	int64_t span, count;

	if (auto_pad == SAME_UPPER || auto_pad == SAME_LOWER) {
		int64_t pad;

		count = (in + stride - 1) / stride;
		pad = (count - 1) * stride + extent - in;
		if (pad < 0)
			pad = 0;
		axis->pad_begin = (uint32_t)(auto_pad == SAME_LOWER ? pad - pad / 2 : pad / 2);
		axis->pad_end = (uint32_t)pad - axis->pad_begin;
		*out = (uint32_t)count;
		return 0;
	}
	span = in + axis->pad_begin + axis->pad_end - extent;
	if (span < 0)
		return op_fail(op, -EINVAL, "kernel of %lld does not fit the input of %lld",
			       (long long)extent, (long long)in);
	count = span / stride + 1;
	/* A window that starts in the padding behind the image is left out. */
	if (ceil_mode && span % stride && count * stride < in + axis->pad_begin)
		count++;
	*out = (uint32_t)count;
	return 0;
}

int windows_infer(const struct op *op, const uint32_t *kernel, struct graph_shape *out)
{
	struct graph_windows *windows = &op->node->params.windows;
	const struct graph_shape *in = &op_input(op, 0)->shape;
	uint32_t auto_pad = NOTSET;
	bool ceil_mode = false;
	int ret;

	if (in->rank < 3 || in->rank > 4)
		return op_fail(op, -ENOTSUP,
			       "input is of rank %u; supported are 3 and 4: batch, channels and one or two more axes",
			       in->rank);
	windows->axes = in->rank - 2;
	ret = windows_attributes(op, kernel);
	if (!ret)
		ret = op_choice(op, "auto_pad", "NOTSET VALID SAME_UPPER SAME_LOWER", &auto_pad);
	if (!ret)
		ret = op_bool(op, "ceil_mode", false, &ceil_mode);
	*out = *in;
	for (uint32_t i = 0; !ret && i < windows->axes; i++) {
		struct graph_window *axis = &windows->axis[i];

		if (auto_pad != NOTSET && (axis->pad_begin || axis->pad_end))
			return op_fail(op, -EINVAL, "has both auto_pad and pads");
		ret = solve_axis(op, in->dims[2 + i], auto_pad, ceil_mode, axis, &out->dims[2 + i]);
	}
	return ret;
}
