/*
 * XR-NPE neural co-processor: what the parts of the device share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_MISC_XRNPE_STATE_H
#define HW_MISC_XRNPE_STATE_H

#include "qemu/thread.h"
#include "qemu/timer.h"
#include "hw/misc/xrnpe.h"
#include "hw/sysbus.h"
#include "system/runstate.h"
#include "cost.h"
#include "datapath.h"
#include "xrnpe_bits.h"
#include "xrnpe_regs.h"

#define XRNPE_TIMER (NANOSECONDS_PER_SECOND / 1000)     /* kHz */

/* Of the end of a command: never by itself */
#define XRNPE_NEVER INT64_MAX

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

/* A command as it is computed */
typedef struct XRNPECommand {
    uint32_t index;
    struct xrnpe_cmd cmd;
    struct xrnpe_span span[XRNPE_OPERANDS];
    XRNPEMapping mapping[XRNPE_OPERANDS];
    bool cancel;

    /* What has become of it */
    struct xrnpe_counters cost;
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

/* Faults that tests of drivers ask for; inject.c tells which */
typedef struct XRNPEInject {
    bool ignore_abort;
    bool stuck;
    uint32_t reset;
    uint32_t no_reset;
    bool reset_lost;
    uint32_t hang;
    uint32_t drop_irq;
    uint32_t bus_error;
    uint32_t seqno;
    uint32_t slow;
    uint32_t busy;
} XRNPEInject;

struct XRNPEState {
    SysBusDevice parent_obj;

    MemoryRegion iomem;
    MemoryRegion line;  /* of the machine's reset controller */
    qemu_irq irq;
    QEMUTimer *timer;
    VMChangeStateEntry *vm_state_change;
    struct xrnpe_datapath *datapath;

    QemuThread thread;
    QemuCond work;      /* there is a command to compute, @in_flight, @due, @quit */
    QemuCond idle;      /* @in_flight is over */
    bool due;           /* there may be something to do */
    bool quit;
    unsigned int waiting;   /* for @idle: nothing new begins meanwhile */
    bool running;       /* the machine */

    uint8_t rows;
    uint8_t cols;
    uint8_t queues;
    uint16_t threads;
    char *kernel;
    bool reset_line;    /* there is one */
    XRNPETiming timing;
    XRNPEInject inject;
    struct xrnpe_machine machine;

    uint32_t irq_status;
    uint32_t irq_enable;
    uint64_t status_base;
    uint64_t bus_addr;
    bool bus_error;
    bool resetting;
    bool held;          /* in reset, by the line */
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
    bool in_flight;     /* who computes it owns @command */
    bool computed;      /* @command has the result */
    XRNPECommand command;

    /* What is kept of commands, for who computes one */
    GHashTable *prepared;
    size_t prepared_size;   /* bytes */
    uint64_t prepared_misses;
};

/* ---- xrnpe.c: what there is to do -------------------------------------- */

/* Virtual time, in nanoseconds */
int64_t xrnpe_now(void);

/* Let the device's thread or the timer call xrnpe_go_on(). */
void xrnpe_schedule(XRNPEState *s);

/* Do what there is to do. */
void xrnpe_go_on(XRNPEState *s);

void xrnpe_start_reset(XRNPEState *s);

/*
 * As the machine or the reset line does it, which not even a stuck device can
 * ignore. Waits until nothing is computed.
 */
void xrnpe_reset_at_once(XRNPEState *s);

/* Complete a reset that has begun, or at least go about it. */
void xrnpe_pursue_reset(XRNPEState *s);

/* ---- thread.c ----------------------------------------------------------- */

void xrnpe_thread_start(XRNPEState *s);
void xrnpe_thread_stop(XRNPEState *s);

/* xrnpe_go_on(), while nothing is computed */
void xrnpe_thread_go_on(XRNPEState *s);

/* Compute s->command, and then xrnpe_go_on(). */
void xrnpe_thread_compute(XRNPEState *s);

/* Wait until nothing is computed; nothing new begins meanwhile. */
void xrnpe_thread_wait(XRNPEState *s);

/* ---- line.c ------------------------------------------------------------- */

void xrnpe_line_init(XRNPEState *s);
void xrnpe_line_realize(XRNPEState *s);

/* ---- regs.c ------------------------------------------------------------- */

extern const MemoryRegionOps xrnpe_ops;

void xrnpe_update_irq(XRNPEState *s);

/* Set bits of IRQ_STATUS. */
void xrnpe_raise(XRNPEState *s, uint32_t bits);

/* Log that the driver did what it should not. */
void G_GNUC_PRINTF(2, 3) xrnpe_refuse(XRNPEState *s, const char *fmt, ...);

/* ---- queue.c ------------------------------------------------------------ */

bool xrnpe_queue_size_valid(uint32_t size);
bool xrnpe_queue_running(const XRNPEQueue *q);
uint32_t xrnpe_queue_state(const XRNPEQueue *q);

/* Whether a command of @q executes. */
bool xrnpe_queue_executing(const XRNPEState *s, const XRNPEQueue *q);

/* Ticks that the job at head has executed, its present command included */
uint64_t xrnpe_queue_executed(const XRNPEState *s, const XRNPEQueue *q);

void xrnpe_queue_enable(XRNPEState *s, XRNPEQueue *q);
void xrnpe_queue_abort(XRNPEState *s, XRNPEQueue *q);

/* Disable @q, or see to it that this happens when its job has ended. */
void xrnpe_queue_disable(XRNPEState *s, XRNPEQueue *q);

/* Disable @q at once. */
void xrnpe_queue_turn_off(XRNPEQueue *q);

/* The queue to serve, or NULL. */
XRNPEQueue *xrnpe_next_queue(XRNPEState *s);

/* ---- job.c -------------------------------------------------------------- */

/* Whether @count elements @stride bytes apart, of @size, end within 2^64. */
bool xrnpe_range_fits(uint64_t addr, uint64_t count, uint64_t stride,
                      uint64_t size);

/*
 * Read the descriptor and the region table of the job at head. A malformed job
 * has a fault then. Returns false if not even its number could be learnt.
 */
bool xrnpe_load_job(XRNPEState *s, XRNPEQueue *q);

/* Report how the job at head ended: to memory, by HEAD, by interrupt. */
void xrnpe_end_job(XRNPEState *s, XRNPEQueue *q);

/* The job at head ends with a fault: one without an operand, or another. */
void xrnpe_fault(XRNPEQueue *q, enum xrnpe_fault_kind kind, uint32_t cmd);
void xrnpe_fault_from_datapath(XRNPEQueue *q, const struct xrnpe_fault *fault);
void xrnpe_device_fault(XRNPEQueue *q);

/* ---- command.c ---------------------------------------------------------- */

/* Start the next command of @q, or leave a fault there. */
void xrnpe_start_command(XRNPEState *s, XRNPEQueue *q);

/* Compute it again, from its start: the machine was stopped, or it is stuck. */
void xrnpe_restart_command(XRNPEState *s);

/* Compute s->command: without the BQL. */
void xrnpe_compute_command(XRNPEState *s);

/* It has been computed, or cancelled. */
void xrnpe_command_computed(XRNPEState *s);

/* Ask who computes it to give up, which takes a millisecond. */
void xrnpe_cancel_command(XRNPEState *s);

/* Whether what executes has come to its end, or has been given up. */
bool xrnpe_command_over(const XRNPEState *s);
void xrnpe_end_command(XRNPEState *s);

/* ---- prepared.c --------------------------------------------------------- */

void xrnpe_prepared_init(XRNPEState *s);
void xrnpe_prepared_cleanup(XRNPEState *s);

/*
 * xrnpe_datapath_run() of s->command, with what was kept when it executed
 * before; and its cost. @memory: by operand; it is changed.
 */
int xrnpe_run_command(XRNPEState *s, void **memory);

/* ---- dma.c -------------------------------------------------------------- */

/* Access memory burst by burst. Returns false when one is not answered. */
bool xrnpe_dma_read(XRNPEState *s, uint64_t addr, void *buffer, size_t size);
bool xrnpe_dma_write(XRNPEState *s, uint64_t addr, const void *buffer,
                     size_t size);

/* Map all operands of s->command, or leave a fault in @q. */
bool xrnpe_map_command(XRNPEState *s, XRNPEQueue *q);
void xrnpe_unmap_command(XRNPECommand *c, bool executed);

/* Fill an operand's buffer, and write an output's back: without the BQL. */
void xrnpe_fill_bounce(XRNPEMapping *m);
void xrnpe_write_bounce(XRNPEMapping *m);

/* ---- migration.c, inject.c ---------------------------------------------- */

extern const VMStateDescription vmstate_xrnpe;

/* Faults to inject, as properties */
void xrnpe_add_injections(ObjectClass *klass);

#endif
