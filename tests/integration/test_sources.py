# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role where no process of the host holds the file: other hosts of the play, and the installed package."""

from __future__ import annotations

import hashlib
import math
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

import debs
import rpms
from fleet import Fleet, Host, debian
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


@pytest.mark.parametrize("source", ["peer", "package"])
def test_a_folder_that_nobody_holds_anything_of(fleet, rescue, tmp_path, source):
    """What packages have below it comes back all the same, with folders as they are where it comes from."""
    needs, donor = fleet.hosts[:2]
    files = {f"/usr/lib/thing/{name}": name.encode() * 1000 for name in ("a", "deep/b", "deep/deeper/c.so.1")}
    package = debs.build(tmp_path, "thing", "1.0", files, {"/usr/lib/thing/c.so": "deep/deeper/c.so.1"})
    for host in (needs, donor):
        debs.install(host, package)
    try:
        donor.run(["chmod", "2750", "/usr/lib/thing/deep"])
        donor.run(["chgrp", "games", "/usr/lib/thing/deep"])
        if source == "package":
            debs.put(needs, package, f"/var/cache/apt/archives/{package.name}")
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
    finally:
        for host in (needs, donor):
            host.run(["dpkg", "--purge", "thing"])
        needs.run(["rm", "-f", f"/var/cache/apt/archives/{package.name}"])


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
