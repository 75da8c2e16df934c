# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller is killed, or the link is cut, while a module restores on the host. (Over SFTP: test_sftp.py.)"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fleet.controller import environment, program

pytestmark = pytest.mark.long

SIZE = 100 * 2**20
ROUNDS = 12


def of_host(host, comm: str) -> Iterator[int]:
    """The processes of the host that are called so, as this machine numbers them."""
    ours = os.stat(f"/proc/{host.pid}/ns/pid").st_ino
    for name in os.listdir("/proc"):
        with suppress(OSError):
            is_there = name.isdigit() and os.stat(f"/proc/{name}/ns/pid").st_ino == ours
            if is_there and Path(f"/proc/{name}/comm").read_text().strip() == comm:
                yield int(name)


def kill_controller(_host, process: subprocess.Popen[bytes]) -> None:
    """All of Ansible, and with it the ssh processes that it started."""
    os.killpg(process.pid, signal.SIGKILL)


def cut_link(host, _process: subprocess.Popen[bytes]) -> None:
    """What serves the connections on the host: all but the daemon itself."""
    daemon = min(of_host(host, "sshd"))
    for pid in list(of_host(host, "sshd")):
        if pid != daemon:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("event", [kill_controller, cut_link])
def test_nothing_is_half_done(fleet, host, lab, hold, run_module, tmp_path, capsys, event):
    content = random.Random(6).randbytes(SIZE)
    path = f"{lab}/movie"
    place = host.root() / path.lstrip("/")
    place.write_bytes(content)
    place.chmod(0o640)
    expected = (hashlib.sha256(content).hexdigest(), 0o640, 0, place.stat().st_mtime_ns)
    hold("import sys\nheld = open(sys.argv[1])\n", path)
    task = {"procfs.rescue.restore_file": {"path": path}, "vars": {"ansible_pipelining": True}}
    (tmp_path / "play.yml").write_text(json.dumps([{"hosts": "h1", "gather_facts": False, "tasks": [task]}]))
    command = [program("ansible-playbook"), str(tmp_path / "play.yml"), "-i", str(fleet.inventory())]
    chance = random.Random(6)
    holders = set(of_host(host, "python3"))
    before_the_end = 0
    takes = 0.0  # seconds, told by the first round, in which nothing happens
    for number in range(ROUNDS + 1):
        place.unlink()
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, env=environment(), start_new_session=True, **quiet) as process:
            while process.poll() is None and not set(of_host(host, "python3")) - holders:
                time.sleep(0.01)
            if number:
                time.sleep(chance.random() * 1.2 * takes)
                before_the_end += not place.exists()
                event(host, process)
            else:
                began = time.monotonic()
                while process.poll() is None and not place.exists():
                    time.sleep(0.01)
                takes = time.monotonic() - began
            process.wait(timeout=60)
        until = time.monotonic() + 30
        while set(of_host(host, "python3")) - holders:  # what it began it may finish
            assert time.monotonic() < until
            time.sleep(0.05)
        ours = [name for name in os.listdir(place.parent) if name != "movie"]
        assert len(ours) <= 1 and all(name.startswith(".procfs-rescue.") for name in ours)
        if place.exists():
            assert state(place) == expected
        again = run_module("restore_file", {"path": path})
        assert not again.failed, again.output
        assert state(place) == expected and os.listdir(place.parent) == ["movie"]
    with capsys.disabled():
        print(f"\n{event.__name__}: {ROUNDS} times, {before_the_end} of them before the name was there")
    assert before_the_end > ROUNDS // 4


def state(place: Path) -> tuple[str, int, int, int]:
    status = place.stat()
    digest = hashlib.sha256(place.read_bytes()).hexdigest()
    return digest, stat.S_IMODE(status.st_mode), status.st_uid, status.st_mtime_ns
