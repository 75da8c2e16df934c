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

    def run(
        plays: list[dict[str, Any]],
        *options: str,
        inventory: Path | None = None,
        cwd: Path | None = None,
        **env: str,
    ) -> Any:
        text = [{"hosts": "all", "gather_facts": False, "vars": WANTED, **one} for one in plays]
        (tmp_path / "play.yml").write_text(json.dumps(text))
        command = [str(tmp_path / "play.yml"), "-i", str(inventory or fleet.inventory()), *options]
        done = run_ansible("ansible-playbook", *command, env=env, cwd=cwd)
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


@pytest.mark.parametrize("given", ["relative", "in a folder", "at home"])
def test_where_the_report_is_written(play: Run, tmp_path: Path, given: str) -> None:
    """Where the user is: not beside the playbook, and not where PWD says, which programs do not keep."""
    here, home = tmp_path / "here", tmp_path / "home"
    for folder in (here / "deep", home):
        folder.mkdir(parents=True)
    path, expected = {
        "relative": ("report.json", here / "report.json"),
        "in a folder": ("./deep/report.json", here / "deep/report.json"),
        "at home": ("~/report.json", home / "report.json"),
    }[given]
    variables = {**WANTED, "rescue_report_path": path}
    done = play([{"hosts": "h2", "vars": variables, "roles": [ROLE]}], cwd=here, HOME=str(home), PWD="/")
    assert done.returncode == 0, done.stdout
    assert set(json.loads(expected.read_text())) == {"h2"}
    assert not Path("/report.json").exists()


@pytest.mark.parametrize(
    ("strategy", "forks"), [("free", "5"), ("free", "1"), ("ansible.builtin.host_pinned", "5"), ("host_pinned", "1")]
)
def test_a_strategy_in_which_hosts_do_not_wait(
    play: Run, lost: Host, fleet: Fleet, tmp_path: Path, strategy: str, forks: str
) -> None:
    """Who needs something gets it from hosts that have not even begun; each host is told of, and nothing is warned of.

    With one fork of host_pinned the donor begins when the others are through.
    """
    second = fleet.hosts[1]
    report = tmp_path / "report.json"
    second.wreck(TOOL)
    variables = {**WANTED, "rescue_sources": ["process", "peer"], "rescue_report_path": str(report)}
    first = {"vars": variables, "roles": [ROLE], "strategy": strategy}
    last = {"name": ROLE, "tasks_from": "sum_up"}
    over = {"tasks": [{"ansible.builtin.import_role": last, "vars": {"rescue_is_over": True}}], "strategy": "linear"}
    done = play([first, over], "--forks", forks)
    assert done.returncode == 0, done.stdout
    assert [content_of(host) for host in fleet.hosts] == [CONTENT] * 3, done.stdout
    assert done.stdout.count('"1 host: 1 rescued"') == 2 and done.stdout.count('"1 host: 1 was_fine"') == 1
    assert done.stdout.count('"3 hosts: 2 rescued, 1 was_fine"') == 1, done.stdout
    outcomes = {name: result["outcome"] for name, result in json.loads(report.read_text()).items()}
    assert outcomes == {"h1": "rescued", "h2": "rescued", "h3": "was_fine"}


@pytest.mark.parametrize("strategy", ["free", "host_pinned"])
def test_a_failure_where_hosts_do_not_wait(play: Run, lost: Host, fleet: Fleet, tmp_path: Path, strategy: str) -> None:
    """A host without a source fails for itself; who was rescued and who cannot be reached is in the report as well."""
    inventory = fleet.inventory()
    inventory.write_text(inventory.read_text().replace(fleet.hosts[2].address, "127.0.0.9"))
    report = tmp_path / "report.json"
    variables = {**WANTED, "rescue_sources": ["process"], "rescue_report_path": str(report)}
    plays = [{"vars": variables, "roles": [ROLE], "strategy": strategy}]
    done = play(plays, "--check", "--diff", "--tags", "all", inventory=inventory)
    assert done.returncode in (2, 4), done.stdout
    assert "1 host: 1 failed (h1)" in done.stdout and "1 host: 1 was_fine" in done.stdout, done.stdout
    results = json.loads(report.read_text())
    assert (results["h1"]["outcome"], results["h2"]["outcome"]) == ("failed", "was_fine")
    assert results["h1"]["msg"].startswith("Do not reboot") and results.get("h3", {}).get("outcome") in (None, "failed")


@pytest.mark.parametrize("name", ["collect", "report", "check"])
def test_playbooks_do_not_take_the_strategy_of_the_user(fleet: Fleet, tmp_path: Path, name: str) -> None:
    """What they write of all hosts is written once; of another strategy Ansible would warn."""
    values = {"collect_dest": str(tmp_path / "evidence"), "report_dest": str(tmp_path / "page.html")}
    command = [f"procfs.rescue.{name}", "-i", str(fleet.inventory()), "-e", json.dumps({**values, **WANTED})]
    done = run_ansible("ansible-playbook", *command, env={"ANSIBLE_STRATEGY": "free"})
    assert done.returncode == 0, done.stdout


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
