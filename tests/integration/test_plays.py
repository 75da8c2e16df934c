# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role and the modules in plays of users: what they know of Ansible holds here, too."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import debs
from fleet import Fleet, Host
from fleet.controller import run_ansible

TOOL = "/usr/bin/tool"
CONTENT = b"#!/bin/sh\necho tool\n"
ROLE = "procfs.rescue.rescue"
WANTED = {"rescue_paths": [TOOL]}

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three hosts of one package."""
    package = debs.build(tmp_path_factory.mktemp("package"), "tool", "1.0", {TOOL: CONTENT})
    with Fleet(3) as started:
        for host in started.hosts:
            debs.install(host, package)
        yield started


@pytest.fixture
def play(fleet: Fleet, tmp_path: Path) -> Run:
    """``play([play, …], "--tags", "x")`` runs these plays over the fleet; the variables of the role are for all."""

    def run(plays: list[dict[str, Any]], *options: str, inventory: Path | None = None, **env: str) -> Any:
        text = [{"hosts": "all", "gather_facts": False, "vars": WANTED, **one} for one in plays]
        (tmp_path / "play.yml").write_text(json.dumps(text))
        command = [str(tmp_path / "play.yml"), "-i", str(inventory or fleet.inventory()), *options]
        done = run_ansible("ansible-playbook", *command, env=env)
        assert "DEPRECATION" not in done.stderr, done.stderr
        return done

    return run


@pytest.fixture
def lost(fleet: Fleet) -> Iterator[Host]:
    """The first host: it lost the tool, which nobody held."""
    host = fleet.hosts[0]
    host.wreck(TOOL)
    yield host
    host.run(["dd", f"of={TOOL}", "status=none"], input=CONTENT)
    host.run(["chmod", "755", TOOL])


def content_of(host: Host) -> bytes | None:
    done = host.run(["cat", TOOL], check=False)
    return done.stdout if done.returncode == 0 else None


def test_tags(play: Run, lost: Host) -> None:
    """They are of everything that the role includes, too."""
    plays = [{"roles": [{"role": ROLE, "tags": ["rescue"]}]}]
    done = play(plays, "--skip-tags", "rescue")
    assert (done.returncode, content_of(lost)) == (0, None), done.stdout
    done = play(plays, "--tags", "rescue")
    assert (done.returncode, content_of(lost)) == (0, CONTENT), done.stdout


def test_tags_of_a_role_that_cannot_help(play: Run, lost: Host) -> None:
    plays = [{"vars": {**WANTED, "rescue_sources": ["process"]}, "roles": [{"role": ROLE, "tags": ["rescue"]}]}]
    assert play(plays, "--tags", "rescue").returncode == 2


def test_check_and_diff(play: Run, lost: Host) -> None:
    done = play([{"roles": [ROLE]}], "--check", "--diff")
    assert done.returncode == 0 and content_of(lost) is None, done.stdout
    assert "+++ after: /usr/bin/tool from peer h2" in done.stdout and f'"size": {len(CONTENT)}' in done.stdout, (
        done.stdout
    )
    done = play([{"roles": [ROLE]}], "--diff")
    assert done.returncode == 0 and content_of(lost) == CONTENT and f'"size": {len(CONTENT)}' in done.stdout


@pytest.mark.parametrize("stop", [True, False])
def test_any_errors_fatal(play: Run, lost: Host, stop: bool) -> None:
    """The hosts that were fine go on to the next task only where their user lets them."""
    variables = {**WANTED, "rescue_sources": ["process"]}
    after = {"ansible.builtin.debug": {"msg": "went on"}}
    done = play([{"vars": variables, "roles": [ROLE], "any_errors_fatal": stop, "post_tasks": [after]}])
    assert done.returncode == 2
    assert done.stdout.count('"msg": "went on"') == (0 if stop else 2), done.stdout
    assert "2 was_fine, 1 failed (h1)" in done.stdout


def test_facts_that_are_cached_and_used_by_later_plays(play: Run, lost: Host, tmp_path: Path) -> None:
    later = {"msg": "{{ inventory_hostname }}: {{ rescue_result.files | map(attribute='status') | join }}"}
    cache = {"ANSIBLE_CACHE_PLUGIN": "jsonfile", "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(tmp_path / "cache")}
    done = play([{"roles": [ROLE]}, {"tasks": [{"ansible.builtin.debug": later}]}], **cache)
    assert done.returncode == 0, done.stdout
    assert '"msg": "h1: restored"' in done.stdout and '"msg": "h2: present"' in done.stdout
    assert content_of(lost) == CONTENT


def test_a_task_that_is_delegated(play: Run, fleet: Fleet) -> None:
    """It works on the other host and is told of this one."""
    other = fleet.hosts[1]
    held = other.spawn(["sh", "-c", f"exec 3<{TOOL}; exec sleep 3600"])
    other.wreck(TOOL)
    task = {"procfs.rescue.restore_file": {"path": TOOL}, "delegate_to": "h2"}
    done = play([{"hosts": "h3", "tasks": [task]}])
    held.kill()
    assert done.returncode == 0 and "changed: [h3 -> h2" in done.stdout, done.stdout
    assert content_of(other) == CONTENT


def test_slices_of_an_inventory(play: Run, lost: Host, fleet: Fleet) -> None:
    """As AWX runs them, each on its own: one without a donor says so, and nothing of one is left for the next."""
    done = play([{"vars": {**WANTED, "rescue_sources": ["process", "peer"]}, "roles": [ROLE]}], "--limit", "h1")
    assert done.returncode == 2 and "no other host of this run has it" in done.stdout, done.stdout
    done = play([{"vars": {**WANTED, "rescue_sources": ["process", "peer"]}, "roles": [ROLE]}], "--limit", "h1,h3")
    assert done.returncode == 0 and content_of(lost) == CONTENT, done.stdout


# A mount of this machine, given to a mount namespace (open_tree(2), move_mount(2)): MOUNTED NAMESPACE PLACE.
GIVE = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
mounted, namespace, place = map(os.fsencode, sys.argv[1:])
tree = libc.syscall(428, -100, mounted, 1)
assert libc.setns(os.open(namespace, os.O_RDONLY), 0) == 0
assert libc.syscall(429, tree, b"", -100, place, 4) == 0, os.strerror(ctypes.get_errno())
"""


def give(host: Host, image: Path, kind: str, place: str) -> None:
    """A file system on a loop device, which hosts have none of."""
    mounted = image.with_suffix(".mounted")
    mounted.mkdir()
    subprocess.run(["truncate", "-s", "300M", image], check=True)
    subprocess.run([f"mkfs.{kind}", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, mounted], check=True)
    try:
        subprocess.run([sys.executable, "-c", GIVE, mounted, f"/proc/{host.pid}/ns/mnt", place], check=True)
    finally:
        subprocess.run(["umount", mounted], check=True)


@pytest.mark.long
def test_hosts_with_other_file_systems(tmp_path: Path, play: Run) -> None:
    """Blocks are shared on btrfs; from there it goes to a host with ext4."""
    place, path = "/srv/place", "/srv/place/bin/tool"
    package = debs.build(tmp_path, "placed", "1.0", {path: CONTENT * 1000})
    with Fleet(2) as fleet:
        for host, kind in zip(fleet.hosts, ("btrfs", "ext4"), strict=True):
            host.run(["mkdir", place])
            give(host, tmp_path / kind, kind, place)
            debs.install(host, package)
        first = fleet.hosts[0]
        held = first.spawn(["sh", "-c", f"exec 3<{path}; exec sleep 3600"])
        for host in fleet.hosts:
            host.wreck(path)
        report = tmp_path / "report.json"
        variables = {"rescue_paths": [path], "rescue_report_path": str(report)}
        done = play([{"vars": variables, "roles": [ROLE]}], inventory=fleet.inventory())
        assert done.returncode == 0, done.stdout
        results = json.loads(report.read_text())
        (one,), (other,) = results["h1"]["files"], results["h2"]["files"]
        assert (one["method"], other["method"], other["source"]["peer"]) == ("reflink", "copy", "h1")
        for host in fleet.hosts:
            assert host.run(["cat", path]).stdout == CONTENT * 1000
        held.kill()
        for host in fleet.hosts:
            host.run(["umount", place])


@pytest.mark.long
def test_a_host_with_busybox_alone(tmp_path: Path, play: Run) -> None:
    """No Python, no program of Debian but sshd and its SFTP server."""
    with Fleet(1) as fleet:
        (host,) = fleet.hosts
        host.run(["ln", "-s", "busybox", "/usr/bin/ash"])
        host.run(["usermod", "--shell", "/usr/bin/ash", "root"])
        host.run(["cp", "/bin/true", TOOL])
        before = content_of(host)
        host.spawn(["/usr/bin/busybox", "sh", "-c", f"exec 3<{TOOL}; exec busybox sleep 3600"])
        host.run(["/usr/bin/busybox", "sh", "-c", KEEP])
        host.wreck(TOOL)
        done = play([{"roles": [ROLE]}], inventory=fleet.inventory(user="root", become=False))
        assert done.returncode == 0 and "sftp" in done.stdout, done.stdout
        assert host.run(["/usr/bin/busybox", "cat", TOOL]).stdout == before


# Deletes all programs of the host, the busybox that does it excepted.
KEEP = (
    "cd /usr/bin; for name in *; do case $name in busybox|ash|tool) ;; *) busybox rm -f $name ;; esac; done;"
    "cd /usr/sbin; for name in *; do [ $name = sshd ] || busybox rm -f $name; done"
)
