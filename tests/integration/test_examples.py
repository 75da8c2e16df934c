# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The examples of plugins, roles and README.md, as they stand. Others: test_playbooks_to_paste.py, test_guides.py."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import debs
import documents
from fleet import Fleet, Host
from fleet.controller import run_ansible

pytestmark = pytest.mark.long
HOLDER = """
import signal, sys
held = [open(path, sys.argv[1]) for path in sys.argv[2:]]
print(flush=True)
signal.pause()
"""


@pytest.fixture(scope="module")
def hosts() -> Iterator[Fleet]:
    with Fleet(2) as started:
        yield started


def examples(name: str, kind: str = "module") -> list[dict[str, Any]]:
    done = run_ansible("ansible-doc", "--json", "-t", kind, f"procfs.rescue.{name}")
    tasks: list[dict[str, Any]] = yaml.safe_load(json.loads(done.stdout)[f"procfs.rescue.{name}"]["examples"])
    return tasks


def play(folder: Path, fleet: Fleet, content: list[dict[str, Any]], *options: str) -> str:
    (folder / "play.yml").write_text(json.dumps(content), encoding="utf-8")
    done = run_ansible("ansible-playbook", str(folder / "play.yml"), "-i", str(fleet.inventory()), *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tasks_on(hosts: str, tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"hosts": hosts, "gather_facts": False, "tasks": tasks}]


def held(host: Host, *paths: str, mode: str = "r", size: int = 1) -> subprocess.Popen[bytes]:
    """Files that a process has open, without a name."""
    for path in paths:
        make = 'mkdir -p "${1%/*}"; [ -e "$1" ] || head -c "$2" /dev/zero > "$1"'
        host.run(["sh", "-c", make, "-", path, str(size)])
    holder = host.spawn(["/usr/bin/python3", "-c", HOLDER, mode, *paths], stdout=subprocess.PIPE)
    assert holder.stdout is not None and holder.stdout.readline() == b"\n"
    host.run(["rm", *paths])
    return holder


def test_deleted_files_facts(hosts, tmp_path):
    log = held(hosts.hosts[0], "/var/log/big.log", mode="a", size=101 * 2**20)
    screen = play(tmp_path, hosts, tasks_on("h1", examples("deleted_files_facts")))
    assert "/var/log/big.log is held by " in screen
    log.kill()


def test_fetch_file(hosts, tmp_path):
    host = hosts.hosts[0]
    bash = host.spawn(["/usr/bin/bash", "-c", "while :; do sleep 3600; done"])
    host.run(["cp", "/usr/bin/sleep", "/tmp/implant"])
    implant = host.spawn(["/tmp/implant", "600"])
    host.run(["cp", "-p", "/usr/bin/bash", "/usr/bin/bash.kept"])
    host.run(["rm", "/usr/bin/bash", "/tmp/implant"])
    text = json.dumps(tasks_on("h1", examples("fetch_file")))
    play(tmp_path, hosts, json.loads(text.replace("4711", str(host.host_pid(bash.pid)))))
    content = (host.root() / "usr/bin/bash.kept").read_bytes()
    assert (tmp_path / "rescued/h1/usr/bin/bash").read_bytes() == content
    fetched = {path.name: path for path in (tmp_path / "evidence/h1").rglob("*") if path.is_file()}
    assert fetched["implant"].read_bytes() == (host.root() / "usr/bin/sleep").read_bytes() and "bash" in fetched
    host.run(["mv", "/usr/bin/bash.kept", "/usr/bin/bash"])
    implant.kill()
    bash.kill()


def test_restore_file(hosts, tmp_path):
    host = hosts.hosts[0]
    bash = host.spawn(["/usr/bin/bash", "-c", "while :; do sleep 3600; done"])
    host.run(["sh", "-c", "echo media:x:4242:4242::/:/bin/false >> /etc/passwd; echo media:x:4242: >> /etc/group"])
    paths = ["/usr/bin/sudo", "/usr/lib/x86_64-linux-gnu/librescued.so", "/srv/media/movie.mkv"]
    paths += ["/srv/app/old.conf", "/srv/app/data/app.db", "/var/log/app.log"]
    host.run(["cp", "-p", "/usr/bin/sudo", "/usr/bin/sudo.kept"])
    host.run(["sh", "-c", "sed -i '/^root:/s,/bin/bash,/bin/sh,' /etc/passwd"])
    holder = held(host, *paths)
    host.run(["rm", "-r", "/usr/bin/bash", "/srv/app/data"])
    try:
        # Over SFTP nobody can become root, and sudo is gone: as root, then, whose shell it must not be.
        as_root = ("-e", "ansible_user=root", "-e", "ansible_become=false")
        screen = play(tmp_path, hosts, tasks_on("h1", examples("restore_file")), *as_root)
    finally:
        holder.kill()
        bash.kill()
        host.run(["mv", "/usr/bin/sudo.kept", "/usr/bin/sudo"])
    restored = ["/usr/bin/bash", *paths[:2], "/srv/media/movie-rescued.mkv", paths[4], "/root/app.log.rescued"]
    assert not [path for path in restored if not (host.root() / path[1:]).exists()], screen
    movie = (host.root() / "srv/media/movie-rescued.mkv").stat()
    assert (movie.st_uid, movie.st_gid, movie.st_mode & 0o7777) == (4242, 4242, 0o644)


def test_the_first_of_readme(hosts, tmp_path):
    (block,) = documents.blocks("README.md", "## What there is")
    holder = held(hosts.hosts[1], "/srv/app/conf", "/var/log/app.log", mode="r+")
    play(tmp_path, hosts, yaml.safe_load(block.text), "--limit", "h2")
    holder.kill()
    assert (hosts.hosts[1].root() / "srv/app/conf").exists()
    assert (tmp_path / "rescued/h2/var/log/app.log").exists()


def test_see_it(hosts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = documents.blocks("README.md", "## See it")
    (tmp_path / "hosts.yml").write_text(hosts.inventory().read_text())
    (command,) = block.commands
    done = run_ansible(*shlex.split(command))
    assert "2 of 2 hosts looked at" in done.stdout, done.stdout + done.stderr
    assert sorted(path.name for path in tmp_path.glob("fleet.*")) == ["fleet.csv", "fleet.html", "fleet.json"]


def test_reclaim_space(booted, systemd_fleet, tmp_path):
    # Another disk: on that of the logs a copy would free nothing.
    booted.run(["sh", "-c", "mkdir /mnt/backup; mount -t tmpfs tmpfs /mnt/backup; mkdir -m 0700 /mnt/backup/deleted"])
    streams = ["-p", "StandardOutput=append:/var/log/app.log", "-p", "StandardError=append:/srv/app.err"]
    large = "head -c 101M /dev/zero; head -c 3M /dev/zero >&2; touch /srv/written; sleep infinity"
    booted.run(["systemd-run", "--unit=app", *streams, "sh", "-c", large])
    try:
        booted.run(["sh", "-c", "until [ -e /srv/written ]; do sleep 0.1; done; rm /var/log/app.log /srv/app.err"])
        screen = play(tmp_path, systemd_fleet, tasks_on("h1", examples("reclaim_space")))
        assert screen.count("changed: [h1]") == 3, screen
        copies = [path for path in (booted.root() / "mnt/backup").rglob("*") if path.is_file()]
        assert [path.stat().st_size for path in copies] == [101 * 2**20]
    finally:
        booted.run(["systemctl", "stop", "app"])
        booted.run(["umount", "/mnt/backup"])


def test_from_host_to_host(hosts, tmp_path):
    """The lookup, the filters and the modules of which the role is made; what h1 lost, h2 offers."""
    tool, packed = "/usr/local/bin/tool", "/usr/local/lib/packed"
    package = debs.build(tmp_path, "tool", "1.0", {tool: b"a tool", packed: b"a file"})
    for host in hosts.hosts:
        debs.install(host, package)
        host.run(["rm", packed])
        debs.put(host, package, f"/var/cache/apt/archives/{package.name}")
    hosts.hosts[0].run(["rm", tool])
    restore = {"procfs.rescue.restore_file": {"files": [tool, packed], "offer": True}}
    lost = {**restore, "register": "rescue_result", "ignore_errors": True}
    tasks = [lost, *examples("rescue_needs", "filter"), *examples("rescue_peers", "lookup"), *examples("offer_file")]
    tasks += [*examples("supply_file"), *examples("rescue_overview", "filter")]
    screen = play(tmp_path, hosts, tasks_on("h1:h2", tasks), "-e", '{"rescue_sources": ["peer"]}')
    assert "ok: [h1 -> h2(" in screen, screen
    assert f'"{tool}"' in screen and screen.count('"msg": "1 host: 1 rescued"') == 2, screen
    assert [(hosts.hosts[0].root() / path[1:]).read_bytes() for path in (tool, packed)] == [b"a tool", b"a file"]


def test_collect_files_and_write_report(hosts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # what they write is relative to where Ansible was started
    holder = held(hosts.hosts[0], "/srv/open")
    (tmp_path / "slices").mkdir()
    everywhere = {"ansible_pipelining": True}
    report = examples("write_report")
    copy = {"src": str(tmp_path / "deleted-files.json"), "dest": str(tmp_path / "slices/"), "mode": "0644"}
    report.insert(-1, {"ansible.builtin.copy": copy, "delegate_to": "localhost", "run_once": True})
    content = [{**tasks_on("h1:h2", [*examples("collect_files"), *report])[0], "vars": everywhere}]
    play(tmp_path, hosts, content)
    holder.kill()
    assert (tmp_path / "evidence/hosts/h1.jsonl").exists() and (tmp_path / "evidence/SHA256SUMS").exists()
    assert "/srv/open" in (tmp_path / "deleted-files.html").read_text() and (tmp_path / "fleet.html").exists()


def test_lifeline(systemd_fleet, tmp_path):
    (tmp_path / "keys").mkdir()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "keys/oncall"], check=True)
    from_here = systemd_fleet.hosts[0].address.rpartition(".")[0] + ".0/24"
    text = json.dumps(tasks_on("h1", examples("lifeline_sshd"))).replace("192.0.2.0/24", from_here)
    play(tmp_path, systemd_fleet, json.loads(text))


def plays_of(role: str) -> list[dict[str, Any]]:
    return [one for block in documents.blocks(f"roles/{role}/README.md") for one in yaml.safe_load(block.text)]


def test_the_role_rescue(hosts, tmp_path):
    host = hosts.hosts[0]
    bash = host.spawn(["/usr/bin/bash", "-c", "while :; do sleep 3600; done"])
    host.run(["cp", "-p", "/usr/bin/bash", "/usr/bin/bash.kept"])
    host.run(["rm", "/usr/bin/bash"])
    try:
        first = play(tmp_path, hosts, plays_of("rescue"), "--limit", "h1")
        assert host.run(["cmp", "/usr/bin/bash", "/usr/bin/bash.kept"]).returncode == 0
        again = play(tmp_path, hosts, plays_of("rescue"), "--limit", "h1")
    finally:
        bash.kill()
        host.run(["mv", "/usr/bin/bash.kept", "/usr/bin/bash"])
    assert first.count("1 host: 1 rescued") == again.count("1 host: 1 was_fine") == 2, first + again


def test_the_role_textfile(hosts, tmp_path):
    folder = hosts.hosts[0].root() / "var/lib/prometheus/node-exporter"
    hosts.hosts[0].run(["mkdir", "-p", "/var/lib/prometheus/node-exporter"])
    play(tmp_path, hosts, plays_of("textfile"), "--limit", "h1")
    assert "\nprocfs_deleted_files_complete 1\n" in (folder / "deleted_files.prom").read_text()


def test_the_lifeline_of_its_readme(systemd_fleet, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "lifeline"], check=True)
    here = {"AAAA… oncall": (tmp_path / "lifeline.pub").read_text().split(None, 1)[1].strip(), "~/.ssh": str(tmp_path)}
    texts = []
    for block in documents.blocks("roles/lifeline/README.md"):
        text = block.text
        for shown, real in here.items():
            text = text.replace(shown, real)
        texts.append(text)
    playbook, variables, commands = texts
    settings = json.dumps(yaml.safe_load(variables))
    try:
        play(tmp_path, systemd_fleet, yaml.safe_load(playbook), "-e", settings)
        keys = yaml.safe_load(playbook)[0]["roles"][0]["vars"]
        (tmp_path / "lifeline.yml").write_text(json.dumps({**yaml.safe_load(variables), **keys}))
        for line in commands.splitlines():
            command = line[2:].replace("INVENTORY", str(systemd_fleet.inventory()))
            done = run_ansible(*shlex.split(command))
            assert done.returncode == 0 and "changed=0" in done.stdout, done.stdout + done.stderr
    finally:
        absent = ["-e", settings, "-e", "lifeline_state=absent"]
        run_ansible("ansible-playbook", "procfs.rescue.lifeline", "-i", str(systemd_fleet.inventory()), *absent)
