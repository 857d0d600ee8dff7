// SPDX-License-Identifier: MIT
/* xrnpe compile: a network in, .xrnpe out, and a table of what was chosen. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "console.h"
#include "energy_figures.h"
#include "error.h"
#include "formats.h"
#include "layer_times.h"
#include "network.h"
#include "outcome.h"
#include "outputs.h"
#include "tensors.h"

/* Models tried beside the one that is made, for a report, and at most. */
#define USUAL_TRIALS 10
#define MOST_TRIALS 100
#define MOST_POINTS 16

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
	"  -l, --labels FILE    what the network should say of each typical input, a .npy file: count\n"
	"                       class numbers, or count x shape of the first output. Half of the\n"
	"                       inputs then tell what the model loses\n"
	"      --max-loss LOSS  the most that it may lose: 0.2% is two of 1000 inputs, or, where\n"
	"                       labels are outputs, 0.2 % more error. A limit as --budget's 1%\n"
	"      --energy NAME=PJ|FILE  a figure by which energy is told, or a file with a line for\n"
	"                       each: memory_byte, sram_byte, gated_block, cycle, sharing, or of\n"
	"                       products as fp4/p8; may be repeated\n"
	"  -p, --points N       let the model have N points, at most: the same network in other\n"
	"                       formats, from fast to exact, between which programs switch\n"
	"  -t, --trials N       try N other choices, too, and show bytes, cycles, energy and error\n"
	"                       of those that none beats in all of it\n"
	"  -o, --output FILE    the compiled model\n"
	"      --report FILE    write a page (HTML) with drawings of what was chosen, and of\n"
	"                       what else there is\n"
	"  -f, --format LAYER=WEIGHT/INPUT  formats that are not to be chosen: fp4, p4, p8, p16;\n"
	"                       WEIGHT/INPUT+ADDED: of what it adds, too; without LAYER= of all\n"
	"                       layers that are not named\n"
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
	const char *formats_file, *save_formats, *page, *labels;
	double loss;
	size_t trials, points;
	struct arguments calib, budgets;
	struct formats formats;
	struct network_options network;
	struct xrnpe_energy energy;
	bool json;
};

/* What the compiler has to say beside the result: told as it comes, and kept, a line each. */
struct notes {
	struct progress progress;	/* its line is cleared before */
	FILE *lines;
	char *text;
	size_t size;
};

static void add_note(void *data, const char *text)
{
	struct notes *notes = data;

	clear_progress(&notes->progress);
	fprintf(stderr, "xrnpe compile: %s\n", text);
	fprintf(notes->lines, "%s\n", text);
}

/* "0.2%" as 0.002. */
static bool parse_share(const char *text, double *share)
{
	char *end;

	*share = strtod(text, &end) / 100;
	return end != text && !strcmp(end, "%") && *share > 0 && *share < 1;
}

/* Nothing that is read is written over, and what cannot be written is said before the work. */
static int check_files(const struct options *options, const struct tensors *inputs,
		       struct xrnpe_error *error)
{
	const struct named_file outputs[] = {
		{ "--output", options->output }, { "--save-formats", options->save_formats },
		{ "--report", options->page },
	};
	struct named_file *read = calloc(inputs->count + 3, sizeof(*read));
	const char **paths = calloc(inputs->count + 1, sizeof(*paths));
	int ret = read && paths ? match_files(inputs, &options->calib, "--calib", paths, error) :
				  xrnpe_fail_memory(error);

	if (!ret) {
		read[0] = (struct named_file){ "the network", options->model };
		read[1] = (struct named_file){ "--formats", options->formats_file };
		read[2] = (struct named_file){ "--labels", options->labels };
		for (unsigned int i = 0; i < inputs->count; i++)
			read[3 + i] = (struct named_file){ "--calib", paths[i] };
		ret = outputs_check(outputs, sizeof(outputs) / sizeof(*outputs), read, inputs->count + 3,
				    error);
	}
	free(read);
	free(paths);
	return ret;
}

/* The graph compiled for the calibration data. */
static int compile_graph(const struct options *options, const struct xrnpe_graph *graph,
			 struct notes *notes, struct xrnpe_model **model,
			 struct xrnpe_error *error)
{
	struct xrnpe_compile_options how = {
		.progress = show_progress, .progress_data = &notes->progress,
		.note = add_note, .note_data = notes,
		.trials = (unsigned int)options->trials, .points = (unsigned int)options->points,
		.formats = options->formats.list, .format_count = options->formats.count,
		.energy = &options->energy,
	};
	struct tensors inputs = graph_inputs(graph, options->model);
	struct xrnpe_array labels = { 0 };
	struct xrnpe_array *arrays = calloc(inputs.count + 1, sizeof(*arrays));
	size_t count;
	int ret = arrays && inputs.infos ? 0 : xrnpe_fail_memory(error);

	for (unsigned int i = 0; !ret && i < options->budgets.count; i++)
		ret = xrnpe_limits_parse(options->budgets.values[i], graph, &how.limits, error);
	if (!ret)
		ret = check_files(options, &inputs, error);
	if (!ret)
		ret = read_inputs(&inputs, &options->calib, "--calib", arrays, &count, error);
	if (!ret && options->labels)
		ret = xrnpe_npy_read(options->labels, &labels, error);
	if (!ret) {
		how.calibration = arrays;
		how.labels = options->labels ? &labels : NULL;
		how.limits.loss = options->loss;
		ret = xrnpe_compile(graph, &how, model, error);
		clear_progress(&notes->progress);
	}
	for (unsigned int i = 0; arrays && i < inputs.count; i++)
		xrnpe_array_clear(&arrays[i]);
	xrnpe_array_clear(&labels);
	free(arrays);
	free(inputs.infos);
	return ret;
}

/* Print, or draw, what is known of @model. */
static int report(const struct options *options, struct xrnpe_model *model, const char *notes,
		  struct xrnpe_error *error)
{
	unsigned int count = xrnpe_model_layer_count(model);
	struct outcome outcome = {
		.model = model, .network = options->model, .path = options->output, .notes = notes,
		.energy = &options->energy, .shows_trials = options->trials,
		.costs = calloc(count, sizeof(*outcome.costs)),
	};
	int ret;

	if (!outcome.costs)
		return xrnpe_fail_memory(error);
	ret = time_cpu_layers(model, &outcome.seconds, error);
	xrnpe_model_predict(model, NULL, &options->energy, &outcome.total, outcome.costs);
	for (unsigned int i = 0; i < count; i++) {
		const struct xrnpe_layer_info *layer = xrnpe_model_layer(model, i);

		outcome.bytes += layer->bytes;
		outcome.float_bytes += layer->float_bytes;
		outcome.macs += layer->macs;
	}
	if (!ret && options->page)
		ret = outcome_write_page(&outcome, options->page, error);
	if (!ret && options->json)
		outcome_print_json(&outcome);
	else if (!ret)
		outcome_print(&outcome);
	free(outcome.seconds);
	free(outcome.costs);
	return ret;
}

static int compile(const struct options *options)
{
	const struct xrnpe_graph_options how = network_how(&options->network);
	struct xrnpe_graph *graph = NULL;
	struct xrnpe_model *model = NULL;
	struct notes notes = { .progress = { .what = "compiling" } };
	struct xrnpe_error error;
	int ret;

	notes.lines = open_memstream(&notes.text, &notes.size);
	ret = notes.lines ? 0 : xrnpe_fail_memory(&error);
	if (!ret && !is_network(options->model))
		ret = xrnpe_fail(&error, -EINVAL, "%s: is a compiled model; compile takes a network, ONNX or TensorFlow Lite",
				 options->model);
	if (!ret)
		ret = xrnpe_graph_load(options->model, &how, &graph, &error);
	if (!ret)
		ret = compile_graph(options, graph, &notes, &model, &error);
	if (notes.lines)
		fclose(notes.lines);
	if (!ret)
		ret = xrnpe_model_save(model, options->output, &error);
	if (!ret && options->save_formats)
		ret = formats_write(model, options->save_formats, &error);
	if (!ret)
		ret = report(options, model, notes.text, &error);
	free(notes.text);
	xrnpe_model_free(model);
	xrnpe_graph_free(graph);
	return ret ? failed(&error) : finish_output();
}

enum { MAX_LOSS = 256, ENERGY, FORMATS, SAVE_FORMATS, REPORT };

/* Take an option, for take_options(). */
static int take(void *data, const char *command, int option, char *argument)
{
	struct options *options = data;
	struct xrnpe_error error;

	switch (option) {
	case 'c':
		arguments_add(&options->calib, argument);
		return 0;
	case 'b':
		arguments_add(&options->budgets, argument);
		return 0;
	case 'o':
		options->output = argument;
		return 0;
	case 'l':
		options->labels = argument;
		return 0;
	case MAX_LOSS:
		return parse_share(argument, &options->loss) ? 0 :
		       misused(command, "--max-loss is not a share as in 0.2%%: %s", argument);
	case 'f':
		return formats_add(&options->formats, argument, &error) ?
		       misused(command, "--format %s", error.message) : 0;
	case FORMATS:
		options->formats_file = argument;
		return formats_read(&options->formats, argument, &error) ? failed(&error) : 0;
	case ENERGY:
		return take_energy(argument, &options->energy);
	case SAVE_FORMATS:
		options->save_formats = argument;
		return 0;
	case 'p':
		return parse_count(argument, MOST_POINTS, &options->points) ? 0 :
		       misused(command, "--points is not a number from 1 to %d: %s", MOST_POINTS, argument);
	case 't':
		return parse_count(argument, MOST_TRIALS, &options->trials) ? 0 :
		       misused(command, "--trials is not a number from 1 to %d: %s", MOST_TRIALS, argument);
	case REPORT:
		options->page = argument;
		return 0;
	case 'j':
		options->json = true;
		return 0;
	default:
		return network_option(&options->network, command, option, argument);
	}
}

/* Returns an exit status, or -1: all is well, go on. */
static int parse(int argc, char **argv, struct options *options)
{
	static const struct option long_options[] = {
		{ "calib", required_argument, NULL, 'c' },
		{ "budget", required_argument, NULL, 'b' },
		{ "labels", required_argument, NULL, 'l' },
		{ "max-loss", required_argument, NULL, MAX_LOSS },
		{ "output", required_argument, NULL, 'o' },
		NETWORK_OPTIONS,
		{ "format", required_argument, NULL, 'f' },
		{ "formats", required_argument, NULL, FORMATS },
		{ "energy", required_argument, NULL, ENERGY },
		{ "save-formats", required_argument, NULL, SAVE_FORMATS },
		{ "points", required_argument, NULL, 'p' },
		{ "trials", required_argument, NULL, 't' },
		{ "report", required_argument, NULL, REPORT },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int status = take_options(argc, argv, "c:b:l:o:s:f:p:t:jh", long_options, usage, take, options);

	if (status >= 0)
		return status;
	if (optind + 1 < argc)
		return misused(argv[0], "one network is expected, not %s as well", argv[optind + 1]);
	if (optind == argc)
		return misused(argv[0], "one network is expected");
	if (!options->calib.count || !options->output)
		return misused(argv[0], "%s is missing", options->calib.count ? "--output" : "--calib");
	if (options->loss > 0 && !options->labels)
		return misused(argv[0], "--max-loss needs --labels");
	options->model = argv[optind];
	if (options->page && !options->trials)
		options->trials = USUAL_TRIALS;
	return network_finish(&options->network, argv[0]) ? 2 : -1;
}

int xrnpe_compile_command(int argc, char **argv)
{
	struct options options = { 0 };
	int status;

	xrnpe_energy_init(&options.energy);
	status = parse(argc, argv, &options);
	if (status < 0)
		status = compile(&options);
	arguments_free(&options.calib);
	arguments_free(&options.budgets);
	formats_free(&options.formats);
	network_free(&options.network);
	return status;
}
