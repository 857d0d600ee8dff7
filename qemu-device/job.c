/*
 * XR-NPE neural co-processor: jobs, from the descriptor to the status page
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/log.h"
#include "state.h"
#include "trace.h"

void xrnpe_fault(XRNPEQueue *q, enum xrnpe_fault_kind kind, uint32_t cmd)
{
    q->fault = (XRNPEFault) {
        .kind = kind,
        .cmd = cmd,
        .operand = XRNPE_OPERAND_NONE,
    };
}

void xrnpe_fault_from_datapath(XRNPEQueue *q,
                               const struct xrnpe_fault *fault)
{
    q->fault = (XRNPEFault) {
        .kind = fault->kind,
        .cmd = fault->cmd,
        .operand = fault->operand,
        .region = fault->region,
        .offset = fault->offset,
    };
}

/* The host lacks memory. A guest may bring this about: say so once. */
void xrnpe_device_fault(XRNPEQueue *q)
{
    warn_report_once("xrnpe: the host lacks memory for a command");
    xrnpe_fault(q, XRNPE_FAULT_DEVICE, q->next_cmd);
}

static void xrnpe_halt(XRNPEState *s, const char *what)
{
    qemu_log_mask(LOG_GUEST_ERROR, "%s: %s does not answer; halted\n",
                  DEVICE(s)->canonical_path, what);
    s->bus_error = true;
    if (!s->inject.stuck) {
        xrnpe_cancel_command(s);
    }
    for (unsigned int i = 0; i < s->queues; i++) {
        if (s->queue[i].disabling) {
            xrnpe_queue_turn_off(&s->queue[i]);
        }
    }
    xrnpe_raise(s, XRNPE_IRQ_BUS_ERROR);
}

bool xrnpe_range_fits(uint64_t addr, uint64_t count, uint64_t stride,
                      uint64_t size)
{
    return !count || addr <= UINT64_MAX - ((count - 1) * stride + size - 1);
}

/* Address of the descriptor of the job at head. */
static uint64_t xrnpe_desc_addr(const XRNPEQueue *q)
{
    return q->base +
           (q->head & (q->size - 1)) * sizeof(struct xrnpe_job_desc);
}

static bool xrnpe_record_valid(const struct xrnpe_job_desc *desc)
{
    size_t size = sizeof(struct xrnpe_job_record);

    return desc->flags & XRNPE_JOB_RECORD ?
           QEMU_IS_ALIGNED(desc->record, 64) &&
           xrnpe_range_fits(desc->record, 1, size, size) : !desc->record;
}

static bool xrnpe_desc_valid(const struct xrnpe_job_desc *desc)
{
    return buffer_is_zero(desc->reserved, sizeof(desc->reserved)) &&
           !(desc->flags & ~XRNPE_JOB_RECORD) &&
           xrnpe_record_valid(desc) &&
           desc->region_count <= XRNPE_MAX_REGIONS &&
           desc->cmd_count >= 1 && desc->cmd_count <= XRNPE_MAX_CMDS &&
           desc->cmd_stride >= sizeof(struct xrnpe_cmd) &&
           desc->cmd_stride <= XRNPE_CMD_STRIDE_MAX &&
           QEMU_IS_ALIGNED(desc->cmd_stride, XRNPE_CMD_ALIGN) &&
           QEMU_IS_ALIGNED(desc->regions, 8) &&
           QEMU_IS_ALIGNED(desc->cmds, XRNPE_CMD_ALIGN) &&
           xrnpe_range_fits(desc->regions, desc->region_count,
                            sizeof(struct xrnpe_region),
                            sizeof(struct xrnpe_region)) &&
           xrnpe_range_fits(desc->cmds, desc->cmd_count, desc->cmd_stride,
                            sizeof(struct xrnpe_cmd));
}

static bool xrnpe_region_valid(const XRNPERegion *region, uint32_t reserved)
{
    uint32_t known = XRNPE_REGION_READ | XRNPE_REGION_WRITE;

    return !reserved && region->flags && !(region->flags & ~known) &&
           QEMU_IS_ALIGNED(region->base, XRNPE_REGION_ALIGN) && region->size &&
           xrnpe_range_fits(region->base, 1, region->size, region->size);
}

bool xrnpe_load_job(XRNPEState *s, XRNPEQueue *q)
{
    struct xrnpe_job_desc desc;
    struct xrnpe_region region[XRNPE_MAX_REGIONS];

    if (!xrnpe_dma_read(s, xrnpe_desc_addr(q), &desc, sizeof(desc))) {
        xrnpe_halt(s, "a job descriptor");
        return false;
    }
    desc.regions = le64_to_cpu(desc.regions);
    desc.cmds = le64_to_cpu(desc.cmds);
    desc.record = le64_to_cpu(desc.record);
    desc.region_count = le32_to_cpu(desc.region_count);
    desc.cmd_count = le32_to_cpu(desc.cmd_count);
    desc.cmd_stride = le32_to_cpu(desc.cmd_stride);
    desc.seqno = le32_to_cpu(desc.seqno);
    desc.flags = le32_to_cpu(desc.flags);

    q->loaded = true;
    q->seqno = desc.seqno;
    q->flags = 0;
    q->record = desc.record;
    q->cmds = desc.cmds;
    q->cmd_stride = desc.cmd_stride;
    q->next_cmd = 0;
    q->status = 0;
    q->fault = (XRNPEFault) { .kind = XRNPE_FAULT_NONE };
    q->cmd_count = 0;
    q->region_count = 0;
    q->start = xrnpe_now();
    q->executed = 0;
    memset(q->counters, 0, sizeof(q->counters));
    trace_xrnpe_job_start(q - s->queue, desc.seqno, desc.cmd_count,
                          desc.region_count);

    if (!xrnpe_desc_valid(&desc)) {
        xrnpe_fault(q, XRNPE_FAULT_ILLEGAL_JOB, 0);
        return true;
    }
    q->flags = desc.flags;
    q->cmd_count = desc.cmd_count;
    q->region_count = desc.region_count;
    if (!xrnpe_dma_read(s, desc.regions, region,
                        desc.region_count * sizeof(region[0]))) {
        xrnpe_fault(q, XRNPE_FAULT_BUS, 0);
        return true;
    }
    for (uint32_t i = 0; i < desc.region_count; i++) {
        q->region[i] = (XRNPERegion) {
            .base = le64_to_cpu(region[i].base),
            .size = le64_to_cpu(region[i].size),
            .flags = le32_to_cpu(region[i].flags),
        };
        if (!xrnpe_region_valid(&q->region[i], region[i].reserved)) {
            xrnpe_fault(q, XRNPE_FAULT_ILLEGAL_JOB, 0);
            return true;
        }
    }
    return true;
}

static struct xrnpe_fault xrnpe_fault_in_memory(const XRNPEFault *fault)
{
    return (struct xrnpe_fault) {
        .kind = cpu_to_le32(fault->kind),
        .cmd = cpu_to_le32(fault->cmd),
        .operand = cpu_to_le32(fault->operand),
        .region = cpu_to_le32(fault->region),
        .offset = cpu_to_le64(fault->offset),
    };
}

static bool xrnpe_write_record(XRNPEState *s, const XRNPEQueue *q)
{
    struct xrnpe_job_record record = {
        .seqno = cpu_to_le32(q->seqno),
        .status = cpu_to_le32(q->status),
        .fault = xrnpe_fault_in_memory(&q->fault),
        .start = cpu_to_le64(q->start),
        .end = cpu_to_le64(xrnpe_now()),
        .executed = cpu_to_le64(q->executed),
    };
    uint64_t *counters = (uint64_t *)&record.counters;

    for (unsigned int i = 0; i < XRNPE_COUNTERS; i++) {
        counters[i] = cpu_to_le64(q->counters[i]);
    }
    return xrnpe_dma_write(s, q->record, &record, sizeof(record));
}

static bool xrnpe_write_status(XRNPEState *s, const XRNPEQueue *q)
{
    uint64_t addr = s->status_base +
                    (q - s->queue) * sizeof(struct xrnpe_queue_status);
    struct xrnpe_queue_status page = {
        .seqno = cpu_to_le32(q->seqno ^ s->inject.seqno),
        .status = cpu_to_le32(q->status),
        .fault_seqno = cpu_to_le32(q->seqno),
        .fault = xrnpe_fault_in_memory(&q->fault),
    };
    /* A job that ended well leaves the fault record of an earlier one alone. */
    size_t first = offsetof(struct xrnpe_queue_status, status);
    size_t end = q->fault.kind == XRNPE_FAULT_NONE ?
                 first + sizeof(page.status) :
                 offsetof(struct xrnpe_queue_status, reserved2);

    s->inject.seqno = 0;
    /* Each access orders itself after all earlier ones: seqno comes last. */
    return xrnpe_dma_write(s, addr + first, (uint8_t *)&page + first,
                           end - first) &&
           xrnpe_dma_write(s, addr, &page.seqno, sizeof(page.seqno));
}

void xrnpe_end_job(XRNPEState *s, XRNPEQueue *q)
{
    unsigned int n = q - s->queue;
    bool failed = q->fault.kind != XRNPE_FAULT_NONE;

    trace_xrnpe_job_end(n, q->seqno, q->status, q->fault.kind, q->fault.cmd,
                        q->fault.operand, q->fault.region, q->fault.offset);

    if (q->flags & XRNPE_JOB_RECORD && !xrnpe_write_record(s, q)) {
        xrnpe_halt(s, "a job record");
        return;
    }
    if (!xrnpe_write_status(s, q)) {
        xrnpe_halt(s, "the status page");
        return;
    }
    q->head++;
    q->loaded = false;
    q->aborting = false;
    q->stopped = failed;
    if (q->disabling) {
        xrnpe_queue_turn_off(q);
    }
    xrnpe_raise(s, XRNPE_IRQ_DONE(n) | (failed ? XRNPE_IRQ_STOPPED(n) : 0));
}
