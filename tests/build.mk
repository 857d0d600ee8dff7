# SPDX-License-Identifier: MIT
#
# Test programs and the suites of `make check`. A block a part.

# ---- the source tree -----------------------------------------------------
SUITES += tree
SUITE_tree := tests/tree

# ---- networks to try it on -------------------------------------------------
SUITES += networks
SUITE_networks := tests/networks $(B)/xrnpe
NEEDS_networks := $(B)/xrnpe

# The same on the driver's device.
SUITES += networks-guest
TIMED += networks-guest
SUITE_networks-guest := tests/networks-guest 7.3 fast
NEEDS_networks-guest := $(B)/xrnpe guest

# ---- datapath ------------------------------------------------------------
DATAPATH_TESTS := $(addprefix tests/unit/,datapath datapath_format datapath_codec \
	datapath_check datapath_names datapath_run datapath_prepared datapath_output \
	datapath_elementwise datapath_fixed datapath_cost) tests/fuzz/command
$(foreach t,$(DATAPATH_TESTS) tests/unit/datapath_vectors tests/unit/datapath_cancel,\
	$(eval CFLAGS_$(t) := -Itests))
CHECK_LIBS = $(shell $(PKG_CONFIG) --libs check)

# Arithmetic, rules and costs once more.
REFERENCE := $(addprefix tests/reference/,reference check cost)
$(foreach t,$(REFERENCE),$(eval CFLAGS_$(t) := -Itests))

$(B)/tests/unit/datapath: $(DATAPATH_TESTS:%=$(B)/%.o) $(REFERENCE:%=$(B)/%.o) $(DATAPATH_LIB)
	$(CC) $(LDFLAGS) -o $@ $^ $(CHECK_LIBS) -lm

$(B)/tests/unit/datapath_vectors: $(B)/tests/unit/datapath_vectors.o $(DATAPATH_LIB)
	$(CC) $(LDFLAGS) -o $@ $^ $(CHECK_LIBS) -lm

# It has the place of the library's xrnpe_cancelled(), and counts what the datapath executes.
COUNTED_LIB := $(B)/counted/libdatapath.a
$(B)/counted/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -fsanitize-coverage=trace-pc -MMD -MP -c -o $@ $<

$(COUNTED_LIB): $(DATAPATH_SOURCES:%.c=$(B)/counted/%.o)
	@rm -f $@
	$(AR) rcs $@ $^

$(B)/tests/unit/datapath_cancel: $(B)/tests/unit/datapath_cancel.o $(COUNTED_LIB)
	$(CC) $(LDFLAGS) -o $@ $^ $(CHECK_LIBS) -lm

# The AMX kernel with a model of AMX, in the place of the library's.
$(B)/tests/unit/datapath_amx: $(B)/tests/unit/amx_model.o $(DATAPATH_TESTS:%=$(B)/%.o) \
		$(REFERENCE:%=$(B)/%.o) $(DATAPATH_LIB)
	$(CC) $(LDFLAGS) -o $@ $^ $(CHECK_LIBS) -lm

SUITES += unit-datapath unit-datapath-amx unit-datapath-cancel oracle-vectors
SUITE_unit-datapath := $(B)/tests/unit/datapath
NEEDS_unit-datapath := $(B)/tests/unit/datapath
# The tag is Check's: the tests of kernels for products; of which the others were tested before.
SUITE_unit-datapath-amx := CK_INCLUDE_TAGS=kernel XRNPE_TEST_KERNEL=amx $(B)/tests/unit/datapath_amx
NEEDS_unit-datapath-amx := $(B)/tests/unit/datapath_amx
SUITE_unit-datapath-cancel := $(B)/tests/unit/datapath_cancel
NEEDS_unit-datapath-cancel := $(B)/tests/unit/datapath_cancel
SUITE_oracle-vectors := $(B)/tests/unit/datapath_vectors
NEEDS_oracle-vectors := $(B)/tests/unit/datapath_vectors

UNIT_SUITES += unit-datapath unit-datapath-amx unit-datapath-cancel oracle-vectors

$(B)/tests/exhaustive.o: CPPFLAGS += -Itests
$(B)/tests/exhaustive: $(B)/tests/exhaustive.o $(B)/tests/reference/reference.o $(DATAPATH_LIB)
	$(CC) $(LDFLAGS) -o $@ $^ -lm

## check-exhaustive: all codes decoded, all 2^32 binary32 values encoded; minutes
.PHONY: check-exhaustive
check-exhaustive: $(B)/tests/exhaustive
	@$<

# Codecs and commands on arm64, emulated, which is slow: of their trials a share, and on a CPU
# without the dot-product instructions only the kernel that is for it. The tag is Check's:
# formats and checks are the same C on both architectures.
.PHONY: arm64-datapath
arm64-datapath:
	$(call guest-make,) $(B)/arm64/tests/unit/datapath
DATAPATH_CPUS := cortex-a72 max
DATAPATH_SHARE_cortex-a72 := XRNPE_TEST_KERNEL=neon XRNPE_TEST_ONE_IN=16
DATAPATH_SHARE_max := XRNPE_TEST_ONE_IN=16
SUITES += $(DATAPATH_CPUS:%=unit-datapath-arm64-%)
define arm64-suite
DATAPATH_ON_$(1) := CK_INCLUDE_TAGS=cpu qemu-aarch64 -cpu $(1) -L $$$$(tools/build-sysroot) \
	$(B)/arm64/tests/unit/datapath
SUITE_unit-datapath-arm64-$(1) := $$(DATAPATH_SHARE_$(1)) $$(DATAPATH_ON_$(1))
NEEDS_unit-datapath-arm64-$(1) := arm64-datapath
endef
$(foreach c,$(DATAPATH_CPUS),$(eval $(call arm64-suite,$(c))))

## check-long: what `make check` does a share of, whole: the datapath on arm64, and by AMX
.PHONY: check-long
check-long: arm64-datapath $(B)/tests/unit/datapath_amx
	@tests/run $(B)/logs 'unit-datapath-amx=CK_INCLUDE_TAGS="cpu kernel" $(B)/tests/unit/datapath_amx' \
		$(foreach c,$(DATAPATH_CPUS),'unit-datapath-arm64-$(c)=$(DATAPATH_ON_$(c))')

# Rebuilds what the unit suites need in a directory of its own.
.PHONY: check-unit check-asan check-ubsan
check-unit:
	@$(MAKE) --no-print-directory $(foreach s,$(UNIT_SUITES),$(NEEDS_$(s)))
	@tests/run $(B)/logs $(foreach s,$(UNIT_SUITES),'$(s)=$(SUITE_$(s))')

## check-asan, check-ubsan: the unit suites under a sanitizer
check-asan:
	@$(MAKE) --no-print-directory check-unit B=build-asan \
		SANITIZE="-fsanitize=address -fno-omit-frame-pointer"
check-ubsan:
	@$(MAKE) --no-print-directory check-unit B=build-ubsan \
		SANITIZE="-fsanitize=undefined -fno-sanitize-recover=undefined"

# ---- fuzzing the datapath --------------------------------------------------
# One target, run by libFuzzer for as long as one likes, and by a driver on fixed
# inputs, which needs no clang.
FUZZ_OBJECTS := tests/fuzz/products tests/fuzz/command tests/fuzz/driver
$(FUZZ_OBJECTS:%=$(B)/%.o): CPPFLAGS += -Itests

$(B)/tests/fuzz/products-fixed: $(FUZZ_OBJECTS:%=$(B)/%.o) $(DATAPATH_LIB)
	$(CC) $(LDFLAGS) -o $@ $^ -lm

$(B)/tests/fuzz/products-amx: $(FUZZ_OBJECTS:%=$(B)/%.o) $(B)/tests/unit/amx_model.o $(DATAPATH_LIB)
	$(CC) $(LDFLAGS) -o $@ $^ -lm

$(B)/tests/fuzz/products: $(B)/tests/fuzz/products.o $(B)/tests/fuzz/command.o $(DATAPATH_LIB)
	$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ -lm

SUITES += fuzz-products fuzz-products-amx
SUITE_fuzz-products := $(B)/tests/fuzz/products-fixed 5000
NEEDS_fuzz-products := $(B)/tests/fuzz/products-fixed
SUITE_fuzz-products-amx := $(B)/tests/fuzz/products-amx 2000
NEEDS_fuzz-products-amx := $(B)/tests/fuzz/products-amx

NETWORK_FUZZERS := $(B)/tests/fuzz/import $(B)/tests/fuzz/compile
$(NETWORK_FUZZERS:%=%.o) $(B)/tests/fuzz/graphs.o: CPPFLAGS += -Itests -Ilibxrnpe -Ilibxrnpe/graph

$(NETWORK_FUZZERS): %: %.o $(B)/tests/fuzz/graphs.o $(LIBXRNPE_STATIC)
	$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LIBXRNPE_LIBS)

## fuzz: kernels against the plain one, files of networks, and the compiler, with clang's libFuzzer; FUZZ_SECONDS=60 each
FUZZ_SECONDS ?= 60
.PHONY: fuzz
fuzz: $(B)/tests/unit/graph
	@$(MAKE) --no-print-directory B=build-fuzz CC=clang \
		SANITIZE="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined" \
		build-fuzz/tests/fuzz/products build-fuzz/tests/fuzz/import build-fuzz/tests/fuzz/compile
	@mkdir -p build-fuzz/corpus build-fuzz/networks
	@CK_RUN_CASE=tflite XRNPE_LITE_MODELS=build-fuzz/networks $< >/dev/null
	for fuzzer in import compile; do \
		build-fuzz/tests/fuzz/$$fuzzer -max_len=16384 -max_total_time=$(FUZZ_SECONDS) \
			-artifact_prefix=build-fuzz/ build-fuzz/networks || exit; \
	done
	build-fuzz/tests/fuzz/products -max_len=256 -len_control=0 -max_total_time=$(FUZZ_SECONDS) \
		-artifact_prefix=build-fuzz/ build-fuzz/corpus

# ---- random jobs against the reference --------------------------------------
STREAM_JOBS := tests/streams/stream tests/streams/kernel tests/fuzz/command $(REFERENCE)
STREAM_OBJECTS := tests/streams/streams tests/streams/device tests/streams/emulator $(STREAM_JOBS)
ISOLATION_OBJECTS := tests/streams/isolation $(STREAM_JOBS)
$(STREAM_OBJECTS:%=$(B)/%.o) $(B)/tests/streams/isolation.o: CPPFLAGS += -Itests -Idriver -Ilibxrnpe \
	$(shell $(PKG_CONFIG) --cflags libdrm)

$(B)/tests/streams/streams: $(STREAM_OBJECTS:%=$(B)/%.o) $(LIBXRNPE_STATIC)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBXRNPE_LIBS)

$(B)/tests/streams/isolation: $(ISOLATION_OBJECTS:%=$(B)/%.o) $(DATAPATH_LIB)
	$(CC) $(LDFLAGS) -o $@ $^ -lm

SUITES += streams streams-qemu isolation
SUITE_streams := $(B)/tests/streams/streams 2000
NEEDS_streams := $(B)/tests/streams/streams
SUITE_isolation := $(B)/tests/streams/isolation 1000
NEEDS_isolation := $(B)/tests/streams/isolation
UNIT_SUITES += streams isolation
SUITE_streams-qemu := $(B)/tests/streams/streams -q $(QEMU) 2000
NEEDS_streams-qemu := $(B)/tests/streams/streams qemu

## fuzz-streams: random jobs on kernels and on QEMU's device, FUZZ_SECONDS=60 each
.PHONY: fuzz-streams
fuzz-streams: $(B)/tests/streams/streams qemu
	$< $(FUZZ_SECONDS)s
	$< -q $(QEMU) $(FUZZ_SECONDS)s

# ---- libxrnpe: running ---------------------------------------------------
# With XRNPE_TEST_DEVICE=drm they test a kernel driver's device instead.
RUNTIME_TESTS := $(addprefix tests/unit/,runtime runtime_npy runtime_file runtime_device \
	runtime_models runtime_session runtime_batch runtime_events runtime_buffers runtime_layers \
	runtime_points runtime_govern runtime_transfer runtime_networks compile_run compile_networks \
	onnx_builder)
$(RUNTIME_TESTS:%=$(B)/%.o): CPPFLAGS += -Itests -Ilibxrnpe -Ilibxrnpe/graph -I$(B)/libxrnpe \
	$(shell $(PKG_CONFIG) --cflags libdrm)
$(RUNTIME_TESTS:%=$(B)/%.o): | $(B)/libxrnpe/onnx.pb-c.c

$(B)/tests/unit/runtime: $(RUNTIME_TESTS:%=$(B)/%.o) $(LIBXRNPE_STATIC)
	$(CC) $(LDFLAGS) -o $@ $^ $(CHECK_LIBS) $(LIBXRNPE_LIBS)

SUITES += unit-runtime
SUITE_unit-runtime := $(B)/tests/unit/runtime
NEEDS_unit-runtime := $(B)/tests/unit/runtime
UNIT_SUITES += unit-runtime

# The same on the driver's device; a kernel with an accel node, one with a render node.
.PHONY: guest-runtime
guest-runtime:
	$(call guest-make,) $(B)/arm64/tests/unit/runtime
RUNTIME_GUESTS := runtime-7.3 runtime-6.12
SUITES += $(RUNTIME_GUESTS)
TIMED += $(RUNTIME_GUESTS)
$(foreach g,$(RUNTIME_GUESTS),$(eval SUITE_$(g) := tools/vm --kernel $(g:runtime-%=%) \
	--add $(B)/arm64/tests/unit/runtime -- "XRNPE_TEST_DEVICE=drm runtime"))
$(foreach g,$(RUNTIME_GUESTS),$(eval NEEDS_$(g) := guest-runtime))

# ---- libxrnpe: elementary functions ----------------------------------------
$(B)/tests/unit/elementary.o $(B)/tests/elementary.o: CPPFLAGS += -Itests -Ilibxrnpe

$(B)/tests/unit/elementary: $(B)/tests/unit/elementary.o $(LIBXRNPE_STATIC)
	$(CC) $(LDFLAGS) -o $@ $^ $(CHECK_LIBS) -lm

$(B)/tests/elementary: $(B)/tests/elementary.o $(LIBXRNPE_STATIC)
	$(CC) $(LDFLAGS) -o $@ $^ -lm

SUITES += unit-elementary elementary
SUITE_unit-elementary := $(B)/tests/unit/elementary
NEEDS_unit-elementary := $(B)/tests/unit/elementary
SUITE_elementary := $(B)/tests/elementary 16381
NEEDS_elementary := $(B)/tests/elementary
UNIT_SUITES += unit-elementary elementary

## check-elementary: the error of elementary functions for all 2^32 arguments; hours
.PHONY: check-elementary
check-elementary: $(B)/tests/elementary
	@$< 1

# The same bits from another architecture.
.PHONY: arm64-elementary
arm64-elementary:
	$(call guest-make,) $(B)/arm64/tests/unit/elementary
SUITES += unit-elementary-arm64
SUITE_unit-elementary-arm64 := qemu-aarch64 -L $$(tools/build-sysroot) $(B)/arm64/tests/unit/elementary
NEEDS_unit-elementary-arm64 := arm64-elementary

# ---- the command line, and the library as installed ------------------------
SUITES += cli library
SUITE_cli := python3 -B tests/cli $(B)/xrnpe
NEEDS_cli := $(B)/xrnpe
UNIT_SUITES += cli
SUITE_library := B=$(B) CC="$(CC)" SANITIZE="$(SANITIZE)" tests/library
NEEDS_library := $(B)/xrnpe $(LIBXRNPE) $(LIBXRNPE_STATIC)

SUITES += commands
SUITE_commands := tests/commands $(B)/xrnpe
NEEDS_commands := $(B)/xrnpe

# ---- the driver for a kernel's tree -----------------------------------------
SUITES += upstream
SUITE_upstream := tests/upstream $(B)/upstream

# ---- Debian's packages -----------------------------------------------------
SUITES += packages
SUITE_packages := tests/packages $(B)/deb

# ---- the Python module -----------------------------------------------------
SUITES += python training
SUITE_python := B=$(B) CC="$(CC)" tests/python
NEEDS_python := $(LIBXRNPE) $(LIBXRNPE_STATIC)
SUITE_training := B=$(B) tests/training
NEEDS_training := $(B)/xrnpe $(LIBXRNPE)

# ---- libxrnpe: graphs ------------------------------------------------------
GRAPH_TESTS := tests/fuzz/graphs $(addprefix tests/unit/,graph graph_import graph_fold graph_reference \
	graph_recurrent graph_tflite graph_tflite_file graph_mediapipe graph_fuzz onnx_builder \
	lite_builder lite_graph lite_rows)
$(GRAPH_TESTS:%=$(B)/%.o): CPPFLAGS += -Itests -Ilibxrnpe -Ilibxrnpe/graph -I$(B)/libxrnpe
$(GRAPH_TESTS:%=$(B)/%.o): | $(B)/libxrnpe/onnx.pb-c.c

$(B)/tests/unit/graph: $(GRAPH_TESTS:%=$(B)/%.o) $(LIBXRNPE_STATIC)
	$(CC) $(LDFLAGS) -o $@ $^ $(CHECK_LIBS) $(LIBXRNPE_LIBS)

SUITES += unit-graph
SUITE_unit-graph := $(B)/tests/unit/graph
NEEDS_unit-graph := $(B)/tests/unit/graph
UNIT_SUITES += unit-graph

# The models of its tests by TensorFlow Lite.
SUITES += lite
SUITE_lite := tests/lite $(B)/tests/unit/graph $(B)/xrnpe
NEEDS_lite := $(B)/tests/unit/graph $(B)/xrnpe

# ONNX's own tests of operators.
$(B)/tests/conformance/conformance.o: CPPFLAGS += -Ilibxrnpe -Ilibxrnpe/graph -I$(B)/libxrnpe
$(B)/tests/conformance/conformance.o: | $(B)/libxrnpe/onnx.pb-c.c

$(B)/tests/conformance/conformance: $(B)/tests/conformance/conformance.o $(LIBXRNPE_STATIC)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBXRNPE_LIBS)

SUITES += conformance
SUITE_conformance := $(B)/tests/conformance/conformance $$(tools/onnx-node-tests)/*
NEEDS_conformance := $(B)/tests/conformance/conformance

# ---- libxrnpe: compiling -------------------------------------------------
COMPILE_TESTS := $(addprefix tests/unit/,compile compile_parts compile_choice compile_precision compile_model \
	compile_pieces compile_constants compile_moves compile_split compile_bytes compile_scales compile_task \
	compile_layers compile_points compile_trials compile_run compile_networks onnx_builder)
$(COMPILE_TESTS:%=$(B)/%.o): CPPFLAGS += -Itests -Ilibxrnpe -Ilibxrnpe/graph -Ilibxrnpe/compile \
	-I$(B)/libxrnpe
$(COMPILE_TESTS:%=$(B)/%.o): | $(B)/libxrnpe/onnx.pb-c.c

$(B)/tests/unit/compile: $(COMPILE_TESTS:%=$(B)/%.o) $(LIBXRNPE_STATIC)
	$(CC) $(LDFLAGS) -o $@ $^ $(CHECK_LIBS) $(LIBXRNPE_LIBS)

SUITES += unit-compile
SUITE_unit-compile := $(B)/tests/unit/compile
NEEDS_unit-compile := $(B)/tests/unit/compile
UNIT_SUITES += unit-compile

# ---- qtest: the QEMU device ----------------------------------------------
# On both machines; and at random, of which RISC-V's machine has no part.
QTEST_MACHINES := aarch64 riscv64
SUITES += $(QTEST_MACHINES:%=qtest-%) qtest-fuzz
$(foreach m,$(QTEST_MACHINES),$(eval SUITE_qtest-$(m) := \
	QTEST_QEMU_BINARY=$(B)/qemu/qemu-system-$(m) $(B)/qemu/xrnpe-test --tap -k))
SUITE_qtest-fuzz := QTEST_QEMU_BINARY=$(QEMU) $(B)/qemu/xrnpe-fuzz-test --tap -k
$(foreach s,$(QTEST_MACHINES:%=qtest-%) qtest-fuzz,$(eval NEEDS_$(s) := qemu))

## fuzz-device: the device at random, with sanitizers, FUZZ_SECONDS=60; FUZZ_SEED is the first round
FUZZ_SEED ?= 1000
.PHONY: fuzz-device coverage-device
fuzz-device:
	@qemu=$$(QEMU_TARGETS=aarch64 tools/build-qemu --enable-asan --enable-ubsan) && \
		cd $${qemu%/*} && XRNPE_FUZZ_SEED=$(FUZZ_SEED) XRNPE_FUZZ_ROUNDS=1000000 \
		XRNPE_FUZZ_SECONDS=$(FUZZ_SECONDS) QTEST_QEMU_BINARY=./qemu-system-aarch64 \
		ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1 ./xrnpe-fuzz-test --tap -k

## coverage-device: lines of the device that its tests execute; fails under 95 %
coverage-device:
	@tests/coverage-device

# ---- virtual SoC ---------------------------------------------------------
SUITES += vm
TIMED += vm
SUITE_vm := tests/vm.sh

GUESTS := 7.3-fast 6.12-fast 7.3-debug 6.12-debug
SUITES += $(GUESTS:%=guest-%)
TIMED += $(GUESTS:%=guest-%)
define guest-suite
SUITE_guest-$(1) := tests/guest.sh $(subst -, ,$(1)) $(GUEST_TESTS:%=$(B)/arm64/%)
NEEDS_guest-$(1) := guest-tests guest $(B)/xrnpe
endef
$(foreach g,$(GUESTS),$(eval $(call guest-suite,$(g))))

# Where these are run, of GUESTS.
GUEST ?= 7.3-debug

## fuzz-driver: calls at random in GUEST=7.3-debug; FUZZ_CALLS=10000000, FUZZ_ROUNDS=1000 processes killed, FUZZ_SEED
FUZZ_CALLS ?= 10000000
FUZZ_ROUNDS ?= 1000
.PHONY: fuzz-driver
fuzz-driver: guest-tests guest
	XRNPE_FUZZ_SEED=$(FUZZ_SEED) XRNPE_FUZZ_CALLS=$(FUZZ_CALLS) XRNPE_FUZZ_ROUNDS=$(FUZZ_ROUNDS) \
		XRNPE_SECONDS=86400 tests/guest.sh $(subst -, ,$(GUEST)) $(B)/arm64/tests/guest/xrnpe_fuzz

## faults-driver: a device that fails at random under load, until FAULTS=10000 jobs have failed, from FAULTS_SEED
FAULTS ?= 10000
FAULTS_SEED ?= 1
.PHONY: faults-driver
faults-driver: guest-tests
	tests/faults $(subst -, ,$(GUEST)) $(FAULTS) $(FAULTS_SEED) $(B)/arm64/tests/guest/xrnpe_faults

## kills-driver: programs killed, device unbound, sleep, no memory, KILLS=1000 rounds from KILLS_SEED
KILLS ?= 1000
KILLS_SEED ?= 1
.PHONY: kills-driver
kills-driver: guest-tests guest
	XRNPE_KILLS=$(KILLS) XRNPE_SEED=$(KILLS_SEED) XRNPE_SECONDS=86400 \
		tests/guest.sh $(subst -, ,$(GUEST)) $(B)/arm64/tests/guest/xrnpe_kill

## races-driver: data races of the driver, which KCSAN finds while tests of it run; RACE_SECONDS=60 of threads
RACE_SECONDS ?= 60
RACES := fuzz hostile implicit job life observe order perfmon prime process queue race
.PHONY: races-driver
races-driver: guest-tests guest
	XRNPE_RACE_SECONDS=$(RACE_SECONDS) \
		tests/guest.sh 7.3 kcsan $(RACES:%=$(B)/arm64/tests/guest/xrnpe_%)

# ---- the demo network ----------------------------------------------------
SUITES += demo-network
TIMED += demo-network
SUITE_demo-network := tests/demo-network 7.3 fast
NEEDS_demo-network := $(B)/xrnpe guest
