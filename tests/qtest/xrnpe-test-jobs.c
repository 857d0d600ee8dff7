/*
 * XR-NPE qtests: what jobs compute, and what is told of them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <math.h>

#include "qemu/bswap.h"
#include "qemu/cutils.h"
#include "qemu/timer.h"
#include "cost.h"
#include "datapath.h"
#include "xrnpe-test.h"

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

/* ---- Commands that execute again --------------------------------------- */

#define AGAIN_K 61
#define AGAIN_N 40
#define AGAIN_WEIGHT (AGAIN_N * AGAIN_K)
#define AGAIN_SCALE ROUND_UP(AGAIN_WEIGHT, 4)
/* Commands of as many weights, of which not all can be kept; and how often */
#define MANY 40
#define MANY_K 4000
#define MANY_TIMES 80

/* A product, what it reads and what becomes of it, as the host has them */
typedef struct Product {
    struct xrnpe_cmd cmd;
    uint8_t ifm[16 * MANY_K];
    uint8_t weight[64 * MANY_K];
    struct xrnpe_scale scale[64];
    uint8_t want[4 * 64 * 64];
} Product;

static void random_bytes(GRand *rand, uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bytes[i] = g_rand_int(rand);
    }
}

static void random_scales(GRand *rand, Product *p, unsigned int count)
{
    for (unsigned int i = 0; i < count; i++) {
        p->scale[i].scale = ONE_F32 | (g_rand_int(rand) & 0x7fffff);
        p->scale[i].bias = ONE_F32 | (g_rand_int(rand) & 0x807fffff);
    }
}

static void assert_computes(Npu *npu, struct xrnpe_datapath *datapath,
                            Product *p, uint32_t seqno)
{
    size_t size = 4 * p->cmd.matmul.m * p->cmd.matmul.n;
    g_autofree uint8_t *got = g_malloc(size);
    struct xrnpe_fault fault;
    uint32_t status = 0;
    void *memory[XRNPE_OPERANDS] = {
        [XRNPE_OPERAND_IFM] = p->ifm,
        [XRNPE_OPERAND_WEIGHT] = p->weight,
        [XRNPE_OPERAND_SCALE] = p->scale,
        [XRNPE_OPERAND_OFM] = p->want,
    };

    queue_job(npu, 0, &p->cmd, 1, seqno);
    g_assert_cmpint(xrnpe_datapath_run(datapath, &p->cmd, 0, memory, NULL,
                                       &status, &fault), ==, 0);
    wait_head(npu, 0, npu->tail[0]);
    assert_done(npu, 0, seqno);
    qtest_memread(npu->qts, OUTPUT + p->cmd.operand[XRNPE_OPERAND_OFM].offset,
                  got, size);
    g_assert_cmpmem(got, size, p->want, size);
}

/*
 * The same command often, while any of what it reads changes, by a byte or
 * altogether, or goes elsewhere.
 */
static void test_again(void)
{
    Npu npu = npu_open("", "");
    g_autoptr(GRand) rand = g_rand_new_with_seed(2);
    struct xrnpe_datapath *datapath = xrnpe_datapath_new(1, "plain");
    g_autofree Product *p = g_new0(Product, 1);
    struct xrnpe_operand *o = p->cmd.operand;

    prepare(&npu);
    p->cmd = matmul(XRNPE_FORMAT_P8, XRNPE_FORMAT_F32, 33, AGAIN_N, AGAIN_K);
    random_bytes(rand, p->ifm, sizeof(p->ifm));
    random_bytes(rand, p->weight, AGAIN_WEIGHT);
    random_scales(rand, p, AGAIN_N);
    for (uint32_t seqno = 1; seqno <= 400; seqno++) {
        uint64_t at = g_rand_boolean(rand) ? 0 : 0x8000;

        switch (g_rand_int_range(rand, 0, 6)) {
        case 0:
            random_bytes(rand, p->ifm, 33 * AGAIN_K);
            break;
        case 1:
            p->weight[g_rand_int_range(rand, 0, AGAIN_WEIGHT)] ^= 0x10;
            break;
        case 2:
            random_bytes(rand, p->weight, AGAIN_WEIGHT);
            break;
        case 3:
            p->scale[g_rand_int_range(rand, 0, AGAIN_N)].bias ^= 0x400000;
            break;
        case 4:
            p->cmd.operand[XRNPE_OPERAND_OFM].offset ^= 0x10000;
            break;
        }
        o[XRNPE_OPERAND_WEIGHT].offset = at;
        o[XRNPE_OPERAND_SCALE].offset = at + AGAIN_SCALE;
        qtest_memwrite(npu.qts, INPUT, p->ifm, 33 * AGAIN_K);
        qtest_memwrite(npu.qts, CONSTANTS + at, p->weight, AGAIN_WEIGHT);
        qtest_memwrite(npu.qts, CONSTANTS + at + AGAIN_SCALE, p->scale,
                       AGAIN_N * sizeof(p->scale[0]));
        assert_computes(&npu, datapath, p, seqno);
    }
    xrnpe_datapath_free(datapath);
    npu_quit(&npu);
}

/* A scale that becomes illegal is found, and one that is legal again is taken. */
static void test_again_illegal(void)
{
    Npu npu = npu_open("", "");
    struct xrnpe_cmd cmd = update(0, 0);
    struct xrnpe_fault fault = {
        .kind = XRNPE_FAULT_ILLEGAL_SCALE,
        .operand = XRNPE_OPERAND_SCALE,
    };

    prepare(&npu);
    put_float(&npu, variable_addr(0), 3);
    for (uint32_t i = 0; i < 12; i++) {
        put_scale(&npu, CONSTANTS, i % 3 == 2 ? INFINITY : i + 1, 0);
        queue_job(&npu, 0, &cmd, 1, i);
        wait_head(&npu, 0, i + 1);
        if (i % 3 == 2) {
            assert_fault(&npu, 0, i, &fault);
            control(&npu, 0, XRNPE_QUEUE_CTRL_RESUME);
        } else {
            assert_done(&npu, 0, i);
            g_assert_cmpfloat(get_float(&npu, variable_addr(1)), ==,
                              3 * (i + 1));
        }
    }
    npu_quit(&npu);
}

/* More than is kept, so that what is kept changes. */
static void test_again_many(void)
{
    Npu npu = npu_open("", "");
    g_autoptr(GRand) rand = g_rand_new_with_seed(3);
    struct xrnpe_datapath *datapath = xrnpe_datapath_new(1, NULL);
    g_autofree Product *p = g_new0(Product, 1);
    g_autofree uint8_t *constants = g_malloc(REGION_SIZE);
    uint32_t seqno = 0;

    prepare(&npu);
    p->cmd = matmul(XRNPE_FORMAT_P8, XRNPE_FORMAT_F32, 16, 60, MANY_K);
    random_bytes(rand, p->ifm, sizeof(p->ifm));
    random_bytes(rand, constants, REGION_SIZE);
    random_scales(rand, p, 60);
    qtest_memwrite(npu.qts, INPUT, p->ifm, 16 * MANY_K);
    qtest_memwrite(npu.qts, CONSTANTS, constants, REGION_SIZE);
    p->cmd.operand[XRNPE_OPERAND_SCALE].offset = REGION_SIZE - 0x1000;
    qtest_memwrite(npu.qts, CONSTANTS + REGION_SIZE - 0x1000, p->scale,
                   60 * sizeof(p->scale[0]));
    for (unsigned int i = 0; i < MANY_TIMES; i++) {
        for (unsigned int j = 0; j < MANY; j++) {
            p->cmd.operand[XRNPE_OPERAND_WEIGHT].offset = 64 * j;
            memcpy(p->weight, constants + 64 * j, 60 * MANY_K);
            assert_computes(&npu, datapath, p, ++seqno);
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
    queue_desc(&npu, 1, &desc);
    for (unsigned int i = 2; i < 4; i++) {
        /* On a queue that STATUS does not name yet: it has begun when it does. */
        assert_executes(&npu, 1);
        wait_until(&npu, XRNPE_COUNTER_LO(COUNTER(commands)), ~0, i);
        qtest_clock_step(npu.qts, SCALE_MS);
    }
    wait_head(&npu, 1, 1);
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

/* The time of a job's commands, written by the job itself: of no other */
static void test_timestamp(void)
{
    const struct xrnpe_machine machine = XRNPE_MACHINE_DEFAULT;
    const struct xrnpe_cmd timestamp = {
        .opcode = XRNPE_OP_TIMESTAMP,
        .operand[XRNPE_OPERAND_OFM] = operand(1, 0, 0x100, 0),
    };
    Npu npu = npu_start();
    struct xrnpe_cmd cmd[4] = {
        small_matmul(&npu), timestamp, work(100, 300), timestamp,
    };
    struct xrnpe_counters sum = { };

    assert_works(&npu, 0, 1);
    assert_works(&npu, 1, 1);
    cmd[3].operand[XRNPE_OPERAND_OFM].offset = 0x140;
    queue_job(&npu, 1, cmd, ARRAY_SIZE(cmd), 2);
    wait_head(&npu, 1, 2);
    assert_done(&npu, 1, 2);
    xrnpe_cmd_cost(&machine, &cmd[0], &sum);
    g_assert_cmpuint(qtest_readq(npu.qts, ARENA + 0x100), ==, sum.cycles);
    xrnpe_cmd_cost(&machine, &cmd[1], &sum);
    xrnpe_cmd_cost(&machine, &cmd[2], &sum);
    g_assert_cmpuint(qtest_readq(npu.qts, ARENA + 0x140), ==, sum.cycles);
    npu_quit(&npu);
}

void xrnpe_add_jobs_tests(void)
{
    qtest_add_func("/xrnpe/matmul", test_matmul);
    qtest_add_func("/xrnpe/formats", test_formats);
    qtest_add_func("/xrnpe/again", test_again);
    qtest_add_func("/xrnpe/again-illegal", test_again_illegal);
    qtest_add_func("/xrnpe/again-many", test_again_many);
    qtest_add_func("/xrnpe/invalid-status", test_invalid_status);
    qtest_add_func("/xrnpe/job-record", test_job_record);
    qtest_add_func("/xrnpe/timing", test_timing);
    qtest_add_func("/xrnpe/timestamp", test_timestamp);
}
