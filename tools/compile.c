// SPDX-License-Identifier: MIT
/* xrnpe compile: a network in, .xrnpe out, and a table of what was chosen. */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "commands.h"
#include "console.h"
#include "error.h"
#include "formats.h"
#include "quality.h"
#include "tensors.h"

static const char usage[] =
	"usage: xrnpe compile NETWORK --calib FILE --output MODEL.xrnpe [OPTION...]\n"
	"\n"
	"Choose number formats for the weights and the inputs of each layer of a network (ONNX\n"
	"or TensorFlow Lite), and write the compiled model. Of the table's formats, fp4/p8, the\n"
	"first is that of the weights.\n"
	"\n"
	"  -c, --calib FILE     typical inputs, a .npy file: count x input shape; NAME=FILE for\n"
	"                       each of several inputs, or an .npz file with their arrays\n"
	"  -b, --budget LIMIT   at most so many bytes of weights, scales and biases (61440, 60KiB,\n"
	"                       5x: so many times smaller than in FP32), so much time (2ms,\n"
	"                       1.5Mcycles), energy (80uJ) or error (1%); may be repeated.\n"
	"                       With a limit of error the model is the smallest and fastest\n"
	"                       that keeps it, else that of least error. Default: 1%\n"
	"  -o, --output FILE    the compiled model\n"
	"  -f, --format LAYER=WEIGHT/INPUT  formats that are not to be chosen: fp4, p4, p8, p16;\n"
	"                       without LAYER= of all layers that are not named\n"
	"      --formats FILE       the same, a line each\n"
	"      --save-formats FILE  write what was chosen as such lines\n"
	"  -s, --shape NAME=N,N...  of an input that the file leaves open\n"
	"      --outputs NAME,...   tensors of the file to be the outputs\n"
	"      --input-format [NAME=]u8  programs give the input, an image, as bytes, pixel by\n"
	"                       pixel; u8-planar: channel by channel. So are --calib's\n"
	"      --mean, --scale [NAME=]N,...  by channel, or one for all: what the network takes\n"
	"                       is (byte - mean) * scale. Default: 0 and 1\n"
	"  -j, --json           the table as JSON\n"
	"  -h, --help           this text\n";

struct options {
	const char *model, *output;
	const char *save_formats;
	struct arguments calib, names, budgets;
	struct formats formats;
	struct byte_inputs bytes;
	struct xrnpe_shape *shapes;
	size_t shape_count;
	bool json;
};

/* Colours tell the narrow formats from the wide ones: of the two the wider, which sets the speed. */
static const char *format_colour(const struct xrnpe_layer_info *layer)
{
	switch (layer->weight_format > layer->format ? layer->weight_format : layer->format) {
	case XRNPE_FORMAT_FP4:
	case XRNPE_FORMAT_P4:
		return "\033[32m";
	case XRNPE_FORMAT_P8:
		return "\033[33m";
	default:
		return "\033[31m";
	}
}

/* "fp4/p8": weights, inputs; a layer without parameters has inputs only; "cpu". */
static void formats_text(const struct xrnpe_layer_info *layer, char *text, size_t size)
{
	const char *input = xrnpe_format_name(layer->format);

	if (layer->place == XRNPE_PLACE_CPU)
		snprintf(text, size, "cpu");
	else if (layer->float_bytes)
		snprintf(text, size, "%s/%s", xrnpe_format_name(layer->weight_format), input);
	else
		snprintf(text, size, "%s", input);
}

static void print_row(const struct xrnpe_layer_info *layer, const struct xrnpe_cost *cost,
		      int name_width, int op_width)
{
	bool colour = has_colour(stdout);
	char shape[64], formats[16];

	shape_text(layer->rank, layer->dims, shape, sizeof(shape));
	formats_text(layer, formats, sizeof(formats));
	printf("%-*s  %-*s  %11s  %10" PRIu64 "  %s%-7s%s  %8" PRIu64 "  %9" PRIu64
	       "  %9.2e\n", name_width, layer->name, op_width, layer->op, shape, layer->macs,
	       colour ? format_colour(layer) : "", formats, colour ? "\033[m" : "",
	       layer->bytes, (uint64_t)cost->counters.cycles, layer->error);
}

static int wider(int width, const char *text)
{
	int length = (int)strlen(text);

	return length > width ? length : width;
}

static void print_table(const struct xrnpe_model *model, const struct xrnpe_cost *costs)
{
	unsigned int count = xrnpe_model_layer_count(model);
	int name_width = 5, op_width = 9;

	for (unsigned int i = 0; i < count; i++) {
		name_width = wider(name_width, xrnpe_model_layer(model, i)->name);
		op_width = wider(op_width, xrnpe_model_layer(model, i)->op);
	}
	printf("%-*s  %-*s  %11s  %10s  %-7s  %8s  %9s  %9s\n", name_width, "layer",
	       op_width, "operators", "shape", "MACs", "formats", "bytes", "cycles", "error");
	for (unsigned int i = 0; i < count; i++)
		print_row(xrnpe_model_layer(model, i), &costs[i], name_width, op_width);
	for (unsigned int i = 0; i < count; i++) {
		const struct xrnpe_layer_info *layer = xrnpe_model_layer(model, i);

		if (layer->place == XRNPE_PLACE_CPU)
			printf("on the CPU: %s (%s): %s\n", layer->name, layer->op, layer->why);
	}
}

/* What the compiler has to say beside the result: told as it comes, and kept as JSON. */
struct notes {
	struct progress progress;	/* its line is cleared before */
	FILE *json;
	char *text;			/* what was written there: strings separated by commas */
	size_t size;
};

static void add_note(void *data, const char *text)
{
	struct notes *notes = data;

	clear_progress(&notes->progress);
	fprintf(stderr, "xrnpe compile: %s\n", text);
	if (ftell(notes->json))
		fprintf(notes->json, ", ");
	json_string(notes->json, text);
}

/* Errors by format, of those that were measured. */
static void print_errors_json(const char *name, const double errors[4])
{
	const char *separator = "";

	printf(", \"%s\": {", name);
	for (unsigned int i = 0; i < 4; i++) {
		if (errors[i] < 0)
			continue;
		printf("%s\"%s\": %.9g", separator, xrnpe_format_name(i), errors[i]);
		separator = ", ";
	}
	printf("}");
}

static void print_layer_json(const struct xrnpe_layer_info *layer, const struct xrnpe_cost *cost)
{
	printf("{\"name\": ");
	json_string(stdout, layer->name);
	printf(", \"op\": ");
	json_string(stdout, layer->op);
	printf(", \"shape\": [");
	for (unsigned int i = 0; i < layer->rank; i++)
		printf(i ? ", %zu" : "%zu", layer->dims[i]);
	printf("], \"place\": \"%s\"", layer->place == XRNPE_PLACE_CPU ? "cpu" : "device");
	if (layer->place == XRNPE_PLACE_CPU) {
		printf(", \"why\": ");
		json_string(stdout, layer->why);
	}
	printf(", \"cycles\": %" PRIu64, (uint64_t)cost->counters.cycles);
	printf(", \"macs\": %" PRIu64 ", \"format\": \"%s\", ", layer->macs,
	       xrnpe_format_name(layer->format));
	if (layer->float_bytes)
		printf("\"weight_format\": \"%s\", ", xrnpe_format_name(layer->weight_format));
	printf("\"out_format\": \"%s\", \"bytes\": %" PRIu64 ", \"float_bytes\": %" PRIu64
	       ", \"error\": %.9g", xrnpe_format_name(layer->out_format), layer->bytes,
	       layer->float_bytes, layer->error);
	print_errors_json("weight_error", layer->weight_error);
	print_errors_json("input_error", layer->input_error);
	printf("}");
}

/* @costs: room for those of the layers */
static void report(const struct xrnpe_model *model, const struct options *options,
		   const char *notes, struct xrnpe_cost *costs)
{
	unsigned int count = xrnpe_model_layer_count(model);
	uint64_t bytes = 0, float_bytes = 0, macs = 0;
	struct xrnpe_cost total;

	xrnpe_model_predict(model, NULL, &total, costs);
	for (unsigned int i = 0; i < count; i++) {
		bytes += xrnpe_model_layer(model, i)->bytes;
		float_bytes += xrnpe_model_layer(model, i)->float_bytes;
		macs += xrnpe_model_layer(model, i)->macs;
	}
	if (!options->json) {
		print_table(model, costs);
		printf("%s: %" PRIu64 " MACs, %" PRIu64 " cycles, %" PRIu64 " bytes of parameters",
		       options->output, macs, (uint64_t)total.counters.cycles, bytes);
		if (bytes && float_bytes)
			printf(", %.2f times smaller than FP32", (double)float_bytes / (double)bytes);
		printf("\n");
		print_quality(xrnpe_model_quality(model));
		return;
	}
	printf("{\"model\": ");
	json_string(stdout, options->model);
	printf(", \"output\": ");
	json_string(stdout, options->output);
	printf(", \"macs\": %" PRIu64 ", \"cycles\": %" PRIu64 ", \"bytes\": %" PRIu64
	       ", \"float_bytes\": %" PRIu64 ", ", macs, (uint64_t)total.counters.cycles,
	       bytes, float_bytes);
	print_quality_json(xrnpe_model_quality(model));
	printf("\"notes\": [%s], \"layers\": [", notes);
	for (unsigned int i = 0; i < count; i++) {
		printf(i ? ",\n  " : "\n  ");
		print_layer_json(xrnpe_model_layer(model, i), &costs[i]);
	}
	printf("]}\n");
}

/* The graph compiled for the calibration data. */
static int compile_graph(const struct options *options, const struct xrnpe_graph *graph,
			 struct notes *notes, struct xrnpe_model **model,
			 struct xrnpe_error *error)
{
	struct xrnpe_compile_options how = {
		.progress = show_progress, .progress_data = &notes->progress,
		.note = add_note, .note_data = notes,
		.formats = options->formats.list, .format_count = options->formats.count,
	};
	struct tensors inputs = graph_inputs(graph, options->model);
	struct xrnpe_array *arrays = calloc(inputs.count + 1, sizeof(*arrays));
	size_t count;
	int ret = arrays && inputs.infos ? 0 : xrnpe_fail_memory(error);

	for (unsigned int i = 0; !ret && i < options->budgets.count; i++)
		ret = xrnpe_limits_parse(options->budgets.values[i], graph, &how.limits, error);
	if (!ret)
		ret = read_inputs(&inputs, &options->calib, "--calib", arrays, &count, error);
	if (!ret) {
		how.calibration = arrays;
		ret = xrnpe_compile(graph, &how, model, error);
		clear_progress(&notes->progress);
	}
	for (unsigned int i = 0; arrays && i < inputs.count; i++)
		xrnpe_array_clear(&arrays[i]);
	free(arrays);
	free(inputs.infos);
	return ret;
}

static int compile(const struct options *options)
{
	const struct xrnpe_graph_options how = {
		options->shapes, options->shape_count, options->names.values, options->names.count,
		options->bytes.list, options->bytes.count,
	};
	struct xrnpe_graph *graph = NULL;
	struct xrnpe_model *model = NULL;
	struct xrnpe_cost *costs = NULL;
	struct notes notes = { .progress = { .what = "compiling" } };
	struct xrnpe_error error;
	int ret;

	notes.json = open_memstream(&notes.text, &notes.size);
	ret = notes.json ? 0 : xrnpe_fail_memory(&error);
	if (!ret)
		ret = xrnpe_graph_load(options->model, &how, &graph, &error);
	if (!ret)
		ret = compile_graph(options, graph, &notes, &model, &error);
	if (notes.json)
		fclose(notes.json);
	if (!ret) {
		costs = calloc(xrnpe_model_layer_count(model), sizeof(*costs));
		ret = costs ? xrnpe_model_save(model, options->output, &error) :
			      xrnpe_fail_memory(&error);
	}
	if (!ret && options->save_formats)
		ret = formats_write(model, options->save_formats, &error);
	if (!ret)
		report(model, options, notes.text, costs);
	free(notes.text);
	free(costs);
	xrnpe_model_free(model);
	xrnpe_graph_free(graph);
	return ret ? failed(&error) : finish_output();
}

/* Returns 0, an exit status, or -1: all is well, go on. */
static int parse(int argc, char **argv, struct options *options)
{
	enum { OUTPUTS = 256, FORMATS, SAVE_FORMATS, INPUT_FORMAT, MEAN, SCALE };
	static const struct option long_options[] = {
		{ "calib", required_argument, NULL, 'c' },
		{ "budget", required_argument, NULL, 'b' },
		{ "output", required_argument, NULL, 'o' },
		{ "shape", required_argument, NULL, 's' },
		{ "outputs", required_argument, NULL, OUTPUTS },
		{ "input-format", required_argument, NULL, INPUT_FORMAT },
		{ "mean", required_argument, NULL, MEAN },
		{ "scale", required_argument, NULL, SCALE },
		{ "format", required_argument, NULL, 'f' },
		{ "formats", required_argument, NULL, FORMATS },
		{ "save-formats", required_argument, NULL, SAVE_FORMATS },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct xrnpe_error error;
	int option, at = 0;

	while ((option = getopt_long(argc, argv, "c:b:o:s:f:jh", long_options, &at)) != -1) {
		switch (option) {
		case 'c':
			arguments_add(&options->calib, optarg);
			break;
		case 'b':
			arguments_add(&options->budgets, optarg);
			break;
		case 'o':
			options->output = optarg;
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
		case 'f':
			if (formats_add(&options->formats, optarg, &error))
				return misused(argv[0], "--format %s", error.message);
			break;
		case FORMATS:
			if (formats_read(&options->formats, optarg, &error))
				return failed(&error);
			break;
		case SAVE_FORMATS:
			options->save_formats = optarg;
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
		return misused(argv[0], "one network is expected");
	if (!options->calib.count || !options->output)
		return misused(argv[0], "%s is missing", options->calib.count ? "--output" : "--calib");
	if (bytes_finish(&options->bytes, &error))
		return misused(argv[0], "%s", error.message);
	options->model = argv[optind];
	if (is_same_file(options->model, options->output))
		return misused(argv[0], "--output is the model itself: %s", options->output);
	return -1;
}

int xrnpe_compile_command(int argc, char **argv)
{
	struct options options = { 0 };
	int status = parse(argc, argv, &options);

	if (status < 0)
		status = compile(&options);
	arguments_free(&options.calib);
	arguments_free(&options.names);
	arguments_free(&options.budgets);
	formats_free(&options.formats);
	bytes_free_inputs(&options.bytes);
	free(options.shapes);
	return status;
}
