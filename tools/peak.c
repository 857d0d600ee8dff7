// SPDX-License-Identifier: MIT
/*
 * Loops of one multiply-accumulate instruction on as many accumulators as hide its
 * latency. In assembly, so that they stay what they are. What the registers hold
 * does not matter, as the time of these instructions does not depend on it.
 */
#include <string.h>

#ifdef __x86_64__
#include "kernels/amx.h"
#endif
#include "peak.h"

#define ACCUMULATORS 12

#ifdef __x86_64__
#define SPIN(name, code)								\
	static void name(unsigned long turns)						\
	{										\
		__asm__ volatile("1:\n\t"						\
				 ".irp i, 4,5,6,7,8,9,10,11,12,13,14,15\n\t"		\
				 code "\n\t"						\
				 ".endr\n\t"						\
				 "dec %0\n\t"						\
				 "jnz 1b\n\t"						\
				 "vzeroupper" : "+r"(turns) : :				\
				 "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", \
				 "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",  \
				 "xmm14", "xmm15");					\
	}
SPIN(vpdpbusd, "vpdpbusd %%zmm0, %%zmm1, %%zmm\\i")
SPIN(vpdpwssd, "vpdpwssd %%zmm0, %%zmm1, %%zmm\\i")
SPIN(vfmadd_zmm, "vfmadd231pd %%zmm0, %%zmm1, %%zmm\\i")
SPIN(vfmadd_ymm, "vfmadd231pd %%ymm0, %%ymm1, %%ymm\\i")
SPIN(vpmaddubsw, "vpmaddubsw %%ymm0, %%ymm1, %%ymm2\n\tvpaddw %%ymm2, %%ymm\\i, %%ymm\\i")
SPIN(vpmaddwd, "vpmaddwd %%ymm0, %%ymm1, %%ymm2\n\tvpaddd %%ymm2, %%ymm\\i, %%ymm\\i")

#define TILES 4

static void tdpbssd(unsigned long turns)
{
	tile_configure(&whole_tiles);
	while (turns--) {
		tile_dot(0, 4, 6);
		tile_dot(1, 4, 7);
		tile_dot(2, 5, 6);
		tile_dot(3, 5, 7);
	}
	tile_release();
}
#endif

#ifdef __AARCH64EL__
#define SPIN(name, code)								\
	static void name(unsigned long turns)						\
	{										\
		__asm__ volatile("1:\n\t"						\
				 ".irp i, 16,17,18,19,20,21,22,23,24,25,26,27\n\t"	\
				 code "\n\t"						\
				 ".endr\n\t"						\
				 "subs %0, %0, #1\n\t"					\
				 "b.ne 1b" : "+r"(turns) : :				\
				 "cc", "v0", "v1", "v16", "v17", "v18", "v19", "v20", "v21",  \
				 "v22", "v23", "v24", "v25", "v26", "v27");		\
	}
__attribute__((target("arch=armv8.2-a+dotprod")))
SPIN(sdot, "sdot v\\i\\().4s, v0.16b, v1.16b")
SPIN(smlal, "smlal v\\i\\().4s, v0.4h, v1.4h")
SPIN(fmla, "fmla v\\i\\().2d, v0.2d, v1.2d")
#endif

static const struct xrnpe_peak peaks[] = {
#ifdef __x86_64__
	{ "amx", XRNPE_FORMAT_P8, TILES * 16 * 16 * 64, tdpbssd },
	{ "amx", XRNPE_FORMAT_P16, 8 * ACCUMULATORS, vfmadd_zmm },
	{ "avx512-vnni", XRNPE_FORMAT_FP4, 64 * ACCUMULATORS, vpdpbusd },
	{ "avx512-vnni", XRNPE_FORMAT_P8, 32 * ACCUMULATORS, vpdpwssd },
	{ "avx512-vnni", XRNPE_FORMAT_P16, 8 * ACCUMULATORS, vfmadd_zmm },
	{ "avx2", XRNPE_FORMAT_FP4, 32 * ACCUMULATORS, vpmaddubsw },
	{ "avx2", XRNPE_FORMAT_P8, 16 * ACCUMULATORS, vpmaddwd },
	{ "avx2", XRNPE_FORMAT_P16, 4 * ACCUMULATORS, vfmadd_ymm },
#endif
#ifdef __AARCH64EL__
	{ "neon-dotprod", XRNPE_FORMAT_FP4, 16 * ACCUMULATORS, sdot },
	{ "neon-dotprod", XRNPE_FORMAT_P8, 4 * ACCUMULATORS, smlal },
	{ "neon-dotprod", XRNPE_FORMAT_P16, 2 * ACCUMULATORS, fmla },
	{ "neon", XRNPE_FORMAT_P8, 4 * ACCUMULATORS, smlal },
	{ "neon", XRNPE_FORMAT_P16, 2 * ACCUMULATORS, fmla },
#endif
	{ .kernel = NULL },
};

const struct xrnpe_peak *xrnpe_peak_find(const char *kernel, enum xrnpe_format format)
{
	for (const struct xrnpe_peak *peak = peaks; peak->kernel; peak++) {
		if (!strcmp(kernel, peak->kernel) && format <= peak->widest)
			return peak;
	}
	return NULL;
}
