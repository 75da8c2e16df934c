# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands timed in turn (A B C A B C ...), so that a machine that slows down slows all of them."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import NamedTuple


class Row(NamedTuple):
    """``seconds`` is the median of the rounds, ``ratio`` that median to the floor's, the first command's.

    ``memory`` is the most that the largest process of a round took, in MiB, and ``together`` what all its processes
    took at a time, memory that they share counted once (PSS); for that there is a round of its own, which is not timed.
    ``there`` is the most that a process of the host took.
    """

    what: str
    name: str
    seconds: float
    ratio: float
    memory: float | None = None
    together: float | None = None
    there: float | None = None

    def __str__(self) -> str:
        memory = "" if self.memory is None else f"{self.memory:6.0f} MiB"
        together = "" if self.together is None else f"{self.together:6.0f} MiB"
        there = "" if self.there is None else f"{self.there:6.0f} MiB on the host  "
        return f"{self.seconds:10.4f} s  {self.ratio:6.2f} x  {memory:10}  {together:10}  {there}{self.name}"


# A command that times a part of its work ends its output with this and the seconds.
INSIDE = b"seconds inside: "


# The peaks of a host in MiB, while a command runs.
Watch = Callable[[], AbstractContextManager[list[float]]]


def measured(
    what: str, commands: dict[str, list[str]], rounds: int, *, warm_up: bool = True, watch: Watch | None = None
) -> list[Row]:
    taken: dict[str, list[float]] = {name: [] for name in commands}
    memory = dict.fromkeys(commands, 0.0)
    there: dict[str, list[float]] = {name: [] for name in commands}
    # Where there is nothing to watch on a host this is the round that warms up.
    together = {name: together_of(command) for name, command in commands.items()} if warm_up and not watch else {}
    for round_number in range(0 if watch and warm_up else 1, rounds + 1):
        for name, command in commands.items():
            with watch() if watch else nullcontext([]) as peaks:
                seconds, peak = run(command)
            if round_number:  # that of number 0 warms up
                taken[name].append(seconds)
                memory[name] = max(memory[name], peak)
                there[name] += peaks
    medians = {name: statistics.median(seconds) for name, seconds in taken.items()}
    floor = next(iter(medians.values()))
    return [
        Row(what, name, seconds, seconds / floor, memory[name], together.get(name), max(there[name], default=None))
        for name, seconds in medians.items()
    ]


def together_of(command: list[str]) -> float:
    """The most memory (PSS) that a command and its descendants take at a time, in MiB. Short peaks may be missed."""
    most = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            most = max(most, sum(_pss(pid) for pid in _family(process.pid)))
            time.sleep(0.005)
    return most / 1024


def _family(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):  # it ended
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in children.read_text().split():
                yield from _family(int(child))


def _pss(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def run(command: list[str]) -> tuple[float, float]:
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    with process.stdout:
        output = process.stdout.read()
    _pid, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output)
    inside = output.rpartition(INSIDE)
    return float(inside[2]) if inside[1] else seconds, usage.ru_maxrss / 1024
