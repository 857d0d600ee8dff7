/*
 * XR-NPE neural co-processor: the reset line
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * In a SoC a reset controller drives it. Here a word does, in a window of its
 * own after the device's registers: bit 0 is set while the line is asserted.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "state.h"
#include "trace.h"

#define XRNPE_LINE_SIZE     0x1000
#define XRNPE_LINE_ASSERTED 1

static uint64_t xrnpe_line_read(void *opaque, hwaddr addr, unsigned int size)
{
    XRNPEState *s = opaque;

    return addr == 0 && s->held ? XRNPE_LINE_ASSERTED : 0;
}

static void xrnpe_line_write(void *opaque, hwaddr addr, uint64_t value,
                             unsigned int size)
{
    XRNPEState *s = opaque;
    bool held = value & XRNPE_LINE_ASSERTED;

    if (addr == 0 && held != s->held) {
        trace_xrnpe_line(held);
        s->held = held;
        xrnpe_reset_at_once(s);
    }
}

static const MemoryRegionOps xrnpe_line_ops = {
    .read = xrnpe_line_read,
    .write = xrnpe_line_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = {
        .min_access_size = 4,
        .max_access_size = 4,
    },
};

void xrnpe_line_init(XRNPEState *s)
{
    memory_region_init_io(&s->line, OBJECT(s), &xrnpe_line_ops, s,
                          "xrnpe-reset-line", XRNPE_LINE_SIZE);
    /* Who asserts it waits without the BQL. Others may read registers then. */
    s->line.disable_reentrancy_guard = true;
}

void xrnpe_line_realize(XRNPEState *s)
{
    SysBusDevice *bus_device = SYS_BUS_DEVICE(s);

    if (s->reset_line && !sysbus_has_mmio(bus_device, 1)) {
        sysbus_init_mmio(bus_device, &s->line);
    }
}
