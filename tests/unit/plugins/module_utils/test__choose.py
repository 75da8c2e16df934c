# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils._choose import (
    Candidate,
    Wish,
    find,
    may_be_wanted,
    paths_of,
    unseen,
    wish_from,
)
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._handle import file_of
from ansible_collections.procfs.rescue.plugins.module_utils._judge import Claim
from ansible_collections.procfs.rescue.plugins.module_utils._local_host import LOCAL
from ansible_collections.procfs.rescue.plugins.module_utils._model import Place, Sighting, Target, Witness
from unit.plugins.samples import a_file, a_process, a_scan, a_sighting, a_target, an_ancestor

USER = 1000


def refusal(options: dict[str, Any]) -> str:
    with pytest.raises(RescueError) as caught:
        wish_from(options)
    return str(caught.value)


def test_a_path() -> None:
    assert wish_from({"path": "/bin/bash"}) == Wish(path=b"/bin/bash")


def test_what_was_not_given_is_none() -> None:
    assert wish_from({"path": "/bin/bash", "pid": None, "source": None, "dest": None, "checksum": None}) == Wish(
        path=b"/bin/bash"
    )


def test_everything() -> None:
    options = {
        "path_b64": "L2EvYg==",
        "dest": "/srv/x",
        "pid": "812",
        "start_time": 77,
        "device": 65024,
        "inode": 4711,
        "checksum": "MD5:" + "A" * 32,
    }
    assert wish_from(options) == Wish(
        path=b"/a/b",
        dest=b"/srv/x",
        claim=Claim(812, 77, 65024, 4711),
        checksum=Witness("checksum", "md5", "a" * 32, ""),
        in_place=False,
    )


ENTRY = {"path": "/b/x", "host_path": "/a/x", "device": 65024, "inode": 4711, "mode": "0755", "holders": []}
HOLDER = {"exe": "/usr/bin/x (deleted)", "pid": 812, "start_time": 77, "link": "/proc/812/exe", "device": 1, "inode": 2}


def test_an_entry_of_the_facts_unchanged() -> None:
    assert wish_from({"source": ENTRY}) == Wish(path=b"/a/x", claim=Claim(device=65024, inode=4711))


def test_a_holder_of_the_facts_unchanged() -> None:
    assert wish_from({"source": HOLDER}) == Wish(link="/proc/812/exe", claim=Claim(812, 77, 1, 2))


def test_what_is_given_besides_a_source_goes_before_it() -> None:
    assert wish_from({"source": HOLDER, "path": "/bin/bash", "inode": 3}) == Wish(
        path=b"/bin/bash", link="/proc/812/exe", claim=Claim(812, 77, 1, 3)
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "Say which file is meant: path, source, pid or inode."),
        ({"dest": "/x"}, "Say which file is meant: path, source, pid or inode."),
        ({"source": {}}, "Say which file is meant: path, source, pid or inode."),
        ({"source": "x"}, "source must be an entry of deleted_files or one of its holders, a dictionary."),
        ({"path": "bin/bash\n"}, "path must be absolute: bin/bash\\n"),
        ({"path": "/x", "dest": "./y"}, "dest must be absolute: ./y"),
        ({"source": {"path": "memfd:x"}}, "path must be absolute: memfd:x"),
        ({"pid": "self"}, "pid must be a whole number, it is 'self'."),
        ({"source": {"inode": []}}, "inode must be a whole number, it is []."),
        ({"source": {"inode": float("inf")}}, "inode must be a whole number, it is inf."),
        (
            {"path": "/x", "checksum": "x"},
            "checksum must be ALGORITHM:HEX with one of md5, sha1, sha224, sha256, sha384, sha512; it is 'x'.",
        ),
    ],
)
def test_bad_wishes(options: dict[str, Any], message: str) -> None:
    assert refusal(options) == message


def test_a_file_may_be_called_as_its_holder_or_as_this_host_calls_it() -> None:
    sighting = a_sighting(path=b"/b/x;5f3a2b1c", host_path=b"/a/x;5f3a2b1c")
    assert paths_of(sighting) == [b"/b/x;5f3a2b1c", b"/b/x", b"/a/x;5f3a2b1c", b"/a/x"]
    assert paths_of(a_sighting(path=b"/memfd:x", host_path=None)) == [b"/memfd:x", b"/memfd:x"]


@pytest.mark.parametrize(
    ("wish", "means"),
    [
        (Wish(), False),
        (Wish(path=b"/srv/tool"), True),
        (Wish(path=b"/srv/too"), False),
        (Wish(link="/proc/812/fd/3"), True),
        (Wish(link="/proc/812/fd/4"), False),
        (Wish(link="/proc/812/fd/2"), False),
        (Wish(path=b"/srv/x", link="/proc/812/fd/3"), False),
        (Wish(path=b"/srv/tool", link="/proc/812/fd/4"), False),
        (Wish(claim=Claim(pid=812)), True),
        (Wish(claim=Claim(pid=813)), False),
        (Wish(claim=Claim(inode=4711)), True),
        (Wish(claim=Claim(inode=4712)), False),
        (Wish(claim=Claim(inode=4710)), False),
        (Wish(path=b"/srv/tool", claim=Claim(inode=1)), False),
        (Wish(claim=Claim(pid=813, inode=4711)), True),  # for the judge: the holder is another one by now
        (Wish(path=b"/srv/tool", claim=Claim(device=1)), True),
        (Wish(link="/proc/812/fd/3", claim=Claim(inode=1)), True),
        (Wish(claim=Claim(device=65024)), False),
    ],
)
def test_meaning(wish: Wish, means: bool) -> None:
    assert wish.means(a_sighting()) is means


def found(wish: Wish, *sightings: Sighting, origin: Target | None = None, **more: Any) -> Candidate:
    options: dict[str, Any] = {"seen": a_scan(), "accept": (), "witness": None, "host": LOCAL, **more}
    return find(wish, origin, sightings, **options)


def not_found(wish: Wish, *sightings: Sighting, origin: Target | None = None, **more: Any) -> tuple[str, list[str]]:
    with pytest.raises(RescueError) as caught:
        found(wish, *sightings, origin=origin, **more)
    return str(caught.value), caught.value.reasons


WISH = Wish(path=b"/srv/tool")
HONEST = a_sighting()
DECOYS = [
    a_sighting(file=a_file(inode=1), foreign="untrusted"),
    a_sighting(file=a_file(inode=2), mount=None, place=None),
    a_sighting(file=a_file(inode=3), place=Place("254:0", b"/var/tmp/d/tool")),
    a_sighting(file=a_file(inode=4, uid=USER)),
    a_sighting(file=a_file(inode=5, mode=0o010644)),
]


def test_the_only_one() -> None:
    candidate = found(WISH, HONEST, origin=a_target())
    assert (candidate.file.sightings, candidate.sighting, candidate.reasons) == ([HONEST], HONEST, [])


@pytest.mark.parametrize("decoy", DECOYS)
def test_a_decoy_has_no_veto(decoy: Sighting) -> None:
    for sightings in ([decoy, HONEST], [HONEST, decoy]):
        assert found(WISH, *sightings, origin=a_target()).sighting == HONEST


def test_a_decoy_alone_is_refused_by_name() -> None:
    assert [not_found(WISH, decoy, origin=a_target())[1] for decoy in DECOYS] == [
        ["namespace_untrusted"],
        ["mount_unknown"],
        ["place_differs"],
        ["owner_differs"],
        ["not_regular"],
    ]


def test_the_message_of_a_refusal() -> None:
    assert not_found(WISH, DECOYS[0], DECOYS[2]._replace(link="/proc/9/exe"), origin=a_target()) == (
        (
            "Refused to restore /srv/tool. /proc/812/fd/3 was not believed: its holder lives in a mount namespace that "
            "a user could have made (namespace_untrusted). /proc/9/exe was not believed: it was not in that folder of "
            "this host: its path only looks like it from where its holder is (place_differs)."
        ),
        ["namespace_untrusted", "place_differs"],
    )


def test_the_sighting_that_least_stands_against_is_taken() -> None:
    passed_on = a_sighting(link="/proc/1/exe", via="exe", mount=None, place=None)
    assert found(WISH, passed_on, HONEST, origin=a_target()).sighting == HONEST


def test_what_needs_not_be_accepted_goes_before_what_is() -> None:
    elsewhere = a_sighting(process=a_process(pid=813), place=Place("254:0", b"/var/tmp/d/tool"))
    for sightings in (elsewhere, HONEST), (HONEST, elsewhere):
        candidate = found(WISH, *sightings, origin=a_target(), accept=["place_differs"])
        assert (candidate.sighting, candidate.reasons) == (HONEST, [])


def test_what_is_accepted_is_reported() -> None:
    candidate = found(WISH, DECOYS[3], origin=a_target(), accept=["owner_differs"])
    assert candidate.reasons == ["owner_differs"]
    assert not_found(WISH, DECOYS[0], origin=a_target(), accept=["namespace_untrusted"])[1] == ["namespace_untrusted"]


def test_a_folder_that_others_may_change() -> None:
    origin = a_target(ancestors=[an_ancestor(b"/"), an_ancestor(mode=0o777)])
    assert not_found(WISH, HONEST, origin=origin)[1] == ["ancestor_writable", "checksum_wanted"]
    accept = ["ancestor_writable", "checksum_wanted"]
    assert not_found(WISH, HONEST, origin=origin, accept=accept)[1] == ["ancestor_writable", "checksum_wanted"]
    proven = WISH._replace(checksum=Witness("checksum", "sha256", "aa", ""))
    assert not_found(proven, HONEST, origin=origin)[1] == ["ancestor_writable"]
    assert found(proven, HONEST, origin=origin, accept=accept).reasons == ["ancestor_writable"]
    assert found(WISH._replace(in_place=False), HONEST, origin=origin).reasons == []


def test_nobody_holds_it() -> None:
    message = (
        "No process holds /srv/\\n: either the path is wrong, or its content is gone from this host. Look for it on a "
        "host of the same release, in the package that owns it, or in a backup."
    )
    assert not_found(Wish(path=b"/srv/\n"), HONEST) == (message, ["not_held"])
    assert not_found(Wish(path=b"/srv/\n"), seen=a_scan(unreadable=3))[0] == (
        message + " It may be held by one that could not be read (3 of them)."
    )


def test_what_was_skipped_is_named() -> None:
    seen = a_scan(unreadable=7, silent=list(range(11, 18)), skipped={"/mnt/b": 2, "/mnt/a\\n": 1})
    assert not_found(Wish(path=b"/srv/x"), seen=seen)[0].endswith(
        " It may be held by one that could not be read (7 of them). The kernel gave no answer about these of them: "
        "11, 12, 13, 14, 15 and 2 more. Skipped were file systems that do not answer: /mnt/a\\n, /mnt/b."
    )


def test_nobody_holds_what_was_not_named() -> None:
    assert not_found(Wish(claim=Claim(pid=1)))[0].startswith("No process holds the chosen file: ")
    assert not_found(Wish(link="/proc/1/exe"))[0].startswith("No process holds /proc/1/exe: ")


def test_the_path_was_given_with_what_the_kernel_appends() -> None:
    assert not_found(Wish(path=b"/srv/tool (deleted)"), HONEST)[0].endswith(
        ' " (deleted)" is what the kernel appends to a name: give the path without it.'
    )


def test_a_holder_that_changed_is_named_and_not_overlooked() -> None:
    assert not_found(Wish(claim=Claim(pid=812, start_time=78)), HONEST)[1] == ["holder_changed"]
    assert not_found(Wish(claim=Claim(pid=813, inode=4711)), HONEST)[1] == ["holder_changed"]
    other = a_sighting(process=a_process(pid=813))
    assert found(Wish(claim=Claim(pid=813, inode=4711)), HONEST, other).sighting == other


def test_a_copy_out_takes_what_was_in_its_place_before_what_was_not() -> None:
    elsewhere = a_sighting(file=a_file(inode=7), place=Place("0:40", b"/srv/tool"), foreign="trusted")
    wish = WISH._replace(in_place=False)
    assert found(wish, elsewhere, HONEST, origin=a_target()).sighting == HONEST
    assert found(wish, elsewhere, origin=a_target()).sighting == elsewhere
    assert found(wish, elsewhere, origin=None).sighting == elsewhere


def test_a_copy_out_wants_a_regular_file_too() -> None:
    assert not_found(WISH._replace(in_place=False), DECOYS[4], origin=a_target())[1] == ["not_regular"]


@pytest.fixture
def versions(tmp_path: Path) -> Iterator[list[Sighting]]:
    """Two versions of a file, and a third one that is equal to the first but younger; all of one owner and mode."""
    sightings = []
    for number, content in enumerate([b"one", b"two", b"one"]):
        path = tmp_path / str(number)
        path.write_bytes(content)
        path.chmod(0o755)
        os.utime(path, (number, number))
        fd = os.open(path, os.O_RDONLY)
        path.unlink()
        sightings.append(a_sighting(link=f"/proc/{os.getpid()}/fd/{fd}", file=file_of(fd), handle=fd))
    yield sightings
    for one in sightings:
        assert one.handle is not None
        os.close(one.handle)


def test_several_versions_are_never_chosen_from(versions: list[Sighting]) -> None:
    one, two, _three = versions
    assert not_found(WISH, one, two, origin=a_target()) == (
        (
            f"2 different deleted files were called /srv/tool and no digest proves one of them: {one.link} (inode "
            f"{one.file.inode}, 3 bytes, owner 0, modified 1970-01-01T00:00:00Z), {two.link} (inode {two.file.inode}, "
            "3 bytes, owner 0, modified 1970-01-01T00:00:01Z). Choose with source, inode or checksum."
        ),
        ["ambiguous"],
    )


@pytest.mark.parametrize("seconds", [2**62, -(2**40)])
def test_a_version_with_an_impossible_time_is_named_too(versions: list[Sighting], seconds: int) -> None:
    """On tmpfs anybody may give a file any time."""
    one, two, _three = versions
    odd = two._replace(file=two.file._replace(mtime_ns=seconds * 10**9))
    message, reasons = not_found(WISH, one, odd, origin=a_target())
    assert reasons == ["ambiguous"]
    assert two.link in message


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
@pytest.mark.parametrize(("content", "number"), [(b"one", 2), (b"two", 1)])
def test_the_one_with_the_proven_content(versions: list[Sighting], algorithm: str, content: bytes, number: int) -> None:
    witness = Witness("package", algorithm, hashlib.new(algorithm, content).hexdigest(), "tool")
    assert found(WISH, *versions, origin=a_target(), witness=witness).sighting == versions[number]


def test_the_proven_content_goes_before_the_name(versions: list[Sighting]) -> None:
    """A transaction of rpm was cut off: the right file was renamed already, and somebody kept an older one open."""
    one, older, _three = versions
    renamed = one._replace(
        path=b"/srv/tool;5f3a2b1c", host_path=b"/srv/tool;5f3a2b1c", place=Place("254:0", b"/srv/tool;5f3a2b1c")
    )
    witness = Witness("package", "md5", hashlib.md5(b"one").hexdigest(), "tool")
    assert found(WISH, older, renamed, origin=a_target(), witness=witness).sighting == renamed


@pytest.mark.parametrize("proof", [True, False])
def test_a_decoy_that_is_nearly_all_hole_is_not_read(versions: list[Sighting], tmp_path: Path, proof: bool) -> None:
    """15 TiB of nothing cost its owner nothing, and whoever hashes them hours."""
    one, _two, _three = versions
    fd = os.open(tmp_path / "hole", os.O_RDWR | os.O_CREAT)
    os.truncate(fd, 17 * 2**30)
    hole = a_sighting(file=file_of(fd), handle=fd, link="/proc/812/fd/9")
    witness = Witness("package", "md5", hashlib.md5(b"one").hexdigest(), "tool") if proof else None
    try:
        for sightings in ([one, hole], [hole, one]):
            if proof:
                assert found(WISH, *sightings, origin=a_target(), witness=witness).sighting == one
            else:
                message, reasons = not_found(WISH, *sightings, origin=a_target())
                assert reasons == ["ambiguous"] and "/proc/812/fd/9" in message
    finally:
        os.close(fd)


RENAMED = a_sighting(
    path=b"/srv/tool;5f3a2b1c", host_path=b"/srv/tool;5f3a2b1c", place=Place("254:0", b"/srv/tool;5f3a2b1c")
)


def test_only_what_a_package_owns_was_renamed_by_rpm() -> None:
    """Others may be called like that and are not the file."""
    assert not_found(WISH, RENAMED, origin=a_target()) == (
        (
            "No process holds a file that was called /srv/tool at last. Held is what rpm may have renamed, which adds "
            "; and digits to the old file's name: /proc/812/fd/3 (inode 4711, 1000 bytes, owner 0, modified "
            "2023-11-14T22:13:20Z). But no package is known to own /srv/tool: choose by source or checksum if it is "
            "the one."
        ),
        ["not_held"],
    )
    assert not_found(WISH._replace(dest=b"/root/x", in_place=False), RENAMED)[1] == ["not_held"]
    assert found(WISH, RENAMED, origin=a_target(), witness=Witness("package", "md5", "0" * 32, "tool")).sighting
    honest = a_sighting(file=a_file(inode=1))
    assert found(WISH, RENAMED, honest, origin=a_target()).sighting == honest


@pytest.mark.parametrize("choice", [{"link": RENAMED.link}, {"claim": Claim(inode=4711)}, {"claim": Claim(pid=812)}])
def test_what_was_chosen_by_hand_needs_no_package(choice: dict[str, Any]) -> None:
    assert found(WISH._replace(**choice), RENAMED, origin=a_target()).sighting == RENAMED


def test_none_of_several_is_proven(versions: list[Sighting]) -> None:
    witness = Witness("package", "md5", "0" * 32, "tool")
    assert not_found(WISH, *versions, origin=a_target(), witness=witness)[1] == ["ambiguous"]


def test_equal_versions_are_one(versions: list[Sighting]) -> None:
    one, _two, three = versions
    for sightings in ([one, three], [three, one]):
        assert found(WISH, *sightings, origin=a_target()).sighting == three


@pytest.mark.parametrize("change", [{"mode": 0o104755}, {"uid": USER}, {"gid": 7}])
def test_versions_that_differ_in_owner_or_mode_are_several(versions: list[Sighting], change: dict[str, int]) -> None:
    one, _two, three = versions
    fd = three.handle
    assert fd is not None
    os.fchown(fd, change.get("uid", 0), change.get("gid", 0))
    os.fchmod(fd, change.get("mode", three.file.mode) & 0o7777)
    other = three._replace(file=file_of(fd))
    origin = a_target(ancestors=[an_ancestor(b"/"), an_ancestor(mode=0o1777)])
    assert not_found(WISH, one, other, origin=origin)[1] == ["ambiguous"]


def test_a_version_that_cannot_be_read_any_more_has_no_veto(versions: list[Sighting]) -> None:
    """Its owner may change it at any time between two looks."""
    one, two, _three = versions
    changed = two._replace(file=two.file._replace(mode=0o100700))
    witness = Witness("package", "md5", hashlib.md5(b"one").hexdigest(), "tool")
    for sightings in ([one, changed], [changed, one]):
        assert found(WISH, *sightings, origin=a_target(), witness=witness).sighting == one


def test_an_inode_says_enough() -> None:
    assert wish_from({"inode": 4711}) == Wish(claim=Claim(inode=4711))


@pytest.mark.parametrize(
    ("path", "is_wanted"),
    [
        (b"/srv/tool", True),
        (b"/elsewhere/tool", True),  # a symlink may lead there
        (b"/srv/tool;5f3a2b1c", True),
        (b"/srv/tools", False),
        (b"/tool/other", False),
        (b"/any/app/deep/file", True),
        (b"/any/apps/file", False),
        (b"/any/app", False),
    ],
)
def test_what_is_pinned(path: bytes, is_wanted: bool) -> None:
    wishes = [Wish(path=b"/srv/tool"), Wish(claim=Claim(inode=42))]
    wanted = may_be_wanted(wishes, [b"/srv/app/"])
    assert wanted(a_sighting(path=path, host_path=None)) is is_wanted
    assert wanted(a_sighting(path=path, host_path=None, file=a_file(inode=42)))


@contextmanager
def unread(_sighting: Sighting) -> Iterator[int]:
    yield -1


@pytest.mark.parametrize(("has", "refused"), [("0" * 32, True), ("a" * 32, False), ("f" * 32, True)])
def test_what_only_its_content_can_prove(has: str, refused: bool) -> None:
    unproven = a_sighting(foreign="unproven")
    host = LOCAL._replace(readable=unread, digests=lambda _fd, _algorithms: {"md5": has})
    seen = a_scan(sightings=[unproven])
    witness = Witness("package bash", "md5", ("A" * 32).lower(), "")

    def chosen() -> Candidate:
        return find(WISH, a_target(), seen.sightings, seen, (), witness, host)

    if refused:
        with pytest.raises(RescueError) as caught:
            chosen()
        assert caught.value.reasons == ["unproven"]
    else:
        assert chosen().sighting == unproven


@pytest.mark.parametrize(("ids", "hint"), [((0, 5), ""), ((5, 0), " without root (use become)")])
def test_whether_root_looked(ids: tuple[int, int], hint: str) -> None:
    host = LOCAL._replace(own_ids=lambda: ids)
    text = f"It may be held by one that could not be read (2 of them{hint})."
    assert unseen(a_scan(unreadable=2), host) == [text]


@pytest.mark.parametrize(("count", "told"), [(5, "1, 2, 3, 4, 5."), (6, "1, 2, 3, 4, 5 and 1 more.")])
def test_some_of_many_are_named(count: int, told: str) -> None:
    silent = list(range(1, count + 1))
    (sentence,) = unseen(a_scan(silent=silent), LOCAL)
    assert sentence.endswith(": " + told)
