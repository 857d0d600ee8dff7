# SPDX-License-Identifier: MIT
#
# The driver on its way into the kernel.

.PHONY: patches
## patches: the driver as a series for the kernel's lists, into build/patches; ARGS of git format-patch
patches:
	@tools/upstream/patches $(B)/patches $(ARGS)
