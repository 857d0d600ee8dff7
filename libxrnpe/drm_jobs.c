// SPDX-License-Identifier: MIT
/*
 * Jobs on the kernel driver's device. One that is no more than one part of the device's needs
 * no thread: the kernel tells its end to who waits, or to an eventfd. What else there is to
 * do, between parts and at the end, is done by threads that are started when they are needed.
 */
#include <errno.h>
#include <xf86drm.h>

#include "clock.h"
#include "drm_backend.h"
#include "error.h"

/* Of Linux 6.6, which libdrm's headers may be older than. */
#ifndef DRM_IOCTL_SYNCOBJ_EVENTFD
struct drm_syncobj_eventfd {
	uint32_t handle;
	uint32_t flags;
	uint64_t point;
	int32_t fd;
	uint32_t pad;
};
#define DRM_IOCTL_SYNCOBJ_EVENTFD DRM_IOWR(0xCF, struct drm_syncobj_eventfd)
#endif

/* ---- the device's part ------------------------------------------------ */

/* How a job ended. */
struct answer {
	struct drm_xrnpe_job_wait wait;
	struct xrnpe_job_record record;	/* zero unless the job counts */
};

/* Ask how @job ended; wait for that until absolute time @end_ns. */
static int ask(struct drm *drm, const struct xrnpe_job *job, int64_t end_ns, struct answer *answer)
{
	*answer = (struct answer){ .wait = {
		.queue = drm->queues[job->queue].id,
		.job = job->number,
		.timeout_ns = end_ns,
	} };
	if (job->count) {
		answer->wait.record = (uintptr_t)&answer->record;
		answer->wait.record_size = sizeof(answer->record);
	}
	return drmIoctl(drm->fd, DRM_IOCTL_XRNPE_JOB_WAIT, &answer->wait) ? -errno : 0;
}

/* With the lock held: take a job off the list; @answer: how it ended, if known. */
static void settle(struct drm *drm, struct xrnpe_job *job, const struct answer *answer)
{
	struct queue *queue = &drm->queues[job->queue];
	struct xrnpe_job **link = &queue->first;

	while (*link != job)
		link = &(*link)->next;
	*link = job->next;
	if (!*link)
		queue->end = link;
	if (!answer)
		return;
	job->state = answer->wait.state;
	job->reason = answer->wait.reason;
	job->result = (struct xrnpe_result){
		.status = answer->wait.status,
		.fault = {
			.kind = answer->wait.fault.kind,
			.cmd = answer->wait.fault.cmd,
			.operand = answer->wait.fault.operand,
			.region = answer->wait.fault.region,
			.offset = answer->wait.fault.offset,
		},
		.counters = answer->record.counters,
	};
	job->executed = (int64_t)(answer->record.executed * 1e6 / drm->timer_khz);
	job->told = true;
}

/* With the lock held: make room in the kernel's history for one more job. */
static int make_room(struct drm *drm, struct queue *queue, struct xrnpe_error *error)
{
	while (queue->first && queue->last_job + 1 - queue->first->number >= drm->depth) {
		struct answer answer;

		if (ask(drm, queue->first, INT64_MAX, &answer))
			return drm_fail_ioctl(drm, "wait for a job", error);
		settle(drm, queue->first, &answer);
	}
	return 0;
}

/* Have the kernel write to @fd when the fence of @job's syncobj signals. */
static int watch_syncobj(struct drm *drm, struct xrnpe_job *job, int fd, struct xrnpe_error *error)
{
	struct drm_syncobj_eventfd args = { .handle = job->syncobj, .fd = fd };

	if (drmIoctl(drm->fd, DRM_IOCTL_SYNCOBJ_EVENTFD, &args))
		return drm_fail_ioctl(drm, "watch a syncobj", error);
	return 0;
}

/*
 * What tells the end of a job's only part: a syncobj, by which the kernel writes to an eventfd,
 * too.
 */
static int prepare_sync(struct drm *drm, struct xrnpe_job *job, struct xrnpe_error *error)
{
	struct drm_syncobj_create create = { 0 };
	struct drm_syncobj_array old = { .handles = (uintptr_t)&job->syncobj, .count_handles = 1 };

	if (!job->syncobj) {
		if (drmIoctl(drm->fd, DRM_IOCTL_SYNCOBJ_CREATE, &create))
			return drm_fail_ioctl(drm, "create a syncobj", error);
		job->syncobj = create.handle;
	}
	if (job->fd < 0)
		return 0;
	/* It waits for the fence that is not there yet. */
	if (drmIoctl(drm->fd, DRM_IOCTL_SYNCOBJ_RESET, &old))
		return drm_fail_ioctl(drm, "reset a syncobj", error);
	return watch_syncobj(drm, job, job->fd, error);
}

/* Whether others than who submitted @job, or an eventfd, may have to be told of its end. */
static bool wants_sync(const struct xrnpe_job *job)
{
	return !job->goes_on && (job->awaited == XRNPE_AWAITED_NOT || job->fd >= 0);
}

/* Give the device its part of @job. */
static int submit_part(struct drm *drm, struct xrnpe_job *job, struct xrnpe_error *error)
{
	struct drm_xrnpe_region regions[XRNPE_MAX_REGIONS] = { 0 };
	struct queue *queue = &drm->queues[job->queue];
	struct drm_xrnpe_sync sync = { .flags = DRM_XRNPE_SYNC_SIGNAL };
	struct drm_xrnpe_job what = {
		.cmd_handle = job->cmds->handle,
		.cmd_count = job->cmd_count,
		.cmd_offset = job->cmd_first * (uint64_t)sizeof(struct xrnpe_cmd),
		.cmd_stride = sizeof(struct xrnpe_cmd),
		.regions = {
			.stride = sizeof(*regions),
			.count = job->region_count,
			.pointer = (uintptr_t)regions,
		},
	};
	struct drm_xrnpe_submit args = {
		.queue = queue->id,
		.jobs = { .stride = sizeof(what), .count = 1, .pointer = (uintptr_t)&what },
	};
	bool syncs = wants_sync(job);
	int ret = syncs ? prepare_sync(drm, job, error) : 0;

	if (ret)
		return ret;
	sync.handle = job->syncobj;
	if (syncs)
		what.syncs = (struct drm_xrnpe_array){
			.stride = sizeof(sync), .count = 1, .pointer = (uintptr_t)&sync,
		};
	for (unsigned int i = 0; i < job->region_count; i++)
		regions[i] = (struct drm_xrnpe_region){
			.handle = job->regions[i].buffer->handle,
			.flags = job->regions[i].flags,
			.offset = job->regions[i].offset,
			.size = job->regions[i].size,
		};

	job->told = false;
	job->next = NULL;
	pthread_mutex_lock(&drm->lock);
	ret = make_room(drm, queue, error);
	if (!ret && drmIoctl(drm->fd, DRM_IOCTL_XRNPE_SUBMIT, &args))
		ret = drm_fail_ioctl(drm, "submit a job", error);
	if (!ret) {
		job->number = queue->last_job = args.first_job;
		*queue->end = job;
		queue->end = &job->next;
	}
	pthread_mutex_unlock(&drm->lock);
	return ret;
}

/* Wait until time @end for the device to do its part. Returns 0, -ETIME, or what failed. */
static int await(struct drm *drm, struct xrnpe_job *job, int64_t end, struct xrnpe_error *error)
{
	struct answer answer;
	bool told;
	int ret;

	pthread_mutex_lock(&drm->lock);
	told = job->told;
	pthread_mutex_unlock(&drm->lock);
	if (told)
		return 0;

	ret = ask(drm, job, end, &answer);
	if (ret == -ETIME)
		return ret;
	if (ret)
		drm_fail_ioctl(drm, "wait for a job", error);

	/* Meanwhile submit_part() may have learnt it, and the kernel forgotten. */
	pthread_mutex_lock(&drm->lock);
	if (job->told)
		ret = 0;
	else
		settle(drm, job, ret ? NULL : &answer);
	pthread_mutex_unlock(&drm->lock);
	return ret;
}

/* ---- jobs that go on by themselves ------------------------------------- */

/* One part and what follows. Returns whether there is another one, which was submitted. */
static bool go_on(struct drm *drm, struct xrnpe_job *job)
{
	if (job->cmds) {
		job->code = await(drm, job, INT64_MAX, &job->error);
		if (job->code)
			return false;
	}
	if (!job->advance(job))
		return false;
	job->code = submit_part(drm, job, &job->error);
	return !job->code;
}

/* With the lock held. */
static void add_running(struct drm *drm, struct xrnpe_job *job)
{
	job->next_running = NULL;
	*drm->running_end = job;
	drm->running_end = &job->next_running;
	pthread_cond_signal(&drm->work);
}

static struct xrnpe_job *take_running(struct drm *drm)
{
	struct xrnpe_job *job = drm->running;

	drm->running = job->next_running;
	if (!drm->running)
		drm->running_end = &drm->running;
	return job;
}

static void *run_jobs(void *data)
{
	struct drm *drm = data;

	pthread_mutex_lock(&drm->lock);
	while (!drm->stop) {
		struct xrnpe_job *job;
		bool more;

		if (!drm->running) {
			drm->idle_count++;
			pthread_cond_wait(&drm->work, &drm->lock);
			drm->idle_count--;
			continue;
		}
		job = take_running(drm);
		pthread_mutex_unlock(&drm->lock);
		more = go_on(drm, job);
		if (!more)
			xrnpe_job_tell(job);
		pthread_mutex_lock(&drm->lock);
		if (more) {
			add_running(drm, job);
		} else {
			xrnpe_job_end(job);
			pthread_cond_broadcast(&drm->over);
		}
	}
	pthread_mutex_unlock(&drm->lock);
	return NULL;
}

/* One more thread if there is none for a job. Returns 0 if there are any. */
static int start_runner(struct drm *drm, struct xrnpe_error *error)
{
	int ret = 0;

	pthread_mutex_lock(&drm->lock);
	if ((!drm->idle_count || drm->running) && drm->runner_count < DRM_RUNNERS) {
		ret = pthread_create(&drm->runners[drm->runner_count], NULL, run_jobs, drm);
		drm->runner_count += !ret;
	}
	if (drm->runner_count)
		ret = 0;
	pthread_mutex_unlock(&drm->lock);
	return ret ? xrnpe_fail(error, -ret, "%s: cannot start a thread", drm->path) : 0;
}

void drm_start_jobs(struct drm *drm)
{
	pthread_mutex_init(&drm->lock, NULL);
	pthread_cond_init(&drm->work, NULL);
	clock_init_condition(&drm->over);
	drm->running_end = &drm->running;
}

void drm_stop_jobs(struct drm *drm)
{
	pthread_mutex_lock(&drm->lock);
	drm->stop = true;
	pthread_cond_broadcast(&drm->work);
	pthread_mutex_unlock(&drm->lock);
	for (unsigned int i = 0; i < drm->runner_count; i++)
		pthread_join(drm->runners[i], NULL);
	pthread_cond_destroy(&drm->over);
	pthread_cond_destroy(&drm->work);
	pthread_mutex_destroy(&drm->lock);
}

/* ---- all jobs ----------------------------------------------------------- */

int drm_submit(struct xrnpe_device *device, struct xrnpe_job *job, struct xrnpe_error *error)
{
	struct drm *drm = to_drm(device);
	int ret = job->goes_on ? start_runner(drm, error) : 0;

	job->over = false;
	if (!ret && job->cmds)
		ret = submit_part(drm, job, error);
	if (ret || !job->goes_on)
		return ret;
	pthread_mutex_lock(&drm->lock);
	add_running(drm, job);
	pthread_mutex_unlock(&drm->lock);
	return 0;
}

int drm_wait(struct xrnpe_device *device, struct xrnpe_job *job, int64_t timeout_ns)
{
	struct drm *drm = to_drm(device);
	int64_t end = clock_end(timeout_ns);
	int ret = 0;

	if (!job->goes_on) {
		if (job->over)
			return 0;
		job->code = await(drm, job, timeout_ns ? end : 0, &job->error);
		if (job->code == -ETIME)
			return -ETIME;
		if (!job->code)
			job->advance(job);
		job->over = true;
		return 0;
	}
	pthread_mutex_lock(&drm->lock);
	while (!job->over && !ret)
		ret = clock_wait(&drm->over, &drm->lock, end);
	ret = job->over ? 0 : -ETIME;
	pthread_mutex_unlock(&drm->lock);
	return ret;
}

/* The kernel takes no job back; between its parts it is looked at. */
void drm_cancel(struct xrnpe_device *device, struct xrnpe_job *job)
{
}

int drm_watch(struct xrnpe_device *device, struct xrnpe_job *job, int fd,
	      struct xrnpe_error *error)
{
	struct drm *drm = to_drm(device);
	int ret = job->goes_on ? 0 : watch_syncobj(drm, job, fd, error);

	if (ret)
		return ret;
	pthread_mutex_lock(&drm->lock);
	job->fd = fd;
	if (job->goes_on && job->over)
		xrnpe_job_end(job);
	pthread_mutex_unlock(&drm->lock);
	return 0;
}

void drm_forget(struct xrnpe_device *device, struct xrnpe_job *job)
{
	struct drm_syncobj_destroy args = { .handle = job->syncobj };

	if (job->syncobj)
		drmIoctl(to_drm(device)->fd, DRM_IOCTL_SYNCOBJ_DESTROY, &args);
}
