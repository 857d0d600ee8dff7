# SPDX-License-Identifier: MIT
"""Models: compiled, run, damaged."""
import array
import hashlib
import json
import os
import random
import re
import shutil
import struct

from command import fails, misused, result, succeeds, xrnpe
from files import (COMMAND_SECTION, CONSTANT_SECTION, ONNX, OPERAND_BYTES, OPERANDS,
                   POINT_SECTION, SHAPE, forge, images, read, read_npy, sections, sign, write, write_npy,
                   write_npz, write_sum)


def formats_of(layer):
    """As the table has them: of weights, where there are any, and of inputs."""
    return "/".join(layer[key] for key in ("weight_format", "format") if key in layer)


def check_points():
    """Compiled into p.xrnpe; m.xrnpe is the same without other points."""
    made = json.loads(succeeds("compile points", "compile", ONNX, "--calib", "calib.npy", "-b", "4x",
                               "-o", "p.xrnpe", "--points", "3", "--report", "points.html",
                               "--json"))
    alone = json.loads(succeeds("a model alone", "info", "m.xrnpe", "--json"))
    points = made["points"]
    begin = points[made["point"]]
    result(len(points) == 3 and len(alone["points"]) == 1 and
           [p["cycles"] for p in points] == sorted(p["cycles"] for p in points) and
           all(begin[key] == alone["points"][0][key] for key in
               ("bytes", "cycles", "picojoules", "output_error")) and
           sum(trial["carried"] for trial in made["trials"]) == 3,
           "the fastest is first, and the one asked for is there", points)
    page = read("points.html").decode()
    result(page.count("circle class=c") == 2 * len(points) and
           all(f"<td>{p['bytes']}</td>" in page for p in points), "the page shows them")
    told = json.loads(succeeds("info of points", "info", "p.xrnpe", "--json"))
    result(told["points"] == points and told["point"] == made["point"] and
           told["memory"]["constants"] < sum(p["constants"] for p in points),
           "the file tells the same, and constants are shared", told["points"])
    text = succeeds("points as text", "info", "p.xrnpe")
    result([row.split()[0] for row in text.splitlines()[-3:]] == ["0", "1", "2"] and
           sum(row.endswith(" *") for row in text.splitlines()) == 1, "a row each", text)
    write_npy("few.npy", (5, *SHAPE), images(8, 5))
    run = ("run", "--input", "few.npy", "--json")
    digests = [json.loads(succeeds(f"run point {i}", *run, "p.xrnpe", "--point", str(i)))["sha256"]
               for i in range(3)]
    result(len(set(digests)) == 3 and digests[made["point"]] ==
           json.loads(succeeds("run none", *run, "p.xrnpe"))["sha256"] ==
           json.loads(succeeds("run alone", *run, "m.xrnpe"))["sha256"],
           "points differ; one is the model alone, bit for bit", digests)
    for limit, i in (("1s", 2), (f"{1.01e3 * points[0]['seconds']:.9f}ms", 0),
                     (f"{1.01e-6 * points[1]['picojoules']:.9f}uJ", 1)):
        got = json.loads(succeeds(f"run within {limit}", *run, "p.xrnpe", "--budget", limit))
        result(got["point"] == i and got["sha256"] == digests[i], "at the most exact that keeps it", got)
    for limit, i in ("0.001us", 0), ("0.000001%", 2):
        done = xrnpe(*run, "p.xrnpe", "--budget", limit)
        result(done.returncode == 0 and json.loads(done.stdout)["point"] == i and
               done.stderr.startswith(f"xrnpe run: no point keeps the budget: point {i}, which comes "
                                      f"closest, takes {1e3 * points[i]['seconds']:.3g} ms and "),
               f"none keeps {limit}, which is said", done)
    figures = ("--energy", "memory_byte=0", "--energy", "cycle=0")
    told = json.loads(succeeds("points by other figures", "info", "p.xrnpe", *figures, "--json"))["points"]
    limit = 1.01 * told[1]["picojoules"]
    got = json.loads(succeeds("run by other figures", *run, "p.xrnpe", "--budget", f"{1e-6 * limit:.9f}uJ",
                              *figures))
    result(got["point"] == 1 and limit < points[0]["picojoules"], "a governor goes by the same", got, told)
    misused("run: figures of nothing", "--energy goes with --budget", *run, "p.xrnpe", "--energy", "cycle=1")
    misused("run: a budget of bytes", "budget 4x: is not a time", *run, "p.xrnpe", "--budget", "4x")
    misused("run: a budget and a point", "--point gives one", *run, "p.xrnpe", "--budget", "1s",
            "--point", "0")
    misused("run: a network's budget", "a network has no points", *run, ONNX, "-b", "1s")
    for i, point in enumerate(points):
        got = json.loads(succeeds(f"bench point {i}", "bench", "p.xrnpe", "--point", str(i),
                                  "--seconds", "0.01", "--batch", "1", "--json"))
        result(got["cycles"] == point["cycles"], "is the point's", got)
        commands = json.loads(succeeds(f"disasm point {i}", "disasm", "p.xrnpe", "-p", str(i), "-j"))
        result(len(commands["commands"]) * 192 == point["own_commands"], "has its commands")
    for command in (("info",), ("run", "--input", "few.npy"), ("bench",), ("disasm",)):
        fails(f"{command[0]}: no such point", "p.xrnpe: has no point 3; the last is 2", *command,
              "p.xrnpe", "--point", "3")
        misused(f"{command[0]}: no number", "--point is not the number of one: x", *command,
                "p.xrnpe", "--point", "x")
    misused("a point of a network", "a network has no points", "run", ONNX, "--input", "few.npy",
            "--point", "0")
    misused("a point of no model", "--point is for a model", "info", "--point", "0")
    misused("a point of a buffer", "--point is for a model", "disasm", "p.xrnpe", "--raw", "--point",
            "0")


def check_compile():
    """Returns the compiled model's name."""
    write_npy("calib.npy", (4, *SHAPE), images(1, 4))
    base = ("compile", ONNX, "--calib")
    table = json.loads(succeeds("compile", *base, "calib.npy", "-o", "m.xrnpe", "-b", "4x",
                                "--json"))
    result(table["bytes"] == sum(layer["bytes"] for layer in table["layers"]) and
           4 * table["bytes"] <= table["float_bytes"], "it keeps the budget of 4x", table)
    result(0 < table["output_error"] < 1 and table["output_error_inputs"] == 1 and
           table["output_error_unseen"] and any("the one input" in note for note in table["notes"]),
           "the error is that of an input kept aside, which is too few", table)
    text = succeeds("compile again", *base, "calib.npy", "-o", "again.xrnpe", "-b", "4x")
    result(read("again.xrnpe") == read("m.xrnpe"), "the same model, bit for bit")
    rows = text.splitlines()
    result(rows[-1].startswith("output error ") and "on 1 input kept aside" in rows[-1],
           "the error is told", rows[-1])
    result(len(rows) == len(table["layers"]) + 3 and
           rows[0].split() == ["layer", "operators", "shape", "MACs", "formats", "bytes", "cycles",
                               "error"]
           and all(str(layer["macs"]) in row and formats_of(layer) in row.split()
                   for layer, row in zip(table["layers"], rows[1:])),
           "the table has a row a layer", text)
    result(f", {table['float_bytes'] / table['bytes']:.2f} times smaller than FP32" in rows[-2],
           "how much smaller it is is told", rows[-2])
    result("\033" not in text, "no colours in a file")

    trials = json.loads(succeeds("other choices", *base, "calib.npy", "-o", "again.xrnpe", "-b", "4x",
                                 "--trials", "4", "--report", "page.html", "--json"))["trials"]
    result(read("again.xrnpe") == read("m.xrnpe"), "do not change the model")
    takes = ("bytes", "cycles", "picojoules", "output_error")
    result([p["chosen"] for p in trials].count(True) == 1 and len(trials) > 4 and all(
        not p["best"] or not any(
            all(q[k] <= p[k] for k in takes) and any(q[k] < p[k] for k in takes) for q in trials)
        for p in trials),
        "one is chosen, none beats the best", trials)
    page = read("page.html").decode()
    result(page.startswith("<!DOCTYPE html>") and page.count("<svg") == page.count("</svg>") == 4 and
           "src=" not in page and "href=" not in page and
           all(layer["name"] in page for layer in table["layers"]),
           "the page has drawings and all layers, and nothing from elsewhere")
    text = succeeds("trials as text", *base, "calib.npy", "-o", "again.xrnpe", "-t", "2")
    result(sum(row.endswith(" *") for row in text.splitlines()) == 1, "a star at what is chosen",
           text)
    for option in ("--trials", "--points"):
        for count in ("many", "0", "101", "-1", "4294967297"):
            misused(f"{option} {count}", f"{option} is not a number", *base, "calib.npy", "-o",
                    "none.xrnpe", option, count)
    fails("nowhere to write the page", "none/page.html: cannot create", *base, "calib.npy", "-o",
          "again.xrnpe", "--report", "none/page.html")

    model = read(ONNX)
    write("odd.onnx", model.replace(b"GlobalAveragePool", b"GlobalAveragePooX"))
    fails("an operator we lack", "GlobalAveragePooX", "compile", "odd.onnx", "--calib",
          "calib.npy", "-o", "none.xrnpe")
    fails("and its file is named", "odd.onnx: ", "compile", "odd.onnx", "--calib",
          "calib.npy", "-o", "none.xrnpe")
    write("cut.onnx", model[:len(model) // 2])
    fails("a truncated ONNX model", "cut.onnx: ", "compile", "cut.onnx", "--calib",
          "calib.npy", "-o", "none.xrnpe")
    fails("no ONNX model", "none.onnx: cannot open: No such file", "compile", "none.onnx",
          "--calib", "calib.npy", "-o", "none.xrnpe")
    fails("no calibration data", "none.npy: cannot open: No such file", *base, "none.npy",
          "-o", "none.xrnpe")
    write_npy("wide.npy", (4, 1, 28, 29), [0.0] * 4 * 28 * 29)
    fails("calibration data of another shape", "wide.npy: has shape 4x1x28x29; input ", *base,
          "wide.npy", "-o", "none.xrnpe")
    write_npy("nan.npy", (4, *SHAPE), [float("nan")] * 4 * 28 * 28)
    fails("calibration data that is not finite", "finite", *base, "nan.npy", "-o", "none.xrnpe")
    for budget in ("x", "0x", "-5", "12parsecs"):
        fails(f"budget {budget}", budget, *base, "calib.npy", "-o", "none.xrnpe", "--budget",
              budget)
    for budget, needed in (("100", "the smallest formats need"), ("1cycles", "need"),
                           ("1e-6uJ", "need"), ("1e-4%", "the least found is")):
        fails(f"a budget of {budget}", needed, *base, "calib.npy", "-o", "none.xrnpe",
              "--budget", budget)
    write_npy("black.npy", (4, *SHAPE), [0.0] * 4 * 28 * 28)
    fails("calibration data of nothing", "all zero", *base, "black.npy", "-o", "none.xrnpe")
    result(not os.path.exists("none.xrnpe"), "failures write nothing")
    fails("no folder to write to", "none/m.xrnpe: cannot create: No such file", *base,
          "calib.npy", "-o", "none/m.xrnpe")


def check_task():
    """Labels of calibration inputs, and what models lose of them."""
    write_npy("many.npy", (12, *SHAPE), images(9, 12))
    succeeds("what binary32 says", "run", ONNX, "-i", "many.npy", "-o", "said.npy")
    shape, said = read_npy("said.npy")
    rows = [struct.unpack_from("<10f", said, 40 * i) for i in range(12)]
    base = ("compile", ONNX, "-c", "many.npy", "-o", "task.xrnpe")
    labels = [row.index(max(row)) for row in rows]
    write_npy("classes.npy", (12,), labels, "B", "|u1")
    table = json.loads(succeeds("compile with labels", *base, "-l", "classes.npy", "-t", "2",
                                "--max-loss", "50%", "--report", "page.html", "--json"))
    task = table["task"]
    result(task["classes"] and task["inputs"] == 8 and task["float_score"] == 1 and
           abs(task["loss"] - (1 - task["score"])) < 1e-6 and
           task["loss"] + 1.645 * task["spread"] <= 0.5, "what is lost, which is no more", task)
    result(all("task" in trial for trial in table["trials"]), "of all trials", table["trials"])
    told = json.loads(succeeds("info of its file", "info", "task.xrnpe", "--json"))
    result(told["task"] == task, "the file tells the same", told["task"])
    line = f"{100 * task['score']:.2f} % of 8 inputs kept aside told right, in FP32 100.00 %: "
    result(line in read("page.html").decode(), "the page tells it")
    rows = succeeds("as text", *base, "-l", "classes.npy", "--max-loss", "50%").splitlines()
    result(rows[-1].startswith(line), "so does the last line", rows[-1])
    result(rows[-1] in succeeds("info of it as text", "info", "task.xrnpe").splitlines(),
           "info tells it again")
    text = succeeds("labels that are outputs", *base, "-l", "said.npy", "-b", "4x")
    result("RMS error " in text and " on 8 inputs kept aside, in FP32 0: " in text, "which binary32 gives",
           text)
    fails("a loss that so few cannot tell", "a loss of 1 % is not known from 8 inputs kept aside: "
          "give at least 330 with labels", *base, "-l", "classes.npy", "--max-loss", "1%")
    misused("a loss that nothing tells", "--max-loss needs --labels", *base, "--max-loss", "1%")
    for loss in "1", "0%", "100%", "x%", "1%%":
        misused(f"--max-loss {loss}", f"--max-loss is not a share as in 0.2%: {loss}", *base, "-l",
                "classes.npy", "--max-loss", loss)
    fails("too few labels for all inputs", "labels are not a class, or 10 values of output ", *base, "-l",
          write_npy("few.npy", (11,), labels[:11], "B", "|u1"))
    fails("a class that there is not", "label 11 is 10; output ", *base, "-l",
          write_npy("large.npy", (12,), labels[:11] + [10], "B", "|u1"))
    fails("an output that is none", "label 0 is not finite", *base, "-l",
          write_npy("nans.npy", (12, 10), [float("nan")] * 120))


def check_bytes():
    """Images as cameras give them."""
    rng = random.Random(7)
    pixels = [rng.randrange(256) for _ in range(8 * 28 * 28)]
    write_npy("pixels.npy", (8, 28, 28, 1), pixels, "B", "|u1")
    write_npy("reals.npy", (8, *SHAPE), [(p - 128) * 0.0078125 for p in pixels])
    how = ("--input-format", "u8", "--mean", "128", "--scale", "0.0078125")
    sums = [json.loads(succeeds("run on " + name, "run", ONNX, "-i", name, "--json", *options))
            for name, options in (("pixels.npy", how), ("reals.npy", ()))]
    result(sums[0]["sha256"] == sums[1]["sha256"], "bytes are what they stand for", sums)
    succeeds("compile for bytes", "compile", ONNX, "-c", "pixels.npy", "-o", "bytes.xrnpe", *how)
    text = succeeds("its commands", "disasm", "bytes.xrnpe")
    result(re.search(r"convert +u8 -> p", text) and "f32 ->" not in text,
           "the device converts bytes to codes", text)
    succeeds("run what takes bytes", "run", "bytes.xrnpe", "-i", "pixels.npy")
    fails("no bytes", "takes bytes: integers from 0 to 255", "run", "bytes.xrnpe", "-i",
          write_npy("half.npy", (1, 28, 28, 1), [0.5] * 28 * 28))
    base = ("compile", ONNX, "-c", "pixels.npy", "-o", "none.xrnpe")
    fails("no such input", "has no input x to be given as bytes", *base, "--input-format", "x=u8")
    fails("too many means", "has 1 channels, but means or scales are given for 3", *base,
          "--input-format", "u8", "--mean", "1,2,3")
    misused("no format", "--input-format is not [NAME=]u8 or u8-planar: u9", *base,
            "--input-format", "u9")
    misused("no number", "--mean is not [NAME=]NUMBER,NUMBER...: 1,,2", *base, "--mean", "1,,2")
    misused("a mean of nothing", "--mean and --scale are for inputs with --input-format", *base,
            "--mean", "1")
    misused("unequal numbers", "--mean has 2 numbers, --scale 3", *base, "--input-format", "u8",
            "--mean", "1,2", "--scale", "1,2,3")
    misused("bytes for a model", "are for networks", "run", "bytes.xrnpe", "-i", "pixels.npy",
            *how)


def check_model_info():
    """What a model costs."""
    cost = json.loads(succeeds("info of a model", "info", "m.xrnpe", "--json"))
    layers = cost["layers"]
    table = json.loads(succeeds("the table again", "compile", ONNX, "--calib", "calib.npy", "-o",
                                "again.xrnpe", "-b", "4x", "--json"))
    result(cost["output_error"] == table["output_error"], "it keeps its error", cost)
    result(all(cost[key] == sum(layer[key] for layer in layers)
               for key in ("cycles", "stall_cycles", "commands", "blocks_active", "blocks_gated")),
           "the layers add up", cost)
    elements = cost["device"]["rows"] * cost["device"]["cols"]
    result(cost["blocks_active"] + cost["blocks_gated"] == 49 * elements * cost["cycles"],
           "a block works or is gated", cost)
    result(abs(cost["seconds"] * cost["device"]["clock_khz"] * 1000 - cost["cycles"]) < 1 and
           0 < cost["utilisation"] < 1 and cost["picojoules"] > 0, "time, use and energy", cost)
    memory = cost["memory"]
    result(memory["inputs"] == 4 * 28 * 28 and memory["outputs"] == 40 and memory["arena"] > 0 and
           memory["commands"] == 192 * cost["commands"] and memory["constants"] > 0, "memory", memory)
    text = succeeds("info of a model as text", "info", "m.xrnpe", "--device", "emu")
    rows = text.splitlines()
    result(len(rows) == len(layers) + 5 and
           all(row.startswith(layer["name"]) and f" {layer['cycles']} " in row
               for layer, row in zip(layers, rows[1:])), "a row a layer", text)
    figures = write("figures.txt", b"# of a board\nmemory_byte=40\n fp4/p8=0.5 # a product\n")
    told = json.loads(succeeds("figures of energy", "info", "m.xrnpe", "--energy", figures, "--energy",
                               "cycle=10", "--json"))
    usual = cost["energy"]
    result(told["energy"] == {**usual, "memory_byte": 40, "fp4/p8": 0.5, "cycle": 10} and
           told["cycles"] == cost["cycles"] and told["picojoules"] < cost["picojoules"],
           "are those that count", told["energy"], usual)
    table = json.loads(succeeds("compiled by them", "compile", ONNX, "--calib", "calib.npy", "-o",
                                "again.xrnpe", "-b", "4x", "--json", "--energy", figures, "--energy",
                                "cycle=10"))
    again = json.loads(succeeds("and told", "info", "again.xrnpe", "--energy", figures, "--energy",
                                "cycle=10", "--json"))
    result(abs(table["picojoules"] - again["picojoules"]) < 1e-6 * again["picojoules"], "the same energy",
           table["picojoules"], again["picojoules"])
    for text, message in (("dram=1", "there is no figure dram; there are "), ("cycle=x", "is not NAME="),
                          ("cycle=-1", "cycle is -1, not a number from 0 to 1e+12"),
                          ("sharing=0", "sharing is 0, not a number from 1 to 1e+12"),
                          (write("bad.txt", b"\ncycle\n"), "bad.txt: line 2: cycle: is not NAME="),
                          ("none.txt", "none.txt: cannot open")):
        fails(f"--energy {text}", message, "info", "m.xrnpe", "--energy", text)
    misused("figures of nothing", "--energy goes with a model", "info", "--energy", "cycle=1")
    fails("info of no model", "none.xrnpe: cannot open: No such file", "info", "none.xrnpe")


def check_run():
    n, classes = 6, 10
    write_npy("in.npy", (n, *SHAPE), images(2, n))
    rng = random.Random(3)
    labels = [rng.randrange(classes) for _ in range(n)]
    write_npy("labels.npy", (n,), labels, "B", "|u1")
    base = ("run", "m.xrnpe", "--input", "in.npy")
    got = json.loads(succeeds("run", *base, "--labels", "labels.npy", "--output", "out.npy",
                              "--json"))
    shape, logits = read_npy("out.npy")
    result(shape == (n, classes) and len(logits) == n * classes * 4, "shape of the outputs", shape)
    result(got["sha256"] == hashlib.sha256(logits).hexdigest(), "digest of the outputs", got)
    rows = [struct.unpack_from("<10f", logits, 40 * i) for i in range(n)]
    right = sum(row.index(max(row)) == label for row, label in zip(rows, labels))
    result(abs(got["accuracy"] - 100 * right / n) < 1e-3, "accuracy", got, right)
    result(got["count"] == n and got["device"] == "emu" and got["images_per_second"] > 0 and
           got["invalid"] is False, "count, device and speed", got)
    text = succeeds("run as text", *base)
    result(got["sha256"] in text and f"{n} in " in text, "text has the same digest", text)

    for threads in "1", "3":
        again = json.loads(succeeds(f"{threads} threads", *base, "--json",
                                    env={**os.environ, "XRNPE_THREADS": threads}))
        result(again["sha256"] == got["sha256"], f"the same bits with {threads} threads", again)
    few = json.loads(succeeds("--limit", *base, "--limit", "2", "--json"))
    result(few["count"] == 2 and few["sha256"] == hashlib.sha256(logits[:80]).hexdigest(),
           "--limit runs the first", few)
    write_npy("one.npy", SHAPE, images(2, n)[:28 * 28])
    one = json.loads(succeeds("a single input", "run", "m.xrnpe", "--input", "one.npy", "--json"))
    result(one["sha256"] == hashlib.sha256(logits[:40]).hexdigest(), "is the first", one)
    fp32 = json.loads(succeeds("FP32 reference", "run", ONNX, "--input", "in.npy", "--output",
                               "fp32.npy", "--json"))
    shape, reference = read_npy("fp32.npy")
    result(fp32["device"] == "cpu" and shape == (n, classes) and reference != logits and
           fp32["sha256"] == hashlib.sha256(reference).hexdigest(), "FP32 outputs", fp32)

    fails("input of another shape",
          "flat.npy: has shape 6x784; input ", "run", "m.xrnpe", "--input",
          write_npy("flat.npy", (n, 784), images(2, n)))
    fails("and the shape that it takes", "of m.xrnpe takes Nx1x28x28", "run", "m.xrnpe",
          "--input", "flat.npy")
    fails("no input file", "none.npy: cannot open", "run", "m.xrnpe", "--input", "none.npy")
    fails("a truncated input", "cut.npy: has ", "run", "m.xrnpe", "--input",
          write("cut.npy", read("in.npy")[:-1]))
    fails("input of doubles", "doubles.npy: element type '<f8' is not supported", "run",
          "m.xrnpe", "--input", write_npy("doubles.npy", SHAPE, [0.0] * 784, "d", "<f8"))
    # A NaN is nothing's class, whoever computes; and what is told of it is no number.
    write_npy("holes.npy", (2, *SHAPE), images(5, 1) + [float("nan")] * 28 * 28)
    write_npy("zeros.npy", (2,), [0, 0], "B", "|u1")
    for name in (ONNX, "m.xrnpe"):
        got = json.loads(succeeds(f"NaNs through {name}", "run", name, "-i", "holes.npy", "-l",
                                  "zeros.npy", "-o", "nans.npy", "--json"))
        row = struct.unpack(f"<{2 * classes}f", read_npy("nans.npy")[1])[classes:]
        result(got["not_finite"] == 1 and got["without_class"] == 1 and got["accuracy"] <= 50 and all(v != v for v in row),
               "are seen in the end, and have no class", got, row)
    text = succeeds("NaNs as text", "run", "m.xrnpe", "-i", "holes.npy")
    result("warning   1 of 2 inputs hold a NaN or an infinity" in text, "are counted", text)
    shutil.copy("m.xrnpe", "own.xrnpe")
    for path, what in ("own.xrnpe", "the model"), ("in.npy", "--input"), ("zeros.npy", "--labels"):
        fails(f"an output that is {what}", f"--output is {what} itself: ./{path}", "run", "own.xrnpe",
              "-i", "in.npy", "-l", "zeros.npy", "-o", "./" + path)
    result(read("own.xrnpe") == read("m.xrnpe"), "nothing is lost")
    shutil.copy("in.npy", "a=b.npy")
    succeeds("a file with a = in its name", "run", "m.xrnpe", "-i", "a=b.npy")
    fails("a wrong name", "--input x=in.npy: m.xrnpe has no input of that name; it has ",
          "run", "m.xrnpe", "-i", "x=in.npy")
    fails("labels that are not there", "typo.npy: cannot open", *base, "--labels", "typo.npy",
          "--output", "lost.npy")
    fails("an empty file", "zero.npy: holds no inputs", "run", ONNX, "--input",
          write_npy("zero.npy", (0, *SHAPE), []))
    done = xrnpe("compile", ONNX, "-c", write_npy("one.npy", SHAPE, images(3, 1)), "-o",
                 "one.xrnpe")
    result(done.returncode == 0, "a single input, with nothing in front", done)
    fails("too few labels", "few.npy: has shape 5; 6 labels are needed", *base, "--labels",
          write_npy("few.npy", (5,), labels[:5], "B", "|u1"))
    fails("half a class", "half.npy: label 1 is 2.5, which is no class", *base, "--labels",
          write_npy("half.npy", (6,), [1, 2.5, 3, 4, 5, 6]))
    fails("a label too large", "large.npy: label 5 is 10; output ", *base,
          "--labels", write_npy("large.npy", (n,), labels[:5] + [10], "B", "|u1"))
    fails("an output that cannot be written", "none/out.npy: cannot create", *base,
          "--output", "none/out.npy")
    fails("a device that is not there", "accel99: cannot open", *base, "--device", "accel99")
    fails("no threads", "XRNPE_THREADS=0 is not 1..256", *base,
          env={**os.environ, "XRNPE_THREADS": "0"})


def check_formats():
    """Formats that are given, and kept."""
    compile_ = ("compile", ONNX, "--calib", "in.npy")
    done = succeeds("formats of all layers", *compile_, "-f", "p16", "-o", "wide.xrnpe", "--json")
    layers = json.loads(done)["layers"]
    result({layer["format"] for layer in layers} == {"p16"}, "they are those of all", layers)
    named = next(layer["name"] for layer in layers if "weight_format" in layer)
    done = succeeds("formats of one layer", *compile_, "-f", f"{named}=p4/p8", "-o", "a.xrnpe",
                    "--save-formats", "chosen.txt", "--json")
    layer = next(l for l in json.loads(done)["layers"] if l["name"] == named)
    result((layer["weight_format"], layer["format"]) == ("p4", "p8"), "they are its", layer)
    result(f"{named}=p4/p8\n" in read("chosen.txt").decode(), "and in the file of all")
    succeeds("the file given again", *compile_, "--formats", "chosen.txt", "-o", "b.xrnpe",
             "--save-formats", "again.txt")
    result(read("again.txt") == read("chosen.txt"), "the same formats")
    write("sharp.onnx", read(ONNX).replace(b"/stem/conv/Conv", b"/stem/conv#Conv"))
    sharp = ("compile", "sharp.onnx", "--calib", "in.npy", "-o", "b.xrnpe")
    succeeds("a layer with a # in its name", *sharp, "--save-formats", "chosen.txt")
    write("chosen.txt", read("chosen.txt").replace(b"\n", b" # kept\n"))
    succeeds("the file given again", *sharp, "--formats", "chosen.txt", "--save-formats", "again.txt")
    result(read("again.txt") == read("chosen.txt").replace(b" # kept", b""), "the same formats")
    shutil.copy(ONNX, "own.onnx")
    os.symlink("own.onnx", "link.onnx")
    own = ("compile", "own.onnx", "--calib", "in.npy")
    fails("an output that is the network", "--output is the network itself: link.onnx", *own, "-o",
          "link.onnx")
    for option in "--report", "--save-formats":
        fails(f"{option} that is the network", f"{option} is the network itself: ./own.onnx", *own,
              "-o", "c.xrnpe", option, "./own.onnx")
        fails(f"{option} that is the output", f"--output and {option} are one file: ./c.xrnpe", *own,
              "-o", "c.xrnpe", option, "./c.xrnpe")
    fails("an output that is the data", "--output is --calib itself: in.npy", *own, "-o", "in.npy")
    result(read("own.onnx") == read(ONNX) and not os.path.exists("c.xrnpe"), "nothing is lost")
    fails("a compiled model", "wide.xrnpe: is a compiled model; compile takes a network", "compile",
          "wide.xrnpe", "--calib", "in.npy", "-o", "c.xrnpe")
    fails("a wrong name", "--calib imgae=in.npy: own.onnx has no input of that name; it has ",
          "compile", "own.onnx", "--calib", "imgae=in.npy", "-o", "c.xrnpe")
    fails("formats of no layer", "has no layer nowhere, for which formats are given; it has /stem/conv/Conv, ", *compile_,
          "-f", "nowhere=p8", "-o", "c.xrnpe")
    write("bad.txt", b"# a comment\n\nconv=p7/p8\n")
    write("zero.txt", b"p8\n\0\nconv=p7/p8\n")
    fails("a file of formats that is no text", "zero.txt: is no text", *compile_, "--formats",
          "zero.txt", "-o", "c.xrnpe")
    adds = next(layer["name"] for layer in layers if "+Add" in layer["op"])
    done = succeeds("formats of what is added", *compile_, "-f", f"{adds}=p4/p8+p16", "-o", "a.xrnpe",
                    "--save-formats", "adds.txt", "--json")
    layer = next(l for l in json.loads(done)["layers"] if l["name"] == adds)
    result((layer["format"], layer.get("added_format")) == ("p8", "p16"), "they are its", layer)
    result(f"{adds}=p4/p8+p16\n" in read("adds.txt").decode(), "and in the file")
    misused("a format of what is added that there is not", f"{adds}=p4/p8+: is not LAYER=",
            *compile_, "-f", f"{adds}=p4/p8+", "-o", "c.xrnpe")
    fails("a file with a format that there is not", "bad.txt: line 3: conv=p7/p8: is not LAYER=",
          *compile_, "--formats", "bad.txt", "-o", "c.xrnpe")


def check_several():
    """A network of two inputs."""
    write_sum("sum.onnx", 8)
    rng = random.Random(4)
    left, right = ([rng.uniform(-1, 1) for _ in range(40)] for _ in range(2))
    write_npy("left.npy", (5, 8), left)
    write_npy("right.npy", (5, 8), right)
    write_npz("both.npz", left="left.npy", right="right.npy")
    run = ("run", "sum.onnx")
    named = ("--input", "right=right.npy", "--input", "left=left.npy")
    succeeds("two inputs by name", *run, *named, "--output", "sum.npy")
    want = array.array("f", (array.array("f", [a])[0] + array.array("f", [b])[0]
                             for a, b in zip(left, right)))
    result(read_npy("sum.npy") == ((5, 8), want.tobytes()), "their sum", read_npy("sum.npy"))
    succeeds("both from an archive", *run, "--input", "both.npz", "--output", "again.npy")
    result(read("again.npy") == read("sum.npy"), "the same sum")
    succeeds("compiled with calibration data by name", "compile", "sum.onnx", "--calib",
             "left=left.npy", "--calib", "right=both.npz", "-o", "sum.xrnpe")
    succeeds("compiled with those of an archive", "compile", "sum.onnx", "--calib", "both.npz",
             "-o", "same.xrnpe")
    result(read("same.xrnpe") == read("sum.xrnpe"), "the same model")
    succeeds("and run", "run", "sum.xrnpe", *named)
    scaled = write_sum("scaled.onnx", 8, "Mul", struct.pack("<8f", *range(1, 9)))
    lines = succeeds("parameters that take more than in binary32", "compile", scaled, "--calib",
                     "left.npy", "-o", "scaled.xrnpe", "--report", "scaled.html").splitlines()
    result(any(re.search(r"bytes of parameters, [1-9]\.\d\d times larger than FP32$", line)
               for line in lines), "by how much is said", lines)
    result(re.search(r"bytes of parameters, [1-9]\.\d\d times larger than in binary32;",
                     read("scaled.html").decode()), "and on the page")
    # No command has a computed exponent.
    compile_ = ("compile", write_sum("power.onnx", 8, "Pow"), "--calib", "both.npz", "-o",
                "power.xrnpe")
    layers = json.loads(succeeds("a layer on the CPU", *compile_, "--json"))["layers"]
    on_cpu = [layer for layer in layers if layer["place"] == "cpu"]
    result(len(on_cpu) == 1 and on_cpu[0]["op"] == "Pow" and 0 < on_cpu[0]["cpu_ms"] < 1000 and
           on_cpu[0]["why"], "what it takes, and why", layers)
    lines = succeeds("as text", *compile_, "--report", "power.html").splitlines()
    takes = r"\(Pow\), here [\d.e-]+ ms: " + on_cpu[0]["why"]
    result(any(line.startswith("on the CPU: ") and re.search(takes, line) for line in lines),
           "likewise", lines)
    result(re.search(r"CPU, here [\d.e-]+ ms: " + on_cpu[0]["why"], read("power.html").decode()),
           "and on the page")
    fails("an input without name", "sum.onnx has several inputs, so it takes FILE.npz or NAME=FILE: "
          "left, right", *run, "--input", "left.npy")
    fails("an input is missing", "sum.onnx: --input right=FILE is missing", *run, "--input",
          "left=left.npy")
    fails("an input twice", "input left is given twice", *run, *named, "--input", "left=right.npy")
    fails("an input by name and in an archive", "input left is given twice", *run, "--input",
          "left=left.npy", "--input", "both.npz")
    fails("unequal numbers", "one.npy: holds 1 inputs, left.npy holds 5", *run, "--input",
          "left=left.npy", "--input", "right=" + write_npy("one.npy", (8,), right[:8]))


def check_external():
    """Constants in a file beside the network's, as exporters write those of large ones."""
    numbers = struct.pack("<8f", *range(8))
    write_npy("left.npy", (1, 8), [0.5] * 8)
    run = ("run", write_sum("apart.onnx", 8, right="apart.data"), "--input", "left.npy")
    named = "apart.onnx: constant right lies in another file: apart.data: "
    fails("no such file", named + "cannot open: No such file", *run)
    write("apart.data", numbers[:-4])
    fails("a file too short", named + "has 28 bytes, not 32 from 0 on", *run)
    write("apart.data", numbers)
    succeeds("a file of its own", *run, "--output", "apart.npy")
    result(read_npy("apart.npy")[1] == struct.pack("<8f", *(i + 0.5 for i in range(8))),
           "its numbers are added")


def check_damage():
    good = read("m.xrnpe")
    run = ("run", "bad.xrnpe", "--input", "in.npy")
    write("bad.xrnpe", good[:-1])
    fails("a truncated model", "bad.xrnpe: truncated", *run)
    flipped = bytearray(good)
    flipped[len(good) * 2 // 3] ^= 4
    write("bad.xrnpe", flipped)
    fails("a flipped bit", "bad.xrnpe: damaged: wrong checksum of section ", *run)
    write("bad.xrnpe", read(ONNX))
    fails("not a model", "bad.xrnpe: not an .xrnpe file", *run)
    newer = bytearray(good)
    version = struct.unpack_from("<I", good, 8)[0]
    struct.pack_into("<I", newer, 8, version + 1)
    write("bad.xrnpe", sign(newer))
    fails("a newer version", f"bad.xrnpe: is of format version {version + 1}; this library knows "
          f"{version}", *run)
    fails("no model", "none.xrnpe: cannot open: No such file", "run", "none.xrnpe", "--input",
          "in.npy")
    fails("a folder", "/: cannot read: Is a directory", "run", "/", "--input", "in.npy")

    arena = struct.unpack_from("<Q", good, sections(good)[POINT_SECTION][0] + 40)[0]
    write("bad.xrnpe", forge(good, POINT_SECTION, 40, "<Q", arena // 2))
    done = xrnpe(*run)
    result(done.returncode == 1 and re.match(
        r"xrnpe: bad\.xrnpe: (command \d+ \(\w+, layer \S+\): \w+|tensor \S+:) outside region 1 "
        r"\(arena.*offset \d+, size \d+", done.stderr), "a region too small", done)
    write("bad.xrnpe", forge(good, COMMAND_SECTION, OPERANDS + 4 * OPERAND_BYTES, "<Q", 1 << 40))
    done = xrnpe(*run)
    result(done.returncode == 1 and re.match(
        r"xrnpe: bad\.xrnpe: command 0 \(convert, layer \S+\): ofm outside region 1 \(arena, "
        rf"{arena} bytes\): offset 1099511627776, size \d+\n$", done.stderr),
        "a command that reaches outside its region", done)
    # The scale of command 0, wherever it lies, is made infinite.
    at = struct.unpack_from("<Q", good, sections(good)[COMMAND_SECTION][0] + OPERANDS +
                            3 * OPERAND_BYTES)[0]
    write("bad.xrnpe", forge(good, CONSTANT_SECTION, at, "<I", 0x7f800000))
    done = xrnpe(*run)
    result(done.returncode == 1 and re.match(
        r"xrnpe: bad\.xrnpe: command 0 \(convert, layer \S+\): a scale, bias or slope is illegal: "
        rf"offset {at} of region 0 \(constants, \d+ bytes\) \(element 0\)\n$", done.stderr),
        "a fault names the command", done)
