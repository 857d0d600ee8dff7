# SPDX-License-Identifier: MIT
#
# The command line, build/xrnpe. It has the library inside, so that the one file
# works from anywhere and in a guest.

TOOL_SOURCES := $(addprefix tools/,main.c console.c lines.c tensors.c formats.c network.c bytes.c \
	quality.c costs.c energy_figures.c points.c outputs.c layers.c layer_times.c outcome.c outcome_page.c npz.c \
	info.c compile.c run.c disasm.c trace.c dump.c num.c bench.c bench_data.c bench_work.c bench_blas.c \
	bench_products.c bench_codec.c bench_elementwise.c bench_model.c peak.c)
TOOL_PACKAGES := nettle minizip
TOOL_OBJECTS := $(TOOL_SOURCES:%.c=$(B)/%.o)

# A trace shows registers, whose names are in driver/xrnpe_regs.h.
$(B)/tools/trace.o: CPPFLAGS += -Idriver
$(TOOL_OBJECTS): CPPFLAGS += -Ilibxrnpe -Itools $(shell $(PKG_CONFIG) --cflags $(TOOL_PACKAGES))

$(B)/xrnpe: $(TOOL_OBJECTS) $(LIBXRNPE_STATIC)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBXRNPE_LIBS) $(shell $(PKG_CONFIG) --libs $(TOOL_PACKAGES))

all: $(B)/xrnpe

COMPLETIONDIR ?= $(PREFIX)/share/bash-completion/completions

.PHONY: install-tools
install: install-tools
install-tools: $(B)/xrnpe
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(COMPLETIONDIR)
	install -m 755 $(B)/xrnpe $(DESTDIR)$(PREFIX)/bin/
	install -m 644 Documentation/xrnpe.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -m 644 tools/xrnpe.bash-completion $(DESTDIR)$(COMPLETIONDIR)/xrnpe

.PHONY: bench
## bench: the datapath's speed, beside OpenBLAS; a network's, beside ONNX Runtime
bench: $(B)/xrnpe
	@$< bench gemm && $< bench gemm --format p16 --data trained && $< bench gemv && \
		$< bench conv && for b in gemm gemv conv; do $< bench $$b --format p8 --weight-format fp4 && \
		$< bench $$b --format p16 --weight-format p8 || exit; done && $< bench codec && $< bench elementwise && tools/bench-networks
