// SPDX-License-Identifier: MIT
/* .xrnpe files: no damage goes unnoticed, and no forgery does harm. */
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>
#include <zlib.h>

#include "unit/runtime_tests.h"

/* Offsets in the header, as Documentation/model-format.rst tells. */
#define HEADER_VERSION 8
#define HEADER_CRC 12
#define HEADER_SIZE 16
#define HEADER_SECTIONS 24
#define HEADER_TABLE 32
#define SECTION_BYTES 24

enum { INFO, POINTS, STRINGS, COMMANDS, COMMAND_LAYERS, LAYERS, TENSORS, STEPS, BINDINGS,
       CPU, CONSTANTS, SECTIONS };

static struct xrnpe_error error;
static struct xrnpe_model *model;
static unsigned char bytes[8192];
static size_t size;

/* The tiny model's file in @bytes. */
static void setup(void)
{
	struct xrnpe_model *tiny = tiny_model();

	runtime_setup();
	ck_ok(xrnpe_model_save(tiny, test_path("m.xrnpe"), &error), error);
	size = read_file(test_path("m.xrnpe"), bytes, sizeof(bytes));
	xrnpe_model_free(tiny);
}

static int load(const unsigned char *data, size_t length)
{
	const char *path = test_path("m.xrnpe");

	write_file(path, data, length);
	return xrnpe_model_load(path, &model, &error);
}

static void refused(const unsigned char *data, size_t length, const char *text)
{
	ck_fails(load(data, length), -EINVAL, error, text);
	ck_assert_msg(strstr(error.message, test_path("m.xrnpe")) == error.message,
		      "\"%s\" does not start with the file's name", error.message);
}

static uint64_t get(size_t at, size_t width)
{
	uint64_t value = 0;

	memcpy(&value, bytes + at, width);
	return value;
}

static void set(size_t at, size_t width, uint64_t value)
{
	memcpy(bytes + at, &value, width);
}

static size_t start_of(unsigned int section)
{
	return get(HEADER_TABLE + section * SECTION_BYTES, 8);
}

static size_t size_of(unsigned int section)
{
	return get(HEADER_TABLE + section * SECTION_BYTES + 8, 8);
}

/* Make all checksums right again. */
static void sign(void)
{
	size_t header = HEADER_TABLE + SECTIONS * SECTION_BYTES;

	for (unsigned int i = 0; i < SECTIONS; i++)
		if (start_of(i) <= size && size_of(i) <= size - start_of(i))
			set(HEADER_TABLE + i * SECTION_BYTES + 16, 4,
			    crc32(0, bytes + start_of(i), (uInt)size_of(i)));
	set(HEADER_CRC, 4, 0);
	set(HEADER_CRC, 4, crc32(0, bytes, (uInt)header));
}

START_TEST(file_round_trip)
{
	static unsigned char again[sizeof(bytes)];
	struct xrnpe_model *tiny = tiny_model();
	const struct xrnpe_layer_info *layer;

	ck_ok(xrnpe_model_load(test_path("m.xrnpe"), &model, &error), error);
	ck_assert_uint_eq(model->cmd_count, tiny->cmd_count);
	ck_assert_mem_eq(model->cmds, tiny->cmds, 2 * sizeof(*model->cmds));
	ck_assert_mem_eq(model->cmd_layer, tiny->cmd_layer, 2 * sizeof(*model->cmd_layer));
	ck_assert_mem_eq(model->constants, tiny->constants, TINY_CONSTANTS);
	ck_assert_mem_eq(model->region_size, tiny->region_size, sizeof(model->region_size));
	ck_assert_str_eq(model->producer, tiny->producer);
	ck_assert_uint_eq(model->tensor_count, 3);

	ck_assert_uint_eq(xrnpe_model_input_count(model), 1);
	ck_assert_str_eq(xrnpe_model_input(model, 0)->name, "in");
	ck_assert_uint_eq(xrnpe_model_input(model, 0)->count, TINY_IN);
	ck_assert_uint_eq(xrnpe_model_output_count(model), 1);
	ck_assert_str_eq(xrnpe_model_output(model, 0)->name, "out");
	ck_assert_uint_eq(xrnpe_model_output(model, 0)->dims[0], TINY_OUT_C);
	ck_assert_uint_eq(xrnpe_model_layer_count(model), 2);
	layer = xrnpe_model_layer(model, 1);
	ck_assert_str_eq(layer->name, "mix");
	ck_assert_str_eq(layer->op, "Conv+Relu");
	ck_assert_str_eq(layer->output, "out");
	ck_assert_mem_eq(model->layer_outputs, tiny->layer_outputs, 2 * sizeof(*model->layer_outputs));
	ck_assert_int_eq(layer->format, XRNPE_FORMAT_P16);
	ck_assert_uint_eq(layer->macs, 12);
	ck_assert_int_eq(layer->weight_format, XRNPE_FORMAT_P8);
	ck_assert(layer->error == 0.25 && layer->weight_error[1] == 0.75 &&
		  layer->input_error[1] == 0.125);

	/* The same model gives the same bytes. */
	ck_ok(xrnpe_model_save(model, test_path("again.xrnpe"), &error), error);
	ck_assert_uint_eq(read_file(test_path("again.xrnpe"), again, sizeof(again)), size);
	ck_assert_mem_eq(again, bytes, size);
	xrnpe_model_free(model);
	xrnpe_model_free(tiny);
}
END_TEST

/* Every bit of every byte: each flip is noticed and the message names the file. */
START_TEST(file_flipped)
{
	for (size_t i = 0; i < size; i++)
		for (unsigned int bit = 0; bit < 8; bit++) {
			bytes[i] ^= (unsigned char)(1 << bit);
			refused(bytes, size, "m.xrnpe: ");
			bytes[i] ^= (unsigned char)(1 << bit);
		}
}
END_TEST

START_TEST(file_truncated)
{
	for (size_t n = 0; n < size; n++)
		refused(bytes, n, n < 8 ? "not an .xrnpe file" : "truncated");
	bytes[size] = 0;
	refused(bytes, size + 1, "too long");
}
END_TEST

START_TEST(file_version)
{
	set(HEADER_VERSION, 4, 7);
	sign();
	ck_fails(load(bytes, size), -ENOTSUP, error,
		 "m.xrnpe: is of format version 7; this library knows 6");
}
END_TEST

/* Wherever it lies in memory. */
START_TEST(file_in_memory)
{
	static unsigned char memory[sizeof(bytes) + 8];
	struct xrnpe_footprint needs;

	for (unsigned int at = 0; at < 8; at++) {
		memcpy(memory + at, bytes, size);
		ck_ok(xrnpe_model_parse("tiny", memory + at, size, &model, &error), error);
		memset(memory, 0xff, sizeof(memory));
		ck_assert_str_eq(xrnpe_model_layer(model, 1)->name, "mix");
		xrnpe_model_footprint(model, &needs);
		ck_assert_uint_eq(needs.arena, 2 * TINY_IN);
		ck_assert_uint_eq(needs.constants, TINY_CONSTANTS);
		ck_assert_uint_eq(needs.commands, 2 * sizeof(struct xrnpe_cmd));
		ck_assert_uint_eq(needs.inputs, 4 * TINY_IN);
		ck_assert_uint_eq(needs.outputs, 4 * TINY_OUT);
		xrnpe_model_free(model);
	}
	ck_fails(xrnpe_model_parse("tiny", bytes, size - 1, &model, &error), -EINVAL, error,
		 "tiny: truncated");
	ck_fails(xrnpe_model_parse("tiny", bytes, 0, &model, &error), -EINVAL, error,
		 "tiny: not an .xrnpe file");
}
END_TEST

START_TEST(file_to_memory)
{
	static unsigned char memory[sizeof(bytes) + 1];
	struct xrnpe_model *tiny = tiny_model();
	size_t room = 0;

	ck_fails(xrnpe_model_pack(tiny, NULL, &room, &error), -ENOSPC, error, "tiny: takes ");
	ck_assert_uint_eq(room, size);
	memset(memory, 0xa5, sizeof(memory));
	room = size - 1;
	ck_fails(xrnpe_model_pack(tiny, memory, &room, &error), -ENOSPC, error, "tiny: takes ");
	ck_assert_uint_eq(room, size);
	ck_assert_uint_eq(memory[0], 0xa5);
	room = sizeof(memory);
	ck_ok(xrnpe_model_pack(tiny, memory, &room, &error), error);
	ck_assert_uint_eq(room, size);
	ck_assert_mem_eq(memory, bytes, size);
	ck_assert_uint_eq(memory[size], 0xa5);
	xrnpe_model_free(tiny);
}
END_TEST

START_TEST(file_unreadable)
{
	struct xrnpe_model *tiny = tiny_model();

	ck_fails(xrnpe_model_load(test_path("none.xrnpe"), &model, &error), -ENOENT, error,
		 "none.xrnpe: cannot open: No such file");
	ck_fails(xrnpe_model_load("/", &model, &error), -EISDIR, error, "/: cannot read");
	ck_fails(xrnpe_model_save(tiny, test_path("none/m.xrnpe"), &error), -ENOENT, error,
		 "none/m.xrnpe: cannot create");
	xrnpe_model_free(tiny);
	refused((const unsigned char *)"\x93NUMPY\x01\x00", 8, "not an .xrnpe file");
}
END_TEST

/* A save that fails leaves what was there. */
START_TEST(file_replaced_whole)
{
	static unsigned char after[sizeof(bytes)];
	struct xrnpe_model *tiny = tiny_model();
	char command[256], name[NAME_MAX + 1] = "";

	ck_fails(xrnpe_model_save(tiny, "/dev/full", &error), -ENOSPC, error,
		 "/dev/full: cannot write");
	ck_ok(xrnpe_model_save(tiny, test_path("m.xrnpe"), &error), error);
	ck_assert_uint_eq(read_file(test_path("m.xrnpe"), after, sizeof(after)), size);
	/* Behind a link, too, and under the longest of names. */
	snprintf(command, sizeof(command), "ln -s m.xrnpe %s", test_path("link"));
	ck_assert_int_eq(system(command), 0);
	write_file(test_path("m.xrnpe"), "x", 1);
	ck_ok(xrnpe_model_save(tiny, test_path("link"), &error), error);
	ck_assert_uint_eq(read_file(test_path("m.xrnpe"), after, sizeof(after)), size);
	ck_assert_int_eq(unlink(test_path("link")), 0);
	memset(name, 'n', NAME_MAX);
	ck_ok(xrnpe_model_save(tiny, test_path(name), &error), error);
	ck_assert_int_eq(unlink(test_path(name)), 0);
	snprintf(command, sizeof(command), "test $(ls -A %s | wc -l) = 1", test_path(""));
	ck_assert_msg(system(command) == 0, "temporary files are left");
	xrnpe_model_free(tiny);
}
END_TEST

/* Well-formed files that say what must not be. */
struct forgery {
	unsigned int section;
	size_t at, width;	/* in the section */
	uint64_t value;
	const char *text;
};

#define CMD(i, member) ((i) * sizeof(struct xrnpe_cmd) + offsetof(struct xrnpe_cmd, member))
#define OPERAND(i, o, member) \
	(CMD(i, operand) + (o) * sizeof(struct xrnpe_operand) + offsetof(struct xrnpe_operand, member))
#define LAYER_BYTES 176

static const struct forgery forgeries[] = {
	{ COMMANDS, OPERAND(1, XRNPE_OPERAND_OFM, offset), 8, 4,
	  "command 1 (conv2d, layer mix): ofm outside region 3 (output, 72 bytes): offset 4, size 72" },
	{ COMMANDS, OPERAND(0, XRNPE_OPERAND_OFM, region), 1, 0,
	  "command 0 (convert, layer to_p16): ofm may not write region 0 (constants, 152 bytes)" },
	{ COMMANDS, OPERAND(1, XRNPE_OPERAND_IFM, region), 1, 4,
	  "command 1 (conv2d, layer mix): ifm is in region 4, which the job does not have" },
	{ COMMANDS, CMD(1, opcode), 1, 99, "command 1 (unknown opcode, layer mix): illegal opcode" },
	{ COMMANDS, CMD(1, image.groups), 2, 2,
	  "command 1 (conv2d, layer mix): field groups is out of its range: 2" },
	{ COMMANDS, CMD(1, activation), 1, 7, "field activation is out" },
	{ COMMANDS, OPERAND(1, XRNPE_OPERAND_WEIGHT, format), 1, XRNPE_FORMAT_F32,
	  "field weight.format is out of its range: f32" },
	{ COMMANDS, OPERAND(0, XRNPE_OPERAND_IFM, row_stride), 4, 3, "field ifm.row_stride is out" },
	{ COMMANDS, CMD(0, image.reserved), 1, 1, "field reserved is out" },
	/* A region too small for the commands. */
	{ POINTS, 40, 8, 20, "tensor middle: outside region 1 (arena): offset 0, size 24 of 20 bytes" },
	{ INFO, 8, 8, 40, "tensor in: outside region 2 (input)" },
	{ INFO, 16, 8, 0, "tensor out: outside region 3 (output)" },
	{ INFO, 16, 8, UINT64_MAX, "region 3 (output) is too large" },
	{ INFO, 0, 8, 151, "section info is malformed" },
	{ INFO, 24, 4, 0, "lacks layers, inputs or outputs" },
	{ INFO, 24, 4, 4, "lacks layers, inputs or outputs" },
	{ INFO, 28, 4, 0, "lacks layers, inputs or outputs" },
	{ INFO, 28, 4, UINT32_MAX, "lacks layers, inputs or outputs" },
	{ INFO, 28, 4, 2, "tensor middle: its format is not allowed" },
	{ INFO, 32, 4, 4096, "producer is not printable" },
	{ INFO, 36, 4, 1, "section info is malformed" },
	{ POINTS, 48, 8, 0x7ff0000000000000, "section points is malformed" },
	{ POINTS, 48, 8, 0xbff0000000000000, "section points is malformed" },
	{ POINTS, 56, 8, 0x7ff8000000000000, "section points is malformed" },
	{ POINTS, 64, 8, 0x7ff0000000000000, "section points is malformed" },
	{ POINTS, 72, 8, 0x7ff0000000000000, "section points is malformed" },
	{ POINTS, 80, 8, 0x7ff0000000000000, "section points is malformed" },
	{ POINTS, 88, 8, 0xbff0000000000000, "section points is malformed" },
	{ POINTS, 24, 4, 2, "section points is malformed" },
	{ POINTS, 32, 4, 2, "section points is malformed" },
	{ POINTS, 36, 4, 1, "section points is malformed" },
	{ POINTS, 0, 4, 1, "its points are not all of it" },
	{ POINTS, 4, 4, 3, "its points are not all of it" },
	{ POINTS, 8, 4, UINT32_MAX, "its points are not all of it" },
	{ POINTS, 12, 4, 0, "its points are not all of it" },
	{ POINTS, 16, 4, 1, "its points are not all of it" },
	{ COMMAND_LAYERS, 4, 4, 2, "command 1 belongs to no layer" },
	{ LAYERS, 0, 4, UINT32_MAX, "layer 0 has no name" },
	{ LAYERS, LAYER_BYTES + 4, 4, 5000, "layer 1 has no name" },
	{ LAYERS, 8, 4, 5000, "layer 0 has no name" },
	{ LAYERS, 12, 4, 2, "layer to_p16: its shape or format is out of range" },
	{ LAYERS, 16, 4, 2, "layer to_p16: its shape or format is out of range" },
	{ LAYERS, 24, 4, 0, "layer to_p16: its shape or format is out of range" },
	{ LAYERS, 44, 4, 5, "layer to_p16: its shape or format is out of range" },
	{ LAYERS, 48, 4, 5, "layer to_p16: its shape or format is out of range" },
	{ LAYERS, 52, 4, 5, "layer to_p16: its shape or format is out of range" },
	{ LAYERS, 56, 4, 5, "layer to_p16: its shape or format is out of range" },
	{ LAYERS, 60, 4, 5000, "layer 0 has no name" },
	{ LAYERS, 76, 4, 1, "layer 0 is malformed" },
	{ LAYERS, 64, 4, 3, "layer to_p16: what it writes is not there" },
	{ LAYERS, 64, 4, 1, "layer to_p16: what it writes is not there" },	/* of another shape */
	{ LAYERS, 68, 4, 1, "layer to_p16: what it writes is not there" },
	{ LAYERS, 68, 4, 2, "layer to_p16: what it writes is not there" },
	{ LAYERS, 72, 4, 2, "layer to_p16: what it writes is not there" },
	{ LAYERS, 12, 4, 1, "layer to_p16: what it writes is not there" },
	{ LAYERS, 104, 8, 0x7ff8000000000000, "layer to_p16: its error is not finite" },
	{ LAYERS, 112, 8, 0x7ff8000000000000, "layer to_p16: its error is not finite" },
	{ LAYERS, 144, 8, 0x7ff8000000000000, "layer to_p16: its error is not finite" },
	{ TENSORS, 0, 4, 4096, "tensor 0 has no name" },
	{ TENSORS, 4, 4, 4, "tensor in: its shape or type is out of range" },
	{ TENSORS, 4, 4, 3, "tensor in: its format is not allowed" },
	{ TENSORS, 8, 4, 9, "tensor in: its shape or type is out of range" },
	{ TENSORS, 12, 4, 0x10000000, "tensor in: its shape or type is out of range" },
	{ TENSORS, 36, 4, 3, "tensor in: its channels and pixels are not those of its shape" },
	{ TENSORS, 40, 4, 0, "tensor in: its channels and pixels are not those of its shape" },
	{ TENSORS, 48, 4, 2, "tensor 0 is malformed" },
	{ TENSORS, 52, 4, 1, "tensor in: it is in the wrong region" },
	{ TENSORS, 56, 4, 0, "tensor in: its format is not allowed" },
	{ TENSORS, 60, 4, 12, "tensor in: its strides or its offset are not allowed" },
	{ TENSORS, 68, 4, 0, "tensor in: its scale is not a positive number" },
	{ TENSORS, 72, 8, 2, "tensor in: its strides or its offset are not allowed" },
	{ TENSORS, 72, 8, UINT64_MAX - 3, "tensor in: outside region 2" },
	{ STEPS, 0, 4, 1, "step 0 is out of order" },
	{ STEPS, 0, 4, 2, "step 0 is out of order" },
	{ STEPS, 4, 4, 1, "step 0 is out of order" },
	{ STEPS, 8, 4, 1, "its steps are not all of it" },
	{ STEPS, 8, 4, UINT32_MAX, "step 0 is out of order" },
	{ STEPS, 16, 4, 1, "step 0 is out of order" },
	{ STEPS, 28, 4, 1, "step 0 is malformed" },
	{ STRINGS, 0, 1, 27, "producer is not printable" },
};

START_TEST(file_forged)
{
	const struct forgery *f = &forgeries[_i];

	ck_assert_uint_le(f->at + f->width, size_of(f->section));
	set(start_of(f->section) + f->at, f->width, f->value);
	sign();
	refused(bytes, size, f->text);
}
END_TEST

/* The file of two points, in place of the tiny model's. */
static void make_points(void)
{
	struct xrnpe_model *points = two_points(tiny_model);

	ck_ok(xrnpe_model_save(points, test_path("m.xrnpe"), &error), error);
	size = read_file(test_path("m.xrnpe"), bytes, sizeof(bytes));
	xrnpe_model_free(points);
}

#define POINT_BYTES 96
#define TENSOR_BYTES 80

static const struct forgery point_forgeries[] = {
	{ INFO, 36, 4, 2, "section info is malformed" },
	{ POINTS, POINT_BYTES, 4, 1, "its points are not all of it" },
	{ POINTS, POINT_BYTES + 36, 4, 1, "m.xrnpe, point 1: section points is malformed" },
	{ POINTS, POINT_BYTES + 40, 8, 80,
	  "m.xrnpe, point 1: tensor middle: outside region 1 (arena): offset 64, size 24 of 80 bytes" },
	{ COMMANDS, OPERAND(3, XRNPE_OPERAND_SCALE, offset), 8, 160,
	  "m.xrnpe, point 1: command 1 (conv2d, layer mix): scale outside region 0 (constants, 176 bytes)" },
	{ COMMAND_LAYERS, 12, 4, 2, "m.xrnpe, point 1: command 1 belongs to no layer" },
	{ LAYERS, 2 * LAYER_BYTES, 4, UINT32_MAX, "m.xrnpe, point 1: layer 0 has no name" },
	{ LAYERS, 3 * LAYER_BYTES, 4, 0, "m.xrnpe, point 1: its layers are not those of point 0" },
	{ TENSORS, 3 * TENSOR_BYTES, 4, 0, "m.xrnpe, point 1: its inputs or outputs are not those of point 0" },
	{ TENSORS, 4 * TENSOR_BYTES + 68, 4, 0x40000000,
	  "m.xrnpe, point 1: its inputs or outputs are not those of point 0" },
	{ STEPS, 32 + 8, 4, 2, "m.xrnpe, point 1: step 1 is out of order" },
};

START_TEST(file_points_forged)
{
	const struct forgery *f = &point_forgeries[_i];

	make_points();
	ck_assert_uint_le(f->at + f->width, size_of(f->section));
	set(start_of(f->section) + f->at, f->width, f->value);
	sign();
	refused(bytes, size, f->text);
}
END_TEST

/* Records that change hands from one point to the other. */
START_TEST(file_points_shifted)
{
	make_points();
	set(start_of(POINTS) + 4 * (size_t)_i, 4, get(start_of(POINTS) + 4 * (size_t)_i, 4) - 1);
	set(start_of(POINTS) + POINT_BYTES + 4 * (size_t)_i, 4,
	    get(start_of(POINTS) + POINT_BYTES + 4 * (size_t)_i, 4) + 1);
	sign();
	refused(bytes, size, "m.xrnpe, point ");
}
END_TEST

START_TEST(file_misplaced)
{
	static unsigned char good[sizeof(bytes)];

	memcpy(good, bytes, size);
	for (unsigned int i = 0; i < SECTIONS; i++) {
		size_t entry = HEADER_TABLE + i * SECTION_BYTES;

		/* Offset, size, reserved field. */
		set(entry, 8, get(entry, 8) + 64);
		sign();
		refused(bytes, size, "is misplaced");
		memcpy(bytes, good, size);
		set(entry, 8, UINT64_MAX - 63);
		sign();
		refused(bytes, size, "is misplaced");
		memcpy(bytes, good, size);
		set(entry + 8, 8, UINT64_MAX);
		sign();
		refused(bytes, size, "is misplaced");
		memcpy(bytes, good, size);
		set(entry + 20, 4, 1);
		sign();
		refused(bytes, size, "is misplaced");
		memcpy(bytes, good, size);
	}
	set(HEADER_SECTIONS, 4, UINT32_MAX);
	refused(bytes, size, "truncated in its header, or damaged");
	memcpy(bytes, good, size);
	set(HEADER_SIZE, 8, size - 1);
	sign();
	refused(bytes, size, "too long");
}
END_TEST

/*
 * Random bytes under right checksums: whatever still loads can be run. A fault
 * is in order, a crash is not.
 */
START_TEST(file_fuzzed)
{
	static unsigned char good[sizeof(bytes)];
	struct xrnpe_device *device;
	uint32_t seed = 12345;
	unsigned int loaded = 0;

	if (_i)
		make_points();
	memcpy(good, bytes, size);
	ck_ok(xrnpe_device_open("emu", &device, &error), error);
	for (unsigned int round = 0; round < 4000; round++) {
		struct xrnpe_session *session;
		float in[TINY_IN] = { 0 }, out[TINY_OUT];

		memcpy(bytes, good, size);
		for (unsigned int i = 0; i < 1 + round % 3; i++) {
			size_t at;

			seed = seed * 1664525 + 1013904223;
			at = HEADER_TABLE + (seed >> 8) % (size - HEADER_TABLE);
			seed = seed * 1664525 + 1013904223;
			bytes[at] = (unsigned char)(seed >> 24);
		}
		sign();
		if (load(bytes, size))
			continue;
		loaded++;
		/* It may ask for absurd sizes of memory, and be refused. */
		if (xrnpe_model_input(model, 0)->count == TINY_IN &&
		    xrnpe_model_output(model, 0)->count == TINY_OUT &&
		    !xrnpe_session_new(device, model, NULL, &session, &error)) {
			for (unsigned int p = 0; p < xrnpe_model_point_count(model); p++) {
				ck_ok(xrnpe_session_set_point(session, p, &error), error);
				xrnpe_session_run(session, 1, (const float *[]){ in },
						  (float *[]){ out }, NULL, NULL, NULL, &error);
			}
			xrnpe_session_free(session);
		}
		xrnpe_model_free(model);
	}
	/* Names, reports and constants may change freely. */
	ck_assert_uint_gt(loaded, 300);
	xrnpe_device_close(device);
}
END_TEST

TCase *runtime_file_tests(void)
{
	TCase *tcase = tcase_create("file");

	tcase_add_checked_fixture(tcase, setup, runtime_teardown);
	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, file_round_trip);
	tcase_add_test(tcase, file_flipped);
	tcase_add_test(tcase, file_truncated);
	tcase_add_test(tcase, file_version);
	tcase_add_test(tcase, file_in_memory);
	tcase_add_test(tcase, file_to_memory);
	tcase_add_test(tcase, file_unreadable);
	tcase_add_test(tcase, file_replaced_whole);
	tcase_add_loop_test(tcase, file_forged, 0, sizeof(forgeries) / sizeof(*forgeries));
	tcase_add_loop_test(tcase, file_points_forged, 0,
			    sizeof(point_forgeries) / sizeof(*point_forgeries));
	tcase_add_loop_test(tcase, file_points_shifted, 0, 4);
	tcase_add_test(tcase, file_misplaced);
	tcase_add_loop_test(tcase, file_fuzzed, 0, 2);
	return tcase;
}
