// SPDX-License-Identifier: MIT
/* Work that several threads share. */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "threads.h"

#define MAX_THREADS 256

struct crew {
	void (*work)(void *data, bool caller);
	void *data;
};

static void *member(void *data)
{
	const struct crew *crew = data;

	crew->work(crew->data, false);
	return NULL;
}

static size_t thread_count(void)
{
	const char *text = getenv("XRNPE_THREADS");
	long count = text ? strtol(text, NULL, 10) : 0;

	if (count < 1)
		count = sysconf(_SC_NPROCESSORS_ONLN);
	return count < 1 ? 1 : count > MAX_THREADS ? MAX_THREADS : (size_t)count;
}

void threads_run(void (*work)(void *data, bool caller), void *data, size_t most)
{
	struct crew crew = { work, data };
	size_t threads = thread_count(), started = 0;
	pthread_t others[MAX_THREADS];

	if (threads > most)
		threads = most;
	while (started + 1 < threads &&
	       !pthread_create(&others[started], NULL, member, &crew))
		started++;
	work(data, true);
	while (started)
		pthread_join(others[--started], NULL);
}
