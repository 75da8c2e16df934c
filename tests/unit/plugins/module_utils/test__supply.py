# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._host import LOCAL, Host
from ansible_collections.procfs.rescue.plugins.module_utils._model import NORMAL, Installed, Recorded, Witness
from ansible_collections.procfs.rescue.plugins.module_utils._needs import Need, need_fields, need_from
from ansible_collections.procfs.rescue.plugins.module_utils._offer import Offer, offer_alive, offer_fields, offer_from
from ansible_collections.procfs.rescue.plugins.module_utils._offer_task import offered
from ansible_collections.procfs.rescue.plugins.module_utils._pin import keep_open
from ansible_collections.procfs.rescue.plugins.module_utils._prove import does_start
from ansible_collections.procfs.rescue.plugins.module_utils._supply import Delivery, Manner, new_draft, supply
from unit.plugins.holders import Holders, wait_until

ABC = Witness("package", "md5", "900150983cd24fb0d6963f7d28e17f72", "tool")
TOOL = Installed("tool", "1.0", "all", "dpkg")
OFFER = Offer(3, 0o755, "root", "root", 10**18, {}, None, "/usr/bin/tool")


@pytest.fixture
def folder() -> Any:
    """Below folders of root's alone."""
    path = Path("/root/supply-test")
    path.mkdir(mode=0o755)
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
    prove: bool = False,
    **need: Any,
) -> dict[str, Any]:
    needed = Need(os.fsencode(path), ABC, TOOL, "debian 12")._replace(**need)

    def draft_in(at: int) -> Any:
        return new_draft(host, at)

    given = Delivery(needed, offer, lambda: [content], "peer web3", draft_in)
    return supply(given, Manner([], False, parents, prove), lambda _line: None, host)


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


def test_an_owner_that_is_not_known_here(folder: Path) -> None:
    path = folder / "tool"
    result = delivered(path, knowing(path), offer=OFFER._replace(owner="somebody"))
    assert result["status"] == "failed" and "There is no user 'somebody'" in result["msg"]


def test_a_symlink_where_the_package_has_a_file(folder: Path) -> None:
    path = folder / "tool"
    link = OFFER._replace(link=b"elsewhere")
    assert delivered(path, knowing(path), offer=link)["refused"] == ["checksum_differs"]
    result = delivered(path, knowing(path, witness=None), offer=link, witness=None)
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
        xattrs={"security.capability": b"\0\xff"}, link=b"\xfe", folders=((b"/bin/\xff", "root", "adm", 0o2750),)
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


def test_extended_attributes_come_along(folder: Path) -> None:
    path = folder / "tool"
    result = delivered(path, knowing(path), offer=OFFER._replace(xattrs={"user.note": b"kept"}))
    assert result["status"] == "restored" and os.getxattr(path, "user.note") == b"kept"


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
    broken = delivered(path, host._replace(does_start=lambda _fd, _name: False), prove=True)
    assert broken["starts"] is False and "does not start" in broken["msg"]
    path.unlink()
    assert delivered(path, host, prove=True)["starts"] is None
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
    with open(path, "rb") as file:
        assert does_start(file.fileno(), b"tool") is starts
        assert does_start(file.fileno(), b"libtool.so.1") is None


def test_a_program_whose_loader_is_gone(folder: Path) -> None:
    path = folder / "tool"
    content = Path("/usr/bin/true").read_bytes()
    path.write_bytes(content.replace(b"/lib64/ld-linux", b"/lib64/no-linux"))
    path.chmod(0o755)
    with open(path, "rb") as file:
        assert does_start(file.fileno(), b"tool") is False


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
