/*
 * QTest testcase for the XR-NPE neural co-processor
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The test plays the driver: it lays rings, region tables and commands out in
 * guest memory. Results are compared with numbers worked out by hand, and for
 * pseudo-random operands with the datapath, called here directly.
 */

#include "qemu/osdep.h"
#include <math.h>

#include "qemu/bswap.h"
#include "qemu/cutils.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "cost.h"
#include "datapath.h"
#include "xrnpe_regs.h"

/* The first address of the platform bus of the Arm virt machine */
#define NPU_BASE        0x0c000000ULL

#define RAM_BASE        0x40000000ULL
#define RAM_SIZE        (64 * MiB)
#define UNMAPPED        (RAM_BASE + RAM_SIZE)

/* Guest memory as the test divides it, clear of QEMU's own device tree blob */
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
#define WAIT_US         (60 * G_USEC_PER_SEC)

#define ONE_F32         0x3f800000

typedef struct Npu {
    QTestState *qts;
    uint32_t tail[XRNPE_MAX_QUEUES];
} Npu;

/* ---- Registers --------------------------------------------------------- */

static uint32_t rd(Npu *npu, uint32_t offset)
{
    return qtest_readl(npu->qts, NPU_BASE + offset);
}

static void wr(Npu *npu, uint32_t offset, uint32_t value)
{
    qtest_writel(npu->qts, NPU_BASE + offset, value);
}

static uint32_t rdq(Npu *npu, unsigned int q, uint32_t offset)
{
    return rd(npu, XRNPE_QUEUE(q) + offset);
}

static void wrq(Npu *npu, unsigned int q, uint32_t offset, uint32_t value)
{
    wr(npu, XRNPE_QUEUE(q) + offset, value);
}

static void wait_until(Npu *npu, uint32_t offset, uint32_t mask, uint32_t want)
{
    int64_t end = g_get_monotonic_time() + WAIT_US;

    while ((rd(npu, offset) & mask) != want) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(200);
    }
}

static void wait_head(Npu *npu, unsigned int q, uint32_t head)
{
    wait_until(npu, XRNPE_QUEUE(q) + XRNPE_QUEUE_HEAD, UINT32_MAX, head);
}

static void wait_state(Npu *npu, unsigned int q, uint32_t state)
{
    wait_until(npu, XRNPE_QUEUE(q) + XRNPE_QUEUE_STATE, UINT32_MAX, state);
}

/* Index of a counter's registers */
#define COUNTER(member) (offsetof(struct xrnpe_counters, member) / 8)

static bool irq(Npu *npu)
{
    /* Read first, so that news of the line have arrived. */
    rd(npu, XRNPE_ID);
    return qtest_get_irq(npu->qts, 0);
}

/* Ask for a fault while the machine runs. */
static void inject(Npu *npu, const char *fault, int64_t value)
{
    qtest_qmp_assert_success(npu->qts, "{ 'execute': 'qom-set', 'arguments': "
                             "{ 'path': '/machine/peripheral/npu0', "
                             "'property': %s, 'value': %" PRId64 " } }",
                             fault, value);
}

static void inject_flag(Npu *npu, const char *fault, bool value)
{
    qtest_qmp_assert_success(npu->qts, "{ 'execute': 'qom-set', 'arguments': "
                             "{ 'path': '/machine/peripheral/npu0', "
                             "'property': %s, 'value': %i } }", fault, value);
}

static void control(Npu *npu, unsigned int q, uint32_t bits)
{
    wrq(npu, q, XRNPE_QUEUE_CTRL, XRNPE_QUEUE_CTRL_ENABLE | bits);
}

static void enable(Npu *npu, unsigned int q, uint64_t base, uint32_t size)
{
    wrq(npu, q, XRNPE_QUEUE_BASE_LO, base);
    wrq(npu, q, XRNPE_QUEUE_BASE_HI, base >> 32);
    wrq(npu, q, XRNPE_QUEUE_SIZE, size);
    control(npu, q, 0);
    npu->tail[q] = 0;
}

static void set_status_page(Npu *npu, uint64_t addr)
{
    wr(npu, XRNPE_STATUS_BASE_LO, addr);
    wr(npu, XRNPE_STATUS_BASE_HI, addr >> 32);
}

static void put_table(Npu *npu)
{
    static const uint64_t base[REGIONS] = {
        CONSTANTS, ARENA, INPUT, OUTPUT, SINK,
    };
    static const uint32_t flags[REGIONS] = {
        XRNPE_REGION_READ, XRNPE_REGION_READ | XRNPE_REGION_WRITE,
        XRNPE_REGION_READ, XRNPE_REGION_WRITE, XRNPE_REGION_WRITE,
    };
    struct xrnpe_region region[REGIONS] = { };

    for (unsigned int i = 0; i < REGIONS; i++) {
        region[i].base = cpu_to_le64(base[i]);
        region[i].size = cpu_to_le64(base[i] == SINK ? SINK_SIZE
                                                     : REGION_SIZE);
        region[i].flags = cpu_to_le32(flags[i]);
    }
    qtest_memwrite(npu->qts, TABLE, region, sizeof(region));
}

static void abort_job(Npu *npu, unsigned int q, uint32_t count)
{
    wrq(npu, q, XRNPE_QUEUE_ABORT, count);
}

/* Set up as a driver would: regions, status page, all queues. */
static void prepare(Npu *npu)
{
    put_table(npu);
    qtest_memset(npu->qts, STATUS_PAGE, 0, 0x1000);
    set_status_page(npu, STATUS_PAGE);
    for (unsigned int q = 0; q < XRNPE_MAX_QUEUES; q++) {
        enable(npu, q, RING(q), RING_SIZE);
        g_assert_cmpuint(rdq(npu, q, XRNPE_QUEUE_STATE), ==,
                         XRNPE_QUEUE_STATE_IDLE);
    }
}

static Npu npu_open(const char *properties, const char *arguments)
{
    Npu npu = {
        .qts = qtest_initf("-machine virt -m 64M -nodefaults "
                           "-device xrnpe,id=npu0%s %s", properties, arguments),
    };

    qtest_irq_intercept_out_named(npu.qts, "/machine/peripheral/npu0",
                                  "sysbus-irq");
    return npu;
}

/* The plain kernel, which takes long for what shall take long */
static Npu npu_start(void)
{
    Npu npu = npu_open(",kernel=plain", "");

    prepare(&npu);
    return npu;
}

static void npu_quit(Npu *npu)
{
    qtest_quit(npu->qts);
}

/* ---- Jobs -------------------------------------------------------------- */

static struct xrnpe_job_desc descriptor(uint64_t cmds, uint32_t cmd_count,
                                        uint32_t seqno)
{
    return (struct xrnpe_job_desc) {
        .regions = cpu_to_le64(TABLE),
        .cmds = cpu_to_le64(cmds),
        .region_count = cpu_to_le32(REGIONS),
        .cmd_count = cpu_to_le32(cmd_count),
        .cmd_stride = cpu_to_le32(sizeof(struct xrnpe_cmd)),
        .seqno = cpu_to_le32(seqno),
    };
}

static uint64_t slot(Npu *npu, unsigned int q)
{
    return RING(q) +
           npu->tail[q] % RING_SIZE * sizeof(struct xrnpe_job_desc);
}

static void queue_desc(Npu *npu, unsigned int q,
                       const struct xrnpe_job_desc *desc)
{
    qtest_memwrite(npu->qts, slot(npu, q), desc, sizeof(*desc));
    wrq(npu, q, XRNPE_QUEUE_TAIL, ++npu->tail[q]);
}

/* Queue a job of @count commands, which are put at the place for them. */
static void queue_job(Npu *npu, unsigned int q, const struct xrnpe_cmd *cmds,
                      uint32_t count, uint32_t seqno)
{
    uint64_t place = CMDS(q) + npu->tail[q] % RING_SIZE * JOB_BYTES;
    struct xrnpe_job_desc desc = descriptor(place, count, seqno);

    g_assert_cmpuint(count * sizeof(*cmds), <=, JOB_BYTES);
    qtest_memwrite(npu->qts, place, cmds, count * sizeof(*cmds));
    queue_desc(npu, q, &desc);
}

static struct xrnpe_queue_status status_of(Npu *npu, unsigned int q)
{
    struct xrnpe_queue_status s;

    qtest_memread(npu->qts, STATUS_PAGE + q * sizeof(s), &s, sizeof(s));
    s.seqno = le32_to_cpu(s.seqno);
    s.status = le32_to_cpu(s.status);
    s.fault_seqno = le32_to_cpu(s.fault_seqno);
    s.fault.kind = le32_to_cpu(s.fault.kind);
    s.fault.cmd = le32_to_cpu(s.fault.cmd);
    s.fault.operand = le32_to_cpu(s.fault.operand);
    s.fault.region = le32_to_cpu(s.fault.region);
    s.fault.offset = le64_to_cpu(s.fault.offset);
    return s;
}

static void assert_done(Npu *npu, unsigned int q, uint32_t seqno)
{
    struct xrnpe_queue_status s = status_of(npu, q);

    g_assert_cmpuint(s.seqno, ==, seqno);
    g_assert_false(s.fault.kind != XRNPE_FAULT_NONE && s.fault_seqno == seqno);
    g_assert_cmpuint(rdq(npu, q, XRNPE_QUEUE_STATE), !=,
                     XRNPE_QUEUE_STATE_STOPPED);
}

static void assert_fault(Npu *npu, unsigned int q, uint32_t seqno,
                         const struct xrnpe_fault *want)
{
    struct xrnpe_queue_status s = status_of(npu, q);

    g_assert_cmpuint(s.seqno, ==, seqno);
    g_assert_cmpuint(s.fault_seqno, ==, seqno);
    g_assert_cmpuint(s.fault.kind, ==, want->kind);
    g_assert_cmpuint(s.fault.cmd, ==, want->cmd);
    g_assert_cmpuint(s.fault.operand, ==, want->operand);
    g_assert_cmpuint(s.fault.region, ==, want->region);
    g_assert_cmphex(s.fault.offset, ==, want->offset);
    g_assert_cmpuint(rdq(npu, q, XRNPE_QUEUE_STATE), ==,
                     XRNPE_QUEUE_STATE_STOPPED);
}

static void assert_executes(Npu *npu, unsigned int q)
{
    wait_until(npu, XRNPE_STATUS, ~0,
               XRNPE_STATUS_BUSY | q << XRNPE_STATUS_QUEUE_SHIFT);
}

/* ---- Commands ---------------------------------------------------------- */

static struct xrnpe_operand operand(uint8_t region, uint8_t format,
                                    uint64_t offset, uint32_t row_stride)
{
    return (struct xrnpe_operand) {
        .offset = offset,
        .row_stride = row_stride,
        .region = region,
        .format = format,
    };
}

/* ifm in region 2, weights and then scales in region 0, ofm in region 3 */
static struct xrnpe_cmd matmul(uint8_t format, uint8_t out, uint32_t m,
                               uint32_t n, uint32_t k)
{
    size_t row = xrnpe_row_bytes(format, k);

    return (struct xrnpe_cmd) {
        .opcode = XRNPE_OP_MATMUL,
        .operand = {
            [XRNPE_OPERAND_IFM] = operand(2, format, 0, row),
            [XRNPE_OPERAND_WEIGHT] = operand(0, format, 0, row),
            [XRNPE_OPERAND_SCALE] = operand(0, XRNPE_FORMAT_F32,
                                            ROUND_UP(n * row, 4),
                                            sizeof(struct xrnpe_scale)),
            [XRNPE_OPERAND_OFM] = operand(3, out, 0, xrnpe_row_bytes(out, n)),
        },
        .matmul = { .m = m, .n = n, .k = k, .batch = 1 },
    };
}

/*
 * A matrix product of @m x 64 outputs to the sink and @k products each that
 * needs little memory, because all rows of an input are the same one.
 */
static struct xrnpe_cmd work(uint32_t m, uint32_t k)
{
    struct xrnpe_cmd cmd = matmul(XRNPE_FORMAT_P16, XRNPE_FORMAT_FP4, m, 64, k);

    cmd.operand[XRNPE_OPERAND_IFM].row_stride = 0;
    cmd.operand[XRNPE_OPERAND_WEIGHT].row_stride = 0;
    cmd.operand[XRNPE_OPERAND_SCALE].region = 2;
    cmd.operand[XRNPE_OPERAND_SCALE].offset = 0;
    cmd.operand[XRNPE_OPERAND_SCALE].row_stride = 0;
    cmd.operand[XRNPE_OPERAND_OFM].region = 4;
    return cmd;
}

/* As much as one command may do: minutes for the plain kernel */
static struct xrnpe_cmd endless(void)
{
    return work(XRNPE_MAX_WORK / 64 / XRNPE_MAX_K, XRNPE_MAX_K);
}

/* A binary32 in the arena */
static struct xrnpe_operand variable(unsigned int index)
{
    struct xrnpe_operand x = operand(1, XRNPE_FORMAT_F32, 4 * index, 4);

    x.pixel_stride = 4;
    return x;
}

static uint64_t variable_addr(unsigned int index)
{
    return ARENA + 4 * index;
}

/* x[index + 1] = x[index] * scale + bias, where the scale is in region 0 */
static struct xrnpe_cmd update(unsigned int index, uint64_t scale_offset)
{
    return (struct xrnpe_cmd) {
        .opcode = XRNPE_OP_CONVERT,
        .operand = {
            [XRNPE_OPERAND_IFM] = variable(index),
            [XRNPE_OPERAND_SCALE] = operand(0, XRNPE_FORMAT_F32, scale_offset,
                                            0),
            [XRNPE_OPERAND_OFM] = variable(index + 1),
        },
        .image = { .in_h = 1, .in_w = 1, .in_c = 1 },
    };
}

static void put_float(Npu *npu, uint64_t addr, float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    qtest_writel(npu->qts, addr, bits);
}

static float get_float(Npu *npu, uint64_t addr)
{
    uint32_t bits = qtest_readl(npu->qts, addr);
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

static void wait_float(Npu *npu, uint64_t addr, float want)
{
    int64_t end = g_get_monotonic_time() + WAIT_US;

    while (get_float(npu, addr) != want) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(200);
    }
}

static void put_scale(Npu *npu, uint64_t addr, float scale, float bias)
{
    put_float(npu, addr, scale);
    put_float(npu, addr + 4, bias);
}

/* [1 2] [1 3]   [ 5 11]      a MATMUL of P8 with scale 0.5 and bias 1:   */
/* [3 4] [2 4] = [11 25]      3.5 6.5 6.5 13.5; all are P8 but 13.5       */
static struct xrnpe_cmd small_matmul(Npu *npu)
{
    static const float values[4] = { 1, 2, 3, 4 };
    uint8_t row[4];
    uint32_t status = 0;

    xrnpe_encode_row(XRNPE_FORMAT_P8, values, row, 4, &status);
    qtest_memwrite(npu->qts, INPUT, row, 4);
    qtest_memwrite(npu->qts, CONSTANTS, row, 4);
    put_scale(npu, CONSTANTS + 4, 0.5, 1);
    put_scale(npu, CONSTANTS + 12, 0.5, 1);
    qtest_memset(npu->qts, OUTPUT, 0xee, 64);
    return matmul(XRNPE_FORMAT_P8, XRNPE_FORMAT_F32, 2, 2, 2);
}

static void assert_small_matmul(Npu *npu)
{
    g_assert_cmpfloat(get_float(npu, OUTPUT), ==, 3.5);
    g_assert_cmpfloat(get_float(npu, OUTPUT + 4), ==, 6.5);
    g_assert_cmpfloat(get_float(npu, OUTPUT + 8), ==, 6.5);
    g_assert_cmpfloat(get_float(npu, OUTPUT + 12), ==, 13.5);
    g_assert_cmphex(qtest_readl(npu->qts, OUTPUT + 16), ==, 0xeeeeeeee);
}

static void assert_small_matmul_unwritten(Npu *npu)
{
    for (unsigned int i = 0; i < 16; i++) {
        g_assert_cmphex(qtest_readb(npu->qts, OUTPUT + i), ==, 0xee);
    }
}

/* The device works: a job on @q does what it should. */
static void assert_works(Npu *npu, unsigned int q, uint32_t seqno)
{
    struct xrnpe_cmd cmd = small_matmul(npu);

    queue_job(npu, q, &cmd, 1, seqno);
    wait_head(npu, q, npu->tail[q]);
    assert_done(npu, q, seqno);
    assert_small_matmul(npu);
}

/* ---- Tests ------------------------------------------------------------- */

static void test_identification(void)
{
    Npu npu = npu_open(",rows=4,cols=16,queues=3,threads=2,kernel=plain", "");

    g_assert_cmphex(rd(&npu, XRNPE_ID), ==, XRNPE_ID_MAGIC);
    g_assert_cmphex(rd(&npu, XRNPE_VERSION), ==, XRNPE_VERSION_1_0);
    g_assert_cmphex(rd(&npu, XRNPE_CONFIG), ==, 0x00031004);
    g_assert_cmphex(rd(&npu, XRNPE_REVISION), ==, 0);
    g_assert_cmphex(rd(&npu, XRNPE_CAP_OPCODES), ==, 0x1ffe);
    g_assert_cmphex(rd(&npu, XRNPE_CAP_FORMATS), ==, 0x7f);
    g_assert_cmphex(rd(&npu, XRNPE_CAP_MAX_K), ==, XRNPE_MAX_K);
    g_assert_cmphex(rd(&npu, XRNPE_CAP_MEMORY), ==, 0x01001040);
    g_assert_cmphex(rd(&npu, XRNPE_CAP_RECORD), ==, 0x001b00c0);
    g_assert_cmpuint(rd(&npu, XRNPE_CLOCK_KHZ), ==, 1000000);
    g_assert_cmpuint(rd(&npu, XRNPE_TIMER_KHZ), ==, 1000000);
    g_assert_cmphex(rd(&npu, XRNPE_CTRL), ==, 0);
    g_assert_cmphex(rd(&npu, XRNPE_STATUS), ==, 0);
    g_assert_cmphex(rd(&npu, XRNPE_IRQ_STATUS), ==, 0);
    g_assert_cmphex(rd(&npu, XRNPE_IRQ_ENABLE), ==, 0);
    g_assert_false(irq(&npu));
    wr(&npu, XRNPE_IRQ_ENABLE, ~0);
    g_assert_cmphex(rd(&npu, XRNPE_IRQ_ENABLE), ==, 0x00010707);
    for (uint32_t offset = 0; offset < 0x40; offset += 4) {
        g_assert_cmphex(rdq(&npu, 2, offset), ==, 0);
        /* There is no queue 3: writes are lost. */
        wrq(&npu, 3, offset, ~0);
        g_assert_cmphex(rdq(&npu, 3, offset), ==, 0);
    }
    npu_quit(&npu);
}

static void test_access_width(void)
{
    Npu npu = npu_open("", "");
    uint64_t enable_addr = NPU_BASE + XRNPE_IRQ_ENABLE;

    g_assert_cmphex(qtest_readb(npu.qts, NPU_BASE), ==, 0);
    g_assert_cmphex(qtest_readw(npu.qts, NPU_BASE), ==, 0);
    g_assert_cmphex(qtest_readq(npu.qts, NPU_BASE), ==, 0);
    g_assert_cmphex(qtest_readl(npu.qts, NPU_BASE + 2), ==, 0);
    qtest_writeb(npu.qts, enable_addr, 1);
    qtest_writew(npu.qts, enable_addr, 1);
    qtest_writeq(npu.qts, enable_addr, 1);
    qtest_writel(npu.qts, enable_addr - 2, 0x10000);
    g_assert_cmphex(rd(&npu, XRNPE_IRQ_ENABLE), ==, 0);
    qtest_writel(npu.qts, enable_addr, ~0);
    g_assert_cmphex(rd(&npu, XRNPE_IRQ_ENABLE), ==, XRNPE_IRQ_ALL);

    /* No register, or read-only */
    for (uint32_t offset = 0; offset < XRNPE_MMIO_SIZE; offset += 4) {
        if (offset < XRNPE_CTRL || offset == XRNPE_STATUS ||
            (offset >= XRNPE_BUS_ADDR_LO && offset < XRNPE_QUEUE(0)) ||
            offset >= XRNPE_QUEUE(XRNPE_MAX_QUEUES)) {
            uint32_t before = rd(&npu, offset);

            wr(&npu, offset, ~before);
            g_assert_cmphex(rd(&npu, offset), ==, before);
        }
    }
    npu_quit(&npu);
}

static void test_device_tree(void)
{
    Npu npu = npu_open("", "");
    g_autofree char *path = NULL;
    g_autofree char *blob = NULL;
    gsize size;
    int fd = g_file_open_tmp("xrnpe-XXXXXX.dtb", &path, NULL);

    g_assert_cmpint(fd, >=, 0);
    close(fd);
    qtest_qmp_assert_success(npu.qts, "{ 'execute': 'dumpdtb', 'arguments': "
                             "{ 'filename': %s } }", path);
    g_assert_true(g_file_get_contents(path, &blob, &size, NULL));
    unlink(path);
    g_assert_nonnull(memmem(blob, size, "xrnpe,xrnpe-1.0", 16));
    g_assert_nonnull(memmem(blob, size, "npu@0", 6));
    g_assert_nonnull(memmem(blob, size, "dma-coherent", 13));
    npu_quit(&npu);
}

/* QEMU does not start with such a property, and says which it is. */
static void test_bad_property(const void *data)
{
    const char *property = data;
    g_autofree char *device = g_strdup_printf("xrnpe,%s", property);
    g_autofree char *name = g_strndup(property, strcspn(property, "="));
    g_autofree char *quoted = g_strdup_printf("'%s'", name);
    g_autofree char *err = NULL;
    const char *argv[] = {
        getenv("QTEST_QEMU_BINARY"), "-machine", "virt", "-nodefaults",
        "-display", "none", "-S", "-device", device, NULL,
    };
    int status;

    g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH,
                               NULL, NULL, NULL, &err, &status, NULL));
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 1);
    g_assert_nonnull(strstr(err, quoted));
}

static void test_matmul(void)
{
    Npu npu = npu_start();

    assert_works(&npu, 0, 1);
    g_assert_cmphex(rd(&npu, XRNPE_STATUS), ==, 0);
    npu_quit(&npu);
}

/* Sizes that are no multiple of anything, against the datapath itself. */
static void test_formats(void)
{
    enum { M = 13, N = 7, K = 37 };
    Npu npu = npu_start();
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);
    struct xrnpe_datapath *datapath = xrnpe_datapath_new(1, "plain");
    uint32_t seqno = 0;

    g_assert_nonnull(datapath);
    for (uint8_t in = XRNPE_FORMAT_FP4; in <= XRNPE_FORMAT_P16; in++) {
        for (uint8_t out = XRNPE_FORMAT_FP4; out <= XRNPE_FORMAT_F32; out++) {
            struct xrnpe_cmd cmd = matmul(in, out, M, N, K);
            size_t row = xrnpe_row_bytes(in, K);
            size_t out_size = M * xrnpe_row_bytes(out, N);
            uint8_t ifm[M * 2 * K], weight[N * 2 * K];
            uint8_t got[M * 4 * N], want[M * 4 * N];
            struct xrnpe_scale scale[N];
            struct xrnpe_fault fault;
            struct xrnpe_queue_status page;
            uint32_t status = 0;
            void *memory[XRNPE_OPERANDS] = {
                [XRNPE_OPERAND_IFM] = ifm,
                [XRNPE_OPERAND_WEIGHT] = weight,
                [XRNPE_OPERAND_SCALE] = scale,
                [XRNPE_OPERAND_OFM] = want,
            };

            for (size_t i = 0; i < sizeof(ifm); i++) {
                ifm[i] = g_rand_int(rand);
            }
            for (size_t i = 0; i < sizeof(weight); i++) {
                weight[i] = g_rand_int(rand);
            }
            for (size_t i = 0; i < N; i++) {
                scale[i].scale = ONE_F32 | (g_rand_int(rand) & 0x7fffff);
                scale[i].bias = ONE_F32 | (g_rand_int(rand) & 0x807fffff);
            }
            cmd.activation = out & 1 ? XRNPE_ACT_RELU : XRNPE_ACT_NONE;
            qtest_memwrite(npu.qts, INPUT, ifm, M * row);
            qtest_memwrite(npu.qts, CONSTANTS, weight, N * row);
            qtest_memwrite(npu.qts, CONSTANTS + ROUND_UP(N * row, 4), scale,
                           sizeof(scale));
            queue_job(&npu, in, &cmd, 1, ++seqno);
            g_assert_cmpint(xrnpe_datapath_run(datapath, &cmd, 0, memory, NULL,
                                               &status, &fault), ==, 0);
            wait_head(&npu, in, npu.tail[in]);
            assert_done(&npu, in, seqno);
            page = status_of(&npu, in);
            g_assert_cmphex(page.status, ==, status);
            qtest_memread(npu.qts, OUTPUT, got, out_size);
            g_assert_cmpmem(got, out_size, want, out_size);
        }
    }
    xrnpe_datapath_free(datapath);
    npu_quit(&npu);
}

static void test_invalid_status(void)
{
    Npu npu = npu_start();
    struct xrnpe_cmd cmd[2] = { update(0, 0), update(4, 0) };

    cmd[0].operand[XRNPE_OPERAND_OFM] = operand(3, XRNPE_FORMAT_FP4, 0, 1);
    put_scale(&npu, CONSTANTS, 1, 0);
    put_float(&npu, variable_addr(0), NAN);
    put_float(&npu, variable_addr(4), 1);
    queue_job(&npu, 0, cmd, 2, 5);
    wait_head(&npu, 0, 1);
    assert_done(&npu, 0, 5);
    g_assert_cmphex(status_of(&npu, 0).status, ==, XRNPE_STATUS_INVALID);
    queue_job(&npu, 0, &cmd[1], 1, 6);
    wait_head(&npu, 0, 2);
    assert_done(&npu, 0, 6);
    g_assert_cmphex(status_of(&npu, 0).status, ==, 0);
    npu_quit(&npu);
}

/* More jobs than the ring has entries, several at a time */
static void test_ring_wrap(void)
{
    enum { JOBS = 5 * RING_SIZE };
    Npu npu = npu_start();

    put_scale(&npu, CONSTANTS, 1, 1);
    for (unsigned int i = 1; i <= JOBS; i++) {
        struct xrnpe_cmd cmd = update(i - 1, 0);

        queue_job(&npu, 1, &cmd, 1, 0xfffffff0 + i);
        if (i % RING_SIZE == 0 || i % 3 == 0) {
            wait_head(&npu, 1, i);
            assert_done(&npu, 1, 0xfffffff0 + i);
        }
    }
    g_assert_cmpfloat(get_float(&npu, variable_addr(JOBS)), ==, JOBS);
    npu_quit(&npu);
}

static void test_doorbell(void)
{
    Npu npu = npu_start();
    struct xrnpe_cmd cmd = endless();

    /* Further than the ring is long; backwards */
    wrq(&npu, 0, XRNPE_QUEUE_TAIL, RING_SIZE + 1);
    g_assert_cmpuint(rdq(&npu, 0, XRNPE_QUEUE_TAIL), ==, 0);
    wrq(&npu, 0, XRNPE_QUEUE_TAIL, ~0);
    g_assert_cmpuint(rdq(&npu, 0, XRNPE_QUEUE_TAIL), ==, 0);
    queue_job(&npu, 0, &cmd, 1, 1);
    wrq(&npu, 0, XRNPE_QUEUE_TAIL, 0);
    g_assert_cmpuint(rdq(&npu, 0, XRNPE_QUEUE_TAIL), ==, 1);
    g_assert_cmpuint(rdq(&npu, 0, XRNPE_QUEUE_STATE), ==,
                     XRNPE_QUEUE_STATE_RUNNING);
    g_assert_cmphex(rd(&npu, XRNPE_STATUS), ==, XRNPE_STATUS_BUSY);

    /* An enabled queue's ring and the status page stay where they are. */
    wrq(&npu, 0, XRNPE_QUEUE_BASE_LO, 0);
    g_assert_cmphex(rdq(&npu, 0, XRNPE_QUEUE_BASE_LO), ==, RING(0));
    wrq(&npu, 0, XRNPE_QUEUE_SIZE, 2);
    g_assert_cmpuint(rdq(&npu, 0, XRNPE_QUEUE_SIZE), ==, RING_SIZE);
    set_status_page(&npu, 0);
    g_assert_cmphex(rd(&npu, XRNPE_STATUS_BASE_LO), ==, STATUS_PAGE);

    /* Disabled queues have no doorbell. */
    wrq(&npu, 3, XRNPE_QUEUE_CTRL, 0);
    wrq(&npu, 3, XRNPE_QUEUE_TAIL, 1);
    g_assert_cmpuint(rdq(&npu, 3, XRNPE_QUEUE_TAIL), ==, 0);
    npu_quit(&npu);
}

static void test_bad_ring(void)
{
    static const struct {
        uint64_t base;
        uint32_t size;
    } bad[] = {
        { RING(0), 0 }, { RING(0), 1 }, { RING(0), 3 }, { RING(0), 2048 },
        { RING(0) + 32, 8 }, { 0xffffffffffffffc0, 2 },
    };
    Npu npu = npu_open("", "");

    enable(&npu, 0, RING(0), RING_SIZE);    /* no status page yet */
    g_assert_cmphex(rdq(&npu, 0, XRNPE_QUEUE_CTRL), ==, 0);
    set_status_page(&npu, STATUS_PAGE + 8);
    enable(&npu, 0, RING(0), RING_SIZE);
    g_assert_cmphex(rdq(&npu, 0, XRNPE_QUEUE_CTRL), ==, 0);
    set_status_page(&npu, 0xffffffffffffff40);  /* too short for 4 queues */
    enable(&npu, 0, RING(0), RING_SIZE);
    g_assert_cmphex(rdq(&npu, 0, XRNPE_QUEUE_CTRL), ==, 0);
    set_status_page(&npu, STATUS_PAGE);
    for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
        enable(&npu, 0, bad[i].base, bad[i].size);
        g_assert_cmphex(rdq(&npu, 0, XRNPE_QUEUE_CTRL), ==, 0);
        g_assert_cmpuint(rdq(&npu, 0, XRNPE_QUEUE_STATE), ==,
                         XRNPE_QUEUE_STATE_DISABLED);
    }
    prepare(&npu);
    assert_works(&npu, 0, 1);
    npu_quit(&npu);
}

/* A job with a good command and then a bad one, as an edit of the good one */
typedef struct FaultCase {
    const char *name;
    void (*edit)(struct xrnpe_cmd *cmd);
    struct xrnpe_fault fault;
} FaultCase;

static void edit_opcode(struct xrnpe_cmd *cmd)
{
    cmd->opcode = 0x77;
}

static void edit_field(struct xrnpe_cmd *cmd)
{
    cmd->matmul.k = XRNPE_MAX_K + 1;
}

static void edit_operand_field(struct xrnpe_cmd *cmd)
{
    cmd->operand[XRNPE_OPERAND_WEIGHT].format = XRNPE_FORMAT_F32;
}

static void edit_overlap(struct xrnpe_cmd *cmd)
{
    /* Its two rows of two binary32 each on top of each other */
    cmd->operand[XRNPE_OPERAND_OFM].row_stride = 4;
}

static void edit_region(struct xrnpe_cmd *cmd)
{
    cmd->operand[XRNPE_OPERAND_WEIGHT].region = REGIONS;
}

static void edit_bounds(struct xrnpe_cmd *cmd)
{
    cmd->operand[XRNPE_OPERAND_OFM].offset = REGION_SIZE - 12;
}

static void edit_far(struct xrnpe_cmd *cmd)
{
    cmd->operand[XRNPE_OPERAND_IFM].offset = -1ULL;
}

static void edit_write_permission(struct xrnpe_cmd *cmd)
{
    cmd->operand[XRNPE_OPERAND_OFM].region = 0;
}

static void edit_read_permission(struct xrnpe_cmd *cmd)
{
    cmd->operand[XRNPE_OPERAND_IFM].region = 3;
    cmd->operand[XRNPE_OPERAND_IFM].offset = 64;
}

static void edit_scale(struct xrnpe_cmd *cmd)
{
    /* put there by the test: an infinity */
    cmd->operand[XRNPE_OPERAND_SCALE].offset = 0x100;
}

#define FIELD(member) offsetof(struct xrnpe_cmd, member)

static const FaultCase fault_cases[] = {
    { "opcode", edit_opcode,
      { XRNPE_FAULT_ILLEGAL_OPCODE, 1, XRNPE_OPERAND_NONE } },
    { "field", edit_field,
      { XRNPE_FAULT_ILLEGAL_FIELD, 1, XRNPE_OPERAND_NONE, 0,
        FIELD(matmul.k) } },
    { "operand-field", edit_operand_field,
      { XRNPE_FAULT_ILLEGAL_FIELD, 1, XRNPE_OPERAND_WEIGHT, 0,
        FIELD(operand[XRNPE_OPERAND_WEIGHT].format) } },
    { "overlapping-rows", edit_overlap,
      { XRNPE_FAULT_ILLEGAL_FIELD, 1, XRNPE_OPERAND_OFM, 3,
        FIELD(operand[XRNPE_OPERAND_OFM].row_stride) } },
    { "no-region", edit_region,
      { XRNPE_FAULT_NO_REGION, 1, XRNPE_OPERAND_WEIGHT, REGIONS, 0 } },
    { "out-of-bounds", edit_bounds,
      { XRNPE_FAULT_OUT_OF_BOUNDS, 1, XRNPE_OPERAND_OFM, 3, REGION_SIZE } },
    { "far-out-of-bounds", edit_far,
      { XRNPE_FAULT_OUT_OF_BOUNDS, 1, XRNPE_OPERAND_IFM, 2, -1ULL } },
    { "write-permission", edit_write_permission,
      { XRNPE_FAULT_PERMISSION, 1, XRNPE_OPERAND_OFM, 0, 0 } },
    { "read-permission", edit_read_permission,
      { XRNPE_FAULT_PERMISSION, 1, XRNPE_OPERAND_IFM, 3, 64 } },
    { "scale", edit_scale,
      { XRNPE_FAULT_ILLEGAL_SCALE, 1, XRNPE_OPERAND_SCALE, 0, 0x100 } },
};

static void test_fault(const void *data)
{
    const FaultCase *c = data;
    Npu npu = npu_start();
    struct xrnpe_cmd good = small_matmul(&npu);
    struct xrnpe_cmd cmd[3] = { update(0, 0x200), good, update(1, 0x200) };

    put_scale(&npu, CONSTANTS + 0x100, INFINITY, 0);
    put_scale(&npu, CONSTANTS + 0x200, 1, 1);
    c->edit(&cmd[1]);
    wr(&npu, XRNPE_IRQ_ENABLE, XRNPE_IRQ_STOPPED(2));
    queue_job(&npu, 2, cmd, ARRAY_SIZE(cmd), 71);
    queue_job(&npu, 2, cmd, ARRAY_SIZE(cmd), 72);
    wait_head(&npu, 2, 1);
    assert_fault(&npu, 2, 71, &c->fault);
    g_assert_true(irq(&npu));
    g_assert_cmphex(rd(&npu, XRNPE_IRQ_STATUS), ==,
                    XRNPE_IRQ_DONE(2) | XRNPE_IRQ_STOPPED(2));
    /* The first command ran, the bad one and the last did not. */
    g_assert_cmpfloat(get_float(&npu, variable_addr(1)), ==, 1);
    g_assert_cmpfloat(get_float(&npu, variable_addr(2)), ==, 0);
    assert_small_matmul_unwritten(&npu);

    /* The neighbours go on. */
    assert_works(&npu, 3, 1);

    /* The next job of the queue faults likewise, once it may run. */
    g_assert_cmpuint(rdq(&npu, 2, XRNPE_QUEUE_HEAD), ==, 1);
    control(&npu, 2, XRNPE_QUEUE_CTRL_RESUME);
    wait_head(&npu, 2, 2);
    assert_fault(&npu, 2, 72, &c->fault);
    control(&npu, 2, XRNPE_QUEUE_CTRL_RESUME);
    wait_state(&npu, 2, XRNPE_QUEUE_STATE_IDLE);
    assert_works(&npu, 2, 73);
    npu_quit(&npu);
}

/* Ends at the end of RAM, so that its last byte is the last that answers */
static void put_edge_region(Npu *npu, unsigned int index, uint32_t before)
{
    struct xrnpe_region region = {
        .base = cpu_to_le64(RAM_BASE + RAM_SIZE - before),
        .size = cpu_to_le64(0x1000),
        .flags = cpu_to_le32(XRNPE_REGION_READ | XRNPE_REGION_WRITE),
    };

    qtest_memwrite(npu->qts, TABLE + index * sizeof(region), &region,
                   sizeof(region));
}

static void put_region_base(Npu *npu, unsigned int index, uint64_t base)
{
    qtest_writeq(npu->qts, TABLE + index * sizeof(struct xrnpe_region), base);
}

static void assert_bus_addr(Npu *npu, uint64_t addr)
{
    g_assert_cmphex(rd(npu, XRNPE_BUS_ADDR_LO), ==, (uint32_t)addr);
    g_assert_cmphex(rd(npu, XRNPE_BUS_ADDR_HI), ==, addr >> 32);
}

static void test_bus_fault(void)
{
    static const uint64_t not_ram[] = {
        UNMAPPED,
        0x20000000,         /* the PCI window */
        0x09000000,         /* the UART */
        NPU_BASE,           /* the device itself */
    };
    Npu npu = npu_start();
    struct xrnpe_cmd cmd = small_matmul(&npu);
    struct xrnpe_fault want = {
        .kind = XRNPE_FAULT_BUS,
        .operand = XRNPE_OPERAND_IFM,
        .region = 2,
    };
    struct xrnpe_job_desc desc;
    uint32_t seqno = 0;

    for (unsigned int i = 0; i < ARRAY_SIZE(not_ram); i++) {
        put_region_base(&npu, 2, not_ram[i]);
        queue_job(&npu, 0, &cmd, 1, ++seqno);
        wait_head(&npu, 0, seqno);
        assert_fault(&npu, 0, seqno, &want);
        assert_bus_addr(&npu, not_ram[i]);
        control(&npu, 0, XRNPE_QUEUE_CTRL_RESUME);
    }

    /* An operand that starts within a burst */
    cmd.operand[XRNPE_OPERAND_IFM].offset = 0x50;
    want.offset = 0x50;
    queue_job(&npu, 0, &cmd, 1, ++seqno);
    wait_head(&npu, 0, seqno);
    assert_fault(&npu, 0, seqno, &want);
    assert_bus_addr(&npu, NPU_BASE + 0x40);
    control(&npu, 0, XRNPE_QUEUE_CTRL_RESUME);
    cmd.operand[XRNPE_OPERAND_IFM].offset = 0;

    /* Half there: the output's rows 0 and 1 are 64 bytes apart. */
    put_region_base(&npu, 2, INPUT);
    put_edge_region(&npu, 3, 64);
    cmd.operand[XRNPE_OPERAND_OFM].row_stride = 64;
    want.operand = XRNPE_OPERAND_OFM;
    want.region = 3;
    want.offset = 64;
    qtest_memset(npu.qts, RAM_BASE + RAM_SIZE - 64, 0x55, 64);
    queue_job(&npu, 0, &cmd, 1, ++seqno);
    wait_head(&npu, 0, seqno);
    assert_fault(&npu, 0, seqno, &want);
    g_assert_cmphex(qtest_readl(npu.qts, RAM_BASE + RAM_SIZE - 64), ==,
                    0x55555555);
    control(&npu, 0, XRNPE_QUEUE_CTRL_RESUME);

    /* Read-only memory: the flash may be read, not written. */
    put_region_base(&npu, 3, 0);
    cmd.operand[XRNPE_OPERAND_OFM].row_stride = 8;
    want.offset = 0;
    queue_job(&npu, 0, &cmd, 1, ++seqno);
    wait_head(&npu, 0, seqno);
    assert_fault(&npu, 0, seqno, &want);
    control(&npu, 0, XRNPE_QUEUE_CTRL_RESUME);

    /* The region table, and the second command record */
    want = (struct xrnpe_fault) {
        .kind = XRNPE_FAULT_BUS,
        .operand = XRNPE_OPERAND_NONE,
    };
    desc = descriptor(CMDS(0), 1, ++seqno);
    desc.regions = cpu_to_le64(UNMAPPED);
    queue_desc(&npu, 0, &desc);
    wait_head(&npu, 0, seqno);
    assert_fault(&npu, 0, seqno, &want);
    control(&npu, 0, XRNPE_QUEUE_CTRL_RESUME);

    put_table(&npu);
    cmd = small_matmul(&npu);
    qtest_memwrite(npu.qts, RAM_BASE + RAM_SIZE - sizeof(cmd), &cmd,
                   sizeof(cmd));
    desc = descriptor(RAM_BASE + RAM_SIZE - sizeof(cmd), 2, ++seqno);
    want.cmd = 1;
    queue_desc(&npu, 1, &desc);
    wait_head(&npu, 1, 1);
    assert_fault(&npu, 1, seqno, &want);
    assert_bus_addr(&npu, UNMAPPED);
    assert_small_matmul(&npu);
    npu_quit(&npu);
}

/* A value of a member that makes a structure malformed */
typedef struct Edit {
    size_t offset;
    size_t size;
    uint64_t value;
} Edit;

#define EDIT(type, member, value) \
    { offsetof(type, member), sizeof_field(type, member), value }
#define DESC(member, value) EDIT(struct xrnpe_job_desc, member, value)
#define REGION(member, value) EDIT(struct xrnpe_region, member, value)

static void apply(Npu *npu, uint64_t addr, const Edit *edit)
{
    uint64_t value = cpu_to_le64(edit->value);

    qtest_memwrite(npu->qts, addr + edit->offset, &value, edit->size);
}

/* The job that was queued last is malformed; make the queue go on. */
static void assert_illegal_job(Npu *npu, uint32_t seqno)
{
    static const struct xrnpe_fault want = {
        .kind = XRNPE_FAULT_ILLEGAL_JOB,
        .operand = XRNPE_OPERAND_NONE,
    };

    wait_head(npu, 0, seqno);
    assert_fault(npu, 0, seqno, &want);
    control(npu, 0, XRNPE_QUEUE_CTRL_RESUME);
}

static void test_illegal_job(void)
{
    static const Edit desc_edits[] = {
        DESC(flags, 2), DESC(reserved[4], 1),
        DESC(record, RECORD), DESC(flags, XRNPE_JOB_RECORD | 0x80000000),
        DESC(cmd_stride, 0), DESC(cmd_stride, 128), DESC(cmd_stride, 224),
        DESC(cmd_stride, XRNPE_CMD_STRIDE_MAX + XRNPE_CMD_ALIGN),
        DESC(cmd_count, 0), DESC(cmd_count, XRNPE_MAX_CMDS + 1),
        DESC(region_count, XRNPE_MAX_REGIONS + 1),
        DESC(cmds, CMDS(0) + 4), DESC(cmds, 0xfffffffffffffff8),
        DESC(regions, TABLE + 4), DESC(regions, 0xfffffffffffffff8),
    };
    static const Edit region_edits[] = {
        REGION(size, 0), REGION(size, 1 - OUTPUT), REGION(base, OUTPUT + 32),
        REGION(flags, 0), REGION(flags, 4), REGION(reserved, 1),
    };
    Npu npu = npu_start();
    struct xrnpe_cmd cmd = small_matmul(&npu);
    struct xrnpe_job_desc desc;
    uint32_t seqno = 0;

    qtest_memwrite(npu.qts, CMDS(0), &cmd, sizeof(cmd));
    for (unsigned int i = 0; i < ARRAY_SIZE(desc_edits); i++) {
        desc = descriptor(CMDS(0), 1, ++seqno);
        qtest_memwrite(npu.qts, slot(&npu, 0), &desc, sizeof(desc));
        apply(&npu, slot(&npu, 0), &desc_edits[i]);
        wrq(&npu, 0, XRNPE_QUEUE_TAIL, ++npu.tail[0]);
        assert_illegal_job(&npu, seqno);
    }
    for (unsigned int i = 0; i < ARRAY_SIZE(region_edits); i++) {
        desc = descriptor(CMDS(0), 1, ++seqno);
        apply(&npu, TABLE + 3 * sizeof(struct xrnpe_region), &region_edits[i]);
        queue_desc(&npu, 0, &desc);
        assert_illegal_job(&npu, seqno);
        put_table(&npu);
    }
    assert_small_matmul_unwritten(&npu);
    assert_works(&npu, 0, ++seqno);
    npu_quit(&npu);
}

static void test_abort(void)
{
    Npu npu = npu_start();
    struct xrnpe_cmd cmd[3] = { update(0, 0), endless(), update(1, 0) };
    struct xrnpe_fault want = {
        .kind = XRNPE_FAULT_ABORTED,
        .cmd = 1,
        .operand = XRNPE_OPERAND_NONE,
    };

    put_scale(&npu, CONSTANTS, 1, 1);

    /* Nothing to abort: nothing happens, now or later. */
    abort_job(&npu, 1, 0);
    queue_job(&npu, 1, cmd, 1, 1);
    wait_head(&npu, 1, 1);
    assert_done(&npu, 1, 1);

    /* In the midst of the long command; other jobs' numbers do not count. */
    queue_job(&npu, 1, cmd, 3, 2);
    wait_until(&npu, XRNPE_STATUS, XRNPE_STATUS_BUSY, XRNPE_STATUS_BUSY);
    abort_job(&npu, 1, 0);
    abort_job(&npu, 1, 2);
    g_usleep(20000);
    g_assert_cmpuint(rdq(&npu, 1, XRNPE_QUEUE_HEAD), ==, 1);
    abort_job(&npu, 1, 1);
    wait_head(&npu, 1, 2);
    assert_fault(&npu, 1, 2, &want);
    g_assert_cmpfloat(get_float(&npu, variable_addr(1)), ==, 1);
    g_assert_cmpfloat(get_float(&npu, variable_addr(2)), ==, 0);
    g_assert_cmphex(rd(&npu, XRNPE_IRQ_STATUS), ==,
                    XRNPE_IRQ_DONE(1) | XRNPE_IRQ_STOPPED(1));

    /* A stopped queue takes jobs, ignores ABORT, and goes on after RESUME. */
    queue_job(&npu, 1, &cmd[2], 1, 3);
    abort_job(&npu, 1, 2);
    g_assert_cmpuint(rdq(&npu, 1, XRNPE_QUEUE_STATE), ==,
                     XRNPE_QUEUE_STATE_STOPPED);
    control(&npu, 1, XRNPE_QUEUE_CTRL_RESUME);
    wait_head(&npu, 1, 3);
    assert_done(&npu, 1, 3);
    g_assert_cmpfloat(get_float(&npu, variable_addr(2)), ==, 2);
    npu_quit(&npu);
}

/* Aimed at a job that ends meanwhile, ABORT does not fall on the next one. */
static void test_abort_late(void)
{
    Npu npu = npu_start();
    struct xrnpe_cmd quick = update(0, 0), slow = endless();

    put_scale(&npu, CONSTANTS, 1, 1);
    for (uint32_t i = 0; i < 20; i++) {
        uint32_t head = 2 * i;

        queue_job(&npu, 1, &quick, 1, head);
        queue_job(&npu, 1, &slow, 1, head + 1);
        g_assert_cmpuint(rdq(&npu, 1, XRNPE_QUEUE_HEAD) - head, <, 2);
        g_usleep(100 * (i % 4));
        abort_job(&npu, 1, head);
        wait_head(&npu, 1, head + 1);
        g_assert_cmpuint(status_of(&npu, 1).seqno, ==, head);
        if (rdq(&npu, 1, XRNPE_QUEUE_STATE) == XRNPE_QUEUE_STATE_STOPPED) {
            /* It came in time. */
            g_assert_cmpuint(status_of(&npu, 1).fault_seqno, ==, head);
            control(&npu, 1, XRNPE_QUEUE_CTRL_RESUME);
        }
        g_usleep(2000);
        g_assert_cmpuint(rdq(&npu, 1, XRNPE_QUEUE_HEAD), ==, head + 1);
        abort_job(&npu, 1, head + 1);
        wait_head(&npu, 1, head + 2);
        g_assert_cmpuint(status_of(&npu, 1).fault_seqno, ==, head + 1);
        control(&npu, 1, XRNPE_QUEUE_CTRL_RESUME);
    }
    npu_quit(&npu);
}

/* A job that waits for a more urgent one ends at once all the same. */
static void test_abort_waiting(void)
{
    Npu npu = npu_start();
    struct xrnpe_cmd cmd = endless();
    static const struct xrnpe_fault want = {
        .kind = XRNPE_FAULT_ABORTED,
        .operand = XRNPE_OPERAND_NONE,
    };

    queue_job(&npu, 0, &cmd, 1, 1);
    queue_job(&npu, 3, &cmd, 1, 2);
    g_assert_cmpuint(rdq(&npu, 3, XRNPE_QUEUE_STATE), ==,
                     XRNPE_QUEUE_STATE_RUNNING);
    abort_job(&npu, 3, 0);
    wait_head(&npu, 3, 1);
    assert_fault(&npu, 3, 2, &want);
    g_assert_cmpuint(rdq(&npu, 0, XRNPE_QUEUE_HEAD), ==, 0);
    g_assert_cmphex(rd(&npu, XRNPE_STATUS), ==,
                    XRNPE_STATUS_BUSY | 0 << XRNPE_STATUS_QUEUE_SHIFT);
    abort_job(&npu, 0, 0);
    wait_head(&npu, 0, 1);
    assert_fault(&npu, 0, 1, &want);
    npu_quit(&npu);
}

static void test_disable(void)
{
    Npu npu = npu_start();
    struct xrnpe_cmd cmd = endless();
    struct xrnpe_queue_status page;

    queue_job(&npu, 0, &cmd, 1, 1);
    queue_job(&npu, 0, &cmd, 1, 2);
    wrq(&npu, 0, XRNPE_QUEUE_CTRL, 0);
    wait_state(&npu, 0, XRNPE_QUEUE_STATE_DISABLED);
    g_assert_cmphex(rdq(&npu, 0, XRNPE_QUEUE_CTRL), ==, 0);
    page = status_of(&npu, 0);
    g_assert_cmpuint(page.seqno, ==, 1);
    g_assert_cmpuint(page.fault_seqno, ==, 1);
    g_assert_cmpuint(page.fault.kind, ==, XRNPE_FAULT_ABORTED);
    g_assert_cmpuint(rdq(&npu, 0, XRNPE_QUEUE_HEAD), ==, 1);
    g_assert_cmphex(rd(&npu, XRNPE_STATUS), ==, 0);

    enable(&npu, 0, RING(0), RING_SIZE);
    g_assert_cmpuint(rdq(&npu, 0, XRNPE_QUEUE_HEAD), ==, 0);
    g_assert_cmpuint(rdq(&npu, 0, XRNPE_QUEUE_TAIL), ==, 0);
    assert_works(&npu, 0, 3);
    npu_quit(&npu);
}

static void assert_reset(Npu *npu)
{
    g_assert_cmphex(rd(npu, XRNPE_STATUS), ==, 0);
    g_assert_cmphex(rd(npu, XRNPE_IRQ_STATUS), ==, 0);
    g_assert_cmphex(rd(npu, XRNPE_IRQ_ENABLE), ==, 0);
    g_assert_cmphex(rd(npu, XRNPE_STATUS_BASE_LO), ==, 0);
    for (unsigned int q = 0; q < XRNPE_MAX_QUEUES; q++) {
        for (uint32_t offset = 0; offset < 0x40; offset += 4) {
            g_assert_cmphex(rdq(npu, q, offset), ==, 0);
        }
    }
    g_assert_false(irq(npu));
}

/* Reset, by register or with the machine, while a command executes */
static void test_reset(const void *data)
{
    bool machine = data;
    Npu npu = npu_start();
    struct xrnpe_cmd cmd = endless();
    struct xrnpe_queue_status page;

    wr(&npu, XRNPE_IRQ_ENABLE, XRNPE_IRQ_ALL);
    assert_works(&npu, 0, 1);
    g_assert_true(irq(&npu));
    queue_job(&npu, 2, &cmd, 1, 7);
    queue_job(&npu, 0, &cmd, 1, 8);
    g_usleep(10000);
    if (machine) {
        qtest_qmp_assert_success(npu.qts, "{ 'execute': 'system_reset' }");
        qtest_qmp_eventwait(npu.qts, "RESET");
    } else {
        wr(&npu, XRNPE_CTRL, XRNPE_CTRL_RESET);
        /* Ignored as long as the reset lasts; and cleared if it is over. */
        wait_until(&npu, XRNPE_CTRL, XRNPE_CTRL_RESET, 0);
    }
    assert_reset(&npu);
    page = status_of(&npu, 2);
    g_assert_cmpuint(page.seqno, ==, 0);
    page = status_of(&npu, 0);
    g_assert_cmpuint(page.seqno, ==, 1);
    prepare(&npu);
    assert_works(&npu, 2, 9);
    npu_quit(&npu);
}

/* The next command does not end by itself, those after it do. */
static void test_hang(void)
{
    Npu npu = npu_start();
    struct xrnpe_cmd cmd[2] = { update(0, 0), update(1, 0) };
    static const struct xrnpe_fault want = {
        .kind = XRNPE_FAULT_ABORTED,
        .operand = XRNPE_OPERAND_NONE,
    };

    inject(&npu, "x-fault-hang", 1);
    queue_job(&npu, 1, cmd, 2, 1);
    assert_executes(&npu, 1);
    qtest_clock_step(npu.qts, NANOSECONDS_PER_SECOND);
    g_usleep(10000);
    assert_executes(&npu, 1);
    g_assert_cmpuint(rd(&npu, XRNPE_COUNTER_LO(COUNTER(commands))), ==, 0);
    abort_job(&npu, 1, 0);
    wait_head(&npu, 1, 1);
    assert_fault(&npu, 1, 1, &want);
    g_assert_cmphex(rd(&npu, XRNPE_STATUS), ==, 1 << XRNPE_STATUS_QUEUE_SHIFT);
    /* It counts as a command, but not as anything done. */
    g_assert_cmpuint(rd(&npu, XRNPE_COUNTER_LO(COUNTER(commands))), ==, 1);
    g_assert_cmpuint(rd(&npu, XRNPE_COUNTER_LO(COUNTER(cycles))), ==, 0);
    control(&npu, 1, XRNPE_QUEUE_CTRL_RESUME);
    assert_works(&npu, 1, 2);
    npu_quit(&npu);
}

/* A job ends, but nobody is told. */
static void test_drop_irq(void)
{
    Npu npu = npu_start();

    wr(&npu, XRNPE_IRQ_ENABLE, XRNPE_IRQ_ALL);
    inject(&npu, "x-fault-drop-irq", 2);
    assert_works(&npu, 0, 1);
    assert_works(&npu, 1, 2);
    g_assert_cmphex(rd(&npu, XRNPE_IRQ_STATUS), ==, 0);
    g_assert_false(irq(&npu));
    assert_works(&npu, 2, 3);
    g_assert_cmphex(rd(&npu, XRNPE_IRQ_STATUS), ==, XRNPE_IRQ_DONE(2));
    g_assert_true(irq(&npu));
    npu_quit(&npu);
}

/*
 * Each of the accesses of a job fails in turn: its descriptor, the regions, the
 * command, the operands, the status page. One more, and the job ends well.
 */
static void test_inject_bus_error(void)
{
    enum {
        DESC_AT = 1, REGIONS_AT = DESC_AT + 1, COMMAND_AT = REGIONS_AT + 2,
        OPERANDS_AT = COMMAND_AT + 3, STATUS_AT = OPERANDS_AT + 4,
        WELL_AT = STATUS_AT + 2,
    };
    Npu npu = npu_start();
    struct xrnpe_cmd cmd = small_matmul(&npu);

    for (unsigned int at = DESC_AT; at < WELL_AT; at++) {
        bool halts = at < REGIONS_AT || at >= STATUS_AT;
        struct xrnpe_fault fault;

        inject(&npu, "x-fault-bus-error", at);
        queue_job(&npu, 0, &cmd, 1, at);
        if (halts) {
            wait_until(&npu, XRNPE_STATUS, XRNPE_STATUS_BUS_ERROR,
                       XRNPE_STATUS_BUS_ERROR);
            g_assert_cmpuint(rdq(&npu, 0, XRNPE_QUEUE_HEAD), ==,
                             npu.tail[0] - 1);
            wr(&npu, XRNPE_CTRL, XRNPE_CTRL_RESET);
            prepare(&npu);
            continue;
        }
        wait_head(&npu, 0, npu.tail[0]);
        fault = status_of(&npu, 0).fault;
        g_assert_cmpuint(fault.kind, ==, XRNPE_FAULT_BUS);
        g_assert_cmpuint(fault.operand != XRNPE_OPERAND_NONE, ==,
                         at >= OPERANDS_AT);
        control(&npu, 0, XRNPE_QUEUE_CTRL_RESUME);
    }
    inject(&npu, "x-fault-bus-error", WELL_AT);
    assert_works(&npu, 0, WELL_AT);
    npu_quit(&npu);
}

/* One sequence number in the status page is wrong. */
static void test_wrong_seqno(void)
{
    Npu npu = npu_start();
    struct xrnpe_cmd cmd = small_matmul(&npu);

    inject(&npu, "x-fault-seqno", 0x80000001);
    queue_job(&npu, 0, &cmd, 1, 7);
    wait_head(&npu, 0, 1);
    assert_small_matmul(&npu);
    g_assert_cmphex(status_of(&npu, 0).seqno, ==, 0x80000006);
    assert_works(&npu, 0, 8);
    npu_quit(&npu);
}

/* A device that does not obey ABORT, nor disabling, until it obeys again. */
static void test_ignore_abort(void)
{
    Npu npu = npu_open(",x-fault-ignore-abort=on,x-fault-hang=1", "");
    struct xrnpe_cmd cmd = update(0, 0);

    prepare(&npu);
    queue_job(&npu, 0, &cmd, 1, 1);
    assert_executes(&npu, 0);
    abort_job(&npu, 0, 0);
    wrq(&npu, 0, XRNPE_QUEUE_CTRL, 0);
    g_usleep(10000);
    g_assert_cmpuint(rdq(&npu, 0, XRNPE_QUEUE_HEAD), ==, 0);
    g_assert_cmphex(rdq(&npu, 0, XRNPE_QUEUE_CTRL), ==,
                    XRNPE_QUEUE_CTRL_ENABLE);
    inject_flag(&npu, "x-fault-ignore-abort", false);
    abort_job(&npu, 0, 0);
    wait_state(&npu, 0, XRNPE_QUEUE_STATE_DISABLED);
    g_assert_cmpuint(status_of(&npu, 0).fault.kind, ==, XRNPE_FAULT_ABORTED);

    inject(&npu, "x-fault-hang", 1);
    inject_flag(&npu, "x-fault-ignore-abort", true);
    enable(&npu, 0, RING(0), RING_SIZE);
    queue_job(&npu, 0, &cmd, 1, 2);
    assert_executes(&npu, 0);
    wr(&npu, XRNPE_CTRL, XRNPE_CTRL_RESET);
    wait_until(&npu, XRNPE_CTRL, ~0, 0);
    assert_reset(&npu);
    npu_quit(&npu);
}

/*
 * A stuck command goes on writing: neither ABORT, disabling nor CTRL.RESET ends
 * it. A reset of the machine does, or the end of the fault.
 */
static void test_stuck(const void *data)
{
    bool machine = data;
    Npu npu = npu_open(",x-fault-stuck=on", "");
    struct xrnpe_cmd cmd = update(0, 0);

    prepare(&npu);
    put_scale(&npu, CONSTANTS, 1, 1);
    queue_job(&npu, 0, &cmd, 1, 1);
    wait_float(&npu, variable_addr(1), 1);
    abort_job(&npu, 0, 0);
    wrq(&npu, 0, XRNPE_QUEUE_CTRL, 0);
    put_float(&npu, variable_addr(1), 0);
    wait_float(&npu, variable_addr(1), 1);
    g_assert_cmphex(rdq(&npu, 0, XRNPE_QUEUE_CTRL), ==,
                    XRNPE_QUEUE_CTRL_ENABLE);
    wr(&npu, XRNPE_CTRL, XRNPE_CTRL_RESET);
    put_float(&npu, variable_addr(1), 0);
    wait_float(&npu, variable_addr(1), 1);
    g_assert_cmphex(rd(&npu, XRNPE_CTRL), ==, XRNPE_CTRL_RESET);
    g_assert_cmphex(rd(&npu, XRNPE_STATUS), ==, XRNPE_STATUS_BUSY);

    qtest_qmp_assert_success(npu.qts, "{ 'execute': 'stop' }");
    qtest_qmp_assert_success(npu.qts, "{ 'execute': 'cont' }");
    put_float(&npu, variable_addr(1), 0);
    wait_float(&npu, variable_addr(1), 1);
    if (machine) {
        qtest_qmp_assert_success(npu.qts, "{ 'execute': 'system_reset' }");
        qtest_qmp_eventwait(npu.qts, "RESET");
    } else {
        inject_flag(&npu, "x-fault-stuck", false);
        wait_until(&npu, XRNPE_CTRL, ~0, 0);
    }
    assert_reset(&npu);
    put_float(&npu, variable_addr(1), 0);
    g_usleep(20000);
    g_assert_cmpfloat(get_float(&npu, variable_addr(1)), ==, 0);
    npu_quit(&npu);
}

static void test_interrupt(void)
{
    Npu npu = npu_start();

    wr(&npu, XRNPE_IRQ_ENABLE, XRNPE_IRQ_DONE(1));
    assert_works(&npu, 0, 1);
    g_assert_cmphex(rd(&npu, XRNPE_IRQ_STATUS), ==, XRNPE_IRQ_DONE(0));
    g_assert_false(irq(&npu));          /* masked */
    wr(&npu, XRNPE_IRQ_ENABLE, XRNPE_IRQ_DONE(0) | XRNPE_IRQ_DONE(1));
    g_assert_true(irq(&npu));           /* unmasked while pending */
    assert_works(&npu, 1, 1);
    wr(&npu, XRNPE_IRQ_STATUS, XRNPE_IRQ_DONE(0));
    g_assert_cmphex(rd(&npu, XRNPE_IRQ_STATUS), ==, XRNPE_IRQ_DONE(1));
    g_assert_true(irq(&npu));           /* one of two cleared */
    wr(&npu, XRNPE_IRQ_STATUS, XRNPE_IRQ_DONE(1));
    g_assert_false(irq(&npu));
    assert_works(&npu, 1, 2);
    g_assert_true(irq(&npu));
    wr(&npu, XRNPE_IRQ_ENABLE, 0);
    g_assert_false(irq(&npu));
    npu_quit(&npu);
}

/*
 * Each job appends its queue's digit to the number in base 4 that the one
 * before it left. With the machine stopped all are queued in the wrong order
 * before any is served.
 */
static void test_priority(void)
{
    Npu npu = npu_start();

    qtest_qmp_assert_success(npu.qts, "{ 'execute': 'stop' }");
    for (unsigned int q = XRNPE_MAX_QUEUES; q-- > 0;) {
        struct xrnpe_cmd cmd = update(q, 8 * q);

        put_scale(&npu, CONSTANTS + 8 * q, 4, q);
        queue_job(&npu, q, &cmd, 1, 1);
    }
    for (unsigned int q = 0; q < XRNPE_MAX_QUEUES; q++) {
        g_assert_cmpuint(rdq(&npu, q, XRNPE_QUEUE_HEAD), ==, 0);
    }
    qtest_qmp_assert_success(npu.qts, "{ 'execute': 'cont' }");
    for (unsigned int q = 0; q < XRNPE_MAX_QUEUES; q++) {
        wait_head(&npu, q, 1);
    }
    g_assert_cmpfloat(get_float(&npu, variable_addr(XRNPE_MAX_QUEUES)), ==,
                      0 * 64 + 1 * 16 + 2 * 4 + 3);
    npu_quit(&npu);
}

/*
 * Commands take a millisecond here, and virtual time stands still unless it is
 * told to go on. An urgent job comes while the first command of another one
 * executes: it is served after that command, the other job's last one after it.
 */
static void test_preemption(void)
{
    Npu npu = npu_open(",x-fault-slow=1000", "");
    struct xrnpe_cmd patient[2] = { update(0, 0), update(2, 0) };
    struct xrnpe_cmd urgent = update(1, 0);

    prepare(&npu);
    put_scale(&npu, CONSTANTS, 1, 1);
    queue_job(&npu, 3, patient, ARRAY_SIZE(patient), 1);
    assert_executes(&npu, 3);
    queue_job(&npu, 0, &urgent, 1, 1);
    qtest_clock_step(npu.qts, 999 * SCALE_US);
    g_usleep(5000);
    g_assert_cmpuint(rdq(&npu, 3, XRNPE_QUEUE_EXECUTED_LO), ==, 999 * SCALE_US);
    assert_executes(&npu, 3);
    qtest_clock_step(npu.qts, SCALE_US);
    assert_executes(&npu, 0);
    g_assert_cmpuint(rdq(&npu, 3, XRNPE_QUEUE_STATE), ==,
                     XRNPE_QUEUE_STATE_RUNNING);
    qtest_clock_step(npu.qts, SCALE_MS);
    wait_head(&npu, 0, 1);
    assert_done(&npu, 0, 1);
    assert_executes(&npu, 3);
    g_assert_cmpuint(rdq(&npu, 3, XRNPE_QUEUE_HEAD), ==, 0);
    g_assert_cmpuint(rdq(&npu, 3, XRNPE_QUEUE_EXECUTED_LO), ==, SCALE_MS);
    qtest_clock_step(npu.qts, SCALE_MS);
    wait_head(&npu, 3, 1);
    assert_done(&npu, 3, 1);
    g_assert_cmpfloat(get_float(&npu, variable_addr(3)), ==, 3);
    npu_quit(&npu);
}

/*
 * By the cycle model every command ends at the time that is predicted, and the
 * counters say what is predicted.
 */
static void test_timing(void)
{
    static const struct xrnpe_machine machine = {
        .rows = 4, .cols = 16, .bus_bytes = 16, .sram_kib = 256,
        .latency = 100, .clock_khz = 1000000,
    };
    Npu npu = npu_open(",timing=model,rows=4,cols=16", "");
    struct xrnpe_cmd cmd[3] = {
        work(100, 300), small_matmul(&npu), update(0, 0),
    };
    struct xrnpe_job_desc desc = descriptor(CMDS(1), ARRAY_SIZE(cmd), 3);
    struct xrnpe_counters sum = { };
    struct xrnpe_job_record record;
    const uint64_t *want = (const uint64_t *)&sum;
    uint64_t *got = (uint64_t *)&record.counters;
    uint64_t start = 1000000;

    prepare(&npu);
    qtest_memwrite(npu.qts, CMDS(1), cmd, sizeof(cmd));
    desc.flags = cpu_to_le32(XRNPE_JOB_RECORD);
    desc.record = cpu_to_le64(RECORD);
    qtest_clock_step(npu.qts, start);
    queue_desc(&npu, 1, &desc);
    for (unsigned int i = 0; i < ARRAY_SIZE(cmd); i++) {
        uint64_t before = sum.cycles;

        assert_executes(&npu, 1);
        xrnpe_cmd_cost(&machine, &cmd[i], &sum);
        qtest_clock_step(npu.qts, sum.cycles - before - 1);
        g_usleep(5000);
        g_assert_cmpuint(rd(&npu, XRNPE_COUNTER_LO(COUNTER(commands))), ==, i);
        g_assert_cmpuint(rdq(&npu, 1, XRNPE_QUEUE_EXECUTED_LO), ==,
                         sum.cycles - 1);
        qtest_clock_step(npu.qts, 1);
        wait_until(&npu, XRNPE_COUNTER_LO(COUNTER(commands)), ~0, i + 1);
    }
    wait_head(&npu, 1, 1);
    assert_done(&npu, 1, 3);
    qtest_memread(npu.qts, RECORD, &record, sizeof(record));
    g_assert_cmpuint(le64_to_cpu(record.start), ==, start);
    g_assert_cmpuint(le64_to_cpu(record.end), ==, start + sum.cycles);
    g_assert_cmpuint(le64_to_cpu(record.executed), ==, sum.cycles);
    for (unsigned int i = 0; i < XRNPE_COUNTERS; i++) {
        g_assert_cmpuint(le64_to_cpu(got[i]), ==, want[i]);
        g_assert_cmpuint(rd(&npu, XRNPE_COUNTER_LO(i)), ==, (uint32_t)want[i]);
        g_assert_cmpuint(rd(&npu, XRNPE_COUNTER_HI(i)), ==, want[i] >> 32);
    }
    npu_quit(&npu);
}

/* What a job did and when, on request */
static void test_job_record(void)
{
    Npu npu = npu_open(",x-fault-slow=1000", "");
    struct xrnpe_cmd cmd[3] = {
        update(0, 0), update(1, 0), { .opcode = 0x77 },
    };
    struct xrnpe_job_desc desc = descriptor(CMDS(2), 2, 0x1234);
    struct xrnpe_job_record record;

    prepare(&npu);
    put_scale(&npu, CONSTANTS, 1, 1);
    /* Records further apart than they must be, with something in between */
    qtest_memset(npu.qts, CMDS(2), 0xff, 0x1000);
    for (unsigned int i = 0; i < ARRAY_SIZE(cmd); i++) {
        qtest_memwrite(npu.qts, CMDS(2) + i * 320, &cmd[i], sizeof(cmd[i]));
    }
    desc.cmd_stride = cpu_to_le32(320);
    desc.flags = cpu_to_le32(XRNPE_JOB_RECORD);
    desc.record = cpu_to_le64(RECORD);
    qtest_memset(npu.qts, RECORD, 0xff, 2 * sizeof(record));
    qtest_clock_step(npu.qts, 77);
    queue_desc(&npu, 2, &desc);
    for (unsigned int i = 0; i < 2; i++) {
        assert_executes(&npu, 2);
        wait_until(&npu, XRNPE_COUNTER_LO(COUNTER(commands)), ~0, i);
        qtest_clock_step(npu.qts, SCALE_MS);
    }
    wait_head(&npu, 2, 1);
    assert_done(&npu, 2, 0x1234);
    qtest_memread(npu.qts, RECORD, &record, sizeof(record));
    g_assert_cmphex(le32_to_cpu(record.seqno), ==, 0x1234);
    g_assert_cmphex(record.status, ==, 0);
    g_assert_true(buffer_is_zero(&record.fault, sizeof(record.fault)));
    g_assert_cmpuint(le64_to_cpu(record.start), ==, 77);
    g_assert_cmpuint(le64_to_cpu(record.end), ==, 77 + 2 * SCALE_MS);
    g_assert_cmpuint(le64_to_cpu(record.executed), ==, 2 * SCALE_MS);
    g_assert_cmpuint(le64_to_cpu(record.counters.commands), ==, 2);
    g_assert_true(buffer_is_zero(record.reserved, sizeof(record.reserved)));
    g_assert_cmphex(qtest_readb(npu.qts, RECORD + sizeof(record)), ==, 0xff);
    g_assert_cmpuint(rdq(&npu, 2, XRNPE_QUEUE_EXECUTED_LO), ==, 0);

    /* A job that faults has a record, too; the device's counters go on. */
    desc.cmd_count = cpu_to_le32(3);
    desc.seqno = cpu_to_le32(0x1235);
    queue_desc(&npu, 2, &desc);
    for (unsigned int i = 2; i < 4; i++) {
        wait_until(&npu, XRNPE_COUNTER_LO(COUNTER(commands)), ~0, i);
        qtest_clock_step(npu.qts, SCALE_MS);
    }
    wait_head(&npu, 2, 2);
    qtest_memread(npu.qts, RECORD, &record, sizeof(record));
    g_assert_cmphex(le32_to_cpu(record.seqno), ==, 0x1235);
    g_assert_cmpuint(le32_to_cpu(record.fault.kind), ==,
                     XRNPE_FAULT_ILLEGAL_OPCODE);
    g_assert_cmpuint(le32_to_cpu(record.fault.cmd), ==, 2);
    g_assert_cmpuint(le32_to_cpu(record.fault.operand), ==, XRNPE_OPERAND_NONE);
    g_assert_cmpuint(le64_to_cpu(record.counters.commands), ==, 2);
    g_assert_cmpuint(rd(&npu, XRNPE_COUNTER_LO(COUNTER(commands))), ==, 4);
    g_assert_cmpuint(rd(&npu, XRNPE_TIMER_LO), ==, 77 + 4 * SCALE_MS);
    npu_quit(&npu);
}

/* Without its status page, or a descriptor, the device can report nothing. */
static void test_bus_error(const void *data)
{
    bool descriptor_lost = data;
    Npu npu = npu_start();
    struct xrnpe_cmd cmd = small_matmul(&npu);

    wr(&npu, XRNPE_CTRL, XRNPE_CTRL_RESET);
    set_status_page(&npu, descriptor_lost ? STATUS_PAGE : UNMAPPED);
    enable(&npu, 0, descriptor_lost ? UNMAPPED : RING(0), RING_SIZE);
    enable(&npu, 1, RING(1), RING_SIZE);
    wr(&npu, XRNPE_IRQ_ENABLE, XRNPE_IRQ_BUS_ERROR);
    queue_job(&npu, 0, &cmd, 1, 1);
    wait_until(&npu, XRNPE_STATUS, ~0, XRNPE_STATUS_BUS_ERROR);
    assert_bus_addr(&npu, UNMAPPED);
    g_assert_cmphex(rd(&npu, XRNPE_IRQ_STATUS), ==, XRNPE_IRQ_BUS_ERROR);
    g_assert_true(irq(&npu));
    g_assert_cmpuint(rdq(&npu, 0, XRNPE_QUEUE_HEAD), ==, 0);

    /* Nothing runs until reset. */
    small_matmul(&npu);
    queue_job(&npu, 1, &cmd, 1, 1);
    g_usleep(20000);
    g_assert_cmpuint(rdq(&npu, 1, XRNPE_QUEUE_HEAD), ==, 0);
    assert_small_matmul_unwritten(&npu);
    wrq(&npu, 1, XRNPE_QUEUE_CTRL, 0);
    g_assert_cmpuint(rdq(&npu, 1, XRNPE_QUEUE_STATE), ==,
                     XRNPE_QUEUE_STATE_DISABLED);
    wr(&npu, XRNPE_CTRL, XRNPE_CTRL_RESET);
    assert_reset(&npu);
    prepare(&npu);
    assert_works(&npu, 1, 2);
    npu_quit(&npu);
}

/* With a command in flight the VM stops soon, and the result is right. */
static void test_stop(void)
{
    Npu npu = npu_start();
    struct xrnpe_cmd cmd[2] = { work(4096, 256), small_matmul(&npu) };
    struct xrnpe_cmd forever = endless();

    queue_job(&npu, 0, cmd, 2, 1);
    for (unsigned int i = 0; i < 5; i++) {
        uint32_t head;

        qtest_qmp_assert_success(npu.qts, "{ 'execute': 'stop' }");
        head = rdq(&npu, 0, XRNPE_QUEUE_HEAD);
        g_usleep(5000);
        g_assert_cmpuint(rdq(&npu, 0, XRNPE_QUEUE_HEAD), ==, head);
        qtest_qmp_assert_success(npu.qts, "{ 'execute': 'cont' }");
    }
    wait_head(&npu, 0, 1);
    assert_done(&npu, 0, 1);
    assert_small_matmul(&npu);

    queue_job(&npu, 0, &forever, 1, 2);
    g_usleep(5000);
    qtest_qmp_assert_success(npu.qts, "{ 'execute': 'stop' }");
    abort_job(&npu, 0, 1);
    g_assert_cmpuint(rdq(&npu, 0, XRNPE_QUEUE_HEAD), ==, 1);
    qtest_qmp_assert_success(npu.qts, "{ 'execute': 'cont' }");
    wait_head(&npu, 0, 2);
    npu_quit(&npu);
}

static void wait_migration(Npu *npu)
{
    int64_t end = g_get_monotonic_time() + WAIT_US;

    for (;;) {
        QDict *answer = qtest_qmp(npu->qts, "{ 'execute': 'query-migrate' }");
        QDict *info = qdict_get_qdict(answer, "return");
        g_autofree char *status =
            g_strdup(qdict_get_try_str(info, "status"));

        qobject_unref(answer);
        g_assert_cmpstr(status, !=, "failed");
        if (!g_strcmp0(status, "completed")) {
            return;
        }
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(2000);
    }
}

static void migrate_to(Npu *npu, const char *uri)
{
    qtest_qmp_assert_success(npu->qts, "{ 'execute': 'migrate', 'arguments': "
                             "{ 'uri': %s } }", uri);
    wait_migration(npu);
}

/*
 * Migrate with a command in flight, a job half done, jobs queued, a stopped
 * queue and an interrupt pending. The destination finishes the work.
 */
static void test_migrate(void)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("xrnpe-XXXXXX.vmstate", &path, NULL);
    g_autofree char *uri = g_strdup_printf("file:%s", path);
    g_autofree char *incoming = g_strdup_printf("-incoming %s", uri);
    Npu from = npu_start();
    Npu to;
    struct xrnpe_cmd bad = { .opcode = 0x77 };
    struct xrnpe_cmd cmd[3] = { update(0, 0x200), endless(),
                                update(1, 0x200) };
    static const struct xrnpe_fault want = {
        .kind = XRNPE_FAULT_ILLEGAL_OPCODE,
        .operand = XRNPE_OPERAND_NONE,
    };

    g_assert_cmpint(fd, >=, 0);
    close(fd);
    small_matmul(&from);
    put_scale(&from, CONSTANTS + 0x200, 1, 1);
    wr(&from, XRNPE_IRQ_ENABLE, XRNPE_IRQ_STOPPED(3));
    queue_job(&from, 3, &bad, 1, 30);
    wait_head(&from, 3, 1);
    assert_fault(&from, 3, 30, &want);
    queue_job(&from, 1, cmd, 3, 10);
    queue_job(&from, 1, cmd, 3, 11);
    wait_float(&from, variable_addr(1), 1);

    migrate_to(&from, uri);
    npu_quit(&from);

    to = npu_open(",kernel=plain", incoming);
    memcpy(to.tail, from.tail, sizeof(to.tail));
    wait_migration(&to);
    unlink(path);
    assert_fault(&to, 3, 30, &want);
    g_assert_cmphex(rd(&to, XRNPE_IRQ_STATUS), ==,
                    XRNPE_IRQ_DONE(3) | XRNPE_IRQ_STOPPED(3));
    g_assert_cmphex(rd(&to, XRNPE_IRQ_ENABLE), ==, XRNPE_IRQ_STOPPED(3));
    g_assert_cmpuint(rdq(&to, 1, XRNPE_QUEUE_STATE), ==,
                     XRNPE_QUEUE_STATE_RUNNING);
    g_assert_cmpuint(rdq(&to, 1, XRNPE_QUEUE_HEAD), ==, 0);
    g_assert_cmpuint(rdq(&to, 1, XRNPE_QUEUE_TAIL), ==, 2);
    g_assert_cmphex(rd(&to, XRNPE_STATUS), ==,
                    XRNPE_STATUS_BUSY | 1 << XRNPE_STATUS_QUEUE_SHIFT);

    /* The first job goes on at its second command, which does not end. */
    g_usleep(10000);
    g_assert_cmpfloat(get_float(&to, variable_addr(2)), ==, 0);
    abort_job(&to, 1, 0);
    wait_head(&to, 1, 1);
    g_assert_cmpuint(status_of(&to, 1).fault_seqno, ==, 10);
    g_assert_cmpuint(status_of(&to, 1).fault.kind, ==, XRNPE_FAULT_ABORTED);
    g_assert_cmpuint(status_of(&to, 1).fault.cmd, ==, 1);
    control(&to, 3, XRNPE_QUEUE_CTRL_RESUME);
    assert_works(&to, 3, 31);
    npu_quit(&to);
}

/* A destination that is built otherwise refuses the stream. */
static void test_migrate_mismatch(void)
{
    g_autofree char *path = NULL;
    g_autofree char *err = NULL;
    int fd = g_file_open_tmp("xrnpe-XXXXXX.vmstate", &path, NULL);
    g_autofree char *uri = g_strdup_printf("file:%s", path);
    Npu from = npu_start();
    int status;

    g_assert_cmpint(fd, >=, 0);
    close(fd);
    migrate_to(&from, uri);
    npu_quit(&from);

    {
        const char *argv[] = {
            getenv("QTEST_QEMU_BINARY"), "-machine", "virt", "-nodefaults",
            "-display", "none", "-m", "64M", "-accel", "qtest",
            "-device", "xrnpe,id=npu0,queues=2", "-incoming", uri, NULL,
        };

        g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL,
                                   G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, &err,
                                   &status, NULL));
    }
    unlink(path);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 1);
    g_assert_nonnull(strstr(err, "'queues' must be as at the source"));
}

static void set_realized(Npu *npu, bool realized)
{
    qtest_qmp_assert_success(npu->qts, "{ 'execute': 'qom-set', 'arguments': "
                             "{ 'path': '/machine/peripheral/npu0', "
                             "'property': 'realized', 'value': %i } }",
                             realized);
}

/* Unplugging, as a machine with a way to do it would: no registers are left. */
static void test_unrealize(void)
{
    Npu npu = npu_start();
    struct xrnpe_cmd cmd = endless();

    queue_job(&npu, 0, &cmd, 1, 1);
    wait_until(&npu, XRNPE_STATUS, XRNPE_STATUS_BUSY, XRNPE_STATUS_BUSY);
    set_realized(&npu, false);
    wr(&npu, XRNPE_IRQ_ENABLE, 1);
    wr(&npu, XRNPE_CTRL, XRNPE_CTRL_RESET);
    g_assert_cmphex(rd(&npu, XRNPE_ID), ==, 0);
    set_realized(&npu, true);
    assert_reset(&npu);
    prepare(&npu);
    assert_works(&npu, 0, 1);
    npu_quit(&npu);
}

/*
 * A driver gone mad: legal and illegal register writes, descriptors and
 * commands at random. The device survives, and works after a reset.
 */
static void test_random(void)
{
    static const uint32_t offsets[] = {
        XRNPE_QUEUE_TAIL, XRNPE_QUEUE_CTRL, XRNPE_QUEUE_CTRL, XRNPE_QUEUE_SIZE,
        XRNPE_QUEUE_BASE_LO,
    };
    Npu npu = npu_start();
    g_autoptr(GRand) rand = g_rand_new_with_seed(g_test_rand_int());
    struct xrnpe_cmd cmds[64];

    for (unsigned int i = 0; i < ARRAY_SIZE(cmds); i++) {
        cmds[i] = i % 4 == 0 ? work(64, 16) : i % 4 == 1 ? update(0, 0) :
                  i % 4 == 2 ? small_matmul(&npu) : endless();
        if (g_rand_boolean(rand)) {
            size_t bit = g_rand_int_range(rand, 0, 8 * sizeof(cmds[i]));

            ((uint8_t *)&cmds[i])[bit / 8] ^= 1 << bit % 8;
        }
    }
    for (unsigned int q = 0; q < XRNPE_MAX_QUEUES; q++) {
        qtest_memwrite(npu.qts, CMDS(q), cmds, sizeof(cmds));
        for (unsigned int i = 0; i < RING_SIZE; i++) {
            struct xrnpe_job_desc desc =
                descriptor(CMDS(q) + g_rand_int_range(rand, 0, 60) *
                                     sizeof(cmds[0]),
                           g_rand_int_range(rand, 0, 5), i);

            qtest_memwrite(npu.qts, RING(q) + i * sizeof(desc), &desc,
                           sizeof(desc));
        }
    }
    for (unsigned int i = 0; i < 3000; i++) {
        unsigned int q = g_rand_int_range(rand, 0, XRNPE_MAX_QUEUES);
        uint32_t offset = offsets[g_rand_int_range(rand, 0,
                                                   ARRAY_SIZE(offsets))];

        switch (g_rand_int_range(rand, 0, 8)) {
        case 0:
            wr(&npu, g_rand_int_range(rand, 0, XRNPE_MMIO_SIZE / 4) * 4,
               g_rand_int(rand));
            break;
        case 1:
            npu.tail[q] = rdq(&npu, q, XRNPE_QUEUE_HEAD);
            wrq(&npu, q, XRNPE_QUEUE_TAIL,
                npu.tail[q] + g_rand_int_range(rand, 0, RING_SIZE));
            break;
        case 2:
            if (g_rand_int_range(rand, 0, 20) == 0) {
                wr(&npu, XRNPE_CTRL, XRNPE_CTRL_RESET);
                set_status_page(&npu, STATUS_PAGE);
            }
            break;
        case 3:
            enable(&npu, q, RING(q), RING_SIZE);
            break;
        case 4:
            wrq(&npu, q, offset, g_rand_int_range(rand, 0, 16));
            break;
        default:
            control(&npu, q, g_rand_int_range(rand, 0, 4) << 1);
            abort_job(&npu, q, rdq(&npu, q, XRNPE_QUEUE_HEAD));
            break;
        }
    }
    wr(&npu, XRNPE_CTRL, XRNPE_CTRL_RESET);
    wait_until(&npu, XRNPE_CTRL, XRNPE_CTRL_RESET, 0);
    assert_reset(&npu);
    prepare(&npu);
    assert_works(&npu, 0, 1);
    npu_quit(&npu);
}

int main(int argc, char **argv)
{
    static const char *const bad_properties[] = {
        "rows=0", "cols=0", "queues=0", "queues=5", "threads=257",
        "kernel=none-such", "timing=wrong",
    };

    g_test_init(&argc, &argv, NULL);

    qtest_add_func("/xrnpe/identification", test_identification);
    qtest_add_func("/xrnpe/access-width", test_access_width);
    qtest_add_func("/xrnpe/device-tree", test_device_tree);
    for (unsigned int i = 0; i < ARRAY_SIZE(bad_properties); i++) {
        g_autofree char *path = g_strdup_printf("/xrnpe/bad-property/%s",
                                                bad_properties[i]);

        qtest_add_data_func(path, bad_properties[i], test_bad_property);
    }
    qtest_add_func("/xrnpe/matmul", test_matmul);
    qtest_add_func("/xrnpe/formats", test_formats);
    qtest_add_func("/xrnpe/invalid-status", test_invalid_status);
    qtest_add_func("/xrnpe/job-record", test_job_record);
    qtest_add_func("/xrnpe/timing", test_timing);
    qtest_add_func("/xrnpe/ring-wrap", test_ring_wrap);
    qtest_add_func("/xrnpe/doorbell", test_doorbell);
    qtest_add_func("/xrnpe/bad-ring", test_bad_ring);
    for (unsigned int i = 0; i < ARRAY_SIZE(fault_cases); i++) {
        g_autofree char *path = g_strdup_printf("/xrnpe/fault/%s",
                                                fault_cases[i].name);

        qtest_add_data_func(path, &fault_cases[i], test_fault);
    }
    qtest_add_func("/xrnpe/fault/bus", test_bus_fault);
    qtest_add_func("/xrnpe/fault/illegal-job", test_illegal_job);
    qtest_add_func("/xrnpe/abort", test_abort);
    qtest_add_func("/xrnpe/abort-late", test_abort_late);
    qtest_add_func("/xrnpe/abort-waiting", test_abort_waiting);
    qtest_add_func("/xrnpe/disable", test_disable);
    qtest_add_data_func("/xrnpe/reset/register", (void *)false, test_reset);
    qtest_add_data_func("/xrnpe/reset/machine", (void *)true, test_reset);
    qtest_add_func("/xrnpe/inject/hang", test_hang);
    qtest_add_func("/xrnpe/inject/drop-irq", test_drop_irq);
    qtest_add_func("/xrnpe/inject/bus-error", test_inject_bus_error);
    qtest_add_func("/xrnpe/inject/seqno", test_wrong_seqno);
    qtest_add_func("/xrnpe/inject/ignore-abort", test_ignore_abort);
    qtest_add_data_func("/xrnpe/inject/stuck", (void *)false, test_stuck);
    qtest_add_data_func("/xrnpe/inject/stuck-reset", (void *)true, test_stuck);
    qtest_add_func("/xrnpe/interrupt", test_interrupt);
    qtest_add_func("/xrnpe/priority", test_priority);
    qtest_add_func("/xrnpe/preemption", test_preemption);
    qtest_add_data_func("/xrnpe/bus-error/status-page", (void *)false,
                        test_bus_error);
    qtest_add_data_func("/xrnpe/bus-error/descriptor", (void *)true,
                        test_bus_error);
    qtest_add_func("/xrnpe/stop", test_stop);
    qtest_add_func("/xrnpe/migrate", test_migrate);
    qtest_add_func("/xrnpe/migrate-mismatch", test_migrate_mismatch);
    qtest_add_func("/xrnpe/unrealize", test_unrealize);
    qtest_add_func("/xrnpe/random", test_random);

    return g_test_run();
}
