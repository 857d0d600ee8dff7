// SPDX-License-Identifier: MIT
/* xrnpe disasm: commands, job records, traces of the device and dumps of the driver as text. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "console.h"
#include "datapath.h"
#include "disasm.h"
#include "error.h"
#include "io.h"
#include "model.h"
#include "names.h"
#include "points.h"

static const char usage[] =
	"usage: xrnpe disasm FILE [OPTION...]\n"
	"\n"
	"Print commands as text, a line each. FILE is a compiled model, a log of the\n"
	"virtual device (qemu-system-aarch64 -trace 'xrnpe_*'), or a dump of the driver\n"
	"(/sys/class/devcoredump/devcd*/data).\n"
	"\n"
	"  -p, --point N   of a compiled model that has several\n"
	"  -r, --raw       FILE is a command buffer, as the device fetches it\n"
	"  -s, --stride N  bytes from a record to the next in it (default: 192)\n"
	"  -J, --record    FILE is a job record, as the device writes it\n"
	"  -f, --fields    of each command every field that is not zero, too\n"
	"  -j, --json      as JSON\n"
	"  -h, --help      this text\n";

/* ---- commands ---------------------------------------------------------- */

static void print_json_field(const struct xrnpe_cmd *cmd, const struct xrnpe_field *field)
{
	char text[96];
	bool number = field->kind == XRNPE_FIELD_NUMBER || field->kind == XRNPE_FIELD_HEX;

	json_string(stdout, field->name);
	xrnpe_field_text(cmd, field, text, sizeof(text));
	if (field->kind == XRNPE_FIELD_F32)
		number = isfinite(strtof(text, NULL));
	if (field->kind == XRNPE_FIELD_HEX)
		snprintf(text, sizeof(text), "%" PRIu64, xrnpe_field_value(cmd, field));
	fputs(": ", stdout);
	if (number)
		fputs(text, stdout);
	else
		json_string(stdout, text);
}

static void print_fields(const struct xrnpe_cmd *cmd, bool json)
{
	struct xrnpe_field field;
	const char *comma = "";

	for (unsigned int i = 0; xrnpe_cmd_field(cmd->opcode, i, &field); i++) {
		char text[96];

		if (!xrnpe_field_value(cmd, &field))
			continue;
		if (json) {
			fputs(comma, stdout);
			print_json_field(cmd, &field);
			comma = ", ";
		} else {
			xrnpe_field_text(cmd, &field, text, sizeof(text));
			printf("          %-19s %s\n", field.name, text);
		}
	}
}

static void fault_text(const struct disasm_places *places, const struct xrnpe_fault *fault,
		       const struct xrnpe_cmd *cmd, char *text, size_t size)
{
	char region[96];

	if (!places->names || fault->region >= places->count) {
		xrnpe_fault_text(fault, cmd, NULL, text, size);
		return;
	}
	snprintf(region, sizeof(region), "%s, %" PRIu64 " bytes", places->names[fault->region],
		 places->extents[fault->region].size);
	xrnpe_fault_text(fault, cmd, region, text, size);
}

static void print_command(const struct disasm_options *options, const struct disasm_places *places,
			  const struct xrnpe_cmd *cmd, uint32_t index, const char *layer)
{
	struct xrnpe_span spans[XRNPE_OPERANDS];
	char text[XRNPE_CMD_TEXT], what[256];
	struct xrnpe_fault fault;
	bool legal = xrnpe_cmd_check(cmd, index, places->extents, places->count, spans, &fault);

	xrnpe_cmd_text(cmd, text, sizeof(text));
	if (!legal)
		fault_text(places, &fault, cmd, what, sizeof(what));
	if (!options->json) {
		printf("%6u  %s\n", index, text);
		if (options->fields)
			print_fields(cmd, false);
		if (!legal)
			printf("        ^ %s\n", what);
		return;
	}
	printf("%s{\"index\": %u, ", index ? ",\n" : "\n", index);
	if (layer) {
		fputs("\"layer\": ", stdout);
		json_string(stdout, layer);
		fputs(", ", stdout);
	}
	fputs("\"text\": ", stdout);
	json_string(stdout, text);
	fputs(", \"fields\": {", stdout);
	print_fields(cmd, true);
	fputs("}, \"fault\": ", stdout);
	if (legal) {
		fputs("null}", stdout);
		return;
	}
	fputs("{\"kind\": ", stdout);
	json_string(stdout, xrnpe_fault_name(fault.kind));
	fputs(", \"text\": ", stdout);
	json_string(stdout, what);
	fputs("}}", stdout);
}

/* ---- a command buffer -------------------------------------------------- */

bool disasm_stride_is_legal(size_t stride)
{
	return stride >= sizeof(struct xrnpe_cmd) && stride <= XRNPE_CMD_STRIDE_MAX &&
	       stride % XRNPE_CMD_ALIGN == 0;
}

int disasm_commands(const struct disasm_options *options, const struct disasm_places *places,
		    const unsigned char *data, size_t size, size_t stride, struct xrnpe_error *error)
{
	/* The last record need not be as long as the stride. */
	size_t count = size / stride + (size % stride >= sizeof(struct xrnpe_cmd));

	if (!size || (size % stride && size % stride < sizeof(struct xrnpe_cmd)))
		return xrnpe_fail(error, -EINVAL, "%s: offset %zu: a command record has %zu bytes, not %zu",
				  options->path, count * stride, sizeof(struct xrnpe_cmd), size % stride);
	if (count > XRNPE_MAX_CMDS)
		return xrnpe_fail(error, -EINVAL, "%s: offset %zu: a job has at most %u commands",
				  options->path, XRNPE_MAX_CMDS * stride, XRNPE_MAX_CMDS);
	for (size_t i = 0; i < count; i++) {
		struct xrnpe_cmd cmd;

		memcpy(&cmd, data + i * stride, sizeof(cmd));
		print_command(options, places, &cmd, (uint32_t)i, NULL);
	}
	return 0;
}

static int disasm_raw(const struct disasm_options *options, const unsigned char *data, size_t size,
		      struct xrnpe_error *error)
{
	struct disasm_places places = { .count = XRNPE_MAX_REGIONS };
	int ret;

	/* What regions a job would have is not known. */
	for (unsigned int i = 0; i < XRNPE_MAX_REGIONS; i++)
		places.extents[i] = (struct xrnpe_extent){ UINT64_MAX, XRNPE_REGION_READ |
							   XRNPE_REGION_WRITE };
	if (options->json)
		fputs("{\"commands\": [", stdout);
	ret = disasm_commands(options, &places, data, size,
			      options->stride ? options->stride : sizeof(struct xrnpe_cmd), error);
	if (options->json && !ret)
		puts("\n]}");
	return ret;
}

/* ---- a job record ------------------------------------------------------ */

/* "command 3: ofm may not write region 1" */
static void print_record_fault(const struct xrnpe_fault *fault)
{
	char text[256];

	xrnpe_fault_text(fault, NULL, NULL, text, sizeof(text));
	if (fault->kind != XRNPE_FAULT_NONE && fault->kind != XRNPE_FAULT_ILLEGAL_JOB)
		printf("command %u: ", fault->cmd);
	printf("%s", text);
}

static void print_record(const struct xrnpe_job_record *record)
{
	const uint64_t *counters = (const uint64_t *)&record->counters;
	char name[64];

	printf("job       %u\nstatus    %s\nfault     ", record->seqno,
	       record->status & XRNPE_STATUS_INVALID ? "invalid" : "0");
	print_record_fault(&record->fault);
	printf("\ntimer     %" PRIu64 " to %" PRIu64 ": %" PRIu64 " ticks, %" PRIu64
	       " of them executing\n", (uint64_t)record->start, (uint64_t)record->end,
	       (uint64_t)(record->end - record->start), (uint64_t)record->executed);
	for (unsigned int i = 0; i < XRNPE_COUNTERS; i++) {
		xrnpe_counter_name(i, name, sizeof(name));
		if (counters[i])
			printf("%-20s %20" PRIu64 "\n", name, counters[i]);
	}
}

static void print_record_json(const struct xrnpe_job_record *record)
{
	const uint64_t *counters = (const uint64_t *)&record->counters;
	const struct xrnpe_fault *fault = &record->fault;
	char text[256];

	printf("{\"seqno\": %u, \"invalid\": %s, \"fault\": ", record->seqno,
	       record->status & XRNPE_STATUS_INVALID ? "true" : "false");
	if (fault->kind == XRNPE_FAULT_NONE) {
		printf("null");
	} else {
		xrnpe_fault_text(fault, NULL, NULL, text, sizeof(text));
		printf("{\"kind\": ");
		json_string(stdout, xrnpe_fault_name(fault->kind) ? xrnpe_fault_name(fault->kind) : "?");
		printf(", \"cmd\": %u, \"operand\": %u, \"region\": %u, \"offset\": %" PRIu64 ", \"text\": ",
		       fault->cmd, fault->operand, fault->region, (uint64_t)fault->offset);
		json_string(stdout, text);
		printf("}");
	}
	printf(", \"start\": %" PRIu64 ", \"end\": %" PRIu64 ", \"executed\": %" PRIu64 ", \"counters\": {",
	       (uint64_t)record->start, (uint64_t)record->end, (uint64_t)record->executed);
	for (unsigned int i = 0; i < XRNPE_COUNTERS; i++) {
		xrnpe_counter_name(i, text, sizeof(text));
		printf("%s\"%s\": %" PRIu64, i ? ", " : "", text, counters[i]);
	}
	printf("}}");
}

void disasm_record(const struct xrnpe_job_record *record, bool json)
{
	if (json)
		print_record_json(record);
	else
		print_record(record);
}

static int disasm_record_file(const struct disasm_options *options, const unsigned char *data, size_t size,
			 struct xrnpe_error *error)
{
	struct xrnpe_job_record record;

	if (size != sizeof(record))
		return xrnpe_fail(error, -EINVAL, "%s: has %zu bytes; a job record has %zu",
				  options->path, size, sizeof(record));
	memcpy(&record, data, sizeof(record));
	disasm_record(&record, options->json);
	if (options->json)
		putchar('\n');
	return 0;
}

/* ---- a model ----------------------------------------------------------- */

static int disasm_model(const struct disasm_options *options, struct xrnpe_error *error)
{
	struct disasm_places places = { .count = XRNPE_MODEL_REGIONS, .names = xrnpe_model_region_names };
	struct xrnpe_model *model;
	uint32_t last = UINT32_MAX;
	int ret = xrnpe_model_read(options->path, &model, error);

	if (ret)
		return ret;
	ret = select_point(&model, options->point, options->path, error);
	if (ret) {
		xrnpe_model_free(model);
		return ret;
	}
	if (options->json)
		fputs("{\"regions\": [", stdout);
	else
		printf("%u commands", model->cmd_count);
	for (unsigned int i = 0; i < XRNPE_MODEL_REGIONS; i++) {
		places.extents[i] = (struct xrnpe_extent){ model->region_size[i],
							   xrnpe_model_region_flags[i] };
		if (options->json)
			printf("%s{\"name\": \"%s\", \"bytes\": %" PRIu64 "}", i ? ", " : "",
			       places.names[i], model->region_size[i]);
		else
			printf("%c r%u %s %" PRIu64 " bytes", i ? ',' : ';', i, places.names[i],
			       model->region_size[i]);
	}
	fputs(options->json ? "], \"commands\": [" : "\n", stdout);
	for (uint32_t i = 0; i < model->cmd_count; i++) {
		const struct xrnpe_layer_info *layer = &model->layers[model->cmd_layer[i]];

		if (!options->json && model->cmd_layer[i] != last)
			printf("%s: %s\n", layer->name, layer->op);
		last = model->cmd_layer[i];
		print_command(options, &places, &model->cmds[i], i, layer->name);
	}
	if (options->json)
		puts("\n]}");
	xrnpe_model_free(model);
	return 0;
}

/* ---- command line ------------------------------------------------------ */

static int disasm(const struct disasm_options *options)
{
	struct xrnpe_error error;
	unsigned char *data;
	size_t size;
	int ret = xrnpe_file_read(options->path, SIZE_MAX / 4, &data, &size, &error);

	if (ret)
		return failed(&error);
	if (options->raw)
		ret = disasm_raw(options, data, size, &error);
	else if (options->record)
		ret = disasm_record_file(options, data, size, &error);
	else if (size >= strlen(DISASM_DUMP) && !memcmp(data, DISASM_DUMP, strlen(DISASM_DUMP)))
		ret = disasm_dump(options, (const char *)data, size, &error);
	else if (size && !memchr(data, '\0', size))
		ret = disasm_trace(options->path, (const char *)data, size, options->json, &error);
	else
		ret = disasm_model(options, &error);
	free(data);
	return ret ? failed(&error) : finish_output();
}

static bool parse_stride(const char *text, size_t *stride)
{
	char *end;

	*stride = strtoul(text, &end, 0);
	return *text >= '0' && *text <= '9' && !*end && disasm_stride_is_legal(*stride);
}

/* Take an option, for take_options(). */
static int take(void *data, const char *command, int option, char *argument)
{
	struct disasm_options *options = data;

	switch (option) {
	case 'p':
		return take_point(command, argument, &options->point);
	case 'r':
		options->raw = true;
		return 0;
	case 's':
		return parse_stride(argument, &options->stride) ? 0 :
		       misused(command, "--stride is not a multiple of %u from %zu to %u: %s",
			       XRNPE_CMD_ALIGN, sizeof(struct xrnpe_cmd), XRNPE_CMD_STRIDE_MAX, argument);
	case 'J':
		options->record = true;
		return 0;
	case 'f':
		options->fields = true;
		return 0;
	case 'j':
		options->json = true;
		return 0;
	default:
		return -1;
	}
}

int xrnpe_disasm(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "point", required_argument, NULL, 'p' },
		{ "raw", no_argument, NULL, 'r' },
		{ "stride", required_argument, NULL, 's' },
		{ "record", no_argument, NULL, 'J' },
		{ "fields", no_argument, NULL, 'f' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct disasm_options options = { .point = NO_POINT };
	int status = take_options(argc, argv, "p:rs:Jfjh", long_options, usage, take, &options);

	if (status >= 0)
		return status;
	if (optind + 1 != argc)
		return misused(argv[0], "one file is expected");
	if (options.raw && options.record)
		return misused(argv[0], "a file is --raw or a --record, not both");
	if (options.point != NO_POINT && (options.raw || options.record))
		return misused(argv[0], "--point is for a model");
	if (options.stride && !options.raw)
		return misused(argv[0], "--stride goes with --raw");
	options.path = argv[optind];
	return disasm(&options);
}
