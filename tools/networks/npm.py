# SPDX-License-Identifier: MIT
"""Packages of the npm registry, fetched once and kept below the cache."""
import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile

from cache import CACHE, made_once

ONNXRUNTIME = "onnxruntime-node@1.30.0"


class Failed(Exception):
    """What went wrong, in a line."""


def require_node():
    for program in ("node", "npm"):
        if not shutil.which(program):
            raise Failed(f"'{program}' is missing (Debian: apt-get install nodejs npm)")


def npm(command, package, option, folder):
    print(f"fetching {package}", file=sys.stderr, flush=True)
    # What a package carries suffices; scripts would fetch libraries for GPUs.
    done = subprocess.run(["npm", command, package, option, folder, "--ignore-scripts",
                           "--no-audit", "--no-fund"], capture_output=True, text=True)
    if done.returncode:
        # A code, then its explanation; at the end a file that few look into.
        lines = [re.sub(r"^npm (error|ERR!) *", "", e) for e in done.stderr.splitlines()]
        raise Failed(f"npm {command} {package}: " + ", ".join(lines[:3]))


def installed(package):
    """The folder with PACKAGE, NAME@VERSION, and all it needs, for node to find."""
    require_node()
    folder = os.path.join(CACHE, package)
    with made_once(folder) as work:
        if work:
            npm("install", package, "--prefix", work)
    return folder


def unpacked(package, integrity):
    """The folder of PACKAGE, NAME@VERSION, alone; INTEGRITY as package-lock.json writes it."""
    require_node()
    folder = os.path.join(CACHE, "npm", package.replace("/", "+"))
    with made_once(folder) as work:
        if work:
            npm("pack", package, "--pack-destination", work)
            archive, = (os.path.join(work, n) for n in os.listdir(work))
            with open(archive, "rb") as f:
                found = "sha512-" + base64.b64encode(hashlib.sha512(f.read()).digest()).decode()
            if found != integrity:
                raise Failed(f"{package} has the checksum {found} instead of {integrity}")
            with tarfile.open(archive) as tar:
                tar.extractall(work)    # names are those of the known archive
            os.remove(archive)
    return os.path.join(folder, "package")
