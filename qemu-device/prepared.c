/*
 * XR-NPE neural co-processor: commands that execute again
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A network's commands come with every inference, and mostly with the same
 * weights. To decode these takes as long as to multiply with them, so what is
 * decoded is kept, with a copy of what was in the guest's memory: it counts only
 * as long as that holds the same, which is compared each time. All this is part
 * of computing a command, without the BQL.
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "state.h"

/*
 * For all commands. Where that is too little for a guest's networks the first
 * ones have it; those that are not kept bring about its end, so that it is not
 * forever that of networks which are gone.
 */
#define XRNPE_KEEP (16 * MiB)
#define XRNPE_MISSES 64

/* Of a command's constants: what takes a millisecond cannot be cancelled. */
#define XRNPE_KEEP_CONSTANTS (512 * KiB)

/* What never changes from one inference to the next */
static const unsigned int constant[] = {
    XRNPE_OPERAND_WEIGHT, XRNPE_OPERAND_SCALE,
};

typedef struct XRNPEPrepared {
    struct xrnpe_cmd cmd;
    const void *memory[ARRAY_SIZE(constant)];
    void *copy[ARRAY_SIZE(constant)];
    struct xrnpe_prepared *prepared;
    struct xrnpe_counters cost;
    size_t size;
} XRNPEPrepared;

static guint xrnpe_prepared_hash(gconstpointer v)
{
    const XRNPEPrepared *p = v;
    const uint64_t *word = (const uint64_t *)&p->cmd;
    uint64_t hash = 0;

    for (unsigned int i = 0; i < sizeof(p->cmd) / sizeof(*word); i++) {
        hash = (hash ^ word[i]) * 0x9e3779b97f4a7c15;
        hash ^= hash >> 32;
    }
    return hash ^ (uintptr_t)p->memory[0] >> 6 ^ (uintptr_t)p->memory[1];
}

static gboolean xrnpe_prepared_equal(gconstpointer a, gconstpointer b)
{
    const XRNPEPrepared *p = a, *q = b;

    return !memcmp(&p->cmd, &q->cmd, sizeof(p->cmd)) &&
           !memcmp(p->memory, q->memory, sizeof(p->memory));
}

static void xrnpe_prepared_destroy(gpointer v)
{
    XRNPEPrepared *p = v;

    xrnpe_prepared_free(p->prepared);
    for (unsigned int i = 0; i < ARRAY_SIZE(constant); i++) {
        g_free(p->copy[i]);
    }
    g_free(p);
}

void xrnpe_prepared_init(XRNPEState *s)
{
    s->prepared = g_hash_table_new_full(xrnpe_prepared_hash,
                                        xrnpe_prepared_equal, NULL,
                                        xrnpe_prepared_destroy);
}

void xrnpe_prepared_cleanup(XRNPEState *s)
{
    g_hash_table_destroy(s->prepared);
}

static size_t xrnpe_constant_size(const XRNPECommand *c, unsigned int i)
{
    return c->span[constant[i]].size;
}

/* Bytes that s->command's constants take */
static size_t xrnpe_constants_size(const XRNPECommand *c)
{
    size_t size = 0;

    for (unsigned int i = 0; i < ARRAY_SIZE(constant); i++) {
        size += xrnpe_constant_size(c, i);
    }
    return size;
}

/* Whether s->command may be kept: a buffer of its own is gone at its end. */
static bool xrnpe_may_be_kept(const XRNPECommand *c)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(constant); i++) {
        if (c->mapping[constant[i]].bounce) {
            return false;
        }
    }
    return xrnpe_constants_size(c) <= XRNPE_KEEP_CONSTANTS;
}

/* By what it is found: where else it reads and writes does not matter. */
static void xrnpe_prepared_key(const XRNPECommand *c, void *const *memory,
                               XRNPEPrepared *key)
{
    *key = (XRNPEPrepared) { .cmd = c->cmd };
    for (unsigned int i = 0; i < XRNPE_OPERANDS; i++) {
        key->cmd.operand[i].offset = 0;
        key->cmd.operand[i].region = 0;
    }
    for (unsigned int i = 0; i < ARRAY_SIZE(constant); i++) {
        key->memory[i] = memory[constant[i]];
    }
}

static bool xrnpe_prepared_valid(const XRNPECommand *c, const XRNPEPrepared *p)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(constant); i++) {
        if (p->copy[i] &&
            memcmp(p->copy[i], p->memory[i], xrnpe_constant_size(c, i))) {
            return false;
        }
    }
    return true;
}

/* @memory, but for constants: these cannot change in the copy. */
static void xrnpe_use_copy(const XRNPEPrepared *p, void **memory)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(constant); i++) {
        memory[constant[i]] = p->copy[i];
    }
}

/* Copy what is constant. Returns false if there is no memory. */
static bool xrnpe_copy_constants(const XRNPECommand *c, XRNPEPrepared *p)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(constant); i++) {
        size_t size = xrnpe_constant_size(c, i);

        if (!size) {
            continue;
        }
        p->copy[i] = g_try_malloc(size);
        if (!p->copy[i]) {
            return false;
        }
        memcpy(p->copy[i], p->memory[i], size);
    }
    return true;
}

/* Returns NULL if there is not enough memory, or a scale that is illegal. */
static XRNPEPrepared *xrnpe_prepare(XRNPEState *s, const XRNPEPrepared *key,
                                    void *const *operands)
{
    const XRNPECommand *c = &s->command;
    size_t size = sizeof(*key) + xrnpe_constants_size(c);
    void *memory[XRNPE_OPERANDS];
    XRNPEPrepared *p;

    if (s->prepared_size + size > XRNPE_KEEP) {
        return NULL;
    }
    p = g_memdup2(key, sizeof(*key));
    if (xrnpe_copy_constants(c, p)) {
        memcpy(memory, operands, sizeof(memory));
        xrnpe_use_copy(p, memory);
        p->prepared =
            xrnpe_datapath_prepare(s->datapath, &c->cmd, memory,
                                   XRNPE_KEEP - s->prepared_size - size);
    }
    if (!p->prepared) {
        xrnpe_prepared_destroy(p);
        return NULL;
    }
    xrnpe_cmd_cost(&s->machine, &c->cmd, &p->cost);
    p->size = size + xrnpe_prepared_size(p->prepared);
    return p;
}

static void xrnpe_forget(XRNPEState *s, XRNPEPrepared *p)
{
    s->prepared_size -= p->size;
    g_hash_table_remove(s->prepared, p);
}

static void xrnpe_miss(XRNPEState *s)
{
    if (++s->prepared_misses > XRNPE_MISSES * g_hash_table_size(s->prepared)) {
        g_hash_table_remove_all(s->prepared);
        s->prepared_size = 0;
        s->prepared_misses = 0;
    }
}

/* What is kept of s->command, from now on if it is new; or NULL. */
static XRNPEPrepared *xrnpe_find_prepared(XRNPEState *s, void *const *memory)
{
    XRNPEPrepared key, *p;

    xrnpe_prepared_key(&s->command, memory, &key);
    p = g_hash_table_lookup(s->prepared, &key);
    if (p && xrnpe_prepared_valid(&s->command, p)) {
        return p;
    }
    if (p) {
        xrnpe_forget(s, p);
    }
    p = xrnpe_prepare(s, &key, memory);
    if (!p) {
        xrnpe_miss(s);
        return NULL;
    }
    s->prepared_size += p->size;
    g_hash_table_add(s->prepared, p);
    return p;
}

int xrnpe_run_command(XRNPEState *s, void **memory)
{
    XRNPECommand *c = &s->command;
    const XRNPEPrepared *p =
        xrnpe_may_be_kept(c) ? xrnpe_find_prepared(s, memory) : NULL;

    if (!p) {
        xrnpe_cmd_cost(&s->machine, &c->cmd, &c->cost);
        return xrnpe_datapath_run(s->datapath, &c->cmd, c->index, memory,
                                  &c->cancel, &c->status, &c->fault);
    }
    c->cost = p->cost;
    xrnpe_use_copy(p, memory);
    return xrnpe_datapath_run_prepared(s->datapath, p->prepared, memory,
                                       &c->cancel, &c->status);
}
