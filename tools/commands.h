/* SPDX-License-Identifier: MIT */
/*
 * The sub-commands of the command line, one file each. argv[0] is the command's
 * full name, "xrnpe run". They return the exit status: 0, 1: failed, 2: misused.
 */
#ifndef XRNPE_COMMANDS_H
#define XRNPE_COMMANDS_H

int xrnpe_bench(int argc, char **argv);
int xrnpe_bench_elementwise(int argc, char **argv);
int xrnpe_bench_model(int argc, char **argv);
int xrnpe_compile_command(int argc, char **argv);
int xrnpe_disasm(int argc, char **argv);
int xrnpe_info(int argc, char **argv);
int xrnpe_num(int argc, char **argv);
int xrnpe_run(int argc, char **argv);

#endif
