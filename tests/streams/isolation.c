// SPDX-License-Identifier: MIT
/*
 * Nothing that a job leaves in the datapath is seen by another one, by any kernel of this CPU.
 *
 *     isolation JOBS [SEED]      JOBS from seed SEED (1) on
 *
 * The same job runs in two contexts in which others have run that have nothing in common. It
 * must leave the same: in memory, where that is unspecified and where it was given up, too, as
 * fault, as status, in counters.
 *
 * xrnpe_cancelled() is this file's, in the place of the library's: a job is given up at the
 * same look in both contexts, whatever the time.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernel.h"
#include "random.h"
#include "streams/kernel.h"

enum { USERS = 2 };

static struct stream job, other;
static uint8_t memory[USERS][STREAM_MEMORY];
static unsigned long looks, give_up_at, given_up;

bool xrnpe_cancelled(const volatile bool *cancel)
{
	(void)cancel;
	return looks++ >= give_up_at;
}

static int run(struct xrnpe_datapath *datapath, const struct stream *stream, uint8_t *where,
	       struct outcome *outcome)
{
	looks = 0;
	memcpy(where, stream->memory, stream->size);
	return kernel_run(datapath, stream, where, outcome);
}

static bool is_isolated(const char *kernel, struct xrnpe_datapath *const contexts[USERS], uint64_t seed)
{
	uint64_t random = seed;
	struct outcome outcomes[USERS];
	int ret[USERS];

	give_up_at = ULONG_MAX;
	for (unsigned int u = 0; u < USERS; u++) {
		stream_make(&other, ~(USERS * seed + u));
		run(contexts[u], &other, memory[u], &outcomes[u]);
	}
	/* The first time tells how many looks there are. */
	for (int round = 0; round < 2; round++) {
		size_t at = 0;

		for (unsigned int u = 0; u < USERS; u++)
			ret[u] = run(contexts[u], &job, memory[u], &outcomes[u]);
		while (at < job.size && memory[0][at] == memory[1][at])
			at++;
		if (at < job.size || ret[0] != ret[1] ||
		    memcmp(&outcomes[0], &outcomes[1], sizeof(outcomes[0]))) {
			printf("# seed %" PRIu64 ", %s, given up at look %lu: ", seed, kernel, give_up_at);
			printf("%d and %d, memory differs from byte %zu of %zu on\n", ret[0], ret[1], at,
			       job.size);
			stream_describe(&job, stdout);
			return false;
		}
		given_up += ret[0] == -ECANCELED;
		give_up_at = random_word(&random) % (looks + 1);
	}
	return true;
}

static bool try_kernel(const char *kernel, uint64_t seed, uint64_t count)
{
	struct xrnpe_datapath *contexts[USERS];
	bool good = true;

	for (unsigned int u = 0; u < USERS; u++) {
		contexts[u] = xrnpe_datapath_new(1, kernel);
		if (!contexts[u]) {
			perror(kernel);
			exit(EXIT_FAILURE);
		}
	}
	for (uint64_t i = 0; i < count && good; i++) {
		stream_make(&job, seed + i);
		good = is_isolated(kernel, contexts, seed + i);
	}
	for (unsigned int u = 0; u < USERS; u++)
		xrnpe_datapath_free(contexts[u]);
	return good;
}

int main(int argc, char **argv)
{
	uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	const char *const *kernels = xrnpe_datapath_kernels();
	bool all_good = true;
	int n = 0;

	if (!count) {
		fprintf(stderr, "usage: isolation JOBS [SEED]\n");
		return EXIT_FAILURE;
	}
	for (; kernels[n]; n++) {
		bool good;

		given_up = 0;
		good = try_kernel(kernels[n], seed, count) && given_up;
		printf("# %lu jobs of %" PRIu64 " given up\n", given_up, count);
		printf("%s %d - %s keeps jobs apart\n", good ? "ok" : "not ok", n + 1, kernels[n]);
		all_good &= good;
	}
	printf("1..%d\n", n);
	return all_good ? EXIT_SUCCESS : EXIT_FAILURE;
}
