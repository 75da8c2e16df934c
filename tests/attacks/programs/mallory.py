# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What mallory's programs have in common. They run on the host as herself, with nothing but its Python."""

import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile

FORBIDDEN_HERE = 77

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
MS_BIND = 0x1000

_libc = ctypes.CDLL(None, use_errno=True)
_children = []


def own_namespaces():
    """A user namespace in which she is root, with a mount namespace of its own."""
    uid, gid = os.getuid(), os.getgid()
    _check(_libc.unshare(CLONE_NEWUSER | CLONE_NEWNS), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", "0 %d 1" % uid), ("gid_map", "0 %d 1" % gid)):
        with open("/proc/self/" + name, "w") as file:
            file.write(text)


def mount(source, target, kind=None, flags=0, options=None):
    arguments = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    _check(_libc.mount(*arguments[:3], ctypes.c_ulong(flags), arguments[3]), "mount on " + target)


def own_folder():
    return tempfile.mkdtemp(prefix="mallory.")


def own_program(path):
    """An executable of hers."""
    shutil.copy("/usr/bin/sleep", path)
    with open(path, "ab") as file:
        file.write(b"mallory was here")


def run(*command):
    """Runs it; returns the magic link of what is run."""
    process = subprocess.Popen(command)
    _children.append(process.pid)
    return "/proc/%d/exe" % process.pid


def opened(path, flags=os.O_RDONLY):
    """Holds it open; returns the magic link."""
    return "/proc/%d/fd/%d" % (os.getpid(), os.open(path, flags))


def passed_out(work):
    """What ``work`` opens in a child, which may go to other namespaces and stays there, passed to this process."""
    mine, hers = socket.socketpair()
    child = os.fork()
    if child == 0:
        socket.send_fds(hers, [b"x"], [work()])
        os.read(hers.fileno(), 1)
        os._exit(0)
    _children.append(child)
    hers.close()
    fds = socket.recv_fds(mine, 1, 1)[1]
    if not fds:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return fds[0]


def execute(fd):
    """Executes an open file in a child, as fexecve(3) does; returns the magic link of what is run."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.set_inheritable(fd, False)
        os.execve(fd, ["sleep", "infinity"], {})
    _children.append(child)
    os.close(writer)
    os.read(reader, 1)  # ends when the other end was closed by execve
    return "/proc/%d/exe" % child


def stay(*links, then=None):
    """Tells which links are to deceive root, waits for the loss of the real file, ``then`` perhaps does more."""
    print(json.dumps(links), flush=True)
    sys.stdin.readline()
    print(json.dumps(then() if then else links), flush=True)
    sys.stdin.read()
    for child in _children:
        os.kill(child, 9)


def _check(result, what):
    if result:
        error = ctypes.get_errno()
        print("%s: %s" % (what, os.strerror(error)), file=sys.stderr)
        sys.exit(FORBIDDEN_HERE)
