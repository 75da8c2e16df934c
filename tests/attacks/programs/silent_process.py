# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A process about whose memory nobody gets an answer.

execve(2) closes descriptors while it holds the lock that /proc/PID/maps needs; one of them is of a file system of hers
that does not say that it has closed it.
"""

import os
import time

from fuse import FLUSH, Fuse
from mallory import fork, mount, own_namespaces, stay


def work():
    own_namespaces()
    fuse = Fuse(mount, "/mnt", "file")
    fuse.leave_open(FLUSH)
    os.open("/mnt/file", os.O_RDONLY | os.O_CLOEXEC)
    # Another process than the one that has the pipes of the server.
    if os.fork() == 0:
        os.execv("/usr/bin/sleep", ["sleep", "infinity"])
    time.sleep(0.2)


child = fork(work)
time.sleep(1)
stay("/proc/%d/exe" % child)
