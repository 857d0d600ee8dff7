/*
 * XR-NPE neural co-processor: migration
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "migration/vmstate.h"
#include "state.h"

/* A stream may come from anywhere: what the code relies on is checked. */
static int xrnpe_queue_post_load(void *opaque, int version_id)
{
    XRNPEQueue *q = opaque;

    if (q->enabled && (!xrnpe_queue_size_valid(q->size) ||
                       q->tail - q->head > q->size)) {
        error_report("xrnpe: the stream has a malformed ring");
        return -EINVAL;
    }
    if (q->cmd_count > XRNPE_MAX_CMDS || q->next_cmd > q->cmd_count ||
        q->region_count > XRNPE_MAX_REGIONS) {
        error_report("xrnpe: the stream has a malformed job");
        return -EINVAL;
    }
    return 0;
}

static const VMStateDescription vmstate_xrnpe_region = {
    .name = "xrnpe/region",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT64(base, XRNPERegion),
        VMSTATE_UINT64(size, XRNPERegion),
        VMSTATE_UINT32(flags, XRNPERegion),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_xrnpe_queue = {
    .name = "xrnpe/queue",
    .version_id = 1,
    .minimum_version_id = 1,
    .post_load = xrnpe_queue_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT64(base, XRNPEQueue),
        VMSTATE_UINT32(size, XRNPEQueue),
        VMSTATE_UINT32(head, XRNPEQueue),
        VMSTATE_UINT32(tail, XRNPEQueue),
        VMSTATE_BOOL(enabled, XRNPEQueue),
        VMSTATE_BOOL(stopped, XRNPEQueue),
        VMSTATE_BOOL(aborting, XRNPEQueue),
        VMSTATE_BOOL(disabling, XRNPEQueue),
        VMSTATE_BOOL(loaded, XRNPEQueue),
        VMSTATE_UINT32(seqno, XRNPEQueue),
        VMSTATE_UINT32(flags, XRNPEQueue),
        VMSTATE_UINT64(record, XRNPEQueue),
        VMSTATE_UINT64(cmds, XRNPEQueue),
        VMSTATE_UINT32(cmd_count, XRNPEQueue),
        VMSTATE_UINT32(cmd_stride, XRNPEQueue),
        VMSTATE_UINT32(next_cmd, XRNPEQueue),
        VMSTATE_UINT32(status, XRNPEQueue),
        VMSTATE_UINT32(region_count, XRNPEQueue),
        VMSTATE_STRUCT_ARRAY(region, XRNPEQueue, XRNPE_MAX_REGIONS, 1,
                             vmstate_xrnpe_region, XRNPERegion),
        VMSTATE_UINT32(fault.kind, XRNPEQueue),
        VMSTATE_UINT32(fault.cmd, XRNPEQueue),
        VMSTATE_UINT32(fault.operand, XRNPEQueue),
        VMSTATE_UINT32(fault.region, XRNPEQueue),
        VMSTATE_UINT64(fault.offset, XRNPEQueue),
        VMSTATE_UINT64(start, XRNPEQueue),
        VMSTATE_UINT64(executed, XRNPEQueue),
        VMSTATE_UINT64_ARRAY(counters, XRNPEQueue, XRNPE_COUNTERS),
        VMSTATE_END_OF_LIST()
    },
};

static int xrnpe_post_load(void *opaque, int version_id)
{
    XRNPEState *s = opaque;
    const XRNPEQueue *q;

    if (s->executing_queue >= s->queues) {
        error_report("xrnpe: the stream names a queue that is not there");
        return -EINVAL;
    }
    q = &s->queue[s->executing_queue];
    /* What a halted device gives up may be of a queue that is disabled. */
    if (s->executing && !s->bus_error &&
        !(xrnpe_queue_running(q) && q->loaded && q->next_cmd < q->cmd_count)) {
        error_report("xrnpe: the stream has a command without a job");
        return -EINVAL;
    }
    /* A result from before the restore is not that of the command restored. */
    s->computed = false;
    return 0;
}

static bool xrnpe_line_needed(void *opaque)
{
    XRNPEState *s = opaque;

    return s->held;
}

static int xrnpe_line_post_load(void *opaque, int version_id)
{
    XRNPEState *s = opaque;

    if (s->held && !s->reset_line) {
        error_report("xrnpe: 'reset-line' must be as at the source");
        return -EINVAL;
    }
    return 0;
}

static const VMStateDescription vmstate_xrnpe_line = {
    .name = "xrnpe/reset-line",
    .version_id = 1,
    .minimum_version_id = 1,
    .needed = xrnpe_line_needed,
    .post_load = xrnpe_line_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_BOOL(held, XRNPEState),
        VMSTATE_END_OF_LIST()
    },
};

const VMStateDescription vmstate_xrnpe = {
    .name = TYPE_XRNPE,
    .version_id = 1,
    .minimum_version_id = 1,
    .post_load = xrnpe_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT8_EQUAL(rows, XRNPEState,
                            "xrnpe: 'rows' must be as at the source"),
        VMSTATE_UINT8_EQUAL(cols, XRNPEState,
                            "xrnpe: 'cols' must be as at the source"),
        VMSTATE_UINT8_EQUAL(queues, XRNPEState,
                            "xrnpe: 'queues' must be as at the source"),
        VMSTATE_UINT32(irq_status, XRNPEState),
        VMSTATE_UINT32(irq_enable, XRNPEState),
        VMSTATE_UINT64(status_base, XRNPEState),
        VMSTATE_UINT64(bus_addr, XRNPEState),
        VMSTATE_BOOL(bus_error, XRNPEState),
        VMSTATE_BOOL(resetting, XRNPEState),
        VMSTATE_BOOL(executing, XRNPEState),
        VMSTATE_UINT32(executing_queue, XRNPEState),
        VMSTATE_INT64(start, XRNPEState),
        VMSTATE_INT64(end, XRNPEState),
        VMSTATE_UINT64_ARRAY(counters, XRNPEState, XRNPE_COUNTERS),
        VMSTATE_STRUCT_ARRAY(queue, XRNPEState, XRNPE_MAX_QUEUES, 1,
                             vmstate_xrnpe_queue, XRNPEQueue),
        VMSTATE_END_OF_LIST()
    },
    .subsections = (const VMStateDescription * const []) {
        &vmstate_xrnpe_line,
        NULL
    },
};
