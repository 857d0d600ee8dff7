/* SPDX-License-Identifier: MIT */
/* NumPy's .npz files: zip archives of .npy files, one an array. */
#ifndef XRNPE_NPZ_H
#define XRNPE_NPZ_H

#include "xrnpe.h"

/* Whether a file is to be one, by its name. */
bool is_npz(const char *path);

/*
 * Read the array called @name, as xrnpe_npy_read() reads a file. Stored and deflated members
 * are known, their checksums are checked. Returns 0; -EINVAL: not such a file, damaged, or
 * it has no array of that name (the message says which it has); else as xrnpe_npy_read().
 */
int npz_read(const char *path, const char *name, struct xrnpe_array *array,
	     struct xrnpe_error *error);

/*
 * Write @count arrays, stored. The file appears at @path only when it is complete; the same
 * arrays always give the same bytes. It has to be one in which can be seeked.
 */
int npz_write(const char *path, unsigned int count, const char *const *names,
	      const struct xrnpe_array *const *arrays, struct xrnpe_error *error);

#endif
