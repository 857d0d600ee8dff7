/* SPDX-License-Identifier: MIT */
/* A model on a device, as sessions and requests share it. */
#ifndef XRNPE_SESSION_H
#define XRNPE_SESSION_H

#include "backend.h"
#include "model.h"

struct xrnpe_session {
	atomic_uint references;
	struct xrnpe_device *device;
	struct xrnpe_model *model;
	unsigned int queue;
	struct xrnpe_buffer *constants;
	struct xrnpe_buffer **cmds;	/* by step: of a job its commands, else NULL */
};

static inline uint64_t session_align(uint64_t size)
{
	return (size + XRNPE_BUFFER_ALIGN - 1) / XRNPE_BUFFER_ALIGN * XRNPE_BUFFER_ALIGN;
}

#endif
