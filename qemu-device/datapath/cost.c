// SPDX-License-Identifier: MIT
/*
 * The cycle model. Documentation/hardware.rst, "Cycle model", explains it; names and
 * order are the same here and there.
 */
#include "cost.h"
#include "internal.h"

/* A record checked, address generators set up, the output stage's pipeline run empty. */
#define COMMAND_CYCLES 32
/* Bytes of an accumulator that waits in SRAM. */
#define SUM_BYTES 16

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t divide_up(uint64_t a, uint64_t b)
{
	return (a + b - 1) / b;
}

/* ---- the processing element -------------------------------------------- */

/* Codes of @format in a 16-bit lane; one if it is wider. */
static unsigned int lanes(uint8_t format)
{
	unsigned int bits = xrnpe_format_bits(format);

	return bits < 16 ? 16 / bits : 1;
}

unsigned int xrnpe_rate(enum xrnpe_format ifm, enum xrnpe_format weight)
{
	return (unsigned int)min(lanes(ifm), lanes(weight));
}

unsigned int xrnpe_blocks(enum xrnpe_format ifm, enum xrnpe_format weight)
{
	/*
	 * Significands in digits of 2 bits: FP4 has 2 bits, P8 6, P16 13. That of P4 is
	 * always 1, so it multiplies nothing: the other passes by.
	 */
	static const unsigned int digits[XRNPE_PRODUCT_FORMATS] = {
		[XRNPE_FORMAT_FP4] = 1, [XRNPE_FORMAT_P4] = 0, [XRNPE_FORMAT_P8] = 3,
		[XRNPE_FORMAT_P16] = 7,
	};

	return digits[ifm] * digits[weight];
}

/* Results that a unit of the output stage rounds in a cycle. */
static unsigned int output_rate(const struct xrnpe_cmd *cmd)
{
	unsigned int rate = 4;

	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++) {
		if (i != XRNPE_OPERAND_SCALE && xrnpe_cmd_has_operand(cmd, i))
			rate = (unsigned int)min(rate, lanes(cmd->operand[i].format));
	}
	return rate;
}

/* ---- the bus ------------------------------------------------------------ */

static uint64_t sram_bytes(const struct xrnpe_machine *machine)
{
	return (uint64_t)machine->sram_kib * 1024;
}

/* Of @bytes that follow each other, in whole words of the bus. */
static uint64_t words(const struct xrnpe_machine *machine, uint64_t bytes)
{
	return divide_up(bytes, machine->bus_bytes) * machine->bus_bytes;
}

/*
 * Bytes on the bus for a tensor that is moved once: runs without gaps, of whole words.
 * What a zero stride repeats is kept if it fits.
 */
static uint64_t moved(const struct xrnpe_machine *machine, const struct xrnpe_operand *o,
		      struct xrnpe_layout l)
{
	const uint64_t counts[] = { l.pixels, l.rows, l.matrices };
	const uint32_t strides[] = { o->pixel_stride, o->row_stride, o->batch_stride };
	uint64_t run = xrnpe_row_bytes(o->format, l.elements), runs = 1;

	for (int i = 0; i < 3; i++) {
		if (!strides[i] && run * runs <= sram_bytes(machine) / 2)
			continue;
		if (runs == 1 && strides[i] == run)
			run *= counts[i];
		else
			runs *= counts[i];
	}
	return runs * words(machine, run);
}

static uint64_t scale_moved(const struct xrnpe_machine *machine, const struct xrnpe_cmd *cmd)
{
	struct xrnpe_scales_shape scales = xrnpe_cmd_scales(cmd);
	uint64_t record = scales.words * sizeof(uint32_t);

	return scales.stride == record ? words(machine, scales.records * record) :
					 scales.records * words(machine, record);
}

/* ---- windows ------------------------------------------------------------ */

/* An axis of an image and of the windows on it. A matrix has windows of one row. */
struct axis {
	uint64_t in, out, kernel, stride, dilation;
};

/* Lines from the first to the last that @windows next to each other read. */
static uint64_t extent(const struct axis *axis, uint64_t windows)
{
	return min(axis->in, (windows - 1) * axis->stride + (axis->kernel - 1) * axis->dilation + 1);
}

/* Of these, lines that are read: with strides beyond the kernel's size there are gaps. */
static uint64_t touched(const struct axis *axis, uint64_t windows)
{
	return min(extent(axis, windows), windows * axis->kernel);
}

/* ---- products ----------------------------------------------------------- */

/* MATMUL or CONV2D. */
struct product {
	const struct xrnpe_operand *ifm;
	struct axis h, w;
	uint64_t matrices;		/* that share neither operand */
	uint64_t channels;
	uint64_t group_channels;	/* that share their inputs */
	uint64_t k;
	uint64_t pixel_bytes;		/* of ifm */
	uint64_t channel_bytes;		/* of weights, packed */
	uint64_t panel;			/* channels whose weights come together */
	bool tight;			/* the rows of ifm follow each other without gaps */
	uint64_t weight, scale;		/* bytes on the bus, read once */
};

static void matmul_product(struct product *p, const struct xrnpe_cmd *cmd)
{
	const struct xrnpe_dims_matmul *d = &cmd->matmul;
	uint64_t rows = d->m;

	p->matrices = d->batch;
	p->channels = p->group_channels = d->n;
	p->k = d->k;
	p->tight = p->ifm->row_stride == p->pixel_bytes;
	/* Matrices with the same weights are one of more rows, those with the same rows
	 * one of more channels. */
	if (!cmd->operand[XRNPE_OPERAND_WEIGHT].batch_stride) {
		p->matrices = 1;
		p->tight &= d->batch == 1 || p->ifm->batch_stride == rows * p->pixel_bytes;
		rows *= d->batch;
	} else if (!p->ifm->batch_stride) {
		p->matrices = 1;
		p->channels = p->group_channels = (uint64_t)d->n * d->batch;
	}
	p->h = (struct axis){ rows, rows, 1, 1, 1 };
	p->w = (struct axis){ 1, 1, 1, 1, 1 };
}

static void conv2d_product(struct product *p, const struct xrnpe_cmd *cmd)
{
	const struct xrnpe_dims_image *d = &cmd->image;

	p->matrices = 1;
	p->channels = d->out_c;
	p->group_channels = d->out_c / d->groups;
	p->k = (uint64_t)d->kernel_h * d->kernel_w * (d->in_c / d->groups);
	p->h = (struct axis){ d->in_h, d->out_h, d->kernel_h, d->stride_h, d->dilation_h };
	p->w = (struct axis){ d->in_w, d->out_w, d->kernel_w, d->stride_w, d->dilation_w };
	p->tight = (d->in_w == 1 || p->ifm->pixel_stride == p->pixel_bytes) &&
		   p->ifm->row_stride == d->in_w * p->pixel_bytes;
}

static struct product product_of(const struct xrnpe_machine *machine, const struct xrnpe_cmd *cmd)
{
	const struct xrnpe_operand *weight = &cmd->operand[XRNPE_OPERAND_WEIGHT];
	struct xrnpe_layout weights = xrnpe_cmd_layout(cmd, XRNPE_OPERAND_WEIGHT);
	struct product p = { .ifm = &cmd->operand[XRNPE_OPERAND_IFM] };

	p.pixel_bytes = xrnpe_row_bytes(p.ifm->format, cmd->opcode == XRNPE_OP_MATMUL ? cmd->matmul.k :
									       cmd->image.in_c);
	if (cmd->opcode == XRNPE_OP_MATMUL)
		matmul_product(&p, cmd);
	else
		conv2d_product(&p, cmd);
	if (p.matrices > 1 || !weight->batch_stride)
		weights.matrices = 1;
	p.channel_bytes = xrnpe_row_bytes(weight->format, p.k);
	p.weight = moved(machine, weight, weights);
	p.scale = scale_moved(machine, cmd);
	/* A pixel's outputs from a panel fill a word of the bus. */
	p.panel = max(machine->cols, 8 * machine->bus_bytes /
				     xrnpe_format_bits(cmd->operand[XRNPE_OPERAND_OFM].format));
	return p;
}

/* Bytes on the bus for a line of ifm that @windows next to each other read. */
static uint64_t line_read(const struct xrnpe_machine *machine, const struct product *p,
			  uint64_t windows)
{
	uint64_t pixels = touched(&p->w, windows) * words(machine, p->pixel_bytes);

	if (p->ifm->pixel_stride != p->pixel_bytes && p->w.in > 1)
		return pixels;
	return min(pixels, words(machine, extent(&p->w, windows) * p->pixel_bytes));
}

/* Bytes on the bus for ifm, read once for each block of @h x @w windows. */
static uint64_t ifm_read(const struct xrnpe_machine *machine, const struct product *p,
			 uint64_t h, uint64_t w)
{
	uint64_t lines = p->h.out / h * touched(&p->h, h);
	uint64_t line = p->w.out / w * line_read(machine, p, w);

	if (p->h.out % h)
		lines += touched(&p->h, p->h.out % h);
	if (p->w.out % w)
		line += line_read(machine, p, p->w.out % w);
	if (p->tight && h >= p->h.out && w >= p->w.out && extent(&p->w, w) == p->w.in)
		return min(lines * line, words(machine, extent(&p->h, h) * p->w.in * p->pixel_bytes));
	return lines * line;
}

/* Bytes of ifm for the first @windows: lines for the first row of windows, and what those of
 * the next rows add. */
static uint64_t first_ifm(const struct product *p, uint64_t windows)
{
	uint64_t step = min(p->h.stride, p->h.kernel) * min(p->w.stride, p->w.kernel);

	return (touched(&p->h, 1) * touched(&p->w, p->w.out) + (windows - min(windows, p->w.out)) * step) *
	       p->pixel_bytes;
}

/* ---- what stays in SRAM -------------------------------------------------- */

/* Bytes read from memory, of one matrix; weights have their scales with them. */
struct reads {
	uint64_t ifm, weight, scale;
};

static void keep_fewest(struct reads *best, struct reads reads)
{
	if (reads.ifm + reads.weight + reads.scale < best->ifm + best->weight + best->scale)
		*best = reads;
}

/* Bytes in SRAM of a line that is kept for all its windows. */
static uint64_t line_kept(const struct product *p)
{
	return extent(&p->w, p->w.out) * p->pixel_bytes;
}

/*
 * Weights stay: those of a block of channels, while the lines of ifm go by, as many of
 * them at a time as a tile reads and those of the next one.
 */
static void keep_weights(const struct xrnpe_machine *machine, const struct product *p,
			 struct reads *best)
{
	uint64_t windows = min(p->h.out, divide_up(machine->rows, p->w.out));
	uint64_t lines = min(extent(&p->h, p->h.out), extent(&p->h, windows) + windows * p->h.stride);
	uint64_t used = lines * line_kept(p), rest, block;

	if (used > sram_bytes(machine))
		return;
	rest = sram_bytes(machine) - used;
	block = p->channels;
	if (block * p->channel_bytes > rest)	/* one block is used, the next one comes */
		block = rest / 2 / p->channel_bytes / p->panel * p->panel;
	if (!block)
		return;
	keep_fewest(best, (struct reads){
		divide_up(p->group_channels, block) * ifm_read(machine, p, p->h.out, p->w.out),
		p->weight, p->scale });
}

/*
 * Input stays: the lines for a block of output lines, while panels of weights go by. The
 * lines that the next block has in common with it are not read again.
 */
static void keep_ifm(const struct xrnpe_machine *machine, const struct product *p,
		     struct reads *best)
{
	uint64_t used = min(2 * p->panel, p->channels) * p->channel_bytes, lines, window, block;

	if (used > sram_bytes(machine))
		return;
	lines = (sram_bytes(machine) - used) / line_kept(p);
	block = p->h.out;
	if (lines < extent(&p->h, p->h.out)) {	/* one block is used, the next one comes */
		window = (p->h.kernel - 1) * p->h.dilation + 1;
		if (lines < window + p->h.stride)
			return;
		block = (lines - window + p->h.stride) / (2 * p->h.stride);
	}
	keep_fewest(best, (struct reads){
		ifm_read(machine, p, p->h.out, p->w.out),
		divide_up(p->h.out, block) * p->weight, divide_up(p->h.out, block) * p->scale });
}

static uint64_t square_root(uint64_t n)
{
	uint64_t root = 1;

	while ((root + 1) * (root + 1) <= n)
		root++;
	return root;
}

/*
 * Sums stay: those of a block of windows and channels, in a quarter of SRAM, while both
 * operands go by in parts of K. This suits any K.
 */
static void keep_sums(const struct xrnpe_machine *machine, const struct product *p,
		      struct reads *best)
{
	uint64_t sums = sram_bytes(machine) / 4 / SUM_BYTES;
	uint64_t side = square_root(max(1, sums / machine->rows / machine->cols));
	uint64_t positions = side * machine->rows, channels = side * machine->cols;
	uint64_t w, h, blocks;

	/* Few channels or few positions leave room for more of the others. */
	if (p->channels < channels)
		positions = max(positions, sums / p->channels);
	else if (p->h.out * p->w.out < positions)
		channels = max(channels, sums / (p->h.out * p->w.out));
	w = min(p->w.out, positions);
	h = min(p->h.out, positions / w);
	blocks = divide_up(p->w.out, w) * divide_up(p->h.out, h);
	keep_fewest(best, (struct reads){
		divide_up(p->group_channels, channels) * ifm_read(machine, p, h, w),
		blocks * p->weight, blocks * p->scale });
}

/* ---- commands ------------------------------------------------------------ */

/* What a command needs of the array or the output stage, and of the bus. */
struct work {
	uint64_t compute;	/* cycles */
	uint64_t first;		/* bytes that must be there before it starts */
	uint64_t overhead;	/* cycles in which it fills and drains */
	uint64_t bytes[XRNPE_OPERANDS];
};

static void product_work(const struct xrnpe_machine *machine, const struct xrnpe_cmd *cmd,
			 struct work *work)
{
	const struct product p = product_of(machine, cmd);
	uint64_t positions = p.h.out * p.w.out;
	uint64_t rows = min(machine->rows, positions), cols = min(machine->cols, p.channels);
	uint64_t sum = divide_up(p.k, xrnpe_rate(cmd->operand[XRNPE_OPERAND_IFM].format,
						 cmd->operand[XRNPE_OPERAND_WEIGHT].format));
	uint64_t drain = divide_up(rows, output_rate(cmd));
	uint64_t tile = max(sum, drain), first;
	struct reads reads = { UINT64_MAX / 4, UINT64_MAX / 4, 0 };

	keep_weights(machine, &p, &reads);
	keep_ifm(machine, &p, &reads);
	keep_sums(machine, &p, &reads);
	work->bytes[XRNPE_OPERAND_IFM] = p.matrices * reads.ifm;
	work->bytes[XRNPE_OPERAND_WEIGHT] = p.matrices * reads.weight;
	work->bytes[XRNPE_OPERAND_SCALE] = p.matrices * reads.scale;

	work->compute = p.matrices * divide_up(positions, machine->rows) *
			divide_up(p.channels, machine->cols) * tile;
	work->overhead = machine->rows + machine->cols - 2 + drain;
	/* The first tile computes as its operands come, the others while those of the next come. */
	first = min(reads.ifm, first_ifm(&p, rows)) + cols * p.channel_bytes;
	work->first = first - min(first, tile * machine->bus_bytes);
}

static void elementwise_work(const struct xrnpe_machine *machine, const struct xrnpe_cmd *cmd,
			     struct work *work)
{
	uint64_t table = work->bytes[XRNPE_OPERAND_WEIGHT];
	/* A table that does not fit is used in parts, each for the codes that it has. */
	uint64_t passes = max(1, divide_up(table, sram_bytes(machine) / 2));

	work->bytes[XRNPE_OPERAND_IFM] *= passes;
	work->bytes[XRNPE_OPERAND_OFM] *= passes;
	work->first = min(table, sram_bytes(machine) / 2);
	work->compute = passes * divide_up(xrnpe_cmd_work(cmd),
					   (uint64_t)machine->cols * output_rate(cmd));
}

/* The part of ifm that MAXPOOL and COPY read. */
static struct xrnpe_cmd trimmed(const struct xrnpe_cmd *cmd)
{
	struct xrnpe_cmd part = *cmd;
	struct xrnpe_dims_image *d = &part.image;
	struct xrnpe_dims_copy *copy = &part.copy;
	struct axis h = { d->in_h, d->out_h, d->kernel_h, d->stride_h, d->dilation_h };
	struct axis w = { d->in_w, d->out_w, d->kernel_w, d->stride_w, d->dilation_w };

	if (cmd->opcode == XRNPE_OP_MAXPOOL) {
		d->in_h = (uint16_t)touched(&h, h.out);
		d->in_w = (uint16_t)touched(&w, w.out);
	} else if (cmd->opcode == XRNPE_OP_COPY) {
		copy->in_h = (uint16_t)min(copy->in_h, divide_up(copy->out_h, copy->up_h));
		copy->in_w = (uint16_t)min(copy->in_w, divide_up(copy->out_w, copy->up_w));
		copy->in_c = (uint16_t)min(copy->in_c, copy->out_c);
	}
	return part;
}

void xrnpe_cmd_cost(const struct xrnpe_machine *machine, const struct xrnpe_cmd *cmd,
		    struct xrnpe_counters *counters)
{
	const struct xrnpe_cmd part = trimmed(cmd);
	uint8_t ifm = cmd->operand[XRNPE_OPERAND_IFM].format;
	uint8_t weight = cmd->operand[XRNPE_OPERAND_WEIGHT].format;
	uint64_t products = xrnpe_cmd_macs(cmd), total = sizeof(*cmd), busy, cycles, blocks = 0;
	struct work work = { 0 };

	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++) {
		if (xrnpe_cmd_has_operand(cmd, i))
			work.bytes[i] = i == XRNPE_OPERAND_SCALE ? scale_moved(machine, cmd) :
				moved(machine, &cmd->operand[i], xrnpe_cmd_layout(&part, i));
	}
	if (products)
		product_work(machine, cmd, &work);
	else
		elementwise_work(machine, cmd, &work);

	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++) {
		counters->bytes[i] += work.bytes[i];
		total += work.bytes[i];
	}
	busy = COMMAND_CYCLES + work.overhead + work.compute;
	cycles = COMMAND_CYCLES + work.overhead + machine->latency +
		 max(divide_up(total, machine->bus_bytes),
		     divide_up(work.first, machine->bus_bytes) + work.compute);
	if (products) {
		blocks = products * xrnpe_blocks(ifm, weight);
		counters->products[ifm][weight] += products;
	}
	counters->cycles += cycles;
	counters->stall_cycles += cycles - busy;
	counters->commands++;
	counters->blocks_active += blocks;
	counters->blocks_gated += cycles * machine->rows * machine->cols * XRNPE_BLOCKS - blocks;
	counters->bytes_other += sizeof(*cmd);
}

void xrnpe_counters_add(struct xrnpe_counters *sum, const struct xrnpe_counters *more)
{
	/* All of it is 64-bit counts. */
	__u64 *to = (__u64 *)sum;
	const __u64 *from = (const __u64 *)more;

	for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
		to[i] += from[i];
}

/* ---- energy --------------------------------------------------------------- */

/*
 * M. Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014,
 * for 45 nm and 0.9 V: a multiplication of 8 bits takes 0.2 pJ (of 32 bits 3.1 pJ, by the
 * square as well), an addition of 32 bits 0.1 pJ, 64 bits of a 32 KiB SRAM 20 pJ, of DRAM
 * 1300 to 2600 pJ.
 */
#define BLOCK_PJ (0.2 / 16)
#define ADDED_BIT_PJ (0.1 / 32)
#define SRAM_BYTE_PJ (20.0 / 8)
#define MEMORY_BYTE_PJ (1300.0 / 8)
/* Assumption: at the same voltage energy follows capacitance, and that the feature size. */
#define TO_28_NM (28.0 / 45)
/* Assumption: moving a product to its place in the accumulator takes what adding it does. */
#define ALIGN_AND_ADD 2
/* Assumptions: a gated block, and all that runs in every cycle. */
#define GATED_SHARE 0.05
#define CYCLE_PJ 20.0

#define ACCUMULATOR_BITS 128
#define WORD_BYTES 2

struct xrnpe_energy xrnpe_energy_default(void)
{
	struct xrnpe_energy energy = {
		.gated_block = GATED_SHARE * BLOCK_PJ * TO_28_NM,
		.sram_byte = SRAM_BYTE_PJ * TO_28_NM,
		.memory_byte = MEMORY_BYTE_PJ,
		.cycle = CYCLE_PJ,
		.sharing = 8,
	};

	for (unsigned int i = 0; i < XRNPE_PRODUCT_FORMATS; i++) {
		for (unsigned int w = 0; w < XRNPE_PRODUCT_FORMATS; w++)
			energy.product[i][w] = TO_28_NM * (xrnpe_blocks(i, w) * BLOCK_PJ + ALIGN_AND_ADD *
				ACCUMULATOR_BITS / xrnpe_rate(i, w) * ADDED_BIT_PJ);
	}
	return energy;
}

double xrnpe_energy_pj(const struct xrnpe_energy *energy, const struct xrnpe_counters *counters)
{
	double moved_bytes = (double)counters->bytes_other, words = 0, pj;

	pj = (double)counters->cycles * energy->cycle +
	     (double)counters->blocks_gated * energy->gated_block;
	for (unsigned int i = 0; i < XRNPE_PRODUCT_FORMATS; i++) {
		for (unsigned int w = 0; w < XRNPE_PRODUCT_FORMATS; w++) {
			double products = (double)counters->products[i][w];

			pj += products * energy->product[i][w];
			words += 2 * products / xrnpe_rate(i, w) / energy->sharing;
		}
	}
	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++)
		moved_bytes += (double)counters->bytes[i];
	return pj + moved_bytes * energy->memory_byte +
	       (moved_bytes + words * WORD_BYTES) * energy->sram_byte;
}
