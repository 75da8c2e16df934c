# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What mallory's programs have in common. They run on the host as herself, with nothing but its Python.

argv[1] is the path that root is to be deceived about.
"""

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

FORBIDDEN_HERE = 77

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000

PATH = sys.argv[1]
FOLDER, NAME = os.path.split(PATH)

_libc = ctypes.CDLL(None, use_errno=True)
_inlets = []


def unshare(flags):
    _check(_libc.unshare(flags), "unshare")


def own_namespaces():
    """A user namespace in which she is root, with a mount namespace of its own."""
    uid, gid = os.getuid(), os.getgid()
    unshare(CLONE_NEWUSER | CLONE_NEWNS)
    for name, text in (("setgroups", "deny"), ("uid_map", "0 %d 1" % uid), ("gid_map", "0 %d 1" % gid)):
        with open("/proc/self/" + name, "w") as file:
            file.write(text)


def mount(source, target, kind=None, flags=0, options=None):
    arguments = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    _check(_libc.mount(*arguments[:3], ctypes.c_ulong(flags), arguments[3]), "mount on " + target)


def pivot_root():
    """Makes the working directory, a mount, the root, and lets go of the old root."""
    _check(_libc.pivot_root(b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", 2), "umount")
    os.chdir("/")


def overlay(lower, target):
    """Mounts an overlay whose upper layer is her own."""
    room = own_folder()
    mount("tmpfs", room, "tmpfs")
    for name in ("upper", "work"):
        os.mkdir(os.path.join(room, name))
    mount("overlay", target, "overlay", options=f"lowerdir={lower},upperdir={room}/upper,workdir={room}/work,userxattr")


def own_folder():
    return tempfile.mkdtemp(prefix="mallory.")


def own_program(path):
    """An executable of hers."""
    shutil.copy("/usr/bin/sleep", path)
    with open(path, "ab") as file:
        file.write(b"mallory was here")


def own_file(path):
    with open(path, "w") as file:
        file.write("mallory was here")


def run(*command):
    """Runs it; returns the magic link of what is run."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    _inlets.append(process.stdin)
    return "/proc/%d/exe" % process.pid


def say(text):
    """To the program that was run last."""
    _inlets[-1].write(text)
    _inlets[-1].flush()


def link_of(fd):
    return "/proc/%d/fd/%d" % (os.getpid(), fd)


def hold(path, flags=os.O_RDONLY):
    """Holds it open; returns the magic link."""
    return link_of(os.open(path, flags))


def fork(work):
    """A child that does ``work`` and then nothing; returns its pid."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    except SystemExit as error:
        os._exit(error.code)
    while True:
        signal.pause()


def passed_out(work):
    """What ``work`` opens in a child, which may go to other namespaces and stays there, passed to this process."""
    mine, hers = socket.socketpair()

    def send():
        fd = work()
        socket.send_fds(hers, [b"x"], [fd])
        os.close(fd)

    child = fork(send)
    hers.close()
    fds = socket.recv_fds(mine, 1, 1)[1]
    if not fds:
        sys.exit(os.WEXITSTATUS(os.waitpid(child, 0)[1]))
    return fds[0]


def execute(fd):
    """Executes an open file in a child, as fexecve(3) does; returns the magic link of what is run."""
    reader, writer = os.pipe()
    child = fork(lambda: os.execve(fd, ["sleep", "infinity"], {}))
    os.close(writer)
    os.read(reader, 1)  # ends when execve has closed the other end
    return "/proc/%d/exe" % child


def run_there(go, name, is_removed):
    """Goes to namespaces of hers, in which ``name`` is a program of hers, and runs it; returns its magic link.

    With ``passed`` as last argument of this program it is passed out of there and executed by a process outside.
    """

    def opened():
        go()
        fd = os.open(name, os.O_RDONLY)
        if is_removed:
            os.unlink(name)
        return fd

    if sys.argv[-1] == "passed":
        return execute(passed_out(opened))
    go()
    link = run(name, "infinity")
    if is_removed:
        os.unlink(name)
    return link


def stay(*links, then=None):
    """Tells which links are to deceive root, waits for the loss of the real file, ``then`` perhaps does more."""
    print(json.dumps(links), flush=True)
    try:
        sys.stdin.readline()
        print(json.dumps([then()] if then else links), flush=True)
        sys.stdin.read()
    finally:  # nobody may be listening any more
        os.killpg(0, 9)  # whoever serves a file system of hers, too: what waits for it could not even be killed


def _check(result, what):
    if result:
        error = ctypes.get_errno()
        print("%s: %s" % (what, os.strerror(error)), file=sys.stderr)
        sys.exit(FORBIDDEN_HERE)
