// SPDX-License-Identifier: MIT
/*
 * The cycle model once more: the formulas of Documentation/hardware.rst, "Cycle model", by
 * its names and in its order.
 */
#include <math.h>

#include "reference.h"

enum { IFM, IFM2, WEIGHT, SCALE, OFM };

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t up(uint64_t a, uint64_t b)
{
	return a / b + (a % b != 0);
}

static uint64_t words(const struct xrnpe_machine *m, uint64_t bytes)
{
	return up(bytes, m->bus_bytes) * m->bus_bytes;
}

static uint64_t sram(const struct xrnpe_machine *m)
{
	return 1024 * (uint64_t)m->sram_kib;
}

/* Codes of a format in a word of the array, or results that the output stage gives. */
static uint64_t in_word(uint8_t format)
{
	return max(1, 16 / (uint64_t)ref_bits(format));
}

static uint64_t output_rate(const struct xrnpe_cmd *c)
{
	uint64_t rate = 4;

	for (int i = 0; i < XRNPE_OPERANDS; i++) {
		if (i != SCALE && ref_has(c, i))
			rate = min(rate, in_word(c->operand[i].format));
	}
	return rate;
}

/* ---- bytes ------------------------------------------------------------------ */

/* @n: matrices, rows, pixels and elements. */
static uint64_t moved(const struct xrnpe_machine *m, const struct xrnpe_operand *o, const uint64_t n[4])
{
	const uint64_t strides[] = { o->batch_stride, o->row_stride, o->pixel_stride };
	uint64_t run = up(n[3] * (uint64_t)ref_bits(o->format), 8), runs = 1;

	for (int axis = 2; axis >= 0; axis--) {
		if (strides[axis] == 0 && run * runs <= sram(m) / 2)
			continue;
		if (strides[axis] == run && runs == 1)
			run *= n[axis];
		else
			runs *= n[axis];
	}
	return runs * words(m, run);
}

static uint64_t scales_moved(const struct xrnpe_machine *m, const struct xrnpe_cmd *c)
{
	uint64_t record = c->activation == XRNPE_ACT_PRELU ? 12 : 8, records;

	if (c->opcode == XRNPE_OP_ADD || c->opcode == XRNPE_OP_MAX || c->opcode == XRNPE_OP_MIN)
		records = 2;
	else if (!c->operand[SCALE].row_stride)
		records = 1;
	else
		records = c->opcode == XRNPE_OP_MATMUL ? c->matmul.n :
			  c->opcode == XRNPE_OP_CONV2D ? c->image.out_c : c->image.in_c;
	return c->operand[SCALE].row_stride == record ? words(m, records * record) : records * words(m, record);
}

/* ---- windows ------------------------------------------------------------------- */

struct axis {
	uint64_t in, out, kernel, stride, dilation;
};

static uint64_t window(struct axis a)
{
	return (a.kernel - 1) * a.dilation + 1;
}

static uint64_t span(struct axis a, uint64_t n)
{
	return min(a.in, (n - 1) * a.stride + window(a));
}

static uint64_t touched(struct axis a, uint64_t n)
{
	return min(span(a, n), n * a.kernel);
}

static struct axis lines_of(const struct xrnpe_cmd *c)
{
	const struct xrnpe_dims_image *d = &c->image;

	return (struct axis){ d->in_h, d->out_h, d->kernel_h, d->stride_h, d->dilation_h };
}

static struct axis pixels_of(const struct xrnpe_cmd *c)
{
	const struct xrnpe_dims_image *d = &c->image;

	return (struct axis){ d->in_w, d->out_w, d->kernel_w, d->stride_w, d->dilation_w };
}

/* ---- products ------------------------------------------------------------------- */

struct product {
	struct axis h, w;
	uint64_t matrices, n, group, k;
	uint64_t pixel, channel;
	uint64_t weight, scale;		/* bytes moved once */
	bool dense_pixels, dense_lines;
};

static struct product product_of(const struct xrnpe_machine *m, const struct xrnpe_cmd *c)
{
	const struct xrnpe_operand *ifm = &c->operand[IFM], *weight = &c->operand[WEIGHT];
	const struct xrnpe_dims_image *d = &c->image;
	struct product p = { .matrices = 1 };
	uint64_t n[4], rows;

	ref_axes(c, WEIGHT, n);
	if (c->opcode == XRNPE_OP_MATMUL) {
		bool one_weight = !weight->batch_stride, one_ifm = !one_weight && !ifm->batch_stride;

		p.k = c->matmul.k;
		p.pixel = up(p.k * (uint64_t)ref_bits(ifm->format), 8);
		rows = (uint64_t)c->matmul.m * (one_weight ? c->matmul.batch : 1);
		p.n = (uint64_t)c->matmul.n * (one_ifm ? c->matmul.batch : 1);
		p.group = p.n;
		if (!one_weight && !one_ifm)
			p.matrices = c->matmul.batch;
		if (!one_ifm)
			n[0] = 1;
		p.h = (struct axis){ rows, rows, 1, 1, 1 };
		p.w = (struct axis){ 1, 1, 1, 1, 1 };
		p.dense_pixels = true;
		p.dense_lines = ifm->row_stride == p.pixel &&
				(!one_weight || c->matmul.batch == 1 || ifm->batch_stride == c->matmul.m * p.pixel);
	} else {
		p.k = (uint64_t)d->kernel_h * d->kernel_w * (d->in_c / d->groups);
		p.pixel = up(d->in_c * (uint64_t)ref_bits(ifm->format), 8);
		p.n = d->out_c;
		p.group = d->out_c / d->groups;
		p.h = lines_of(c);
		p.w = pixels_of(c);
		p.dense_pixels = d->in_w == 1 || ifm->pixel_stride == p.pixel;
		p.dense_lines = p.dense_pixels && ifm->row_stride == d->in_w * p.pixel;
	}
	p.channel = up(p.k * (uint64_t)ref_bits(weight->format), 8);
	p.weight = moved(m, weight, n);
	p.scale = scales_moved(m, c);
	return p;
}

/* Of a line, for a block of @w windows. */
static uint64_t line_read(const struct xrnpe_machine *m, const struct product *p, uint64_t w)
{
	uint64_t apart = touched(p->w, w) * words(m, p->pixel);

	return p->dense_pixels ? min(apart, words(m, span(p->w, w) * p->pixel)) : apart;
}

/* ifm, in blocks of @h x @w windows. */
static uint64_t ifm_read(const struct xrnpe_machine *m, const struct product *p, uint64_t h, uint64_t w)
{
	uint64_t lines = 0, line = 0, all;

	for (uint64_t y = 0; y < p->h.out; y += h)
		lines += touched(p->h, min(h, p->h.out - y));
	for (uint64_t x = 0; x < p->w.out; x += w)
		line += line_read(m, p, min(w, p->w.out - x));
	all = lines * line;
	if (p->dense_lines && h >= p->h.out && w >= p->w.out && span(p->w, p->w.out) == p->w.in)
		all = min(all, words(m, span(p->h, p->h.out) * p->w.in * p->pixel));
	return all;
}

struct reads {
	uint64_t ifm, weight, scale;
};

static struct reads fewest(struct reads a, struct reads b)
{
	return b.ifm + b.weight + b.scale < a.ifm + a.weight + a.scale ? b : a;
}

static const struct reads no_way = { UINT64_MAX / 4, 0, 0 };

static struct reads weights_stay(const struct xrnpe_machine *m, const struct product *p, uint64_t panel)
{
	uint64_t line = span(p->w, p->w.out) * p->pixel, r = min(p->h.out, up(m->rows, p->w.out));
	uint64_t used = line * min(span(p->h, p->h.out), span(p->h, r) + r * p->h.stride), rest, block;

	if (used > sram(m))
		return no_way;
	rest = sram(m) - used;
	block = p->n * p->channel <= rest ? p->n : rest / 2 / p->channel / panel * panel;
	if (!block)
		return no_way;
	return (struct reads){ ifm_read(m, p, p->h.out, p->w.out) * up(p->group, block), p->weight, p->scale };
}

static struct reads input_stays(const struct xrnpe_machine *m, const struct product *p, uint64_t panel)
{
	uint64_t line = span(p->w, p->w.out) * p->pixel, used = min(2 * panel, p->n) * p->channel;
	uint64_t lines, block = p->h.out, times;

	if (used > sram(m))
		return no_way;
	lines = (sram(m) - used) / line;
	if (lines < span(p->h, p->h.out)) {
		if (lines < window(p->h) + p->h.stride)
			return no_way;
		block = (lines - window(p->h) + p->h.stride) / (2 * p->h.stride);
	}
	times = up(p->h.out, block);
	return (struct reads){ ifm_read(m, p, p->h.out, p->w.out), times * p->weight, times * p->scale };
}

static struct reads sums_stay(const struct xrnpe_machine *m, const struct product *p)
{
	uint64_t sums = sram(m) / 64, t = max(1, (uint64_t)sqrt((double)(sums / m->rows / m->cols)));
	uint64_t positions = t * m->rows, channels = t * m->cols, w, h, blocks;

	if (p->n < channels)
		positions = max(positions, sums / p->n);
	else if (p->h.out * p->w.out < positions)
		channels = max(channels, sums / (p->h.out * p->w.out));
	w = min(p->w.out, positions);
	h = min(p->h.out, positions / w);
	blocks = up(p->h.out, h) * up(p->w.out, w);
	return (struct reads){ ifm_read(m, p, h, w) * up(p->group, channels), blocks * p->weight,
			       blocks * p->scale };
}

/* ---- a command -------------------------------------------------------------------- */

struct work {
	uint64_t bytes[XRNPE_OPERANDS];
	uint64_t fill, first, compute, products;
};

static void product_work(const struct xrnpe_machine *m, const struct xrnpe_cmd *c, struct work *work)
{
	const struct product p = product_of(m, c);
	uint64_t positions = p.h.out * p.w.out, in_tile = min(m->rows, positions);
	uint64_t rate = min(in_word(c->operand[IFM].format), in_word(c->operand[WEIGHT].format));
	uint64_t drain = up(in_tile, output_rate(c)), tile = max(up(p.k, rate), drain);
	uint64_t panel = max(m->cols, 8 * m->bus_bytes / (uint64_t)ref_bits(c->operand[OFM].format));
	uint64_t more = in_tile > p.w.out ? in_tile - p.w.out : 0;
	uint64_t step = min(p.h.stride, p.h.kernel) * min(p.w.stride, p.w.kernel);
	struct reads reads = fewest(fewest(weights_stay(m, &p, panel), input_stays(m, &p, panel)),
				    sums_stay(m, &p));

	work->bytes[IFM] = p.matrices * reads.ifm;
	work->bytes[WEIGHT] = p.matrices * reads.weight;
	work->bytes[SCALE] = p.matrices * reads.scale;
	work->compute = p.matrices * up(positions, m->rows) * up(p.n, m->cols) * tile;
	work->fill = m->rows + m->cols - 2 + drain;
	work->first = min(reads.ifm, (touched(p.h, 1) * touched(p.w, p.w.out) + more * step) * p.pixel) +
		      min(m->cols, p.n) * p.channel;
	work->first -= min(work->first, m->bus_bytes * tile);
	work->products = p.matrices * positions * p.n * p.k;
}

static void other_work(const struct xrnpe_machine *m, const struct xrnpe_cmd *c, struct work *work)
{
	uint64_t n[4], elements, passes = 1;

	if (c->opcode == XRNPE_OP_BARRIER || c->opcode == XRNPE_OP_TIMESTAMP)
		return;
	ref_axes(c, OFM, n);
	elements = n[1] * n[2] * n[3];
	if (c->opcode == XRNPE_OP_MAXPOOL)
		elements *= (uint64_t)c->image.kernel_h * c->image.kernel_w;
	if (c->opcode == XRNPE_OP_LUT) {
		passes = max(1, up(work->bytes[WEIGHT], sram(m) / 2));
		work->bytes[IFM] *= passes;
		work->bytes[OFM] *= passes;
		work->first = min(work->bytes[WEIGHT], sram(m) / 2);
	}
	work->compute = passes * up(elements, m->cols * output_rate(c));
}

/* What is moved of an operand, but what a product reads. */
static uint64_t operand_moved(const struct xrnpe_machine *m, const struct xrnpe_cmd *c, int i)
{
	uint64_t n[4] = { 1, 1, 1, 1 };
	struct xrnpe_cmd part = *c;

	if (i == SCALE)
		return scales_moved(m, c);
	if (c->opcode == XRNPE_OP_TIMESTAMP)
		return words(m, 8);
	if (c->opcode == XRNPE_OP_MAXPOOL) {
		part.image.in_h = (uint16_t)touched(lines_of(c), c->image.out_h);
		part.image.in_w = (uint16_t)touched(pixels_of(c), c->image.out_w);
	} else if (c->opcode == XRNPE_OP_COPY) {
		part.copy.in_h = (uint16_t)min(c->copy.in_h, up(c->copy.out_h, c->copy.up_h));
		part.copy.in_w = (uint16_t)min(c->copy.in_w, up(c->copy.out_w, c->copy.up_w));
		part.copy.in_c = (uint16_t)min(c->copy.in_c, c->copy.out_c);
	}
	if (c->opcode == XRNPE_OP_LUT && i == WEIGHT)
		n[3] = 1ull << ref_bits(c->operand[IFM].format);
	else
		ref_axes(&part, i, n);
	return moved(m, &c->operand[i], n);
}

void ref_cost(const struct xrnpe_machine *m, const struct xrnpe_cmd *c, struct xrnpe_counters *counters)
{
	static const uint64_t digits[XRNPE_PRODUCT_FORMATS] = { 1, 0, 3, 7 };
	uint8_t ifm = c->operand[IFM].format, weight = c->operand[WEIGHT].format;
	uint64_t record = 192, bytes = record, active = 0, cycles;
	bool product = c->opcode == XRNPE_OP_MATMUL || c->opcode == XRNPE_OP_CONV2D;
	struct work work = { 0 };

	for (int i = 0; i < XRNPE_OPERANDS; i++)
		work.bytes[i] = ref_has(c, i) ? operand_moved(m, c, i) : 0;
	if (product) {
		product_work(m, c, &work);
		active = work.products * digits[ifm] * digits[weight];
		counters->products[ifm][weight] += work.products;
	} else {
		other_work(m, c, &work);
	}
	for (int i = 0; i < XRNPE_OPERANDS; i++) {
		counters->bytes[i] += work.bytes[i];
		bytes += work.bytes[i];
	}
	cycles = 32 + work.fill + m->latency +
		 max(up(bytes, m->bus_bytes), up(work.first, m->bus_bytes) + work.compute);
	counters->cycles += cycles;
	counters->stall_cycles += cycles - 32 - work.fill - work.compute;
	counters->commands++;
	counters->blocks_active += active;
	counters->blocks_gated += cycles * m->rows * m->cols * 49 - active;
	counters->bytes_other += record;
}
