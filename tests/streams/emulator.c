// SPDX-License-Identifier: MIT
#include "streams/emulator.h"

#include <string.h>

#include "backend.h"

#define QUEUES 4

static struct xrnpe_device *device;
static struct xrnpe_buffer *commands, *operands;

static bool failed(const struct xrnpe_error *error)
{
	printf("# the emulator: %s\n", error->message);
	return false;
}

bool emulator_start(void)
{
	struct xrnpe_error error;

	if (xrnpe_device_open("emu", &device, &error) ||
	    xrnpe_buffer_new(device, STREAM_CMDS * sizeof(struct xrnpe_cmd), &commands, &error) ||
	    xrnpe_buffer_new(device, STREAM_MEMORY, &operands, &error))
		return failed(&error);
	return true;
}

void emulator_stop(void)
{
	xrnpe_buffer_free(operands);
	xrnpe_buffer_free(commands);
	xrnpe_device_close(device);
}

/* There is nothing behind the commands. */
static bool end(struct xrnpe_job *job)
{
	return false;
}

bool emulator_run(const struct stream *stream, uint8_t *memory, struct outcome *outcome)
{
	struct xrnpe_job job = {
		.cmds = commands, .cmd_count = stream->cmd_count, .queue = stream->seed % QUEUES,
		.count = true, .region_count = stream->region_count,
		.advance = end, .fd = -1, .deadline = INT64_MAX,
	};
	struct xrnpe_error error;

	for (unsigned int r = 0; r < stream->region_count; r++)
		job.regions[r] = (struct xrnpe_job_region){
			operands, stream->at[r], stream->regions[r].size, stream->regions[r].flags,
		};
	memcpy(commands->data, stream->cmds, stream->cmd_count * sizeof(stream->cmds[0]));
	memcpy(operands->data, stream->memory, stream->size);
	if (device->backend->submit(device, &job, &error) || device->backend->wait(device, &job, -1))
		return failed(&error);
	memcpy(memory, operands->data, stream->size);
	*outcome = (struct outcome){ .status = job.result.status, .fault = job.result.fault,
				     .counters = job.result.counters };
	if (job.state != (outcome->fault.kind ? DRM_XRNPE_JOB_FAULT : DRM_XRNPE_JOB_DONE)) {
		printf("# the emulator: state %d, fault kind %u\n", job.state, outcome->fault.kind);
		return false;
	}
	return true;
}
