# SPDX-License-Identifier: MIT
#
# The kernel module. The kernel's make would leave objects beside the sources,
# so it gets a directory of links, one a kernel.

KDIR ?= /lib/modules/$(shell uname -r)/build
MODULES_OUT ?= $(B)/modules/$(notdir $(realpath $(KDIR)))
MODULES_SRC := Kbuild $(patsubst ./%,%,$(wildcard driver/Kbuild driver/Makefile driver/*.[ch] driver/compat/*/*.h uapi/drm/*.h))

.PHONY: modules
## modules: xrnpe.ko for the kernel tree KDIR, into MODULES_OUT (with ARCH= CROSS_COMPILE= W=1 C=1)
modules:
	@test -f '$(KDIR)/Makefile' || { echo "make modules: KDIR=$(KDIR) is no kernel tree" >&2; exit 1; }
	@for f in $(MODULES_SRC); do \
		mkdir -p $(MODULES_OUT)/$$(dirname $$f) && \
		ln -sfn $(CURDIR)/$$f $(MODULES_OUT)/$$f || exit; \
	done
	+@unset CC AR CFLAGS CPPFLAGS LDFLAGS; \
	$(MAKE) -C $(KDIR) M=$(abspath $(MODULES_OUT)) KCFLAGS=-Werror modules
	@ls $(MODULES_OUT)/driver/xrnpe.ko
