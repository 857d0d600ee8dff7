// SPDX-License-Identifier: MIT
/*
 * The rules of xrnpe_cmd.h once more, field by field in the order of the record, so that
 * the first that is broken is the one to report.
 */
#include <string.h>

#include "reference.h"

__extension__ typedef unsigned __int128 wide;

enum { IFM, IFM2, WEIGHT, SCALE, OFM };

#define FIELD(member) offsetof(struct xrnpe_cmd, member)
#define LEGAL SIZE_MAX

/* ---- commands by their kind ---------------------------------------------- */

static bool product(const struct xrnpe_cmd *c)
{
	return c->opcode == XRNPE_OP_MATMUL || c->opcode == XRNPE_OP_CONV2D;
}

static bool two_inputs(const struct xrnpe_cmd *c)
{
	return c->opcode == XRNPE_OP_ADD || c->opcode == XRNPE_OP_MUL || c->opcode == XRNPE_OP_MAX ||
	       c->opcode == XRNPE_OP_MIN;
}

static bool rounds(const struct xrnpe_cmd *c)
{
	return product(c) || two_inputs(c) || c->opcode == XRNPE_OP_CONVERT;
}

static bool has_order(const struct xrnpe_cmd *c)
{
	return c->opcode == XRNPE_OP_CONVERT || c->opcode == XRNPE_OP_COPY;
}

bool ref_has(const struct xrnpe_cmd *c, int operand)
{
	switch (operand) {
	case IFM:
		return c->opcode < XRNPE_OP_BARRIER;
	case IFM2:
		return two_inputs(c) || (product(c) && c->flags & XRNPE_CMD_RESIDUAL);
	case WEIGHT:
		return product(c) || c->opcode == XRNPE_OP_LUT;
	case SCALE:
		return rounds(c);
	default:
		return c->opcode != XRNPE_OP_BARRIER;
	}
}

static bool format_is_allowed(const struct xrnpe_cmd *c, int operand)
{
	uint8_t format = c->operand[operand].format;

	if (c->opcode == XRNPE_OP_TIMESTAMP)
		return !format;
	switch (operand) {
	case IFM:
		return format < (c->opcode == XRNPE_OP_CONVERT ? XRNPE_FORMATS :
				 c->opcode == XRNPE_OP_COPY ? XRNPE_OUTPUT_FORMATS : XRNPE_PRODUCT_FORMATS);
	case IFM2:
		return format < (product(c) ? XRNPE_OUTPUT_FORMATS : XRNPE_PRODUCT_FORMATS);
	case WEIGHT:
		return format < (product(c) ? XRNPE_PRODUCT_FORMATS : XRNPE_OUTPUT_FORMATS);
	case SCALE:
		return format == XRNPE_FORMAT_F32;
	default:
		return format < (c->opcode == XRNPE_OP_MAXPOOL ? XRNPE_PRODUCT_FORMATS : XRNPE_OUTPUT_FORMATS);
	}
}

int ref_bits(uint8_t format)
{
	static const int of[] = { 4, 4, 8, 16, 32, 8, 8 };

	return of[format];
}

/* ---- shapes ---------------------------------------------------------------- */

static uint64_t record_bytes(const struct xrnpe_cmd *c)
{
	return c->activation == XRNPE_ACT_PRELU ? 12 : 8;
}

static uint64_t channels(const struct xrnpe_cmd *c)
{
	return c->opcode == XRNPE_OP_MATMUL ? c->matmul.n :
	       c->opcode == XRNPE_OP_CONV2D ? c->image.out_c : c->image.in_c;
}

void ref_axes(const struct xrnpe_cmd *c, int i, uint64_t n[4])
{
	const struct xrnpe_dims_matmul *m = &c->matmul;
	const struct xrnpe_dims_image *d = &c->image;
	const struct xrnpe_dims_copy *p = &c->copy;
	/* By order: where height, width and channels stand among rows, pixels and elements. */
	static const uint8_t place[XRNPE_ORDERS][3] = {
		{ 1, 2, 3 }, { 1, 3, 2 }, { 2, 1, 3 }, { 3, 1, 2 }, { 2, 3, 1 }, { 3, 2, 1 },
	};
	const uint8_t *at = place[i == IFM ? c->order : XRNPE_ORDER_HWC];
	bool window = c->opcode == XRNPE_OP_CONV2D || c->opcode == XRNPE_OP_MAXPOOL;

	n[0] = 1;
	if (c->opcode == XRNPE_OP_MATMUL) {
		bool turned = c->flags & XRNPE_CMD_TRANSPOSED;

		n[0] = m->batch;
		n[1] = i != WEIGHT ? m->m : turned ? m->k : m->n;
		n[2] = 1;
		n[3] = i == IFM ? m->k : i == WEIGHT && !turned ? m->k : m->n;
	} else if (c->opcode == XRNPE_OP_CONV2D && i == WEIGHT) {
		n[1] = d->out_c;
		n[2] = (uint64_t)d->kernel_h * d->kernel_w;
		n[3] = d->in_c / d->groups;
	} else if (c->opcode == XRNPE_OP_COPY) {
		n[at[0]] = i == IFM ? p->in_h : p->out_h;
		n[at[1]] = i == IFM ? p->in_w : p->out_w;
		n[at[2]] = i == IFM ? p->in_c : p->out_c;
	} else {
		bool out = window && i != IFM;

		n[at[0]] = out ? d->out_h : d->in_h;
		n[at[1]] = out ? d->out_w : d->in_w;
		n[at[2]] = i == IFM2 && c->flags & XRNPE_CMD_PER_PIXEL ? 1 : out ? d->out_c : d->in_c;
	}
}

static wide packed(uint8_t format, uint64_t elements)
{
	return ((wide)elements * (wide)ref_bits(format) + 7) / 8;
}

/* Bytes from the operand's first to its last. */
static wide extent(const struct xrnpe_cmd *c, int i)
{
	const struct xrnpe_operand *o = &c->operand[i];
	uint64_t n[4];

	if (c->opcode == XRNPE_OP_TIMESTAMP)
		return 8;
	if (i == SCALE && c->opcode == XRNPE_OP_MUL)
		return record_bytes(c);
	if (i == SCALE)
		return (wide)(two_inputs(c) ? 1 : o->row_stride ? channels(c) - 1 : 0) * o->row_stride +
		       record_bytes(c);
	if (c->opcode == XRNPE_OP_LUT && i == WEIGHT)
		return packed(o->format, 1ull << ref_bits(c->operand[IFM].format));
	ref_axes(c, i, n);
	return (wide)(n[0] - 1) * o->batch_stride + (wide)(n[1] - 1) * o->row_stride +
	       (wide)(n[2] - 1) * o->pixel_stride + packed(o->format, n[3]);
}

/* ---- fields before the operands ---------------------------------------------- */

static bool is_finite(uint32_t word)
{
	return (word >> 23 & 255) != 255;
}

static size_t first_fields(const struct xrnpe_cmd *c)
{
	uint32_t flags = rounds(c) ? XRNPE_CMD_CLAMP : 0;
	bool clamp = c->flags & XRNPE_CMD_CLAMP;
	float lo, hi;

	if (product(c))
		flags |= XRNPE_CMD_RESIDUAL;
	if (c->opcode == XRNPE_OP_MATMUL)
		flags |= XRNPE_CMD_TRANSPOSED;
	if (two_inputs(c))
		flags |= XRNPE_CMD_PER_PIXEL;
	if (c->opcode == XRNPE_OP_COPY)
		flags |= XRNPE_CMD_SPREAD;
	if (c->activation > (product(c) ? XRNPE_ACT_PRELU : rounds(c) ? XRNPE_ACT_LEAKY : XRNPE_ACT_NONE))
		return FIELD(activation);
	if (c->order >= (has_order(c) ? XRNPE_ORDERS : 1))
		return FIELD(order);
	if (c->reserved)
		return FIELD(reserved);
	if (c->flags & ~flags)
		return FIELD(flags);
	if (c->activation == XRNPE_ACT_LEAKY ? !is_finite(c->slope) : c->slope != 0)
		return FIELD(slope);
	if (clamp ? !is_finite(c->lo) : c->lo != 0)
		return FIELD(lo);
	memcpy(&lo, &c->lo, sizeof(lo));
	memcpy(&hi, &c->hi, sizeof(hi));
	if (clamp ? !is_finite(c->hi) || hi < lo : c->hi != 0)
		return FIELD(hi);
	if (c->flags & XRNPE_CMD_RESIDUAL ? !is_finite(c->residual) : c->residual != 0)
		return FIELD(residual);
	return LEGAL;
}

/* ---- an operand ---------------------------------------------------------------- */

static size_t operand_fields(const struct xrnpe_cmd *c, int i)
{
	const struct xrnpe_operand *o = &c->operand[i];
	bool table = c->opcode == XRNPE_OP_LUT && i == WEIGHT, time = c->opcode == XRNPE_OP_TIMESTAMP;
	bool lies = ref_has(c, i), known = lies && format_is_allowed(c, i);
	uint64_t unit = !lies ? 0 : time ? 8 : i == SCALE ? 4 : known && ref_bits(o->format) > 8 ?
			(uint64_t)ref_bits(o->format) / 8 : 1;
	bool rows = lies && !time && !table && !(i == SCALE && c->opcode == XRNPE_OP_MUL);
	bool pixels = rows && i != SCALE && c->opcode != XRNPE_OP_MATMUL;
	bool batches = lies && i != SCALE && c->opcode == XRNPE_OP_MATMUL;
	const struct xrnpe_operand *twin = !lies || i != OFM ? NULL :
		c->opcode == XRNPE_OP_LUT ? &c->operand[WEIGHT] :
		c->opcode == XRNPE_OP_MAXPOOL || c->opcode == XRNPE_OP_COPY ? &c->operand[IFM] : NULL;

	if (lies ? o->offset % unit : o->offset)
		return FIELD(operand[i].offset);
	if (rows ? o->row_stride % unit : o->row_stride)
		return FIELD(operand[i].row_stride);
	if (rows && i == SCALE && o->row_stride < record_bytes(c) && (o->row_stride || two_inputs(c)))
		return FIELD(operand[i].row_stride);
	if (pixels ? o->pixel_stride % unit : o->pixel_stride)
		return FIELD(operand[i].pixel_stride);
	if (batches ? o->batch_stride % unit : o->batch_stride)
		return FIELD(operand[i].batch_stride);
	if (!lies && o->region)
		return FIELD(operand[i].region);
	if (lies ? !known || (twin && twin->format != o->format) : o->format)
		return FIELD(operand[i].format);
	if (o->reserved[0] || o->reserved[1])
		return FIELD(operand[i].reserved);
	return LEGAL;
}

/* ---- dimensions ------------------------------------------------------------------ */

static bool zero(const void *bytes, size_t size)
{
	static const uint8_t zeros[sizeof(struct xrnpe_cmd)];

	return !memcmp(bytes, zeros, size);
}

static size_t matmul_fields(const struct xrnpe_dims_matmul *d)
{
	if (!d->m)
		return FIELD(matmul.m);
	if (!d->n)
		return FIELD(matmul.n);
	if (!d->k || d->k > 32768)
		return FIELD(matmul.k);
	if (!d->batch)
		return FIELD(matmul.batch);
	return zero(d->reserved, sizeof(d->reserved)) ? LEGAL : FIELD(matmul.reserved);
}

/* Is there a window, of those along one axis, none of whose taps is in the image? */
static bool misses(int in, int out, int kernel, int stride, int dilation, int pad)
{
	for (int y = 0; y < out; y++) {
		bool touches = false;

		for (int i = 0; i < kernel && !touches; i++) {
			int at = y * stride - pad + i * dilation;

			touches = at >= 0 && at < in;
		}
		if (!touches)
			return true;
	}
	return false;
}

static size_t image_fields(const struct xrnpe_cmd *c)
{
	const struct xrnpe_dims_image *d = &c->image;
	bool pool = c->opcode == XRNPE_OP_MAXPOOL, window = pool || c->opcode == XRNPE_OP_CONV2D;
	bool down = d->kernel_h && d->stride_h && d->dilation_h;
	bool across = d->kernel_w && d->stride_w && d->dilation_w;

	if (!d->in_h)
		return FIELD(image.in_h);
	if (!d->in_w)
		return FIELD(image.in_w);
	if (!d->in_c)
		return FIELD(image.in_c);
	if (!window) {
		/* The rest is zero: which byte is not? */
		for (size_t at = FIELD(image.out_h); at < FIELD(image.reserved); at++) {
			if (((const uint8_t *)c)[at])
				return at < FIELD(image.kernel_h) ? at & ~(size_t)1 : at;
		}
		return zero(d->reserved, sizeof(d->reserved)) ? LEGAL : FIELD(image.reserved);
	}
	if (!d->out_h || (pool && down && misses(d->in_h, d->out_h, d->kernel_h, d->stride_h, d->dilation_h,
						 d->pad_top)))
		return FIELD(image.out_h);
	if (!d->out_w || (pool && across && misses(d->in_w, d->out_w, d->kernel_w, d->stride_w,
						   d->dilation_w, d->pad_left)))
		return FIELD(image.out_w);
	if (!d->out_c || (pool && d->out_c != d->in_c))
		return FIELD(image.out_c);
	if (pool ? d->groups != 1 : !d->groups || d->in_c % d->groups || d->out_c % d->groups)
		return FIELD(image.groups);
	if (!d->kernel_h || (!pool && (uint64_t)d->kernel_h * d->kernel_w * (d->in_c / d->groups) > 32768))
		return FIELD(image.kernel_h);
	if (!d->kernel_w)
		return FIELD(image.kernel_w);
	if (!d->stride_h)
		return FIELD(image.stride_h);
	if (!d->stride_w)
		return FIELD(image.stride_w);
	if (!d->dilation_h)
		return FIELD(image.dilation_h);
	if (!d->dilation_w)
		return FIELD(image.dilation_w);
	return zero(d->reserved, sizeof(d->reserved)) ? LEGAL : FIELD(image.reserved);
}

static size_t copy_fields(const struct xrnpe_cmd *c)
{
	const struct xrnpe_dims_copy *d = &c->copy;

	if (!d->in_h)
		return FIELD(copy.in_h);
	if (!d->in_w)
		return FIELD(copy.in_w);
	if (!d->in_c)
		return FIELD(copy.in_c);
	if (!d->out_h)
		return FIELD(copy.out_h);
	if (!d->out_w)
		return FIELD(copy.out_w);
	if (!d->out_c)
		return FIELD(copy.out_c);
	if (!d->up_h)
		return FIELD(copy.up_h);
	if (!d->up_w)
		return FIELD(copy.up_w);
	if ((uint64_t)d->fill >> ref_bits(c->operand[IFM].format))
		return FIELD(copy.fill);
	return zero(d->reserved, sizeof(d->reserved)) ? LEGAL : FIELD(copy.reserved);
}

static size_t dimension_fields(const struct xrnpe_cmd *c)
{
	switch (c->opcode) {
	case XRNPE_OP_MATMUL:
		return matmul_fields(&c->matmul);
	case XRNPE_OP_COPY:
		return copy_fields(c);
	case XRNPE_OP_BARRIER:
	case XRNPE_OP_TIMESTAMP:
		return zero(c->none, sizeof(c->none)) ? LEGAL : FIELD(none);
	default:
		return image_fields(c);
	}
}

/* ---- what depends on all the fields ------------------------------------------------ */

/* Are two elements of the output in one byte that no pixel of both shares? */
static size_t output_strides(const struct xrnpe_cmd *c)
{
	const struct xrnpe_operand *o = &c->operand[OFM];
	uint64_t n[4];
	wide bytes;

	ref_axes(c, OFM, n);
	bytes = packed(o->format, n[3]);
	if (n[2] > 1 && o->pixel_stride < bytes)
		return FIELD(operand[OFM].pixel_stride);
	bytes += (wide)(n[2] - 1) * o->pixel_stride;
	if (n[1] > 1 && o->row_stride < bytes)
		return FIELD(operand[OFM].row_stride);
	bytes += (wide)(n[1] - 1) * o->row_stride;
	if (n[0] > 1 && o->batch_stride < bytes)
		return FIELD(operand[OFM].batch_stride);
	return LEGAL;
}

static size_t work(const struct xrnpe_cmd *c)
{
	const struct xrnpe_dims_image *d = &c->image;
	const wide most = (wide)1 << 36;
	uint64_t n[4];
	wide outputs;

	ref_axes(c, OFM, n);
	outputs = (wide)n[0] * n[1] * n[2] * n[3];
	switch (c->opcode) {
	case XRNPE_OP_MATMUL:
		return outputs * c->matmul.k <= most ? LEGAL : FIELD(matmul.m);
	case XRNPE_OP_CONV2D:
		outputs *= (wide)d->kernel_h * d->kernel_w * (d->in_c / d->groups);
		return outputs <= most ? LEGAL : FIELD(image.out_h);
	case XRNPE_OP_MAXPOOL:
		outputs *= (wide)d->kernel_h * d->kernel_w;
		return outputs <= most ? LEGAL : FIELD(image.out_h);
	case XRNPE_OP_COPY:
		return outputs <= most ? LEGAL : FIELD(copy.out_h);
	default:
		return outputs <= most ? LEGAL : FIELD(image.in_h);
	}
}

static size_t first_of(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t illegal_field(const struct xrnpe_cmd *c)
{
	size_t field = first_fields(c);

	for (int i = 0; i < XRNPE_OPERANDS; i++)
		field = first_of(field, operand_fields(c, i));
	if (field == LEGAL)
		field = dimension_fields(c);
	if (field == LEGAL && !zero(c->reserved2, sizeof(c->reserved2)))
		field = FIELD(reserved2);
	if (field == LEGAL && c->opcode < XRNPE_OP_BARRIER)
		field = first_of(output_strides(c), work(c));
	return field;
}

/* ---- the whole ----------------------------------------------------------------------- */

static struct xrnpe_fault refuse(uint32_t kind, uint32_t operand, uint32_t region, uint64_t offset)
{
	return (struct xrnpe_fault){ .kind = kind, .operand = operand, .region = region, .offset = offset };
}

struct xrnpe_fault ref_check(const struct xrnpe_cmd *c, const struct ref_region *regions, unsigned int count)
{
	size_t field;

	if (c->opcode < XRNPE_OP_MATMUL || c->opcode > XRNPE_OP_TIMESTAMP)
		return refuse(XRNPE_FAULT_ILLEGAL_OPCODE, XRNPE_OPERAND_NONE, 0, 0);
	field = illegal_field(c);
	if (field >= FIELD(operand) && field < FIELD(image)) {
		uint32_t i = (uint32_t)((field - FIELD(operand)) / sizeof(struct xrnpe_operand));

		return refuse(XRNPE_FAULT_ILLEGAL_FIELD, i, c->operand[i].region, field);
	}
	if (field != LEGAL)
		return refuse(XRNPE_FAULT_ILLEGAL_FIELD, XRNPE_OPERAND_NONE, 0, field);
	for (uint32_t i = 0; i < XRNPE_OPERANDS; i++) {
		const struct xrnpe_operand *o = &c->operand[i];
		const struct ref_region *region = &regions[o->region];

		if (!ref_has(c, (int)i))
			continue;
		if (o->region >= count)
			return refuse(XRNPE_FAULT_NO_REGION, i, o->region, 0);
		if (!(region->flags & (i == OFM ? XRNPE_REGION_WRITE : XRNPE_REGION_READ)))
			return refuse(XRNPE_FAULT_PERMISSION, i, o->region, o->offset);
		if ((wide)o->offset + extent(c, (int)i) > region->size)
			return refuse(XRNPE_FAULT_OUT_OF_BOUNDS, i, o->region,
				      o->offset > region->size ? o->offset : region->size);
	}
	return refuse(XRNPE_FAULT_NONE, XRNPE_OPERAND_NONE, 0, 0);
}

uint64_t ref_span(const struct xrnpe_cmd *c, int operand)
{
	return ref_has(c, operand) ? (uint64_t)extent(c, operand) : 0;
}
