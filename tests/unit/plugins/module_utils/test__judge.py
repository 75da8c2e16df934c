# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each check has cases that it alone refuses: what the others say of them is nothing."""

from __future__ import annotations

import stat

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils import _judge
from ansible_collections.procfs.rescue.plugins.module_utils._judge import (
    Claim,
    is_provable,
    judge_content,
    judge_folder,
    judge_handle,
    judge_place,
    sentence,
    standing,
)
from ansible_collections.procfs.rescue.plugins.module_utils._model import Ancestor, Folder, Place, Sighting, Witness
from unit.plugins.samples import a_file, a_folder, a_sighting, an_ancestor

USER = 1000
OTHER = 1001


def verdict(
    sighting: Sighting | None = None,
    *,
    claim: Claim = _judge.ANY,
    kind: str = "regular",
    folder: Folder | None = None,
    name: bytes = b"tool",
    witness: Witness | None = None,
    digest: str = "",
) -> list[str]:
    """All that the judge has against putting the sighting back in place."""
    sighting = sighting or a_sighting()
    folder = folder or a_folder()
    return [
        *judge_handle(sighting, claim),
        *judge_place(sighting, kind, folder, name),
        *judge_folder(sighting.file, folder.ancestors),
        *judge_content(witness, digest),
    ]


def test_an_honest_file() -> None:
    assert verdict() == []


@pytest.mark.parametrize(
    "file_type", [stat.S_IFDIR, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFLNK]
)
def test_only_a_regular_file(file_type: int) -> None:
    assert verdict(a_sighting(file=a_file(mode=file_type | 0o755))) == ["not_regular"]


def test_a_claim_that_is_true() -> None:
    assert verdict(claim=Claim(pid=812, start_time=77, device=65024, inode=4711)) == []


@pytest.mark.parametrize("claim", [Claim(pid=813), Claim(start_time=78), Claim(device=65025), Claim(inode=0)])
def test_a_claim_that_is_not_true_any_more(claim: Claim) -> None:
    assert verdict(claim=claim) == ["holder_changed"]


@pytest.mark.parametrize("kind", ["memfd", "sysv_shm", "anonymous", "tmpfile"])
def test_what_never_had_a_name(kind: str) -> None:
    assert verdict(kind=kind) == ["no_name"]


@pytest.mark.parametrize("kind", ["regular", "nfs_silly", "fuse_hidden"])
def test_what_had_a_name(kind: str) -> None:
    assert verdict(kind=kind) == []


@pytest.mark.parametrize("foreign", [None, "trusted", "untrusted"])
def test_a_mount_that_nobody_knows(foreign: str | None) -> None:
    assert verdict(a_sighting(mount=None, foreign=foreign)) == ["mount_unknown"]


def test_a_namespace_that_a_user_made() -> None:
    assert verdict(a_sighting(foreign="untrusted")) == ["namespace_untrusted"]


def test_a_namespace_that_root_made() -> None:
    assert verdict(a_sighting(foreign="trusted")) == []


@pytest.mark.parametrize(
    "sighting",
    [
        a_sighting(place=Place("0:40", b"/srv/tool")),
        a_sighting(place=Place("254:0", b"/var/tmp/sp/d/tool")),
        a_sighting(place=Place("254:0", b"/srv/tool2")),
        a_sighting(place=Place("254:0", b"/srv/tool/")),
        a_sighting(place=Place("254:0", b"/srv/../srv/tool")),
        a_sighting(place=None),
    ],
)
def test_a_path_that_only_looks_so(sighting: Sighting) -> None:
    assert verdict(sighting) == ["place_differs"]


def test_a_folder_at_another_place() -> None:
    assert verdict(folder=a_folder(place=Place("254:0", b"/bound"))) == ["place_differs"]
    assert verdict(folder=a_folder(place=None)) == ["place_differs"]
    assert judge_place(a_sighting(), "regular", None, b"") == ["place_differs"]


def test_a_folder_bound_elsewhere_is_the_same_place() -> None:
    sighting = a_sighting(path=b"/data/tool", place=Place("254:0", b"/bound/tool"))
    assert verdict(sighting, folder=a_folder(place=Place("254:0", b"/bound"))) == []


def test_the_suffix_of_rpm() -> None:
    sighting = a_sighting(place=Place("254:0", b"/srv/tool;5f3a2b1c"))
    assert verdict(sighting) == []
    assert verdict(sighting, name=b"tool;5f3a2b1c") == []
    assert verdict(a_sighting(place=Place("254:0", b"/srv/tool;5f3a2b1"))) == ["place_differs"]


@pytest.mark.parametrize(
    ("uid", "folder"),
    [
        (0, an_ancestor(uid=USER)),
        (USER, an_ancestor(uid=USER)),
        (USER, an_ancestor(mode=0o1777)),
        (USER, an_ancestor(mode=0o1755)),
    ],
)
def test_an_owner_that_may_own_files_there(uid: int, folder: Ancestor) -> None:
    assert verdict(a_sighting(file=a_file(uid=uid)), folder=a_folder(an_ancestor(b"/"), folder)) == []


@pytest.mark.parametrize(
    ("uid", "folder"),
    [
        (USER, an_ancestor()),
        (USER, an_ancestor(uid=OTHER)),
        (USER, an_ancestor(uid=OTHER, mode=0o1755)),
    ],
)
def test_an_owner_that_has_no_business_there(uid: int, folder: Ancestor) -> None:
    assert verdict(a_sighting(file=a_file(uid=uid)), folder=a_folder(an_ancestor(b"/"), folder)) == ["owner_differs"]


@pytest.mark.parametrize(
    "ancestors",
    [
        [an_ancestor(b"/"), an_ancestor(mode=0o775)],
        [an_ancestor(b"/"), an_ancestor(mode=0o2775)],
        [an_ancestor(b"/"), an_ancestor(mode=0o770), an_ancestor(b"/srv/deep")],
        [an_ancestor(b"/"), an_ancestor(uid=USER), an_ancestor(b"/srv/deep")],
        [an_ancestor(b"/"), an_ancestor(uid=USER), an_ancestor(b"/srv/deep", uid=OTHER)],
        [an_ancestor(b"/"), an_ancestor(uid=USER, mode=0o1777)],
        [an_ancestor(b"/", uid=USER), an_ancestor()],
    ],
)
def test_a_folder_that_others_may_change(ancestors: list[Ancestor]) -> None:
    assert verdict(folder=a_folder(*ancestors)) == ["ancestor_writable"]


@pytest.mark.parametrize(
    "ancestors",
    [
        [an_ancestor(b"/"), an_ancestor(mode=0o757)],
        [an_ancestor(b"/"), an_ancestor(mode=0o2777)],
        [an_ancestor(b"/"), an_ancestor(mode=0o777), an_ancestor(b"/srv/deep")],
    ],
)
def test_a_folder_in_which_anybody_may_exchange_files(ancestors: list[Ancestor]) -> None:
    checksum = Witness("checksum", "sha256", "aa", "")
    assert judge_folder(a_file(), ancestors) == ["ancestor_writable", "checksum_wanted"]
    assert standing(judge_folder(a_file(), ancestors), ["ancestor_writable"]) == ["checksum_wanted"]
    assert judge_folder(a_file(), ancestors, checksum) == ["ancestor_writable"]


@pytest.mark.parametrize("mode", [0o1777, 0o1757, 0o775])
def test_a_folder_in_which_not_everybody_may_exchange_files(mode: int) -> None:
    assert "checksum_wanted" not in judge_folder(a_file(), [an_ancestor(b"/"), an_ancestor(uid=USER, mode=mode)])


def test_a_users_own_folder_in_a_users_own_folder() -> None:
    ancestors = [an_ancestor(b"/"), an_ancestor(b"/home/u", uid=USER), an_ancestor(b"/home/u/d", uid=USER)]
    assert verdict(a_sighting(file=a_file(uid=USER)), folder=a_folder(*ancestors)) == []


@pytest.mark.parametrize(("by", "reason"), [("checksum", "checksum_differs"), ("package", "superseded")])
def test_other_content(by: str, reason: str) -> None:
    witness = Witness(by, "md5", "aa", "tool")
    assert verdict(witness=witness, digest="bb") == [reason]
    assert verdict(witness=witness, digest="aa") == []


def test_without_a_digest_nothing_is_proven() -> None:
    assert judge_content(Witness("package", "md5", "aa", "tool"), None) == ["superseded"]


def test_only_three_reasons_can_be_waived() -> None:
    names = list(_judge.REASONS)
    waived = {"owner_differs", "ancestor_writable", "superseded"}
    assert set(_judge.WAIVABLE) == waived
    assert standing(names, names) == [name for name in names if name not in waived]
    assert standing(names, []) == names
    assert standing(["superseded", "owner_differs"], ["superseded"]) == ["owner_differs"]


def test_sentence() -> None:
    assert sentence(["not_regular", "owner_differs"]) == (
        "it is no regular file (not_regular); it belongs neither to root nor to the owner of the folder (owner_differs)"
    )


def test_every_reason_has_a_sentence() -> None:
    assert all(sentence([name]).endswith(f" ({name})") for name in _judge.REASONS)


def test_shared_memory_of_the_kernels_own_mount_never_had_a_name() -> None:
    """/dev/zero and anonymous shared memory: nobody passed it out of a namespace."""
    sighting = a_sighting(mount=None, place=None, foreign="untrusted", path=b"/dev/zero", file=a_file(device=1))
    assert verdict(sighting, kind="shared_memory") == ["no_name"]


@pytest.mark.parametrize(
    ("reasons", "provable"),
    [([], False), (["unproven"], True), (["unproven", "superseded"], False), (["superseded"], False)],
)
def test_what_proven_content_settles(reasons: list[str], provable: bool) -> None:
    assert is_provable(reasons) is provable


def test_the_words_that_witnesses_and_kinds_are_told_apart_by() -> None:
    """As words, not as what comes before or behind them in the alphabet; equal, not the very same object."""
    assert judge_content(Witness("a user", "md5", "aa", ""), "bb") == ["superseded"]
    assert judge_content(Witness("checksum", "md5", "aa", ""), "".join(["a", "a"])) == []
    assert judge_place(a_sighting(mount=None), "unheard_of", a_folder(), b"tool") == ["mount_unknown"]


@pytest.mark.parametrize("device", ["254:1", "253:0", "1:0", "999:0"])
def test_the_same_path_on_another_device(device: str) -> None:
    assert verdict(a_sighting(place=Place(device, b"/srv/tool"))) == ["place_differs"]
