# SPDX-License-Identifier: MIT
#
# Debian's packages.

.PHONY: deb
## deb: Debian packages of driver (DKMS), library, program and Python module, into build/deb
deb:
	@tools/setup-host packaging
	@tools/packaging/deb $(B)/deb
