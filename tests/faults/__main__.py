# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""python -m faults [bounded] [SITUATION]: a fault at each system call; in a /proc of its own, as root."""

from __future__ import annotations

import errno
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from faults.inject import trial
from faults.situations import SITUATIONS
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


def main(arguments: list[str]) -> int:
    bounded = "bounded" in arguments
    chosen = [one for one in SITUATIONS if not set(arguments) - {"bounded"} or one.name in arguments]
    for database in "/var/lib/dpkg", "/var/lib/rpm":  # to ask them would take most of the time
        if Path(database).is_dir():
            subprocess.run(["mount", "-t", "tmpfs", "none", database], check=True)
    started = time.monotonic()
    tried: Counter[str] = Counter()
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        for situation in chosen:
            seen: Counter[str] = Counter()
            points = []
            for call in trial(situation, Path(folder, "top")).calls:
                seen[call.name] += 1
                faults = _faults_of_sftp if situation.sftp else _faults
                points += [Point(call.name, seen[call.name], fault) for fault in faults(call.name, seen, bounded)]
            for point in points:
                found = trial(situation, Path(folder, "top"), point)
                if not found.reached and point.name not in VARYING:
                    found.wrong.append("it was not reached")
                kind = NAMES.get(point.fault) or errno.errorcode[point.fault]
                tried[kind if found.reached else "not reached"] += 1
                wrong += bool(found.wrong)
                for what in found.wrong:
                    print(f"WRONG {situation.name}, {kind} at {point.name} {point.number}: {what}", flush=True)
            print(f"{situation.name}: {sum(seen.values())} calls, {len(points)} points", flush=True)
    told = ", ".join(f"{number} {kind}" for kind, number in sorted(tried.items()))
    seconds = time.monotonic() - started
    print(f"{sum(tried.values())} points tried in {seconds:.0f} s ({told}): {wrong} left a wrong state")
    return bool(wrong)


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
    sys.exit(main(sys.argv[1:]))
