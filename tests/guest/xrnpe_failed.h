/* SPDX-License-Identifier: MIT */
/* What a device that has failed for good does. */
#ifndef XRNPE_FAILED_H
#define XRNPE_FAILED_H

#include "xrnpe_memory.h"
#include "xrnpe_work.h"

#define DEVICE "c000000.npu"

/* It takes nothing new, @work least of all, and what there is can be looked at. */
static inline void expect_failed(struct __test_metadata *_metadata, int fd,
				 const struct work *work)
{
	struct drm_xrnpe_bo_create create = { .size = 4096 };
	struct drm_xrnpe_dev_time time;
	struct drm_xrnpe_dev_query query = {
		.type = DRM_XRNPE_DEV_QUERY_TIME, .size = sizeof(time), .pointer = (uintptr_t)&time,
	};

	EXPECT_EQ(-ENODEV, submit(fd, 0, work));
	EXPECT_EQ(-ENODEV, call(fd, DRM_IOCTL_XRNPE_BO_CREATE, &create));
	EXPECT_EQ(-ENODEV, make_queue(fd, DRM_XRNPE_PRIORITY_LOW, 1));
	EXPECT_EQ(-ENODEV, call(fd, DRM_IOCTL_XRNPE_DEV_QUERY, &query));
	EXPECT_EQ(0, device_info(fd, &(struct drm_xrnpe_dev_info){}));
}

#endif
