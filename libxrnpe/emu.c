// SPDX-License-Identifier: MIT
/*
 * The emulator: jobs run on the datapath in this process, one thread a job: a worker, or
 * whoever waits for one that no worker has begun, which saves two changes of thread. For a job
 * that its submitter goes on to wait for no worker is woken, unless others wait as well. What
 * the CPU does between a job's parts runs in that thread, too. What a job may do and how it ends
 * is as on the device, bit for bit.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "backend.h"
#include "clock.h"
#include "cost.h"
#include "datapath.h"
#include "emu_plans.h"
#include "error.h"

#define QUEUES 4
#define MAX_THREADS 256

/* A list of jobs, in order of submission. */
struct queue {
	struct xrnpe_job *first, **end;
};

/* What runs a job; as many run at a time. */
struct context {
	struct xrnpe_datapath *datapath;
	struct context *next;		/* of those that are free */
};

struct emu {
	struct xrnpe_device device;
	pthread_mutex_t lock;		/* protects all below */
	pthread_cond_t work;		/* there are a job and a context, or stop was set */
	pthread_cond_t done;		/* a job ended */
	struct queue queues[QUEUES];
	unsigned int queued;		/* jobs in them */
	struct context *free;
	unsigned int waiting;		/* for a job's end */
	bool stop;
	unsigned int context_count, worker_count;
	pthread_t *workers;
	struct context contexts[];
};

static struct emu *to_emu(struct xrnpe_device *device)
{
	return (struct emu *)device;
}

/* ---- buffers ---------------------------------------------------------- */

/*
 * Whole pages, zeroed, and not taken before they are touched; huge ones where there are any, as a
 * new request of some MiB spends a quarter of its time on touching small ones.
 */
static int emu_buffer_new(struct xrnpe_device *device, struct xrnpe_buffer *buffer,
			  struct xrnpe_error *error)
{
	buffer->data = mmap(NULL, buffer->size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buffer->data == MAP_FAILED)
		return xrnpe_fail(error, -ENOMEM, "no memory for a buffer of %zu bytes",
				  buffer->size);
	buffer->mapped = buffer->size;
	madvise(buffer->data, buffer->size, MADV_HUGEPAGE);
	return 0;
}

static int emu_buffer_import(struct xrnpe_device *device, struct xrnpe_buffer *buffer, int fd,
			     struct xrnpe_error *error)
{
	buffer->data = mmap(NULL, buffer->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (buffer->data == MAP_FAILED)
		return xrnpe_fail_errno(error, "dma-buf", "map it");
	buffer->mapped = buffer->size;
	return 0;
}

static int emu_buffer_wrap(struct xrnpe_device *device, struct xrnpe_buffer *buffer,
			   struct xrnpe_error *error)
{
	return 0;
}

static void emu_buffer_free(struct xrnpe_buffer *buffer)
{
	emu_plans_free(buffer->plans);
	if (buffer->mapped)
		munmap(buffer->data, buffer->mapped);
}

static int emu_buffer_sync(struct xrnpe_buffer *buffer, enum xrnpe_sync sync, size_t offset,
			   size_t size, struct xrnpe_error *error)
{
	return 0;
}

/* ---- jobs ------------------------------------------------------------- */

/* What an error of a command makes of its job. */
static void fail_job(struct xrnpe_job *job, int code)
{
	job->state = DRM_XRNPE_JOB_CANCELLED;
	if (code == -EFAULT)
		job->state = DRM_XRNPE_JOB_FAULT;
	else if (code == -ECANCELED)
		xrnpe_job_stops(job);
	else
		/* Without scratch memory nothing can be computed: the device is lost. */
		job->reason = DRM_XRNPE_CANCEL_LOST;
}

/* Command @i of @job. Returns 0 or what xrnpe_datapath_run() does. */
static int run_command(struct context *context, struct xrnpe_job *job, uint32_t i)
{
	const struct emu_plan *plan = emu_plan_of(job, i, context->datapath);
	const struct xrnpe_cmd *cmds = (const struct xrnpe_cmd *)job->cmds->data + job->cmd_first;
	struct xrnpe_result *result = &job->result;
	void *memory[XRNPE_OPERANDS];
	struct emu_plan now;
	struct xrnpe_cmd cmd;
	int ret;

	xrnpe_datapath_set_cycles(context->datapath, result->counters.cycles);
	if (plan) {
		emu_operands(job, plan->spans, memory);
		ret = xrnpe_datapath_run_prepared(context->datapath, plan->prepared, memory, &job->cancelled,
						  &result->status);
	} else {
		/* Whoever wrote it may change it meanwhile. */
		cmd = cmds[i];
		plan = &now;
		if (!emu_plan_command(&now, job, i, &cmd, &result->fault))
			return -EFAULT;
		emu_operands(job, now.spans, memory);
		ret = xrnpe_datapath_run(context->datapath, &cmd, i, memory, &job->cancelled, &result->status,
					 &result->fault);
	}
	if (ret)
		result->counters.commands++;
	else
		xrnpe_counters_add(&result->counters, &plan->cost);
	return ret;
}

static void run_commands(struct context *context, struct xrnpe_job *job)
{
	memset(&job->result, 0, sizeof(job->result));
	job->state = DRM_XRNPE_JOB_DONE;
	for (uint32_t i = 0; i < job->cmd_count; i++) {
		int ret;

		if (xrnpe_job_stops(job)) {
			job->state = DRM_XRNPE_JOB_CANCELLED;
			return;
		}
		ret = run_command(context, job, i);
		if (ret) {
			fail_job(job, ret);
			return;
		}
	}
	memset(&job->result.fault, 0, sizeof(job->result.fault));
}

static void run_job(struct context *context, struct xrnpe_job *job)
{
	bool more = job->cmds || job->advance(job);

	while (more) {
		int64_t start = job->count ? clock_now() : 0;

		run_commands(context, job);
		if (job->count)
			job->executed = clock_now() - start;
		else
			job->result.counters = (struct xrnpe_counters){ 0 };
		more = job->advance(job);
	}
	xrnpe_job_tell(job);
}

/* With the lock held. */
static void end_job(struct emu *emu, struct xrnpe_job *job)
{
	xrnpe_job_end(job);
	if (emu->waiting)
		pthread_cond_broadcast(&emu->done);
}

/* The most urgent job that waits, or NULL. */
static struct xrnpe_job *take_job(struct emu *emu)
{
	for (unsigned int i = 0; i < QUEUES; i++) {
		struct queue *queue = &emu->queues[i];
		struct xrnpe_job *job = queue->first;

		if (!job)
			continue;
		queue->first = job->next;
		if (!queue->first)
			queue->end = &queue->first;
		emu->queued--;
		return job;
	}
	return NULL;
}

/* Run the most urgent job, if there are one and a context. The lock is held, but not meanwhile. */
static bool run_next(struct emu *emu)
{
	struct context *context = emu->free;
	struct xrnpe_job *job = context ? take_job(emu) : NULL;

	if (!job)
		return false;
	emu->free = context->next;
	job->begun = true;
	pthread_mutex_unlock(&emu->lock);
	run_job(context, job);
	pthread_mutex_lock(&emu->lock);
	context->next = emu->free;
	emu->free = context;
	end_job(emu, job);
	return true;
}

static void *work(void *data)
{
	struct emu *emu = data;

	pthread_mutex_lock(&emu->lock);
	while (!emu->stop) {
		if (!run_next(emu))
			pthread_cond_wait(&emu->work, &emu->lock);
	}
	pthread_mutex_unlock(&emu->lock);
	return NULL;
}

static int emu_submit(struct xrnpe_device *device, struct xrnpe_job *job,
		      struct xrnpe_error *error)
{
	struct emu *emu = to_emu(device);
	struct queue *queue = &emu->queues[job->queue];

	job->begun = job->over = false;
	job->next = NULL;
	pthread_mutex_lock(&emu->lock);
	*queue->end = job;
	queue->end = &job->next;
	emu->queued++;
	if (emu->free && !(job->awaited != XRNPE_AWAITED_NOT && emu->queued == 1))
		pthread_cond_signal(&emu->work);
	pthread_mutex_unlock(&emu->lock);
	return 0;
}

static int emu_wait(struct xrnpe_device *device, struct xrnpe_job *job, int64_t timeout_ns)
{
	struct emu *emu = to_emu(device);
	int64_t end = clock_end(timeout_ns);
	bool over;
	int ret = 0;

	pthread_mutex_lock(&emu->lock);
	/*
	 * With all the time there is, its turn can be brought about; and that of those of its batch
	 * that will be waited for next.
	 */
	while (timeout_ns < 0 && !(job->awaited == XRNPE_AWAITED_BATCH ? job->over : job->begun) &&
	       run_next(emu)) {
		/* Contexts were all in use when others were queued. */
		if (emu->free && emu->queued)
			pthread_cond_signal(&emu->work);
	}
	emu->waiting++;
	while (!job->over && !ret)
		ret = clock_wait(&emu->done, &emu->lock, end);
	emu->waiting--;
	over = job->over;
	pthread_mutex_unlock(&emu->lock);
	return over ? 0 : -ETIME;
}

/* Take @job out of its queue. False: it is not there. */
static bool take_back(struct emu *emu, struct xrnpe_job *job)
{
	struct queue *queue = &emu->queues[job->queue];
	struct xrnpe_job **link = &queue->first;

	while (*link && *link != job)
		link = &(*link)->next;
	if (!*link)
		return false;
	*link = job->next;
	if (!*link)
		queue->end = link;
	emu->queued--;
	job->begun = true;
	return true;
}

/* What runs looks at job->cancelled itself. */
static void emu_cancel(struct xrnpe_device *device, struct xrnpe_job *job)
{
	struct emu *emu = to_emu(device);
	bool waited;

	pthread_mutex_lock(&emu->lock);
	waited = take_back(emu, job);
	pthread_mutex_unlock(&emu->lock);
	if (!waited)
		return;
	xrnpe_job_stops(job);
	job->result = (struct xrnpe_result){ 0 };
	job->executed = 0;
	job->state = DRM_XRNPE_JOB_CANCELLED;
	job->advance(job);
	xrnpe_job_tell(job);
	pthread_mutex_lock(&emu->lock);
	end_job(emu, job);
	pthread_mutex_unlock(&emu->lock);
}

static int emu_watch(struct xrnpe_device *device, struct xrnpe_job *job, int fd,
		     struct xrnpe_error *error)
{
	struct emu *emu = to_emu(device);

	pthread_mutex_lock(&emu->lock);
	job->fd = fd;
	if (job->over)
		xrnpe_job_end(job);
	pthread_mutex_unlock(&emu->lock);
	return 0;
}

static void emu_forget(struct xrnpe_device *device, struct xrnpe_job *job)
{
}

/* ---- the device ------------------------------------------------------- */

static void emu_close(struct xrnpe_device *device)
{
	struct emu *emu = to_emu(device);

	pthread_mutex_lock(&emu->lock);
	emu->stop = true;
	pthread_cond_broadcast(&emu->work);
	pthread_mutex_unlock(&emu->lock);
	for (unsigned int i = 0; i < emu->worker_count; i++)
		pthread_join(emu->workers[i], NULL);
	for (unsigned int i = 0; i < emu->context_count; i++)
		xrnpe_datapath_free(emu->contexts[i].datapath);
	free(emu->workers);
	pthread_cond_destroy(&emu->done);
	pthread_cond_destroy(&emu->work);
	pthread_mutex_destroy(&emu->lock);
	free(emu);
}

static const struct xrnpe_backend emu_backend = {
	.buffer_new = emu_buffer_new,
	.buffer_import = emu_buffer_import,
	.buffer_wrap = emu_buffer_wrap,
	.buffer_free = emu_buffer_free,
	.buffer_sync = emu_buffer_sync,
	.submit = emu_submit,
	.wait = emu_wait,
	.cancel = emu_cancel,
	.watch = emu_watch,
	.forget = emu_forget,
	.close = emu_close,
};

/* Worker threads: XRNPE_THREADS, or as many as CPUs that we may use. */
static int count_threads(unsigned int *count, struct xrnpe_error *error)
{
	const char *text = getenv("XRNPE_THREADS");
	cpu_set_t cpus;
	char *end;
	long n;

	if (text && *text) {
		n = strtol(text, &end, 10);
		if (end == text || *end || n < 1 || n > MAX_THREADS)
			return xrnpe_fail(error, -EINVAL, "XRNPE_THREADS=%s is not 1..%d", text,
					  MAX_THREADS);
		*count = (unsigned int)n;
		return 0;
	}
	n = sched_getaffinity(0, sizeof(cpus), &cpus) ? 1 : CPU_COUNT(&cpus);
	*count = n < MAX_THREADS ? (unsigned int)n : MAX_THREADS;
	return 0;
}

/* A context, and a thread for it; that thread may also use another, and others this one. */
static int start_worker(struct emu *emu)
{
	struct context *context = &emu->contexts[emu->context_count];
	int ret;

	/* Jobs run side by side, so each has enough with one thread. */
	context->datapath = xrnpe_datapath_new(1, NULL);
	if (!context->datapath)
		return -errno;
	emu->context_count++;
	pthread_mutex_lock(&emu->lock);
	context->next = emu->free;
	emu->free = context;
	pthread_mutex_unlock(&emu->lock);
	ret = pthread_create(&emu->workers[emu->worker_count], NULL, work, emu);
	if (!ret)
		emu->worker_count++;
	return -ret;
}

int xrnpe_emu_open(struct xrnpe_device **device, struct xrnpe_error *error)
{
	const struct xrnpe_machine machine = XRNPE_MACHINE_DEFAULT;
	struct emu *emu;
	unsigned int threads = 1;
	int ret;

	ret = count_threads(&threads, error);
	if (ret)
		return ret;
	emu = calloc(1, sizeof(*emu) + threads * sizeof(*emu->contexts));
	if (!emu)
		return xrnpe_fail_memory(error);
	emu->workers = calloc(threads, sizeof(*emu->workers));
	if (!emu->workers) {
		free(emu);
		return xrnpe_fail_memory(error);
	}

	emu->device.backend = &emu_backend;
	atomic_init(&emu->device.references, 1);
	pthread_mutex_init(&emu->lock, NULL);
	pthread_cond_init(&emu->work, NULL);
	clock_init_condition(&emu->done);
	for (unsigned int i = 0; i < QUEUES; i++)
		emu->queues[i].end = &emu->queues[i].first;

	while (emu->worker_count < threads) {
		ret = start_worker(emu);
		if (ret) {
			emu_close(&emu->device);
			return xrnpe_fail(error, ret, "emu: cannot start %u threads: %s", threads,
					  strerrordesc_np(-ret));
		}
	}

	emu->device.depth = 2 * threads;
	emu->device.swaps = true;
	emu->device.info = (struct xrnpe_device_info){
		.backend = "emu",
		.path = "emu",
		.driver = xrnpe_datapath_kernel(emu->contexts[0].datapath),
		.version = 1 << 16,
		.rows = machine.rows,
		.cols = machine.cols,
		.queues = QUEUES,
		.max_cmds = XRNPE_MAX_CMDS,
		.max_regions = XRNPE_MAX_REGIONS,
		.max_buffer_size = SIZE_MAX / 2,
		.threads = threads,
		.bus_bytes = machine.bus_bytes,
		.sram_kib = machine.sram_kib,
		.clock_khz = machine.clock_khz,
	};
	*device = &emu->device;
	return 0;
}
