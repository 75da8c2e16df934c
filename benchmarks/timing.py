# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands timed in turn (A B C A B C ...), so that a machine that slows down slows all of them."""

from __future__ import annotations

import statistics
import subprocess
import time
from typing import NamedTuple


class Row(NamedTuple):
    """``seconds`` is the median of the rounds, ``ratio`` that median to the floor's, the first command's."""

    what: str
    name: str
    seconds: float
    ratio: float


def measured(what: str, commands: dict[str, list[str]], rounds: int) -> list[Row]:
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for round_number in range(rounds + 1):
        for name, command in commands.items():
            started = time.monotonic()
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
            if round_number:  # the first one warms up
                taken[name].append(time.monotonic() - started)
    medians = {name: statistics.median(seconds) for name, seconds in taken.items()}
    floor = next(iter(medians.values()))
    return [Row(what, name, seconds, seconds / floor) for name, seconds in medians.items()]
