// SPDX-License-Identifier: MIT
/* xrnpe info: what devices and operators there are, and what a model costs on a device. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "console.h"
#include "costs.h"
#include "energy_figures.h"
#include "error.h"
#include "network.h"
#include "points.h"
#include "quality.h"

static const char usage[] =
	"usage: xrnpe info [MODEL.xrnpe [--point N]] [--device DEV] [--energy NAME=PJ|FILE]\n"
	"                  [--json]\n"
	"       xrnpe info --operators [--json]\n"
	"\n"
	"Show the emulator and the first XR-NPE device found, or the one named. With a\n"
	"model: what its layers cost there (or on the default device) by the cycle model.\n"
	"\n"
	"  -p, --point N     of a model that has several: they are listed\n"
	"  -O, --operators   ONNX's operators that networks may have: how many inputs and\n"
	"                    outputs they have, and which attributes\n"
	"  -d, --device DEV  emu, drm (the first found), or a device node\n"
	"      --energy NAME=PJ|FILE  a figure by which a model's energy is told, or a file with a\n"
	"                    line for each: memory_byte, sram_byte, gated_block, cycle, sharing,\n"
	"                    or of products as fp4/p8; may be repeated. --json tells all\n"
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
	if (info->clock_khz)
		printf("  speed              %g MHz, %u bytes a cycle, %u KiB of operand buffers\n",
		       info->clock_khz / 1e3, info->bus_bytes, info->sram_kib);
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
	       "\"job_timeout_ms\": %u, \"threads\": %u, \"bus_bytes\": %u, \"sram_kib\": %u, "
	       "\"clock_khz\": %u}",
	       info->version >> 16, info->version & 0xffff, info->rows, info->cols, info->queues,
	       info->max_cmds, info->max_regions, info->max_buffer_size, info->job_timeout_ms,
	       info->threads, info->bus_bytes, info->sram_kib, info->clock_khz);
}

/* ---- devices -------------------------------------------------------------- */

static int show_devices(const char *name, bool json)
{
	const char *names[] = { name ? name : "emu", "drm" };
	unsigned int count = name ? 1 : 2, shown = 0;

	if (json)
		printf("{\"version\": \"%s\", \"devices\": [", xrnpe_version());
	for (unsigned int i = 0; i < count; i++) {
		struct xrnpe_device *device;
		struct xrnpe_error error;

		if (xrnpe_device_open(names[i], &device, &error)) {
			/* Only a device that was asked for must be there. */
			if (name)
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

/* ---- operators ------------------------------------------------------------ */

/* Words separated by spaces as a list in JSON. */
static void print_words_json(const char *words)
{
	const char *separator = "";

	printf("[");
	for (size_t length; *words; words += length) {
		words += strspn(words, " ");
		length = strcspn(words, " ");
		printf("%s\"%.*s\"", separator, (int)length, words);
		separator = ", ";
	}
	printf("]");
}

/* "2", "2..3", or "2.." for any number from 2 on. */
static void range_text(unsigned int least, unsigned int most, char *text, size_t size)
{
	if (most == XRNPE_OPERATOR_ANY)
		snprintf(text, size, "%u..", least);
	else if (most > least)
		snprintf(text, size, "%u..%u", least, most);
	else
		snprintf(text, size, "%u", least);
}

static void print_operator(const struct xrnpe_operator_info *info)
{
	char inputs[32], outputs[32];

	range_text(info->min_inputs, info->max_inputs, inputs, sizeof(inputs));
	range_text(1, info->max_outputs, outputs, sizeof(outputs));
	printf("%-22s  %-6s  %-7s%s%s\n", info->name, inputs, outputs, *info->attributes ? "  " : "",
	       info->attributes);
}

static void print_most_json(const char *key, unsigned int most)
{
	if (most == XRNPE_OPERATOR_ANY)
		printf("\"%s\": null, ", key);
	else
		printf("\"%s\": %u, ", key, most);
}

static void print_operator_json(const struct xrnpe_operator_info *info)
{
	printf("{\"name\": \"%s\", \"min_inputs\": %u, ", info->name, info->min_inputs);
	print_most_json("max_inputs", info->max_inputs);
	print_most_json("max_outputs", info->max_outputs);
	printf("\"attributes\": ");
	print_words_json(info->attributes);
	printf("}");
}

static int show_operators(bool json)
{
	struct xrnpe_operator_info info;

	if (json)
		printf("{\"operators\": [");
	else
		printf("%-22s  %-6s  %-7s  %s\n", "operator", "inputs", "outputs", "attributes");
	for (unsigned int i = 0; xrnpe_operator(i, &info); i++) {
		if (json) {
			printf(i ? ",\n  " : "\n  ");
			print_operator_json(&info);
		} else {
			print_operator(&info);
		}
	}
	if (json)
		puts("]}");
	return finish_output();
}

/* ---- models --------------------------------------------------------------- */

static void print_cost(const char *name, int width, const char *formats, const struct xrnpe_cost *cost)
{
	const struct xrnpe_counters *c = &cost->counters;

	printf("%-*s  %-9s  %11" PRIu64 "  %11" PRIu64 "  %5.1f %%  %5.1f %%  %10" PRIu64 "  %9.3f\n",
	       width, name, formats, costs_products(c), (uint64_t)c->cycles, 100 * cost->utilisation,
	       c->cycles ? 100 * (double)c->stall_cycles / (double)c->cycles : 0, costs_bytes(c),
	       cost->picojoules / 1e6);
}

/* What the cycle model does not know. */
static void print_cpu(const struct xrnpe_model *model)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < xrnpe_model_layer_count(model); i++)
		count += xrnpe_model_layer(model, i)->place == XRNPE_PLACE_CPU;
	if (count)
		printf("on the CPU: %u of %u layers, whose time is not in this; xrnpe bench measures it\n",
		       count, xrnpe_model_layer_count(model));
}

static void print_costs(const struct xrnpe_model *model, const struct xrnpe_device_info *device,
			const struct xrnpe_energy *energy, const struct xrnpe_cost *total,
			const struct xrnpe_cost *layers)
{
	struct xrnpe_footprint memory;
	int width = 5;

	xrnpe_model_footprint(model, &memory);
	for (unsigned int i = 0; i < xrnpe_model_layer_count(model); i++)
		width = wider(width, xrnpe_model_layer(model, i)->name);
	printf("%-*s  %-9s  %11s  %11s  %7s  %7s  %10s  %9s\n", width, "layer", "products", "MACs",
	       "cycles", "array", "stalled", "bytes", "uJ");
	for (unsigned int i = 0; i < xrnpe_model_layer_count(model); i++) {
		const struct xrnpe_layer_info *layer = xrnpe_model_layer(model, i);
		char formats[64];

		costs_formats(&layers[i].counters, formats, sizeof(formats));
		print_cost(layer->name, width, layer->place == XRNPE_PLACE_CPU ? "cpu" : formats, &layers[i]);
	}
	print_cost("total", width, "", total);
	print_quality(xrnpe_model_quality(model));
	print_task(stdout, xrnpe_model_task(model));
	print_cpu(model);
	printf("%" PRIu64 " bytes of constants, %" PRIu64 " of commands; for each request %" PRIu64
	       " of arena, %" PRIu64 " of inputs, %" PRIu64 " of outputs\n", memory.constants,
	       memory.commands, memory.arena, memory.inputs, memory.outputs);
	printf("%.3f ms on %u x %u processing elements at %g MHz with %u KiB and %u bytes a cycle\n",
	       1e3 * total->seconds, device->rows, device->cols, device->clock_khz / 1e3,
	       device->sram_kib, device->bus_bytes);
	print_points(model, device, energy);
}

static void print_cost_json(const struct xrnpe_cost *cost)
{
	static const char *const operands[XRNPE_OPERANDS] = {
		[XRNPE_OPERAND_IFM] = "ifm", [XRNPE_OPERAND_IFM2] = "ifm2",
		[XRNPE_OPERAND_WEIGHT] = "weight", [XRNPE_OPERAND_SCALE] = "scale",
		[XRNPE_OPERAND_OFM] = "ofm",
	};
	const struct xrnpe_counters *c = &cost->counters;
	const char *separator = "";

	printf("\"cycles\": %" PRIu64 ", \"stall_cycles\": %" PRIu64 ", \"commands\": %" PRIu64
	       ", \"blocks_active\": %" PRIu64 ", \"blocks_gated\": %" PRIu64 ", \"bytes\": {",
	       (uint64_t)c->cycles, (uint64_t)c->stall_cycles, (uint64_t)c->commands,
	       (uint64_t)c->blocks_active, (uint64_t)c->blocks_gated);
	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++)
		printf("\"%s\": %" PRIu64 ", ", operands[i], (uint64_t)c->bytes[i]);
	printf("\"other\": %" PRIu64 "}, \"products\": {", (uint64_t)c->bytes_other);
	for (unsigned int i = 0; i < XRNPE_PRODUCT_FORMATS; i++) {
		for (unsigned int w = 0; w < XRNPE_PRODUCT_FORMATS; w++) {
			if (!c->products[i][w])
				continue;
			printf("%s\"%s/%s\": %" PRIu64, separator, xrnpe_format_name(w),
			       xrnpe_format_name(i), (uint64_t)c->products[i][w]);
			separator = ", ";
		}
	}
	printf("}, \"utilisation\": %.6f, \"seconds\": %.9g, \"picojoules\": %.9g", cost->utilisation,
	       cost->seconds, cost->picojoules);
}

static void print_costs_json(const struct xrnpe_model *model, const char *path,
			     const struct xrnpe_device_info *device, const struct xrnpe_energy *energy,
			     const struct xrnpe_cost *total, const struct xrnpe_cost *layers)
{
	struct xrnpe_footprint memory;

	xrnpe_model_footprint(model, &memory);
	printf("{\"model\": ");
	json_string(stdout, path);
	printf(", \"device\": ");
	print_json(device);
	printf(", ");
	print_quality_json(xrnpe_model_quality(model));
	print_task_json(xrnpe_model_task(model));
	print_points_json(model, device, energy);
	printf("\"energy\": ");
	energy_print_json(energy);
	printf(", ");
	print_cost_json(total);
	printf(", \"memory\": {\"constants\": %" PRIu64 ", \"commands\": %" PRIu64 ", \"arena\": %" PRIu64
	       ", \"inputs\": %" PRIu64 ", \"outputs\": %" PRIu64 "}, \"layers\": [", memory.constants,
	       memory.commands, memory.arena, memory.inputs, memory.outputs);
	for (unsigned int i = 0; i < xrnpe_model_layer_count(model); i++) {
		printf(i ? ",\n  {\"name\": " : "\n  {\"name\": ");
		json_string(stdout, xrnpe_model_layer(model, i)->name);
		printf(", \"place\": \"%s\", ",
		       xrnpe_model_layer(model, i)->place == XRNPE_PLACE_CPU ? "cpu" : "device");
		print_cost_json(&layers[i]);
		printf("}");
	}
	printf("]}\n");
}

struct options {
	const char *device;	/* NULL: none was named */
	int point;
	struct xrnpe_energy energy;
	bool has_energy, operators, json;
};

static int show_model(const char *path, const struct options *options)
{
	const struct xrnpe_energy *energy = &options->energy;
	struct xrnpe_cost total, *layers = NULL;
	struct xrnpe_device *device = NULL;
	struct xrnpe_model *model = NULL;
	struct xrnpe_error error;
	int ret;

	ret = load_model(path, &model, &error);
	if (!ret)
		ret = select_point(&model, options->point, path, &error);
	if (!ret)
		ret = xrnpe_device_open(options->device ? options->device : "emu", &device, &error);
	if (!ret) {
		layers = calloc(xrnpe_model_layer_count(model), sizeof(*layers));
		if (!layers)
			ret = xrnpe_fail(&error, -ENOMEM, "%s: no memory for its layers", path);
	}
	if (!ret) {
		const struct xrnpe_device_info *info = xrnpe_device_info(device);

		xrnpe_model_predict(model, info, energy, &total, layers);
		if (options->json)
			print_costs_json(model, path, info, energy, &total, layers);
		else
			print_costs(model, info, energy, &total, layers);
	}
	free(layers);
	xrnpe_device_close(device);
	xrnpe_model_free(model);
	return ret ? failed(&error) : finish_output();
}

/* ---- command line --------------------------------------------------------- */

enum { ENERGY = 256 };

/* Take an option, for take_options(). */
static int take(void *data, const char *command, int option, char *argument)
{
	struct options *options = data;

	switch (option) {
	case 'O':
		options->operators = true;
		return 0;
	case 'p':
		return take_point(command, argument, &options->point);
	case 'd':
		options->device = argument;
		return 0;
	case ENERGY:
		options->has_energy = true;
		return take_energy(argument, &options->energy);
	case 'j':
		options->json = true;
		return 0;
	default:
		return -1;
	}
}

int xrnpe_info(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "operators", no_argument, NULL, 'O' },
		{ "point", required_argument, NULL, 'p' },
		{ "device", required_argument, NULL, 'd' },
		{ "energy", required_argument, NULL, ENERGY },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct options options = { .point = NO_POINT };
	int status;

	xrnpe_energy_init(&options.energy);
	status = take_options(argc, argv, "Op:d:jh", long_options, usage, take, &options);
	if (status >= 0)
		return status;
	if (optind + 1 < argc)
		return misused(argv[0], "takes one model: %s", argv[optind + 1]);
	if (options.point != NO_POINT && optind == argc)
		return misused(argv[0], "--point is for a model");
	if (options.operators && (options.device || options.has_energy || optind < argc))
		return misused(argv[0], "--operators goes with --json only");
	if (options.has_energy && optind == argc)
		return misused(argv[0], "--energy goes with a model");
	if (options.operators)
		return show_operators(options.json);
	return optind < argc ? show_model(argv[optind], &options) :
			       show_devices(options.device, options.json);
}
