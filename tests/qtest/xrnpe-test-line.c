/*
 * XR-NPE qtests: the reset line
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "xrnpe-test.h"

static void set_line(Npu *npu, uint32_t value)
{
    qtest_writel(npu->qts, line_addr(npu), value);
    g_assert_cmphex(qtest_readl(npu->qts, line_addr(npu)), ==, value & 1);
}

/* Memory is quiet as soon as it is asserted, even if a command is stuck. */
static void test_stuck(void)
{
    Npu npu = npu_open(",reset-line=on,x-fault-stuck=on", "");
    struct xrnpe_cmd cmd = update(0, 0);

    prepare(&npu);
    put_scale(&npu, CONSTANTS, 1, 1);
    queue_job(&npu, 1, &cmd, 1, 1);
    wait_float(&npu, variable_addr(1), 1);
    wr(&npu, XRNPE_CTRL, XRNPE_CTRL_RESET);
    put_float(&npu, variable_addr(1), 0);
    wait_float(&npu, variable_addr(1), 1);
    g_assert_cmphex(rd(&npu, XRNPE_CTRL), ==, XRNPE_CTRL_RESET);

    set_line(&npu, 1);
    put_float(&npu, variable_addr(1), 0);
    g_assert_cmphex(rd(&npu, XRNPE_CTRL), ==, 0);
    assert_reset(&npu);
    g_usleep(20000);
    g_assert_cmpfloat(get_float(&npu, variable_addr(1)), ==, 0);

    /* Meanwhile it takes nothing. */
    set_status_page(&npu, STATUS_PAGE);
    wr(&npu, XRNPE_CTRL, XRNPE_CTRL_RESET);
    assert_reset(&npu);
    g_assert_cmphex(rd(&npu, XRNPE_ID), ==, XRNPE_ID_MAGIC);

    set_line(&npu, 0);
    assert_reset(&npu);
    inject_flag(&npu, "x-fault-stuck", false);
    prepare(&npu);
    assert_works(&npu, 1, 2);
    npu_quit(&npu);
}

/* Only bit 0 of the word is a line, and a reset of the machine releases it. */
static void test_word(void)
{
    Npu npu = npu_open(",reset-line=on", "");

    prepare(&npu);
    qtest_writel(npu.qts, line_addr(&npu) + 4, 1);
    g_assert_cmphex(qtest_readl(npu.qts, line_addr(&npu) + 4), ==, 0);
    assert_works(&npu, 0, 1);
    set_line(&npu, ~1u);
    assert_works(&npu, 0, 2);
    set_line(&npu, ~0u);
    qtest_qmp_assert_success(npu.qts, "{ 'execute': 'system_reset' }");
    qtest_qmp_eventwait(npu.qts, "RESET");
    g_assert_cmphex(qtest_readl(npu.qts, line_addr(&npu)), ==, 0);
    prepare(&npu);
    assert_works(&npu, 0, 3);
    npu_quit(&npu);
}

/* Without the property there is no line. */
static void test_absent(void)
{
    Npu npu = npu_start();

    qtest_writel(npu.qts, line_addr(&npu), 1);
    g_assert_cmphex(qtest_readl(npu.qts, line_addr(&npu)), ==, 0);
    assert_works(&npu, 0, 1);
    npu_quit(&npu);
}

/* A device that is unplugged has none either; plugged in again, it has one. */
static void test_unrealize(void)
{
    Npu npu = npu_open(",reset-line=on", "");

    for (int realized = 0; realized < 2; realized++) {
        qtest_qmp_assert_success(npu.qts, "{ 'execute': 'qom-set', "
                                 "'arguments': "
                                 "{ 'path': '/machine/peripheral/npu0', "
                                 "'property': 'realized', 'value': %i } }",
                                 realized);
        qtest_writel(npu.qts, line_addr(&npu), 1);
        g_assert_cmphex(qtest_readl(npu.qts, line_addr(&npu)), ==, realized);
    }
    npu_quit(&npu);
}

/* What is held in reset at the source is so at the destination. */
static void test_migrate(void)
{
    g_autofree char *path = temporary_file("vmstate");
    g_autofree char *uri = g_strdup_printf("file:%s", path);
    g_autofree char *incoming = g_strdup_printf("-incoming %s", uri);
    Npu npu = npu_open(",reset-line=on", "");

    prepare(&npu);
    set_line(&npu, 1);
    migrate_to(&npu, uri);
    npu_quit(&npu);

    npu = npu_open(",reset-line=on", incoming);
    wait_migration(&npu);
    g_assert_cmphex(qtest_readl(npu.qts, line_addr(&npu)), ==, 1);
    set_status_page(&npu, STATUS_PAGE);
    assert_reset(&npu);
    set_line(&npu, 0);
    prepare(&npu);
    assert_works(&npu, 0, 1);
    npu_quit(&npu);

    assert_refuses("xrnpe", uri, "'reset-line' must be as at the source");
    unlink(path);
}

void xrnpe_add_line_tests(void)
{
    qtest_add_func("/xrnpe/line/stuck", test_stuck);
    qtest_add_func("/xrnpe/line/word", test_word);
    qtest_add_func("/xrnpe/line/absent", test_absent);
    qtest_add_func("/xrnpe/line/unrealize", test_unrealize);
    qtest_add_func("/xrnpe/line/migrate", test_migrate);
}
