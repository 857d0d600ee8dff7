// SPDX-License-Identifier: MIT
/*
 * Placing: where and how each node runs. What the device can do runs there, as long as all
 * that the node reads can be brought into an order in memory that its command takes; the
 * rest runs on the CPU, with the reason kept.
 *
 * A tensor has one image, which is set by the first node on the device that writes or reads
 * it. For a reader that needs another a node is added that copies it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "copy.h"
#include "place.h"

/* What the command of a node can do besides. */
enum extra {
	MOVES,		/* nothing: its results are numbers that it reads */
	NOTHING,
	ACTIVATES,	/* and applies an activation */
	ADDS,		/* and adds a tensor before that */
};

/* Who places which operator. */
static const struct placer {
	const char *op;
	place_function *place;
	enum extra extra;
} placers[] = {
	{ "Conv", place_convolution, ADDS },
	{ "ConvTranspose", place_transposed_convolution, ADDS },
	{ "Gemm", place_gemm, ADDS },
	{ "MatMul", place_matmul, ADDS },
	{ "MaxPool", place_max_pool, NOTHING },
	{ "AveragePool", place_average_pool, ACTIVATES },
	{ "GlobalMaxPool", place_global, NOTHING },
	{ "GlobalAveragePool", place_global, ACTIVATES },
	{ "ReduceMax", place_reduction, NOTHING },
	{ "ReduceMean", place_reduction, ACTIVATES },
	{ "ReduceSum", place_reduction, ACTIVATES },
	{ "BatchNormalization", place_normalization, ACTIVATES },
	{ "Add", place_arithmetic, ACTIVATES },
	{ "Sub", place_arithmetic, ACTIVATES },
	{ "Mul", place_arithmetic, ACTIVATES },
	{ "Div", place_arithmetic, ACTIVATES },
	{ "Max", place_arithmetic, ACTIVATES },
	{ "Min", place_arithmetic, ACTIVATES },
	{ "PRelu", place_prelu, NOTHING },
	{ "Relu", place_activation, ACTIVATES },
	{ "LeakyRelu", place_activation, ACTIVATES },
	{ "Clip", place_activation, ACTIVATES },
	{ "HardSigmoid", place_hard_sigmoid, ACTIVATES },
	{ "Neg", place_negation, ACTIVATES },
	{ "Abs", place_absolute, ACTIVATES },
	{ "Pow", place_power, ACTIVATES },
	{ "Reshape", place_alias, MOVES },
	{ "Flatten", place_alias, MOVES },
	{ "Squeeze", place_alias, MOVES },
	{ "Unsqueeze", place_alias, MOVES },
	{ "Identity", place_alias, MOVES },
	{ "Transpose", place_transpose, MOVES },
	{ "Slice", place_slice, MOVES },
	{ "Split", place_split, MOVES },
	{ "Gather", place_gather, MOVES },
	{ "Tile", place_repeat, MOVES },
	{ "Expand", place_repeat, MOVES },
	{ "Concat", place_concat, MOVES },
	{ "Pad", place_pad, MOVES },
	{ "Resize", place_resize, NOTHING },
	{ "Upsample", place_resize, NOTHING },
	{ "DepthToSpace", place_depth_to_space, MOVES },
	{ "SpaceToDepth", place_space_to_depth, MOVES },
};

/*
 * Functions of one number, which become tables. Not those that jump (Floor): what rounding
 * their input changes is as large as their result.
 */
static const char *const functions[] = {
	"Sigmoid", "Tanh", "HardSwish", "Gelu", "Elu", "Softplus", "Exp", "Log",
	"Sqrt", "Reciprocal", "Erf", "Swish", "Function",
};

static const struct placer *find_placer(const char *op)
{
	static const struct placer table = { "", place_table, ACTIVATES };

	for (size_t i = 0; i < sizeof(placers) / sizeof(placers[0]); i++) {
		if (!strcmp(op, placers[i].op))
			return &placers[i];
	}
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		if (!strcmp(op, functions[i]))
			return &table;
	}
	return NULL;
}

bool place_is_alias(const char *op)
{
	const struct placer *placer = find_placer(op);

	return placer && placer->place == place_alias;
}

void place_free(struct place *place)
{
	free(place->factor);
	free(place->bias);
	free(place->slope);
	free(place->parts);
	free(place->pieces);
	free(place->weights.order);
	free(place->weights.fixed);
	*place = (struct place){ 0 };
}

/* ---- tensors ----------------------------------------------------------- */

const struct graph_tensor *place_input(const struct placing *p, uint32_t i)
{
	return graph_input(p->compiler->graph, p->node, i);
}

const struct graph_tensor *place_output(const struct placing *p)
{
	return graph_output(p->compiler->graph, p->node, 0);
}

const float *place_constant(const struct placing *p, uint32_t i)
{
	const struct graph_tensor *tensor = place_input(p, i);

	return tensor && tensor->type == GRAPH_FLOAT ? tensor->data : NULL;
}

const struct image *place_find_image(const struct compiler *compiler, uint32_t tensor)
{
	const struct tensor_plan *plan = &compiler->tensors[tensor];

	return plan->image.c ? &plan->image : &compiler->tensors[plan->same].image;
}

void place_set_image(struct compiler *compiler, uint32_t tensor, const struct image *image)
{
	struct tensor_plan *plan = &compiler->tensors[tensor];

	plan->image = *image;
	if (!compiler->tensors[plan->same].image.c)
		compiler->tensors[plan->same].image = *image;
}

bool place_is_image(const struct compiler *compiler, uint32_t tensor)
{
	static const char *const windows[] = {
		"Conv", "ConvTranspose", "MaxPool", "AveragePool", "BatchNormalization",
		"InstanceNormalization", "GroupNormalization", "PRelu",
	};
	const struct xrnpe_graph *graph = compiler->source;

	for (uint32_t n = 0; n < graph->node_count; n++) {
		for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
			if (graph->nodes[n].inputs[0] == tensor &&
			    !strcmp(graph->nodes[n].op->name, windows[i]))
				return true;
		}
	}
	return false;
}

bool place_memory(const struct placing *p, uint32_t i, struct image *image)
{
	*image = *place_find_image(p->compiler, p->node->inputs[i]);
	return image->c;
}

bool place_image(const struct placing *p, uint32_t i, struct image *image)
{
	const struct graph_shape *shape = &place_input(p, i)->shape;
	struct image first, last, memory;
	bool has_first = image_first(shape, &first), has_last = image_last(shape, &last);
	bool wide = false, known = place_memory(p, i, &memory);
	bool prefers_first = shape->rank > 3 || !has_last ||
			     (!known && place_is_image(p->compiler, p->node->inputs[i]));

	if (known && has_first && image_same(&memory, &first, &wide) && memory.first)
		*image = first;
	else if (known && has_last && image_same(&memory, &last, &wide))
		*image = last;
	else
		*image = has_first && prefers_first ? first : last;
	return has_first || has_last;
}

const char *place_unbounded(struct placing *p)
{
	p->unbounded = true;
	return "its constant has numbers that no format holds beside others";
}

bool place_floats(struct placing *p, float **values, size_t count, float value)
{
	*values = malloc((count ? count : 1) * sizeof(**values));
	p->no_memory |= !*values;
	for (size_t i = 0; *values && i < count; i++)
		(*values)[i] = value;
	return *values;
}

bool place_parts(struct placing *p, enum place_kind kind, uint32_t count)
{
	p->place->kind = kind;
	p->place->parts = calloc(count, sizeof(*p->place->parts));
	p->place->part_count = count;
	p->no_memory |= !p->place->parts;
	return p->place->parts;
}

void place_same(struct placing *p, uint32_t i, const struct image *image)
{
	struct compiler *compiler = p->compiler;

	p->place->kind = PLACE_PART;
	compiler->tensors[p->node->outputs[i]].same = compiler->tensors[p->node->inputs[0]].same;
	compiler->tensors[p->node->outputs[i]].image = *image;
}

/* ---- nodes ------------------------------------------------------------- */

static bool grow(void **array, size_t count, size_t size)
{
	void *larger = realloc(*array, (count + 1) * size);

	if (!larger)
		return false;
	memset((char *)larger + count * size, 0, size);
	*array = larger;
	return true;
}

int place_append(struct compiler *compiler, const struct graph_node *node, const struct place *place)
{
	uint32_t n = compiler->graph->node_count;
	struct graph_node taken = *node;

	if (!grow((void **)&compiler->nodes, n, sizeof(*compiler->nodes))) {
		graph_clear_node(&taken);
		return xrnpe_fail_memory(compiler->error);
	}
	compiler->nodes[n].layer = GRAPH_NONE;
	compiler->nodes[n].place = *place;
	return graph_add_node(compiler->graph, node, compiler->error);
}

uint32_t place_producer(const struct compiler *compiler, uint32_t tensor)
{
	const struct xrnpe_graph *graph = compiler->graph;

	for (uint32_t n = graph->node_count; n--;) {
		for (uint32_t k = 0; k < graph->nodes[n].output_count; k++) {
			if (graph->nodes[n].outputs[k] == tensor)
				return n;
		}
	}
	return GRAPH_NONE;
}

int place_new_tensor(struct compiler *compiler, uint32_t *made)
{
	uint32_t count = compiler->graph->tensor_count;

	/* The plan first, so that there is one for each tensor whatever fails. */
	if (!grow((void **)&compiler->tensors, count, sizeof(*compiler->tensors)))
		return xrnpe_fail_memory(compiler->error);
	compiler->tensors[count].same = count;
	return graph_add_tensor(compiler->graph, NULL, made, compiler->error);
}

/* Input @i of the node lies as @image; @exact: also divided into lines as there. */
static void bring(struct placing *p, uint32_t i, const struct image *image, bool exact)
{
	struct compiler *compiler = p->compiler;
	uint32_t tensor = p->node->inputs[i];
	const struct image *memory = place_find_image(compiler, tensor);
	bool wide = false;

	if (memory->c &&
	    (!image_same(memory, image, &wide) ||
	     (exact && (memory->h != image->h || memory->w != image->w || memory->c != image->c))))
		p->no_memory |= place_relayout(compiler, tensor, image, &tensor) != 0;
	if (p->no_memory)
		return;
	p->node->inputs[i] = tensor;
	/* It may be another name of a tensor, of which a third one told how it lies. */
	if (!compiler->tensors[tensor].image.c)
		place_set_image(compiler, tensor, image);
	wide = false;
	image_same(place_find_image(compiler, tensor), image, &wide);
	compiler->tensors[compiler->tensors[tensor].same].wide |= wide;
}

void place_exact(struct placing *p, uint32_t i, const struct image *image)
{
	bring(p, i, image, true);
}

void place_read(struct placing *p, uint32_t i, enum xrnpe_operand_index operand,
		const struct image *image)
{
	uint32_t tensor;

	bring(p, i, p->lies.c ? &p->lies : image, false);
	tensor = p->compiler->tensors[p->node->inputs[i]].same;
	if (p->lies.c)
		p->compiler->tensors[tensor].wide |= image->c % 2 || p->lies.c % 2;
	p->place->reads[p->place->read_count++] = (struct place_read){
		.tensor = p->node->inputs[i], .operand = operand, .image = *image, .factor = 1,
	};
}

void place_residual(struct placing *p, const struct image *image)
{
	if (!p->node->residual)
		return;
	p->place->cmd.flags |= XRNPE_CMD_RESIDUAL;
	place_read(p, GRAPH_RESIDUAL, XRNPE_OPERAND_IFM2, image);
}

void place_write(struct placing *p, uint32_t i, const struct image *image)
{
	place_set_image(p->compiler, p->node->outputs[i], image);
}

/* ---- one node ---------------------------------------------------------- */

/* Whether all that is computed, of what @node reads and writes, is floats. */
static bool is_of_floats(const struct xrnpe_graph *graph, const struct graph_node *node)
{
	for (uint32_t i = 0; i < node->input_count; i++) {
		const struct graph_tensor *tensor = graph_input(graph, node, i);

		if (tensor && !tensor->data && tensor->type != GRAPH_FLOAT)
			return false;
	}
	for (uint32_t i = 0; i < node->output_count; i++) {
		const struct graph_tensor *tensor = graph_output(graph, node, i);

		if (tensor && tensor->type != GRAPH_FLOAT)
			return false;
	}
	return true;
}

/* Whether a constant that kept a node before it on the CPU is in an input of the node. */
static bool reads_unbounded(const struct placing *p)
{
	for (uint32_t i = 0; i < p->node->input_count; i++) {
		if (place_input(p, i) && p->compiler->tensors[p->node->inputs[i]].unbounded)
			return true;
	}
	return false;
}

/*
 * Whether the device takes the commands, apart from where things lie: with operands of 8
 * bits, packed, in memory without end.
 */
static bool is_legal(const struct compiler *compiler, const struct node_plan *plan, uint32_t output)
{
	static const struct choice choice = { XRNPE_FORMAT_P8, XRNPE_FORMAT_P8 };
	static const struct xrnpe_extent everything = {
		UINT64_MAX / 2, XRNPE_REGION_READ | XRNPE_REGION_WRITE,
	};
	bool legal = true;

	for (uint32_t i = 0; plan->place.cmd.opcode && i < place_pieces(&plan->place); i++) {
		const struct place_piece piece = place_piece(&plan->place, i);
		struct xrnpe_cmd cmd = lower_packed(plan, &piece, &compiler->tensors[output].image,
						    choice);
		struct xrnpe_span spans[XRNPE_OPERANDS];
		struct xrnpe_fault fault;

		for (unsigned int k = 0; k < XRNPE_OPERANDS; k++)
			cmd.operand[k].region = 0;
		legal &= xrnpe_cmd_check(&cmd, 0, &everything, 1, spans, &fault);
	}
	return legal;
}

/* Place the node. Returns NULL, or why it cannot be on the device. */
static const char *place(struct placing *p)
{
	const struct graph_activation *activation = &p->node->activation;
	const struct placer *placer = find_placer(p->node->op->name);
	bool activates = activation->kind != XRNPE_ACT_NONE || activation->clamps;
	const char *why;

	if (!is_of_floats(p->compiler->graph, p->node))
		return "computes integers or truths";
	if (reads_unbounded(p)) {
		p->unbounded = placer && placer->extra == MOVES;
		return "its input has numbers that no format holds beside others";
	}
	if (!placer)
		return p->whole ? p->whole : "the device has no command for it";
	if (p->node->residual && placer->extra < ADDS)
		return "adds another tensor";
	if (activates && placer->extra < ACTIVATES)
		return "its activation needs another command";
	p->place->activation = *activation;
	why = activation->kind == XRNPE_ACT_PRELU ?
	      place_slopes(p, GRAPH_SLOPES, place_output(p)->shape.dims[1]) : NULL;
	if (why || p->no_memory)
		return why;
	why = placer->place(p);
	if (!why && !p->no_memory &&
	    !is_legal(p->compiler, &(struct node_plan){ .place = *p->place }, p->node->outputs[0]))
		why = PLACE_TOO_LARGE;
	if (!why && !p->no_memory && p->node->residual)
		place_unpadded(p);
	return why;
}

/* Put a node on the CPU, as it was in the source. */
static void place_on_cpu(struct placing *p, const struct graph_node *source, const char *why)
{
	struct compiler *compiler = p->compiler;
	struct graph_node *node = p->node;

	place_free(p->place);
	*p->place = (struct place){ .kind = PLACE_CPU, .why = why };
	memcpy(node->inputs, source->inputs, source->input_count * sizeof(*source->inputs));
	for (uint32_t i = 0; i < node->output_count; i++) {
		uint32_t output = node->outputs[i];

		if (output == GRAPH_NONE)
			continue;
		compiler->tensors[output].same = output;
		compiler->tensors[output].unbounded = p->unbounded;
	}
}

/* Append a copy of @source with its place. @whole: as split_node() says. */
static int add_node(struct compiler *compiler, const struct graph_node *source, const char *whole)
{
	struct graph_node node;
	struct place found = { 0 };
	struct placing p = { .compiler = compiler, .node = &node, .place = &found, .whole = whole };
	int ret = copy_node(&node, source, compiler->error);
	const char *why;

	if (ret)
		return ret;
	why = place(&p);
	if (why || p.no_memory)
		place_on_cpu(&p, source, why);
	if (p.no_memory) {
		graph_clear_node(&node);
		return xrnpe_fail_memory(compiler->error);
	}
	return place_append(compiler, &node, &found);
}

/* ---- the graph --------------------------------------------------------- */

static int copy_tensors(struct compiler *compiler)
{
	const struct xrnpe_graph *source = compiler->source;
	struct xrnpe_graph *graph = compiler->graph = copy_new(source);
	uint32_t tensor;
	int ret = graph ? 0 : xrnpe_fail_memory(compiler->error);

	if (ret)
		return ret;
	compiler->tensors = calloc(source->tensor_count + 1, sizeof(*compiler->tensors));
	graph->inputs = malloc((source->input_count + 1) * sizeof(*graph->inputs));
	graph->outputs = malloc((source->output_count + 1) * sizeof(*graph->outputs));
	if (!compiler->tensors || !graph->inputs || !graph->outputs)
		return xrnpe_fail_memory(compiler->error);
	memcpy(graph->inputs, source->inputs, source->input_count * sizeof(*graph->inputs));
	memcpy(graph->outputs, source->outputs, source->output_count * sizeof(*graph->outputs));
	graph->input_count = source->input_count;
	graph->output_count = source->output_count;
	for (uint32_t i = 0; !ret && i < source->tensor_count; i++) {
		compiler->tensors[i].same = i;
		ret = copy_tensor(graph, source, i, true, &tensor, compiler->error);
	}
	return ret;
}

/* Append node @n of the source, or what it is split into. */
static int add_nodes(struct compiler *compiler, uint32_t n)
{
	struct xrnpe_graph *graph = compiler->graph;
	uint32_t first = graph->node_count, count;
	struct graph_node *parts;
	const char *whole;
	int ret = split_node(compiler, n, &count, &whole);

	if (!count)
		return ret ? ret : add_node(compiler, &compiler->source->nodes[n], whole);
	/* They are taken out, and each is added with its place. */
	parts = malloc(count * sizeof(*parts));
	if (parts)
		memcpy(parts, graph->nodes + first, count * sizeof(*parts));
	else
		ret = xrnpe_fail_memory(compiler->error);
	for (uint32_t i = 0; !parts && i < count; i++)
		graph_clear_node(&graph->nodes[first + i]);
	graph->node_count = first;
	for (uint32_t i = 0; parts && i < count; i++) {
		ret = ret ? ret : add_node(compiler, &parts[i], NULL);
		graph_clear_node(&parts[i]);
	}
	free(parts);
	return ret;
}

/* What programs give as bytes lies as the image that it is. */
static int place_bytes(struct compiler *compiler)
{
	const struct xrnpe_graph *source = compiler->source;
	char name[64];

	for (uint32_t i = 0; i < source->input_count; i++) {
		const struct graph_bytes *bytes = bytes_input(source, i);

		if (!bytes)
			continue;
		if (bytes->height > UINT16_MAX || bytes->width > UINT16_MAX || bytes->channels > UINT16_MAX)
			return xrnpe_fail(compiler->error, -ENOTSUP, "%s: input %s: " PLACE_TOO_LARGE,
					  source->name, graph_printable(source->infos[i].name, name));
		place_set_image(compiler, source->inputs[i], &(struct image){
			bytes->height, bytes->width, bytes->channels, bytes->first,
		});
	}
	return 0;
}

int place_nodes(struct compiler *compiler)
{
	const struct xrnpe_graph *source = compiler->source;
	int ret = copy_tensors(compiler);

	if (!ret)
		ret = place_bytes(compiler);
	for (uint32_t n = 0; !ret && n < source->node_count; n++)
		ret = add_nodes(compiler, n);
	return ret ? ret : order_nodes(compiler);
}
