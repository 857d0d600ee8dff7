/*
 * XR-NPE qtests: the device as a part of a machine, and its registers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/resource.h>

#include "qemu/bswap.h"
#include "xrnpe-test.h"

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
    uint64_t enable_addr = soc->npu + XRNPE_IRQ_ENABLE;

    g_assert_cmphex(qtest_readb(npu.qts, soc->npu), ==, 0);
    g_assert_cmphex(qtest_readw(npu.qts, soc->npu), ==, 0);
    g_assert_cmphex(qtest_readq(npu.qts, soc->npu), ==, 0);
    g_assert_cmphex(qtest_readl(npu.qts, soc->npu + 2), ==, 0);
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
 * Cells of property @name in node @node of a flattened device tree, to @cells.
 * Returns how many, or 0.
 */
static unsigned int get_cells(const char *blob, const char *node,
                              const char *name, uint32_t cells[3])
{
    const uint32_t *word = (const uint32_t *)(blob + ldl_be_p(blob + 8));
    const char *strings = blob + ldl_be_p(blob + 12);
    bool inside = false;

    for (;;) {
        switch (ldl_be_p(word++)) {
        case 1:     /* a node begins, with its name */
            inside = g_str_equal(word, node);
            word += strlen((const char *)word) / 4 + 1;
            break;
        case 2:     /* it ends */
            inside = false;
            break;
        case 3:     /* a property: size, name, value */
            if (inside && g_str_equal(strings + ldl_be_p(word + 1), name)) {
                unsigned int count = ldl_be_p(word) / 4;

                for (unsigned int i = 0; i < count && i < 3; i++) {
                    cells[i] = ldl_be_p(word + 2 + i);
                }
                return count;
            }
            word += 2 + DIV_ROUND_UP(ldl_be_p(word), 4);
            break;
        case 9:     /* the tree ends */
            return 0;
        }
    }
}

/* What a guest learns of two devices */
static void test_device_tree(const void *data)
{
    const char *arguments = data;
    g_autofree char *all = g_strdup_printf("-device xrnpe %s", arguments);
    Npu npu = npu_open("", all);
    g_autofree char *path = temporary_file("dtb");
    g_autofree char *blob = NULL;

    qtest_qmp_assert_success(npu.qts, "{ 'execute': 'dumpdtb', 'arguments': "
                             "{ 'filename': %s } }", path);
    g_assert_true(g_file_get_contents(path, &blob, NULL, NULL));
    unlink(path);
    for (unsigned int i = 0; i < 2; i++) {
        const char *node = i ? "npu@1000" : "npu@0";
        uint32_t cells[3];

        g_assert_cmpuint(get_cells(blob, node, "compatible", cells), ==, 4);
        g_assert_cmphex(cells[0], ==, 0x78726e70);      /* "xrnp" */
        g_assert_cmpuint(get_cells(blob, node, "reg", cells), ==, 2);
        g_assert_cmphex(cells[0], ==, i * XRNPE_MMIO_SIZE);
        g_assert_cmphex(cells[1], ==, XRNPE_MMIO_SIZE);
        if (g_str_equal(qtest_get_arch(), "aarch64")) {
            g_assert_cmpuint(get_cells(blob, node, "interrupts", cells), ==, 3);
            g_assert_cmpuint(cells[0], ==, 0);          /* SPI */
            g_assert_cmpuint(cells[1], ==, 112 + i);
            g_assert_cmpuint(cells[2], ==, 4);          /* level, high */
        } else if (strstr(arguments, "aplic")) {
            g_assert_cmpuint(get_cells(blob, node, "interrupts", cells), ==, 2);
            g_assert_cmpuint(cells[0], ==, 64 + i);
            g_assert_cmpuint(cells[1], ==, 4);
        } else {
            g_assert_cmpuint(get_cells(blob, node, "interrupts", cells), ==, 1);
            g_assert_cmpuint(cells[0], ==, 64 + i);
        }
    }
    npu_quit(&npu);
}

/* QEMU does not start with such a property, and says which it is. */
static void test_bad_property(const void *data)
{
    const char *property = data;
    g_autofree char *device = g_strdup_printf("xrnpe,%s", property);
    g_autofree char *name = g_strndup(property, strcspn(property, "="));
    g_autofree char *quoted = g_strdup_printf("'%s'", name);

    assert_refuses(device, NULL, quoted);
}

/* Two devices in one machine do not know of each other. */
static void test_two_devices(void)
{
    Npu npu = npu_open(",kernel=plain", "-device xrnpe,id=npu1,queues=3");
    Npu other = { .qts = npu.qts, .base = npu.base + XRNPE_MMIO_SIZE };
    struct xrnpe_cmd cmd = endless();

    g_assert_cmphex(rd(&other, XRNPE_ID), ==, XRNPE_ID_MAGIC);
    g_assert_cmphex(rd(&npu, XRNPE_CONFIG), ==, 0x00040808);
    g_assert_cmphex(rd(&other, XRNPE_CONFIG), ==, 0x00030808);
    prepare(&npu);
    set_status_page(&other, STATUS_PAGE);
    enable(&other, 1, RING(1), RING_SIZE);
    wr(&npu, XRNPE_IRQ_ENABLE, XRNPE_IRQ_ALL);
    queue_job(&npu, 0, &cmd, 1, 1);
    assert_executes(&npu, 0);
    assert_works(&other, 1, 2);
    g_assert_false(irq(&npu));
    wr(&other, XRNPE_CTRL, XRNPE_CTRL_RESET);
    wait_until(&other, XRNPE_CTRL, ~0, 0);
    assert_executes(&npu, 0);
    abort_job(&npu, 0, 0);
    wait_head(&npu, 0, 1);
    g_assert_true(irq(&npu));
    npu_quit(&npu);
}

/* What the log says of a driver's mistakes, and what traces say of a job */
static void test_log(void)
{
    static const char *const said[] = {
        "no writable register at 0x0", "write of 1 bytes at 0x24",
        "doorbell 0x2a is out of range", "malformed ring",
        "reserved bits in queue control 0xf9",
        "the status page does not answer", "xrnpe_cmd_fetch queue 1",
        "xrnpe_cmd_start queue 1", "xrnpe_cmd_refuse queue 2",
    };
    g_autofree char *path = temporary_file("log");
    g_autofree char *arguments = NULL;
    g_autofree char *text = NULL;
    struct xrnpe_cmd bad = { .opcode = 0x77 };
    Npu npu;

    arguments = g_strdup_printf("-d guest_errors -trace 'xrnpe_*' -D %s", path);
    npu = npu_open("", arguments);
    prepare(&npu);
    assert_works(&npu, 1, 1);
    queue_job(&npu, 2, &bad, 1, 1);
    wait_head(&npu, 2, 1);
    wr(&npu, XRNPE_ID, 0);
    qtest_writeb(npu.qts, npu.base + XRNPE_IRQ_ENABLE, 0);
    wrq(&npu, 0, XRNPE_QUEUE_TAIL, 42);
    wrq(&npu, 0, XRNPE_QUEUE_CTRL, 0xf9);
    wr(&npu, XRNPE_CTRL, XRNPE_CTRL_RESET);
    set_status_page(&npu, UNMAPPED);
    enable(&npu, 0, RING(0), 3);
    enable(&npu, 0, RING(0), RING_SIZE);
    queue_job(&npu, 0, &bad, 1, 1);
    wait_until(&npu, XRNPE_STATUS, ~0, XRNPE_STATUS_BUS_ERROR);
    npu_quit(&npu);
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    unlink(path);
    for (unsigned int i = 0; i < ARRAY_SIZE(said); i++) {
        if (!strstr(text, said[i])) {
            g_test_message("'%s' is not in the log", said[i]);
            g_test_fail();
        }
    }
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

/* MiB of the host's memory that QEMU uses, or has reserved: a line of status */
static unsigned int host_memory(Npu *npu, const char *line)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status",
                                            qtest_pid(npu->qts));
    g_autofree char *text = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return strtoul(strstr(text, line) + strlen(line), NULL, 10) / 1024;
}

/* A command that needs as much scratch memory as any */
static struct xrnpe_cmd hungry(void)
{
    struct xrnpe_cmd cmd = matmul(XRNPE_FORMAT_P16, XRNPE_FORMAT_FP4, 16, 8192,
                                  XRNPE_MAX_K);

    cmd.operand[XRNPE_OPERAND_IFM].row_stride = 0;
    cmd.operand[XRNPE_OPERAND_WEIGHT].row_stride = 0;
    cmd.operand[XRNPE_OPERAND_SCALE].offset = 0;
    cmd.operand[XRNPE_OPERAND_SCALE].row_stride = 0;
    return cmd;
}

/* How much of it a command takes is not for the guest to say. */
static void test_host_memory(void)
{
    Npu npu = npu_open(",threads=16", "");
    struct xrnpe_cmd cmd = hungry();
    unsigned int before;

    prepare(&npu);
    assert_works(&npu, 0, 1);
    before = host_memory(&npu, "VmRSS:");
    queue_job(&npu, 0, &cmd, 1, 2);
    wait_head(&npu, 0, 2);
    g_test_message("%u MiB more", host_memory(&npu, "VmRSS:") - before);
    g_assert_cmpuint(host_memory(&npu, "VmRSS:") - before, <, 128);
    npu_quit(&npu);
}

/* Without it the job ends with the device's fault, and may be tried again. */
static void test_no_host_memory(void)
{
    Npu npu = npu_open(",threads=64", "2>/dev/null");
    struct xrnpe_cmd cmd = hungry();
    static const struct xrnpe_fault want = {
        .kind = XRNPE_FAULT_DEVICE,
        .operand = XRNPE_OPERAND_NONE,
    };
    struct rlimit limit, old;

    prepare(&npu);
    assert_works(&npu, 0, 1);
    g_assert_cmpint(prlimit(qtest_pid(npu.qts), RLIMIT_AS, NULL, &old), ==, 0);
    limit = old;
    limit.rlim_cur = (host_memory(&npu, "VmSize:") + 16) * MiB;
    g_assert_cmpint(prlimit(qtest_pid(npu.qts), RLIMIT_AS, &limit, NULL), ==,
                    0);
    queue_job(&npu, 0, &cmd, 1, 2);
    wait_head(&npu, 0, 2);
    assert_fault(&npu, 0, 2, &want);
    g_assert_cmpint(prlimit(qtest_pid(npu.qts), RLIMIT_AS, &old, NULL), ==, 0);
    control(&npu, 0, XRNPE_QUEUE_CTRL_RESUME);
    queue_job(&npu, 0, &cmd, 1, 3);
    wait_head(&npu, 0, 3);
    assert_done(&npu, 0, 3);
    npu_quit(&npu);
}

void xrnpe_add_machine_tests(void)
{
    static const char *const bad_properties[] = {
        "rows=0", "cols=0", "queues=0", "queues=5", "threads=257",
        "kernel=none-such", "timing=wrong",
    };

    qtest_add_func("/xrnpe/identification", test_identification);
    qtest_add_func("/xrnpe/access-width", test_access_width);
    qtest_add_data_func("/xrnpe/device-tree", "", test_device_tree);
    if (g_str_equal(qtest_get_arch(), "riscv64")) {
        qtest_add_data_func("/xrnpe/device-tree-aplic", "-machine aia=aplic",
                            test_device_tree);
    }
    for (unsigned int i = 0; i < ARRAY_SIZE(bad_properties); i++) {
        g_autofree char *path = g_strdup_printf("/xrnpe/bad-property/%s",
                                                bad_properties[i]);

        qtest_add_data_func(path, bad_properties[i], test_bad_property);
    }
    qtest_add_func("/xrnpe/interrupt", test_interrupt);
    qtest_add_func("/xrnpe/log", test_log);
    qtest_add_func("/xrnpe/unrealize", test_unrealize);
    qtest_add_func("/xrnpe/host-memory", test_host_memory);
    qtest_add_func("/xrnpe/no-host-memory", test_no_host_memory);
    qtest_add_func("/xrnpe/two-devices", test_two_devices);
}
