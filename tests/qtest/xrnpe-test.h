/*
 * QTests of the XR-NPE neural co-processor, a file for each concern
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef XRNPE_TEST_H
#define XRNPE_TEST_H

#include "xrnpe-npu.h"

/* Each adds the tests of one file. */
void xrnpe_add_machine_tests(void);
void xrnpe_add_jobs_tests(void);
void xrnpe_add_queues_tests(void);
void xrnpe_add_faults_tests(void);
void xrnpe_add_inject_tests(void);
void xrnpe_add_line_tests(void);
void xrnpe_add_migration_tests(void);
void xrnpe_add_guest_tests(void);

#endif
