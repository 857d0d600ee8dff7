# SPDX-License-Identifier: MIT
"""What the device reads and writes, as text."""
import json
import os
import re
import struct

from command import fails, misused, result, succeeds, xrnpe
from files import COMMAND_SECTION, ONNX, OPERANDS, RECORD, TOP, forge, read, sections, write

JOB_RECORD = 320        # bytes of a job record


def trace_lines(values):
    """Lines as the device's trace writes them, by the formats in qemu-device/trace-events:
    VALUES has [(event, [arguments])]."""
    with open(os.path.join(TOP, "qemu-device/trace-events")) as f:
        forms = dict(re.findall(r"^(xrnpe_\w+)\(.*?\) (.*)$", f.read(), re.M))
    lines = []
    for event, arguments in values:
        form = "".join(re.findall(r'"([^"]*)"', re.sub(r'" PRI\w+', lambda m: "x" + '"'
                       if m.group(0).startswith('" PRIx') else "d" + '"', forms[event])))
        lines.append(f"{event} " + form.replace("%u", "%d") % tuple(arguments))
    return lines


def dump_of(commands, record, regions="    region 0: 0x1000 size 0x40 r-\n"):
    """A dump as the driver writes it, see Documentation/accel/xrnpe.rst."""
    def lines(data):
        return "".join(f"  {data[i:i + 32].hex()}\n" for i in range(0, len(data), 32))
    return ("XR-NPE dump 1\nthe job took too long\nregisters:\n  STATUS 0x1\nrings:\n"
            "    region 0: 0x0 size 0x1 rw\nculprit:\n  client 1 queue 2 job 3\n" + regions +
            "record:\n" + lines(record) + f"commands: {len(commands)} bytes, stride {RECORD}\n" +
            lines(commands))


def check_dump(commands, record):
    dump = dump_of(commands, record)
    text = succeeds("a dump", "disasm", write("dump", dump.encode()))
    kept = dump.split("record:")[0]
    result(text.startswith(kept) and "record:\njob       17\n" in text, "a dump in words", text)
    # It is told what is illegal with the regions that the job had, of which there is one.
    result(re.search(rf"^commands: {len(commands)} bytes, stride {RECORD}\n     0  \w.*\n"
                     r"        \^ .*region.*\n     1  \w", text, re.M), "and its commands", text)
    parsed = json.loads(succeeds("a dump as JSON", "disasm", "--json", "dump"))
    result(parsed["text"] == kept.splitlines() and parsed["record"]["seqno"] == 17 and
           len(parsed["commands"]) == 2, "has the same", parsed)
    none = succeeds("a dump of a job without a record", "disasm",
                    write("dump", dump_of(b"", bytes(JOB_RECORD)).encode()))
    result("\nrecord: none\ncommands: 0 bytes" in none, "says so", none)
    at = dump.splitlines().index("record:") + 1
    for name, bad, message in (
            ("of another version", dump.replace("dump 1", "dump 2"), "a dump of a version other than 1"),
            ("without a record", kept, f"line {at - 1}: the dump ends before its record"),
            ("cut in the record", "".join(dump.splitlines(True)[:at + 2]),
             f"line {at + 2}: the dump ends early"),
            ("with other bytes", dump.replace(record[:32].hex(), "xy"),
             f"line {at + 1}: these are not the bytes that should follow"),
            ("with too long a line", dump.replace(record[:32].hex(), record[:32].hex() * 11),
             f"line {at + 1}: these are not the bytes that should follow"),
            ("without commands", dump.split("commands:")[0],
             f"line {at + 10}: the dump ends before its commands"),
            ("of too many commands", dump.replace(f"{len(commands)} bytes", "99999999999 bytes"),
             f"line {at + 11}: there are no such commands"),
            ("of odd commands", dump.replace(f"stride {RECORD}", "stride 100"),
             f"line {at + 11}: there are no such commands")):
        fails("a dump " + name, "dump: " + message, "disasm", write("dump", bad.encode()))


def check_disasm():
    layers = json.loads(succeeds("compile for disasm", "compile", ONNX, "--calib", "calib.npy",
                                 "-o", "m.xrnpe", "--json"))["layers"]
    good = read("m.xrnpe")
    start, size = sections(good)[COMMAND_SECTION]
    count, raw = size // RECORD, good[start:start + size]
    text = succeeds("disasm of a model", "disasm", "m.xrnpe")
    lines = text.splitlines()
    commands = [line for line in lines if re.match(r" *\d+  \w", line)]
    result(lines[0].startswith(f"{count} commands; r0 constants ") and len(commands) == count,
           "all of its commands", text)
    result([line.split(":")[0] for line in lines[1:] if line not in commands] ==
           [layer["name"] for layer in layers], "under the names of their layers", text)
    result(re.search(r"^ +1  conv2d    (\w+) x \1 -> \w+ +28x28x1 -> 28x28x16 k3x3 p1,1 relu "
                     r"ifm r1\+0x[0-9a-f]+/\d+/\d+ weight r0\+0x[0-9a-f]+/\d+/\d+ "
                     r"scale r0\+0x[0-9a-f]+/8 ofm r1\+0x[0-9a-f]+/\d+/\d+$", text, re.M),
           "a convolution in a line", text)
    parsed = json.loads(succeeds("disasm --json", "disasm", "--json", "m.xrnpe"))
    result([c["text"] for c in parsed["commands"]] == [c[8:] for c in commands] and
           {c["layer"] for c in parsed["commands"]} == {layer["name"] for layer in layers} and
           not any(c["fault"] for c in parsed["commands"]), "as JSON it says the same", parsed)
    fields = parsed["commands"][1]["fields"]
    result(fields["opcode"] == "conv2d" and fields["out_c"] == 16 and
           fields["activation"] == "relu" and fields["scale.format"] == "f32",
           "and every field", fields)
    result([line.split() for line in succeeds("disasm --fields", "disasm", "m.xrnpe", "--fields")
            .splitlines() if line.startswith(" " * 10 + "out_c")][0] == ["out_c", "16"],
           "--fields as text")

    write("raw", raw)
    result(succeeds("a command buffer", "disasm", "--raw", "raw").splitlines() == commands,
           "the same commands without a model")
    write("wide", b"".join(raw[i:i + RECORD].ljust(256, b"\xff")
                           for i in range(0, len(raw), RECORD)))
    result(succeeds("records apart", "disasm", "--raw", "--stride", "256", "wide").splitlines() ==
           commands, "the same commands")
    fails("a record cut short", f"cut: offset {RECORD}: a command record has {RECORD} bytes, not 8",
          "disasm", "--raw", write("cut", raw[:RECORD + 8]))
    fails("no record", "empty: offset 0: ", "disasm", "--raw", write("empty", b""))
    fails("too many records", f"many: offset {65536 * RECORD}: a job has at most 65536 commands",
          "disasm", "--raw", write("many", bytes(65537 * RECORD)))
    for stride in "0", "100", "128", "1088", "x":
        misused(f"--stride {stride}", "--stride is not a multiple of 64 from 192 to 1024: " + stride,
                "disasm", "--raw", "raw", "--stride", stride)
    misused("--stride of a model", "--stride goes with --raw", "disasm", "raw", "--stride", "192")
    misused("two kinds", "--raw or a --record, not both", "disasm", "--raw", "--record", "raw")
    misused("no file", "one file is expected", "disasm")

    # What is illegal is shown, and named as the loader names it.
    bad = forge(good, COMMAND_SECTION, RECORD + OPERANDS + 8, "<I", 1)
    write("bad.xrnpe", forge(bad, COMMAND_SECTION, 2 * RECORD, "<B", 77))
    done = xrnpe("run", "bad.xrnpe", "--input", "in.npy")
    why = re.search(r"field ifm\.\S+ is out of its range: \d+$", done.stderr.strip())
    text = succeeds("an illegal model", "disasm", "bad.xrnpe")
    result(why and f"\n        ^ {why.group(0)}\n" in text and
           "     2  opcode 77\n        ^ illegal opcode\n" in text, "what is illegal", done, text)
    faults = [c["fault"] for c in json.loads(xrnpe("disasm", "--json", "bad.xrnpe").stdout)
              ["commands"]]
    result(faults[1]["kind"] == "illegal field" and why and faults[1]["text"] == why.group(0) and
           faults[2]["kind"] == "illegal opcode" and not faults[0], "as JSON", faults)
    fails("a damaged model", "bad.xrnpe: truncated", "disasm", write("bad.xrnpe", good[:-1]))
    fails("not a model", "bad.xrnpe: not an .xrnpe file", "disasm", write("bad.xrnpe", bytes(300)))
    fails("a text", "text: neither an .xrnpe model nor a trace", "disasm",
          write("text", b"some text\n"))

    # seqno, status, fault; then start, end, executed and the counters.
    record = struct.pack("<IIIIIIQQQQ", 17, 1, 4, 3, 4, 1, 4096, 1000, 5000, 3000) + \
        struct.pack("<27Q", *range(1, 28)) + bytes(48)
    text = succeeds("a job record", "disasm", "--record", write("record", record))
    result("job       17\nstatus    invalid\nfault     command 3: ofm outside region 1: at offset 4096\n"
           "timer     1000 to 5000: 4000 ticks, 3000 of them executing\n" in text and
           re.search(r"^bytes weight +8$", text, re.M) and
           re.search(r"^products p8 x fp4 +20$", text, re.M), "a job record in words", text)
    parsed = json.loads(succeeds("--record --json", "disasm", "--record", "record", "--json"))
    result(parsed["seqno"] == 17 and parsed["invalid"] and
           parsed["fault"]["kind"] == "out of bounds" and parsed["executed"] == 3000 and
           list(parsed["counters"].values()) == list(range(1, 28)), "a job record as JSON", parsed)
    good_record = record[:8] + bytes(24) + record[32:]
    result("fault     none\n" in succeeds("a job that ended well", "disasm", "--record",
                                          write("record", good_record)), "has no fault")
    fails("half a job record", f"record: has 100 bytes; a job record has {JOB_RECORD}", "disasm",
          "--record", write("record", record[:100]))

    check_dump(raw[:2 * RECORD], record)

    log = trace_lines([
        ("xrnpe_write", (0x110, 3)), ("xrnpe_read", (0x158, 2)), ("xrnpe_read", (0x020, 0x101)),
        ("xrnpe_write", (0x104 + 0x40, 0)), ("xrnpe_read", (0x208, 5)), ("xrnpe_write", (0xff0, 1)),
        ("xrnpe_irq", (0x101, 1, 1)), ("xrnpe_job_start", (0, 9, 2, 4)),
        ("xrnpe_cmd_fetch", (0, 1, "conv2d    p8 x fp4 -> p16")),
        ("xrnpe_cmd_refuse", (0, 1, "field m is out of its range: 0")),
        ("xrnpe_job_end", (0, 9, 1, 4, 1, 4, 1, 0x1000)), ("xrnpe_job_end", (1, 10, 0, 0, 0, 255, 0, 0)),
    ])
    want = ["write QUEUE0.TAIL 0x00000003", "read  QUEUE1.STATE running",
            "read  IRQ_STATUS 0x00000101: done 0, stopped 0", "write QUEUE1.BASE_HI 0x00000000",
            "read  COUNTER_LO(stall_cycles) 0x00000005", "write 0xff0 0x00000001",
            "irq   asserted, status 0x00000101: done 0, stopped 0",
            "job_start queue 0 seqno 9: 2 commands, 4 regions",
            "cmd_fetch queue 0 command 1: conv2d    p8 x fp4 -> p16",
            "cmd_refuse queue 0 command 1: field m is out of its range: 0",
            "queue 0 job 9 ended, invalid: command 1: ofm outside region 1: at offset 4096",
            "queue 1 job 10 ended"]
    write("log", "\n".join(["qemu: a message", *log, ""]).encode())
    text = succeeds("a trace", "disasm", "log")
    result(text.splitlines() == ["qemu: a message", *want], "a trace in words", text)
    events = json.loads(succeeds("a trace as JSON", "disasm", "log", "--json"))["events"]
    result([e["text"] for e in events] == want and
           [e["event"] for e in events] == [line.split()[0] for line in log] and
           [e["line"] for e in events] == list(range(2, len(log) + 2)), "has its events", events)
    write("log", ("123@1600000000.123456:" + log[0]).encode())
    text = succeeds("a trace with times", "disasm", "log")
    result(text == "123@1600000000.123456: write QUEUE0.TAIL 0x00000003\n", "keeps them", text)
    done = xrnpe("disasm", write("log", (log[0] + "\n" + log[0][:15]).encode()))
    result(done.returncode == 1 and done.stderr == "xrnpe: log: line 2: xrnpe_write is malformed\n",
           "a trace cut short", done)
