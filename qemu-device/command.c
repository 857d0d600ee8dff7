/*
 * XR-NPE neural co-processor: a command, from its record to its end
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One command at a time executes. To compute it touches nothing but
 * s->command, and needs no BQL; all else here does.
 */

#include "qemu/osdep.h"
#include "qemu/host-utils.h"
#include "system/cpu-timers.h"
#include "names.h"
#include "state.h"
#include "trace.h"

/* Index of the cycle counter */
#define XRNPE_CYCLES (offsetof(struct xrnpe_counters, cycles) / 8)

void xrnpe_cancel_command(XRNPEState *s)
{
    qatomic_set(&s->command.cancel, true);
}

void xrnpe_compute_command(XRNPEState *s)
{
    XRNPECommand *c = &s->command;
    XRNPEMapping *ofm = &c->mapping[XRNPE_OPERAND_OFM];
    void *memory[XRNPE_OPERANDS] = { };

    for (unsigned int i = 0; i < XRNPE_OPERANDS; i++) {
        XRNPEMapping *m = &c->mapping[i];

        if (m->bounce) {
            xrnpe_fill_bounce(m);
            memory[i] = m->bounce;
        } else if (m->pieces) {
            memory[i] = m->piece[0].memory;
        }
    }
    c->result = xrnpe_run_command(s, memory);
    if (ofm->bounce) {
        xrnpe_write_bounce(ofm);
    }
}

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
    return true;
}

void xrnpe_command_computed(XRNPEState *s)
{
    XRNPECommand *c = &s->command;

    xrnpe_unmap_command(c, true);
    s->in_flight = false;
    s->computed = c->result != -ECANCELED;
    xrnpe_pursue_reset(s);
}

/* Have it computed, and then what comes next. */
static void xrnpe_hand_over_command(XRNPEState *s)
{
    const XRNPEQueue *q = &s->queue[s->executing_queue];

    s->computed = false;
    s->in_flight = true;
    xrnpe_datapath_set_cycles(s->datapath, q->counters[XRNPE_CYCLES]);
    if (icount_enabled()) {
        xrnpe_compute_command(s);
        xrnpe_command_computed(s);
        xrnpe_schedule(s);
    } else {
        xrnpe_thread_compute(s);
    }
}

/* Virtual time that s->command takes at least */
static int64_t xrnpe_command_time(const XRNPEState *s)
{
    int64_t slow = s->inject.slow * (int64_t)SCALE_US;
    struct xrnpe_counters cost = { };

    if (s->timing != XRNPE_TIMING_MODEL) {
        return slow;
    }
    xrnpe_cmd_cost(&s->machine, &s->command.cmd, &cost);
    return MAX(slow, muldiv64_round_up(cost.cycles, XRNPE_TIMER,
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

void xrnpe_start_command(XRNPEState *s, XRNPEQueue *q)
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
    xrnpe_hand_over_command(s);
}

void xrnpe_restart_command(XRNPEState *s)
{
    XRNPEQueue *q = &s->queue[s->executing_queue];

    if (xrnpe_fetch_command(s, q) && xrnpe_map_command(s, q)) {
        xrnpe_hand_over_command(s);
    } else {
        s->executing = false;
        xrnpe_count_failed(s, q);
    }
}

bool xrnpe_command_over(const XRNPEState *s)
{
    return !s->inject.stuck &&
           (s->queue[s->executing_queue].aborting || s->bus_error ||
            (s->computed && xrnpe_now() >= s->end));
}

void xrnpe_end_command(XRNPEState *s)
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
