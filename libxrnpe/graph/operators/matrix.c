// SPDX-License-Identifier: MIT
/* Products of matrices. */
#include "families.h"
#include "multiply.h"
#include "vectors.h"

/* out[m][n] of one product: a[m][k] and b[k][n], elements of both at any strides. */
struct product {
	size_t m, n, k;
	size_t a_row, a_step;
	size_t b_row, b_step;
};

/* Columns of @b that are multiplied with some rows of @a before others are. */
#define CHUNK (16 * MULTIPLY_COLUMNS)

/*
 * Scratch: where lines of columns begin, a panel of @b and rows of @a where they cannot be
 * read from where they are.
 */
static size_t product_scratch(const struct product *p)
{
	size_t rows = p->a_step == 1 ? 0 : MULTIPLY_ROWS;

	return p->k * (sizeof(size_t) + (MULTIPLY_COLUMNS + rows) * sizeof(float));
}

static void gather_panel(const struct product *p, const float *b, size_t first, size_t count,
			 float *panel)
{
	for (size_t i = 0; i < p->k; i++) {
		for (size_t c = 0; c < MULTIPLY_COLUMNS; c++)
			panel[i * MULTIPLY_COLUMNS + c] =
				c < count ? b[i * p->b_row + (first + c) * p->b_step] : 0;
	}
}

/* All rows times @columns columns, which are @taps->in, of which @count are from @first on. */
static void multiply_columns(const struct product *p, const float *a, struct multiply_taps taps,
			     size_t columns, size_t first, size_t count, float *rows, float *out)
{
	for (size_t m = 0; m < p->m; m += MULTIPLY_ROWS) {
		unsigned int some = p->m - m < MULTIPLY_ROWS ? (unsigned int)(p->m - m) : MULTIPLY_ROWS;
		float sums[MULTIPLY_ROWS * CHUNK];

		taps.weight = a + m * p->a_row;
		taps.stride = p->a_row;
		if (p->a_step != 1) {
			for (size_t i = 0; i < some * p->k; i++)
				rows[i] = taps.weight[i / p->k * p->a_row + i % p->k * p->a_step];
			taps.weight = rows;
			taps.stride = p->k;
		}
		multiply(&taps, some, columns, sums, CHUNK);
		for (unsigned int r = 0; r < some; r++)
			memcpy(out + (m + r) * p->n + first, sums + r * CHUNK, count * sizeof(*out));
	}
}

static void multiply_matrices(const struct product *p, const float *a, const float *b, float *out,
			      void *scratch)
{
	bool in_place = p->b_step == 1 && p->n >= MULTIPLY_COLUMNS;
	size_t *offset = scratch, count;
	float *panel = (float *)(offset + p->k), *rows = panel + p->k * MULTIPLY_COLUMNS;
	struct multiply_taps taps = { .in = panel, .taps = p->k, .offset = offset };

	for (size_t i = 0; i < p->k; i++)
		offset[i] = i * (in_place ? p->b_row : MULTIPLY_COLUMNS);
	for (size_t first = 0; first < p->n; first += count) {
		size_t most = in_place ? CHUNK : MULTIPLY_COLUMNS, columns = MULTIPLY_COLUMNS;

		count = p->n - first < most ? p->n - first : most;
		if (!in_place) {
			gather_panel(p, b, first, count, panel);
		} else if (count < MULTIPLY_COLUMNS) {
			/* The last columns again, with some before. */
			first = p->n - MULTIPLY_COLUMNS;
			count = MULTIPLY_COLUMNS;
		} else {
			count = columns = count / MULTIPLY_COLUMNS * MULTIPLY_COLUMNS;
		}
		taps.in = in_place ? b + first : panel;
		multiply_columns(p, a, taps, columns, first, count, rows, out);
	}
}

/* ---- Gemm -------------------------------------------------------------- */

/* The product, of matrices that may be transposed; false: they do not fit. */
static bool gemm_product(const struct graph_node *node, const struct graph_shape *a,
			 const struct graph_shape *b, struct product *p)
{
	bool trans_a = node->params.gemm.trans_a, trans_b = node->params.gemm.trans_b;

	*p = (struct product){
		.m = a->dims[trans_a], .k = a->dims[!trans_a], .n = b->dims[!trans_b],
		.a_row = trans_a ? 1 : a->dims[1], .a_step = trans_a ? a->dims[1] : 1,
		.b_row = trans_b ? 1 : b->dims[1], .b_step = trans_b ? b->dims[1] : 1,
	};
	return b->dims[trans_b] == p->k;
}

static int infer_gemm(const struct op *op)
{
	const struct graph_tensor *a, *b, *c = op_input(op, 2);
	struct graph_shape out, broadcast;
	struct product product;
	char text[2][GRAPH_SHAPE_TEXT];
	int ret = op_check_input(op, 0, GRAPH_FLOAT, "input");

	if (!ret)
		ret = op_check_input(op, 1, GRAPH_FLOAT, "weight");
	if (!ret && c)
		ret = op_check_input(op, 2, GRAPH_FLOAT, "bias");
	if (!ret)
		ret = op_float(op, "alpha", 1, &op->node->params.gemm.alpha);
	if (!ret)
		ret = op_float(op, "beta", 1, &op->node->params.gemm.beta);
	if (!ret)
		ret = op_bool(op, "transA", false, &op->node->params.gemm.trans_a);
	if (!ret)
		ret = op_bool(op, "transB", false, &op->node->params.gemm.trans_b);
	if (ret)
		return ret;
	a = op_input(op, 0);
	b = op_input(op, 1);
	if (a->shape.rank != 2 || b->shape.rank != 2 ||
	    !gemm_product(op->node, &a->shape, &b->shape, &product))
		return op_fail(op, -EINVAL, "matrices of %s and %s do not fit",
			       graph_shape_text(&a->shape, text[0]),
			       graph_shape_text(&b->shape, text[1]));
	out = (struct graph_shape){ 2, { (uint32_t)product.m, (uint32_t)product.n } };
	if (c && (!op_broadcast(&c->shape, &out, &broadcast) || !graph_shape_equal(&broadcast, &out)))
		return op_fail(op, -EINVAL, "bias of %s does not fit the result of %s",
			       graph_shape_text(&c->shape, text[0]), graph_shape_text(&out, text[1]));
	op->node->scratch = product_scratch(&product);
	return op_output(op, 0, GRAPH_FLOAT, &out);
}

static void compute_gemm(const struct op_call *call)
{
	float alpha = call->node->params.gemm.alpha, beta = call->node->params.gemm.beta;
	const struct graph_shape *shape = &call_output(call, 0)->shape;
	size_t strides[GRAPH_MAX_RANK] = { 0 };
	const float *c = call_in(call, 2);
	float *out = call_out(call, 0);
	struct product product;

	gemm_product(call->node, &call_input(call, 0)->shape, &call_input(call, 1)->shape, &product);
	multiply_matrices(&product, call_in(call, 0), call_in(call, 1), out, call->scratch);
	if (c)
		call_strides(&call_input(call, 2)->shape, shape, strides);
	for (size_t m = 0; m < product.m; m++) {
		for (size_t n = 0; n < product.n; n++, out++) {
			if (alpha != 1)
				*out *= alpha;
			if (c)
				*out += beta * c[m * strides[0] + n * strides[1]];
		}
	}
}

static uint64_t gemm_macs(const struct xrnpe_graph *graph, const struct graph_node *node)
{
	const struct graph_shape *a = &graph_input(graph, node, 0)->shape;

	return graph_count(&graph_output(graph, node, 0)->shape) *
	       a->dims[!node->params.gemm.trans_a];
}

/* ---- MatMul ------------------------------------------------------------ */

/* The last two dimensions and those before; a vector is a row on the left, a column else. */
static void split_shape(const struct graph_shape *shape, bool left, struct graph_shape *batch,
			size_t *rows, size_t *cols)
{
	uint32_t last = shape->dims[shape->rank - 1];

	*batch = *shape;
	batch->rank = shape->rank > 2 ? shape->rank - 2 : 0;
	*rows = shape->rank > 1 ? shape->dims[shape->rank - 2] : left ? 1 : last;
	*cols = shape->rank > 1 || left ? last : 1;
}

static struct product matmul_product(const struct graph_shape *a, const struct graph_shape *b,
				     struct graph_shape batch[2])
{
	struct product p = { .a_step = 1, .b_step = 1 };
	size_t inner;

	split_shape(a, true, &batch[0], &p.m, &p.k);
	split_shape(b, false, &batch[1], &inner, &p.n);
	p.a_row = p.k;
	p.b_row = p.n;
	/* What does not fit has a k that no matrix has. */
	if (inner != p.k)
		p.k = SIZE_MAX;
	return p;
}

static int infer_matmul(const struct op *op)
{
	const struct graph_shape *a, *b;
	struct graph_shape batch[2], out;
	struct product product;
	char text[2][GRAPH_SHAPE_TEXT];
	int ret = op_check_input(op, 0, GRAPH_FLOAT, "left side");

	if (!ret)
		ret = op_check_input(op, 1, GRAPH_FLOAT, "right side");
	if (ret)
		return ret;
	a = &op_input(op, 0)->shape;
	b = &op_input(op, 1)->shape;
	if (!a->rank || !b->rank)
		return op_fail(op, -EINVAL, "a scalar is no matrix");
	product = matmul_product(a, b, batch);
	if (product.k == SIZE_MAX || !op_broadcast(&batch[0], &batch[1], &out))
		return op_fail(op, -EINVAL, "matrices of %s and %s do not fit",
			       graph_shape_text(a, text[0]), graph_shape_text(b, text[1]));
	if (a->rank > 1)
		out.dims[out.rank++] = (uint32_t)product.m;
	if (b->rank > 1)
		out.dims[out.rank++] = (uint32_t)product.n;
	op->node->scratch = product_scratch(&product);
	return op_output(op, 0, GRAPH_FLOAT, &out);
}

/* What a constant Add behind a product adds to each of its rows. */
VECTORS
static void add_offsets(float *rows, size_t count, const float *offsets, size_t n)
{
	for (size_t i = 0; i < count; i++, rows += n) {
		for (size_t k = 0; k < n; k++)
			rows[k] += offsets[k];
	}
}

static void compute_matmul(const struct op_call *call)
{
	const struct graph_shape *a = &call_input(call, 0)->shape, *b = &call_input(call, 1)->shape;
	struct graph_shape batch[2], all;
	const struct product p = matmul_product(a, b, batch);
	size_t strides[2][GRAPH_MAX_RANK];
	float *out = call_out(call, 0);

	op_broadcast(&batch[0], &batch[1], &all);
	call_strides(&batch[0], &all, strides[0]);
	call_strides(&batch[1], &all, strides[1]);
	for (size_t i = 0, count = graph_count(&all); i < count; i++, out += p.m * p.n) {
		size_t at[2] = { 0 }, rest = i;

		for (uint32_t axis = all.rank; axis--; rest /= all.dims[axis]) {
			at[0] += rest % all.dims[axis] * strides[0][axis];
			at[1] += rest % all.dims[axis] * strides[1][axis];
		}
		multiply_matrices(&p, (const float *)call_in(call, 0) + at[0] * p.m * p.k,
				  (const float *)call_in(call, 1) + at[1] * p.k * p.n, out, call->scratch);
		if (call_in(call, GRAPH_OFFSETS))
			add_offsets(out, p.m, call_in(call, GRAPH_OFFSETS), p.n);
	}
}

static uint64_t matmul_macs(const struct xrnpe_graph *graph, const struct graph_node *node)
{
	const struct graph_shape *a = &graph_input(graph, node, 0)->shape;

	return graph_count(&graph_output(graph, node, 0)->shape) * a->dims[a->rank - 1];
}

const struct operator operators_matrix[] = {
	{ "Einsum", 1, 2, 1, "equation", .infer = infer_einsum },
	{ "Gemm", 2, 3, 1, "alpha beta transA transB", .infer = infer_gemm, .compute = compute_gemm,
	  .macs = gemm_macs },
	{ "MatMul", 2, 2, 1, "", .infer = infer_matmul, .compute = compute_matmul, .macs = matmul_macs },
	{ 0 },
};
