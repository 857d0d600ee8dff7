/*
 * XR-NPE neural co-processor
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A matrix co-processor that fetches jobs from rings in memory. How to use it
 * is in docs/specs/xrnpe.rst; registers and structures are in xrnpe_regs.h,
 * commands in drm/xrnpe_cmd.h, and the arithmetic, which knows nothing of QEMU,
 * in datapath/.
 *
 * All state lives under the BQL. Register writes only change it and schedule a
 * bottom half; that is the one place where the device reads and writes memory
 * of its own accord. One command at a time executes in a thread-pool worker,
 * which touches nothing but s->command; then the bottom half goes on.
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/log.h"
#include "qemu/main-loop.h"
#include "qemu/module.h"
#include "qapi/error.h"
#include "block/aio-wait.h"
#include "block/thread-pool.h"
#include "hw/irq.h"
#include "hw/misc/xrnpe.h"
#include "hw/qdev-properties.h"
#include "hw/sysbus.h"
#include "migration/vmstate.h"
#include "system/dma.h"
#include "system/runstate.h"
#include "datapath.h"
#include "xrnpe_regs.h"
#include "trace.h"

#define XRNPE_QUEUES_OFFSET XRNPE_QUEUE(0)
#define XRNPE_QUEUE_STRIDE  (XRNPE_QUEUE(1) - XRNPE_QUEUE(0))

#define XRNPE_MAX_THREADS 256

QEMU_BUILD_BUG_ON(sizeof(struct xrnpe_cmd) != 192);
QEMU_BUILD_BUG_ON(sizeof(struct xrnpe_job_desc) != 64);
QEMU_BUILD_BUG_ON(sizeof(struct xrnpe_region) != 24);
QEMU_BUILD_BUG_ON(sizeof(struct xrnpe_queue_status) != 64);

typedef struct XRNPERegion {
    uint64_t base;
    uint64_t size;
    uint32_t flags;
} XRNPERegion;

/* struct xrnpe_fault, in types that vmstate knows */
typedef struct XRNPEFault {
    uint32_t kind;
    uint32_t cmd;
    uint32_t operand;
    uint32_t region;
    uint64_t offset;
} XRNPEFault;

typedef struct XRNPEQueue {
    uint64_t base;
    uint32_t size;
    uint32_t head;
    uint32_t tail;
    bool enabled;
    bool stopped;
    bool aborting;      /* end the job at head */
    bool disabling;     /* and disable the queue then */

    /* The job at head, once its descriptor has been read */
    bool loaded;
    uint32_t seqno;
    uint64_t cmds;
    uint32_t cmd_count;
    uint32_t next_cmd;
    uint32_t status;
    uint32_t region_count;
    XRNPERegion region[XRNPE_MAX_REGIONS];
    XRNPEFault fault;   /* kind is not NONE: the job ends with this */
} XRNPEQueue;

/* The command that a worker executes */
typedef struct XRNPECommand {
    uint32_t queue;
    uint32_t index;
    struct xrnpe_cmd cmd;
    struct xrnpe_span span[XRNPE_OPERANDS];
    void *memory[XRNPE_OPERANDS];
    bool cancel;

    int result;
    uint32_t status;
    struct xrnpe_fault fault;
} XRNPECommand;

struct XRNPEState {
    SysBusDevice parent_obj;

    MemoryRegion iomem;
    qemu_irq irq;
    QEMUBH *bh;
    VMChangeStateEntry *vm_state_change;
    struct xrnpe_datapath *datapath;

    uint8_t rows;
    uint8_t cols;
    uint8_t queues;
    uint16_t threads;
    char *kernel;
    bool ignore_abort;  /* for tests: only a reset ends a job */

    uint32_t irq_status;
    uint32_t irq_enable;
    uint64_t status_base;
    bool bus_error;
    XRNPEQueue queue[XRNPE_MAX_QUEUES];

    bool vm_running;
    bool resetting;
    bool in_flight;     /* a worker owns @command */
    XRNPECommand command;
};

static const MemTxAttrs xrnpe_attrs = MEMTXATTRS_UNSPECIFIED;

static void xrnpe_update_irq(XRNPEState *s)
{
    bool level = s->irq_status & s->irq_enable;

    trace_xrnpe_irq(s->irq_status, s->irq_enable, level);
    qemu_set_irq(s->irq, level);
}

static bool xrnpe_queue_running(const XRNPEQueue *q)
{
    return q->enabled && !q->stopped && q->head != q->tail;
}

static uint32_t xrnpe_queue_state(const XRNPEQueue *q)
{
    if (!q->enabled) {
        return XRNPE_QUEUE_STATE_DISABLED;
    }
    if (q->stopped) {
        return XRNPE_QUEUE_STATE_STOPPED;
    }
    return xrnpe_queue_running(q) ? XRNPE_QUEUE_STATE_RUNNING
                                  : XRNPE_QUEUE_STATE_IDLE;
}

/* Ask the worker to give up; it does so within a row of its output. */
static void xrnpe_cancel_command(XRNPEState *s)
{
    qatomic_set(&s->command.cancel, true);
}

static void xrnpe_wait_command(XRNPEState *s)
{
    AIO_WAIT_WHILE_UNLOCKED(NULL, s->in_flight);
}

/* ---- Executing: all that follows runs in the bottom half --------------- */

static void xrnpe_halt(XRNPEState *s, const char *what)
{
    qemu_log_mask(LOG_GUEST_ERROR, "%s: %s does not answer; halted\n",
                  DEVICE(s)->canonical_path, what);
    s->bus_error = true;
    xrnpe_cancel_command(s);
    s->irq_status |= XRNPE_IRQ_BUS_ERROR;
    xrnpe_update_irq(s);
}

static void xrnpe_fault(XRNPEQueue *q, enum xrnpe_fault_kind kind, uint32_t cmd)
{
    q->fault = (XRNPEFault) {
        .kind = kind,
        .cmd = cmd,
        .operand = XRNPE_OPERAND_NONE,
    };
}

static void xrnpe_fault_from_datapath(XRNPEQueue *q,
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

/* Whether @count elements of @size bytes at @addr end within 2^64. */
static bool xrnpe_range_fits(uint64_t addr, uint64_t count, uint64_t size)
{
    return !count || addr <= UINT64_MAX - (count * size - 1);
}

/* Address of the descriptor of the job at head. */
static uint64_t xrnpe_desc_addr(const XRNPEQueue *q)
{
    return q->base +
           (q->head & (q->size - 1)) * sizeof(struct xrnpe_job_desc);
}

static bool xrnpe_desc_valid(const struct xrnpe_job_desc *desc)
{
    return buffer_is_zero(desc->reserved, sizeof(desc->reserved)) &&
           !desc->flags &&
           desc->region_count <= XRNPE_MAX_REGIONS &&
           desc->cmd_count >= 1 && desc->cmd_count <= XRNPE_MAX_CMDS &&
           QEMU_IS_ALIGNED(desc->regions, 8) &&
           QEMU_IS_ALIGNED(desc->cmds, XRNPE_CMD_ALIGN) &&
           xrnpe_range_fits(desc->regions, desc->region_count,
                            sizeof(struct xrnpe_region)) &&
           xrnpe_range_fits(desc->cmds, desc->cmd_count,
                            sizeof(struct xrnpe_cmd));
}

static bool xrnpe_region_valid(const XRNPERegion *region, uint32_t reserved)
{
    uint32_t known = XRNPE_REGION_READ | XRNPE_REGION_WRITE;

    return !reserved && region->flags && !(region->flags & ~known) &&
           QEMU_IS_ALIGNED(region->base, XRNPE_REGION_ALIGN) && region->size &&
           xrnpe_range_fits(region->base, 1, region->size);
}

/*
 * Read the descriptor and the region table of the job at head. A malformed job
 * has a fault then. Returns false if not even its number could be learnt.
 */
static bool xrnpe_load_job(XRNPEState *s, XRNPEQueue *q)
{
    struct xrnpe_job_desc desc;
    struct xrnpe_region region[XRNPE_MAX_REGIONS];

    if (dma_memory_read(&address_space_memory, xrnpe_desc_addr(q), &desc,
                        sizeof(desc), xrnpe_attrs) != MEMTX_OK) {
        xrnpe_halt(s, "a job descriptor");
        return false;
    }
    desc.regions = le64_to_cpu(desc.regions);
    desc.cmds = le64_to_cpu(desc.cmds);
    desc.region_count = le32_to_cpu(desc.region_count);
    desc.cmd_count = le32_to_cpu(desc.cmd_count);
    desc.seqno = le32_to_cpu(desc.seqno);

    q->loaded = true;
    q->seqno = desc.seqno;
    q->cmds = desc.cmds;
    q->next_cmd = 0;
    q->status = 0;
    q->fault = (XRNPEFault) { .kind = XRNPE_FAULT_NONE };
    q->cmd_count = 0;
    q->region_count = 0;
    trace_xrnpe_job_start(q - s->queue, desc.seqno, desc.cmd_count,
                          desc.region_count);

    if (!xrnpe_desc_valid(&desc)) {
        xrnpe_fault(q, XRNPE_FAULT_ILLEGAL_JOB, 0);
        return true;
    }
    q->cmd_count = desc.cmd_count;
    q->region_count = desc.region_count;
    if (dma_memory_read(&address_space_memory, desc.regions, region,
                        desc.region_count * sizeof(region[0]),
                        xrnpe_attrs) != MEMTX_OK) {
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

/* Report how the job at head ended: to memory, by HEAD, by interrupt. */
static void xrnpe_end_job(XRNPEState *s, XRNPEQueue *q)
{
    unsigned int n = q - s->queue;
    bool failed = q->fault.kind != XRNPE_FAULT_NONE;
    uint64_t addr = s->status_base + n * sizeof(struct xrnpe_queue_status);
    struct xrnpe_queue_status page = {
        .status = cpu_to_le32(q->status),
        .fault_seqno = cpu_to_le32(q->seqno),
        .fault = {
            .kind = cpu_to_le32(q->fault.kind),
            .cmd = cpu_to_le32(q->fault.cmd),
            .operand = cpu_to_le32(q->fault.operand),
            .region = cpu_to_le32(q->fault.region),
            .offset = cpu_to_le64(q->fault.offset),
        },
    };
    /* A job that ended well leaves the fault record of an earlier one alone. */
    size_t first = offsetof(struct xrnpe_queue_status, status);
    size_t end = failed ? offsetof(struct xrnpe_queue_status, reserved2)
                        : first + sizeof(page.status);

    trace_xrnpe_job_end(n, q->seqno, q->status, q->fault.kind, q->fault.cmd,
                        q->fault.operand, q->fault.region, q->fault.offset);

    /* Each access orders itself after all earlier ones: seqno comes last. */
    if (dma_memory_write(&address_space_memory, addr + first,
                         (uint8_t *)&page + first, end - first,
                         xrnpe_attrs) != MEMTX_OK ||
        stl_le_dma(&address_space_memory,
                   addr + offsetof(struct xrnpe_queue_status, seqno),
                   q->seqno, xrnpe_attrs) != MEMTX_OK) {
        xrnpe_halt(s, "the status page");
        return;
    }

    q->head++;
    q->loaded = false;
    q->aborting = false;
    q->stopped = failed;
    if (q->disabling) {
        q->enabled = false;
        q->stopped = false;
        q->disabling = false;
    }
    s->irq_status |= XRNPE_IRQ_DONE(n);
    if (failed) {
        s->irq_status |= XRNPE_IRQ_STOPPED(n);
    }
    xrnpe_update_irq(s);
}

static DMADirection xrnpe_direction(const struct xrnpe_span *span)
{
    return span->write ? DMA_DIRECTION_FROM_DEVICE : DMA_DIRECTION_TO_DEVICE;
}

/*
 * Map @size bytes of RAM, or as many as there are: returns how many. Anything
 * but RAM counts as not there, because it would get a bounce buffer or, worse,
 * side effects.
 */
static uint64_t xrnpe_map(uint64_t addr, uint64_t size,
                          const struct xrnpe_span *span, void **memory)
{
    dma_addr_t mapped = size;
    hwaddr xlat, len = size;
    MemoryRegion *mr;

    *memory = NULL;
    WITH_RCU_READ_LOCK_GUARD() {
        mr = address_space_translate(&address_space_memory, addr, &xlat, &len,
                                     span->write, xrnpe_attrs);
        if (!memory_access_is_direct(mr, span->write, xrnpe_attrs)) {
            return 0;
        }
    }
    *memory = dma_memory_map(&address_space_memory, addr, &mapped,
                             xrnpe_direction(span), xrnpe_attrs);
    return *memory ? mapped : 0;
}

static void xrnpe_unmap_command(XRNPECommand *c, bool executed)
{
    for (unsigned int i = 0; i < XRNPE_OPERANDS; i++) {
        if (c->memory[i]) {
            dma_memory_unmap(&address_space_memory, c->memory[i],
                             c->span[i].size, xrnpe_direction(&c->span[i]),
                             executed ? c->span[i].size : 0);
            c->memory[i] = NULL;
        }
    }
}

/* Map all operands of s->command, or leave a fault in @q. */
static bool xrnpe_map_command(XRNPEQueue *q, XRNPECommand *c)
{
    for (unsigned int i = 0; i < XRNPE_OPERANDS; i++) {
        struct xrnpe_span *span = &c->span[i];
        uint64_t mapped;

        if (!span->size) {
            continue;
        }
        mapped = xrnpe_map(q->region[span->region].base + span->offset,
                           span->size, span, &c->memory[i]);
        if (mapped < span->size) {
            xrnpe_fault(q, XRNPE_FAULT_BUS, c->index);
            q->fault.operand = i;
            q->fault.region = span->region;
            q->fault.offset = span->offset + mapped;
            /* What is unmapped must be what was mapped. */
            span->size = mapped;
            xrnpe_unmap_command(c, false);
            return false;
        }
    }
    return true;
}

/*
 * Whether the command may run again from its start after it was given up:
 * unless it works in place. Only ADD and CONVERT may, and only on a tensor that
 * does not overlap itself (so they end soon); else the output is unspecified
 * anyway.
 */
static bool xrnpe_command_restartable(const XRNPECommand *c)
{
    const struct xrnpe_dims_image *image = &c->cmd.image;
    uint8_t format = c->cmd.operand[XRNPE_OPERAND_OFM].format;
    uint64_t size = c->span[XRNPE_OPERAND_OFM].size;
    void *memory = c->memory[XRNPE_OPERAND_OFM];

    if ((c->cmd.opcode != XRNPE_OP_ADD && c->cmd.opcode != XRNPE_OP_CONVERT) ||
        xrnpe_row_bytes(format, image->in_c) * image->in_h * image->in_w >
        size) {
        return true;
    }
    return memory != c->memory[XRNPE_OPERAND_IFM] &&
           memory != c->memory[XRNPE_OPERAND_IFM2];
}

/* In a worker thread, without the BQL. */
static int xrnpe_execute(void *opaque)
{
    XRNPEState *s = opaque;
    XRNPECommand *c = &s->command;

    c->result = xrnpe_datapath_run(s->datapath, &c->cmd, c->index, c->memory,
                                   &c->cancel, &c->status, &c->fault);
    return 0;
}

static void xrnpe_reset_registers(XRNPEState *s)
{
    s->irq_status = 0;
    s->irq_enable = 0;
    s->status_base = 0;
    s->bus_error = false;
    memset(s->queue, 0, sizeof(s->queue));
    s->command.queue = 0;
    s->resetting = false;
    xrnpe_update_irq(s);
}

/* In the main loop again. Memory is left to the bottom half. */
static void xrnpe_command_done(void *opaque, int ret)
{
    XRNPEState *s = opaque;
    XRNPECommand *c = &s->command;
    XRNPEQueue *q = &s->queue[c->queue];

    trace_xrnpe_cmd_end(c->queue, c->index, c->result, c->status);
    xrnpe_unmap_command(c, true);
    s->in_flight = false;

    if (s->resetting) {
        xrnpe_reset_registers(s);
    } else if (q->loaded) {
        switch (c->result) {
        case 0:
            q->status |= c->status;
            q->next_cmd++;
            break;
        case -ECANCELED:
            /* Aborted, or to be executed again when the VM goes on. */
            break;
        case -EFAULT:
            q->status |= c->status;
            xrnpe_fault_from_datapath(q, &c->fault);
            break;
        default:
            error_report("%s: cannot execute a command: %s",
                         DEVICE(s)->canonical_path, strerror(-c->result));
            xrnpe_fault(q, XRNPE_FAULT_BUS, c->index);
            break;
        }
    }
    qemu_bh_schedule(s->bh);
    aio_wait_kick();
}

/* Fetch, check and start the next command of @q, or leave a fault in @q. */
static void xrnpe_start_command(XRNPEState *s, XRNPEQueue *q)
{
    XRNPECommand *c = &s->command;
    struct xrnpe_extent extent[XRNPE_MAX_REGIONS];
    struct xrnpe_fault fault;

    *c = (XRNPECommand) {
        .queue = q - s->queue,
        .index = q->next_cmd,
    };
    if (dma_memory_read(&address_space_memory,
                        q->cmds + (uint64_t)c->index * sizeof(c->cmd),
                        &c->cmd, sizeof(c->cmd), xrnpe_attrs) != MEMTX_OK) {
        xrnpe_fault(q, XRNPE_FAULT_BUS, c->index);
        return;
    }
    for (uint32_t i = 0; i < q->region_count; i++) {
        extent[i].size = q->region[i].size;
        extent[i].flags = q->region[i].flags;
    }
    if (!xrnpe_cmd_check(&c->cmd, c->index, extent, q->region_count, c->span,
                         &fault)) {
        xrnpe_fault_from_datapath(q, &fault);
        return;
    }
    if (!xrnpe_map_command(q, c)) {
        return;
    }
    trace_xrnpe_cmd_start(c->queue, c->index, c->cmd.opcode,
                          xrnpe_cmd_macs(&c->cmd));
    s->in_flight = true;
    thread_pool_submit_aio(xrnpe_execute, s, xrnpe_command_done, s);
}

/* Take the job at the head of @q one step further. */
static void xrnpe_step(XRNPEState *s, XRNPEQueue *q)
{
    if (!q->loaded && !xrnpe_load_job(s, q)) {
        return;
    }
    if (q->aborting && q->fault.kind == XRNPE_FAULT_NONE &&
        q->next_cmd < q->cmd_count) {
        xrnpe_fault(q, XRNPE_FAULT_ABORTED, q->next_cmd);
    }
    if (q->fault.kind == XRNPE_FAULT_NONE && q->next_cmd < q->cmd_count) {
        xrnpe_start_command(s, q);
    } else {
        xrnpe_end_job(s, q);
    }
}

/*
 * The queue to serve: the most urgent one that has a job. A job to be aborted
 * waits for no other, only for its own command.
 */
static XRNPEQueue *xrnpe_next_queue(XRNPEState *s)
{
    for (unsigned int i = 0; i < s->queues; i++) {
        XRNPEQueue *q = &s->queue[i];

        if (xrnpe_queue_running(q) && q->aborting &&
            !(s->in_flight && s->command.queue == i)) {
            return q;
        }
    }
    for (unsigned int i = 0; i < s->queues && !s->in_flight; i++) {
        if (xrnpe_queue_running(&s->queue[i])) {
            return &s->queue[i];
        }
    }
    return NULL;
}

static void xrnpe_bh(void *opaque)
{
    XRNPEState *s = opaque;
    XRNPEQueue *q;

    while (s->vm_running && !s->resetting && !s->bus_error &&
           (q = xrnpe_next_queue(s))) {
        xrnpe_step(s, q);
    }
}

/* ---- Registers --------------------------------------------------------- */

static void xrnpe_start_reset(XRNPEState *s)
{
    trace_xrnpe_reset(s->in_flight);
    if (s->in_flight) {
        s->resetting = true;
        xrnpe_cancel_command(s);
    } else {
        xrnpe_reset_registers(s);
    }
}

/* The driver did what it should not. */
static void G_GNUC_PRINTF(2, 3) xrnpe_refuse(XRNPEState *s,
                                             const char *fmt, ...)
{
    if (qemu_loglevel_mask(LOG_GUEST_ERROR)) {
        g_autofree char *message = NULL;
        va_list ap;

        va_start(ap, fmt);
        message = g_strdup_vprintf(fmt, ap);
        va_end(ap);
        qemu_log("%s: %s\n", DEVICE(s)->canonical_path, message);
    }
}

static bool xrnpe_any_queue_enabled(const XRNPEState *s)
{
    for (unsigned int i = 0; i < s->queues; i++) {
        if (s->queue[i].enabled) {
            return true;
        }
    }
    return false;
}

static bool xrnpe_busy(const XRNPEState *s)
{
    for (unsigned int i = 0; i < s->queues; i++) {
        if (xrnpe_queue_running(&s->queue[i])) {
            return !s->bus_error;
        }
    }
    return false;
}

static bool xrnpe_queue_size_valid(uint32_t size)
{
    return size >= XRNPE_QUEUE_SIZE_MIN && size <= XRNPE_QUEUE_SIZE_MAX &&
           is_power_of_2(size);
}

static void xrnpe_queue_enable(XRNPEState *s, XRNPEQueue *q)
{
    if (!s->status_base || !QEMU_IS_ALIGNED(s->status_base, 64)) {
        xrnpe_refuse(s, "queue enabled without a status page");
    } else if (!xrnpe_queue_size_valid(q->size) ||
               !QEMU_IS_ALIGNED(q->base, 64) ||
               !xrnpe_range_fits(q->base, q->size,
                                 sizeof(struct xrnpe_job_desc))) {
        xrnpe_refuse(s, "queue enabled with a malformed ring: base 0x%"
                     PRIx64 ", size %" PRIu32, q->base, q->size);
    } else {
        *q = (XRNPEQueue) { .base = q->base, .size = q->size, .enabled = true };
    }
}

static void xrnpe_queue_abort(XRNPEState *s, XRNPEQueue *q)
{
    if (!xrnpe_queue_running(q)) {
        return;
    }
    q->aborting = true;
    if (s->in_flight && s->command.queue == q - s->queue) {
        xrnpe_cancel_command(s);
    }
}

static void xrnpe_queue_disable(XRNPEState *s, XRNPEQueue *q)
{
    if (xrnpe_queue_running(q) && !s->bus_error) {
        q->disabling = true;
        xrnpe_queue_abort(s, q);
        return;
    }
    q->enabled = false;
    q->stopped = false;
    q->loaded = false;
    q->aborting = false;
    q->disabling = false;
}

static void xrnpe_queue_write_ctrl(XRNPEState *s, XRNPEQueue *q, uint32_t value)
{
    bool enable = value & XRNPE_QUEUE_CTRL_ENABLE;

    if (value & ~(XRNPE_QUEUE_CTRL_ENABLE | XRNPE_QUEUE_CTRL_RESUME)) {
        xrnpe_refuse(s, "reserved bits in queue control 0x%" PRIx32, value);
    }
    if (enable && !q->enabled) {
        xrnpe_queue_enable(s, q);
    } else if (!enable && q->enabled) {
        xrnpe_queue_disable(s, q);
    }
    if (value & XRNPE_QUEUE_CTRL_RESUME) {
        q->stopped = false;
    }
}

static void xrnpe_queue_write_tail(XRNPEState *s, XRNPEQueue *q, uint32_t value)
{
    uint32_t queued = q->tail - q->head;
    uint32_t wanted = value - q->head;

    if (!q->enabled) {
        xrnpe_refuse(s, "doorbell of a disabled queue");
    } else if (wanted < queued || wanted > q->size) {
        xrnpe_refuse(s, "doorbell 0x%" PRIx32 " is out of range: head 0x%"
                     PRIx32 ", tail 0x%" PRIx32, value, q->head, q->tail);
    } else {
        q->tail = value;
    }
}

/* The registers that a queue's use fixes. */
static void xrnpe_queue_write_setup(XRNPEState *s, XRNPEQueue *q, hwaddr offset,
                                    uint32_t value)
{
    if (q->enabled) {
        xrnpe_refuse(s, "ring moved while the queue is enabled");
        return;
    }
    switch (offset) {
    case XRNPE_QUEUE_BASE_LO:
        q->base = deposit64(q->base, 0, 32, value);
        break;
    case XRNPE_QUEUE_BASE_HI:
        q->base = deposit64(q->base, 32, 32, value);
        break;
    case XRNPE_QUEUE_SIZE:
        q->size = value;
        break;
    }
}

/* Returns false if there is no such register. */
static bool xrnpe_queue_read(const XRNPEQueue *q, hwaddr offset,
                             uint32_t *value)
{
    switch (offset) {
    case XRNPE_QUEUE_BASE_LO:
        *value = extract64(q->base, 0, 32);
        return true;
    case XRNPE_QUEUE_BASE_HI:
        *value = extract64(q->base, 32, 32);
        return true;
    case XRNPE_QUEUE_SIZE:
        *value = q->size;
        return true;
    case XRNPE_QUEUE_HEAD:
        *value = q->head;
        return true;
    case XRNPE_QUEUE_TAIL:
        *value = q->tail;
        return true;
    case XRNPE_QUEUE_CTRL:
        *value = q->enabled ? XRNPE_QUEUE_CTRL_ENABLE : 0;
        return true;
    case XRNPE_QUEUE_STATE:
        *value = xrnpe_queue_state(q);
        return true;
    default:
        return false;
    }
}

static bool xrnpe_queue_write(XRNPEState *s, XRNPEQueue *q, hwaddr offset,
                              uint32_t value)
{
    switch (offset) {
    case XRNPE_QUEUE_BASE_LO:
    case XRNPE_QUEUE_BASE_HI:
    case XRNPE_QUEUE_SIZE:
        xrnpe_queue_write_setup(s, q, offset, value);
        return true;
    case XRNPE_QUEUE_TAIL:
        xrnpe_queue_write_tail(s, q, value);
        return true;
    case XRNPE_QUEUE_CTRL:
        xrnpe_queue_write_ctrl(s, q, value);
        return true;
    case XRNPE_QUEUE_ABORT:
        if (value == q->head && !s->ignore_abort) {
            xrnpe_queue_abort(s, q);
        }
        return true;
    default:
        return false;
    }
}

/* The queue whose registers hold *@offset, which becomes relative; or NULL. */
static XRNPEQueue *xrnpe_decode_queue(XRNPEState *s, hwaddr *offset)
{
    hwaddr n;

    if (*offset < XRNPE_QUEUES_OFFSET) {
        return NULL;
    }
    n = (*offset - XRNPE_QUEUES_OFFSET) / XRNPE_QUEUE_STRIDE;
    if (n >= s->queues) {
        return NULL;
    }
    *offset -= XRNPE_QUEUE(n);
    return &s->queue[n];
}

static bool xrnpe_device_read(XRNPEState *s, hwaddr offset, uint32_t *value)
{
    switch (offset) {
    case XRNPE_ID:
        *value = XRNPE_ID_MAGIC;
        return true;
    case XRNPE_VERSION:
        *value = XRNPE_VERSION_1_0;
        return true;
    case XRNPE_CONFIG:
        *value = s->rows << XRNPE_CONFIG_ROWS_SHIFT |
                 s->cols << XRNPE_CONFIG_COLS_SHIFT |
                 s->queues << XRNPE_CONFIG_QUEUES_SHIFT;
        return true;
    case XRNPE_CTRL:
        *value = s->resetting ? XRNPE_CTRL_RESET : 0;
        return true;
    case XRNPE_STATUS:
        *value = (xrnpe_busy(s) ? XRNPE_STATUS_BUSY : 0) |
                 (s->bus_error ? XRNPE_STATUS_BUS_ERROR : 0) |
                 s->command.queue << XRNPE_STATUS_QUEUE_SHIFT;
        return true;
    case XRNPE_IRQ_STATUS:
        *value = s->irq_status;
        return true;
    case XRNPE_IRQ_ENABLE:
        *value = s->irq_enable;
        return true;
    case XRNPE_STATUS_BASE_LO:
        *value = extract64(s->status_base, 0, 32);
        return true;
    case XRNPE_STATUS_BASE_HI:
        *value = extract64(s->status_base, 32, 32);
        return true;
    default:
        return false;
    }
}

static bool xrnpe_device_write(XRNPEState *s, hwaddr offset, uint32_t value)
{
    switch (offset) {
    case XRNPE_CTRL:
        if (value & XRNPE_CTRL_RESET) {
            xrnpe_start_reset(s);
        }
        return true;
    case XRNPE_IRQ_STATUS:
        s->irq_status &= ~value;
        xrnpe_update_irq(s);
        return true;
    case XRNPE_IRQ_ENABLE:
        s->irq_enable = value & XRNPE_IRQ_ALL;
        xrnpe_update_irq(s);
        return true;
    case XRNPE_STATUS_BASE_LO:
    case XRNPE_STATUS_BASE_HI:
        if (xrnpe_any_queue_enabled(s)) {
            xrnpe_refuse(s, "status page moved while a queue is enabled");
        } else {
            s->status_base = deposit64(s->status_base,
                                       offset == XRNPE_STATUS_BASE_HI ? 32 : 0,
                                       32, value);
        }
        return true;
    default:
        return false;
    }
}

static uint64_t xrnpe_read(void *opaque, hwaddr addr, unsigned int size)
{
    XRNPEState *s = opaque;
    hwaddr offset = addr;
    uint32_t value = 0;
    XRNPEQueue *q;

    if (size != 4 || !QEMU_IS_ALIGNED(addr, 4)) {
        xrnpe_refuse(s, "read of %u bytes at 0x%" HWADDR_PRIx, size, addr);
        return 0;
    }
    q = xrnpe_decode_queue(s, &offset);
    if (!(q ? xrnpe_queue_read(q, offset, &value)
            : xrnpe_device_read(s, offset, &value))) {
        xrnpe_refuse(s, "no register at 0x%" HWADDR_PRIx, addr);
    }
    trace_xrnpe_read(addr, value);
    return value;
}

static void xrnpe_write(void *opaque, hwaddr addr, uint64_t value,
                        unsigned int size)
{
    XRNPEState *s = opaque;
    hwaddr offset = addr;
    XRNPEQueue *q;

    if (size != 4 || !QEMU_IS_ALIGNED(addr, 4)) {
        xrnpe_refuse(s, "write of %u bytes at 0x%" HWADDR_PRIx, size, addr);
        return;
    }
    trace_xrnpe_write(addr, value);
    if (s->resetting) {
        return;
    }
    q = xrnpe_decode_queue(s, &offset);
    if (!(q ? xrnpe_queue_write(s, q, offset, value)
            : xrnpe_device_write(s, offset, value))) {
        xrnpe_refuse(s, "no writable register at 0x%" HWADDR_PRIx, addr);
    }
    qemu_bh_schedule(s->bh);
}

static const MemoryRegionOps xrnpe_ops = {
    .read = xrnpe_read,
    .write = xrnpe_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    /* Wrong sizes get here too: they read as zero and raise no bus error. */
    .valid = {
        .min_access_size = 1,
        .max_access_size = 8,
        .unaligned = true,
    },
    .impl = {
        .min_access_size = 1,
        .max_access_size = 8,
        .unaligned = true,
    },
};

/* ---- Life cycle -------------------------------------------------------- */

static void xrnpe_vm_state_change(void *opaque, bool running, RunState state)
{
    XRNPEState *s = opaque;

    s->vm_running = running;
    if (running) {
        qemu_bh_schedule(s->bh);
    } else if (s->in_flight) {
        /*
         * Memory must be quiet now, and only what lies between two commands
         * is migrated. A command may take minutes, so rather do it again.
         */
        if (xrnpe_command_restartable(&s->command)) {
            xrnpe_cancel_command(s);
        }
        xrnpe_wait_command(s);
    }
}

static void xrnpe_reset_hold(Object *obj, ResetType type)
{
    XRNPEState *s = XRNPE(obj);

    xrnpe_start_reset(s);
    xrnpe_wait_command(s);
}

static bool xrnpe_check_properties(XRNPEState *s, Error **errp)
{
    if (HOST_BIG_ENDIAN) {
        error_setg(errp, "xrnpe runs on little-endian hosts only");
        return false;
    }
    if (!s->rows || !s->cols) {
        error_setg(errp, "'rows' and 'cols' must be 1 to 255");
        return false;
    }
    if (!s->queues || s->queues > XRNPE_MAX_QUEUES) {
        error_setg(errp, "'queues' must be 1 to %d", XRNPE_MAX_QUEUES);
        return false;
    }
    if (s->threads > XRNPE_MAX_THREADS) {
        error_setg(errp, "'threads' must be at most %d (0: one per host CPU)",
                   XRNPE_MAX_THREADS);
        return false;
    }
    return true;
}

static struct xrnpe_datapath *xrnpe_new_datapath(XRNPEState *s, Error **errp)
{
    struct xrnpe_datapath *datapath;
    sigset_t all, old;
    int error;

    /* Signals are for QEMU's own threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    datapath = xrnpe_datapath_new(s->threads, s->kernel);
    error = errno;
    pthread_sigmask(SIG_SETMASK, &old, NULL);

    if (!datapath && (error == EINVAL || error == ENOTSUP)) {
        g_autofree char *names =
            g_strjoinv(", ", (char **)xrnpe_datapath_kernels());

        error_setg(errp, "'kernel' is '%s', but this host has: %s",
                   s->kernel, names);
    } else if (!datapath) {
        error_setg_errno(errp, error, "cannot start the datapath");
    }
    return datapath;
}

static void xrnpe_realize(DeviceState *dev, Error **errp)
{
    XRNPEState *s = XRNPE(dev);

    if (!xrnpe_check_properties(s, errp)) {
        return;
    }
    s->datapath = xrnpe_new_datapath(s, errp);
    if (!s->datapath) {
        return;
    }
    s->bh = qemu_bh_new_guarded(xrnpe_bh, s, &dev->mem_reentrancy_guard);
    s->vm_state_change =
        qdev_add_vm_change_state_handler(dev, xrnpe_vm_state_change, s);
}

static void xrnpe_unrealize(DeviceState *dev)
{
    XRNPEState *s = XRNPE(dev);

    qemu_del_vm_change_state_handler(s->vm_state_change);
    xrnpe_start_reset(s);
    xrnpe_wait_command(s);
    qemu_bh_delete(s->bh);
    xrnpe_datapath_free(s->datapath);
}

static void xrnpe_init(Object *obj)
{
    XRNPEState *s = XRNPE(obj);

    memory_region_init_io(&s->iomem, obj, &xrnpe_ops, s, TYPE_XRNPE,
                          XRNPE_MMIO_SIZE);
    sysbus_init_mmio(SYS_BUS_DEVICE(s), &s->iomem);
    sysbus_init_irq(SYS_BUS_DEVICE(s), &s->irq);
}

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
        VMSTATE_UINT64(cmds, XRNPEQueue),
        VMSTATE_UINT32(cmd_count, XRNPEQueue),
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
        VMSTATE_END_OF_LIST()
    },
};

static int xrnpe_post_load(void *opaque, int version_id)
{
    XRNPEState *s = opaque;

    if (s->command.queue >= s->queues) {
        error_report("xrnpe: the stream names a queue that is not there");
        return -EINVAL;
    }
    return 0;
}

static const VMStateDescription vmstate_xrnpe = {
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
        VMSTATE_BOOL(bus_error, XRNPEState),
        VMSTATE_UINT32(command.queue, XRNPEState),
        VMSTATE_STRUCT_ARRAY(queue, XRNPEState, XRNPE_MAX_QUEUES, 1,
                             vmstate_xrnpe_queue, XRNPEQueue),
        VMSTATE_END_OF_LIST()
    },
};

static const Property xrnpe_properties[] = {
    DEFINE_PROP_UINT8("rows", XRNPEState, rows, 8),
    DEFINE_PROP_UINT8("cols", XRNPEState, cols, 8),
    DEFINE_PROP_UINT8("queues", XRNPEState, queues, XRNPE_MAX_QUEUES),
    DEFINE_PROP_UINT16("threads", XRNPEState, threads, 0),
    DEFINE_PROP_STRING("kernel", XRNPEState, kernel),
    DEFINE_PROP_BOOL("x-ignore-abort", XRNPEState, ignore_abort, false),
};

static void xrnpe_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    ResettableClass *rc = RESETTABLE_CLASS(klass);

    dc->desc = "XR-NPE neural co-processor";
    dc->realize = xrnpe_realize;
    dc->unrealize = xrnpe_unrealize;
    dc->vmsd = &vmstate_xrnpe;
    device_class_set_props(dc, xrnpe_properties);
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    rc->phases.hold = xrnpe_reset_hold;
}

static const TypeInfo xrnpe_types[] = {
    {
        .name = TYPE_XRNPE,
        .parent = TYPE_DYNAMIC_SYS_BUS_DEVICE,
        .instance_size = sizeof(XRNPEState),
        .instance_init = xrnpe_init,
        .class_init = xrnpe_class_init,
    },
};
DEFINE_TYPES(xrnpe_types)
