// SPDX-License-Identifier: MIT
/* xrnpe: the command line. Documentation/xrnpe.1 is its manual. */
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "console.h"
#include "xrnpe.h"

struct command {
	const char *name;
	const char *full_name;
	const char *purpose;
	int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
	{ "info", "xrnpe info", "show the devices", xrnpe_info },
	{ "compile", "xrnpe compile", "make a .xrnpe model of a network", xrnpe_compile_command },
	{ "run", "xrnpe run", "run a model on inputs and measure it", xrnpe_run },
	{ "disasm", "xrnpe disasm", "show commands, job records and traces as text", xrnpe_disasm },
	{ "num", "xrnpe num", "encode, decode and multiply numbers", xrnpe_num },
	{ "bench", "xrnpe bench", "measure the datapath's speed", xrnpe_bench },
};

#define COMMANDS (sizeof(commands) / sizeof(*commands))

static void print_help(FILE *stream)
{
	fputs("usage: xrnpe COMMAND [OPTION...]\n"
	      "\n"
	      "Neural networks on XR-NPE, a co-processor for low-precision arithmetic, or on\n"
	      "its bit-exact emulator.\n"
	      "\n", stream);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(stream, "  %-9s %s\n", commands[i].name, commands[i].purpose);
	fputs("\n"
	      "xrnpe COMMAND --help tells about a command, xrnpe --version the version.\n", stream);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		print_help(stderr);
		return 2;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		print_help(stdout);
		return finish_output();
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V") || !strcmp(argv[1], "version")) {
		printf("xrnpe %s\n", xrnpe_version());
		return finish_output();
	}
	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(argv[1], commands[i].name))
			continue;
		argv[1] = (char *)commands[i].full_name;
		return commands[i].run(argc - 1, argv + 1);
	}
	return misused("xrnpe", "no such command: %s", argv[1]);
}
