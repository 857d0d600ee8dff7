// SPDX-License-Identifier: MIT
/*
 * xrnpe disasm of a dump that the driver made of a device that failed, see "Dumps" in
 * Documentation/accel/xrnpe.rst. Record and commands get their words; the rest is in words
 * already, and stays.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "console.h"
#include "disasm.h"
#include "error.h"

#define DUMP_VERSION "1"

struct dump {
	const struct disasm_options *options;
	const char *begin, *at, *end;
	unsigned int line;		/* that was read last, from 1 */
	size_t text_size;		/* what is in words, from @begin */
	struct disasm_places places;	/* of the job it is about */
	struct xrnpe_job_record record;
	unsigned char *commands;
	size_t commands_size, stride;
};

static int malformed(const struct dump *dump, const char *what, struct xrnpe_error *error)
{
	return xrnpe_fail(error, -EINVAL, "%s: line %u: %s", dump->options->path, dump->line, what);
}

/* The next line, without its end, or NULL. To be freed. */
static char *next_line(struct dump *dump)
{
	const char *stop = memchr(dump->at, '\n', (size_t)(dump->end - dump->at));
	char *line;

	if (!stop)
		return NULL;
	line = strndup(dump->at, (size_t)(stop - dump->at));
	dump->at = stop + 1;
	dump->line++;
	return line;
}

/* ---- bytes --------------------------------------------------------------- */

/* Two spaces, and two digits a byte. Returns how many, or 0. */
static size_t parse_bytes(const char *line, unsigned char *bytes, size_t room)
{
	size_t count = 0;

	if (strncmp(line, "  ", 2))
		return 0;
	for (line += 2; isxdigit((unsigned char)line[0]) && isxdigit((unsigned char)line[1]) &&
			count < room; line += 2) {
		const char digits[] = { line[0], line[1], '\0' };

		bytes[count++] = (unsigned char)strtoul(digits, NULL, 16);
	}
	return *line ? 0 : count;
}

static int read_bytes(struct dump *dump, unsigned char *bytes, size_t size, struct xrnpe_error *error)
{
	for (size_t done = 0, count; done < size; done += count) {
		char *line = next_line(dump);

		if (!line)
			return malformed(dump, "the dump ends early", error);
		count = parse_bytes(line, bytes + done, size - done);
		free(line);
		if (!count)
			return malformed(dump, "these are not the bytes that should follow", error);
	}
	return 0;
}

/* ---- its parts ----------------------------------------------------------- */

/* Regions are listed of every job; those of the last one, the culprit, count. */
static void note_region(struct dump *dump, const char *line)
{
	struct disasm_places *places = &dump->places;
	unsigned int index;
	char access[3];
	uint64_t size;

	if (!strcmp(line, "culprit:"))
		places->count = 0;
	if (sscanf(line, "    region %u: %*x size %" SCNx64 " %2s", &index, &size, access) != 3 ||
	    index != places->count || index >= XRNPE_MAX_REGIONS)
		return;
	places->extents[places->count++] = (struct xrnpe_extent){
		size, (strchr(access, 'r') ? XRNPE_REGION_READ : 0) |
		      (strchr(access, 'w') ? XRNPE_REGION_WRITE : 0),
	};
}

static int read_text(struct dump *dump, struct xrnpe_error *error)
{
	bool more = true;

	while (more) {
		char *line;

		dump->text_size = (size_t)(dump->at - dump->begin);
		line = next_line(dump);
		if (!line)
			return malformed(dump, "the dump ends before its record", error);
		note_region(dump, line);
		more = strcmp(line, "record:") != 0;
		free(line);
	}
	return 0;
}

static bool parse_commands(struct dump *dump, const char *heading)
{
	size_t size, stride;

	if (sscanf(heading, "commands: %zu bytes, stride %zu", &size, &stride) != 2 ||
	    size > (size_t)(dump->end - dump->at) || !disasm_stride_is_legal(stride) ||
	    (size % stride && size % stride < sizeof(struct xrnpe_cmd)) ||
	    (size + stride - 1) / stride > XRNPE_MAX_CMDS)
		return false;
	dump->commands_size = size;
	dump->stride = stride;
	return true;
}

static int read_commands(struct dump *dump, struct xrnpe_error *error)
{
	char *heading = next_line(dump);
	bool good;

	if (!heading)
		return malformed(dump, "the dump ends before its commands", error);
	good = parse_commands(dump, heading);
	free(heading);
	if (!good)
		return malformed(dump, "there are no such commands", error);
	dump->commands = malloc(dump->commands_size + 1);
	if (!dump->commands)
		return xrnpe_fail_memory(error);
	return read_bytes(dump, dump->commands, dump->commands_size, error);
}

static bool has_record(const struct dump *dump)
{
	static const struct xrnpe_job_record none;

	return memcmp(&dump->record, &none, sizeof(none)) != 0;
}

/* ---- in words ------------------------------------------------------------ */

static int print_dump(struct dump *dump, struct xrnpe_error *error)
{
	fwrite(dump->begin, 1, dump->text_size, stdout);
	if (has_record(dump)) {
		puts("record:");
		disasm_record(&dump->record, false);
	} else {
		puts("record: none");
	}
	printf("commands: %zu bytes, stride %zu\n", dump->commands_size, dump->stride);
	return dump->commands_size ? disasm_commands(dump->options, &dump->places, dump->commands,
						     dump->commands_size, dump->stride, error) : 0;
}

static int print_json(struct dump *dump, struct xrnpe_error *error)
{
	int ret = 0;

	dump->at = dump->begin;
	fputs("{\"text\": [", stdout);
	while (dump->at < dump->begin + dump->text_size) {
		const char *comma = dump->at > dump->begin ? ",\n" : "\n";
		char *line = next_line(dump);

		if (!line)
			return xrnpe_fail_memory(error);
		fputs(comma, stdout);
		json_string(stdout, line);
		free(line);
	}
	fputs("\n], \"record\": ", stdout);
	if (has_record(dump))
		disasm_record(&dump->record, true);
	else
		fputs("null", stdout);
	fputs(", \"commands\": [", stdout);
	if (dump->commands_size)
		ret = disasm_commands(dump->options, &dump->places, dump->commands,
				      dump->commands_size, dump->stride, error);
	puts("\n]}");
	return ret;
}

int disasm_dump(const struct disasm_options *options, const char *data, size_t size,
		struct xrnpe_error *error)
{
	const size_t length = strlen(DISASM_DUMP DUMP_VERSION "\n");
	struct dump dump = { .options = options, .begin = data, .at = data, .end = data + size };
	int ret;

	if (size < length || memcmp(data, DISASM_DUMP DUMP_VERSION "\n", length))
		return xrnpe_fail(error, -EINVAL, "%s: a dump of a version other than " DUMP_VERSION,
				  options->path);
	ret = read_text(&dump, error);
	if (!ret)
		ret = read_bytes(&dump, (unsigned char *)&dump.record, sizeof(dump.record), error);
	if (!ret)
		ret = read_commands(&dump, error);
	if (!ret)
		ret = options->json ? print_json(&dump, error) : print_dump(&dump, error);
	free(dump.commands);
	return ret;
}
