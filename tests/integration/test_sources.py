# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role where no process of the host holds the file: other hosts of the play, and the installed package."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

import debs
import rpms
from fleet import Fleet, Host, debian
from fleet.controller import environment, program
from integration.rescues import BASH, CONTENT, TOOL, content_of, stat_of
from unit.plugins.holders import wait_until

SHELL = "/bin/bash"

# Debian's rpm has no database of the system.
RPM = "rpm --dbpath /var/lib/rpm --force-debian --nodeps"


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with Fleet(6) as started:
        yield started


def test_two_of_six_hosts_have_bash(fleet, rescue, tmp_path):
    """One alive, one held by a process; the other four need it."""
    holder, alive, *needing = fleet.hosts
    before = hashlib.sha256(content_of(alive, BASH)).hexdigest()
    original = stat_of(alive, BASH)
    shell = holder.spawn([BASH, "-c", "while :; do sleep 3600; done"])
    for host in (holder, *needing):
        host.wreck(BASH)
    here = {"ANSIBLE_HOME": str(tmp_path / "ansible")}

    looked = rescue({}, "check", **here)
    assert looked.code == 0 and "6 hosts: 1 was_fine, 5 rescuable" in looked.output, looked.output
    assert looked.file("h3")["source"]["peer"] in ("h1", "h2")
    assert content_of(needing[0], BASH) is None, "check changes nothing"

    done = rescue({}, **here)
    assert done.code == 0, done.output
    assert "6 hosts: 5 rescued, 1 was_fine" in done.output
    for host in fleet.hosts:
        assert hashlib.sha256(content_of(host, BASH)).hexdigest() == before
        assert stat_of(host, BASH) == original
    served = Counter(done.file(host.name)["source"]["peer"] for host in needing)
    assert set(served) == {"h1", "h2"} and max(served.values()) <= math.ceil(len(needing) / 2) + 1
    for host in needing:
        file = done.file(host.name)
        assert (file["status"], file["content_by"], file["method"]) == ("restored", "package", "copy")
        assert file["metadata_by"] == f"peer {file['source']['peer']}" and file["checksum"] == f"sha256:{before}"
    assert list((tmp_path / "ansible").rglob("*procfs*")) == [], "nothing of it stays on the controller"

    again = rescue({}, **here)
    assert again.code == 0 and not any(result["changed"] for result in again.results.values())
    shell.kill()


@pytest.mark.long
def test_one_host_is_read_for_all_who_need_the_same(fleet, rescue, tool):
    """The content comes from one donor, however many need it, and so does a large one, in pieces."""
    donor, *needing = fleet.hosts
    content = os.urandom(9 << 20) + b"x"
    tool(*fleet.hosts, content=content)
    donor.run(["touch", "-a", "-d", "2001-01-01", TOOL])
    for host in needing:
        host.wreck(TOOL)
    done = rescue({"rescue_paths": [TOOL]})
    assert done.code == 0, done.output
    assert {content_of(host, TOOL) == content for host in needing} == {True}
    assert {done.file(host.name)["source"]["peer"] for host in needing} == {"h1"}
    for host in needing:
        left = host.run(["find", "/usr/bin", "-name", ".procfs-rescue*"]).stdout
        assert left == b""


def test_what_another_version_has_is_no_source(fleet, rescue, tool):
    other, needs, *_rest = fleet.hosts
    tool(other, version="2.0", content=b"newer")
    tool(needs)
    needs.wreck(TOOL)
    done = rescue({"rescue_paths": [TOOL], "rescue_sources": ["process", "peer"]}, limit="h1,h2")
    assert done.code == 2 and content_of(needs, TOOL) is None
    assert done.file("h2")["refused"] == ["not_held", "no_peer"]
    assert "h1: it has tool 2.0 all, not tool 1.0 all" in done.file("h2")["msg"]


def test_what_a_peer_changed_is_no_source(fleet, rescue, tool):
    other, needs, *_rest = fleet.hosts
    tool(other, needs)
    other.run(["dd", f"of={TOOL}", "status=none"], input=b"#!/bin/sh\necho mine\n")
    needs.wreck(TOOL)
    done = rescue({"rescue_paths": [TOOL], "rescue_sources": ["process", "peer"]}, limit="h1,h2")
    assert done.code == 2 and content_of(needs, TOOL) is None
    assert "h1: what it has there is nothing that its package or a checksum vouches for" in done.file("h2")["msg"]


def test_what_others_may_write_on_a_peer_does_not_come_from_there(fleet, rescue, tool):
    other, needs, *_rest = fleet.hosts
    tool(other, needs)
    other.run(["chmod", "0777", TOOL])
    needs.wreck(TOOL)
    done = rescue({"rescue_paths": [TOOL], "rescue_sources": ["process", "peer"]}, limit="h1,h2")
    assert done.code == 2 and content_of(needs, TOOL) is None
    assert "others than its owner may write to it on peer h1" in done.file("h2")["msg"]


@pytest.mark.parametrize("transport", ["module", "sftp"])
def test_a_peer_whose_mode_is_refused_is_not_the_only_one(fleet, rescue, tool, transport):
    """All of them are tried before the package, which is the last source."""
    spoilt, needs, sound, *_rest = fleet.hosts
    package = tool(spoilt, needs, sound)
    cached = f"/var/cache/apt/archives/{package.name}"
    debs.put(needs, package, cached)
    spoilt.run(["chmod", "0775", TOOL])
    needs.wreck(TOOL)
    as_root = fleet.inventory(user="root", become=False)
    asked = {"rescue_paths": [TOOL], "rescue_transport": transport}
    done = rescue(asked, limit="h1,h2,h3", inventory=as_root)
    needs.run(["rm", cached])
    assert done.code == 0, done.output
    assert done.file("h2")["source"]["peer"] == "h3" and stat_of(needs) == stat_of(sound)
    assert content_of(needs, TOOL) == CONTENT


def test_an_override_of_the_host_goes_before_what_a_peer_has(fleet, rescue, tool):
    other, needs, *_rest = fleet.hosts
    tool(other, needs)
    needs.run(["dpkg-statoverride", "--add", "root", "games", "2750", TOOL])
    try:
        needs.wreck(TOOL)
        done = rescue({"rescue_paths": [TOOL]}, limit="h1,h2")
        assert done.code == 0 and stat_of(needs).startswith("root:games 2750")
        assert done.file("h2")["metadata_by"] == "dpkg-statoverride"
    finally:
        needs.run(["dpkg-statoverride", "--remove", TOOL])


def test_what_no_package_knows_needs_a_checksum(fleet, rescue):
    other, needs, *_rest = fleet.hosts
    path = "/opt/own/tool"
    for host in (other, needs):
        host.run(["sh", "-ec", f"mkdir -p /opt/own; echo own > {path}; chown games {path}; chmod 640 {path}"])
    needs.wreck(path)
    checksum = "sha256:" + hashlib.sha256(b"own\n").hexdigest()
    refused = rescue({"rescue_paths": [path], "rescue_sources": ["process", "peer"]}, limit="h1,h2")
    assert refused.code == 2 and content_of(needs, path) is None
    assert "h1: what it has there is nothing that its package or a checksum vouches for" in refused.file("h2")["msg"]
    # It belongs to neither root nor the folder's owner.
    given = {"rescue_paths": [path], "rescue_checksums": {path: checksum}, "rescue_accept": ["owner_differs"]}
    done = rescue(given, limit="h1,h2")
    assert done.code == 0, done.output
    assert content_of(needs, path) == b"own\n" and stat_of(needs, path).startswith("games:root 640")
    assert done.file("h2")["content_by"] == "checksum"


def test_a_symlink_comes_from_a_peer_of_the_same_release(fleet, rescue, tool):
    other, needs, *_rest = fleet.hosts
    tool(other, needs, tool_link="tool")
    needs.wreck("/usr/bin/tool_link")
    done = rescue({"rescue_paths": ["/usr/bin/tool_link"]}, limit="h1,h2")
    assert done.code == 0, done.output
    assert needs.run(["readlink", "/usr/bin/tool_link"]).stdout == b"tool\n"
    assert done.file("h2")["target"] == "tool" and done.file("h2")["source"]["peer"] == "h1"


@pytest.mark.parametrize("transport", ["module", "sftp"])
def test_a_symlink_of_a_peer_where_no_package_has_one(fleet, rescue, transport):
    """What was a file of the user's own, perhaps."""
    other, needs, *_rest = fleet.hosts
    path = "/opt/own/tool"
    other.run(["sh", "-ec", f"mkdir -p /opt/own; rm -f {path}; ln -s /usr/bin/true {path}"])
    needs.run(["sh", "-ec", f"mkdir -p /opt/own; rm -f {path}"])
    asked = {"rescue_paths": [path], "rescue_transport": transport}
    done = rescue(asked, limit="h1,h2", inventory=fleet.inventory(user="root", become=False))
    assert done.code == 2 and not os.path.lexists(inside(needs, path)), done.output
    assert "no_digest" in done.file("h2")["refused"] and f"ln -s TARGET {path}" in done.file("h2")["msg"]


def test_a_file_and_a_symlink_out_of_the_installed_package(fleet, rescue, tool):
    """From the cache of apt, then from a repository in a folder; nothing of the package is run."""
    needs = fleet.hosts[0]
    package = tool(needs, tool_link="tool")
    before = stat_of(needs)
    cached = f"/var/cache/apt/archives/{package.name}"
    debs.put(needs, package, cached)
    needs.wreck(TOOL, "/usr/bin/tool_link")
    asked = {"rescue_paths": [TOOL, "/usr/bin/tool_link"]}
    looked = rescue(asked, "check", limit="h1")
    assert looked.code == 0 and content_of(needs, TOOL) is None, looked.output
    done = rescue(asked, limit="h1")
    assert done.code == 0, done.output
    assert content_of(needs, TOOL) == CONTENT and stat_of(needs) == before
    assert needs.run(["readlink", "/usr/bin/tool_link"]).stdout == b"tool\n"
    file = done.results["h1"]["files"][0]
    assert file["source"]["package"] == "tool 1.0" and file["metadata_by"] == "package tool 1.0"

    needs.run(["rm", cached])
    needs.wreck(TOOL)
    debs.offer(needs, package)
    done = rescue({"rescue_paths": [TOOL], "rescue_sources": ["package"]}, limit="h1")
    assert done.code == 0 and content_of(needs, TOOL) == CONTENT, done.output


def test_a_package_with_other_content_is_not_believed(fleet, rescue, tool, tmp_path):
    needs = fleet.hosts[0]
    tool(needs)
    (tmp_path / "other").mkdir()
    false = debs.build(tmp_path / "other", "tool", "1.0", {TOOL: b"something else"})
    debs.put(needs, false, f"/var/cache/apt/archives/{false.name}")
    needs.wreck(TOOL)
    done = rescue({"rescue_paths": [TOOL]}, limit="h1")
    needs.run(["rm", f"/var/cache/apt/archives/{false.name}"])
    assert done.code == 2 and content_of(needs, TOOL) is None
    assert "superseded" in done.file("h1")["refused"]


def test_no_source_at_all(fleet, rescue, tool):
    """Why each of them is none, and how a symlink could be made by hand."""
    needs = fleet.hosts[4]
    tool(needs, tool_link="tool")
    needs.wreck(TOOL, "/usr/bin/tool_link")
    done = rescue({"rescue_paths": [TOOL, "/usr/bin/tool_link"]}, limit="h5")
    assert done.code == 2 and "1 host: 1 failed (h5)" in done.output
    file, link = done.results["h5"]["files"]
    assert [*file["refused"]] == ["not_held", "no_peer", "no_package"]
    assert file["msg"].startswith("No process holds /usr/bin/tool") and "apt-get" in file["msg"]
    assert "ln -s TARGET /usr/bin/tool_link" in link["msg"]
    assert done.results["h5"]["msg"].startswith("Do not reboot")


@pytest.mark.long
def test_the_order_is_the_users(fleet, rescue, tool):
    holder, other = fleet.hosts[4:]
    tool(holder, other)
    held = holder.spawn(["sh", "-c", f"exec 3<{TOOL}; exec sleep 3600"])
    holder.wreck(TOOL)
    done = rescue({"rescue_paths": [TOOL], "rescue_sources": ["peer", "process"]}, limit="h5,h6")
    assert done.code == 0 and done.file("h5")["source"]["peer"] == "h6", done.output
    holder.wreck(TOOL)
    done = rescue({"rescue_paths": [TOOL], "rescue_sources": ["package"]}, limit="h5,h6")
    assert done.code == 2 and content_of(holder, TOOL) is None
    assert "is held by a process, which is not among the sources" in done.file("h5")["msg"]
    done = rescue({"rescue_paths": [TOOL], "rescue_sources": ["package", "process"]}, limit="h5,h6")
    assert done.code == 0 and done.file("h5")["source"]["via"] == "fd", done.output
    held.kill()


def test_a_host_without_python_is_no_donor(fleet, rescue, tool):
    gone, donor, *needing = fleet.hosts[:4]
    tool(gone, donor, *needing)
    for host in needing:
        host.wreck(TOOL)
    values = {"rescue_paths": [TOOL]}
    gone.run(["mv", "/usr/bin/python3", "/usr/bin/python3.away"])
    try:
        done = rescue(values, limit="h1,h2,h3,h4")
    finally:
        gone.run(["mv", "/usr/bin/python3.away", "/usr/bin/python3"])
    assert {content_of(host, TOOL) for host in needing} == {CONTENT}, done.output
    assert {done.file(host.name)["source"]["peer"] for host in needing} == {"h2"}


@pytest.mark.parametrize("strategy", ["free", "host_pinned"])
def test_other_strategies(fleet, rescue, tool, strategy):
    """The playbook needs its hosts to be as far as each other, whatever the user's strategy is."""
    hosts = fleet.hosts[:3]
    tool(*hosts)
    shells = [host.spawn(["sh", "-c", f"exec 3<{TOOL}; exec sleep 3600"]) for host in hosts]
    for host in hosts:
        host.wreck(TOOL)
    shells[2].kill()
    done = rescue({"rescue_paths": [TOOL]}, limit="h1,h2,h3", ANSIBLE_STRATEGY=strategy)
    assert done.code == 0 and {content_of(host, TOOL) for host in hosts} == {CONTENT}, done.output
    assert "peer" in done.file("h3")["source"]
    for shell in shells[:2]:
        shell.kill()


def test_a_folder_with_all_that_was_in_it(fleet, rescue):
    host = fleet.hosts[0]
    host.run(
        ["sh", "-ec", "mkdir -p /usr/lib/thing/deep; echo one > /usr/lib/thing/a; echo two > /usr/lib/thing/deep/b"]
    )
    held = host.spawn(["sh", "-c", "exec 3</usr/lib/thing/a 4</usr/lib/thing/deep/b; exec sleep 3600"])
    wait_until(lambda: b"thing/deep/b" in host.run(["sh", "-c", "ls -l /proc/[0-9]*/fd/4"], check=False).stdout)
    host.run(["rm", "-r", "/usr/lib/thing"])
    done = rescue({"rescue_paths": [], "rescue_path_prefixes": ["/usr/lib/thing"]}, limit="h1")
    assert done.code == 0, done.output
    assert content_of(host, "/usr/lib/thing/a") == b"one\n" and content_of(host, "/usr/lib/thing/deep/b") == b"two\n"
    again = rescue({"rescue_paths": [], "rescue_path_prefixes": ["/usr/lib/thing"]}, limit="h1")
    assert again.code == 0 and "1 host: 1 was_fine" in again.output, again.output
    held.kill()
    host.run(["rm", "-r", "/usr/lib/thing"])


@contextmanager
def installed(package, needs, donor, source):
    """On both hosts; with the source ``package`` the one in need has it in apt's cache, too."""
    cached = f"/var/cache/apt/archives/{package.name}"
    for host in (needs, donor):
        debs.install(host, package)
    try:
        if source == "package":
            debs.put(needs, package, cached)
        yield
    finally:
        for host in (needs, donor):
            host.run(["dpkg", "--purge", "thing"])
        needs.run(["rm", "-f", cached])


@pytest.mark.parametrize("source", ["peer", "package"])
def test_a_folder_that_nobody_holds_anything_of(fleet, rescue, tmp_path, source):
    """What packages have below it comes back all the same, with folders as they are where it comes from."""
    needs, donor = fleet.hosts[:2]
    files = {f"/usr/lib/thing/{name}": name.encode() * 1000 for name in ("a", "deep/b", "deep/deeper/c.so.1")}
    package = debs.build(tmp_path, "thing", "1.0", files, {"/usr/lib/thing/c.so": "deep/deeper/c.so.1"})
    with installed(package, needs, donor, source):
        donor.run(["chmod", "2750", "/usr/lib/thing/deep"])
        donor.run(["chgrp", "games", "/usr/lib/thing/deep"])
        needs.run(["rm", "-r", "/usr/lib/thing"])
        asked = {"rescue_paths": [], "rescue_path_prefixes": ["/usr/lib/thing"], "rescue_sources": ["process", source]}
        done = rescue(asked, limit="h1,h2")
        assert done.code == 0, done.output
        assert {path: content_of(needs, path) for path in files} == files
        assert needs.run(["readlink", "/usr/lib/thing/c.so"]).stdout == b"deep/deeper/c.so.1\n"
        deep = needs.run(["stat", "-c", "%U:%G %a", "/usr/lib/thing/deep"]).stdout
        assert deep == (b"root:games 2750\n" if source == "peer" else b"root:root 755\n")
        made = [one for file in done.results["h1"]["files"] for one in file.get("made", [])]
        assert {one["path"]: one["metadata_by"] for one in made}["/usr/lib/thing/deep"] == (
            "peer h2" if source == "peer" else None
        )
        again = rescue(asked, limit="h1,h2")
        assert again.code == 0 and not any(result["changed"] for result in again.results.values()), again.output


@pytest.mark.parametrize("fault", [None, "refused", "no room"])
def test_a_large_file_alone_in_its_folder(fleet, rescue, tmp_path, fault):
    """It comes in pieces; where that cannot be, the next source has it, and nothing of the pieces stays."""
    needs, donor = fleet.hosts[:2]
    path, content = "/usr/lib/thing/alone/large", os.urandom(9 << 20)
    package = debs.build(tmp_path, "thing", "1.0", {path: content})
    with installed(package, needs, donor, "package"):
        needs.run(["rm", "-r", "/usr/lib/thing"])
        if fault == "refused":
            donor.run(["chmod", "0777", path])
        if fault == "no room":
            needs.run(["sh", "-ec", "mkdir /usr/lib/thing; mount -t tmpfs -o size=10m none /usr/lib/thing"])
            needs.run(["dd", "if=/dev/zero", "of=/usr/lib/thing/full", "bs=1M", "count=4", "status=none"])
        try:
            done = rescue({"rescue_paths": [path]}, limit="h1,h2")
            left = needs.run(["find", "/usr/lib", "-name", ".procfs-rescue*"]).stdout
        finally:
            if fault == "no room":
                needs.run(["umount", "/usr/lib/thing"])
        assert left == b""
        if fault == "no room":
            assert done.code == 2 and done.file("h1")["msg"].count("needs 9437184 bytes") == 2, "of both sources"
        else:
            assert done.code == 0 and content_of(needs, path) == content, done.output
            assert ("package" if fault else "peer") in done.file("h1")["source"]


@pytest.mark.parametrize(("came", "is_there"), [(8 << 20, False), (9 << 20, True)])
def test_a_disk_that_fills_up_while_a_large_file_comes(fleet, rescue, tmp_path, came, is_there):
    """It fails with what it needs, what there is and where, unless all had come; no other host is the worse for it."""
    full, donor, fine = fleet.hosts[:3]
    path, content = "/usr/lib/thing/large", os.urandom(9 << 20)
    package = debs.build(tmp_path, "thing", "1.0", {path: content})
    debs.install(fine, package)
    fill = "dd if=/dev/zero of=/usr/lib/thing/other bs=64k 2>/dev/null"
    when_it_came = f"[ x$(stat -c %s /usr/lib/thing/.procfs-rescue*/draft 2>/dev/null) != x{came} ] || {fill}"
    with installed(package, full, donor, "peer"):
        for host in (full, fine):
            host.run(["rm", path])
        full.run(["mount", "-t", "tmpfs", "-o", "size=20m", "none", "/usr/lib/thing"])
        try:
            asked = {"rescue_paths": [path], "rescue_sources": ["process", "peer"]}
            with instead_of_python(full, when_it_came):
                done = rescue(asked, limit="h1,h2,h3")
            left = full.run(["ls", "-A", "/usr/lib/thing"]).stdout
        finally:
            full.run(["umount", "/usr/lib/thing"])
    fine_has = content_of(fine, path)
    fine.run(["dpkg", "--purge", "thing"])
    assert fine_has == content and done.file("h3")["source"]["peer"] == "h2", done.output
    if is_there:
        assert done.code == 0 and left == b"large\nother\n", done.output
    else:
        assert done.code == 2 and left == b"other\n", "nothing of it stays"
        told = f"{path} needs 9437184 bytes, its file system has 8388608 free"
        assert told in done.file("h1")["msg"], done.file("h1")["msg"]


HOSTILE = [
    b"not \xff utf-8",
    b"{{ 'r' ~ 'un' * 3 }}",
    b"{% raw %}",
    b"\x1b[31m",
    "r\u202etl".encode(),
    b"a;b'c\"d `e`",
    b"x (deleted)",
]


@pytest.mark.parametrize("source", ["peer", "package"])
def test_hostile_names_of_a_package(fleet, rescue, tmp_path, source):
    needs, donor = fleet.hosts[:2]
    files = {f"/usr/lib/thing/{os.fsdecode(name)}": b"of " + name for name in HOSTILE}
    links = {f"/usr/lib/thing/link {os.fsdecode(name)}": os.fsdecode(name) for name in HOSTILE}
    package = debs.build(tmp_path, "thing", "1.0", files, links)
    with installed(package, needs, donor, source):
        needs.run(["rm", "-r", "/usr/lib/thing"])
        asked = {"rescue_paths": [], "rescue_path_prefixes": ["/usr/lib/thing"], "rescue_sources": ["process", source]}
        done = rescue(asked, limit="h1,h2")
        assert done.code == 0, done.output
        assert {path: content_of(needs, path) for path in files} == files
        assert {path: os.readlink(inside(needs, path)) for path in links} == links
        assert sorted(os.listdir(inside(needs, "/usr/lib/thing"))) == sorted(
            os.listdir(inside(donor, "/usr/lib/thing"))
        )
        assert "rununun" not in done.output and "\x1b" not in done.output, "nothing is run or reaches a terminal"
        exact = [base64.b64decode(file["path_b64"]) for file in done.results["h1"]["files"] if "path_b64" in file]
        assert b"/usr/lib/thing/not \xff utf-8" in exact
        needs.run(["rm", "-f", f"/var/cache/apt/archives/{package.name}"])


@pytest.mark.parametrize("transport", ["module", "sftp"])
def test_hostile_names_that_the_user_gives(fleet, rescue, tmp_path, transport):
    """No package has names with newlines; their content is proven by a checksum, and comes from a peer."""
    needs, donor = fleet.hosts[:2]
    paths = [f"/opt/own/{name}" for name in ("new\nline", "{{ 6*7 }}", "{{ lookup('pipe', 'echo owned') }}")]
    for host in (needs, donor):
        host.run(["mkdir", "-p", "/opt/own"])
        for path in paths:
            host.run(["dd", f"of={path}", "status=none"], input=path.encode())
    checksums = {path: "sha256:" + hashlib.sha256(path.encode()).hexdigest() for path in paths}
    given = tmp_path / "given.yml"
    unsafe = "".join(f"  - !unsafe {json.dumps(path)}\n" for path in paths)
    given.write_text(f"rescue_paths:\n{unsafe}rescue_checksums: {json.dumps(checksums)}\n")
    needs.run(["sh", "-c", "rm /opt/own/*"])
    settings = {"rescue_sources": ["process", "peer"], "rescue_transport": transport}
    inventory = fleet.inventory(user="root", become=False)
    done = rescue(settings, limit="h1,h2", inventory=inventory, options=["-e", f"@{given}"])
    assert done.code == 0, done.output
    assert {path: content_of(needs, path) for path in paths} == {path: path.encode() for path in paths}
    assert {file["source"]["peer"] for file in done.results["h1"]["files"]} == {"h2"}


@pytest.mark.parametrize("moment", ["before a piece", "in a piece", "in the last call"])
def test_the_link_is_cut_while_content_is_supplied(fleet, rescue, tool, moment):
    """Nothing is half done; the next run finishes it."""
    donor, needs = fleet.hosts[:2]
    content = os.urandom(30 << 20)  # four pieces
    tool(donor, needs, content=content)
    before = stat_of(needs)
    needs.wreck(TOOL)
    # The module runs for a look, to see the way in, for each piece, and for the name.
    number, cut = {
        "before a piece": (3, "pkill -9 -f 'sshd.*oncall'"),
        "in a piece": (4, "{ sleep 0.25; pkill -9 -f 'sshd.*oncall'; } &"),
        "in the last call": (7, "{ python3.real \"$@\" >/dev/null; pkill -9 -f 'sshd.*oncall'; }"),
    }[moment]
    script = f'#!/bin/sh\necho >>/run/runs\n[ $(wc -l </run/runs) != {number} ] || {cut}\nexec python3.real "$@"\n'
    needs.run(["mv", "/usr/bin/python3", "/usr/bin/python3.real"])
    try:
        needs.run(["dd", "of=/usr/bin/python3", "status=none"], input=script.encode())
        needs.run(["chmod", "755", "/usr/bin/python3"])
        cut_off = rescue({"rescue_paths": [TOOL], "rescue_sources": ["process", "peer"]}, limit="h1,h2")
    finally:
        needs.run(["mv", "/usr/bin/python3.real", "/usr/bin/python3"])
        runs = needs.run(["wc", "-l", "/run/runs"]).stdout.split()[0]
        needs.run(["rm", "/run/runs"])
    assert int(runs) >= number and cut_off.code != 0, cut_off.output
    there = content_of(needs, TOOL)
    assert there is None or (moment == "in the last call" and there == content), "all or nothing"
    left = needs.run(["find", "/usr/bin", "-name", ".procfs-rescue*", "-printf", "%m %u\\n"]).stdout.split(b"\n")
    assert len(left) <= 2 and set(left) <= {b"700 root", b"600 root", b""}, "one, of which nobody else reads anything"
    done = rescue({"rescue_paths": [TOOL], "rescue_sources": ["process", "peer"]}, limit="h1,h2")
    assert done.code == 0 and content_of(needs, TOOL) == content and stat_of(needs) == before, done.output
    assert needs.run(["find", "/usr/bin", "-name", ".procfs-rescue*"]).stdout == b""


@pytest.mark.parametrize("transport", ["module", "sftp"])
def test_without_root(fleet, rescue, tool, transport):
    """It fails, says so, and says what to do."""
    donor, needs = fleet.hosts[:2]
    tool(donor, needs)
    held = needs.spawn(["sh", "-c", f"exec 3<{TOOL}; exec sleep 3600"])
    wait_until(lambda: TOOL.encode() in needs.run(["sh", "-c", "ls -l /proc/[0-9]*/fd/3"], check=False).stdout)
    needs.wreck(TOOL)
    inventory = fleet.inventory(become=False)
    done = rescue({"rescue_paths": [TOOL], "rescue_transport": transport}, limit="h1,h2", inventory=inventory)
    held.kill()
    assert done.code == 2 and content_of(needs, TOOL) is None, done.output
    assert "use become" in done.results["h2"]["msg"], done.results["h2"]["msg"]
    assert done.results["h1"]["outcome"] == "was_fine"


def inside(host, path):
    return host.root() / path.lstrip("/")


def test_all_of_it_by_sftp_alone(fleet, rescue, tool):
    """Neither the host that lost it nor the peer executes anything; packages cannot be unpacked there."""
    donor, needs = fleet.hosts[:2]
    content = os.urandom(1 << 20)
    tool(donor, needs, content=content)
    for host in (donor, needs):
        host.run(["usermod", "--shell", "/usr/bin/dash", "root"])
    needs.wreck(TOOL)
    as_root = fleet.inventory(user="root", become=False)
    asked = {"rescue_paths": [TOOL], "rescue_transport": "sftp"}
    try:
        looked = rescue(asked, "check", limit="h1,h2", inventory=as_root)
        assert looked.code == 0 and content_of(needs, TOOL) is None, looked.output
        assert "2 hosts: 1 was_fine, 1 rescuable" in looked.output and "rescuable (peer h1)" in looked.output
        assert looked.results["h2"]["way"] == "sftp" and looked.file("h2")["source"]["peer"] == "h1"
        done = rescue(asked, limit="h1,h2", inventory=as_root)
        assert done.code == 0 and content_of(needs, TOOL) == content, done.output
        assert done.results["h2"]["way"] == "sftp" and done.file("h2")["source"]["peer"] == "h1"
        assert "xattrs" in done.file("h2")["not_kept"] and stat_of(needs)[:13] == "root:root 755"
        needs.wreck(TOOL)
        alone = rescue(asked, limit="h2", inventory=as_root)
        assert alone.code == 2 and "cannot be unpacked over SFTP" in alone.file("h2")["msg"]
    finally:
        for host in (donor, needs):
            host.run(["usermod", "--shell", "/bin/bash", "root"])


def test_hosts_with_rpm(fleet, rescue, tmp_path):
    """Its database has owner and mode as well, and these go before what the peer has."""
    donor, needs = fleet.hosts[:2]
    path = "/opt/rpm/tool"
    package = rpms.build(tmp_path, "rescue-tool", "1", {path: "tool"}, {path: "%attr(2751, root, games)"})
    try:
        for host in (donor, needs):
            debs.put(host, package, "/root/package.rpm")
            host.run(["rpm", "--dbpath", "/var/lib/rpm", "--force-debian", "--nodeps", "-i", "/root/package.rpm"])
        donor.run(["chmod", "0700", path])
        needs.wreck(path)
        # Debian's dpkg knows nothing of it.
        done = rescue({"rescue_paths": [path]}, limit="h1,h2")
        assert done.code == 0 and content_of(needs, path) == b"tool", done.output
        assert stat_of(needs, path).startswith("root:games 2751")
        assert (done.file("h2")["content_by"], done.file("h2")["metadata_by"]) == ("package", "rpm")
    finally:
        for host in (donor, needs):
            host.run(["sh", "-c", "rm -rf /var/lib/rpm /opt/rpm; mkdir /var/lib/rpm"])


def test_a_file_out_of_an_rpm_package(fleet, rescue, tmp_path):
    """As dnf keeps it; owner and mode are from the database."""
    host = fleet.hosts[0]
    path, link = "/opt/rpm/tool", "/opt/rpm/link"
    attributes = {path: "%attr(2751, root, games)"}
    package = rpms.build(tmp_path, "rescue-tool", "1", {path: "tool"}, attributes, {link: "tool"})
    debs.put(host, package, f"/var/cache/dnf/base-0123456789abcdef/packages/{package.name}")
    try:
        host.run(
            ["sh", "-c", f"rpm --dbpath /var/lib/rpm --force-debian --nodeps -i /var/cache/dnf/*/*/{package.name}"]
        )
        before = stat_of(host, path)
        host.wreck(path, link)
        done = rescue({"rescue_paths": [path, link], "rescue_sources": ["process", "package"]}, limit="h1")
        assert done.code == 0 and content_of(host, link) == b"tool", done.output
        assert stat_of(host, path) == before and before.startswith("root:games 2751")
        file, symlink = done.results["h1"]["files"]
        assert file["source"]["package"] == "rescue-tool 1-1" and file["metadata_by"] == "rpm"
        assert symlink["method"] == "symlink" and symlink["content_by"] == "package rescue-tool 1-1"
        host.wreck(path)
        host.run(["rm", "-r", "/var/cache/dnf"])
        done = rescue({"rescue_paths": [path], "rescue_sources": ["package"]}, limit="h1")
        assert done.code == 2 and "There is no dnf or yum to download the package with." in done.file("h1")["msg"]
    finally:
        host.run(["sh", "-c", "rm -rf /var/cache/dnf /var/lib/rpm /opt/rpm; mkdir /var/lib/rpm"])


@pytest.mark.parametrize("manager", ["dnf", "yum", "zypper"])
def test_where_an_rpm_package_comes_from(fleet, rescue, tmp_path, manager):
    """These hosts have no dnf: a script does its "download", the real one is in the next test. Zypper only caches.

    Another version, whatever its file is called, is not used.
    """
    host = fleet.hosts[0]
    path = "/opt/rpm/tool"
    packages = [rpms.build(tmp_path, "rescue-tool", version, {path: f"tool {version}"}) for version in ("1", "2")]
    for package in packages:
        debs.put(host, package, f"/srv/rpm/{package.name}")
    host.run(["sh", "-c", f"{RPM} -i /srv/rpm/{packages[0].name}"])
    wanted = {"rescue_paths": [path], "rescue_sources": ["package"]}
    program, kept = f"/usr/bin/{manager}", "/var/cache/zypp/packages/repo-oss/noarch"
    try:
        host.wreck(path)
        for package, code in ((packages[1], 2), (packages[0], 0)):
            if manager == "zypper":
                host.run(["sh", "-ec", f"mkdir -p {kept}; cp /srv/rpm/{package.name} {kept}/{packages[0].name}"])
            else:
                asked = '[ "$3 $6" = "download rescue-tool-1-1.noarch" ]'
                script = f'#!/bin/sh\n{asked} && cp /srv/rpm/{package.name} "$5"\n'
                host.run(["dd", f"of={program}", "status=none"], input=script.encode())
                host.run(["chmod", "755", program])
            done = rescue(wanted, limit="h1")
            assert done.code == code and content_of(host, path) == (None if code else b"tool 1"), done.output
        assert done.file("h1")["source"]["package"] == "rescue-tool 1-1"
        left = host.run(["sh", "-c", "find /tmp /dev/shm /var/tmp -name 'procfs-rescue*'"]).stdout
        assert left == b"", "what was downloaded does not stay"
    finally:
        gone = f"{program} /var/cache/zypp /srv/rpm /var/lib/rpm /opt/rpm"
        host.run(["sh", "-c", f"rm -rf {gone}; mkdir /var/lib/rpm"])


@pytest.mark.long
def test_an_rpm_package_that_is_downloaded(rescue, tmp_path):
    """By the real dnf, from a repository in a folder."""
    path = "/opt/rpm/tool"
    package = rpms.build(tmp_path, "rescue-tool", "1", {path: "tool"})
    tree = debian.tree(packages=("createrepo-c", "dnf", "dnf-plugins-core", "rpm"))
    with Fleet(1, tree=tree) as fleet:
        (host,) = fleet.hosts
        debs.put(host, package, f"/srv/packages/{package.name}")
        host.run(["createrepo_c", "/srv/packages"])
        repository = "[local]\nname=local\nbaseurl=file:///srv/packages\ngpgcheck=0\n"
        host.run(
            ["sh", "-c", "mkdir -p /etc/yum.repos.d; cat > /etc/yum.repos.d/local.repo"], input=repository.encode()
        )
        host.run(
            ["rpm", "--dbpath", "/var/lib/rpm", "--force-debian", "--nodeps", "-i", f"/srv/packages/{package.name}"]
        )
        host.wreck(path)
        wanted = {"rescue_paths": [path], "rescue_sources": ["package"]}
        done = rescue(wanted, limit="h1", inventory=fleet.inventory())
        assert done.code == 0 and content_of(host, path) == b"tool", done.output


@pytest.mark.long
def test_three_releases_side_by_side(rescue, tmp_path):
    """Each host needs what only the other host of its own release has; packages, databases and Pythons are real.

    Of these only the newer two have merged / with /usr.
    """
    with ExitStack() as stack:
        hosts: dict[str, Host] = {}
        inventories = []
        for release in ("bullseye", "bookworm", "trixie"):
            fleet = stack.enter_context(Fleet(2, tree=debian.tree(release)))
            text = fleet.inventory().read_text().replace("    fleet:", f"    {release}:")
            for host in fleet.hosts:
                hosts[f"{release}-{host.name}"] = host
                text = text.replace(f"        {host.name}:", f"        {release}-{host.name}:")
            inventories.append(tmp_path / f"{release}.yml")
            inventories[-1].write_text(text)
            fleet.hosts[0].spawn([SHELL, "-c", "while :; do sleep 3600; done"])
        before = {name: content_of(host, SHELL) for name, host in hosts.items()}
        assert len(set(before.values())) == 3
        for host in hosts.values():
            host.wreck(SHELL)
        done = rescue({}, inventory=inventories)
        assert done.code == 0 and "6 hosts: 6 rescued" in done.output, done.output
        assert {name: content_of(host, SHELL) for name, host in hosts.items()} == before
        for release in ("bullseye", "bookworm", "trixie"):
            assert done.file(f"{release}-h2")["source"]["peer"] == f"{release}-h1"


@pytest.mark.long
@pytest.mark.parametrize("moment", ["the first piece", "the second piece"])
def test_an_interrupt_while_a_peer_is_read(fleet, tool, rescue, tmp_path, moment):
    """Nothing of it stays anywhere, and the next run does what was left, and nothing else."""
    donor, fine, *needing = fleet.hosts[:4]
    content = os.urandom(20 << 20)
    tool(donor, fine, *needing, content=content)
    for host in needing:
        host.wreck(TOOL)
    asked = {"rescue_paths": [TOOL], "rescue_sources": ["process", "peer"]}
    home = tmp_path / "ansible"
    before = ssh_to(donor)
    number = 2 if moment == "the first piece" else 3
    with instead_of_python(donor, f"[ $(wc -l </run/runs) != {number} ] || sleep 5") as runs:
        command = [program("ansible-playbook"), "procfs.rescue.rescue", "-i", str(fleet.inventory())]
        process = subprocess.Popen(
            [*command, "-l", "h1,h2,h3,h4", "-e", json.dumps(asked)],
            env={**environment(), "ANSIBLE_HOME": str(home)},
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        wait_until(lambda: runs() >= number, 60)
        time.sleep(1)
        cached = [path.stat().st_size for path in (home / "tmp").rglob("procfs-rescue/parts/*")]
        os.killpg(process.pid, signal.SIGINT)
        output = process.communicate(timeout=30)[0].decode()
    assert process.returncode not in (0, 2), output
    assert cached == ([] if number == 2 else [8 << 20]), "it was in the middle of it"
    assert list((home / "tmp").iterdir()) == [], "nothing of it stays on the controller"
    assert ssh_to(donor) == before, "nor does anything run there"
    for host in fleet.hosts[:4]:
        assert host.run(["find", "/usr/bin", "/tmp", "/dev/shm", "-name", "*procfs-rescue*"]).stdout == b""
    assert [content_of(host, TOOL) for host in needing] == [None, None], "it had not come so far"
    done = rescue(asked, limit="h1,h2,h3,h4")
    assert done.code == 0 and {content_of(host, TOOL) == content for host in needing} == {True}, done.output
    assert [done.results[host.name]["changed"] for host in fleet.hosts[:4]] == [False, False, True, True]


@contextmanager
def instead_of_python(host: Host, script: str) -> Iterator[Callable[[], int]]:
    """Before each module runs the ``script`` does, and /run/runs has a line for it; gives how many it has."""
    counted = f'#!/bin/sh\necho >>/run/runs\n{script}\nexec python3.real "$@"\n'
    runs = host.root() / "run/runs"
    host.run(["mv", "/usr/bin/python3", "/usr/bin/python3.real"])
    try:
        host.run(["dd", "of=/usr/bin/python3", "status=none"], input=counted.encode())
        host.run(["chmod", "755", "/usr/bin/python3"])
        yield lambda: len(runs.read_bytes()) if runs.exists() else 0
    finally:
        host.run(["mv", "/usr/bin/python3.real", "/usr/bin/python3"])
        host.run(["rm", "-f", "/run/runs"])


@pytest.mark.long
@pytest.mark.parametrize("what", ["its module", "its server"])
def test_a_peer_that_hangs_while_it_is_read(fleet, rescue, tool, what):
    """It is given up, the next one is asked, and all the others finish."""
    first, second, *needing = fleet.hosts[:4]
    content = os.urandom(11 << 20)
    tool(first, second, *needing, content=content)
    for host in needing:
        host.wreck(TOOL)
    # The third module that it runs is the one that asks for the second piece.
    hangs = {"its module": "exec sleep 600", "its server": "pkill -STOP sshd; exec sleep 600"}[what]
    began = time.monotonic()
    with instead_of_python(first, f"[ $(wc -l </run/runs) -lt 3 ] || {{ {hangs}; }}") as runs:
        try:
            asked = {"rescue_paths": [TOOL], "rescue_sources": ["process", "peer"], "rescue_peer_timeout": 5}
            done = rescue(asked, limit="h1,h2,h3,h4", may_warn=True)
            took = time.monotonic() - began
        finally:
            first.run(["pkill", "-CONT", "sshd"])
            first.run(["pkill", "sleep"], check=False)
        assert runs() == 3 and took < 60, done.output
    assert {content_of(host, TOOL) == content for host in needing} == {True}, done.output
    assert {done.file(host.name)["source"]["peer"] for host in needing} == {"h2"}
    told = "h1 was to be read for others, but it gave no answer for 6 seconds: they get it from elsewhere."
    assert told in " ".join(done.output.split()), "five, and one for the first 10 MB"
    assert done.code == 0 and done.results["h1"]["outcome"] == "was_fine"
    assert not ssh_to(first), "no ssh of the controller waits for it"


@pytest.mark.long
@pytest.mark.parametrize(("setting", "outcome"), [("ANSIBLE_TASK_TIMEOUT", "failed"), ("ServerAlive", "unreachable")])
def test_a_host_that_hangs_ends_nobody_else_s_rescue(fleet, rescue, tool, tmp_path, setting, outcome):
    """With what README advises: Ansible itself waits for ever."""
    hangs, donor, needs = fleet.hosts[:3]
    tool(hangs, donor, needs)
    needs.wreck(TOOL)
    script = {"failed": "exec sleep 600", "unreachable": "pkill -STOP sshd; exec sleep 600"}[outcome]
    # Connections that another run has left were made without.
    settings = {
        "failed": {"ANSIBLE_TASK_TIMEOUT": "20"},
        "unreachable": {
            "ANSIBLE_SSH_EXTRA_ARGS": "-oServerAliveInterval=5 -oServerAliveCountMax=2",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(tmp_path / "cp"),
        },
    }[outcome]
    with instead_of_python(hangs, script):
        try:
            done = rescue({"rescue_paths": [TOOL]}, limit="h1,h2,h3", **settings)
        finally:
            hangs.run(["pkill", "-CONT", "sshd"])
            hangs.run(["pkill", "sleep"], check=False)
    assert done.code != 0 and done.results["h1"]["outcome"] == "failed", done.output
    assert content_of(needs, TOOL) == CONTENT and done.file("h3")["source"]["peer"] == "h2", done.output
    assert done.results["h1"].get("unreachable", False) == (outcome == "unreachable")


def ssh_to(host: Host) -> list[bytes]:
    """The clients of this machine, besides those that only keep a connection for others to use."""
    found = [Path(f"/proc/{name}/cmdline") for name in os.listdir("/proc") if name.isdigit()]
    lines = []
    for path in found:
        with suppress(OSError):
            lines.append(path.read_bytes())
    return [line for line in lines if line.startswith(b"ssh\0") and host.address.encode() in line]


# The last one: one of its hosts stays down.
@pytest.mark.long
def test_a_peer_that_breaks_off_and_one_that_is_down(rescue, tool, fleet, tmp_path):
    """The next one is asked; who is down is asked by nobody."""
    first, second, needs, down = fleet.hosts[:4]
    content = os.urandom(30 << 20)
    tool(first, second, needs, down, content=content)
    needs.wreck(TOOL)
    down.run(["mv", "/usr/sbin/sshd", "/usr/sbin/sshd.away"])
    down.run(["pkill", "-9", "sshd"])
    # The third module that it runs is the one that asks for the second piece.
    first.run(["mv", "/usr/bin/python3", "/usr/bin/python3.real"])
    script = b'#!/bin/sh\necho >>/run/runs\n[ $(wc -l </run/runs) -lt 3 ] || pkill -9 sshd\nexec python3.real "$@"\n'
    first.run(["dd", "of=/usr/bin/python3", "status=none"], input=script)
    first.run(["chmod", "755", "/usr/bin/python3"])
    done = rescue({"rescue_paths": [TOOL], "rescue_sources": ["process", "peer"]}, limit="h1,h2,h3,h4")
    assert content_of(needs, TOOL) == content, done.output
    assert done.code != 0, "a host is down"
    assert done.results["h4"]["unreachable"] and done.file("h3")["source"]["peer"] == "h2"
