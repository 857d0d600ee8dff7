/*
 * QTest testcase for the XR-NPE neural co-processor
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Results are compared with numbers worked out by hand, and for pseudo-random
 * operands with the datapath, called here directly.
 */

#include "qemu/osdep.h"
#include <math.h>

#include "qemu/bswap.h"
#include "qemu/cutils.h"
#include "qemu/timer.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "cost.h"
#include "datapath.h"
#include "xrnpe-npu.h"

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
    g_autofree char *path = NULL;
    g_autofree char *blob = NULL;
    int fd = g_file_open_tmp("xrnpe-XXXXXX.dtb", &path, NULL);

    g_assert_cmpint(fd, >=, 0);
    close(fd);
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
    g_autofree char *err = NULL;
    const char *argv[] = {
        getenv("QTEST_QEMU_BINARY"), "-machine", "virt", "-nodefaults",
        "-display", "none", "-accel", "qtest", "-device", device, NULL,
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

static void test_bus_fault(void)
{
    const uint64_t not_ram[] = { UNMAPPED, soc->pci, soc->uart, soc->npu };
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
    assert_bus_addr(&npu, soc->npu + 0x40);
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
    put_region_base(&npu, 3, soc->flash);
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
    const Edit desc_edits[] = {
        DESC(flags, 2), DESC(reserved[4], 1),
        DESC(record, RECORD), DESC(flags, XRNPE_JOB_RECORD | 0x80000000),
        DESC(cmd_stride, 0), DESC(cmd_stride, 128), DESC(cmd_stride, 224),
        DESC(cmd_stride, XRNPE_CMD_STRIDE_MAX + XRNPE_CMD_ALIGN),
        DESC(cmd_count, 0), DESC(cmd_count, XRNPE_MAX_CMDS + 1),
        DESC(region_count, XRNPE_MAX_REGIONS + 1),
        DESC(cmds, CMDS(0) + 4), DESC(cmds, 0xfffffffffffffff8),
        DESC(regions, TABLE + 4), DESC(regions, 0xfffffffffffffff8),
    };
    const Edit region_edits[] = {
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

        stop(&npu);
        head = rdq(&npu, 0, XRNPE_QUEUE_HEAD);
        g_usleep(5000);
        g_assert_cmpuint(rdq(&npu, 0, XRNPE_QUEUE_HEAD), ==, head);
        cont(&npu);
    }
    wait_head(&npu, 0, 1);
    assert_done(&npu, 0, 1);
    assert_small_matmul(&npu);

    queue_job(&npu, 0, &forever, 1, 2);
    g_usleep(5000);
    stop(&npu);
    abort_job(&npu, 0, 1);
    g_assert_cmpuint(rdq(&npu, 0, XRNPE_QUEUE_HEAD), ==, 1);
    cont(&npu);
    wait_head(&npu, 0, 2);
    npu_quit(&npu);
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

/* Let time pass until @count commands have ended; each takes a millisecond. */
static void pass_commands(Npu *npu, uint32_t count)
{
    while (rd(npu, XRNPE_COUNTER_LO(COUNTER(commands))) < count) {
        qtest_clock_step(npu->qts, SCALE_MS);
        g_usleep(1000);
    }
}

/*
 * A job of many products, with the machine stopped, migrated to a file and
 * brought back several times on the way: the bits are as if nothing had been.
 */
static void test_snapshots(void)
{
    enum { CMDS = 20, M = 61, N = 64, K = 700, STOPS = 4 };
    const char *properties = ",kernel=plain,threads=1,x-fault-slow=1000";
    g_autofree char *path = NULL;
    g_autofree uint8_t *ifm = g_malloc(M * 2 * K);
    g_autofree uint8_t *weight = g_malloc(N * 2 * K);
    g_autofree uint8_t *got = g_malloc(M * 2 * N);
    g_autofree uint8_t *want = g_malloc(M * 2 * N);
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    struct xrnpe_datapath *datapath = xrnpe_datapath_new(1, NULL);
    struct xrnpe_scale scale = { ONE_F32, 0 };
    struct xrnpe_cmd cmd[CMDS];
    int fd = g_file_open_tmp("xrnpe-XXXXXX.vmstate", &path, NULL);
    g_autofree char *uri = g_strdup_printf("file:%s", path);
    g_autofree char *incoming = g_strdup_printf("-incoming %s", uri);
    Npu npu = npu_open(properties, "");

    g_assert_cmpint(fd, >=, 0);
    close(fd);
    for (size_t i = 0; i < M * 2 * K; i++) {
        ifm[i] = g_rand_int(rand);
    }
    for (size_t i = 0; i < N * 2 * K; i++) {
        weight[i] = g_rand_int(rand);
    }
    prepare(&npu);
    qtest_memwrite(npu.qts, INPUT, ifm, M * 2 * K);
    qtest_memwrite(npu.qts, CONSTANTS, weight, N * 2 * K);
    qtest_memwrite(npu.qts, CONSTANTS + N * 2 * K, &scale, sizeof(scale));
    for (unsigned int i = 0; i < CMDS; i++) {
        /* Each differs: it starts one element later, and is that shorter. */
        cmd[i] = matmul(XRNPE_FORMAT_P16, XRNPE_FORMAT_P16, M, N, K);
        cmd[i].matmul.k = K - i;
        cmd[i].operand[XRNPE_OPERAND_IFM].offset = 2 * i;
        cmd[i].operand[XRNPE_OPERAND_SCALE].row_stride = 0;
        cmd[i].operand[XRNPE_OPERAND_OFM].offset = i * M * 2 * N;
    }
    queue_job(&npu, 2, cmd, CMDS, 1);
    for (unsigned int i = 0; i < STOPS; i++) {
        Npu from = npu;

        pass_commands(&npu, CMDS * (i + 1) / (STOPS + 1));
        stop(&npu);
        cont(&npu);
        migrate_to(&npu, uri);
        g_assert_cmpuint(rdq(&npu, 2, XRNPE_QUEUE_HEAD), ==, 0);
        npu_quit(&npu);
        npu = npu_open(properties, incoming);
        memcpy(npu.tail, from.tail, sizeof(npu.tail));
        wait_migration(&npu);
    }
    unlink(path);
    pass_commands(&npu, CMDS);
    wait_head(&npu, 2, 1);
    assert_done(&npu, 2, 1);
    g_assert_cmpuint(rd(&npu, XRNPE_COUNTER_LO(COUNTER(commands))), ==, CMDS);
    for (unsigned int i = 0; i < CMDS; i++) {
        void *memory[XRNPE_OPERANDS] = {
            [XRNPE_OPERAND_IFM] = ifm + 2 * i,
            [XRNPE_OPERAND_WEIGHT] = weight,
            [XRNPE_OPERAND_SCALE] = &scale,
            [XRNPE_OPERAND_OFM] = want,
        };
        struct xrnpe_fault fault;
        uint32_t status = 0;

        g_assert_cmpint(xrnpe_datapath_run(datapath, &cmd[i], i, memory, NULL,
                                           &status, &fault), ==, 0);
        qtest_memread(npu.qts, OUTPUT + i * M * 2 * N, got, M * 2 * N);
        g_assert_cmpmem(got, M * 2 * N, want, M * 2 * N);
    }
    xrnpe_datapath_free(datapath);
    npu_quit(&npu);
}

/* Wait for a background job of QEMU, which must end well. */
static void finish_job(Npu *npu, const char *id)
{
    for (;;) {
        QDict *answer = qtest_qmp(npu->qts, "{ 'execute': 'query-jobs' }");
        QDict *job = qobject_to(QDict, qlist_peek(qdict_get_qlist(answer,
                                                                  "return")));
        bool done = g_str_equal(qdict_get_str(job, "status"), "concluded");

        g_assert_null(qdict_get_try_str(job, "error"));
        qobject_unref(answer);
        if (done) {
            break;
        }
        g_usleep(2000);
    }
    qtest_qmp_assert_success(npu->qts, "{ 'execute': 'job-dismiss', "
                             "'arguments': { 'id': %s } }", id);
}

/* A disk image that snapshots of the machine fit in, as node "disk" */
static void add_disk(Npu *npu, const char *path)
{
    qtest_qmp_assert_success(npu->qts, "{ 'execute': 'blockdev-add', "
                             "'arguments': { 'driver': 'file', "
                             "'node-name': 'file', 'filename': %s } }", path);
    qtest_qmp_assert_success(npu->qts, "{ 'execute': 'blockdev-create', "
                             "'arguments': { 'job-id': 'create', 'options': "
                             "{ 'driver': 'qcow2', 'file': 'file', "
                             "'size': 1048576 } } }");
    finish_job(npu, "create");
    qtest_qmp_assert_success(npu->qts, "{ 'execute': 'blockdev-add', "
                             "'arguments': { 'driver': 'qcow2', "
                             "'node-name': 'disk', 'file': 'file' } }");
}

static void snapshot(Npu *npu, const char *what)
{
    qtest_qmp_assert_success(npu->qts, "{ 'execute': %s, 'arguments': "
                             "{ 'job-id': 'snapshot', 'tag': 'here', "
                             "'vmstate': 'disk', 'devices': [ 'disk' ] } }",
                             what);
    finish_job(npu, "snapshot");
}

/*
 * A snapshot of a command's midst is brought back while another one waits for
 * its time: what has been computed of that one does not count.
 */
static void test_load_snapshot(void)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("xrnpe-XXXXXX.qcow2", &path, NULL);
    Npu npu = npu_open(",x-fault-slow=1000", "");
    struct xrnpe_cmd cmd[2] = { update(0, 0), update(1, 0) };

    g_assert_cmpint(fd, >=, 0);
    close(fd);
    add_disk(&npu, path);
    prepare(&npu);
    put_scale(&npu, CONSTANTS, 1, 1);
    queue_job(&npu, 1, cmd, ARRAY_SIZE(cmd), 1);
    wait_float(&npu, variable_addr(1), 1);
    stop(&npu);
    put_float(&npu, variable_addr(1), 0);
    snapshot(&npu, "snapshot-save");
    put_float(&npu, variable_addr(1), 1);
    cont(&npu);
    pass_commands(&npu, 1);
    wait_float(&npu, variable_addr(2), 2);
    assert_executes(&npu, 1);

    stop(&npu);
    snapshot(&npu, "snapshot-load");
    unlink(path);
    g_assert_cmpuint(rd(&npu, XRNPE_COUNTER_LO(COUNTER(commands))), ==, 0);
    g_assert_cmpfloat(get_float(&npu, variable_addr(1)), ==, 0);
    cont(&npu);
    pass_commands(&npu, 2);
    wait_head(&npu, 1, 1);
    assert_done(&npu, 1, 1);
    g_assert_cmpfloat(get_float(&npu, variable_addr(2)), ==, 2);
    npu_quit(&npu);
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

/*
 * A stream of a device with a command in flight and one queue stopped. *@device
 * is where the device's state begins in it.
 */
static GByteArray *save_stream(size_t *device)
{
    static const char name[] = "xrnpe";
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("xrnpe-XXXXXX.vmstate", &path, NULL);
    g_autofree char *uri = g_strdup_printf("file:%s", path);
    struct xrnpe_cmd bad = { .opcode = 0x77 }, cmd = endless();
    Npu npu = npu_start();
    gchar *data;
    gsize size;

    g_assert_cmpint(fd, >=, 0);
    close(fd);
    queue_job(&npu, 3, &bad, 1, 1);
    wait_head(&npu, 3, 1);
    queue_job(&npu, 1, &cmd, 1, 2);
    assert_executes(&npu, 1);
    migrate_to(&npu, uri);
    npu_quit(&npu);
    g_assert_true(g_file_get_contents(path, &data, &size, NULL));
    unlink(path);
    /* The section's name, the last of its kind: the machine is named before. */
    *device = 0;
    for (size_t i = 0; i + sizeof(name) < size; i++) {
        if (data[i] == sizeof(name) - 1 &&
            !memcmp(data + i + 1, name, sizeof(name) - 1)) {
            *device = i + sizeof(name);
        }
    }
    g_assert_cmpuint(*device, >, 0);
    return g_byte_array_new_take((guint8 *)data, size);
}

/*
 * Whether a machine takes a stream. Whatever the answer, QEMU lives; if it took
 * it, the device can be reset and works.
 */
static bool takes_stream(const uint8_t *data, size_t size)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("xrnpe-XXXXXX.vmstate", &path, NULL);
    g_autofree char *uri = g_strdup_printf("file:%s", path);
    Npu npu = npu_open(",kernel=plain", "-incoming defer 2>/dev/null");
    bool taken, over = false;

    g_assert_cmpint(fd, >=, 0);
    close(fd);
    g_assert_true(g_file_set_contents(path, (const char *)data, size, NULL));
    qtest_qmp_assert_success(npu.qts, "{ 'execute': 'migrate-incoming', "
                             "'arguments': { 'uri': %s, "
                             "'exit-on-error': false } }", uri);
    while (!over) {
        QDict *answer = qtest_qmp(npu.qts, "{ 'execute': 'query-migrate' }");
        const char *status = qdict_get_try_str(qdict_get_qdict(answer,
                                                               "return"),
                                               "status");

        taken = !g_strcmp0(status, "completed");
        over = taken || !g_strcmp0(status, "failed");
        qobject_unref(answer);
        g_usleep(1000);
    }
    unlink(path);
    if (taken) {
        g_usleep(2000);
        wr(&npu, XRNPE_CTRL, XRNPE_CTRL_RESET);
        wait_until(&npu, XRNPE_CTRL, ~0, 0);
        prepare(&npu);
        assert_works(&npu, 0, 1);
    }
    npu_quit(&npu);
    return taken;
}

/* Cut off, bits flipped, words out of range: refused, or taken as it is. */
static void test_malformed_stream(void)
{
    enum { DEVICE_BYTES = 2500, TRIALS = 24 };
    g_autoptr(GRand) rand = g_rand_new_with_seed(11);
    size_t device;
    g_autoptr(GByteArray) stream = save_stream(&device);
    unsigned int refused = 0;

    g_assert_true(takes_stream(stream->data, stream->len));
    for (unsigned int i = 0; i < TRIALS; i++) {
        size_t at = device + g_rand_int_range(rand, 0, DEVICE_BYTES);
        uint32_t was, word = i % 3 == 1 ? UINT32_MAX : 0;

        g_assert_cmpuint(at + sizeof(was), <, stream->len);
        if (i % 3 == 0) {
            g_assert_false(takes_stream(stream->data, at));
            continue;
        }
        memcpy(&was, stream->data + at, sizeof(was));
        if (i % 3 == 2) {
            word = was ^ 1u << g_rand_int_range(rand, 0, 32);
        }
        memcpy(stream->data + at, &word, sizeof(word));
        refused += !takes_stream(stream->data, stream->len);
        memcpy(stream->data + at, &was, sizeof(was));
    }
    g_test_message("%u of %u refused", refused, TRIALS * 2 / 3);
}

/*
 * A command in flight when the machine stops is fetched once more. If it has
 * become another one meanwhile, it is judged as that.
 */
static void test_changed_while_stopped(void)
{
    Npu npu = npu_start();
    struct xrnpe_cmd cmd = endless();
    static const struct xrnpe_fault want = {
        .kind = XRNPE_FAULT_ILLEGAL_OPCODE,
        .operand = XRNPE_OPERAND_NONE,
    };

    queue_job(&npu, 0, &cmd, 1, 1);
    assert_executes(&npu, 0);
    stop(&npu);
    qtest_writeb(npu.qts, CMDS(0), 0x77);
    cont(&npu);
    wait_head(&npu, 0, 1);
    assert_fault(&npu, 0, 1, &want);
    control(&npu, 0, XRNPE_QUEUE_CTRL_RESUME);
    assert_works(&npu, 0, 2);
    npu_quit(&npu);
}

/* What the log says of a driver's mistakes, and what traces say of a job */
static void test_log(void)
{
    static const char *const said[] = {
        "no writable register at 0x0", "write of 1 bytes at 0x24",
        "doorbell 0x2a is out of range", "malformed ring",
        "the status page does not answer", "xrnpe_cmd_fetch queue 1",
        "xrnpe_cmd_start queue 1", "xrnpe_cmd_refuse queue 2",
    };
    g_autofree char *path = NULL;
    g_autofree char *arguments = NULL;
    g_autofree char *text = NULL;
    struct xrnpe_cmd bad = { .opcode = 0x77 };
    int fd = g_file_open_tmp("xrnpe-XXXXXX.log", &path, NULL);
    Npu npu;

    g_assert_cmpint(fd, >=, 0);
    close(fd);
    arguments = g_strdup_printf("-d guest_errors -trace 'xrnpe_*' -D %s", path);
    npu = npu_open("", arguments);
    prepare(&npu);
    assert_works(&npu, 1, 1);
    queue_job(&npu, 2, &bad, 1, 1);
    wait_head(&npu, 2, 1);
    wr(&npu, XRNPE_ID, 0);
    qtest_writeb(npu.qts, npu.base + XRNPE_IRQ_ENABLE, 0);
    wrq(&npu, 0, XRNPE_QUEUE_TAIL, 42);
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

/* ---- Time -------------------------------------------------------------- */

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

/* Nothing waits for a long command: what ends it takes milliseconds. */
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
        g_assert_cmpint(g_get_monotonic_time() - start, <,
                        G_USEC_PER_SEC / 2);
        if (ending->end != npu_quit) {
            npu_quit(&npu);
        }
    }
}

/*
 * A program for the guest's CPU, which writes 32-bit words to addresses, waits
 * until a word is not zero, and turns the machine off:
 *
 *     adr x0, table
 * 1:  ldp x1, x2, [x0], #16
 *     cbz x1, 2f
 *     str w2, [x1]
 *     b 1b
 * 2:  ldr w3, [x2]
 *     cbz w3, 2b
 *     mov x0, #0x84000008         // PSCI SYSTEM_OFF
 *     hvc #0
 *     b .
 *     .balign 16
 * table:
 */
static const uint32_t guest_code[] = {
    0x10000180, 0xa8c10801, 0xb4000061, 0xb9000022, 0x17fffffd, 0xb9400043,
    0x34ffffe3, 0xd2800100, 0xf2b08000, 0xd4000002, 0x14000000, 0xd503201f,
};

static void guest_pair(GByteArray *program, uint64_t addr, uint64_t value)
{
    uint64_t pair[2] = { cpu_to_le64(addr), cpu_to_le64(value) };

    g_byte_array_append(program, (uint8_t *)pair, sizeof(pair));
}

static void guest_store(GByteArray *program, uint64_t addr, const void *data,
                        size_t size)
{
    for (size_t i = 0; i < size; i += 4) {
        guest_pair(program, addr + i, ldl_le_p((const uint8_t *)data + i));
    }
}

static void guest_write_register(GByteArray *program, uint32_t offset,
                                 uint32_t value)
{
    guest_pair(program, soc->npu + offset, value);
}

/* A program that has a job of @count commands done. Returns its file. */
static char *guest_program(const struct xrnpe_cmd *cmds, unsigned int count)
{
    g_autoptr(GByteArray) program = g_byte_array_new();
    struct xrnpe_region region[2] = {
        { cpu_to_le64(CONSTANTS), cpu_to_le64(REGION_SIZE),
          cpu_to_le32(XRNPE_REGION_READ) },
        { cpu_to_le64(ARENA), cpu_to_le64(REGION_SIZE),
          cpu_to_le32(XRNPE_REGION_READ | XRNPE_REGION_WRITE) },
    };
    struct xrnpe_job_desc desc = descriptor(CMDS(0), count, 1);
    const struct xrnpe_scale scale = { ONE_F32, ONE_F32 };
    char *path;
    int fd = g_file_open_tmp("xrnpe-XXXXXX.bin", &path, NULL);

    g_assert_cmpint(fd, >=, 0);
    close(fd);
    desc.region_count = cpu_to_le32(ARRAY_SIZE(region));
    desc.flags = cpu_to_le32(XRNPE_JOB_RECORD);
    desc.record = cpu_to_le64(RECORD);

    g_byte_array_append(program, (uint8_t *)guest_code, sizeof(guest_code));
    guest_store(program, CONSTANTS, &scale, sizeof(scale));
    guest_store(program, TABLE, region, sizeof(region));
    guest_store(program, CMDS(0), cmds, count * sizeof(*cmds));
    guest_store(program, RING(0), &desc, sizeof(desc));
    guest_write_register(program, XRNPE_STATUS_BASE_LO, STATUS_PAGE);
    guest_write_register(program, XRNPE_QUEUE(0) + XRNPE_QUEUE_BASE_LO,
                         RING(0));
    guest_write_register(program, XRNPE_QUEUE(0) + XRNPE_QUEUE_SIZE, RING_SIZE);
    guest_write_register(program, XRNPE_QUEUE(0) + XRNPE_QUEUE_CTRL,
                         XRNPE_QUEUE_CTRL_ENABLE);
    guest_write_register(program, XRNPE_QUEUE(0) + XRNPE_QUEUE_TAIL, 1);
    guest_pair(program, 0, soc->npu + XRNPE_QUEUE(0) + XRNPE_QUEUE_HEAD);
    g_assert_true(g_file_set_contents(path, (char *)program->data, program->len,
                                      NULL));
    return path;
}

enum { GUEST_CMDS = 5 };

static void guest_commands(struct xrnpe_cmd cmds[GUEST_CMDS])
{
    for (unsigned int i = 0; i < GUEST_CMDS; i++) {
        cmds[i] = update(i, 0);
    }
}

static struct xrnpe_job_record run_guest(const char *arguments)
{
    struct xrnpe_cmd cmds[GUEST_CMDS];
    struct xrnpe_job_record record;
    g_autofree char *program = NULL;
    g_autofree char *all = NULL;
    Npu npu;

    guest_commands(cmds);
    program = guest_program(cmds, GUEST_CMDS);
    all = g_strdup_printf("-S -accel tcg -cpu cortex-a57 -no-shutdown -bios %s "
                          "%s", program, arguments);
    npu = npu_open("", all);
    cont(&npu);
    qtest_qmp_eventwait(npu.qts, "STOP");
    unlink(program);
    qtest_memread(npu.qts, RECORD, &record, sizeof(record));
    g_assert_cmpuint(le32_to_cpu(record.seqno), ==, 1);
    g_assert_cmpuint(record.fault.kind, ==, XRNPE_FAULT_NONE);
    g_assert_cmpfloat(get_float(&npu, variable_addr(GUEST_CMDS)), ==,
                      GUEST_CMDS);
    npu_quit(&npu);
    return record;
}

/*
 * Under -icount what the guest sees is the same to the nanosecond, in every
 * run, and with timing=model as the model predicts.
 */
static void test_icount(const void *data)
{
    const char *timing = data;
    const struct xrnpe_machine machine = XRNPE_MACHINE_DEFAULT;
    struct xrnpe_cmd cmds[GUEST_CMDS];
    struct xrnpe_counters sum = { };
    struct xrnpe_job_record record[2];
    uint64_t time;

    guest_commands(cmds);
    for (unsigned int i = 0; i < GUEST_CMDS; i++) {
        xrnpe_cmd_cost(&machine, &cmds[i], &sum);
    }
    time = g_str_equal(timing, "model") ? sum.cycles : GUEST_CMDS;
    for (unsigned int i = 0; i < ARRAY_SIZE(record); i++) {
        g_autofree char *arguments =
            g_strdup_printf("-icount shift=0,sleep=off "
                            "-global xrnpe.timing=%s", timing);

        record[i] = run_guest(arguments);
        g_assert_cmpuint(le64_to_cpu(record[i].executed), ==, time);
        g_assert_cmpuint(le64_to_cpu(record[i].end) -
                         le64_to_cpu(record[i].start), ==, time);
    }
    g_assert_cmpmem(&record[0], sizeof(record[0]), &record[1],
                    sizeof(record[1]));
}

/* What was recorded is replayed to its end. */
static void test_replay(void)
{
    static const char *const modes[] = { "record", "replay" };
    struct xrnpe_cmd cmds[GUEST_CMDS];
    g_autofree char *program = NULL;
    g_autofree char *log = NULL;
    int fd = g_file_open_tmp("xrnpe-XXXXXX.replay", &log, NULL);

    g_assert_cmpint(fd, >=, 0);
    close(fd);
    guest_commands(cmds);
    program = guest_program(cmds, GUEST_CMDS);
    for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
        g_autofree char *icount = g_strdup_printf("shift=0,rr=%s,rrfile=%s",
                                                  modes[i], log);
        const char *argv[] = {
            "timeout", "60", getenv("QTEST_QEMU_BINARY"), "-machine", "virt",
            "-cpu", "cortex-a57", "-m", "64M", "-nodefaults", "-display",
            "none", "-bios", program, "-icount", icount, "-device", "xrnpe",
            NULL,
        };
        int status;

        g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL,
                                   G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL,
                                   &status, NULL));
        g_assert_true(WIFEXITED(status));
        g_assert_cmpint(WEXITSTATUS(status), ==, 0);
    }
    unlink(program);
    unlink(log);
}

/* ---- Memory ------------------------------------------------------------ */

/* The device's own accesses reach memory only, as operands do. */
static void test_dma_to_registers(void)
{
    g_autofree char *path = NULL;
    g_autofree char *arguments = NULL;
    g_autofree char *output = NULL;
    struct xrnpe_job_desc desc;
    struct xrnpe_cmd cmd;
    int fd = g_file_open_tmp("xrnpe-XXXXXX.serial", &path, NULL);
    Npu npu;

    g_assert_cmpint(fd, >=, 0);
    close(fd);
    arguments = g_strdup_printf("-serial file:%s", path);
    npu = npu_open("", arguments);
    prepare(&npu);
    cmd = small_matmul(&npu);

    /* Region table and commands: the job ends with a fault. */
    qtest_memwrite(npu.qts, CMDS(0), &cmd, sizeof(cmd));
    for (unsigned int i = 0; i < 4; i++) {
        uint64_t place = i % 2 ? soc->uart : soc->npu;

        desc = descriptor(i < 2 ? CMDS(0) : place, 1, i);
        if (i < 2) {
            desc.regions = cpu_to_le64(place);
        }
        queue_desc(&npu, 0, &desc);
        wait_head(&npu, 0, i + 1);
        g_assert_cmpuint(status_of(&npu, 0).fault.kind, ==, XRNPE_FAULT_BUS);
        assert_bus_addr(&npu, place);
        control(&npu, 0, XRNPE_QUEUE_CTRL_RESUME);
    }
    /* Ring, status page and job record: the device halts. */
    for (unsigned int i = 0; i < 3; i++) {
        wr(&npu, XRNPE_CTRL, XRNPE_CTRL_RESET);
        prepare(&npu);
        desc = descriptor(CMDS(0), 1, 'X');
        if (i == 0) {
            desc.flags = cpu_to_le32(XRNPE_JOB_RECORD);
            desc.record = cpu_to_le64(soc->uart);
        } else {
            wr(&npu, XRNPE_CTRL, XRNPE_CTRL_RESET);
            set_status_page(&npu, i == 1 ? soc->uart : STATUS_PAGE);
            enable(&npu, 0, i == 2 ? soc->uart : RING(0), RING_SIZE);
        }
        queue_desc(&npu, 0, &desc);
        wait_until(&npu, XRNPE_STATUS, ~0, XRNPE_STATUS_BUS_ERROR);
        assert_bus_addr(&npu, soc->uart);
    }
    npu_quit(&npu);
    g_assert_true(g_file_get_contents(path, &output, NULL, NULL));
    unlink(path);
    g_assert_cmpstr(output, ==, "");
}

/* As many binary32 numbers as lie on both sides of the end of a memory block */
static struct xrnpe_cmd convert(struct xrnpe_operand ifm,
                                struct xrnpe_operand ofm, uint32_t count)
{
    return (struct xrnpe_cmd) {
        .opcode = XRNPE_OP_CONVERT,
        .operand = {
            [XRNPE_OPERAND_IFM] = ifm,
            [XRNPE_OPERAND_SCALE] = operand(0, XRNPE_FORMAT_F32, 0, 0),
            [XRNPE_OPERAND_OFM] = ofm,
        },
        .image = { .in_h = count, .in_w = 1, .in_c = 1 },
    };
}

/* Operands may lie in several blocks of memory that adjoin. */
static void test_two_blocks(void)
{
    enum { COUNT = 64, BLOCK_MIB = 80 };
    uint64_t seam = RAM_BASE + BLOCK_MIB * MiB;
    g_autofree char *log = NULL;
    g_autofree char *arguments = NULL;
    g_autofree char *said = NULL;
    const char *once;
    struct xrnpe_region region = {
        .base = cpu_to_le64(seam - 256),
        .size = cpu_to_le64(0x1000),
        .flags = cpu_to_le32(XRNPE_REGION_READ | XRNPE_REGION_WRITE),
    };
    static const struct xrnpe_fault want = {
        .kind = XRNPE_FAULT_DEVICE,
        .operand = XRNPE_OPERAND_NONE,
    };
    struct xrnpe_cmd cmd;
    int fd = g_file_open_tmp("xrnpe-XXXXXX.log", &log, NULL);
    Npu npu;

    g_assert_cmpint(fd, >=, 0);
    close(fd);
    arguments = g_strdup_printf(
        "-smp 2 -m %uM "
        "-object memory-backend-ram,id=m0,size=%uM "
        "-object memory-backend-ram,id=m1,size=%uM "
        "-numa node,memdev=m0,cpus=0 -numa node,memdev=m1,cpus=1 2> %s",
        2 * BLOCK_MIB, BLOCK_MIB, BLOCK_MIB, log);
    npu = npu_open("", arguments);
    prepare(&npu);
    put_scale(&npu, CONSTANTS, 1, 1);
    qtest_memwrite(npu.qts, TABLE + sizeof(region), &region, sizeof(region));

    /* Read across the seam, then write across it: every other word. */
    for (unsigned int i = 0; i < COUNT; i++) {
        put_float(&npu, seam - 256 + 8 * i, i);
    }
    cmd = convert(operand(1, XRNPE_FORMAT_F32, 0, 8),
                  operand(3, XRNPE_FORMAT_F32, 0, 4), COUNT);
    queue_job(&npu, 0, &cmd, 1, 1);
    wait_head(&npu, 0, 1);
    assert_done(&npu, 0, 1);
    for (unsigned int i = 0; i < COUNT; i++) {
        g_assert_cmpfloat(get_float(&npu, OUTPUT + 4 * i), ==, i + 1);
        put_float(&npu, INPUT + 4 * i, 2 * i);
    }
    qtest_memset(npu.qts, seam - 256, 0x5a, 1024);
    cmd = convert(operand(2, XRNPE_FORMAT_F32, 0, 4),
                  operand(1, XRNPE_FORMAT_F32, 0, 8), COUNT);
    queue_job(&npu, 0, &cmd, 1, 2);
    wait_head(&npu, 0, 2);
    assert_done(&npu, 0, 2);
    for (unsigned int i = 0; i < COUNT; i++) {
        g_assert_cmpfloat(get_float(&npu, seam - 256 + 8 * i), ==, 2 * i + 1);
        g_assert_cmphex(qtest_readl(npu.qts, seam - 256 + 8 * i + 4), ==,
                        0x5a5a5a5a);
    }

    /* Too large for a buffer: the device's fault, and said once. */
    region.base = cpu_to_le64(seam - 10 * MiB);
    region.size = cpu_to_le64(80 * MiB);
    qtest_memwrite(npu.qts, TABLE + sizeof(region), &region, sizeof(region));
    cmd = convert(operand(1, XRNPE_FORMAT_F32, 0, 72 * MiB),
                  operand(3, XRNPE_FORMAT_F32, 0, 4), 2);
    for (unsigned int i = 3; i < 6; i++) {
        queue_job(&npu, 0, &cmd, 1, i);
        wait_head(&npu, 0, i);
        assert_fault(&npu, 0, i, &want);
        control(&npu, 0, XRNPE_QUEUE_CTRL_RESUME);
    }
    npu_quit(&npu);
    g_assert_true(g_file_get_contents(log, &said, NULL, NULL));
    unlink(log);
    once = strstr(said, "the host lacks memory");
    g_assert_nonnull(once);
    g_assert_null(strstr(once + 1, "the host lacks memory"));
}

/* MiB of the host's memory that QEMU uses */
static unsigned int resident(Npu *npu)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status",
                                            qtest_pid(npu->qts));
    g_autofree char *text = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return strtoul(strstr(text, "VmRSS:") + strlen("VmRSS:"), NULL, 10) / 1024;
}

/* How much of it a command takes is not for the guest to say. */
static void test_host_memory(void)
{
    Npu npu = npu_open(",threads=16", "");
    struct xrnpe_cmd cmd = matmul(XRNPE_FORMAT_P16, XRNPE_FORMAT_FP4, 16, 8192,
                                  XRNPE_MAX_K);
    unsigned int before;

    cmd.operand[XRNPE_OPERAND_IFM].row_stride = 0;
    cmd.operand[XRNPE_OPERAND_WEIGHT].row_stride = 0;
    cmd.operand[XRNPE_OPERAND_SCALE].offset = 0;
    cmd.operand[XRNPE_OPERAND_SCALE].row_stride = 0;
    prepare(&npu);
    assert_works(&npu, 0, 1);
    before = resident(&npu);
    queue_job(&npu, 0, &cmd, 1, 2);
    wait_head(&npu, 0, 2);
    g_test_message("%u MiB more", resident(&npu) - before);
    g_assert_cmpuint(resident(&npu) - before, <, 128);
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

/* ---- Devices ----------------------------------------------------------- */

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

int main(int argc, char **argv)
{
    static const char *const bad_properties[] = {
        "rows=0", "cols=0", "queues=0", "queues=5", "threads=257",
        "kernel=none-such", "timing=wrong",
    };

    g_test_init(&argc, &argv, NULL);
    soc_init();

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
    qtest_add_func("/xrnpe/matmul", test_matmul);
    qtest_add_func("/xrnpe/formats", test_formats);
    qtest_add_func("/xrnpe/invalid-status", test_invalid_status);
    qtest_add_func("/xrnpe/job-record", test_job_record);
    qtest_add_func("/xrnpe/timing", test_timing);
    qtest_add_func("/xrnpe/timestamp", test_timestamp);
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
    qtest_add_func("/xrnpe/malformed-stream", test_malformed_stream);
    qtest_add_func("/xrnpe/snapshots", test_snapshots);
    qtest_add_func("/xrnpe/load-snapshot", test_load_snapshot);
    qtest_add_func("/xrnpe/changed-while-stopped", test_changed_while_stopped);
    qtest_add_func("/xrnpe/log", test_log);
    qtest_add_func("/xrnpe/unrealize", test_unrealize);
    for (unsigned int i = 0; i < ARRAY_SIZE(endings); i++) {
        g_autofree char *path = g_strdup_printf("/xrnpe/latency/%s",
                                                endings[i].name);

        qtest_add_data_func(path, &endings[i], test_latency);
    }
    if (g_str_equal(qtest_get_arch(), "aarch64")) {
        qtest_add_data_func("/xrnpe/icount/none", "none", test_icount);
        qtest_add_data_func("/xrnpe/icount/model", "model", test_icount);
        qtest_add_func("/xrnpe/replay", test_replay);
    }
    qtest_add_func("/xrnpe/dma-to-registers", test_dma_to_registers);
    qtest_add_func("/xrnpe/two-blocks", test_two_blocks);
    qtest_add_func("/xrnpe/host-memory", test_host_memory);
    qtest_add_func("/xrnpe/disable-at-halt", test_disable_at_halt);
    qtest_add_func("/xrnpe/two-devices", test_two_devices);
    qtest_add_func("/xrnpe/random", test_random);

    return g_test_run();
}
