// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <unzip.h>
#include <zip.h>
#include <zlib.h>

#include "error.h"
#include "io.h"
#include "npy.h"
#include "npz.h"

#define SUFFIX ".npy"
/* Deflate makes at most so many bytes of one. */
#define DEFLATE_MOST 1032
/* Sizes of one call to minizip are int. */
#define CHUNK ((size_t)1 << 30)
/* General purpose bit 11: names are UTF-8. */
#define ZIP_UTF8 (1u << 11)
/* 1980-01-01, the first day that a zip archive knows. */
#define ZIP_EPOCH (1u << 21 | 1u << 16)

bool is_npz(const char *path)
{
	size_t length = strlen(path);

	return length >= 4 && !strcmp(path + length - 4, ".npz");
}

/* ---- reading -------------------------------------------------------------- */

/* The name of the current member, from malloc(), and what else is known of it; NULL: damaged. */
static char *member_name(unzFile zip, unz_file_info64 *info)
{
	char *name;

	if (unzGetCurrentFileInfo64(zip, info, NULL, 0, NULL, 0, NULL, 0) != UNZ_OK)
		return NULL;
	name = calloc(1, info->size_filename + 1);
	if (name && unzGetCurrentFileInfo64(zip, info, name, info->size_filename + 1, NULL, 0, NULL,
					    0) == UNZ_OK)
		return name;
	free(name);
	return NULL;
}

/* Add the name of an array to a list for messages. */
static void add_name(char *list, size_t size, const char *name)
{
	size_t used = strlen(list), length = strlen(name);

	if (length > strlen(SUFFIX) && !strcmp(name + length - strlen(SUFFIX), SUFFIX))
		length -= strlen(SUFFIX);
	snprintf(list + used, size - used, "%s%.*s", used ? ", " : "", (int)length, name);
}

/* Make the member of array @name the current one. */
static int find_member(unzFile zip, const char *path, const char *name, unz_file_info64 *info,
		       struct xrnpe_error *error)
{
	size_t length = strlen(name);
	char list[512] = "";
	int status;

	for (status = unzGoToFirstFile(zip); status == UNZ_OK; status = unzGoToNextFile(zip)) {
		char *member = member_name(zip, info);
		bool found;

		if (!member)
			break;
		found = strlen(member) == length + strlen(SUFFIX) &&
			!memcmp(member, name, length) && !strcmp(member + length, SUFFIX);
		if (!found)
			add_name(list, sizeof(list), member);
		free(member);
		if (found)
			return 0;
	}
	if (status != UNZ_END_OF_LIST_OF_FILE)
		return xrnpe_fail(error, -EINVAL, "%s: damaged: its directory cannot be read", path);
	return xrnpe_fail(error, -EINVAL, "%s: has no array %s; it has %s", path, name, list);
}

/* Unpack the current member to @size bytes; false: it is damaged, or packed in another way. */
static bool unpack(unzFile zip, unsigned char *bytes, size_t size)
{
	size_t done = 0;
	int n = 0;

	if (unzOpenCurrentFile(zip) != UNZ_OK)
		return false;
	while (done < size) {
		n = unzReadCurrentFile(zip, bytes + done,
				       (unsigned int)(size - done < CHUNK ? size - done : CHUNK));
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	/* It checks the checksum. */
	return unzCloseCurrentFile(zip) == UNZ_OK && done == size;
}

static int read_member(unzFile zip, const char *path, uint64_t file_size, const char *name,
		       struct xrnpe_array *array, struct xrnpe_error *error)
{
	char title[512];
	unz_file_info64 info;
	unsigned char *bytes;
	int ret;

	ret = find_member(zip, path, name, &info, error);
	if (ret)
		return ret;
	snprintf(title, sizeof(title), "%s: array %s", path, name);
	/* No memory for what the file cannot hold. */
	if (info.uncompressed_size / DEFLATE_MOST > file_size ||
	    (!info.compression_method && info.uncompressed_size > file_size))
		return xrnpe_fail(error, -EINVAL, "%s: damaged: has %llu bytes in a file of %llu", title,
				  (unsigned long long)info.uncompressed_size,
				  (unsigned long long)file_size);
	bytes = malloc(info.uncompressed_size + 1);
	if (!bytes)
		return xrnpe_fail_memory(error);
	if (unpack(zip, bytes, info.uncompressed_size))
		ret = npy_parse(title, bytes, info.uncompressed_size, array, error);
	else
		ret = xrnpe_fail(error, -EINVAL, "%s: damaged, or not packed by deflate", title);
	free(bytes);
	return ret;
}

int npz_read(const char *path, const char *name, struct xrnpe_array *array,
	     struct xrnpe_error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), ret;
	struct stat st;
	unzFile zip;

	if (fd < 0)
		return xrnpe_fail_errno(error, path, "open");
	ret = fstat(fd, &st) ? xrnpe_fail_errno(error, path, "read") : 0;
	close(fd);
	if (ret)
		return ret;
	zip = S_ISREG(st.st_mode) ? unzOpen64(path) : NULL;
	if (!zip)
		return xrnpe_fail(error, -EINVAL, "%s: not an .npz file", path);
	ret = read_member(zip, path, (uint64_t)st.st_size, name, array, error);
	unzClose(zip);
	return ret;
}

/* ---- writing -------------------------------------------------------------- */

/* The archive goes to a stream that is open, which xrnpe_file_commit() closes. */
static voidpf open_stream(voidpf stream, const void *path, int mode)
{
	return stream;
}

static int leave_stream(voidpf opaque, voidpf stream)
{
	return 0;
}

static bool write_bytes(zipFile zip, const void *data, size_t size)
{
	const char *bytes = data;

	for (size_t done = 0, part; done < size; done += part) {
		part = size - done < CHUNK ? size - done : CHUNK;
		if (zipWriteInFileInZip(zip, bytes + done, (unsigned int)part) != ZIP_OK)
			return false;
	}
	return true;
}

static bool write_member(zipFile zip, const char *name, const struct xrnpe_array *array)
{
	const zip_fileinfo info = { .dosDate = ZIP_EPOCH };
	size_t size = array->count * sizeof(*array->data), header_size;
	char header[NPY_HEADER_MAX], *member;
	bool written;

	if (asprintf(&member, "%s" SUFFIX, name) < 0)
		return false;
	header_size = npy_header(array, header);
	written = zipOpenNewFileInZip4_64(zip, member, &info, NULL, 0, NULL, 0, NULL, 0, 0, 0,
					  -MAX_WBITS, DEF_MEM_LEVEL, Z_DEFAULT_STRATEGY, NULL, 0, 0,
					  ZIP_UTF8, size >= UINT32_MAX - NPY_HEADER_MAX) == ZIP_OK &&
		  write_bytes(zip, header, header_size) && write_bytes(zip, array->data, size) &&
		  zipCloseFileInZip(zip) == ZIP_OK;
	free(member);
	return written;
}

int npz_write(const char *path, unsigned int count, const char *const *names,
	      const struct xrnpe_array *const *arrays, struct xrnpe_error *error)
{
	zlib_filefunc64_def functions;
	struct xrnpe_file file;
	zipFile zip;
	bool written;
	int ret;

	ret = xrnpe_file_create(&file, path, error);
	if (ret)
		return ret;
	fill_fopen64_filefunc(&functions);
	functions.zopen64_file = open_stream;
	functions.zclose_file = leave_stream;
	functions.opaque = file.stream;
	zip = zipOpen2_64(path, APPEND_STATUS_CREATE, NULL, &functions);
	written = zip;
	for (unsigned int i = 0; written && i < count; i++)
		written = write_member(zip, names[i], arrays[i]);
	if (zip && zipClose(zip, NULL) != ZIP_OK)
		written = false;
	/* Errors of the stream are the commit's to tell. */
	if (written || ferror(file.stream))
		return xrnpe_file_commit(&file, error);
	xrnpe_file_abandon(&file);
	return xrnpe_fail(error, -EIO, "%s: cannot write: not a zip archive's place or size", path);
}
