# SPDX-License-Identifier: MIT
#
# XR-NPE: kernel driver, user library, tools and virtual device.
# `make help` lists the targets. Each directory's build.mk says what it builds.

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:

B := build
CC ?= cc
ifeq ($(origin CC),default)
CC := cc
endif
AR ?= ar
PKG_CONFIG ?= pkg-config
OPT ?= -O2
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wvla -Wundef -Wno-unused-parameter
ifneq ($(WERROR),0)
WARNINGS += -Werror
endif
CPPFLAGS += -D_GNU_SOURCE -Iuapi -Iqemu-device/datapath
CFLAGS += -std=c11 $(OPT) -g $(WARNINGS) -fPIC -pthread $(SANITIZE)
LDFLAGS += -pthread $(SANITIZE)

.PHONY: all
all:

# Programs that print TAP, started by `make check` in this order: SUITES names them,
# SUITE_<name> is the command, NEEDS_<name> what must be built first. Of these TIMED, which
# wait for guests, come before the others, see tests/run.
SUITES :=
TIMED :=

include qemu-device/datapath/build.mk
include $(wildcard driver/build.mk libxrnpe/build.mk tools/build.mk tools/guest.mk tools/demo.mk tools/packaging/build.mk tools/upstream/build.mk qemu-device/build.mk tests/build.mk)

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(CFLAGS_$*) -MMD -MP -c -o $@ $<

# Not those of trees that a suite builds meanwhile.
-include $(shell find $(B) \( -path $(B)/deb -o -path $(B)/upstream \) -prune -o \
	-name '*.d' -type f -print 2>/dev/null)

.PHONY: check run-suites clean help
## check: all tests; a subset with SUITES="unit-datapath ...", one at a time with JOBS=1
check:
	@tools/setup-host packaging upstream
	@$(MAKE) --no-print-directory run-suites

run-suites: all $(foreach s,$(SUITES),$(NEEDS_$(s)))
	@TIMED='$(TIMED)' tests/run $(B)/logs $(foreach s,$(SUITES),'$(s)=$(SUITE_$(s))')

## clean: remove build/ (what is cached under ~/.cache/xrnpe stays)
clean:
	rm -rf $(B)

## help: this list
help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)
