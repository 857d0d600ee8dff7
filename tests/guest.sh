#!/bin/sh
# SPDX-License-Identifier: MIT
#
# guest.sh: run the driver's tests in the virtual SoC; TAP of each, in turn.
#
#   tests/guest.sh SERIES FLAVOUR TEST...
#
# The TESTs are arm64 programs. A kernel with accel nodes must give one, a
# kernel without must give a render node. Those that need the same device share a guest.
# XRNPE_FUZZ_* go to the fuzzer, see tests/guest/xrnpe_fuzz.c, XRNPE_RACE_SECONDS to
# tests/guest/xrnpe_race.c. XRNPE_FAULTS
# jobs are to fail in tests/faults, XRNPE_KILLS rounds of tests/guest/xrnpe_kill.c are
# made, from XRNPE_SEED on. XRNPE_SECONDS is the time that a guest has.
set -eu
cd "$(dirname "$0")/.."
kernel=$1 flavour=$2 seconds=${XRNPE_SECONDS:-3600}
shift 2

# With kmemleak a kernel takes three times as long to boot, and on 6.12 none of the allocations
# fails then that xrnpe_kill wants to. There only the guest with most tests has it: what the
# killed leave behind is looked for on 7.3.
case $kernel in
7.3) node='/dev/accel/accel*' leaks=--leaks fuzz_seed=1 ;;
*) node='/dev/dri/renderD*' leaks= fuzz_seed=2 ;;
esac
# What happens at random is for the kernels that find mistakes, so much on each of them; on the
# others, some of it.
# A search for leaks goes through all memory.
case $flavour in
debug) jobs_failing=200 kills=50 fuzz_calls=100000 memory=512M ;;
*) jobs_failing=50 kills=12 fuzz_calls=10000 memory=1G ;;
esac

plain="" fuzzers="" incoherent="" asleep="" killers="" resetters="" lost="" untold="" stuck=""
faults="" costs="" pools="" ranges="" slow="" restless="" lives="" lines="" held="" downs=""
for t; do
	case $t in
	*_fuzz) fuzzers="$fuzzers $t" ;;
	*_cache) incoherent="$incoherent $t" ;;
	# Jobs and buffers of others work without coherent caches, too.
	*_job | *_prime) plain="$plain $t" incoherent="$incoherent $t" ;;
	*_restless) restless="$restless $t" ;;
	*_sleep) asleep="$asleep $t" ;;
	*_kill) killers="$killers $t" ;;
	*_reset) resetters="$resetters $t" ;;
	*_dump) plain="$plain $t" resetters="$resetters $t" ;;
	*_lost) lost="$lost $t" ;;
	*_untold) untold="$untold $t" ;;
	*_life) plain="$plain $t" lives="$lives $t" ;;
	*_pool) pools="$pools $t" ;;
	*_ranges) ranges="$ranges $t" ;;
	*_slow) slow="$slow $t" ;;
	*_cost) costs="$costs $t" ;;
	*_line) lines="$lines $t" ;;
	*_held) held="$held $t" ;;
	*_shutdown) downs="$downs $t" ;;
	*_stuck) stuck="$stuck $t" ;;
	*_faults) faults="$faults $t" ;;
	*) plain="$plain $t" ;;
	esac
done

failed=0
# Endless jobs have one of the host's CPUs until their time is up, and not all.
vm() {
	tools/vm --kernel "$kernel" --flavour "$flavour" --timeout "$seconds" --memory $memory \
		--device-args threads=1 "$@"
}
guest() { vm "$@" || failed=$?; }
# Options of tools/vm, and a line for the guest's shell, that take programs in and run them.
adding() { printf -- ' --add %s' "$@"; }
running() {
	printf 'failed=0; '
	for t; do
		printf '/bin/%s || failed=1; ' "${t##*/}"
	done
	printf '%s' "exit \$failed"
}

# What the rule for udev asks of a node. A render node is none of its business.
key() { sed -n "s/.*\<$1==\"\([^\"]*\)\".*/\1/p" tools/60-xrnpe.rules; }
case $node in
/dev/accel/*) rule="readlink /sys/class/$(key SUBSYSTEM)/$(key KERNEL)/device/driver |
		grep -q '/$(key DRIVERS)\$' || printf 'not '; echo ok 2 - the rule for udev" ;;
*) rule="echo 'ok 2 - the rule for udev # SKIP no accel node'" ;;
esac

# What the driver decides without its device is tested inside the kernel.
set --
results=""
if [ "$flavour" = debug ]; then
	set -- --module build --module kunit --append 'kunit.enable=1 kunit.autorun=1'
	results="sed -n 's/^    //p' /sys/kernel/debug/kunit/xrnpe/results"
fi
command_line=build/arm64/xrnpe
# shellcheck disable=SC2046,SC2086
guest --leaks "$@" $(adding $command_line $plain $fuzzers) -- "
	echo 1..2
	if [ -c $node ]; then echo ok 1 - node; else echo not ok 1 - node; ls /dev; fi
	$rule
	$results
	export XRNPE_FUZZ_SEED=${XRNPE_FUZZ_SEED:-$fuzz_seed}
	export XRNPE_FUZZ_CALLS=${XRNPE_FUZZ_CALLS:-$fuzz_calls}
	export XRNPE_FUZZ_ROUNDS=${XRNPE_FUZZ_ROUNDS:-10} XRNPE_RACE_SECONDS=${XRNPE_RACE_SECONDS:-1}
	$(running $plain $fuzzers)"

# For a device that does not see the CPU's caches.
# shellcheck disable=SC2046,SC2086
[ -z "$incoherent" ] ||
	guest --incoherent $(adding $incoherent) -- "$(running $incoherent)"

# For one that must be reset, because it does not abort. They wait for time limits, most of all.
# shellcheck disable=SC2046,SC2086
[ -z "$resetters" ] ||
	guest $leaks --device-args x-fault-ignore-abort=on --module-args job_timeout_ms=500 \
		$(adding $command_line $resetters) -- "$(running $resetters)"

# For one that loses the news of its first jobs.
for t in $lost; do
	guest --add "$t" --device-args x-fault-seqno=0x80000000,x-fault-drop-irq=3 -- "/bin/${t##*/}"
done

# For one that does not tell what became of its first job.
for t in $untold; do
	guest --add "$t" --device-args x-fault-seqno=0x80000000 -- "/bin/${t##*/} -t untold_fault"
	guest --add "$t" --device-args x-fault-bus-error=10,x-fault-drop-irq=1 -- \
		"/bin/${t##*/} -t untold_halt"
done

# For one that is busy for a moment yet when all of its jobs have ended.
for t in $lives; do
	guest --add "$t" --device-args x-fault-busy=3 -- "/bin/${t##*/} -t runtime_suspend"
done

# For one that fails at random.
for t in $faults; do
	tests/faults "$kernel" "$flavour" "${XRNPE_FAULTS:-$jobs_failing}" "${XRNPE_SEED:-1}" "$t" ||
		failed=$?
done

# For one with memory of its own.
for t in $pools; do
	guest $leaks --add "$t" --pool 16 -- "/bin/${t##*/}"
done

# For one whose bus has other addresses than the CPU.
for t in $ranges; do
	guest --add "$t" --dma-ranges -- "/bin/${t##*/}"
done

# For time that goes by without the host's.
slowly=x-fault-slow=2000
for t in $slow; do
	guest --add "$t" --icount --device-args $slowly -- "/bin/${t##*/}"
	guest --add "$t" --icount --device-args $slowly,queues=1 -- \
		"/bin/${t##*/} -t turns_of_the_less_urgent"
done

# What a job costs. A debug kernel is not what anybody pays for.
[ "$flavour" = debug ] || for t in $costs; do
	tests/costs "$kernel" "$t" || failed=$?
done

# For one that cannot be stopped, once for each way to find out.
for t in $stuck; do
	for how in timeout unbind; do
		guest --add "$t" --memory 320M --device-args x-fault-stuck=on,threads=1 -- \
			"XRNPE_STUCK=$how /bin/${t##*/}"
	done
done

# For one whose reset register fails: once, and for good.
for t in $lines; do
	guest $leaks --add "$t" --reset-line --device-args x-fault-ignore-abort=on,x-fault-reset=3 \
		--module-args job_timeout_ms=500 -- "/bin/${t##*/}"
done
for t in $held; do
	guest $leaks --add "$t" --memory 448M --reset-line \
		--device-args x-fault-stuck=on,x-fault-no-reset=3 \
		--module-args client_memory_mib=64 -- "/bin/${t##*/}"
done

# Those that end the machine: of that the kernel's log tells, and the device's. The device is
# healthy, cannot be stopped, or only by its reset line.
log=build/vm/shutdown-$kernel-$flavour.log
down() { # NUMBER WHAT PROGRAM HOW OPTION-OF-VM...
	name="$1 - $2" program=$3 line="/bin/${3##*/} $4" status=0
	shift 4
	rm -f "$log" "$log.device"
	vm --log "$log" --trace "$log.device" --add "$program" "$@" -- "$line" 2> "$log.vm" || status=$?
	# The launcher has no status (125), but of a splat it knows (123).
	if [ "$status" = 125 ] && tr -d '\r' < "$log" | grep -q '] reboot: ' && ended; then
		echo "ok $name"
	else
		echo "not ok $name"
		cat "$log.vm"
		grep xrnpe "$log" || true
		failed=1
	fi
}
complains() { grep -q 'xrnpe.*cannot be stopped' "$log"; }
says() { grep -q "$1" "$log.device"; }
[ -z "$downs" ] || echo 1..3
for t in $downs; do
	ended() { ! complains && says 'xrnpe_reset command in flight: 1'; }
	down 1 "a healthy device is stopped" "$t" off
	ended() { complains; }
	down 2 "the log tells of a device that cannot be stopped" "$t" restart \
		--device-args x-fault-stuck=on
	ended() { ! complains && says 'xrnpe_line asserted: 1'; }
	down 3 "the reset line stops one" "$t" off --reset-line --device-args x-fault-stuck=on
done

# Those that send the machine to sleep: QEMU's virtio console does not come back
# from that, so they report by the UART, as a part of the kernel's log, and the
# launcher has no status (125). Of a splat it knows (123).
# In some of them the device fails.
log=build/vm/sleep-$kernel-$flavour.log
sleeper() { # LINE-FOR-THE-SHELL OPTION-OF-VM...
	line=$1 status=0
	shift
	rm -f "$log"
	vm --log "$log" "$@" -- "
		export XRNPE_KILLS=${XRNPE_KILLS:-$kills} XRNPE_SEED=${XRNPE_SEED:-1}
		exec > /tmp/tap 2>&1
		($line)
		sh /vm/unload || echo not ok - unload
		dmesg -n 1; cat /tmp/tap > /dev/ttyAMA0; sleep 1; poweroff -f" 2> "$log.vm" ||
		status=$?
	[ ! -e "$log" ] || tr -d '\r' < "$log" | sed -n '/^TAP version/,/^# Totals/p; /^not ok - unload/p'
	[ "$status" = 125 ] || { cat "$log.vm"; failed=1; }
}
for t in $killers; do
	sleeper "/bin/${t##*/}" $leaks --add "$t"
done
for t in $asleep; do
	sleeper "/bin/${t##*/}" $leaks --icount --device-args $slowly --add "$t"
done
for t in $restless; do
	sleeper "/bin/${t##*/} -t when_a_job_does_not_abort" $leaks --icount --add "$t" \
		--device-args $slowly,x-fault-ignore-abort=on
	sleeper "/bin/${t##*/} -t when_the_device_has_halted" $leaks --icount --add "$t" \
		--device-args $slowly,x-fault-bus-error=10,x-fault-drop-irq=1 \
		--module-args job_timeout_ms=60000
	sleeper "/bin/${t##*/} -t when_the_device_has_not_told" $leaks --icount --add "$t" \
		--device-args $slowly,x-fault-seqno=0x80000000 --module-args job_timeout_ms=60000
	sleeper "/bin/${t##*/} -t when_the_device_does_not_wake_up" $leaks --icount --add "$t" \
		--device-args $slowly,x-fault-reset=3
done
exit "$failed"
