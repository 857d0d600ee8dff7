/* SPDX-License-Identifier: MIT */
/* A process without any right. */
#ifndef XRNPE_NOBODY_H
#define XRNPE_NOBODY_H

#include <errno.h>
#include <grp.h>
#include <unistd.h>

#define NOBODY 65534

/* Returns 0 or -errno. */
static inline int become_nobody(void)
{
	return setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
	       setresuid(NOBODY, NOBODY, NOBODY) ? -errno : 0;
}

#endif
