# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs on the host as root: restores a file of mallory's to her own folder, which she exchanges before the N-th call.

The calls are those that a run makes on its way to the folder and in it; for each of them there is a run in which she
does what EXCHANGES[argv[2]] says right before it. argv[1] is how the file comes back, one of WAYS.
"""

import json
import os
import pwd
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ansible_collections.procfs.rescue.plugins.module_utils._local_host import LOCAL
from ansible_collections.procfs.rescue.plugins.module_utils._model import Scan, Terms
from ansible_collections.procfs.rescue.plugins.module_utils._restore import restore

UID = pwd.getpwnam("mallory").pw_uid
HOME = "/home/mallory/exchange"
ABOVE = f"{HOME}/above"
FOLDER = f"{ABOVE}/folder"
PATH = f"{FOLDER}/tool"
# Root's: nothing is to be written there.
VICTIM = "/srv/victim"

WAYS = {
    "copied": Terms(),
    "copied, without O_TMPFILE": Terms(),
    "linked": Terms(),
    "replaced": Terms(force=True, backup=True),
    "replaced, without O_TMPFILE": Terms(force=True, backup=True),
    "linked and replaced": Terms(force=True),
}


def folder() -> None:
    os.rename(FOLDER, f"{ABOVE}/real")
    os.symlink(f"{VICTIM}/folder", FOLDER)


def ancestor() -> None:
    os.rename(ABOVE, f"{HOME}/real")
    os.symlink(VICTIM, ABOVE)


def name() -> None:
    if os.path.lexists(PATH):
        os.unlink(PATH)
    os.symlink(f"{VICTIM}/folder/tool", PATH)


def draft() -> None:
    """The hidden folder in which the file waits for its name, where there is one just now."""
    for found in os.listdir(FOLDER):
        if found.startswith(".procfs-rescue."):
            os.rename(f"{FOLDER}/{found}", f"{HOME}/waiting")
            os.symlink(f"{VICTIM}/folder", f"{FOLDER}/{found}")


EXCHANGES = {"folder": folder, "ancestor": ancestor, "name": name, "draft": draft}


def as_mallory(work: Callable[[], None]) -> int:
    """Does it in a child; returns its pid."""
    child = os.fork()
    if child:
        return child
    try:
        os.setresgid(UID, UID, UID)
        os.setresuid(UID, UID, UID)
        work()
        os._exit(0)
    finally:
        os._exit(1)


def done_by_mallory(work: Callable[[], None]) -> None:
    if os.waitpid(as_mallory(work), 0)[1]:
        raise RuntimeError(f"mallory could not: {work}")


@contextmanager
def lost_file(way: str) -> Iterator[None]:
    """She holds what was her file; all folders are as they were."""
    for top in HOME, VICTIM:
        shutil.rmtree(top, ignore_errors=True)
    os.makedirs(f"{VICTIM}/folder")
    reader, writer = os.pipe()

    def hold() -> None:
        os.makedirs(FOLDER)
        held = os.open(PATH, os.O_RDWR | os.O_CREAT)
        os.write(held, b"hers")
        if "linked" in way:
            os.link(PATH, f"{HOME}/twin")
        os.unlink(PATH)
        if "replaced" in way:
            with open(PATH, "wb") as file:
                file.write(b"newer")
        os.write(writer, b"x")
        signal.pause()

    if "replaced" in way:
        with open(f"{VICTIM}/folder/tool", "wb") as file:
            file.write(b"root's")
    holder = as_mallory(hold)
    os.close(writer)
    try:
        if not os.read(reader, 1):
            raise RuntimeError("mallory could not hold her file")
        yield
    finally:
        os.close(reader)
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)


class Calls:
    """Counts the system calls of the product, without those of the scan; does ``work`` before number ``when``."""

    def __init__(self, when: int, work: Callable[[], None]) -> None:
        self.names: list[str] = []
        self.when = when
        self.work = work
        # Her file is of no package; to look that up would take most of the time.
        self.host = LOCAL._replace(scan=self.scan, witnesses=lambda _paths: {})

    def __enter__(self) -> "Calls":
        sys.setprofile(self.see)
        return self

    def __exit__(self, *_error: object) -> None:
        sys.setprofile(None)

    def see(self, frame: FrameType, event: str, function: Any) -> None:
        is_ours = ".module_utils." in frame.f_globals["__name__"]
        if event == "c_call" and is_ours and function.__module__ in ("posix", "fcntl"):
            self.names.append(function.__name__)
            if len(self.names) == self.when:
                done_by_mallory(self.work)

    def scan(self, *arguments: Any) -> Scan:
        sys.setprofile(None)
        try:
            return LOCAL.scan(*arguments)
        finally:
            sys.setprofile(self.see)


def tree(top: str) -> list[tuple[str, int, int]]:
    """Every name below it, with inode and time of the last change."""
    paths = [top, *(os.path.join(at, name) for at, folders, files in os.walk(top) for name in folders + files)]
    return sorted((path, os.lstat(path).st_ino, os.lstat(path).st_ctime_ns) for path in paths)


def descriptors() -> set[int]:
    return {int(fd) for fd in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{fd}")}


def run(way: str, exchange: Callable[[], None], when: int) -> tuple[list[str], str, list[str]]:
    """The calls, what the result says, and what must not be."""
    with lost_file(way):
        before, inode = tree(VICTIM), os.stat(FOLDER).st_ino
        known = descriptors()
        with Calls(when, exchange) as calls:
            (result,) = restore([{"path": PATH}], WAYS[way], lambda _line: None, calls.host)
        # An exchange that fails does so inside of the product, before a close(2) as well.
        for fd in descriptors() - known:
            os.close(fd)
    wrong = []
    if tree(VICTIM) != before:
        wrong.append("root's folder was written to")
    if exchange is not draft and any("/.procfs-rescue." in path for path, _inode, _changed in tree(HOME)):
        wrong.append("debris")
    if result["status"] == "restored" and exchange is not name:
        (real,) = [path for path, found, _changed in tree(HOME) if found == inode]
        with open(f"{real}/tool", "rb") as file:
            if file.read() != b"hers":
                wrong.append("not in the folder that was opened")
    told = result["status"] + "".join(f" {reason}" for reason in result.get("refused", ()))
    return calls.names, told, wrong


def main() -> None:
    way, exchange = sys.argv[1], EXCHANGES[sys.argv[2]]
    if "without O_TMPFILE" in way:
        vars(os)["O_TMPFILE"] = 0  # the folder itself, opened for writing: EISDIR, as where the file system has none
    run(way, exchange, 0)  # what is read once only is read now
    recorded, undisturbed, _wrong = run(way, exchange, 0)
    told: Counter[str] = Counter()
    wrong = {}
    for when, call in enumerate(recorded, 1):
        for _time in range(3):  # on a busy machine there may be one call more
            names, status, what = run(way, exchange, when)
            if what or names[: when - 1] == recorded[: when - 1]:
                break
        else:
            raise RuntimeError(f"not the recorded calls: {names[:when]} instead of {recorded}")
        told[status] += 1
        if what:
            wrong[f"{when} {call}"] = what
    json.dump({"undisturbed": undisturbed, "calls": recorded, "told": told, "wrong": wrong}, sys.stdout)


if __name__ == "__main__":
    main()
