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
#include "graph.h"
#include "model.h"
#include "names.h"

const uint32_t xrnpe_model_region_flags[XRNPE_MODEL_REGIONS] = {
	[XRNPE_MODEL_CONSTANTS] = XRNPE_REGION_READ,
	[XRNPE_MODEL_ARENA] = XRNPE_REGION_READ | XRNPE_REGION_WRITE,
	[XRNPE_MODEL_INPUT] = XRNPE_REGION_READ,
	[XRNPE_MODEL_OUTPUT] = XRNPE_REGION_WRITE,
};

const char *const xrnpe_model_region_names[XRNPE_MODEL_REGIONS] = {
	[XRNPE_MODEL_CONSTANTS] = "constants",
	[XRNPE_MODEL_ARENA] = "arena",
	[XRNPE_MODEL_INPUT] = "input",
	[XRNPE_MODEL_OUTPUT] = "output",
};

struct xrnpe_model *xrnpe_model_new(void)
{
	struct xrnpe_model *model = calloc(1, sizeof(*model));

	if (!model)
		return NULL;
	atomic_init(&model->references, 1);
	model->whole = model;
	model->point_count = 1;
	return model;
}

struct xrnpe_model *xrnpe_model_ref(struct xrnpe_model *model)
{
	atomic_fetch_add(&model->whole->references, 1);
	return model;
}

/* What is this point's own. */
static void free_point(struct xrnpe_model *model)
{
	for (uint32_t i = 0; i < model->layer_count; i++) {
		free((char *)model->layers[i].name);
		free((char *)model->layers[i].op);
		free((char *)model->layers[i].why);
		free((char *)model->layers[i].output);
	}
	for (uint32_t i = 0; i < model->tensor_count; i++)
		free((char *)model->tensors[i].info.name);
	free(model->name);
	free(model->producer);
	free(model->trials);
	free(model->cmds);
	free(model->cmd_layer);
	free(model->layers);
	free(model->layer_outputs);
	free(model->tensors);
	free(model->steps);
	free(model->bindings);
	free(model);
}

void xrnpe_model_free(struct xrnpe_model *model)
{
	struct xrnpe_model *whole = model ? model->whole : NULL;

	if (!whole || atomic_fetch_sub(&whole->references, 1) > 1)
		return;
	for (uint32_t i = 0; whole->points && i < whole->point_count; i++) {
		if (whole->points[i] != whole)
			free_point(whole->points[i]);
	}
	free(whole->points);
	free(whole->constants);
	xrnpe_graph_free(whole->cpu);
	free_point(whole);
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

unsigned int xrnpe_model_trial_count(const struct xrnpe_model *model)
{
	return model->whole->trial_count;
}

const struct xrnpe_trial *xrnpe_model_trial(const struct xrnpe_model *model, unsigned int i)
{
	return i < model->whole->trial_count ? &model->whole->trials[i] : NULL;
}

const struct xrnpe_quality *xrnpe_model_quality(const struct xrnpe_model *model)
{
	return &model->quality;
}

const struct xrnpe_task *xrnpe_model_task(const struct xrnpe_model *model)
{
	return model->task.inputs ? &model->task : NULL;
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

/* Dims of at least 1 and few enough that no size overflows; *@count: their product. */
static bool shape_is_valid(unsigned int rank, const size_t dims[XRNPE_TENSOR_RANK], size_t *count)
{
	*count = 1;
	if (rank > XRNPE_TENSOR_RANK)
		return false;
	for (unsigned int i = 0; i < XRNPE_TENSOR_RANK; i++) {
		if (dims[i] < 1 || (i >= rank && dims[i] != 1) || dims[i] > GRAPH_MAX_ELEMENTS)
			return false;
		*count *= dims[i];
		if (*count > GRAPH_MAX_ELEMENTS)
			return false;
	}
	return true;
}

/* Whether the device's view has the elements of the shape. */
static bool image_is_valid(const struct xrnpe_model_tensor *t)
{
	uint64_t pixels = (uint64_t)t->height * t->width;

	return t->channels && pixels && pixels <= GRAPH_MAX_ELEMENTS &&
	       pixels * t->channels == t->info.count;
}

uint64_t xrnpe_model_tensor_bytes(const struct xrnpe_model_tensor *tensor)
{
	return (tensor->height - 1) * (uint64_t)tensor->row_stride +
	       (tensor->width - 1) * (uint64_t)tensor->pixel_stride +
	       xrnpe_row_bytes(tensor->format, tensor->channels);
}

/* Lines and pixels follow each other without overlap. */
static bool strides_are_valid(const struct xrnpe_model_tensor *t)
{
	unsigned int align = xrnpe_format_bits(t->format) / 8;
	uint64_t pixel = xrnpe_row_bytes(t->format, t->channels);
	uint64_t line = (t->width - 1) * (uint64_t)t->pixel_stride + pixel;

	if (align > 1 && (t->offset % align || t->row_stride % align || t->pixel_stride % align))
		return false;
	return (t->width == 1 || t->pixel_stride >= pixel) &&
	       (t->height == 1 || t->row_stride >= line);
}

/* The CPU sees binary32, or bytes. */
static bool format_is_valid(const struct xrnpe_model_tensor *t, enum xrnpe_model_region region)
{
	if (t->info.type == XRNPE_TYPE_BYTE)
		return t->format == XRNPE_FORMAT_U8;
	return region == XRNPE_MODEL_ARENA ? (unsigned int)t->format < XRNPE_OUTPUT_FORMATS :
						t->format == XRNPE_FORMAT_F32;
}

static int check_tensor(const struct xrnpe_model *model, uint32_t i, struct xrnpe_error *error)
{
	const struct xrnpe_model_tensor *t = &model->tensors[i];
	enum xrnpe_model_region region =
		i < model->input_count ? XRNPE_MODEL_INPUT :
		i - model->input_count < model->output_count ? XRNPE_MODEL_OUTPUT :
		/* An input or output, or part of one, may have another name besides. */
		t->region == XRNPE_MODEL_INPUT || t->region == XRNPE_MODEL_OUTPUT ? t->region :
										   XRNPE_MODEL_ARENA;
	const char *what = NULL;
	uint64_t bytes;
	size_t count;

	if (!printable(t->info.name))
		return xrnpe_fail(error, -EINVAL, "%s: name of tensor %u is not printable",
				  model->name, i);
	if (!shape_is_valid(t->info.rank, t->info.dims, &count) || t->info.count != count ||
	    (unsigned int)t->info.type > (i < model->input_count ? XRNPE_TYPE_BYTE : XRNPE_TYPE_BOOL))
		what = "its shape or type is out of range";
	else if (!image_is_valid(t))
		what = "its channels and pixels are not those of its shape";
	else if (!format_is_valid(t, region))
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
				  model->name, t->info.name, region, xrnpe_model_region_names[region],
				  t->offset, bytes, model->region_size[region]);
	return 0;
}

static int check_layer(const struct xrnpe_model *model, uint32_t i, struct xrnpe_error *error)
{
	const struct xrnpe_layer_info *layer = &model->layers[i];
	size_t count;

	if (!printable(layer->name) || !printable(layer->op) || !printable(layer->why) ||
	    !printable(layer->output))
		return xrnpe_fail(error, -EINVAL, "%s: name of layer %u is not printable",
				  model->name, i);
	if (!shape_is_valid(layer->rank, layer->dims, &count) ||
	    (unsigned int)layer->place > XRNPE_PLACE_CPU ||
	    (unsigned int)layer->format >= XRNPE_OUTPUT_FORMATS ||
	    (unsigned int)layer->weight_format >= XRNPE_OUTPUT_FORMATS ||
	    (unsigned int)layer->added_format >= XRNPE_OUTPUT_FORMATS ||
	    (unsigned int)layer->out_format >= XRNPE_OUTPUT_FORMATS)
		return xrnpe_fail(error, -EINVAL,
				  "%s: layer %s: its shape or format is out of range",
				  model->name, layer->name);
	for (unsigned int f = 0; f < 4; f++)
		if (!isfinite(layer->error) || !isfinite(layer->weight_error[f]) ||
		    !isfinite(layer->input_error[f]))
			return xrnpe_fail(error, -EINVAL, "%s: layer %s: its error is not finite",
					  model->name, layer->name);
	return 0;
}

/* Whether the model ever is at @step with @part of its commands done; at the end it is. */
static bool is_place(const struct xrnpe_model *model, uint32_t step, uint32_t part)
{
	if (step < model->step_count && model->steps[step].kind == XRNPE_MODEL_JOB)
		return part < model->steps[step].count;
	return step <= model->step_count && !part;
}

/* What a layer writes is a tensor of the layer's shape, at some time. */
static int check_layer_output(const struct xrnpe_model *model, uint32_t i, struct xrnpe_error *error)
{
	const struct xrnpe_layer_info *layer = &model->layers[i];
	const struct xrnpe_layer_output *output = &model->layer_outputs[i];
	const struct xrnpe_graph *cpu = model->cpu;
	size_t count, there = 0;

	shape_is_valid(layer->rank, layer->dims, &count);
	if (layer->place == XRNPE_PLACE_DEVICE) {
		if (output->index < model->tensor_count &&
		    model->tensors[output->index].info.type != XRNPE_TYPE_BYTE &&
		    is_place(model, output->step, output->part))
			there = model->tensors[output->index].info.count;
	} else if (cpu && output->index < cpu->node_count && !output->step && !output->part) {
		const struct graph_tensor *t = graph_output(cpu, &cpu->nodes[output->index], 0);

		there = t && t->known ? graph_count(&t->shape) : 0;
	}
	if (there != count)
		return xrnpe_fail(error, -EINVAL, "%s: layer %s: what it writes is not there",
				  model->name, layer->name);
	return 0;
}

bool xrnpe_model_cmd_check(const struct xrnpe_model *model, uint32_t i,
			   struct xrnpe_span spans[XRNPE_OPERANDS], struct xrnpe_fault *fault)
{
	struct xrnpe_extent extents[XRNPE_MODEL_REGIONS];

	for (unsigned int r = 0; r < XRNPE_MODEL_REGIONS; r++)
		extents[r] = (struct xrnpe_extent){ model->region_size[r],
						    xrnpe_model_region_flags[r] };
	return xrnpe_cmd_check(&model->cmds[i], i, extents, XRNPE_MODEL_REGIONS, spans, fault);
}

static int check_commands(const struct xrnpe_model *model, struct xrnpe_error *error)
{
	struct xrnpe_span spans[XRNPE_OPERANDS];
	struct xrnpe_fault fault;
	char text[320];

	for (uint32_t i = 0; i < model->cmd_count; i++) {
		if (!xrnpe_model_cmd_check(model, i, spans, &fault)) {
			xrnpe_model_fault_text(model, &fault, text, sizeof(text));
			return xrnpe_fail(error, -EINVAL, "%s: %s", model->name, text);
		}
	}
	return 0;
}

static bool is_listed(const uint32_t *list, uint32_t count, uint32_t index)
{
	for (uint32_t i = 0; i < count; i++) {
		if (list[i] == index)
			return true;
	}
	return false;
}

/*
 * Bindings of a step: behind those before, of which there are @done, and of equal size; what is
 * gathered is an input of the CPU's.
 */
static int check_bindings(const struct xrnpe_model *model, uint32_t step, uint32_t first,
			  uint32_t count, bool gathers, uint32_t *done, struct xrnpe_error *error)
{
	const struct xrnpe_graph *cpu = model->cpu;

	if (first != *done || count > model->binding_count - first)
		return xrnpe_fail(error, -EINVAL, "%s: step %u has bindings that are not there, or not its own",
				  model->name, step);
	*done += count;
	for (uint32_t i = first; i < first + count; i++) {
		const struct xrnpe_model_binding *b = &model->bindings[i];
		const struct xrnpe_model_tensor *t = b->tensor < model->tensor_count ?
						     &model->tensors[b->tensor] : NULL;

		if (b->cpu >= cpu->tensor_count || !t || t->format != XRNPE_FORMAT_F32 ||
		    t->info.count != graph_count(&cpu->tensors[b->cpu].shape) ||
		    is_listed(cpu->inputs, cpu->input_count, b->cpu) != gathers ||
		    (!gathers && t->region == XRNPE_MODEL_INPUT) ||
		    !cpu->tensors[b->cpu].known)
			return xrnpe_fail(error, -EINVAL, "%s: step %u: binding %u fits nothing",
					  model->name, step, i);
	}
	return 0;
}

/* Steps cover the commands, the CPU's nodes and the bindings, each in order. */
static int check_steps(const struct xrnpe_model *model, struct xrnpe_error *error)
{
	uint32_t cmds = 0, nodes = 0, node_count = model->cpu ? model->cpu->node_count : 0, bindings = 0;
	int ret = 0;

	for (uint32_t i = 0; !ret && i < model->step_count; i++) {
		const struct xrnpe_model_step *step = &model->steps[i];
		bool cpu = step->kind == XRNPE_MODEL_CPU;
		uint32_t *done = cpu ? &nodes : &cmds, all = cpu ? node_count : model->cmd_count;

		if ((unsigned int)step->kind > XRNPE_MODEL_CPU || step->first != *done ||
		    !step->count || step->count > all - *done ||
		    (!cpu && (step->count > XRNPE_MAX_CMDS || step->gather_count ||
			      step->scatter_count)))
			return xrnpe_fail(error, -EINVAL, "%s: step %u is out of order", model->name, i);
		*done += step->count;
		if (!cpu)
			continue;
		ret = check_bindings(model, i, step->gather_first, step->gather_count, true, &bindings,
				     error);
		if (!ret)
			ret = check_bindings(model, i, step->scatter_first, step->scatter_count, false,
					     &bindings, error);
	}
	if (!ret && (!model->step_count || cmds != model->cmd_count || nodes != node_count ||
		     bindings != model->binding_count))
		ret = xrnpe_fail(error, -EINVAL, "%s: its steps are not all of it", model->name);
	return ret;
}

int xrnpe_model_check_tables(const struct xrnpe_model *model, struct xrnpe_error *error)
{
	int ret = 0;

	if (!printable(model->producer))
		return xrnpe_fail(error, -EINVAL, "%s: producer is not printable", model->name);
	if (!model->layer_count || !model->input_count || !model->output_count ||
	    model->input_count > model->tensor_count ||
	    model->output_count > model->tensor_count - model->input_count)
		return xrnpe_fail(error, -EINVAL, "%s: lacks layers, inputs or outputs",
				  model->name);
	for (unsigned int i = 0; i < XRNPE_MODEL_REGIONS; i++)
		if (model->region_size[i] > SIZE_MAX / 8)
			return xrnpe_fail(error, -EINVAL, "%s: region %u (%s) is too large",
					  model->name, i, xrnpe_model_region_names[i]);

	for (uint32_t i = 0; !ret && i < model->layer_count; i++)
		ret = check_layer(model, i, error);
	for (uint32_t i = 0; !ret && i < model->tensor_count; i++)
		ret = check_tensor(model, i, error);
	for (uint32_t i = 0; !ret && i < model->cmd_count; i++)
		if (model->cmd_layer[i] >= model->layer_count)
			ret = xrnpe_fail(error, -EINVAL, "%s: command %u belongs to no layer",
					 model->name, i);
	if (!ret)
		ret = check_steps(model, error);
	for (uint32_t i = 0; !ret && i < model->layer_count; i++)
		ret = check_layer_output(model, i, error);
	return ret;
}

int xrnpe_model_check(const struct xrnpe_model *model, struct xrnpe_error *error)
{
	int ret = 0;

	for (uint32_t i = 0; !ret && i < xrnpe_model_point_count(model); i++) {
		const struct xrnpe_model *point = xrnpe_model_point(model, i);

		ret = xrnpe_model_check_tables(point, error);
		if (!ret)
			ret = check_commands(point, error);
	}
	return ret ? ret : xrnpe_model_check_points(model, error);
}

/* ---- faults in words -------------------------------------------------- */

void xrnpe_model_fault_text(const struct xrnpe_model *model, const struct xrnpe_fault *fault,
			    char *text, size_t size)
{
	const struct xrnpe_cmd *cmd = fault->cmd < model->cmd_count ? &model->cmds[fault->cmd] : NULL;
	const char *opcode = cmd ? xrnpe_opcode_name(cmd->opcode) : NULL, *layer = "?";
	bool known = fault->region < XRNPE_MODEL_REGIONS;
	char region[64] = "";
	int used = 0;

	if (known)
		snprintf(region, sizeof(region), "%s, %" PRIu64 " bytes", xrnpe_model_region_names[fault->region],
			 model->region_size[fault->region]);
	if (cmd && model->cmd_layer[fault->cmd] < model->layer_count)
		layer = model->layers[model->cmd_layer[fault->cmd]].name;
	if (fault->kind != XRNPE_FAULT_ILLEGAL_JOB)
		used = snprintf(text, size, "command %u (%s, layer %.80s): ", fault->cmd,
				opcode ? opcode : "unknown opcode", layer);
	if (used >= 0 && (size_t)used < size)
		xrnpe_fault_text(fault, cmd, known ? region : NULL, text + used, size - (size_t)used);
}
