# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs on a host, started once over ssh: each line of stdin is an order, the module runs in a child that was forked."""

import json
import os
import signal
import sys
import time

from ansible.module_utils import basic

from ansible_collections.procfs.rescue.plugins.modules import restore_file


def main():
    for line in sys.stdin:
        print(json.dumps(run(**json.loads(line))), flush=True)


def run(arguments, kill_after=None, end=None, held=None):
    """The module's output and what became of it.

    It is killed after so many seconds. Or the holder with the PID ``end`` is, as soon as the module has the inode
    ``held`` (device and number) open: from then on it must not need the holder any more.
    """
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            module(arguments, writer)
        finally:
            os._exit(1)
    os.close(writer)
    output, ended, status = [], False, None
    while status is None:
        pid, found = os.waitpid(child, os.WNOHANG)
        if pid:
            status = found
        elif kill_after is not None and time.monotonic() - started >= kill_after:
            os.kill(child, signal.SIGKILL)
        elif end is not None and not ended and has_open(child, held):
            os.kill(end, signal.SIGKILL)
            ended = True
        output += read(reader)
        time.sleep(0.0002)
    os.close(reader)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    return {"output": b"".join(output).decode("utf-8", "replace"), "killed": killed, "ended": ended}


def module(arguments, writer):
    os.dup2(writer, 1)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode()
    basic._ANSIBLE_PROFILE = "legacy"
    try:
        restore_file.main()
    except SystemExit:
        sys.stdout.flush()
        os._exit(0)


def has_open(pid, held):
    try:
        fds = os.listdir("/proc/%d/fd" % pid)
    except OSError:
        return False
    for fd in fds:
        try:
            found = os.stat("/proc/%d/fd/%s" % (pid, fd))
        except OSError:
            continue
        if [found.st_dev, found.st_ino] == held:
            return True
    return False


def read(reader):
    try:
        while True:
            piece = os.read(reader, 65536)
            if not piece:
                return
            yield piece
    except BlockingIOError:
        return


main()
