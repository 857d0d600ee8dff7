/* SPDX-License-Identifier: MIT */
/* Work that several threads share. */
#ifndef XRNPE_THREADS_H
#define XRNPE_THREADS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Call @work in as many threads as there are CPUs (or as the environment variable
 * XRNPE_THREADS says), @most at most, and wait until all have returned. One is the
 * calling thread, and @caller tells which. With fewer threads than wanted it only
 * takes longer: @work takes what is left to do from @data until nothing is.
 */
void threads_run(void (*work)(void *data, bool caller), void *data, size_t most);

#endif
