# SPDX-License-Identifier: MIT
#
# The datapath, a static library for libxrnpe and the tests. QEMU compiles the
# same sources itself.

DATAPATH_SOURCES := $(addprefix qemu-device/datapath/,\
	check.c codec.c codec_avx2.c codec_avx512.c codec_vector.c depthwise.c \
	depthwise_avx512.c elementwise.c exact.c format.c gemm_amx.c \
	gemm_avx2.c gemm_avx512.c gemm_avx512_p16.c gemm_neon.c gemm_plain.c \
	gemm_tiles.c gemm_tiles_p16.c gemv_avx512.c gemv_avx512_p16.c \
	gemv_tiles.c gemv_tiles_p16.c lines.c product.c run.c tasks.c)
DATAPATH_LIB := $(B)/qemu-device/datapath/libdatapath.a

$(DATAPATH_LIB): $(DATAPATH_SOURCES:%.c=$(B)/%.o)
	@rm -f $@
	$(AR) rcs $@ $^

all: $(DATAPATH_LIB)
