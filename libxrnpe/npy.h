/* SPDX-License-Identifier: MIT */
/* .npy files in memory, for archives of them. */
#ifndef XRNPE_NPY_H
#define XRNPE_NPY_H

#include "xrnpe.h"

/* xrnpe_npy_read() of @size bytes; @name is what messages call them. */
int npy_parse(const char *name, const unsigned char *bytes, size_t size,
	      struct xrnpe_array *array, struct xrnpe_error *error);

/* Room for what npy_header() writes. */
#define NPY_HEADER_MAX 512

/* Write what comes before the elements of @array as float32; returns its size. */
size_t npy_header(const struct xrnpe_array *array, char header[NPY_HEADER_MAX]);

#endif
