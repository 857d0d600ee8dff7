/* SPDX-License-Identifier: MIT */
/*
 * AMX's instructions. Tiles are named by a number that is a literal. In assembly
 * because the intrinsics of GCC 12 do not tell the compiler that loads read memory.
 */
#ifndef XRNPE_DATAPATH_AMX_H
#define XRNPE_DATAPATH_AMX_H

#include <stdbool.h>
#include <stdint.h>

/* For tile_configure(): all eight tiles have 16 rows of 64 bytes. */
static const struct {
	uint8_t palette, start_row, zero[14];
	uint16_t row_bytes[16];
	uint8_t rows[16];
} whole_tiles = {
	.palette = 1,
	.row_bytes = { 64, 64, 64, 64, 64, 64, 64, 64 },
	.rows = { 16, 16, 16, 16, 16, 16, 16, 16 },
};

#ifndef tile_configure		/* tests/unit/amx_model.c brings a model */

#include <asm/prctl.h>
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#define tile_configure(config) __asm__ volatile("ldtilecfg %0" : : "m"(*(config)))
#define tile_release() __asm__ volatile("tilerelease")
#define tile_zero(tile) __asm__ volatile("tilezero %%tmm" #tile : :)
#define tile_load(tile, from, pitch)							\
	__asm__ volatile("tileloadd (%0,%1), %%tmm" #tile : : "r"(from), "r"(pitch) : "memory")
#define tile_store(tile, to, pitch)							\
	__asm__ volatile("tilestored %%tmm" #tile ", (%0,%1)" : : "r"(to), "r"(pitch) : "memory")
/* sum += a b: signed bytes, 32-bit sums that wrap. */
#define tile_dot(sum, a, b) __asm__ volatile("tdpbssd %%tmm" #b ", %%tmm" #a ", %%tmm" #sum : :)
/* The same of bfloat16, in binary32, rounded to nearest. */
#define tile_dot_floats(sum, a, b)							\
	__asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #sum : :)

/* Whether the CPU has tiles for bytes and floats and the kernel lets this process use them. */
static inline bool tile_supported(void)
{
	const unsigned int features = 1u << 22 | 3u << 24;	/* AMX-BF16, AMX-TILE, AMX-INT8 */
	const unsigned int tile_data = 18;
	unsigned int a, b, c, d;

	/* The kernel gives out only what it has enabled in XCR0. */
	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & features) == features &&
	       !syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, tile_data);
}

#endif

#endif
