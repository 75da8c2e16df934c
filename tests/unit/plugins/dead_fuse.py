# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A file system in user space that answers until a file in it is open, and then never again: dead_fuse.py POINT.

Run as a program in a mount namespace of its own, it holds that file until its input ends. With ``unmounted`` its mount
is detached, as people do to a dead NFS (umount -l).
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
import sys
import threading

# The only file that there is: what FUSE makes of a deleted file that is still open.
NAME = ".fuse_hidden0000000300000001"

# linux/fuse.h
INIT, LOOKUP = 26, 1
INIT_OUT = struct.pack("<4I2H2I2H8I", 7, 31, 0, 0, 0, 0, 4096, 1, 0, 0, *[0] * 8)
ATTRIBUTES = struct.pack("<6Q10I", 2, 0, 0, 0, 0, 0, 0, 0, 0, stat.S_IFREG | 0o644, 1, 0, 0, 0, 512, 0)
ENTRY_OUT = struct.pack("<4Q2I", 2, 1, 3600, 0, 0, 0) + ATTRIBUTES  # the name is believed for an hour, the rest never


def serve(device: int) -> None:
    while True:
        operation, unique = struct.unpack_from("<IQ", os.read(device, 1 << 17), 4)
        if operation in (INIT, LOOKUP):
            body = INIT_OUT if operation == INIT else ENTRY_OUT
            os.write(device, struct.pack("<IiQ", 16 + len(body), 0, unique) + body)
        if operation == LOOKUP:
            return


def main(point: str, *options: str) -> None:
    libc = ctypes.CDLL(None)
    device = os.open("/dev/fuse", os.O_RDWR)
    data = b"fd=%d,rootmode=40000,user_id=0,group_id=0" % device
    assert libc.mount(b"dead", os.fsencode(point), b"fuse", 0, data) == 0
    server = threading.Thread(target=serve, args=(device,))
    server.start()
    os.open(os.path.join(point, NAME), os.O_PATH)
    server.join()
    if "unmounted" in options:
        assert libc.umount2(os.fsencode(point), 2) == 0
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
