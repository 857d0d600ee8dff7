// SPDX-License-Identifier: MIT
/*
 * Einsum of one or two tensors, as the nodes that it stands for: of axes with one letter the diagonal
 * is taken, what only one tensor has and the result lacks is summed, axes are brought into order, and
 * what both have is multiplied by MatMul.
 */
#include <ctype.h>

#include "build.h"
#include "families.h"
#include "parts.h"

/* A tensor and the letters of its axes. */
struct term {
	char letters[GRAPH_MAX_RANK + 1];
	uint32_t tensor;
};

struct einsum {
	const struct op *op;
	struct term in[2], out;
	uint32_t count;			/* of inputs */
	uint32_t size[UINT8_MAX + 1];	/* by letter */
	uint32_t ellipsis;		/* axes of the longest */
	int ret;
};

/* ---- the equation ------------------------------------------------------ */

/* Axes of an ellipsis are digits, 0 the last of them, so that those of all tensors are the same. */
static bool is_of_ellipsis(char letter)
{
	return letter >= '0' && letter < '0' + GRAPH_MAX_RANK;
}

static int add_letter(struct einsum *e, struct term *term, char letter)
{
	size_t rank = strlen(term->letters);

	if (term == &e->out && strchr(term->letters, letter))
		return op_fail(e->op, -EINVAL, "its result has axis %c twice", letter);
	if (rank == GRAPH_MAX_RANK)
		return op_fail(e->op, -ENOTSUP, "its equation has more than %d axes", GRAPH_MAX_RANK);
	term->letters[rank] = letter;
	return 0;
}

/* Add the axes of an ellipsis, which letters from @behind on follow. */
static int add_ellipsis(struct einsum *e, struct term *term, const char *behind)
{
	uint32_t letters = (uint32_t)strlen(term->letters), axes = e->ellipsis;
	int ret = 0;

	for (; *behind && *behind != ',' && *behind != '-'; behind++) {
		if (*behind == '.')
			return op_fail(e->op, -EINVAL, "its equation has a dot too many");
		letters += *behind != ' ';
	}
	if (term != &e->out) {
		uint32_t rank = op_input(e->op, (uint32_t)(term - e->in))->shape.rank;

		axes = rank > letters ? rank - letters : 0;
		e->ellipsis = axes > e->ellipsis ? axes : e->ellipsis;
	}
	while (!ret && axes--)
		ret = add_letter(e, term, (char)('0' + axes));
	return ret;
}

/* How often @letter is in both inputs together. */
static uint32_t count_letter(const struct einsum *e, char letter)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < e->count; i++) {
		for (const char *c = e->in[i].letters; *c; c++)
			count += *c == letter;
	}
	return count;
}

/*
 * Without an arrow the result has what is there once, in the order of the alphabet, and what
 * ellipses stand for before.
 */
static int find_implied(struct einsum *e)
{
	int ret = add_ellipsis(e, &e->out, "");

	for (char c = 'A'; !ret && c <= 'z'; c++) {
		if (isalpha((unsigned char)c) && count_letter(e, c) == 1)
			ret = add_letter(e, &e->out, c);
	}
	return ret;
}

static int parse(struct einsum *e, const char *text)
{
	struct term *term = &e->in[0];
	int ret = 0;

	for (; !ret && *text; text++) {
		if (*text == ' ')
			continue;
		if (*text == ',' && term == &e->in[0] && e->count == 2)
			term = &e->in[1];
		else if (text[0] == '-' && text[1] == '>' && term != &e->out && ++text)
			term = &e->out;
		else if (!strncmp(text, "...", 3) && (text += 2))
			ret = add_ellipsis(e, term, text + 1);
		else if (isalpha((unsigned char)*text))
			ret = add_letter(e, term, *text);
		else
			ret = op_fail(e->op, -EINVAL, "its equation has a %s", *text == ',' ? "comma too many" :
				      "character that is no letter");
	}
	return ret || term == &e->out ? ret : find_implied(e);
}

/* Sizes of axes, which are the same wherever a letter stands. */
static int find_sizes(struct einsum *e)
{
	for (uint32_t i = 0; i < e->count; i++) {
		const struct graph_shape *shape = &op_input(e->op, i)->shape;
		const char *letters = e->in[i].letters;

		if (strlen(letters) != shape->rank)
			return op_fail(e->op, -EINVAL, "its equation has %zu axes for input %u of rank %u",
				       strlen(letters), i, shape->rank);
		for (uint32_t k = 0; k < shape->rank; k++) {
			uint32_t *size = &e->size[(unsigned char)letters[k]];

			if (!shape->dims[k])
				return op_fail(e->op, -ENOTSUP, "axis %u of input %u, %.*s in its equation, has no "
					       "elements, and sums of none are not computed", k, i,
					       is_of_ellipsis(letters[k]) ? 3 : 1,
					       is_of_ellipsis(letters[k]) ? "..." : &letters[k]);
			if (*size && *size != shape->dims[k] && is_of_ellipsis(letters[k]))
				return op_fail(e->op, -ENOTSUP, "its ellipsis repeats an axis of %u elements as %u",
					       *size, shape->dims[k]);
			if (*size && *size != shape->dims[k])
				return op_fail(e->op, -EINVAL, "axis %c has %u elements and %u", letters[k],
					       *size, shape->dims[k]);
			*size = shape->dims[k];
		}
	}
	for (const char *c = e->out.letters; *c; c++) {
		if (!e->size[(unsigned char)*c])
			return op_fail(e->op, -EINVAL, "its result has axis %c, which no input has", *c);
	}
	return 0;
}

/* ---- nodes ------------------------------------------------------------- */

/* Axes @first and @second, which have one letter, become one behind all others: their diagonal. */
static void take_diagonal(struct einsum *e, struct term *term, uint32_t first, uint32_t second)
{
	int64_t size = e->size[(unsigned char)term->letters[first]];
	int64_t dims[GRAPH_MAX_RANK], perm[GRAPH_MAX_RANK];
	char kept[GRAPH_MAX_RANK + 1] = "";
	uint32_t rank = 0, tensor;

	for (uint32_t i = 0; term->letters[i]; i++) {
		if (i == first || i == second)
			continue;
		kept[rank] = term->letters[i];
		dims[rank] = e->size[(unsigned char)term->letters[i]];
		perm[rank++] = i;
	}
	kept[rank] = term->letters[first];
	dims[rank] = size * size;
	perm[rank] = first;
	perm[rank + 1] = second;
	tensor = part_ints(e->op, &e->ret, "Transpose", "perm", GRAPH_ATTRIBUTE_INTS, rank + 2, perm,
			   term->tensor);
	tensor = part_reshape(e->op, &e->ret, tensor, rank + 1, dims);
	term->tensor = part(e->op, &e->ret, "Slice", NULL, 5, tensor,
			    part_list(e->op, &e->ret, 1, (const int64_t[]){ 0 }),
			    part_list(e->op, &e->ret, 1, &dims[rank]),
			    part_list(e->op, &e->ret, 1, (const int64_t[]){ rank }),
			    part_list(e->op, &e->ret, 1, (const int64_t[]){ size + 1 }));
	memcpy(term->letters, kept, sizeof(kept));
}

static void take_diagonals(struct einsum *e, struct term *term)
{
	for (uint32_t i = 0; term->letters[i];) {
		const char *again = strchr(term->letters + i + 1, term->letters[i]);

		if (again)
			take_diagonal(e, term, i, (uint32_t)(again - term->letters));
		else
			i++;
	}
}

/* Sum what nothing else has. */
static void sum_alone(struct einsum *e, struct term *term, const struct term *other)
{
	char kept[GRAPH_MAX_RANK + 1] = "";
	int64_t axes[GRAPH_MAX_RANK];
	uint32_t count = 0;

	for (uint32_t i = 0; term->letters[i]; i++) {
		if (strchr(e->out.letters, term->letters[i]) || strchr(other->letters, term->letters[i]))
			kept[strlen(kept)] = term->letters[i];
		else
			axes[count++] = i;
	}
	if (!count)
		return;
	/* Axes of one element stay, and go with a change of shape. */
	term->tensor = part_ints(e->op, &e->ret, "ReduceSum", "axes", GRAPH_ATTRIBUTE_INTS, count, axes,
				 term->tensor);
	memcpy(term->letters, kept, sizeof(kept));
}

/* Elements of the axes in @letters. */
static int64_t count_of(const struct einsum *e, const char *letters)
{
	int64_t count = 1;

	for (; *letters; letters++)
		count *= e->size[(unsigned char)*letters];
	return count;
}

/* @term with the axes of @order, as a tensor of those sizes. */
static uint32_t arrange(struct einsum *e, const struct term *term, const char *order)
{
	int64_t dims[GRAPH_MAX_RANK] = { 0 }, perm[GRAPH_MAX_RANK];
	uint32_t rank = (uint32_t)strlen(order), tensor;

	for (uint32_t i = 0; i < rank; i++) {
		dims[i] = e->size[(unsigned char)term->letters[i]];
		perm[i] = strchr(term->letters, order[i]) - term->letters;
	}
	tensor = part_reshape(e->op, &e->ret, term->tensor, rank, dims);
	return rank ? part_ints(e->op, &e->ret, "Transpose", "perm", GRAPH_ATTRIBUTE_INTS, rank, perm,
				tensor) : tensor;
}

/* Letters of @from that are in all of @in and in none of @lack. */
static void pick(const char *from, const char *in, const char *lack, char *picked)
{
	for (; *from; from++) {
		if (strchr(in, *from) && !strchr(lack, *from))
			*picked++ = *from;
	}
	*picked = 0;
}

/* The product of both, as a term: axes of both and of the result, of the first, of the second. */
static struct term multiply(struct einsum *e)
{
	const char *a = e->in[0].letters, *b = e->in[1].letters, *out = e->out.letters;
	char both[GRAPH_MAX_RANK + 1], first[GRAPH_MAX_RANK + 1], second[GRAPH_MAX_RANK + 1];
	char summed[GRAPH_MAX_RANK + 1], order[2][2 * GRAPH_MAX_RANK + 1];
	struct term product = { 0 };
	uint32_t x, y;

	pick(out, a, b, first);
	pick(out, b, a, second);
	pick(a, b, out, summed);
	pick(out, a, first, both);
	strcat(strcat(strcpy(order[0], both), first), summed);
	strcat(strcat(strcpy(order[1], both), summed), second);
	x = part_reshape(e->op, &e->ret, arrange(e, &e->in[0], order[0]), 3, (const int64_t[]){
		count_of(e, both), count_of(e, first), count_of(e, summed) });
	y = part_reshape(e->op, &e->ret, arrange(e, &e->in[1], order[1]), 3, (const int64_t[]){
		count_of(e, both), count_of(e, summed), count_of(e, second) });
	product.tensor = part(e->op, &e->ret, "MatMul", NULL, 2, x, y);
	strcat(strcat(strcpy(product.letters, both), first), second);
	return product;
}

int infer_einsum(const struct op *op)
{
	const struct graph_attribute *equation = op_attribute(op, "equation");
	struct einsum e = { .op = op, .count = op->node->input_count };
	struct term product;
	uint32_t made;

	for (uint32_t i = 0; i < e.count; i++) {
		e.in[i].tensor = op->node->inputs[i];
		e.ret = e.ret ? e.ret : op_check_input(op, i, GRAPH_FLOAT, "input");
	}
	if (!e.ret && (!equation || equation->kind != GRAPH_ATTRIBUTE_STRING))
		e.ret = op_fail(op, -EINVAL, "attribute equation is missing");
	if (!e.ret)
		e.ret = parse(&e, equation->string);
	if (!e.ret)
		e.ret = find_sizes(&e);
	if (e.ret)
		return e.ret;
	for (uint32_t i = 0; i < e.count; i++)
		take_diagonals(&e, &e.in[i]);
	for (uint32_t i = 0; i < e.count; i++)
		sum_alone(&e, &e.in[i], &e.in[!i]);
	product = e.count == 2 ? multiply(&e) : e.in[0];
	made = arrange(&e, &product, e.out.letters);
	return e.ret ? e.ret : build_part(op->graph, op->node->name, "Identity", 1, &made,
					  op->node->outputs[0], NULL, 0, op->error);
}
