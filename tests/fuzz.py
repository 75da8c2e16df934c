# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs every property of the unit tests with very many examples, and says what was run so that it can be run again.

fuzz.py SEED
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

ENOUGH = 100_000
ROOT = Path(__file__).resolve().parent.parent


def main(seed: str) -> int:
    commit = git("rev-parse", "HEAD") + (" with changes" if git("status", "--porcelain") else "")
    # HYPOTHESIS_PROFILE: tests/unit/plugins/conftest.py. It has no database of examples, neither before nor after.
    options = ["-m", "hypothesis", f"--hypothesis-seed={seed}", "--hypothesis-show-statistics"]
    command = [sys.executable, "-m", "pytest", "-q", "tests/unit", *options]
    started = time.monotonic()
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "HYPOTHESIS_PROFILE": "fuzz"}, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        output = []
        for line in run.stdout:
            print(line, end="", flush=True)
            output.append(line)
    counts = [list(map(int, found)) for found in re.findall(r"- (\d+) passing, (\d+) failing", "".join(output))]
    passed, failed = (sum(count[column] for count in counts) for column in (0, 1))
    print(f"commit    {commit}")
    print(f"command   make fuzz SEED={seed}")
    print(f"examples  {passed} passed, {failed} failed, in {len(counts)} tests")
    print(f"seconds   {time.monotonic() - started:.0f}")
    return run.returncode or passed < ENOUGH


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
