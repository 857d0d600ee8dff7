// SPDX-License-Identifier: MIT
/* The compiled model: its life, its check, its faults in words. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath.h"
#include "error.h"
#include "model.h"

const uint32_t xrnpe_model_region_flags[XRNPE_MODEL_REGIONS] = {
	[XRNPE_MODEL_CONSTANTS] = XRNPE_REGION_READ,
	[XRNPE_MODEL_ARENA] = XRNPE_REGION_READ | XRNPE_REGION_WRITE,
	[XRNPE_MODEL_INPUT] = XRNPE_REGION_READ,
	[XRNPE_MODEL_OUTPUT] = XRNPE_REGION_WRITE,
};

static const char *const region_names[XRNPE_MODEL_REGIONS] = {
	[XRNPE_MODEL_CONSTANTS] = "constants",
	[XRNPE_MODEL_ARENA] = "arena",
	[XRNPE_MODEL_INPUT] = "input",
	[XRNPE_MODEL_OUTPUT] = "output",
};

struct xrnpe_model *xrnpe_model_new(void)
{
	struct xrnpe_model *model = calloc(1, sizeof(*model));

	if (model)
		atomic_init(&model->references, 1);
	return model;
}

struct xrnpe_model *xrnpe_model_ref(struct xrnpe_model *model)
{
	atomic_fetch_add(&model->references, 1);
	return model;
}

void xrnpe_model_free(struct xrnpe_model *model)
{
	if (!model || atomic_fetch_sub(&model->references, 1) > 1)
		return;
	for (uint32_t i = 0; i < model->layer_count; i++) {
		free((char *)model->layers[i].name);
		free((char *)model->layers[i].op);
	}
	for (uint32_t i = 0; i < model->tensor_count; i++)
		free((char *)model->tensors[i].info.name);
	free(model->name);
	free(model->producer);
	free(model->constants);
	free(model->cmds);
	free(model->cmd_layer);
	free(model->layers);
	free(model->tensors);
	free(model);
}

unsigned int xrnpe_model_input_count(const struct xrnpe_model *model)
{
	return model->input_count;
}

const struct xrnpe_tensor_info *xrnpe_model_input(const struct xrnpe_model *model, unsigned int i)
{
	return &model->tensors[i].info;
}

unsigned int xrnpe_model_output_count(const struct xrnpe_model *model)
{
	return model->output_count;
}

const struct xrnpe_tensor_info *xrnpe_model_output(const struct xrnpe_model *model, unsigned int i)
{
	return &model->tensors[model->input_count + i].info;
}

unsigned int xrnpe_model_layer_count(const struct xrnpe_model *model)
{
	return model->layer_count;
}

const struct xrnpe_layer_info *xrnpe_model_layer(const struct xrnpe_model *model, unsigned int i)
{
	return &model->layers[i];
}

/* ---- check ------------------------------------------------------------ */

static bool printable(const char *text)
{
	if (!text)
		return false;
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return false;
	return true;
}

/* Rank 1 or 3, dims of at least 1 and few enough that no size overflows. */
static bool shape_is_valid(unsigned int rank, const size_t dims[3])
{
	if (rank == 1)
		return dims[0] >= 1 && dims[0] <= UINT32_MAX && dims[1] == 1 && dims[2] == 1;
	if (rank != 3)
		return false;
	for (unsigned int i = 0; i < 3; i++)
		if (dims[i] < 1 || dims[i] > UINT16_MAX)
			return false;
	return true;
}

uint64_t xrnpe_model_tensor_bytes(const struct xrnpe_model_tensor *tensor)
{
	const size_t *dims = tensor->info.dims;

	if (tensor->info.rank == 1)
		return xrnpe_row_bytes(tensor->format, dims[0]);
	return (dims[1] - 1) * (uint64_t)tensor->row_stride +
	       (dims[2] - 1) * (uint64_t)tensor->pixel_stride +
	       xrnpe_row_bytes(tensor->format, dims[0]);
}

/* Lines and pixels follow each other without overlap. */
static bool strides_are_valid(const struct xrnpe_model_tensor *t)
{
	const size_t *dims = t->info.dims;
	unsigned int align = xrnpe_format_bits(t->format) / 8;
	uint64_t pixel, line;

	if (align > 1 && (t->offset % align || t->row_stride % align || t->pixel_stride % align))
		return false;
	if (t->info.rank == 1)
		return !t->row_stride && !t->pixel_stride;
	pixel = xrnpe_row_bytes(t->format, dims[0]);
	line = (dims[2] - 1) * (uint64_t)t->pixel_stride + pixel;
	return (dims[2] == 1 || t->pixel_stride >= pixel) &&
	       (dims[1] == 1 || t->row_stride >= line);
}

static int check_tensor(const struct xrnpe_model *model, uint32_t i, struct xrnpe_error *error)
{
	const struct xrnpe_model_tensor *t = &model->tensors[i];
	enum xrnpe_model_region region =
		i < model->input_count ? XRNPE_MODEL_INPUT :
		i - model->input_count < model->output_count ? XRNPE_MODEL_OUTPUT :
		XRNPE_MODEL_ARENA;
	const char *what = NULL;
	uint64_t bytes;

	if (!printable(t->info.name))
		return xrnpe_fail(error, -EINVAL, "%s: name of tensor %u is not printable",
				  model->name, i);
	if (!shape_is_valid(t->info.rank, t->info.dims) ||
	    t->info.count != t->info.dims[0] * t->info.dims[1] * t->info.dims[2])
		what = "its shape is out of range";
	else if ((unsigned int)t->format >= XRNPE_OUTPUT_FORMATS ||
		 (region != XRNPE_MODEL_ARENA && t->format != XRNPE_FORMAT_F32))
		what = "its format is not allowed";
	else if (t->region != region)
		what = "it is in the wrong region";
	else if (!strides_are_valid(t))
		what = "its strides or its offset are not allowed";
	else if (!isfinite(t->scale) || t->scale <= 0)
		what = "its scale is not a positive number";
	if (what)
		return xrnpe_fail(error, -EINVAL, "%s: tensor %s: %s", model->name,
				  t->info.name, what);

	bytes = xrnpe_model_tensor_bytes(t);
	if (t->offset > model->region_size[region] ||
	    bytes > model->region_size[region] - t->offset)
		return xrnpe_fail(error, -EINVAL,
				  "%s: tensor %s: outside region %d (%s): offset %" PRIu64
				  ", size %" PRIu64 " of %" PRIu64 " bytes",
				  model->name, t->info.name, region, region_names[region],
				  t->offset, bytes, model->region_size[region]);
	return 0;
}

static int check_layer(const struct xrnpe_model *model, uint32_t i, struct xrnpe_error *error)
{
	const struct xrnpe_layer_info *layer = &model->layers[i];

	if (!printable(layer->name) || !printable(layer->op))
		return xrnpe_fail(error, -EINVAL, "%s: name of layer %u is not printable",
				  model->name, i);
	if (!shape_is_valid(layer->rank, layer->dims) ||
	    (unsigned int)layer->format >= XRNPE_OUTPUT_FORMATS ||
	    (unsigned int)layer->out_format >= XRNPE_OUTPUT_FORMATS)
		return xrnpe_fail(error, -EINVAL,
				  "%s: layer %s: its shape or format is out of range",
				  model->name, layer->name);
	for (unsigned int f = 0; f < 4; f++)
		if (!isfinite(layer->error) || !isfinite(layer->format_error[f]))
			return xrnpe_fail(error, -EINVAL, "%s: layer %s: its error is not finite",
					  model->name, layer->name);
	return 0;
}

static int check_commands(const struct xrnpe_model *model, struct xrnpe_error *error)
{
	struct xrnpe_extent extents[XRNPE_MODEL_REGIONS];
	struct xrnpe_span spans[XRNPE_OPERANDS];
	struct xrnpe_fault fault;
	char text[320];

	for (unsigned int i = 0; i < XRNPE_MODEL_REGIONS; i++)
		extents[i] = (struct xrnpe_extent){ model->region_size[i],
						    xrnpe_model_region_flags[i] };
	for (uint32_t i = 0; i < model->cmd_count; i++) {
		if (model->cmd_layer[i] >= model->layer_count)
			return xrnpe_fail(error, -EINVAL, "%s: command %u belongs to no layer",
					  model->name, i);
		if (!xrnpe_cmd_check(&model->cmds[i], i, extents, XRNPE_MODEL_REGIONS,
				     spans, &fault)) {
			xrnpe_model_fault_text(model, &fault, text, sizeof(text));
			return xrnpe_fail(error, -EINVAL, "%s: %s", model->name, text);
		}
	}
	return 0;
}

int xrnpe_model_check(const struct xrnpe_model *model, struct xrnpe_error *error)
{
	int ret = 0;

	if (!printable(model->producer))
		return xrnpe_fail(error, -EINVAL, "%s: producer is not printable", model->name);
	if (!model->cmd_count || model->cmd_count > XRNPE_MAX_CMDS)
		return xrnpe_fail(error, -EINVAL, "%s: %u commands are not 1..%u", model->name,
				  model->cmd_count, XRNPE_MAX_CMDS);
	if (!model->layer_count || !model->input_count || !model->output_count ||
	    model->input_count > model->tensor_count ||
	    model->output_count > model->tensor_count - model->input_count)
		return xrnpe_fail(error, -EINVAL, "%s: lacks layers, inputs or outputs",
				  model->name);
	for (unsigned int i = 0; i < XRNPE_MODEL_REGIONS; i++)
		if (model->region_size[i] > SIZE_MAX / 8)
			return xrnpe_fail(error, -EINVAL, "%s: region %u (%s) is too large",
					  model->name, i, region_names[i]);

	for (uint32_t i = 0; !ret && i < model->layer_count; i++)
		ret = check_layer(model, i, error);
	for (uint32_t i = 0; !ret && i < model->tensor_count; i++)
		ret = check_tensor(model, i, error);
	return ret ? ret : check_commands(model, error);
}

/* ---- faults in words -------------------------------------------------- */

static const char *opcode_name(unsigned int opcode)
{
	static const char *const names[] = {
		[XRNPE_OP_MATMUL] = "MATMUL",
		[XRNPE_OP_CONV2D] = "CONV2D",
		[XRNPE_OP_MAXPOOL] = "MAXPOOL",
		[XRNPE_OP_ADD] = "ADD",
		[XRNPE_OP_CONVERT] = "CONVERT",
	};

	if (opcode >= sizeof(names) / sizeof(*names) || !names[opcode])
		return "unknown opcode";
	return names[opcode];
}

static const char *operand_name(uint32_t operand)
{
	switch (operand) {
	case XRNPE_OPERAND_IFM:
		return "ifm";
	case XRNPE_OPERAND_IFM2:
		return "ifm2";
	case XRNPE_OPERAND_WEIGHT:
		return "weight";
	case XRNPE_OPERAND_SCALE:
		return "scale";
	case XRNPE_OPERAND_OFM:
		return "ofm";
	default:
		return "operand";
	}
}

struct field {
	size_t offset;
	const char *name;
};

#define FIELD(type, name) { offsetof(struct type, name), #name }

static const struct field cmd_fields[] = {
	FIELD(xrnpe_cmd, opcode), FIELD(xrnpe_cmd, activation), FIELD(xrnpe_cmd, order),
	FIELD(xrnpe_cmd, reserved), FIELD(xrnpe_cmd, flags), FIELD(xrnpe_cmd, slope),
	FIELD(xrnpe_cmd, lo), FIELD(xrnpe_cmd, hi), FIELD(xrnpe_cmd, residual),
};

static const struct field operand_fields[] = {
	FIELD(xrnpe_operand, offset), FIELD(xrnpe_operand, row_stride),
	FIELD(xrnpe_operand, pixel_stride), FIELD(xrnpe_operand, batch_stride),
	FIELD(xrnpe_operand, region),
	FIELD(xrnpe_operand, format), FIELD(xrnpe_operand, reserved),
};

static const struct field matmul_fields[] = {
	FIELD(xrnpe_dims_matmul, m), FIELD(xrnpe_dims_matmul, n), FIELD(xrnpe_dims_matmul, k),
	FIELD(xrnpe_dims_matmul, batch), FIELD(xrnpe_dims_matmul, reserved),
};

static const struct field image_fields[] = {
	FIELD(xrnpe_dims_image, in_h), FIELD(xrnpe_dims_image, in_w),
	FIELD(xrnpe_dims_image, in_c), FIELD(xrnpe_dims_image, out_h),
	FIELD(xrnpe_dims_image, out_w), FIELD(xrnpe_dims_image, out_c),
	FIELD(xrnpe_dims_image, groups), FIELD(xrnpe_dims_image, kernel_h),
	FIELD(xrnpe_dims_image, kernel_w), FIELD(xrnpe_dims_image, stride_h),
	FIELD(xrnpe_dims_image, stride_w), FIELD(xrnpe_dims_image, dilation_h),
	FIELD(xrnpe_dims_image, dilation_w), FIELD(xrnpe_dims_image, pad_top),
	FIELD(xrnpe_dims_image, pad_left), FIELD(xrnpe_dims_image, reserved),
};

#define FIND(fields, offset) find_field(fields, sizeof(fields) / sizeof(*(fields)), offset)

/* The field that byte @offset of the structure belongs to. */
static const char *find_field(const struct field *fields, size_t count, uint64_t offset)
{
	while (count > 1 && fields[count - 1].offset > offset)
		count--;
	return fields[count - 1].name;
}

static void field_text(unsigned int opcode, uint64_t offset, char *text, size_t size)
{
	const uint64_t operands = offsetof(struct xrnpe_cmd, operand);
	const uint64_t dims = offsetof(struct xrnpe_cmd, image);

	if (offset < operands)
		snprintf(text, size, "%s", FIND(cmd_fields, offset));
	else if (offset < dims)
		snprintf(text, size, "%s.%s",
			 operand_name((uint32_t)((offset - operands) / sizeof(struct xrnpe_operand))),
			 FIND(operand_fields, (offset - operands) % sizeof(struct xrnpe_operand)));
	else if (opcode == XRNPE_OP_MATMUL)
		snprintf(text, size, "%s", FIND(matmul_fields, offset - dims));
	else
		snprintf(text, size, "%s", FIND(image_fields, offset - dims));
}

/* "region 1 (arena, 4096 bytes)" */
static void region_text(const struct xrnpe_model *model, uint32_t region, char *text, size_t size)
{
	if (region < XRNPE_MODEL_REGIONS)
		snprintf(text, size, "region %u (%s, %" PRIu64 " bytes)", region,
			 region_names[region], model->region_size[region]);
	else
		snprintf(text, size, "region %u", region);
}

/* "ofm outside region 1 (arena, 4096 bytes): offset 4000, size 128" */
static void bounds_text(const struct xrnpe_model *model, const struct xrnpe_fault *fault,
			const char *operand, const char *region, char *text, size_t size)
{
	struct xrnpe_extent whole[XRNPE_MAX_REGIONS];
	struct xrnpe_span spans[XRNPE_OPERANDS] = { 0 };
	struct xrnpe_fault none;

	/* In boundless regions the check tells what the command touches. */
	for (unsigned int i = 0; i < XRNPE_MAX_REGIONS; i++)
		whole[i] = (struct xrnpe_extent){ UINT64_MAX,
						  XRNPE_REGION_READ | XRNPE_REGION_WRITE };
	if (fault->cmd < model->cmd_count && fault->operand < XRNPE_OPERANDS &&
	    xrnpe_cmd_check(&model->cmds[fault->cmd], fault->cmd, whole, XRNPE_MAX_REGIONS,
			    spans, &none))
		snprintf(text, size, "%s outside %s: offset %" PRIu64 ", size %" PRIu64, operand,
			 region, spans[fault->operand].offset, spans[fault->operand].size);
	else
		snprintf(text, size, "%s outside %s: at offset %" PRIu64, operand, region,
			 (uint64_t)fault->offset);
}

void xrnpe_model_fault_text(const struct xrnpe_model *model, const struct xrnpe_fault *fault,
			    char *text, size_t size)
{
	unsigned int opcode = 0;
	const char *operand, *layer = "?";
	char region[96], field[64];
	int used;

	if (fault->kind == XRNPE_FAULT_ILLEGAL_JOB) {
		snprintf(text, size, "the job's descriptor is malformed");
		return;
	}
	if (fault->cmd < model->cmd_count) {
		opcode = model->cmds[fault->cmd].opcode;
		if (model->cmd_layer[fault->cmd] < model->layer_count)
			layer = model->layers[model->cmd_layer[fault->cmd]].name;
	}
	used = snprintf(text, size, "command %u (%s, layer %.80s): ", fault->cmd,
			opcode_name(opcode), layer);
	if (used < 0 || (size_t)used >= size)
		return;
	text += used;
	size -= (size_t)used;

	operand = operand_name(fault->operand);
	region_text(model, fault->region, region, sizeof(region));
	switch (fault->kind) {
	case XRNPE_FAULT_ILLEGAL_OPCODE:
		snprintf(text, size, "illegal opcode");
		break;
	case XRNPE_FAULT_ILLEGAL_FIELD:
		field_text(opcode, fault->offset, field, sizeof(field));
		snprintf(text, size, "field %s is out of its range", field);
		break;
	case XRNPE_FAULT_NO_REGION:
		snprintf(text, size, "%s is in region %u, which the job does not have", operand,
			 fault->region);
		break;
	case XRNPE_FAULT_OUT_OF_BOUNDS:
		bounds_text(model, fault, operand, region, text, size);
		break;
	case XRNPE_FAULT_PERMISSION:
		snprintf(text, size, "%s may not %s %s", operand,
			 fault->operand == XRNPE_OPERAND_OFM ? "write" : "read", region);
		break;
	case XRNPE_FAULT_ILLEGAL_SCALE:
		snprintf(text, size, "a scale or bias is not finite");
		break;
	case XRNPE_FAULT_BUS:
		snprintf(text, size, "memory of %s in %s did not answer", operand, region);
		break;
	case XRNPE_FAULT_ABORTED:
		snprintf(text, size, "stopped for exceeding the time limit");
		break;
	default:
		snprintf(text, size, "fault of unknown kind %u", fault->kind);
	}
}
