# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a fresh machine to a rescued host, and to a first change, by the commands of README.md and CONTRIBUTING.md."""

from __future__ import annotations

import re
import shlex
import struct
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import artifact
import documents
from fleet import Fleet, debian
from fleet.controller import program

pytestmark = pytest.mark.long
ROOT = Path(__file__).resolve().parents[2]
SCREENS = 3 * 45  # rows of 100 columns

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
cd /root
exec /bin/sh -exc "$2"
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

FIRST, CLONE, GALAXY, DRILL = documents.blocks("README.md")[:4]


@pytest.fixture
def type_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[str, float]]:
    """``type_there(commands, limit)`` types them as root on a fresh machine; gives its screen and the seconds."""
    machine = tmp_path / "machine"
    subprocess.run(["cp", "-a", debian.tree(packages=("git", "make")), machine], check=True)
    subprocess.run(["git", "clone", "--quiet", "--bare", ROOT, machine / "root/origin"], check=True)
    # How fast somebody's mirror is would be no property of this collection.
    begin = time.monotonic()
    locks = [word for lock in ("requirements.txt", "tests/requirements.txt") for word in ("-r", ROOT / lock)]
    download = [sys.executable, "-m", "pip", "-q", "download", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*download, "-d", machine / "root/wheels", *locks], check=True)
    wheels = [path.stat().st_size for path in (machine / "root/wheels").iterdir()]
    apart = f"{len(wheels)} wheels, {sum(wheels) / 1e6:.0f} MB, downloaded before in {time.monotonic() - begin:.0f} s"
    for settings in Path("/etc/apt/apt.conf.d").iterdir():
        (machine / "etc/apt/apt.conf.d" / settings.name).write_bytes(settings.read_bytes())
    for name in ("resolv.conf", "hosts"):
        (machine / "etc" / name).write_bytes(Path("/etc", name).read_bytes())
    here = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": "/root/wheels",
        # The address that README names is not there yet.
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "url./root/origin.insteadOf",
        "GIT_CONFIG_VALUE_0": address(),
    }

    def typed(commands: str, limit: int) -> tuple[str, float]:
        two_cores = ["taskset", "--cpu-list", "0,1"]
        alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", MACHINE, "-", machine, commands]
        begin = time.monotonic()
        done = subprocess.run(
            [*two_cores, *alone],
            env=here,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=4 * limit,
            check=False,
        )
        seconds = time.monotonic() - begin
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
        with capsys.disabled():
            print(f"\n{seconds:.0f} s on two cores, of at most {limit}; not in it: {apart}")
        return done.stdout, seconds

    return typed


def address() -> str:
    return str(yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["repository"])


def rows(text: str) -> int:
    """How many it takes, wrapped; a picture as many as its height is, at 20 pixels for each."""
    count = 0
    for line in text.splitlines():
        picture = re.fullmatch(r"!\[.*\]\((.*)\)", line)
        if picture:
            (height,) = struct.unpack(">I", (ROOT / picture[1]).read_bytes()[20:24])  # PNG
            count += -(-height // 20)
        else:
            count += len(textwrap.wrap(line, 100)) or 1
    return count


def test_readme_has_the_commands_one_picture_and_three_screens_before_its_reference() -> None:
    head = (ROOT / "README.md").read_text(encoding="utf-8").partition("-->\n")[2].partition("\n# Reference\n")
    assert head[1], "there is a reference"
    assert [command.split()[1] for command in FIRST.commands] == ["check", "rescue"]
    assert len(re.findall(r"!\[.*\]\((.*)\)", head[0])) == 1
    assert head[0].index("make check") < head[0].index("make rescue") < head[0].index("![") < head[0].index("\n## ")
    assert rows(head[0]) <= SCREENS
    assert f"git clone {address()} " in CLONE.text


def test_a_fresh_machine(type_there: Callable[..., tuple[str, float]]) -> None:
    (clone,), (drill,), (check, rescue) = CLONE.commands, DRILL.commands, FIRST.commands
    screen, seconds = type_there("\n".join([clone, drill, HOSTS, check, rescue, rescue]), limit=300)
    assert "3 hosts: 3 rescuable" in screen and "3 hosts: 3 rescued" in screen
    assert "3 hosts: 3 was_fine" in screen
    assert seconds < 300


def test_a_first_change(type_there: Callable[..., tuple[str, float]]) -> None:
    """With the clock, until the unit tests have run; then what is to be run before it is sent."""
    until_unit, before_it_is_sent = (block.commands for block in documents.blocks("CONTRIBUTING.md"))
    _screen, seconds = type_there("\n".join([*CLONE.commands, *until_unit]), limit=600)
    assert seconds < 600
    screen, _seconds = type_there("\n".join(["cd rescue", *before_it_is_sent]), limit=1200)
    assert "test_restore_file.py" in screen and " passed" in screen


def test_by_galaxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The artifact that is to be uploaded stands in for its name at Galaxy; there is no repository in reach."""
    here = {"HOME": str(tmp_path), "PATH": f"{Path(program('ansible')).parent}:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    monkeypatch.setenv("PATH", here["PATH"])
    built = artifact.build(ROOT, tmp_path)
    (tmp_path / ".ssh").mkdir(mode=0o700)
    install, check, rescue = GALAXY.commands
    with Fleet(2) as fleet:
        (tmp_path / "hosts.yml").write_text(fleet.inventory().read_text())
        for host in fleet.hosts:
            host.spawn(["/usr/bin/bash", "-c", "while :; do sleep 3600; done"])
            host.wreck("/usr/bin/bash")
        screens = []
        for command in install.replace("procfs.rescue", str(built)), check, rescue, rescue:
            done = subprocess.run(
                shlex.split(command), cwd=tmp_path, env=here, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, command + done.stdout + done.stderr
            screens.append(done.stdout)
        assert all((host.root() / "usr/bin/bash").exists() for host in fleet.hosts)
    assert "2 hosts: 2 rescuable" in screens[1] and "2 hosts: 2 rescued" in screens[2]
    assert "2 hosts: 2 was_fine" in screens[3]
    assert (tmp_path / ".ansible/collections/ansible_collections/procfs/rescue/MANIFEST.json").exists()
