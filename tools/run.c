// SPDX-License-Identifier: MIT
/* xrnpe run: a model on inputs: on a device, on the emulator, or in FP32. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include <nettle/sha2.h>

#include "commands.h"
#include "console.h"
#include "error.h"

static const char usage[] =
	"usage: xrnpe run MODEL.xrnpe|MODEL.onnx --input FILE [OPTION...]\n"
	"\n"
	"Run a compiled model, or an ONNX model in FP32 on the CPU for reference. Prints\n"
	"speed, accuracy if labels are given, and the SHA-256 digest of all outputs.\n"
	"\n"
	"  -i, --input FILE   inputs, a .npy file: count x input shape, or one input\n"
	"  -o, --output FILE  write the outputs as .npy: count x output shape\n"
	"  -l, --labels FILE  class numbers of the inputs, a .npy file: count\n"
	"  -n, --limit N      run the first N inputs only\n"
	"  -d, --device DEV   emu (default), drm (the first found), or a device node; for\n"
	"                     compiled models\n"
	"  -j, --json         the results as JSON\n"
	"  -h, --help         this text\n";

struct options {
	const char *model, *input, *output, *labels, *device;
	size_t limit;
	bool json;
};

/* A model of either kind: a graph in FP32, or a session on a device. */
struct subject {
	struct xrnpe_graph *graph;
	struct xrnpe_device *device;
	struct xrnpe_model *model;
	struct xrnpe_session *session;
	const struct xrnpe_tensor_info *in, *out;
};

struct result {
	size_t count;
	double seconds;
	bool has_accuracy;
	double accuracy;
	uint32_t status;
	char digest[2 * SHA256_DIGEST_SIZE + 1];
};

static bool is_onnx(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot && !strcmp(dot, ".onnx");
}

static int open_subject(struct subject *subject, const struct options *options,
			struct xrnpe_error *error)
{
	int ret;

	if (is_onnx(options->model)) {
		ret = xrnpe_graph_load(options->model, &subject->graph, error);
		if (ret)
			return ret;
		subject->in = xrnpe_graph_input(subject->graph);
		subject->out = xrnpe_graph_output(subject->graph);
		return 0;
	}
	ret = xrnpe_model_load(options->model, &subject->model, error);
	if (ret)
		return ret;
	if (xrnpe_model_input_count(subject->model) != 1 ||
	    xrnpe_model_output_count(subject->model) != 1)
		return xrnpe_fail(error, -EINVAL, "%s: has %u inputs and %u outputs, not one of each",
				  options->model, xrnpe_model_input_count(subject->model),
				  xrnpe_model_output_count(subject->model));
	subject->in = xrnpe_model_input(subject->model, 0);
	subject->out = xrnpe_model_output(subject->model, 0);
	ret = xrnpe_device_open(options->device, &subject->device, error);
	if (!ret)
		ret = xrnpe_session_new(subject->device, subject->model, &subject->session, error);
	return ret;
}

static void close_subject(struct subject *subject)
{
	xrnpe_session_free(subject->session);
	xrnpe_device_close(subject->device);
	xrnpe_model_free(subject->model);
	xrnpe_graph_free(subject->graph);
}

static size_t index_of_largest(const float *values, size_t count)
{
	size_t best = 0;

	for (size_t i = 1; i < count; i++)
		if (values[i] > values[best])
			best = i;
	return best;
}

static int measure_accuracy(const struct options *options, const struct xrnpe_tensor_info *out,
			    const float *outputs, struct result *result, struct xrnpe_error *error)
{
	struct xrnpe_array labels;
	size_t right = 0;
	int ret;

	ret = xrnpe_npy_read(options->labels, &labels, error);
	if (ret)
		return ret;
	if (labels.rank != 1 || labels.count < result->count) {
		char has[128];

		shape_text(labels.rank, labels.dims, has, sizeof(has));
		ret = xrnpe_fail(error, -EINVAL, "%s: has shape %s; %zu labels are needed",
				 options->labels, has, result->count);
	}
	for (size_t i = 0; !ret && i < result->count; i++) {
		float label = labels.data[i];

		if (!(label >= 0 && label < (float)out->count))
			ret = xrnpe_fail(error, -EINVAL, "%s: label %zu is %g; %s tells %zu classes",
					 options->labels, i, (double)label, options->model,
					 out->count);
		else if ((float)index_of_largest(outputs + i * out->count, out->count) == label)
			right++;
	}
	xrnpe_array_clear(&labels);
	result->has_accuracy = true;
	result->accuracy = result->count ? 100.0 * (double)right / (double)result->count : 0;
	return ret;
}

static void digest(const float *values, size_t count, char *text)
{
	uint8_t bytes[SHA256_DIGEST_SIZE];
	struct sha256_ctx context;

	sha256_init(&context);
	sha256_update(&context, count * sizeof(*values), (const uint8_t *)values);
	sha256_digest(&context, sizeof(bytes), bytes);
	for (size_t i = 0; i < sizeof(bytes); i++)
		sprintf(text + 2 * i, "%02x", bytes[i]);
}

static const char *device_name(const struct subject *subject)
{
	return subject->device ? xrnpe_device_info(subject->device)->path : "cpu";
}

static void report(const struct options *options, const struct subject *subject,
		   const struct result *result)
{
	double rate = result->seconds > 0 ? (double)result->count / result->seconds : 0;

	if (options->json) {
		printf("{\"model\": ");
		json_string(stdout, options->model);
		printf(", \"device\": ");
		json_string(stdout, device_name(subject));
		printf(", \"count\": %zu, \"seconds\": %.6f, \"images_per_second\": %.3f, ",
		       result->count, result->seconds, rate);
		if (result->has_accuracy)
			printf("\"accuracy\": %.4f, ", result->accuracy);
		printf("\"invalid\": %s, \"sha256\": \"%s\"}\n",
		       result->status & XRNPE_STATUS_INVALID ? "true" : "false", result->digest);
		return;
	}
	printf("device    %s%s\n", device_name(subject), subject->graph ? " (FP32 reference)" : "");
	printf("images    %zu in %.2f s, %.1f images/s\n", result->count, result->seconds, rate);
	if (result->has_accuracy)
		printf("accuracy  %.2f %%\n", result->accuracy);
	printf("sha256    %s\n", result->digest);
	if (result->status & XRNPE_STATUS_INVALID)
		printf("warning   a NaN was encoded as FP4, which has none\n");
}

static int run_subject(const struct options *options, const struct subject *subject,
		       const struct xrnpe_array *input, struct xrnpe_array *output,
		       struct result *result, struct xrnpe_error *error)
{
	struct progress progress = { .what = "running" };
	double start;
	int ret;

	/* Shape of the outputs: one more dimension than the tensor's. */
	output->rank = subject->out->rank + 1;
	output->dims[0] = result->count;
	memcpy(output->dims + 1, subject->out->dims, sizeof(subject->out->dims));
	output->count = result->count * subject->out->count;
	output->data = calloc(output->count ? output->count : 1, sizeof(*output->data));
	if (!output->data)
		return xrnpe_fail(error, -ENOMEM, "no memory for %zu outputs", result->count);

	start = seconds_now();
	ret = subject->graph ?
	      xrnpe_graph_run(subject->graph, result->count, input->data, output->data,
			      show_progress, &progress, error) :
	      xrnpe_session_run(subject->session, result->count, input->data, output->data,
				show_progress, &progress, &result->status, error);
	result->seconds = seconds_now() - start;
	clear_progress(&progress);
	return ret;
}

static int run(const struct options *options)
{
	struct xrnpe_array input = { 0 }, output = { 0 };
	struct subject subject = { 0 };
	struct result result = { 0 };
	struct xrnpe_error error;
	int ret;

	ret = open_subject(&subject, options, &error);
	if (!ret)
		ret = xrnpe_npy_read(options->input, &input, &error);
	if (!ret)
		ret = count_inputs(options->model, subject.in, options->input, &input,
				   &result.count, &error);
	if (options->limit && result.count > options->limit)
		result.count = options->limit;
	if (!ret)
		ret = run_subject(options, &subject, &input, &output, &result, &error);
	if (!ret && options->labels)
		ret = measure_accuracy(options, subject.out, output.data, &result, &error);
	if (!ret && options->output)
		ret = xrnpe_npy_write(options->output, &output, &error);
	if (!ret) {
		digest(output.data, output.count, result.digest);
		report(options, &subject, &result);
	}
	xrnpe_array_clear(&output);
	xrnpe_array_clear(&input);
	close_subject(&subject);
	return ret ? failed(&error) : finish_output();
}

static bool parse_limit(const char *text, size_t *limit)
{
	char *end;

	errno = 0;
	*limit = strtoul(text, &end, 10);
	return !errno && *text >= '0' && *text <= '9' && !*end && *limit;
}

int xrnpe_run(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "input", required_argument, NULL, 'i' },
		{ "output", required_argument, NULL, 'o' },
		{ "labels", required_argument, NULL, 'l' },
		{ "limit", required_argument, NULL, 'n' },
		{ "device", required_argument, NULL, 'd' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct options options = { 0 };
	int option;

	while ((option = getopt_long(argc, argv, "i:o:l:n:d:jh", long_options, NULL)) != -1) {
		switch (option) {
		case 'i':
			options.input = optarg;
			break;
		case 'o':
			options.output = optarg;
			break;
		case 'l':
			options.labels = optarg;
			break;
		case 'n':
			if (!parse_limit(optarg, &options.limit))
				return misused(argv[0], "--limit is not a number of inputs: %s", optarg);
			break;
		case 'd':
			options.device = optarg;
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
	if (!options.input)
		return misused(argv[0], "--input is missing");
	options.model = argv[optind];
	if (options.device && is_onnx(options.model))
		return misused(argv[0], "an ONNX model runs on the CPU: --device is for compiled models");
	if (!options.device)
		options.device = "emu";
	return run(&options);
}
