/*
 * The XR-NPE neural co-processor in qtests: see xrnpe-npu.h
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qobject/qdict.h"
#include "datapath.h"
#include "xrnpe-npu.h"

#define WAIT_US         (60 * G_USEC_PER_SEC)

const Soc *soc;

void soc_init(void)
{
    static const Soc arm = {
        .npu = 0x0c000000,
        .ram = 0x40000000,
        .uart = 0x09000000,
        .pci = 0x20000000,
        .flash = 0,
    };
    static const Soc riscv = {
        .npu = 0x04000000,
        .ram = 0x80000000,
        .uart = 0x10000000,
        .pci = 0x40000000,
        .flash = 0x20000000,
    };

    soc = g_str_equal(qtest_get_arch(), "riscv64") ? &riscv : &arm;
}

/* ---- Registers --------------------------------------------------------- */

uint32_t rd(Npu *npu, uint32_t offset)
{
    return qtest_readl(npu->qts, npu->base + offset);
}

void wr(Npu *npu, uint32_t offset, uint32_t value)
{
    qtest_writel(npu->qts, npu->base + offset, value);
}

uint32_t rdq(Npu *npu, unsigned int q, uint32_t offset)
{
    return rd(npu, XRNPE_QUEUE(q) + offset);
}

void wrq(Npu *npu, unsigned int q, uint32_t offset, uint32_t value)
{
    wr(npu, XRNPE_QUEUE(q) + offset, value);
}

void wait_until(Npu *npu, uint32_t offset, uint32_t mask, uint32_t want)
{
    int64_t end = g_get_monotonic_time() + WAIT_US;

    while ((rd(npu, offset) & mask) != want) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(200);
    }
}

void wait_head(Npu *npu, unsigned int q, uint32_t head)
{
    wait_until(npu, XRNPE_QUEUE(q) + XRNPE_QUEUE_HEAD, UINT32_MAX, head);
}

void wait_state(Npu *npu, unsigned int q, uint32_t state)
{
    wait_until(npu, XRNPE_QUEUE(q) + XRNPE_QUEUE_STATE, UINT32_MAX, state);
}

bool irq(Npu *npu)
{
    /* Read first, so that news of the line have arrived. */
    rd(npu, XRNPE_ID);
    return qtest_get_irq(npu->qts, 0);
}

void inject(Npu *npu, const char *fault, int64_t value)
{
    qtest_qmp_assert_success(npu->qts, "{ 'execute': 'qom-set', 'arguments': "
                             "{ 'path': '/machine/peripheral/npu0', "
                             "'property': %s, 'value': %" PRId64 " } }",
                             fault, value);
}

void inject_flag(Npu *npu, const char *fault, bool value)
{
    qtest_qmp_assert_success(npu->qts, "{ 'execute': 'qom-set', 'arguments': "
                             "{ 'path': '/machine/peripheral/npu0', "
                             "'property': %s, 'value': %i } }", fault, value);
}

void control(Npu *npu, unsigned int q, uint32_t bits)
{
    wrq(npu, q, XRNPE_QUEUE_CTRL, XRNPE_QUEUE_CTRL_ENABLE | bits);
}

void enable(Npu *npu, unsigned int q, uint64_t base, uint32_t size)
{
    wrq(npu, q, XRNPE_QUEUE_BASE_LO, base);
    wrq(npu, q, XRNPE_QUEUE_BASE_HI, base >> 32);
    wrq(npu, q, XRNPE_QUEUE_SIZE, size);
    control(npu, q, 0);
    npu->tail[q] = 0;
}

void set_status_page(Npu *npu, uint64_t addr)
{
    wr(npu, XRNPE_STATUS_BASE_LO, addr);
    wr(npu, XRNPE_STATUS_BASE_HI, addr >> 32);
}

void put_table(Npu *npu)
{
    const uint64_t base[REGIONS] = {
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

void abort_job(Npu *npu, unsigned int q, uint32_t count)
{
    wrq(npu, q, XRNPE_QUEUE_ABORT, count);
}

void prepare(Npu *npu)
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

Npu npu_open(const char *properties, const char *arguments)
{
    Npu npu = {
        .base = soc->npu,
        .qts = qtest_initf("-machine virt -m 64M -nodefaults "
                           "-device xrnpe,id=npu0%s %s", properties, arguments),
    };

    qtest_irq_intercept_out_named(npu.qts, "/machine/peripheral/npu0",
                                  "sysbus-irq");
    return npu;
}

Npu npu_start(void)
{
    Npu npu = npu_open(",kernel=plain", "");

    prepare(&npu);
    return npu;
}

void npu_quit(Npu *npu)
{
    qtest_quit(npu->qts);
}

/* ---- Jobs -------------------------------------------------------------- */

struct xrnpe_job_desc descriptor(uint64_t cmds, uint32_t cmd_count,
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

uint64_t slot(Npu *npu, unsigned int q)
{
    return RING(q) +
           npu->tail[q] % RING_SIZE * sizeof(struct xrnpe_job_desc);
}

void queue_desc(Npu *npu, unsigned int q,
                const struct xrnpe_job_desc *desc)
{
    qtest_memwrite(npu->qts, slot(npu, q), desc, sizeof(*desc));
    wrq(npu, q, XRNPE_QUEUE_TAIL, ++npu->tail[q]);
}

void queue_job(Npu *npu, unsigned int q, const struct xrnpe_cmd *cmds,
               uint32_t count, uint32_t seqno)
{
    uint64_t place = CMDS(q) + npu->tail[q] % RING_SIZE * JOB_BYTES;
    struct xrnpe_job_desc desc = descriptor(place, count, seqno);

    g_assert_cmpuint(count * sizeof(*cmds), <=, JOB_BYTES);
    qtest_memwrite(npu->qts, place, cmds, count * sizeof(*cmds));
    queue_desc(npu, q, &desc);
}

struct xrnpe_queue_status status_of(Npu *npu, unsigned int q)
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

void assert_done(Npu *npu, unsigned int q, uint32_t seqno)
{
    struct xrnpe_queue_status s = status_of(npu, q);

    g_assert_cmpuint(s.seqno, ==, seqno);
    g_assert_false(s.fault.kind != XRNPE_FAULT_NONE && s.fault_seqno == seqno);
    g_assert_cmpuint(rdq(npu, q, XRNPE_QUEUE_STATE), !=,
                     XRNPE_QUEUE_STATE_STOPPED);
}

void assert_fault(Npu *npu, unsigned int q, uint32_t seqno,
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

void assert_executes(Npu *npu, unsigned int q)
{
    wait_until(npu, XRNPE_STATUS, ~0,
               XRNPE_STATUS_BUSY | FIELD_PREP(XRNPE_STATUS_QUEUE_MASK, q));
}

void assert_bus_addr(Npu *npu, uint64_t addr)
{
    g_assert_cmphex(rd(npu, XRNPE_BUS_ADDR_LO), ==, (uint32_t)addr);
    g_assert_cmphex(rd(npu, XRNPE_BUS_ADDR_HI), ==, addr >> 32);
}

void assert_reset(Npu *npu)
{
    g_assert_cmphex(rd(npu, XRNPE_STATUS), ==, 0);
    g_assert_cmphex(rd(npu, XRNPE_IRQ_STATUS), ==, 0);
    g_assert_cmphex(rd(npu, XRNPE_IRQ_ENABLE), ==, 0);
    g_assert_cmphex(rd(npu, XRNPE_STATUS_BASE_LO), ==, 0);
    g_assert_cmphex(rd(npu, XRNPE_STATUS_BASE_HI), ==, 0);
    assert_bus_addr(npu, 0);
    for (unsigned int i = 0; i < XRNPE_COUNTERS; i++) {
        g_assert_cmphex(rd(npu, XRNPE_COUNTER_LO(i)), ==, 0);
        g_assert_cmphex(rd(npu, XRNPE_COUNTER_HI(i)), ==, 0);
    }
    for (unsigned int q = 0; q < XRNPE_MAX_QUEUES; q++) {
        for (uint32_t offset = 0; offset < 0x40; offset += 4) {
            g_assert_cmphex(rdq(npu, q, offset), ==, 0);
        }
    }
    g_assert_false(irq(npu));
}

/* ---- Commands ---------------------------------------------------------- */

struct xrnpe_operand operand(uint8_t region, uint8_t format,
                             uint64_t offset, uint32_t row_stride)
{
    return (struct xrnpe_operand) {
        .offset = offset,
        .row_stride = row_stride,
        .region = region,
        .format = format,
    };
}

struct xrnpe_cmd matmul(uint8_t format, uint8_t out, uint32_t m,
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

struct xrnpe_cmd work(uint32_t m, uint32_t k)
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

struct xrnpe_cmd endless(void)
{
    return work(XRNPE_MAX_WORK / 64 / XRNPE_MAX_K, XRNPE_MAX_K);
}

struct xrnpe_operand variable(unsigned int index)
{
    struct xrnpe_operand x = operand(1, XRNPE_FORMAT_F32, 4 * index, 4);

    x.pixel_stride = 4;
    return x;
}

uint64_t variable_addr(unsigned int index)
{
    return ARENA + 4 * index;
}

struct xrnpe_cmd update(unsigned int index, uint64_t scale_offset)
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

void put_float(Npu *npu, uint64_t addr, float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    qtest_writel(npu->qts, addr, bits);
}

float get_float(Npu *npu, uint64_t addr)
{
    uint32_t bits = qtest_readl(npu->qts, addr);
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

void wait_float(Npu *npu, uint64_t addr, float want)
{
    int64_t end = g_get_monotonic_time() + WAIT_US;

    while (get_float(npu, addr) != want) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(200);
    }
}

void put_scale(Npu *npu, uint64_t addr, float scale, float bias)
{
    put_float(npu, addr, scale);
    put_float(npu, addr + 4, bias);
}

/* [1 2] [1 3]   [ 5 11]      a MATMUL of P8 with scale 0.5 and bias 1:   */
/* [3 4] [2 4] = [11 25]      3.5 6.5 6.5 13.5; all are P8 but 13.5       */
struct xrnpe_cmd small_matmul(Npu *npu)
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

void assert_small_matmul(Npu *npu)
{
    g_assert_cmpfloat(get_float(npu, OUTPUT), ==, 3.5);
    g_assert_cmpfloat(get_float(npu, OUTPUT + 4), ==, 6.5);
    g_assert_cmpfloat(get_float(npu, OUTPUT + 8), ==, 6.5);
    g_assert_cmpfloat(get_float(npu, OUTPUT + 12), ==, 13.5);
    g_assert_cmphex(qtest_readl(npu->qts, OUTPUT + 16), ==, 0xeeeeeeee);
}

void assert_small_matmul_unwritten(Npu *npu)
{
    for (unsigned int i = 0; i < 16; i++) {
        g_assert_cmphex(qtest_readb(npu->qts, OUTPUT + i), ==, 0xee);
    }
}

void assert_works(Npu *npu, unsigned int q, uint32_t seqno)
{
    struct xrnpe_cmd cmd = small_matmul(npu);

    queue_job(npu, q, &cmd, 1, seqno);
    wait_head(npu, q, npu->tail[q]);
    assert_done(npu, q, seqno);
    assert_small_matmul(npu);
}

/* ---- The machine ------------------------------------------------------- */

void stop(Npu *npu)
{
    qtest_qmp_assert_success(npu->qts, "{ 'execute': 'stop' }");
}

void cont(Npu *npu)
{
    qtest_qmp_assert_success(npu->qts, "{ 'execute': 'cont' }");
}

void wait_migration(Npu *npu)
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

void migrate_to(Npu *npu, const char *uri)
{
    qtest_qmp_assert_success(npu->qts, "{ 'execute': 'migrate', 'arguments': "
                             "{ 'uri': %s } }", uri);
    wait_migration(npu);
}

void assert_refuses(const char *device, const char *uri, const char *why)
{
    const char *argv[] = {
        getenv("QTEST_QEMU_BINARY"), "-machine", "virt", "-nodefaults",
        "-display", "none", "-m", "64M", "-accel", "qtest", "-device", device,
        uri ? "-incoming" : NULL, uri, NULL,
    };
    g_autofree char *err = NULL;
    int status;

    g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH,
                               NULL, NULL, NULL, &err, &status, NULL));
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 1);
    g_assert_nonnull(strstr(err, why));
}

char *temporary_file(const char *suffix)
{
    g_autofree char *template = g_strdup_printf("xrnpe-XXXXXX.%s", suffix);
    char *path = NULL;
    int fd = g_file_open_tmp(template, &path, NULL);

    g_assert_cmpint(fd, >=, 0);
    close(fd);
    return path;
}

uint64_t line_addr(const Npu *npu)
{
    return npu->base + XRNPE_MMIO_SIZE;
}
