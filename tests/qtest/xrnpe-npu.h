/*
 * The XR-NPE neural co-processor in qtests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The tests play the driver: these functions lay rings, region tables and
 * commands out in guest memory, and look at what the device makes of them.
 */
#ifndef XRNPE_NPU_H
#define XRNPE_NPU_H

#include "qemu/units.h"
#include "libqtest.h"
#include "xrnpe_bits.h"
#include "xrnpe_regs.h"

/* Addresses of the virt machine */
typedef struct Soc {
    uint64_t npu;       /* start of the platform bus */
    uint64_t ram;
    uint64_t uart;
    uint64_t pci;       /* in a window without devices */
    uint64_t flash;
} Soc;

extern const Soc *soc;

#define RAM_BASE        (soc->ram)
#define RAM_SIZE        (64 * MiB)
#define UNMAPPED        (RAM_BASE + RAM_SIZE)

/* Guest memory as the tests divide it, clear of QEMU's device tree blob */
#define MEMORY          (RAM_BASE + 4 * MiB)
#define STATUS_PAGE     MEMORY
#define RING(q)         (MEMORY + 0x10000 + (q) * 0x10000)
#define TABLE           (MEMORY + 0x60000)
#define RECORD          (MEMORY + 0x68000)
#define CMDS(q)         (MEMORY + 0x70000 + (q) * 0x10000)
#define CONSTANTS       (MEMORY + 0x100000)   /* region 0, READ */
#define ARENA           (MEMORY + 0x200000)   /* region 1, READ | WRITE */
#define INPUT           (MEMORY + 0x300000)   /* region 2, READ */
#define OUTPUT          (MEMORY + 0x400000)   /* region 3, WRITE */
#define SINK            (MEMORY + 0x800000)   /* region 4, WRITE */
#define REGION_SIZE     0x40000
#define SINK_SIZE       0x100000
#define REGIONS         5

#define RING_SIZE       8
#define JOB_BYTES       0x2000      /* of commands */

#define ONE_F32         0x3f800000

/* Index of a counter's registers */
#define COUNTER(member) (offsetof(struct xrnpe_counters, member) / 8)

typedef struct Npu {
    QTestState *qts;
    uint64_t base;
    uint32_t tail[XRNPE_MAX_QUEUES];
} Npu;

/* Before anything else: which machine it is */
void soc_init(void);

/* ---- Registers --------------------------------------------------------- */

uint32_t rd(Npu *npu, uint32_t offset);
void wr(Npu *npu, uint32_t offset, uint32_t value);
uint32_t rdq(Npu *npu, unsigned int q, uint32_t offset);
void wrq(Npu *npu, unsigned int q, uint32_t offset, uint32_t value);
void wait_until(Npu *npu, uint32_t offset, uint32_t mask, uint32_t want);
void wait_head(Npu *npu, unsigned int q, uint32_t head);
void wait_state(Npu *npu, unsigned int q, uint32_t state);
bool irq(Npu *npu);

/* Ask for a fault while the machine runs. */
void inject(Npu *npu, const char *fault, int64_t value);
void inject_flag(Npu *npu, const char *fault, bool value);

/* Write QUEUE_CTRL with ENABLE and @bits. */
void control(Npu *npu, unsigned int q, uint32_t bits);
void enable(Npu *npu, unsigned int q, uint64_t base, uint32_t size);
void abort_job(Npu *npu, unsigned int q, uint32_t count);
void set_status_page(Npu *npu, uint64_t addr);
void put_table(Npu *npu);

/* Set up as a driver would: regions, status page, all queues. */
void prepare(Npu *npu);

/* @properties of the device start with a comma. */
Npu npu_open(const char *properties, const char *arguments);

/* Ready for use, with the plain kernel, for which endless() takes long */
Npu npu_start(void);
void npu_quit(Npu *npu);

void assert_reset(Npu *npu);
void assert_executes(Npu *npu, unsigned int q);
void assert_bus_addr(Npu *npu, uint64_t addr);

/* ---- Jobs -------------------------------------------------------------- */

struct xrnpe_job_desc descriptor(uint64_t cmds, uint32_t cmd_count,
                                 uint32_t seqno);

/* Where the next descriptor goes */
uint64_t slot(Npu *npu, unsigned int q);
void queue_desc(Npu *npu, unsigned int q, const struct xrnpe_job_desc *desc);

/* Queue a job of @count commands, which are put at the place for them. */
void queue_job(Npu *npu, unsigned int q, const struct xrnpe_cmd *cmds,
               uint32_t count, uint32_t seqno);

struct xrnpe_queue_status status_of(Npu *npu, unsigned int q);
void assert_done(Npu *npu, unsigned int q, uint32_t seqno);
void assert_fault(Npu *npu, unsigned int q, uint32_t seqno,
                  const struct xrnpe_fault *want);

/* ---- Commands ---------------------------------------------------------- */

struct xrnpe_operand operand(uint8_t region, uint8_t format, uint64_t offset,
                             uint32_t row_stride);

/* ifm in region 2, weights and then scales in region 0, ofm in region 3 */
struct xrnpe_cmd matmul(uint8_t format, uint8_t out, uint32_t m, uint32_t n,
                        uint32_t k);

/*
 * A matrix product of @m x 64 outputs to the sink and @k products each that
 * needs little memory, because all rows of an input are the same one.
 */
struct xrnpe_cmd work(uint32_t m, uint32_t k);

/* As much as one command may do: minutes for the plain kernel */
struct xrnpe_cmd endless(void);

/* A binary32 in the arena */
struct xrnpe_operand variable(unsigned int index);
uint64_t variable_addr(unsigned int index);

/* x[index + 1] = x[index] * scale + bias, where the scale is in region 0 */
struct xrnpe_cmd update(unsigned int index, uint64_t scale_offset);

void put_float(Npu *npu, uint64_t addr, float value);
float get_float(Npu *npu, uint64_t addr);
void wait_float(Npu *npu, uint64_t addr, float want);
void put_scale(Npu *npu, uint64_t addr, float scale, float bias);

/* A product of 2 x 2 matrices, with its operands put in place */
struct xrnpe_cmd small_matmul(Npu *npu);
void assert_small_matmul(Npu *npu);
void assert_small_matmul_unwritten(Npu *npu);

/* The device works: a job on @q does what it should. */
void assert_works(Npu *npu, unsigned int q, uint32_t seqno);

/* ---- The machine ------------------------------------------------------- */

void stop(Npu *npu);
void cont(Npu *npu);
void wait_migration(Npu *npu);
void migrate_to(Npu *npu, const char *uri);

/*
 * A machine with @device does not start, and its message has @why: it does not
 * take the stream at @uri, if that is not NULL.
 */
void assert_refuses(const char *device, const char *uri, const char *why);

/* The path of a new file, to be unlinked */
char *temporary_file(const char *suffix);

/* The word that drives the reset line, after the registers */
uint64_t line_addr(const Npu *npu);

#endif
