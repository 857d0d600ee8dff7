/*
 * XR-NPE neural co-processor: the device's thread
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * It computes commands, without the BQL, and goes on when it has, with: nobody
 * waits for the main loop, neither at a doorbell nor between two commands of a
 * job. With -icount it has nothing to do, since virtual time must not depend on
 * it.
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "qemu/rcu.h"
#include "state.h"

static void *xrnpe_thread(void *opaque)
{
    XRNPEState *s = opaque;

    rcu_register_thread();
    bql_lock();
    while (!s->quit) {
        if (s->in_flight) {
            bql_unlock();
            xrnpe_compute_command(s);
            bql_lock();
            xrnpe_command_computed(s);
            qemu_cond_broadcast(&s->idle);
            xrnpe_go_on(s);
        } else if (s->due) {
            s->due = false;
            xrnpe_go_on(s);
        } else {
            qemu_cond_wait_bql(&s->work);
        }
    }
    bql_unlock();
    rcu_unregister_thread();
    return NULL;
}

void xrnpe_thread_start(XRNPEState *s)
{
    s->quit = false;
    qemu_cond_init(&s->work);
    qemu_cond_init(&s->idle);
    qemu_thread_create(&s->thread, "xrnpe", xrnpe_thread, s,
                       QEMU_THREAD_JOINABLE);
}

void xrnpe_thread_stop(XRNPEState *s)
{
    s->quit = true;
    qemu_cond_signal(&s->work);
    bql_unlock();
    qemu_thread_join(&s->thread);
    bql_lock();
    qemu_cond_destroy(&s->work);
    qemu_cond_destroy(&s->idle);
}

void xrnpe_thread_go_on(XRNPEState *s)
{
    s->due = true;
    qemu_cond_signal(&s->work);
}

void xrnpe_thread_compute(XRNPEState *s)
{
    qemu_cond_signal(&s->work);
}

/* Callers are the main loop and CPUs: one may wait while another one does. */
void xrnpe_thread_wait(XRNPEState *s)
{
    s->waiting++;
    while (s->in_flight) {
        qemu_cond_wait_bql(&s->idle);
    }
    s->waiting--;
}
