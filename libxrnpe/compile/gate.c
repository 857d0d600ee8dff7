// SPDX-License-Identifier: MIT
/*
 * HardSwish and the like at 16 bits: x times what CONVERT limits, by MUL. A table for 16-bit codes
 * has 128 KiB, which each command that reads it fetches: that is worth it for large tensors.
 */
#include <math.h>

#include "cost.h"
#include "error.h"
#include "lower.h"
#include "operators/families.h"

/* CONVERT, which writes what x is multiplied by, or MUL, with packed operands at 16 bits. */
static struct xrnpe_cmd make_command(const struct place *place, enum xrnpe_opcode opcode)
{
	const struct image *image = &place->reads[0].image;
	struct xrnpe_cmd cmd = place->cmd;

	cmd.opcode = (uint8_t)opcode;
	cmd.operand[XRNPE_OPERAND_SCALE] = (struct xrnpe_operand){
		.region = XRNPE_MODEL_CONSTANTS, .format = XRNPE_FORMAT_F32,
	};
	lower_operand(&cmd, image, &IMAGE_WHOLE, XRNPE_FORMAT_P16, &cmd.operand[XRNPE_OPERAND_IFM]);
	lower_operand(&cmd, image, &IMAGE_WHOLE, XRNPE_FORMAT_P16, &cmd.operand[XRNPE_OPERAND_OFM]);
	if (opcode == XRNPE_OP_MUL)
		lower_operand(&cmd, image, &IMAGE_WHOLE, XRNPE_FORMAT_P16,
			      &cmd.operand[XRNPE_OPERAND_IFM2]);
	else
		cmd.flags |= XRNPE_CMD_CLAMP;
	return cmd;
}

struct xrnpe_counters gate_cost(const struct place *place)
{
	const struct xrnpe_machine machine = XRNPE_MACHINE_DEFAULT;
	const struct xrnpe_cmd cmds[] = {
		make_command(place, XRNPE_OP_CONVERT), make_command(place, XRNPE_OP_MUL),
	};
	struct xrnpe_counters counters = { 0 };

	xrnpe_cmd_cost(&machine, &cmds[0], &counters);
	xrnpe_cmd_cost(&machine, &cmds[1], &counters);
	return counters;
}

/* Whether node @n is a gate, which its place then holds. */
static bool find_gate(struct compiler *compiler, uint32_t n)
{
	struct place *place = &compiler->nodes[n].place;
	const struct graph_activation *activation = &place->activation;

	return place->kind == PLACE_TABLE && activation->kind == XRNPE_ACT_NONE && !activation->clamps &&
	       function_is_gate(&compiler->graph->nodes[n], &place->gate);
}

static uint64_t weight_bytes(const struct weights *weights)
{
	return xrnpe_row_bytes(XRNPE_FORMAT_P16, (uint64_t)weights->out_c * weights->in_c * weights->taps);
}

void gate_settle(struct compiler *compiler)
{
	static const struct choice choice = { XRNPE_FORMAT_P16, XRNPE_FORMAT_P16 };
	uint64_t table = xrnpe_row_bytes(choice.input, (size_t)1 << xrnpe_format_bits(choice.input));
	const struct xrnpe_limits *limits = &compiler->options->limits;
	double cycles = 0, bytes = (double)table, slower = 0;

	for (uint32_t n = 0; n < compiler->graph->node_count; n++) {
		struct node_plan *plan = &compiler->nodes[n];
		double own, gate;

		if (!plan->chooses)
			continue;
		own = (double)lower_cost(plan, &compiler->tensors[compile_output(compiler, n)].image,
					 choice).cycles;
		cycles += own;
		bytes += (double)weight_bytes(&plan->place.weights);
		if (!find_gate(compiler, n))
			continue;
		gate = (double)gate_cost(&plan->place).cycles;
		plan->place.gates = gate < own;
		slower += plan->place.gates ? 0 : gate - own;
	}
	/* With a limit of time alone, bytes are worth nothing. */
	if ((limits->cycles > 0 && !limits->bytes) || slower / cycles >= (double)table / bytes)
		return;
	for (uint32_t n = 0; n < compiler->graph->node_count; n++)
		compiler->nodes[n].place.gates = find_gate(compiler, n);
}

/* One record of scale and offset for all channels. */
static int add_record(struct lowering *low, uint32_t n, double scale, double offset,
		      struct xrnpe_cmd *cmd)
{
	const struct compiler *compiler = low->compiler;
	struct xrnpe_scale record;
	uint64_t at;
	int ret;

	if (!lower_record(scale, offset, 0, sizeof(record), (uint8_t *)&record))
		return graph_fail(compiler->graph, &compiler->graph->nodes[n], compiler->error, -ENOTSUP,
				  "a scale or bias is out of range");
	ret = lower_add_constants(low, &record, sizeof(record), &at);
	cmd->operand[XRNPE_OPERAND_SCALE].offset = ret ? 0 : at;
	return ret;
}

/*
 * The unit of what x, of scale @in, is multiplied by: in memory that is about 1 then, where posits are
 * precise, also if limits are far from what x comes to.
 */
static double factor_scale(const struct graph_gate *gate, double in)
{
	double reach = 2 * (fabs((double)gate->slope) * in + fabs((double)gate->offset));
	double most = fmax(fabs((double)gate->lo), fabs((double)gate->hi));
	double least = gate->lo > 0 ? gate->lo : gate->hi < 0 ? -gate->hi : 0;

	return fmax(fmin(most, reach), least);
}

int gate_add(struct lowering *low, uint32_t n)
{
	struct node_plan *plan = &low->compiler->nodes[n];
	const struct graph_gate *gate = &plan->place.gate;
	const struct place_read *x = &plan->place.reads[0];
	uint32_t output = compile_output(low->compiler, n);
	unsigned int version = lower_versions(low, output)->primary;
	double in = lower_scale(low, x->tensor, XRNPE_FORMAT_P16), out = lower_scale(low, output, version);
	double unit = factor_scale(gate, in);
	struct xrnpe_cmd limit = make_command(&plan->place, XRNPE_OP_CONVERT);
	struct xrnpe_cmd multiply = make_command(&plan->place, XRNPE_OP_MUL);
	struct xrnpe_operand *factor = &limit.operand[XRNPE_OPERAND_OFM];
	int ret;

	factor->region = XRNPE_MODEL_ARENA;
	factor->offset = lower_temporary(low, image_bytes(&x->image, XRNPE_FORMAT_P16));
	multiply.operand[XRNPE_OPERAND_IFM2] = *factor;
	limit.lo = lower_float_bits(gate->lo / unit);
	limit.hi = lower_float_bits(gate->hi / unit);
	ret = add_record(low, n, gate->slope * in / unit, gate->offset / unit, &limit);
	if (!ret)
		ret = add_record(low, n, in * unit / out, 0, &multiply);
	lower_set_operand(low, &limit, x->tensor, XRNPE_FORMAT_P16, &x->image, NULL, XRNPE_OPERAND_IFM);
	if (!ret)
		ret = lower_add_command(low, &limit);
	plan->cmd = low->model->cmd_count;
	lower_set_operand(low, &multiply, x->tensor, XRNPE_FORMAT_P16, &x->image, NULL, XRNPE_OPERAND_IFM);
	lower_set_operand(low, &multiply, output, version, &x->image, NULL, XRNPE_OPERAND_OFM);
	if (!ret)
		ret = lower_add_command(low, &multiply);
	lower_versions(low, output)->made |= 1u << version;
	return ret;
}
