# SPDX-License-Identifier: MIT
#
# The datapath, a static library for libxrnpe and the tests. QEMU compiles the
# same sources itself.

DATAPATH_SOURCES := $(sort $(wildcard qemu-device/datapath/*.c qemu-device/datapath/kernels/*.c))
DATAPATH_LIB := $(B)/qemu-device/datapath/libdatapath.a

# Short loops that lie across lines of the cache take up to 1.4 times as long: without this
# whatever is linked before them decides.
$(DATAPATH_SOURCES:%.c=$(B)/%.o): CFLAGS += -falign-functions=64

$(DATAPATH_LIB): $(DATAPATH_SOURCES:%.c=$(B)/%.o)
	@rm -f $@
	$(AR) rcs $@ $^

all: $(DATAPATH_LIB)
