# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""python -m soak ROUNDS SEED [ROUND]: on three hosts; with ROUND only that one, the same with the same seed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ansible

from fleet import Fleet, Host
from fleet.controller import environment, program
from soak.lost import KINDS, TOP, Lost
from soak.proof import wrong

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = "/usr/local/lib/soak"
# Every so many rounds it is Ansible that runs the module, and in most of these the controller that is killed.
PLAYBOOK = 10
DISTURBANCES = ("none", "none", "module", "module", "holder")
# The module takes a little less, as a rule.
SECONDS = 0.08


class Agent:
    """The module on a host at the end of one ssh connection."""

    def __init__(self, host: Host) -> None:
        self.host = host
        host.run(["mkdir", "-p", f"/{TOP}/tmpfs", LIBRARY])
        host.run(["mount", "-t", "tmpfs", "none", f"/{TOP}/tmpfs"])
        host.run(["tar", "-xC", LIBRARY], input=_library())
        self._ssh = subprocess.Popen(
            [*host.ssh_command("root"), f"PYTHONPATH={LIBRARY} exec python3 {LIBRARY}/agent.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def run(self, this: Lost, **disturbance: Any) -> dict[str, Any]:
        assert self._ssh.stdin and self._ssh.stdout
        arguments = {**this.options, "files": this.asked()}
        self._ssh.stdin.write(json.dumps({"arguments": arguments, **disturbance}).encode() + b"\n")
        self._ssh.stdin.flush()
        answer: dict[str, Any] = json.loads(self._ssh.stdout.readline())
        return answer

    def close(self) -> None:
        self._ssh.communicate()


class Soak:
    def __init__(self, fleet: Fleet, seed: str) -> None:
        self.fleet, self.seed = fleet, seed
        self.agents = [Agent(host) for host in fleet.hosts]
        self.inventory = fleet.inventory()
        self.told: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.wrong = 0

    def round(self, number: int) -> None:
        with ThreadPoolExecutor(len(self.agents)) as pool:
            chances = [random.Random(f"{self.seed}/{number}/{agent.host.name}") for agent in self.agents]
            kinds = [chance.choice(KINDS) for chance in chances]
            lost = list(pool.map(Lost, self.fleet.hosts, [number] * 3, kinds, chances))
            try:
                if number % PLAYBOOK:
                    found = list(pool.map(self._rescue, self.agents, lost))
                else:
                    found = self._play(lost, random.Random(f"{self.seed}/{number}"))
                for agent, this, what in zip(self.agents, lost, found, strict=True):
                    self.kinds[this.kind] += 1
                    self.told["files"] += len(this.files)
                    self.wrong += bool(what)
                    for one in what:
                        print(f"WRONG {self.seed}/{number} {agent.host.name}, {this.kind}: {one}", flush=True)
            finally:
                list(pool.map(Lost.end, lost))

    def _rescue(self, agent: Agent, this: Lost) -> list[str]:
        disturbance = this.chance.choice(DISTURBANCES)
        if disturbance == "module":
            return self._kill_module(agent, this)
        if disturbance == "holder" and len(this.holders) == 1:
            return self._kill_holder(agent, this)
        return self._calm(agent, this)

    def _calm(self, agent: Agent, this: Lost) -> list[str]:
        answer = agent.run(this)
        return [f"{one}; it said {answer['output']}" for one in wrong(this, in_the_end=True)]

    def _kill_module(self, agent: Agent, this: Lost) -> list[str]:
        killed = agent.run(this, kill_after=this.chance.uniform(0, SECONDS))["killed"]
        self.told["modules killed"] += killed
        found = [f"after the kill: {one}" for one in wrong(this, in_the_end=not killed, was_killed=killed)]
        return found + [f"after the next run: {one}" for one in self._calm(agent, this)]

    def _kill_holder(self, agent: Agent, this: Lost) -> list[str]:
        (holder,) = this.holders
        answer = agent.run(this, end=agent.host.host_pid(holder.pid), held=this.held())
        self.told["holders killed"] += answer["ended"]
        ended = "its holder was gone when it was pinned; " if answer["ended"] else ""
        return [f"{ended}{one}; it said {answer['output']}" for one in wrong(this, in_the_end=True)]

    def _play(self, lost: list[Lost], chance: random.Random) -> list[list[str]]:
        """The same by Ansible on all hosts at once; a module whose controller was killed may still be at work."""
        kill_after = chance.uniform(0.5, 2.5) if chance.random() < 0.7 else None
        pythons = [_pythons(agent.host) for agent in self.agents]
        code, output = self._ansible(lost, kill_after)
        self.told["playbooks"] += 1
        self.told["controllers killed"] += code == -signal.SIGKILL
        for agent, before in zip(self.agents, pythons, strict=True):
            until = time.monotonic() + 30
            while _pythons(agent.host) - before and time.monotonic() < until:
                time.sleep(0.02)
        found = []
        for agent, this in zip(self.agents, lost, strict=True):
            killed = code == -signal.SIGKILL
            what = [f"{one}; {output}" for one in wrong(this, in_the_end=not killed, was_killed=killed)]
            found.append([f"by Ansible: {one}" for one in what] + (self._calm(agent, this) if killed else []))
        return found

    def _ansible(self, lost: list[Lost], kill_after: float | None) -> tuple[int, str]:
        asked = {this.host.name: {"files": this.asked(), **this.options} for this in lost}
        names = ("force", "backup", "owner", "group", "mode")
        options = {name: f"{{{{ soak[inventory_hostname].{name} | default(omit) }}}}" for name in ("files", *names)}
        play = {
            "hosts": "fleet",
            "gather_facts": False,
            "vars": {"ansible_pipelining": True, "soak": asked},
            "tasks": [{"procfs.rescue.restore_file": options}],
        }
        with tempfile.TemporaryDirectory(prefix="soak-") as folder:
            playbook = Path(folder, "play.yml")
            playbook.write_text(json.dumps([play]), encoding="utf-8")
            started = subprocess.Popen(
                [program("ansible-playbook"), "-i", str(self.inventory), str(playbook)],
                env={**environment(), "ANSIBLE_SSH_ARGS": "-oControlMaster=no -oControlPath=none"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                output, _nothing = started.communicate(timeout=kill_after)
            except subprocess.TimeoutExpired:
                os.killpg(started.pid, signal.SIGKILL)
                output, _nothing = started.communicate()
        return started.returncode, output.decode(errors="replace")


def _library() -> bytes:
    """What the module imports, as Ansible would bring it along."""
    core, rescue = Path(ansible.__file__).parent, "ansible_collections/procfs/rescue/plugins"
    paths = {f"ansible/{name}": core / name for name in ("__init__.py", "_vendor", "module_utils", "release.py")}
    paths.update({f"{rescue}/{name}": ROOT / "plugins" / name for name in ("modules", "module_utils")})
    paths["agent.py"] = Path(__file__).with_name("agent.py")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, path in paths.items():
            archive.add(path, name, filter=lambda file: None if file.name.endswith("__pycache__") else file)
    return packed.getvalue()


def _pythons(host: Host) -> set[str]:
    found = set()
    for comm in (host.root() / "proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if comm.read_bytes().startswith(b"python"):
                found.add(comm.parent.name)
    return found


@contextlib.contextmanager
def soaking(seed: str) -> Iterator[Soak]:
    with Fleet(3) as fleet, contextlib.ExitStack() as stack:
        soak = Soak(fleet, seed)
        for agent in soak.agents:
            stack.callback(agent.close)
        yield soak


def main(rounds: int, seed: str, only: int | None = None) -> int:
    numbers = range(1, rounds + 1) if only is None else [only]
    started = time.monotonic()
    with soaking(seed) as soak:
        for number in numbers:
            soak.round(number)
            if number % 50 == 0 or number == numbers[-1]:
                told = ", ".join(f"{count} {what}" for what, count in sorted(soak.told.items()))
                print(
                    f"round {number}, {time.monotonic() - started:.0f} s: {told}; {soak.wrong} wrong states", flush=True
                )
        print("Kinds: " + ", ".join(f"{count} {kind}" for kind, count in sorted(soak.kinds.items())))
    return bool(soak.wrong)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])))
