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
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any, NamedTuple, TypeVar, cast

from ansible_collections.procfs.rescue.plugins.plugin_utils._paramiko import Message, SFTPClient, sftp

T = TypeVar("T")
Task = Generator["Request", "Message", T]

# How many tasks have a request under way; what the server answers while we still send must fit into its pipe.
_WINDOW = 64
# Bytes that are kept back to be sent together, and that are read together: system calls cost more than all else.
_TOGETHER = 64 * 1024
# Section 7, why something failed; 3 is a folder that is immutable, too.
_FAULTS = {1: errno.ENODATA, 2: errno.ENOENT, 3: errno.EPERM, 8: errno.ENOSYS}


class SessionError(OSError):
    """The session ended, or the host did not answer one request within the time limit; it cannot be used any more.

    ``stuck`` is the request that was not answered, where one was under way, ``begun`` the first of the same task: what
    is asked by a handle has no path.
    """

    stuck: Request | None = None
    begun: Request | None = None


class Request(NamedTuple):
    kind: int
    arguments: tuple[Any, ...]


class Pipe:
    """The two ends of an ssh process in the shape of a socket, with a time limit in seconds on every wait.

    What is sent may be kept back until an answer is waited for.
    """

    def __init__(self, command: Sequence[bytes], limit: float) -> None:
        self.limit = limit
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (it goes with the pipe)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, start_new_session=True
        )
        self._input, self._output = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        os.set_blocking(self._input.fileno(), False)
        self._unsent = bytearray()
        self._unread = memoryview(b"")

    def send(self, data: bytes) -> int:
        self._unsent += data
        if len(self._unsent) >= _TOGETHER:
            self.flush()
        return len(data)

    def recv(self, count: int) -> bytes:
        if not self._unread:
            self.flush()
            self._wait([self._output], [])
            self._unread = memoryview(os.read(self._output.fileno(), max(count, _TOGETHER)))
            if not self._unread:
                raise self._lost()
        data, self._unread = bytes(self._unread[:count]), self._unread[count:]
        return data

    def flush(self) -> None:
        while self._unsent:
            self._wait([], [self._input])
            try:
                del self._unsent[: os.write(self._input.fileno(), self._unsent)]
            except OSError as error:
                raise self._lost() from error

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

    def has_ended(self) -> bool:
        return self._input.closed

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
        self.begun: Request | None = None
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
        self._pipe = pipe
        self._is_busy = False
        try:
            super().__init__(pipe)
        except BaseException:
            pipe.close()
            raise

    def has_ended(self) -> bool:
        return self._pipe.has_ended()

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

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Python may collect a generator at any moment, and what that wants to close must not be asked for in the
        middle of another request or answer: it would wait for paramiko's lock for ever. Raises OSError."""
        if self._is_busy:
            raise OSError(errno.EBUSY, "another request is on its way")
        self._is_busy = True
        try:
            yield
        finally:
            self._is_busy = False

    def _async_request(self, one: Any, kind: int, *arguments: Any) -> int:
        with self._alone():
            number: int = super()._async_request(one, kind, *arguments)
            return number

    def _read_response(self, waitfor: Any = None) -> Any:
        with self._alone():
            return super()._read_response(waitfor)

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
                one.begun = one.begun or request
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
            first = next(iter(running), None)
            if first is not None:
                error.stuck, error.begun = first.request, first.begun
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
