// SPDX-License-Identifier: MIT
/* What a model costs on a device, by the cycle model. */
#include <string.h>

#include "cost.h"
#include "model.h"

/* What an older driver does not tell is as by default. */
static struct xrnpe_machine machine_of(const struct xrnpe_device_info *device)
{
	struct xrnpe_machine machine = XRNPE_MACHINE_DEFAULT;

	if (!device || !device->bus_bytes || !device->sram_kib || !device->clock_khz)
		return machine;
	machine.rows = device->rows;
	machine.cols = device->cols;
	machine.bus_bytes = device->bus_bytes;
	machine.sram_kib = device->sram_kib;
	machine.clock_khz = device->clock_khz;
	return machine;
}

/* All but the counters, from them. */
static void derive(const struct xrnpe_machine *machine, const struct xrnpe_energy *energy,
		   struct xrnpe_cost *cost)
{
	const struct xrnpe_counters *c = &cost->counters;
	double elements = machine->rows * (double)machine->cols, busy = 0;

	for (unsigned int i = 0; i < XRNPE_PRODUCT_FORMATS; i++) {
		for (unsigned int w = 0; w < XRNPE_PRODUCT_FORMATS; w++)
			busy += (double)c->products[i][w] / xrnpe_rate(i, w);
	}
	cost->utilisation = c->cycles ? busy / elements / (double)c->cycles : 0;
	cost->seconds = (double)c->cycles / machine->clock_khz / 1000;
	cost->picojoules = xrnpe_energy_pj(energy, c);
}

void xrnpe_model_predict(const struct xrnpe_model *model, const struct xrnpe_device_info *device,
			 const struct xrnpe_energy *energy, struct xrnpe_cost *total,
			 struct xrnpe_cost *layers)
{
	const struct xrnpe_energy usual = xrnpe_energy_default();
	const struct xrnpe_machine machine = machine_of(device);
	struct xrnpe_cost all = { 0 };

	if (!energy)
		energy = &usual;
	if (layers)
		memset(layers, 0, model->layer_count * sizeof(*layers));
	for (uint32_t i = 0; i < model->cmd_count; i++) {
		xrnpe_cmd_cost(&machine, &model->cmds[i], &all.counters);
		if (layers)
			xrnpe_cmd_cost(&machine, &model->cmds[i], &layers[model->cmd_layer[i]].counters);
	}
	for (uint32_t i = 0; layers && i < model->layer_count; i++)
		derive(&machine, energy, &layers[i]);
	derive(&machine, energy, &all);
	if (total)
		*total = all;
}
