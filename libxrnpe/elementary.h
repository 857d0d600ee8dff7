/* SPDX-License-Identifier: MIT */
/*
 * Elementary functions with the same bits on every host.
 *
 * What a network computes on the CPU must not depend on C library, compiler or vectors.
 * So these functions consist of binary64's + - * / and square root, in a fixed order and
 * each rounded to nearest (hence -ffp-contract=off), and of operations on integers. They
 * need IEEE 754 arithmetic as a program finds it at its start. Which floating-point
 * exceptions they raise is not defined; errno they leave alone.
 *
 * An error in binary64 is below 2^-49 of the result (GELU_TANH: 2^-42), and a result in
 * binary32 is that, rounded once: the nearest one, or of two that are as good as equally
 * near the other. Its error is below 0.500001 units in the last place. tests/elementary.c
 * measures both, `make check-elementary` for all 2^32 arguments.
 *
 * A NaN gives the device's NaN, 0x7fc00000, and so does what has no real value, as the
 * logarithm of -1. Infinities give the limit, if there is one: GELU of -infinity is -0.
 * What is a multiple of x near 0, as tanh(x), is -0 for -0.
 *
 * All may be called by several threads at once.
 */
#ifndef XRNPE_ELEMENTARY_H
#define XRNPE_ELEMENTARY_H

#include <stdbool.h>
#include <stddef.h>

/* F(identifier, name, what computes it: elementary_vector.h) */
#define ELEMENTARY_FUNCTIONS(F)									\
	F(SQRT, "sqrt", square_root)								\
	F(EXP, "exp", exponential)								\
	F(EXPM1, "expm1", exponential_minus_1)		/* e^x - 1, of Elu */			\
	F(LOG, "log", logarithm)								\
	F(SOFTPLUS, "softplus", softplus)		/* log(1 + e^x) */			\
	F(SIGMOID, "sigmoid", sigmoid)			/* 1 / (1 + e^-x) */			\
	F(SILU, "silu", silu)				/* x sigmoid(x) */			\
	F(TANH, "tanh", hyperbolic_tangent)							\
	F(ERF, "erf", error_function)								\
	F(GELU, "gelu", gelu)				/* x (1 + erf(x / sqrt(2))) / 2 */	\
	F(GELU_TANH, "gelu_tanh", gelu_tanh)							\
	F(HARD_SWISH, "hard_swish", hard_swish)		/* x max(0, min(1, x / 6 + 1 / 2)) */

enum elementary {
#define ELEMENTARY_ID(id, name, function) ELEMENTARY_##id,
	ELEMENTARY_FUNCTIONS(ELEMENTARY_ID)
	ELEMENTARY_COUNT
};

/** The function's name, as in "gelu_tanh". */
const char *elementary_name(enum elementary function);

/**
 * elementary_map() - replace values by what a function makes of them
 * @function: the function
 * @values: arguments; on return results, each rounded to binary32 once
 * @count: how many
 */
void elementary_map(enum elementary function, float *values, size_t count);

/**
 * elementary_value() - one value in binary64, for what is to be rounded to a format of the device
 * @function: the function
 * @x: its argument
 *
 * Accurate as said above where the result's magnitude is 2^-1000 or more. Encoded as a
 * posit or FP4 it is rounded correctly, unless the exact result is as close to a tie.
 */
double elementary_value(enum elementary function, double x);

/**
 * elementary_pow() - powers in binary32
 * @bases: replaced by the results
 * @exponents: of each
 * @step: from an exponent to the next one: 1, or 0 if all are the same
 * @count: how many bases
 *
 * Special cases are those of pow() in C11, F.10.4.4, where 1 to the power of a NaN and a
 * NaN to that of 0 are 1. The error is below 0.50001 units in the last place. Results
 * that binary32 has are exact; those in the middle between two go to the even one.
 */
void elementary_pow(float *bases, const float *exponents, size_t step, size_t count);

/**
 * elementary_one_nan() - replace every NaN by the device's, 0x7fc00000
 * @values: results of binary32 operations, which CPUs give different NaNs
 * @count: how many
 */
void elementary_one_nan(float *values, size_t count);

/* ---- by instruction set -------------------------------------------------------- */

/** Values that a function of an instruction set takes at once. */
#define ELEMENTARY_BLOCK 32

/** The functions for an instruction set. All give the same bits. */
struct elementary_vectors {
	const char *name;
	bool (*supported)(void);
	void (*const *maps)(float *block);	/**< by enum elementary */
	void (*pow)(float *bases, const float *exponents);
};

/** Slowest first, NULL-terminated: the last one that is supported is used. */
extern const struct elementary_vectors *const elementary_vectors[];

#endif
