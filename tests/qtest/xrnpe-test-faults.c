/*
 * XR-NPE qtests: jobs, commands and memory that are not as they should be
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <math.h>

#include "qemu/bswap.h"
#include "xrnpe-test.h"

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

    /* The record stays until the next fault. */
    g_assert_cmpuint(status_of(&npu, 2).fault_seqno, ==, 72);
    g_assert_cmpuint(status_of(&npu, 2).fault.kind, ==, c->fault.kind);
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

    /* A table without entries may lie anywhere. */
    cmd = (struct xrnpe_cmd) { .opcode = XRNPE_OP_BARRIER };
    qtest_memwrite(npu.qts, CMDS(0), &cmd, sizeof(cmd));
    desc = descriptor(CMDS(0), 1, ++seqno);
    desc.region_count = 0;
    desc.regions = cpu_to_le64(0xfffffffffffffff8);
    queue_desc(&npu, 0, &desc);
    wait_head(&npu, 0, seqno);
    assert_done(&npu, 0, seqno);
    npu_quit(&npu);
}

/*
 * A job may write its own records. The device executes the new ones; another
 * implementation may have fetched the old ones ahead.
 */
static void test_own_records(void)
{
    Npu npu = npu_start();
    const struct xrnpe_region region = {
        .base = cpu_to_le64(CMDS(0)),
        .size = cpu_to_le64(JOB_BYTES),
        .flags = cpu_to_le32(XRNPE_REGION_READ | XRNPE_REGION_WRITE),
    };
    struct xrnpe_cmd cmd[2] = {
        {
            .opcode = XRNPE_OP_COPY,
            .operand = {
                [XRNPE_OPERAND_IFM] = operand(2, XRNPE_FORMAT_P8, 0, 1),
                [XRNPE_OPERAND_OFM] = operand(1, XRNPE_FORMAT_P8,
                                              sizeof(cmd[0]), 1),
            },
            .copy = {
                .in_h = 1, .in_w = 1, .in_c = 1, .out_h = 1, .out_w = 1,
                .out_c = 1, .up_h = 1, .up_w = 1,
            },
        },
        { .opcode = XRNPE_OP_BARRIER },
    };
    static const struct xrnpe_fault want = {
        .kind = XRNPE_FAULT_ILLEGAL_OPCODE,
        .cmd = 1,
        .operand = XRNPE_OPERAND_NONE,
    };

    qtest_memwrite(npu.qts, TABLE + sizeof(region), &region, sizeof(region));
    qtest_writeb(npu.qts, INPUT, 0x77);
    queue_job(&npu, 0, cmd, ARRAY_SIZE(cmd), 1);
    wait_head(&npu, 0, 1);
    assert_fault(&npu, 0, 1, &want);
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

/* The device's own accesses reach memory only, as operands do. */
static void test_dma_to_registers(void)
{
    g_autofree char *path = temporary_file("serial");
    g_autofree char *arguments = NULL;
    g_autofree char *output = NULL;
    struct xrnpe_job_desc desc;
    struct xrnpe_cmd cmd;
    Npu npu;

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
    g_autofree char *log = temporary_file("log");
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
    Npu npu;

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

void xrnpe_add_faults_tests(void)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(fault_cases); i++) {
        g_autofree char *path = g_strdup_printf("/xrnpe/fault/%s",
                                                fault_cases[i].name);

        qtest_add_data_func(path, &fault_cases[i], test_fault);
    }
    qtest_add_func("/xrnpe/fault/bus", test_bus_fault);
    qtest_add_func("/xrnpe/fault/illegal-job", test_illegal_job);
    qtest_add_func("/xrnpe/own-records", test_own_records);
    qtest_add_data_func("/xrnpe/bus-error/status-page", (void *)false,
                        test_bus_error);
    qtest_add_data_func("/xrnpe/bus-error/descriptor", (void *)true,
                        test_bus_error);
    qtest_add_func("/xrnpe/dma-to-registers", test_dma_to_registers);
    qtest_add_func("/xrnpe/two-blocks", test_two_blocks);
}
