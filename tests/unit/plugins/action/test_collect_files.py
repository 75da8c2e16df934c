# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an intruder's host may answer: the manifest is that of the host that was asked, by what is known here."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.procfs.rescue.plugins.action.collect_files import ActionModule, _outcome
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._stream import DATA, END, HEAD, START
from ansible_collections.procfs.rescue.plugins.plugin_utils._evidence import Evidence
from ansible_collections.procfs.rescue.plugins.plugin_utils._progress import Progress
from ansible_collections.procfs.rescue.plugins.plugin_utils._receive import Receiver

CONTENT = b"evidence"
SCAN = {"complete": True, "unreadable_processes": 0, "silent_processes": [], "skipped_mounts": {}}
FILTERS = {"via": ["exe"], "suspicious_only": False, "min_size": 0, "max_size": 5}
FORGED = {
    "record": "file",
    "name": "web2",
    "address": "192.0.2.2",
    "clock_ahead_at_least": 7,
    "clock_ahead_at_most": 7,
    "collected": 7,
    "collection": "7.7.7",
    "complete": "forged",
    "filters": "forged",
}


@pytest.fixture
def action() -> ActionModule:
    connection: Any = SimpleNamespace(get_option=lambda _name: "192.0.2.1")
    made: Any = ActionModule(None, connection, None, None, None, None)  # type: ignore[arg-type]
    made._vars = {"inventory_hostname": "web1"}
    made._progress = Progress("web1", print)
    return made


def told(**host: Any) -> dict[str, Any]:
    file = {"record": "host", "path": "/x", "digests": None, "unread": "it is gone", "kept": None, "content": "x"}
    return {"host": host, "files": [file], "keeper": None, "began": 1005.0, "ended": 1006.0, **SCAN}


def test_what_is_known_here_goes_before_what_the_host_says(action: Any, tmp_path: Path) -> None:
    evidence = Evidence(os.fsencode(tmp_path))
    evidence.manifest("web2", [{"record": "host", "name": "web2"}])
    before = (tmp_path / "hosts/web2.jsonl").read_bytes()
    answer = action._collected(evidence, told(hostname="web2", **FORGED), FILTERS, 1000.0, 1002.0)
    assert answer["manifest"] == "hosts/web1.jsonl"
    assert (tmp_path / "hosts/web2.jsonl").read_bytes() == before
    host, file = map(json.loads, (tmp_path / "hosts/web1.jsonl").read_text().splitlines())
    assert (host["record"], host["name"], host["address"]) == ("host", "web1", "192.0.2.1")
    assert host["hostname"] == "web2", "which it may say of itself"
    assert (host["clock_ahead_at_least"], host["clock_ahead_at_most"], host["collected"]) == (4.0, 5.0, 1000.0)
    assert host["collection"] != "7.7.7" and host["complete"] is True
    assert host["filters"] == FILTERS == _outcome(answer)["filters"]
    assert file["record"] == "file" and file["content"] is None


def test_a_manifest_of_the_same_host_stays(action: Any, tmp_path: Path) -> None:
    """Whoever wrote it since this run looked."""
    evidence = Evidence(os.fsencode(tmp_path))
    action._collected(evidence, told(), FILTERS, 1000.0, 1002.0)
    before = (tmp_path / "hosts/web1.jsonl").read_bytes()
    with pytest.raises(RescueError, match="is not replaced"):
        action._collected(evidence, told(hostname="other"), FILTERS, 1000.0, 1002.0)
    assert (tmp_path / "hosts/web1.jsonl").read_bytes() == before


@pytest.mark.parametrize("state", ["failed", "unreachable"])
def test_a_host_that_failed_has_no_manifest_in_the_record_of_the_run(state: str) -> None:
    forged = {state: True, "msg": "out of memory", "manifest": "hosts/web2.jsonl", "complete": True, "files": 0}
    assert _outcome(forged) == {"state": state, "msg": "out of memory"}
    assert _outcome({"skipped": True}) == {"state": "not asked"}


class AsStream:
    """In place of `Content`: one file comes, of whose end the host says whether it changed."""

    def __init__(self, changed: bool) -> None:
        end = json.dumps({"size": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest(), "changed": changed})
        self._frames = HEAD.pack(START, 0) + HEAD.pack(DATA, len(CONTENT)) + CONTENT
        self._frames += HEAD.pack(END, len(end)) + end.encode("ascii")

    def stream(self, _wanted: Any, take: Callable[..., None]) -> bool:
        take(io.BytesIO(self._frames), is_old=False)
        return True


class InPieces:
    def __init__(self, changed: bool) -> None:
        self._changed = changed

    def stream(self, _wanted: Any, _take: Any) -> bool:
        return False

    def transfer(self, _found: Any, receiver: Receiver) -> tuple[str, str, bool]:
        receiver.data(CONTENT)
        return "pieces", "sha256:" + hashlib.sha256(CONTENT).hexdigest(), self._changed


@pytest.mark.parametrize("way", [AsStream, InPieces])
@pytest.mark.parametrize("since_digest", [False, True])
@pytest.mark.parametrize("since_look", [False, True])
def test_a_file_that_changed_since_it_was_looked_at(
    action: Any, tmp_path: Path, way: Any, since_digest: bool, since_look: bool
) -> None:
    action._content = way(since_digest)
    answer = told()
    (file,) = answer["files"]
    digests = {"sha256": hashlib.sha256(CONTENT).hexdigest()}
    file.update(digests=digests, size=len(CONTENT), source={}, unread=None, consistent=not since_look)
    assert action._collected(Evidence(os.fsencode(tmp_path)), answer, FILTERS, 1000.0, 1002.0)["new_contents"] == 1
    (_host, recorded) = map(json.loads, (tmp_path / "hosts/web1.jsonl").read_text().splitlines())
    assert recorded["content"] == f"content/{digests['sha256']}" and recorded["unread"] is None
    assert recorded["consistent"] is (not since_digest and not since_look)


class OneByOne:
    """In place of `Content`: files of which all bytes are the same come in pieces, and note how far all of it is."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.lines: list[str] = []

    def stream(self, _wanted: Any, _take: Any) -> bool:
        return False

    def transfer(self, found: Any, receiver: Receiver) -> tuple[str, str, bool]:
        receiver.data(found["byte"] * found["size"])
        self.lines.append(self._progress.line())
        return "pieces", found["checksum"], False


def test_progress_is_that_of_all_contents_together(action: Any, tmp_path: Path) -> None:
    action._content = OneByOne(action._progress)
    answer = told()
    (like,) = answer["files"]
    answer["files"] = [
        {
            **like,
            "byte": byte,
            "size": size,
            "digests": {"sha256": hashlib.sha256(byte * size).hexdigest()},
            "source": {},
            "unread": None,
            "consistent": True,
        }
        for byte, size in [(b"a", 100), (b"b", 200), (b"a", 100), (b"c", 300)]
    ]
    action._fetched(Evidence(os.fsencode(tmp_path)), answer["files"])
    assert [line.partition(",")[0] for line in action._content.lines] == [
        "web1: 3 contents: 100.00 Bytes of 600.00 Bytes",
        "web1: 3 contents: 300.00 Bytes of 600.00 Bytes",
        "web1: 3 contents: 600.00 Bytes of 600.00 Bytes",
    ]
