// SPDX-License-Identifier: MIT
/*
 * Programs are killed, the device is taken away, the machine goes to sleep and memory runs
 * out, each at some random moment while several programs use the device: whoever is not
 * hit itself notices nothing. XRNPE_KILLS says how often, XRNPE_SEED where to begin. It
 * sends the machine to sleep, so it prints as xrnpe_sleep.c does. Needs root; without
 * fault injection in the kernel memory does not run out.
 */
#include "xrnpe_client.h"
#include "xrnpe_module.h"

#define DEVICE "c000000.npu"
#define CLIENTS 3
/* So often a client's allocations fail at least, however slow the machine. */
#define LEAST_TRIES 8
#define FAIL_PAGES "/sys/kernel/debug/fail_page_alloc/"

enum blow { SIGKILL_ONE, UNBIND, SLEEP, NO_MEMORY, BLOWS };
static const char *const blow_names[BLOWS] = { "kill", "unbind", "sleep", "no memory" };

struct shared {
	struct tally tally;
	atomic_bool stop;
	atomic_ulong out_of_memory;	/* calls that failed for that */
};

FIXTURE(kill)
{
	struct random random;
	struct shared *shared;
	bool memory_may_fail;
};

FIXTURE_SETUP(kill)
{
	self->random = seeded(setting("XRNPE_SEED", 1));
	self->shared = mmap(NULL, sizeof(*self->shared), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)self->shared);
	ASSERT_EQ(0, write_file("/sys/power/pm_test", "devices"));
	/* Those that may sleep shall fail, too; and quietly. */
	self->memory_may_fail = !write_file(FAILSLAB "ignore-gfp-wait", "N");
	if (self->memory_may_fail) {
		ASSERT_EQ(0, write_file(FAIL_PAGES "ignore-gfp-wait", "N"));
		ASSERT_EQ(0, write_file(FAILSLAB "verbose", "0"));
		ASSERT_EQ(0, write_file(FAIL_PAGES "verbose", "0"));
	}
}

FIXTURE_TEARDOWN(kill)
{
	EXPECT_EQ(0, write_file("/sys/power/pm_test", "none"));
}

/* What a client ends with. */
static int run_client(struct shared *shared, uint64_t seed)
{
	struct client client;
	int ret = open_client(&client, &shared->tally, seed);

	while (!ret && !shared->stop)
		ret = run_chain(&client);
	close_client(&client);
	return -ret;
}

/* One whose allocations fail, each time another one. */
static int run_out_of_memory(struct shared *shared, uint64_t seed)
{
	struct random random = seeded(seed);
	int ret = 0;

	for (unsigned int tries = 0; (tries < LEAST_TRIES || !shared->stop) &&
	     (!ret || ret == -ENOMEM || ret == -ENODEV); tries++) {
		struct client client;
		char nth[16];

		snprintf(nth, sizeof(nth), "%u", 1 + draw(&random, 200));
		write_file("/proc/thread-self/fail-nth", nth);
		ret = open_client(&client, &shared->tally, seed);
		if (!ret)
			ret = run_chain(&client);
		write_file("/proc/thread-self/fail-nth", "0");
		shared->out_of_memory += ret == -ENOMEM;
		close_client(&client);
	}
	return ret == -ENODEV || ret == -ENOMEM ? 0 : -ret;
}

static void await_jobs(const struct tally *tally, unsigned int count)
{
	const int64_t end = in_ms(10000);

	while (tally->ends[DRM_XRNPE_JOB_DONE] < count && now_ns() < end)
		sleep_ms(1);
}

static void strike(struct __test_metadata *_metadata, enum blow blow, pid_t victim)
{
	switch (blow) {
	case SIGKILL_ONE:
		EXPECT_EQ(0, kill(victim, SIGKILL));
		break;
	case UNBIND:
		EXPECT_EQ(0, write_file(DRIVER "unbind", DEVICE));
		break;
	case SLEEP:
		EXPECT_EQ(0, write_file("/sys/power/state", "freeze"));
		break;
	default:
		sleep_ms(300);
	}
}

/* Whether a client may end so after a blow. @hit: it was for this one. */
static bool may_end(int status, enum blow blow, bool hit)
{
	if (blow == SIGKILL_ONE && hit)
		return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
	if (blow == UNBIND && WIFSIGNALED(status))
		return WTERMSIG(status) == SIGBUS;
	return WIFEXITED(status) && (!WEXITSTATUS(status) ||
				     (blow == UNBIND && WEXITSTATUS(status) == ENODEV));
}

static void round_of(struct __test_metadata *_metadata, FIXTURE_DATA(kill) *self, enum blow blow)
{
	struct tally *tally = &self->shared->tally;
	uint64_t seed = draw(&self->random, UINT32_MAX);
	pid_t clients[CLIENTS];
	struct client after;

	memset(tally, 0, sizeof(*tally));
	self->shared->stop = false;
	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = fork();
		ASSERT_LE(0, clients[i]);
		if (!clients[i])
			_exit(!i && blow == NO_MEMORY ? run_out_of_memory(self->shared, seed) :
			      run_client(self->shared, seed + i));
	}
	/* While they open the device, or when they have used it for a while. */
	if (draw(&self->random, 4))
		await_jobs(tally, draw(&self->random, 20) * CLIENT_JOBS);
	sleep_ms(draw(&self->random, 100));
	strike(_metadata, blow, clients[0]);
	sleep_ms(draw(&self->random, 50));
	self->shared->stop = true;
	for (int i = 0; i < CLIENTS; i++) {
		int status;

		ASSERT_EQ(clients[i], waitpid(clients[i], &status, 0));
		EXPECT_TRUE(may_end(status, blow, !i)) {
			TH_LOG("%s: client %d ended with %#x", blow_names[blow], i, status);
		}
	}
	EXPECT_STREQ("", tally->wrong);
	if (blow == UNBIND) {
		EXPECT_EQ(0, write_file(DRIVER "bind", DEVICE));
	} else {
		EXPECT_EQ(0, failures(tally));
	}

	memset(tally, 0, sizeof(*tally));
	ASSERT_EQ(0, open_client(&after, tally, seed));
	EXPECT_EQ(0, run_chain(&after));
	EXPECT_EQ(CLIENT_JOBS, tally->ends[DRM_XRNPE_JOB_DONE]);
	close_client(&after);
}

TEST_F_TIMEOUT(kill, at_random, 86400)
{
	const uint64_t rounds = setting("XRNPE_KILLS", 50);
	unsigned int counts[BLOWS] = {};

	for (uint64_t i = 0; i < rounds; i++) {
		enum blow blow = draw(&self->random, self->memory_may_fail ? BLOWS : NO_MEMORY);

		tell_progress(i, rounds, "rounds");
		counts[blow]++;
		round_of(_metadata, self, blow);
	}
	for (int i = 0; i < BLOWS; i++)
		TH_LOG("%u x %s", counts[i], blow_names[i]);
	TH_LOG("%lu calls out of memory", self->shared->out_of_memory);
	if (counts[NO_MEMORY])
		EXPECT_LT(0, self->shared->out_of_memory);
}

TEST_HARNESS_MAIN
