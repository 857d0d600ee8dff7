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
 * Here are its life cycle, its reset and what decides what is next; regs.c,
 * queue.c, job.c, command.c and dma.c lead from a register write to the bytes in
 * memory, prepared.c keeps what is decoded on the way, line.c is the reset line,
 * inject.c makes the device fail, migration.c moves it.
 *
 * All state lives under the BQL. Register writes only change it and call the
 * device's thread, see thread.c, which starts what there is to do. It computes
 * commands, one at a time and without the BQL, and goes on when it has. What comes
 * in virtual time, or while it computes, a timer does. These two are where the
 * device reads and writes memory of its own accord, and they do not while the
 * machine is stopped. With -icount nothing may depend on the speed of the host:
 * the timer does it all, computing included.
 */

#include "qemu/osdep.h"
#include "qemu/module.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "hw/qdev-properties.h"
#include "migration/vmstate.h"
#include "system/cpu-timers.h"
#include "state.h"
#include "trace.h"

#define XRNPE_MAX_THREADS 256

QEMU_BUILD_BUG_ON(sizeof(struct xrnpe_cmd) != 192);
QEMU_BUILD_BUG_ON(sizeof(struct xrnpe_job_desc) != 64);
QEMU_BUILD_BUG_ON(sizeof(struct xrnpe_region) != 24);
QEMU_BUILD_BUG_ON(sizeof(struct xrnpe_queue_status) != 64);
QEMU_BUILD_BUG_ON(sizeof(struct xrnpe_job_record) != 320);
QEMU_BUILD_BUG_ON(sizeof(struct xrnpe_counters) != XRNPE_COUNTERS * 8);

int64_t xrnpe_now(void)
{
    return qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
}

/*
 * With -icount the timer must return before a next command, for it computes them
 * itself and there may be many.
 */
static void xrnpe_set_off_timer(XRNPEState *s)
{
    timer_mod_ns(s->timer, xrnpe_now() + !!icount_enabled());
}

void xrnpe_schedule(XRNPEState *s)
{
    if (icount_enabled() || s->in_flight) {
        xrnpe_set_off_timer(s);
    } else {
        xrnpe_thread_go_on(s);
    }
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

void xrnpe_pursue_reset(XRNPEState *s)
{
    if (!s->resetting || s->inject.reset_lost ||
        (s->inject.stuck && s->executing)) {
        return;
    }
    if (s->in_flight) {
        xrnpe_cancel_command(s);
    } else {
        xrnpe_reset_registers(s);
    }
}

/* Whether the reset that begins is never to end. */
static bool xrnpe_loses_reset(XRNPEInject *inject)
{
    bool dead = inject->no_reset == 1;

    inject->no_reset -= inject->no_reset > 1;
    return (inject->reset && !--inject->reset) || dead;
}

void xrnpe_start_reset(XRNPEState *s)
{
    trace_xrnpe_reset(s->in_flight);
    s->resetting = true;
    s->inject.reset_lost = xrnpe_loses_reset(&s->inject);
    xrnpe_pursue_reset(s);
}

void xrnpe_reset_at_once(XRNPEState *s)
{
    trace_xrnpe_reset(s->in_flight);
    s->inject.reset_lost = false;
    xrnpe_cancel_command(s);
    xrnpe_thread_wait(s);
    xrnpe_reset_registers(s);
}

/* ---- What there is to do ------------------------------------------------ */

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

void xrnpe_go_on(XRNPEState *s)
{
    XRNPEQueue *q;

    if (!s->running || s->waiting || s->held) {
        return;
    }
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
        /* Past its end a stuck one goes on; the main loop is to have its turn. */
        if (xrnpe_command_over(s) || s->end <= xrnpe_now()) {
            xrnpe_set_off_timer(s);
        } else if (s->end != XRNPE_NEVER) {
            timer_mod_ns(s->timer, s->end);
        }
    }
}

static void xrnpe_timer(void *opaque)
{
    xrnpe_go_on(opaque);
}

/* ---- Life cycle -------------------------------------------------------- */

static void xrnpe_vm_state_change(void *opaque, bool running, RunState state)
{
    XRNPEState *s = opaque;

    s->running = running;
    if (running) {
        xrnpe_schedule(s);
    } else {
        /*
         * Memory must be quiet now. No input was overwritten: the command can
         * start anew later, which does not keep anybody waiting.
         */
        xrnpe_cancel_command(s);
        xrnpe_thread_wait(s);
    }
}

static void xrnpe_reset_hold(Object *obj, ResetType type)
{
    XRNPEState *s = XRNPE(obj);

    s->held = false;
    xrnpe_reset_at_once(s);
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
    xrnpe_line_realize(s);
    s->machine = XRNPE_MACHINE_DEFAULT;
    s->machine.rows = s->rows;
    s->machine.cols = s->cols;
    s->timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, xrnpe_timer, s);
    s->running = runstate_is_running();
    xrnpe_prepared_init(s);
    xrnpe_thread_start(s);
    s->vm_state_change =
        qdev_add_vm_change_state_handler(dev, xrnpe_vm_state_change, s);
    memory_region_set_enabled(&s->iomem, true);
    memory_region_set_enabled(&s->line, true);
}

static void xrnpe_unrealize(DeviceState *dev)
{
    XRNPEState *s = XRNPE(dev);

    /* Nobody takes the window off its bus. */
    memory_region_set_enabled(&s->iomem, false);
    memory_region_set_enabled(&s->line, false);
    qemu_del_vm_change_state_handler(s->vm_state_change);
    xrnpe_reset_at_once(s);
    xrnpe_thread_stop(s);
    timer_free(s->timer);
    s->timer = NULL;
    xrnpe_prepared_cleanup(s);
    xrnpe_datapath_free(s->datapath);
}

static void xrnpe_init(Object *obj)
{
    XRNPEState *s = XRNPE(obj);

    memory_region_init_io(&s->iomem, obj, &xrnpe_ops, s, TYPE_XRNPE,
                          XRNPE_MMIO_SIZE);
    sysbus_init_mmio(SYS_BUS_DEVICE(s), &s->iomem);
    sysbus_init_irq(SYS_BUS_DEVICE(s), &s->irq);
    xrnpe_line_init(s);
}

static const Property xrnpe_properties[] = {
    DEFINE_PROP_UINT8("rows", XRNPEState, rows, 8),
    DEFINE_PROP_UINT8("cols", XRNPEState, cols, 8),
    DEFINE_PROP_UINT8("queues", XRNPEState, queues, XRNPE_MAX_QUEUES),
    DEFINE_PROP_UINT16("threads", XRNPEState, threads, 0),
    DEFINE_PROP_STRING("kernel", XRNPEState, kernel),
    DEFINE_PROP_BOOL("reset-line", XRNPEState, reset_line, false),
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
