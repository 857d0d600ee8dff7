// SPDX-License-Identifier: MIT
/* xrnpe bench: how fast the datapath is; its command line, and which benchmark it asks for. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "commands.h"
#include "console.h"

static const char usage[] =
	"usage: xrnpe bench gemm|gemv|conv|codec [--format fp4|p4|p8|p16]\n"
	"                   [--weight-format fp4|p4|p8|p16] [--threads N] [--size MxNxK]\n"
	"                   [--data trained|uniform] [--activation none|relu|leaky] [--clamp]\n"
	"                   [--residual fp4|p4|p8|p16] [--kernel NAME] [--json]\n"
	"       xrnpe bench elementwise [--format F] [--threads N] [--kernel NAME] [--json]\n"
	"       xrnpe bench MODEL.xrnpe [--point N] [--device DEV] [--threads N] [--seconds S]\n"
	"                   [--batch N] [--layers] [--energy NAME=PJ|FILE] [--json]\n"
	"       xrnpe bench NETWORK [--threads N] [--seconds S] [--batch N]\n"
	"                   [--shape NAME=N,N...] [--json]\n"
	"\n"
	"Measures matrix products, matrix-vector products, convolutions or conversions of\n"
	"the datapath on this machine, with codes uniform over the format (the default) or\n"
	"distributed as in trained networks. Without --format: all four. --weight-format: of\n"
	"the weights, if not that of the inputs. --size goes with gemm and gemv; the defaults\n"
	"are 1024x1024x1024 and 1x16384x4096. The output stage may have an activation (leaky:\n"
	"with a slope of 0.1), a clamp to 0..6 and a residual. --kernel: another than the\n"
	"fastest that this CPU runs.\n"
	"\n"
	"Columns: billions of products a second; OpenBLAS sgemm's (sgemv's for one row) in\n"
	"the same run, and the ratio to it; what the kernel's multiply-accumulate instruction\n"
	"does in registers on as many CPUs, and the share of it (with AMX a product may take\n"
	"several of its products); the plain kernel's, and the ratio to it. gemv has, instead\n"
	"of the instruction: GB/s of packed weights, what as many threads read when they do\n"
	"nothing else, and the share. A row of JSON is an object.\n";

/* ---- command line ----------------------------------------------------- */

static bool parse_size(const char *text, struct bench_options *options)
{
	char *end;

	options->m = strtoul(text, &end, 10);
	if (*end++ != 'x')
		return false;
	options->n = strtoul(end, &end, 10);
	if (*end++ != 'x')
		return false;
	options->k = strtoul(end, &end, 10);
	return !*end && options->m && options->n && options->k && options->k <= XRNPE_MAX_K &&
	       options->m <= 65536 && options->n <= 65536;
}

static bool parse_activation(const char *text, enum xrnpe_activation *activation)
{
	static const char *const names[] = { "none", "relu", "leaky" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(text, names[i])) {
			*activation = (enum xrnpe_activation)i;
			return true;
		}
	}
	return false;
}

static bool runs(const char *kernel)
{
	for (const char *const *names = xrnpe_datapath_kernels(); *names; names++) {
		if (!strcmp(*names, kernel))
			return true;
	}
	return false;
}

static int take_threads(struct bench_options *options, const char *command, const char *argument)
{
	size_t threads;

	if (!parse_count(argument, BENCH_MAX_THREADS, &threads))
		return misused(command, "--threads is not 1..%d: %s", BENCH_MAX_THREADS, argument);
	options->threads = (unsigned int)threads;
	return 0;
}

int bench_take(void *data, const char *command, int option, char *argument)
{
	struct bench_options *options = data;

	switch (option) {
	case 'f':
		options->has_format = true;
		return take_format(command, "--format", argument, &options->format);
	case 'w':
		options->has_weight_format = true;
		return take_format(command, "--weight-format", argument, &options->weight_format);
	case 'r':
		options->has_residual = true;
		return take_format(command, "--residual", argument, &options->residual);
	case 't':
		return take_threads(options, command, argument);
	case 's':
		return parse_size(argument, options) ? 0 :
		       misused(command, "--size is not MxNxK, up to 65536x65536x32768: %s", argument);
	case 'd':
		options->trained = !strcmp(argument, "trained");
		return options->trained || !strcmp(argument, "uniform") ? 0 :
		       misused(command, "--data is not trained or uniform: %s", argument);
	case 'a':
		return parse_activation(argument, &options->activation) ? 0 :
		       misused(command, "--activation is not none, relu or leaky: %s", argument);
	case 'k':
		options->kernel = argument;
		return runs(argument) ? 0 :
		       misused(command, "--kernel is none that this CPU runs: %s", argument);
	case 'c':
		options->clamp = true;
		return 0;
	case 'j':
		options->json = true;
		return 0;
	default:
		return -1;
	}
}

/* Returns an exit status, or -1: all is well, go on. */
static int parse(int argc, char **argv, struct bench_options *options)
{
	static const struct option long_options[] = {
		{ "format", required_argument, NULL, 'f' },
		{ "weight-format", required_argument, NULL, 'w' },
		{ "threads", required_argument, NULL, 't' },
		{ "size", required_argument, NULL, 's' },
		{ "data", required_argument, NULL, 'd' },
		{ "activation", required_argument, NULL, 'a' },
		{ "clamp", no_argument, NULL, 'c' },
		{ "residual", required_argument, NULL, 'r' },
		{ "kernel", required_argument, NULL, 'k' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int status = take_options(argc, argv, "f:w:t:s:d:a:cr:k:jh", long_options, usage, bench_take, options);

	if (status >= 0)
		return status;
	if (optind + 1 != argc)
		return misused(argv[0], "one of gemm, gemv, conv, codec and elementwise, or one MODEL.xrnpe, is expected");
	return -1;
}

/* ---- benchmarks --------------------------------------------------------- */

static void print_heading(const struct bench_options *options, bool codec)
{
	if (options->json)
		return;
	if (codec)
		printf("%-17s %-7s %3s  %-12s %8s %8s %8s %8s %8s %8s   Gvalues/s\n", "", "", "thr",
		       "kernel", "encode", "plain", "ratio", "decode", "plain", "ratio");
	else
		printf("%-17s %-7s %3s  %-12s %8s %8s %8s %s %8s %8s %8s\n", "", "", "thr", "kernel",
		       "GMAC/s", options->gemv ? "sgemv" : "sgemm", "ratio",
		       options->gemv ? "    GB/s     read" : "    peak", "share", "plain", "ratio");
}

/* All formats, or the one that was asked for. */
static int run_formats(const struct bench_options *options, bool conv, bool codec,
		       struct xrnpe_datapath *fast, struct xrnpe_datapath *plain)
{
	const struct bench_blas *blas = codec ? NULL : bench_load_blas(options->threads);
	int ret = 0;

	print_heading(options, codec);
	for (enum xrnpe_format format = 0; format < XRNPE_PRODUCT_FORMATS && !ret; format++) {
		const struct bench_formats formats = {
			format, options->has_weight_format ? options->weight_format : format,
		};

		if (options->has_format && format != options->format)
			continue;
		ret = codec ? bench_codec(options, format, fast) :
			      bench_products(options, conv, &formats, fast, plain, blas);
		fflush(stdout);
	}
	return ret;
}

static int run(struct bench_options *options, bool conv, bool codec)
{
	struct xrnpe_datapath *fast, *plain;
	int ret;

	if (!options->m)
		parse_size(options->gemv ? "1x16384x4096" : "1024x1024x1024", options);
	fast = xrnpe_datapath_new(options->threads, options->kernel);
	plain = xrnpe_datapath_new(options->threads, "plain");
	ret = fast && plain ? run_formats(options, conv, codec, fast, plain) : bench_fail("threads");
	xrnpe_datapath_free(fast);
	xrnpe_datapath_free(plain);
	return ret ? 1 : finish_output();
}

/* Whether a file is meant, a model's or what somebody takes for one; no option here has such a value. */
static bool is_file(const char *argument)
{
	return *argument != '-' && (strchr(argument, '.') || strchr(argument, '/'));
}

/* What has options of its own, if that is to be measured. */
static int (*find_other(int argc, char **argv))(int, char **)
{
	for (int i = 1; i < argc; i++) {
		if (is_file(argv[i]))
			return xrnpe_bench_model;
		if (!strcmp(argv[i], "elementwise"))
			return xrnpe_bench_elementwise;
	}
	return NULL;
}

int xrnpe_bench(int argc, char **argv)
{
	struct bench_options options = { .threads = 1 };
	int (*other)(int, char **) = find_other(argc, argv);
	bool conv, codec;
	int status;

	if (other)
		return other(argc, argv);
	status = parse(argc, argv, &options);
	if (status >= 0)
		return status;
	conv = !strcmp(argv[optind], "conv");
	codec = !strcmp(argv[optind], "codec");
	options.gemv = !strcmp(argv[optind], "gemv");
	if (!conv && !codec && !options.gemv && strcmp(argv[optind], "gemm"))
		return misused(argv[0], "no such benchmark: %s", argv[optind]);
	if (codec && options.has_weight_format)
		return misused(argv[0], "--weight-format goes with products");
	return run(&options, conv, codec);
}
