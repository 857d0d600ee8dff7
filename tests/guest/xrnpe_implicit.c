// SPDX-License-Identifier: MIT
/*
 * In what order jobs execute that have buffers in common, without any sync.
 */
#include "xrnpe_job.h"
#include "xrnpe_random.h"

#include <linux/dma-buf.h>
#include <pthread.h>

/* Who writes a buffer waits for its readers, and they for it. */
TEST_F(job, implicit_order)
{
	struct drm_xrnpe_region regions[2];
	struct drm_xrnpe_job_wait end;
	struct work writer, reader;
	struct drm_xrnpe_job args;
	struct xrnpe_cmd cmd = matmul_cmd();
	struct drm_xrnpe_sync sync;
	int64_t a, b, c;
	struct gate gate;

	ASSERT_EQ(0, make_gate(self->fd, &gate));
	sync = wait_gate(&gate);
	ASSERT_EQ(0, make_work(self->fd, &writer));
	ASSERT_EQ(0, make_work(self->fd, &reader));

	/* a, held back, computes writer's product; its ifm is still to come. */
	a = submit_syncs(self->fd, 3 % QUEUES, &writer, &sync, 1);
	ASSERT_LT(0, a);

	/* b takes a's buffer to read from only, and writes to its own. */
	cmd.operand[XRNPE_OPERAND_OFM].region = 1;
	set_cmd(&reader, 0, cmd);
	args = job_args(&reader, &regions[1]);
	regions[0] = regions[1];
	regions[0].handle = writer.data.handle;
	regions[0].flags = DRM_XRNPE_REGION_READ;
	args.regions.pointer = (uintptr_t)regions;
	args.regions.count = 2;
	clear_result(&reader);
	b = submit_job(self->fd, 0, &args);
	ASSERT_LT(0, b);
	/* c writes what b reads. */
	c = submit(self->fd, 1 % QUEUES, &writer);
	ASSERT_LT(0, c);

	EXPECT_EQ(-ETIME, wait_job(self->fd, b, in_ms(50), &end));
	EXPECT_EQ(-ETIME, wait_job(self->fd, c, 0, &end));
	open_gate(&gate);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, c));
	EXPECT_EQ(0, wait_job(self->fd, b, 0, &end));
	EXPECT_EQ(0, wait_job(self->fd, a, 0, &end));
	EXPECT_TRUE(result_is_right(&reader));
}

/* Two who only read do not wait for each other; but who writes then, after either, does. */
TEST_F(job, readers_are_free)
{
	struct drm_xrnpe_region regions[2];
	struct drm_xrnpe_job_wait end;
	struct drm_xrnpe_job args;
	struct work first, second;
	struct xrnpe_cmd cmd = matmul_cmd();
	struct drm_xrnpe_sync sync;
	struct gate gate;
	int64_t jobs[2], writer;

	ASSERT_EQ(0, make_gate(self->fd, &gate));
	sync = wait_gate(&gate);
	cmd.operand[XRNPE_OPERAND_OFM].region = 1;
	ASSERT_EQ(0, make_work(self->fd, &first));
	ASSERT_EQ(0, make_work(self->fd, &second));
	set_cmd(&first, 0, cmd);
	set_cmd(&second, 0, cmd);

	for (int i = 0; i < 2; i++) {
		args = job_args(i ? &second : &first, &regions[1]);
		regions[0] = regions[1];
		regions[0].handle = self->work.data.handle;
		regions[0].flags = DRM_XRNPE_REGION_READ;
		args.regions.pointer = (uintptr_t)regions;
		args.regions.count = 2;
		if (!i)
			args.syncs = (struct drm_xrnpe_array){ sizeof(sync), 1, (uintptr_t)&sync };
		jobs[i] = submit_job(self->fd, i % QUEUES, &args);
		ASSERT_LT(0, jobs[i]);
	}
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, jobs[1]));
	writer = submit(self->fd, 1 % QUEUES, &self->work);
	ASSERT_LT(0, writer);
	EXPECT_EQ(-ETIME, wait_job(self->fd, writer, in_ms(50), &end));
	EXPECT_EQ(-ETIME, wait_job(self->fd, jobs[0], 0, &end));
	open_gate(&gate);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, jobs[0]));
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, writer));
}

/* ---- at random ---- */

#define JOBS 240
#define SHARED 3

/* A buffer that several have; of two files it may be the same. */
struct shared {
	unsigned int number;
	uint32_t handle;
};

/* A queue of a file, and a long job's own buffers for it. */
struct user {
	int fd;
	unsigned int queue;
	const struct shared *shared;
	struct work work;
};

struct random_job {
	const struct user *user;
	int64_t name;
	bool implicit;
	/* Bit by bit, buffers by number. */
	unsigned int reads, writes;
	struct xrnpe_job_record record;
};

static int submit_random(struct random *random, const struct user *user, struct random_job *job)
{
	struct drm_xrnpe_region regions[1 + SHARED];
	struct drm_xrnpe_job args = job_args(&user->work, regions);

	*job = (struct random_job){ .user = user, .implicit = draw(random, 4) };
	for (unsigned int i = 0; i < SHARED; i++) {
		const unsigned int flags = draw(random, 2) ? 0 : 1 + draw(random, 3);
		const unsigned int buffer = 1u << user->shared[i].number;

		if (!flags)
			continue;
		regions[args.regions.count++] = (struct drm_xrnpe_region){
			.handle = user->shared[i].handle, .flags = flags, .size = 64,
		};
		job->reads |= flags & DRM_XRNPE_REGION_READ ? buffer : 0;
		job->writes |= flags & DRM_XRNPE_REGION_WRITE ? buffer : 0;
	}
	args.flags = job->implicit ? 0 : DRM_XRNPE_JOB_NO_IMPLICIT_SYNC;
	job->name = submit_job(user->fd, user->queue, &args);
	return job->name < 0 ? (int)job->name : 0;
}

/* Whether @b, which was submitted later, must not begin before @a has ended. */
static bool must_wait(const struct random_job *a, const struct random_job *b)
{
	return a->implicit && b->implicit &&
	       ((a->writes & (b->reads | b->writes)) || (b->writes & (a->reads | a->writes)));
}

static uint32_t handle_in(int fd, int other, uint32_t handle)
{
	struct drm_prime_handle export = { .handle = handle, .flags = DRM_CLOEXEC | DRM_RDWR };
	struct drm_prime_handle import = {};

	if (call(fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &export))
		return 0;
	import.fd = export.fd;
	if (call(other, DRM_IOCTL_PRIME_FD_TO_HANDLE, &import))
		import.handle = 0;
	close(export.fd);
	return import.handle;
}

/* By queues of two files, which have one of the buffers in common. */
TEST_F(job, implicit_order_at_random)
{
	struct user users[2 * QUEUES], *user = users;
	struct random_job jobs[JOBS];
	struct shared shared[2][SHARED];
	struct random random = seeded(setting("XRNPE_SEED", 1));
	const int fds[2] = { self->fd, open_npu() };
	unsigned int waited = 0, overtook = 0;

	ASSERT_LE(0, fds[1]);
	for (unsigned int i = 0; i < 2 * SHARED; i++) {
		struct bo bo;

		ASSERT_EQ(0, make_bo(fds[i % 2], 4096, 0, &bo));
		shared[i % 2][i / 2] = (struct shared){ i, bo.handle };
	}
	shared[1][0] = (struct shared){ 0, handle_in(fds[0], fds[1], shared[0][0].handle) };
	ASSERT_NE(0, shared[1][0].handle);
	for (unsigned int i = 0; i < 2 * QUEUES; i++) {
		users[i] = (struct user){ fds[i % 2], i / 2, shared[i % 2], {} };
		ASSERT_EQ(0, make_long(users[i].fd, 16, 1, &users[i].work));
	}

	for (unsigned int i = 0; i < JOBS; i++) {
		/* One after the other of the same queue, often. */
		user = draw(&random, 2) ? user : &users[draw(&random, 2 * QUEUES)];
		ASSERT_EQ(0, submit_random(&random, user, &jobs[i]));
	}
	for (unsigned int i = 0; i < JOBS; i++) {
		struct drm_xrnpe_job_wait end;

		ASSERT_EQ(0, wait_record(jobs[i].user->fd, jobs[i].name, &end, &jobs[i].record));
		ASSERT_EQ(DRM_XRNPE_JOB_DONE, end.state);
	}
	for (unsigned int j = 0; j < JOBS; j++) {
		for (unsigned int i = 0; i < j; i++) {
			const bool later = jobs[j].record.start >= jobs[i].record.end;

			overtook += !later;
			waited += must_wait(&jobs[i], &jobs[j]);
			EXPECT_TRUE(later || !must_wait(&jobs[i], &jobs[j]))
				TH_LOG("job %u began before job %u had ended", j, i);
		}
	}
	/* There was something to see. */
	EXPECT_LT(JOBS, waited);
	EXPECT_LT(0, overtook);
	close(fds[1]);
}

/* ---- many ---- */

#define READERS 100

/* Who writes a buffer that many read waits for all of them, though they have ended meanwhile. */
TEST_F(job, many_readers)
{
	const int fds[2] = { self->fd, open_npu() };
	const uint32_t handles[2] = {
		self->work.data.handle, handle_in(fds[0], fds[1], self->work.data.handle),
	};
	struct gate gates[2], gate;
	struct drm_xrnpe_job_wait end;
	int64_t readers[READERS], job;
	struct drm_xrnpe_sync sync;
	struct work works[2];

	ASSERT_NE(0, handles[1]);
	ASSERT_EQ(0, make_gate(self->fd, &gate));
	for (unsigned int i = 0; i < 2; i++) {
		ASSERT_EQ(0, make_work(fds[i], &works[i]));
		ASSERT_EQ(0, make_gate(fds[i], &gates[i]));
	}
	for (unsigned int i = 0; i < READERS; i++) {
		const unsigned int file = i % 2;
		const int64_t queue = make_queue(fds[file], DRM_XRNPE_PRIORITY_LOW, 1);
		struct drm_xrnpe_region regions[2];
		struct drm_xrnpe_job args = job_args(&works[file], regions);

		ASSERT_LT(0, queue);
		regions[1] = (struct drm_xrnpe_region){
			.handle = handles[file], .flags = DRM_XRNPE_REGION_READ, .size = 64,
		};
		args.regions.count = 2;
		sync = wait_gate(&gates[file]);
		args.syncs = (struct drm_xrnpe_array){ sizeof(sync), 1, (uintptr_t)&sync };
		readers[i] = submit_jobs(fds[file], queue, &args, 1, 0);
		ASSERT_LT(0, readers[i]);
	}
	sync = wait_gate(&gate);
	job = submit_syncs(self->fd, 0, &self->work, &sync, 1);
	ASSERT_LT(0, job);

	for (unsigned int i = 0; i < 2; i++)
		open_gate(&gates[i]);
	for (unsigned int i = 0; i < READERS; i++)
		ASSERT_EQ(DRM_XRNPE_JOB_DONE, state_of(fds[i % 2], readers[i]));
	EXPECT_EQ(-ETIME, wait_job(self->fd, job, in_ms(50), &end));
	open_gate(&gate);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, job));
	close(fds[1]);
}

/* ---- fences of others ---- */

/* The dma-buf of a buffer, or -errno. */
static int dma_buf_of(int fd, const struct bo *bo)
{
	struct drm_prime_handle export = { .handle = bo->handle, .flags = DRM_CLOEXEC | DRM_RDWR };
	int ret = call(fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &export);

	return ret ? ret : export.fd;
}

/* Put a gate's fence into a dma-buf, as another driver would that writes it. */
static int fence_dma_buf(int fd, int dma_buf, const struct gate *gate)
{
	struct dma_buf_import_sync_file import = {
		.flags = DMA_BUF_SYNC_WRITE, .fd = export_fence(fd, gate->syncobj),
	};
	int ret = import.fd < 0 ? import.fd : call(dma_buf, DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &import);

	close(import.fd);
	return ret;
}

/* A fence comes into a buffer that nobody but one queue has used so far. */
TEST_F(job, fence_of_another_driver)
{
	struct drm_xrnpe_job_wait end;
	struct gate gate;
	int dma_buf;
	int64_t job;

	ASSERT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 1, &self->work));
	dma_buf = dma_buf_of(self->fd, &self->work.data);
	ASSERT_LE(0, dma_buf);
	ASSERT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 1, &self->work));
	ASSERT_EQ(0, make_gate(self->fd, &gate));
	ASSERT_EQ(0, fence_dma_buf(self->fd, dma_buf, &gate));

	job = submit(self->fd, 1, &self->work);
	ASSERT_LT(0, job);
	EXPECT_EQ(-ETIME, wait_job(self->fd, job, in_ms(50), &end));
	open_gate(&gate);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, job));
	close(dma_buf);
}

struct late {
	int fd;
	uint32_t queue;
	const struct work *work;
	int64_t job;
};

static void *submit_late(void *data)
{
	struct late *late = data;
	struct drm_xrnpe_region region;
	const struct drm_xrnpe_job job = job_args(late->work, &region);

	late->job = submit_jobs(late->fd, late->queue, &job, 1, 0);
	return NULL;
}

/* The same while a SUBMIT waits for room, and the buffer's last handle is closed. */
TEST_F(job, fence_of_another_driver_behind_the_handle)
{
	struct work used;
	struct late late = { self->fd, make_queue(self->fd, DRM_XRNPE_PRIORITY_MEDIUM, 1), &used, 0 };
	struct drm_xrnpe_job_wait end;
	struct drm_xrnpe_region region;
	struct drm_xrnpe_sync full;
	struct drm_xrnpe_job job;
	struct gate room, gate;
	pthread_t thread;
	int dma_buf;

	ASSERT_EQ(0, make_work(self->fd, &used));
	submit_late(&late);
	ASSERT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, late.job));
	dma_buf = dma_buf_of(self->fd, &used.data);
	ASSERT_LE(0, dma_buf);

	ASSERT_EQ(0, make_gate(self->fd, &room));
	full = wait_gate(&room);
	job = job_args(&self->work, &region);
	job.syncs = (struct drm_xrnpe_array){ sizeof(full), 1, (uintptr_t)&full };
	ASSERT_LT(0, submit_jobs(self->fd, late.queue, &job, 1, 0));
	ASSERT_EQ(0, pthread_create(&thread, NULL, submit_late, &late));
	sleep_ms(100);
	ASSERT_EQ(0, make_gate(self->fd, &gate));
	ASSERT_EQ(0, fence_dma_buf(self->fd, dma_buf, &gate));
	free_bo(self->fd, &used.data);
	open_gate(&room);
	ASSERT_EQ(0, pthread_join(thread, NULL));

	EXPECT_EQ(-ETIME, wait_job(self->fd, late.job, in_ms(50), &end));
	open_gate(&gate);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, late.job));
	close(dma_buf);
}

TEST_HARNESS_MAIN
