// SPDX-License-Identifier: MIT
/*
 * xrnpe bench MODEL.xrnpe or NETWORK: how long a compiled model takes, or the binary32 reference,
 * alone and in batches.
 */
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
	"       xrnpe bench NETWORK [--threads N] [--seconds S] [--batch N]\n"
	"                         [--shape NAME=N,N...] [--json]\n"
	"\n"
	"Measures a compiled model on random inputs: how long one input takes from its\n"
	"submission to its output, nothing else running, and how many a second there are in\n"
	"batches, in the fastest of them. Cycles, bytes and energy are the device's, by the\n"
	"cycle model. Of a network, .onnx or .tflite, it is the binary32 reference.\n"
	"\n"
	"  -p, --point N     of a model that has several; xrnpe info lists them\n"
	"  -d, --device DEV  emu (default), drm (the first found), or a device node\n"
	"  -t, --threads N   of the emulator or reference: inputs computed side by side\n"
	"  -s, --seconds S   for each of the two (default: 2)\n"
	"  -b, --batch N     inputs in a batch (default: 64)\n"
	"  -l, --layers      and layer by layer; times are the shortest, each layer alone\n"
	"      --shape NAME=1,3,48,192  an input's shape that a network leaves open\n"
	"      --energy NAME=PJ|FILE  a figure by which energy is told, or a file of them\n"
	"  -j, --json        the results as JSON\n"
	"  -h, --help        this text\n";

struct options {
	const char *model, *device;
	double seconds;
	size_t batch;
	int point;
	struct network_options network;
	struct xrnpe_energy energy;
	bool layers, json;
	const char *device_option;	/* one that was given and is for compiled models; NULL: none */
};

/* What is measured: a model where it runs, or a network's reference. */
struct subject {
	struct xrnpe_model *model;
	struct xrnpe_device *device;
	struct xrnpe_session *session;
	struct xrnpe_graph *graph;
	struct arrays arrays;
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

static int run_batch(const struct subject *subject, size_t count, struct xrnpe_error *error)
{
	const float *const *in = (const float *const *)subject->arrays.in;

	return subject->graph ?
	       xrnpe_graph_run(subject->graph, count, in, subject->arrays.out, NULL, NULL, error) :
	       xrnpe_session_run(subject->session, count, in, subject->arrays.out, NULL, NULL, NULL, error);
}

/* @cpu: out: seconds of nodes on the CPU */
static int run_one(const struct subject *subject, struct xrnpe_request *request, double *cpu,
		   struct xrnpe_error *error)
{
	int ret;

	*cpu = 0;
	if (subject->graph)
		return run_batch(subject, 1, error);
	ret = run_single(request, subject->model, 0, (const float *const *)subject->arrays.in,
			 subject->arrays.out, error);
	*cpu = xrnpe_request_result(request)->cpu_seconds;
	return ret;
}

/* One at a time, as a program does that waits for each. */
static int measure_single(const struct subject *subject, const struct options *options,
			  struct result *result, struct xrnpe_error *error)
{
	struct xrnpe_request *request = NULL;
	double start = seconds_now(), before, cpu;
	size_t room = 0;
	int ret = subject->graph ? 0 : xrnpe_request_new(subject->session, &request, error);

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
		ret = run_one(subject, request, &cpu, error);
		result->latencies[result->count++] = seconds_now() - before;
		if (result->count == 1 || cpu < result->cpu)
			result->cpu = cpu;
	}
	if (!ret)
		qsort(result->latencies, result->count, sizeof(*result->latencies), compare);
	xrnpe_request_free(request);
	return ret;
}

static int measure_batches(const struct subject *subject, const struct options *options,
			   struct result *result, struct xrnpe_error *error)
{
	double start = seconds_now(), before, best = 0;
	int ret = 0;

	for (int i = 0; !ret && (i < LEAST || seconds_now() - start < options->seconds); i++) {
		before = seconds_now();
		ret = run_batch(subject, options->batch, error);
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

static void report_times(const struct options *options, const char *device, const struct result *result)
{
	double p50 = percentile(result, 50) * 1e3, p90 = percentile(result, 90) * 1e3;
	double p99 = percentile(result, 99) * 1e3, best = result->latencies[0] * 1e3;

	if (options->json) {
		printf("{\"name\": \"model\", \"model\": ");
		json_string(stdout, options->model);
		printf(", \"device\": ");
		json_string(stdout, device);
		printf(", \"best_ms\": %.4f, \"p50_ms\": %.4f, \"p90_ms\": %.4f, \"p99_ms\": %.4f, "
		       "\"cpu_ms\": %.4f, \"batch\": %zu, \"images_per_second\": %.1f", best, p50, p90, p99,
		       result->cpu * 1e3, options->batch, result->rate);
		return;
	}
	printf("single  %.3f ms (best %.3f, 90 %% %.3f, 99 %% %.3f), %zu inputs\n", p50, best, p90, p99,
	       result->count);
	if (result->cpu > 0)
		printf("cpu     %.3f ms of that, at best, in layers that run on the CPU\n", result->cpu * 1e3);
	printf("batch   %.0f inputs/s\n", result->rate);
}

/* What the device takes. */
static void report_costs(const struct options *options, const struct subject *subject,
			 const struct result *result, struct xrnpe_cost *costs)
{
	const struct xrnpe_device_info *info = xrnpe_device_info(subject->device);
	struct xrnpe_cost total;

	xrnpe_model_predict(subject->model, info, &options->energy, &total, costs);
	if (options->json) {
		printf(", \"threads\": %u, \"cycles\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"picojoules\": %.9g",
		       info->threads, (uint64_t)total.counters.cycles, costs_bytes(&total.counters),
		       total.picojoules);
		if (result->layers)
			print_layers_json(subject->model, costs, result->layers);
		return;
	}
	printf("device  %" PRIu64 " cycles (%.3f ms at %g MHz), %" PRIu64 " bytes, %.3f uJ an input\n",
	       (uint64_t)total.counters.cycles, total.seconds * 1e3, info->clock_khz / 1e3,
	       costs_bytes(&total.counters), total.picojoules / 1e6);
	if (result->layers)
		print_layers(subject->model, costs, result->layers);
}

static int measure(const struct options *options, const struct subject *subject, struct xrnpe_error *error)
{
	unsigned int layers = subject->graph ? 0 : xrnpe_model_layer_count(subject->model);
	struct xrnpe_cost *costs = calloc(layers + 1, sizeof(*costs));
	struct result result = { 0 };
	int ret = costs ? 0 : xrnpe_fail_memory(error);

	/* The first batch also warms up. */
	if (!ret)
		ret = measure_batches(subject, options, &result, error);
	if (!ret)
		ret = measure_single(subject, options, &result, error);
	if (!ret && options->layers)
		ret = time_layers(subject->session, subject->model, &subject->arrays, LEAST, options->seconds,
				  &result.layers, error);
	if (!ret) {
		report_times(options, subject->graph ? "cpu" : xrnpe_device_info(subject->device)->path, &result);
		if (!subject->graph)
			report_costs(options, subject, &result, costs);
		if (options->json)
			puts("}");
	}
	free(costs);
	free(result.layers);
	free(result.latencies);
	return ret;
}

static int open_graph(struct subject *subject, const struct options *options, struct xrnpe_error *error)
{
	const struct xrnpe_graph_options how = network_how(&options->network);
	int ret = xrnpe_graph_load(options->model, &how, &subject->graph, error);

	return ret ? ret : new_arrays(graph_inputs(subject->graph, ""), graph_outputs(subject->graph, ""),
				      options->batch, &subject->arrays, error);
}

static int open_model(struct subject *subject, const struct options *options, struct xrnpe_error *error)
{
	int ret = load_model(options->model, &subject->model, error);

	if (!ret)
		ret = select_point(&subject->model, options->point, options->model, error);
	if (!ret)
		ret = xrnpe_device_open(options->device, &subject->device, error);
	if (!ret)
		ret = xrnpe_session_new(subject->device, subject->model, NULL, &subject->session, error);
	return ret ? ret : new_arrays(model_inputs(subject->model, ""), model_outputs(subject->model, ""),
				      options->batch, &subject->arrays, error);
}

static int bench(const struct options *options)
{
	struct subject subject = { 0 };
	struct xrnpe_error error;
	int ret = is_network(options->model) ? open_graph(&subject, options, &error) :
					       open_model(&subject, options, &error);

	if (!ret)
		ret = measure(options, &subject, &error);
	free_arrays(&subject.arrays);
	xrnpe_graph_free(subject.graph);
	xrnpe_session_free(subject.session);
	xrnpe_device_close(subject.device);
	xrnpe_model_free(subject.model);
	return ret ? failed(&error) : finish_output();
}

enum { ENERGY = 256, SHAPE };

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
		options->device_option = "--point";
		return take_point(command, argument, &options->point);
	case 'd':
		options->device_option = "--device";
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
		options->device_option = "--layers";
		options->layers = true;
		return 0;
	case SHAPE:
		return network_option(&options->network, command, NETWORK_SHAPE, argument);
	case ENERGY:
		options->device_option = "--energy";
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
		{ "shape", required_argument, NULL, SHAPE },
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
	if (is_network(options.model) && options.device_option)
		return misused(argv[0], "%s is for compiled models", options.device_option);
	if (!is_network(options.model) && network_options_given(&options.network))
		return misused(argv[0], "--shape is for networks");
	status = bench(&options);
	network_free(&options.network);
	return status;
}
