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

/* What a layer wrote, in callers' order. */
struct request_layer {
	float *values;			/* NULL: it is not kept */
	bool there;			/* since the last submission */
};

struct xrnpe_request {
	struct xrnpe_session *session;
	const struct session_point *point;	/* that it runs at, or ran at last */
	struct xrnpe_buffer *memory;	/* of the arena, and of inputs and outputs that are not bound */
	uint64_t own[XRNPE_MAX_REGIONS];	/* by region: offset in it */
	struct xrnpe_buffer *bound[XRNPE_MAX_REGIONS];	/* by region: NULL, or one that it holds */
	bool set[XRNPE_MAX_REGIONS];	/* by region: the device has not seen what the CPU wrote to it */
	uint64_t copied;		/* bytes that the CPU wrote to inputs since then */
	struct reference *cpu;		/* tensors of the CPU's nodes; NULL: there are none */
	float *values;			/* room for any tensor that is copied to or from these */
	struct xrnpe_job job;
	uint32_t lanes;			/* elements that it has room for: 1 unless it is a batch's */
	uint32_t used_lanes;		/* that it computes */
	uint32_t lane;			/* whose inputs and outputs are set and read */
	uint32_t step;			/* that the job is at, or the number of steps */
	uint32_t part;			/* command in the step that the job's part begins with */
	struct xrnpe_result result;	/* of the device's parts so far */
	bool measures;			/* the session's governor wants to know what it takes */
	double device_seconds;		/* that its parts so far executed, with @measures */
	enum request_state state;
	bool count;			/* the result's counters are wanted */
	struct xrnpe_layer_profile *profile;	/* by layer; NULL: not wanted */
	uint32_t *cpu_layer;		/* by node on the CPU, with @profile: its layer */
	struct request_layer *kept;	/* by layer; NULL: none ever was */
	int64_t allowed;		/* ns from submission to deadline; 0: no deadline */
	struct xrnpe_request *next;	/* of the session's idle ones */
};

/* The model at the request's point. Inputs, outputs, layers and the CPU's nodes are those of all. */
static inline const struct xrnpe_model *request_model(const struct xrnpe_request *request)
{
	return request->point->model;
}

/* ---- request.c ----------------------------------------------------------- */

/* That the request is not on its way. Returns 0 or -EBUSY. */
int request_check_idle(const struct xrnpe_request *request, struct xrnpe_error *error);

/* xrnpe_request_new() of several elements that are computed together. */
int request_new(struct xrnpe_session *session, uint32_t lanes, struct xrnpe_request **request,
		struct xrnpe_error *error);

/* Free one that is not submitted, but for its reference to the session. */
void request_dispose(struct xrnpe_request *request);

/* xrnpe_request_submit() by who goes on as @awaited says. */
int request_submit(struct xrnpe_request *request, enum xrnpe_awaited awaited, struct xrnpe_error *error);

/* ---- request_io.c -------------------------------------------------------- */

/* Where tensor @t of the model lies; NULL: it is bound to what cannot be mapped. */
void *request_tensor_data(const struct xrnpe_request *request, const struct xrnpe_model_tensor *t);
int request_tensor_sync(struct xrnpe_request *request, const struct xrnpe_model_tensor *t,
			enum xrnpe_sync sync, struct xrnpe_error *error);

/* Let the device see the inputs that were set; let the CPU see the outputs that are not bound. */
int request_sync_inputs(struct xrnpe_request *request, struct xrnpe_error *error);
int request_sync_outputs(struct xrnpe_request *request, struct xrnpe_error *error);

/* ---- request_profile.c --------------------------------------------------- */

/* Commands of the step that the job is at, from @part on, that are of one layer. */
uint32_t request_layer_commands(const struct xrnpe_request *request);

/* Add what the job's part that has ended took, or node @n on the CPU. */
void request_profile_part(struct xrnpe_request *request);
void request_profile_node(struct xrnpe_request *request, uint32_t n, int64_t ns);

/* ---- request_keep.c ------------------------------------------------------ */

/* The request begins, and has nothing of its layers. */
void request_keep_begin(struct xrnpe_request *request);

/* Of @count commands from @part on, those before what is kept is there. */
uint32_t request_keep_commands(const struct xrnpe_request *request, uint32_t count);

/* Copy what is there where the request is now, or when node @n on the CPU is done. */
int request_keep_written(struct xrnpe_request *request, struct xrnpe_error *error);
void request_keep_node(struct xrnpe_request *request, uint32_t n);

void request_keep_free(struct xrnpe_request *request);

/* ---- request_steps.c ----------------------------------------------------- */

/* Let the job be at its first step. */
int request_begin(struct xrnpe_request *request, struct xrnpe_error *error);

/* The job's advance(). */
bool request_advance(struct xrnpe_job *job);

#endif
