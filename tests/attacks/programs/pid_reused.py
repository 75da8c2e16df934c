# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The holder ends, and she gets its PID. Started as root, only to spare her millions of forks until the PID returns."""

import os
import pwd

from mallory import PATH, fork, hold, own_file, stay

UID = pwd.getpwnam("mallory").pw_uid
reader, writer = os.pipe()


def hold_as_mallory(is_hers):
    os.setresgid(UID, UID, UID)
    os.setresuid(UID, UID, UID)
    if is_hers:
        own_file(PATH)
    link = hold(PATH)
    if is_hers:
        os.unlink(PATH)
    os.write(writer, link.encode())


pid = fork(lambda: hold_as_mallory(is_hers=False))
link = os.read(reader, 99).decode()


def reuse():
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    found = None
    while found != pid:
        with open("/proc/sys/kernel/ns_last_pid", "w") as file:
            file.write(str(pid - 1))
        found = fork(lambda: os.getpid() == pid and hold_as_mallory(is_hers=True))
    return os.read(reader, 99).decode()


stay(link, then=reuse)
