# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the virtual SoC is made of: the Arm virt machine (UART, RTC, virtio-mmio,
# PCIe, platform bus), XR-NPE, and the devices that bring files and a disk in.
CONFIG_ARM_VIRT=y
CONFIG_XRNPE=y
CONFIG_VIRTIO_9P=y
CONFIG_VIRTIO_BLK=y
CONFIG_VIRTIO_PCI=y
CONFIG_VIRTIO_RNG=y
CONFIG_VIRTIO_SERIAL=y
