/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * For kernels without a controller of device memory, or with one of before 7.3, which forgets
 * what is charged when a region goes: nothing is charged. Not for a kernel tree.
 */
#ifndef __XRNPE_COMPAT_CGROUP_DMEM_H__
#define __XRNPE_COMPAT_CGROUP_DMEM_H__

#include <linux/types.h>

struct dmem_cgroup_pool_state;
struct dmem_cgroup_region;

struct dmem_cgroup_init {
	u64 size;
};

static inline struct dmem_cgroup_region *
dmem_cgroup_register_region(const struct dmem_cgroup_init *init, const char *fmt, ...)
{
	return NULL;
}

static inline void dmem_cgroup_unregister_region(struct dmem_cgroup_region *region)
{
}

static inline int dmem_cgroup_try_charge(struct dmem_cgroup_region *region, u64 size,
					 struct dmem_cgroup_pool_state **pool,
					 struct dmem_cgroup_pool_state **limit_pool)
{
	return 0;
}

static inline void dmem_cgroup_uncharge(struct dmem_cgroup_pool_state *pool, u64 size)
{
}

#endif
