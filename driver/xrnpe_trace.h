/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM xrnpe

#if !defined(__XRNPE_TRACE_H__) || defined(TRACE_HEADER_MULTI_READ)
#define __XRNPE_TRACE_H__

#include <linux/tracepoint.h>

#include "xrnpe_job.h"

TRACE_EVENT(xrnpe_job_submit,
	    TP_PROTO(const struct xrnpe_job *job),
	    TP_ARGS(job),
	    TP_STRUCT__entry(__field(u64, client)
			     __field(u64, id)
			     __field(u32, queue)
			     __field(u32, ring)
			     __field(u32, cmds)
			     __field(u32, regions)
	    ),
	    TP_fast_assign(__entry->client = job->ctx->client;
			   __entry->id = job->result->fence.seqno;
			   __entry->queue = job->queue->id;
			   __entry->ring = job->ring->index;
			   __entry->cmds = job->cmd_count;
			   __entry->regions = job->region_count;
	    ),
	    TP_printk("client=%llu queue=%u job=%llu ring=%u cmds=%u regions=%u",
		      __entry->client, __entry->queue, __entry->id, __entry->ring,
		      __entry->cmds, __entry->regions)
);

TRACE_EVENT(xrnpe_job_run,
	    TP_PROTO(const struct xrnpe_job *job),
	    TP_ARGS(job),
	    TP_STRUCT__entry(__field(u64, client)
			     __field(u64, id)
			     __field(u32, queue)
			     __field(u32, ring)
			     __field(u32, seqno)
	    ),
	    TP_fast_assign(__entry->client = job->ctx->client;
			   __entry->id = job->result->fence.seqno;
			   __entry->queue = job->queue->id;
			   __entry->ring = job->ring->index;
			   __entry->seqno = job->seqno;
	    ),
	    TP_printk("client=%llu queue=%u job=%llu ring=%u seqno=%u", __entry->client,
		      __entry->queue, __entry->id, __entry->ring, __entry->seqno)
);

TRACE_EVENT(xrnpe_job_done,
	    TP_PROTO(const struct xrnpe_job *job),
	    TP_ARGS(job),
	    TP_STRUCT__entry(__field(u64, client)
			     __field(u64, id)
			     __field(u64, run_ns)
			     __field(u32, queue)
			     __field(u32, ring)
			     __field(u32, seqno)
			     __field(u32, state)
			     __field(u32, reason)
			     __field(u32, status)
	    ),
	    TP_fast_assign(__entry->client = job->ctx->client;
			   __entry->id = job->result->fence.seqno;
			   __entry->run_ns = job->run_ns;
			   __entry->queue = job->queue->id;
			   __entry->ring = job->ring->index;
			   __entry->seqno = job->seqno;
			   __entry->state = job->result->state;
			   __entry->reason = job->result->reason;
			   __entry->status = job->result->record.status;
	    ),
	    TP_printk("client=%llu queue=%u job=%llu ring=%u seqno=%u state=%s reason=%u status=%#x run_ns=%llu",
		      __entry->client, __entry->queue, __entry->id, __entry->ring,
		      __entry->seqno,
		      __print_symbolic(__entry->state,
				       { DRM_XRNPE_JOB_DONE, "done" },
				       { DRM_XRNPE_JOB_FAULT, "fault" },
				       { DRM_XRNPE_JOB_TIMEOUT, "timeout" },
				       { DRM_XRNPE_JOB_CANCELLED, "cancelled" }),
		      __entry->reason, __entry->status, __entry->run_ns)
);

TRACE_EVENT(xrnpe_job_fault,
	    TP_PROTO(const struct xrnpe_job *job),
	    TP_ARGS(job),
	    TP_STRUCT__entry(__field(u64, client)
			     __field(u64, id)
			     __field(u64, offset)
			     __field(u32, queue)
			     __field(u32, kind)
			     __field(u32, cmd)
			     __field(u32, operand)
			     __field(u32, region)
	    ),
	    TP_fast_assign(__entry->client = job->ctx->client;
			   __entry->id = job->result->fence.seqno;
			   __entry->offset = job->result->record.fault.offset;
			   __entry->queue = job->queue->id;
			   __entry->kind = job->result->record.fault.kind;
			   __entry->cmd = job->result->record.fault.cmd;
			   __entry->operand = job->result->record.fault.operand;
			   __entry->region = job->result->record.fault.region;
	    ),
	    TP_printk("client=%llu queue=%u job=%llu kind=%u cmd=%u operand=%#x region=%u offset=%#llx",
		      __entry->client, __entry->queue, __entry->id, __entry->kind, __entry->cmd,
		      __entry->operand, __entry->region, __entry->offset)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE xrnpe_trace
#include <trace/define_trace.h>
