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
 * All state lives under the BQL. Register writes only change it and set off a
 * timer of virtual time; that is the one place where the device reads and
 * writes memory of its own accord, and it does not run while the machine is
 * stopped. One command at a time executes in a thread-pool worker, which
 * touches nothing but s->command; then the timer goes on. With -icount nothing
 * may depend on the speed of the host: the timer executes the command itself.
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/host-utils.h"
#include "qemu/log.h"
#include "qemu/module.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "block/aio-wait.h"
#include "block/thread-pool.h"
#include "hw/irq.h"
#include "hw/misc/xrnpe.h"
#include "hw/qdev-properties.h"
#include "hw/sysbus.h"
#include "migration/vmstate.h"
#include "system/cpu-timers.h"
#include "system/dma.h"
#include "system/runstate.h"
#include "cost.h"
#include "datapath.h"
#include "names.h"
#include "xrnpe_regs.h"
#include "trace.h"

#define XRNPE_QUEUES_OFFSET XRNPE_QUEUE(0)
#define XRNPE_QUEUE_STRIDE  (XRNPE_QUEUE(1) - XRNPE_QUEUE(0))

#define XRNPE_MAX_THREADS 256

/* What an operand that is not in one piece of host memory may take up there */
#define XRNPE_MAX_BOUNCE (8 * MiB)

/* What the capability registers tell */
#define XRNPE_OPCODES     MAKE_64BIT_MASK(XRNPE_OP_MATMUL, XRNPE_OP_TIMESTAMP)
#define XRNPE_TIMER       (NANOSECONDS_PER_SECOND / 1000)     /* kHz */

/* Index of the cycle counter */
#define XRNPE_CYCLES      (offsetof(struct xrnpe_counters, cycles) / 8)

QEMU_BUILD_BUG_ON(sizeof(struct xrnpe_cmd) != 192);
QEMU_BUILD_BUG_ON(sizeof(struct xrnpe_job_desc) != 64);
QEMU_BUILD_BUG_ON(sizeof(struct xrnpe_region) != 24);
QEMU_BUILD_BUG_ON(sizeof(struct xrnpe_queue_status) != 64);
QEMU_BUILD_BUG_ON(sizeof(struct xrnpe_job_record) != 320);
QEMU_BUILD_BUG_ON(sizeof(struct xrnpe_counters) != XRNPE_COUNTERS * 8);

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
    uint32_t flags;
    uint64_t record;
    uint64_t cmds;
    uint32_t cmd_count;
    uint32_t cmd_stride;
    uint32_t next_cmd;
    uint32_t status;
    uint32_t region_count;
    XRNPERegion region[XRNPE_MAX_REGIONS];
    XRNPEFault fault;   /* kind is not NONE: the job ends with this */
    uint64_t start;     /* ns of virtual time */
    uint64_t executed;  /* by commands that have ended */
    uint64_t counters[XRNPE_COUNTERS];
} XRNPEQueue;

/* An operand in the host's memory, usually in one piece */
typedef struct XRNPEPiece {
    void *memory;
    uint64_t size;
} XRNPEPiece;

typedef struct XRNPEMapping {
    XRNPEPiece *piece;
    unsigned int pieces;
    uint8_t *bounce;    /* the pieces as one, if there are several */
    uint8_t *before;    /* of an output: what the bounce buffer held at first */
} XRNPEMapping;

/* A command as a worker computes it */
typedef struct XRNPECommand {
    uint32_t index;
    struct xrnpe_cmd cmd;
    struct xrnpe_counters cost;
    struct xrnpe_span span[XRNPE_OPERANDS];
    XRNPEMapping mapping[XRNPE_OPERANDS];
    bool cancel;

    int result;
    uint32_t status;
    struct xrnpe_fault fault;
} XRNPECommand;

/* How long commands take in virtual time */
typedef enum XRNPETiming {
    XRNPE_TIMING_NONE,      /* as long as the host needs */
    XRNPE_TIMING_MODEL,     /* as the cycle model says */
    XRNPE_TIMINGS
} XRNPETiming;

/* Faults that tests of drivers ask for; xrnpe_injections[] tells which */
typedef struct XRNPEInject {
    bool ignore_abort;
    bool stuck;
    uint32_t hang;
    uint32_t drop_irq;
    uint32_t bus_error;
    uint32_t seqno;
    uint32_t slow;
} XRNPEInject;

struct XRNPEState {
    SysBusDevice parent_obj;

    MemoryRegion iomem;
    qemu_irq irq;
    QEMUTimer *timer;
    VMChangeStateEntry *vm_state_change;
    struct xrnpe_datapath *datapath;

    uint8_t rows;
    uint8_t cols;
    uint8_t queues;
    uint16_t threads;
    char *kernel;
    XRNPETiming timing;
    XRNPEInject inject;
    struct xrnpe_machine machine;

    uint32_t irq_status;
    uint32_t irq_enable;
    uint64_t status_base;
    uint64_t bus_addr;
    bool bus_error;
    bool resetting;
    uint64_t counters[XRNPE_COUNTERS];
    XRNPEQueue queue[XRNPE_MAX_QUEUES];

    /* What the guest sees: a command executes, or did last, in this queue. */
    bool executing;
    uint32_t executing_queue;
    int64_t start;      /* virtual time */
    int64_t end;        /* not before this, unless it is given up */

    /*
     * How far the host is with it: it computes, is done, or neither, because
     * the machine was stopped meanwhile.
     */
    bool in_flight;     /* a worker owns @command */
    bool computed;      /* @command has the result */
    XRNPECommand command;
};

/* Of @end: never by itself */
#define XRNPE_NEVER INT64_MAX

/* The device talks to memory, never to other devices' registers. */
static const MemTxAttrs xrnpe_attrs = { .memory = true };

static int64_t xrnpe_now(void)
{
    return qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
}

/*
 * The time at which the timer goes on. With -icount it must return in between,
 * for it computes a command itself and there may be many.
 */
static int64_t xrnpe_soon(void)
{
    return xrnpe_now() + !!icount_enabled();
}

/* Let the timer look at what there is to do. */
static void xrnpe_schedule(XRNPEState *s)
{
    timer_mod_ns(s->timer, xrnpe_now());
}

static void xrnpe_update_irq(XRNPEState *s)
{
    bool level = s->irq_status & s->irq_enable;

    trace_xrnpe_irq(s->irq_status, s->irq_enable, level);
    qemu_set_irq(s->irq, level);
}

static void xrnpe_raise(XRNPEState *s, uint32_t bits)
{
    if (s->inject.drop_irq) {
        s->inject.drop_irq--;
        return;
    }
    s->irq_status |= bits;
    xrnpe_update_irq(s);
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

static void xrnpe_queue_turn_off(XRNPEQueue *q)
{
    q->enabled = false;
    q->stopped = false;
    q->loaded = false;
    q->aborting = false;
    q->disabling = false;
}

/* Whether a command of @q executes. */
static bool xrnpe_queue_executing(const XRNPEState *s, const XRNPEQueue *q)
{
    return s->executing && s->executing_queue == q - s->queue;
}

/* Ask the worker to give up, which takes it a millisecond. */
static void xrnpe_cancel_command(XRNPEState *s)
{
    qatomic_set(&s->command.cancel, true);
}

static void xrnpe_wait_command(XRNPEState *s)
{
    AIO_WAIT_WHILE_UNLOCKED(NULL, s->in_flight);
}

/* ---- Memory: accessed by the timer only -------------------------------- */

/* Whether an access may go ahead, or is the one that a test wants to fail. */
static bool xrnpe_bus_works(XRNPEState *s)
{
    return !s->inject.bus_error || --s->inject.bus_error;
}

static void xrnpe_no_answer(XRNPEState *s, uint64_t addr)
{
    s->bus_addr = ROUND_DOWN(addr, XRNPE_BURST);
}

/* Access memory burst by burst. Returns false when one is not answered. */
static bool xrnpe_dma(XRNPEState *s, uint64_t addr, void *buffer, size_t size,
                      DMADirection direction)
{
    uint8_t *byte = buffer;

    while (size) {
        size_t n = MIN(size, XRNPE_BURST - addr % XRNPE_BURST);

        if (!xrnpe_bus_works(s) ||
            dma_memory_rw(&address_space_memory, addr, byte, n, direction,
                          xrnpe_attrs) != MEMTX_OK) {
            xrnpe_no_answer(s, addr);
            return false;
        }
        addr += n;
        byte += n;
        size -= n;
    }
    return true;
}

static bool xrnpe_dma_read(XRNPEState *s, uint64_t addr, void *buffer,
                           size_t size)
{
    return xrnpe_dma(s, addr, buffer, size, DMA_DIRECTION_TO_DEVICE);
}

static bool xrnpe_dma_write(XRNPEState *s, uint64_t addr, const void *buffer,
                            size_t size)
{
    return xrnpe_dma(s, addr, (void *)buffer, size, DMA_DIRECTION_FROM_DEVICE);
}

static DMADirection xrnpe_direction(const struct xrnpe_span *span)
{
    return span->write ? DMA_DIRECTION_FROM_DEVICE : DMA_DIRECTION_TO_DEVICE;
}

/*
 * Map at most @size bytes that lie in one piece; returns how many. Zero means
 * that nothing is there but, at best, a device: that would get a bounce buffer
 * or, worse, side effects.
 */
static uint64_t xrnpe_map_piece(uint64_t addr, uint64_t size,
                                const struct xrnpe_span *span, void **memory)
{
    dma_addr_t mapped = size;
    hwaddr xlat, len = size;
    MemoryRegion *mr;

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

static void xrnpe_unmap_operand(XRNPECommand *c, unsigned int i, bool executed)
{
    XRNPEMapping *m = &c->mapping[i];

    for (unsigned int j = 0; j < m->pieces; j++) {
        XRNPEPiece *piece = &m->piece[j];

        dma_memory_unmap(&address_space_memory, piece->memory, piece->size,
                         xrnpe_direction(&c->span[i]),
                         executed ? piece->size : 0);
    }
    g_free(m->piece);
    g_free(m->bounce);
    g_free(m->before);
    *m = (XRNPEMapping) { };
}

static void xrnpe_unmap_command(XRNPECommand *c, bool executed)
{
    for (unsigned int i = 0; i < XRNPE_OPERANDS; i++) {
        xrnpe_unmap_operand(c, i, executed);
    }
}

/* Map operand @i at @addr. Returns how many of its bytes answer. */
static uint64_t xrnpe_map_operand(XRNPECommand *c, unsigned int i,
                                  uint64_t addr)
{
    const struct xrnpe_span *span = &c->span[i];
    XRNPEMapping *m = &c->mapping[i];
    uint64_t done = 0;

    while (done < span->size) {
        XRNPEPiece piece;

        piece.size = xrnpe_map_piece(addr + done, span->size - done, span,
                                     &piece.memory);
        if (!piece.size) {
            break;
        }
        m->piece = g_renew(XRNPEPiece, m->piece, m->pieces + 1);
        m->piece[m->pieces++] = piece;
        done += piece.size;
    }
    return done;
}

/*
 * Give an operand in several pieces one buffer. Returns false if it is too
 * large, so that a guest cannot use up the host's memory, or if there is none.
 */
static bool xrnpe_bounce_operand(XRNPECommand *c, unsigned int i)
{
    const struct xrnpe_span *span = &c->span[i];
    XRNPEMapping *m = &c->mapping[i];

    if (m->pieces < 2) {
        return true;
    }
    if (span->size > XRNPE_MAX_BOUNCE) {
        return false;
    }
    m->bounce = g_try_malloc(span->size);
    m->before = span->write ? g_try_malloc(span->size) : NULL;
    return m->bounce && (!span->write || m->before);
}

/* A bus fault that names the first byte of operand @i in the lost burst. */
static void xrnpe_operand_fault(XRNPEState *s, XRNPEQueue *q, unsigned int i,
                                uint64_t answered)
{
    const struct xrnpe_span *span = &s->command.span[i];
    uint64_t base = q->region[span->region].base;

    xrnpe_no_answer(s, base + span->offset + answered);
    q->fault = (XRNPEFault) {
        .kind = XRNPE_FAULT_BUS,
        .cmd = q->next_cmd,
        .operand = i,
        .region = span->region,
        .offset = MAX(s->bus_addr - base, span->offset),
    };
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

/* The host lacks memory. A guest may bring this about: say so once. */
static void xrnpe_device_fault(XRNPEQueue *q)
{
    warn_report_once("xrnpe: the host lacks memory for a command");
    xrnpe_fault(q, XRNPE_FAULT_DEVICE, q->next_cmd);
}

/* Map all operands of s->command, or leave a fault in @q. */
static bool xrnpe_map_command(XRNPEState *s, XRNPEQueue *q)
{
    XRNPECommand *c = &s->command;

    for (unsigned int i = 0; i < XRNPE_OPERANDS; i++) {
        const struct xrnpe_span *span = &c->span[i];
        uint64_t answered;

        if (!span->size) {
            continue;
        }
        answered = xrnpe_bus_works(s) ?
            xrnpe_map_operand(c, i, q->region[span->region].base +
                                    span->offset) : 0;
        if (answered < span->size) {
            xrnpe_operand_fault(s, q, i, answered);
        } else if (!xrnpe_bounce_operand(c, i)) {
            xrnpe_device_fault(q);
        } else {
            continue;
        }
        xrnpe_unmap_command(c, false);
        return false;
    }
    return true;
}

/* ---- Computing: in a worker thread, without the BQL -------------------- */

static void xrnpe_gather(XRNPEMapping *m)
{
    size_t at = 0;

    for (unsigned int i = 0; i < m->pieces; i++) {
        memcpy(m->bounce + at, m->piece[i].memory, m->piece[i].size);
        at += m->piece[i].size;
    }
    if (m->before) {
        memcpy(m->before, m->bounce, at);
    }
}

/*
 * Write back what has changed: what lies between the rows of an output is not
 * the command's, and others may have written there meanwhile.
 */
static void xrnpe_scatter(XRNPEMapping *m)
{
    size_t at = 0;

    for (unsigned int i = 0; i < m->pieces; i++) {
        uint8_t *memory = m->piece[i].memory;

        for (size_t j = 0; j < m->piece[i].size; j++, at++) {
            if (m->bounce[at] != m->before[at]) {
                memory[j] = m->bounce[at];
            }
        }
    }
}

static int xrnpe_compute(void *opaque)
{
    XRNPEState *s = opaque;
    XRNPECommand *c = &s->command;
    XRNPEMapping *ofm = &c->mapping[XRNPE_OPERAND_OFM];
    void *memory[XRNPE_OPERANDS] = { };

    for (unsigned int i = 0; i < XRNPE_OPERANDS; i++) {
        XRNPEMapping *m = &c->mapping[i];

        if (m->bounce) {
            xrnpe_gather(m);
            memory[i] = m->bounce;
        } else if (m->pieces) {
            memory[i] = m->piece[0].memory;
        }
    }
    c->result = xrnpe_datapath_run(s->datapath, &c->cmd, c->index, memory,
                                   &c->cancel, &c->status, &c->fault);
    if (ofm->bounce) {
        xrnpe_scatter(ofm);
    }
    return 0;
}

/* ---- Reset ------------------------------------------------------------- */

static void xrnpe_reset_registers(XRNPEState *s)
{
    s->irq_status = 0;
    s->irq_enable = 0;
    s->status_base = 0;
    s->bus_addr = 0;
    s->bus_error = false;
    s->resetting = false;
    memset(s->counters, 0, sizeof(s->counters));
    memset(s->queue, 0, sizeof(s->queue));
    s->executing = false;
    s->executing_queue = 0;
    s->computed = false;
    xrnpe_update_irq(s);
}

/* Complete a reset that has begun, or at least go about it. */
static void xrnpe_pursue_reset(XRNPEState *s)
{
    if (!s->resetting || (s->inject.stuck && s->executing)) {
        return;
    }
    if (s->in_flight) {
        xrnpe_cancel_command(s);
    } else {
        xrnpe_reset_registers(s);
    }
}

static void xrnpe_start_reset(XRNPEState *s)
{
    trace_xrnpe_reset(s->in_flight);
    s->resetting = true;
    xrnpe_pursue_reset(s);
}

/* As the machine resets the device, which not even a stuck one can ignore. */
static void xrnpe_reset_at_once(XRNPEState *s)
{
    trace_xrnpe_reset(s->in_flight);
    xrnpe_cancel_command(s);
    xrnpe_wait_command(s);
    xrnpe_reset_registers(s);
}

/* ---- Jobs: all that follows runs in the timer -------------------------- */

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

/* Whether @count elements @stride bytes apart, of @size, end within 2^64. */
static bool xrnpe_range_fits(uint64_t addr, uint64_t count, uint64_t stride,
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

/*
 * Read the descriptor and the region table of the job at head. A malformed job
 * has a fault then. Returns false if not even its number could be learnt.
 */
static bool xrnpe_load_job(XRNPEState *s, XRNPEQueue *q)
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

/* Report how the job at head ended: to memory, by HEAD, by interrupt. */
static void xrnpe_end_job(XRNPEState *s, XRNPEQueue *q)
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

/* ---- Commands ---------------------------------------------------------- */

static void xrnpe_trace_fetch(const XRNPEState *s, const XRNPEQueue *q)
{
    const XRNPECommand *c = &s->command;
    char text[XRNPE_CMD_TEXT];

    if (trace_event_get_state_backends(TRACE_XRNPE_CMD_FETCH)) {
        xrnpe_cmd_text(&c->cmd, text, sizeof(text));
        trace_xrnpe_cmd_fetch(q - s->queue, c->index, text);
    }
}

static void xrnpe_trace_refuse(const XRNPEState *s, const XRNPEQueue *q,
                               const struct xrnpe_fault *fault)
{
    const XRNPECommand *c = &s->command;
    char why[XRNPE_CMD_TEXT];

    if (trace_event_get_state_backends(TRACE_XRNPE_CMD_REFUSE)) {
        xrnpe_fault_text(fault, &c->cmd, NULL, why, sizeof(why));
        trace_xrnpe_cmd_refuse(q - s->queue, c->index, why);
    }
}

/* Fetch and check the next command of @q, or leave a fault there. */
static bool xrnpe_fetch_command(XRNPEState *s, XRNPEQueue *q)
{
    XRNPECommand *c = &s->command;
    struct xrnpe_extent extent[XRNPE_MAX_REGIONS];
    struct xrnpe_fault fault;

    *c = (XRNPECommand) { .index = q->next_cmd };
    if (!xrnpe_dma_read(s, q->cmds + (uint64_t)c->index * q->cmd_stride,
                        &c->cmd, sizeof(c->cmd))) {
        xrnpe_fault(q, XRNPE_FAULT_BUS, c->index);
        return false;
    }
    xrnpe_trace_fetch(s, q);
    for (uint32_t i = 0; i < q->region_count; i++) {
        extent[i].size = q->region[i].size;
        extent[i].flags = q->region[i].flags;
    }
    if (!xrnpe_cmd_check(&c->cmd, c->index, extent, q->region_count, c->span,
                         &fault)) {
        xrnpe_trace_refuse(s, q, &fault);
        xrnpe_fault_from_datapath(q, &fault);
        return false;
    }
    xrnpe_cmd_cost(&s->machine, &c->cmd, &c->cost);
    return true;
}

static void xrnpe_command_computed(void *opaque, int ret)
{
    XRNPEState *s = opaque;
    XRNPECommand *c = &s->command;

    xrnpe_unmap_command(c, true);
    s->in_flight = false;
    s->computed = c->result != -ECANCELED;
    xrnpe_pursue_reset(s);
    timer_mod_ns(s->timer, xrnpe_soon());
    aio_wait_kick();
}

static void xrnpe_compute_command(XRNPEState *s)
{
    s->computed = false;
    s->in_flight = true;
    xrnpe_datapath_set_cycles(s->datapath, s->counters[XRNPE_CYCLES]);
    if (icount_enabled()) {
        xrnpe_compute(s);
        xrnpe_command_computed(s, 0);
    } else {
        thread_pool_submit_aio(xrnpe_compute, s, xrnpe_command_computed, s);
    }
}

/* Virtual time that s->command takes at least */
static int64_t xrnpe_command_time(const XRNPEState *s)
{
    int64_t slow = s->inject.slow * (int64_t)SCALE_US;

    if (s->timing != XRNPE_TIMING_MODEL) {
        return slow;
    }
    return MAX(slow, muldiv64_round_up(s->command.cost.cycles, XRNPE_TIMER,
                                       s->machine.clock_khz));
}

/* When s->command, which starts now, will end. */
static int64_t xrnpe_command_end(XRNPEState *s)
{
    if (s->inject.hang) {
        s->inject.hang--;
        return XRNPE_NEVER;
    }
    return s->start + xrnpe_command_time(s);
}

/* Count for @q's job and for the device. */
static void xrnpe_count(XRNPEState *s, XRNPEQueue *q,
                        const struct xrnpe_counters *cost)
{
    const uint64_t *word = (const uint64_t *)cost;

    for (unsigned int i = 0; i < XRNPE_COUNTERS; i++) {
        s->counters[i] += word[i];
        q->counters[i] += word[i];
    }
}

/* What was given up, or at fault while it executed, is only that: a command. */
static void xrnpe_count_failed(XRNPEState *s, XRNPEQueue *q)
{
    static const struct xrnpe_counters cost = { .commands = 1 };

    xrnpe_count(s, q, &cost);
}

static void xrnpe_start_command(XRNPEState *s, XRNPEQueue *q)
{
    XRNPECommand *c = &s->command;

    if (!xrnpe_fetch_command(s, q)) {
        return;
    }
    s->executing_queue = q - s->queue;
    s->start = xrnpe_now();
    if (!xrnpe_map_command(s, q)) {
        xrnpe_count_failed(s, q);
        return;
    }
    s->executing = true;
    s->end = xrnpe_command_end(s);
    trace_xrnpe_cmd_start(s->executing_queue, c->index,
                          xrnpe_cmd_macs(&c->cmd));
    xrnpe_compute_command(s);
}

/* Compute it again, from its start: the machine was stopped, or it is stuck. */
static void xrnpe_restart_command(XRNPEState *s)
{
    XRNPEQueue *q = &s->queue[s->executing_queue];

    if (xrnpe_fetch_command(s, q) && xrnpe_map_command(s, q)) {
        xrnpe_compute_command(s);
    } else {
        s->executing = false;
        xrnpe_count_failed(s, q);
    }
}

/* Whether what executes has come to its end, or has been given up. */
static bool xrnpe_command_over(const XRNPEState *s)
{
    return !s->inject.stuck &&
           (s->queue[s->executing_queue].aborting || s->bus_error ||
            (s->computed && xrnpe_now() >= s->end));
}

static void xrnpe_end_command(XRNPEState *s)
{
    XRNPECommand *c = &s->command;
    XRNPEQueue *q = &s->queue[s->executing_queue];
    int64_t now = xrnpe_now();
    int result = s->computed && now >= s->end ? c->result : -ECANCELED;

    trace_xrnpe_cmd_end(s->executing_queue, q->next_cmd, result, c->status);
    s->executing = false;
    if (!q->loaded) {
        return;     /* disabled by a halt */
    }
    q->executed += now - s->start;
    if (result) {
        xrnpe_count_failed(s, q);
    } else {
        xrnpe_count(s, q, &c->cost);
    }
    switch (result) {
    case 0:
        q->status |= c->status;
        q->next_cmd++;
        break;
    case -ECANCELED:
        break;
    case -EFAULT:
        q->status |= c->status;
        xrnpe_fault_from_datapath(q, &c->fault);
        break;
    default:
        xrnpe_device_fault(q);
        break;
    }
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
            !xrnpe_queue_executing(s, q)) {
            return q;
        }
    }
    for (unsigned int i = 0; i < s->queues && !s->executing; i++) {
        if (xrnpe_queue_running(&s->queue[i])) {
            return &s->queue[i];
        }
    }
    return NULL;
}

static void xrnpe_timer(void *opaque)
{
    XRNPEState *s = opaque;
    XRNPEQueue *q;

    xrnpe_pursue_reset(s);
    if (s->executing && !s->in_flight) {
        if (xrnpe_command_over(s)) {
            xrnpe_end_command(s);
        } else if (!s->computed || s->inject.stuck) {
            xrnpe_restart_command(s);
        }
    }
    while (!s->resetting && !s->bus_error && (q = xrnpe_next_queue(s))) {
        xrnpe_step(s, q);
    }
    if (s->executing && s->computed) {
        int64_t next = xrnpe_command_over(s) ? 0 : s->end;

        if (next != XRNPE_NEVER) {
            timer_mod_ns(s->timer, MAX(next, xrnpe_soon()));
        }
    }
}

/* ---- Registers --------------------------------------------------------- */

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

/* Whether memory may still be accessed. */
static bool xrnpe_busy(const XRNPEState *s)
{
    bool running = false;

    for (unsigned int i = 0; i < s->queues; i++) {
        running |= xrnpe_queue_running(&s->queue[i]);
    }
    return s->executing || s->resetting || (running && !s->bus_error);
}

/* The interrupts that there are */
static uint32_t xrnpe_interrupts(const XRNPEState *s)
{
    uint32_t mask = XRNPE_IRQ_BUS_ERROR;

    for (unsigned int i = 0; i < s->queues; i++) {
        mask |= XRNPE_IRQ_DONE(i) | XRNPE_IRQ_STOPPED(i);
    }
    return mask;
}

/* What the driver cannot read in one access: the half that @offset names */
static uint32_t xrnpe_half(uint64_t value, hwaddr offset)
{
    return extract64(value, offset & 4 ? 32 : 0, 32);
}

static void xrnpe_set_half(uint64_t *value, hwaddr offset, uint32_t half)
{
    *value = deposit64(*value, offset & 4 ? 32 : 0, 32, half);
}

static bool xrnpe_queue_size_valid(uint32_t size)
{
    return size >= XRNPE_QUEUE_SIZE_MIN && size <= XRNPE_QUEUE_SIZE_MAX &&
           is_power_of_2(size);
}

static void xrnpe_queue_enable(XRNPEState *s, XRNPEQueue *q)
{
    size_t entry = sizeof(struct xrnpe_queue_status);

    if (!s->status_base || !QEMU_IS_ALIGNED(s->status_base, 64) ||
        !xrnpe_range_fits(s->status_base, s->queues, entry, entry)) {
        xrnpe_refuse(s, "queue enabled without a status page");
    } else if (!xrnpe_queue_size_valid(q->size) ||
               !QEMU_IS_ALIGNED(q->base, 64) ||
               !xrnpe_range_fits(q->base, q->size,
                                 sizeof(struct xrnpe_job_desc),
                                 sizeof(struct xrnpe_job_desc))) {
        xrnpe_refuse(s, "queue enabled with a malformed ring: base 0x%"
                     PRIx64 ", size %" PRIu32, q->base, q->size);
    } else {
        *q = (XRNPEQueue) { .base = q->base, .size = q->size, .enabled = true };
    }
}

static void xrnpe_queue_abort(XRNPEState *s, XRNPEQueue *q)
{
    if (!xrnpe_queue_running(q) || s->inject.ignore_abort || s->inject.stuck) {
        return;
    }
    q->aborting = true;
    if (xrnpe_queue_executing(s, q)) {
        xrnpe_cancel_command(s);
    }
}

static void xrnpe_queue_disable(XRNPEState *s, XRNPEQueue *q)
{
    if (xrnpe_queue_running(q) && !s->bus_error) {
        q->disabling = true;
        xrnpe_queue_abort(s, q);
    } else {
        xrnpe_queue_turn_off(q);
    }
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
    if (offset == XRNPE_QUEUE_SIZE) {
        q->size = value;
    } else {
        xrnpe_set_half(&q->base, offset, value);
    }
}

/* Of the job at head, that of its present command included */
static uint64_t xrnpe_queue_executed(const XRNPEState *s, const XRNPEQueue *q)
{
    if (!q->loaded) {
        return 0;
    }
    return q->executed +
           (xrnpe_queue_executing(s, q) ? xrnpe_now() - s->start : 0);
}

/* Returns false if there is no such register. */
static bool xrnpe_queue_read(const XRNPEState *s, const XRNPEQueue *q,
                             hwaddr offset, uint32_t *value)
{
    switch (offset) {
    case XRNPE_QUEUE_BASE_LO:
    case XRNPE_QUEUE_BASE_HI:
        *value = xrnpe_half(q->base, offset);
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
    case XRNPE_QUEUE_ABORT:
        *value = 0;
        return true;
    case XRNPE_QUEUE_EXECUTED_LO:
    case XRNPE_QUEUE_EXECUTED_HI:
        *value = xrnpe_half(xrnpe_queue_executed(s, q), offset);
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
        if (value == q->head) {
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

static bool xrnpe_identification_read(XRNPEState *s, hwaddr offset,
                                      uint32_t *value)
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
    case XRNPE_REVISION:
        *value = 0;
        return true;
    case XRNPE_CAP_OPCODES:
        *value = XRNPE_OPCODES;
        return true;
    case XRNPE_CAP_FORMATS:
        *value = MAKE_64BIT_MASK(0, XRNPE_FORMATS);
        return true;
    case XRNPE_CAP_MAX_K:
        *value = XRNPE_MAX_K;
        return true;
    case XRNPE_CAP_MEMORY:
        *value = 64 << XRNPE_CAP_ADDRESS_BITS_SHIFT |
                 s->machine.bus_bytes << XRNPE_CAP_BUS_BYTES_SHIFT |
                 s->machine.sram_kib << XRNPE_CAP_SRAM_KIB_SHIFT;
        return true;
    case XRNPE_CAP_RECORD:
        *value = sizeof(struct xrnpe_cmd) << XRNPE_CAP_CMD_BYTES_SHIFT |
                 XRNPE_COUNTERS << XRNPE_CAP_COUNTERS_SHIFT;
        return true;
    case XRNPE_CLOCK_KHZ:
        *value = s->machine.clock_khz;
        return true;
    case XRNPE_TIMER_KHZ:
        *value = XRNPE_TIMER;
        return true;
    default:
        return false;
    }
}

static bool xrnpe_device_read(XRNPEState *s, hwaddr offset, uint32_t *value)
{
    switch (offset) {
    case XRNPE_CTRL:
        *value = s->resetting ? XRNPE_CTRL_RESET : 0;
        return true;
    case XRNPE_STATUS:
        *value = (xrnpe_busy(s) ? XRNPE_STATUS_BUSY : 0) |
                 (s->bus_error ? XRNPE_STATUS_BUS_ERROR : 0) |
                 s->executing_queue << XRNPE_STATUS_QUEUE_SHIFT;
        return true;
    case XRNPE_IRQ_STATUS:
        *value = s->irq_status;
        return true;
    case XRNPE_IRQ_ENABLE:
        *value = s->irq_enable;
        return true;
    case XRNPE_STATUS_BASE_LO:
    case XRNPE_STATUS_BASE_HI:
        *value = xrnpe_half(s->status_base, offset);
        return true;
    case XRNPE_BUS_ADDR_LO:
    case XRNPE_BUS_ADDR_HI:
        *value = xrnpe_half(s->bus_addr, offset);
        return true;
    case XRNPE_TIMER_LO:
    case XRNPE_TIMER_HI:
        *value = xrnpe_half(xrnpe_now(), offset);
        return true;
    case XRNPE_COUNTER_LO(0) ... XRNPE_COUNTER_HI(XRNPE_COUNTERS - 1):
        *value = xrnpe_half(s->counters[(offset - XRNPE_COUNTER_LO(0)) / 8],
                            offset);
        return true;
    default:
        return xrnpe_identification_read(s, offset, value);
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
        s->irq_enable = value & xrnpe_interrupts(s);
        xrnpe_update_irq(s);
        return true;
    case XRNPE_STATUS_BASE_LO:
    case XRNPE_STATUS_BASE_HI:
        if (xrnpe_any_queue_enabled(s)) {
            xrnpe_refuse(s, "status page moved while a queue is enabled");
        } else {
            xrnpe_set_half(&s->status_base, offset, value);
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
    if (!(q ? xrnpe_queue_read(s, q, offset, &value)
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
    xrnpe_schedule(s);
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

    if (running) {
        xrnpe_schedule(s);
    } else {
        /*
         * Memory must be quiet now. No input was overwritten: the command can
         * start anew later, which does not keep anybody waiting.
         */
        xrnpe_cancel_command(s);
        xrnpe_wait_command(s);
    }
}

static void xrnpe_reset_hold(Object *obj, ResetType type)
{
    xrnpe_reset_at_once(XRNPE(obj));
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
    s->machine = XRNPE_MACHINE_DEFAULT;
    s->machine.rows = s->rows;
    s->machine.cols = s->cols;
    s->timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, xrnpe_timer, s);
    s->vm_state_change =
        qdev_add_vm_change_state_handler(dev, xrnpe_vm_state_change, s);
    memory_region_set_enabled(&s->iomem, true);
}

static void xrnpe_unrealize(DeviceState *dev)
{
    XRNPEState *s = XRNPE(dev);

    /* Nobody takes the window off its bus. */
    memory_region_set_enabled(&s->iomem, false);
    qemu_del_vm_change_state_handler(s->vm_state_change);
    xrnpe_reset_at_once(s);
    timer_free(s->timer);
    s->timer = NULL;
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
};

static const Property xrnpe_properties[] = {
    DEFINE_PROP_UINT8("rows", XRNPEState, rows, 8),
    DEFINE_PROP_UINT8("cols", XRNPEState, cols, 8),
    DEFINE_PROP_UINT8("queues", XRNPEState, queues, XRNPE_MAX_QUEUES),
    DEFINE_PROP_UINT16("threads", XRNPEState, threads, 0),
    DEFINE_PROP_STRING("kernel", XRNPEState, kernel),
};

static const QEnumLookup xrnpe_timing_lookup = {
    .array = (const char *const[]) {
        [XRNPE_TIMING_NONE] = "none",
        [XRNPE_TIMING_MODEL] = "model",
    },
    .size = XRNPE_TIMINGS,
};

static int xrnpe_get_timing(Object *obj, Error **errp)
{
    return XRNPE(obj)->timing;
}

static void xrnpe_set_timing(Object *obj, int timing, Error **errp)
{
    XRNPE(obj)->timing = timing;
}

/* Faults to inject: properties that may be set while the machine runs */
typedef struct XRNPEInjection {
    const char *name;
    const char *type;
    size_t offset;
    const char *description;
} XRNPEInjection;

#define INJECT_BOOL(name, member, description) \
    { "x-fault-" name, "bool", offsetof(XRNPEState, inject.member), \
      description }
#define INJECT_COUNT(name, member, description) \
    { "x-fault-" name, "uint32", offsetof(XRNPEState, inject.member), \
      description }

static const XRNPEInjection xrnpe_injections[] = {
    INJECT_BOOL("ignore-abort", ignore_abort,
                "Neither ABORT nor disabling ends a job"),
    INJECT_BOOL("stuck", stuck, "Commands do not end; nor does CTRL.RESET"),
    INJECT_COUNT("hang", hang, "So many next commands do not end"),
    INJECT_COUNT("drop-irq", drop_irq, "So many next interrupts are lost"),
    INJECT_COUNT("bus-error", bus_error, "This memory access is not answered"),
    INJECT_COUNT("seqno", seqno, "XORed to the next sequence number written"),
    INJECT_COUNT("slow", slow, "Microseconds that a command takes at least"),
};

static void xrnpe_get_injection(Object *obj, Visitor *v, const char *name,
                                void *opaque, Error **errp)
{
    const XRNPEInjection *injection = opaque;
    void *value = (char *)XRNPE(obj) + injection->offset;

    if (!strcmp(injection->type, "bool")) {
        visit_type_bool(v, name, value, errp);
    } else {
        visit_type_uint32(v, name, value, errp);
    }
}

/* A visitor reads or writes. What it wrote may change what there is to do. */
static void xrnpe_set_injection(Object *obj, Visitor *v, const char *name,
                                void *opaque, Error **errp)
{
    XRNPEState *s = XRNPE(obj);

    xrnpe_get_injection(obj, v, name, opaque, errp);
    if (s->timer) {
        xrnpe_schedule(s);
    }
}

static void xrnpe_add_injections(ObjectClass *klass)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(xrnpe_injections); i++) {
        const XRNPEInjection *injection = &xrnpe_injections[i];

        object_class_property_add(klass, injection->name, injection->type,
                                  xrnpe_get_injection, xrnpe_set_injection,
                                  NULL, (void *)injection);
        object_class_property_set_description(klass, injection->name,
                                              injection->description);
    }
}

static void xrnpe_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    ResettableClass *rc = RESETTABLE_CLASS(klass);

    dc->desc = "XR-NPE neural co-processor";
    dc->realize = xrnpe_realize;
    dc->unrealize = xrnpe_unrealize;
    dc->vmsd = &vmstate_xrnpe;
    device_class_set_props(dc, xrnpe_properties);
    object_class_property_add_enum(klass, "timing", "XRNPETiming",
                                   &xrnpe_timing_lookup, xrnpe_get_timing,
                                   xrnpe_set_timing);
    xrnpe_add_injections(klass);
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
