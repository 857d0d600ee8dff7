#!/bin/sh
# SPDX-License-Identifier: MIT
#
# guest.sh: run the driver's tests in the virtual SoC; TAP of each, in turn.
#
#   tests/guest.sh SERIES FLAVOUR TEST...
#
# The TESTs are arm64 programs. A kernel with accel nodes must give one, a
# kernel without must give a render node. XRNPE_FUZZ_* go to the fuzzer, see
# tests/guest/xrnpe_fuzz.c; XRNPE_FUZZ_SECONDS is the time that it has. XRNPE_FAULTS
# jobs are to fail in tests/faults, XRNPE_KILLS rounds of tests/guest/xrnpe_kill.c are
# made, from XRNPE_SEED on; XRNPE_KILL_SECONDS is the time for these.
set -eu
cd "$(dirname "$0")/.."
kernel=$1 flavour=$2
shift 2

case $kernel in
7.3) node='/dev/accel/accel*' ;;
*) node='/dev/dri/renderD*' ;;
esac

command_line='--add build/arm64/xrnpe'
add=$command_line
run= sleepers= resetters= lost= untold= stuck= fuzzers= faults= incoherent=
for t; do
	case $t in
	*_dump) resetters="$resetters $t" ;;
	# Jobs and buffers of others work without coherent caches, too.
	*_job | *_prime) incoherent="$incoherent $t" ;;
	esac
	case $t in
	*_sleep | *_kill) sleepers="$sleepers $t" ;;
	*_reset) resetters="$resetters $t" ;;
	*_lost)	lost="$lost $t" ;;
	*_cache) incoherent="$incoherent $t" ;;
	*_untold) untold="$untold $t" ;;
	*_faults) faults="$faults $t" ;;
	*_stuck) stuck="$stuck $t" ;;
	*_fuzz)	fuzzers="$fuzzers $t" ;;
	*)	add="$add --add $t"
		run="$run; /bin/${t##*/} || failed=1" ;;
	esac
done
failed=0
# shellcheck disable=SC2086
tools/vm --kernel "$kernel" --flavour "$flavour" --timeout 900 $add -- "
	echo 1..1
	if [ -c $node ]; then echo ok 1 - node; else echo not ok 1 - node; ls /dev; fi
	failed=0 $run
	exit \$failed" || failed=$?

# Those for a device that does not see the CPU's caches.
for t in $incoherent; do
	tools/vm --kernel "$kernel" --flavour "$flavour" --timeout 300 --add "$t" --incoherent -- \
		"/bin/${t##*/}" || failed=$?
done

# What the driver decides without a device.
if [ "$flavour" = debug ]; then
	tools/vm --kernel "$kernel" --flavour debug --no-device --module kunit \
		--append 'kunit.enable=1 kunit.autorun=1' -- \
		'sed -n "s/^    //p" /sys/kernel/debug/kunit/xrnpe/results' || failed=$?
fi

# Those that need a device which must be reset because it does not abort.
# shellcheck disable=SC2086
for t in $resetters; do
	tools/vm --kernel "$kernel" --flavour "$flavour" --timeout 300 --add "$t" $command_line \
		--device-args x-fault-ignore-abort=on -- "/bin/${t##*/}" || failed=$?
done

for t in $fuzzers; do
	tools/vm --kernel "$kernel" --flavour "$flavour" --timeout "${XRNPE_FUZZ_SECONDS:-900}" \
		--add "$t" -- "XRNPE_FUZZ_SEED=${XRNPE_FUZZ_SEED:-1} \
		XRNPE_FUZZ_CALLS=${XRNPE_FUZZ_CALLS:-10000} \
		XRNPE_FUZZ_ROUNDS=${XRNPE_FUZZ_ROUNDS:-10} /bin/${t##*/}" || failed=$?
done

# Those that need a device that loses the news of its first jobs.
for t in $lost; do
	tools/vm --kernel "$kernel" --flavour "$flavour" --timeout 300 --add "$t" \
		--device-args x-fault-seqno=0x80000000,x-fault-drop-irq=3 -- "/bin/${t##*/}" ||
		failed=$?
done

# Those that need a device that does not tell what became of its first job.
for t in $untold; do
	tools/vm --kernel "$kernel" --flavour "$flavour" --timeout 300 --add "$t" \
		--device-args x-fault-seqno=0x80000000 -- "/bin/${t##*/} -t untold_fault" || failed=$?
	tools/vm --kernel "$kernel" --flavour "$flavour" --timeout 300 --add "$t" \
		--device-args x-fault-bus-error=10,x-fault-drop-irq=1 -- "/bin/${t##*/} -t untold_halt" ||
		failed=$?
done

# Those that need a device that fails at random.
for t in $faults; do
	tests/faults "$kernel" "$flavour" "${XRNPE_FAULTS:-200}" "${XRNPE_SEED:-1}" "$t" || failed=$?
done

# Those that need a device which cannot be stopped, once for each way to find out.
for t in $stuck; do
	for how in timeout unbind; do
		tools/vm --kernel "$kernel" --flavour "$flavour" --timeout 900 --add "$t" \
			--memory 512M --device-args x-fault-stuck=on,threads=1 -- "XRNPE_STUCK=$how /bin/${t##*/}" ||
			failed=$?
	done
done

# Those that send the machine to sleep: QEMU's virtio console does not come back
# from that, so they report by the UART, as a part of the kernel's log, and the
# launcher has no status (125). Of a splat it knows (123).
log=build/vm/sleep-$kernel-$flavour.log
for t in $sleepers; do
	status=0
	rm -f "$log"
	tools/vm --kernel "$kernel" --flavour "$flavour" --timeout "${XRNPE_KILL_SECONDS:-900}" \
		--log "$log" --add "$t" -- "
		XRNPE_KILLS=${XRNPE_KILLS:-50} XRNPE_SEED=${XRNPE_SEED:-1} /bin/${t##*/} > /tmp/tap 2>&1
		dmesg -n 1; cat /tmp/tap > /dev/ttyAMA0; sleep 1; poweroff -f" 2> "$log.vm" ||
		status=$?
	tr -d '\r' < "$log" | sed -n '/^TAP version/,/^# Totals/p'
	[ "$status" = 125 ] || { cat "$log.vm"; failed=1; }
done
exit "$failed"
