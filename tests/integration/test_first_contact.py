# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a fresh machine to a rescued host, by the commands at the top of README.md, with a clock."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fleet import debian

pytestmark = pytest.mark.long
ROOT = Path(__file__).resolve().parents[2]
LIMIT = 300  # seconds

# A machine of its own as far as files, processes and mounts go; it has this one's network and apt's settings.
MACHINE = """
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount --rbind /sys "$1/sys"
mount --rbind /dev "$1/dev"
mount -t tmpfs tmpfs "$1/run"
mount -t tmpfs tmpfs "$1/tmp"
cd "$1"
pivot_root . mnt
umount -l /mnt
cd /root/rescue
export PIP_NO_INDEX=1 PIP_FIND_LINKS=/root/wheels
exec /bin/sh -c "$2"
"""

# What happens to a fleet of one's own between the commands that README names.
HOSTS = """
PYTHONPATH=tests .venv/bin/python -m fleet up 3
trap 'PYTHONPATH=tests .venv/bin/python -m fleet down' EXIT
PYTHONPATH=tests .venv/bin/python -m fleet inventory > hosts.yml
for host in h1 h2 h3; do
  PYTHONPATH=tests .venv/bin/python -m fleet exec $host -- sh -c '
    bash -c "while :; do sleep 3600; done" > /dev/null 2>&1 &
    sleep 1; rm /bin/bash'
done
"""


def commands() -> list[str]:
    """What README.md says to type before its first section, in a clone."""
    top = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## ")[0]
    blocks = re.findall(r"```console\n(.*?)```", top, re.DOTALL)
    return [line[2:].partition("  #")[0] for block in blocks for line in block.splitlines() if line[2:7] == "make "]


def test_readme_has_the_commands_the_picture_and_little_else_before_its_reference():
    head = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## What there is\n")[0]
    assert [command.split()[1] for command in commands()] == ["check", "rescue", "drill"]
    assert len(re.findall(r"!\[.*\]\((.*)\)", head)) == 1 and (ROOT / "docs/report.png").exists()
    assert len(head.splitlines()) <= 3 * 25


def test_a_fresh_machine(tmp_path, capsys):
    machine = tmp_path / "machine"
    subprocess.run(["cp", "-a", debian.tree(packages=("git", "make")), machine], check=True)
    subprocess.run(["git", "clone", "--quiet", ROOT, machine / "root/rescue"], check=True)
    # How fast somebody's mirror is would be no property of this collection.
    locks = [word for lock in ("requirements.txt", "tests/requirements.txt") for word in ("-r", ROOT / lock)]
    download = [sys.executable, "-m", "pip", "-q", "download", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*download, "-d", machine / "root/wheels", *locks], check=True)
    for settings in Path("/etc/apt/apt.conf.d").iterdir():
        (machine / "etc/apt/apt.conf.d" / settings.name).write_bytes(settings.read_bytes())
    for name in ("resolv.conf", "hosts"):
        (machine / "etc" / name).write_bytes(Path("/etc", name).read_bytes())
    check, rescue, drill = commands()
    typed = f"set -ex\n{drill}\n{HOSTS}\n{check.replace(' ARGS=--become', '')}\n{rescue}\n{rescue}"
    clean = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
    apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", MACHINE, "-", machine, typed]
    begin = time.monotonic()
    done = subprocess.run(
        apart, env=clean, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=2 * LIMIT, check=False
    )
    seconds = time.monotonic() - begin
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert "3 hosts: 3 rescuable" in done.stdout and "3 hosts: 3 rescued" in done.stdout
    assert "3 hosts: 3 was_fine" in done.stdout
    with capsys.disabled():
        print(f"\nFrom a fresh machine to rescued hosts, twice: {seconds:.0f} s")
    assert seconds < LIMIT
