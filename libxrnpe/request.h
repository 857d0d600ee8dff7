/* SPDX-License-Identifier: MIT */
/* Requests inside the library. */
#ifndef XRNPE_REQUEST_H
#define XRNPE_REQUEST_H

#include "backend.h"
#include "graph.h"
#include "session.h"

enum request_state {
	REQUEST_IDLE,		/* never submitted */
	REQUEST_SUBMITTED,	/* and not waited for: threads of the library's may use it */
	REQUEST_ENDED,
};

struct xrnpe_request {
	struct xrnpe_session *session;
	struct xrnpe_buffer *memory;	/* arena, input and output */
	struct reference *cpu;		/* tensors of the CPU's nodes; NULL: there are none */
	float *values;			/* room for any tensor that is copied to or from these */
	struct xrnpe_job job;
	uint32_t step;			/* that the job is at, or the number of steps */
	struct xrnpe_result result;	/* of the device's parts so far */
	enum request_state state;
	int64_t allowed;		/* ns from submission to deadline; 0: no deadline */
};

/* Where @t lies. */
uint64_t request_tensor_offset(const struct xrnpe_request *request,
			       const struct xrnpe_model_tensor *t);
void *request_tensor_data(const struct xrnpe_request *request, const struct xrnpe_model_tensor *t);

/* Let the job be at its first step. */
void request_begin(struct xrnpe_request *request);

/* The job's advance(). */
bool request_advance(struct xrnpe_job *job);

#endif
