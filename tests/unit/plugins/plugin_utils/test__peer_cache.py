# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from ansible import constants

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.plugin_utils._peer_cache import MOST, PeerCache

PATH = "/usr/bin/bash"
NEED: dict[str, Any] = {"path": PATH, "checksum": "md5:900150983cd24fb0d6963f7d28e17f72", "release": "debian 12"}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PeerCache:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    return PeerCache()


def alive(cache: PeerCache, *hosts: str) -> None:
    for host in hosts:
        cache.note(host, ["/bin/bash"], [{"path": PATH, "status": "present"}])


def lost(cache: PeerCache, *hosts: str) -> None:
    for host in hosts:
        cache.note(host, ["/bin/bash"], [{"path": PATH, "status": "failed", "needs": NEED}])


@pytest.mark.parametrize(("needing", "donors"), [(45, 5), (3, 2), (7, 7), (2, 9), (40, 1), (41, 6)])
def test_the_load_is_even_also_when_a_donor_falls_out(cache: PeerCache, needing: int, donors: int) -> None:
    lost(cache, *(f"n{number}" for number in range(needing)))
    alive(cache, *(f"d{number}" for number in range(donors)))
    orders = [cache.donors(f"n{number}", PATH) for number in range(needing)]
    assert max(Counter(order[0] for order in orders).values()) <= -(-needing // donors)
    if donors > 1:
        left = Counter(next(name for name in order if name != "d0") for order in orders)
        assert max(left.values()) <= -(-needing // (donors - 1)) + 1
    assert all(len(order) == min(donors, MOST) == len(set(order)) for order in orders)


def test_nobody_is_a_peer_of_its_own(cache: PeerCache) -> None:
    alive(cache, "a", "b/../c\n")
    assert cache.donors("a", PATH) == cache.donors("a", "/bin/bash") == ["b/../c\n"]
    assert cache.donors("a", "/usr/bin/other") == []


@pytest.mark.parametrize("path", ["/" + "d" * 200 + "/" + "x" * 250, "/a\n{{ b }}/..", "/\udcff"])
def test_any_path(cache: PeerCache, path: str) -> None:
    cache.note("a", [path], [{"path": path, "status": "present"}])
    assert cache.donors("b", path) == ["a"]


def test_only_content_with_the_digest_is_kept(cache: PeerCache, tmp_path: Path) -> None:
    with pytest.raises(RescueError, match="another digest"), cache.new_content(NEED) as file:
        file.write(b"abd")
    assert cache.content(NEED) is None
    with cache.new_content(NEED) as file:
        file.write(b"abc")
    path = cache.content(NEED)
    assert path is not None and Path(path).read_bytes() == b"abc"
    assert cache.content({**NEED, "version": "other"}) is None
    assert not list(tmp_path.rglob("*.part"))


def test_one_fetches_what_many_need(cache: PeerCache) -> None:
    with cache.fetching(NEED, wait=False) as is_ours:
        assert is_ours
        with cache.fetching(NEED, wait=False) as is_another_s:
            assert not is_another_s
        with cache.new_content(NEED) as file:
            file.write(b"abc")
    with cache.fetching(NEED, wait=True) as is_still_wanted:
        assert not is_still_wanted


def test_what_is_offered(cache: PeerCache) -> None:
    for host in ("a", "b", "c"):
        cache.note(host, [NEED["path"]], [{"path": NEED["path"], "status": "present"}])
    cache.keep_offer("a", NEED, {"msg": "it has another version"})
    assert not cache.is_offered("needs", NEED)
    cache.keep_offer("b", NEED, {"offer": {"size": 3}})
    assert cache.is_offered("needs", NEED)
    assert not cache.is_offered("needs", {**NEED, "checksum": "md5:00"})


def test_an_offer_is_kept_without_its_content(cache: PeerCache) -> None:
    assert cache.offer("h1", NEED) is None
    cache.keep_offer("h1", NEED, {"offer": {"size": 3}, "content": "YWJj"})
    assert cache.offer("h1", NEED) == {"offer": {"size": 3}}
    assert cache.offer("h2", NEED) is None
