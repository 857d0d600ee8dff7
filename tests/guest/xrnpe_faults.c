// SPDX-License-Identifier: MIT
/*
 * The device fails at random, again and again, while several programs use it: every job
 * ends with its right result or its right error. Run by tests/faults, which sees to the
 * failures; XRNPE_FAULTS says how many jobs are to fail, XRNPE_SEED where to begin.
 */
#include "xrnpe_client.h"

#define CLIENTS 4

FIXTURE(faults)
{
	uint64_t seed;
	unsigned long wanted;
	struct tally *tally;
	pid_t clients[CLIENTS];
};

FIXTURE_SETUP(faults)
{
	self->seed = setting("XRNPE_SEED", 1);
	self->wanted = setting("XRNPE_FAULTS", 200);
	self->tally = make_tally();
	ASSERT_NE(MAP_FAILED, (void *)self->tally);
}

/* A job of a file of its own on queue @i, with its right result if it is done: else -EPROTO. */
static int run_alone(int i)
{
	const int fd = open_npu();
	struct work work;
	int state = fd < 0 ? fd : make_work(fd, &work);

	if (state)
		return state;
	state = run_work(fd, i, &work);
	if (state == DRM_XRNPE_JOB_DONE && !result_is_right(&work))
		state = -EPROTO;
	free_work(fd, &work);
	close(fd);
	return state;
}

/*
 * There may be failures still to come, but then all works. A queue on which too many came
 * in a row would be banned, hence a new one each time.
 */
FIXTURE_TEARDOWN(faults)
{
	for (int i = 0; i < QUEUES; i++) {
		const int64_t end = in_ms(60000);
		int state;

		do
			state = run_alone(i);
		while (state > DRM_XRNPE_JOB_DONE && now_ns() < end);
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, state);
	}
}

/* So many have failed, and all kinds came. */
static bool is_enough(const struct tally *tally, unsigned long wanted)
{
	for (int i = 0; i < STATES; i++)
		if (!tally->ends[i])
			return false;
	return failures(tally) >= wanted;
}

static int run_client(struct tally *tally, uint64_t seed, unsigned long wanted, bool teller)
{
	struct client client;
	int ret = open_client(&client, tally, seed);

	while (!ret && !is_enough(tally, wanted) && !tally->wrong[0]) {
		ret = run_chain(&client);
		if (teller)
			tell_progress(failures(tally), wanted, "failures");
	}
	if (ret && ret != -EPROTO)
		wrong(&client, "a call failed", ret);
	return ret;
}

TEST_F_TIMEOUT(faults, among_clients, 86400)
{
	struct tally *tally = self->tally;
	int64_t resets;
	int fd;

	for (int i = 0; i < CLIENTS; i++) {
		self->clients[i] = fork();
		ASSERT_LE(0, self->clients[i]);
		if (!self->clients[i])
			_exit(run_client(tally, self->seed * CLIENTS + i, self->wanted, !i) ?
			      1 : 0);
	}
	for (int i = 0; i < CLIENTS; i++) {
		int status;

		ASSERT_EQ(self->clients[i], waitpid(self->clients[i], &status, 0));
		EXPECT_TRUE(WIFEXITED(status) && !WEXITSTATUS(status));
	}
	fd = open_npu();
	resets = resets_of(fd);
	close(fd);
	EXPECT_STREQ("", tally->wrong);
	TH_LOG("seed %llu: %lu done, %lu faults, %lu timeouts, %lu cancelled; %lld resets",
	       (unsigned long long)self->seed, tally->ends[DRM_XRNPE_JOB_DONE],
	       tally->ends[DRM_XRNPE_JOB_FAULT], tally->ends[DRM_XRNPE_JOB_TIMEOUT],
	       tally->ends[DRM_XRNPE_JOB_CANCELLED], (long long)resets);
	EXPECT_TRUE(is_enough(tally, self->wanted));
	EXPECT_LT(0, resets);
}

TEST_HARNESS_MAIN
