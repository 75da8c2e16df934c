# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import stat
import sys
import time
from pathlib import Path

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils import _handle, _procfs
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._handle import (
    file_of,
    link_text,
    mount_id_of,
    open_directory,
    read_at,
    readable,
    reopen,
)
from ansible_collections.procfs.rescue.plugins.module_utils._model import File, Mount, Sighting
from unit.plugins import dead_fuse
from unit.plugins.holders import NOBODY, Held, Holders, in_child
from unit.plugins.samples import a_sighting


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    path = tmp_path / "tool"
    path.write_text("content")
    return path


def a_pin(path: Path | str) -> int:
    return os.open(path, os.O_PATH)


def test_files_of_proc_are_read_whole(tool: Path) -> None:
    assert read_at("/proc/self/maps").endswith(b"\n")
    folder = open_directory(str(tool.parent))
    assert read_at("tool", folder) == b"content"
    os.close(folder)


def test_a_file_is_no_directory(tool: Path) -> None:
    with pytest.raises(NotADirectoryError):
        open_directory(str(tool))


def test_file_of(tool: Path) -> None:
    os.truncate(tool, 1024 * 1024)
    os.chown(tool, NOBODY, 7)
    tool.chmod(0o4750)
    os.utime(tool, ns=(1, 1_700_000_000_123_456_789))
    os.link(tool, tool.parent / "other")
    result = tool.stat()
    pin = a_pin(tool)
    assert file_of(pin) == File(
        device=result.st_dev,
        inode=result.st_ino,
        mode=stat.S_IFREG | 0o4750,
        nlink=2,
        uid=NOBODY,
        gid=7,
        size=1024 * 1024,
        allocated=4096,
        mtime_ns=1_700_000_000_123_456_789,
    )
    os.close(pin)


def test_a_handle_survives_its_name_and_its_holder(tool: Path, holders: Holders) -> None:
    held = holders.open(tool)
    tool.unlink()
    pin = a_pin(held.link)
    holders.end(held.pid)
    fd = reopen(pin)
    assert (link_text(pin), os.read(fd, 99)) == (b"%s (deleted)" % os.fsencode(tool), b"content")
    os.close(pin)
    os.close(fd)


def test_mount_id(tool: Path) -> None:
    pin = a_pin(tool)
    number = mount_id_of(pin)
    os.close(pin)
    rows = _procfs.mounts(read_at("/proc/self/mountinfo"))
    assert number in rows
    assert os.fsencode(tool).startswith(rows[number].mount_point)


@pytest.fixture
def held(tool: Path, holders: Holders) -> Held:
    held = holders.open(tool)
    tool.unlink()
    return held


def sighted(held: Held, pinned: bool) -> Sighting:
    pin = a_pin(held.link)
    sighting = a_sighting(file=file_of(pin), link=held.link, handle=pin if pinned else None)
    if not pinned:
        os.close(pin)
    return sighting


# Gives its lease on the open file argv[1] up when it is asked to, or does not.
LEASE = """
import fcntl, signal, sys
fd, answer = int(sys.argv[1]), sys.argv[2]
def asked(number, frame):
    if answer == "gives up":
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
signal.signal(signal.SIGIO, asked)
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("ready", flush=True)
sys.stdin.read()
"""


def leased(tool: Path, holders: Holders, answer: str) -> Held:
    """A deleted file with a write lease, which a user may have on a file of his own."""
    fd = os.open(tool, os.O_RDWR)
    pid = holders.start(sys.executable, "-c", LEASE, str(fd), answer, keep=(fd,))
    os.close(fd)
    holders.expect(pid, b"ready\n")
    tool.unlink()
    return Held(pid, f"/proc/{pid}/fd/{fd}", fd)


def test_a_lease_that_its_holder_gives_up(tool: Path, holders: Holders) -> None:
    """As a file server does."""
    with readable(sighted(leased(tool, holders, "gives up"), pinned=False)) as fd:
        assert os.read(fd, 99) == b"content"


def test_a_lease_that_its_holder_keeps(tool: Path, holders: Holders) -> None:
    """The kernel would wait for 45 seconds; somebody may have a thousand of such files."""
    sighting = sighted(leased(tool, holders, "keeps"), pinned=False)
    started = time.monotonic()
    with pytest.raises(RescueError) as caught, readable(sighting):
        pass
    assert str(caught.value) == (
        f"A process has a lease on {tool} (deleted) and does not give it up. The kernel takes it away within a minute: "
        "try again."
    )
    assert time.monotonic() - started < 10


def test_a_file_system_that_died_since_the_scan(
    tmp_path: Path, holders: Holders, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not os.path.exists("/dev/fuse"):
        pytest.skip("no /dev/fuse")
    (tmp_path / "dead").mkdir()
    command = (sys.executable, dead_fuse.__file__, tmp_path / "dead")
    pid = holders.start("unshare", "--mount", "--propagation", "private", *command)
    holders.expect(pid, b"ready\n")
    links = [f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd")]
    (link,) = [link for link in links if dead_fuse.NAME in os.readlink(link)]
    monkeypatch.setattr(_handle, "_ANSWER_SECONDS", 0.2)
    sighting = a_sighting(link=link, mount=Mount(99, "0:99", b"/", b"/dead", "fuse"))

    def read() -> None:
        with readable(sighting):
            pass

    with pytest.raises(RescueError) as caught:
        in_child(read, seconds=10)
    assert str(caught.value) == f"{link} is on a file system that does not answer."


@pytest.mark.parametrize("pinned", [True, False])
def test_a_sighted_file_is_read(held: Held, pinned: bool) -> None:
    sighting = sighted(held, pinned)
    with readable(sighting) as fd:
        assert os.read(fd, 99) == b"content"
    if sighting.handle is not None:
        os.close(sighting.handle)


def test_a_pinned_file_is_read_when_its_holder_is_gone(held: Held, holders: Holders) -> None:
    sighting = sighted(held, pinned=True)
    holders.end(held.pid)
    with readable(sighting) as fd:
        assert os.read(fd, 99) == b"content"
    assert sighting.handle is not None
    os.close(sighting.handle)


def test_a_link_that_leads_to_another_file_by_now(held: Held) -> None:
    sighting = sighted(held, pinned=False)
    other = sighting._replace(file=sighting.file._replace(inode=sighting.file.inode + 1))
    with pytest.raises(RescueError) as caught, readable(other):
        pass
    assert str(caught.value) == f"{held.link} leads to another file by now, or its owner or mode changed."
    assert caught.value.reasons == ["holder_changed"]


@pytest.mark.parametrize("change", [lambda path: os.chown(path, NOBODY, 0), lambda path: os.chmod(path, 0o4755)])
@pytest.mark.parametrize("pinned", [True, False])
def test_an_owner_or_a_mode_that_changed(held: Held, pinned: bool, change: object) -> None:
    sighting = sighted(held, pinned)
    assert callable(change)
    change(held.link)
    with pytest.raises(RescueError), readable(sighting):
        pass
    if sighting.handle is not None:
        os.close(sighting.handle)


def test_a_link_that_is_gone_and_was_not_pinned(held: Held, holders: Holders) -> None:
    sighting = sighted(held, pinned=False)
    holders.end(held.pid)
    with pytest.raises(RescueError) as caught, readable(sighting):
        pass
    assert caught.value.reasons == ["holder_changed"]
