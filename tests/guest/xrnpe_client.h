/* SPDX-License-Identifier: MIT */
/*
 * A program that does right while others, or the device, do not: it checks how each of
 * its jobs ends, each result, and memory of its own that no job should reach.
 */
#ifndef XRNPE_CLIENT_H
#define XRNPE_CLIENT_H

#include <stdatomic.h>
#include <sys/wait.h>

#include "xrnpe_random.h"
#include "xrnpe_sync.h"
#include "xrnpe_work.h"

#define CLIENT_JOBS 4
#define CANARY_BYTES 65536
#define STATES (DRM_XRNPE_JOB_CANCELLED + 1)

/* What all clients have seen; in memory that they share. */
struct tally {
	atomic_ulong ends[STATES];	/* jobs, by state */
	char wrong[256];		/* the first thing that should not be; or "" */
};

struct client {
	int fd;
	struct tally *tally;
	struct random random;
	uint32_t priority, queue;
	uint32_t syncobjs[CLIENT_JOBS];
	struct work works[CLIENT_JOBS];
	struct bo canary;
};

static inline struct tally *make_tally(void)
{
	return mmap(NULL, sizeof(struct tally), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

/* Jobs that did not end well. */
static inline unsigned long failures(const struct tally *tally)
{
	return tally->ends[DRM_XRNPE_JOB_FAULT] + tally->ends[DRM_XRNPE_JOB_TIMEOUT] +
	       tally->ends[DRM_XRNPE_JOB_CANCELLED];
}

/* Note what should not be. Returns -EPROTO. */
static inline int wrong(struct client *client, const char *what, long number)
{
	if (!client->tally->wrong[0])
		snprintf(client->tally->wrong, sizeof(client->tally->wrong), "%s: %ld", what, number);
	return -EPROTO;
}

static inline int open_client(struct client *client, struct tally *tally, uint64_t seed)
{
	int ret;

	*client = (struct client){ .fd = open_npu(), .tally = tally, .random = seeded(seed) };
	if (client->fd < 0)
		return -ENODEV;
	client->priority = draw(&client->random, QUEUES);
	ret = make_bo(client->fd, CANARY_BYTES, 0, &client->canary);
	for (int i = 0; !ret && i < CLIENT_JOBS; i++) {
		client->syncobjs[i] = make_syncobj(client->fd);
		ret = client->syncobjs[i] ? make_work(client->fd, &client->works[i]) : -errno;
	}
	if (!ret)
		memset(client->canary.map, 1 + seed % 255, CANARY_BYTES);
	return ret;
}

/* Whatever it has; also one that could not be opened. */
static inline void close_client(struct client *client)
{
	if (client->fd < 0)
		return;
	for (int i = 0; i < CLIENT_JOBS; i++)
		free_work(client->fd, &client->works[i]);
	free_bo(client->fd, &client->canary);
	close(client->fd);
}

/* A queue that had failure after failure, none of the client's making, is replaced. */
static inline int64_t submit_chain(struct client *client, const struct drm_xrnpe_job *jobs)
{
	int64_t first = -EIO;

	if (client->queue)
		first = submit_jobs(client->fd, client->queue, jobs, CLIENT_JOBS, 0);
	if (first == -EIO) {
		int64_t queue;

		if (client->queue)
			destroy_queue(client->fd, client->queue);
		queue = make_queue(client->fd, client->priority, 2 * CLIENT_JOBS);
		client->queue = queue < 0 ? 0 : queue;
		first = queue < 0 ? queue :
			submit_jobs(client->fd, client->queue, jobs, CLIENT_JOBS, 0);
	}
	return first;
}

/* @failed: what it waits for did not end well. */
static inline int check_end(struct client *client, const struct drm_xrnpe_job_wait *end,
			    const struct work *work, bool failed)
{
	client->tally->ends[end->state]++;
	if (failed && end->state != DRM_XRNPE_JOB_CANCELLED)
		return wrong(client, "began after its fence had failed, and ended", end->state);
	switch (end->state) {
	case DRM_XRNPE_JOB_DONE:
		return result_is_right(work) ? 0 : wrong(client, "wrong result of job", end->job);
	case DRM_XRNPE_JOB_FAULT:
		return end->fault.kind == XRNPE_FAULT_BUS || end->fault.kind == XRNPE_FAULT_DEVICE ?
		       0 : wrong(client, "fault of kind", end->fault.kind);
	case DRM_XRNPE_JOB_TIMEOUT:
		return 0;
	default:
		if (end->reason == DRM_XRNPE_CANCEL_IN_FENCE)
			return failed ? 0 : wrong(client, "no fence failed of job", end->job);
		return end->reason == DRM_XRNPE_CANCEL_RESET ||
		       end->reason == DRM_XRNPE_CANCEL_BANNED ||
		       end->reason == DRM_XRNPE_CANCEL_LOST ?
		       0 : wrong(client, "cancelled for reason", end->reason);
	}
}

static inline int check_canary(struct client *client)
{
	const uint8_t *map = client->canary.map;

	return memcmp(map, map + 1, CANARY_BYTES - 1) ?
	       wrong(client, "the memory of a client has changed", 0) : 0;
}

/*
 * Submit jobs of which some wait for the one before, and see how they end. Returns 0,
 * -EPROTO if something is wrong, or another -errno of a call.
 */
static inline int run_chain(struct client *client)
{
	struct drm_xrnpe_region regions[CLIENT_JOBS];
	struct drm_xrnpe_sync syncs[CLIENT_JOBS][2];
	struct drm_xrnpe_job jobs[CLIENT_JOBS];
	bool waits[CLIENT_JOBS], failed = false;
	int64_t first;
	int ret;

	for (int i = 0; i < CLIENT_JOBS; i++) {
		clear_result(&client->works[i]);
		jobs[i] = job_args(&client->works[i], &regions[i]);
		waits[i] = i && draw(&client->random, 2);
		syncs[i][0] = (struct drm_xrnpe_sync){ client->syncobjs[i], DRM_XRNPE_SYNC_SIGNAL, 0 };
		syncs[i][1] = (struct drm_xrnpe_sync){ .handle = client->syncobjs[i ? i - 1 : 0] };
		jobs[i].syncs = (struct drm_xrnpe_array){ sizeof(syncs[i][0]), 1 + waits[i],
							  (uintptr_t)syncs[i] };
	}
	first = submit_chain(client, jobs);
	if (first < 0)
		return first;
	for (int i = 0; i < CLIENT_JOBS; i++) {
		struct drm_xrnpe_job_wait end;

		ret = wait_job(client->fd, first + i, in_ms(60000), &end);
		if (!ret)
			ret = check_end(client, &end, &client->works[i], waits[i] && failed);
		if (ret)
			return ret;
		failed = end.state != DRM_XRNPE_JOB_DONE;
	}
	return check_canary(client);
}

#endif
