# SPDX-License-Identifier: MIT
"""Usage, devices, and what other programs read."""
import json
import os
import re
import select
import shutil
import subprocess

from command import fails, misused, result, succeeds, xrnpe
from files import ONNX, write

COMMANDS = ("info", "compile", "run", "disasm", "num", "bench")
NOBODY = 65534


def check_usage():
    done = xrnpe()
    result(done.returncode == 2 and done.stderr.startswith("usage: xrnpe"), "no command", done)
    misused("unknown command", "no such command: fly", "fly")
    out = succeeds("--help", "--help")
    result(all(f"  {c}" in out for c in COMMANDS), "--help names the commands", out)
    result(re.fullmatch(r"xrnpe \d+\.\d+\.\d+\n", succeeds("--version", "--version")),
           "--version is a version")
    for command in COMMANDS:
        out = succeeds(f"{command} --help", command, "--help")
        result(out.startswith(f"usage: xrnpe {command}"), f"{command} --help is its usage", out)
        done = xrnpe(command, "--wrong")
        result(done.returncode == 2 and f"xrnpe {command}: " in done.stderr,
               f"{command}: unknown option", done)
    done = subprocess.run(f"{xrnpe.path} --help > /dev/full", shell=True, capture_output=True,
                          text=True)
    result(done.returncode == 1 and "No space left" in done.stderr, "full output", done)

    misused("compile: no model", "one network is expected", "compile", "--calib", "x")
    misused("compile: no --calib", "--calib is missing", "compile", "m.onnx", "-o", "x")
    misused("compile: no --output", "--output is missing", "compile", "m.onnx", "--calib", "x")
    misused("run: no model", "one model is expected", "run", "--input", "x")
    misused("run: two models", "one model is expected", "run", "a", "b", "--input", "x")
    misused("run: no --input", "--input is missing", "run", "m.xrnpe")
    for limit in ("0", "-1", "x", "1x", "99999999999999999999"):
        misused(f"run: --limit {limit}", "--limit is not a number of inputs", "run", "m.xrnpe",
                "--input", "x", "--limit", limit)
    misused("run: a network on a device", "--device is for compiled models", "run", "m.onnx",
            "--input", "x", "--device", "emu")
    misused("info: two models", "takes one model: n.xrnpe", "info", "m.xrnpe", "n.xrnpe")


def check_mistakes():
    """What is typed first, and is something else."""
    fails("info of a network", f"{ONNX}: is no compiled model; of a network xrnpe compile makes one",
          "info", ONNX)
    misused("an input without its option", "one model is expected, not in.npy as well; inputs go with "
            "--input", "run", ONNX, "in.npy", "-i", "in.npy")
    misused("a shape with another mark", "--shape is not NAME=N,N...: x=1x2", "run", ONNX, "-i", "x",
            "-s", "x=1x2")
    misused("two networks", "one network is expected, not in.npy as well", "compile", ONNX, "in.npy")
    result(succeeds("version", "version") == succeeds("-V", "-V") == succeeds("--version", "--version"),
           "the version, however it is asked for")


def check_devices():
    out = succeeds("info", "info")
    result("emu\n" in out and "8 x 8" in out, "info shows the emulator", out)
    devices = json.loads(succeeds("info --json", "info", "--json"))["devices"]
    result(devices[0]["path"] == "emu" and devices[0]["queues"] >= 1, "info --json", devices)
    one = json.loads(succeeds("info --device emu", "info", "--device", "emu", "--json"))
    result(one["devices"] == devices[:1], "info --device emu is the same", one)

    fails("a device that is not there", "accel99: cannot open: No such file or directory",
          "info", "--device", "accel99")
    fails("a device of another kind", "/dev/null: not a DRM device", "info", "--device",
          "/dev/null")
    if len(devices) == 1:
        fails("no device", "drm: no XR-NPE device found", "info", "--device", "drm")
    if os.geteuid() == 0:
        write("node", b"")
        os.chmod("node", 0o600)
        fails("no permission", "node: cannot open: Permission denied", "info", "--device",
              "node", user=NOBODY)


def check_pipes():
    """What other programs read: answers line by line, JSON in UTF-8."""
    num = subprocess.Popen([xrnpe.path, "num", "encode", "--format", "p8"], stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE)
    num.stdin.write(b"0.5\n")
    num.stdin.flush()
    ready = select.select([num.stdout], [], [], 20)[0]
    result(ready and num.stdout.readline().strip(), "num answers before the next line comes")
    num.stdin.close()
    num.wait()
    name = os.fsdecode(b"b\xe9b\xc3\xa9.onnx")
    shutil.copy(ONNX, name)
    done = subprocess.run([xrnpe.path, "run", name, "--input", "in.npy", "--json"],
                          capture_output=True, check=False)
    result(json.loads(done.stdout.decode())["model"] == "b\ufffdb\u00e9.onnx",
           "a file's name that is no UTF-8", done)
