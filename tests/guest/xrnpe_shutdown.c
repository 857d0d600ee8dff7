// SPDX-License-Identifier: MIT
/*
 * xrnpe_shutdown off|restart: end the machine while the device executes a job that does not
 * end. What the driver does then the caller learns from logs. Returns only if it fails.
 */
#include <sys/reboot.h>

#include "xrnpe_work.h"

int main(int argc, char **argv)
{
	const bool off = argc == 2 && !strcmp(argv[1], "off");
	struct work endless;
	int fd = open_npu();

	if (fd < 0 || make_endless(fd, &endless)) {
		fprintf(stderr, "no device, or no memory\n");
		return 1;
	}
	mark_result(endless.data.map);
	if (submit(fd, 0, &endless) < 0 || !result_comes(endless.data.map, 10000)) {
		fprintf(stderr, "the job does not begin\n");
		return 1;
	}
	reboot(off ? RB_POWER_OFF : RB_AUTOBOOT);
	perror("reboot");
	return 1;
}
