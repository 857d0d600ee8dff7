# SPDX-License-Identifier: MIT
#
# The library, shared and static, and its installation. The interface that
# libxrnpe.map exports is that of xrnpe.h.

LIBXRNPE_VERSION := 0.1.0
LIBXRNPE_SOURCES := $(sort $(wildcard libxrnpe/*.c libxrnpe/*/*.c libxrnpe/*/*/*.c))
LIBXRNPE_PACKAGES := libdrm libprotobuf-c zlib
LIBXRNPE := $(B)/libxrnpe.so.0
LIBXRNPE_STATIC := $(B)/libxrnpe.a
LIBXRNPE_OBJECTS := $(LIBXRNPE_SOURCES:%.c=$(B)/%.o) $(B)/libxrnpe/onnx.pb-c.o
LIBXRNPE_LIBS = $(shell $(PKG_CONFIG) --libs $(LIBXRNPE_PACKAGES)) -lm
# As published by ONNX; Debian's libonnx-dev has it.
ONNX_PROTO ?= /usr/include/onnx/onnx.proto

PREFIX ?= /usr/local
INCLUDEDIR ?= $(PREFIX)/include
LIBDIR ?= $(PREFIX)/lib

$(LIBXRNPE_OBJECTS): CPPFLAGS += -Ilibxrnpe -Ilibxrnpe/graph -Ilibxrnpe/compile -I$(B)/libxrnpe \
	-DXRNPE_VERSION='"$(LIBXRNPE_VERSION)"' $(shell $(PKG_CONFIG) --cflags $(LIBXRNPE_PACKAGES))

# The same bits from every compiler: no product and sum in one operation. No math function's
# errno is looked at.
$(LIBXRNPE_OBJECTS): CFLAGS += -ffp-contract=off -fno-math-errno
# What computes is made of vectors wherever that is possible.
$(B)/libxrnpe/graph/%.o: CFLAGS += -O3
$(addprefix $(B)/libxrnpe/compile/,calibrate.o effect.o image.o moments.o products.o quantize.o round.o scale.o): \
	CFLAGS += -O3

$(B)/libxrnpe/onnx.pb-c.c: $(ONNX_PROTO)
	@mkdir -p $(@D)
	protoc-c --proto_path=$(dir $<) --c_out=$(@D) $<

$(B)/libxrnpe/onnx.pb-c.o: $(B)/libxrnpe/onnx.pb-c.c
	$(CC) $(CPPFLAGS) $(filter-out $(WARNINGS),$(CFLAGS)) -MMD -MP -c -o $@ $<

$(addprefix $(B)/libxrnpe/graph/onnx,.o _scales.o _tensor.o _write.o): | $(B)/libxrnpe/onnx.pb-c.c

$(LIBXRNPE): $(LIBXRNPE_OBJECTS) $(DATAPATH_LIB) libxrnpe/libxrnpe.map
	$(CC) $(LDFLAGS) -shared -Wl,-soname,$(@F) -Wl,--no-undefined \
		-Wl,--version-script=libxrnpe/libxrnpe.map -o $@ \
		$(filter %.o %.a,$^) $(LIBXRNPE_LIBS)
	ln -sf $(@F) $(B)/libxrnpe.so

# The datapath goes into it, so that a program links one archive.
$(LIBXRNPE_STATIC): $(LIBXRNPE_OBJECTS) $(DATAPATH_SOURCES:%.c=$(B)/%.o)
	@rm -f $@
	$(AR) rcs $@ $^

all: $(LIBXRNPE) $(LIBXRNPE_STATIC)

.PHONY: install install-lib
## install: into $(DESTDIR)$(PREFIX), by default /usr/local: library, header, Python module, program
install: install-lib
install-lib: $(LIBXRNPE) $(LIBXRNPE_STATIC)
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR)/xrnpe/drm
	install -m 755 $(LIBXRNPE) $(DESTDIR)$(LIBDIR)/libxrnpe.so.$(LIBXRNPE_VERSION)
	ln -sf libxrnpe.so.$(LIBXRNPE_VERSION) $(DESTDIR)$(LIBDIR)/libxrnpe.so.0
	ln -sf libxrnpe.so.0 $(DESTDIR)$(LIBDIR)/libxrnpe.so
	install -m 644 $(LIBXRNPE_STATIC) $(DESTDIR)$(LIBDIR)/
	install -m 644 libxrnpe/xrnpe.h qemu-device/datapath/energy.h $(DESTDIR)$(INCLUDEDIR)/xrnpe/
	install -m 644 uapi/drm/xrnpe_cmd.h $(DESTDIR)$(INCLUDEDIR)/xrnpe/drm/
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' -e 's|@LIBDIR@|$(LIBDIR)|' \
		-e 's|@VERSION@|$(LIBXRNPE_VERSION)|' -e 's|@PACKAGES@|$(LIBXRNPE_PACKAGES)|' \
		libxrnpe/xrnpe.pc.in > $(DESTDIR)$(LIBDIR)/pkgconfig/xrnpe.pc

# The first of the folders below PREFIX where the system's Python looks for modules.
PYTHON ?= /usr/bin/python3
PYTHONDIR ?= $(shell $(PYTHON) -c 'import site, sys; print(next((d for d in \
	site.getsitepackages() if d.startswith(sys.argv[1] + "/lib/")), \
	sys.argv[1] + "/lib/python3/dist-packages"))' $(PREFIX))

.PHONY: install-python
install: install-python
install-python:
	install -d $(DESTDIR)$(PYTHONDIR)/xrnpe/training
	install -m 644 libxrnpe/python/xrnpe/*.py libxrnpe/python/xrnpe/py.typed \
		$(DESTDIR)$(PYTHONDIR)/xrnpe/
	install -m 644 libxrnpe/python/xrnpe/training/*.py $(DESTDIR)$(PYTHONDIR)/xrnpe/training/
