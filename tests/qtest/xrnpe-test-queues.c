/*
 * XR-NPE qtests: rings, priorities and how jobs are ended
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "xrnpe-test.h"

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
    const struct {
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

/*
 * Each job appends its queue's digit to the number in base 4 that the one
 * before it left. With the machine stopped all are queued in the wrong order
 * before any is served.
 */
static void test_priority(void)
{
    Npu npu = npu_start();

    stop(&npu);
    for (unsigned int q = XRNPE_MAX_QUEUES; q-- > 0;) {
        struct xrnpe_cmd cmd = update(q, 8 * q);

        put_scale(&npu, CONSTANTS + 8 * q, 4, q);
        queue_job(&npu, q, &cmd, 1, 1);
    }
    for (unsigned int q = 0; q < XRNPE_MAX_QUEUES; q++) {
        g_assert_cmpuint(rdq(&npu, q, XRNPE_QUEUE_HEAD), ==, 0);
    }
    cont(&npu);
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

/* STATUS names the queue whose command executed last, not one it refused. */
static void test_status_queue(void)
{
    Npu npu = npu_start();
    struct xrnpe_cmd bad = { .opcode = 0x77 };

    assert_works(&npu, 1, 1);
    queue_job(&npu, 3, &bad, 1, 1);
    wait_head(&npu, 3, 1);
    g_assert_cmphex(rd(&npu, XRNPE_STATUS), ==,
                    FIELD_PREP(XRNPE_STATUS_QUEUE_MASK, 1));
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
                    XRNPE_STATUS_BUSY | FIELD_PREP(XRNPE_STATUS_QUEUE_MASK, 0));
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

/* What is to be disabled when the device halts is disabled then. */
static void test_disable_at_halt(void)
{
    Npu npu = npu_open(",x-fault-hang=1,x-fault-ignore-abort=on", "");
    struct xrnpe_cmd cmd = update(0, 0);

    prepare(&npu);
    queue_job(&npu, 1, &cmd, 1, 1);
    assert_executes(&npu, 1);
    wrq(&npu, 1, XRNPE_QUEUE_CTRL, 0);
    g_assert_cmphex(rdq(&npu, 1, XRNPE_QUEUE_CTRL), ==,
                    XRNPE_QUEUE_CTRL_ENABLE);
    inject_flag(&npu, "x-fault-ignore-abort", false);
    inject(&npu, "x-fault-bus-error", 1);
    queue_job(&npu, 0, &cmd, 1, 2);
    abort_job(&npu, 0, 0);
    wait_until(&npu, XRNPE_STATUS, XRNPE_STATUS_BUS_ERROR,
               XRNPE_STATUS_BUS_ERROR);
    g_assert_cmpuint(rdq(&npu, 1, XRNPE_QUEUE_STATE), ==,
                     XRNPE_QUEUE_STATE_DISABLED);
    wait_until(&npu, XRNPE_STATUS, XRNPE_STATUS_BUSY, 0);
    wr(&npu, XRNPE_CTRL, XRNPE_CTRL_RESET);
    prepare(&npu);
    assert_works(&npu, 1, 3);
    npu_quit(&npu);
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

/* 4 billion comparisons for one output pixel */
static struct xrnpe_cmd maxpool(void)
{
    return (struct xrnpe_cmd) {
        .opcode = XRNPE_OP_MAXPOOL,
        .operand = {
            [XRNPE_OPERAND_IFM] = operand(0, XRNPE_FORMAT_P16, 0, 0),
            [XRNPE_OPERAND_OFM] = operand(4, XRNPE_FORMAT_P16, 0, 0),
        },
        .image = {
            .in_h = 255, .in_w = 255, .in_c = 65535,
            .out_h = 1, .out_w = 1, .out_c = 65535, .groups = 1,
            .kernel_h = 255, .kernel_w = 255, .stride_h = 1, .stride_w = 1,
            .dilation_h = 1, .dilation_w = 1,
        },
    };
}

static void end_by_abort(Npu *npu)
{
    abort_job(npu, 0, 0);
    wait_head(npu, 0, 1);
}

static void end_by_disabling(Npu *npu)
{
    wrq(npu, 0, XRNPE_QUEUE_CTRL, 0);
    wait_state(npu, 0, XRNPE_QUEUE_STATE_DISABLED);
}

static void end_by_reset(Npu *npu)
{
    wr(npu, XRNPE_CTRL, XRNPE_CTRL_RESET);
    wait_until(npu, XRNPE_CTRL, ~0, 0);
}

static void end_by_system_reset(Npu *npu)
{
    qtest_qmp_assert_success(npu->qts, "{ 'execute': 'system_reset' }");
    qtest_qmp_eventwait(npu->qts, "RESET");
    assert_reset(npu);
}

typedef struct Ending {
    const char *name;
    void (*end)(Npu *npu);
} Ending;

static const Ending endings[] = {
    { "abort", end_by_abort },
    { "disabling", end_by_disabling },
    { "reset", end_by_reset },
    { "system-reset", end_by_system_reset },
    { "stop", stop },
    { "quit", npu_quit },
};

/*
 * Nothing waits for a long command. What ends it takes milliseconds, many more on
 * a busy host, whereas the command would take minutes.
 */
#define MOST_LATENCY    (30 * G_USEC_PER_SEC)

static void test_latency(const void *data)
{
    const Ending *ending = data;
    const struct xrnpe_cmd cmd[] = { maxpool(), endless() };

    for (unsigned int i = 0; i < ARRAY_SIZE(cmd); i++) {
        Npu npu = npu_start();
        int64_t start;

        queue_job(&npu, 0, &cmd[i], 1, 1);
        assert_executes(&npu, 0);
        g_usleep(20000);
        start = g_get_monotonic_time();
        ending->end(&npu);
        g_assert_cmpint(g_get_monotonic_time() - start, <, MOST_LATENCY);
        if (ending->end != npu_quit) {
            npu_quit(&npu);
        }
    }
}

void xrnpe_add_queues_tests(void)
{
    qtest_add_func("/xrnpe/ring-wrap", test_ring_wrap);
    qtest_add_func("/xrnpe/doorbell", test_doorbell);
    qtest_add_func("/xrnpe/bad-ring", test_bad_ring);
    qtest_add_func("/xrnpe/status-queue", test_status_queue);
    qtest_add_func("/xrnpe/abort", test_abort);
    qtest_add_func("/xrnpe/abort-late", test_abort_late);
    qtest_add_func("/xrnpe/abort-waiting", test_abort_waiting);
    qtest_add_func("/xrnpe/disable", test_disable);
    qtest_add_data_func("/xrnpe/reset/register", (void *)false, test_reset);
    qtest_add_data_func("/xrnpe/reset/machine", (void *)true, test_reset);
    qtest_add_func("/xrnpe/priority", test_priority);
    qtest_add_func("/xrnpe/preemption", test_preemption);
    for (unsigned int i = 0; i < ARRAY_SIZE(endings); i++) {
        g_autofree char *path = g_strdup_printf("/xrnpe/latency/%s",
                                                endings[i].name);

        qtest_add_data_func(path, &endings[i], test_latency);
    }
    qtest_add_func("/xrnpe/disable-at-halt", test_disable_at_halt);
}
