# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""A question that may never be answered (a dead NFS or FUSE server) is put by a child process with a deadline."""

import array
import os
import pickle
import select
import signal
import socket
import struct
import time
from typing import Any, Callable, Iterator, List, Sequence, Tuple

# Before each message: how long it is.
_LENGTH = struct.Struct("=Q")

# As many as the kernel hands over at once (SCM_MAX_FD).
_MOST_DESCRIPTORS = 253

Tell = Callable[[Any, Sequence[int]], None]


class SilenceError(Exception):
    """No answer in time."""


def answers(question: Callable[[], object], seconds: float) -> bool:
    """Whether ``question`` returned or raised within ``seconds``; a child in D state is left behind, not waited for."""
    child = os.fork()
    if child == 0:
        try:
            os.closerange(0, 3)  # whoever waits for the end of our output must not wait for this child
            question()
        finally:
            os._exit(0)
    until = time.monotonic() + seconds
    pause = 0.001
    while not os.waitpid(child, os.WNOHANG)[0]:
        left = until - time.monotonic()
        if left <= 0:
            break
        time.sleep(min(pause, left))
        pause = min(pause * 2, 0.1)
    else:
        return True
    os.kill(child, signal.SIGKILL)
    return False


def heard(work: Callable[[Tell], None], seconds: float) -> Iterator[Tuple[Any, List[int]]]:
    """What a child process tells while it does ``work``: plain data, and with it descriptors, which are now ours too.

    Raises what ``work`` raised, and SilenceError where the child neither told nor computed anything for ``seconds``, or
    was killed; one in D state is left behind.
    """
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        try:
            ours.close()
            _tell_all(work, theirs)
        finally:
            os._exit(0)
    theirs.close()
    is_silent = False
    try:
        while True:
            _await(ours, child, seconds)
            (done, told), fds = _received(ours)
            if not done:
                yield told, fds
            elif told is None:
                return
            else:
                raise told
    except SilenceError:
        is_silent = True
        raise
    finally:
        ours.close()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, os.WNOHANG if is_silent else 0)


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


def _await(listener: socket.socket, child: int, seconds: float) -> None:
    """Waits for a message. Who has something to compute may take its time."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    computed = None
    while not poll.poll(seconds * 500):
        with open("/proc/%d/stat" % child, "rb") as file:
            now = file.read().rpartition(b")")[2].split()[11:13]
        if now == computed:
            raise SilenceError
        computed = now
