// SPDX-License-Identifier: MIT
/* xrnpe run: a model on inputs: on a device, on the emulator, or in FP32. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include <nettle/sha2.h>

#include "bytes.h"
#include "commands.h"
#include "console.h"
#include "error.h"
#include "file_format.h"
#include "labels.h"
#include "tensors.h"

static const char usage[] =
	"usage: xrnpe run MODEL.xrnpe|NETWORK --input FILE [OPTION...]\n"
	"\n"
	"Run a compiled model, or a network (ONNX or TensorFlow Lite) in FP32 on the CPU for\n"
	"reference. Prints speed, accuracy if labels are given, and the SHA-256 digest of all\n"
	"outputs.\n"
	"\n"
	"  -i, --input FILE   inputs, a .npy file: count x input shape, or one input. Of a\n"
	"                     model with several inputs NAME=FILE for each, or an .npz file\n"
	"                     with an array of each input's name\n"
	"  -o, --output FILE  write the outputs: count x output shape, to .npy (of several\n"
	"                     NAME=FILE for each that is wanted) or all to .npz\n"
	"  -l, --labels FILE  class numbers of the inputs, a .npy file: count; they are\n"
	"                     compared with the largest element of the first output\n"
	"  -n, --limit N      run the first N inputs only\n"
	"  -s, --shape NAME=N,N...  of an input that a network leaves open\n"
	"      --outputs NAME,...   tensors of a network to be the outputs\n"
	"      --input-format, --mean, --scale ...  as for xrnpe compile, of a network\n"
	"  -d, --device DEV   emu (default), drm (the first found), or a device node; for\n"
	"                     compiled models\n"
	"  -j, --json         the results as JSON\n"
	"  -h, --help         this text\n";

struct options {
	const char *model, *labels, *device;
	struct arguments inputs, outputs, names;
	struct byte_inputs bytes;
	struct xrnpe_shape *shapes;
	size_t shape_count, limit;
	bool json;
};

/* A model of either kind: a graph in FP32, or a session on a device. */
struct subject {
	struct xrnpe_graph *graph;
	struct xrnpe_device *device;
	struct xrnpe_model *model;
	struct xrnpe_session *session;
	struct tensors in, out;
};

struct result {
	size_t count;
	double seconds;
	bool has_accuracy;
	double accuracy;
	size_t without_class;	/* whose output has a NaN */
	uint32_t status;
	char digest[2 * SHA256_DIGEST_SIZE + 1];
};

/* Whatever is no compiled model, neither by its first bytes nor by its name. */
static bool is_network(const char *path)
{
	const char *dot = strrchr(path, '.');
	char start[sizeof(FILE_MAGIC) - 1] = { 0 };
	FILE *file = fopen(path, "rb");

	if (file) {
		if (fread(start, 1, sizeof(start), file) < sizeof(start))
			start[0] = 0;
		fclose(file);
	}
	return memcmp(start, FILE_MAGIC, sizeof(start)) && !(dot && !strcmp(dot, ".xrnpe"));
}

static int open_subject(struct subject *subject, const struct options *options,
			struct xrnpe_error *error)
{
	const struct xrnpe_graph_options how = {
		options->shapes, options->shape_count, options->names.values, options->names.count,
		options->bytes.list, options->bytes.count,
	};
	int ret;

	if (is_network(options->model)) {
		ret = xrnpe_graph_load(options->model, &how, &subject->graph, error);
		if (ret)
			return ret;
		subject->in = graph_inputs(subject->graph, options->model);
		subject->out = graph_outputs(subject->graph, options->model);
	} else {
		ret = xrnpe_model_load(options->model, &subject->model, error);
		if (ret)
			return ret;
		subject->in = model_inputs(subject->model, options->model);
		subject->out = model_outputs(subject->model, options->model);
		ret = xrnpe_device_open(options->device, &subject->device, error);
		if (!ret)
			ret = xrnpe_session_new(subject->device, subject->model, NULL, &subject->session,
						error);
	}
	if (!ret && (!subject->in.infos || !subject->out.infos))
		ret = xrnpe_fail_memory(error);
	return ret;
}

static void close_subject(struct subject *subject)
{
	free(subject->in.infos);
	free(subject->out.infos);
	xrnpe_session_free(subject->session);
	xrnpe_device_close(subject->device);
	xrnpe_model_free(subject->model);
	xrnpe_graph_free(subject->graph);
}

/* Labels of @count inputs, classes that output @out tells. */
static int read_labels(const struct options *options, const struct xrnpe_tensor_info *out,
		       size_t count, struct xrnpe_array *labels, struct xrnpe_error *error)
{
	int ret = xrnpe_npy_read(options->labels, labels, error);

	if (ret)
		return ret;
	if (labels->rank != 1 || labels->count < count) {
		char has[128];

		shape_text(labels->rank, labels->dims, has, sizeof(has));
		return xrnpe_fail(error, -EINVAL, "%s: has shape %s; %zu labels are needed",
				  options->labels, has, count);
	}
	return labels_check(labels, options->labels, count, out, error);
}

static void measure_accuracy(const struct xrnpe_tensor_info *out, const struct xrnpe_array *labels,
			     const float *outputs, struct result *result)
{
	size_t right = 0;

	for (size_t i = 0; i < result->count; i++) {
		size_t largest = labels_class(outputs + i * out->count, out->count);

		right += (float)largest == labels->data[i];
		result->without_class += largest == out->count;
	}
	result->has_accuracy = true;
	result->accuracy = result->count ? 100.0 * (double)right / (double)result->count : 0;
}

/* Of all outputs, one after the other. */
static void digest(const struct xrnpe_array *outputs, unsigned int count, char *text)
{
	uint8_t bytes[SHA256_DIGEST_SIZE];
	struct sha256_ctx context;

	sha256_init(&context);
	for (unsigned int i = 0; i < count; i++)
		sha256_update(&context, outputs[i].count * sizeof(*outputs[i].data),
			      (const uint8_t *)outputs[i].data);
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
			printf("\"accuracy\": %.4f, \"without_class\": %zu, ", result->accuracy,
			       result->without_class);
		printf("\"invalid\": %s, \"sha256\": \"%s\"}\n",
		       result->status & XRNPE_STATUS_INVALID ? "true" : "false", result->digest);
		return;
	}
	printf("device    %s%s\n", device_name(subject), subject->graph ? " (FP32 reference)" : "");
	printf("images    %zu in %.2f s, %.1f images/s\n", result->count, result->seconds, rate);
	if (result->has_accuracy)
		printf("accuracy  %.2f %%\n", result->accuracy);
	if (result->without_class)
		printf("warning   %zu outputs have a NaN and so no class\n", result->without_class);
	printf("sha256    %s\n", result->digest);
	if (result->status & XRNPE_STATUS_INVALID)
		printf("warning   a NaN was encoded as FP4, which has none\n");
}

/* Room for the outputs: the shape of each with the count in front, or in place of its 1. */
static int new_outputs(const struct subject *subject, struct xrnpe_array *outputs, size_t count,
		       struct xrnpe_error *error)
{
	for (unsigned int i = 0; i < subject->out.count; i++) {
		const struct xrnpe_tensor_info *info = subject->out.infos[i];
		unsigned int lead = info->rank && info->dims[0] == 1;
		struct xrnpe_array *array = &outputs[i];

		array->rank = info->rank + 1 - lead;
		array->dims[0] = count;
		for (unsigned int k = 1; k < XRNPE_MAX_RANK; k++)
			array->dims[k] = k < array->rank ? info->dims[k - 1 + lead] : 1;
		array->count = count * info->count;
		array->data = calloc(array->count ? array->count : 1, sizeof(*array->data));
		if (!array->data)
			return xrnpe_fail(error, -ENOMEM, "no memory for %zu outputs", count);
	}
	return 0;
}

static int run_subject(const struct subject *subject, const struct xrnpe_array *inputs,
		       struct xrnpe_array *outputs, struct result *result,
		       struct xrnpe_error *error)
{
	struct progress progress = { .what = "running" };
	const float **in = calloc(subject->in.count + 1, sizeof(*in));
	float **out = calloc(subject->out.count + 1, sizeof(*out));
	double start;
	int ret = in && out ? new_outputs(subject, outputs, result->count, error) :
			      xrnpe_fail_memory(error);

	for (unsigned int i = 0; !ret && i < subject->in.count; i++)
		in[i] = inputs[i].data;
	for (unsigned int i = 0; !ret && i < subject->out.count; i++)
		out[i] = outputs[i].data;
	start = seconds_now();
	if (!ret)
		ret = subject->graph ?
		      xrnpe_graph_run(subject->graph, result->count, in, out, show_progress,
				      &progress, error) :
		      xrnpe_session_run(subject->session, result->count, in, out, show_progress,
					&progress, &result->status, error);
	result->seconds = seconds_now() - start;
	clear_progress(&progress);
	free(in);
	free(out);
	return ret;
}

static int run(const struct options *options)
{
	struct xrnpe_array *inputs = NULL, *outputs = NULL;
	const char **paths = NULL;
	struct subject subject = { 0 };
	struct xrnpe_array labels = { 0 };
	struct result result = { 0 };
	struct xrnpe_error error;
	int ret;

	ret = open_subject(&subject, options, &error);
	if (!ret) {
		inputs = calloc(subject.in.count + 1, sizeof(*inputs));
		outputs = calloc(subject.out.count + 1, sizeof(*outputs));
		paths = calloc(subject.out.count + 1, sizeof(*paths));
		if (!inputs || !outputs || !paths)
			ret = xrnpe_fail_memory(&error);
	}
	/* What cannot be used or written is better said before anything is calculated. */
	if (!ret)
		ret = match_files(&subject.out, &options->outputs, "--output", paths, &error);
	if (!ret)
		ret = read_inputs(&subject.in, &options->inputs, "--input", inputs, &result.count, &error);
	if (options->limit && result.count > options->limit)
		result.count = options->limit;
	if (!ret && options->labels)
		ret = read_labels(options, subject.out.infos[0], result.count, &labels, &error);
	if (!ret)
		ret = run_subject(&subject, inputs, outputs, &result, &error);
	if (!ret && options->labels)
		measure_accuracy(subject.out.infos[0], &labels, outputs[0].data, &result);
	if (!ret)
		ret = write_outputs(&subject.out, paths, outputs, &error);
	if (!ret) {
		digest(outputs, subject.out.count, result.digest);
		report(options, &subject, &result);
	}
	for (unsigned int i = 0; inputs && i < subject.in.count; i++)
		xrnpe_array_clear(&inputs[i]);
	for (unsigned int i = 0; outputs && i < subject.out.count; i++)
		xrnpe_array_clear(&outputs[i]);
	xrnpe_array_clear(&labels);
	free(inputs);
	free(outputs);
	free(paths);
	close_subject(&subject);
	return ret ? failed(&error) : finish_output();
}

/* Returns 0, an exit status, or -1: all is well, go on. */
static int parse(int argc, char **argv, struct options *options)
{
	enum { OUTPUTS = 256, INPUT_FORMAT, MEAN, SCALE };
	static const struct option long_options[] = {
		{ "input", required_argument, NULL, 'i' },
		{ "output", required_argument, NULL, 'o' },
		{ "labels", required_argument, NULL, 'l' },
		{ "limit", required_argument, NULL, 'n' },
		{ "shape", required_argument, NULL, 's' },
		{ "outputs", required_argument, NULL, OUTPUTS },
		{ "input-format", required_argument, NULL, INPUT_FORMAT },
		{ "mean", required_argument, NULL, MEAN },
		{ "scale", required_argument, NULL, SCALE },
		{ "device", required_argument, NULL, 'd' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct xrnpe_error error;
	int option, at = 0;

	while ((option = getopt_long(argc, argv, "i:o:l:n:s:d:jh", long_options, &at)) != -1) {
		switch (option) {
		case 'i':
			arguments_add(&options->inputs, optarg);
			break;
		case 'o':
			arguments_add(&options->outputs, optarg);
			break;
		case 'l':
			options->labels = optarg;
			break;
		case 'n':
			if (!parse_count(optarg, SIZE_MAX, &options->limit))
				return misused(argv[0], "--limit is not a number of inputs: %s", optarg);
			break;
		case 's':
			if (!add_shape(&options->shapes, &options->shape_count, optarg))
				return misused(argv[0], "--shape is not NAME=N,N...: %s", optarg);
			break;
		case OUTPUTS:
			parse_names(optarg, &options->names);
			break;
		case INPUT_FORMAT:
		case MEAN:
		case SCALE:
			if (bytes_add(&options->bytes, (enum byte_option)(option - INPUT_FORMAT), optarg, &error))
				return misused(argv[0], "--%s %s", long_options[at].name, error.message);
			break;
		case 'd':
			options->device = optarg;
			break;
		case 'j':
			options->json = true;
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
	if (!options->inputs.count)
		return misused(argv[0], "--input is missing");
	options->model = argv[optind];
	if (options->device && is_network(options->model))
		return misused(argv[0], "a network runs on the CPU: --device is for compiled models");
	if (bytes_finish(&options->bytes, &error))
		return misused(argv[0], "%s", error.message);
	if ((options->shape_count || options->names.count || options->bytes.count) &&
	    !is_network(options->model))
		return misused(argv[0], "--shape, --outputs and --input-format are for networks");
	if (!options->device)
		options->device = "emu";
	return -1;
}

int xrnpe_run(int argc, char **argv)
{
	struct options options = { 0 };
	int status = parse(argc, argv, &options);

	if (status < 0)
		status = run(&options);
	arguments_free(&options.inputs);
	arguments_free(&options.outputs);
	arguments_free(&options.names);
	bytes_free_inputs(&options.bytes);
	free(options.shapes);
	return status;
}
