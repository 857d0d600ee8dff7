/* SPDX-License-Identifier: MIT */
/* What the sub-commands share: messages, progress, colours, JSON. */
#ifndef XRNPE_CONSOLE_H
#define XRNPE_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "drm/xrnpe_cmd.h"	/* enum xrnpe_format */

struct option;
struct xrnpe_error;

/* Print an error of the library; returns 1, the exit status. */
int failed(const struct xrnpe_error *error);

/* Print what is wrong with the command line and where help is; returns 2. */
int misused(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Give each option of the command line, by getopt_long(), to @take with @data: it returns 0, an
 * exit status, or -1: there is no such option. 'h' prints @usage. Returns an exit status, or -1:
 * all is well, and the rest begins at argv[optind].
 */
int take_options(int argc, char **argv, const char *letters, const struct option *options,
		 const char *usage,
		 int (*take)(void *data, const char *command, int option, char *argument), void *data);

/* Flush standard output; returns the exit status: 1 with a message if it cannot. */
int finish_output(void);

/* Whether colours may be written to @stream: a terminal, and NO_COLOR is not set. */
bool has_colour(FILE *stream);

/*
 * A line that shows how far a computation is, on standard error if that is a
 * terminal, redrawn a few times a second. Passed as data to an xrnpe_progress
 * callback, show_progress(). clear_progress() removes it.
 */
struct progress {
	const char *what;
	double start, drawn;	/* seconds; 0: not yet */
};

int show_progress(void *progress, size_t done, size_t total);
void clear_progress(const struct progress *progress);

/* Whether two paths name one file, which is there. */
bool is_same_file(const char *a, const char *b);

/* Seconds on the monotonic clock. */
double seconds_now(void);

/* Write a string as JSON, with its quotes. */
void json_string(FILE *stream, const char *string);

/* A whole number from 1 to @most, in digits alone. */
bool parse_count(const char *text, size_t most, size_t *count);

/*
 * The value of @option, a format that multiplies, by name. Returns 0, or an exit status with what
 * is wrong printed.
 */
int take_format(const char *command, const char *option, const char *name,
		enum xrnpe_format *format);

/* The width of a column of a table that has @text in it, too. */
int wider(int width, const char *text);

/* "1x28x28" for dims 1, 28, 28; "scalar" for none. */
void shape_text(unsigned int rank, const size_t *dims, char *text, size_t size);

#endif
