// SPDX-License-Identifier: MIT
/*
 * xrnpe bench: how fast the datapath is, beside OpenBLAS in the same run.
 *
 * The two take turns, and of each the fastest turn counts, so that whatever else
 * the machine does meanwhile hits both. OpenBLAS is loaded if it is there.
 */
#include <dlfcn.h>
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "commands.h"
#include "console.h"
#include "kernels/kernel.h"
#include "peak.h"

#define TURNS 7			/* at least, of each */
#define SECONDS 0.5		/* at least, for all of them */
#define PEAK_TURNS 20000		/* a millisecond or so */
#define MAX_THREADS 1024
#define CODEC_COUNT (1u << 20)
#define RANDOM_COUNT (1u << 20)		/* more codes repeat these */

static const char usage[] =
	"usage: xrnpe bench gemm|gemv|conv|codec [--format fp4|p4|p8|p16]\n"
	"                   [--weight-format fp4|p4|p8|p16] [--threads N] [--size MxNxK]\n"
	"                   [--data trained|uniform] [--activation none|relu|leaky] [--clamp]\n"
	"                   [--residual fp4|p4|p8|p16] [--kernel NAME] [--json]\n"
	"       xrnpe bench elementwise [--format F] [--threads N] [--kernel NAME] [--json]\n"
	"       xrnpe bench MODEL.xrnpe [--device DEV] [--threads N] [--seconds S] [--batch N]\n"
	"                   [--layers] [--json]\n"
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

struct options {
	bool gemv, has_format, has_weight_format, json, trained;
	enum xrnpe_format format, weight_format;
	enum xrnpe_activation activation;
	bool clamp, has_residual;
	enum xrnpe_format residual;
	unsigned int threads;
	unsigned long m, n, k;
	const char *kernel;	/* NULL: the fastest */
};

typedef void sgemm_fn(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha,
		      const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);
typedef void sgemv_fn(int order, int transpose, int m, int n, float alpha, const float *a, int lda,
		      const float *x, int x_step, float beta, float *y, int y_step);

/* OpenBLAS, if it is there. */
struct blas {
	union {
		void *object;
		sgemm_fn *function;
	} sgemm;
	union {
		void *object;
		sgemv_fn *function;
	} sgemv;
};

/* Of a row: the inputs and outputs, and the weights. */
struct formats {
	enum xrnpe_format input, weight;
};

/* A workload: the command, its memory, and the floats of a like sgemm. */
struct work {
	const char *name;
	struct xrnpe_cmd cmd;
	void *memory[XRNPE_OPERANDS];
	size_t m, n, k;
	float *a, *b, *c;
	size_t read;		/* bytes of weights, where reading them is the limit; or 0 */
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int fail(const char *what)
{
	fprintf(stderr, "xrnpe bench: %s: %s\n", what, strerror(errno));
	return -1;
}

static struct blas load_blas(unsigned int threads)
{
	struct blas blas = { { NULL }, { NULL } };
	char count[12];
	void *library;

	snprintf(count, sizeof(count), "%u", threads);
	setenv("OPENBLAS_NUM_THREADS", count, 1);
	/* Its idle threads would spin for long, on the CPUs that we are timed on. */
	setenv("OPENBLAS_THREAD_TIMEOUT", "4", 0);
#ifdef __x86_64__
	/* Older versions take newer processors for very old ones. */
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl"))
		setenv("OPENBLAS_CORETYPE", "SkylakeX", 0);
	else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		setenv("OPENBLAS_CORETYPE", "Haswell", 0);
#endif
	library = dlopen("libopenblas.so.0", RTLD_NOW);
	if (library) {
		blas.sgemm.object = dlsym(library, "cblas_sgemm");
		blas.sgemv.object = dlsym(library, "cblas_sgemv");
	}
	return blas;
}

/* ---- data ------------------------------------------------------------- */

static double random_unit(void)
{
	return (double)rand() / ((double)RAND_MAX + 1);
}

/* About normal: what weights look like, and inputs before the ReLU. */
static double random_normal(void)
{
	double sum = 0;

	for (int i = 0; i < 12; i++)
		sum += random_unit();
	return sum - 6;
}

static uint32_t random_code(const struct options *options, enum xrnpe_format format, bool weight)
{
	uint32_t code, status = 0;

	if (options->trained) {
		double value = random_normal();

		/* Scaled as the compiler scales them: into the middle of the format. */
		if (!weight && value < 0)
			value = 0;
		return xrnpe_encode(format, format == XRNPE_FORMAT_P16 && weight ? value / 20 : value,
				    &status);
	}
	do
		code = (uint32_t)(random_unit() * (double)(1ull << xrnpe_format_bits(format)));
	while (xrnpe_is_nar(format, code));
	return code;
}

/* Fill @size bytes with the first @period. */
static void repeat(void *memory, size_t period, size_t size)
{
	uint8_t *bytes = memory;

	for (size_t at = period; at < size; at += period)
		memcpy(bytes + at, bytes, size - at < period ? size - at : period);
}

static void *random_row(const struct options *options, enum xrnpe_format format, size_t count,
			bool weight)
{
	void *row = calloc(1, xrnpe_row_bytes(format, count) + 1);

	for (size_t i = 0; row && i < count && i < RANDOM_COUNT; i++)
		xrnpe_store(format, row, i, random_code(options, format, weight));
	if (row)
		repeat(row, xrnpe_row_bytes(format, RANDOM_COUNT), xrnpe_row_bytes(format, count));
	return row;
}

static void dispose(struct work *work)
{
	for (int i = 0; i < XRNPE_OPERANDS; i++)
		free(work->memory[i]);
	free(work->a);
	free(work->b);
	free(work->c);
}

/* Elements of a row with what fills its last byte. */
static size_t whole_row(enum xrnpe_format format, size_t count)
{
	return xrnpe_row_bytes(format, count) * 8 / xrnpe_format_bits(format);
}

static uint32_t f32(double value)
{
	return xrnpe_encode(XRNPE_FORMAT_F32, value, &(uint32_t){ 0 });
}

/* What there is besides scales. */
static int set_output_stage(struct work *work, const struct options *options)
{
	struct xrnpe_operand *o = work->cmd.operand;
	uint32_t pixel = (uint32_t)xrnpe_row_bytes(options->residual, work->n);

	work->cmd.activation = (uint8_t)options->activation;
	if (options->activation == XRNPE_ACT_LEAKY)
		work->cmd.slope = f32(0.1);
	if (options->clamp) {
		work->cmd.flags |= XRNPE_CMD_CLAMP;
		work->cmd.hi = f32(6);
	}
	if (!options->has_residual)
		return 0;
	work->cmd.flags |= XRNPE_CMD_RESIDUAL;
	work->cmd.residual = f32(0.3);
	o[XRNPE_OPERAND_IFM2].format = (uint8_t)options->residual;
	o[XRNPE_OPERAND_IFM2].row_stride = pixel;
	if (work->cmd.opcode == XRNPE_OP_CONV2D) {
		o[XRNPE_OPERAND_IFM2].pixel_stride = pixel;
		o[XRNPE_OPERAND_IFM2].row_stride = pixel * work->cmd.image.out_w;
	}
	work->memory[XRNPE_OPERAND_IFM2] = random_row(options, options->residual,
						      work->m * whole_row(options->residual, work->n), false);
	return work->memory[XRNPE_OPERAND_IFM2] ? 0 : fail("memory");
}

/* Memory of @inputs, @weights and @outputs elements, rows and pixels packed. */
static int fill(struct work *work, const struct options *options, const struct formats *formats,
		size_t inputs, size_t weights, size_t outputs)
{
	struct xrnpe_operand *o = work->cmd.operand;

	o[XRNPE_OPERAND_SCALE].format = XRNPE_FORMAT_F32;
	o[XRNPE_OPERAND_SCALE].row_stride = sizeof(struct xrnpe_scale);
	o[XRNPE_OPERAND_IFM].format = o[XRNPE_OPERAND_OFM].format = (uint8_t)formats->input;
	o[XRNPE_OPERAND_WEIGHT].format = (uint8_t)formats->weight;
	work->memory[XRNPE_OPERAND_IFM] = random_row(options, formats->input, inputs, false);
	work->memory[XRNPE_OPERAND_WEIGHT] = random_row(options, formats->weight, weights, true);
	work->memory[XRNPE_OPERAND_SCALE] = calloc(work->n, sizeof(struct xrnpe_scale));
	work->memory[XRNPE_OPERAND_OFM] = calloc(1, xrnpe_row_bytes(formats->input, outputs) + 1);
	work->a = calloc(work->m * work->k, sizeof(float));
	work->b = calloc(work->n * work->k, sizeof(float));
	work->c = calloc(work->m * work->n, sizeof(float));
	for (int i = 0; i < XRNPE_OPERANDS; i++) {
		if (!work->memory[i] && i != XRNPE_OPERAND_IFM2)
			return fail("memory");
	}
	if (!work->a || !work->b || !work->c)
		return fail("memory");
	for (size_t i = 0; i < work->n; i++)
		xrnpe_store(XRNPE_FORMAT_F32, work->memory[XRNPE_OPERAND_SCALE], 2 * i, f32(0.01));
	for (size_t i = 0; i < work->m * work->k; i++)
		work->a[i] = (float)random_unit();
	for (size_t i = 0; i < work->n * work->k && i < RANDOM_COUNT; i++)
		work->b[i] = (float)random_unit();
	repeat(work->b, RANDOM_COUNT * sizeof(float), work->n * work->k * sizeof(float));
	return set_output_stage(work, options);
}

static int make_gemm(struct work *work, const struct options *options, const struct formats *formats,
		     size_t m, size_t channels)
{
	struct xrnpe_operand *o = work->cmd.operand;

	*work = (struct work){ .name = options->gemv ? "gemv" : "gemm", .m = m, .n = channels,
			       .k = options->k };
	if (options->gemv)
		work->read = channels * xrnpe_row_bytes(formats->weight, options->k);
	work->cmd.opcode = XRNPE_OP_MATMUL;
	work->cmd.matmul.m = (uint32_t)m;
	work->cmd.matmul.n = (uint32_t)channels;
	work->cmd.matmul.k = (uint32_t)options->k;
	work->cmd.matmul.batch = 1;
	o[XRNPE_OPERAND_IFM].row_stride = (uint32_t)xrnpe_row_bytes(formats->input, options->k);
	o[XRNPE_OPERAND_WEIGHT].row_stride = (uint32_t)xrnpe_row_bytes(formats->weight, options->k);
	o[XRNPE_OPERAND_OFM].row_stride = (uint32_t)xrnpe_row_bytes(formats->input, channels);
	return fill(work, options, formats, m * whole_row(formats->input, options->k),
		    channels * whole_row(formats->weight, options->k), m * whole_row(formats->input, channels));
}

struct layer {
	const char *name;
	uint16_t size, channels, groups;
	uint8_t kernel;
};

static const struct layer layers[] = {
	{ "conv 3x3x64x64", 56, 64, 1, 3 },
	{ "conv 1x1x64x64", 56, 64, 1, 1 },
	{ "depthwise 3x3x64", 56, 64, 64, 3 },
};

static int make_conv(struct work *work, const struct options *options, const struct formats *formats,
		     const struct layer *layer, size_t lines)
{
	struct xrnpe_dims_image *d = &work->cmd.image;
	struct xrnpe_operand *o = work->cmd.operand;
	size_t taps = (size_t)layer->kernel * layer->kernel;
	size_t pixels = lines * layer->size;

	*work = (struct work){ .name = layer->name, .m = pixels, .n = layer->channels,
			       .k = taps * layer->channels / layer->groups };
	work->cmd.opcode = XRNPE_OP_CONV2D;
	*d = (struct xrnpe_dims_image){
		.in_h = (uint16_t)lines, .in_w = layer->size, .in_c = layer->channels,
		.out_h = (uint16_t)lines, .out_w = layer->size, .out_c = layer->channels,
		.groups = layer->groups, .kernel_h = layer->kernel, .kernel_w = layer->kernel,
		.stride_h = 1, .stride_w = 1, .dilation_h = 1, .dilation_w = 1,
		.pad_top = layer->kernel / 2, .pad_left = layer->kernel / 2,
	};
	for (int i = 0; i < XRNPE_OPERANDS; i++) {
		size_t channels = layer->channels;
		enum xrnpe_format format = formats->input;

		if (i == XRNPE_OPERAND_SCALE || i == XRNPE_OPERAND_IFM2)
			continue;
		if (i == XRNPE_OPERAND_WEIGHT) {
			channels /= layer->groups;
			format = formats->weight;
		}
		o[i].pixel_stride = (uint32_t)xrnpe_row_bytes(format, channels);
		o[i].row_stride = o[i].pixel_stride *
				  (i == XRNPE_OPERAND_WEIGHT ? (uint32_t)taps : layer->size);
	}
	/* A depthwise tap of 4 bits has a byte of its own: twice the elements. */
	return fill(work, options, formats, pixels * layer->channels,
		    layer->channels * taps * whole_row(formats->weight, (size_t)layer->channels / layer->groups),
		    pixels * layer->channels);
}

/* ---- measuring -------------------------------------------------------- */

static double turn(struct xrnpe_datapath *datapath, const struct work *work)
{
	struct xrnpe_fault fault;
	uint32_t status = 0;
	double start = now();

	if (xrnpe_datapath_run(datapath, &work->cmd, 0, work->memory, NULL, &status, &fault))
		return -1;
	return now() - start;
}

static double turn_blas(const struct blas *blas, const struct work *work)
{
	double start = now();

	/* Row-major; b is N rows of K. */
	if (work->m == 1 && blas->sgemv.object)
		blas->sgemv.function(101, 111, (int)work->n, (int)work->k, 1, work->b, (int)work->k,
				     work->a, 1, 0, work->c, 1);
	else
		blas->sgemm.function(101, 111, 112, (int)work->m, (int)work->n, (int)work->k, 1,
				     work->a, (int)work->k, work->b, (int)work->k, 0,
				     work->c, (int)work->n);
	return now() - start;
}

/* A thread's part of what is read. */
struct part {
	const uint8_t *bytes;
	size_t count;
	uint64_t sum;
};

static double turn_peak(const struct xrnpe_peak *peak)
{
	double start = now();

	peak->spin(PEAK_TURNS);
	return now() - start;
}

/* Sums of 64-bit words in the widest vectors: memory is slower than that. */
#ifdef __x86_64__
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
static void *sum_words(void *argument)
{
	typedef uint64_t words __attribute__((vector_size(64), aligned(1), may_alias));
	struct part *part = argument;
	const words *from = (const words *)part->bytes;
	words sum[4] = { 0 };

	for (size_t i = 0; i + 4 <= part->count / sizeof(words); i += 4) {
		sum[0] += from[i];
		sum[1] += from[i + 1];
		sum[2] += from[i + 2];
		sum[3] += from[i + 3];
	}
	sum[0] += sum[1] + sum[2] + sum[3];
	for (int i = 0; i < 8; i++)
		part->sum += sum[0][i];
	return NULL;
}

static double turn_read(const struct work *work, unsigned int threads)
{
	const uint8_t *bytes = work->memory[XRNPE_OPERAND_WEIGHT];
	struct part parts[MAX_THREADS];
	pthread_t other[MAX_THREADS];
	unsigned int started = 1;
	double start = now();

	for (unsigned int i = 0; i < threads; i++)
		parts[i] = (struct part){ .bytes = bytes + work->read / threads * i,
					  .count = work->read / threads };
	while (started < threads && !pthread_create(&other[started], NULL, sum_words, &parts[started]))
		started++;
	sum_words(&parts[0]);
	for (unsigned int i = 1; i < started; i++)
		pthread_join(other[i], NULL);
	return started == threads ? now() - start : 1e9;
}

static double rate(const struct work *work, double seconds)
{
	return (double)xrnpe_cmd_macs(&work->cmd) / seconds * 1e-9;
}

static void keep_least(double *least, double value)
{
	if (value < *least)
		*least = value;
}

/* A column of a row: @key in JSON. Zero: not measured. */
static void put(const struct options *options, const char *key, double value, int decimals)
{
	if (options->json && value)
		printf(", \"%s\": %.3f", key, value);
	else if (options->json)
		printf(", \"%s\": null", key);
	else if (value)
		printf(" %8.*f", decimals, value);
	else
		printf(" %8s", "-");
}

/* A row: the fast kernel, sgemm and the CPU's peak on @work, the plain kernel on @small. */
static int measure(const struct options *options, struct xrnpe_datapath *fast,
		   struct xrnpe_datapath *plain, const struct blas *blas, const struct formats *formats,
		   const struct work *work, const struct work *small)
{
	const char *kernel = xrnpe_datapath_kernel(fast), *input = xrnpe_format_name(formats->input);
	const char *weight = xrnpe_format_name(formats->weight);
	/* The wider format is what the instruction multiplies. */
	const struct xrnpe_peak *peak = xrnpe_peak_find(kernel, formats->input > formats->weight ?
							formats->input : formats->weight);
	double ours = 1e9, theirs = 1e9, most = 1e9, slow = 1e9, start = now(), read;

	for (int i = 0; i < TURNS || now() - start < SECONDS; i++) {
		double seconds = turn(fast, work);

		if (seconds < 0)
			return fail("run");
		keep_least(&ours, seconds);
		/* The convolutions that no single sgemm does have none beside them. */
		if (blas->sgemm.object && (work->cmd.opcode == XRNPE_OP_MATMUL || work->cmd.image.groups == 1))
			keep_least(&theirs, turn_blas(blas, work));
		if (work->read)
			keep_least(&most, turn_read(work, options->threads));
		else if (peak)
			keep_least(&most, turn_peak(peak));
		if (i < 2)
			keep_least(&slow, turn(plain, small));
	}
	theirs = theirs < 1e9 ? rate(work, theirs) : 0;
	read = (double)work->read / ours * 1e-9;
	most = most == 1e9 ? 0 : (work->read ? (double)work->read :
				  (double)options->threads * PEAK_TURNS * peak->macs) / most * 1e-9;
	ours = rate(work, ours);
	slow = rate(small, slow);
	if (options->json)
		printf("{\"name\": \"%s\", \"format\": \"%s\", \"weight_format\": \"%s\", \"threads\": %u, "
		       "\"kernel\": \"%s\"", work->name, input, weight, options->threads, kernel);
	else
		printf("%-17s %-3s %-3s %3u  %-12s", work->name, input,
		       formats->weight == formats->input ? "" : weight, options->threads, kernel);
	put(options, "gmacs", ours, 2);
	put(options, "sgemm_gmacs", theirs, 2);
	put(options, "ratio_to_sgemm", theirs ? ours / theirs : 0, 2);
	if (work->read) {
		put(options, "weight_gbs", read, 1);
		put(options, "read_gbs", most, 1);
		put(options, "share_of_read", read / most, 2);
	} else {
		put(options, "peak_gmacs", most, 1);
		put(options, "share_of_peak", most ? ours / most : 0, 2);
	}
	put(options, "plain_gmacs", slow, 2);
	put(options, "ratio_to_plain", ours / slow, 1);
	puts(options->json ? "}" : "");
	return 0;
}

static int bench_products(const struct options *options, bool conv, const struct formats *formats,
			  struct xrnpe_datapath *fast, struct xrnpe_datapath *plain, const struct blas *blas)
{
	size_t rows = conv ? sizeof(layers) / sizeof(layers[0]) : 1;
	/* Enough for the plain kernel. */
	size_t m = options->m < 32 ? options->m : 32, n = options->n < 1024 ? options->n : 1024;
	int ret = 0;

	for (size_t i = 0; i < rows && !ret; i++) {
		struct work work = { 0 }, small = { 0 };

		if (conv)
			ret = make_conv(&work, options, formats, &layers[i], layers[i].size) ||
			      make_conv(&small, options, formats, &layers[i], 8);
		else
			ret = make_gemm(&work, options, formats, options->m, options->n) ||
			      make_gemm(&small, options, formats, m, n);
		if (!ret)
			ret = measure(options, fast, plain, blas, formats, &work, &small);
		dispose(&work);
		dispose(&small);
	}
	return ret;
}

/* Seconds that a value takes to a code and back, at best. */
struct codec_times {
	double encode, decode;
};

static void time_codec(const struct xrnpe_codec *codec, enum xrnpe_format format,
		       const float *values, void *row, float *back, size_t count,
		       struct codec_times *best)
{
	uint32_t status = 0;
	double start = now(), between;

	codec->encode(format, values, row, count, &status);
	between = now();
	codec->decode(format, row, back, count);
	keep_least(&best->decode, (now() - between) / (double)count);
	keep_least(&best->encode, (between - start) / (double)count);
}

/* A row: the codec of the fast kernel and the plain one, a part of the values for that. */
static int bench_codec(const struct options *options, enum xrnpe_format format,
		       const struct xrnpe_datapath *fast)
{
	const struct xrnpe_codec *codec = xrnpe_datapath_codec(fast);
	float *values = malloc(CODEC_COUNT * sizeof(*values));
	float *back = malloc(CODEC_COUNT * sizeof(*back));
	void *row = malloc(xrnpe_row_bytes(format, CODEC_COUNT));
	struct codec_times ours = { 1e9, 1e9 }, plain = ours;
	double start = now();

	if (!values || !back || !row)
		return fail("memory");
	for (size_t i = 0; i < CODEC_COUNT; i++)
		values[i] = (float)random_normal();
	for (int i = 0; i < TURNS || now() - start < SECONDS; i++) {
		time_codec(codec, format, values, row, back, CODEC_COUNT, &ours);
		time_codec(&xrnpe_codec_plain, format, values, row, back, CODEC_COUNT / 64, &plain);
	}
	printf(options->json ?
	       "{\"name\": \"codec\", \"format\": \"%s\", \"threads\": 1, \"kernel\": \"%s\", "
	       "\"encode_gvalues\": %.3f, \"plain_encode_gvalues\": %.3f, "
	       "\"encode_ratio_to_plain\": %.1f, \"decode_gvalues\": %.3f, "
	       "\"plain_decode_gvalues\": %.3f, \"decode_ratio_to_plain\": %.1f}\n" :
	       "codec             %-7s   1  %-12s %8.2f %8.2f %8.1f %8.2f %8.2f %8.1f\n",
	       xrnpe_format_name(format), codec->name,
	       1e-9 / ours.encode, 1e-9 / plain.encode, plain.encode / ours.encode,
	       1e-9 / ours.decode, 1e-9 / plain.decode, plain.decode / ours.decode);
	free(values);
	free(back);
	free(row);
	return 0;
}

/* ---- command line ----------------------------------------------------- */

static int misuse(const char *what, const char *value)
{
	fprintf(stderr, "xrnpe bench: %s%s\n%s", what, value, usage);
	return 2;
}

static bool parse_size(const char *text, struct options *options)
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

static bool is_model(const char *argument)
{
	const char *dot = strrchr(argument, '.');

	return dot && !strcmp(dot, ".xrnpe");
}

/* A format that multiplies, by name. */
static bool product_format(const char *name, enum xrnpe_format *format)
{
	return !xrnpe_format_from_name(name, format) && *format < XRNPE_PRODUCT_FORMATS;
}

int xrnpe_bench(int argc, char **argv)
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
	struct options options = { .threads = 1 };
	struct xrnpe_datapath *fast, *plain;
	bool conv, codec;
	struct blas blas = { { NULL }, { NULL } };
	int option, ret = 0;
	size_t threads;

	for (int i = 1; i < argc; i++) {
		if (is_model(argv[i]))
			return xrnpe_bench_model(argc, argv);
		if (!strcmp(argv[i], "elementwise"))
			return xrnpe_bench_elementwise(argc, argv);
	}
	while ((option = getopt_long(argc, argv, "f:w:t:s:d:a:cr:k:jh", long_options, NULL)) != -1) {
		switch (option) {
		case 'f':
			options.has_format = true;
			if (!product_format(optarg, &options.format))
				return misuse("no such format: ", optarg);
			break;
		case 'w':
			options.has_weight_format = true;
			if (!product_format(optarg, &options.weight_format))
				return misuse("no such format: ", optarg);
			break;
		case 't':
			if (!parse_count(optarg, MAX_THREADS, &threads))
				return misused(argv[0], "--threads is not 1..%d: %s", MAX_THREADS, optarg);
			options.threads = (unsigned int)threads;
			break;
		case 's':
			if (!parse_size(optarg, &options))
				return misuse("not a size MxNxK (up to 65536x65536x32768): ", optarg);
			break;
		case 'd':
			options.trained = !strcmp(optarg, "trained");
			if (!options.trained && strcmp(optarg, "uniform"))
				return misuse("data are trained or uniform, not ", optarg);
			break;
		case 'a':
			if (!parse_activation(optarg, &options.activation))
				return misuse("activations are none, relu and leaky, not ", optarg);
			break;
		case 'c':
			options.clamp = true;
			break;
		case 'r':
			options.has_residual = true;
			if (!product_format(optarg, &options.residual))
				return misuse("no such format: ", optarg);
			break;
		case 'k':
			options.kernel = optarg;
			if (!runs(optarg))
				return misuse("no kernel that this CPU runs: ", optarg);
			break;
		case 'j':
			options.json = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (optind + 1 != argc)
		return misuse("one of gemm, gemv, conv, codec and elementwise, or one MODEL.xrnpe, is expected", "");
	conv = !strcmp(argv[optind], "conv");
	codec = !strcmp(argv[optind], "codec");
	options.gemv = !strcmp(argv[optind], "gemv");
	if (!conv && !codec && !options.gemv && strcmp(argv[optind], "gemm"))
		return misuse("no such benchmark: ", argv[optind]);
	if (codec && options.has_weight_format)
		return misuse("--weight-format goes with products", "");
	if (!options.m)
		parse_size(options.gemv ? "1x16384x4096" : "1024x1024x1024", &options);

	fast = xrnpe_datapath_new(options.threads, options.kernel);
	plain = xrnpe_datapath_new(options.threads, "plain");
	if (!fast || !plain) {
		ret = fail("threads");
	} else if (!codec) {
		blas = load_blas(options.threads);
		if (!options.json)
			printf("%-17s %-7s %3s  %-12s %8s %8s %8s %s %8s %8s %8s\n", "", "", "thr", "kernel",
			       "GMAC/s", options.gemv ? "sgemv" : "sgemm", "ratio",
			       options.gemv ? "    GB/s     read" : "    peak", "share", "plain", "ratio");
	} else if (!options.json) {
		printf("%-17s %-7s %3s  %-12s %8s %8s %8s %8s %8s %8s   Gvalues/s\n", "", "", "thr",
		       "kernel", "encode", "plain", "ratio", "decode", "plain", "ratio");
	}
	for (int format = 0; format < XRNPE_PRODUCT_FORMATS && !ret; format++) {
		struct formats formats = { (enum xrnpe_format)format, (enum xrnpe_format)format };

		if (options.has_format && format != (int)options.format)
			continue;
		if (options.has_weight_format)
			formats.weight = options.weight_format;
		if (codec)
			ret = bench_codec(&options, (enum xrnpe_format)format, fast);
		else
			ret = bench_products(&options, conv, &formats, fast, plain, &blas);
		fflush(stdout);
	}
	xrnpe_datapath_free(fast);
	xrnpe_datapath_free(plain);
	return ret ? 1 : 0;
}
