/*
 * Fuzzing the XR-NPE neural co-processor
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A driver and a guest gone mad: registers, descriptors, region tables and
 * commands at random, on a machine that is stopped, reset and migrated
 * meanwhile, and with faults injected. Whatever happens, QEMU survives, what
 * can be seen of the device makes sense, and it works after a reset.
 *
 * A round is determined by its number, which is printed. The environment says
 * which ones to do:
 *
 *   XRNPE_FUZZ_SEED     the first round, default 1
 *   XRNPE_FUZZ_ROUNDS   how many, default 10
 *   XRNPE_FUZZ_SECONDS  begin no further round after so long, default: no limit
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/timer.h"
#include "xrnpe-npu.h"

enum { ACTIONS = 600, COMMANDS = 48 };

typedef struct Round {
    GRand *rand;
    Npu npu;
    char *properties;
    bool stopped;
    bool stuck;
} Round;

static uint32_t below(Round *r, uint32_t limit)
{
    return g_rand_int_range(r->rand, 0, limit);
}

static bool one_in(Round *r, uint32_t n)
{
    return below(r, n) == 0;
}

/* A number as mistakes produce it */
static uint32_t number(Round *r)
{
    switch (below(r, 4)) {
    case 0:
        return below(r, 17);
    case 1:
        return 1u << below(r, 32);
    case 2:
        return -below(r, 17);
    default:
        return g_rand_int(r->rand);
    }
}

static unsigned int queue(Round *r)
{
    return below(r, XRNPE_MAX_QUEUES);
}

/* Somewhere: mostly memory that the device may use */
static uint64_t address(Round *r)
{
    const uint64_t places[] = {
        CONSTANTS, ARENA, INPUT, OUTPUT, SINK, STATUS_PAGE, RING(0), TABLE,
        RECORD, CMDS(0), UNMAPPED - 64, UNMAPPED, soc->uart, soc->npu,
        soc->flash, 0xffffffffffffffc0,
    };
    uint64_t place = places[below(r, ARRAY_SIZE(places))];

    return one_in(r, 4) ? place + below(r, 4096) : place;
}

/* ---- What lies in memory ----------------------------------------------- */

static void flip(Round *r, void *data, size_t size)
{
    size_t bit = below(r, 8 * size);

    ((uint8_t *)data)[bit / 8] ^= 1 << bit % 8;
}

static struct xrnpe_cmd image(Round *r, uint8_t opcode)
{
    struct xrnpe_cmd cmd = {
        .opcode = opcode,
        .operand = {
            [XRNPE_OPERAND_IFM] = operand(2, XRNPE_FORMAT_P8, 0, 128),
            [XRNPE_OPERAND_OFM] = operand(3, XRNPE_FORMAT_P8, 0, 128),
        },
        .image = { .in_h = 9, .in_w = 8, .in_c = 1 + below(r, 16) },
    };
    bool pair = opcode != XRNPE_OP_CONVERT && opcode != XRNPE_OP_LUT;

    cmd.operand[XRNPE_OPERAND_IFM].pixel_stride = 16;
    cmd.operand[XRNPE_OPERAND_OFM].pixel_stride = 16;
    if (pair) {
        cmd.operand[XRNPE_OPERAND_IFM2] = cmd.operand[XRNPE_OPERAND_IFM];
        cmd.operand[XRNPE_OPERAND_IFM2].region = 0;
        cmd.flags = one_in(r, 2) ? XRNPE_CMD_PER_PIXEL : 0;
    } else if (opcode == XRNPE_OP_CONVERT) {
        cmd.order = below(r, XRNPE_ORDERS);
    }
    if (opcode == XRNPE_OP_LUT) {
        cmd.operand[XRNPE_OPERAND_WEIGHT] = operand(0, XRNPE_FORMAT_P8, 0, 0);
    } else {
        cmd.operand[XRNPE_OPERAND_SCALE] =
            operand(0, XRNPE_FORMAT_F32, 0x8000,
                    pair ? (opcode != XRNPE_OP_MUL) * 8 : below(r, 2) * 8);
    }
    return cmd;
}

static struct xrnpe_cmd window(Round *r, uint8_t opcode)
{
    struct xrnpe_cmd cmd = {
        .opcode = opcode,
        .operand = {
            [XRNPE_OPERAND_IFM] = operand(2, XRNPE_FORMAT_P8, 0, 128),
            [XRNPE_OPERAND_OFM] = operand(3, XRNPE_FORMAT_P8, 0, 128),
        },
        .image = {
            .in_h = 9, .in_w = 8, .in_c = 6, .out_h = 8, .out_w = 7,
            .out_c = 6, .groups = 1, .kernel_h = 2, .kernel_w = 2,
            .stride_h = 1, .stride_w = 1, .dilation_h = 1, .dilation_w = 1,
            .pad_top = below(r, 2), .pad_left = below(r, 2),
        },
    };

    cmd.operand[XRNPE_OPERAND_IFM].pixel_stride = 16;
    cmd.operand[XRNPE_OPERAND_OFM].pixel_stride = 16;
    if (opcode == XRNPE_OP_CONV2D) {
        cmd.operand[XRNPE_OPERAND_WEIGHT] = operand(0, XRNPE_FORMAT_P8, 0, 64);
        cmd.operand[XRNPE_OPERAND_WEIGHT].pixel_stride = 16;
        cmd.operand[XRNPE_OPERAND_SCALE] = operand(0, XRNPE_FORMAT_F32, 0x8000,
                                                   0);
    }
    return cmd;
}

static struct xrnpe_cmd copy(Round *r)
{
    struct xrnpe_cmd cmd = {
        .opcode = XRNPE_OP_COPY,
        .operand = {
            [XRNPE_OPERAND_IFM] = operand(2, XRNPE_FORMAT_P8, 0, 128),
            [XRNPE_OPERAND_OFM] = operand(3, XRNPE_FORMAT_P8, 0, 256),
        },
        .copy = {
            .in_h = 4, .in_w = 5, .in_c = 6, .out_h = 9, .out_w = 12,
            .out_c = 8, .pad_h = 1, .pad_w = 1, .pad_c = 1,
            .up_h = 2, .up_w = 2,
        },
        .order = below(r, XRNPE_ORDERS),
        .flags = one_in(r, 2) ? XRNPE_CMD_SPREAD : 0,
    };

    cmd.operand[XRNPE_OPERAND_IFM].pixel_stride = 16;
    cmd.operand[XRNPE_OPERAND_OFM].pixel_stride = 16;
    return cmd;
}

/* A command that is legal, or was before a bit of it changed */
static struct xrnpe_cmd command(Round *r)
{
    struct xrnpe_cmd cmd;
    uint8_t opcode = 1 + below(r, XRNPE_OP_TIMESTAMP);

    switch (opcode) {
    case XRNPE_OP_MATMUL:
        cmd = one_in(r, 8) ? endless() : one_in(r, 2) ? work(64, 100) :
              matmul(below(r, 4), below(r, 5), 1 + below(r, 20),
                     1 + below(r, 20), 1 + below(r, 200));
        break;
    case XRNPE_OP_CONV2D:
    case XRNPE_OP_MAXPOOL:
        cmd = window(r, opcode);
        break;
    case XRNPE_OP_COPY:
        cmd = copy(r);
        break;
    case XRNPE_OP_BARRIER:
        cmd = (struct xrnpe_cmd) { .opcode = opcode };
        break;
    case XRNPE_OP_TIMESTAMP:
        cmd = (struct xrnpe_cmd) { .opcode = opcode };
        cmd.operand[XRNPE_OPERAND_OFM] = operand(1, 0, 64, 0);
        break;
    default:
        cmd = image(r, opcode);
        break;
    }
    if (one_in(r, 3)) {
        flip(r, &cmd, sizeof(cmd));
    }
    return cmd;
}

static void put_command(Round *r, unsigned int q)
{
    struct xrnpe_cmd cmd = command(r);

    qtest_memwrite(r->npu.qts, CMDS(q) + below(r, COMMANDS) * sizeof(cmd),
                   &cmd, sizeof(cmd));
}

static void put_descriptor(Round *r, unsigned int q)
{
    unsigned int first = below(r, COMMANDS);
    struct xrnpe_job_desc desc =
        descriptor(CMDS(q) + first * sizeof(struct xrnpe_cmd),
                   1 + below(r, COMMANDS - first), g_rand_int(r->rand));

    if (one_in(r, 2)) {
        desc.flags = cpu_to_le32(XRNPE_JOB_RECORD);
        desc.record = cpu_to_le64(one_in(r, 8) ? address(r) : RECORD);
    }
    if (one_in(r, 8)) {
        desc.regions = cpu_to_le64(address(r));
    }
    if (one_in(r, 8)) {
        desc.cmds = cpu_to_le64(address(r));
    }
    if (one_in(r, 4)) {
        flip(r, &desc, sizeof(desc));
    }
    qtest_memwrite(r->npu.qts, RING(q) + below(r, RING_SIZE) * sizeof(desc),
                   &desc, sizeof(desc));
}

static void put_region(Round *r)
{
    struct xrnpe_region region = {
        .base = cpu_to_le64(address(r)),
        .size = cpu_to_le64(one_in(r, 2) ? REGION_SIZE : number(r)),
        .flags = cpu_to_le32(below(r, 4)),
    };

    if (one_in(r, 3)) {
        put_table(&r->npu);
        return;
    }
    qtest_memwrite(r->npu.qts, TABLE + below(r, REGIONS) * sizeof(region),
                   &region, sizeof(region));
}

static void put_garbage(Round *r)
{
    uint64_t addr = RING(0) + below(r, CONSTANTS - RING(0));

    qtest_writel(r->npu.qts, addr & ~3ull, g_rand_int(r->rand));
}

/* ---- What is done ------------------------------------------------------ */

static void any_register(Round *r)
{
    uint64_t addr = r->npu.base + below(r, XRNPE_MMIO_SIZE - 8);

    switch (below(r, 8)) {
    case 0:
        qtest_writeb(r->npu.qts, addr, number(r));
        break;
    case 1:
        qtest_writew(r->npu.qts, addr, number(r));
        break;
    case 2:
        qtest_writeq(r->npu.qts, addr, number(r));
        break;
    case 3:
        qtest_readq(r->npu.qts, addr);
        break;
    case 4:
        qtest_readl(r->npu.qts, addr & ~3ull);
        break;
    default:
        qtest_writel(r->npu.qts, addr & ~3ull, number(r));
        break;
    }
}

static void ring_doorbell(Round *r, unsigned int q)
{
    uint32_t tail = rdq(&r->npu, q, XRNPE_QUEUE_TAIL);

    wrq(&r->npu, q, XRNPE_QUEUE_TAIL,
        one_in(r, 8) ? number(r) : tail + below(r, 4));
}

static void start_queue(Round *r, unsigned int q)
{
    set_status_page(&r->npu, one_in(r, 16) ? address(r) : STATUS_PAGE);
    enable(&r->npu, q, one_in(r, 16) ? address(r) : RING(q),
           one_in(r, 8) ? number(r) : RING_SIZE);
}

static void control_queue(Round *r, unsigned int q)
{
    if (one_in(r, 4)) {
        wrq(&r->npu, q, XRNPE_QUEUE_CTRL, number(r));
    } else {
        control(&r->npu, q, XRNPE_QUEUE_CTRL_RESUME);
    }
}

static void any_fault(Round *r)
{
    static const char *const counts[] = {
        "x-fault-hang", "x-fault-drop-irq", "x-fault-bus-error",
        "x-fault-seqno", "x-fault-slow",
    };

    switch (below(r, 8)) {
    case 0:
        inject_flag(&r->npu, "x-fault-ignore-abort", one_in(r, 3));
        break;
    case 1:
        r->stuck = one_in(r, 4);
        inject_flag(&r->npu, "x-fault-stuck", r->stuck);
        break;
    default:
        inject(&r->npu, counts[below(r, ARRAY_SIZE(counts))], below(r, 40));
        break;
    }
}

static void set_line(Round *r, uint32_t value)
{
    qtest_writel(r->npu.qts, line_addr(&r->npu), value);
}

static void heal(Round *r)
{
    inject_flag(&r->npu, "x-fault-ignore-abort", false);
    inject_flag(&r->npu, "x-fault-stuck", false);
    inject(&r->npu, "x-fault-hang", 0);
    inject(&r->npu, "x-fault-drop-irq", 0);
    inject(&r->npu, "x-fault-bus-error", 0);
    inject(&r->npu, "x-fault-seqno", 0);
    inject(&r->npu, "x-fault-slow", 0);
    r->stuck = false;
    set_line(r, 0);
}

/* What holds at any time, looked at while nothing moves */
static void check(Round *r)
{
    uint32_t status = rd(&r->npu, XRNPE_STATUS);
    bool pending;

    for (unsigned int q = 0; q < XRNPE_MAX_QUEUES; q++) {
        uint32_t queued = rdq(&r->npu, q, XRNPE_QUEUE_TAIL) -
                          rdq(&r->npu, q, XRNPE_QUEUE_HEAD);
        uint32_t state = rdq(&r->npu, q, XRNPE_QUEUE_STATE);

        g_assert_cmpuint(queued, <=, XRNPE_QUEUE_SIZE_MAX);
        g_assert_cmpuint(state, <=, XRNPE_QUEUE_STATE_STOPPED);
        g_assert_cmpuint(rdq(&r->npu, q, XRNPE_QUEUE_CTRL), ==,
                         state != XRNPE_QUEUE_STATE_DISABLED);
        if (state == XRNPE_QUEUE_STATE_IDLE) {
            g_assert_cmpuint(queued, ==, 0);
        }
        if (state == XRNPE_QUEUE_STATE_RUNNING) {
            g_assert_cmpuint(queued, >, 0);
            g_assert_true(status &
                          (XRNPE_STATUS_BUSY | XRNPE_STATUS_BUS_ERROR));
        }
    }
    pending = rd(&r->npu, XRNPE_IRQ_STATUS) & rd(&r->npu, XRNPE_IRQ_ENABLE);
    g_assert_cmpint(irq(&r->npu), ==, pending);
}

static void stop_or_go(Round *r)
{
    if (r->stopped) {
        check(r);
        cont(&r->npu);
    } else {
        stop(&r->npu);
        check(r);
    }
    r->stopped = !r->stopped;
}

static void reset(Round *r)
{
    if (one_in(r, 4)) {
        qtest_qmp_assert_success(r->npu.qts, "{ 'execute': 'system_reset' }");
        qtest_qmp_eventwait(r->npu.qts, "RESET");
    } else {
        wr(&r->npu, XRNPE_CTRL, XRNPE_CTRL_RESET);
    }
}

/* Hold it in reset, for a moment or for longer. */
static void hold(Round *r)
{
    set_line(r, 1);
    if (one_in(r, 2)) {
        check(r);
        set_line(r, 0);
    }
}

static void open_machine(Round *r, const char *arguments)
{
    r->npu = npu_open(r->properties, arguments);
}

/* Into a file and out of it. Faults to inject stay behind. */
static void migrate(Round *r)
{
    g_autofree char *path = temporary_file("vmstate");
    g_autofree char *uri = g_strdup_printf("file:%s", path);
    g_autofree char *incoming = g_strdup_printf("-incoming %s", uri);

    if (r->stopped) {
        stop_or_go(r);
    }
    migrate_to(&r->npu, uri);
    npu_quit(&r->npu);
    open_machine(r, incoming);
    wait_migration(&r->npu);
    unlink(path);
    r->stuck = false;
}

static void act(Round *r)
{
    unsigned int q = queue(r);

    switch (below(r, 100)) {
    case 0 ... 14:
        any_register(r);
        break;
    case 15 ... 24:
        put_command(r, q);
        break;
    case 25 ... 34:
        put_descriptor(r, q);
        break;
    case 35 ... 37:
        put_region(r);
        break;
    case 38 ... 40:
        put_garbage(r);
        break;
    case 41 ... 64:
        ring_doorbell(r, q);
        break;
    case 65 ... 72:
        start_queue(r, q);
        break;
    case 73 ... 79:
        control_queue(r, q);
        break;
    case 80 ... 87:
        abort_job(&r->npu, q, rdq(&r->npu, q, XRNPE_QUEUE_HEAD));
        break;
    case 88 ... 91:
        qtest_clock_step(r->npu.qts, 1 + number(r) % SCALE_MS);
        break;
    case 92 ... 93:
        any_fault(r);
        break;
    case 94 ... 95:
        stop_or_go(r);
        break;
    case 96:
        heal(r);
        break;
    case 97:
        reset(r);
        break;
    case 98:
        if (one_in(r, 6)) {
            migrate(r);
        }
        break;
    default:
        if (one_in(r, 4)) {
            hold(r);
        } else {
            g_usleep(below(r, 3000));
        }
        break;
    }
}

static void fuzz_round(uint32_t seed)
{
    static const char *const variants[] = {
        "", ",kernel=plain", ",timing=model", ",kernel=plain,threads=3",
    };
    Round r = { .rand = g_rand_new_with_seed(seed) };

    g_test_message("round %" PRIu32, seed);
    r.properties = g_strdup_printf(",reset-line=on%s",
                                   variants[seed % ARRAY_SIZE(variants)]);
    open_machine(&r, "");
    prepare(&r.npu);
    for (unsigned int q = 0; q < XRNPE_MAX_QUEUES; q++) {
        for (unsigned int i = 0; i < COMMANDS; i++) {
            put_command(&r, q);
        }
        for (unsigned int i = 0; i < RING_SIZE; i++) {
            put_descriptor(&r, q);
        }
    }
    for (unsigned int i = 0; i < ACTIONS; i++) {
        act(&r);
    }
    if (r.stopped) {
        stop_or_go(&r);
    }
    heal(&r);
    qtest_qmp_assert_success(r.npu.qts, "{ 'execute': 'qom-set', 'arguments': "
                             "{ 'path': '/machine/peripheral/npu0', "
                             "'property': 'timing', 'value': 'none' } }");
    wr(&r.npu, XRNPE_CTRL, XRNPE_CTRL_RESET);
    wait_until(&r.npu, XRNPE_CTRL, ~0, 0);
    assert_reset(&r.npu);
    prepare(&r.npu);
    for (unsigned int q = 0; q < XRNPE_MAX_QUEUES; q++) {
        assert_works(&r.npu, q, q);
    }
    npu_quit(&r.npu);
    g_free(r.properties);
    g_rand_free(r.rand);
}

static uint32_t setting(const char *name, uint32_t otherwise)
{
    const char *value = g_getenv(name);

    return value ? g_ascii_strtoull(value, NULL, 10) : otherwise;
}

static void test_fuzz(void)
{
    uint32_t seed = setting("XRNPE_FUZZ_SEED", 1);
    uint32_t rounds = setting("XRNPE_FUZZ_ROUNDS", 10);
    uint32_t seconds = setting("XRNPE_FUZZ_SECONDS", UINT32_MAX);
    int64_t end = g_get_monotonic_time() + seconds * G_USEC_PER_SEC;

    for (uint32_t i = 0; i < rounds && g_get_monotonic_time() < end; i++) {
        fuzz_round(seed + i);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    soc_init();
    qtest_add_func("/xrnpe/fuzz", test_fuzz);
    return g_test_run();
}
