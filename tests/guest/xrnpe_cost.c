// SPDX-License-Identifier: MIT
/*
 * What a job costs: instructions from SUBMIT to the doorbell, memory, time in which the
 * device has nothing to do, calls. For a guest whose clock counts instructions, see
 * tests/costs, which also counts what the device sees. Needs root.
 */
#include "xrnpe_sync.h"
#include "xrnpe_work.h"

#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <linux/ptrace.h>

/* Instructions that SUBMIT may take to the doorbell beyond an ioctl that does nothing. */
#define MOST_TO_DOORBELL 1500
/* Jobs of so many nanoseconds keep the device busy. */
#define BUSY_FROM_NS 15000
#define MOST_ARGUMENTS 16

FIXTURE(cost)
{
	int fd;
	struct work work;
};

FIXTURE_SETUP(cost)
{
	self->fd = open_npu();
	ASSERT_GE(self->fd, 0) TH_LOG("no xrnpe node");
	ASSERT_EQ(0, make_work(self->fd, &self->work));
}

FIXTURE_TEARDOWN(cost)
{
	close(self->fd);
}

/* Nanoseconds of virtual time, which the device's timer counts, too: instructions. */
static int64_t instructions(void)
{
	uint64_t count, hz;

	__asm__ volatile("isb\n\tmrs %0, cntvct_el0\n\tmrs %1, cntfrq_el0" : "=r"(count), "=r"(hz));
	return count * (1000000000 / hz);
}

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* The least of several: what else the machine has to do may come between. */
TEST_F(cost, instructions_to_doorbell)
{
	struct drm_xrnpe_region region;
	const struct drm_xrnpe_job job = job_args(&self->work, &region);
	struct drm_xrnpe_submit args = {
		.queue = queue_of(self->fd, 2), .jobs = { sizeof(job), 1, (uintptr_t)&job },
	};
	struct drm_xrnpe_dev_query query = {};
	int64_t null = INT64_MAX, doorbell = INT64_MAX;

	for (int i = 0; i < 30; i++) {
		struct xrnpe_job_record record;
		struct drm_xrnpe_job_wait end;
		int64_t begin = instructions();

		ASSERT_EQ(0, ioctl(self->fd, DRM_IOCTL_XRNPE_DEV_QUERY, &query));
		null = least(null, instructions() - begin);
		begin = instructions();
		ASSERT_EQ(0, ioctl(self->fd, DRM_IOCTL_XRNPE_SUBMIT, &args));
		ASSERT_EQ(0, wait_record(self->fd, job_name(args.queue, args.first_job), &end,
					 &record));
		/* The device reads a descriptor in the instant of its doorbell. */
		doorbell = least(doorbell, record.start - begin);
	}
	TH_LOG("instructions: %lld from SUBMIT to the doorbell, %lld for an ioctl that does nothing",
	       (long long)doorbell, (long long)null);
	EXPECT_LT(0, null);
	EXPECT_LT(null, doorbell);
	EXPECT_GE(MOST_TO_DOORBELL, doorbell - null);
}

/* A job gets to the device though its program has other work for the CPU. */
TEST_F(cost, doorbell_before_other_work)
{
	int64_t most = 0;

	for (int i = 0; i < 50; i++) {
		const int64_t begin = instructions();
		const int64_t job = submit(self->fd, 2, &self->work);
		struct xrnpe_job_record record;
		struct drm_xrnpe_job_wait end;

		/* More than a time slice; and not always as long as the clock's tick. */
		while (instructions() - begin < 6000000 + i * 12345)
			;
		ASSERT_EQ(0, wait_record(self->fd, job, &end, &record));
		most = (int64_t)record.start - begin > most ? (int64_t)record.start - begin : most;
	}
	TH_LOG("instructions: %lld at most to the doorbell beside other work", (long long)most);
	EXPECT_GT(500000, most);
}

/* ---- jobs back to back ---- */

#define JOBS 200

/* How busy jobs of @cmds long commands keep the device, in %; -1: something failed. */
static int busy_percent(int fd, unsigned int cmds, uint64_t *length_ns)
{
	const uint32_t queue = make_queue(fd, DRM_XRNPE_PRIORITY_MEDIUM, JOBS);
	uint64_t executed = 0, start = 0, end_ns = 0;
	struct drm_xrnpe_region region;
	struct drm_xrnpe_job job;
	struct work work;

	if (make_long(fd, cmds, 1, &work))
		return -1;
	job = job_args(&work, &region);
	for (int i = 0; i < JOBS; i++)
		if (submit_jobs(fd, queue, &job, 1, 0) < 0)
			return -1;
	for (int i = 0; i < JOBS; i++) {
		struct xrnpe_job_record record;
		struct drm_xrnpe_job_wait end;

		if (wait_record(fd, job_name(queue, i + 1), &end, &record) ||
		    end.state != DRM_XRNPE_JOB_DONE)
			return -1;
		executed += record.executed;
		start = i ? start : record.start;
		end_ns = record.end;
	}
	free_work(fd, &work);
	destroy_queue(fd, queue);
	*length_ns = executed / JOBS;
	return 100 * executed / (end_ns - start);
}

/* On a CPU of one instruction a nanosecond. */
TEST_F(cost, small_jobs_keep_the_device_busy)
{
	for (unsigned int cmds = 1; cmds <= 4; cmds++) {
		uint64_t length_ns;
		int busy = busy_percent(self->fd, cmds, &length_ns);

		ASSERT_LT(0, busy);
		TH_LOG("jobs of %llu ns: %d %% busy", (unsigned long long)length_ns, busy);
		EXPECT_TRUE(busy >= 95 || length_ns < BUSY_FROM_NS);
	}
}

/* ---- memory that SUBMIT takes ---- */

/* After all that is timed: the end of tracing leaves the kernel work that comes later. */

#define TRACING "/sys/kernel/tracing/"
#define KMALLOC TRACING "events/kmem/kmalloc/"
#define PAGE 4096

/* The largest of the allocations that are in the trace, in bytes. */
static unsigned long largest_allocation(void)
{
	const char *at = read_file(TRACING "trace");
	unsigned long largest = 0;

	while ((at = strstr(at, "bytes_alloc="))) {
		const unsigned long bytes = strtoul(at += 12, NULL, 10);

		largest = bytes > largest ? bytes : largest;
	}
	return largest;
}

/* As many jobs as there may be, with as much of everything: no piece is larger than a page. */
TEST_F(cost, no_allocation_above_a_page)
{
	struct drm_xrnpe_sync syncs[DRM_XRNPE_MAX_SYNCS];
	struct drm_xrnpe_region regions[XRNPE_MAX_REGIONS];
	struct drm_xrnpe_job jobs[DRM_XRNPE_MAX_JOBS];
	const uint32_t queue = queue_of(self->fd, 2);
	struct bo bos[XRNPE_MAX_REGIONS];
	char filter[64];
	int64_t first;

	for (int i = 0; i < XRNPE_MAX_REGIONS; i++) {
		jobs[0] = job_args(&self->work, &regions[i]);
		ASSERT_EQ(0, make_bo(self->fd, self->work.data.size, 0, &bos[i]));
		/* The commands have region 0. */
		regions[i].handle = i ? bos[i].handle : self->work.data.handle;
	}
	for (int i = 0; i < DRM_XRNPE_MAX_SYNCS; i++)
		syncs[i] = (struct drm_xrnpe_sync){
			make_syncobj(self->fd), DRM_XRNPE_SYNC_SIGNAL | DRM_XRNPE_SYNC_TIMELINE, 1,
		};
	jobs[0].regions = (struct drm_xrnpe_array){ sizeof(regions[0]), XRNPE_MAX_REGIONS,
						    (uintptr_t)regions };
	jobs[0].syncs = (struct drm_xrnpe_array){ sizeof(syncs[0]), DRM_XRNPE_MAX_SYNCS,
						  (uintptr_t)syncs };
	for (int i = 1; i < DRM_XRNPE_MAX_JOBS; i++)
		jobs[i] = jobs[0];

	/* Small ones are too many for the trace. */
	snprintf(filter, sizeof(filter), "bytes_alloc >= 2048 && common_pid == %d", gettid());
	ASSERT_EQ(0, write_file(KMALLOC "filter", filter));
	ASSERT_EQ(0, write_file(KMALLOC "enable", "1"));
	first = submit_jobs(self->fd, queue, jobs, DRM_XRNPE_MAX_JOBS, 0);
	ASSERT_EQ(0, write_file(KMALLOC "enable", "0"));
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, first + DRM_XRNPE_MAX_JOBS - 1));
	TH_LOG("largest allocation of SUBMIT: %lu bytes", largest_allocation());
	EXPECT_LT(0, largest_allocation());
	EXPECT_GE(PAGE, largest_allocation());
}

/* ---- an inference is a call, a doorbell, an interrupt ---- */

/* However many commands it has. */
TEST_F(cost, jobs_of_any_length)
{
	static const unsigned int lengths[] = { 1, 16, 256, 4096 };
	unsigned int jobs = 0;

	for (unsigned int i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct work work;

		ASSERT_EQ(0, make_long(self->fd, lengths[i], 1, &work));
		for (; jobs < 5 * (i + 1); jobs++)
			EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 1, &work));
		free_work(self->fd, &work);
	}
	TH_LOG("jobs: %u", jobs);
}

static void run_traced(char *line)
{
	char *argv[MOST_ARGUMENTS], *rest = line;
	int argc = 0;

	while (argc < MOST_ARGUMENTS - 1 && (argv[argc] = strtok_r(rest, " ", &rest)))
		argc++;
	argv[argc] = NULL;
	if (argc && !ptrace(PTRACE_TRACEME, 0, NULL, NULL) && !raise(SIGSTOP))
		execvp(argv[0], argv);
	_exit(127);
}

/* A thread has stopped: whether to begin a SUBMIT. */
static bool begins_submit(pid_t thread)
{
	struct ptrace_syscall_info info;

	return ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof(info), &info) > 0 &&
	       info.op == PTRACE_SYSCALL_INFO_ENTRY && info.entry.nr == SYS_ioctl &&
	       info.entry.args[1] == DRM_IOCTL_XRNPE_SUBMIT;
}

/* How often a program and its threads call SUBMIT, or -1. */
static int count_submits(char *line)
{
	const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
	int status, submits = 0;
	pid_t child = fork(), thread;

	if (!child)
		run_traced(line);
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFSTOPPED(status) ||
	    ptrace(PTRACE_SETOPTIONS, child, NULL, options))
		return -1;
	for (thread = child; ; thread = waitpid(-1, &status, __WALL)) {
		if (thread < 0)
			return -1;
		if (WIFSTOPPED(status)) {
			submits += WSTOPSIG(status) == (SIGTRAP | 0x80) && begins_submit(thread);
			ptrace(PTRACE_SYSCALL, thread, NULL, NULL);
		} else if (thread == child) {
			return WIFEXITED(status) && !WEXITSTATUS(status) ? submits : -1;
		}
	}
}

/* XRNPE_COST_COMMAND runs a network, which is XRNPE_COST_JOBS jobs. */
TEST_F(cost, inferences)
{
	char *command = getenv("XRNPE_COST_COMMAND"), *jobs = getenv("XRNPE_COST_JOBS");

	if (!command || !jobs)
		SKIP(return, "no network");
	EXPECT_EQ(atoi(jobs), count_submits(command));
	TH_LOG("jobs: %s", jobs);
}

TEST_HARNESS_MAIN
