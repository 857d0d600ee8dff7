# SPDX-License-Identifier: MIT
"""num and bench."""
import json
import re
import struct
import subprocess

from command import fails, misused, result, succeeds, xrnpe
from files import ONNX


def check_num():
    def num(*arguments, text=""):
        return subprocess.run([xrnpe.path, "num", *arguments], capture_output=True, text=True,
                              input=text)

    # 0.25 x 1.5 - 64 x 2 + 0 x 0
    for first, second, lists, value in (
            ("p8", "fp4", "10,81,00 3,4,0", "-0x1.fe8p+6"),
            ("fp4", "p8", "3,4,0 10,81,00", "-0x1.fe8p+6"),
            ("p16", "p4", "0001,7fff 1,7", "0x1p+32"),
            ("p4", "fp4", "8 0", None)):
        done = num("dot", "--format", first, "--weight-format", second, "--out", "f32", text=lists)
        expected = "7fc00000" if value is None else \
            struct.pack(">f", float.fromhex(value)).hex()
        result(done.stdout == expected + "\n" and not done.stderr, f"num dot {first} by {second}",
               f"expected {expected}", done)
    done = num("dot", "--format", "p8", text="40 40")
    result(done.stdout == "40\n", "num dot: the second list is of the first one's format", done)
    done = num("dot", "--format", "p8", "--weight-format", "fp4", text="40 40")
    result(done.returncode == 1 and "too many bits" in done.stderr, "num dot: too long a weight", done)
    lines = num("encode", "--format", "p8", text="0.3\n-2\n")
    result(num("encode", "-f", "p8", "--", "0.3", "-2").stdout == lines.stdout and
           len(lines.stdout.splitlines()) == 2, "num: numbers on the command line", lines)
    misused("num: a number below 0", "invalid option", "num", "encode", "-f", "p8", "-2")
    misused("num: no operation", "no such operation: 0.3", "num", "0.3", "-f", "p8")
    fails("num: --weight-format", "--weight-format goes with dot", "num", "encode", "--format", "p8",
          "--weight-format", "p8", status=2)
    fails("num: weights in binary32", "--weight-format is not fp4, p4, p8 or p16: f32", "num", "dot", "--format", "p8",
          "--weight-format", "f32", status=2)


def check_bench_products():
    for what in ("gemm", "gemv", "conv"):
        size = () if what == "conv" else ("--size", "3x20x70")
        for weight in ((), ("--weight-format", "fp4")):
            out = succeeds(f"bench {what} {' '.join(weight)}", "bench", what, "--format", "p8",
                           *weight, *size, "--json")
            rows = [json.loads(line) for line in out.splitlines()]
            result(rows and all(r["format"] == "p8" and r["gmacs"] > 0 and
                                r["weight_format"] == ("fp4" if weight else "p8") for r in rows),
                   "names both formats", out)
    fails("bench: codec of weights", "--weight-format goes with products", "bench", "codec",
          "--weight-format", "p8", status=2)


def check_bench():
    got = json.loads(succeeds("bench of a model", "bench", "m.xrnpe", "--seconds", "0.05",
                              "--threads", "2", "--json"))
    result(0 < got["best_ms"] <= got["p50_ms"] <= got["p90_ms"] <= got["p99_ms"] and
           got["images_per_second"] > 0 and got["threads"] == 2 and got["device"] == "emu",
           "has times in order", got)
    cost = json.loads(succeeds("what was predicted", "info", "m.xrnpe", "--json"))
    result(got["cycles"] == cost["cycles"] and got["picojoules"] == cost["picojoules"] and
           got["bytes"] == sum(cost["bytes"].values()), "and the device's cycles, bytes, energy", got)
    text = succeeds("bench of a model as text", "bench", "m.xrnpe", "--seconds", "0.05")
    result(re.match(r"single  [\d.]+ ms \(best [\d.]+, 90 % [\d.]+, 99 % [\d.]+\), \d+ inputs\n"
                    r"batch   \d+ inputs/s\n"
                    r"device  \d+ cycles \([\d.]+ ms at [\d.]+ MHz\), \d+ bytes, [\d.]+ uJ an input\n$",
                    text), "has a line each", text)
    layers = json.loads(succeeds("bench of layers", "bench", "m.xrnpe", "--seconds", "0.05", "--layers",
                                 "--json"))["layers"]
    result([l["name"] for l in layers] == [l["name"] for l in cost["layers"]] and
           all(l["cycles"] == c["cycles"] and l["ms"] >= 0 for l, c in zip(layers, cost["layers"])) and
           sum(l["ms"] for l in layers) > 0, "each has its time", layers)
    rows = succeeds("as text", "bench", "m.xrnpe", "--seconds", "0.05", "--layers").splitlines()
    result(len(rows) == 4 + len(layers) and
           all(row.startswith(l["name"]) for row, l in zip(rows[4:], layers)), "a row each", rows)
    got = json.loads(succeeds("bench of a network", "bench", ONNX, "--seconds", "0.05", "--shape",
                              "image=1,1,28,28", "--batch", "3", "--json"))
    result(0 < got["best_ms"] <= got["p50_ms"] <= got["p99_ms"] and got["images_per_second"] > 0 and
           got["batch"] == 3 and got["device"] == "cpu" and "cycles" not in got, "has times alone", got)
    text = succeeds("bench of a network as text", "bench", ONNX, "--seconds", "0.05")
    result(re.match(r"single .*\nbatch .*\n$", text), "has a line each", text)
    misused("bench of a network's layers", "--layers is for compiled models", "bench", ONNX, "--layers")
    misused("bench of a model with a shape", "--shape is for networks", "bench", "m.xrnpe", "--shape",
            "x=1")
    misused("bench: --seconds", "--seconds is not a number up to an hour: x", "bench", "m.xrnpe",
            "--seconds", "x")
    misused("bench: two models", "one model is expected", "bench", "m.xrnpe", "m.xrnpe")
    fails("bench of no model", "none.xrnpe: cannot open", "bench", "none.xrnpe")
    fails("bench on no device", "accel99: cannot open", "bench", "m.xrnpe", "--device", "accel99")
    for threads in "0", "257", "4294967297", "x", "-1":
        misused(f"bench on {threads} threads", f"--threads is not 1..256: {threads}", "bench",
                "m.xrnpe", "--threads", threads)
    for bench in "gemm", "elementwise":
        misused(f"bench {bench} on too many threads", "--threads is not 1..1024: 4294967297",
                "bench", bench, "--threads", "4294967297")
