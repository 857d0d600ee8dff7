// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "io.h"

int xrnpe_file_read(const char *path, size_t limit, unsigned char **data, size_t *size,
		    struct xrnpe_error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret = 0;
	unsigned char *bytes = NULL;
	size_t room = 0, used = 0;
	struct stat st;

	if (fd < 0)
		return xrnpe_fail_errno(error, path, "open");
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && (uint64_t)st.st_size < limit)
		room = (size_t)st.st_size + 1;	/* one more, to see the end */

	/* A file may change or be a pipe: believe what read() says, not fstat(). */
	for (;;) {
		ssize_t n;

		if (used == room || !bytes) {
			unsigned char *more;

			room = used < room ? room : room ? 2 * room : 65536;
			more = realloc(bytes, room);
			if (!more) {
				ret = xrnpe_fail_memory(error);
				break;
			}
			bytes = more;
		}
		n = read(fd, bytes + used, room - used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			ret = xrnpe_fail_errno(error, path, "read");
		if (n <= 0)
			break;
		used += (size_t)n;
		if (used > limit) {
			ret = xrnpe_fail(error, -EFBIG, "%s: longer than %zu bytes", path, limit);
			break;
		}
	}
	close(fd);
	if (ret) {
		free(bytes);
		return ret;
	}
	*data = bytes;
	*size = used;
	return 0;
}

int xrnpe_file_read_part(const char *path, uint64_t offset, size_t size, void *data,
			 struct xrnpe_error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), ret = 0;
	size_t used = 0;
	struct stat st;

	if (fd < 0)
		return xrnpe_fail_errno(error, path, "open");
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		ret = xrnpe_fail(error, -EINVAL, "%s: is not a regular file", path);
	while (!ret && used < size) {
		ssize_t n = pread(fd, (char *)data + used, size - used, (off_t)(offset + used));

		if (n < 0 && errno != EINTR)
			ret = xrnpe_fail_errno(error, path, "read");
		if (n == 0)
			ret = xrnpe_fail(error, -EINVAL, "%s: has %lld bytes, not %zu from %llu on",
					 path, (long long)st.st_size, size,
					 (unsigned long long)offset);
		used += n > 0 ? (size_t)n : 0;
	}
	close(fd);
	return ret;
}

/* Open what is written to: @path itself if it is a device or a pipe. */
static FILE *create(struct xrnpe_file *file)
{
	struct stat st;
	mode_t mask;
	FILE *stream = NULL;
	int fd;

	if (!stat(file->path, &st) && !S_ISREG(st.st_mode)) {
		free(file->temporary);
		file->temporary = NULL;
		return fopen(file->path, "wbe");
	}
	fd = mkostemp(file->temporary, O_CLOEXEC);
	if (fd < 0)
		return NULL;
	/* mkostemp() makes a private file; the result is an ordinary one. */
	mask = umask(0);
	umask(mask);
	if (!fchmod(fd, 0666 & ~mask))
		stream = fdopen(fd, "wb");
	if (!stream) {
		int code = errno;

		close(fd);
		unlink(file->temporary);
		errno = code;
	}
	return stream;
}

static void forget(struct xrnpe_file *file)
{
	free(file->temporary);
	free(file->target);
	free(file->path);
}

/* What @path names: where it is a link to a file, that file. */
static char *resolve(const char *path)
{
	char *target = realpath(path, NULL);

	return target ? target : strdup(path);
}

int xrnpe_file_create(struct xrnpe_file *file, const char *path, struct xrnpe_error *error)
{
	const char *slash;
	int ret = 0;

	*file = (struct xrnpe_file){ .path = strdup(path), .target = resolve(path) };
	/* In the same folder; the file's own name may be as long as names can be. */
	slash = file->target ? strrchr(file->target, '/') : NULL;
	if (!file->path || !file->target ||
	    asprintf(&file->temporary, "%.*s.xrnpe-XXXXXX", slash ? (int)(slash + 1 - file->target) : 0,
		     file->target) < 0) {
		free(file->target);
		free(file->path);
		return xrnpe_fail_memory(error);
	}
	file->stream = create(file);
	if (!file->stream) {
		ret = xrnpe_fail_errno(error, path, "create");
		forget(file);
	}
	return ret;
}

int xrnpe_file_commit(struct xrnpe_file *file, struct xrnpe_error *error)
{
	bool failed = fflush(file->stream) || ferror(file->stream) ||
		      (file->temporary && fsync(fileno(file->stream)));
	int ret = 0;

	if (failed || (file->temporary && rename(file->temporary, file->target))) {
		ret = xrnpe_fail_errno(error, file->path, "write");
		if (file->temporary)
			unlink(file->temporary);
	}
	fclose(file->stream);
	forget(file);
	return ret;
}

void xrnpe_file_abandon(struct xrnpe_file *file)
{
	fclose(file->stream);
	if (file->temporary)
		unlink(file->temporary);
	forget(file);
}
