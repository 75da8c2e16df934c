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
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from attacks.attack import ROOM, Attack
from fleet import Host

_HOME = "/opt/attacks"
_REPOSITORY = Path(__file__).parents[2]
_UTILS = "plugins/module_utils"

# What a program of hers ends with that the kernel does not let go on.
_FORBIDDEN_HERE = 77

_HOLD = "import signal, sys\nheld = open(sys.argv[1], 'rb')\nprint(flush=True)\nsignal.pause()\n"


# Requests as restore_file has them in ``files``, and ``accept``; gives what it has in ``files`` of its result.
Restore = Callable[[list[dict[str, Any]], Sequence[str]], list[dict[str, Any]]]


class ForbiddenHereError(Exception):
    """The kernel of this machine forbids the attack."""


class State(NamedTuple):
    """What must be the same before and after."""

    sha256: str
    mode: int
    uid: int
    gid: int
    mtime_ns: int


class Seen(NamedTuple):
    """What root sees of the links that are to deceive it, and what the facts tell about them, and of all."""

    seen: list[dict[str, str]]
    entries: list[dict[str, Any]]
    summary: dict[str, Any]


class Trial(NamedTuple):
    """What came of an attack. ``before`` and ``after`` are the real file, None where its name is free.

    ``results`` are those of restoring by path, ``by_hand`` by the facts, ``accepted`` as the user has to ask for the
    honest file, ``believed`` those by path with the check of namespaces switched off. ``names`` are those in the folder
    before and after.
    """

    look: Seen
    results: list[dict[str, Any]]
    by_hand: list[dict[str, Any]]
    accepted: list[dict[str, Any]]
    believed: list[dict[str, Any]]
    before: State
    after: State | None
    names: tuple[list[str], list[str]]


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

    def try_out(self, attack: Attack, *, honest: bool, restore: Restore | None = None) -> Trial:
        """Carries the attack out, loses the real file, and restores; with ``honest`` somebody holds the real one.

        ``restore`` is another way to restore than the collection's steps on the host.
        """
        restore = restore or self._restore
        path = shlex.quote(attack.path)
        self._shell(f"rm -rf {ROOM}; mkdir {ROOM}; {attack.prepare}")
        with ExitStack() as stack:
            links, go_on = stack.enter_context(self._attacked(attack))
            self._shell(attack.meanwhile)
            stack.enter_context(self._kept(attack.path))
            before = self.state(attack.path)
            assert before is not None
            if honest:
                stack.enter_context(self._held(attack.path))
            self._shell(attack.loss or f"rm {path}")
            old = self._look(links) if attack.stale_facts else None
            look = self._look(go_on())
            names = self._names(attack.path)
            sources = [{"source": entry} for entry in (old or look).entries]
            if old is not None and not honest:
                sources = [{"source": holder} for entry in old.entries for holder in entry["holders"]]
            wanted = [{"path": attack.path}]
            proven = [{"path": attack.path, "checksum": f"sha256:{before.sha256}"}] if attack.checksum else wanted
            return Trial(
                look=look,
                results=[] if honest or old else restore(wanted, ()),
                by_hand=restore(sources, ()) if old or not honest else [],
                accepted=restore(proven, attack.accept) if not old and (honest or attack.still_refused) else [],
                believed=self._restore(wanted, (), believing=True) if attack.second and not honest else [],
                before=before,
                after=self.state(attack.path),
                names=(names, self._names(attack.path)),
            )

    def keep_waiting(self, attack: Attack) -> tuple[dict[str, Any], list[dict[str, Any]], bool, float]:
        """The summary of the facts, results of restoring by path beside an honest holder, and the seconds of both."""
        with ExitStack() as stack:
            stack.enter_context(self._attacked(attack))
            stack.enter_context(self._kept(attack.path))
            before = self.state(attack.path)
            stack.enter_context(self._held(attack.path))
            self._shell(f"rm {shlex.quote(attack.path)}")
            started = time.monotonic()
            summary = self._look([]).summary
            results = self._restore([{"path": attack.path}], ())
            seconds = time.monotonic() - started
            return summary, results, self.state(attack.path) == before, seconds

    def _look(self, links: list[str]) -> Seen:
        return Seen(**self._on_host({"links": links}))

    def _restore(
        self, requests: list[dict[str, Any]], accept: Sequence[str], believing: bool = False
    ) -> list[dict[str, Any]]:
        results: list[dict[str, Any]] = self._on_host({"requests": requests, "accept": accept, "believing": believing})
        return results

    def exchange(self, way: str, what: str) -> dict[str, Any]:
        """What exchange.py tells."""
        told: dict[str, Any] = self._python("exchange.py", way, what)
        return told

    def _on_host(self, request: dict[str, Any]) -> Any:
        return self._python("on_host.py", text=json.dumps(request))

    def _python(self, program: str, *arguments: str, text: str = "") -> Any:
        command = ["python3", f"{_HOME}/{program}", *arguments]
        return json.loads(self.host.run(command, input=text.encode(), env={"PYTHONPATH": _HOME}).stdout)

    @contextmanager
    def _attacked(self, attack: Attack) -> Iterator[tuple[list[str], Callable[[], list[str]]]]:
        """The links that she has prepared, and a function that makes her go on and gives those that she has then."""
        process = self.host.spawn(
            ["python3", f"{_HOME}/programs/{attack.program}.py", attack.path, *attack.arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            user=attack.user,
        )
        assert process.stdin and process.stdout and process.stderr
        stdin, stdout, stderr = process.stdin, process.stdout, process.stderr

        def go_on() -> list[str]:
            stdin.write(b"\n")
            stdin.flush()
            return links_told()

        def links_told() -> list[str]:
            told = stdout.readline()
            if not told:
                complaint = stderr.read().decode()
                if process.wait() == _FORBIDDEN_HERE:
                    raise ForbiddenHereError(complaint.strip())
                raise RuntimeError(f"{attack.program} ended: {complaint}")
            links: list[str] = json.loads(told)
            return links

        with process:
            try:
                yield links_told(), go_on
            finally:
                stdin.close()

    @contextmanager
    def _held(self, path: str) -> Iterator[None]:
        with self.host.spawn(["python3", "-c", _HOLD, path], stdout=subprocess.PIPE) as process:
            assert process.stdout
            process.stdout.readline()
            try:
                yield
            finally:
                process.kill()

    @contextmanager
    def _kept(self, path: str) -> Iterator[None]:
        """A file of the system is there again afterwards."""
        self.host.run(["cp", "-p", path, "/root/kept"])
        try:
            yield
        finally:
            if path.startswith("/usr/"):
                self.host.run(["mv", "/root/kept", path])

    def _shell(self, command: str) -> None:
        self.host.run(["sh", "-ec", command])

    def _inside(self, path: str) -> Path:
        return self.host.root() / path.lstrip("/")

    def _names(self, path: str) -> list[str]:
        return sorted(entry.name for entry in self._inside(path).parent.iterdir())
