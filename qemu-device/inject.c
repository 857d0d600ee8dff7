/*
 * XR-NPE neural co-processor: faults that tests of drivers ask for
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Properties that may be set while the machine runs.
 */

#include "qemu/osdep.h"
#include "qapi/visitor.h"
#include "state.h"

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
    INJECT_COUNT("reset", reset, "This CTRL.RESET does not end"),
    INJECT_COUNT("no-reset", no_reset,
                 "From this CTRL.RESET on, none ends"),
    INJECT_COUNT("hang", hang, "So many next commands do not end"),
    INJECT_COUNT("drop-irq", drop_irq, "So many next interrupts are lost"),
    INJECT_COUNT("bus-error", bus_error, "This memory access is not answered"),
    INJECT_COUNT("seqno", seqno, "XORed to the next sequence number written"),
    INJECT_COUNT("slow", slow, "Microseconds that a command takes at least"),
    INJECT_COUNT("busy", busy, "So many reads of STATUS at rest say BUSY"),
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

void xrnpe_add_injections(ObjectClass *klass)
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
