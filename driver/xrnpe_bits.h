/* SPDX-License-Identifier: MIT */
/*
 * The kernel's names for bits, for those who use xrnpe_regs.h outside of a kernel: QEMU's
 * device, tools and tests. It is not for a kernel tree.
 */
#ifndef _XRNPE_BITS_H_
#define _XRNPE_BITS_H_

#ifndef BIT
#define BIT(n)			(1u << (n))
#endif
/* Bits @low to @high of a word. */
#define GENMASK(high, low)	(~0u >> (31 - (high)) & ~0u << (low))
/* @value where @mask has its bits. */
#define FIELD_PREP(mask, value)	((value) * ((mask) & -(mask)))

#endif
