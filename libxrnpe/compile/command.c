// SPDX-License-Identifier: MIT
/* Commands of nodes that are on the device, and those that convert between formats. */
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cost.h"
#include "error.h"
#include "lower.h"

/* ---- operands ---------------------------------------------------------- */

/* What is an image elsewhere is for MATMUL rows of all lines, or a matrix for each line. */
static void make_matrix(const struct xrnpe_cmd *cmd, const struct image *image,
			struct xrnpe_operand *operand)
{
	if (cmd->opcode != XRNPE_OP_MATMUL)
		return;
	operand->batch_stride = cmd->matmul.batch > 1 && image->h > 1 ? operand->row_stride : 0;
	operand->row_stride = operand->pixel_stride;
	operand->pixel_stride = 0;
}

void lower_operand(const struct xrnpe_cmd *cmd, const struct image *image,
		   const struct image_part *part, enum xrnpe_format format,
		   struct xrnpe_operand *operand)
{
	lower_part(image, part, format, operand);
	make_matrix(cmd, image, operand);
}

void lower_without_activation(struct xrnpe_cmd *cmd)
{
	cmd->activation = XRNPE_ACT_NONE;
	cmd->flags &= ~XRNPE_CMD_CLAMP;
	cmd->slope = cmd->lo = cmd->hi = 0;
}

uint32_t lower_scale_size(const struct place *place)
{
	return place->slope ? sizeof(struct xrnpe_scale_slope) : sizeof(struct xrnpe_scale);
}

/* The operands of a piece that are constants, as if each kind of them began at 0. */
static void set_constants(const struct node_plan *plan, const struct place_piece *piece,
			  struct choice choice, struct xrnpe_cmd *cmd)
{
	const struct place *place = &plan->place;
	const struct quantized *weight = &plan->weight[choice.weight];
	/* One record serves all channels of these. */
	bool single = place->scale_count == 1 &&
		      (place->kind == PLACE_CONVERT || place->kind == PLACE_MATMUL ||
		       place->kind == PLACE_PAIR);

	if (place->weights.out_c)
		cmd->operand[XRNPE_OPERAND_WEIGHT] = (struct xrnpe_operand){
			.region = XRNPE_MODEL_CONSTANTS, .format = (uint8_t)choice.weight,
			.offset = (uint64_t)piece->row * weight->row_stride +
				  (uint64_t)piece->tap * weight->pixel_stride +
				  xrnpe_row_bytes(choice.weight, piece->channel),
			.row_stride = weight->row_stride,
			.pixel_stride = cmd->opcode == XRNPE_OP_MATMUL ? 0 : weight->pixel_stride,
		};
	if (place->kind == PLACE_TABLE)
		cmd->operand[XRNPE_OPERAND_WEIGHT] = (struct xrnpe_operand){
			.region = XRNPE_MODEL_CONSTANTS, .format = (uint8_t)choice.input,
		};
	if (place->scale_count)
		cmd->operand[XRNPE_OPERAND_SCALE] = (struct xrnpe_operand){
			.region = XRNPE_MODEL_CONSTANTS, .format = XRNPE_FORMAT_F32,
			.offset = (uint64_t)piece->row * lower_scale_size(place),
			.row_stride = single ? 0 : lower_scale_size(place),
		};
	if (place->slope)
		cmd->activation = XRNPE_ACT_PRELU;
}

/* How many tensors a piece reads: not all of them add one. */
static uint32_t count_reads(const struct node_plan *plan, const struct place_piece *piece)
{
	bool adds = piece->cmd.flags & XRNPE_CMD_RESIDUAL;

	return compile_adds(plan) && !adds ? 1 : plan->place.read_count;
}

/* What a piece reads of the @k-th tensor. */
static struct image_part read_part(const struct place_piece *piece, uint32_t k)
{
	struct image_part part = k ? piece->to : piece->from;

	if (k)
		part.c = 0;
	return part;
}

struct xrnpe_cmd lower_packed(const struct node_plan *plan, const struct place_piece *piece,
			      const struct image *image, struct choice choice)
{
	const struct place *place = &plan->place;
	struct xrnpe_cmd cmd = piece->cmd;

	image = place_written(place, image);
	set_constants(plan, piece, choice, &cmd);
	for (uint32_t k = 0; k < count_reads(plan, piece); k++) {
		const struct image_part part = read_part(piece, k);

		lower_operand(&cmd, &place->reads[k].image, &part, choice.input,
			      &cmd.operand[place->reads[k].operand]);
	}
	lower_operand(&cmd, image, &piece->to, piece->partial ? XRNPE_FORMAT_F32 : choice.input,
		      &cmd.operand[XRNPE_OPERAND_OFM]);
	if (piece->continues)
		lower_operand(&cmd, image, &piece->to, XRNPE_FORMAT_F32,
			      &cmd.operand[XRNPE_OPERAND_IFM2]);
	return cmd;
}

struct xrnpe_counters lower_cost(const struct node_plan *plan, const struct image *image,
				 struct choice choice)
{
	const struct xrnpe_machine machine = XRNPE_MACHINE_DEFAULT;
	struct xrnpe_counters counters = { 0 };

	for (uint32_t k = 0; k < place_pieces(&plan->place); k++) {
		const struct place_piece piece = place_piece(&plan->place, k);
		const struct xrnpe_cmd cmd = lower_packed(plan, &piece, image, choice);

		xrnpe_cmd_cost(&machine, &cmd, &counters);
	}
	return counters;
}

/* ---- constants --------------------------------------------------------- */

/* Add @size bytes to the constants, from *@offset on. */
static int add_constants(struct lowering *low, const void *data, size_t size, uint64_t *offset)
{
	uint64_t *total = &low->model->region_size[XRNPE_MODEL_CONSTANTS];
	size_t room = model_align(size);
	uint8_t *constants = realloc(low->model->constants, *total + room);

	if (!constants)
		return xrnpe_fail_memory(low->compiler->error);
	low->model->constants = constants;
	memset(constants + *total, 0, room);
	memcpy(constants + *total, data, size);
	*offset = *total;
	*total += room;
	low->model->layers[low->layer].bytes += size;
	return 0;
}

/* A record of scale, bias and slope, of which the last may not be written. */
static bool make_record(double scale, double bias, float slope, size_t size, uint8_t *out)
{
	float values[] = { (float)scale, (float)bias, slope };

	memcpy(out, values, size);
	return isfinite(values[0]) && isfinite(values[1]) && isfinite(slope);
}

/*
 * The scale records of @plan's command, for the scales of what it reads and writes. Of sums
 * that another command completes they have no biases.
 */
static bool make_scales(const struct node_plan *plan, bool partial, const float *in_scales,
			float out_scale, uint8_t *out)
{
	const struct place *place = &plan->place;
	const struct quantized *weight = &plan->weight[plan->choice.weight];
	bool each = place->kind == PLACE_PAIR && place->scale_count == 2, finite = true;
	double all = in_scales[0];

	/* Products of two tensors have the scales of both. */
	if (place->kind == PLACE_MATMUL || (place->kind == PLACE_PAIR && !each))
		all *= in_scales[1];
	for (uint32_t i = 0; i < place->scale_count; i++) {
		double scale = each ? (double)in_scales[i] * place->reads[i].factor : all;
		bool biased = place->bias && !partial;

		scale *= weight->scales ? weight->scales[i] : 1;
		scale *= place->factor ? place->factor[i] : 1;
		finite &= make_record(scale / out_scale,
				      biased ? (double)place->bias[i] / out_scale : 0,
				      place->slope ? place->slope[i] : 0, lower_scale_size(place),
				      out + (size_t)i * lower_scale_size(place));
	}
	return finite;
}

static int add_scales(struct lowering *low, uint32_t n, bool partial, const float *in_scales,
		      float out_scale, uint64_t *offset)
{
	const struct node_plan *plan = &low->compiler->nodes[n];
	size_t size = plan->place.scale_count * (size_t)lower_scale_size(&plan->place);
	uint8_t *scales = malloc(size + 1);
	int ret;

	if (!scales)
		return xrnpe_fail_memory(low->compiler->error);
	if (make_scales(plan, partial, in_scales, out_scale, scales))
		ret = add_constants(low, scales, size, offset);
	else
		ret = graph_fail(low->compiler->graph, &low->compiler->graph->nodes[n],
				 low->compiler->error, -ENOTSUP, "a scale or bias is out of range");
	free(scales);
	return ret;
}

/*
 * Whether a command reads a table that is the same; scale_tensors() sees to that.
 * *@offset: where it is
 */
static bool share_table(const struct lowering *low, enum xrnpe_format in, enum xrnpe_format out,
			const void *table, size_t size, uint64_t *offset)
{
	for (uint32_t i = 0; i < low->model->cmd_count; i++) {
		const struct xrnpe_cmd *other = &low->model->cmds[i];

		*offset = other->operand[XRNPE_OPERAND_WEIGHT].offset;
		if (other->opcode == XRNPE_OP_LUT && other->operand[XRNPE_OPERAND_IFM].format == in &&
		    other->operand[XRNPE_OPERAND_OFM].format == out &&
		    !memcmp((const uint8_t *)low->model->constants + *offset, table, size))
			return true;
	}
	return false;
}

static int add_table(struct lowering *low, uint32_t n, float in_scale, enum xrnpe_format out,
		     float out_scale, uint64_t *offset)
{
	enum xrnpe_format in = lower_read_format(low, n, 0);
	size_t size;
	void *table = table_make(low->compiler, n, in, in_scale, out, out_scale, &size);
	int ret;

	if (!table)
		return xrnpe_fail_memory(low->compiler->error);
	ret = share_table(low, in, out, table, size, offset) ? 0 :
	      add_constants(low, table, size, offset);
	free(table);
	return ret;
}

/* The codes of @tensor, if it is a constant, in the formats that are needed and not there. */
static int add_tensor(struct lowering *low, uint32_t tensor)
{
	const struct graph_tensor *values = &low->compiler->graph->tensors[tensor];
	const struct image *image = &low->compiler->tensors[tensor].image;
	struct versions *versions = &low->versions[tensor];
	int ret = 0;

	for (enum xrnpe_format f = 0; values->data && !ret && f < COMPILE_FORMATS; f++) {
		const struct image_layout layout = image_packed(image, f, lower_scale(low, tensor, f));
		size_t size = image_bytes(image, f);
		void *codes;

		if (!(versions->needed & ~versions->made & 1u << f))
			continue;
		codes = calloc(1, size);
		if (!codes)
			return xrnpe_fail_memory(low->compiler->error);
		image_write(image, &layout, values->data, codes);
		ret = add_constants(low, codes, size, &versions->constant[f]);
		versions->made |= 1u << f;
		free(codes);
	}
	return ret;
}

/* Those that node @n reads. */
static int add_tensors(struct lowering *low, uint32_t n)
{
	const struct place *place = &low->compiler->nodes[n].place;
	const uint32_t *inputs = low->compiler->graph->nodes[n].inputs;
	int ret = 0;

	for (uint32_t k = 0; !ret && k < place->read_count; k++)
		ret = add_tensor(low, place->reads[k].tensor);
	for (uint32_t k = 0; !ret && place->kind == PLACE_JOIN && k < place->part_count; k++)
		ret = add_tensor(low, inputs[place->parts[k].input]);
	return ret;
}

/* ---- a node ------------------------------------------------------------ */

static uint32_t float_bits(double value)
{
	float rounded = (float)fmin(fmax(value, -FLT_MAX), FLT_MAX);
	uint32_t bits;

	memcpy(&bits, &rounded, sizeof(bits));
	return bits;
}

/* The parameters of the output stage, which depend on the scales of what it reads and writes. */
static void set_output_stage(const struct node_plan *plan, const float *in_scales, float out_scale,
			     struct xrnpe_cmd *cmd)
{
	const struct graph_activation *activation = &plan->place.activation;

	if (!plan->chooses || plan->place.kind == PLACE_TABLE)
		return;
	if (activation->kind != XRNPE_ACT_NONE)
		cmd->activation = (uint8_t)activation->kind;
	if (activation->kind == XRNPE_ACT_LEAKY)
		cmd->slope = float_bits(activation->slope);
	if (activation->clamps) {
		cmd->flags |= XRNPE_CMD_CLAMP;
		cmd->lo = float_bits((double)activation->lo / out_scale);
		cmd->hi = float_bits((double)activation->hi / out_scale);
	}
	if (cmd->flags & XRNPE_CMD_RESIDUAL)
		cmd->residual = float_bits((double)in_scales[1] / out_scale);
}

static int add_command(struct lowering *low, const struct xrnpe_cmd *cmd)
{
	struct xrnpe_model *model = low->model;

	if (model->cmd_count == low->cmd_room)
		return xrnpe_fail(low->compiler->error, -ENOTSUP, "%s: needs more than %u commands",
				  model->name, low->cmd_room);
	model->cmd_layer[model->cmd_count] = low->layer;
	model->cmds[model->cmd_count++] = *cmd;
	low->time++;
	return 0;
}

static void set_operand(struct lowering *low, struct xrnpe_cmd *cmd, uint32_t tensor,
			unsigned int version, const struct image *image, const struct image_part *part,
			enum xrnpe_operand_index operand)
{
	lower_locate(low, tensor, version, image, part, &cmd->operand[operand]);
	make_matrix(cmd, image, &cmd->operand[operand]);
}

/* What the pieces of a node share. */
struct own {
	uint32_t n;
	unsigned int primary;	/* version that they write */
	float in_scales[PLACE_READS], out_scale;
	uint64_t weights, scales, plain;	/* constants; plain: scales without biases */
	uint64_t sums;		/* memory that the piece before left its sums in */
};

static int add_own_constants(struct lowering *low, struct own *own)
{
	const struct node_plan *plan = &low->compiler->nodes[own->n];
	const struct place *place = &plan->place;
	const struct quantized *weight = &plan->weight[plan->choice.weight];
	int ret = 0;

	if (place->scale_count)
		ret = add_scales(low, own->n, false, own->in_scales, own->out_scale, &own->scales);
	if (!ret && place->scale_count && place_piece(place, 0).partial)
		ret = add_scales(low, own->n, true, own->in_scales, own->out_scale, &own->plain);
	if (!ret && place->weights.out_c)
		ret = add_constants(low, weight->codes, weight->size, &own->weights);
	if (!ret && place->kind == PLACE_TABLE)
		ret = add_table(low, own->n, own->in_scales[0], version_format(own->primary),
				own->out_scale, &own->weights);
	return ret;
}

/* Let a piece add the sums of the one before, and write its own where the next finds them. */
static void set_sums(struct lowering *low, const struct place_piece *piece,
		     const struct image *image, struct own *own, struct xrnpe_cmd *cmd)
{
	struct xrnpe_operand sums;

	lower_operand(cmd, image, &IMAGE_WHOLE, XRNPE_FORMAT_F32, &sums);
	sums.region = XRNPE_MODEL_ARENA;
	sums.offset = own->sums;
	if (piece->continues) {
		cmd->residual = float_bits(1);
		cmd->operand[XRNPE_OPERAND_IFM2] = sums;
	}
	if (piece->partial) {
		lower_without_activation(cmd);
		sums.offset = own->sums = lower_temporary(low, image_bytes(image, XRNPE_FORMAT_F32));
		cmd->operand[XRNPE_OPERAND_OFM] = sums;
		cmd->operand[XRNPE_OPERAND_SCALE].offset = own->plain;
	}
}

static int add_piece(struct lowering *low, struct own *own, const struct place_piece *piece)
{
	struct compiler *compiler = low->compiler;
	const struct node_plan *plan = &compiler->nodes[own->n];
	const struct place *place = &plan->place;
	uint32_t output = compile_output(compiler, own->n), status = 0;
	const struct image *image = place_written(place, &compiler->tensors[output].image);
	struct xrnpe_cmd cmd = piece->cmd;

	set_constants(plan, piece, plan->choice, &cmd);
	cmd.operand[XRNPE_OPERAND_WEIGHT].offset += own->weights;
	cmd.operand[XRNPE_OPERAND_SCALE].offset += own->scales;
	if (place->kind == PLACE_TABLE)
		cmd.operand[XRNPE_OPERAND_WEIGHT].format = (uint8_t)version_format(own->primary);
	for (uint32_t k = 0; k < count_reads(plan, piece); k++) {
		const struct place_read *read = &place->reads[k];
		const struct image_part part = read_part(piece, k);
		struct xrnpe_operand *operand = &cmd.operand[read->operand];

		set_operand(low, &cmd, read->tensor, lower_read_format(low, own->n, k), &read->image,
			    &part, read->operand);
		operand->row_stride = read->repeat_rows ? 0 : operand->row_stride;
		operand->pixel_stride = read->repeat_pixels ? 0 : operand->pixel_stride;
	}
	set_operand(low, &cmd, output, own->primary, image, &piece->to, XRNPE_OPERAND_OFM);
	set_output_stage(plan, own->in_scales, own->out_scale, &cmd);
	if (place->kind == PLACE_COPY)
		cmd.copy.fill = xrnpe_encode(version_format(own->primary),
					     place->fill / own->out_scale, &status);
	if (piece->partial || piece->continues)
		set_sums(low, piece, image, own, &cmd);
	return add_command(low, &cmd);
}

/* The commands that compute a node. */
static int add_own_commands(struct lowering *low, uint32_t n)
{
	struct compiler *compiler = low->compiler;
	struct node_plan *plan = &compiler->nodes[n];
	const struct place *place = &plan->place;
	uint32_t output = compile_output(compiler, n);
	struct own own = { .n = n, .primary = lower_versions(low, output)->primary };
	int ret;

	for (uint32_t k = 0; k < PLACE_READS; k++)
		own.in_scales[k] = k >= place->read_count ? 1 :
			lower_scale(low, place->reads[k].tensor, lower_read_format(low, n, k));
	own.out_scale = lower_scale(low, output, own.primary);
	ret = add_own_constants(low, &own);
	plan->cmd = low->model->cmd_count;
	for (uint32_t k = 0; !ret && k < place_pieces(place); k++) {
		const struct place_piece piece = place_piece(place, k);

		ret = add_piece(low, &own, &piece);
	}
	lower_versions(low, output)->made |= 1u << own.primary;
	return ret;
}

/* Whether two operands are the same memory. */
static bool is_there(const struct xrnpe_operand *a, const struct xrnpe_operand *b)
{
	return a->region == b->region && a->offset == b->offset &&
	       a->row_stride == b->row_stride && a->pixel_stride == b->pixel_stride;
}

/* Copy a part of what is joined, in one format, unless it was written where it belongs. */
static int add_part(struct lowering *low, const struct graph_node *node,
		    const struct place_part *part, enum xrnpe_format format)
{
	uint32_t input = node->inputs[part->input], output = node->outputs[part->output];
	const struct tensor_plan *tensors = low->compiler->tensors;
	struct xrnpe_cmd cmd = {
		.opcode = XRNPE_OP_COPY,
		.copy = {
			.in_h = (uint16_t)part->h, .in_w = (uint16_t)part->w,
			.in_c = (uint16_t)part->c, .out_h = (uint16_t)part->h,
			.out_w = (uint16_t)part->w, .out_c = (uint16_t)part->c,
			.up_h = 1, .up_w = 1,
		},
	};

	set_operand(low, &cmd, input, format, &tensors[input].image, &part->from, XRNPE_OPERAND_IFM);
	set_operand(low, &cmd, output, format, &tensors[output].image, &part->to, XRNPE_OPERAND_OFM);
	return is_there(&cmd.operand[XRNPE_OPERAND_IFM], &cmd.operand[XRNPE_OPERAND_OFM]) ? 0 :
	       add_command(low, &cmd);
}

static int add_parts(struct lowering *low, uint32_t n)
{
	const struct graph_node *node = &low->compiler->graph->nodes[n];
	const struct place *place = &low->compiler->nodes[n].place;
	int ret = 0;

	for (uint32_t k = 0; !ret && k < place->part_count; k++) {
		struct versions *versions = lower_versions(low, node->outputs[place->parts[k].output]);
		unsigned int codes = versions->needed & COMPILE_ALL_FORMATS;

		for (enum xrnpe_format f = 0; !ret && f < COMPILE_FORMATS; f++) {
			if (place->kind == PLACE_JOIN && codes & 1u << f)
				ret = add_part(low, node, &place->parts[k], f);
		}
		versions->made |= codes;
		if (place->kind == PLACE_PART && versions->primary == VERSION_F32)
			versions->made |= 1u << VERSION_F32;
	}
	return ret;
}

/* Scale records of the conversion of @tensor to version @v: one for all channels, or one each. */
static int add_conversion_scales(struct lowering *low, uint32_t tensor, unsigned int v,
				 struct xrnpe_operand *operand)
{
	const struct graph_bytes *bytes = compile_bytes(low->compiler, tensor);
	uint32_t count = bytes ? bytes->channels : 1;
	double in = lower_scale(low, tensor, lower_versions(low, tensor)->primary);
	double out = lower_scale(low, tensor, v);
	struct xrnpe_scale *records = calloc(count, sizeof(*records));
	bool finite = records;
	uint64_t offset = 0;
	int ret;

	for (uint32_t c = 0; records && c < count; c++) {
		double scale = bytes ? bytes->scale[c] : in, mean = bytes ? bytes->mean[c] : 0;

		finite &= make_record(scale / out, -mean * scale / out, 0, sizeof(*records),
				      (uint8_t *)&records[c]);
	}
	if (!records)
		ret = xrnpe_fail_memory(low->compiler->error);
	else if (!finite)
		ret = xrnpe_fail(low->compiler->error, -ENOTSUP, "%s: a scale is out of range",
				 low->model->name);
	else
		ret = add_constants(low, records, count * sizeof(*records), &offset);
	free(records);
	*operand = (struct xrnpe_operand){
		.region = XRNPE_MODEL_CONSTANTS, .format = XRNPE_FORMAT_F32, .offset = offset,
		.row_stride = count > 1 ? sizeof(*records) : 0,
	};
	return ret;
}

int lower_add_conversions(struct lowering *low, uint32_t tensor)
{
	const struct image *image = &low->compiler->tensors[lower_same(low, tensor)].image;
	struct versions *versions = lower_versions(low, tensor);
	int ret = 0;

	for (unsigned int v = 0; !ret && v < VERSIONS; v++) {
		struct xrnpe_cmd cmd = {
			.opcode = XRNPE_OP_CONVERT,
			.image = {
				.in_h = (uint16_t)image->h, .in_w = (uint16_t)image->w,
				.in_c = (uint16_t)image->c,
			},
		};

		if (!(versions->needed & ~versions->made & 1u << v))
			continue;
		if (versions->primary == VERSION_BYTES)
			lower_locate_bytes(low, tensor, &cmd);
		else
			set_operand(low, &cmd, tensor, versions->primary, image, NULL, XRNPE_OPERAND_IFM);
		set_operand(low, &cmd, tensor, v, image, NULL, XRNPE_OPERAND_OFM);
		ret = add_conversion_scales(low, tensor, v, &cmd.operand[XRNPE_OPERAND_SCALE]);
		if (!ret)
			ret = add_command(low, &cmd);
		versions->made |= 1u << v;
	}
	return ret;
}

int lower_add_node(struct lowering *low, uint32_t n)
{
	const struct graph_node *node = &low->compiler->graph->nodes[n];
	struct node_plan *plan = &low->compiler->nodes[n];
	bool moves = plan->place.kind == PLACE_PART || plan->place.kind == PLACE_JOIN;
	int ret;

	if (plan->layer != GRAPH_NONE)
		low->layer = plan->layer;
	plan->cmd = GRAPH_NONE;
	plan->first_cmd = low->model->cmd_count;
	plan->step = low->model->step_count;
	ret = add_tensors(low, n);
	if (!ret)
		ret = moves ? add_parts(low, n) : add_own_commands(low, n);
	plan->written_cmd = low->model->cmd_count;
	/* Another name of a tensor has no versions of its own. */
	for (uint32_t k = 0; !ret && plan->layer != GRAPH_NONE && k < node->output_count; k++) {
		if (node->outputs[k] != GRAPH_NONE)
			ret = lower_add_conversions(low, node->outputs[k]);
	}
	plan->end_cmd = low->model->cmd_count;
	return ret;
}
