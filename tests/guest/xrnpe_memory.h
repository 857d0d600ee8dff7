/* SPDX-License-Identifier: MIT */
/* The machine's memory: how much of it is free, and whether anybody writes to that. */
#ifndef XRNPE_MEMORY_H
#define XRNPE_MEMORY_H

#include "xrnpe_test.h"

#define MEMORY_FILL 0x55

/* A line of /proc/meminfo, or 0. */
static inline size_t memory_kib(const char *key)
{
	const char *found = strstr(read_file("/proc/meminfo"), key);

	return found ? strtoul(found + strlen(key), NULL, 10) : 0;
}

/*
 * Take most of the free memory, and see whether any of it changes. The results start
 * on a page.
 */
static inline bool memory_is_quiet(void)
{
	const size_t size = memory_kib("MemAvailable:") * 1024 / 10 * 9;
	const size_t page = sysconf(_SC_PAGESIZE);
	volatile uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
					MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool quiet = memory != MAP_FAILED;

	if (!quiet)
		return false;
	for (size_t i = 0; i < size; i += page)
		memory[i] = MEMORY_FILL;
	sleep_ms(500);
	for (size_t i = 0; i < size && quiet; i += page)
		quiet = memory[i] == MEMORY_FILL;
	munmap((void *)memory, size);
	return quiet;
}

#endif
