# SPDX-License-Identifier: MIT
"""cli: what build/xrnpe prints, writes and returns, above all when something is
wrong; prints TAP.

    python3 tests/cli [XRNPE]
"""
import os
import shutil
import sys
import tempfile

import archives
import command
import disasm
import files
import general
import layers
import measures
import models

# In this order: later ones use files that earlier ones made.
CHECKS = (general.check_usage, general.check_mistakes, general.check_devices, models.check_compile,
          models.check_task, models.check_points, models.check_bytes, models.check_model_info,
          models.check_run, general.check_pipes, models.check_formats, layers.check_layers,
          models.check_several, models.check_external, archives.check_archives, disasm.check_disasm,
          measures.check_num, measures.check_bench_products, measures.check_bench,
          models.check_damage)


def main():
    work = tempfile.mkdtemp()
    # A copy, so that a user without access to the checkout can run it too.
    command.xrnpe.path = os.path.join(work, "xrnpe")
    shutil.copy(sys.argv[1] if len(sys.argv) > 1 else os.path.join(files.TOP, "build/xrnpe"),
                command.xrnpe.path)
    os.chmod(work, 0o755)
    os.chdir(work)
    os.environ.pop("XRNPE_THREADS", None)
    try:
        for check in CHECKS:
            check()
    finally:
        os.chdir(files.TOP)
        shutil.rmtree(work)
    print(f"1..{command.count}")
    return 1 if command.failures else 0


sys.exit(main())
