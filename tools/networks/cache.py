# SPDX-License-Identifier: MIT
"""What is fetched or made once and kept below the user's cache."""
import contextlib
import fcntl
import os
import tempfile

CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "xrnpe")


@contextlib.contextmanager
def made_once(path, folder=True):
    """An empty folder or file to fill, which becomes PATH when that went well; None if it is there.

    A second process waits for the first."""
    parent, name = os.path.split(path)
    os.makedirs(parent, exist_ok=True)
    with open(os.path.join(parent, f".{name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(path):
            yield None
            return
        with tempfile.TemporaryDirectory(dir=parent) as work:
            made = os.path.join(work, "made")
            if folder:
                os.mkdir(made)
            yield made
            os.rename(made, path)
