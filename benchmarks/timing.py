# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands timed in turn (A B C A B C ...), so that a machine that slows down slows all of them."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple


class Row(NamedTuple):
    """``seconds`` is the median of the rounds, ``ratio`` that median to the floor's, the first command's.

    ``memory`` is the most that a round took, in MiB, ``there`` the same on the host.
    """

    what: str
    name: str
    seconds: float
    ratio: float
    memory: float | None = None
    there: float | None = None

    def __str__(self) -> str:
        memory = "" if self.memory is None else f"{self.memory:6.0f} MiB"
        there = "" if self.there is None else f"{self.there:6.0f} MiB on the host  "
        return f"{self.seconds:10.4f} s  {self.ratio:6.2f} x  {memory:10}  {there}{self.name}"


# A command that times a part of its work ends its output with this and the seconds.
INSIDE = b"seconds inside: "


# The peaks of a host in MiB, while a command runs.
Watch = Callable[[], AbstractContextManager[list[float]]]


def measured(what: str, commands: dict[str, list[str]], rounds: int, watch: Watch | None = None) -> list[Row]:
    taken: dict[str, list[float]] = {name: [] for name in commands}
    memory = dict.fromkeys(commands, 0.0)
    there: dict[str, list[float]] = {name: [] for name in commands}
    for round_number in range(rounds + 1):
        for name, command in commands.items():
            with watch() if watch else nullcontext([]) as peaks:
                seconds, peak = run(command)
            if round_number:  # the first one warms up
                taken[name].append(seconds)
                memory[name] = max(memory[name], peak)
                there[name] += peaks
    medians = {name: statistics.median(seconds) for name, seconds in taken.items()}
    floor = next(iter(medians.values()))
    return [
        Row(what, name, seconds, seconds / floor, memory[name], max(there[name], default=None))
        for name, seconds in medians.items()
    ]


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
