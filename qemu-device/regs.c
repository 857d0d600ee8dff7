/*
 * XR-NPE neural co-processor: registers and the interrupt
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Register writes change the state and have the rest done by others.
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/log.h"
#include "hw/irq.h"
#include "state.h"
#include "trace.h"

#define XRNPE_QUEUES_OFFSET XRNPE_QUEUE(0)
#define XRNPE_QUEUE_STRIDE  (XRNPE_QUEUE(1) - XRNPE_QUEUE(0))

/* What the capability registers tell */
#define XRNPE_OPCODES     MAKE_64BIT_MASK(XRNPE_OP_MATMUL, XRNPE_OP_TIMESTAMP)

void xrnpe_update_irq(XRNPEState *s)
{
    bool level = s->irq_status & s->irq_enable;

    trace_xrnpe_irq(s->irq_status, s->irq_enable, level);
    qemu_set_irq(s->irq, level);
}

void xrnpe_raise(XRNPEState *s, uint32_t bits)
{
    if (s->inject.drop_irq) {
        s->inject.drop_irq--;
        return;
    }
    s->irq_status |= bits;
    xrnpe_update_irq(s);
}

/* The driver did what it should not. */
void G_GNUC_PRINTF(2, 3) xrnpe_refuse(XRNPEState *s,
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
        *value = FIELD_PREP(XRNPE_CONFIG_ROWS_MASK, s->rows) |
                 FIELD_PREP(XRNPE_CONFIG_COLS_MASK, s->cols) |
                 FIELD_PREP(XRNPE_CONFIG_QUEUES_MASK, s->queues);
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
        *value = FIELD_PREP(XRNPE_CAP_ADDRESS_BITS_MASK, 64) |
                 FIELD_PREP(XRNPE_CAP_BUS_BYTES_MASK, s->machine.bus_bytes) |
                 FIELD_PREP(XRNPE_CAP_SRAM_KIB_MASK, s->machine.sram_kib);
        return true;
    case XRNPE_CAP_RECORD:
        *value = FIELD_PREP(XRNPE_CAP_CMD_BYTES_MASK,
                            sizeof(struct xrnpe_cmd)) |
                 FIELD_PREP(XRNPE_CAP_COUNTERS_MASK, XRNPE_COUNTERS);
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

static bool xrnpe_reads_busy(XRNPEState *s)
{
    return xrnpe_busy(s) || (s->inject.busy && s->inject.busy--);
}

static bool xrnpe_device_read(XRNPEState *s, hwaddr offset, uint32_t *value)
{
    switch (offset) {
    case XRNPE_CTRL:
        *value = s->resetting ? XRNPE_CTRL_RESET : 0;
        return true;
    case XRNPE_STATUS:
        *value = (xrnpe_reads_busy(s) ? XRNPE_STATUS_BUSY : 0) |
                 (s->bus_error ? XRNPE_STATUS_BUS_ERROR : 0) |
                 FIELD_PREP(XRNPE_STATUS_QUEUE_MASK, s->executing_queue);
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
    if (s->held) {
        xrnpe_refuse(s, "write to a device that is held in reset");
        return;
    }
    if (s->resetting) {
        return;
    }
    q = xrnpe_decode_queue(s, &offset);
    if (!(q ? xrnpe_queue_write(s, q, offset, value)
            : xrnpe_device_write(s, offset, value))) {
        xrnpe_refuse(s, "no writable register at 0x%" HWADDR_PRIx, addr);
    }
    if (q || addr == XRNPE_CTRL) {
        xrnpe_schedule(s);
    }
}

const MemoryRegionOps xrnpe_ops = {
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
