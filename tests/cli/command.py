# SPDX-License-Identifier: MIT
"""Running the program, and judging what it prints and returns."""
import subprocess

count = failures = 0


def result(good, name, *details):
    global count, failures
    count += 1
    failures += not good
    print("ok" if good else "not ok", count, "-", name, flush=True)
    for detail in details if not good else ():
        for line in str(detail).rstrip().splitlines():
            print("#", line, flush=True)
    return good


def xrnpe(*arguments, **options):
    return subprocess.run([xrnpe.path, *arguments], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, **options)


def messages(done):
    """Lines of standard error, but for what is said of calibration data, which are few here."""
    return [line for line in done.stderr.splitlines()
            if not line.startswith("xrnpe compile: calibration: ")]


def succeeds(name, *arguments, **options):
    done = xrnpe(*arguments, **options)
    result(done.returncode == 0 and not messages(done), name, done)
    return done.stdout


def fails(name, message, *arguments, status=1, **options):
    """One line on standard error that has the message, and no results."""
    done = xrnpe(*arguments, **options)
    lines = messages(done)
    prefix = "xrnpe: " if status == 1 else "xrnpe"
    result(done.returncode == status and not done.stdout and message in lines[0] and
           lines[0].startswith(prefix) and len(lines) == (1 if status == 1 else len(lines)),
           name, f"expected {status}: {message}", done)


def misused(name, message, *arguments):
    done = xrnpe(*arguments)
    result(done.returncode == 2 and not done.stdout and message in done.stderr and
           "--help" in done.stderr, name, done)
