/* SPDX-License-Identifier: MIT */
/* Tests of limits that the module is told when it is loaded. Needs root. */
#ifndef XRNPE_LIMIT_H
#define XRNPE_LIMIT_H

#include "xrnpe_job.h"
#include "xrnpe_module.h"

/* Load the module with parameters: then there is a file, and no work. */
static inline void begin_with(struct __test_metadata *_metadata, FIXTURE_DATA(job) *self,
			      const char *parameters)
{
	free_work(self->fd, &self->work);
	close(self->fd);
	ASSERT_EQ(0, reload_module(parameters));
	self->fd = open_npu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, device_info(self->fd, &self->info));
}

/* ... and without. Of the file nothing may be mapped. */
static inline void end_with(struct __test_metadata *_metadata, FIXTURE_DATA(job) *self)
{
	close(self->fd);
	ASSERT_EQ(0, reload_module(""));
	self->fd = open_npu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, make_work(self->fd, &self->work));
}

#endif
