# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""An SFTP session that has many requests under way, knows OpenSSH's extensions, and never waits for ever.

What is asked of the host is written as tasks: generators that yield a `Request` and are sent its answer. Alone a task
waits for each answer; together tasks share the round trips. Paths are bytes, faults are OSErrors.
"""

from __future__ import annotations

import errno
import os
import select
import subprocess
import tempfile
from collections.abc import Generator, Iterable, Sequence
from contextlib import suppress
from typing import IO, Any, NamedTuple, TypeVar, cast

try:
    from paramiko import SFTPAttributes, SFTPClient, sftp
    from paramiko.message import Message
except ImportError as error:
    PARAMIKO_ERROR: ImportError | None = error
    SFTPClient = object
else:
    PARAMIKO_ERROR = None

T = TypeVar("T")
Task = Generator["Request", "Message", T]

# How many tasks have a request under way; what the server answers while we still send must fit into its pipe.
_WINDOW = 64
# What one READ or WRITE carries: all servers take 32 KiB, OpenSSH takes 256 KiB with its header.
PIECE = 128 * 1024
# Section 6.3 of draft-ietf-secsh-filexfer-02, how a file is opened.
READ, WRITE, CREATE, EXCLUSIVE = 0x1, 0x2, 0x8, 0x20
# Section 7, why something failed; 3 is a folder that is immutable, too.
_FAULTS = {1: errno.ENODATA, 2: errno.ENOENT, 3: errno.EPERM, 8: errno.ENOSYS}


class SessionError(OSError):
    """The session ended, or the host did not answer one request within the time limit; it cannot be used any more.

    ``stuck`` is the request that was not answered, where one was under way.
    """

    stuck: Request | None = None


class Request(NamedTuple):
    kind: int
    arguments: tuple[Any, ...]


class Pipe:
    """The two ends of an ssh process in the shape of a socket, with a time limit in seconds on every wait."""

    def __init__(self, command: Sequence[bytes], limit: float) -> None:
        self.limit = limit
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (it goes with the pipe)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, start_new_session=True
        )
        self._input, self._output = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        os.set_blocking(self._input.fileno(), False)

    def send(self, data: bytes) -> int:
        self._wait([], [self._input])
        try:
            return os.write(self._input.fileno(), data)
        except OSError as error:
            raise self._lost() from error

    def recv(self, count: int) -> bytes:
        self._wait([self._output], [])
        data = os.read(self._output.fileno(), count)
        if not data:
            raise self._lost()
        return data

    def _wait(self, readers: list[Any], writers: list[Any]) -> None:
        if self._input.closed:
            raise SessionError(errno.ENOTCONN, "the SFTP session was given up before")
        if not any(select.select(readers, writers, [], self.limit)):
            self.close()
            raise SessionError(errno.ETIMEDOUT, f"the host did not answer over SFTP within {self.limit:g} seconds")

    def _lost(self) -> SessionError:
        self._process.wait(self.limit)
        self._log.seek(0)
        said = self._log.read().decode(errors="replace").strip()
        self.close()
        return SessionError(errno.ECONNRESET, f"the SFTP session ended: {said or 'ssh said nothing about why'}")

    def get_name(self) -> str:
        """For paramiko's log."""
        return "ssh"

    def close(self) -> None:
        self._input.close()
        self._output.close()
        self._process.kill()
        self._process.wait()
        self._log.close()


class _Running:
    """A task that waits for an answer; paramiko hands it over when it comes."""

    def __init__(self, number: int, task: Task[Any], arrived: list[_Running]) -> None:
        self.number = number
        self.task = task
        self.arrived = arrived
        self.request: Request | None = None
        self.answer: tuple[int, Message] | None = None

    def abandon(self, error: SessionError) -> None:
        """Ends the task, which may still want to close what it opened."""
        with suppress(StopIteration, OSError):
            while True:
                self.task.throw(error)

    def _async_response(self, kind: int, message: Message, _number: int) -> None:
        self.answer = (kind, message)
        self.arrived.append(self)


class Client(SFTPClient):  # type: ignore[misc]
    """``extensions`` maps the names of the server's extensions to their versions."""

    def __init__(self, pipe: Pipe) -> None:
        self.extensions: dict[bytes, bytes] = {}
        try:
            super().__init__(pipe)
        except BaseException:
            pipe.close()
            raise

    def _send_version(self) -> int:
        """Keeps the server's list of extensions, which paramiko reads over."""
        hello = Message()
        hello.add_int(3)
        self._send_packet(sftp.CMD_INIT, hello)
        try:
            kind, data = self._read_packet()
        except sftp.SFTPError:  # more than a packet ever has
            kind, data = None, b""
        if kind != sftp.CMD_VERSION:
            raise SessionError(errno.EPROTO, "what answers there is no SFTP server")
        message = Message(data)
        version: int = message.get_int()
        while message.get_remainder():
            name = message.get_string()
            self.extensions[name] = message.get_string()
        return version

    def run(self, task: Task[T]) -> T:
        """The result of one task. Raises OSError."""
        result = self.together([task])[0]
        if isinstance(result, OSError):
            raise result
        return result

    def together(self, tasks: Iterable[Task[T]]) -> list[T | OSError]:
        """The results of all tasks in their order; for one that failed the OSError that it raised.

        Raises SessionError.
        """
        results: dict[int, T | OSError] = {}
        arrived: list[_Running] = []
        running: dict[_Running, None] = {}  # in the order of their requests, in which the server works

        def go_on(one: _Running) -> None:
            try:
                request = next(one.task) if one.answer is None else _resumed(one.task, *one.answer)
            except StopIteration as end:
                results[one.number] = end.value
            except OSError as error:
                results[one.number] = error
            else:
                one.request = request
                running[one] = None
                self._async_request(one, request.kind, *request.arguments)

        fresh = enumerate(tasks)
        try:
            while True:
                while len(running) < _WINDOW:
                    number, task = next(fresh, (-1, None))
                    if task is None:
                        break
                    go_on(_Running(number, task, arrived))
                if not running:
                    return [results[number] for number in sorted(results)]
                self._read_response()
                while arrived:
                    one = arrived.pop()
                    del running[one]
                    go_on(one)
        except SessionError as error:
            error.stuck = next((one.request for one in running), None)
            for one in running:
                one.abandon(error)
            raise


def _resumed(task: Task[Any], kind: int, message: Message) -> Request:
    """The next request of a task, which is sent the answer to its last or has the fault thrown in."""
    if kind != sftp.CMD_STATUS:
        return task.send(message)
    code = message.get_int()
    if code == 0:
        return task.send(message)
    text = message.get_string().decode(errors="replace")
    return task.throw(OSError(_FAULTS.get(code, errno.EREMOTEIO), text or "the SFTP server refused"))


def lstat(path: bytes) -> Task[SFTPAttributes]:
    return SFTPAttributes._from_msg((yield Request(sftp.CMD_LSTAT, (path,))))


def stat(path: bytes) -> Task[SFTPAttributes]:
    return SFTPAttributes._from_msg((yield Request(sftp.CMD_STAT, (path,))))


def readlink(path: bytes) -> Task[bytes]:
    answer = yield Request(sftp.CMD_READLINK, (path,))
    answer.get_int()
    target: bytes = answer.get_string()
    return target


def names(path: bytes) -> Task[list[bytes]]:
    """What is in a folder, without ``.`` and ``..``."""
    handle = yield from open_folder(path)
    found: list[bytes] = []
    try:
        while True:
            try:
                answer = yield Request(sftp.CMD_READDIR, (handle,))
            except OSError as error:
                if error.errno == errno.ENODATA:
                    return [name for name in found if name not in (b".", b"..")]
                raise
            for _entry in range(answer.get_int()):
                found.append(answer.get_string())
                answer.get_string()
                SFTPAttributes._from_msg(answer)
    finally:
        yield from close(handle)


def open_folder(path: bytes) -> Task[bytes]:
    handle: bytes = (yield Request(sftp.CMD_OPENDIR, (path,))).get_string()
    return handle


def open_file(path: bytes, flags: int, mode: int | None = None) -> Task[bytes]:
    attributes = SFTPAttributes()
    attributes.st_mode = mode
    handle: bytes = (yield Request(sftp.CMD_OPEN, (path, flags, attributes))).get_string()
    return handle


def close(handle: bytes) -> Task[None]:
    yield Request(sftp.CMD_CLOSE, (handle,))


def read(handle: bytes, offset: int, count: int) -> Task[bytes]:
    """``count`` bytes, fewer only at the end of the file: a server may give less than it is asked for."""
    parts: list[bytes] = []
    while count:
        try:
            answer = yield Request(sftp.CMD_READ, (handle, sftp.int64(offset), count))
        except OSError as error:
            if error.errno == errno.ENODATA:
                break
            raise
        part = answer.get_string()
        parts.append(part)
        offset += len(part)
        count -= len(part)
    return b"".join(parts)


def content(path: bytes) -> Task[bytes]:
    """The whole content of a small file, such as those of /proc, whose size is not known before."""
    handle = yield from open_file(path, READ)
    try:
        parts: list[bytes] = []
        offset = 0
        while True:
            part = yield from read(handle, offset, PIECE)
            parts.append(part)
            offset += len(part)
            if len(part) < PIECE:
                return b"".join(parts)
    finally:
        yield from close(handle)


def write(handle: bytes, offset: int, data: bytes) -> Task[None]:
    yield Request(sftp.CMD_WRITE, (handle, sftp.int64(offset), data))


def change(path: bytes, **wanted: Any) -> Task[None]:
    """SETSTAT: ``st_size``, ``st_mode``, ``st_uid`` with ``st_gid``, ``st_atime`` with ``st_mtime`` (seconds)."""
    attributes = SFTPAttributes()
    for name, value in wanted.items():
        setattr(attributes, name, value)
    yield Request(sftp.CMD_SETSTAT, (path, attributes))


def rename(old: bytes, new: bytes) -> Task[None]:
    """Fails where the new name is taken."""
    yield Request(sftp.CMD_RENAME, (old, new))


def symlink(target: bytes, path: bytes) -> Task[None]:
    """In the order that OpenSSH wants, which is not that of the draft."""
    yield Request(sftp.CMD_SYMLINK, (target, path))


def mkdir(path: bytes, mode: int) -> Task[None]:
    attributes = SFTPAttributes()
    attributes.st_mode = mode
    yield Request(sftp.CMD_MKDIR, (path, attributes))


def rmdir(path: bytes) -> Task[None]:
    yield Request(sftp.CMD_RMDIR, (path,))


def remove(path: bytes) -> Task[None]:
    yield Request(sftp.CMD_REMOVE, (path,))


# OpenSSH's extensions (its file PROTOCOL). Where the server has one not they raise OSError ENOSYS.


def hardlink(old: bytes, new: bytes) -> Task[None]:
    """link(2): fails where the new name is taken."""
    yield Request(sftp.CMD_EXTENDED, ("hardlink@openssh.com", old, new))


def posix_rename(old: bytes, new: bytes) -> Task[None]:
    """rename(2): replaces."""
    yield Request(sftp.CMD_EXTENDED, ("posix-rename@openssh.com", old, new))


def fsync(handle: bytes) -> Task[None]:
    yield Request(sftp.CMD_EXTENDED, ("fsync@openssh.com", handle))


def copy_data(source: bytes, target: bytes, offset: int, count: int) -> Task[None]:
    """Copies on the server, from one handle to the same place behind the other (OpenSSH 9.0)."""
    place = sftp.int64(offset)
    yield Request(sftp.CMD_EXTENDED, ("copy-data", source, place, sftp.int64(count), target, place))


def statvfs(path: bytes) -> Task[list[int]]:
    """The fields of statvfs(3) in their order, from f_bsize to f_namemax."""
    answer = yield Request(sftp.CMD_EXTENDED, ("statvfs@openssh.com", path))
    return [answer.get_int64() for _field in range(11)]
