# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What the SFTP server has open, by the numbers that its own /proc/self/fd has for it.

SFTP's handles tell neither device nor inode nor a folder's true name. The server's procfs does, and a path such as
/proc/self/fd/N/name works there as openat(2) does here: whatever is swapped on the way to N cannot lead elsewhere.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from ansible_collections.procfs.rescue.plugins.module_utils._procfs import mount_id
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_client import Client, SessionError, Task
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_requests import (
    close,
    content,
    names,
    open_file,
    open_folder,
    readlink,
    stat,
)

T = TypeVar("T")

_INODE = re.compile(rb"^ino:\t(\d+)$", re.M)


class Facts(NamedTuple):
    """What is known of a number: ``name`` is the kernel's, ``inode`` is None before Linux 5.14, ``stat`` is SFTP's."""

    name: bytes
    mount_id: int
    inode: int | None
    stat: Any


class Session:
    """``connect`` gives a new client; a session that hangs is dropped, and everything that it had open with it."""

    def __init__(self, connect: Callable[[], Client]) -> None:
        self._connect = connect
        self._start()

    def reopen(self) -> None:
        self.client.close()
        self._start()

    def has_ended(self) -> bool:
        return self.client.has_ended()

    def another(self) -> Session:
        """One more to the same host, which may hang without harm to this one."""
        return Session(self._connect)

    def _start(self) -> None:
        self.client = self._connect()
        self._handles: dict[int, bytes] = {}
        self._others: set[int] = set()
        self._others = self._new_numbers()

    def run(self, task: Task[T]) -> T:
        return self.client.run(task)

    def together(self, tasks: Iterable[Task[T]]) -> list[T | OSError]:
        return self.client.together(tasks)

    def has(self, extension: bytes) -> bool:
        return extension in self.client.extensions

    def open_files(self, paths: Iterable[bytes], flags: int, mode: int | None = None) -> list[int | OSError]:
        """The numbers of the opened files in their order, for one that cannot be opened why."""
        return self._opened([open_file(path, flags, mode) for path in paths])

    def open_file(self, path: bytes, flags: int, mode: int | None = None) -> int:
        return _or_raise(self.open_files([path], flags, mode)[0])

    def open_folder(self, path: bytes) -> int:
        return _or_raise(self._opened([open_folder(path)])[0])

    def _opened(self, tasks: list[Task[bytes]]) -> list[int | OSError]:
        # The kernel gives the lowest number that is free: opened one after the other they are in order. Which handle
        # belongs to which number only matters for closing; all else goes by the number.
        handles = self.together(tasks)
        got = [handle for handle in handles if not isinstance(handle, OSError)]
        try:
            new = sorted(self._new_numbers())
            if len(new) != len(got):
                raise SessionError(errno.EPROTO, "the SFTP server's own descriptors cannot be told apart")
        except OSError:  # whatever comes next must not find open what nobody knows
            with suppress(SessionError):
                self.together([close(handle) for handle in got])
            raise
        numbers = iter(new)
        result: list[int | OSError] = []
        for handle in handles:
            if not isinstance(handle, OSError):
                number = next(numbers)
                self._handles[number] = handle
                result.append(number)
            else:
                result.append(handle)
        return result

    def _new_numbers(self) -> set[int]:
        """What the server has open besides what is known, and besides the folder that is being listed."""
        listed = {int(name) for name in self.run(names(b"/proc/self/fd")) if name.isdigit()}
        new = list(listed - self._others - set(self._handles))
        found = self.together([readlink(path_of(number)) for number in new])
        return {
            number
            for number, text in zip(new, found, strict=True)
            if not isinstance(text, OSError) and not re.match(rb"/proc/\d+/fd\Z", text)
        }

    def handle(self, number: int) -> bytes:
        return self._handles[number]

    def close(self, number: int) -> None:
        self.close_all([number])

    def close_all(self, numbers: Iterable[int]) -> None:
        tasks = [close(self._handles.pop(number)) for number in list(numbers)]
        with suppress(SessionError):  # then all is closed
            self.together(tasks)

    def facts(self, numbers: Iterable[int]) -> list[Facts | OSError]:
        return self.together([_facts(number) for number in numbers])

    def facts_of(self, number: int) -> Facts:
        return _or_raise(self.facts([number])[0])


def path_of(number: int, name: bytes | None = None) -> bytes:
    top = b"/proc/self/fd/%d" % number
    return top if name is None else top + b"/" + name


def _facts(number: int) -> Task[Facts]:
    name = yield from readlink(path_of(number))
    fdinfo = yield from content(b"/proc/self/fdinfo/%d" % number)
    mount = mount_id(fdinfo)
    if mount is None:
        raise OSError(errno.ENOSYS, "/proc/self/fdinfo has no mnt_id")
    inode = _INODE.search(fdinfo)
    return Facts(name, mount, int(inode.group(1)) if inode else None, (yield from stat(path_of(number))))


def _or_raise(result: T | OSError) -> T:
    if isinstance(result, OSError):
        raise result
    return result
