# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from ansible import constants
from ansible.plugins.loader import lookup_loader

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.plugin_utils import _peer_cache
from ansible_collections.procfs.rescue.plugins.plugin_utils._peer_cache import PeerCache

PATH = "/usr/bin/bash"
NEED: dict[str, Any] = {
    "path": PATH,
    "checksum": "md5:900150983cd24fb0d6963f7d28e17f72",
    "checksum_by": "package",
    "package": "bash",
    "version": "5.2",
    "architecture": "amd64",
    "release": "debian 12",
}
SYMLINK: dict[str, Any] = {**NEED, "path": "/usr/bin/sh", "checksum": None, "checksum_by": None, "package": "dash"}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PeerCache:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    return PeerCache()


def alive(cache: PeerCache, *hosts: str, **other: Any) -> None:
    for host in hosts:
        has = {**NEED, **other}
        cache.note(host, [{"path": has["path"], "status": "present", "offers": [{**has, "size": 3, "source": PATH}]}])


def lost(cache: PeerCache, *hosts: str, **other: Any) -> None:
    for host in hosts:
        need = {**NEED, **other}
        cache.note(host, [{"path": need["path"], "status": "failed", "needs": need}])


def names(letter: str, count: int) -> list[str]:
    return [f"{letter}{number}" for number in range(count)]


@pytest.mark.parametrize(
    ("needing", "donors", "bad"),
    [(45, 5, 1), (3, 2, 1), (7, 7, 3), (2, 9, 8), (40, 1, 0), (41, 6, 5), (60, 6, 3), (10, 10, 9)],
)
def test_the_load_is_even_also_when_donors_fall_out(cache: PeerCache, needing: int, donors: int, bad: int) -> None:
    lost(cache, *names("n", needing))
    alive(cache, *names("d", donors))
    alive(cache, *names("other", 20), version="5.1")

    def most() -> int:
        return max(Counter(cache.donors(name, NEED)[0] for name in names("n", needing)).values())

    assert most() <= -(-needing // donors)
    for name in names("d", bad):
        cache.refuse(name, NEED, "it broke off")
    assert most() <= -(-needing // (donors - bad))
    assert sorted(cache.donors("n0", NEED)) == sorted(names("d", donors)[bad:])


def test_nobody_is_a_peer_of_its_own(cache: PeerCache) -> None:
    alive(cache, "a", "b/../c\n")
    assert cache.donors("a", NEED) == ["b/../c\n"]
    assert cache.donors("a", {**NEED, "path": "/usr/bin/other"}) == []


@pytest.mark.parametrize("path", ["/" + "d" * 200 + "/" + "x" * 250, "/a\n{{ b }}/..", "/\udcff"])
def test_any_path(cache: PeerCache, path: str) -> None:
    alive(cache, "a", path=path)
    assert cache.donors("b", {**NEED, "path": path}) == ["a"]


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"version": "5.1"}, "web2: it has bash 5.1 amd64, not bash 5.2 amd64"),
        ({"architecture": "arm64"}, "web2: it has bash 5.2 arm64, not bash 5.2 amd64"),
        ({"package": None, "version": None}, "web2: it has no package with that path, not bash 5.2 amd64"),
        ({"checksum": "md5:00"}, f"web2: it has a file with md5:00 there, not with {NEED['checksum']}"),
        ({"path": "/usr/bin/other"}, None),
    ],
)
def test_who_has_something_else_is_no_source(cache: PeerCache, other: dict[str, Any], why: str | None) -> None:
    alive(cache, "web2", **other)
    assert cache.donors("web1", NEED) == []
    assert cache.why_none("web1", NEED) == ([] if why is None else [why])


def test_what_nothing_vouches_for_is_no_source(cache: PeerCache) -> None:
    cache.note("web2", [{"path": PATH, "status": "present"}])
    assert cache.donors("web1", NEED) == [] and "nothing that its package" in cache.why_none("web1", NEED)[0]


def test_a_symlink_needs_the_same_release(cache: PeerCache) -> None:
    alive(cache, "web2", **SYMLINK)
    alive(cache, "web3", **{**SYMLINK, "release": "debian 13"})
    assert cache.donors("web1", SYMLINK) == ["web2"]
    assert cache.why_none("web1", SYMLINK)[1:] == ["web3: it runs debian 13, not debian 12"]


def test_for_a_digest_that_the_user_gives_versions_do_not_matter(cache: PeerCache) -> None:
    by_user = {"checksum_by": "checksum"}
    alive(cache, "web2", version="5.1", release="fedora 40", **by_user)
    assert cache.donors("web1", {**NEED, **by_user}) == ["web2"]


def test_only_content_with_the_digest_is_kept(cache: PeerCache, tmp_path: Path) -> None:
    with pytest.raises(RescueError, match="another digest"), cache.new_content(NEED, "web2") as file:
        file.write(b"abd")
    assert cache.content(NEED) is cache.packed(NEED) is cache.read_from(NEED) is None
    with cache.new_content(NEED, "web2") as file:
        file.write(b"abc")
    path = cache.content(NEED)
    assert path is not None and Path(path).read_bytes() == b"abc"
    assert zlib.decompress(base64.b64decode(cache.packed(NEED) or "")) == b"abc"
    assert cache.read_from(NEED) == "web2"
    # Once for each digest, whatever it is called and whatever package it is of.
    assert cache.content({**NEED, "version": "other", "path": "/elsewhere"}) == path
    assert not list(tmp_path.rglob("*.part"))


def test_large_content_goes_in_pieces(cache: PeerCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_peer_cache, "PIECE", 2)
    with cache.new_content(NEED, "web2") as file:
        file.write(b"abc")
    assert cache.content(NEED) is not None and cache.packed(NEED) is None


def test_one_fetches_what_many_need(cache: PeerCache) -> None:
    with cache.fetching(NEED) as is_ours:
        assert is_ours
        with cache.new_content(NEED, "web2") as file:
            file.write(b"abc")
    with cache.fetching(NEED) as is_still_wanted:
        assert not is_still_wanted


def test_which_hosts_are_asked(cache: PeerCache) -> None:
    """Each content of one host, with others in case that gives none; no symlinks, which have no content."""
    lost(cache, "n1", "n2")
    lost(cache, "n1", **SYMLINK)
    lost(cache, "n3", checksum="md5:00")
    alive(cache, "a", "b")
    alive(cache, "c", checksum="md5:00")
    asked = lookup_loader.get("procfs.rescue.rescue_peers").run([])
    assert sorted(one["peer"] for one in asked) == ["a", "b", "c"]
    assert {one["peer"]: [need["checksum"] for need in one["needs"]] for one in asked}["c"] == ["md5:00"]
    with cache.new_content(NEED, "a") as file:
        file.write(b"abc")
    assert [one["peer"] for one in lookup_loader.get("procfs.rescue.rescue_peers").run([])] == ["c"]
