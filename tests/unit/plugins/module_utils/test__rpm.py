# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from pathlib import Path

import pytest

import rpms
from ansible_collections.procfs.rescue.plugins.module_utils import _rpm
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._model import Witness
from ansible_collections.procfs.rescue.plugins.module_utils._rpm import rpm_links, rpm_witnesses

PACKAGE = "rescue-tool-1-1.noarch"
DIRECTIVES = {
    "/opt/tool/conf": "%config(noreplace)",
    "/opt/tool/ghost": "%ghost",
    "/opt/tool/doc": "%doc",
    "/opt/tool/changes": "%verify(not md5)",
    "/opt/tool/setuid": "%attr(4755, root, root)",
}
LINKS = {"/opt/tool/link": "../a\ttab"}
FILES = {path: f"content of {path}" for path in ("/usr/bin/rescue-tool", *DIRECTIVES)}


def says(content: str, package: str = PACKAGE) -> Witness:
    return Witness("package", "sha256", hashlib.sha256(content.encode()).hexdigest(), package)


def install(database: Path, *options: str | Path) -> None:
    # Debian's rpm wants to be asked twice.
    command = ["rpm", "--dbpath", database, "--justdb", "--nodeps", "--force-debian", *options]
    subprocess.check_output(command, stderr=subprocess.STDOUT)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rpms.build(tmp_path_factory.mktemp("rpm"), "rescue-tool", "1", FILES, DIRECTIVES, LINKS)


@pytest.fixture
def database(tmp_path: Path, package: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A real one, in which the package is installed."""
    folder = tmp_path / "rpm"
    folder.mkdir()
    install(folder, "-i", package)
    monkeypatch.setattr(_rpm, "_DATABASES", (str(tmp_path / "none"), str(folder)))
    return folder


def silence() -> str:
    with pytest.raises(RescueError) as caught:
        rpm_witnesses([b"/usr/bin/rescue-tool"])
    return str(caught.value)


def test_what_must_have_the_content_of_its_package(database: Path) -> None:
    """Not what a host or a user may change."""
    asked = [*map(os.fsencode, FILES), b"/usr/bin/bash", b"/no/such", b"/opt/tool"]
    assert rpm_witnesses(asked) == {
        os.fsencode(path): says(FILES[path]) for path in ("/usr/bin/rescue-tool", "/opt/tool/doc", "/opt/tool/setuid")
    }


def test_where_its_symlinks_lead(database: Path) -> None:
    assert rpm_links([b"/opt/tool/link", b"/no/such"]) == {b"../a\ttab"}
    assert rpm_links([b"/opt/tool/conf", b"/opt/tool"]) == set()


@pytest.mark.parametrize("name", [b"/usr/bin/*", b"/usr/bin/rescue-tool/", b"/usr/bin/%{NAME}", b"--version", b"/\xff"])
def test_names_are_taken_literally(database: Path, name: bytes) -> None:
    assert rpm_witnesses([name]) == {}


def test_a_name_cannot_forge_an_answer(database: Path) -> None:
    assert rpm_witnesses([b"/x\nerror: the database is broken", b"/x\n1"]) == {}


def test_more_names_than_one_command_line_takes(database: Path) -> None:
    names = [b"/srv/%06d/" % number + b"x" * 200 for number in range(3000)]
    assert list(rpm_witnesses([*names, b"/usr/bin/rescue-tool"])) == [b"/usr/bin/rescue-tool"]


def test_of_two_versions_the_newer(database: Path, tmp_path: Path) -> None:
    """An update that was cut off leaves both in the database."""
    install(database, "-i", "--force", rpms.build(tmp_path, "rescue-tool", "2", {"/usr/bin/rescue-tool": "new"}))
    witness = says("new", "rescue-tool-2-1.noarch")
    assert rpm_witnesses([b"/usr/bin/rescue-tool"]) == {b"/usr/bin/rescue-tool": witness}


def test_what_another_package_replaced(database: Path, tmp_path: Path) -> None:
    other = rpms.build(tmp_path, "other", "1", {"/usr/bin/rescue-tool": "of another"})
    install(database, "-i", "--replacefiles", other)
    witness = says("of another", "other-1-1.noarch")
    assert rpm_witnesses([b"/usr/bin/rescue-tool"]) == {b"/usr/bin/rescue-tool": witness}


def test_without_a_database_nothing_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Debian has the tool perhaps, but no packages of it."""
    (tmp_path / "rpmdb.sqlite").touch()
    monkeypatch.setattr(_rpm, "_DATABASES", (str(tmp_path), "/no/such"))
    monkeypatch.setattr(_rpm, "_TOOLS", ("/bin/false",))
    assert rpm_witnesses([b"/usr/bin/rescue-tool"]) == {}
    assert os.listdir(tmp_path) == ["rpmdb.sqlite"]


def test_a_broken_database_is_no_answer(database: Path) -> None:
    (database / "rpmdb.sqlite").write_bytes(b"no database" * 1000)
    assert silence().startswith("rpm says: sqlite failure: ")


def test_without_rpm_itself(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_rpm, "_TOOLS", ("/no/such/rpm",))
    assert silence() == "/no/such/rpm is gone"


@pytest.fixture
def tool(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What stands for rpm, a script: nothing in it yet."""
    path = tmp_path / "tool"
    path.touch()
    path.chmod(0o755)
    monkeypatch.setattr(_rpm, "_TOOLS", (str(path),))
    return path


@pytest.mark.parametrize(("owner", "mode"), [(1000, 0o755), (0, 0o775), (0, 0o757)])
def test_a_tool_that_others_could_have_written_is_not_run(tool: Path, tmp_path: Path, owner: int, mode: int) -> None:
    tool.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    os.chown(tool, owner, owner)
    tool.chmod(mode)
    assert silence() == f"{tool} is not root's alone and is not run"
    assert not (tmp_path / "ran").exists()


def test_it_has_nothing_of_the_caller_s_environment(
    tool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RPM_CONFIGDIR", "/home/mallory")
    tool.write_text(f"#!/usr/bin/env -S sh -c 'env > {tmp_path}/environment; pwd >> {tmp_path}/environment'\n")
    assert rpm_witnesses([b"/usr/bin/rescue-tool"]) == {}
    told = set((tmp_path / "environment").read_text().splitlines()) - {"PWD=/"}
    assert told == {"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/nonexistent", "/"}


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("#!/no/such/interpreter\n", "{tool} cannot be run (No such file or directory)"),
        ("\x7fELF\n", "{tool} cannot be run (Exec format error)"),
        ("#!/bin/sh\nkill -SEGV $$\n", "rpm was ended by signal 11"),
        ("#!/bin/sh\necho 1; echo 'error: db5 error(-30973)' >&2\n", "rpm says: db5 error(-30973)"),
        ("#!/bin/sh\nexec sleep 1000\n", "rpm gave no answer within 1 seconds"),
        ("#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 0.1; done\n", "rpm gave no answer within 1 seconds"),
    ],
)
def test_a_tool_that_does_not_work(tool: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str) -> None:
    monkeypatch.setattr(_rpm, "_PATIENCE", 1.0)
    tool.write_text(script)
    started = time.monotonic()
    told = silence().replace(f": '{tool}'", "")  # Python 3.6 adds it to its reason
    assert told == reason.format(tool=tool)
    assert time.monotonic() - started < 10


def test_who_gives_no_answer_is_asked_to_end_first(tool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Berkeley database keeps the locks of who was killed."""
    monkeypatch.setattr(_rpm, "_PATIENCE", 0.5)
    tool.write_text(f"#!/bin/sh\ntrap 'touch {tmp_path}/unlocked; exit' TERM\nwhile :; do sleep 0.1; done\n")
    silence()
    assert (tmp_path / "unlocked").exists()


ROW = b"/usr/bin/bash\t%b\t4294967295\t%b\t%b\t%b\tbash-5.2-1.x86_64\n"


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (ROW % (b"0", b"0", b"aa", b"8"), [("sha256", "aa")]),
        (ROW % (b"0", b"0", b"aa", b"(none)"), [("md5", "aa")]),
        (ROW % (b"0", b"(none)", b"aa", b"10"), [("sha512", "aa")]),
        (ROW % (b"0", b"0", b"", b"8"), []),
        (ROW % (b"17", b"0", b"aa", b"8"), []),
        (ROW % (b"64", b"0", b"aa", b"8"), []),
        (ROW % (b"0", b"1", b"aa", b"8"), []),
        (b"/a\tb\t" + ROW % (b"0", b"0", b"aa", b"8"), []),
        (b"\n/usr/bin/bash\n\t\t\t\n" + b"\xff\t" * 6 + b"\n", []),
        (b"", []),
    ],
)
def test_rows(answer: bytes, found: list[tuple[str, str]]) -> None:
    records = [witness for name, witness in _rpm._records(answer) if name == b"/usr/bin/bash"]
    assert [(witness.algorithm, witness.digest) for witness in records] == found
