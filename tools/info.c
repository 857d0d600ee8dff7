// SPDX-License-Identifier: MIT
/* xrnpe info: what devices there are. */
#include <getopt.h>
#include <inttypes.h>

#include "commands.h"
#include "console.h"

static const char usage[] =
	"usage: xrnpe info [--device DEV] [--json]\n"
	"\n"
	"Show the emulator and the first XR-NPE device found, or the one named.\n"
	"\n"
	"  -d, --device DEV  emu, drm (the first found), or a device node\n"
	"  -j, --json        as JSON\n"
	"  -h, --help        this text\n";

static void print_text(const struct xrnpe_device_info *info)
{
	printf("%s\n", info->path);
	printf("  back end           %s (%s)\n", info->backend, info->driver);
	printf("  programming model  %u.%u\n", info->version >> 16, info->version & 0xffff);
	printf("  array              %u x %u processing elements\n", info->rows, info->cols);
	printf("  queues             %u\n", info->queues);
	printf("  a job              at most %u commands, %u regions", info->max_cmds,
	       info->max_regions);
	if (info->job_timeout_ms)
		printf(", %u ms", info->job_timeout_ms);
	printf("\n  a buffer           at most %" PRIu64 " bytes\n", info->max_buffer_size);
	if (info->threads)
		printf("  threads            %u\n", info->threads);
}

static void print_json(const struct xrnpe_device_info *info)
{
	printf("{\"path\": ");
	json_string(stdout, info->path);
	printf(", \"backend\": ");
	json_string(stdout, info->backend);
	printf(", \"driver\": ");
	json_string(stdout, info->driver);
	printf(", \"version\": \"%u.%u\", \"rows\": %u, \"cols\": %u, \"queues\": %u, "
	       "\"max_cmds\": %u, \"max_regions\": %u, \"max_buffer_size\": %" PRIu64 ", "
	       "\"job_timeout_ms\": %u, \"threads\": %u}",
	       info->version >> 16, info->version & 0xffff, info->rows, info->cols, info->queues,
	       info->max_cmds, info->max_regions, info->max_buffer_size, info->job_timeout_ms,
	       info->threads);
}

int xrnpe_info(int argc, char **argv)
{
	static const struct option options[] = {
		{ "device", required_argument, NULL, 'd' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *names[] = { "emu", "drm" };
	unsigned int count = 2, shown = 0;
	bool json = false;
	int option;

	while ((option = getopt_long(argc, argv, "d:jh", options, NULL)) != -1) {
		switch (option) {
		case 'd':
			names[0] = optarg;
			count = 1;
			break;
		case 'j':
			json = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return finish_output();
		default:
			return misused(argv[0], "cannot understand the options");
		}
	}
	if (optind < argc)
		return misused(argv[0], "takes no argument: %s", argv[optind]);

	if (json)
		printf("{\"version\": \"%s\", \"devices\": [", xrnpe_version());
	for (unsigned int i = 0; i < count; i++) {
		struct xrnpe_device *device;
		struct xrnpe_error error;

		if (xrnpe_device_open(names[i], &device, &error)) {
			/* Only a device that was asked for must be there. */
			if (count == 1)
				return failed(&error);
			if (!json)
				printf("%s\n", error.message);
			continue;
		}
		if (json) {
			printf(shown++ ? ", " : "");
			print_json(xrnpe_device_info(device));
		} else {
			print_text(xrnpe_device_info(device));
		}
		xrnpe_device_close(device);
	}
	if (json)
		puts("]}");
	return finish_output();
}
