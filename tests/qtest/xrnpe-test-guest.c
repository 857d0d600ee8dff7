/*
 * XR-NPE qtests: a CPU that drives the device, in instructions' time
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "cost.h"
#include "xrnpe-test.h"

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
    char *path = temporary_file("bin");

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

static Npu start_guest(const char *properties)
{
    struct xrnpe_cmd cmds[GUEST_CMDS];
    g_autofree char *program = NULL;
    g_autofree char *arguments = NULL;
    Npu npu;

    guest_commands(cmds);
    program = guest_program(cmds, GUEST_CMDS);
    arguments = g_strdup_printf("-S -accel tcg -cpu cortex-a57 -no-shutdown "
                                "-icount shift=0,sleep=off -bios %s", program);
    npu = npu_open(properties, arguments);
    unlink(program);
    cont(&npu);
    return npu;
}

/* What is told of the job, once the guest has turned the machine off. */
static struct xrnpe_job_record end_guest(Npu *npu)
{
    struct xrnpe_job_record record;

    qtest_qmp_eventwait(npu->qts, "STOP");
    qtest_memread(npu->qts, RECORD, &record, sizeof(record));
    g_assert_cmpuint(le32_to_cpu(record.seqno), ==, 1);
    g_assert_cmpuint(record.fault.kind, ==, XRNPE_FAULT_NONE);
    g_assert_cmpfloat(get_float(npu, variable_addr(GUEST_CMDS)), ==,
                      GUEST_CMDS);
    npu_quit(npu);
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
        g_autofree char *properties = g_strdup_printf(",timing=%s", timing);
        Npu npu = start_guest(properties);

        record[i] = end_guest(&npu);
        g_assert_cmpuint(le64_to_cpu(record[i].executed), ==, time);
        g_assert_cmpuint(le64_to_cpu(record[i].end) -
                         le64_to_cpu(record[i].start), ==, time);
    }
    g_assert_cmpmem(&record[0], sizeof(record[0]), &record[1],
                    sizeof(record[1]));
}

/* A stuck command executes in instructions' time, too, and leaves some to others. */
static void test_icount_stuck(void)
{
    Npu npu = start_guest(",x-fault-stuck=on");

    for (unsigned int i = 0; i < 3; i++) {
        put_float(&npu, variable_addr(1), 0);
        wait_float(&npu, variable_addr(1), 1);
    }
    inject_flag(&npu, "x-fault-stuck", false);
    end_guest(&npu);
}

/* What was recorded is replayed to its end. */
static void test_replay(void)
{
    static const char *const modes[] = { "record", "replay" };
    struct xrnpe_cmd cmds[GUEST_CMDS];
    g_autofree char *program = NULL;
    g_autofree char *log = temporary_file("replay");

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

void xrnpe_add_guest_tests(void)
{
    if (g_str_equal(qtest_get_arch(), "aarch64")) {
        qtest_add_data_func("/xrnpe/icount/none", "none", test_icount);
        qtest_add_data_func("/xrnpe/icount/model", "model", test_icount);
        qtest_add_func("/xrnpe/icount/stuck", test_icount_stuck);
        qtest_add_func("/xrnpe/replay", test_replay);
    }
}
