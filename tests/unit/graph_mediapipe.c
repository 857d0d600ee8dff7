// SPDX-License-Identifier: MIT
/* Operators that MediaPipe's networks bring along: regions found, cut out and put back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tflite/flexbuffer.h"
#include "tflite/schema.h"
#include "unit/graph_tests.h"
#include "unit/lite_graph.h"

static struct xrnpe_error error;

/* ---- options as a flexbuffer --------------------------------------------------- */

#define MOST_OPTIONS 8
#define FLEX_SIZE 512

/* A number, or a list of integers. */
struct flex_option {
	const char *key;
	bool is_float;
	float number;
	uint32_t count;
	int32_t list[4];
};

struct flex {
	uint8_t data[FLEX_SIZE];
	uint32_t size;
};

static void put(struct flex *flex, const void *data, size_t size)
{
	memcpy(flex->data + flex->size, data, size);
	flex->size += (uint32_t)size;
}

static void put_word(struct flex *flex, uint32_t word)
{
	put(flex, &word, sizeof(word));
}

/* How far back from here @at is. */
static void put_back(struct flex *flex, uint32_t at)
{
	put_word(flex, flex->size - at);
}

/* A map of options in the order of their keys; all numbers of 4 bytes. */
static struct flex pack_options(uint32_t count, const struct flex_option *options)
{
	enum { INTEGER = 1 << 2 | 2, FLOAT = 3 << 2 | 2, MAP = 9 << 2 | 2, INTEGERS = 11 << 2 | 2 };
	uint32_t keys[MOST_OPTIONS], lists[MOST_OPTIONS], at;
	struct flex flex = { .size = 0 };

	for (uint32_t i = 0; i < count; i++) {
		keys[i] = flex.size;
		put(&flex, options[i].key, strlen(options[i].key) + 1);
	}
	for (uint32_t i = 0; i < count; i++) {
		put_word(&flex, options[i].count);
		lists[i] = flex.size;
		put(&flex, options[i].list, options[i].count * sizeof(*options[i].list));
	}
	put_word(&flex, count);
	at = flex.size;
	for (uint32_t i = 0; i < count; i++)
		put_back(&flex, keys[i]);
	put_back(&flex, at);
	put_word(&flex, 4);	/* width of the keys */
	put_word(&flex, count);
	at = flex.size;
	for (uint32_t i = 0; i < count; i++) {
		int32_t integer = (int32_t)options[i].number;

		if (options[i].count)
			put_back(&flex, lists[i]);
		else
			put(&flex, options[i].is_float ? (const void *)&options[i].number : &integer, 4);
	}
	for (uint32_t i = 0; i < count; i++)
		put(&flex, &(uint8_t){ options[i].count ? INTEGERS : options[i].is_float ? FLOAT : INTEGER }, 1);
	put_back(&flex, at);
	put(&flex, (uint8_t[]){ MAP, 4 }, 2);
	return flex;
}

/* ---- models ---------------------------------------------------------------------- */

/* An operator of MediaPipe's on float inputs. */
static struct lite_model *one(const char *name, const struct flex *options, uint32_t count,
			      const int32_t (*dims)[4], const uint32_t *ranks)
{
	struct lite_model *model = lite_new();
	int32_t inputs[2] = { 0 };
	struct lite_operator *op;

	for (uint32_t i = 0; i < count; i++)
		inputs[i] = lite_input(model, lite_tensor(model, i ? "b" : "a", ranks[i], dims[i]));
	op = lite_operator(model, "ADD", "y", count, inputs);
	op->code = BUILTIN_CUSTOM;
	op->custom = name;
	op->version = 2;
	op->options_kind = 0;
	op->custom_options = options ? options->data : NULL;
	op->custom_size = options ? options->size : 0;
	lite_output(model, lite_last(model));
	return model;
}

static struct flex region_options(float width, float height, int32_t last)
{
	return pack_options(8, (const struct flex_option[]){
		{ .key = "left_rotation_idx", .number = 0 },
		{ .key = "output_height", .number = height },
		{ .key = "output_width", .number = width },
		{ .key = "right_rotation_idx", .number = 1 },
		{ .key = "scale_x", .is_float = true, .number = 1 },
		{ .key = "scale_y", .is_float = true, .number = 1 },
		{ .key = "subset_idxs", .count = 3, .list = { 2, 3, last } },
		{ .key = "target_rotation_radians", .is_float = true },
	});
}

static struct lite_model *region(const struct flex *options)
{
	return one("Landmarks2TransformMatrix", options, 1, (const int32_t[][4]){ { 1, 5, 3 } },
		   (const uint32_t[]){ 3 });
}

static struct lite_model *cut(const struct flex *options)
{
	return one("TransformTensorBilinear", options, 2,
		   (const int32_t[][4]){ { 1, 2, 3, 1 }, { 1, 4, 4 } }, (const uint32_t[]){ 4, 3 });
}

static void refuse(struct lite_model *model, const char *message)
{
	ck_assert_ptr_null(lite_take(model, NULL, &error));
	ck_assert_str_eq(error.message, message);
	ck_assert_int_eq(error.code, -ENOTSUP);
}

/* ---- tests ------------------------------------------------------------------------- */

/* Landmarks 0 and 1 are a line, 2 to 4 what the region holds: x from 1 to 5, y from 1 to 3. */
START_TEST(where_a_region_is)
{
	float points[] = { 0, 0, 7, 4, 0, 7, 1, 1, 7, 5, 1, 7, 5, 3, 7 };
	static const float level[] = { 1, 0, 0, 1, 0, 1, 0, 1, 0, 0, 1, 0, 0, 0, 0, 1 };
	static const float upright[] = { 0, -1, 0, 5, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 1 };
	struct flex wide = region_options(4, 2, 4), tall = region_options(2, 4, 4);

	lite_expect(region(&wide), points, 16, level);
	/* The line points down: the region stands on its side. */
	points[3] = 0;
	points[4] = 4;
	lite_expect(region(&tall), points, 16, upright);
	/* No line: as it is. */
	points[4] = 0;
	lite_expect(region(&wide), points, 16, level);
}
END_TEST

START_TEST(landmarks_go_back)
{
	static const float three[] = { 1, 2, 9, 3, 4, 8, 0, -1, 0, 5, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 1 };
	static const float two[] = { 1, 2, 3, 4, 0, -1, 0, 5, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 1 };
	static const uint32_t ranks[] = { 3, 3 };

	lite_expect(one("TransformLandmarks", NULL, 2, (const int32_t[][4]){ { 1, 2, 3 }, { 1, 4, 4 } }, ranks),
		    three, 6, (const float[]){ 3, 2, 9, 1, 4, 8 });
	lite_expect(one("TransformLandmarks", NULL, 2, (const int32_t[][4]){ { 1, 2, 2 }, { 1, 4, 4 } }, ranks),
		    two, 4, (const float[]){ 3, 2, 1, 4 });
}
END_TEST

static const struct flex_option size_options[] = {
	{ .key = "output_height", .number = 2 }, { .key = "output_width", .number = 4 },
};

START_TEST(a_region_is_cut_out)
{
	struct flex options = pack_options(2, size_options);
	float values[22] = { 1, 2, 3, 4, 5, 6, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1 };

	/* The fourth column is outside. */
	lite_expect(cut(&options), values, 8, (const float[]){ 1, 2, 3, 0, 4, 5, 6, 0 });
	values[9] = 0.5f;	/* half a pixel to the right */
	lite_expect(cut(&options), values, 8, (const float[]){ 1.5f, 2.5f, 0, 0, 4.5f, 5.5f, 0, 0 });
	values[9] = 0;
	values[13] = 0.25f;	/* and a quarter down */
	lite_expect(cut(&options), values, 8, (const float[]){ 1.75f, 2.75f, 3.75f, 0, 0, 0, 0, 0 });
}
END_TEST

START_TEST(impossible)
{
	struct flex options = region_options(4, 2, 5);
	struct lite_model *model;

	refuse(region(&options), "m.tflite: Landmarks2TransformMatrix (node y): landmark 5 is not one of 5");
	options = region_options(0, 2, 4);
	refuse(region(&options), "m.tflite: Landmarks2TransformMatrix (node y): option output_width is "
	       "missing or impossible");
	options = pack_options(1, size_options);
	refuse(cut(&options), "m.tflite: TransformTensorBilinear (node y): option output_width is missing "
	       "or impossible");
	refuse(cut(NULL), "m.tflite: TransformTensorBilinear (node y): option output_height is missing or "
	       "impossible");
	options = pack_options(2, size_options);
	model = cut(&options);
	model->operators[0].version = 1;
	refuse(model, "m.tflite: TransformTensorBilinear (node y): is of version 1; supported is 2");
}
END_TEST

/* Every byte of the options changed, and every length of them: whatever comes of it. */
START_TEST(damaged_options)
{
	const struct flex whole = region_options(4, 2, 4);
	static const uint8_t telling[] = { 0, 1, 0x7f, 0x80, 0xff };

	for (uint32_t i = 0; i < whole.size; i++) {
		struct flex options = whole;

		options.size = i;
		ck_assert_ptr_null(lite_take(region(&options), NULL, &error));
		for (uint32_t k = 0; k < sizeof(telling); k++) {
			options = whole;
			options.data[i] = telling[k];
			xrnpe_graph_free(lite_take(region(&options), NULL, &error));
		}
	}
}
END_TEST

/* Without a byte behind the data that could be read. */
START_TEST(exact_memory)
{
	const struct flex whole = region_options(4, 2, 4);

	for (uint32_t size = 0; size <= whole.size; size++) {
		uint8_t *data = malloc(size + 1);
		struct flex_map map;
		double value;

		ck_assert_ptr_nonnull(data);
		memcpy(data + 1, whole.data + whole.size - size, size);
		map = flex_root(data + 1, size);
		if (flex_number(&map, "scale_x", &value) && size == whole.size)
			ck_assert(value == 1);
		ck_assert_uint_le(flex_count(&map, "subset_idxs"), 3);
		free(data);
	}
}
END_TEST

TCase *graph_mediapipe_tests(void)
{
	TCase *tests = tcase_create("mediapipe");

	tcase_add_test(tests, where_a_region_is);
	tcase_add_test(tests, landmarks_go_back);
	tcase_add_test(tests, a_region_is_cut_out);
	tcase_add_test(tests, impossible);
	tcase_add_test(tests, damaged_options);
	tcase_add_test(tests, exact_memory);
	return tests;
}
