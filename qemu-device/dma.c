/*
 * XR-NPE neural co-processor: its accesses to memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * All under the BQL, but for xrnpe_fill_bounce() and xrnpe_write_bounce(),
 * which are part of computing a command.
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "system/dma.h"
#include "state.h"

/* What an operand that is not in one piece of host memory may take up there */
#define XRNPE_MAX_BOUNCE (8 * MiB)

/* The device talks to memory, never to other devices' registers. */
static const MemTxAttrs xrnpe_attrs = { .memory = true };

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

bool xrnpe_dma_read(XRNPEState *s, uint64_t addr, void *buffer,
                    size_t size)
{
    return xrnpe_dma(s, addr, buffer, size, DMA_DIRECTION_TO_DEVICE);
}

bool xrnpe_dma_write(XRNPEState *s, uint64_t addr, const void *buffer,
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

void xrnpe_unmap_command(XRNPECommand *c, bool executed)
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

bool xrnpe_map_command(XRNPEState *s, XRNPEQueue *q)
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

void xrnpe_fill_bounce(XRNPEMapping *m)
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
void xrnpe_write_bounce(XRNPEMapping *m)
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
