# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook rescue where not all hosts are worked on at once: one first, some at a time; and what stops it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import debs
from fleet import Fleet, Host
from fleet.controller import run_ansible
from integration.rescues import BASH, TOOL, content_of
from unit.plugins.holders import wait_until

LIBRARY = "/usr/lib/x86_64-linux-gnu/libtinfo.so.6"
KEPT = "for comm in /proc/[0-9]*/comm; do cat $comm; done"


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with Fleet(4) as started:
        yield started


@pytest.fixture
def shells(fleet) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Each host runs bash, which it loses."""
    running = {host.name: host.spawn([BASH, "-c", "while :; do sleep 3600; done"]) for host in fleet.hosts}
    content = content_of(fleet.hosts[0], BASH)
    for host in fleet.hosts:
        host.wreck(BASH)
    yield running
    for host in fleet.hosts:
        running[host.name].kill()
        if content_of(host, BASH) is None:
            host.run(["install", "-m", "0755", "/dev/stdin", BASH], input=content)


def test_who_waits_for_its_turn_keeps_open_what_it_may_need(fleet, rescue, shells):
    """In batches; the holder of a host of the last one ends while others have their turn."""
    last = fleet.hosts[3]
    # A batch before its own sees to it: once the first host has its file, the last one's holder ends.
    script = f"while [ ! -e {fleet.hosts[0].root()}{BASH} ]; do sleep 0.01; done"
    ender = subprocess.Popen(["sh", "-c", f"{script}; kill -9 {shells['h4'].pid}"])
    done = rescue({"rescue_serial": 1, "rescue_sources": ["process"]})
    ender.wait()
    assert done.code == 0 and all(content_of(host, BASH) for host in fleet.hosts), done.output
    assert "4 hosts: 4 rescued" in done.output
    # Who kept it open for it ends as soon as the name is there again.
    wait_until(lambda: b"procfs-rescue" not in last.run(["sh", "-c", KEPT], check=False).stdout)


def test_folders_are_kept_open_as_well(fleet, rescue):
    host = fleet.hosts[0]
    host.run(["sh", "-ec", "mkdir -p /srv/thing; echo one > /srv/thing/a"])
    held = host.spawn(["sh", "-c", "exec 3</srv/thing/a; exec sleep 3600"])
    wait_until(lambda: b"thing/a" in host.run(["sh", "-c", "ls -l /proc/[0-9]*/fd/3"], check=False).stdout)
    host.run(["rm", "-r", "/srv/thing"])
    looked = rescue({"rescue_paths": [], "rescue_path_prefixes": ["/srv/thing"], "rescue_canary": "h2"}, limit="h1,h2")
    assert looked.code == 0 and content_of(host, "/srv/thing/a") == b"one\n", looked.output
    held.kill()


def test_the_first_host_gets_whole_folders_from_one_whose_turn_has_not_come(fleet, rescue, tmp_path):
    canary, donor, *_rest = fleet.hosts
    package = debs.build(tmp_path, "thing", "1.0", {"/usr/lib/thing/a": b"one\n"})
    for host in (canary, donor):
        debs.install(host, package)
    canary.run(["rm", "-r", "/usr/lib/thing"])
    below = {"rescue_paths": [], "rescue_path_prefixes": ["/usr/lib/thing"], "rescue_sources": ["process", "peer"]}
    done = rescue({**below, "rescue_canary": "h1"}, limit="h1,h2")
    content = content_of(canary, "/usr/lib/thing/a")
    for host in (canary, donor):
        host.run(["dpkg", "--purge", "thing"])
    assert done.code == 0 and content == b"one\n", done.output


def test_too_many_failures_stop_it(fleet, rescue, shells):
    shells["h1"].kill()
    shells["h1"].wait()
    limits = {"rescue_serial": 2, "rescue_max_fail_percentage": 40, "rescue_sources": ["process"]}
    stopped = rescue(limits)
    assert stopped.code == 2 and [content_of(host, BASH) is None for host in fleet.hosts] == [True, False, True, True]
    done = rescue({**limits, "rescue_max_fail_percentage": 50})
    assert done.code == 2 and [content_of(host, BASH) is None for host in fleet.hosts] == [True, False, False, False]


@pytest.mark.parametrize("is_sound", [True, False])
def test_one_host_is_tried_before_the_others(fleet, rescue, is_sound, tmp_path):
    canary, other = fleet.hosts[:2]
    path = "/usr/local/bin/tried"
    checksum = "sha256:" + hashlib.sha256(content_of(canary, BASH)).hexdigest()
    shells = []
    for host in (canary, other):
        host.run(["cp", BASH, path])
        shells.append(host.spawn([path, "-c", "while :; do sleep 3600; done"]))
        host.wreck(path)
    if not is_sound:
        canary.run(["mv", LIBRARY, LIBRARY + ".away"])
    try:
        asked = {"rescue_canary": "h1", "rescue_paths": [path], "rescue_checksums": {path: checksum}}
        done = rescue(asked, limit="h1,h2")
    finally:
        if not is_sound:
            canary.run(["mv", LIBRARY + ".away", LIBRARY])
    assert content_of(canary, path)
    assert (done.code == 0, content_of(other, path) is not None) == (is_sound, is_sound), done.output
    if not is_sound:
        assert "does not start" in done.output
    for host, shell in zip((canary, other), shells, strict=True):
        shell.kill()
        host.run(["rm", "-f", path])


@pytest.mark.parametrize("source", ["peer", "login"])
def test_a_host_that_is_not_tried(fleet, rescue, tool, source, tmp_path):
    """What came from a peer is started as well; and a connection that lives does not prove that a new one would."""
    canary, other, donor, _rest = fleet.hosts
    content = Path("/usr/bin/true").read_bytes()
    keys = "/home/oncall/.ssh/authorized_keys"
    home, inventory = {"ANSIBLE_HOME": str(tmp_path / "ansible")}, fleet.inventory()
    if source == "peer":
        content = content.replace(b"/lib64/ld-linux", b"/lib64/no-linux")
    tool(canary, other, donor, content=content)
    for host in (canary, other):
        host.wreck(TOOL)
    if source == "login":
        run_ansible("ansible", "h1", "-i", str(inventory), "-m", "ansible.builtin.ping", env=home)
        canary.run(["mv", keys, keys + ".away"])
    try:
        done = rescue({"rescue_canary": "h1", "rescue_paths": [TOOL]}, limit="h1,h2,h3", inventory=inventory, **home)
    finally:
        if source == "login":
            canary.run(["mv", keys + ".away", keys])
    assert done.code != 0 and content_of(other, TOOL) is None, done.output
    assert content_of(canary, TOOL) == content
    assert ("does not start" if source == "peer" else "Permission denied") in done.output


@pytest.mark.parametrize("reason", ["limit", "typo", "unreachable"])
def test_a_first_host_that_was_never_tried(fleet, rescue, tool, reason):
    first, second, *_rest = fleet.hosts
    tool(first, second)
    second.run(["rm", TOOL])
    extra = {"rescue_paths": [TOOL], "rescue_canary": "h9" if reason == "typo" else "h4"}
    inventory = fleet.inventory()
    if reason == "unreachable":
        inventory.write_text(inventory.read_text().replace(fleet.hosts[3].address, "127.0.0.9"))
    limit = "h1,h2" if reason == "limit" else "h1,h2,h4"
    done = rescue(extra, limit=limit, inventory=inventory, may_warn=reason == "typo")
    assert done.code != 0 and content_of(second, TOOL) is None, done.output
    assert "which was to be rescued and tried first, was not" in done.output
    rescue({"rescue_paths": [TOOL]}, limit="h1,h2")


def test_the_first_host_is_in_the_last_table(fleet, rescue, shells):
    done = rescue({"rescue_canary": "h2"})
    assert done.code == 0 and "4 hosts: 4 rescued" in done.output, done.output
    assert done.results["h2"]["outcome"] == "rescued" and done.file("h2")["outcome"] == "rescued"


def test_an_interrupted_run_and_what_the_next_one_finishes(fleet, rescue, shells, tmp_path):
    """Ctrl-C in the middle: no host has half a file; the next run changes only those that had not come to it."""
    before = hashlib.sha256(Path(BASH).read_bytes()).hexdigest()
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "procfs.rescue.rescue"]
    command += ["-i", str(fleet.inventory()), "-e", json.dumps({"rescue_serial": 1, "rescue_sources": ["process"]})]
    home = tmp_path / "ansible"
    run = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "LC_ALL": "C.UTF-8", "ANSIBLE_HOME": str(home)},
    )
    wait_until(lambda: content_of(fleet.hosts[1], BASH) is not None, 60)
    os.killpg(run.pid, signal.SIGINT)
    try:
        run.wait(60)
    except subprocess.TimeoutExpired:  # one of Ansible's workers ended with the lock of its queue: a second Ctrl-C
        os.killpg(run.pid, signal.SIGINT)
    else:
        wait_until(lambda: not list(home.rglob("procfs-rescue*")), 10)
    assert run.wait() != 0
    back = [name for name in ("h1", "h2", "h3", "h4") if content_of(named(fleet, name), BASH) is not None]
    assert "h4" not in back, "it was interrupted too late to tell"
    for name in back:
        assert hashlib.sha256(content_of(named(fleet, name), BASH)).hexdigest() == before
    done = rescue({"rescue_sources": ["process"]})
    assert done.code == 0, done.output
    assert {name for name, result in done.results.items() if result["changed"]} == {"h1", "h2", "h3", "h4"} - set(back)
    left = fleet.hosts[0].run(["find", "/usr/bin", "-name", ".procfs-rescue*"]).stdout
    assert left == b""


def named(fleet: Fleet, name: str) -> Host:
    return next(host for host in fleet.hosts if host.name == name)
