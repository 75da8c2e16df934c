# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils._deadline import (
    Message,
    SilenceError,
    Tell,
    answers,
    given,
    heard,
    shares,
)
from unit.plugins.holders import fields_of, wait_until


def test_an_answer() -> None:
    assert answers(os.getpid, 5)


def test_an_error_is_an_answer() -> None:
    assert answers(lambda: os.stat("/no such file"), 5)


def test_the_end_of_the_asking_process_is_no_mess() -> None:
    """Exit handlers and buffers are those of the asking process; the child must not run them."""
    assert answers(lambda: sys.exit(3), 5)


def test_no_answer() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:  # given up in another test
            pass
    started = time.monotonic()
    assert not answers(lambda: time.sleep(60), 0.2)
    assert 0.2 <= time.monotonic() - started < 5
    child, status = os.waitpid(-1, 0)
    assert child > 0
    assert os.WTERMSIG(status) == signal.SIGKILL


def test_an_answer_shortly_before_the_deadline_counts() -> None:
    """The pauses between two looks grow: the last look must be at the deadline, not long before it."""
    assert answers(lambda: time.sleep(0.235), 0.325)


def test_whoever_waits_for_our_output_does_not_wait_for_the_child() -> None:
    for fd in range(3):
        assert answers(lambda fd=fd: os.fstat(fd) and time.sleep(60), 5)


def test_what_is_told_is_heard() -> None:
    def work(tell: Tell) -> None:
        with open(os.devnull, "rb") as null:
            tell({"a": [1]}, [])
            tell("with a descriptor", [null.fileno()])

    first, second = list(heard([work], 5))
    assert first == Message(0, {"a": [1]}, [])
    assert second.told == "with a descriptor"
    (fd,) = second.descriptors
    assert os.path.samestat(os.fstat(fd), os.stat(os.devnull))
    os.close(fd)


def test_nobody_is_heard_after_the_end() -> None:
    """Who is silent has not been found out by then."""

    def work(tell: Tell) -> None:
        tell("in time", [])
        time.sleep(60)

    started = time.monotonic()
    assert [one.told for one in heard([work, work], 60, started + 0.3)] == ["in time", "in time"]
    assert 0.3 <= time.monotonic() - started < 2


def test_several_at_once() -> None:
    def work(number: int, tell: Tell) -> None:
        time.sleep(1)
        tell(number, [])
        tell(-number, [])

    started = time.monotonic()
    told = [(one.number, one.told) for one in heard([partial(work, number) for number in range(4)], 5)]
    assert time.monotonic() - started < 3.5
    assert sorted(told) == [(number, one) for number in range(4) for one in sorted((number, -number))]


def test_a_message_may_be_long() -> None:
    long = os.urandom(1 << 20)
    assert list(heard([lambda tell: tell(long, [])], 5)) == [Message(0, long, [])]


def test_what_goes_wrong_there_goes_wrong_here() -> None:
    with pytest.raises(ZeroDivisionError):
        list(heard([lambda _tell: 1 // 0], 5))  # type: ignore[list-item, return-value]


def test_silence() -> None:
    """Of one, while another goes on and on."""

    def silent(tell: Tell) -> None:
        tell("so far", [])
        time.sleep(60)

    def talking(tell: Tell) -> None:
        for _time in range(10):
            time.sleep(0.05)
            tell("more", [])

    started = time.monotonic()
    told = list(heard([silent, talking], 0.2))
    assert [one.told for one in told if one.number == 1] == ["more"] * 10
    assert [(one.told, one.is_silent) for one in told if one.number == 0] == [("so far", False), (None, True)]
    assert not told[-1].is_silent
    assert time.monotonic() - started < 2


def test_who_computes_may_take_its_time() -> None:
    def work(tell: Tell) -> None:
        until = time.monotonic() + 0.6
        while time.monotonic() < until:
            pass
        tell("done", [])

    assert list(heard([work], 0.2)) == [Message(0, "done", [])]


def test_a_child_that_was_killed_is_silent() -> None:
    assert list(heard([lambda _tell: os.kill(os.getpid(), signal.SIGKILL)], 5)) == [Message(0, is_silent=True)]


def test_whoever_waits_for_our_output_does_not_wait_for_the_one_who_works() -> None:
    code = (
        "import time\n"
        "from ansible_collections.procfs.rescue.plugins.module_utils import _deadline\n"
        "_deadline.os.kill = lambda *_: None  # as if it could not be killed\n"
        "(told,) = _deadline.heard([lambda _tell: time.sleep(9)], 0.1)\n"
        "print(told.is_silent)\n"
    )
    started = time.monotonic()
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.check_output([sys.executable, "-c", code], env=here) == b"True\n"
    assert time.monotonic() - started < 5


@pytest.fixture
def busy_processor() -> Iterator[None]:
    """We and our children have one processor, which somebody else uses."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            yield
        finally:
            busy.kill()
            os.sched_setaffinity(0, before)


def _compute_as_the_least(seconds: float) -> None:
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


@pytest.mark.usefixtures("busy_processor")
def test_who_waits_for_a_processor_is_not_silent() -> None:
    """Somebody got busy after it began to give way: beside him it would need minutes."""

    def work(tell: Tell) -> None:
        _compute_as_the_least(0.3)
        tell(os.sched_getscheduler(0), [])

    (message,) = heard([work], 0.2)
    assert message == Message(0, os.SCHED_OTHER, [])


@pytest.mark.usefixtures("busy_processor")
def test_an_answer_of_who_waits_for_a_processor() -> None:
    assert answers(lambda: _compute_as_the_least(0.1), 3)


def never() -> bool:
    return False


def test_what_is_given_is_of_a_child() -> None:
    assert given(os.getppid, 5, never) == os.getpid()
    with pytest.raises(FileNotFoundError):
        given(lambda: os.stat("/no such file"), 5, never)


def test_it_is_given_up_when_nothing_happens() -> None:
    started = time.monotonic()
    with pytest.raises(SilenceError):
        given(lambda: time.sleep(60), 0.4, never)
    assert 0.3 <= time.monotonic() - started < 2


def test_what_goes_on_slowly_is_not_given_up() -> None:
    def get_little() -> str:
        for _piece in range(12):
            time.sleep(0.1)
        return "all"

    assert given(get_little, 0.4, never) == "all"


def test_nor_is_what_waits_for_something_that_goes_on() -> None:
    assert given(lambda: time.sleep(1) or "done", 0.2, lambda: True) == "done"


def told_by_shares(work: Callable[[int, int, Tell], None]) -> list[Any]:
    return sorted(shares(work))


def test_work_is_shared() -> None:
    def work(own: int, number: int, tell: Tell) -> None:
        for one in range(own, 11, number):
            tell((one, os.getppid()), ())

    assert told_by_shares(work) == [(one, os.getpid()) for one in range(11)]
    assert told_by_shares(lambda _own, number, tell: tell(number, ())) == [
        min(4, 2 * len(os.sched_getaffinity(0)))
    ] * min(4, 2 * len(os.sched_getaffinity(0)))


def test_what_a_killed_share_had_told_counts() -> None:
    def work(own: int, _number: int, tell: Tell) -> None:
        tell((own, "begun"), ())
        if own == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        tell((own, "done"), ())

    told = told_by_shares(work)
    assert (0, "begun") in told and (0, "done") not in told
    assert {(1, "begun"), (1, "done")} <= set(told)


def test_a_share_that_fails_ends_it_and_says_nothing() -> None:
    def work(own: int, _number: int, _tell: Tell) -> None:
        raise OSError(own)

    assert told_by_shares(work) == []


def test_a_share_may_wait_for_long() -> None:
    def work(own: int, _number: int, tell: Tell) -> None:
        time.sleep(1.5)
        tell(own, ())

    assert 0 in told_by_shares(work)


def test_no_process_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", fork)
    assert told_by_shares(lambda own, _number, tell: tell(own, ())) == []


@pytest.mark.parametrize("begin", ["given", "shares"])
def test_it_ends_with_us(tmp_path: Path, begin: str) -> None:
    """Nothing may be written for a module that was killed."""

    def work(*_share: object) -> None:
        (tmp_path / f"pid{os.getpid()}").touch()
        time.sleep(60)

    child = os.fork()
    if child == 0:
        if begin == "given":
            given(work, 60, never)
        else:
            list(shares(work))
    number = {"given": 1, "shares": min(4, 2 * len(os.sched_getaffinity(0)))}[begin]
    wait_until(lambda: len(list(tmp_path.iterdir())) == number)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for path in tmp_path.iterdir():
        wait_until(lambda grandchild=path.name[3:]: fields_of(grandchild)[:1] in ([], ["Z"]))
