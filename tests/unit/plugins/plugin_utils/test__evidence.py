# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The folder of evidence: nothing in it is replaced, and nothing is believed by its name."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import BinaryIO

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.plugin_utils import _evidence
from ansible_collections.procfs.rescue.plugins.plugin_utils._evidence import Evidence
from ansible_collections.procfs.rescue.plugins.plugin_utils._local_file import BusyError, DifferentError
from ansible_collections.procfs.rescue.plugins.plugin_utils._progress import Progress

CONTENT = b"evidence"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    return Evidence(os.fsencode(tmp_path))


def write(file: BinaryIO) -> None:
    file.write(CONTENT)


def test_once_and_again(evidence: Evidence, tmp_path: Path) -> None:
    assert not evidence.has(SHA256, len(CONTENT))
    assert evidence.content(SHA256, len(CONTENT), write)
    assert not evidence.content(SHA256, len(CONTENT), write)
    assert [path.name for path in (tmp_path / "content").iterdir()] == [SHA256]
    with pytest.raises(DifferentError), evidence.written(SHA256, len(CONTENT)):
        pass
    assert [path.name for path in (tmp_path / "content").iterdir()] == [SHA256]


@pytest.mark.parametrize("digest", ["../../etc/cron.d/x", "", "A" * 64, SHA256 + "\n", SHA256[1:], None, 7])
def test_what_is_no_digest_becomes_no_name(evidence: Evidence, tmp_path: Path, digest: str) -> None:
    with pytest.raises(RescueError, match="something else than a digest"):
        evidence.content(digest, len(CONTENT), write)
    with pytest.raises(RescueError, match="something else than a digest"):
        evidence.has(digest, len(CONTENT))
    assert list(tmp_path.iterdir()) == []


def test_nobody_waits_for_ever(evidence: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_evidence, "_PATIENCE", 0.5)
    with evidence.written(SHA256, len(CONTENT)) as file:
        with pytest.raises(BusyError):
            evidence.content(SHA256, len(CONTENT), write)
        file.write(CONTENT)
    assert evidence.has(SHA256, len(CONTENT))


def test_the_seal(evidence: Evidence, tmp_path: Path) -> None:
    with pytest.raises(RescueError, match="Nothing was collected"):
        evidence.check_unsealed()
    evidence.content(SHA256, len(CONTENT), write)
    evidence.manifest("web\n1", [{"record": "host"}])
    evidence.record({"hosts": {"web2": {"state": "unreachable"}}})
    evidence.check_unsealed()
    assert evidence.seal(Progress("h1", print)) == 3
    assert json.loads((tmp_path / "run.json").read_text())["hosts"]["web2"]["state"] == "unreachable"
    subprocess.run(["sha256sum", "--strict", "--quiet", "-c", "SHA256SUMS"], cwd=tmp_path, check=True)
    with pytest.raises(RescueError, match="was sealed by an earlier run"):
        evidence.check_unsealed()


def test_a_content_that_is_not_what_its_name_says(evidence: Evidence, tmp_path: Path) -> None:
    evidence.manifest("web1", [])
    (tmp_path / "content").mkdir()
    (tmp_path / "content" / SHA256).write_bytes(CONTENT[::-1])
    assert evidence.has(SHA256, len(CONTENT)), "nobody reads it before"
    with pytest.raises(RescueError, match=f"content/{SHA256} .* is not what its name"):
        evidence.seal(Progress("h1", print))
    assert not (tmp_path / "SHA256SUMS").exists()


@pytest.mark.parametrize("host", ["web1", "a%2Fb"])
def test_no_manifest_is_replaced(evidence: Evidence, tmp_path: Path, host: str) -> None:
    name = evidence.manifest(host, [{"record": "host"}])
    before = (tmp_path / name).read_bytes()
    with pytest.raises(RescueError, match="is not replaced"):
        evidence.manifest(host.replace("%2F", "/"), [])
    assert [path.read_bytes() for path in (tmp_path / "hosts").iterdir()] == [before]


def test_an_earlier_run_is_not_replaced(evidence: Evidence) -> None:
    evidence.check("web1")
    evidence.manifest("web1", [])
    evidence.check("web2")
    with pytest.raises(RescueError, match="There is a manifest of web1"):
        evidence.check("web1")
    evidence.seal(Progress("h1", print))
    with pytest.raises(RescueError, match="It was sealed"):
        evidence.check("web2")
