# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""run.py BENCHMARK ROUNDS: medians of the rounds and ratios to the floor that was measured in the same run."""

from __future__ import annotations

import sys
from collections.abc import Callable

import facts
import fetch
import fleet_rescue
import restore
import scan
from timing import Row

BENCHMARKS: dict[str, list[Callable[[int], list[Row]]]] = {
    "scan": [scan.main, scan.growth, scan.busy_neighbour, scan.idle_neighbour],
    "facts": [facts.main],
    "fleet": [
        fleet_rescue.main,
        fleet_rescue.few_hold,
        fleet_rescue.over_sftp,
        fleet_rescue.settings,
        fleet_rescue.growth,
    ],
    "restore": restore.BENCHMARKS,
    "restore-huge": restore.HUGE_BENCHMARKS,
    "fetch": fetch.BENCHMARKS,
}

if __name__ == "__main__":
    for benchmark in BENCHMARKS[sys.argv[1]]:
        rounds = int(sys.argv[2])
        rows = benchmark(rounds)
        print(f"\n{rows[0].what}, median of {rounds} rounds")
        for row in rows:
            print(f"  {row}", flush=True)
