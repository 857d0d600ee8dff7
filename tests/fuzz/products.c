// SPDX-License-Identifier: MIT
/*
 * libFuzzer target: a legal command made from the input bytes, of any opcode,
 * shape, stride, alignment and format, gives the same bits on every kernel that
 * this CPU has, prepared or as it is. `make fuzz` runs it; driver.c runs it without libFuzzer.
 *
 * Inputs have exactly the size of their span, so that a sanitizer sees any access
 * outside it. Bytes around and between the rows of the output must stay.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/command.h"
#include "fuzz/products.h"
#include "names.h"

#define WORK (1u << 20)		/* products a command, about: some milliseconds */
#define GUARD 64		/* bytes after the output */
#define THREADS 3

#define REQUIRE(what)									\
	do {										\
		if (!(what)) {								\
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);	\
			abort();							\
		}									\
	} while (0)

/* Set the bytes of @span that belong to elements to 0. */
static void clear_elements(const struct xrnpe_cmd *cmd, uint8_t *span)
{
	const struct xrnpe_operand *o = &cmd->operand[XRNPE_OPERAND_OFM];
	struct shape out = output_shape(cmd);

	for (uint32_t i = 0; i < out.matrices; i++) {
		for (uint32_t y = 0; y < out.rows; y++) {
			for (uint32_t x = 0; x < out.pixels; x++)
				memset(span + (size_t)i * o->batch_stride + (size_t)y * o->row_stride +
				       (size_t)x * o->pixel_stride, 0, xrnpe_row_bytes(o->format, out.elements));
		}
	}
}

/* What a run leaves behind. */
struct outcome {
	int result;
	uint32_t status;
	struct xrnpe_fault fault;
	uint8_t *output;
};

static void run(const char *kernel, unsigned int threads, const struct xrnpe_cmd *cmd,
		void *memory[XRNPE_OPERANDS], size_t before, bool prepare, struct outcome *outcome)
{
	/* Made at the first use, and kept: threads are costly. */
	static struct {
		const char *kernel;
		struct xrnpe_datapath *datapath[THREADS];
	} contexts[16];
	struct xrnpe_prepared *prepared = NULL;
	size_t i = 0;

	while (contexts[i].kernel && strcmp(contexts[i].kernel, kernel))
		i++;
	contexts[i].kernel = kernel;
	if (!contexts[i].datapath[threads])
		contexts[i].datapath[threads] = xrnpe_datapath_new(threads + 1, kernel);
	REQUIRE(contexts[i].datapath[threads]);
	outcome->status = 0;
	memset(&outcome->fault, 0, sizeof(outcome->fault));
	memory[XRNPE_OPERAND_OFM] = outcome->output + before;
	if (prepare)
		prepared = xrnpe_datapath_prepare(contexts[i].datapath[threads], cmd, memory, SIZE_MAX);
	/* One whose scales are illegal cannot be. */
	outcome->result = prepared ?
		xrnpe_datapath_run_prepared(contexts[i].datapath[threads], prepared, memory, NULL,
					    &outcome->status) :
		xrnpe_datapath_run(contexts[i].datapath[threads], cmd, 0, memory, NULL, &outcome->status,
				   &outcome->fault);
	xrnpe_prepared_free(prepared);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Products are what has kernels. */
	static const uint8_t opcodes[] = {
		XRNPE_OP_MATMUL, XRNPE_OP_MATMUL, XRNPE_OP_MATMUL, XRNPE_OP_MATMUL, XRNPE_OP_CONV2D,
		XRNPE_OP_CONV2D, XRNPE_OP_CONV2D, XRNPE_OP_CONV2D, XRNPE_OP_ADD, XRNPE_OP_CONVERT,
		XRNPE_OP_MAXPOOL, XRNPE_OP_MUL, XRNPE_OP_MAX, XRNPE_OP_MIN, XRNPE_OP_LUT, XRNPE_OP_COPY,
	};
	struct source source = { .data = data, .left = size };
	struct xrnpe_extent extent = { UINT64_MAX, XRNPE_REGION_READ | XRNPE_REGION_WRITE };
	struct xrnpe_span spans[XRNPE_OPERANDS];
	uint8_t *block[XRNPE_OPERANDS] = { NULL }, *before;
	void *memory[XRNPE_OPERANDS] = { NULL };
	struct outcome plain, other;
	size_t align = 0, bytes = 0;
	char text[XRNPE_CMD_TEXT];
	struct xrnpe_cmd cmd;
	unsigned int threads;
	uint64_t random;
	bool prepare;

	make_command(&source, opcodes[take(&source, sizeof(opcodes))], WORK, &cmd);
	if (!xrnpe_cmd_check(&cmd, 0, &extent, 1, spans, &plain.fault)) {
		/* A window outside the image. */
		REQUIRE(cmd.opcode == XRNPE_OP_MAXPOOL);
		return 0;
	}
	random = take(&source, UINT16_MAX) + 1;
	threads = take(&source, THREADS);
	prepare = take(&source, 2);
	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++) {
		align = take(&source, 65);
		bytes = align + spans[i].size;
		if (i == XRNPE_OPERAND_OFM || !spans[i].size)
			continue;
		block[i] = malloc(bytes);
		REQUIRE(block[i]);
		memory[i] = block[i] + align;
		fill_operand(&source, &cmd, i, memory[i], spans[i].size, &random);
	}
	bytes += GUARD;
	before = malloc(bytes);
	plain.output = malloc(bytes);
	other.output = malloc(bytes);
	REQUIRE(before && plain.output && other.output);
	for (size_t i = 0; i < bytes; i++)
		before[i] = (uint8_t)random_word(&random);
	memcpy(plain.output, before, bytes);
	run("plain", 0, &cmd, memory, align, false, &plain);
	for (const char *const *kernel = xrnpe_datapath_kernels(); *kernel; kernel++) {
		size_t at = 0;

		memcpy(other.output, before, bytes);
		run(*kernel, threads, &cmd, memory, align, prepare, &other);
		while (at < bytes && other.output[at] == plain.output[at])
			at++;
		if (at == bytes && other.result == plain.result && other.status == plain.status &&
		    !memcmp(&other.fault, &plain.fault, sizeof(plain.fault)))
			continue;
		fprintf(stderr, "%s on %u threads%s differs from plain: byte %zu of %" PRIu64
			", result %d and %d, status %x and %x\n", *kernel, threads + 1, prepare ? ", prepared," : "", at - align,
			spans[XRNPE_OPERAND_OFM].size, other.result, plain.result, other.status,
			plain.status);
		xrnpe_cmd_text(&cmd, text, sizeof(text));
		fprintf(stderr, "%s\n", text);
		abort();
	}
	/* What is left must have stayed. */
	if (!plain.result) {
		clear_elements(&cmd, plain.output + align);
		clear_elements(&cmd, before + align);
	}
	REQUIRE(!memcmp(plain.output, before, bytes));
	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++)
		free(block[i]);
	free(before);
	free(plain.output);
	free(other.output);
	return 0;
}
