// SPDX-License-Identifier: MIT
/*
 * NumPy's .npy files: magic, version, length of the header, the header (a Python
 * dictionary literal of three keys), then the elements. The format is described
 * in NumPy's documentation, numpy.lib.format.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "io.h"
#include "npy.h"

#define MAGIC "\x93NUMPY"
#define MAGIC_SIZE 6
/* Far above any header of a plain array; NumPy itself writes 128 bytes. */
#define HEADER_MAX 65536
#define ALIGN 64

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "libxrnpe is for little-endian hosts"
#endif

/* What the header said. */
struct header {
	char descr[16];
	bool fortran_order;
	unsigned int rank;
	size_t dims[XRNPE_MAX_RANK];
	size_t count;
};

/* An element type: how to make floats of @count elements; false: one does not fit. */
struct type {
	const char *descr;
	size_t size;
	bool (*convert)(const void *from, float *to, size_t count);
};

static bool from_f32(const void *from, float *to, size_t count)
{
	memcpy(to, from, count * sizeof(*to));
	return true;
}

static bool from_u8(const void *from, float *to, size_t count)
{
	const uint8_t *values = from;

	for (size_t i = 0; i < count; i++)
		to[i] = values[i];
	return true;
}

/* Integers up to 2^24 are exact in binary32: enough for labels and pixels. */
static bool integer(int64_t value, float *to)
{
	*to = (float)value;
	return value >= -(1 << 24) && value <= 1 << 24;
}

static bool from_i32(const void *from, float *to, size_t count)
{
	int32_t value;

	for (size_t i = 0; i < count; i++) {
		memcpy(&value, (const char *)from + i * sizeof(value), sizeof(value));
		if (!integer(value, &to[i]))
			return false;
	}
	return true;
}

static bool from_i64(const void *from, float *to, size_t count)
{
	int64_t value;

	for (size_t i = 0; i < count; i++) {
		memcpy(&value, (const char *)from + i * sizeof(value), sizeof(value));
		if (!integer(value, &to[i]))
			return false;
	}
	return true;
}

static const struct type types[] = {
	{ "<f4", 4, from_f32 },
	{ "|u1", 1, from_u8 },
	{ "<i4", 4, from_i32 },
	{ "<i8", 8, from_i64 },
};

/* A cursor over the header's text. All of these return false on a mismatch. */
struct text {
	const char *at, *end;
};

static void skip_space(struct text *t)
{
	while (t->at < t->end && (*t->at == ' ' || *t->at == '\n'))
		t->at++;
}

static bool take(struct text *t, const char *word)
{
	size_t size = strlen(word);

	skip_space(t);
	if ((size_t)(t->end - t->at) < size || memcmp(t->at, word, size))
		return false;
	t->at += size;
	return true;
}

static bool take_string(struct text *t, char *string, size_t room)
{
	char quote;
	size_t used = 0;

	skip_space(t);
	if (t->at == t->end || (*t->at != '\'' && *t->at != '"'))
		return false;
	quote = *t->at++;
	while (t->at < t->end && *t->at != quote) {
		if (used + 1 == room)
			return false;
		string[used++] = *t->at++;
	}
	string[used] = '\0';
	return t->at++ < t->end;
}

static bool take_size(struct text *t, size_t *value)
{
	const char *start;

	skip_space(t);
	start = t->at;
	*value = 0;
	while (t->at < t->end && *t->at >= '0' && *t->at <= '9')
		if (__builtin_mul_overflow(*value, 10, value) ||
		    __builtin_add_overflow(*value, (size_t)(*t->at++ - '0'), value))
			return false;
	return t->at > start;
}

/* (), (3,), (3, 4), (3, 4,) */
static bool take_shape(struct text *t, struct header *h)
{
	if (!take(t, "("))
		return false;
	while (!take(t, ")")) {
		size_t dim;

		if (!take_size(t, &dim))
			return false;
		/* Those beyond are counted only. */
		if (h->rank < XRNPE_MAX_RANK)
			h->dims[h->rank] = dim;
		h->rank++;
		if (!take(t, ",")) {
			if (!take(t, ")"))
				return false;
			break;
		}
	}
	return true;
}

/* The types of a record's fields, of which none is used: [('a', '<f4'), ('b', '<i2', (3,))] */
static bool take_record(struct text *t)
{
	unsigned int depth = 2;

	if (!take(t, "[") || !take(t, "("))
		return false;
	for (; depth && t->at < t->end; t->at++) {
		depth += *t->at == '[' || *t->at == '(';
		depth -= *t->at == ']' || *t->at == ')';
	}
	return !depth && t->at[-1] == ']';
}

static bool take_descr(struct text *t, struct header *h)
{
	skip_space(t);
	if (t->at == t->end || *t->at != '[')
		return take_string(t, h->descr, sizeof(h->descr));
	strcpy(h->descr, "record");
	return take_record(t);
}

static bool parse_header(struct text *t, struct header *h)
{
	enum { DESCR = 1, ORDER = 2, SHAPE = 4, ALL = 7 };
	unsigned int seen = 0, key;
	char name[16];

	if (!take(t, "{"))
		return false;
	while (!take(t, "}")) {
		if (!take_string(t, name, sizeof(name)) || !take(t, ":"))
			return false;
		key = !strcmp(name, "descr") ? DESCR : !strcmp(name, "fortran_order") ? ORDER :
		      !strcmp(name, "shape") ? SHAPE : ALL;
		if (seen & key)
			return false;
		seen |= key;
		if (key == DESCR && !take_descr(t, h))
			return false;
		if (key == SHAPE && !take_shape(t, h))
			return false;
		if (key == ORDER) {
			h->fortran_order = take(t, "True");
			if (!h->fortran_order && !take(t, "False"))
				return false;
		}
		if (!take(t, ",")) {
			if (!take(t, "}"))
				return false;
			break;
		}
	}
	skip_space(t);
	return seen == ALL && t->at == t->end;
}

static const struct type *find_type(const char *descr)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (!strcmp(types[i].descr, descr))
			return &types[i];
	return NULL;
}

int npy_parse(const char *path, const unsigned char *bytes, size_t size,
	      struct xrnpe_array *array, struct xrnpe_error *error)
{
	struct header h = { .count = 1 };
	const struct type *type;
	size_t start, length, expected;
	struct text text;

	if (size < MAGIC_SIZE + 4 || memcmp(bytes, MAGIC, MAGIC_SIZE))
		return xrnpe_fail(error, -EINVAL, "%s: not a .npy file", path);
	if (bytes[6] < 1 || bytes[6] > 3 || bytes[7])
		return xrnpe_fail(error, -ENOTSUP, "%s: .npy version %u.%u is not supported",
				  path, bytes[6], bytes[7]);
	start = bytes[6] == 1 ? 10 : 12;
	length = bytes[8] | bytes[9] << 8;
	if (bytes[6] > 1 && size >= start)
		length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
	if (size < start || length > HEADER_MAX || size - start < length)
		return xrnpe_fail(error, -EINVAL, "%s: truncated in its header", path);

	text.at = (const char *)bytes + start;
	text.end = text.at + length;
	if (!parse_header(&text, &h))
		return xrnpe_fail(error, -EINVAL, "%s: malformed .npy header", path);
	if (h.rank > XRNPE_MAX_RANK)
		return xrnpe_fail(error, -ENOTSUP, "%s: has %u dimensions; at most %d are supported", path,
				  h.rank, XRNPE_MAX_RANK);
	if (h.fortran_order && h.rank > 1)
		return xrnpe_fail(error, -ENOTSUP, "%s: in Fortran order; save it in C order",
				  path);
	type = find_type(h.descr);
	if (!type)
		return xrnpe_fail(error, -ENOTSUP,
				  "%s: element type '%s' is not supported; save it as float32",
				  path, h.descr);

	for (unsigned int i = 0; i < h.rank; i++)
		if (__builtin_mul_overflow(h.count, h.dims[i], &h.count))
			return xrnpe_fail(error, -EINVAL, "%s: its shape is too large", path);
	if (__builtin_mul_overflow(h.count, type->size, &expected) ||
	    h.count > SIZE_MAX / sizeof(float) || size - start - length != expected)
		return xrnpe_fail(error, -EINVAL,
				  "%s: has %zu bytes of data where its header says %zu elements of %zu",
				  path, size - start - length, h.count, type->size);

	array->data = malloc(h.count ? h.count * sizeof(float) : 1);
	if (!array->data)
		return xrnpe_fail_memory(error);
	if (!type->convert(bytes + start + length, array->data, h.count)) {
		free(array->data);
		return xrnpe_fail(error, -EINVAL,
				  "%s: holds an integer beyond +-2^24, which float32 cannot", path);
	}
	array->rank = h.rank;
	array->count = h.count;
	for (unsigned int i = 0; i < XRNPE_MAX_RANK; i++)
		array->dims[i] = i < h.rank ? h.dims[i] : 1;
	return 0;
}

int xrnpe_npy_read(const char *path, struct xrnpe_array *array, struct xrnpe_error *error)
{
	struct xrnpe_array result;
	unsigned char *bytes;
	size_t size;
	int ret;

	ret = xrnpe_file_read(path, SIZE_MAX / 2, &bytes, &size, error);
	if (ret)
		return ret;
	ret = npy_parse(path, bytes, size, &result, error);
	free(bytes);
	if (!ret)
		*array = result;
	return ret;
}

size_t npy_header(const struct xrnpe_array *array, char header[NPY_HEADER_MAX])
{
	char *text = header + MAGIC_SIZE + 4;
	int used, padded;

	used = sprintf(text, "{'descr': '<f4', 'fortran_order': False, 'shape': (");
	for (unsigned int i = 0; i < array->rank; i++)
		used += sprintf(text + used, i ? ", %zu" : "%zu", array->dims[i]);
	used += sprintf(text + used, array->rank == 1 ? ",), }" : "), }");
	/* The data starts at a multiple of 64 bytes, as NumPy has it; ends in a newline. */
	padded = (MAGIC_SIZE + 4 + used + 1 + ALIGN - 1) / ALIGN * ALIGN - MAGIC_SIZE - 4;
	memset(text + used, ' ', (size_t)(padded - used));
	text[padded - 1] = '\n';
	memcpy(header, MAGIC "\x01\x00", MAGIC_SIZE + 2);
	header[MAGIC_SIZE + 2] = (char)(padded & 0xff);
	header[MAGIC_SIZE + 3] = (char)(padded >> 8);
	return MAGIC_SIZE + 4 + (size_t)padded;
}

int xrnpe_npy_write(const char *path, const struct xrnpe_array *array, struct xrnpe_error *error)
{
	char header[NPY_HEADER_MAX];
	size_t size = npy_header(array, header);
	struct xrnpe_file file;
	int ret;

	ret = xrnpe_file_create(&file, path, error);
	if (ret)
		return ret;
	fwrite(header, 1, size, file.stream);
	fwrite(array->data, sizeof(float), array->count, file.stream);
	return xrnpe_file_commit(&file, error);
}

void xrnpe_array_clear(struct xrnpe_array *array)
{
	free(array->data);
	memset(array, 0, sizeof(*array));
}
