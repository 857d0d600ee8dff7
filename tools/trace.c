// SPDX-License-Identifier: MIT
/*
 * xrnpe disasm of a trace: a log that QEMU's device writes with -trace 'xrnpe_*'.
 * qemu-device/trace-events has the lines. Registers and faults get their names; what is
 * already in words, and lines of others, stay.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "console.h"
#include "disasm.h"
#include "error.h"
#include "names.h"
#include "xrnpe_bits.h"
#include "xrnpe_regs.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- registers --------------------------------------------------------- */

struct bit {
	uint32_t mask;
	const char *name;
};

struct reg {
	uint32_t offset;
	const char *name;
	const struct bit *bits;		/* ends with a mask of 0; or NULL */
};

static const struct bit ctrl_bits[] = { { XRNPE_CTRL_RESET, "reset" }, { 0 } };
static const struct bit status_bits[] = {
	{ XRNPE_STATUS_BUSY, "busy" }, { XRNPE_STATUS_BUS_ERROR, "bus error" }, { 0 },
};
static const struct bit irq_bits[] = {
	{ XRNPE_IRQ_DONE(0), "done 0" }, { XRNPE_IRQ_DONE(1), "done 1" },
	{ XRNPE_IRQ_DONE(2), "done 2" }, { XRNPE_IRQ_DONE(3), "done 3" },
	{ XRNPE_IRQ_STOPPED(0), "stopped 0" }, { XRNPE_IRQ_STOPPED(1), "stopped 1" },
	{ XRNPE_IRQ_STOPPED(2), "stopped 2" }, { XRNPE_IRQ_STOPPED(3), "stopped 3" },
	{ XRNPE_IRQ_BUS_ERROR, "bus error" }, { 0 },
};
static const struct bit queue_ctrl_bits[] = {
	{ XRNPE_QUEUE_CTRL_ENABLE, "enable" }, { XRNPE_QUEUE_CTRL_RESUME, "resume" }, { 0 },
};

static const struct reg device_regs[] = {
	{ XRNPE_ID, "ID", NULL },
	{ XRNPE_VERSION, "VERSION", NULL },
	{ XRNPE_CONFIG, "CONFIG", NULL },
	{ XRNPE_REVISION, "REVISION", NULL },
	{ XRNPE_CAP_OPCODES, "CAP_OPCODES", NULL },
	{ XRNPE_CAP_FORMATS, "CAP_FORMATS", NULL },
	{ XRNPE_CAP_MAX_K, "CAP_MAX_K", NULL },
	{ XRNPE_CAP_MEMORY, "CAP_MEMORY", NULL },
	{ XRNPE_CAP_RECORD, "CAP_RECORD", NULL },
	{ XRNPE_CLOCK_KHZ, "CLOCK_KHZ", NULL },
	{ XRNPE_TIMER_KHZ, "TIMER_KHZ", NULL },
	{ XRNPE_CTRL, "CTRL", ctrl_bits },
	{ XRNPE_STATUS, "STATUS", status_bits },
	{ XRNPE_IRQ_STATUS, "IRQ_STATUS", irq_bits },
	{ XRNPE_IRQ_ENABLE, "IRQ_ENABLE", irq_bits },
	{ XRNPE_STATUS_BASE_LO, "STATUS_BASE_LO", NULL },
	{ XRNPE_STATUS_BASE_HI, "STATUS_BASE_HI", NULL },
	{ XRNPE_BUS_ADDR_LO, "BUS_ADDR_LO", NULL },
	{ XRNPE_BUS_ADDR_HI, "BUS_ADDR_HI", NULL },
	{ XRNPE_TIMER_LO, "TIMER_LO", NULL },
	{ XRNPE_TIMER_HI, "TIMER_HI", NULL },
};

static const struct reg queue_regs[] = {
	{ XRNPE_QUEUE_BASE_LO, "BASE_LO", NULL },
	{ XRNPE_QUEUE_BASE_HI, "BASE_HI", NULL },
	{ XRNPE_QUEUE_SIZE, "SIZE", NULL },
	{ XRNPE_QUEUE_HEAD, "HEAD", NULL },
	{ XRNPE_QUEUE_TAIL, "TAIL", NULL },
	{ XRNPE_QUEUE_CTRL, "CTRL", queue_ctrl_bits },
	{ XRNPE_QUEUE_STATE, "STATE", NULL },
	{ XRNPE_QUEUE_ABORT, "ABORT", NULL },
	{ XRNPE_QUEUE_EXECUTED_LO, "EXECUTED_LO", NULL },
	{ XRNPE_QUEUE_EXECUTED_HI, "EXECUTED_HI", NULL },
};

static const char *const queue_states[] = {
	[XRNPE_QUEUE_STATE_DISABLED] = "disabled",
	[XRNPE_QUEUE_STATE_IDLE] = "idle",
	[XRNPE_QUEUE_STATE_RUNNING] = "running",
	[XRNPE_QUEUE_STATE_STOPPED] = "stopped",
};

static const struct reg *find(const struct reg *regs, size_t count, uint64_t offset)
{
	for (size_t i = 0; i < count; i++) {
		if (regs[i].offset == offset)
			return &regs[i];
	}
	return NULL;
}

/* "0x00000101: done 0, stopped 0" */
static void print_bits(FILE *out, uint32_t value, const struct bit *bits)
{
	const char *before = ": ";

	fprintf(out, "0x%08x", value);
	for (; bits && bits->mask; bits++) {
		if (value & bits->mask) {
			fprintf(out, "%s%s", before, bits->name);
			before = ", ";
		}
	}
}

static void print_access(FILE *out, const char *verb, uint64_t offset, uint32_t value)
{
	const uint64_t queues = XRNPE_QUEUE(0), queue_size = XRNPE_QUEUE(1) - XRNPE_QUEUE(0);
	const struct reg *reg;
	char counter[32];

	fprintf(out, "%s ", verb);
	if (offset >= queues && offset < XRNPE_QUEUE(XRNPE_MAX_QUEUES)) {
		fprintf(out, "QUEUE%u.", (unsigned int)((offset - queues) / queue_size));
		offset = (offset - queues) % queue_size;
		reg = find(queue_regs, COUNT(queue_regs), offset);
		if (offset == XRNPE_QUEUE_STATE && value < COUNT(queue_states)) {
			fprintf(out, "STATE %s", queue_states[value]);
			return;
		}
	} else if (offset >= XRNPE_COUNTER_LO(0) && offset < XRNPE_COUNTER_LO(XRNPE_COUNTERS)) {
		offset -= XRNPE_COUNTER_LO(0);
		xrnpe_counter_name((unsigned int)(offset / 8), counter, sizeof(counter));
		fprintf(out, "COUNTER_%s(%s) 0x%08x", offset % 8 ? "HI" : "LO", counter, value);
		return;
	} else {
		reg = find(device_regs, COUNT(device_regs), offset);
	}
	if (reg)
		fprintf(out, "%s ", reg->name);
	else
		fprintf(out, "0x%03" PRIx64 " ", offset);
	print_bits(out, value, reg ? reg->bits : NULL);
}

/* ---- events ------------------------------------------------------------ */

/* Each takes what follows an event's name. false: this is not what the device writes. */

static bool print_read(const char *line, FILE *out)
{
	uint64_t offset;
	uint32_t value;

	if (sscanf(line, "offset 0x%" SCNx64 " value 0x%x", &offset, &value) != 2)
		return false;
	print_access(out, "read ", offset, value);
	return true;
}

static bool print_write(const char *line, FILE *out)
{
	uint64_t offset;
	uint32_t value;

	if (sscanf(line, "offset 0x%" SCNx64 " value 0x%x", &offset, &value) != 2)
		return false;
	print_access(out, "write", offset, value);
	return true;
}

static bool print_irq(const char *line, FILE *out)
{
	uint32_t status, enable;
	int level;

	if (sscanf(line, "status 0x%x enable 0x%x level %d", &status, &enable, &level) != 3)
		return false;
	fprintf(out, "irq   %s, status ", level ? "asserted" : "clear");
	print_bits(out, status, irq_bits);
	return true;
}

static bool print_job_end(const char *line, FILE *out)
{
	struct xrnpe_fault fault = { 0 };
	unsigned int queue, seqno;
	uint64_t offset;
	uint32_t status;
	char text[256];

	if (sscanf(line, "queue %u seqno %u: status 0x%x, fault kind %u command %u operand %u "
		   "region %u offset 0x%" SCNx64, &queue, &seqno, &status, &fault.kind, &fault.cmd,
		   &fault.operand, &fault.region, &offset) != 8)
		return false;
	fault.offset = offset;
	fprintf(out, "queue %u job %u ended%s", queue, seqno,
		status & XRNPE_STATUS_INVALID ? ", invalid" : "");
	if (fault.kind == XRNPE_FAULT_NONE)
		return true;
	xrnpe_fault_text(&fault, NULL, NULL, text, sizeof(text));
	if (fault.kind == XRNPE_FAULT_ILLEGAL_JOB)
		fprintf(out, ": %s", text);
	else
		fprintf(out, ": command %u: %s", fault.cmd, text);
	return true;
}

static const struct event {
	const char *name;
	bool (*print)(const char *line, FILE *out);
} events[] = {
	{ "xrnpe_read", print_read },
	{ "xrnpe_write", print_write },
	{ "xrnpe_irq", print_irq },
	{ "xrnpe_job_end", print_job_end },
};

/*
 * Where in a line an event begins: at its start, or after "pid@seconds:", which QEMU puts
 * before it when messages have times. Sets the length of its name.
 */
static const char *find_event(const char *line, size_t *length)
{
	const char *at = line + strspn(line, "0123456789@.");

	if (at != line && *at == ':')
		at++;
	if (strncmp(at, "xrnpe_", 6))
		return NULL;
	*length = 0;
	while (isalnum((unsigned char)at[*length]) || at[*length] == '_')
		++*length;
	return at[*length] == ' ' ? at : NULL;
}

static bool print_event(const char *at, size_t length, FILE *out)
{
	for (size_t i = 0; i < COUNT(events); i++) {
		if (strlen(events[i].name) == length && !strncmp(events[i].name, at, length))
			return events[i].print(at + length + 1, out);
	}
	/* In words already; without the prefix that all have. */
	fprintf(out, "%s", at + strlen("xrnpe_"));
	return true;
}

/* ---- the log ----------------------------------------------------------- */

static int print_line(const char *path, const char *line, unsigned long number, bool json,
		      bool *first, struct xrnpe_error *error)
{
	size_t length, size;
	const char *at = find_event(line, &length);
	char *text = NULL;
	FILE *out;
	bool good;

	if (!at) {
		if (!json)
			puts(line);
		return 0;
	}
	out = open_memstream(&text, &size);
	if (!out)
		return xrnpe_fail_memory(error);
	good = print_event(at, length, out);
	if (fclose(out)) {
		free(text);
		return xrnpe_fail_memory(error);
	}
	if (good && json) {
		printf("%s{\"line\": %lu, \"event\": \"%.*s\", \"text\": ", *first ? "\n" : ",\n",
		       number, (int)length, at);
		json_string(stdout, text);
		putchar('}');
		*first = false;
	} else if (good) {
		printf("%.*s%s%s\n", (int)(at - line), line, at == line ? "" : " ", text);
	}
	free(text);
	return good ? 0 : xrnpe_fail(error, -EINVAL, "%s: line %lu: %.*s is malformed", path, number,
				     (int)length, at);
}

/* The next line without its end; false: there is none. */
static bool next_line(FILE *log, char **line, size_t *room)
{
	if (getline(line, room, log) < 0)
		return false;
	(*line)[strcspn(*line, "\r\n")] = '\0';
	return true;
}

int disasm_trace(const char *path, const char *data, size_t size, bool json, struct xrnpe_error *error)
{
	FILE *log = fmemopen((void *)data, size, "r");
	unsigned long number = 0;
	bool found = false, first = true;
	char *line = NULL;
	size_t room = 0;
	int ret = 0;

	if (!log)
		return xrnpe_fail_memory(error);
	while (!found && next_line(log, &line, &room))
		found = find_event(line, &(size_t){ 0 });
	rewind(log);
	if (!found)
		ret = xrnpe_fail(error, -EINVAL, "%s: neither an .xrnpe model nor a trace of xrnpe_*", path);
	else if (json)
		fputs("{\"events\": [", stdout);
	while (!ret && next_line(log, &line, &room))
		ret = print_line(path, line, ++number, json, &first, error);
	if (json && !ret)
		puts("\n]}");
	fclose(log);
	free(line);
	return ret;
}
