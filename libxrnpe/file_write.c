// SPDX-License-Identifier: MIT
/* Writes .xrnpe files. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "file_format.h"
#include "graph.h"
#include "io.h"
#include "onnx.h"

struct strings {
	char *bytes;
	uint32_t size;
	bool failed;
};

/* The offset of @string, which is appended unless it is there. */
static uint32_t add_string(struct strings *strings, const char *string)
{
	size_t size = strlen(string) + 1;
	uint32_t offset = strings->size;
	char *bytes = offset ? memmem(strings->bytes, offset, string, size) : NULL;

	/* Points have most of theirs in common. */
	if (bytes)
		return (uint32_t)(bytes - strings->bytes);
	if (!strings->failed && size <= UINT32_MAX - offset)
		bytes = realloc(strings->bytes, offset + size);
	if (!bytes) {
		strings->failed = true;
		return 0;
	}
	memcpy(bytes + offset, string, size);
	strings->bytes = bytes;
	strings->size += (uint32_t)size;
	return offset;
}

/* Of the CPU's nodes, what was folded stands apart in the file: @nodes, and the last is meant. */
static void pack_layer(struct file_layer *to, const struct xrnpe_layer_info *from,
		       const struct xrnpe_layer_output *output, const uint32_t *nodes,
		       struct strings *strings)
{
	*to = (struct file_layer){
		.name = add_string(strings, from->name),
		.op = add_string(strings, from->op),
		.why = add_string(strings, from->why),
		.place = from->place,
		.rank = from->rank,
		.macs = from->macs,
		.bytes = from->bytes,
		.float_bytes = from->float_bytes,
		.format = from->format,
		.weight_format = from->weight_format,
		.added_format = from->added_format,
		.out_format = from->out_format,
		.output = add_string(strings, from->output),
		.index = from->place == XRNPE_PLACE_CPU ? nodes[output->index + 1] - 1 : output->index,
		.step = output->step,
		.part = output->part,
		.error = from->error,
	};
	for (unsigned int i = 0; i < XRNPE_TENSOR_RANK; i++)
		to->dims[i] = (uint32_t)from->dims[i];
	memcpy(to->weight_error, from->weight_error, sizeof(to->weight_error));
	memcpy(to->input_error, from->input_error, sizeof(to->input_error));
}

static void pack_tensor(struct file_tensor *to, const struct xrnpe_model_tensor *from,
			struct strings *strings)
{
	*to = (struct file_tensor){
		.name = add_string(strings, from->info.name),
		.type = from->info.type,
		.rank = from->info.rank,
		.channels = from->channels,
		.height = from->height,
		.width = from->width,
		.channels_first = from->channels_first,
		.region = from->region,
		.offset = from->offset,
		.row_stride = from->row_stride,
		.pixel_stride = from->pixel_stride,
		.format = from->format,
		.scale = from->scale,
	};
	for (unsigned int i = 0; i < XRNPE_TENSOR_RANK; i++)
		to->dims[i] = (uint32_t)from->info.dims[i];
}

/* A file as it will be: its header, and what the sections hold. */
struct whole {
	struct file_header header;
	const void *data[SECTIONS];
};

/* Lay the sections out, whose data and sizes are set. */
static void lay_out(struct whole *whole)
{
	struct file_header *header = &whole->header;
	uint64_t end = sizeof(*header);

	header->version = FILE_VERSION;
	header->section_count = SECTIONS;
	memcpy(header->magic, FILE_MAGIC, sizeof(header->magic));
	for (unsigned int i = 0; i < SECTIONS; i++) {
		struct file_section *section = &header->section[i];

		section->offset = file_align(end);
		section->crc = file_checksum(whole->data[i], section->size);
		end = section->offset + section->size;
	}
	header->size = end;
	header->crc = file_header_checksum(header, sizeof(*header));
}

static void write_whole(const struct whole *whole, FILE *stream)
{
	static const char zeros[FILE_ALIGN];
	uint64_t end = sizeof(whole->header);

	fwrite(&whole->header, sizeof(whole->header), 1, stream);
	for (unsigned int i = 0; i < SECTIONS; i++) {
		const struct file_section *section = &whole->header.section[i];

		fwrite(zeros, 1, section->offset - end, stream);
		if (section->size)
			fwrite(whole->data[i], 1, section->size, stream);
		end = section->offset + section->size;
	}
}

static void copy_whole(const struct whole *whole, uint8_t *to)
{
	memset(to, 0, whole->header.size);
	memcpy(to, &whole->header, sizeof(whole->header));
	for (unsigned int i = 0; i < SECTIONS; i++) {
		const struct file_section *section = &whole->header.section[i];

		if (section->size)
			memcpy(to + section->offset, whole->data[i], section->size);
	}
}

/* The tables of a model as they are on disk: of all points, one after the other. */
struct tables {
	struct strings strings;
	struct file_point *points;
	struct xrnpe_cmd *cmds;
	uint32_t *cmd_layers;
	struct file_layer *layers;
	struct file_tensor *tensors;
	struct file_step *steps;
	struct file_binding *bindings;
	/* Records in them. */
	size_t cmd_count, layer_count, tensor_count, step_count, binding_count;
	uint8_t *cpu;
	size_t cpu_size;
	uint32_t *nodes;	/* by node of the CPU's graph: its first one in the file */
};

static void free_tables(struct tables *tables)
{
	free(tables->strings.bytes);
	free(tables->points);
	free(tables->cmds);
	free(tables->cmd_layers);
	free(tables->layers);
	free(tables->tensors);
	free(tables->steps);
	free(tables->bindings);
	free(tables->cpu);
	free(tables->nodes);
}

static bool allocate(const struct xrnpe_model *model, struct tables *tables)
{
	size_t cmds = 0, layers = 0, tensors = 0, steps = 0, bindings = 0;

	for (uint32_t p = 0; p < xrnpe_model_point_count(model); p++) {
		const struct xrnpe_model *point = xrnpe_model_point(model, p);

		cmds += point->cmd_count;
		layers += point->layer_count;
		tensors += point->tensor_count;
		steps += point->step_count;
		bindings += point->binding_count;
	}
	/* One more: a table may be empty. */
	tables->points = calloc(xrnpe_model_point_count(model), sizeof(*tables->points));
	tables->cmds = calloc(cmds + 1, sizeof(*tables->cmds));
	tables->cmd_layers = calloc(cmds + 1, sizeof(*tables->cmd_layers));
	tables->layers = calloc(layers + 1, sizeof(*tables->layers));
	tables->tensors = calloc(tensors + 1, sizeof(*tables->tensors));
	tables->steps = calloc(steps + 1, sizeof(*tables->steps));
	tables->bindings = calloc(bindings + 1, sizeof(*tables->bindings));
	return tables->points && tables->cmds && tables->cmd_layers && tables->layers &&
	       tables->tensors && tables->steps && tables->bindings;
}

/* Steps name nodes as they are in the file, where what was folded stands apart. */
static void pack_step(struct file_step *to, const struct xrnpe_model_step *from,
		      const uint32_t *nodes)
{
	bool cpu = from->kind == XRNPE_MODEL_CPU;

	*to = (struct file_step){
		.kind = from->kind,
		.first = cpu ? nodes[from->first] : from->first,
		.count = cpu ? nodes[from->first + from->count] - nodes[from->first] : from->count,
		.gather_first = from->gather_first,
		.gather_count = from->gather_count,
		.scatter_first = from->scatter_first,
		.scatter_count = from->scatter_count,
	};
}

/* Append what is @model's. */
static void pack_point(const struct xrnpe_model *model, struct tables *tables)
{
	struct strings *strings = &tables->strings;

	tables->points[model->point] = (struct file_point){
		.records = {
			[TABLE_COMMANDS] = model->cmd_count, [TABLE_LAYERS] = model->layer_count,
			[TABLE_TENSORS] = model->tensor_count, [TABLE_STEPS] = model->step_count,
			[TABLE_BINDINGS] = model->binding_count,
		},
		.arena = model->region_size[XRNPE_MODEL_ARENA],
		.quality_inputs = model->quality.inputs, .quality_unseen = model->quality.unseen,
		.quality_error = model->quality.error, .quality_spread = model->quality.spread,
		.task_inputs = model->task.inputs, .task_classes = model->task.classes,
		.task_score = model->task.score, .task_float_score = model->task.float_score,
		.task_loss = model->task.loss, .task_spread = model->task.spread,
	};
	for (uint32_t i = 0; i < model->cmd_count; i++) {
		tables->cmds[tables->cmd_count] = model->cmds[i];
		tables->cmd_layers[tables->cmd_count++] = model->cmd_layer[i];
	}
	for (uint32_t i = 0; i < model->layer_count; i++)
		pack_layer(&tables->layers[tables->layer_count++], &model->layers[i],
			   &model->layer_outputs[i], tables->nodes, strings);
	for (uint32_t i = 0; i < model->tensor_count; i++)
		pack_tensor(&tables->tensors[tables->tensor_count++], &model->tensors[i], strings);
	for (uint32_t i = 0; i < model->step_count; i++)
		pack_step(&tables->steps[tables->step_count++], &model->steps[i], tables->nodes);
	for (uint32_t i = 0; i < model->binding_count; i++)
		tables->bindings[tables->binding_count++] = (struct file_binding){
			add_string(strings, model->cpu->tensors[model->bindings[i].cpu].name),
			model->bindings[i].tensor,
		};
}

static int pack(const struct xrnpe_model *model, struct tables *tables, struct xrnpe_error *error)
{
	const struct xrnpe_graph *cpu = model->cpu;
	int ret = 0;

	if (!allocate(model, tables))
		return xrnpe_fail_memory(error);
	if (cpu) {
		tables->nodes = calloc(cpu->node_count + 1, sizeof(*tables->nodes));
		ret = tables->nodes ? onnx_write(cpu, tables->nodes, &tables->cpu, &tables->cpu_size, error) :
				      xrnpe_fail_memory(error);
	}
	for (uint32_t p = 0; !ret && p < xrnpe_model_point_count(model); p++)
		pack_point(xrnpe_model_point(model, p), tables);
	return ret || !tables->strings.failed ? ret : xrnpe_fail_memory(error);
}

static void set_section(struct whole *whole, enum section_id id, const void *data, uint64_t size)
{
	whole->data[id] = data;
	whole->header.section[id].size = size;
}

/* All of @model; what it points to lies in the model, @info and @tables. */
static int make_whole(const struct xrnpe_model *model, struct file_info *info,
		      struct tables *tables, struct whole *whole, struct xrnpe_error *error)
{
	int ret;

	*info = (struct file_info){
		.constants = model->region_size[XRNPE_MODEL_CONSTANTS],
		.inputs = model->region_size[XRNPE_MODEL_INPUT],
		.outputs = model->region_size[XRNPE_MODEL_OUTPUT],
		.input_count = model->input_count,
		.output_count = model->output_count,
		.point = model->whole->point,
	};
	info->producer = add_string(&tables->strings, model->producer);
	ret = pack(model, tables, error);
	if (ret)
		return ret;
	set_section(whole, SECTION_INFO, info, sizeof(*info));
	set_section(whole, SECTION_POINTS, tables->points,
		    xrnpe_model_point_count(model) * sizeof(*tables->points));
	set_section(whole, SECTION_STRINGS, tables->strings.bytes, tables->strings.size);
	set_section(whole, SECTION_COMMANDS, tables->cmds, tables->cmd_count * sizeof(*tables->cmds));
	set_section(whole, SECTION_COMMAND_LAYERS, tables->cmd_layers,
		    tables->cmd_count * sizeof(*tables->cmd_layers));
	set_section(whole, SECTION_LAYERS, tables->layers,
		    tables->layer_count * sizeof(*tables->layers));
	set_section(whole, SECTION_TENSORS, tables->tensors,
		    tables->tensor_count * sizeof(*tables->tensors));
	set_section(whole, SECTION_STEPS, tables->steps, tables->step_count * sizeof(*tables->steps));
	set_section(whole, SECTION_BINDINGS, tables->bindings,
		    tables->binding_count * sizeof(*tables->bindings));
	set_section(whole, SECTION_CPU, tables->cpu, tables->cpu_size);
	set_section(whole, SECTION_CONSTANTS, model->constants,
		    model->region_size[XRNPE_MODEL_CONSTANTS]);
	lay_out(whole);
	return 0;
}

int xrnpe_model_save(const struct xrnpe_model *model, const char *path, struct xrnpe_error *error)
{
	struct tables tables = { 0 };
	struct whole whole = { 0 };
	struct file_info info;
	struct xrnpe_file file;
	int ret = make_whole(model, &info, &tables, &whole, error);

	if (!ret)
		ret = xrnpe_file_create(&file, path, error);
	if (!ret) {
		write_whole(&whole, file.stream);
		ret = xrnpe_file_commit(&file, error);
	}
	free_tables(&tables);
	return ret;
}

int xrnpe_model_pack(const struct xrnpe_model *model, void *data, size_t *size,
		     struct xrnpe_error *error)
{
	struct tables tables = { 0 };
	struct whole whole = { 0 };
	struct file_info info;
	size_t room = *size;
	int ret = make_whole(model, &info, &tables, &whole, error);

	if (!ret) {
		*size = whole.header.size;
		if (*size > room)
			ret = xrnpe_fail(error, -ENOSPC, "%s: takes %zu bytes, not %zu", model->name, *size,
					 room);
		else
			copy_whole(&whole, data);
	}
	free_tables(&tables);
	return ret;
}
