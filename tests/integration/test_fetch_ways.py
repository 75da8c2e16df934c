# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""fetch_file by every way in which people reach root on a host: the table in README.md."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shlex
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import ansible
import pytest

from fleet import Fleet, debian
from fleet.controller import environment, program, run_ansible
from integration.slow import over_a_slow_line, shown

pytestmark = pytest.mark.long

CONTENT = random.Random(7).randbytes(20_000_000)  # two pieces and more
PASSWORD = "correct horse {{ battery }}"
WITH_PASSWORD = "oncall ALL=(ALL) ALL\n"
WITHOUT = "oncall ALL=(ALL) NOPASSWD: ALL\n"


class Way(NamedTuple):
    """What is set on the host, and in the inventory, and how the content comes then."""

    came_as: str
    variables: dict[str, Any]
    sudoers: str = WITHOUT
    shell: str = "/bin/bash"
    pipelining: bool = True


AS_ROOT = {"ansible_become_method": "su", "ansible_become_password": "PASSWORD"}
DOAS = {"ansible_become_exe": "doas", "ansible_become_flags": "-n"}  # Ansible's own plugin is not in ansible-core
PROXY = {"ansible_ssh_extra_args": "PROXY"}
JUMP = {"ansible_ssh_extra_args": "JUMP"}
PARAMIKO = {"ansible_connection": "ansible.builtin.paramiko_ssh", "ansible_paramiko_host_key_checking": False}

WAYS = {
    "sudo": Way("stream", {}),
    "sudo with a vaulted password": Way("pieces", {"ansible_become_password": "VAULTED"}, WITH_PASSWORD),
    "sudo that insists on a terminal": Way("pieces", {}, WITHOUT + "Defaults requiretty\n", pipelining=False),
    "su with a password": Way("pieces", AS_ROOT),
    "doas": Way("stream", DOAS),
    "through another host by ProxyCommand": Way("stream", PROXY),
    "through another host by ProxyJump": Way("stream", JUMP),
    "login shell fish": Way("stream", {}, shell="/usr/bin/fish"),
    "login shell dash": Way("stream", {}, shell="/bin/dash"),
    "paramiko_ssh": Way("pieces", PARAMIKO),
}


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with Fleet(2, tree=debian.tree(packages=("fish", "opendoas", "sudo"))) as started:
        host = started.hosts[0]
        host.run(["chpasswd"], input=f"oncall:{PASSWORD}\nroot:{PASSWORD}\n".encode())
        host.run(["dd", "of=/etc/doas.conf"], input=b"permit nopass oncall as root\n")
        host.run(["dd", "of=/srv/movie"], input=CONTENT)
        held = host.spawn(["sh", "-c", "exec 3</srv/movie; exec sleep 36000"], stdout=subprocess.PIPE)
        while b"movie" not in host.run(["sh", "-c", "ls -l /proc/[0-9]*/fd/3"], check=False).stdout:
            pass
        host.wreck("/srv/movie")
        yield started
        held.kill()


def vaulted(folder: Path) -> str:
    """The password in YAML, as ansible-vault gives it."""
    (folder / "vault").write_text("the vault's own")
    done = run_ansible("ansible-vault", "encrypt_string", "--vault-password-file", str(folder / "vault"), PASSWORD)
    assert not done.returncode, done.stderr
    return done.stdout


def configured(host, folder: Path) -> Path:
    """The fleet's settings as a file, which ssh hands on to the one that jumps."""
    options = [option[2:].replace("=", " ", 1) for option in host.ssh_command() if option.startswith("-o")]
    (folder / "ssh_config").write_text("\n".join(["Host *", *options]) + "\n")
    return folder / "ssh_config"


def let_in(host, way: Way) -> None:
    host.run(["sh", "-c", "rm -f /etc/sudoers.d/*; cat > /etc/sudoers.d/oncall"], input=way.sudoers.encode())
    host.run(["usermod", "--shell", way.shell, "oncall"])


@pytest.mark.parametrize("name", WAYS)
def test_a_way(fleet, run_module_of, tmp_path, name):
    way = WAYS[name]
    host, other = fleet.hosts
    let_in(host, way)
    proxy = shlex.join([*host.ssh_command()[:-1], "-W", "%h:%p", f"oncall@{other.address}"])
    yaml = {"VAULTED": vaulted(tmp_path), "PASSWORD": f"!unsafe {json.dumps(PASSWORD)}"}
    yaml["PROXY"] = json.dumps(shlex.join([f"-oProxyCommand={proxy}"]))
    yaml["JUMP"] = json.dumps(shlex.join([f"-F{configured(host, tmp_path)}", f"-oProxyJump=oncall@{other.address}"]))
    lines = [f"{key}: {yaml.get(value, json.dumps(value))}" for key, value in way.variables.items()]
    inventory = tmp_path / "inventory.yml"
    settings = textwrap.indent("\n".join(lines), " " * 8)
    inventory.write_text(fleet.inventory().read_text().rstrip() + f"\n{settings}\n")
    answer = run_module_of(
        inventory,
        "fetch_file",
        {"path": "/srv/movie", "dest": f"{tmp_path}/movie", "flat": True},
        env={"ANSIBLE_VAULT_PASSWORD_FILE": str(tmp_path / "vault")},
        may_warn=name == "paramiko_ssh",
        pipelining=way.pipelining,
    )
    assert not answer.failed, answer.output
    assert answer.result["came_as"] == way.came_as
    arrived = hashlib.sha256((tmp_path / "movie").read_bytes()).hexdigest()
    assert arrived == hashlib.sha256(CONTENT).hexdigest()
    assert PASSWORD not in answer.output


# Of the collections that the package ansible brings, for the core that is tested.
CHROOT = "ansible_collections/community/general/plugins/connection/chroot.py"


def community_general(folder: Path) -> Path:
    """The connection plugin chroot by itself."""
    core = tuple(map(int, ansible.__version__.split(".")[:2]))
    package = f"ansible=={core[1] - 7}.*"  # ansible 12 belongs to ansible-core 2.19
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), package]
    subprocess.run(pip, check=True)
    (wheel,) = folder.glob("ansible-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extract(CHROOT, folder)
    wheel.unlink()
    return folder


def test_the_connection_plugin_chroot(run_module_of, tmp_path):
    """Of community.general, as one that is neither ours nor Ansible's own; / is its folder."""
    (tmp_path / "collections").mkdir()
    theirs = community_general(tmp_path / "collections")
    (tmp_path / "inventory.yml").write_text(
        json.dumps(
            {
                "all": {
                    "hosts": {"/": None},
                    "vars": {
                        "ansible_connection": "community.general.chroot",
                        "ansible_python_interpreter": "/usr/bin/python3",
                    },
                }
            }
        )
    )
    (tmp_path / "victim").write_bytes(CONTENT)
    with (tmp_path / "victim").open("rb") as held:
        (tmp_path / "victim").unlink()
        answer = run_module_of(
            tmp_path / "inventory.yml",
            "fetch_file",
            {"source": {"link": f"/proc/{os.getpid()}/fd/{held.fileno()}"}, "dest": f"{tmp_path}/out/", "flat": True},
            on="all",
            env={"ANSIBLE_COLLECTIONS_PATH": f"{environment()['ANSIBLE_COLLECTIONS_PATH']}:{theirs}"},
        )
    assert not answer.failed and answer.result["came_as"] == "pieces", answer.output
    assert (tmp_path / "out" / "victim").read_bytes() == CONTENT


@pytest.mark.parametrize("watched", [True, False])
def test_progress_of_a_slow_transfer(fleet, tmp_path, watched):
    """On a terminal a line comes now and then; in a pipe, as runners and logs have it, there is none."""
    let_in(fleet.hosts[0], WAYS["sudo"])
    task = {"procfs.rescue.fetch_file": {"path": "/srv/movie", "dest": f"{tmp_path}/movie", "flat": True}}
    settings = {"ansible_pipelining": True, **over_a_slow_line(tmp_path)}
    play = [{"hosts": "h1", "gather_facts": False, "vars": settings, "tasks": [task]}]
    (tmp_path / "play.yml").write_text(json.dumps(play))
    text = shown([program("ansible-playbook"), str(tmp_path / "play.yml"), "-i", str(fleet.inventory())], watched)
    assert hashlib.sha256((tmp_path / "movie").read_bytes()).hexdigest() == hashlib.sha256(CONTENT).hexdigest()
    lines = re.findall(rb"h1: /srv/movie: [0-9.]+ MB of 19\.07 MB, [0-9.]+ MB/s, [0-9]+ s left", text)
    assert bool(lines) == watched, text
