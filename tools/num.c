// SPDX-License-Identifier: MIT
/* xrnpe num: numbers in, codes out, on the datapath that everything else uses. */
#include <ctype.h>
#include <errno.h>
#include <fenv.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "console.h"
#include "datapath.h"

static const char usage[] =
	"usage: xrnpe num encode|decode|dot --format fp4|p4|p8|p16\n"
	"                 [--weight-format fp4|p4|p8|p16] [--out fp4|p4|p8|p16|f32] [LINE...]\n"
	"\n"
	"A line in, from the command line or else from standard input, a line out on standard\n"
	"output. Before a number below 0 on the command line goes --.\n"
	"  encode  a number (decimal, C hexfloat, or 0x and 8 hex digits: the bits of a\n"
	"          binary32) -> its code in hex\n"
	"  decode  a code in hex -> its value as C hexfloat, NaR for NaR\n"
	"  dot     two comma-separated lists of codes with a space or tab between them ->\n"
	"          the code of their exact dot product, rounded once to --out (default:\n"
	"          --format). The second list is of --weight-format (default: --format)\n";

struct options {
	enum xrnpe_format format, weight_format, out;
	uint32_t status;
	unsigned long line;
};

static int bad_line(const struct options *options, const char *what)
{
	fprintf(stderr, "xrnpe num: line %lu: %s\n", options->line, what);
	return -EINVAL;
}

static void print_code(enum xrnpe_format format, uint32_t code)
{
	printf("%0*x\n", (int)xrnpe_format_bits(format) / 4, code);
}

/*
 * The number that @text spells, rounded to odd: toward zero, and the last bit
 * set if that was not exact. Rounding this to any of our formats gives what
 * rounding the number itself would, however many digits it has.
 */
static double parse_odd(const char *text, char **end)
{
	int mode = fegetround();
	double low, high;
	uint64_t bits;

	fesetround(FE_DOWNWARD);
	low = strtod(text, end);
	fesetround(FE_UPWARD);
	high = strtod(text, end);
	fesetround(mode);
	if (isnan(low) || low == high)
		return low;
	if (low < 0)
		low = high;
	memcpy(&bits, &low, sizeof(bits));
	bits |= 1;
	memcpy(&low, &bits, sizeof(low));
	return low;
}

static int encode_line(struct options *options, char *text)
{
	double value;
	char *end;

	if (text[0] == '0' && (text[1] | 32) == 'x' && strspn(text + 2, "0123456789abcdefABCDEF") == 8 &&
	    !text[10])
		value = xrnpe_decode(XRNPE_FORMAT_F32, (uint32_t)strtoul(text + 2, NULL, 16));
	else if ((value = parse_odd(text, &end)), end == text || *end)
		return bad_line(options, "not a number");
	print_code(options->format, xrnpe_encode(options->format, value, &options->status));
	return 0;
}

static int parse_code(const struct options *options, enum xrnpe_format format, const char *text, char **end,
		      uint32_t *code)
{
	unsigned long value;

	errno = 0;
	if (!isxdigit((unsigned char)*text))
		return bad_line(options, "a code in hex is expected");
	value = strtoul(text, end, 16);
	if (errno || value >> (xrnpe_format_bits(format) - 1) > 1)
		return bad_line(options, "the code has too many bits for the format");
	*code = (uint32_t)value;
	return 0;
}

static int decode_line(struct options *options, char *text)
{
	uint32_t code;
	char *end;

	if (parse_code(options, options->format, text, &end, &code))
		return -EINVAL;
	if (*end)
		return bad_line(options, "a code in hex is expected");
	if (xrnpe_is_nar(options->format, code))
		puts("NaR");
	else
		printf("%a\n", xrnpe_decode(options->format, code));
	return 0;
}

/* A comma-separated list into a packed row. */
static int parse_list(const struct options *options, enum xrnpe_format format, char *text, uint8_t *row,
		      size_t *count)
{
	*count = 0;
	for (;;) {
		uint32_t code;
		char *end;

		if (*count == XRNPE_MAX_K)
			return bad_line(options, "a list is too long");
		if (parse_code(options, format, text, &end, &code))
			return -EINVAL;
		xrnpe_store(format, row, (*count)++, code);
		if (!*end)
			return 0;
		if (*end != ',')
			return bad_line(options, "a list of codes with commas is expected");
		text = end + 1;
	}
}

static int dot_line(struct options *options, char *text)
{
	static uint8_t a[XRNPE_MAX_K * 2], b[XRNPE_MAX_K * 2];
	char *second = strpbrk(text, " \t");
	size_t count, count_b;

	if (!second)
		return bad_line(options, "two lists are expected");
	*second++ = '\0';
	second += strspn(second, " \t");
	if (parse_list(options, options->format, text, a, &count) ||
	    parse_list(options, options->weight_format, second, b, &count_b))
		return -EINVAL;
	if (count != count_b)
		return bad_line(options, "the lists differ in length");
	print_code(options->out, xrnpe_dot(options->format, a, options->weight_format, b, count,
					   options->out, &options->status));
	return 0;
}

struct conversion {
	const char *name;
	int (*convert)(struct options *options, char *text);
};

static const struct conversion conversions[] = {
	{ "encode", encode_line }, { "decode", decode_line }, { "dot", dot_line },
};

static const struct conversion *find_conversion(const char *name)
{
	for (size_t i = 0; i < sizeof(conversions) / sizeof(*conversions); i++) {
		if (!strcmp(conversions[i].name, name))
			return &conversions[i];
	}
	return NULL;
}

/* Take an option, for take_options(). */
static int take(void *data, const char *command, int option, char *argument)
{
	struct options *options = data;

	switch (option) {
	case 'f':
		return take_format(command, "--format", argument, &options->format);
	case 'w':
		return take_format(command, "--weight-format", argument, &options->weight_format);
	case 'o':
		return !xrnpe_format_from_name(argument, &options->out) && options->out < XRNPE_OUTPUT_FORMATS ?
		       0 : misused(command, "--out is not fp4, p4, p8, p16 or f32: %s", argument);
	default:
		return -1;
	}
}

/* Options that were not given, and those that do not go together. Returns 0, or an exit status. */
static int finish(struct options *options, const char *command, const struct conversion *conversion)
{
	bool dot = conversion->convert == dot_line;

	if (options->format == XRNPE_OUTPUT_FORMATS)
		return misused(command, "--format is missing");
	if (options->out == XRNPE_OUTPUT_FORMATS)
		options->out = options->format;
	else if (!dot)
		return misused(command, "--out goes with dot");
	if (options->weight_format == XRNPE_OUTPUT_FORMATS)
		options->weight_format = options->format;
	else if (!dot)
		return misused(command, "--weight-format goes with dot");
	return 0;
}

/* Returns an exit status, or -1: all is well; the conversion is argv[optind]. */
static int parse(int argc, char **argv, struct options *options, const struct conversion **conversion)
{
	static const struct option long_options[] = {
		{ "format", required_argument, NULL, 'f' },
		{ "weight-format", required_argument, NULL, 'w' },
		{ "out", required_argument, NULL, 'o' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int status = take_options(argc, argv, "f:w:o:h", long_options, usage, take, options);

	if (status >= 0)
		return status;
	if (optind == argc)
		return misused(argv[0], "one of encode, decode and dot is expected");
	*conversion = find_conversion(argv[optind]);
	if (!*conversion)
		return misused(argv[0], "no such operation: %s", argv[optind]);
	status = finish(options, argv[0], *conversion);
	return status ? status : -1;
}

/* Convert @line, in place, without the spaces around it. */
static int convert_line(struct options *options, const struct conversion *conversion, char *line)
{
	char *text = line + strspn(line, " \t\r\n");
	size_t length = strlen(text);

	while (length && isspace((unsigned char)text[length - 1]))
		text[--length] = '\0';
	options->line++;
	return conversion->convert(options, text);
}

static int convert_input(struct options *options, const struct conversion *conversion)
{
	char *line = NULL;
	size_t size = 0;
	int ret = 0;

	while (!ret && getline(&line, &size, stdin) >= 0)
		ret = convert_line(options, conversion, line);
	free(line);
	if (!ret && ferror(stdin)) {
		fprintf(stderr, "xrnpe num: %s\n", strerror(errno));
		ret = -EIO;
	}
	return ret;
}

int xrnpe_num(int argc, char **argv)
{
	struct options options = { .format = XRNPE_OUTPUT_FORMATS, .weight_format = XRNPE_OUTPUT_FORMATS,
				   .out = XRNPE_OUTPUT_FORMATS };
	const struct conversion *conversion = NULL;
	int ret = parse(argc, argv, &options, &conversion);

	if (ret >= 0)
		return ret;
	/* Each answer before the next question: a program may ask line by line. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (optind + 1 == argc)
		ret = convert_input(&options, conversion);
	else
		for (ret = 0; !ret && optind + 1 < argc; optind++)
			ret = convert_line(&options, conversion, argv[optind + 1]);
	if (options.status & XRNPE_STATUS_INVALID)
		fprintf(stderr, "xrnpe num: a NaN was encoded as FP4, which has none\n");
	return ret ? 1 : finish_output();
}
