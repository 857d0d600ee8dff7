#!/bin/sh
# SPDX-License-Identifier: MIT
#
# vm.sh: what tools/vm promises. Needs a kernel and QEMU, but no device. VM_ARGS
# are further options for it, e.g. "--kernel 6.12".
set -u
VM_ARGS=${VM_ARGS:-}
cd "$(dirname "$0")/.." || exit 1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

count=0
result() { # STATUS NAME
	count=$((count + 1))
	if [ "$1" = 0 ]; then
		echo "ok $count - $2"
		return
	fi
	echo "not ok $count - $2"
	# Without what would make the runner take a wanted complaint for a real one.
	sed 's/^/# /; s/BUG: /BUG /; s/WARNING: /WARNING /; s/panic/p-anic/; s/Oops/O-ops/' \
		"$tmp/out" "$tmp/err" | tr -cd '\n -~' | head -n 30
}
vm() {
	tools/vm $VM_ARGS --no-device --module none --log "$tmp/log" "$@" > "$tmp/out" 2> "$tmp/err" < /dev/null
}
# An error of the launcher: this status, and a message that names this.
fails() { # STATUS TEXT ARGUMENT...
	want=$1 text=$2
	shift 2
	vm "$@"
	[ $? = "$want" ] && grep -qF -- "$text" "$tmp/err"
}

# What must be built first is; that shows progress, which is not of the command.
QEMU=${QEMU:-$(tools/build-qemu)} || exit 1
export QEMU
vm -- true

vm -- 'echo out; echo err >&2; exit 7'
[ $? = 7 ] && [ "$(cat "$tmp/out")" = out ] && [ "$(cat "$tmp/err")" = err ]
result $? "status, output and errors of the command pass through"

vm -- sh -c 'printf "%s|" "$@"' sh 'a b' '$c' '"'
[ $? = 0 ] && [ "$(cat "$tmp/out")" = 'a b|$c|"|' ]
result $? "arguments arrive as they were given"

grep -q 'Linux version' "$tmp/log" && grep -q 'Power down' "$tmp/log"
result $? "the kernel's log is kept apart"

mkdir -p "$tmp/in/sub"
head -c 3000001 /dev/urandom > "$tmp/in/sub/data"
: > "$tmp/in/empty"
vm --add "$tmp/in:/data/in" --add "$tmp/in/sub/data:/tmp/other name" \
	--get /data/in:"$tmp/back" --get 'copy:'"$tmp/copy" -- \
	'cp "/tmp/other name" copy && cat in/sub/data'
[ $? = 0 ] && cmp -s "$tmp/in/sub/data" "$tmp/out" && cmp -s "$tmp/in/sub/data" "$tmp/copy" &&
	diff -r "$tmp/in" "$tmp/back" > /dev/null
result $? "files and directories go in and come back byte by byte"

tools/vm $VM_ARGS --no-device --module none -- 'cat /proc/kallsyms | tee /dev/stderr' 2> "$tmp/err" < /dev/null |
	{ sleep 5; cat > "$tmp/out"; }
[ -s "$tmp/out" ] && cmp -s "$tmp/out" "$tmp/err"
result $? "a slow reader loses nothing"

vm -- 'echo x > /dev/stdout; echo y > /dev/stderr; sleep 1000 & exit 3'
[ $? = 3 ] && [ "$(cat "$tmp/out")" = x ] && [ "$(cat "$tmp/err")" = y ]
result $? "what the command leaves running is ended"

n=0
for splat in 'WARNING: CPU: 0 PID: 1 at test.c:1' 'BUG: KASAN: slab-use-after-free in f' \
	'WARNING: possible circular locking dependency detected' \
	'BUG: KCSAN: data-race in ktime_get / xrnpe_job_end [xrnpe]' \
	'UBSAN: shift-out-of-bounds in test.c:1' 'refcount_t: underflow; use-after-free.' \
	'INFO: task test:1 blocked for more than 60 seconds.' \
	'unreferenced object 0xffff000003c5e800 (size 1024):' \
	'ODEBUG: free active (active state 0) object: 1'; do
	fails 123 "$splat" -- "echo '$splat' > /dev/kmsg" || { n=1; echo "# missed: ${splat#*: }"; }
done
result $n "a complaint of the kernel fails a command that succeeded"

vm -- "echo 'BUG: KCSAN: data-race in ktime_get / update_wall_time' > /dev/kmsg"
result $? "but not one of a data race that the driver has no part in"

fails 123 'sysrq triggered crash' -- 'echo c > /proc/sysrq-trigger; sleep 100'
result $? "a crash of the kernel is reported, with its excerpt"

# On a host that is busy it takes longer until the guest has begun.
n=1
for limit in 6 24 96; do
	start=$(date +%s)
	fails 124 "no end within $limit s" --timeout $limit -- 'echo begun; sleep 1000' || break
	[ "$(cat "$tmp/out")" = begun ] || continue
	n=$(($(date +%s) - start >= 500))
	break
done
result $n "the time limit ends the guest"

fails 125 'QEMU ended before' --memory 1 -- true
result $? "QEMU's failure is no result, and its message is shown"

fails 125 "$tmp/none" --add "$tmp/none" -- true
result $? "a missing file is named"

fails 125 'not an arm64 program' --add "$(command -v env)" -- true
result $? "a program of the host is refused"

fails 125 '/data/nothing' --get nothing:"$tmp/nothing" -- true
result $? "a file that the guest lacks is named"

fails 125 'could not be loaded' --module "$tmp/in/sub/data" -- true
result $? "a module that does not load is no result"

for i in 1 2 3; do
	tools/vm $VM_ARGS --no-device --module none -- "echo $i; exit $i" > "$tmp/out$i" 2> "$tmp/err" < /dev/null &
	eval "p$i=\$!"
done
n=0
for i in 1 2 3; do
	eval "wait \$p$i"
	[ $? = $i ] && [ "$(cat "$tmp/out$i")" = $i ] || n=1
done
result $n "guests run side by side"

echo "1..$count"
