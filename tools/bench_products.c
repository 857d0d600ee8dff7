// SPDX-License-Identifier: MIT
/*
 * How fast products are, beside OpenBLAS, and beside what the CPU's instructions or its memory
 * allow. All take turns, and of each the fastest turn counts, so that whatever else the machine
 * does meanwhile hits all of them.
 */
#include <pthread.h>
#include <stdio.h>

#include "bench.h"
#include "console.h"
#include "graph/operators/vectors.h"
#include "peak.h"

#define PEAK_TURNS 20000		/* a millisecond or so */

static const struct bench_layer layers[] = {
	{ "conv 3x3x64x64", 56, 64, 1, 3 },
	{ "conv 1x1x64x64", 56, 64, 1, 1 },
	{ "depthwise 3x3x64", 56, 64, 64, 3 },
};

static double turn(struct xrnpe_datapath *datapath, const struct bench_work *work)
{
	struct xrnpe_fault fault;
	uint32_t status = 0;
	double start = seconds_now();

	if (xrnpe_datapath_run(datapath, &work->cmd, 0, work->memory, NULL, &status, &fault))
		return -1;
	return seconds_now() - start;
}

/* A thread's part of what is read. */
struct part {
	const uint8_t *bytes;
	size_t count;
	uint64_t sum;
};

static double turn_peak(const struct xrnpe_peak *peak)
{
	double start = seconds_now();

	peak->spin(PEAK_TURNS);
	return seconds_now() - start;
}

/* Sums of 64-bit words in the widest vectors: memory is slower than that. */
VECTORS
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

static double turn_read(const struct bench_work *work, unsigned int threads)
{
	const uint8_t *bytes = work->memory[XRNPE_OPERAND_WEIGHT];
	struct part parts[BENCH_MAX_THREADS];
	pthread_t other[BENCH_MAX_THREADS];
	unsigned int started = 1;
	double start = seconds_now();

	for (unsigned int i = 0; i < threads; i++)
		parts[i] = (struct part){ .bytes = bytes + work->read / threads * i,
					  .count = work->read / threads };
	while (started < threads && !pthread_create(&other[started], NULL, sum_words, &parts[started]))
		started++;
	sum_words(&parts[0]);
	for (unsigned int i = 1; i < started; i++)
		pthread_join(other[i], NULL);
	return started == threads ? seconds_now() - start : 1e9;
}

static double rate(const struct bench_work *work, double seconds)
{
	return (double)xrnpe_cmd_macs(&work->cmd) / seconds * 1e-9;
}

/* A column of a row: @key in JSON. Zero: not measured. */
static void put(const struct bench_options *options, const char *key, double value, int decimals)
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

/* Seconds, the least: of the fast kernel, of sgemm, of what limits it, of the plain kernel. */
struct times {
	double ours, theirs, most, slow;
};

/* The instruction that @formats multiply with, or NULL. */
static const struct xrnpe_peak *find_peak(const struct xrnpe_datapath *fast,
					  const struct bench_formats *formats)
{
	/* That of the wider format. */
	return xrnpe_peak_find(xrnpe_datapath_kernel(fast), formats->input > formats->weight ?
			       formats->input : formats->weight);
}

static int take_times(const struct bench_options *options, struct xrnpe_datapath *fast,
		      struct xrnpe_datapath *plain, const struct bench_blas *blas,
		      const struct xrnpe_peak *peak, const struct bench_work *work,
		      const struct bench_work *small, struct times *times)
{
	double start = seconds_now();

	*times = (struct times){ 1e9, 1e9, 1e9, 1e9 };
	for (int i = 0; i < BENCH_TURNS || seconds_now() - start < BENCH_SECONDS; i++) {
		double seconds = turn(fast, work);

		if (seconds < 0)
			return bench_fail("run");
		bench_keep_least(&times->ours, seconds);
		/* The convolutions that no single sgemm does have none beside them. */
		seconds = work->cmd.opcode == XRNPE_OP_MATMUL || work->cmd.image.groups == 1 ?
			  bench_turn_blas(blas, work) : -1;
		if (seconds >= 0)
			bench_keep_least(&times->theirs, seconds);
		if (work->read)
			bench_keep_least(&times->most, turn_read(work, options->threads));
		else if (peak)
			bench_keep_least(&times->most, turn_peak(peak));
		if (i < 2)
			bench_keep_least(&times->slow, turn(plain, small));
	}
	return 0;
}

/* Billions of bytes or of products a second that are the limit; 0: not known. */
static double limit(const struct bench_options *options, const struct xrnpe_peak *peak,
		    const struct bench_work *work, double seconds)
{
	if (seconds == 1e9)
		return 0;
	return (work->read ? (double)work->read : (double)options->threads * PEAK_TURNS * peak->macs) /
	       seconds * 1e-9;
}

/* A row: the fast kernel, sgemm and the CPU's peak on @work, the plain kernel on @small. */
static int measure(const struct bench_options *options, struct xrnpe_datapath *fast,
		   struct xrnpe_datapath *plain, const struct bench_blas *blas,
		   const struct bench_formats *formats, const struct bench_work *work,
		   const struct bench_work *small)
{
	const char *kernel = xrnpe_datapath_kernel(fast), *input = xrnpe_format_name(formats->input);
	const char *weight = xrnpe_format_name(formats->weight);
	const struct xrnpe_peak *peak = find_peak(fast, formats);
	double ours, theirs, read, most, slow;
	struct times times;

	if (take_times(options, fast, plain, blas, peak, work, small, &times))
		return -1;
	ours = rate(work, times.ours);
	theirs = times.theirs < 1e9 ? rate(work, times.theirs) : 0;
	read = (double)work->read / times.ours * 1e-9;
	most = limit(options, peak, work, times.most);
	slow = rate(small, times.slow);
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

int bench_products(const struct bench_options *options, bool conv,
		   const struct bench_formats *formats, struct xrnpe_datapath *fast,
		   struct xrnpe_datapath *plain, const struct bench_blas *blas)
{
	size_t rows = conv ? sizeof(layers) / sizeof(layers[0]) : 1;
	/* Enough for the plain kernel. */
	size_t m = options->m < 32 ? options->m : 32, n = options->n < 1024 ? options->n : 1024;
	int ret = 0;

	for (size_t i = 0; i < rows && !ret; i++) {
		struct bench_work work = { 0 }, small = { 0 };

		if (conv)
			ret = bench_make_conv(&work, options, formats, &layers[i], layers[i].size) ||
			      bench_make_conv(&small, options, formats, &layers[i], 8);
		else
			ret = bench_make_gemm(&work, options, formats, options->m, options->n) ||
			      bench_make_gemm(&small, options, formats, m, n);
		if (!ret)
			ret = measure(options, fast, plain, blas, formats, &work, &small);
		bench_dispose(&work);
		bench_dispose(&small);
	}
	return ret;
}
