/* SPDX-License-Identifier: MIT */
/* The driver as such: its device, and its module, which come and go. Needs root. */
#ifndef XRNPE_MODULE_H
#define XRNPE_MODULE_H

#include <dirent.h>
#include <sys/syscall.h>

#include "xrnpe_test.h"

#define DRIVER "/sys/bus/platform/drivers/xrnpe/"

/* Name of the device that the driver is bound to, or "". */
static inline void find_device(char *name, size_t size)
{
	DIR *dir = opendir(DRIVER);
	struct dirent *entry;

	name[0] = '\0';
	while (dir && (entry = readdir(dir)))
		if (strstr(entry->d_name, "npu"))
			snprintf(name, size, "%s", entry->d_name);
	if (dir)
		closedir(dir);
}

static inline int load_module(const char *parameters)
{
	const char *path = getenv("XRNPE_KO") ?: "/vm/00.ko";
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = syscall(SYS_finit_module, fd, parameters, 0) ? -errno : 0;
	close(fd);
	return ret;
}

static inline int unload_module(void)
{
	return syscall(SYS_delete_module, "xrnpe", O_NONBLOCK) ? -errno : 0;
}

/* A file's last reference may be dropped a moment after its descriptor. */
static inline int unload_module_soon(void)
{
	int ret = -EAGAIN;

	for (int i = 0; i < 6000 && (ret == -EAGAIN || ret == -EBUSY); i++) {
		ret = unload_module();
		sleep_ms(10);
	}
	return ret;
}

static inline int bind_device(const char *name, const char *action)
{
	char path[512];

	snprintf(path, sizeof(path), DRIVER "%s", action);
	return write_file(path, name);
}

/* Load the module anew, with other parameters. Nobody may have a file open. */
static inline int reload_module(const char *parameters)
{
	int ret = unload_module_soon();

	return ret ? ret : load_module(parameters);
}

/* Whether runtime PM says so of the device. */
static inline bool status_is(const char *device, const char *status)
{
	char path[512];

	snprintf(path, sizeof(path), DRIVER "%s/power/runtime_status", device);
	return !strncmp(read_file(path), status, strlen(status));
}

/* ... within a minute. */
static inline bool status_becomes(const char *device, const char *status)
{
	const int64_t end = in_ms(60000);
	bool is;

	while (!(is = status_is(device, status)) && now_ns() < end)
		sleep_ms(10);
	return is;
}

#endif
