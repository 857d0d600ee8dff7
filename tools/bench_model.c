// SPDX-License-Identifier: MIT
/* xrnpe bench MODEL.xrnpe: how long a compiled model takes, alone and in batches. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "console.h"
#include "error.h"

#define BATCH 64
#define LEAST 20	/* turns of each kind */

static const char usage[] =
	"usage: xrnpe bench MODEL.xrnpe [--device DEV] [--threads N] [--seconds S] [--json]\n"
	"\n"
	"Measures a compiled model on random inputs: how long one input takes from its\n"
	"submission to its output, nothing else running, and how many a second there are in\n"
	"batches of 64, in the fastest of them.\n"
	"\n"
	"  -d, --device DEV  emu (default), drm (the first found), or a device node\n"
	"  -t, --threads N   of the emulator: inputs that it computes side by side\n"
	"  -s, --seconds S   for each of the two (default: 2)\n"
	"  -j, --json        the results as JSON\n"
	"  -h, --help        this text\n";

struct options {
	const char *model, *device;
	double seconds;
	bool json;
};

struct result {
	double *latencies;	/* seconds, ascending */
	size_t count;
	double rate;		/* inputs a second, in batches */
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

static float *random_inputs(size_t count)
{
	float *values = malloc(count * sizeof(*values));

	for (size_t i = 0; values && i < count; i++)
		values[i] = (float)rand() / (float)RAND_MAX * 2 - 1;
	return values;
}

/* One at a time, as a program does that waits for each. */
static int measure_single(struct xrnpe_session *session, const struct options *options, const float *in,
			  size_t in_count, float *out, size_t out_count, struct result *result,
			  struct xrnpe_error *error)
{
	struct xrnpe_request *request;
	double start = seconds_now(), before;
	size_t room = 0;
	int ret = xrnpe_request_new(session, &request, error);

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
		ret = xrnpe_request_set_input(request, 0, in, in_count, error);
		if (!ret)
			ret = xrnpe_request_submit(request, 0, error);
		if (!ret)
			ret = xrnpe_request_wait(request, -1, error);
		if (!ret)
			ret = xrnpe_request_get_output(request, 0, out, out_count, error);
		result->latencies[result->count++] = seconds_now() - before;
	}
	if (!ret)
		qsort(result->latencies, result->count, sizeof(*result->latencies), compare);
	xrnpe_request_free(request);
	return ret;
}

static int measure_batches(struct xrnpe_session *session, const struct options *options, const float *in,
			   float *out, struct result *result, struct xrnpe_error *error)
{
	double start = seconds_now(), before, best = 0;
	int ret = 0;

	for (int i = 0; !ret && (i < LEAST || seconds_now() - start < options->seconds); i++) {
		before = seconds_now();
		ret = xrnpe_session_run(session, BATCH, in, out, NULL, NULL, NULL, error);
		before = BATCH / (seconds_now() - before);
		best = before > best ? before : best;
	}
	result->rate = best;
	return ret;
}

static void report(const struct options *options, const struct xrnpe_device_info *info,
		   const struct result *result)
{
	double p50 = percentile(result, 50) * 1e3, p90 = percentile(result, 90) * 1e3;
	double p99 = percentile(result, 99) * 1e3, best = result->latencies[0] * 1e3;

	if (options->json) {
		printf("{\"name\": \"model\", \"model\": ");
		json_string(stdout, options->model);
		printf(", \"device\": ");
		json_string(stdout, info->path);
		printf(", \"threads\": %u, \"best_ms\": %.4f, \"p50_ms\": %.4f, \"p90_ms\": %.4f, "
		       "\"p99_ms\": %.4f, \"batch\": %d, \"images_per_second\": %.1f}\n", info->threads, best,
		       p50, p90, p99, BATCH, result->rate);
		return;
	}
	printf("single  %.3f ms (best %.3f, 90 %% %.3f, 99 %% %.3f), %zu inputs\n", p50, best, p90, p99,
	       result->count);
	printf("batch   %.0f inputs/s\n", result->rate);
}

static int measure(const struct options *options, struct xrnpe_session *session,
		   const struct xrnpe_model *model, const struct xrnpe_device_info *info,
		   struct xrnpe_error *error)
{
	size_t in_count = xrnpe_model_input(model, 0)->count, out_count = xrnpe_model_output(model, 0)->count;
	float *in = random_inputs(BATCH * in_count), *out = malloc(BATCH * out_count * sizeof(*out));
	struct result result = { 0 };
	int ret = in && out ? 0 : xrnpe_fail_memory(error);

	/* The first batch also warms up. */
	if (!ret)
		ret = measure_batches(session, options, in, out, &result, error);
	if (!ret)
		ret = measure_single(session, options, in, in_count, out, out_count, &result, error);
	if (!ret)
		report(options, info, &result);
	free(result.latencies);
	free(in);
	free(out);
	return ret;
}

static int bench(const struct options *options)
{
	struct xrnpe_session *session = NULL;
	struct xrnpe_device *device = NULL;
	struct xrnpe_model *model = NULL;
	struct xrnpe_error error;
	int ret;

	ret = xrnpe_model_load(options->model, &model, &error);
	if (!ret && (xrnpe_model_input_count(model) != 1 || xrnpe_model_output_count(model) != 1))
		ret = xrnpe_fail(&error, -EINVAL, "%s: has %u inputs and %u outputs, not one of each",
				 options->model, xrnpe_model_input_count(model),
				 xrnpe_model_output_count(model));
	if (!ret)
		ret = xrnpe_device_open(options->device, &device, &error);
	if (!ret)
		ret = xrnpe_session_new(device, model, &session, &error);
	if (!ret)
		ret = measure(options, session, model, xrnpe_device_info(device), &error);
	xrnpe_session_free(session);
	xrnpe_device_close(device);
	xrnpe_model_free(model);
	return ret ? failed(&error) : finish_output();
}

int xrnpe_bench_model(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "device", required_argument, NULL, 'd' },
		{ "threads", required_argument, NULL, 't' },
		{ "seconds", required_argument, NULL, 's' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct options options = { .device = "emu", .seconds = 2 };
	int option;
	char *end;

	while ((option = getopt_long(argc, argv, "d:t:s:jh", long_options, NULL)) != -1) {
		switch (option) {
		case 'd':
			options.device = optarg;
			break;
		case 't':
			/* Judged where the emulator is opened. */
			setenv("XRNPE_THREADS", optarg, 1);
			break;
		case 's':
			options.seconds = strtod(optarg, &end);
			if (end == optarg || *end || !(options.seconds > 0 && options.seconds < 3600))
				return misused(argv[0], "--seconds is not a number up to an hour: %s", optarg);
			break;
		case 'j':
			options.json = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return finish_output();
		default:
			return misused(argv[0], "cannot understand the options");
		}
	}
	if (optind + 1 != argc)
		return misused(argv[0], "one model is expected");
	options.model = argv[optind];
	return bench(&options);
}
