// SPDX-License-Identifier: MIT
#include "streams/device.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "xrnpe_bits.h"
#include "xrnpe_regs.h"

/* Of the Arm virt machine: the first device of the platform bus, and RAM. */
#define NPU 0x0c000000u
#define RAM 0x40000000u
#define RAM_BYTES (64 << 20)

/* RAM as the test divides it, clear of QEMU's own device tree blob: offsets, by queue. */
#define STATUS_PAGE 0x400000
#define RING(q) (0x410000 + (q) * 0x10000)
#define TABLE(q) (0x450000 + (q) * 0x10000)
#define RECORD(q) (0x490000 + (q) * 0x10000)
#define CMDS(q) (0x4d0000 + (q) * 0x10000)
#define MEMORY(q) (0x800000 + (q) * STREAM_MEMORY)

#define RING_SIZE 8
/* Jobs take microseconds. */
#define SECONDS 60

static pid_t qemu;
static FILE *to, *from;		/* the qtest protocol */
static uint8_t *ram;
static uint32_t tail[DEVICE_QUEUES];

/* ---- the qtest protocol ---------------------------------------------------- */

/* The answer to a command, without "OK"; NULL: QEMU is gone. */
static const char *answer(void)
{
	static char line[128];

	if (fflush(to) || !fgets(line, sizeof(line), from) || strncmp(line, "OK", 2)) {
		printf("# QEMU does not answer\n");
		exit(EXIT_FAILURE);
	}
	return line + 2;
}

static void wr(uint32_t offset, uint32_t value)
{
	fprintf(to, "writel 0x%x 0x%x\n", NPU + offset, value);
	answer();
}

static uint32_t rd(uint32_t offset)
{
	fprintf(to, "readl 0x%x\n", NPU + offset);
	return (uint32_t)strtoul(answer(), NULL, 16);
}

static bool wait_for(uint32_t offset, uint32_t value)
{
	time_t end = time(NULL) + SECONDS;

	while (rd(offset) != value) {
		if (time(NULL) > end) {
			printf("# register 0x%x does not become 0x%x\n", offset, value);
			return false;
		}
	}
	return true;
}

/* ---- the device --------------------------------------------------------------- */

static bool reset_device(void)
{
	wr(XRNPE_CTRL, XRNPE_CTRL_RESET);
	if (!wait_for(XRNPE_CTRL, 0))
		return false;
	wr(XRNPE_STATUS_BASE_LO, RAM + STATUS_PAGE);
	for (unsigned int q = 0; q < DEVICE_QUEUES; q++) {
		wr(XRNPE_QUEUE(q) + XRNPE_QUEUE_BASE_LO, RAM + RING(q));
		wr(XRNPE_QUEUE(q) + XRNPE_QUEUE_SIZE, RING_SIZE);
		wr(XRNPE_QUEUE(q) + XRNPE_QUEUE_CTRL, XRNPE_QUEUE_CTRL_ENABLE);
		tail[q] = 0;
	}
	return true;
}

static void execute(const char *path, int socket_fd, int ram_fd)
{
	char chardev[64], backend[128];

	snprintf(chardev, sizeof(chardev), "socket,id=qtest,fd=%d", socket_fd);
	snprintf(backend, sizeof(backend), "memory-backend-file,id=ram,share=on,size=%d,mem-path=/dev/fd/%d",
		 RAM_BYTES, ram_fd);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	execl(path, path, "-accel", "qtest", "-display", "none", "-nodefaults", "-machine",
	      "virt,memory-backend=ram", "-m", "64M", "-object", backend, "-chardev", chardev, "-qtest",
	      "chardev:qtest", "-qtest-log", "/dev/null", "-device", "xrnpe,threads=2", (char *)NULL);
	_exit(127);
}

bool device_start(const char *path)
{
	int pair[2], fd = memfd_create("ram", 0);

	if (fd < 0 || ftruncate(fd, RAM_BYTES) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) {
		printf("# no memory or socket for QEMU: %s\n", strerror(errno));
		return false;
	}
	ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	to = fdopen(pair[0], "w");
	from = fdopen(dup(pair[0]), "r");
	if (ram == MAP_FAILED || !to || !from)
		return false;
	qemu = fork();
	if (!qemu)
		execute(path, pair[1], fd);
	close(pair[1]);
	close(fd);
	if (rd(XRNPE_ID) != XRNPE_ID_MAGIC) {
		printf("# there is no device at 0x%x\n", NPU);
		return false;
	}
	return reset_device();
}

void device_stop(void)
{
	if (qemu > 0) {
		kill(qemu, SIGKILL);
		waitpid(qemu, NULL, 0);
	}
}

/* ---- jobs ------------------------------------------------------------------------ */

/* Structures are little-endian, as this host is: QEMU's device runs on no other. */

static uint32_t put_commands(const struct stream *stream, unsigned int q)
{
	uint32_t stride = sizeof(struct xrnpe_cmd) + stream->seed % 3 * XRNPE_CMD_ALIGN;

	for (unsigned int i = 0; i < stream->cmd_count; i++) {
		/* What lies behind a record does not matter. */
		memset(ram + CMDS(q) + i * stride, 0xff, stride);
		memcpy(ram + CMDS(q) + i * stride, &stream->cmds[i], sizeof(struct xrnpe_cmd));
	}
	return stride;
}

void device_submit(const struct stream *stream, unsigned int q)
{
	struct xrnpe_region regions[STREAM_REGIONS] = { 0 };
	struct xrnpe_job_desc desc = {
		.regions = RAM + TABLE(q), .cmds = RAM + CMDS(q), .record = RAM + RECORD(q),
		.region_count = stream->region_count, .cmd_count = stream->cmd_count,
		.cmd_stride = put_commands(stream, q), .seqno = (uint32_t)stream->seed,
		.flags = XRNPE_JOB_RECORD,
	};

	for (unsigned int r = 0; r < stream->region_count; r++) {
		regions[r].base = RAM + MEMORY(q) + stream->at[r];
		regions[r].size = stream->regions[r].size;
		regions[r].flags = stream->regions[r].flags;
	}
	memcpy(ram + TABLE(q), regions, sizeof(regions));
	memcpy(ram + RING(q) + tail[q] % RING_SIZE * sizeof(desc), &desc, sizeof(desc));
	memset(ram + RECORD(q), 0xff, sizeof(struct xrnpe_job_record));
	memcpy(ram + MEMORY(q), stream->memory, stream->size);
	wr(XRNPE_QUEUE(q) + XRNPE_QUEUE_TAIL, ++tail[q]);
}

/* What the device wrote of the job: in two places, which must agree. */
static bool get_outcome(const struct stream *stream, unsigned int q, struct outcome *outcome)
{
	struct xrnpe_queue_status page;
	struct xrnpe_job_record record;
	bool good;

	memcpy(&page, ram + STATUS_PAGE + q * sizeof(page), sizeof(page));
	memcpy(&record, ram + RECORD(q), sizeof(record));
	outcome->status = record.status;
	outcome->fault = record.fault;
	outcome->counters = record.counters;
	good = page.seqno == (uint32_t)stream->seed && record.seqno == page.seqno &&
	       page.status == record.status && record.start <= record.end;
	if (record.fault.kind != XRNPE_FAULT_NONE)
		good = good && page.fault_seqno == page.seqno &&
		       !memcmp(&page.fault, &record.fault, sizeof(page.fault));
	if (!good)
		printf("# job record and status page differ: seqno %u and %u, status %x and %x, "
		       "fault %u and %u\n", record.seqno, page.seqno, record.status, page.status,
		       record.fault.kind, page.fault.kind);
	return good;
}

bool device_wait(const struct stream *stream, unsigned int q, uint8_t *memory, struct outcome *outcome)
{
	if (!wait_for(XRNPE_QUEUE(q) + XRNPE_QUEUE_HEAD, tail[q]))
		return false;
	memcpy(memory, ram + MEMORY(q), stream->size);
	if (!get_outcome(stream, q, outcome))
		return false;
	if (outcome->fault.kind != XRNPE_FAULT_NONE)
		wr(XRNPE_QUEUE(q) + XRNPE_QUEUE_CTRL, XRNPE_QUEUE_CTRL_ENABLE | XRNPE_QUEUE_CTRL_RESUME);
	return true;
}
