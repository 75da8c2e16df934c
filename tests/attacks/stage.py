# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host on which an attack is carried out, and what came of it."""

from __future__ import annotations

import hashlib
import io
import json
import shlex
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from attacks.attack import Attack
from fleet import Host

_HOME = "/opt/attacks"
_REPOSITORY = Path(__file__).parents[2]
_UTILS = "plugins/module_utils"

# What a program of hers ends with that the kernel does not let go on.
_FORBIDDEN_HERE = 77

_HOLD = "import signal, sys\nheld = open(sys.argv[1], 'rb')\nprint(flush=True)\nsignal.pause()\n"


class ForbiddenHereError(Exception):
    """The kernel of this machine forbids the attack."""


class State(NamedTuple):
    """What must be the same before and after."""

    sha256: str
    mode: int
    uid: int
    gid: int
    mtime_ns: int


class Trial(NamedTuple):
    """What came of an attack. ``before`` and ``after`` are the real file, None where its name is free."""

    seen: list[dict[str, Any]]
    facts: list[dict[str, Any]]
    results: list[dict[str, Any]]
    before: State
    after: State | None
    folder: tuple[list[str], list[str]]

    @property
    def refused(self) -> set[str]:
        return set(self.results[0].get("refused", ()))


class Stage:
    def __init__(self, host: Host) -> None:
        self.host = host
        files = io.BytesIO()
        with tarfile.open(fileobj=files, mode="w") as tar:
            for source in (_REPOSITORY / _UTILS).glob("*.py"):
                tar.add(source, f"ansible_collections/procfs/rescue/{_UTILS}/{source.name}")
            for source in (_REPOSITORY / "tests/attacks").rglob("*.py"):
                tar.add(source, source.relative_to(_REPOSITORY / "tests/attacks"))
        host.run(["mkdir", "-p", _HOME])
        host.run(["tar", "-xC", _HOME], input=files.getvalue())

    def state(self, path: str) -> State | None:
        inside = self._inside(path)
        try:
            content, result = inside.read_bytes(), inside.stat()
        except FileNotFoundError:
            return None
        return State(
            hashlib.sha256(content).hexdigest(), result.st_mode, result.st_uid, result.st_gid, result.st_mtime_ns
        )

    def try_out(self, attack: Attack, *, honest: bool) -> Trial:
        """Carries the attack out, loses the real file, and restores; with ``honest`` somebody holds the real one."""
        self._shell(attack.prepare)
        before = self.state(attack.path)
        assert before is not None
        honest_path = attack.path if honest else None
        with self._kept(attack.path), self._held(honest_path), self._attacked(attack) as say:
            self._shell(attack.loss or f"rm {shlex.quote(attack.path)}")
            links = say()
            names = self._names(attack.path)
            request = {"path": attack.path}
            answer = self.restore({"links": links, "request": request, "by_hand": not honest, "accept": attack.accept})
            return Trial(
                **answer, before=before, after=self.state(attack.path), folder=(names, self._names(attack.path))
            )

    def restore(self, request: dict[str, Any]) -> dict[str, Any]:
        done = self.host.run(
            ["python3", f"{_HOME}/on_host.py"], input=json.dumps(request).encode(), env={"PYTHONPATH": _HOME}
        )
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    @contextmanager
    def _attacked(self, attack: Attack) -> Iterator[Any]:
        process = self.host.spawn(
            ["python3", f"{_HOME}/programs/{attack.program}.py", attack.path, *attack.arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            user=attack.user,
        )
        assert process.stdin and process.stdout and process.stderr
        stdin, stdout = process.stdin, process.stdout

        def say() -> Any:
            stdin.write(b"\n")
            stdin.flush()
            return json.loads(stdout.readline())

        with process:
            try:
                if not stdout.readline():
                    complaint = process.stderr.read().decode()
                    if process.wait() == _FORBIDDEN_HERE:
                        raise ForbiddenHereError(complaint.strip())
                    raise RuntimeError(f"{attack.program} did not start: {complaint}")
                yield say
            finally:
                stdin.close()

    @contextmanager
    def _held(self, path: str | None) -> Iterator[None]:
        if path is None:
            yield
            return
        with self.host.spawn(["python3", "-c", _HOLD, path], stdout=subprocess.PIPE) as process:
            assert process.stdout
            process.stdout.readline()
            try:
                yield
            finally:
                process.kill()

    @contextmanager
    def _kept(self, path: str) -> Iterator[None]:
        """The real file is there again afterwards."""
        self.host.run(["cp", "-p", path, "/root/kept"])
        try:
            yield
        finally:
            self.host.run(["mv", "/root/kept", path])

    def _shell(self, command: str) -> None:
        self.host.run(["sh", "-ec", command])

    def _inside(self, path: str) -> Path:
        return self.host.root() / path.lstrip("/")

    def _names(self, path: str) -> list[str]:
        return sorted(entry.name for entry in self._inside(path).parent.iterdir())
