# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A FUSE file system in bare Python (linux/fuse.h), as any user may mount one in a namespace of hers.

It has one file, which claims to be root's and setuid. It answers until it is told which question to leave open.
"""

import errno
import os
import select
import struct
import subprocess
import sys

LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE = 1, 2, 3, 14, 15, 17, 18
FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR, INTERRUPT, BATCH_FORGET = 25, 26, 27, 28, 29, 36, 42

_IN_HEADER = struct.Struct("=IIQQ16x")
_OUT_HEADER = struct.Struct("=IiQ")
_ROOT, _FILE = 1, 2
_CONTENT = b"mallory was here"


class Fuse:
    """Mounted on ``target`` with the file ``name``. Who serves it is a process of its own, which opens nothing there:
    the kernel would wait for it even to let it end.
    """

    def __init__(self, mount, target, name):
        device = os.open("/dev/fuse", os.O_RDWR)
        mount("fuse", target, "fuse", options="fd=%d,rootmode=40000,user_id=0,group_id=0" % device)
        command = [sys.executable, __file__, str(device), name]
        self._server = subprocess.Popen(command, pass_fds=[device], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        os.close(device)

    def leave_open(self, question, answers_before=0):
        """From now on, or after so many more of them, ``question`` is not answered."""
        self._server.stdin.write(b"%d %d\n" % (question, answers_before))
        self._server.stdin.flush()
        self._server.stdout.readline()


def serve(device, name):
    left = {}
    while True:
        ready = select.select([device, 0], [], [])[0]
        if 0 in ready:
            command = os.read(0, 99)
            if not command:
                return
            question, answers_before = map(int, command.split())
            left[question] = answers_before
            print(flush=True)
        if device in ready:
            request = os.read(device, 1 << 18)
            _length, question, unique, node = _IN_HEADER.unpack_from(request)
            left[question] = left.get(question, 1 << 30) - 1
            if question in (FORGET, INTERRUPT, BATCH_FORGET) or left[question] < 0:
                continue
            error, body = _answer(question, node, request[_IN_HEADER.size :], name)
            os.write(device, _OUT_HEADER.pack(_OUT_HEADER.size + len(body), -error, unique) + body)


def _answer(question, node, body, name):
    if question == INIT:
        return 0, struct.pack("=IIIIHHIIHHI28x", 7, 31, 0, 0, 16, 12, 1 << 17, 1, 0, 0, 0)
    if question == LOOKUP:
        if body.rstrip(b"\0") != name:
            return errno.ENOENT, b""
        return 0, struct.pack("=QQQQII", _FILE, 0, 3600, 0, 0, 0) + _attributes(_FILE)
    if question == GETATTR:
        return 0, struct.pack("=QII", 0, 0, 0) + _attributes(node)
    if question in (OPEN, OPENDIR):
        return 0, bytes(16)
    if question == READ:
        return 0, _CONTENT
    if question == STATFS:
        return 0, bytes(80)
    if question in (READDIR, FLUSH, RELEASE, RELEASEDIR):
        return 0, b""
    return errno.ENOSYS, b""


def _attributes(node):
    mode, size = (0o40755, 0) if node == _ROOT else (0o104755, len(_CONTENT))
    # ino, size, blocks, three times in s, the same in ns, mode, nlink, uid, gid, rdev, blksize, flags
    return struct.pack("=6Q10I", node, size, 1, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


if __name__ == "__main__":
    serve(int(sys.argv[1]), os.fsencode(sys.argv[2]))
