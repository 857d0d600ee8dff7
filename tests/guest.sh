#!/bin/sh
# SPDX-License-Identifier: MIT
#
# guest.sh: run the driver's tests in the virtual SoC; TAP of each, in turn.
#
#   tests/guest.sh SERIES FLAVOUR TEST...
#
# The TESTs are arm64 programs. A kernel with accel nodes must give one, a
# kernel without must give a render node.
set -eu
cd "$(dirname "$0")/.."
kernel=$1 flavour=$2
shift 2

case $kernel in
7.3) node='/dev/accel/accel*' ;;
*) node='/dev/dri/renderD*' ;;
esac

add= run=
for t; do
	add="$add --add $t"
	run="$run; /bin/${t##*/} || failed=1"
done
# shellcheck disable=SC2086
exec tools/vm --kernel "$kernel" --flavour "$flavour" --timeout 900 $add -- "
	echo 1..1
	if [ -c $node ]; then echo ok 1 - node; else echo not ok 1 - node; ls /dev; fi
	failed=0 $run
	exit \$failed"
