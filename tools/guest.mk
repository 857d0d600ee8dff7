# SPDX-License-Identifier: MIT
#
# Programs for the virtual SoC, cross-compiled into $(B)/arm64 by the rules that
# build the host's, in a make of its own.

GUEST_CROSS ?= aarch64-linux-gnu-
GUEST_TESTS := $(patsubst %.c,%,$(wildcard tests/guest/*.c))

# The tests use the kernel's harness; its headers are not held to our warnings.
$(GUEST_TESTS:%=$(B)/%.o): CPPFLAGS += -isystem $(KSELFTEST) \
	$(shell $(PKG_CONFIG) --cflags libdrm)
$(GUEST_TESTS:%=$(B)/%): $(B)/%: $(B)/%.o
	$(CC) $(LDFLAGS) -o $@ $^

guest-make = +@sysroot=$$(tools/build-sysroot) && \
	$(1) $(MAKE) --no-print-directory B=$(B)/arm64 CC="$(GUEST_CROSS)gcc --sysroot=$$sysroot" \
		AR=$(GUEST_CROSS)ar SANITIZE= PKG_CONFIG="env PKG_CONFIG_SYSROOT_DIR=$$sysroot \
		PKG_CONFIG_LIBDIR=$$sysroot/usr/lib/aarch64-linux-gnu/pkgconfig pkg-config"

.PHONY: guest guest-tests vm
## guest: the command line for arm64, build/arm64/xrnpe
guest:
	$(call guest-make,) $(B)/arm64/xrnpe

guest-tests:
	$(call guest-make,kernel=$$(tools/build-kernel 7.3 fast) &&) \
		KSELFTEST="$$kernel/tools/testing/selftests" $(GUEST_TESTS:%=$(B)/arm64/%)

## vm: a shell in the virtual SoC, with the driver and the command line; Ctrl-A x leaves
vm: guest
	@tools/vm --shell --add $(B)/arm64/xrnpe $(VM_ARGS)
