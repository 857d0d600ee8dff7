# SPDX-License-Identifier: MIT
#
# QEMU with the XR-NPE device. Its build system sees to what must be built again,
# so make always asks it. Not part of `all`: it needs the network once.

QEMU := $(B)/qemu/qemu-system-aarch64

.PHONY: qemu
## qemu: qemu-system-aarch64 and -riscv64 with the device (some minutes the first time)
qemu:
	@tools/build-qemu
