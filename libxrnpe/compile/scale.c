// SPDX-License-Identifier: MIT
/* Which scale suits values in a format? */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "error.h"
#include "operators/vectors.h"

/* Half octaves that are tried above and below a size. */
#define UP 8
#define DOWN 12

double scale_least(enum xrnpe_format format)
{
	/* The code after zero. */
	return xrnpe_decode(format, 1);
}

/* Sum of importance * (value - nearest representable)^2 at @scale. */
VECTORS
static double loss_at(enum xrnpe_format format, const float *values, const double *importance,
		      size_t count, float scale, bool zero, float *scratch)
{
	const float least = zero ? (float)scale_least(format) / 2 : 0;
	float *rounded = scratch;
	void *codes = scratch + count;
	uint32_t status = 0;
	double loss = 0;

	for (size_t i = 0; i < count; i++) {
		float value = values[i] / scale;

		rounded[i] = fabsf(value) < least ? 0 : value;
	}
	xrnpe_encode_row(format, rounded, codes, count, &status);
	xrnpe_decode_row(format, codes, rounded, count);
	for (size_t i = 0; i < count; i++) {
		double error = (double)values[i] - (double)rounded[i] * scale;

		loss += error * error * (importance ? importance[i] : 1);
	}
	return loss;
}

float scale_find(enum xrnpe_format format, const float *values, const double *importance,
		 size_t count, bool zero, float *scratch)
{
	double square = 0, rms, best = 0, least = INFINITY;
	size_t nonzero = 0;

	for (size_t i = 0; i < count; i++) {
		square += (double)values[i] * values[i];
		nonzero += values[i] != 0;
	}
	if (!nonzero)
		return 1;
	rms = sqrt(square / (double)nonzero);
	if (rms < GRAPH_MIN_SCALE || rms > GRAPH_MAX_SCALE)
		return rms > GRAPH_MAX_SCALE ? GRAPH_MAX_SCALE : GRAPH_MIN_SCALE;

	/*
	 * The unit where the format is finest lies somewhere about the values' size. Look
	 * there, above and below in steps of half an octave, then more closely about the best.
	 * Of equals the first is taken: it has room for larger values than were seen.
	 */
	for (int step = 0; step <= UP + DOWN; step++) {
		double octaves = (step <= UP ? step : UP - step) / 2.0;
		double loss = loss_at(format, values, importance, count,
				      (float)(rms * exp2(octaves)), zero, scratch);

		if (loss < least) {
			least = loss;
			best = octaves;
		}
	}
	for (double step = 0.25; step > 0.05; step /= 2) {
		double centre = best;

		for (int side = -1; side <= 1; side += 2) {
			double loss = loss_at(format, values, importance, count,
					      (float)(rms * exp2(centre + side * step)), zero,
					      scratch);

			if (loss < least) {
				least = loss;
				best = centre + side * step;
			}
		}
	}
	return (float)(rms * exp2(best));
}

/*
 * Tables of 16-bit codes are large, and those of a function are the same where scales are.
 * What is read and written by them has one of few scales: posits have precision to spare.
 */
static void share_tables(struct compiler *compiler)
{
	for (uint32_t n = 0; n < compiler->graph->node_count; n++) {
		const struct place *place = &compiler->nodes[n].place;

		if (place->kind != PLACE_TABLE)
			continue;
		for (int out = 0; out < 2; out++) {
			uint32_t tensor = out ? compile_output(compiler, n) : place->reads[0].tensor;
			float *scale = &compiler->tensors[compiler->tensors[tensor].root].scale[XRNPE_FORMAT_P16];

			*scale = (float)exp2(8 * round(log2(*scale) / 8));
		}
	}
}

int scale_tensors(struct compiler *compiler)
{
	float *scratch = malloc(2 * COMPILE_SAMPLES * sizeof(*scratch));
	int ret;

	if (!scratch)
		return xrnpe_fail_memory(compiler->error);
	for (uint32_t i = 0; i < compiler->graph->tensor_count; i++) {
		struct tensor_plan *plan = &compiler->tensors[i];

		for (unsigned int f = 0; plan->samples && plan->root == i && f < COMPILE_FORMATS; f++)
			plan->scale[f] = scale_find(f, plan->samples, NULL, plan->sample_count, false,
						    scratch);
	}
	share_tables(compiler);
	ret = given_take_scales(compiler);
	for (uint32_t i = 0; i < compiler->graph->tensor_count; i++)
		memcpy(compiler->tensors[i].scale, compiler->tensors[compiler->tensors[i].root].scale,
		       sizeof(compiler->tensors[i].scale));
	free(scratch);
	return ret;
}
