// SPDX-License-Identifier: MIT
/* xrnpe run: a model on inputs: on a device, on the emulator, or in FP32. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <nettle/sha2.h>

#include "commands.h"
#include "console.h"
#include "energy_figures.h"
#include "error.h"
#include "labels.h"
#include "layers.h"
#include "network.h"
#include "outputs.h"
#include "points.h"
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
	"      --dump FOLDER  write what each layer of a compiled model writes, a .npy file\n"
	"                     each, and show a table; of the first input, or of N by --limit\n"
	"      --layers NAME,...    only these layers; all: all of them. Without --dump the\n"
	"                     table alone\n"
	"      --reference NETWORK  what the model was compiled from: the table tells by how\n"
	"                     much each layer differs from FP32, and FOLDER gets that, too\n"
	"  -s, --shape NAME=N,N...  of an input that a network leaves open\n"
	"      --outputs NAME,...   tensors of a network to be the outputs\n"
	"      --input-format, --mean, --scale ...  as for xrnpe compile, of a network\n"
	"  -p, --point N      of a compiled model that has several; xrnpe info lists them\n"
	"  -b, --budget LIMIT at most so much time (2ms), energy (80uJ) or error (1%) for an\n"
	"                     inference: the most exact point that keeps it; may be repeated\n"
	"      --energy NAME=PJ|FILE  a figure by which --budget's energy is told, or a file of them\n"
	"  -d, --device DEV   emu (default), drm (the first found), or a device node; for\n"
	"                     compiled models\n"
	"  -j, --json         the results as JSON\n"
	"  -h, --help         this text\n";

struct options {
	const char *model, *labels, *device;
	struct arguments inputs, outputs;
	struct network_options network;
	struct layers_options layers;
	size_t limit;
	int point;
	struct xrnpe_governor governor;
	struct xrnpe_energy energy;
	bool governed, has_energy, json;
};

/* Whether something is wanted of a model's layers. */
static bool wants_layers(const struct options *options)
{
	return options->layers.folder || options->layers.names.count || options->layers.reference;
}

/* A model of either kind: a graph in FP32, or a session on a device. */
struct subject {
	struct xrnpe_graph *graph;
	struct xrnpe_device *device;
	struct xrnpe_model *model;
	struct xrnpe_session *session;
	struct tensors in, out;
	struct layers layers;		/* that are looked at; else none */
};

struct result {
	size_t count;
	size_t not_finite;	/* inputs with a NaN or an infinity */
	double seconds;
	bool has_accuracy;
	double accuracy;
	size_t without_class;	/* whose output has a NaN */
	uint32_t status;
	char digest[2 * SHA256_DIGEST_SIZE + 1];
};

/* Let a governor pick the points that the session runs at. */
static int govern(const struct subject *subject, const struct options *options,
		  struct xrnpe_error *error)
{
	int ret = xrnpe_session_govern(subject->session, &options->governor, error);
	unsigned int point;

	if (ret)
		return ret;
	point = xrnpe_session_point(subject->session);
	note_excess("run", point, xrnpe_model_point(subject->model, point), &options->governor,
		    xrnpe_device_info(subject->device), &options->energy);
	return 0;
}

static int open_subject(struct subject *subject, const struct options *options,
			struct xrnpe_error *error)
{
	const struct xrnpe_session_options session = { .energy = &options->energy };
	const struct xrnpe_graph_options how = network_how(&options->network);
	int ret;

	if (is_network(options->model)) {
		ret = xrnpe_graph_load(options->model, &how, &subject->graph, error);
		if (ret)
			return ret;
		subject->in = graph_inputs(subject->graph, options->model);
		subject->out = graph_outputs(subject->graph, options->model);
	} else {
		ret = xrnpe_model_load(options->model, &subject->model, error);
		if (!ret)
			ret = select_point(&subject->model, options->point, options->model, error);
		if (ret)
			return ret;
		subject->in = model_inputs(subject->model, options->model);
		subject->out = model_outputs(subject->model, options->model);
		ret = xrnpe_device_open(options->device, &subject->device, error);
		if (!ret)
			ret = xrnpe_session_new(subject->device, subject->model, &session,
						&subject->session, error);
		if (!ret && options->governed)
			ret = govern(subject, options, error);
		if (!ret && wants_layers(options))
			ret = layers_find(&subject->layers, subject->model, &options->layers, error);
	}
	if (!ret && (!subject->in.infos || !subject->out.infos))
		ret = xrnpe_fail_memory(error);
	return ret;
}

static void close_subject(struct subject *subject)
{
	free(subject->in.infos);
	free(subject->out.infos);
	layers_free(&subject->layers);
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
		if (subject->session)
			printf("\"point\": %u, ", xrnpe_session_point(subject->session));
		if (result->has_accuracy)
			printf("\"accuracy\": %.4f, \"without_class\": %zu, ", result->accuracy,
			       result->without_class);
		printf("\"not_finite\": %zu, \"invalid\": %s, \"sha256\": \"%s\"", result->not_finite,
		       result->status & XRNPE_STATUS_INVALID ? "true" : "false", result->digest);
		if (wants_layers(options))
			layers_print_json(&subject->layers);
		printf("}\n");
		return;
	}
	if (wants_layers(options))
		layers_print(&subject->layers);
	printf("device    %s%s\n", device_name(subject), subject->graph ? " (FP32 reference)" : "");
	if (subject->model && xrnpe_model_point_count(subject->model) > 1)
		printf("point     %u\n", xrnpe_session_point(subject->session));
	printf("images    %zu in %.2f s, %.1f images/s\n", result->count, result->seconds, rate);
	if (result->has_accuracy)
		printf("accuracy  %.2f %%\n", result->accuracy);
	if (result->not_finite)
		printf("warning   %zu of %zu inputs hold a NaN or an infinity\n", result->not_finite,
		       result->count);
	if (result->without_class)
		printf("warning   %zu outputs have a NaN and so no class\n", result->without_class);
	printf("sha256    %s\n", result->digest);
	if (result->status & XRNPE_STATUS_INVALID)
		printf("warning   a NaN was encoded as FP4, which has none\n");
}

/* How many of the inputs have a value that is no number, in any of the arrays. */
static size_t count_not_finite(const struct tensors *in, const struct xrnpe_array *inputs, size_t count)
{
	size_t found = 0;

	for (size_t at = 0; at < count; at++) {
		bool finite = true;

		for (unsigned int i = 0; finite && i < in->count; i++) {
			size_t size = in->infos[i]->count;

			for (size_t k = 0; finite && k < size; k++)
				finite = isfinite(inputs[i].data[at * size + k]);
		}
		found += !finite;
	}
	return found;
}

/* Everything that is computed. */
static int compute(struct subject *subject, const struct options *options, const float *const *in,
		   float *const *out, struct result *result, struct xrnpe_error *error)
{
	struct progress progress = { .what = "running" };
	double start = seconds_now();
	int ret;

	if (subject->graph)
		ret = xrnpe_graph_run(subject->graph, result->count, in, out, show_progress, &progress,
				      error);
	else if (wants_layers(options))
		ret = layers_run(&subject->layers, subject->session, result->count, in, out,
				 &result->status, error);
	else
		ret = xrnpe_session_run(subject->session, result->count, in, out, show_progress,
					&progress, &result->status, error);
	result->seconds = seconds_now() - start;
	clear_progress(&progress);
	return !ret && wants_layers(options) ?
	       layers_finish(&subject->layers, &options->layers, result->count, in, error) : ret;
}

static int run_subject(struct subject *subject, const struct options *options,
		       const struct xrnpe_array *inputs, struct xrnpe_array *outputs,
		       struct result *result, struct xrnpe_error *error)
{
	const float **in = calloc(subject->in.count + 1, sizeof(*in));
	float **out = calloc(subject->out.count + 1, sizeof(*out));
	int ret = in && out ? 0 : xrnpe_fail_memory(error);

	for (unsigned int i = 0; !ret && i < subject->in.count; i++)
		in[i] = inputs[i].data;
	for (unsigned int i = 0; !ret && i < subject->out.count; i++) {
		const struct xrnpe_tensor_info *info = subject->out.infos[i];

		ret = new_batch(&outputs[i], info->rank, info->dims, result->count, error);
		out[i] = outputs[i].data;
	}
	if (!ret)
		ret = compute(subject, options, in, out, result, error);
	free(in);
	free(out);
	return ret;
}

/* Nothing that is read is written over, and what cannot be written is said before it is computed. */
static int check_files(const struct options *options, const struct subject *subject,
		       const char *const *in_paths, const char *const *out_paths,
		       struct xrnpe_error *error)
{
	unsigned int count = 3 + subject->in.count, written = 0;
	struct named_file *inputs = calloc(count, sizeof(*inputs));
	struct named_file *outputs = calloc(subject->out.count + 1, sizeof(*outputs));
	int ret = inputs && outputs ? 0 : xrnpe_fail_memory(error);

	if (!ret) {
		inputs[0] = (struct named_file){ "the model", options->model };
		inputs[1] = (struct named_file){ "--labels", options->labels };
		inputs[2] = (struct named_file){ "--reference", options->layers.reference };
		for (unsigned int i = 0; i < subject->in.count; i++)
			inputs[3 + i] = (struct named_file){ "--input", in_paths[i] };
		/* An archive takes several. */
		for (unsigned int i = 0; i < subject->out.count; i++)
			if (out_paths[i] && (!i || out_paths[i] != out_paths[i - 1]))
				outputs[written++] = (struct named_file){ "--output", out_paths[i] };
		ret = outputs_check(outputs, written, inputs, count, error);
	}
	if (!ret && options->layers.folder)
		ret = outputs_make_folder(options->layers.folder, error);
	free(inputs);
	free(outputs);
	return ret;
}

/* The inputs' and labels' files, and where outputs go. */
static int read_files(const struct options *options, const struct subject *subject,
		      struct xrnpe_array *inputs, struct xrnpe_array *labels, const char **out_paths,
		      struct result *result, struct xrnpe_error *error)
{
	const char **in_paths = calloc(subject->in.count + 1, sizeof(*in_paths));
	int ret = in_paths ? match_files(&subject->out, &options->outputs, "--output", out_paths, error) :
			     xrnpe_fail_memory(error);

	if (!ret)
		ret = match_files(&subject->in, &options->inputs, "--input", in_paths, error);
	if (!ret)
		ret = check_files(options, subject, in_paths, out_paths, error);
	if (!ret)
		ret = read_inputs(&subject->in, &options->inputs, "--input", inputs, &result->count, error);
	if (options->limit && result->count > options->limit)
		result->count = options->limit;
	if (!ret && options->labels)
		ret = read_labels(options, subject->out.infos[0], result->count, labels, error);
	if (!ret)
		result->not_finite = count_not_finite(&subject->in, inputs, result->count);
	free(in_paths);
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
	if (!ret)
		ret = read_files(options, &subject, inputs, &labels, paths, &result, &error);
	if (!ret)
		ret = run_subject(&subject, options, inputs, outputs, &result, &error);
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

/* ---- the command line ------------------------------------------------------ */

enum { DUMP = 256, LAYERS, REFERENCE, ENERGY };

/* Take an option, for take_options(). */
static int take(void *data, const char *command, int option, char *argument)
{
	struct options *options = data;
	struct xrnpe_error error;

	switch (option) {
	case 'i':
		arguments_add(&options->inputs, argument);
		return 0;
	case 'o':
		arguments_add(&options->outputs, argument);
		return 0;
	case 'l':
		options->labels = argument;
		return 0;
	case 'n':
		return parse_count(argument, SIZE_MAX, &options->limit) ? 0 :
		       misused(command, "--limit is not a number of inputs: %s", argument);
	case 'p':
		return take_point(command, argument, &options->point);
	case 'b':
		options->governed = true;
		return xrnpe_governor_parse(argument, &options->governor, &error) ?
		       misused(command, "%s", error.message) : 0;
	case ENERGY:
		options->has_energy = true;
		return take_energy(argument, &options->energy);
	case DUMP:
		options->layers.folder = argument;
		return 0;
	case LAYERS:
		parse_names(argument, &options->layers.names);
		return 0;
	case REFERENCE:
		options->layers.reference = argument;
		return 0;
	case 'd':
		options->device = argument;
		return 0;
	case 'j':
		options->json = true;
		return 0;
	default:
		return network_option(&options->network, command, option, argument);
	}
}

/* What options mean together. Returns an exit status, or -1: all is well. */
static int finish(struct options *options, const char *command)
{
	bool network = is_network(options->model);

	if (!options->inputs.count)
		return misused(command, "--input is missing");
	if (options->device && network)
		return misused(command, "a network runs on the CPU: --device is for compiled models");
	if (options->governed && network)
		return misused(command, "a network has no points: --budget is for compiled models");
	if (options->governed && options->point != NO_POINT)
		return misused(command, "--budget picks a point, and --point gives one");
	if (options->has_energy && !options->governed)
		return misused(command, "--energy goes with --budget");
	if (options->point != NO_POINT && network)
		return misused(command, "a network has no points: --point is for compiled models");
	if (options->layers.reference && !is_network(options->layers.reference))
		return misused(command, "--reference is no network: %s", options->layers.reference);
	if (wants_layers(options) && network)
		return misused(command, "--dump, --layers and --reference are for compiled models; a network's tensors are named by --outputs");
	if (network_finish(&options->network, command))
		return 2;
	if (network_options_given(&options->network) && !network && !options->layers.reference)
		return misused(command, "--shape, --outputs and --input-format are for networks");
	if (options->layers.reference && options->network.outputs.count)
		return misused(command, "--outputs goes not with --reference");
	options->layers.how = network_how(&options->network);
	/* Layers take memory. */
	if (wants_layers(options) && !options->limit)
		options->limit = 1;
	if (!options->device)
		options->device = "emu";
	return -1;
}

/* Returns an exit status, or -1: all is well, go on. */
static int parse(int argc, char **argv, struct options *options)
{
	static const struct option long_options[] = {
		{ "input", required_argument, NULL, 'i' },
		{ "output", required_argument, NULL, 'o' },
		{ "labels", required_argument, NULL, 'l' },
		{ "limit", required_argument, NULL, 'n' },
		{ "dump", required_argument, NULL, DUMP },
		{ "layers", required_argument, NULL, LAYERS },
		{ "reference", required_argument, NULL, REFERENCE },
		NETWORK_OPTIONS,
		{ "point", required_argument, NULL, 'p' },
		{ "budget", required_argument, NULL, 'b' },
		{ "energy", required_argument, NULL, ENERGY },
		{ "device", required_argument, NULL, 'd' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int status = take_options(argc, argv, "i:o:l:n:s:p:b:d:jh", long_options, usage, take, options);

	if (status >= 0)
		return status;
	if (optind + 1 < argc)
		return misused(argv[0], "one model is expected, not %s as well; inputs go with --input",
			       argv[optind + 1]);
	if (optind == argc)
		return misused(argv[0], "one model is expected");
	options->model = argv[optind];
	return finish(options, argv[0]);
}

int xrnpe_run(int argc, char **argv)
{
	struct options options = { .point = NO_POINT };
	int status;

	xrnpe_energy_init(&options.energy);
	status = parse(argc, argv, &options);
	if (status < 0)
		status = run(&options);
	arguments_free(&options.inputs);
	arguments_free(&options.outputs);
	arguments_free(&options.layers.names);
	network_free(&options.network);
	return status;
}
