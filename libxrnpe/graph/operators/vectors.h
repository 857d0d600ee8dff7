/* SPDX-License-Identifier: MIT */
/* Loops for the vectors that the CPU has. */
#ifndef XRNPE_VECTORS_H
#define XRNPE_VECTORS_H

/*
 * Before a static function, as clang 14 gives others names that no other file finds: it is compiled for
 * several instruction sets, and the best one is taken where the program runs. All give the same bits,
 * since sums and products are not contracted.
 */
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define VECTORS __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define VECTORS	/* sanitizers run before the choice can be made */
#endif

#endif
