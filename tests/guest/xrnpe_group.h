/* SPDX-License-Identifier: MIT */
/* A cgroup of version 2, for tests of what programs are charged. */
#ifndef XRNPE_GROUP_H
#define XRNPE_GROUP_H

#include <sys/mount.h>
#include <sys/stat.h>

#include "xrnpe_test.h"

#define GROUPS "/sys/fs/cgroup"
#define GROUP GROUPS "/xrnpe"

/* Let groups have the controller that is named after a "+": 0, or -errno if the kernel has none. */
static inline int enable_controller(const char *name)
{
	if (mount("none", GROUPS, "cgroup2", 0, NULL) && errno != EBUSY)
		return -errno;
	return write_file(GROUPS "/cgroup.subtree_control", name);
}

static inline int join_group(void)
{
	return write_file(GROUP "/cgroup.procs", "0");
}

#endif
