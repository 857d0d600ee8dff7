/*
 * XR-NPE qtests: machines that are stopped, saved and brought back
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/timer.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "datapath.h"
#include "xrnpe-test.h"

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
    g_autofree char *path = temporary_file("vmstate");
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
                    XRNPE_STATUS_BUSY | FIELD_PREP(XRNPE_STATUS_QUEUE_MASK, 1));

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
    g_autofree char *path = temporary_file("vmstate");
    g_autofree uint8_t *ifm = g_malloc(M * 2 * K);
    g_autofree uint8_t *weight = g_malloc(N * 2 * K);
    g_autofree uint8_t *got = g_malloc(M * 2 * N);
    g_autofree uint8_t *want = g_malloc(M * 2 * N);
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    struct xrnpe_datapath *datapath = xrnpe_datapath_new(1, NULL);
    struct xrnpe_scale scale = { ONE_F32, 0 };
    struct xrnpe_cmd cmd[CMDS];
    g_autofree char *uri = g_strdup_printf("file:%s", path);
    g_autofree char *incoming = g_strdup_printf("-incoming %s", uri);
    Npu npu = npu_open(properties, "");

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
    g_autofree char *path = temporary_file("qcow2");
    Npu npu = npu_open(",x-fault-slow=1000", "");
    struct xrnpe_cmd cmd[2] = { update(0, 0), update(1, 0) };

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
    g_autofree char *path = temporary_file("vmstate");
    g_autofree char *uri = g_strdup_printf("file:%s", path);
    Npu from = npu_start();

    migrate_to(&from, uri);
    npu_quit(&from);

    assert_refuses("xrnpe,queues=2", uri, "'queues' must be as at the source");
    unlink(path);
}

/*
 * A stream of a device with a command in flight and one queue stopped. *@device
 * is where the device's state begins in it.
 */
static GByteArray *save_stream(size_t *device)
{
    static const char name[] = "xrnpe";
    g_autofree char *path = temporary_file("vmstate");
    g_autofree char *uri = g_strdup_printf("file:%s", path);
    struct xrnpe_cmd bad = { .opcode = 0x77 }, cmd = endless();
    Npu npu = npu_start();
    gchar *data;
    gsize size;

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
    g_autofree char *path = temporary_file("vmstate");
    g_autofree char *uri = g_strdup_printf("file:%s", path);
    Npu npu = npu_open(",kernel=plain", "-incoming defer 2>/dev/null");
    bool taken, over = false;

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

/* The device's state in a stream, big-endian, as far as its tests reach */
typedef struct QEMU_PACKED QueueSection {
    uint64_t base;
    uint32_t size;
    uint32_t head;
    uint32_t tail;
    uint8_t state[5];
    uint32_t seqno;
    uint32_t flags;
    uint64_t record;
    uint64_t cmds;
    uint32_t cmd_count;
    uint32_t cmd_stride;
    uint32_t next_cmd;
    uint32_t status;
    uint32_t region_count;
    struct QEMU_PACKED {
        uint64_t base;
        uint64_t size;
        uint32_t flags;
    } region[XRNPE_MAX_REGIONS];
    uint32_t fault[4];
    uint64_t fault_offset;
    uint64_t start;
    uint64_t executed;
    uint64_t counters[XRNPE_COUNTERS];
} QueueSection;

typedef struct QEMU_PACKED DeviceSection {
    uint32_t instance;
    uint32_t version;
    uint8_t rows;
    uint8_t cols;
    uint8_t queues;
    uint32_t irq_status;
    uint32_t irq_enable;
    uint64_t status_base;
    uint64_t bus_addr;
    uint8_t bus_error;
    uint8_t resetting;
    uint8_t executing;
    uint32_t executing_queue;
    uint64_t start;
    uint64_t end;
    uint64_t counters[XRNPE_COUNTERS];
    QueueSection queue[XRNPE_MAX_QUEUES];
} DeviceSection;

/* State that no device can be in: a word of it that is not as it should be */
static void test_impossible_state(void)
{
    static const struct {
        size_t offset;
        uint32_t value;
    } bad[] = {
        { offsetof(DeviceSection, executing_queue), XRNPE_MAX_QUEUES },
        { offsetof(DeviceSection, executing_queue), 0 },    /* without a job */
        { offsetof(DeviceSection, queue[1].size), RING_SIZE - 1 },
        { offsetof(DeviceSection, queue[1].head), 2 },      /* past the tail */
        { offsetof(DeviceSection, queue[1].cmd_count), XRNPE_MAX_CMDS + 1 },
        { offsetof(DeviceSection, queue[1].next_cmd), 1 },  /* of one */
        { offsetof(DeviceSection, queue[1].next_cmd), 2 },
        { offsetof(DeviceSection, queue[1].region_count),
          XRNPE_MAX_REGIONS + 1 },
    };
    size_t device;
    g_autoptr(GByteArray) stream = save_stream(&device);
    DeviceSection *section = (DeviceSection *)(stream->data + device);

    g_assert_cmpuint(device + sizeof(*section), <, stream->len);
    g_assert_cmphex(be64_to_cpu(section->status_base), ==, STATUS_PAGE);
    g_assert_cmphex(be64_to_cpu(section->queue[3].base), ==, RING(3));
    for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
        uint8_t *word = (uint8_t *)section + bad[i].offset;
        uint32_t was = ldl_be_p(word);

        stl_be_p(word, bad[i].value);
        g_assert_false(takes_stream(stream->data, stream->len));
        stl_be_p(word, was);
    }
    g_assert_true(takes_stream(stream->data, stream->len));
}

/* Cut off, bits flipped, words out of range: refused, or taken as it is. */
static void test_malformed_stream(void)
{
    enum { TRIALS = 24 };
    g_autoptr(GRand) rand = g_rand_new_with_seed(11);
    size_t device;
    g_autoptr(GByteArray) stream = save_stream(&device);
    unsigned int refused = 0;

    g_assert_true(takes_stream(stream->data, stream->len));
    for (unsigned int i = 0; i < TRIALS; i++) {
        size_t at = device + g_rand_int_range(rand, 0, sizeof(DeviceSection));
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

void xrnpe_add_migration_tests(void)
{
    qtest_add_func("/xrnpe/stop", test_stop);
    qtest_add_func("/xrnpe/migrate", test_migrate);
    qtest_add_func("/xrnpe/migrate-mismatch", test_migrate_mismatch);
    qtest_add_func("/xrnpe/impossible-state", test_impossible_state);
    qtest_add_func("/xrnpe/malformed-stream", test_malformed_stream);
    qtest_add_func("/xrnpe/snapshots", test_snapshots);
    qtest_add_func("/xrnpe/load-snapshot", test_load_snapshot);
    qtest_add_func("/xrnpe/changed-while-stopped", test_changed_while_stopped);
}
