// SPDX-License-Identifier: MIT
/*
 * The .xrnpe file: a header, a table of sections, and the sections, all
 * little-endian. Documentation/model-format.rst describes it.
 *
 * There is one way only to write a given model: sections in a fixed order, back
 * to back at multiples of ALIGN with zeros between. The loader insists on it, so
 * that no byte of a file can change unnoticed.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "error.h"
#include "io.h"
#include "model.h"

#define MAGIC "\x89XRNPE\n\x1a"
#define VERSION 2u
#define ALIGN 64

enum section_id {
	SECTION_INFO,
	SECTION_STRINGS,
	SECTION_COMMANDS,
	SECTION_COMMAND_LAYERS,
	SECTION_LAYERS,
	SECTION_TENSORS,
	SECTION_CONSTANTS,
	SECTIONS,
};

static const char *const section_names[SECTIONS] = {
	[SECTION_INFO] = "info",
	[SECTION_STRINGS] = "strings",
	[SECTION_COMMANDS] = "commands",
	[SECTION_COMMAND_LAYERS] = "command layers",
	[SECTION_LAYERS] = "layers",
	[SECTION_TENSORS] = "tensors",
	[SECTION_CONSTANTS] = "constants",
};

struct file_section {
	uint64_t offset;	/* from the start of the file */
	uint64_t size;		/* bytes */
	uint32_t crc;		/* CRC-32 of them */
	uint32_t reserved;
};

struct file_header {
	char magic[8];
	uint32_t version;
	uint32_t crc;		/* CRC-32 of the header, table included, with this field zero */
	uint64_t size;		/* of the file */
	uint32_t section_count;
	uint32_t reserved;
	/* So far the header is the same in all versions. */
	struct file_section section[SECTIONS];
};

#define HEADER_SIZE(sections) (offsetof(struct file_header, section) + \
			       (uint64_t)(sections) * sizeof(struct file_section))

struct file_info {
	uint64_t region_size[XRNPE_MODEL_REGIONS];
	uint32_t input_count;
	uint32_t output_count;
	uint32_t producer;	/* string */
	uint32_t reserved;
};

/* Strings are offsets into the strings section. */
struct file_layer {
	uint32_t name;
	uint32_t op;
	uint32_t rank;
	uint32_t dims[3];
	uint64_t macs;
	uint64_t bytes;
	uint64_t float_bytes;
	uint32_t format;
	uint32_t weight_format;
	uint32_t out_format;
	uint32_t reserved;
	double error;
	double weight_error[4];
	double input_error[4];
};

struct file_tensor {
	uint32_t name;
	uint32_t rank;
	uint32_t dims[3];
	uint32_t region;
	uint64_t offset;
	uint32_t row_stride;
	uint32_t pixel_stride;
	uint32_t format;
	float scale;
};

/* What is on disk has no holes. */
_Static_assert(sizeof(struct file_header) == 32 + 24 * SECTIONS, "header");
_Static_assert(sizeof(struct file_info) == 48, "info");
_Static_assert(sizeof(struct file_layer) == 136, "layer");
_Static_assert(sizeof(struct file_tensor) == 48, "tensor");
_Static_assert(sizeof(struct xrnpe_cmd) == 192, "command");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "libxrnpe is for little-endian hosts");

static uint64_t align(uint64_t offset)
{
	return (offset + ALIGN - 1) / ALIGN * ALIGN;
}

static uint32_t checksum(const void *bytes, uint64_t size)
{
	return (uint32_t)crc32_z(crc32_z(0, NULL, 0), bytes, size);
}

/* Of the @size bytes of a header, as if its field crc were zero. */
static uint32_t header_checksum(const void *header, uint64_t size)
{
	const size_t at = offsetof(struct file_header, crc), after = at + sizeof(uint32_t);
	uLong crc = crc32_z(crc32_z(0, NULL, 0), header, at);

	crc = crc32_z(crc, (const unsigned char *)"\0\0\0", sizeof(uint32_t));
	return (uint32_t)crc32_z(crc, (const unsigned char *)header + after, size - after);
}

/* ---- writing ---------------------------------------------------------- */

struct strings {
	char *bytes;
	uint32_t size;
	bool failed;
};

/* Append @string; returns its offset. */
static uint32_t add_string(struct strings *strings, const char *string)
{
	size_t size = strlen(string) + 1;
	uint32_t offset = strings->size;
	char *bytes = NULL;

	if (!strings->failed && size <= UINT32_MAX - offset)
		bytes = realloc(strings->bytes, offset + size);
	if (!bytes) {
		strings->failed = true;
		return 0;
	}
	memcpy(bytes + offset, string, size);
	strings->bytes = bytes;
	strings->size += (uint32_t)size;
	return offset;
}

static void pack_layer(struct file_layer *to, const struct xrnpe_layer_info *from,
		       struct strings *strings)
{
	*to = (struct file_layer){
		.name = add_string(strings, from->name),
		.op = add_string(strings, from->op),
		.rank = from->rank,
		.macs = from->macs,
		.bytes = from->bytes,
		.float_bytes = from->float_bytes,
		.format = from->format,
		.weight_format = from->weight_format,
		.out_format = from->out_format,
		.error = from->error,
	};
	for (unsigned int i = 0; i < 3; i++)
		to->dims[i] = (uint32_t)from->dims[i];
	memcpy(to->weight_error, from->weight_error, sizeof(to->weight_error));
	memcpy(to->input_error, from->input_error, sizeof(to->input_error));
}

static void pack_tensor(struct file_tensor *to, const struct xrnpe_model_tensor *from,
			struct strings *strings)
{
	*to = (struct file_tensor){
		.name = add_string(strings, from->info.name),
		.rank = from->info.rank,
		.region = from->region,
		.offset = from->offset,
		.row_stride = from->row_stride,
		.pixel_stride = from->pixel_stride,
		.format = from->format,
		.scale = from->scale,
	};
	for (unsigned int i = 0; i < 3; i++)
		to->dims[i] = (uint32_t)from->info.dims[i];
}

static int write_sections(const struct xrnpe_model *model, const char *path,
			  const void *const data[SECTIONS], const uint64_t size[SECTIONS],
			  struct xrnpe_error *error)
{
	static const char zeros[ALIGN];
	struct file_header header = { .version = VERSION, .section_count = SECTIONS };
	uint64_t end = sizeof(header);
	struct xrnpe_file file;
	int ret;

	memcpy(header.magic, MAGIC, sizeof(header.magic));
	for (unsigned int i = 0; i < SECTIONS; i++) {
		header.section[i].offset = align(end);
		header.section[i].size = size[i];
		header.section[i].crc = checksum(data[i], size[i]);
		end = header.section[i].offset + size[i];
	}
	header.size = end;
	header.crc = header_checksum(&header, sizeof(header));

	ret = xrnpe_file_create(&file, path, error);
	if (ret)
		return ret;
	fwrite(&header, sizeof(header), 1, file.stream);
	end = sizeof(header);
	for (unsigned int i = 0; i < SECTIONS; i++) {
		fwrite(zeros, 1, header.section[i].offset - end, file.stream);
		fwrite(data[i], 1, size[i], file.stream);
		end = header.section[i].offset + size[i];
	}
	return xrnpe_file_commit(&file, error);
}

int xrnpe_model_save(const struct xrnpe_model *model, const char *path, struct xrnpe_error *error)
{
	struct strings strings = { 0 };
	struct file_layer *layers = calloc(model->layer_count, sizeof(*layers));
	struct file_tensor *tensors = calloc(model->tensor_count, sizeof(*tensors));
	struct file_info info = {
		.input_count = model->input_count,
		.output_count = model->output_count,
	};
	int ret;

	if (!layers || !tensors) {
		ret = xrnpe_fail_memory(error);
		goto out;
	}
	memcpy(info.region_size, model->region_size, sizeof(info.region_size));
	info.producer = add_string(&strings, model->producer);
	for (uint32_t i = 0; i < model->layer_count; i++)
		pack_layer(&layers[i], &model->layers[i], &strings);
	for (uint32_t i = 0; i < model->tensor_count; i++)
		pack_tensor(&tensors[i], &model->tensors[i], &strings);
	if (strings.failed) {
		ret = xrnpe_fail_memory(error);
		goto out;
	}

	ret = write_sections(model, path, (const void *const [SECTIONS]){
		[SECTION_INFO] = &info,
		[SECTION_STRINGS] = strings.bytes,
		[SECTION_COMMANDS] = model->cmds,
		[SECTION_COMMAND_LAYERS] = model->cmd_layer,
		[SECTION_LAYERS] = layers,
		[SECTION_TENSORS] = tensors,
		[SECTION_CONSTANTS] = model->constants,
	}, (const uint64_t [SECTIONS]){
		[SECTION_INFO] = sizeof(info),
		[SECTION_STRINGS] = strings.size,
		[SECTION_COMMANDS] = (uint64_t)model->cmd_count * sizeof(*model->cmds),
		[SECTION_COMMAND_LAYERS] = (uint64_t)model->cmd_count * sizeof(*model->cmd_layer),
		[SECTION_LAYERS] = (uint64_t)model->layer_count * sizeof(*layers),
		[SECTION_TENSORS] = (uint64_t)model->tensor_count * sizeof(*tensors),
		[SECTION_CONSTANTS] = model->region_size[XRNPE_MODEL_CONSTANTS],
	}, error);
out:
	free(strings.bytes);
	free(layers);
	free(tensors);
	return ret;
}

/* ---- reading ---------------------------------------------------------- */

/* A file in memory whose header and sections have been checked. */
struct image {
	const unsigned char *bytes;
	uint64_t size;
	struct file_header header;
};

static const void *section(const struct image *image, enum section_id id)
{
	return image->bytes + image->header.section[id].offset;
}

static int check_header(const char *path, struct image *image, struct xrnpe_error *error)
{
	struct file_header *h = &image->header;

	if (image->size < sizeof(h->magic) || memcmp(image->bytes, MAGIC, sizeof(h->magic)))
		return xrnpe_fail(error, -EINVAL, "%s: not an .xrnpe file", path);
	if (image->size < HEADER_SIZE(0))
		return xrnpe_fail(error, -EINVAL, "%s: truncated in its header", path);
	memcpy(h, image->bytes, HEADER_SIZE(0));
	if (image->size < HEADER_SIZE(h->section_count))
		return xrnpe_fail(error, -EINVAL, "%s: truncated in its header, or damaged", path);
	if (header_checksum(image->bytes, HEADER_SIZE(h->section_count)) != h->crc)
		return xrnpe_fail(error, -EINVAL, "%s: damaged: wrong checksum of the header",
				  path);
	if (h->version != VERSION)
		return xrnpe_fail(error, -ENOTSUP,
				  "%s: is of format version %u; this library knows %u", path,
				  h->version, VERSION);
	if (h->section_count != SECTIONS || h->reserved)
		return xrnpe_fail(error, -EINVAL, "%s: malformed header", path);
	memcpy(h, image->bytes, sizeof(*h));
	if (h->size != image->size)
		return xrnpe_fail(error, -EINVAL,
				  "%s: %s: it has %" PRIu64 " bytes, its header says %" PRIu64, path,
				  image->size < h->size ? "truncated" : "too long", image->size, h->size);
	return 0;
}

static int check_sections(const char *path, const struct image *image, struct xrnpe_error *error)
{
	const struct file_header *h = &image->header;
	uint64_t end = sizeof(*h);

	for (unsigned int i = 0; i < SECTIONS; i++) {
		const struct file_section *s = &h->section[i];

		if (s->offset != align(end) || s->offset > image->size ||
		    s->size > image->size - s->offset || s->reserved)
			return xrnpe_fail(error, -EINVAL, "%s: section %s is misplaced", path,
					  section_names[i]);
		for (; end < s->offset; end++)
			if (image->bytes[end])
				return xrnpe_fail(error, -EINVAL,
						  "%s: damaged before section %s", path,
						  section_names[i]);
		if (checksum(image->bytes + s->offset, s->size) != s->crc)
			return xrnpe_fail(error, -EINVAL,
					  "%s: damaged: wrong checksum of section %s", path,
					  section_names[i]);
		end = s->offset + s->size;
	}
	if (end != image->size)
		return xrnpe_fail(error, -EINVAL, "%s: has bytes after its last section", path);
	return 0;
}

/* Number of elements of @size bytes that a section holds; at most UINT32_MAX. */
static int count_elements(const char *path, const struct image *image, enum section_id id,
			  size_t size, uint32_t *count, struct xrnpe_error *error)
{
	uint64_t bytes = image->header.section[id].size;

	if (bytes % size || bytes / size > UINT32_MAX)
		return xrnpe_fail(error, -EINVAL, "%s: section %s has an odd size", path,
				  section_names[id]);
	*count = (uint32_t)(bytes / size);
	return 0;
}

/* A copy of a section; of an empty one, a byte. */
static void *copy_section(const struct image *image, enum section_id id)
{
	uint64_t size = image->header.section[id].size;
	void *copy = malloc(size ? size : 1);

	if (copy)
		memcpy(copy, section(image, id), size);
	return copy;
}

/* A copy of the string at @offset; NULL: there is none, or no memory. */
static char *copy_string(const struct image *image, uint32_t offset)
{
	const char *strings = section(image, SECTION_STRINGS);
	uint64_t size = image->header.section[SECTION_STRINGS].size;

	if (offset >= size || !memchr(strings + offset, '\0', size - offset))
		return NULL;
	return strdup(strings + offset);
}

static bool unpack_layer(const struct image *image, struct xrnpe_layer_info *to,
			 const struct file_layer *from)
{
	*to = (struct xrnpe_layer_info){
		.name = copy_string(image, from->name),
		.op = copy_string(image, from->op),
		.rank = from->rank,
		.macs = from->macs,
		.bytes = from->bytes,
		.float_bytes = from->float_bytes,
		.format = (enum xrnpe_format)from->format,
		.weight_format = (enum xrnpe_format)from->weight_format,
		.out_format = (enum xrnpe_format)from->out_format,
		.error = from->error,
	};
	for (unsigned int i = 0; i < 3; i++)
		to->dims[i] = from->dims[i];
	memcpy(to->weight_error, from->weight_error, sizeof(to->weight_error));
	memcpy(to->input_error, from->input_error, sizeof(to->input_error));
	return to->name && to->op;
}

static bool unpack_tensor(const struct image *image, struct xrnpe_model_tensor *to,
			  const struct file_tensor *from)
{
	*to = (struct xrnpe_model_tensor){
		.info = { .name = copy_string(image, from->name), .rank = from->rank },
		.region = (enum xrnpe_model_region)from->region,
		.format = (enum xrnpe_format)from->format,
		.offset = from->offset,
		.row_stride = from->row_stride,
		.pixel_stride = from->pixel_stride,
		.scale = from->scale,
	};
	/* May overflow for dims that xrnpe_model_check() refuses. */
	to->info.count = 1;
	for (unsigned int i = 0; i < 3; i++) {
		to->info.dims[i] = from->dims[i];
		to->info.count *= from->dims[i];
	}
	return to->info.name;
}

static int unpack(const char *path, const struct image *image, struct xrnpe_model *model,
		  struct xrnpe_error *error)
{
	struct file_info info;
	const struct file_layer *layers = section(image, SECTION_LAYERS);
	const struct file_tensor *tensors = section(image, SECTION_TENSORS);
	uint32_t layer_count = 0, tensor_count = 0, labels = 0;
	int ret;

	if (image->header.section[SECTION_INFO].size != sizeof(info))
		return xrnpe_fail(error, -EINVAL, "%s: section info has an odd size", path);
	memcpy(&info, section(image, SECTION_INFO), sizeof(info));
	if (info.reserved ||
	    info.region_size[XRNPE_MODEL_CONSTANTS] != image->header.section[SECTION_CONSTANTS].size)
		return xrnpe_fail(error, -EINVAL, "%s: section info is malformed", path);

	ret = count_elements(path, image, SECTION_COMMANDS, sizeof(struct xrnpe_cmd),
			     &model->cmd_count, error);
	if (!ret)
		ret = count_elements(path, image, SECTION_COMMAND_LAYERS, sizeof(uint32_t),
				     &labels, error);
	if (!ret)
		ret = count_elements(path, image, SECTION_LAYERS, sizeof(*layers), &layer_count,
				     error);
	if (!ret)
		ret = count_elements(path, image, SECTION_TENSORS, sizeof(*tensors), &tensor_count,
				     error);
	if (ret)
		return ret;
	if (labels != model->cmd_count)
		return xrnpe_fail(error, -EINVAL, "%s: has %u commands and layers for %u", path,
				  model->cmd_count, labels);

	model->input_count = info.input_count;
	model->output_count = info.output_count;
	memcpy(model->region_size, info.region_size, sizeof(model->region_size));
	model->name = strdup(path);
	model->producer = copy_string(image, info.producer);
	model->cmds = copy_section(image, SECTION_COMMANDS);
	model->cmd_layer = copy_section(image, SECTION_COMMAND_LAYERS);
	model->constants = copy_section(image, SECTION_CONSTANTS);
	model->layers = calloc(layer_count ? layer_count : 1, sizeof(*model->layers));
	model->tensors = calloc(tensor_count ? tensor_count : 1, sizeof(*model->tensors));
	if (!model->name || !model->cmds || !model->cmd_layer || !model->constants ||
	    !model->layers || !model->tensors)
		return xrnpe_fail_memory(error);

	/* The counts grow with what has been made, for xrnpe_model_free(). */
	while (model->layer_count < layer_count) {
		uint32_t i = model->layer_count++;

		if (!unpack_layer(image, &model->layers[i], &layers[i]))
			return xrnpe_fail(error, -EINVAL, "%s: layer %u has no name", path, i);
		if (layers[i].reserved)
			return xrnpe_fail(error, -EINVAL, "%s: layer %u is malformed", path, i);
	}
	while (model->tensor_count < tensor_count) {
		uint32_t i = model->tensor_count++;

		if (!unpack_tensor(image, &model->tensors[i], &tensors[i]))
			return xrnpe_fail(error, -EINVAL, "%s: tensor %u has no name", path, i);
	}
	return xrnpe_model_check_tables(model, error);
}

int xrnpe_model_read(const char *path, struct xrnpe_model **model, struct xrnpe_error *error)
{
	struct image image;
	struct xrnpe_model *result = NULL;
	unsigned char *bytes;
	size_t size;
	int ret;

	ret = xrnpe_file_read(path, SIZE_MAX / 4, &bytes, &size, error);
	if (ret)
		return ret;
	image.bytes = bytes;
	image.size = size;
	ret = check_header(path, &image, error);
	if (!ret)
		ret = check_sections(path, &image, error);
	if (!ret) {
		result = xrnpe_model_new();
		ret = result ? unpack(path, &image, result, error) : xrnpe_fail_memory(error);
	}
	free(bytes);
	if (ret) {
		xrnpe_model_free(result);
		return ret;
	}
	*model = result;
	return 0;
}

int xrnpe_model_load(const char *path, struct xrnpe_model **model, struct xrnpe_error *error)
{
	struct xrnpe_model *result;
	int ret = xrnpe_model_read(path, &result, error);

	if (ret)
		return ret;
	ret = xrnpe_model_check(result, error);
	if (ret)
		xrnpe_model_free(result);
	else
		*model = result;
	return ret;
}
