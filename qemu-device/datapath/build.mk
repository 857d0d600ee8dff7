# SPDX-License-Identifier: MIT
all:
