/*
 * XR-NPE neural co-processor
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_MISC_XRNPE_H
#define HW_MISC_XRNPE_H

#include "qom/object.h"

#define TYPE_XRNPE "xrnpe"
OBJECT_DECLARE_SIMPLE_TYPE(XRNPEState, XRNPE)

#define XRNPE_FDT_COMPAT "xrnpe,xrnpe-1.0"

#endif
