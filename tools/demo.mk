# SPDX-License-Identifier: MIT

.PHONY: demo
## demo: a trained network on the CPU, the emulator and the virtual SoC
demo:
	@tools/setup-host
	@tools/demo
