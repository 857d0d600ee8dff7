// SPDX-License-Identifier: MIT
/*
 * The compiled model, run on the kept calibration inputs command by command beside
 * the FP32 reference. Rounding shifts the mean of a layer's outputs, and through
 * ReLUs the shifts pile up; a bias can take them back. The errors of layers and of the
 * network come from here too: with all layers before them quantised as they are in the end,
 * and on the inputs kept aside, to which no bias was fitted.
 */
#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "effect.h"
#include "error.h"
#include "reround.h"
#include "threads.h"

/* What a thread works with, on one input at a time. */
#define MAX_HANDS 16

struct hand {
	struct xrnpe_datapath *datapath;
	float *values;		/* a tensor's */
};

struct tuning {
	struct compiler *compiler;
	struct xrnpe_model *model;
	bool again;		/* weights are rounded again */
	void **regions;		/* by input and region; constants are the model's */
	struct reference **cpu;	/* by input: the tensors of the CPU's nodes */
	float **read;		/* by input: what the node whose weights are rounded again reads */
	uint32_t images;	/* inputs: those that biases are fitted to, then those kept aside */
	struct hand hands[MAX_HANDS];	/* made when they are needed */
	size_t largest;		/* most elements of a tensor */
	struct squares *errors;	/* by input: of a node's outputs */
	struct squares *ends;	/* by end of the network and input */
	uint32_t next_cmd;	/* commands before it have run */
	uint32_t step;		/* of the model */
};

/* ---- inputs, side by side ------------------------------------------------ */

/* Something done for each of @count inputs, @what of it. */
struct each {
	struct tuning *tuning;
	int (*work)(struct tuning *tuning, struct hand *hand, uint32_t image, const void *what);
	const void *what;
	uint32_t count;
	atomic_uint next, hands;
	atomic_bool failed;
};

static bool hand_prepare(struct hand *hand, const struct tuning *tuning)
{
	if (!hand->datapath)
		hand->datapath = xrnpe_datapath_new(1, NULL);
	if (!hand->values)
		hand->values = malloc(tuning->largest * sizeof(*hand->values));
	return hand->datapath && hand->values;
}

static void do_some(void *data, bool caller)
{
	struct each *each = data;
	struct hand *hand = &each->tuning->hands[atomic_fetch_add(&each->hands, 1)];
	bool ready = hand_prepare(hand, each->tuning);
	uint32_t i;

	while (ready && !atomic_load(&each->failed) && (i = atomic_fetch_add(&each->next, 1)) < each->count)
		ready = !each->work(each->tuning, hand, i, each->what);
	if (!ready)
		atomic_store(&each->failed, true);
}

/*
 * Do @work for the first @count inputs; what the inputs give is put together afterwards, in their
 * order. @work fails only for lack of memory.
 */
static int do_each(struct tuning *tuning, uint32_t count,
		   int (*work)(struct tuning *, struct hand *, uint32_t, const void *), const void *what)
{
	struct each each = { .tuning = tuning, .work = work, .what = what, .count = count };

	threads_run(do_some, &each, count < MAX_HANDS ? count : MAX_HANDS);
	return atomic_load(&each.failed) ? xrnpe_fail_memory(tuning->compiler->error) : 0;
}

/* ---- commands ------------------------------------------------------------ */

static void *region(const struct tuning *tuning, uint32_t image, unsigned int index)
{
	return index == XRNPE_MODEL_CONSTANTS ? tuning->model->constants :
	       tuning->regions[image * XRNPE_MODEL_REGIONS + index];
}

/* Run @cmd for input @image; its output goes to @ofm if that is not NULL. */
static int run(const struct tuning *tuning, const struct hand *hand, uint32_t image,
	       const struct xrnpe_cmd *cmd, void *ofm)
{
	void *memory[XRNPE_OPERANDS];
	struct xrnpe_fault fault;
	uint32_t status = 0;

	for (unsigned int k = 0; k < XRNPE_OPERANDS; k++)
		memory[k] = (uint8_t *)region(tuning, image, cmd->operand[k].region) +
			    cmd->operand[k].offset;
	if (ofm)
		memory[XRNPE_OPERAND_OFM] = ofm;
	/* Scales were found finite when they were made: only memory can lack. */
	return xrnpe_datapath_run(hand->datapath, cmd, 0, memory, NULL, &status, &fault) ? -ENOMEM : 0;
}

/* The last of the commands that compute node @n, whose scales have the biases. */
static const struct xrnpe_cmd *last_piece(const struct tuning *tuning, uint32_t n)
{
	const struct node_plan *plan = &tuning->compiler->nodes[n];

	return &tuning->model->cmds[plan->cmd + place_pieces(&plan->place) - 1];
}

/* What a code value of @cmd's output, which is @tensor, is times. */
static float output_scale(const struct tuning *tuning, uint32_t tensor, const struct xrnpe_cmd *cmd)
{
	unsigned int format = cmd->operand[XRNPE_OPERAND_OFM].format;

	return format == XRNPE_FORMAT_F32 ? 1 : tuning->compiler->tensors[tensor].scale[format];
}

/*
 * How @image lies in memory, of which @cmd's @operand is @part; *@offset: where it begins in the
 * region.
 */
static struct image_layout operand_layout(const struct xrnpe_cmd *cmd, const struct xrnpe_operand *operand,
					  const struct image *image, const struct image_part *part,
					  float scale, uint64_t *offset)
{
	struct image_layout layout = {
		operand->format, scale, operand->row_stride / part->step_h,
		operand->pixel_stride / part->step_w,
	};

	if (cmd->opcode == XRNPE_OP_MATMUL) {
		layout.pixel_stride = operand->row_stride;
		layout.row_stride = operand->batch_stride ? operand->batch_stride :
							     (size_t)image->w * operand->row_stride;
	}
	*offset = operand->offset - part->h * layout.row_stride - part->w * layout.pixel_stride -
		  xrnpe_row_bytes(layout.format, part->c);
	return layout;
}

/* The same of the image that @cmd, the last of @place, writes a part of. */
static struct image_layout output_layout(const struct xrnpe_cmd *cmd, const struct place *place,
					 const struct image *image, float scale, uint64_t *offset)
{
	const struct xrnpe_operand *ofm = &cmd->operand[XRNPE_OPERAND_OFM];
	const struct place_piece piece = place_piece(place, place_pieces(place) - 1);
	struct xrnpe_operand there;

	if (!place->write.c)
		return operand_layout(cmd, ofm, image, &piece.to, scale, offset);
	lower_operand(cmd, &place->write, &piece.to, ofm->format, &there);
	*offset = ofm->offset - there.offset;
	return image_packed(image, ofm->format, scale);
}

/* ---- weights, again ---------------------------------------------------- */

/* What node *@what reads in the model, for input @i. */
static int read_input(struct tuning *tuning, struct hand *hand, uint32_t i, const void *what)
{
	const uint32_t n = *(const uint32_t *)what;
	const struct compiler *compiler = tuning->compiler;
	const struct place *place = &compiler->nodes[n].place;
	const struct image *image = &place->reads[0].image;
	const struct place_piece piece = place_piece(place, 0);
	const struct xrnpe_cmd *cmd = &tuning->model->cmds[compiler->nodes[n].cmd];
	const struct xrnpe_operand *ifm = &cmd->operand[XRNPE_OPERAND_IFM];
	float scale = ifm->format == XRNPE_FORMAT_F32 ?
		      1 : compiler->tensors[place->reads[0].tensor].scale[ifm->format];
	uint64_t offset;
	const struct image_layout layout = operand_layout(cmd, ifm, image, &piece.from, scale, &offset);

	if (!tuning->read[i])
		tuning->read[i] = malloc(tuning->largest * sizeof(*tuning->read[i]));
	if (!tuning->read[i])
		return -ENOMEM;
	image_read(image, &layout, (uint8_t *)region(tuning, i, ifm->region) + offset, tuning->read[i]);
	return 0;
}

/* Round the weights of node @n for what it reads. */
static int round_again(struct tuning *tuning, uint32_t n)
{
	struct compiler *compiler = tuning->compiler;
	int ret = do_each(tuning, compiler->image_count, read_input, &n);

	if (!ret && reround_node(compiler, n, tuning->read, tuning->model))
		ret = xrnpe_fail_memory(compiler->error);
	return ret;
}

/* ---- biases ------------------------------------------------------------ */

/* The commands of node @n for input @i, whose output goes to @values as binary32. */
static int run_pieces(const struct tuning *tuning, const struct hand *hand, uint32_t n, uint32_t i,
		      float *values)
{
	const struct compiler *compiler = tuning->compiler;
	const struct node_plan *plan = &compiler->nodes[n];
	const struct image *image = &compiler->tensors[compile_output(compiler, n)].image;
	int ret = 0;

	for (uint32_t k = 0; !ret && k < place_pieces(&plan->place); k++) {
		const struct place_piece piece = place_piece(&plan->place, k);
		struct xrnpe_cmd cmd = tuning->model->cmds[plan->cmd + k];
		struct xrnpe_operand *ofm = &cmd.operand[XRNPE_OPERAND_OFM];

		if (piece.partial) {
			ret = run(tuning, hand, i, &cmd, NULL);
			continue;
		}
		lower_without_activation(&cmd);
		lower_operand(&cmd, image, &piece.to, XRNPE_FORMAT_F32, ofm);
		ret = run(tuning, hand, i, &cmd, (uint8_t *)values + ofm->offset);
	}
	return ret;
}

/* By how much channels are off on average. */
struct offsets {
	uint32_t n;
	float unit;		/* of the node's outputs */
	double *off;		/* by input and channel */
};

/* Find those of node @what->n for input @i. */
static int find_offsets(struct tuning *tuning, struct hand *hand, uint32_t i, const void *what)
{
	const struct offsets *offsets = what;
	const uint32_t n = offsets->n;
	/* As commands write it. */
	struct image image = tuning->compiler->tensors[compile_output(tuning->compiler, n)].image;
	const double *exact = tuning->compiler->nodes[n].exact_means + (size_t)i * image.c;
	double *off = offsets->off + (size_t)i * image.c;
	int ret = run_pieces(tuning, hand, n, i, hand->values);

	image.first = false;
	if (ret)
		return ret;
	channel_means(&image, hand->values, off);
	for (uint32_t c = 0; c < image.c; c++)
		off[c] = off[c] * offsets->unit - exact[c];
	return 0;
}

/* By how much the channels of node @n's outputs are off, in real units; @unit: that they are in */
static int find_shifts(struct tuning *tuning, uint32_t n, float unit, struct shift *shifts)
{
	const struct compiler *compiler = tuning->compiler;
	uint32_t channels = compiler->tensors[compile_output(compiler, n)].image.c;
	const struct offsets offsets = {
		n, unit, malloc((size_t)compiler->image_count * channels * sizeof(*offsets.off)),
	};
	int ret = offsets.off ? do_each(tuning, compiler->image_count, find_offsets, &offsets) :
				xrnpe_fail_memory(compiler->error);

	for (uint32_t i = 0; !ret && i < compiler->image_count; i++)
		shifts_add(shifts, channels, offsets.off + (size_t)i * channels);
	free(offsets.off);
	return ret;
}

/* Take what is certain of the mean error of each channel out of its bias, in the constants. */
static int correct_biases(struct tuning *tuning, uint32_t n)
{
	struct compiler *compiler = tuning->compiler;
	uint32_t output = compile_output(compiler, n);
	const struct place *place = &compiler->nodes[n].place;
	size_t size = lower_scale_size(place);
	const struct image *image = &compiler->tensors[output].image;
	const struct xrnpe_cmd *cmd = last_piece(tuning, n);
	uint8_t *records = (uint8_t *)tuning->model->constants +
			   cmd->operand[XRNPE_OPERAND_SCALE].offset -
			   place_piece(place, place_pieces(place) - 1).row * size;
	float unit = output_scale(tuning, output, cmd);
	struct shift *shifts = calloc(image->c, sizeof(*shifts));
	int ret = shifts ? find_shifts(tuning, n, unit, shifts) : xrnpe_fail_memory(compiler->error);

	for (uint32_t c = 0; !ret && c < image->c; c++) {
		struct xrnpe_scale record;
		float bias;

		memcpy(&record, records + c * size, sizeof(record));
		memcpy(&bias, &record.bias, sizeof(bias));
		bias -= (float)(shift_certain(&shifts[c], compiler->image_count) / unit);
		if (!isfinite(bias))
			continue;
		memcpy(&record.bias, &bias, sizeof(bias));
		memcpy(records + c * size, &record, sizeof(record));
	}
	free(shifts);
	return ret;
}

/* ---- errors ------------------------------------------------------------ */

/* Which end of the network @tensor is, or GRAPH_NONE. */
static uint32_t find_end(const struct compiler *compiler, uint32_t tensor)
{
	for (uint32_t e = 0; e < compiler->end_count; e++) {
		if (compiler->ends[e].tensor == tensor)
			return e;
	}
	return GRAPH_NONE;
}

/* Set the error of @values, which are @tensor for input @i, and that of the network if it ends there. */
static void set_error(struct tuning *tuning, uint32_t tensor, uint32_t i, const float *values)
{
	const struct compiler *compiler = tuning->compiler;
	const float *reference = compiler->images[i]->tensors[tensor];
	uint32_t e = find_end(compiler, tensor);

	if (e != GRAPH_NONE) {
		struct squares *end = &tuning->ends[(size_t)e * tuning->images + i];

		*end = (struct squares){ 0 };
		end_add(compiler, e, values, reference, end);
	}
	tuning->errors[i] = (struct squares){ 0 };
	squares_add(&tuning->errors[i], values, reference,
		    graph_count(&compiler->graph->tensors[tensor].shape));
}

/* Inputs for which the errors of @tensor are known, which are the first. */
static uint32_t known_inputs(const struct tuning *tuning, uint32_t tensor)
{
	uint32_t i = 0;

	while (i < tuning->images && tuning->compiler->images[i]->tensors[tensor])
		i++;
	return i;
}

/* The relative error of what set_error() was told, on inputs that nothing was fitted to if there are any. */
static double relative_error(const struct tuning *tuning, uint32_t tensor)
{
	const struct compiler *compiler = tuning->compiler;
	uint32_t end = known_inputs(tuning, tensor);
	struct squares sum = { 0 };

	for (uint32_t i = compiler->unseen_count ? compiler->image_count : 0; i < end; i++) {
		sum.errors += tuning->errors[i].errors;
		sum.values += tuning->errors[i].values;
	}
	return sqrt(squares_relative(&sum));
}

/* What node *@what's commands left in memory for input @i. */
static int judge_commands(struct tuning *tuning, struct hand *hand, uint32_t i, const void *what)
{
	const struct compiler *compiler = tuning->compiler;
	const uint32_t n = *(const uint32_t *)what, output = compile_output(compiler, n);
	const struct xrnpe_cmd *cmd = last_piece(tuning, n);
	const struct image *image = &compiler->tensors[output].image;
	uint64_t offset;
	const struct image_layout layout = output_layout(cmd, &compiler->nodes[n].place, image,
							 output_scale(tuning, output, cmd), &offset);
	const uint8_t *memory = region(tuning, i, cmd->operand[XRNPE_OPERAND_OFM].region);

	image_read(image, &layout, memory + offset, hand->values);
	set_error(tuning, output, i, hand->values);
	return 0;
}

/* Relative error of what node @n's commands left in memory. */
static int command_error(struct tuning *tuning, uint32_t n, double *error)
{
	uint32_t output = compile_output(tuning->compiler, n);
	int ret = do_each(tuning, known_inputs(tuning, output), judge_commands, &n);

	*error = ret ? 0 : relative_error(tuning, output);
	return ret;
}

/* Relative error of what node @n, the @cpu-th of the CPU's, computed. */
static double cpu_error(struct tuning *tuning, uint32_t n, uint32_t cpu)
{
	uint32_t output = compile_output(tuning->compiler, n);
	uint32_t there = tuning->model->cpu->nodes[cpu].outputs[0], count = known_inputs(tuning, output);

	if (tuning->compiler->graph->tensors[output].type != GRAPH_FLOAT)
		return 0;
	for (uint32_t i = 0; i < count; i++)
		set_error(tuning, output, i, tuning->cpu[i]->tensors[there]);
	return relative_error(tuning, output);
}

/* ---- nodes ------------------------------------------------------------- */

/* Commands up to *@what that have not run, for input @i. */
static int run_some(struct tuning *tuning, struct hand *hand, uint32_t i, const void *what)
{
	const uint32_t *end = what;
	int ret = 0;

	for (uint32_t k = tuning->next_cmd; !ret && k < *end; k++)
		ret = run(tuning, hand, i, &tuning->model->cmds[k], NULL);
	return ret;
}

/* The same for all. */
static int run_until(struct tuning *tuning, uint32_t end)
{
	int ret = end > tuning->next_cmd ? do_each(tuning, tuning->images, run_some, &end) : 0;

	tuning->next_cmd = end > tuning->next_cmd ? end : tuning->next_cmd;
	return ret;
}

/* The commands of a node, and those before it that bring its inputs. */
static int run_commands(struct tuning *tuning, uint32_t n)
{
	struct compiler *compiler = tuning->compiler;
	struct node_plan *plan = &compiler->nodes[n];
	int ret = 0;

	if (plan->place.kind == PLACE_WEIGHTS && !given_weight_scales(compiler, n, plan->choice.weight)) {
		ret = run_until(tuning, plan->cmd);
		if (!ret && tuning->again)
			ret = round_again(tuning, n);
		if (!ret)
			ret = correct_biases(tuning, n);
	}
	if (!ret)
		ret = run_until(tuning, plan->end_cmd);
	/* Nodes without a command of their own lose nothing. */
	plan->error = 0;
	if (!ret && plan->cmd != GRAPH_NONE)
		ret = command_error(tuning, n, &plan->error);
	return ret;
}

/* Copy the tensors of @what between the memories of device and CPU, for input @i. */
struct exchange {
	uint32_t first, count;
	bool to_cpu;
};

static int exchange(struct tuning *tuning, struct hand *hand, uint32_t i, const void *what)
{
	const struct exchange *exchange = what;

	for (uint32_t b = exchange->first; b < exchange->first + exchange->count; b++) {
		const struct xrnpe_model_binding *binding = &tuning->model->bindings[b];
		const struct xrnpe_model_tensor *t = &tuning->model->tensors[binding->tensor];
		const struct image image = { t->height, t->width, t->channels, t->channels_first };
		const struct image_layout layout = { t->format, t->scale, t->row_stride,
						     t->pixel_stride };
		void *memory = (uint8_t *)region(tuning, i, t->region) + t->offset;

		if (exchange->to_cpu) {
			image_read(&image, &layout, memory, hand->values);
			reference_set(tuning->cpu[i], binding->cpu, hand->values);
		} else {
			reference_get(tuning->cpu[i], binding->cpu, hand->values);
			image_write(&image, &layout, hand->values, memory);
		}
	}
	return 0;
}

/* The CPU's node *@what, for input @i. */
static int run_reference(struct tuning *tuning, struct hand *hand, uint32_t i, const void *what)
{
	reference_node(tuning->cpu[i], *(const uint32_t *)what);
	return 0;
}

/* A node of the CPU; with the first and the last of a step goes the exchange. */
static int run_cpu_node(struct tuning *tuning, uint32_t n)
{
	struct node_plan *plan = &tuning->compiler->nodes[n];
	const struct xrnpe_model_step *step = &tuning->model->steps[tuning->step];
	int ret = 0;

	for (; step->kind != XRNPE_MODEL_CPU || step->first + step->count <= plan->cmd;
	     step = &tuning->model->steps[++tuning->step]) {
		/* A job may be for the CPU alone. */
		if (!ret && step->kind == XRNPE_MODEL_JOB)
			ret = run_until(tuning, step->first + step->count);
	}
	if (!ret && plan->cmd == step->first)
		ret = do_each(tuning, tuning->images, exchange, &(struct exchange){
				step->gather_first, step->gather_count, true });
	if (!ret)
		ret = do_each(tuning, tuning->images, run_reference, &plan->cmd);
	if (!ret && plan->cmd + 1 == step->first + step->count)
		ret = do_each(tuning, tuning->images, exchange, &(struct exchange){
				step->scatter_first, step->scatter_count, false });
	if (!ret)
		plan->error = cpu_error(tuning, n, plan->cmd);
	return ret;
}

static int run_node(struct tuning *tuning, uint32_t n)
{
	struct node_plan *plan = &tuning->compiler->nodes[n];
	int ret = compile_on_device(plan) ? run_commands(tuning, n) : run_cpu_node(tuning, n);

	if (ret)
		return ret;
	if (plan->layer != GRAPH_NONE)
		tuning->model->layers[plan->layer].error = plan->error;
	return compile_step(tuning->compiler);
}

/* ---- the network ------------------------------------------------------- */

/* The error of the *@what-th output, which is a tensor of floats, for input @i. */
static int judge_output(struct tuning *tuning, struct hand *hand, uint32_t i, const void *what)
{
	const uint32_t k = *(const uint32_t *)what;
	const struct xrnpe_model_tensor *t = &tuning->model->tensors[tuning->model->input_count + k];
	const struct image image = { t->height, t->width, t->channels, t->channels_first };
	const struct image_layout layout = { t->format, t->scale, t->row_stride, t->pixel_stride };

	image_read(&image, &layout, (uint8_t *)region(tuning, i, t->region) + t->offset, hand->values);
	set_error(tuning, tuning->compiler->graph->outputs[k], i, hand->values);
	return 0;
}

/* Relative error over inputs @first to @end of those in @squares, but for input @without. */
static double error_of(const struct squares *squares, uint32_t first, uint32_t end, uint32_t without)
{
	struct squares sum = { 0 };

	for (uint32_t i = first; i < end; i++) {
		if (i == without)
			continue;
		sum.errors += squares[i].errors;
		sum.values += squares[i].values;
	}
	return sqrt(squares_relative(&sum));
}

/* The standard error of error_of(), by what it is without each of the inputs (jackknife). */
static double spread_of(const struct squares *squares, uint32_t first, uint32_t end)
{
	double n = end - first, mean = 0, sum = 0;

	for (uint32_t i = first; i < end; i++)
		mean += error_of(squares, first, end, i) / n;
	for (uint32_t i = first; i < end; i++)
		sum += pow(error_of(squares, first, end, i) - mean, 2);
	return n > 1 ? sqrt((n - 1) / n * sum) : INFINITY;
}

/*
 * What the model's quality is: of all ends of the network, that is, its outputs and what is
 * read to make integers, that with the largest error. For the choice between models the
 * errors of all ends count, and on all inputs: a model that is best by those kept aside alone
 * may be so by chance, and their error would be no measure of it any more.
 */
static int judge(struct tuning *tuning)
{
	struct compiler *compiler = tuning->compiler;
	struct xrnpe_quality *quality = &tuning->model->quality;
	uint32_t first = compiler->unseen_count ? compiler->image_count : 0;
	double sum = 0;
	int ret = 0;

	for (uint32_t k = 0; !ret && k < compiler->graph->output_count; k++) {
		if (find_end(compiler, compiler->graph->outputs[k]) != GRAPH_NONE)
			ret = do_each(tuning, tuning->images, judge_output, &k);
	}
	*quality = (struct xrnpe_quality){
		.inputs = tuning->images - first, .unseen = compiler->unseen_count > 0,
	};
	for (uint32_t e = 0; e < compiler->end_count; e++) {
		const struct squares *squares = tuning->ends + (size_t)e * tuning->images;
		double error = error_of(squares, first, tuning->images, UINT32_MAX);
		double of_all = error_of(squares, 0, tuning->images, UINT32_MAX);

		if (!e || error > quality->error) {
			quality->error = error;
			quality->spread = spread_of(squares, first, tuning->images);
		}
		sum += of_all * of_all;
	}
	compiler->output_error = sqrt(sum);
	return ret;
}

/* ---- the whole --------------------------------------------------------- */

/* Elements of the largest tensor, or of what a product reads. */
static size_t largest_tensor(const struct compiler *compiler)
{
	const struct xrnpe_graph *graph = compiler->graph;
	size_t largest = 1;

	for (uint32_t n = 0; n < graph->node_count; n++) {
		const struct place *place = &compiler->nodes[n].place;
		size_t count = place->kind == PLACE_WEIGHTS ? image_count(&place->reads[0].image) : 0;

		largest = count > largest ? count : largest;
	}
	for (uint32_t i = 0; i < graph->tensor_count; i++) {
		size_t count = graph_count(&graph->tensors[i].shape);

		if (!graph->tensors[i].data && graph->tensors[i].known && count > largest)
			largest = count;
	}
	return largest;
}

/* The memory of the @i-th input, which it sets. */
static int prepare_image(struct tuning *tuning, struct hand *hand, uint32_t i, const void *what)
{
	struct compiler *compiler = tuning->compiler;
	struct xrnpe_model *model = tuning->model;

	for (unsigned int r = XRNPE_MODEL_ARENA; r < XRNPE_MODEL_REGIONS; r++) {
		void *memory = calloc(1, model->region_size[r] + 1);

		tuning->regions[i * XRNPE_MODEL_REGIONS + r] = memory;
		if (!memory)
			return -ENOMEM;
	}
	if (model->cpu) {
		tuning->cpu[i] = reference_new(model->cpu);
		if (!tuning->cpu[i])
			return -ENOMEM;
	}
	for (uint32_t k = 0; k < model->input_count; k++) {
		const struct xrnpe_model_tensor *t = &model->tensors[k];
		const struct image image = { t->height, t->width, t->channels, t->channels_first };
		const struct image_layout layout = { t->format, 1, t->row_stride, t->pixel_stride };

		const struct graph_bytes *bytes = bytes_input(compiler->source, k);
		uint8_t *memory = (uint8_t *)region(tuning, i, XRNPE_MODEL_INPUT) + t->offset;

		reference_get(compiler->images[i], compiler->graph->inputs[k], hand->values);
		if (bytes)
			bytes_encode(bytes, hand->values, memory);
		else
			image_write(&image, &layout, hand->values, memory);
	}
	return 0;
}

static int prepare(struct tuning *tuning)
{
	struct compiler *compiler = tuning->compiler;
	size_t images = tuning->images = compiler->image_count + compiler->unseen_count;

	tuning->largest = largest_tensor(compiler);
	tuning->errors = calloc(images, sizeof(*tuning->errors));
	tuning->ends = calloc(images * compiler->end_count + 1, sizeof(*tuning->ends));
	tuning->regions = calloc(images * XRNPE_MODEL_REGIONS, sizeof(*tuning->regions));
	tuning->cpu = calloc(images, sizeof(*tuning->cpu));
	tuning->read = calloc(images, sizeof(*tuning->read));
	if (!tuning->errors || !tuning->ends || !tuning->regions || !tuning->cpu || !tuning->read)
		return xrnpe_fail_memory(compiler->error);
	return do_each(tuning, tuning->images, prepare_image, NULL);
}

static void clean_up(struct tuning *tuning)
{
	uint32_t images = tuning->images;

	for (uint32_t i = 0; tuning->regions && i < images * XRNPE_MODEL_REGIONS; i++)
		free(tuning->regions[i]);
	for (uint32_t i = 0; tuning->cpu && i < images; i++)
		reference_free(tuning->cpu[i]);
	for (uint32_t i = 0; tuning->read && i < images; i++)
		free(tuning->read[i]);
	for (uint32_t i = 0; i < MAX_HANDS; i++) {
		xrnpe_datapath_free(tuning->hands[i].datapath);
		free(tuning->hands[i].values);
	}
	free(tuning->regions);
	free(tuning->cpu);
	free(tuning->read);
	free(tuning->errors);
	free(tuning->ends);
}

int tune_model(struct compiler *compiler, struct xrnpe_model *model, bool again)
{
	struct tuning tuning = { .compiler = compiler, .model = model, .again = again };
	int ret = prepare(&tuning);

	for (uint32_t n = 0; !ret && n < compiler->graph->node_count; n++)
		ret = run_node(&tuning, n);
	if (!ret)
		ret = judge(&tuning);
	clean_up(&tuning);
	return ret;
}
