/*
 * QTest testcase for the XR-NPE neural co-processor
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Results are compared with numbers worked out by hand, and for pseudo-random
 * operands with the datapath, called here directly.
 */

#include "qemu/osdep.h"
#include "xrnpe-test.h"

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    soc_init();

    xrnpe_add_machine_tests();
    xrnpe_add_jobs_tests();
    xrnpe_add_queues_tests();
    xrnpe_add_faults_tests();
    xrnpe_add_inject_tests();
    xrnpe_add_line_tests();
    xrnpe_add_migration_tests();
    xrnpe_add_guest_tests();

    return g_test_run();
}
