/*
 * XR-NPE neural co-processor: queues
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/host-utils.h"
#include "state.h"

bool xrnpe_queue_running(const XRNPEQueue *q)
{
    return q->enabled && !q->stopped && q->head != q->tail;
}

uint32_t xrnpe_queue_state(const XRNPEQueue *q)
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

void xrnpe_queue_turn_off(XRNPEQueue *q)
{
    q->enabled = false;
    q->stopped = false;
    q->loaded = false;
    q->aborting = false;
    q->disabling = false;
}

bool xrnpe_queue_executing(const XRNPEState *s, const XRNPEQueue *q)
{
    return s->executing && s->executing_queue == q - s->queue;
}

bool xrnpe_queue_size_valid(uint32_t size)
{
    return size >= XRNPE_QUEUE_SIZE_MIN && size <= XRNPE_QUEUE_SIZE_MAX &&
           is_power_of_2(size);
}

void xrnpe_queue_enable(XRNPEState *s, XRNPEQueue *q)
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

void xrnpe_queue_abort(XRNPEState *s, XRNPEQueue *q)
{
    if (!xrnpe_queue_running(q) || s->inject.ignore_abort || s->inject.stuck) {
        return;
    }
    q->aborting = true;
    if (xrnpe_queue_executing(s, q)) {
        xrnpe_cancel_command(s);
    }
}

void xrnpe_queue_disable(XRNPEState *s, XRNPEQueue *q)
{
    if (xrnpe_queue_running(q) && !s->bus_error) {
        q->disabling = true;
        xrnpe_queue_abort(s, q);
    } else {
        xrnpe_queue_turn_off(q);
    }
}

uint64_t xrnpe_queue_executed(const XRNPEState *s, const XRNPEQueue *q)
{
    if (!q->loaded) {
        return 0;
    }
    return q->executed +
           (xrnpe_queue_executing(s, q) ? xrnpe_now() - s->start : 0);
}

/*
 * The queue to serve: the most urgent one that has a job. A job to be aborted
 * waits for no other, only for its own command.
 */
XRNPEQueue *xrnpe_next_queue(XRNPEState *s)
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
