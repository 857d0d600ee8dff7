# SPDX-License-Identifier: MIT
#
# Test programs and the suites of `make check`. A block a part.

# ---- datapath ------------------------------------------------------------
DATAPATH_TESTS := $(addprefix tests/unit/,datapath datapath_format datapath_check datapath_run)
$(foreach t,$(DATAPATH_TESTS) tests/unit/datapath_vectors tests/reference/reference,\
	$(eval CFLAGS_$(t) := -Itests))
CHECK_LIBS = $(shell $(PKG_CONFIG) --libs check)

$(B)/tests/unit/datapath: $(DATAPATH_TESTS:%=$(B)/%.o) $(B)/tests/reference/reference.o $(DATAPATH_LIB)
	$(CC) $(LDFLAGS) -o $@ $^ $(CHECK_LIBS) -lm

$(B)/tests/unit/datapath_vectors: $(B)/tests/unit/datapath_vectors.o $(DATAPATH_LIB)
	$(CC) $(LDFLAGS) -o $@ $^ $(CHECK_LIBS) -lm

SUITES += unit-datapath oracle-vectors
SUITE_unit-datapath := $(B)/tests/unit/datapath
NEEDS_unit-datapath := $(B)/tests/unit/datapath
SUITE_oracle-vectors := $(B)/tests/unit/datapath_vectors
NEEDS_oracle-vectors := $(B)/tests/unit/datapath_vectors

UNIT_SUITES += unit-datapath oracle-vectors

# Rebuilds what the unit suites need in a directory of its own.
.PHONY: check-unit check-asan check-ubsan
check-unit: $(foreach s,$(UNIT_SUITES),$(NEEDS_$(s)))
	@tests/run $(foreach s,$(UNIT_SUITES),'$(s)=$(SUITE_$(s))')

## check-asan, check-ubsan: the unit suites under a sanitizer
check-asan:
	@$(MAKE) --no-print-directory check-unit B=build-asan \
		SANITIZE="-fsanitize=address -fno-omit-frame-pointer"
check-ubsan:
	@$(MAKE) --no-print-directory check-unit B=build-ubsan \
		SANITIZE="-fsanitize=undefined -fno-sanitize-recover=undefined"

# ---- qtest: the QEMU device ----------------------------------------------
SUITES += qtest
SUITE_qtest := QTEST_QEMU_BINARY=$(QEMU) $(B)/qemu/xrnpe-test --tap -k
NEEDS_qtest := qemu

# ---- virtual SoC ---------------------------------------------------------
SUITES += vm
SUITE_vm := tests/vm.sh

GUESTS := 7.3-fast 6.12-fast 7.3-debug 6.12-debug
SUITES += $(GUESTS:%=guest-%)
define guest-suite
SUITE_guest-$(1) := tests/guest.sh $(subst -, ,$(1)) $(GUEST_TESTS:%=$(B)/arm64/%)
NEEDS_guest-$(1) := guest-tests
endef
$(foreach g,$(GUESTS),$(eval $(call guest-suite,$(g))))
