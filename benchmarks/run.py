# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All benchmarks: medians of the rounds and ratios to the floor that was measured in the same run."""

from __future__ import annotations

import sys

import rescue
import scan

if __name__ == "__main__":
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for benchmark in (scan, rescue):
        rows = benchmark.main(rounds)
        print(f"\n{rows[0].what}, median of {rounds} rounds")
        for row in rows:
            print(f"  {row.seconds:8.3f} s  {row.ratio:6.2f} x  {row.name}", flush=True)
