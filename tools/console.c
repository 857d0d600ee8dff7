// SPDX-License-Identifier: MIT
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "console.h"
#include "error.h"
#include "xrnpe.h"

/* Seconds between two drawings of a progress line. */
#define REDRAW 0.1

int failed(const struct xrnpe_error *error)
{
	fflush(stdout);
	fprintf(stderr, "%sxrnpe:%s %s\n", has_colour(stderr) ? "\033[31m" : "",
		has_colour(stderr) ? "\033[m" : "", error->message);
	return 1;
}

int misused(const char *command, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s: ", command);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\nTry '%s --help'.\n", command);
	return 2;
}

int take_options(int argc, char **argv, const char *letters, const struct option *options,
		 const char *usage,
		 int (*take)(void *data, const char *command, int option, char *argument), void *data)
{
	int option, status;

	while ((option = getopt_long(argc, argv, letters, options, NULL)) != -1) {
		if (option == 'h') {
			fputs(usage, stdout);
			return finish_output();
		}
		status = option == '?' ? -1 : take(data, argv[0], option, optarg);
		if (status)
			return status > 0 ? status : misused(argv[0], "cannot understand the options");
	}
	return -1;
}

int finish_output(void)
{
	if (!fflush(stdout) && !ferror(stdout))
		return 0;
	fprintf(stderr, "xrnpe: cannot write standard output: %s\n", strerror(errno));
	return 1;
}

bool has_colour(FILE *stream)
{
	const char *no = getenv("NO_COLOR");

	return isatty(fileno(stream)) && !(no && *no);
}

bool is_same_file(const char *a, const char *b)
{
	struct stat first, second;

	return !stat(a, &first) && !stat(b, &second) && first.st_dev == second.st_dev &&
	       first.st_ino == second.st_ino;
}

double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

int show_progress(void *data, size_t done, size_t total)
{
	struct progress *progress = data;
	double now = seconds_now();

	if (!isatty(STDERR_FILENO))
		return 0;
	if (progress->start == 0)
		progress->start = now;
	if (done < total && now - progress->drawn < REDRAW)
		return 0;
	progress->drawn = now;
	fprintf(stderr, "\r\033[K%s %zu/%zu", progress->what, done, total);
	/* An estimate is worth showing when there is something to go by. */
	if (done < total && done && now - progress->start > 2)
		fprintf(stderr, ", %.0f s left",
			(now - progress->start) / (double)done * (double)(total - done));
	fflush(stderr);
	return 0;
}

void clear_progress(const struct progress *progress)
{
	if (progress->drawn != 0)
		fputs("\r\033[K", stderr);
}

/* Bytes of the UTF-8 sequence at @text; 0: it is none. (RFC 3629) */
static size_t utf8_length(const unsigned char *text)
{
	size_t length = text[0] < 0x80 ? 1 : text[0] < 0xc2 ? 0 : text[0] < 0xe0 ? 2 :
			text[0] < 0xf0 ? 3 : text[0] < 0xf5 ? 4 : 0;

	for (size_t i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	}
	/* Not the shortest form, half of a pair for UTF-16, beyond the last character. */
	if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
	    (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f))
		return 0;
	return length;
}

void json_string(FILE *stream, const char *string)
{
	const unsigned char *at = (const unsigned char *)string;

	fputc('"', stream);
	while (*at) {
		size_t length = utf8_length(at);

		if (*at == '"' || *at == '\\')
			fprintf(stream, "\\%c", *at);
		else if (*at < ' ')
			fprintf(stream, "\\u%04x", *at);
		else if (length)
			fwrite(at, 1, length, stream);
		else
			fputs("\\ufffd", stream);	/* JSON is UTF-8, a file's name may be anything */
		at += length ? length : 1;
	}
	fputc('"', stream);
}

bool parse_count(const char *text, size_t most, size_t *count)
{
	char *end;

	errno = 0;
	*count = strtoul(text, &end, 10);
	return !errno && *text >= '0' && *text <= '9' && !*end && *count && *count <= most;
}

int take_format(const char *command, const char *option, const char *name,
		enum xrnpe_format *format)
{
	return !xrnpe_format_from_name(name, format) && *format < XRNPE_PRODUCT_FORMATS ? 0 :
	       misused(command, "%s is not fp4, p4, p8 or p16: %s", option, name);
}

int wider(int width, const char *text)
{
	int length = (int)strlen(text);

	return length > width ? length : width;
}

void shape_text(unsigned int rank, const size_t *dims, char *text, size_t size)
{
	size_t used = 0;

	snprintf(text, size, "scalar");
	for (unsigned int i = 0; i < rank && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, i ? "x%zu" : "%zu", dims[i]);
}
