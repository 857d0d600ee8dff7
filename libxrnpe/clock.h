/* SPDX-License-Identifier: MIT */
/* Times in nanoseconds of CLOCK_MONOTONIC. INT64_MAX is never. */
#ifndef XRNPE_CLOCK_H
#define XRNPE_CLOCK_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

#define CLOCK_SECOND 1000000000

static inline int64_t clock_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * CLOCK_SECOND + now.tv_nsec;
}

/* The time @timeout_ns from now; never, if that is negative. */
static inline int64_t clock_end(int64_t timeout_ns)
{
	int64_t end;

	if (timeout_ns < 0 || __builtin_add_overflow(clock_now(), timeout_ns, &end))
		return INT64_MAX;
	return end;
}

static inline void clock_init_condition(pthread_cond_t *condition)
{
	pthread_condattr_t monotonic;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(condition, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

/* Wait for @condition, made by clock_init_condition(), until @end. Returns 0 or ETIMEDOUT. */
static inline int clock_wait(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t end)
{
	const struct timespec until = { end / CLOCK_SECOND, end % CLOCK_SECOND };

	return end == INT64_MAX ? pthread_cond_wait(condition, lock) :
				  pthread_cond_timedwait(condition, lock, &until);
}

#endif
