# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""report.py ROUNDS: the report of 1,000 hosts with 200 entries each, made from facts of a real host, in a browser."""

from __future__ import annotations

import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from fleet import Fleet
from fleet.controller import environment, program

HOSTS, ENTRIES = 1000, 200
CHROMIUM = "/usr/bin/chromium-headless-shell"
HOLD = """
import os, sys, time
held = []
for number in range(5):
    held.append(open("/srv/release-%d-%d.dat" % (os.getpid(), number), "w"))
    held[-1].write("x")
    held[-1].flush()
    os.unlink(held[-1].name)
print(flush=True)
time.sleep(3600)
"""
SEARCH = """word => {
    const field = document.querySelector("input[type=search]");
    const start = performance.now();
    field.value = word;
    field.dispatchEvent(new Event("input", {bubbles: true}));
    document.body.offsetHeight;
    return performance.now() - start;
}"""


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Fleet(1) as fleet:
            for _holder in range(ENTRIES // 5):
                started = fleet.hosts[0].spawn(["/usr/bin/python3", "-c", HOLD], stdout=subprocess.PIPE)
                assert started.stdout is not None and started.stdout.readline()
            report(str(fleet.inventory()), {"report_dest": str(folder / "one.html")})
        (told,) = json.loads((folder / "one.json").read_text())["hosts"].values()
        (folder / "fleet.json").write_text(json.dumps(multiplied(told)))
        size = (folder / "fleet.json").stat().st_size / 1e6
        started_at = time.monotonic()
        page = folder / "report.html"
        report("localhost,", {"report_dest": str(page), "report_from": str(folder / "fleet.json")})
        seconds = time.monotonic() - started_at
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"{HOSTS} hosts with {len(told['entries'])} entries each, median of {rounds} rounds")
        written = f"{size:.0f} MB of JSON, written in {seconds:.1f} s with {memory:.0f} MiB"
        print(f"  {written}, page {page.stat().st_size / 1e6:.1f} MB")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            figures = [opened(browser, page) for _round in range(rounds)]
            browser.close()
        ready, search = (statistics.median(some) for some in zip(*figures, strict=True))
        print(f"  usable in the browser after {ready:.2f} s, a search answers in {search * 1000:.0f} ms")


def report(inventory: str, variables: dict[str, str]) -> None:
    command = [program("ansible-playbook"), "procfs.rescue.report", "-i", inventory, "-e", json.dumps(variables)]
    subprocess.run(command, env=environment(), stdout=subprocess.DEVNULL, check=True)


def multiplied(told: dict[str, Any]) -> dict[str, Any]:
    """What one host told as that of a fleet in which no path, size or pid is like another."""
    chance = random.Random(1)
    hosts = {}
    for number in range(HOSTS):
        entries = []
        for entry in told["entries"]:
            holders = [
                {**entry["holders"][0], "pid": chance.randrange(1 << 22)}
                for _holder in range(chance.choice((1, 1, 3, 8)))
            ]
            size = chance.randrange(1 << 34)
            path = f"/srv/app/releases/{chance.getrandbits(48):x}.dat"
            entries.append({**entry, "path": path, "size": size, "reclaimable": size, "holders": holders})
        summary = {**told["summary"], "reclaimable": sum(entry["reclaimable"] for entry in entries)}
        hosts[f"host-{number:04}.example"] = {**told, "entries": entries, "summary": summary}
    return {"hosts": hosts}


def opened(browser: Browser, page: Path) -> tuple[float, float]:
    """Seconds until the table is usable, and of the slowest of some searches."""
    tab = browser.new_page()
    tab.goto(f"file://{page}")
    tab.wait_for_selector("html[data-ready]", state="attached")
    ready = tab.evaluate("performance.now()") / 1000
    search = max(tab.evaluate(SEARCH, word) for word in ("releases", "host-0999", "python3 abc", "nothing has this"))
    tab.close()
    return ready, search / 1000


if __name__ == "__main__":
    main(int(sys.argv[1]))
