# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import errno
import hashlib
import os
import shutil
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils import _offer_task
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._keep_open import keep_open
from ansible_collections.procfs.rescue.plugins.module_utils._local_host import LOCAL
from ansible_collections.procfs.rescue.plugins.module_utils._model import NORMAL, Installed, Recorded, Terms, Witness
from ansible_collections.procfs.rescue.plugins.module_utils._needs import Need, need_fields, need_from
from ansible_collections.procfs.rescue.plugins.module_utils._offer import Offer, offer_alive, offer_fields, offer_from
from ansible_collections.procfs.rescue.plugins.module_utils._offer_task import offered
from ansible_collections.procfs.rescue.plugins.module_utils._restore import restore
from ansible_collections.procfs.rescue.plugins.module_utils._start import does_start
from ansible_collections.procfs.rescue.plugins.module_utils._supply import Delivery, new_draft, supply
from ansible_collections.procfs.rescue.plugins.module_utils._supply_task import run
from ansible_collections.procfs.rescue.plugins.module_utils._task import Setting
from unit.plugins.holders import NOBODY, Holders, wait_until

ABC = Witness("package", "md5", "900150983cd24fb0d6963f7d28e17f72", "tool")
TOOL = Installed("tool", "1.0", "all", "dpkg")
OFFER = Offer(3, 0o755, "root", "root", 10**18, {}, None, "/usr/bin/tool")


@pytest.fixture
def folder() -> Any:
    """Below folders of root's alone."""
    path = Path(tempfile.mkdtemp(prefix="supply-", dir="/root"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def knowing(path: Path, recorded: Recorded | None = None, witness: Witness | None = ABC, **more: Any) -> Host:
    """A host whose package database knows the path."""
    found = {} if witness is None else {os.fsencode(path): witness}
    package = {os.fsencode(path): TOOL}
    return LOCAL._replace(
        witnesses=lambda _paths: found,
        installed=lambda _paths, _packages=None: package,
        recorded=lambda _path: recorded,
        **more,
    )


def delivered(
    path: Path,
    host: Host,
    content: bytes = b"abc",
    offer: Offer = OFFER,
    parents: bool = False,
    try_start: bool = False,
    **need: Any,
) -> dict[str, Any]:
    needed = Need(os.fsencode(path), ABC, TOOL, "debian 12")._replace(**need)

    def draft_in(at: int) -> Any:
        return new_draft(host, at)

    given = Delivery(needed, offer, lambda: [content], "peer web3", draft_in)
    return supply(given, Terms(parents=parents, try_start=try_start), lambda _line: None, host)


def test_what_a_peer_gave(folder: Path) -> None:
    path = folder / "tool"
    result = delivered(path, knowing(path))
    assert (result["status"], result["content_by"], result["metadata_by"]) == ("restored", "package", "peer web3")
    assert result["source"] == {"peer": "web3", "link": "/usr/bin/tool"}
    found = path.stat()
    assert (path.read_bytes(), found.st_mode & 0o7777, found.st_mtime_ns) == (b"abc", 0o755, 10**18)
    assert delivered(path, knowing(path))["status"] == "present"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"content": b"abd"}, "superseded"),
        ({"content": b""}, "superseded"),
        ({"offer": OFFER._replace(mode=0o777)}, "owner_differs"),
        ({"offer": OFFER._replace(mode=0o775)}, "owner_differs"),
        ({"offer": OFFER._replace(owner="nobody")}, "owner_differs"),
    ],
)
def test_what_is_refused(folder: Path, change: dict[str, Any], reason: str) -> None:
    path = folder / "tool"
    result = delivered(path, knowing(path), **change)
    assert result["status"] == "failed" and result["refused"] == [reason]
    assert list(folder.iterdir()) == [] and result["needs"]["package"] == "tool"


def test_the_host_s_own_digest_counts_and_not_that_of_the_need(folder: Path) -> None:
    path = folder / "tool"
    other = ABC._replace(digest="0" * 32)
    assert delivered(path, knowing(path, witness=other))["refused"] == ["superseded"]
    assert delivered(path, knowing(path, witness=None))["refused"] == ["no_digest"]
    by_user = Witness("checksum", "md5", ABC.digest, "")
    assert delivered(path, knowing(path, witness=None), witness=by_user)["content_by"] == "checksum"


def test_a_record_of_the_host_goes_before_the_peer(folder: Path) -> None:
    path = folder / "tool"
    recorded = Recorded(0o4750, "root", "daemon", "rpm")
    result = delivered(path, knowing(path, recorded), offer=OFFER._replace(mode=0o777, owner="nobody"))
    assert (result["status"], result["metadata_by"], result["mode"]) == ("restored", "rpm", "4750")
    assert (path.stat().st_mode & 0o7777, path.stat().st_gid) == (0o4750, 1)


TOKEN = "0123456789abcdef"


def asked(host: Host, *files: dict[str, Any], sources: Sequence[str] = ("peer",)) -> dict[str, Any]:
    """What the task answers; no descriptor stays open."""
    before = os.listdir("/proc/self/fd")
    params = {"files": list(files), "sources": sources, "accept": [], "parents": True, "try_start": True}
    answer = run(params, Setting(False, False, lambda _line: None, host))
    assert len(os.listdir("/proc/self/fd")) == len(before)
    return answer


def pieces(path: Path, host: Host, size: int = 3) -> dict[str, Any]:
    """Stages content in two pieces; the answer to the one that failed, or to the last."""
    answer: dict[str, Any] = {}
    for offset, content in ((0, b"a"), (1, b"bc")):
        piece = base64.b64encode(content).decode()
        staged = {"path": str(path), "token": TOKEN, "offset": offset, "size": size, "content": piece}
        answer = asked(host, {"stage": staged})
        if answer.get("failed"):
            break
    return answer


def large(path: Path, offer: Offer = OFFER) -> dict[str, Any]:
    need = Need(os.fsencode(path), ABC, TOOL, "debian 12")
    return dict(need_fields(need), offer=offer_fields(offer), by="peer web3", token=TOKEN)


@pytest.mark.parametrize("at", ["tool", "new/newer/tool"])
def test_what_came_in_pieces(folder: Path, at: str) -> None:
    """Its folder is not there before the file is, and room is wanted only for what has not come yet."""
    path = folder / at
    room = [10]
    host = knowing(path, room=lambda fd: LOCAL.room(fd)._replace(free=room[0]))
    assert pieces(path, host) == {"changed": False, "files": []}
    (hidden,) = folder.iterdir()
    assert hidden.name == f".procfs-rescue.{TOKEN}" and hidden.stat().st_mode & 0o777 == 0o700
    room[0] = 0
    (result,) = asked(host, large(path))["files"]
    assert result["status"] == "restored" and path.read_bytes() == b"abc", result["msg"]
    assert list(folder.rglob(".procfs-rescue*")) == [] and path.stat().st_nlink == 1


def test_a_large_program_is_started(folder: Path) -> None:
    """Nobody has it open to write any more."""
    path = folder / "tool"
    content = Path("/usr/bin/true").read_bytes()
    digest = hashlib.md5(content).hexdigest()
    host = knowing(path, witness=ABC._replace(digest=digest))
    staged = {"path": str(path), "token": TOKEN, "offset": 0, "size": len(content)}
    assert asked(host, {"stage": dict(staged, content=base64.b64encode(content).decode())})["files"] == []
    (result,) = asked(host, large(path))["files"]
    assert (result["status"], result["starts"]) == ("restored", True)


@pytest.mark.parametrize(
    "offer",
    [OFFER._replace(mode=0o777), OFFER._replace(owner="nobody there"), OFFER._replace(mode=0o775), OFFER],
)
@pytest.mark.parametrize("at", ["tool", "new/tool"])
def test_of_large_content_that_is_refused_nothing_stays(folder: Path, at: str, offer: Offer) -> None:
    path = folder / at
    host = knowing(path, witness=ABC._replace(digest="0" * 32))
    pieces(path, host)
    (result,) = asked(host, large(path, offer))["files"]
    assert result["status"] == "failed" and list(folder.iterdir()) == []


def test_of_large_content_that_another_source_had_nothing_stays(folder: Path, holders: Holders) -> None:
    path = folder / "tool"
    host = knowing(path)
    path.write_bytes(b"abc")
    holders.open(path, os.O_RDONLY)
    path.unlink()
    pieces(path, host)
    (result,) = asked(host, large(path), sources=["process", "peer"])["files"]
    assert result["source"]["via"] == "fd" and list(folder.iterdir()) == [path]


@pytest.mark.parametrize("wrong", ["room", "read only", "in the middle"])
def test_of_large_content_that_does_not_fit_nothing_stays(folder: Path, wrong: str) -> None:
    path = folder / "tool"
    host = knowing(path)
    if wrong == "room":
        host = host._replace(room=lambda fd: LOCAL.room(fd)._replace(free=2))
    elif wrong == "read only":
        host = host._replace(room=lambda fd: LOCAL.room(fd)._replace(read_only=True))
    else:

        def write(content: Any, fd: int) -> int:
            if LOCAL.size(fd):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return LOCAL.write_content(content, fd)

        host = host._replace(write_content=write)
    assert pieces(path, host)["failed"] and list(folder.iterdir()) == []


def acl_of(owner: int, user: int, group: int, mask: int, others: int) -> bytes:
    """tag, permissions, id (linux/posix_acl_xattr.h)"""
    nobody = 2**32 - 1
    entries = ((1, owner, nobody), (2, user, NOBODY), (4, group, nobody), (0x10, mask, nobody), (0x20, others, nobody))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


READABLE = acl_of(7, 5, 5, 5, 5)

SPOILT = [
    OFFER._replace(mode=0o775),
    OFFER._replace(owner="nobody there"),
    OFFER._replace(mode=0o700, xattrs={"system.posix_acl_access": READABLE, "user.note": b"spoilt"}),
]


@pytest.mark.parametrize("is_large", [False, True])
@pytest.mark.parametrize("sources", [["peer", "package"], ["package", "peer"]])
def test_all_peers_are_tried_before_the_next_source(folder: Path, is_large: bool, sources: list[str]) -> None:
    """And nothing of what was refused stays, not even where it had been given to what waits for its name."""
    path = folder / "tool"
    host = knowing(path)
    if is_large:
        assert pieces(path, host)["files"] == []
    file = large(path, SPOILT[0])
    others = [*SPOILT[1:], OFFER, OFFER._replace(mode=0o711)]
    file["others"] = [{"offer": offer_fields(other), "by": f"peer web{at}"} for at, other in enumerate(others, 4)]
    if not is_large:
        del file["token"]
        file["content"] = base64.b64encode(zlib.compress(b"abc")).decode()
    (result,) = asked(host, file, sources=sources)["files"]
    assert (result["status"], result["source"]["peer"]) == ("restored", "web6"), result["msg"]
    assert (path.read_bytes(), path.stat().st_mode & 0o7777, os.listxattr(path)) == (b"abc", 0o755, [])
    assert list(folder.iterdir()) == [path]


def test_why_no_peer_is_a_source_is_told_of_each_of_them_once(folder: Path) -> None:
    path = folder / "tool"
    file = dict(large(path, SPOILT[0]), content=base64.b64encode(zlib.compress(b"abc")).decode())
    del file["token"]
    others = [SPOILT[1], SPOILT[1]._replace(mtime_ns=1)]
    file["others"] = [{"offer": offer_fields(other), "by": f"peer web{at}"} for at, other in enumerate(others, 4)]
    answer = asked(knowing(path), file, sources=["peer", "package"])
    (result,) = answer["files"]
    assert result["refused"] == ["owner_differs", "no_package"] and result["msg"].count("nobody there") == 1
    assert "peer web3" in result["msg"] and result["needs"]["package"] == "tool"


def test_an_owner_that_is_not_known_here(folder: Path) -> None:
    path = folder / "tool"
    result = delivered(path, knowing(path), offer=OFFER._replace(owner="somebody"))
    assert result["status"] == "failed" and "There is no user 'somebody'" in result["msg"]


def test_a_symlink_where_the_package_has_a_file(folder: Path) -> None:
    path = folder / "tool"
    symlink = OFFER._replace(leads_to=b"elsewhere")
    assert delivered(path, knowing(path), offer=symlink)["refused"] == ["checksum_differs"]
    nothing_known = delivered(path, knowing(path, witness=None), offer=symlink, witness=None)
    assert nothing_known["refused"] == ["no_digest"] and f"ln -s TARGET {path}" in nothing_known["msg"]
    assert list(folder.iterdir()) == []
    host = knowing(path, witness=None, may_be_symlink=lambda at, to: (at, to) == (os.fsencode(path), b"elsewhere"))
    result = delivered(path, host, offer=symlink, witness=None)
    assert result["status"] == "restored" and os.readlink(path) == "elsewhere"


def test_no_room(folder: Path) -> None:
    path = folder / "tool"
    host = knowing(path)
    full = host._replace(room=lambda fd: host.room(fd)._replace(free=2))
    assert "has 2 free" in delivered(path, full)["msg"] and list(folder.iterdir()) == []


def test_needs_and_offers_survive_the_way() -> None:
    need = Need(b"/bin/\xff\n", ABC, TOOL, "debian 12")
    assert need_from(need_fields(need)) == need
    symlink = Need(b"/bin/sh", None, None, "")
    assert need_from(need_fields(symlink)) == symlink
    offer = OFFER._replace(
        xattrs={"security.capability": b"\0\xff"}, leads_to=b"\xfe", folders=((b"/bin/\xff", "root", "adm", 0o2750),)
    )
    assert offer_from(offer_fields(offer)) == offer
    for broken in ({}, {**offer_fields(offer), "mode": "rwx"}, {**offer_fields(offer), "xattrs": 1}):
        with pytest.raises(RescueError):
            offer_from(broken)
    with pytest.raises(RescueError):
        need_from({"path": "relative"})


def test_an_offer(folder: Path) -> None:
    path = folder / "tool"
    path.write_bytes(b"abc")
    need = Need(os.fsencode(path), ABC, TOOL, "debian 12")
    host = knowing(path)
    with offered(need, host) as (offer, fd):
        assert (offer.size, offer.owner, os.pread(fd, 9, 0)) == (3, "root", b"abc")
    assert offer_alive(need, host) == offer
    assert [one[:3] for one in offer.folders] == [(b"/root", "root", "root"), (os.fsencode(folder), "root", "root")]
    for other in (TOOL._replace(version="2.0"), TOOL._replace(architecture="arm64")):
        theirs = need._replace(installed=other)
        with pytest.raises(RescueError, match=r"it has tool 1\.0 all, not tool"), offered(theirs, host):
            pass
    path.write_bytes(b"abd")
    assert offer_alive(need, host) is None
    with pytest.raises(RescueError), offered(need, host):
        pass


def test_an_offer_of_what_is_only_held(folder: Path, holders: Holders) -> None:
    path = folder / "tool"
    path.write_bytes(b"abc")
    path.chmod(0o4755)
    os.setxattr(path, "user.note", b"kept")
    pid = holders.open(path, os.O_RDONLY).pid
    path.unlink()
    need = Need(os.fsencode(path), ABC, TOOL, "debian 12")
    host = knowing(path)
    assert offer_alive(need, host) is None
    with offered(need, host) as (offer, fd):
        assert os.pread(fd, 9, 0) == b"abc" and offer.source.startswith(f"/proc/{pid}/fd/")
        assert (offer.mode, offer.xattrs["user.note"]) == (0o4755, b"kept")


def test_a_large_file_is_not_read_once_for_each_piece(folder: Path, holders: Holders) -> None:
    path = folder / "tool"
    path.write_bytes(b"abc")
    was_read = []

    def digests(*arguments: Any) -> dict[str, str]:
        was_read.append(arguments)
        return LOCAL.digests(*arguments)

    host = knowing(path)._replace(digests=digests)
    need = dict(need_fields(Need(os.fsencode(path), ABC, TOOL, "debian 12")), length=1)

    def piece(**more: Any) -> tuple[str, bytes]:
        [told] = _offer_task.run({"files": [dict(need, **more)]}, Setting(False, False, print, host))["offers"]
        return told["offer"]["source"], base64.b64decode(told["content"])

    source, content = piece()
    assert (source, content, len(was_read)) == (str(path), b"a", 1)
    assert piece(offset=1, source=source) == (source, b"b") and len(was_read) == 1
    # What is only held is chosen by its digest each time, whatever has the name.
    holders.open(path, os.O_RDONLY)
    path.unlink()
    path.write_bytes(b"abd")
    source, content = piece()
    assert source.startswith("/proc/") and content == b"a"
    assert piece(offset=2, source=source) == (source, b"c")


def test_extended_attributes_come_along(folder: Path) -> None:
    path = folder / "tool"
    result = delivered(path, knowing(path), offer=OFFER._replace(xattrs={"user.note": b"kept"}))
    assert result["status"] == "restored" and os.getxattr(path, "user.note") == b"kept"


def test_no_other_attributes_come_along(folder: Path) -> None:
    path = folder / "tool"
    xattrs = {"trusted.note": b"theirs", "security.note": b"theirs", "user.note": b"kept"}
    result = delivered(path, knowing(path), offer=OFFER._replace(xattrs=xattrs))
    assert (result["status"], os.listxattr(path)) == ("restored", ["user.note"])
    assert result["not_kept"] == ["security.note", "trusted.note"] and result["usable"]


@pytest.mark.parametrize(
    ("mode", "acl", "mode_then"),
    [
        (0o755, READABLE, 0o755),
        (0o755, acl_of(7, 7, 5, 5, 5), 0o755),  # the mask takes it from the user
        (0o755, acl_of(7, 5, 5, 5, 7), None),
        (0o755, acl_of(7, 7, 5, 7, 5), None),
        (0o755, acl_of(7, 5, 7, 7, 5), None),
        (0o755, b"", None),
        (0o755, struct.pack("<I", 3) + READABLE[4:], None),
        (0o700, READABLE, None),
        (0o750, READABLE, None),
    ],
)
def test_an_acl_gives_no_more_than_the_mode_says(folder: Path, mode: int, acl: bytes, mode_then: int | None) -> None:
    path = folder / "tool"
    offer = OFFER._replace(mode=mode, xattrs={"system.posix_acl_access": acl})
    result = delivered(path, knowing(path), offer=offer)
    if mode_then is None:
        assert result["refused"] == ["owner_differs"] and list(folder.iterdir()) == []
    else:
        assert result["status"] == "restored" and result["not_kept"] == []
        assert path.stat().st_mode & 0o7777 == mode_then and os.getxattr(path, "system.posix_acl_access") == acl


@pytest.mark.parametrize("by", ["dpkg-statoverride", "rpm"])
def test_an_acl_of_a_peer_does_not_go_before_a_record_of_the_host(folder: Path, by: str) -> None:
    path = folder / "tool"
    offer = OFFER._replace(xattrs={"system.posix_acl_access": acl_of(7, 7, 7, 7, 7)})
    result = delivered(path, knowing(path, Recorded(0o750, "root", "root", by)), offer=offer)
    assert (result["status"], result["mode"], path.stat().st_mode & 0o7777) == ("restored", "0750", 0o750)
    assert os.listxattr(path) == [] and result["not_kept"] == ["system.posix_acl_access"]


@pytest.mark.parametrize(("recorded", "kept"), [(None, True), (True, True), (False, False)])
def test_capabilities_that_rpm_does_not_know_of_do_not_come(folder: Path, recorded: bool | None, kept: bool) -> None:
    path = folder / "tool"
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    record = Recorded(0o755, "root", "root", "rpm", recorded)
    result = delivered(path, knowing(path, record), offer=OFFER._replace(xattrs={"security.capability": capability}))
    assert result["status"] == "restored"
    assert ("security.capability" in os.listxattr(path)) is kept
    assert result["dropped"] == ([] if kept else ["capabilities"])


def test_a_folder_that_is_gone_is_made_as_the_peer_has_it(folder: Path) -> None:
    path = folder / "new" / "newer" / "tool"
    known = (os.fsencode(path.parent.parent), "root", "daemon", 0o2750)
    offer = OFFER._replace(folders=(known, (os.fsencode(path.parent), "nobody there", "root", 0o7)))
    assert delivered(path, knowing(path), offer=offer)["refused"] == ["folder_gone"]
    result = delivered(path, knowing(path), offer=offer, parents=True)
    assert result["status"] == "restored" and path.read_bytes() == b"abc"
    assert [one["metadata_by"] for one in result["made"]] == ["peer web3", None]
    assert "new is new, root:daemon 2750 as peer web3 has it." in result["msg"]
    assert (path.parent.parent.stat().st_mode & 0o7777, path.parent.parent.stat().st_gid) == (0o2750, 1)


@pytest.mark.parametrize(
    ("told", "recorded", "made"),
    [
        (("games", "games", 0o755), None, (0, 0, 0o755)),
        (("5", "root", 0o755), None, (0, 0, 0o755)),
        (("root", "games", 0o2777), None, (0, 60, 0o2755)),
        (("root", "root", 0o775), Recorded(0o2775, "games", "games", "rpm"), (5, 60, 0o2775)),
    ],
)
def test_a_folder_is_made_so_that_nobody_else_may_write_in_it(
    folder: Path, told: tuple[str, str, int], recorded: Recorded | None, made: tuple[int, int, int]
) -> None:
    path = folder / "new" / "tool"
    offer = OFFER._replace(folders=((os.fsencode(path.parent), *told),))
    host = knowing(path)._replace(recorded=lambda at: recorded if at == os.fsencode(path.parent) else None)
    needed = Need(os.fsencode(path), ABC, TOOL, "debian 12")
    given = Delivery(needed, offer, lambda: [b"abc"], "peer web3", lambda at: new_draft(host, at))
    result = supply(given, Terms(["ancestor_writable"], parents=True), lambda _line: None, host)
    assert result["status"] == "restored", result["msg"]
    found = path.parent.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == made


def test_a_new_folder_goes_again_where_the_file_did_not_come(folder: Path) -> None:
    path = folder / "new" / "tool"
    assert delivered(path, knowing(path), content=b"abd", parents=True)["refused"] == ["superseded"]
    assert list(folder.iterdir()) == []


def test_a_file_that_came_back_meanwhile_is_left_alone(folder: Path) -> None:
    path = folder / "tool"
    host = knowing(path)

    def publish(*_arguments: Any) -> None:
        path.write_bytes(b"theirs")
        raise FileExistsError

    result = delivered(path, host._replace(publish=publish))
    assert result["status"] == "present" and "came back" in result["msg"] and path.read_bytes() == b"theirs"


def test_what_came_is_started(folder: Path) -> None:
    path = folder / "tool"
    host = knowing(path)
    broken = delivered(path, host._replace(does_start=lambda _fd, _name, _sha256: False), try_start=True)
    assert broken["starts"] is False and "does not start" in broken["msg"]
    path.unlink()
    assert delivered(path, host, try_start=True)["starts"] is None
    path.unlink()
    assert "starts" not in delivered(path, host)


@pytest.mark.parametrize(("program", "starts"), [("/usr/bin/true", True), ("/bin/sh", True), ("script", None)])
def test_a_program_is_started(folder: Path, program: str, starts: bool | None) -> None:
    path = folder / "tool"
    if program == "script":
        path.write_text("#!/bin/sh\nexit 1\n")
        path.chmod(0o755)
    else:
        shutil.copy(program, path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    with open(path, "rb") as file:
        assert does_start(file.fileno(), b"tool", sha256) is starts
        assert does_start(file.fileno(), b"libtool.so.1", sha256) is None


def test_a_program_whose_loader_is_gone(folder: Path) -> None:
    path = folder / "tool"
    content = Path("/usr/bin/true").read_bytes().replace(b"/lib64/ld-linux", b"/lib64/no-linux")
    path.write_bytes(content)
    path.chmod(0o755)
    with open(path, "rb") as file:
        assert does_start(file.fileno(), b"tool", hashlib.sha256(content).hexdigest()) is False


TRACER = """
#include <fcntl.h>
int main(int count, char **arguments) { return creat(TRACE, 0600) < 0; }
"""


@pytest.mark.parametrize(
    ("change", "starts"),
    [
        ({}, True),
        ({"proven": False}, None),
        ({"owner": NOBODY}, None),
        ({"mode": 0o775}, None),
        ({"folder_owner": NOBODY}, None),
        ({"folder_mode": 0o777}, None),
        ({"exchanged": True}, None),
    ],
)
def test_nothing_that_could_be_a_user_s_is_started(
    folder: Path, tmp_path: Path, holders: Holders, change: dict[str, Any], starts: bool | None
) -> None:
    inner = folder / "inner"
    path, trace = inner / "tool", tmp_path / "trace"
    inner.mkdir()
    compiler = ["gcc", "-x", "c", f'-DTRACE="{trace}"', "-o", path, "-"]
    subprocess.run(compiler, input=TRACER.encode(), check=True)
    content = path.read_bytes()
    os.chown(path, change.get("owner", 0), 0)
    path.chmod(change.get("mode", 0o755))
    os.chown(inner, change.get("folder_owner", 0), 0)
    inner.chmod(change.get("folder_mode", 0o755))
    holders.open(path, os.O_RDONLY)
    path.unlink()

    def log(_line: str) -> None:
        if "exchanged" in change:
            path.write_bytes(content + b"another")

    request = {"path": str(path), "checksum": "sha256:" + hashlib.sha256(content).hexdigest()}
    if not change.get("proven", True):
        del request["checksum"]
    terms = Terms(accept=["owner_differs", "ancestor_writable"], try_start=True)
    (result,) = restore([request], terms, log, LOCAL)
    assert result["status"] == "restored" and result["starts"] is starts, result
    assert trace.exists() is (starts is True)


def test_a_pinned_file_outlives_its_holder(tmp_path: Path, holders: Holders) -> None:
    path = tmp_path / "precious"
    path.write_bytes(b"abc")
    pid = holders.open(path, os.O_RDONLY).pid
    path.unlink()
    seen = LOCAL.scan(lambda one: one.host_path == os.fsencode(path), NORMAL)
    assert keep_open(seen.sightings, 30) == 1
    LOCAL.unpin(seen.sightings)
    holders.end(pid)

    def held() -> list[bytes]:
        seen = LOCAL.scan(lambda _one: False, NORMAL)
        return [one.process.comm for one in seen.sightings if one.host_path == os.fsencode(path)]

    wait_until(lambda: held() == [b"procfs-rescue"])  # it takes its name when it runs
    path.write_bytes(b"")  # it is there again: then it lets go
    wait_until(lambda: not held())
