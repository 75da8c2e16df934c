# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real fleet for the tests, and the ways to drive it: modules and playbooks as users run them."""

from __future__ import annotations

import ast
import functools
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from fleet import Fleet, Host
from fleet.controller import run_ansible
from integration.rescues import rescue, tool  # noqa: F401  # pylint: disable=unused-import

CALLBACKS = str(Path(__file__).parent / "callback")


class Answer(NamedTuple):
    """What a module answered on one host. ``output`` is all that was on the screen."""

    failed: bool
    result: dict[str, Any]
    output: str

    @property
    def files(self) -> list[dict[str, Any]]:
        files: list[dict[str, Any]] = self.result["files"]
        return files


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    with Fleet(3) as started:
        yield started


@pytest.fixture(scope="session")
def host(fleet: Fleet) -> Host:
    return fleet.hosts[0]


@pytest.fixture(scope="session")
def systemd_fleet() -> Iterator[Fleet]:
    """One host that runs systemd; making its tree takes half a minute, once."""
    with Fleet(1, systemd=True) as started:
        yield started


@pytest.fixture(scope="session")
def target_python(host: Host) -> str:
    """The Python that modules run with on ``host``: its own, or a copy of this machine's that the matrix names."""
    wanted = os.environ.get("TARGET_PYTHON")
    if wanted is None:
        return "/usr/bin/python3"
    # Under the same path, where it looks for its libraries: hosts do not have the home folders of this machine.
    prefix = Path(wanted).resolve().parents[1]
    leave_out = [f"--exclude={name}" for name in ("test", "tests", "site-packages", "__pycache__", "*.a", "share")]
    archive = subprocess.run(["tar", "-cP", *leave_out, prefix], stdout=subprocess.PIPE, check=True).stdout
    host.run(["tar", "-xP"], input=archive)
    return wanted


@pytest.fixture
def lab(host: Host, request: pytest.FixtureRequest) -> Iterator[str]:
    """A folder of its own on the host for one test; holders started with `hold` end with it."""
    path = f"/srv/lab-{abs(hash(request.node.nodeid)) % 10**8}"
    host.run(["mkdir", "-m", "0755", "-p", path])
    yield path
    host.run(["rm", "-rf", path])


@pytest.fixture
def hold(host: Host) -> Iterator[Callable[..., int]]:
    """``hold(code, *args)`` runs Python code on the host that holds something and prints a line when it does.

    ``wrapper`` are the arguments of a program that runs it. Returns the pid that the holder sees: that of the host,
    unless the wrapper gave it others.
    """
    holders: list[subprocess.Popen[bytes]] = []

    def start(code: str, *arguments: str | bytes, user: str | None = None, wrapper: Sequence[str] = ()) -> int:
        full = code + "\nimport os, signal\nprint(os.getpid(), flush=True)\nsignal.pause()\n"
        process = host.spawn(
            [*wrapper, "/usr/bin/python3", "-c", full, *arguments],
            user=user,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        holders.append(process)
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        if not line.strip().isdigit():
            raise RuntimeError(f"the holder did not start: {process.stderr.read().decode()}")
        return int(line)

    yield start
    for process in holders:
        process.kill()
        process.wait()


# What Ansible itself has in results, and says of them in its own documentation.
COMMON = {"changed", "deprecations", "diff", "exception", "failed", "invocation", "msg", "unreachable", "warnings"}


@functools.lru_cache
def documented(name: str) -> dict[str, Any]:
    text = (Path(__file__).resolve().parents[2] / "plugins/modules" / f"{name}.py").read_text(encoding="utf-8")
    (returned,) = (
        ast.literal_eval(node.value)
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "RETURN"
    )
    fields: dict[str, Any] = yaml.safe_load(returned)
    return fields


def undocumented(name: str, result: Mapping[str, Any]) -> set[str]:
    """Fields that a result has, or one of its files, and that RETURN of the module does not."""
    fields = documented(name)
    found = set(result) - set(fields) - COMMON
    found = {field for field in found if not field.startswith("_ansible")}
    known = set(fields.get("files", {}).get("contains", ()))
    files = result.get("files", ())
    if isinstance(files, int):  # how many there are, as collect_files says
        return found
    return found | {f"files[].{field}" for one in files for field in set(one) - known}


@pytest.fixture(scope="session")
def run_module_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Answer]:
    """``run_module_of(inventory, name, arguments, ...)`` does what ``run_module`` does, on any host."""

    def run(
        inventory: Path,
        name: str,
        arguments: dict[str, Any],
        *,
        on: str = "h1",
        check: bool = False,
        diff: bool = False,
        options: tuple[str, ...] = (),
        env: Mapping[str, str] | None = None,
        may_warn: bool = False,
        pipelining: bool = True,
    ) -> Answer:
        tree = tmp_path_factory.mktemp("play")
        task = {f"procfs.rescue.{name}": arguments, "ignore_errors": True}
        play = [{"hosts": on, "gather_facts": False, "vars": {"ansible_pipelining": pipelining}, "tasks": [task]}]
        (tree / "play.yml").write_text(json.dumps(play), encoding="utf-8")
        answer = tree / "answer.json"
        told = {"ANSIBLE_CALLBACK_PLUGINS": CALLBACKS, "ANSIBLE_CALLBACKS_ENABLED": "answer", "ANSWER": str(answer)}
        done = run_ansible(
            "ansible-playbook",
            str(tree / "play.yml"),
            "-i",
            str(inventory),
            *(["--check"] if check else []),
            *(["--diff"] if diff else []),
            *options,
            env={**told, **(env or {})},
            may_warn=may_warn,
        )
        assert answer.exists() or "unreachable=1" in done.stdout, done.stdout + done.stderr
        result = json.loads(answer.read_text(encoding="utf-8")) if answer.exists() else {"failed": True}
        assert undocumented(name, result) == set()
        return Answer(bool(result.get("failed")), result, done.stdout + done.stderr)

    return run


@pytest.fixture
def run_module(request: pytest.FixtureRequest, run_module_of: Callable[..., Answer]) -> Callable[..., Answer]:
    """``run_module(name, arguments, ...)`` runs a module of the collection on one host, over SSH, as an ad-hoc task."""

    def run(name: str, arguments: dict[str, Any], *, inventory: Path | None = None, **how: Any) -> Answer:
        if inventory is None:
            fleet: Fleet = request.getfixturevalue("fleet")
            inventory = fleet.inventory(interpreter=request.getfixturevalue("target_python"))
        return run_module_of(inventory, name, arguments, **how)

    return run


@pytest.fixture(scope="session")
def booted(systemd_fleet: Fleet) -> Host:
    return systemd_fleet.hosts[0]


@pytest.fixture(scope="session")
def run_on_booted(systemd_fleet: Fleet, run_module_of: Callable[..., Answer]) -> Callable[..., Answer]:
    return functools.partial(run_module_of, systemd_fleet.inventory())
