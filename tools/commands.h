/* SPDX-License-Identifier: MIT */
/* The sub-commands of the command line, one file each. */
#ifndef XRNPE_COMMANDS_H
#define XRNPE_COMMANDS_H

int xrnpe_num(int argc, char **argv);

#endif
