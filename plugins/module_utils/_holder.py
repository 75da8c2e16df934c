# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""One process, seen through its opened /proc/PID, which never turns into another process."""

import errno
import os
from typing import List

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._handle import file_of, link_text, open_directory, read_at
from ansible_collections.procfs.rescue.plugins.module_utils._model import Process, Sighting
from ansible_collections.procfs.rescue.plugins.module_utils._names import DELETED
from ansible_collections.procfs.rescue.plugins.module_utils._sighted import process_from

# The process went away or is a zombie: it holds nothing any more.
GONE = (errno.ENOENT, errno.ESRCH)


def process(pid: int) -> Process:
    """What a process is now. Raises OSError."""
    directory = open_directory("/proc/%d" % pid)
    try:
        return Holder(pid, directory).process()
    finally:
        os.close(directory)


def program(pid: int) -> Sighting:
    """What a process runs, pinned, whether its name is gone or not. Raises RescueError, and OSError."""
    link = "/proc/%d/exe" % pid
    try:
        pin = os.open(link, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError) as error:
        raise RescueError("Process %d is not there, or runs no program." % pid, ["not_held"]) from error
    try:
        text = link_text(pin)
        path = text[: -len(DELETED)] if text.endswith(DELETED) else text
        file = file_of(pin)
        return Sighting(process(pid), "exe", None, "read", True, link, path, file, pin, None, None, None, path)
    except BaseException:
        os.close(pin)
        raise


class Holder:
    """``unreadable`` becomes true when it would not show everything."""

    def __init__(self, pid: int, directory: int) -> None:
        self.pid = pid
        self.directory = directory
        self.thread = ""  # where below /proc/PID the descriptors are: with the first thread, if that lives
        self.unreadable = False

    def note(self, error: OSError) -> None:
        if error.errno not in GONE:
            self.unreadable = True

    def process(self) -> Process:
        """Raises OSError."""
        stat = read_at("stat", self.directory)
        status = read_at("status", self.directory)
        try:
            exe = os.fsencode(os.readlink(self.thread + "exe", dir_fd=self.directory))
        except OSError:  # what cannot be read was noted by whoever looked for the program
            exe = b""
        try:
            cgroup = read_at("cgroup", self.directory)
        except OSError:  # a kernel without cgroups
            cgroup = b""
        return process_from(self.pid, stat, status, exe, cgroup)

    def program(self) -> str:
        """What its exe link says, empty where it has none. From then on ``thread`` is one that lives."""
        text = self._exe()
        if not text:  # a kernel thread, a zombie, or a process whose first thread ended
            self._turn_to_a_living_thread()
            text = self._exe() if self.thread else ""
        return text

    def _exe(self) -> str:
        try:
            return os.readlink(self.thread + "exe", dir_fd=self.directory)
        except OSError as error:
            self.note(error)
            return ""

    def _turn_to_a_living_thread(self) -> None:
        """A process whose first thread ended looks like a zombie, while its other threads hold everything."""
        others = self.other_threads()
        if others:
            self.thread = others[0]

    def other_threads(self) -> List[str]:
        try:
            threads = open_directory("task", self.directory)
            try:
                paths = ["task/%s/" % name for name in os.listdir(threads) if name != str(self.pid)]
            finally:
                os.close(threads)
        except OSError as error:
            self.note(error)
            return []
        return [path for path in paths if path != self.thread]
