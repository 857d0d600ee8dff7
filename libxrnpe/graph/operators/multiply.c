// SPDX-License-Identifier: MIT
/* Sums of products for any CPU, and for those that have more the choice. */
#define VECTOR 16
#define TARGET
#define ROWS 4
#define WIDTH 2

#include "multiply_vector.h"

static bool supported(void)
{
	return true;
}

static const struct multiply_vectors multiply_plain = { "plain", supported, multiply_rows };

#ifdef __x86_64__
extern const struct multiply_vectors multiply_avx2, multiply_avx512;
#endif

const struct multiply_vectors *const multiply_vectors[] = {
	&multiply_plain,
#ifdef __x86_64__
	&multiply_avx2, &multiply_avx512,
#endif
	NULL
};

void multiply(const struct multiply_taps *taps, unsigned int rows, size_t columns, float *out,
	      size_t out_stride)
{
	const struct multiply_vectors *vectors = multiply_vectors[0];

	for (int i = 1; multiply_vectors[i]; i++) {
		if (multiply_vectors[i]->supported())
			vectors = multiply_vectors[i];
	}
	vectors->multiply(taps, rows, columns, out, out_stride);
}
