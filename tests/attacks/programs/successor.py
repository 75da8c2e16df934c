# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""As soon as its name is free, something of hers has the real file's name for a moment: argv[2]."""

import os
import socket
import sys

from mallory import PATH, hold, own_file, stay


def file():
    own_file(PATH)
    return hold(PATH)


def fifo():
    os.mkfifo(PATH)
    return hold(PATH, os.O_RDWR)


def folder():
    os.mkdir(PATH)
    return hold(PATH)


def unix_socket():
    socket.socket(socket.AF_UNIX).bind(PATH)
    return hold(PATH, os.O_PATH)


def symlink():
    os.symlink("/etc/shadow", PATH)
    return hold(PATH, os.O_PATH | os.O_NOFOLLOW)


KINDS = {"file": file, "fifo": fifo, "folder": folder, "socket": unix_socket, "symlink": symlink}


def follow():
    link = KINDS[sys.argv[2]]()
    (os.rmdir if sys.argv[2] == "folder" else os.unlink)(PATH)
    return link


stay(then=follow)
