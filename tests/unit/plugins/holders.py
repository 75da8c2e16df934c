# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real processes that hold real files. Each ends with its test, also when that is killed: its input ends then."""

from __future__ import annotations

import ctypes
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

T = TypeVar("T")

NOBODY = 65534

# Python's own mmap module keeps a descriptor of the file.
_MAP_SHARED = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
fd = os.open(sys.argv[1], os.O_RDWR)
address = libc.mmap(None, ctypes.c_size_t(4096), 3, 1, fd, ctypes.c_long(0))
os.close(fd)
print("ready", flush=True)
sys.stdin.read()
"""

_END_FIRST_THREAD = """
import ctypes, sys, threading, time
threading.Thread(target=sys.stdin.read).start()
time.sleep(0.02)  # the thread's start time is another one than the process's
ctypes.CDLL(None).pthread_exit(None)
"""


class Held(NamedTuple):
    """A file that process ``pid`` holds through the magic link ``link``."""

    pid: int
    link: str
    fd: int | None = None


class Holders:
    def __init__(self) -> None:
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(
        self,
        *command: str | Path,
        user: int = 0,
        keep: tuple[int, ...] = (),
        environment: dict[str, str] | None = None,
    ) -> int:
        """Starts a command that goes on until its input ends. It holds ``keep`` and nothing of ours besides."""
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # pytest's own is a deleted file
            pass_fds=keep,
            preexec_fn=lambda: _become(user),  # noqa: PLW1509  (user= is of Python 3.9; nobody has threads here)
            cwd="/",
            env={**os.environ, **(environment or {})},
        )
        self._processes[process.pid] = process
        return process.pid

    def run(self, program: Path, user: int = 0) -> Held:
        """Copies an executable to ``program`` and runs it."""
        shutil.copy2(shutil.which("cat") or "/bin/cat", program)
        pid = self.start(program, user=user)
        return Held(pid, f"/proc/{pid}/exe")

    def open(self, path: Path | str | bytes, flags: int = os.O_RDONLY, user: int = 0) -> Held:
        fd = os.open(path, flags)
        try:
            return self.keep(fd, user)
        finally:
            os.close(fd)

    def keep(self, fd: int, user: int = 0) -> Held:
        pid = self.start("cat", user=user, keep=(fd,))
        return Held(pid, f"/proc/{pid}/fd/{fd}", fd)

    def map_library(self, library: Path) -> Held:
        """Copies a shared library to ``library`` and loads it: mapped, with no descriptor left."""
        shutil.copy2(mapped_path(os.getpid(), "/libc.so.6"), library)
        pid = self.start("cat", environment={"LD_PRELOAD": str(library)})
        wait_until(lambda: f"{library}\n" in Path(f"/proc/{pid}/maps").read_text())
        return Held(pid, f"/proc/{pid}/map_files")

    def map_shared(self, path: Path) -> Held:
        """Maps ``path`` to write to it, with no descriptor left."""
        pid = self.start(sys.executable, "-c", _MAP_SHARED, path)
        self.expect(pid, b"ready\n")
        return Held(pid, f"/proc/{pid}/map_files")

    def keep_in_second_thread(self, fd: int, program: Path | str = sys.executable, library: Path | str = "") -> Held:
        """Holds it (as any thread does), runs ``program``, a copy of Python, and ends the first thread."""
        environment = {"PYTHONHOME": f"{sys.base_prefix}:{sys.base_exec_prefix}", "LD_PRELOAD": str(library)}
        pid = self.start(program, "-c", _END_FIRST_THREAD, keep=(fd,), environment=environment)
        wait_until(lambda: b"Z (zombie)" in Path(f"/proc/{pid}/status").read_bytes())
        return Held(pid, f"/proc/{pid}/task", fd)

    def expect(self, pid: int, line: bytes) -> None:
        """Waits for a line that the process says."""
        output = self._processes[pid].stdout
        assert output is not None
        assert output.readline() == line

    def say(self, pid: int, text: bytes) -> None:
        inlet = self._processes[pid].stdin
        assert inlet is not None
        inlet.write(text)
        inlet.flush()

    def ended(self, pid: int) -> int:
        """How it ended by itself: its exit code, or the negative number of the signal."""
        process = self._processes.pop(pid)
        process.communicate(timeout=5)
        return process.returncode

    def end(self, pid: int) -> None:
        """Does not wait for what a child of it may still hold of its output."""
        with self._processes.pop(pid) as process:
            process.kill()

    def end_all(self) -> None:
        for pid in list(self._processes):
            self.end(pid)


def memfd(name: str) -> int:
    """os.memfd_create is of Python 3.8."""
    fd: int = ctypes.CDLL(None).memfd_create(os.fsencode(name), 1)
    return fd


def mapped_path(pid: int, ending: str) -> str:
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return next(line.split(None, 5)[5] for line in lines if line.endswith(ending))


def fields_of(pid: str) -> list[str]:
    """State, parent, process group and more (proc(5)); none when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="latin-1").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def wait_until(condition: Callable[[], bool], seconds: float = 5) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.002)


def in_child(work: Callable[[], T], user: int = 0, seconds: int = 20) -> T:
    """What ``work`` gives or raises in a child process: what it breaks, loses or never gets an answer to ends there."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            os.close(reader)
            signal.alarm(seconds)
            _become(user)
            answer: tuple[object, BaseException | None]
            try:
                answer = work(), None
            except BaseException as error:  # noqa: BLE001
                answer = None, error
            with open(writer, "wb") as file:
                pickle.dump(answer, file)
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        told = file.read()
    _pid, status = os.waitpid(child, 0)
    assert told, f"the child said nothing and ended with status {status}"
    result, error = pickle.loads(told)
    if error is not None:
        raise error
    return result  # type: ignore[no-any-return]


def _become(user: int) -> None:
    if user:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
