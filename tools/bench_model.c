// SPDX-License-Identifier: MIT
/* xrnpe bench MODEL.xrnpe: how long a compiled model takes, alone and in batches. */
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
#include "layer_times.h"
#include "network.h"
#include "points.h"

#define BATCH 64
#define MOST_BATCH 65536
#define LEAST 5		/* turns of each kind */
#define MOST_THREADS 256	/* of the emulator */

static const char usage[] =
	"usage: xrnpe bench MODEL.xrnpe [--point N] [--device DEV] [--threads N]\n"
	"                         [--seconds S] [--batch N] [--layers]\n"
	"                         [--energy NAME=PJ|FILE] [--json]\n"
	"\n"
	"Measures a compiled model on random inputs: how long one input takes from its\n"
	"submission to its output, nothing else running, and how many a second there are in\n"
	"batches, in the fastest of them. Cycles, bytes and energy are the device's, by the\n"
	"cycle model.\n"
	"\n"
	"  -p, --point N     of a model that has several; xrnpe info lists them\n"
	"  -d, --device DEV  emu (default), drm (the first found), or a device node\n"
	"  -t, --threads N   of the emulator: inputs that it computes side by side\n"
	"  -s, --seconds S   for each of the two (default: 2)\n"
	"  -b, --batch N     inputs in a batch (default: 64)\n"
	"  -l, --layers      and layer by layer; times are the shortest, each layer alone\n"
	"      --energy NAME=PJ|FILE  a figure by which energy is told, or a file of them\n"
	"  -j, --json        the results as JSON\n"
	"  -h, --help        this text\n";

struct options {
	const char *model, *device;
	double seconds;
	size_t batch;
	int point;
	struct xrnpe_energy energy;
	bool layers, json;
};

struct result {
	double *latencies;	/* seconds, ascending */
	size_t count;
	double cpu;		/* seconds of nodes on the CPU, the least */
	double rate;		/* inputs a second, in batches */
	double *layers;		/* seconds, the least, by layer; NULL: not wanted */
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double percentile(const struct result *result, unsigned int percent)
{
	return result->latencies[(result->count - 1) * percent / 100];
}

/* One at a time, as a program does that waits for each. */
static int measure_single(struct xrnpe_session *session, const struct options *options,
			  const struct xrnpe_model *model, const struct arrays *arrays,
			  struct result *result, struct xrnpe_error *error)
{
	struct xrnpe_request *request;
	double start = seconds_now(), before;
	size_t room = 0;
	int ret = xrnpe_request_new(session, &request, error);

	if (ret)
		return ret;
	while (!ret && (result->count < LEAST || seconds_now() - start < options->seconds)) {
		if (result->count == room) {
			double *more = realloc(result->latencies, (room = 2 * room + 1024) * sizeof(*more));

			if (!more) {
				ret = xrnpe_fail_memory(error);
				break;
			}
			result->latencies = more;
		}
		before = seconds_now();
		ret = run_single(request, model, 0, (const float *const *)arrays->in, arrays->out, error);
		result->latencies[result->count++] = seconds_now() - before;
		before = xrnpe_request_result(request)->cpu_seconds;
		if (result->count == 1 || before < result->cpu)
			result->cpu = before;
	}
	if (!ret)
		qsort(result->latencies, result->count, sizeof(*result->latencies), compare);
	xrnpe_request_free(request);
	return ret;
}

static int measure_batches(struct xrnpe_session *session, const struct options *options,
			   const struct arrays *arrays, struct result *result,
			   struct xrnpe_error *error)
{
	double start = seconds_now(), before, best = 0;
	int ret = 0;

	for (int i = 0; !ret && (i < LEAST || seconds_now() - start < options->seconds); i++) {
		before = seconds_now();
		ret = xrnpe_session_run(session, options->batch, (const float *const *)arrays->in, arrays->out,
					NULL, NULL, NULL, error);
		before = (double)options->batch / (seconds_now() - before);
		best = before > best ? before : best;
	}
	result->rate = best;
	return ret;
}

static void print_layers(const struct xrnpe_model *model, const struct xrnpe_cost *costs,
			 const double *seconds)
{
	unsigned int count = xrnpe_model_layer_count(model);
	int width = 5;

	for (unsigned int i = 0; i < count; i++)
		width = wider(width, xrnpe_model_layer(model, i)->name);
	printf("%-*s  %-9s  %9s  %11s  %10s  %9s\n", width, "layer", "products", "ms", "cycles", "bytes",
	       "uJ");
	for (unsigned int i = 0; i < count; i++) {
		const struct xrnpe_layer_info *layer = xrnpe_model_layer(model, i);
		char formats[64];

		costs_formats(&costs[i].counters, formats, sizeof(formats));
		printf("%-*s  %-9s  %9.3f  %11" PRIu64 "  %10" PRIu64 "  %9.3f\n", width, layer->name,
		       layer->place == XRNPE_PLACE_CPU ? "cpu" : formats, seconds[i] * 1e3,
		       (uint64_t)costs[i].counters.cycles, costs_bytes(&costs[i].counters),
		       costs[i].picojoules / 1e6);
	}
}

static void print_layers_json(const struct xrnpe_model *model, const struct xrnpe_cost *costs,
			      const double *seconds)
{
	printf(", \"layers\": [");
	for (unsigned int i = 0; i < xrnpe_model_layer_count(model); i++) {
		printf(i ? ",\n  {\"name\": " : "\n  {\"name\": ");
		json_string(stdout, xrnpe_model_layer(model, i)->name);
		printf(", \"ms\": %.6f, \"cycles\": %" PRIu64 ", \"bytes\": %" PRIu64
		       ", \"picojoules\": %.9g}", seconds[i] * 1e3, (uint64_t)costs[i].counters.cycles,
		       costs_bytes(&costs[i].counters), costs[i].picojoules);
	}
	printf("]");
}

static void report(const struct options *options, const struct xrnpe_model *model,
		   const struct xrnpe_device_info *info, const struct result *result,
		   struct xrnpe_cost *costs)
{
	struct xrnpe_cost total;
	double p50 = percentile(result, 50) * 1e3, p90 = percentile(result, 90) * 1e3;
	double p99 = percentile(result, 99) * 1e3, best = result->latencies[0] * 1e3;

	xrnpe_model_predict(model, info, &options->energy, &total, costs);
	if (options->json) {
		printf("{\"name\": \"model\", \"model\": ");
		json_string(stdout, options->model);
		printf(", \"device\": ");
		json_string(stdout, info->path);
		printf(", \"threads\": %u, \"best_ms\": %.4f, \"p50_ms\": %.4f, \"p90_ms\": %.4f, "
		       "\"p99_ms\": %.4f, \"cpu_ms\": %.4f, \"batch\": %zu, \"images_per_second\": %.1f",
		       info->threads, best, p50, p90, p99, result->cpu * 1e3, options->batch, result->rate);
		printf(", \"cycles\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"picojoules\": %.9g",
		       (uint64_t)total.counters.cycles, costs_bytes(&total.counters), total.picojoules);
		if (result->layers)
			print_layers_json(model, costs, result->layers);
		printf("}\n");
		return;
	}
	printf("single  %.3f ms (best %.3f, 90 %% %.3f, 99 %% %.3f), %zu inputs\n", p50, best, p90, p99,
	       result->count);
	if (result->cpu > 0)
		printf("cpu     %.3f ms of that, at best, in layers that run on the CPU\n", result->cpu * 1e3);
	printf("batch   %.0f inputs/s\n", result->rate);
	printf("device  %" PRIu64 " cycles (%.3f ms at %g MHz), %" PRIu64 " bytes, %.3f uJ an input\n",
	       (uint64_t)total.counters.cycles, total.seconds * 1e3, info->clock_khz / 1e3,
	       costs_bytes(&total.counters), total.picojoules / 1e6);
	if (result->layers)
		print_layers(model, costs, result->layers);
}

static int measure(const struct options *options, struct xrnpe_session *session,
		   const struct xrnpe_model *model, const struct xrnpe_device_info *info,
		   struct xrnpe_error *error)
{
	struct xrnpe_cost *costs = calloc(xrnpe_model_layer_count(model), sizeof(*costs));
	struct result result = { 0 };
	struct arrays arrays;
	int ret = new_arrays(model, options->batch, &arrays, error);

	if (!ret && !costs)
		ret = xrnpe_fail_memory(error);
	/* The first batch also warms up. */
	if (!ret)
		ret = measure_batches(session, options, &arrays, &result, error);
	if (!ret)
		ret = measure_single(session, options, model, &arrays, &result, error);
	if (!ret && options->layers)
		ret = time_layers(session, model, &arrays, LEAST, options->seconds, &result.layers, error);
	if (!ret)
		report(options, model, info, &result, costs);
	free(costs);
	free(result.layers);
	free(result.latencies);
	free_arrays(model, &arrays);
	return ret;
}

static int bench(const struct options *options)
{
	struct xrnpe_session *session = NULL;
	struct xrnpe_device *device = NULL;
	struct xrnpe_model *model = NULL;
	struct xrnpe_error error;
	int ret;

	ret = load_model(options->model, &model, &error);
	if (!ret)
		ret = select_point(&model, options->point, options->model, &error);
	if (!ret)
		ret = xrnpe_device_open(options->device, &device, &error);
	if (!ret)
		ret = xrnpe_session_new(device, model, NULL, &session, &error);
	if (!ret)
		ret = measure(options, session, model, xrnpe_device_info(device), &error);
	xrnpe_session_free(session);
	xrnpe_device_close(device);
	xrnpe_model_free(model);
	return ret ? failed(&error) : finish_output();
}

enum { ENERGY = 256 };

static bool parse_seconds(const char *text, double *seconds)
{
	char *end;

	*seconds = strtod(text, &end);
	return end != text && !*end && *seconds > 0 && *seconds < 3600;
}

/* Take an option, for take_options(). */
static int take(void *data, const char *command, int option, char *argument)
{
	struct options *options = data;
	size_t threads;

	switch (option) {
	case 'p':
		return take_point(command, argument, &options->point);
	case 'd':
		options->device = argument;
		return 0;
	case 't':
		if (!parse_count(argument, MOST_THREADS, &threads))
			return misused(command, "--threads is not 1..%d: %s", MOST_THREADS, argument);
		setenv("XRNPE_THREADS", argument, 1);
		return 0;
	case 's':
		return parse_seconds(argument, &options->seconds) ? 0 :
		       misused(command, "--seconds is not a number up to an hour: %s", argument);
	case 'b':
		return parse_count(argument, MOST_BATCH, &options->batch) ? 0 :
		       misused(command, "--batch is not 1..%d: %s", MOST_BATCH, argument);
	case 'l':
		options->layers = true;
		return 0;
	case ENERGY:
		return take_energy(argument, &options->energy);
	case 'j':
		options->json = true;
		return 0;
	default:
		return -1;
	}
}

int xrnpe_bench_model(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "point", required_argument, NULL, 'p' },
		{ "device", required_argument, NULL, 'd' },
		{ "threads", required_argument, NULL, 't' },
		{ "seconds", required_argument, NULL, 's' },
		{ "batch", required_argument, NULL, 'b' },
		{ "layers", no_argument, NULL, 'l' },
		{ "energy", required_argument, NULL, ENERGY },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct options options = { .device = "emu", .seconds = 2, .batch = BATCH, .point = NO_POINT };
	int status;

	xrnpe_energy_init(&options.energy);
	status = take_options(argc, argv, "p:d:t:s:b:ljh", long_options, usage, take, &options);
	if (status >= 0)
		return status;
	if (optind + 1 != argc)
		return misused(argv[0], "one model is expected");
	options.model = argv[optind];
	return bench(&options);
}
