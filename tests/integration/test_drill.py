# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The drill as a person starts it, and what is left when it is stopped halfway."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fleet.controller import environment

TESTS = Path(__file__).resolve().parents[1]
STATE = Path("/run/procfs-rescue-fleet")


def start(count):
    return subprocess.Popen(
        [sys.executable, "-m", "fleet.drill", str(count)],
        cwd=TESTS,
        env={**environment(), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def fleets():
    return set(os.listdir(STATE)) if STATE.exists() else set()


def test_the_drill_shows_the_loss_and_brings_everything_back():
    digest = hashlib.sha256(Path("/usr/bin/bash").read_bytes()).hexdigest()
    drill = start(2)
    output = drill.communicate(timeout=120)[0]
    assert drill.returncode == 0, output
    assert f"h2: /usr/bin/bash has sha256 {digest}" in output
    assert "h2: /usr/bin/bash is gone; root's login: root@" in output and "Permission denied" in output
    (row,) = [line for line in output.splitlines() if line.startswith("h2  ") and "/exe" in line]
    assert row.split()[1:4] == [digest[:12], digest[:12], "yes"] and row.endswith("yes") and "0755 0:0, kept" in row
    assert "make rescue INVENTORY=hosts.yml" in output
    (page,) = [Path(line.partition(": ")[2]) for line in output.splitlines() if line.startswith("To look at: ")]
    assert page.read_text(encoding="utf-8").count("<bdi>restored</bdi>") == 2
    assert hashlib.sha256(Path("/usr/bin/bash").read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_when_it_is_stopped_halfway(end):
    drill = start(1)
    assert drill.stdout is not None
    for line in drill.stdout:
        if "PLAY [" in line:
            break
    (children,) = Path(f"/proc/{drill.pid}/task").glob("*/children")
    ours = {name for name in fleets() if running({name}, children.read_text().split())}
    assert len(ours) == 1
    os.killpg(drill.pid, end)
    drill.stdout.close()
    drill.wait(timeout=30)
    until = time.monotonic() + 15
    while fleets() & ours or running(ours):
        assert time.monotonic() < until, (fleets(), running(ours))
        time.sleep(0.1)


def running(names, pids=None):
    """Command lines that name one of the fleets, of all processes or of these."""
    found = []
    for pid in pids or [name for name in os.listdir("/proc") if name.isdigit()]:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if any(name in command for name in names):
            found.append(command)
    return found
