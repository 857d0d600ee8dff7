# SPDX-License-Identifier: MIT
"""Packages of the npm registry, fetched once and kept below the cache."""
import base64
import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile

CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "xrnpe")


class Failed(Exception):
    """What went wrong, in a line."""


def npm(*arguments):
    for program in ("node", "npm"):
        if not shutil.which(program):
            raise Failed(f"'{program}' is missing (Debian: apt-get install nodejs npm)")
    # What a package carries suffices; scripts would fetch libraries for GPUs.
    done = subprocess.run(["npm", *arguments, "--ignore-scripts", "--no-audit", "--no-fund"],
                          capture_output=True, text=True)
    if done.returncode:
        raise Failed("npm: " + (done.stderr.strip().splitlines() or ["failed"])[-1])


@contextlib.contextmanager
def made_once(folder):
    """An empty folder to fill, which becomes FOLDER when that went well; None if it is there.

    A second process waits for the first."""
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    with open(folder + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.isdir(folder):
            yield None
            return
        work = tempfile.mkdtemp(dir=os.path.dirname(folder))
        try:
            yield work
            os.rename(work, folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def installed(package):
    """The folder with PACKAGE, NAME@VERSION, and all it needs, for node to find."""
    folder = os.path.join(CACHE, package)
    with made_once(folder) as work:
        if work:
            npm("install", "--prefix", work, package)
    return folder


def unpacked(package, integrity):
    """The folder of PACKAGE, NAME@VERSION, alone; INTEGRITY as package-lock.json writes it."""
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
