// SPDX-License-Identifier: MIT
#include "fuzz/command.h"

#include <string.h>

enum { IFM, IFM2, WEIGHT, SCALE, OFM };

uint32_t take(struct source *source, uint32_t limit)
{
	uint32_t value = 0;

	if (!source->data)
		return random_below(&source->state, limit);
	for (int i = 0; i < 2 && source->left; i++, source->left--)
		value = value << 8 | *source->data++;
	return value % limit;
}

static bool one_in(struct source *source, uint32_t n)
{
	return !take(source, n);
}

/* ---- dimensions -------------------------------------------------------- */

/* 1..most, rarely a large one. */
static uint32_t dimension(struct source *source, uint32_t most)
{
	if (most > 40 && !one_in(source, 4))
		most = 40;
	return 1 + take(source, most > 1 ? most : 1);
}

/* A dimension that leaves *@work for the others. */
static uint32_t part(struct source *source, uint32_t most, uint32_t *work)
{
	uint32_t chosen = dimension(source, most < *work ? most : *work);

	*work /= chosen;
	return chosen;
}

static uint32_t rarely_large(struct source *source, uint32_t usual)
{
	return take(source, one_in(source, 8) ? 256 : usual);
}

/* ---- operands ---------------------------------------------------------- */

static bool is_product(const struct xrnpe_cmd *cmd)
{
	return cmd->opcode == XRNPE_OP_MATMUL || cmd->opcode == XRNPE_OP_CONV2D;
}

static bool is_pair(const struct xrnpe_cmd *cmd)
{
	return cmd->opcode == XRNPE_OP_ADD || cmd->opcode == XRNPE_OP_MUL ||
	       cmd->opcode == XRNPE_OP_MAX || cmd->opcode == XRNPE_OP_MIN;
}

/* A stride of at least @bytes. */
static uint32_t room(struct source *source, uint32_t bytes, uint32_t element)
{
	return one_in(source, 3) ? bytes + take(source, 20) * element : bytes;
}

static void tensor(struct source *source, const struct xrnpe_cmd *cmd, struct xrnpe_operand *o,
		   uint32_t format, struct shape shape)
{
	uint32_t bits = xrnpe_format_bits(format), element = bits > 8 ? bits / 8 : 1;
	uint32_t pixel = (uint32_t)xrnpe_row_bytes(format, shape.elements), row;
	bool matrix = cmd->opcode == XRNPE_OP_MATMUL;
	/* Only inputs may overlap. */
	bool overlap = o != &cmd->operand[OFM] && one_in(source, 8);

	o->format = (uint8_t)format;
	o->offset = take(source, 100) * element;
	if (!matrix)
		o->pixel_stride = overlap ? take(source, 3) * element : room(source, pixel, element);
	row = (shape.pixels - 1) * o->pixel_stride + pixel;
	o->row_stride = overlap && take(source, 2) ? take(source, 3) * element : room(source, row, element);
	if (matrix && overlap)
		o->batch_stride = take(source, 3) * element;
	else if (matrix)
		o->batch_stride = room(source, (shape.rows - 1) * o->row_stride + row, element);
}

/* Of as many records as the command has, or one for all. */
static void scales(struct source *source, struct xrnpe_cmd *cmd)
{
	struct xrnpe_operand *o = &cmd->operand[SCALE];
	uint32_t bytes = cmd->activation == XRNPE_ACT_PRELU ? sizeof(struct xrnpe_scale_slope) :
							      sizeof(struct xrnpe_scale);

	o->format = XRNPE_FORMAT_F32;
	o->offset = take(source, 20) * 4;
	if (cmd->opcode != XRNPE_OP_MUL && (is_pair(cmd) || take(source, 4)))
		o->row_stride = one_in(source, 4) ? bytes + take(source, 4) * 4 : bytes;
}

/* ---- the output stage -------------------------------------------------- */

/* A finite binary32, usually about one. */
static uint32_t parameter(struct source *source)
{
	static const uint32_t special[] = { 0, 0x80000000, 1, 0x3f800000, 0xbf000000, 0x3dcccccd };
	uint32_t kind = take(source, 8), word;

	if (kind < sizeof(special) / sizeof(special[0]))
		return special[kind];
	word = take(source, 1 << 16) << 16;
	word |= take(source, 1 << 16);
	if (kind == 6)
		return (word & 0x83ffffff) | 0x3c000000;
	return (word & 0x7f800000) == 0x7f800000 ? word ^ 0x40000000 : word;
}

static void limits(struct source *source, struct xrnpe_cmd *cmd)
{
	float lo, hi;

	cmd->flags |= XRNPE_CMD_CLAMP;
	cmd->lo = parameter(source);
	cmd->hi = parameter(source);
	memcpy(&lo, &cmd->lo, sizeof(lo));
	memcpy(&hi, &cmd->hi, sizeof(hi));
	if (hi < lo) {
		memcpy(&cmd->lo, &hi, sizeof(hi));
		memcpy(&cmd->hi, &lo, sizeof(lo));
	}
}

/* Of a command that rounds, and whose other fields are set. */
static void output_stage(struct source *source, struct xrnpe_cmd *cmd)
{
	cmd->activation = (uint8_t)take(source, is_product(cmd) ? 4 : 3);
	if (cmd->activation == XRNPE_ACT_LEAKY)
		cmd->slope = parameter(source);
	if (one_in(source, 3))
		limits(source, cmd);
	if (is_product(cmd) && one_in(source, 3)) {
		cmd->flags |= XRNPE_CMD_RESIDUAL;
		cmd->residual = parameter(source);
		tensor(source, cmd, &cmd->operand[IFM2], take(source, XRNPE_OUTPUT_FORMATS),
		       output_shape(cmd));
	}
	scales(source, cmd);
}

/* ---- commands ---------------------------------------------------------- */

/* Of a product: half of the time that of ifm. */
static uint32_t weight_format(struct source *source, const struct xrnpe_cmd *cmd)
{
	return take(source, 2) ? cmd->operand[IFM].format : take(source, XRNPE_PRODUCT_FORMATS);
}

static void make_matmul(struct source *source, struct xrnpe_cmd *cmd, uint32_t work)
{
	uint32_t longest = work < XRNPE_MAX_K ? work : XRNPE_MAX_K, kind = take(source, 8);
	struct xrnpe_dims_matmul *d = &cmd->matmul;
	struct shape weight;

	if (kind == 0)
		d->k = longest - take(source, 3);
	else
		d->k = kind == 1 ? 1 + take(source, longest) : dimension(source, longest < 1100 ? longest : 1100);
	work /= d->k;
	d->batch = one_in(source, 4) ? part(source, 5, &work) : 1;
	/* Few positions have kernels of their own. */
	d->m = part(source, take(source, 3) ? 300 : 3, &work);
	d->n = part(source, 300, &work);
	if (one_in(source, 3))
		cmd->flags |= XRNPE_CMD_TRANSPOSED;
	weight = cmd->flags ? (struct shape){ d->batch, d->k, 1, d->n } :
			      (struct shape){ d->batch, d->n, 1, d->k };
	tensor(source, cmd, &cmd->operand[IFM], take(source, XRNPE_PRODUCT_FORMATS),
	       (struct shape){ d->batch, d->m, 1, d->k });
	tensor(source, cmd, &cmd->operand[WEIGHT], weight_format(source, cmd), weight);
	tensor(source, cmd, &cmd->operand[OFM], take(source, XRNPE_OUTPUT_FORMATS), output_shape(cmd));
	output_stage(source, cmd);
}

/* CONV2D and MAXPOOL. */
static void make_window(struct source *source, struct xrnpe_cmd *cmd, uint32_t work)
{
	bool pool = cmd->opcode == XRNPE_OP_MAXPOOL, depthwise = !pool && one_in(source, 4);
	struct xrnpe_dims_image *d = &cmd->image;
	uint32_t elements = work, channels, format = take(source, XRNPE_PRODUCT_FORMATS);
	bool whole;

	channels = depthwise ? 1 : part(source, 300, &work);
	d->groups = (uint16_t)(depthwise ? part(source, 300, &work) :
			       pool || take(source, 2) ? 1 : part(source, 20, &work));
	d->kernel_h = (uint8_t)part(source, 5, &work);
	d->kernel_w = (uint8_t)part(source, 5, &work);
	d->stride_h = (uint8_t)(1 + take(source, 3));
	d->stride_w = (uint8_t)(1 + rarely_large(source, 3) % 255);
	d->dilation_h = (uint8_t)(1 + take(source, 3));
	d->dilation_w = (uint8_t)(1 + rarely_large(source, 3) % 255);
	d->pad_top = (uint8_t)rarely_large(source, 4);
	d->pad_left = (uint8_t)rarely_large(source, 4);
	d->in_c = (uint16_t)(d->groups * channels);
	elements /= d->in_c;
	d->in_h = (uint16_t)part(source, 20, &elements);
	d->in_w = (uint16_t)part(source, 30, &elements);
	/* One window that is all of the image? */
	whole = one_in(source, 8);
	if (whole) {
		d->in_h = d->kernel_h;
		d->in_w = d->kernel_w;
		d->pad_top = d->pad_left = 0;
	}
	if (pool || (depthwise && take(source, 3)))
		d->out_c = d->in_c;
	else
		d->out_c = (uint16_t)(d->groups * part(source, 70, &work));
	d->out_h = (uint16_t)(whole ? 1 : part(source, 16, &work));
	d->out_w = (uint16_t)(whole ? 1 : part(source, 16, &work));
	tensor(source, cmd, &cmd->operand[IFM], format, (struct shape){ 1, d->in_h, d->in_w, d->in_c });
	if (!pool)
		tensor(source, cmd, &cmd->operand[WEIGHT], weight_format(source, cmd),
		       (struct shape){ 1, d->out_c, (uint32_t)d->kernel_h * d->kernel_w, channels });
	tensor(source, cmd, &cmd->operand[OFM], pool ? format : take(source, XRNPE_OUTPUT_FORMATS),
	       output_shape(cmd));
	if (!pool)
		output_stage(source, cmd);
}

/* An image as it lies in memory. */
static struct shape ordered(uint8_t order, uint32_t h, uint32_t w, uint32_t c)
{
	switch (order) {
	case XRNPE_ORDER_HCW:
		return (struct shape){ 1, h, c, w };
	case XRNPE_ORDER_WHC:
		return (struct shape){ 1, w, h, c };
	case XRNPE_ORDER_WCH:
		return (struct shape){ 1, w, c, h };
	case XRNPE_ORDER_CHW:
		return (struct shape){ 1, c, h, w };
	case XRNPE_ORDER_CWH:
		return (struct shape){ 1, c, w, h };
	default:
		return (struct shape){ 1, h, w, c };
	}
}

static uint8_t make_order(struct source *source)
{
	return (uint8_t)(take(source, 2) ? take(source, XRNPE_ORDERS) : XRNPE_ORDER_HWC);
}

/* ADD, MUL, MAX, MIN, CONVERT and LUT. */
static void make_elementwise(struct source *source, struct xrnpe_cmd *cmd, uint32_t work)
{
	struct xrnpe_dims_image *d = &cmd->image;
	uint32_t out = take(source, XRNPE_OUTPUT_FORMATS), formats = XRNPE_PRODUCT_FORMATS;

	d->in_c = (uint16_t)part(source, 600, &work);
	d->in_w = (uint16_t)part(source, 30, &work);
	d->in_h = (uint16_t)part(source, 12, &work);
	if (cmd->opcode == XRNPE_OP_CONVERT) {
		cmd->order = make_order(source);
		formats = XRNPE_FORMATS;
	} else if (cmd->opcode == XRNPE_OP_LUT && take(source, 8)) {
		formats = XRNPE_FORMAT_P16;	/* whose tables are large */
	}
	tensor(source, cmd, &cmd->operand[IFM], take(source, formats),
	       ordered(cmd->order, d->in_h, d->in_w, d->in_c));
	if (is_pair(cmd)) {
		if (one_in(source, 4))
			cmd->flags |= XRNPE_CMD_PER_PIXEL;
		tensor(source, cmd, &cmd->operand[IFM2], take(source, XRNPE_PRODUCT_FORMATS),
		       (struct shape){ 1, d->in_h, d->in_w, cmd->flags ? 1 : d->in_c });
	}
	if (cmd->opcode == XRNPE_OP_LUT)
		cmd->operand[WEIGHT] = (struct xrnpe_operand){ .offset = take(source, 50) * 4,
							       .format = (uint8_t)out };
	tensor(source, cmd, &cmd->operand[OFM], out, output_shape(cmd));
	if (cmd->opcode != XRNPE_OP_LUT)
		output_stage(source, cmd);
}

static void make_copy(struct source *source, struct xrnpe_cmd *cmd, uint32_t work)
{
	struct xrnpe_dims_copy *d = &cmd->copy;
	uint32_t format = take(source, XRNPE_OUTPUT_FORMATS), elements = work;
	uint64_t fill = take(source, 1 << 16) | (uint64_t)take(source, 1 << 16) << 16;

	d->in_c = (uint16_t)part(source, 300, &work);
	d->in_w = (uint16_t)part(source, 20, &work);
	d->in_h = (uint16_t)part(source, 20, &work);
	d->up_h = (uint8_t)(1 + rarely_large(source, 3) % 255);
	d->up_w = (uint8_t)(1 + rarely_large(source, 3) % 255);
	d->pad_h = (uint16_t)rarely_large(source, 3);
	d->pad_w = (uint16_t)rarely_large(source, 3);
	d->pad_c = (uint16_t)rarely_large(source, 3);
	d->out_c = (uint16_t)part(source, d->in_c + 2 * d->pad_c, &elements);
	d->out_w = (uint16_t)part(source, d->in_w * d->up_w + 2 * d->pad_w, &elements);
	d->out_h = (uint16_t)part(source, d->in_h * d->up_h + 2 * d->pad_h, &elements);
	d->fill = (uint32_t)(fill & ((1ull << xrnpe_format_bits(format)) - 1));
	cmd->order = make_order(source);
	if (one_in(source, 3))
		cmd->flags |= XRNPE_CMD_SPREAD;
	tensor(source, cmd, &cmd->operand[IFM], format, ordered(cmd->order, d->in_h, d->in_w, d->in_c));
	tensor(source, cmd, &cmd->operand[OFM], format, output_shape(cmd));
}

void make_command(struct source *source, uint8_t opcode, uint32_t work, struct xrnpe_cmd *cmd)
{
	memset(cmd, 0, sizeof(*cmd));
	cmd->opcode = opcode;
	switch (opcode) {
	case XRNPE_OP_MATMUL:
		make_matmul(source, cmd, work);
		break;
	case XRNPE_OP_CONV2D:
	case XRNPE_OP_MAXPOOL:
		make_window(source, cmd, work);
		break;
	case XRNPE_OP_COPY:
		make_copy(source, cmd, work);
		break;
	case XRNPE_OP_TIMESTAMP:
		cmd->operand[OFM].offset = take(source, 20) * 8;
		break;
	case XRNPE_OP_BARRIER:
		break;
	default:
		make_elementwise(source, cmd, work);
	}
}

struct shape output_shape(const struct xrnpe_cmd *cmd)
{
	const struct xrnpe_dims_image *d = &cmd->image;

	switch (cmd->opcode) {
	case XRNPE_OP_MATMUL:
		return (struct shape){ cmd->matmul.batch, cmd->matmul.m, 1, cmd->matmul.n };
	case XRNPE_OP_CONV2D:
	case XRNPE_OP_MAXPOOL:
		return (struct shape){ 1, d->out_h, d->out_w, d->out_c };
	case XRNPE_OP_COPY:
		return (struct shape){ 1, cmd->copy.out_h, cmd->copy.out_w, cmd->copy.out_c };
	default:
		return (struct shape){ 1, d->in_h, d->in_w, d->in_c };
	}
}

/* ---- contents ---------------------------------------------------------- */

/* How an operand is filled. */
enum fill {
	FILL_UNIFORM,		/* any code but NaR */
	FILL_ANY,		/* any code */
	FILL_ONE_NAR,		/* uniform, but for one */
	FILL_MAXPOS,
	FILL_EXTREMES,		/* maxpos and minpos of either sign */
	FILL_RANGE,		/* magnitudes in a range, as trained networks have */
	FILLS,
};

struct filling {
	enum fill fill;
	uint32_t low, codes;	/* FILL_RANGE: positive codes from low on */
};

static uint32_t make_code(uint32_t format, const struct filling *filling, uint64_t *random)
{
	unsigned int bits = xrnpe_format_bits(format);
	uint32_t sign = 1u << (bits - 1), mask = sign | (sign - 1), word = random_word(random), code;

	if (format >= XRNPE_FORMAT_U8)
		return word & mask;
	switch (filling->fill) {
	case FILL_MAXPOS:
		return format == XRNPE_FORMAT_F32 ? 0x7f7fffff : sign - 1;
	case FILL_EXTREMES:
		code = !(word & 14) ? 1 : format == XRNPE_FORMAT_F32 ? 0x7f7fffff : sign - 1;
		break;
	case FILL_RANGE:
		code = filling->low + (word >> 1) % filling->codes;
		break;
	default:
		code = word & mask;
		return filling->fill != FILL_ANY && xrnpe_is_nar(format, code) ? 1 : code;
	}
	if (!(word & 1))
		return code;
	return format == XRNPE_FORMAT_FP4 || format == XRNPE_FORMAT_F32 ? code | sign : -code & mask;
}

/* A finite binary32, but for one in some thousands of @wild ones. */
static uint32_t make_scale(bool wild, uint64_t *random)
{
	uint32_t word = random_word(random), kind = random_word(random) % 8;

	if (!wild || kind > 3)
		return (word & 0x87ffffff) | 0x38000000;	/* 2^-15 .. 2 */
	if (kind == 3)
		return word & 0x80000000;
	if (kind == 2)
		return word & 0x807fffff;			/* subnormal */
	if ((word & 0x7f800000) == 0x7f800000 && random_word(random) % 32)
		return word ^ 0x40000000;
	return word;
}

void fill_operand(struct source *source, const struct xrnpe_cmd *cmd, unsigned int i, uint8_t *memory,
		  size_t size, uint64_t *random)
{
	uint32_t format = cmd->operand[i].format;
	size_t count = size * 8 / xrnpe_format_bits(format);
	uint32_t sign = 1u << (xrnpe_format_bits(format) - 1);
	struct filling filling = { .fill = (enum fill)take(source, FILLS) };
	bool wild = take(source, 2);

	filling.low = (uint32_t)((uint64_t)sign * take(source, 1024) >> 10);
	filling.codes = 1 + ((sign - 1 - filling.low) >> take(source, 8));
	for (size_t j = 0; j < count; j++)
		xrnpe_store(format, memory, j, i == SCALE ? make_scale(wild, random) :
						       make_code(format, &filling, random));
	if (i == SCALE && is_pair(cmd) && cmd->opcode != XRNPE_OP_MUL) {
		/* Without biases. */
		memset(memory + offsetof(struct xrnpe_scale, bias), 0, 4);
		memset(memory + cmd->operand[i].row_stride + offsetof(struct xrnpe_scale, bias), 0, 4);
	} else if (i != SCALE && filling.fill == FILL_ONE_NAR) {
		xrnpe_store(format, memory, random_word(random) % count,
			    format == XRNPE_FORMAT_F32 ? 0x7fc00000 : sign);
	}
}
