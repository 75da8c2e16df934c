# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs work in a child whose every system call waits until its parent has answered (seccomp_unotify(2))."""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import time
from collections.abc import Callable
from typing import NamedTuple

# linux/seccomp.h, the ioctl numbers as asm-generic builds them.
_SET_MODE_FILTER, _NEW_LISTENER = 1, 8
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_CONTINUE = 1
_NOTIFICATION, _RESPONSE = struct.Struct("<QIIiIQ6Q"), struct.Struct("<QqiI")
# BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF: whatever it is, ask.
_ASK = struct.pack("<HBBI", 0x06, 0, 0, 0x7FC00000)

_LIBC = ctypes.CDLL(None, use_errno=True)
# Where the first argument is a path, and where the second is.
_PATH_FIRST = ("open", "stat", "lstat", "readlink", "access", "mkdir", "rmdir", "unlink", "rename", "chmod")
_PATH_SECOND = ("openat", "openat2", "newfstatat", "statx", "readlinkat", "mkdirat", "unlinkat", "renameat", "fchmodat")


def _numbers() -> dict[int, str]:
    """The names of the system calls of this machine."""
    command = ["gcc", "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null"]
    defines = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {int(number): name for name, number in re.findall(r"^#define __NR_(\w+) (\d+)$", defines, re.M)}


NAMES = _numbers()
_NUMBER_OF = {name: number for number, name in NAMES.items()}


class Call(NamedTuple):
    """A system call that has not begun yet. ``path`` is what it names, empty where it names nothing."""

    name: str
    arguments: tuple[int, ...]
    path: bytes


class End(NamedTuple):
    """``status`` is as waitpid(2) has it, ``output`` all that went to stdout."""

    status: int
    output: bytes

    @property
    def was_killed(self) -> bool:
        return os.WIFSIGNALED(self.status) and os.WTERMSIG(self.status) == signal.SIGKILL


# None: go on; an errno: the call fails with it and does nothing; KILL: SIGKILL, and it does nothing either.
KILL = -1
Decide = Callable[[Call], "int | None"]


def run(work: Callable[[], object], decide: Decide | None = None) -> End:
    """Runs ``work`` in a child; ``decide`` is asked before each of its system calls, not those of its own children."""
    reader, writer = os.pipe()
    wake_reader, wake_writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.dup2(writer, 1)
            for fd in reader, writer, wake_reader:
                os.close(fd)
            if decide is not None:
                _ask_before_each(wake_writer)
            work()
        finally:
            os._exit(0)
    os.close(writer)
    os.close(wake_writer)
    try:
        if decide is not None:
            _answer(child, wake_reader, decide)
        with open(reader, "rb", closefd=False) as file:
            output = file.read()
        return End(os.waitpid(child, 0)[1], output)
    finally:
        os.close(reader)
        os.close(wake_reader)


def _ask_before_each(wake: int) -> None:
    """The listener gets the lowest number that is free; the parent takes it from us while we wait for an answer."""
    number = os.dup(0)
    os.close(number)
    os.write(wake, b"%d" % number)
    instructions = ctypes.create_string_buffer(_ASK, len(_ASK))
    program = ctypes.create_string_buffer(struct.pack("@HP", 1, ctypes.addressof(instructions)))
    arguments = (_SET_MODE_FILTER, _NEW_LISTENER, program)
    if _LIBC.syscall(_NUMBER_OF["seccomp"], *arguments) < 0:
        os.write(2, b"seccomp: %s\n" % os.strerror(ctypes.get_errno()).encode())
        os._exit(1)
    os.close(number)
    os.close(wake)


def _listener(child: int, wake: int) -> int:
    number = int(os.read(wake, 16))
    pidfd = os.pidfd_open(child)
    try:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            fd = _LIBC.syscall(_NUMBER_OF["pidfd_getfd"], pidfd, number, 0)
            if fd >= 0:
                return int(fd)
        raise RuntimeError("the child has no listener")
    finally:
        os.close(pidfd)


def _answer(child: int, wake: int, decide: Decide) -> None:
    listener = _listener(child, wake)
    memory = os.open(f"/proc/{child}/mem", os.O_RDONLY)
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    try:
        while not poll.poll()[0][1] & select.POLLHUP:
            _answer_one(child, listener, memory, decide)
    finally:
        os.close(memory)
        os.close(listener)


def _answer_one(child: int, listener: int, memory: int, decide: Decide) -> None:
    notification = bytearray(_NOTIFICATION.size)
    try:
        fcntl.ioctl(listener, _RECEIVE, notification)
        cookie, pid, _flags, number, _arch, _ip, *arguments = _NOTIFICATION.unpack(notification)
        decision = None if pid != child else decide(_call(number, arguments, memory))
        if decision == KILL:
            os.kill(child, signal.SIGKILL)
            return
        answer = (0, 0, _CONTINUE)
        if decision is not None:
            answer = (0, -decision, 0)
        fcntl.ioctl(listener, _SEND, _RESPONSE.pack(cookie, *answer))
    except FileNotFoundError:  # it was killed meanwhile
        return


def _call(number: int, arguments: list[int], memory: int) -> Call:
    name = NAMES.get(number, str(number))
    path = b""
    if name in _PATH_FIRST or name in _PATH_SECOND:
        address = arguments[0] if name in _PATH_FIRST else arguments[1]
        try:
            path = os.pread(memory, 4096, address).partition(b"\0")[0]
        except OSError:  # none was given
            path = b""
    return Call(name, tuple(arguments), path)
