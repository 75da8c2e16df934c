# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an attack does on the host, as the user mallory: part of the program that runs there, see `arena`."""

# ruff: noqa: F401  (the attacks take their modules from here)
import ctypes
import fcntl
import os
import shutil
import signal
import socket
import sys
import time

WORK = sys.argv[1]  # a folder of hers

libc = ctypes.CDLL(None, use_errno=True)
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
TIOCSPTLCK = 0x40045431  # linux/ioctls.h: lets the other end be opened
PIVOT_ROOT = 155 if os.uname().machine == "x86_64" else 41


def checked(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def mount(source, target, fs_type="none", flags=0, data=None):
    texts = [text.encode() for text in (source, target, fs_type)]
    checked(libc.mount(*texts, ctypes.c_ulong(flags), None if data is None else data.encode()))


def unshare(flags):
    checked(libc.unshare(flags))
    mount("none", "/", flags=MS_REC | MS_PRIVATE)


def become_root_of_namespaces():
    """A user and a mount namespace of one's own, in which one may mount."""
    uid, gid = os.getuid(), os.getgid()
    checked(libc.unshare(CLONE_NEWUSER | CLONE_NEWNS))
    for name, text in (("setgroups", "deny"), ("uid_map", "0 %d 1" % uid), ("gid_map", "0 %d 1" % gid)):
        with open("/proc/self/" + name, "w") as file:
            file.write(text)
    mount("none", "/", flags=MS_REC | MS_PRIVATE)


def bind(source, target):
    mount(source, target, flags=MS_BIND)


def evil(path):
    """A program of hers; what it does besides sleeping is not told here."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    shutil.copy("/usr/bin/sleep", path)
    with open(path, "ab") as file:
        file.write(b"evil")
    return path


def start(path, *arguments):
    """Runs a program; its pid."""
    pid = os.fork()
    if pid == 0:
        os.execv(path, [path, *arguments])
    while os.readlink("/proc/%d/exe" % pid).rpartition("/")[2] != os.path.basename(path):
        os.sched_yield()
    return pid


def passed_out(make):
    """The descriptor that ``make`` opens in namespaces of its own, passed to us, who live in the host's."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        try:
            become_root_of_namespaces()
            path = make()
            fd = os.open(path, os.O_RDONLY)
            socket.send_fds(theirs, [b"x"], [fd])
            os.close(fd)
            os.unlink(path)
            theirs.send(b"y")
            signal.pause()  # with the last process of a namespace its mounts would go
        finally:
            os._exit(0)
    theirs.close()
    _message, fds, _flags, _address = socket.recv_fds(ours, 1, 1)
    if not fds or ours.recv(1) != b"y":
        raise OSError("nothing was passed out")
    return fds[0]


def execute(fd, *arguments):
    """fexecve(3) in a child, in our own namespaces."""
    if os.fork() == 0:
        os.execve(fd, ["bash", *arguments], {})


def stage(before, after=lambda: None):
    """Tells that everything is ready, and does the rest when the real file is deleted."""
    held = before()
    print("ready", flush=True)
    sys.stdin.readline()
    after()
    print("done", flush=True)
    sys.stdin.readline()
    return held
