# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""python -m faults [bounded] [SITUATION ...]: a fault at each system call; as root.

python -m faults only SITUATION [bounded] is what it starts for each: a Tally as JSON.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from faults.inject import trial
from faults.situations import SITUATIONS, Situation
from faults.supervisor import CUT, KILL, LOST, Point

ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES)
# SFTP knows no others that fit.
SFTP_ERRORS = (errno.EIO, errno.EACCES)
NAMES = {KILL: "SIGKILL", CUT: "cut before", LOST: "cut after"}
NEVER_FAILING = {"exit_group", "getegid", "geteuid", "getgid", "getpid", "getppid", "gettid", "getuid", "rt_sigreturn"}
# How often these are called is not the same in each run: of them some of the last may not be reached.
VARYING = {"brk", "clock_nanosleep", "futex", "madvise", "mmap", "mremap", "munmap", "select", "pselect6", "wait4"}
# Calls that change something: where only few points are tried, these are.
CHANGING = {
    *("copy_file_range", "fchmod", "fchown", "fsetxattr", "fsync", "ftruncate", "ioctl", "link", "linkat", "mkdir"),
    *("mkdirat", "pwrite64", "rename", "renameat", "renameat2", "rmdir", "sendfile", "unlink", "unlinkat", "utimensat"),
    *(
        "copy-data",
        "fsync@openssh.com",
        "hardlink@openssh.com",
        "posix-rename@openssh.com",
        "remove",
        "setstat",
        "write",
    ),
}


# Each situation gets a /proc of its own, where the holders of the others are not seen.
OWN_PROC = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


class Tally(NamedTuple):
    """``tried`` counts points by fault, ``wrong`` those that left a wrong state; ``lines`` tell of them."""

    lines: list[str]
    tried: dict[str, int]
    wrong: int


def main(arguments: list[str]) -> int:
    bounded = "bounded" in arguments
    names = [one for one in arguments if one != "bounded"] or [one.name for one in SITUATIONS]
    started = time.monotonic()
    tried: Counter[str] = Counter()
    wrong = 0
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for running in as_completed([pool.submit(_apart, name, bounded) for name in names]):
            tally = running.result()
            print(*tally.lines, sep="\n", flush=True)
            tried.update(tally.tried)
            wrong += tally.wrong
    told = ", ".join(f"{number} {kind}" for kind, number in sorted(tried.items()))
    seconds = time.monotonic() - started
    print(f"{sum(tried.values())} points tried in {seconds:.0f} s ({told}): {wrong} left a wrong state")
    return bool(wrong)


def _apart(name: str, bounded: bool) -> Tally:
    command = [*OWN_PROC, sys.executable, "-m", "faults", "only", name, *(["bounded"] if bounded else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return Tally(*json.loads(done.stdout))


def tallied(situation: Situation, bounded: bool) -> Tally:
    for database in "/var/lib/dpkg", "/var/lib/rpm":  # to ask them would take most of the time
        if Path(database).is_dir():
            subprocess.run(["mount", "-t", "tmpfs", "none", database], check=True)
    lines: list[str] = []
    tried: Counter[str] = Counter()
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        seen: Counter[str] = Counter()
        points = []
        for call in trial(situation, Path(folder, "top")).calls:
            seen[call.name] += 1
            faults = _faults_of_sftp if situation.sftp else _faults
            points += [Point(call.name, seen[call.name], fault) for fault in faults(call.name, seen, bounded)]
        for point in points:
            found = trial(situation, Path(folder, "top"), point)
            _reap()
            if not found.reached and point.name not in VARYING:
                found.wrong.append("it was not reached")
            kind = NAMES.get(point.fault) or errno.errorcode[point.fault]
            tried[kind if found.reached else "not reached"] += 1
            wrong += bool(found.wrong)
            lines += [f"WRONG {situation.name}, {kind} at {point.name} {point.number}: {what}" for what in found.wrong]
    return Tally([*lines, f"{situation.name}: {sum(seen.values())} calls, {len(points)} points"], tried, wrong)


def _reap() -> None:
    """Who outlives a killed module becomes a child of ours: each walk over /proc would meet thousands of them."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _faults(name: str, seen: Counter[str], bounded: bool) -> list[int]:
    if name in NEVER_FAILING:
        return [KILL]
    if not bounded:
        return [KILL, *ERRORS]
    return [KILL, ERRORS[sum(seen.values()) % len(ERRORS)]] if name in CHANGING else []


def _faults_of_sftp(name: str, seen: Counter[str], bounded: bool) -> list[int]:
    # A server closes a handle whatever it answers.
    errors = SFTP_ERRORS if name != "close" else ()
    if not bounded:
        return [CUT, LOST, *errors]
    return [(CUT, LOST, *errors)[sum(seen.values()) % 4]] if name in CHANGING else []


if __name__ == "__main__":
    if sys.argv[1:2] == ["only"]:
        (this,) = (one for one in SITUATIONS if one.name == sys.argv[2])
        print(json.dumps(tallied(this, "bounded" in sys.argv)))
    else:
        sys.exit(main(sys.argv[1:]))
