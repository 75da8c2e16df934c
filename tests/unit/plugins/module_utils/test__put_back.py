# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import shutil
import stat
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils import _publish, _put_back
from ansible_collections.procfs.rescue.plugins.module_utils._choose import Candidate
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._handle import file_of
from ansible_collections.procfs.rescue.plugins.module_utils._local_host import LOCAL
from ansible_collections.procfs.rescue.plugins.module_utils._model import Target, Terms, Witness
from ansible_collections.procfs.rescue.plugins.module_utils._put_back import Order, Outcome, put_back
from unit.plugins.holders import NOBODY
from unit.plugins.samples import a_deleted_file, a_folder, a_sighting

MIB = 1024 * 1024
CONTENT = b"the original"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PROVEN = Witness("package", "md5", hashlib.md5(CONTENT).hexdigest(), "tool")
DISOWNED = Witness("package", "md5", "0" * 32, "tool")

CAPABILITY = "security.capability"
NET_RAW = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)

PutBack = Callable[..., Outcome]


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    path = tmp_path / "tool"
    path.write_bytes(CONTENT)
    path.chmod(0o755)
    os.utime(path, ns=(1_600_000_000_000_000_001, 1_700_000_000_123_456_789))
    return path


@pytest.fixture
def source(tool: Path) -> Iterator[int]:
    """Of the tool, held open to the end of the test."""
    fd = os.open(tool, os.O_RDONLY)
    yield fd
    os.close(fd)


@pytest.fixture
def gone(tool: Path, source: int) -> Path:
    tool.unlink()
    return tool


@pytest.fixture
def steps() -> dict[str, Any]:
    """Steps that the host takes otherwise."""
    return {}


@pytest.fixture
def bring_back(tool: Path, source: int, steps: dict[str, Any]) -> PutBack:
    """Puts the tool back, where it was or where it is said; what is given besides are terms."""

    def call(
        to: Path | None = None,
        witness: Witness | None = None,
        reasons: list[str] | None = None,
        **terms: Any,
    ) -> Outcome:
        path = to or tool
        folder = a_folder(fd=os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY), path=os.fsencode(path.parent))
        target = Target(folder, os.fsencode(path.name))
        try:
            sighting = a_sighting(file=file_of(source), link="/proc/812/exe")
            candidate = Candidate(a_deleted_file(sighting), sighting, reasons or [])
            host = LOCAL._replace(**steps)
            return put_back(Order(candidate, source, target, to is None, witness, Terms(**terms), set(), host))
        finally:
            os.close(folder.fd)

    return call


def refusal(call: Callable[[], object]) -> tuple[str, list[str]]:
    with pytest.raises(RescueError) as caught:
        call()
    return str(caught.value), caught.value.reasons


def state(path: Path) -> tuple[int, int, bytes, int, int]:
    """All of a file that must not change."""
    result = path.stat()
    return result.st_ino, result.st_mode, path.read_bytes(), result.st_mtime_ns, result.st_ctime_ns


def test_the_whole_original_is_back(gone: Path, source: int, bring_back: PutBack) -> None:
    os.fchown(source, NOBODY, 7)
    os.fchmod(source, 0o640)
    outcome = bring_back()
    result = gone.stat()
    assert gone.read_bytes() == CONTENT
    assert (result.st_uid, result.st_gid, stat.S_IMODE(result.st_mode)) == (NOBODY, 7, 0o640)
    assert (result.st_mtime_ns, result.st_nlink) == (1_700_000_000_123_456_789, 1)
    assert outcome == Outcome(
        status="restored",
        method="copy",
        digests={"sha256": SHA256},
        content_by="none",
        size=len(CONTENT),
        intended=outcome.intended,
        metadata=outcome.intended,
        copies=1,
    )
    assert os.listdir(gone.parent) == ["tool"]


def test_a_second_time_changes_nothing(gone: Path, bring_back: PutBack) -> None:
    bring_back()
    before = state(gone)
    assert bring_back(force=True) == Outcome("present")
    assert state(gone) == before


def test_check_mode(gone: Path, bring_back: PutBack) -> None:
    outcome = bring_back(check_mode=True)
    assert (outcome.status, outcome.digests, outcome.copies) == ("restorable", {"sha256": SHA256}, 0)
    assert os.listdir(gone.parent) == []


def test_check_mode_tells_what_would_be_replaced(gone: Path, bring_back: PutBack) -> None:
    gone.write_text("newer")
    before = state(gone)
    outcome = bring_back(check_mode=True, force=True)
    assert outcome.status == "restorable"
    assert outcome.replaced is not None
    assert (outcome.replaced.size, outcome.replaced.sha256) == (5, hashlib.sha256(b"newer").hexdigest())
    assert state(gone) == before


def test_check_mode_says_the_same_as_the_run(gone: Path, source: int, bring_back: PutBack) -> None:
    os.fchmod(source, 0o4755)
    told, done = bring_back(check_mode=True), bring_back()
    for field in "digests", "content_by", "dropped", "accepted", "consistent":
        assert getattr(told, field) == getattr(done, field)
    assert told.metadata is not None
    assert done.metadata is not None
    assert told.metadata._replace(atime_ns=0) == done.metadata._replace(atime_ns=0)


def test_check_mode_refuses_what_the_run_would_refuse(gone: Path, bring_back: PutBack) -> None:
    assert refusal(lambda: bring_back(witness=DISOWNED, check_mode=True)) == refusal(
        lambda: bring_back(witness=DISOWNED)
    )


def test_check_mode_sees_that_nothing_can_be_written_there(
    gone: Path, bring_back: PutBack, mounted: Callable[..., Path]
) -> None:
    there = mounted("-t", "tmpfs", "-o", "ro", "none") / "copy"
    assert refusal(lambda: bring_back(there, check_mode=True)) == refusal(lambda: bring_back(there))


def test_check_mode_sees_that_there_is_no_room(
    gone: Path, source: int, bring_back: PutBack, mounted: Callable[..., Path]
) -> None:
    fill(source, 2 * MIB)
    there = mounted("-t", "tmpfs", "-o", "size=1m", "none") / "copy"
    assert refusal(lambda: bring_back(there, check_mode=True)) == refusal(lambda: bring_back(there))


def test_check_mode_knows_that_a_link_needs_no_room(
    source: int, bring_back: PutBack, mounted: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tool: Path
) -> None:
    tool.rename(tool.parent / "other")
    full = os.statvfs_result((4096, 4096, 9, 0, 0, 9, 0, 0, 0, 255))
    monkeypatch.setattr(os, "fstatvfs", lambda _fd: full)
    assert bring_back(check_mode=True).status == "restorable"
    assert bring_back().method == "link"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda path: os.utime(path, ns=(0, 1_700_000_000_123_456_789)), "present"),
        (lambda path: os.utime(path, ns=(0, 0)), "restored"),
        (lambda path: path.chmod(0o700), "restored"),
        (lambda path: os.chown(path, NOBODY, 0), "restored"),
        (lambda path: os.setxattr(path, "user.note", b"1"), "restored"),
        (lambda path: path.write_bytes(CONTENT + b"!"), "restored"),
    ],
)
def test_force_replaces_what_differs_in_any_way(
    gone: Path, bring_back: PutBack, change: Callable[[Path], None], status: str
) -> None:
    bring_back()
    change(gone)
    assert bring_back(force=True).status == status
    assert bring_back(force=True).status == "present"


def fill(source: int, size: int) -> None:
    with open(f"/proc/self/fd/{source}", "wb") as file:
        file.write(b"x" * size)


def test_a_file_that_came_back_meanwhile_is_not_touched(gone: Path, bring_back: PutBack) -> None:
    """Between the first look and this one a package was installed, or another run was faster."""
    gone.write_text("newer")
    before = state(gone)
    assert bring_back() == Outcome("present", came_back=True)
    assert state(gone) == before
    assert os.listdir(gone.parent) == ["tool"]


def test_a_linked_file_does_not_replace_one_that_came_back_either(tool: Path, bring_back: PutBack) -> None:
    tool.rename(tool.parent / "other")
    tool.write_text("newer")
    before = state(tool)
    assert bring_back() == Outcome("present", came_back=True)
    assert state(tool) == before


def test_a_file_that_comes_back_in_the_last_moment_is_not_touched(
    gone: Path, bring_back: PutBack, steps: dict[str, Any]
) -> None:
    real_apply = LOCAL.apply_metadata

    def come_back(*arguments: Any) -> None:
        real_apply(*arguments)
        gone.write_text("newer")

    steps["apply_metadata"] = come_back
    assert bring_back() == Outcome("present", came_back=True)
    assert gone.read_text() == "newer"
    assert os.listdir(gone.parent) == ["tool"]


def test_force_replaces(gone: Path, bring_back: PutBack) -> None:
    gone.write_text("newer")
    outcome = bring_back(force=True)
    assert gone.read_bytes() == CONTENT
    assert (outcome.status, outcome.backup) == ("restored", None)
    assert outcome.replaced is not None
    assert outcome.replaced.size == 5
    assert os.listdir(gone.parent) == ["tool"]


def test_force_with_a_backup(gone: Path, bring_back: PutBack) -> None:
    gone.write_text("newer")
    backup = bring_back(force=True, backup=True).backup
    assert (gone.parent / os.fsdecode(backup or b"")).read_text() == "newer"
    assert len(os.listdir(gone.parent)) == 2


def test_what_a_link_replaces_becomes_a_backup_too(tool: Path, bring_back: PutBack) -> None:
    tool.rename(tool.parent / "other")
    tool.write_text("newer")
    outcome = bring_back(force=True, backup=True)
    assert outcome.method == "link"
    assert (tool.parent / os.fsdecode(outcome.backup or b"")).read_text() == "newer"


@pytest.mark.parametrize("linked", [False, True])
def test_force_does_not_replace_what_somebody_put_there_meanwhile(
    tool: Path, bring_back: PutBack, steps: dict[str, Any], linked: bool
) -> None:
    """The package was installed again: what was looked at is gone."""

    def install() -> None:
        (tool.parent / "newest").write_text("newest")
        (tool.parent / "newest").rename(tool)

    if linked:
        tool.rename(tool.parent / "other")
        sizes = iter([False, True])  # of what has the name, and then of what is to get it
        steps["size"] = lambda fd: (install() if next(sizes, False) else None) or LOCAL.size(fd)
    else:
        tool.unlink()
        steps["copy_content"] = lambda *arguments: (install(), LOCAL.copy_content(*arguments))
    tool.write_text("newer")
    outcome = bring_back(force=True, backup=True)
    assert (outcome.status, outcome.came_back) == ("present", True)
    assert tool.read_text() == "newest"
    assert sorted(os.listdir(tool.parent)) == ["other"] * linked + ["tool"]


def test_force_replaces_what_somebody_writes_to(gone: Path, bring_back: PutBack, steps: dict[str, Any]) -> None:
    """As a service does that opened its log again."""
    gone.write_text("newer")

    def write() -> None:
        with open(gone, "a") as file:
            file.write("still")

    steps["copy_content"] = lambda *arguments: (write(), LOCAL.copy_content(*arguments))
    assert bring_back(force=True).status == "restored"
    assert gone.read_bytes() == CONTENT


def test_a_symlink_that_somebody_put_there_meanwhile_stays(
    gone: Path, bring_back: PutBack, steps: dict[str, Any]
) -> None:
    def exchange() -> None:
        gone.unlink()
        gone.symlink_to("elsewhere")

    steps["copy_content"] = lambda *arguments: (exchange(), LOCAL.copy_content(*arguments))
    gone.write_text("newer")
    assert bring_back(force=True).came_back
    assert os.readlink(gone) == "elsewhere"


def test_force_restores_where_what_was_there_went_meanwhile(
    gone: Path, bring_back: PutBack, steps: dict[str, Any]
) -> None:
    steps["copy_content"] = lambda *arguments: (gone.unlink(), LOCAL.copy_content(*arguments))
    gone.write_text("newer")
    assert bring_back(force=True, backup=True).status == "restored"
    assert gone.read_bytes() == CONTENT


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_backup_for_which_there_is_no_room(
    gone: Path, bring_back: PutBack, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """What is told is that the file is back: its name has it."""
    gone.write_text("newer")

    def fail(*_arguments: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(_publish, "settle_backups", fail)
    told, _reasons = refusal(lambda: bring_back(force=True, backup=True))
    assert told.startswith(f"{gone} is there again and complete, but what it replaced could not become a backup: ")
    assert gone.read_bytes() == CONTENT


def test_a_file_that_is_back_is_never_said_not_to_be(
    gone: Path, bring_back: PutBack, steps: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    steps["is_named"] = lambda *arguments: fail() if gone.exists() else LOCAL.is_named(*arguments)
    assert refusal(bring_back)[0].startswith(f"{gone} is there again and complete, but could not be looked at: ")


@pytest.mark.parametrize("linked", [False, True])
def test_nor_when_its_size_cannot_be_read_any_more(
    tool: Path, bring_back: PutBack, steps: dict[str, Any], linked: bool
) -> None:
    tool.rename(tool.parent / "other")
    if not linked:
        (tool.parent / "other").unlink()
    real = LOCAL.size

    def size(fd: int) -> int:
        if tool.exists():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(fd)

    steps["size"] = size
    assert bring_back().status == "restored"


def test_attributes_that_cannot_be_read_are_named(
    gone: Path, source: int, bring_back: PutBack, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.getxattr
    os.setxattr(source, "user.note", b"1")
    os.setxattr(source, "user.other", b"2")

    def fail(fd: int, name: str) -> bytes:
        if name == "user.note":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(fd, name)

    monkeypatch.setattr(os, "getxattr", fail)
    assert bring_back().not_kept == ("user.note",)
    monkeypatch.undo()
    assert os.listxattr(gone) == ["user.other"]


def test_a_list_of_attributes_that_cannot_be_read_is_named(
    gone: Path, bring_back: PutBack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_fd: int) -> list[str]:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "listxattr", fail)
    assert bring_back().not_kept == ("xattrs",)


def test_a_hard_link_where_one_is_left(tool: Path, source: int, bring_back: PutBack) -> None:
    tool.rename(tool.parent / "other")
    outcome = bring_back()
    assert (outcome.status, outcome.method, outcome.digests, outcome.copies) == ("restored", "link", {}, 0)
    assert tool.stat().st_ino == os.fstat(source).st_ino


def test_a_proven_hard_link_keeps_its_privileges(tool: Path, source: int, bring_back: PutBack) -> None:
    tool.rename(tool.parent / "other")
    os.fchmod(source, 0o4755)
    outcome = bring_back(witness=PROVEN)
    assert (outcome.method, outcome.content_by, outcome.dropped) == ("link", "package", ())
    assert outcome.digests == {"sha256": SHA256, "md5": PROVEN.digest}


def test_without_proof_a_privileged_file_is_copied_and_not_linked(tool: Path, source: int, bring_back: PutBack) -> None:
    tool.rename(tool.parent / "other")
    os.fchmod(source, 0o4755)
    outcome = bring_back()
    assert (outcome.method, outcome.dropped) == ("copy", ("setuid",))
    assert stat.S_IMODE(tool.stat().st_mode) == 0o755
    assert stat.S_IMODE((tool.parent / "other").stat().st_mode) == 0o4755


def test_a_copy_out_is_no_link(tool: Path, bring_back: PutBack) -> None:
    outcome = bring_back(tool.parent / "copy")
    assert outcome.method == "copy"
    assert (tool.parent / "copy").stat().st_ino != tool.stat().st_ino


def test_a_name_that_has_the_very_inode_again_is_left_alone(tool: Path, source: int, bring_back: PutBack) -> None:
    """A relink does not take " (deleted)" off the link of its holder: the file is there."""
    os.fchmod(source, 0o4755)
    before = state(tool)
    assert bring_back(force=True) == Outcome("present")
    assert state(tool) == before
    assert os.listdir(tool.parent) == ["tool"]


@pytest.mark.parametrize("number", range(3))
def test_privileges_come_back_only_with_proven_content(
    gone: Path, source: int, bring_back: PutBack, number: int
) -> None:
    os.fchmod(source, 0o6755)
    os.setxattr(source, CAPABILITY, NET_RAW)
    witness, reasons = [(None, []), (PROVEN, ["owner_differs"]), (PROVEN, [])][number]
    outcome = bring_back(witness=witness, reasons=reasons)
    proven = number == 2
    assert stat.S_IMODE(gone.stat().st_mode) == (0o6755 if proven else 0o755)
    assert (CAPABILITY in os.listxattr(gone)) == proven
    assert outcome.dropped == (() if proven else ("setuid", "setgid", "capabilities"))
    assert outcome.accepted == tuple(reasons)
    assert outcome.content_by == ("package" if witness else "none")


def test_a_version_that_the_packages_disown(gone: Path, bring_back: PutBack) -> None:
    assert refusal(lambda: bring_back(witness=DISOWNED)) == (
        "Refused to restore from /proc/812/exe: the package database names other content for this path (superseded).",
        ["superseded"],
    )
    assert os.listdir(gone.parent) == []


def test_a_disowned_version_may_be_accepted_without_privileges(gone: Path, source: int, bring_back: PutBack) -> None:
    os.fchmod(source, 0o4755)
    outcome = bring_back(witness=DISOWNED, accept=["superseded"])
    assert (outcome.accepted, outcome.dropped, outcome.content_by) == (("superseded",), ("setuid",), "none")
    assert stat.S_IMODE(gone.stat().st_mode) == 0o755


@pytest.mark.parametrize("linked", [False, True])
def test_a_wrong_checksum_cannot_be_accepted(tool: Path, bring_back: PutBack, linked: bool) -> None:
    tool.rename(tool.parent / "other")
    if not linked:
        (tool.parent / "other").unlink()
    wrong = Witness("checksum", "sha256", "0" * 64, "")
    assert refusal(lambda: bring_back(witness=wrong, accept=["checksum_differs", "superseded"])) == (
        "Refused to restore from /proc/812/exe: its content does not have the wanted checksum (checksum_differs).",
        ["checksum_differs"],
    )
    assert not tool.exists()


def test_a_copy_of_unproven_content_is_private(tool: Path, source: int, bring_back: PutBack, tmp_path: Path) -> None:
    os.fchown(source, NOBODY, NOBODY)
    os.fchmod(source, 0o6777)
    os.setxattr(source, CAPABILITY, NET_RAW)
    outcome = bring_back(tmp_path / "copy")
    result = (tmp_path / "copy").stat()
    assert (result.st_uid, result.st_gid, stat.S_IMODE(result.st_mode)) == (0, 0, 0o600)
    assert os.listxattr(tmp_path / "copy") == []
    assert result.st_mtime_ns == 1_700_000_000_123_456_789
    assert outcome.dropped == ()


def test_a_copy_of_proven_content_is_the_original(tool: Path, source: int, bring_back: PutBack, tmp_path: Path) -> None:
    os.fchown(source, NOBODY, NOBODY)
    os.fchmod(source, 0o4755)
    bring_back(tmp_path / "copy", witness=PROVEN)
    result = (tmp_path / "copy").stat()
    assert (result.st_uid, stat.S_IMODE(result.st_mode)) == (NOBODY, 0o4755)


def test_a_copy_with_owner_and_mode_that_were_given(tool: Path, bring_back: PutBack, tmp_path: Path) -> None:
    bring_back(tmp_path / "copy", owner=NOBODY, group=7, mode=0o644)
    result = (tmp_path / "copy").stat()
    assert (result.st_uid, result.st_gid, stat.S_IMODE(result.st_mode)) == (NOBODY, 7, 0o644)


def test_owner_and_mode_are_for_copies_only(gone: Path, bring_back: PutBack) -> None:
    bring_back(owner=NOBODY, group=7, mode=0o600)
    result = gone.stat()
    assert (result.st_uid, result.st_gid, stat.S_IMODE(result.st_mode)) == (0, 0, 0o755)


def flicker(steps: dict[str, Any], source: int, times: int) -> list[int]:
    """The source changes the moment it was copied, so many times."""
    copies: list[int] = []
    real_copy = LOCAL.copy_content

    def copy(source: int, target: int) -> None:
        real_copy(source, target)
        copies.append(source)
        if len(copies) <= times:
            with open(f"/proc/self/fd/{source}", "r+b") as file:
                file.write(b"%d" % len(copies))

    steps["copy_content"] = copy
    return copies


def test_a_file_that_changed_meanwhile_is_copied_again(
    gone: Path, source: int, bring_back: PutBack, steps: dict[str, Any]
) -> None:
    copies = flicker(steps, source, 2)
    outcome = bring_back(max_copies=3)
    assert (outcome.consistent, outcome.copies, len(copies)) == (True, 3, 3)
    assert gone.read_bytes() == b"2" + CONTENT[1:]
    assert outcome.digests["sha256"] == hashlib.sha256(gone.read_bytes()).hexdigest()


def test_what_is_written_and_changed_meanwhile_has_its_own_times_and_mode(
    gone: Path, source: int, bring_back: PutBack, steps: dict[str, Any]
) -> None:
    def copy(*arguments: int) -> None:
        LOCAL.copy_content(*arguments)
        os.utime(source, ns=(1, 1_800_000_000_000_000_001))
        os.fchmod(source, 0o600)

    steps["copy_content"] = copy
    bring_back()
    result = gone.stat()
    assert (result.st_mtime_ns, stat.S_IMODE(result.st_mode)) == (1_800_000_000_000_000_001, 0o600)


def test_a_file_that_never_rests_is_told(gone: Path, source: int, bring_back: PutBack, steps: dict[str, Any]) -> None:
    flicker(steps, source, 9)
    outcome = bring_back(max_copies=2)
    assert (outcome.status, outcome.consistent, outcome.copies) == ("restored", False, 2)
    assert outcome.digests["sha256"] == hashlib.sha256(gone.read_bytes()).hexdigest()


def test_content_that_is_proven_is_not_called_inconsistent(
    gone: Path, source: int, bring_back: PutBack, steps: dict[str, Any]
) -> None:
    flicker(steps, source, 9)
    outcome = bring_back(max_copies=3, witness=PROVEN)
    assert (outcome.content_by, outcome.consistent, outcome.copies) == ("package", True, 1)


def test_the_room_that_the_first_copy_took_is_there_for_the_second(
    gone: Path, source: int, bring_back: PutBack, mounted: Callable[..., Path], steps: dict[str, Any]
) -> None:
    fill(source, 2 * MIB)
    flicker(steps, source, 1)
    there = mounted("-t", "tmpfs", "-o", "size=3m", "none") / "copy"
    assert bring_back(there, max_copies=2).copies == 2


def test_a_disk_without_room_is_not_filled(
    gone: Path, source: int, bring_back: PutBack, mounted: Callable[..., Path]
) -> None:
    fill(source, 2 * MIB)
    there = mounted("-t", "tmpfs", "-o", "size=1m", "none") / "copy"
    assert refusal(lambda: bring_back(there)) == (
        (
            f"{there} needs {2 * MIB} bytes, its file system has {MIB} free: free some, or restore to another "
            "file system with dest."
        ),
        [],
    )
    assert os.listdir(there.parent) == []


def test_holes_need_no_room(gone: Path, source: int, bring_back: PutBack, mounted: Callable[..., Path]) -> None:
    os.truncate(f"/proc/self/fd/{source}", 64 * MIB)
    there = mounted("-t", "tmpfs", "-o", "size=1m", "none") / "copy"
    assert bring_back(there).status == "restored"
    assert (there.stat().st_size, there.stat().st_blocks) == (64 * MIB, 8)


def test_a_disk_that_gets_full_meanwhile(
    gone: Path, source: int, bring_back: PutBack, mounted: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(source, 2 * MIB)
    says_nothing = os.statvfs_result((4096, 4096, 0, 0, 0, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "fstatvfs", lambda _fd: says_nothing)
    there = mounted("-t", "tmpfs", "-o", "size=1m", "none") / "copy"
    assert refusal(lambda: bring_back(there)) == (
        (
            f"{there} could not be written: there is no space left: free some (or inodes: df -i), or restore to "
            "another file system with dest."
        ),
        [],
    )
    assert os.listdir(there.parent) == []


def test_a_disk_without_inodes(gone: Path, source: int, bring_back: PutBack, mounted: Callable[..., Path]) -> None:
    there = mounted("-t", "tmpfs", "-o", "size=1m,nr_inodes=2", "none") / "copy"
    (there.parent / "last").touch()
    assert refusal(lambda: bring_back(there)) == (
        (
            f"{there} could not be written: it needs 4096 bytes, its file system has {MIB} free, but there is no space "
            "left: free some (or inodes: df -i), or restore to another file system with dest."
        ),
        [],
    )
    assert os.listdir(there.parent) == ["last"]


def test_a_read_only_file_system(gone: Path, bring_back: PutBack, mounted: Callable[..., Path]) -> None:
    there = mounted("-t", "tmpfs", "-o", "ro", "none") / "copy"
    assert refusal(lambda: bring_back(there)) == (
        (
            f"{there} could not be written: it is on a read-only file system: remount it writable, or restore "
            "elsewhere with dest."
        ),
        [],
    )


def test_an_immutable_folder(gone: Path, bring_back: PutBack) -> None:
    if subprocess.run(["chattr", "+i", gone.parent], check=False).returncode:
        pytest.skip("the file system of this test knows no immutable folders")
    try:
        assert refusal(bring_back) == (
            (
                f"{gone} could not be written: it was not permitted: run as root (become), and look for an immutable "
                "folder (lsattr -d)."
            ),
            [],
        )
    finally:
        subprocess.run(["chattr", "-i", gone.parent], check=True)


def test_what_a_file_system_does_not_take_is_named(
    gone: Path, source: int, bring_back: PutBack, mounted: Callable[..., Path]
) -> None:
    os.setxattr(source, "user.note", b"1")
    there = mounted("-t", "ramfs", "none") / "copy"
    assert bring_back(there, witness=PROVEN).not_kept == ("user.note",)


def test_what_it_did_not_take_is_no_reason_to_do_it_again(
    gone: Path, source: int, bring_back: PutBack, mounted: Callable[..., Path]
) -> None:
    os.setxattr(source, "user.note", b"1")
    there = mounted("-t", "ramfs", "none") / "copy"
    bring_back(there, witness=PROVEN, force=True)
    before = state(there)
    assert bring_back(there, witness=PROVEN, force=True, check_mode=True) == Outcome("present")
    assert bring_back(there, witness=PROVEN, force=True) == Outcome("present")
    assert state(there) == before


@pytest.mark.usefixtures("no_tmpfile")
def test_check_mode_makes_nothing_that_has_a_name(
    gone: Path, source: int, bring_back: PutBack, mounted: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even to see which metadata the file system takes; then it says that the file would be replaced."""
    os.setxattr(source, "user.note", b"1")
    there = mounted("-t", "ramfs", "none") / "copy"
    bring_back(there, witness=PROVEN)
    made: list[object] = []
    monkeypatch.setattr(os, "mkdir", lambda *arguments, **_options: made.append(arguments))
    assert bring_back(there, witness=PROVEN, force=True, check_mode=True).status == "restorable"
    assert made == []
    monkeypatch.undo()
    assert bring_back(there, witness=PROVEN, force=True) == Outcome("present")


@pytest.mark.parametrize("linked", [True, False])
@pytest.mark.parametrize("force", [True, False])
def test_a_name_that_may_not_survive_a_crash_is_told_as_it_is(
    tool: Path, source: int, bring_back: PutBack, monkeypatch: pytest.MonkeyPatch, linked: bool, force: bool
) -> None:
    """The disk failed in the last moment: the file is there all the same."""
    if linked:
        os.link(tool, tool.parent / "other")
    tool.unlink()
    if force:
        tool.write_bytes(b"another")
    real_fsync = os.fsync

    def fail(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real_fsync(fd)

    monkeypatch.setattr(os, "fsync", fail)
    assert refusal(lambda: bring_back(force=force)) == (
        (
            f"{tool} is there again and complete, but its folder could not be written to the disk: the device failed "
            "(input/output error): see the kernel's log, restore to another disk with dest. Until sync(1) succeeds its "
            "name may be lost when the host goes down."
        ),
        [],
    )
    assert tool.read_bytes() == CONTENT


def test_a_file_system_that_does_not_sync_folders(
    gone: Path, bring_back: PutBack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", fail)
    assert bring_back().status == "restored"


@pytest.mark.usefixtures("no_tmpfile")
def test_without_nameless_files_the_same(gone: Path, bring_back: PutBack) -> None:
    assert bring_back().status == "restored"
    assert gone.read_bytes() == CONTENT
    assert os.listdir(gone.parent) == ["tool"]


@pytest.mark.usefixtures("no_tmpfile")
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_fault_leaves_no_debris(gone: Path, bring_back: PutBack, steps: dict[str, Any], code: int) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError(code, os.strerror(code))

    steps["copy_content"] = fail
    refusal(bring_back)
    assert os.listdir(gone.parent) == []


KILLED = {"open", "ftruncate", "fchown", "fchmod", "utime", "fsync", "link", "unlink", "rename"}


@pytest.mark.parametrize("nameless", [True, False])
@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("call", sorted(KILLED))
def test_killed_at_any_call_the_name_is_free_or_complete(
    request: pytest.FixtureRequest,
    gone: Path,
    bring_back: PutBack,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    force: bool,
    nameless: bool,
) -> None:
    """Before and after each call that changes something; and the next run takes away what was left."""
    if not nameless:
        request.getfixturevalue("no_tmpfile")
    real = getattr(os, call)
    for moment in range(1, 8):
        for before in True, False:
            left = itertools.count(moment, -1)

            def kill(*arguments: Any, before: bool = before, left: Iterator[int] = left, **options: Any) -> Any:
                now = next(left) == 1
                if now and before:
                    os.kill(os.getpid(), 9)
                answer = real(*arguments, **options)
                if now:
                    os.kill(os.getpid(), 9)
                return answer

            if force:
                gone.write_text("older")
            child = os.fork()
            if child == 0:
                try:
                    monkeypatch.setattr(os, call, kill)
                    bring_back(force=force)
                finally:
                    os._exit(0)
            os.waitpid(child, 0)
            allowed = [CONTENT, b"older"] if force else [CONTENT]
            assert not gone.exists() or gone.read_bytes() in allowed
            assert force <= gone.exists()
            if nameless and not force:
                assert os.listdir(gone.parent) in ([], ["tool"])
            assert bring_back(force=force).status in ("restored", "present")
            assert gone.read_bytes() == CONTENT
            assert os.listdir(gone.parent) == ["tool"]
            gone.unlink()


def test_a_file_that_is_exchanged_the_moment_it_is_back(gone: Path, bring_back: PutBack, steps: dict[str, Any]) -> None:
    real_publish = LOCAL.publish

    def exchange(*arguments: Any) -> None:
        real_publish(*arguments)
        gone.unlink()
        gone.write_text("evil")

    steps["publish"] = exchange
    assert refusal(bring_back) == (f"{gone} was taken away or replaced the moment it came back.", [])


@pytest.mark.parametrize("how", ["with O_TMPFILE", "no_tmpfile"])
def test_a_folder_that_is_removed_meanwhile(
    gone: Path, bring_back: PutBack, steps: dict[str, Any], how: str, request: pytest.FixtureRequest
) -> None:
    if how == "no_tmpfile":
        request.getfixturevalue(how)
    real_apply = LOCAL.apply_metadata

    def remove(*arguments: Any) -> None:
        real_apply(*arguments)
        shutil.rmtree(gone.parent)

    steps["apply_metadata"] = remove
    assert refusal(bring_back) == (
        (
            f"{gone} could not be written: the folder was removed meanwhile: make it again, or restore elsewhere with "
            "dest."
        ),
        [],
    )
    gone.parent.mkdir()


def test_existing(tool: Path, folder: int) -> None:
    sighting = a_sighting()
    candidate = Candidate(a_deleted_file(sighting), sighting, [])
    order = Order(candidate, -1, Target(a_folder(fd=folder), b"tool"), True, None, Terms(), set(), LOCAL)
    with ExitStack() as opened:
        existing = _put_back._existing(order, opened)
        assert existing is not None
        assert (existing.size, existing.sha256, existing.metadata.mode) == (len(CONTENT), SHA256, 0o755)
        assert _put_back._is_still_there(order, existing)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(existing.fd)
        assert _put_back._existing(order._replace(target=order.target._replace(name=b"nothing")), opened) is None


def test_what_is_replaced_on_a_server_is_not_there_any_more(tool: Path, folder: int) -> None:
    sighting = a_sighting()

    def stale(*_arguments: object) -> bool:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    candidate = Candidate(a_deleted_file(sighting), sighting, [])
    order = Order(candidate, -1, Target(a_folder(fd=folder), b"tool"), True, None, Terms(), set(), LOCAL)
    with ExitStack() as opened:
        existing = _put_back._existing(order, opened)
        assert existing is not None
        assert not _put_back._is_still_there(order._replace(host=LOCAL._replace(is_named=stale)), existing)
