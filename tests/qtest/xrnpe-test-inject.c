/*
 * XR-NPE qtests: faults that tests of drivers ask for
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "xrnpe-test.h"

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
    g_assert_cmphex(rd(&npu, XRNPE_STATUS), ==,
                    FIELD_PREP(XRNPE_STATUS_QUEUE_MASK, 1));
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
    uint32_t executed = 0;

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
        executed += at >= OPERANDS_AT;
        g_assert_cmpuint(rd(&npu, XRNPE_COUNTER_LO(COUNTER(commands))), ==,
                         executed);
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

    stop(&npu);
    cont(&npu);
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

/* One reset does not end, and the machine's does. */
static void test_endless_reset(void)
{
    Npu npu = npu_start();
    struct xrnpe_cmd cmd = update(0, 0);

    inject(&npu, "x-fault-reset", 2);
    wr(&npu, XRNPE_CTRL, XRNPE_CTRL_RESET);
    assert_reset(&npu);
    prepare(&npu);
    inject(&npu, "x-fault-hang", 1);
    /* Not on queue 0, which STATUS names before the job has begun, too. */
    queue_job(&npu, 1, &cmd, 1, 1);
    assert_executes(&npu, 1);
    for (unsigned int i = 0; i < 2; i++) {
        wr(&npu, XRNPE_CTRL, XRNPE_CTRL_RESET);
        g_usleep(10000);
        g_assert_cmphex(rd(&npu, XRNPE_CTRL), ==, XRNPE_CTRL_RESET);
    }
    qtest_qmp_assert_success(npu.qts, "{ 'execute': 'system_reset' }");
    qtest_qmp_eventwait(npu.qts, "RESET");
    assert_reset(&npu);
    prepare(&npu);
    assert_works(&npu, 0, 2);
    npu_quit(&npu);
}

/* From the second one on no reset ends but the machine's, until the fault does. */
static void test_no_reset(void)
{
    Npu npu = npu_start();

    inject(&npu, "x-fault-no-reset", 2);
    wr(&npu, XRNPE_CTRL, XRNPE_CTRL_RESET);
    assert_reset(&npu);
    for (unsigned int i = 0; i < 2; i++) {
        wr(&npu, XRNPE_CTRL, XRNPE_CTRL_RESET);
        g_assert_cmphex(rd(&npu, XRNPE_CTRL), ==, XRNPE_CTRL_RESET);
        qtest_qmp_assert_success(npu.qts, "{ 'execute': 'system_reset' }");
        qtest_qmp_eventwait(npu.qts, "RESET");
        assert_reset(&npu);
    }
    inject(&npu, "x-fault-no-reset", 0);
    wr(&npu, XRNPE_CTRL, XRNPE_CTRL_RESET);
    assert_reset(&npu);
    npu_quit(&npu);
}

/* It takes its time to come to rest. */
static void test_busy(void)
{
    Npu npu = npu_start();

    inject(&npu, "x-fault-busy", 2);
    assert_works(&npu, 0, 1);
    g_assert_cmphex(rd(&npu, XRNPE_STATUS), ==, XRNPE_STATUS_BUSY);
    g_assert_cmphex(rd(&npu, XRNPE_STATUS), ==, XRNPE_STATUS_BUSY);
    g_assert_cmphex(rd(&npu, XRNPE_STATUS), ==, 0);
    npu_quit(&npu);
}

void xrnpe_add_inject_tests(void)
{
    qtest_add_func("/xrnpe/inject/busy", test_busy);
    qtest_add_func("/xrnpe/inject/hang", test_hang);
    qtest_add_func("/xrnpe/inject/drop-irq", test_drop_irq);
    qtest_add_func("/xrnpe/inject/bus-error", test_inject_bus_error);
    qtest_add_func("/xrnpe/inject/seqno", test_wrong_seqno);
    qtest_add_func("/xrnpe/inject/ignore-abort", test_ignore_abort);
    qtest_add_func("/xrnpe/inject/reset", test_endless_reset);
    qtest_add_func("/xrnpe/inject/no-reset", test_no_reset);
    qtest_add_data_func("/xrnpe/inject/stuck", (void *)false, test_stuck);
    qtest_add_data_func("/xrnpe/inject/stuck-reset", (void *)true, test_stuck);
}
