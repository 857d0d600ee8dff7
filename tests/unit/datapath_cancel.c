// SPDX-License-Identifier: MIT
/*
 * Commands that take long look often whether they are given up, by every kernel of this
 * CPU; they end when they are; and none takes more scratch memory than is promised.
 *
 * xrnpe_cancelled() is this file's, in the place of the library's: it counts, and says yes
 * from the look on that a test chooses. The datapath is compiled so that it calls this file
 * in every basic block, which are counted, too. So the verdict is about work, not about
 * time, and the same whatever else the machine does. `datapath_cancel --times` prints, for
 * a developer, the longest way between two looks, in blocks and by the clock.
 */
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/kernel.h"
#include "unit/datapath_tests.h"
#include "unit/run_suite.h"

#define SCRATCH_MOST (24u << 20)	/* for each thread, see datapath.h */

/* Blocks from one look to the next, some 0.3 ms. Those of the plain kernel are short ones. */
#define MOST_BLOCKS (1u << 18)
#define MOST_BLOCKS_PLAIN (1u << 20)
#define TURNS 5			/* whose shortest time counts */
#define MOST_LOOKS (1u << 17)	/* that are timed */

static atomic_ulong looks, give_up_at = ULONG_MAX;
static _Thread_local uint64_t blocks, last_block, longest;
static bool verbose, timed;
static double last_time, shortest[MOST_LOOKS];	/* by look, of all turns */

void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void)
{
	blocks++;
}

/* Of this thread: other processes count little. */
static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* A look, or the end of a command. */
static void note(unsigned long look)
{
	if (blocks - last_block > longest)
		longest = blocks - last_block;
	last_block = blocks;
	if (timed && look < MOST_LOOKS) {
		double time = now();

		if (!shortest[look] || time - last_time < shortest[look])
			shortest[look] = time - last_time;
		last_time = time;
	}
}

bool xrnpe_cancelled(const volatile bool *cancel)
{
	unsigned long look = atomic_fetch_add(&looks, 1);

	(void)cancel;
	note(look);
	return look >= give_up_at;
}

/* ---- commands ---------------------------------------------------------- */

struct long_command {
	const char *name;
	struct xrnpe_cmd cmd;
};

#define ONE_BY_ONE .stride_h = 1, .stride_w = 1, .dilation_h = 1, .dilation_w = 1

static const struct long_command commands[] = {
	{ "MAXPOOL of a large window", {
		.opcode = XRNPE_OP_MAXPOOL, .image = {
			.in_h = 255, .in_w = 255, .in_c = 128, .out_h = 1, .out_w = 1, .out_c = 128,
			.groups = 1, .kernel_h = 255, .kernel_w = 255, ONE_BY_ONE } } },
	{ "MAXPOOL of many channels", {
		.opcode = XRNPE_OP_MAXPOOL, .image = {
			.in_h = 1, .in_w = 255, .in_c = 65535, .out_h = 1, .out_w = 1, .out_c = 65535,
			.groups = 1, .kernel_h = 1, .kernel_w = 255, ONE_BY_ONE } } },
	{ "MATMUL, weights of long sums", {
		.opcode = XRNPE_OP_MATMUL, .matmul = { .m = 16, .n = 64, .k = XRNPE_MAX_K, .batch = 1 } } },
	{ "MATMUL, inputs of long sums", {
		.opcode = XRNPE_OP_MATMUL, .matmul = { .m = 64, .n = 2, .k = XRNPE_MAX_K, .batch = 1 } } },
	{ "MATMUL, one position", {
		.opcode = XRNPE_OP_MATMUL, .matmul = { .m = 1, .n = 256, .k = XRNPE_MAX_K, .batch = 1 } } },
	{ "MATMUL, many channels", {
		.opcode = XRNPE_OP_MATMUL, .matmul = { .m = 13, .n = 1 << 16, .k = 1, .batch = 1 } } },
	{ "CONV2D of a large window", {
		.opcode = XRNPE_OP_CONV2D, .image = {
			.in_h = 258, .in_w = 131, .in_c = 1, .out_h = 4, .out_w = 4, .out_c = 64,
			.groups = 1, .kernel_h = 255, .kernel_w = 128, ONE_BY_ONE } } },
	{ "CONV2D of an image that is too large for lines", {
		.opcode = XRNPE_OP_CONV2D, .image = {
			.in_h = 500, .in_w = 500, .in_c = 1, .out_h = 4, .out_w = 4, .out_c = 8, .groups = 1,
			.kernel_h = 255, .kernel_w = 128, .stride_h = 1, .stride_w = 1,
			.dilation_h = 255, .dilation_w = 255, .pad_top = 255, .pad_left = 255 } } },
	{ "CONV2D of small windows, many channels", {
		.opcode = XRNPE_OP_CONV2D, .image = {
			.in_h = 12, .in_w = 16, .in_c = 448, .out_h = 12, .out_w = 16, .out_c = 32, .groups = 1,
			.kernel_h = 3, .kernel_w = 3, ONE_BY_ONE, .pad_top = 1, .pad_left = 1 } } },
	{ "CONV2D, depthwise", {
		.opcode = XRNPE_OP_CONV2D, .image = {
			.in_h = 64, .in_w = 64, .in_c = 64, .out_h = 1, .out_w = 33, .out_c = 64,
			.groups = 64, .kernel_h = 64, .kernel_w = 32, ONE_BY_ONE } } },
	{ "CONV2D, depthwise, of a large window", {
		.opcode = XRNPE_OP_CONV2D, .image = {
			.in_h = 255, .in_w = 143, .in_c = 8, .out_h = 1, .out_w = 16, .out_c = 8,
			.groups = 8, .kernel_h = 255, .kernel_w = 128, ONE_BY_ONE } } },
	{ "MATMUL of columns", {
		.opcode = XRNPE_OP_MATMUL, .flags = XRNPE_CMD_TRANSPOSED,
		.matmul = { .m = 16, .n = 64, .k = XRNPE_MAX_K, .batch = 1 } } },
	{ "LUT", {
		.opcode = XRNPE_OP_LUT, .image = { .in_h = 16, .in_w = 64, .in_c = 1024 } } },
	{ "COPY", {
		.opcode = XRNPE_OP_COPY, .copy = {
			.in_h = 16, .in_w = 64, .in_c = 1024, .out_h = 16, .out_w = 64, .out_c = 1024,
			.up_h = 1, .up_w = 1 } } },
	{ "COPY of planes", {
		.opcode = XRNPE_OP_COPY, .order = XRNPE_ORDER_CHW, .copy = {
			.in_h = 16, .in_w = 1024, .in_c = 64, .out_h = 16, .out_w = 1024, .out_c = 64,
			.up_h = 1, .up_w = 1 } } },
	{ "MUL", {
		.opcode = XRNPE_OP_MUL, .image = { .in_h = 16, .in_w = 64, .in_c = 1024 } } },
	{ "ADD", {
		.opcode = XRNPE_OP_ADD, .image = { .in_h = 16, .in_w = 64, .in_c = 1024 } } },
	{ "CONVERT", {
		.opcode = XRNPE_OP_CONVERT, .image = { .in_h = 1 << 14, .in_w = 64, .in_c = 1 } } },
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* Operands of @format without gaps. */
static void set_operands(struct xrnpe_cmd *cmd, enum xrnpe_format format)
{
	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++) {
		struct xrnpe_operand *o = &cmd->operand[i];
		struct xrnpe_layout l;

		if (!xrnpe_cmd_has_operand(cmd, i))
			continue;
		*o = (struct xrnpe_operand){ .format = (uint8_t)format };
		if (i == XRNPE_OPERAND_SCALE) {
			bool one = cmd->opcode == XRNPE_OP_CONVERT || cmd->opcode == XRNPE_OP_MUL;

			o->format = XRNPE_FORMAT_F32;
			o->row_stride = one ? 0 : sizeof(struct xrnpe_scale);
			continue;
		}
		if (cmd->opcode == XRNPE_OP_LUT && i == XRNPE_OPERAND_WEIGHT)
			continue;
		l = xrnpe_cmd_layout(cmd, i);
		o->row_stride = (uint32_t)xrnpe_row_bytes(format, l.elements);
		if (cmd->opcode != XRNPE_OP_MATMUL) {
			o->pixel_stride = o->row_stride;
			o->row_stride *= (uint32_t)l.pixels;
		}
	}
}

/* Inputs that cancel; Posit(16,1) is left in doubt, as they are large and small. */
static void *memory_of(const struct xrnpe_cmd *cmd, const struct xrnpe_span *span, unsigned int i)
{
	enum xrnpe_format format = cmd->operand[i].format;
	uint32_t top = (1u << (xrnpe_format_bits(format) - 1)) - 1;
	uint32_t sign = format == XRNPE_FORMAT_FP4 ? 8 : 0, pattern[256];
	size_t period = sizeof(pattern) / sizeof(pattern[0]), size;
	uint8_t *memory;

	if (!span->size)
		return NULL;
	memory = calloc(span->size + sizeof(pattern), 1);
	ck_assert_ptr_nonnull(memory);
	for (size_t j = 0; j < period; j++) {
		pattern[j] = j < 2 ? 1 : top;
		if (i == XRNPE_OPERAND_SCALE)
			pattern[j] = j % 2 ? 0 : 0x3f800000;
		else if (i == XRNPE_OPERAND_IFM && j % 2)
			pattern[j] = sign ? pattern[j] | sign : 2 * (top + 1) - pattern[j];
	}
	xrnpe_pack(format, memory, 0, pattern, period);
	size = xrnpe_row_bytes(format, period);
	for (size_t at = size; at < span->size; at += size)
		memcpy(memory + at, memory, size);
	return memory;
}

/* A command with its memory. */
struct scene {
	struct xrnpe_cmd cmd;
	void *memory[XRNPE_OPERANDS];
};

static struct scene scene_of(struct xrnpe_cmd cmd, enum xrnpe_format format)
{
	const struct xrnpe_extent extent = { UINT64_MAX, XRNPE_REGION_READ | XRNPE_REGION_WRITE };
	struct xrnpe_span spans[XRNPE_OPERANDS];
	struct scene scene = { .cmd = cmd };
	struct xrnpe_fault fault;

	set_operands(&scene.cmd, format);
	ck_assert_msg(xrnpe_cmd_check(&scene.cmd, 0, &extent, 1, spans, &fault), "fault %u at %u", fault.kind,
		      (unsigned int)fault.offset);
	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++)
		scene.memory[i] = memory_of(&scene.cmd, &spans[i], i);
	return scene;
}

static void free_scene(struct scene *scene)
{
	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++)
		free(scene->memory[i]);
}

/* Run it and count the looks, and the blocks between them. */
static int run(struct xrnpe_datapath *datapath, const struct scene *scene, unsigned long give_up)
{
	struct xrnpe_fault fault;
	int ret;

	atomic_store(&looks, 0);
	atomic_store(&give_up_at, give_up);
	last_block = blocks;
	longest = 0;
	last_time = now();
	ret = xrnpe_datapath_run(datapath, &scene->cmd, 0, scene->memory, &(bool){ false }, &(uint32_t){ 0 },
				 &fault);
	note(looks);
	return ret;
}

/* The longest time between two looks, without what interrupts them now and then. */
static double longest_time(struct xrnpe_datapath *datapath, const struct scene *scene)
{
	double most = 0;

	memset(shortest, 0, sizeof(shortest));
	timed = true;
	for (int turn = 0; turn < TURNS; turn++)
		run(datapath, scene, ULONG_MAX);
	timed = false;
	for (size_t i = 0; i < MOST_LOOKS; i++)
		most = shortest[i] > most ? shortest[i] : most;
	return most;
}

#define FOR_EACH_KERNEL(datapath, threads)						\
	for (const char *const *kernel = xrnpe_datapath_kernels(); *kernel; kernel++)	\
		for (struct xrnpe_datapath *datapath = xrnpe_datapath_new(threads, *kernel); datapath; \
		     xrnpe_datapath_free(datapath), datapath = NULL)

/* ---- tests ------------------------------------------------------------- */

static void check_looks(const char *name, const struct scene *scene)
{
	const char *format = xrnpe_format_name(scene->cmd.operand[XRNPE_OPERAND_IFM].format);

	FOR_EACH_KERNEL(datapath, 1) {
		ck_assert_int_eq(run(datapath, scene, ULONG_MAX), 0);
		if (verbose)
			printf("%-48s %-4s %-14s %7lu looks %7lu blocks %6.3f ms\n", name, format, *kernel, looks,
			       (unsigned long)longest, 1e3 * longest_time(datapath, scene));
		ck_assert_msg(longest <= (strcmp(*kernel, "plain") ? MOST_BLOCKS : MOST_BLOCKS_PLAIN),
			      "%s, %s, kernel %s: %lu blocks between two of %lu looks",
			      name, format, *kernel, (unsigned long)longest, looks);
	}
}

START_TEST(looks_often)
{
	const struct long_command *l = &commands[_i / XRNPE_PRODUCT_FORMATS];
	struct scene scene = scene_of(l->cmd, (enum xrnpe_format)(_i % XRNPE_PRODUCT_FORMATS));

	check_looks(l->name, &scene);
	free_scene(&scene);
}
END_TEST

/* The sums of Posit(16,1) that are computed once more are many products each. */
START_TEST(looks_in_doubt)
{
	static const uint32_t shapes[][2] = { { 1, 96 }, { 24, 32 }, { 32, 32 } };

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		struct scene scene = scene_of((struct xrnpe_cmd){
			.opcode = XRNPE_OP_MATMUL,
			.matmul = { .m = shapes[i][0], .n = shapes[i][1], .k = XRNPE_MAX_K, .batch = 1 },
		}, XRNPE_FORMAT_P16);
		char name[32];

		snprintf(name, sizeof(name), "%u x %u in doubt", shapes[i][0], shapes[i][1]);
		check_looks(name, &scene);
		free_scene(&scene);
	}
}
END_TEST

/* At whichever look it is given up, a command ends, and threads that wait for others do. */
START_TEST(gives_up)
{
	struct scene scene = scene_of(commands[_i / XRNPE_PRODUCT_FORMATS].cmd,
				      (enum xrnpe_format)(_i % XRNPE_PRODUCT_FORMATS));

	FOR_EACH_KERNEL(datapath, 4) {
		for (unsigned long at = 0; at < 12; at++)
			ck_assert_int_eq(run(datapath, &scene, at), -ECANCELED);
	}
	free_scene(&scene);
}
END_TEST

/*
 * Shapes that want a lot: long sums, long kernels, lines far apart, odd groups. They are
 * given up at the first look, when memory is there and nothing is done yet.
 */
static bool greedy_command(struct xrnpe_cmd *cmd, uint64_t *state)
{
	static const uint16_t sizes[] = { 1, 2, 33, 4095, 32767, 65534, 65535 };
	static const uint8_t small[] = { 1, 2, 3, 16, 128, 255 };
	const struct xrnpe_extent extent = { UINT64_MAX, XRNPE_REGION_READ | XRNPE_REGION_WRITE };
	struct xrnpe_dims_image *d = &cmd->image;
	struct xrnpe_span spans[XRNPE_OPERANDS];
	struct xrnpe_fault fault;

#define PICK(from) from[random_below(state, sizeof(from) / sizeof(from[0]))]
	*cmd = (struct xrnpe_cmd){ .opcode = random_below(state, 2) ? XRNPE_OP_MATMUL : XRNPE_OP_CONV2D };
	if (cmd->opcode == XRNPE_OP_MATMUL && random_below(state, 2))
		cmd->flags = XRNPE_CMD_TRANSPOSED;
	if (cmd->opcode == XRNPE_OP_MATMUL) {
		cmd->matmul = (struct xrnpe_dims_matmul){
			.m = PICK(sizes), .n = (uint32_t)PICK(sizes) * PICK(sizes),
			.k = random_below(state, 2) ? XRNPE_MAX_K : PICK(sizes), .batch = 1,
		};
	} else {
		*d = (struct xrnpe_dims_image){
			.in_h = PICK(sizes), .in_w = PICK(sizes), .out_h = PICK(small), .out_w = PICK(sizes),
			.kernel_h = PICK(small), .kernel_w = PICK(small), .stride_h = PICK(small),
			.stride_w = PICK(small), .dilation_h = PICK(small), .dilation_w = PICK(small),
			.groups = PICK(sizes),
		};
		d->in_c = (uint16_t)(d->groups * PICK(small));
		d->out_c = (uint16_t)(d->groups * (random_below(state, 2) ? 1 : PICK(sizes)));
	}
	set_operands(cmd, (enum xrnpe_format)random_below(state, XRNPE_PRODUCT_FORMATS));
	return xrnpe_cmd_check(cmd, 0, &extent, 1, spans, &fault);
}

START_TEST(scratch_is_bounded)
{
	static const unsigned int threads[] = { 1, 2, 16 };

	FOR_EACH_KERNEL(datapath, threads[_i]) {
		uint64_t state = 5;

		for (size_t legal = 0; legal < 1000; ) {
			static uint32_t word[2];
			struct scene scene = { .memory = { word, word, word, word, word } };

			if (!greedy_command(&scene.cmd, &state))
				continue;
			legal++;
			ck_assert_int_eq(run(datapath, &scene, 0), -ECANCELED);
			ck_assert_uint_le(xrnpe_datapath_scratch(datapath), threads[_i] * SCRATCH_MOST);
		}
		if (verbose)
			printf("%-14s %3u threads: %4zu MiB\n", *kernel, threads[_i],
			       xrnpe_datapath_scratch(datapath) >> 20);
	}
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("cancel");
	TCase *tests = tcase_create("cancel");

	verbose = argc > 1 && !strcmp(argv[1], "--times");
	tcase_set_timeout(tests, 300);
	tcase_add_loop_test(tests, looks_often, 0, COMMANDS * XRNPE_PRODUCT_FORMATS);
	tcase_add_test(tests, looks_in_doubt);
	tcase_add_loop_test(tests, gives_up, 0, COMMANDS * XRNPE_PRODUCT_FORMATS);
	tcase_add_loop_test(tests, scratch_is_bounded, 0, 3);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
