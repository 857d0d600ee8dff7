# SPDX-License-Identifier: GPL-2.0-or-later
#
# The RISC-V virt machine, for the device's qtests.
CONFIG_RISCV_VIRT=y
CONFIG_XRNPE=y
