# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each reason by itself, of files that are only described. test__reclaim.py has real ones."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._may_free import (
    REASONS,
    Freeable,
    Manner,
    cut,
    length,
    refusals,
)
from ansible_collections.procfs.rescue.plugins.module_utils._model import File, Sighting
from ansible_collections.procfs.rescue.plugins.module_utils._summary import Found
from unit.plugins.samples import a_deleted_file, a_file, a_sighting

WRITER = a_sighting(access="write")
OTHER_WRITER = a_sighting(access="write", fd=4)


def refused(
    *sightings: Sighting, kind: str = "regular", state: str = "removed", at_its_own: int | None = None, **manner: Any
) -> list[str]:
    """``at_its_own`` is the descriptor that does not write at the end."""
    found = Found(a_deleted_file(*sightings, kind=kind), state)
    return refusals(found, Manner(**manner), lambda one: one.fd != at_its_own)


def test_a_log_that_nobody_reads() -> None:
    assert refused(WRITER, OTHER_WRITER) == []


@pytest.mark.parametrize("kind", ["memfd", "tmpfile", "shared_memory", "device"])
def test_what_is_no_ordinary_file(kind: str) -> None:
    assert refused(WRITER, kind=kind) == ["not_ordinary"]


@pytest.mark.parametrize("state", ["replaced", "unknown"])
def test_a_name_that_is_not_free(state: str) -> None:
    assert refused(WRITER, state=state) == ["not_removed"]


@pytest.mark.parametrize("nlink", [1, 2])
def test_a_link_that_is_left(nlink: int) -> None:
    assert refused(WRITER._replace(file=a_file(nlink=nlink))) == ["linked"]


@pytest.mark.parametrize("via", ["map", "exe"])
def test_who_would_be_killed(via: str) -> None:
    assert refused(WRITER, a_sighting(access="write", via=via, fd=None)) == ["mapped"]


@pytest.mark.parametrize("access", ["read", "both"])
def test_who_may_read_it_again(access: str) -> None:
    assert refused(WRITER, a_sighting(access=access)) == ["may_read"]
    assert refused(WRITER, a_sighting(access=access), readable=True) == []


def test_who_writes_at_an_offset_of_its_own() -> None:
    assert refused(WRITER, OTHER_WRITER, at_its_own=4) == ["sparse_writer"]
    assert refused(WRITER, OTHER_WRITER, at_its_own=4, sparse_writer=True) == []
    assert refused(WRITER, a_sighting(access="both", fd=4), at_its_own=4, readable=True) == ["sparse_writer"]
    assert refused(WRITER, a_sighting(fd=4), at_its_own=4, readable=True) == []  # a reader's offset


@pytest.mark.parametrize("manner", [{"keep_last": 1}, {"archive": b"/srv/archive"}])
def test_nobodys_offset_matters_where_the_size_stays(manner: dict[str, Any]) -> None:
    assert refused(WRITER, at_its_own=3, **manner) == []
    assert refused(WRITER, at_its_own=3, readable=True, **manner) == ["sparse_writer"]


def test_all_that_is_against_it_is_told() -> None:
    worst = a_sighting(access="both", file=a_file(nlink=1)), a_sighting(via="map", fd=None)
    reasons = refused(*worst, kind="memfd", state="replaced", at_its_own=3)
    assert reasons == ["not_ordinary", "not_removed", "linked", "mapped", "may_read", "sparse_writer"]
    assert set(reasons) < set(REASONS)


def test_who_writes() -> None:
    sightings = [WRITER, a_sighting(), a_sighting(access="both"), a_sighting(access="write", via="map")]
    candidate = Freeable(a_deleted_file(*sightings), [])
    assert candidate.best == WRITER
    assert candidate.writers == [sightings[0], sightings[2]]


@pytest.mark.parametrize(
    ("manner", "archived", "expected"),
    [
        ({}, None, None),
        ({"readable": True}, None, None),
        ({"keep_last": 1}, None, 999),
        ({"keep_last": 300}, None, 700),
        ({"keep_last": 1001}, None, 0),
        ({}, 1000, 1000),
        ({}, 400, 400),
        ({}, 0, 0),
        ({"keep_last": 300}, 900, 700),
        ({"keep_last": 300}, 600, 600),
        ({"readable": True}, 1000, None),
    ],
)
def test_how_much_is_freed_from_the_beginning_on(
    manner: dict[str, Any], archived: int | None, expected: int | None
) -> None:
    assert length(Manner(**manner), a_file(size=1000), archived) == expected


def cut_of(file: File, copy: dict[str, Any] | None, at_its_own: int | None = None, **manner: Any) -> int | None:
    one = Freeable(a_deleted_file(WRITER, OTHER_WRITER), [])
    return cut(one, Manner(**manner), file, copy, lambda writer: writer.fd != at_its_own, "the first {}".format)


ARCHIVED = a_file(size=1000)
COPY = {"consistent": True, "size": 1000, "mtime": ARCHIVED.mtime_ns / 1e9, "checksum": "sha256:the first 1000"}
LATER = ARCHIVED._replace(mtime_ns=ARCHIVED.mtime_ns + 10**9)


@pytest.mark.parametrize("at_its_own", [None, 4])
def test_what_is_in_the_archive_as_it_is(at_its_own: int | None) -> None:
    assert cut_of(ARCHIVED, COPY, at_its_own) == 1000
    assert cut_of(ARCHIVED, COPY, at_its_own, keep_last=1) == 999
    assert cut_of(ARCHIVED, COPY, at_its_own, readable=True) is None


@pytest.mark.parametrize("file", [LATER, LATER._replace(size=1001)])
def test_what_came_behind_it_stays(file: File) -> None:
    assert cut_of(file, COPY) == 1000
    assert cut_of(file, dict(COPY, consistent=False)) == 1000


@pytest.mark.parametrize(
    ("file", "copy"),
    [
        (LATER, COPY),
        (ARCHIVED._replace(size=1001), COPY),
        (ARCHIVED, dict(COPY, consistent=False)),
    ],
)
def test_what_changed_while_it_was_archived(file: File, copy: dict[str, Any]) -> None:
    for options in {"at_its_own": 4}, {"readable": True}:
        with pytest.raises(RescueError, match="changed while it was archived") as caught:
            cut_of(file, copy, **options)
        assert caught.value.reasons == ["changed"]


@pytest.mark.parametrize("checksum", ["sha256:of other content", None])
def test_what_was_begun_anew_by_who_appends(checksum: str | None) -> None:
    """It was cut off and written again, to more than before."""
    assert cut_of(ARCHIVED, dict(COPY, checksum=checksum)) == 1000  # as it is: nobody needs the digest
    with pytest.raises(RescueError, match="changed while it was archived"):
        cut_of(LATER._replace(size=2000), dict(COPY, checksum=checksum))


def test_what_is_shorter_than_its_archive() -> None:
    with pytest.raises(RescueError):
        cut_of(LATER._replace(size=999), COPY)


def test_without_an_archive() -> None:
    assert cut_of(LATER, None) is None
    assert cut_of(LATER, None, keep_last=300) == 700


def test_nothing_is_allowed_that_was_not_asked_for() -> None:
    assert Manner() == Manner(False, False, 0, None, None, False)
