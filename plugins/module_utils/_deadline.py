# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""A question that may never be answered (a dead NFS or FUSE server) is put by a child process with a deadline.

Much work is shared by several.
"""

import array
import math
import os
import pickle
import re
import select
import signal
import socket
import struct
import time
from contextlib import suppress
from functools import partial
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, TypeVar

from ansible_collections.procfs.rescue.plugins.module_utils._courtesy import waits_for_a_processor

# Before each message: how long it is.
_LENGTH = struct.Struct("=Q")

# As many as the kernel hands over at once (SCM_MAX_FD).
_MOST_DESCRIPTORS = 253

# For each processor, since who shares work with others waits for a disk half of the time; and in all.
_SHARES = 2
_MOST_SHARES = 4

T = TypeVar("T")

Tell = Callable[[Any, Sequence[int]], None]

# proc(5): how often it waited for something that came.
_WAITED = re.compile(rb"^voluntary_ctxt_switches:\s*(\d+)$", re.M)

# prctl(2)
_PR_SET_PDEATHSIG = 1


class SilenceError(Exception):
    """No answer in time."""


class Message(NamedTuple):
    """What the child with that ``number`` told: plain data, and with it descriptors, which are now ours too."""

    number: int
    told: Any = None
    descriptors: Sequence[int] = ()
    is_silent: bool = False


def answers(question: Callable[[], object], seconds: float) -> bool:
    """Whether ``question`` returned or raised within ``seconds``, twice that where the child was not let run.

    A child in D state is left behind, not waited for.
    """
    child = os.fork()
    if child == 0:
        try:
            os.closerange(0, 3)  # whoever waits for the end of our output must not wait for this child
            question()
        finally:
            os._exit(0)
    until = time.monotonic() + seconds
    pause = 0.001
    starved = False
    while not os.waitpid(child, os.WNOHANG)[0]:
        left = until - time.monotonic()
        if left <= 0:
            if starved or not waits_for_a_processor(child):
                break
            starved = True
            until += seconds
            continue
        time.sleep(min(pause, left))
        pause = min(pause * 2, 0.1)
    else:
        return True
    os.kill(child, signal.SIGKILL)
    return False


def given(work: Callable[[], T], seconds: float, goes_on: Callable[[], bool]) -> T:
    """What ``work`` gives, or raises, in a child process that ends with us. Raises SilenceError.

    It is given up when nothing happened in it for ``seconds`` and what it waits for does not go on either.
    """

    def tell_it(parent: int, tell: Tell) -> None:
        end_with(parent)
        tell(work(), ())

    for message in heard([partial(tell_it, os.getpid())], seconds, goes_on=goes_on):
        if not message.is_silent:
            answer: T = message.told
            return answer
    raise SilenceError


def shares(work: Callable[[int, int, Tell], None]) -> Iterator[Any]:
    """What child processes tell that share ``work`` and end with us.

    ``work`` gets the number of its share, how many there are, and how to tell. What a child that was killed had not
    told is not heard of, nor anything where no child can be had.
    """
    number = min(_MOST_SHARES, _SHARES * len(os.sched_getaffinity(0)))

    def share(parent: int, own: int, tell: Tell) -> None:
        end_with(parent)
        work(own, number, tell)

    with suppress(Exception):  # whatever it is, what nobody told of is left for whoever listens
        for message in heard([partial(share, os.getpid(), own) for own in range(number)], math.inf):
            if not message.is_silent:
                yield message.told


def end_with(parent: int) -> None:
    """The kernel kills us when ``parent``, which forked us, ends, even where somebody stopped us (prctl(2))."""
    with suppress(Exception):
        import ctypes  # a Python without libffi has none, and one whose library is damaged half of it

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def heard(
    works: Sequence[Callable[[Tell], None]],
    seconds: float,
    until: float = math.inf,
    goes_on: Optional[Callable[[], bool]] = None,
) -> Iterator[Message]:
    """What child processes tell, each of which does one of ``works``, as it comes.

    A child that neither told nor computed nor got anything for ``seconds``, or was killed, is silent, unless what it
    waits for ``goes_on``; one in D state is left behind, the others go on. At ``until`` (of `time.monotonic`) nobody is
    heard any more. Raises what one of ``works`` raised.
    """
    children: Dict[int, _Child] = {}
    try:
        for number, work in enumerate(works):
            children[number] = _Child(work, seconds, goes_on)
        while children and time.monotonic() < until:
            for number in _noticed(children, until):
                try:
                    (done, told), descriptors = children[number].received()
                except SilenceError:
                    children.pop(number).end(is_silent=True)
                    yield Message(number, is_silent=True)
                    continue
                if not done:
                    yield Message(number, told, descriptors)
                    continue
                children.pop(number).end()
                if told is not None:
                    raise told
    finally:
        for child in children.values():
            child.end(is_silent=True)


class _Child:
    """A process that does ``work``."""

    def __init__(self, work: Callable[[Tell], None], seconds: float, goes_on: Optional[Callable[[], bool]]) -> None:
        self.listener, theirs = socket.socketpair()
        self._goes_on = goes_on
        self._patience = seconds / 2
        self._is_silent = False
        self._computed: List[bytes] = []
        self.until = 0.0  # when it is looked at, if it says nothing before
        try:
            self.pid = os.fork()
        except OSError:
            self.listener.close()
            theirs.close()
            raise
        if self.pid == 0:
            try:
                self.listener.close()
                _tell_all(work, theirs)
            finally:
                os._exit(0)
        theirs.close()
        self._was_heard()

    def received(self) -> Tuple[Any, List[int]]:
        """Its next message. Raises SilenceError where none came in time, or none will."""
        if self._is_silent:
            raise SilenceError
        self._was_heard()
        return _received(self.listener)

    def look(self) -> bool:
        """Whether it is silent since the last look, or not at all. Who computes, or waits for a processor, may take its
        time, and who gets what it waits for, however slowly."""
        if time.monotonic() >= self.until:
            with open("/proc/%d/stat" % self.pid, "rb") as file:
                now = file.read().rpartition(b")")[2].split()[11:13]
            with open("/proc/%d/status" % self.pid, "rb") as file:
                now += _WAITED.findall(file.read())
            self._is_silent = (
                now == self._computed
                and not waits_for_a_processor(self.pid)
                and not (self._goes_on is not None and self._goes_on())
            )
            self._computed = now
            self.until = time.monotonic() + self._patience
        return self._is_silent

    def end(self, is_silent: bool = False) -> None:
        self.listener.close()
        with suppress(ChildProcessError, ProcessLookupError):  # where SIGCHLD is ignored the kernel had it already
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, os.WNOHANG if is_silent else 0)

    def _was_heard(self) -> None:
        self.until = time.monotonic() + self._patience
        self._is_silent = False
        self._computed = []


def _noticed(children: Dict[int, _Child], until: float) -> List[int]:
    """Waits for those that have something to tell, or are silent, but no longer than ``until``."""
    poll = select.poll()
    for child in children.values():
        poll.register(child.listener, select.POLLIN)
    while True:
        wait = min(until, *(child.until for child in children.values())) - time.monotonic()
        telling = {descriptor for descriptor, _event in poll.poll(None if wait == math.inf else max(0.0, wait) * 1000)}
        found = [number for number, child in children.items() if child.listener.fileno() in telling or child.look()]
        if found or time.monotonic() >= until:
            return found


def _received(listener: socket.socket) -> Tuple[Any, List[int]]:
    space = socket.CMSG_SPACE(_MOST_DESCRIPTORS * array.array("i").itemsize)
    length, control, _flags, _address = listener.recvmsg(_LENGTH.size, space, socket.MSG_CMSG_CLOEXEC)
    if not length:
        raise SilenceError
    with listener.makefile("rb", buffering=0) as file:
        message = b""
        while len(message) < _LENGTH.unpack(length)[0]:
            more = file.read(_LENGTH.unpack(length)[0] - len(message))
            if not more:
                raise SilenceError
            message += more
    fds = [fd for _level, _type, data in control for fd in array.array("i", data)]
    return pickle.loads(message), fds


def _tell_all(work: Callable[[Tell], None], listener: socket.socket) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):  # whoever waits for the end of our output must not wait for this child
        os.dup2(null, fd)

    def tell(told: Any, fds: Sequence[int]) -> None:
        send((False, told), [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else ())

    def send(what: Any, control: Any = ()) -> None:
        message = pickle.dumps(what, pickle.HIGHEST_PROTOCOL)
        listener.sendmsg([_LENGTH.pack(len(message))], control)
        listener.sendall(message)

    try:
        work(tell)
    except Exception as error:  # noqa: BLE001  (it is raised again where it is heard)
        send((True, error))
    else:
        send((True, None))
