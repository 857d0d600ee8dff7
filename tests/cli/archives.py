# SPDX-License-Identifier: MIT
"""Arrays in .npz files."""
import os
import struct
import zipfile

from command import fails, result, succeeds, xrnpe
from files import (ONNX, SHAPE, images, parse_npy, read, read_npy, write, write_npy, write_npz)


def check_archives():
    """Arrays in .npz files."""
    last = "/flatten/Flatten_output_0"
    succeeds("run two outputs to an archive", "run", ONNX, "--outputs", f"logits,{last}", "--input",
             "in.npy", "--output", "two.npz")
    with zipfile.ZipFile("two.npz") as archive:
        names = archive.namelist()
        arrays = {n: parse_npy(archive.read(n)) for n in names}
        result(archive.testzip() is None and names == ["logits.npy", f"{last}.npy"],
               "it has an array for each output", names)
    result(arrays["logits.npy"] == read_npy("fp32.npy"), "as they are in a file of their own")
    succeeds("an archive and a file", "run", ONNX, "--outputs", f"logits,{last}", "--input",
             "in.npy", "--output", "logits=one.npz", "--output", f"{last}=last.npy")
    with zipfile.ZipFile("one.npz") as archive:
        result(archive.namelist() == ["logits.npy"] and
               read_npy("last.npy") == arrays[f"{last}.npy"], "each has its own")
    fails("several outputs to a file", "so it takes FILE.npz or NAME=FILE: logits, /flatten", "run",
          ONNX, "--outputs", f"logits,{last}", "--input", "in.npy", "--output", "x.npy")

    want = succeeds("run", "run", "m.xrnpe", "--input", "in.npy", "--output", "out.npz")
    again = read("out.npz")
    for packing, name in ((zipfile.ZIP_STORED, "stored"), (zipfile.ZIP_DEFLATED, "deflated")):
        write_npz("in.npz", packing, other="labels.npy", image="in.npy")
        succeeds(f"an input from an archive, {name}", "run", "m.xrnpe", "--input", "in.npz",
                 "--output", "out.npz")
        result(want and read("out.npz") == again, "gives the same archive")
    succeeds("by name", "run", "m.xrnpe", "--input", "image=in.npz")
    write_npz("calib.npz", image="calib.npy")
    succeeds("calibration data from an archive", "compile", ONNX, "--calib", "calib.npz", "-o",
             "same.xrnpe", "-b", "4x")
    result(read("same.xrnpe") == read("m.xrnpe"), "make the same model")

    run = ("run", "m.xrnpe", "--input")
    fails("no such array", "other.npz: has no array image; it has other, more", *run,
          write_npz("other.npz", other="labels.npy", more="in.npy"))
    fails("an empty archive", "empty.npz: not an .npz file", *run,
          write_npz("empty.npz"))
    fails("no archive", "none.npz: cannot open: No such file", *run, "none.npz")
    fails("a .npy file for an archive", "not.npz: not an .npz file", *run,
          write("not.npz", read("in.npy")))
    fails("an array that is none", "text.npz: array image: not a .npy file", *run,
          write_npz("text.npz", image=ONNX))
    fails("packed in another way", "bzip2.npz: array image: damaged, or not packed by deflate", *run,
          write_npz("bzip2.npz", zipfile.ZIP_BZIP2, image="in.npy"))
    os.symlink("/dev/full", "full.npz")
    fails("an archive that cannot be written", "full.npz: cannot write: No space left", *run,
          "in.npz", "--output", "full.npz")
    check_damaged_archive(run)


def check_damaged_archive(run):
    """Half an archive, bits turned in its data and in its directory, sizes without bounds."""
    write_npy("one.npy", SHAPE, images(2, 1))
    good = read(write_npz("one.npz", zipfile.ZIP_DEFLATED, image="one.npy"))
    directory = good.rindex(b"PK\1\2")
    fails("half an archive", "bad.npz: not an .npz file", *run,
          write("bad.npz", good[:len(good) // 2]))
    middle = bytearray(good)
    middle[directory // 2] ^= 16
    fails("a flipped bit", "bad.npz: array image: damaged", *run, write("bad.npz", middle))
    huge = bytearray(good)
    struct.pack_into("<I", huge, directory + 24, 0xfffffffe)
    fails("an array larger than its file holds", "bad.npz: array image: damaged: has 4294967294 "
          "bytes in a file of", *run, write("bad.npz", huge))
    crashed = []
    for at in (*range(45), *range(directory, len(good))):
        for bit in range(0, 8, 3):
            bad = bytearray(good)
            bad[at] ^= 1 << bit
            done = xrnpe(*run, write("bad.npz", bad))
            # What says nothing of the data may be wrong, such as a date.
            if done.returncode not in (0, 1) or done.returncode and "bad.npz" not in done.stderr:
                crashed.append((at, bit, done))
    result(not crashed, "a bit flipped in what describes the archive", *crashed[:3])
