// SPDX-License-Identifier: MIT
#include "streams/kernel.h"

#include <errno.h>
#include <string.h>

#include "cost.h"

int kernel_run(struct xrnpe_datapath *datapath, const struct stream *stream, uint8_t *memory,
	       struct outcome *outcome)
{
	const struct xrnpe_machine machine = XRNPE_MACHINE_DEFAULT;

	memset(outcome, 0, sizeof(*outcome));
	for (unsigned int i = 0; i < stream->cmd_count; i++) {
		struct xrnpe_span spans[XRNPE_OPERANDS];
		void *operand[XRNPE_OPERANDS] = { NULL };
		int ret;

		if (!xrnpe_cmd_check(&stream->cmds[i], i, stream->regions, stream->region_count, spans,
				     &outcome->fault))
			return -EFAULT;
		for (unsigned int o = 0; o < XRNPE_OPERANDS; o++) {
			if (spans[o].size)
				operand[o] = memory + stream->at[spans[o].region] + spans[o].offset;
		}
		xrnpe_datapath_set_cycles(datapath, outcome->counters.cycles);
		ret = xrnpe_datapath_run(datapath, &stream->cmds[i], i, operand, NULL, &outcome->status,
					 &outcome->fault);
		if (ret)
			return ret;
		xrnpe_cmd_cost(&machine, &stream->cmds[i], &outcome->counters);
	}
	memset(&outcome->fault, 0, sizeof(outcome->fault));
	return 0;
}
