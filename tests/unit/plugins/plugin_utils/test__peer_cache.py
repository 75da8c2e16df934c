# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import os
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible import constants

from ansible_collections.procfs.rescue.plugins.lookup.rescue_peers import DOCUMENTATION, LookupModule
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.plugin_utils import _peer_cache
from ansible_collections.procfs.rescue.plugins.plugin_utils._peer_cache import PeerCache, need_said
from unit.plugins.samples import OFFER

PATH = "/usr/bin/bash"
NEED: dict[str, Any] = {
    "path": PATH,
    "checksum": "md5:900150983cd24fb0d6963f7d28e17f72",
    "checksum_by": "package",
    "package": "bash",
    "version": "5.2",
    "architecture": "amd64",
    "manager": "dpkg",
    "release": "debian 12",
}
SYMLINK: dict[str, Any] = {**NEED, "path": "/usr/bin/sh", "checksum": None, "checksum_by": None, "package": "dash"}
OTHER = "md5:" + "0" * 32


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PeerCache:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    return PeerCache()


def alive(cache: PeerCache, *hosts: str, **other: Any) -> None:
    for host in hosts:
        has = {**NEED, **OFFER, **other}
        has["leads_to"] = None if has["checksum"] else "ZGFzaA=="
        cache.note(host, [{"path": has["path"], "status": "present", "offers": [has]}])


def lost(cache: PeerCache, *hosts: str, **other: Any) -> None:
    for host in hosts:
        need = {**NEED, **other}
        cache.note(host, [{"path": need["path"], "status": "failed", "needs": need}])


def peers(**options: Any) -> list[dict[str, Any]]:
    """What the lookup gives; Ansible's loader of plugins, which reads the options, wants more than the plugins here."""
    plugin: Any = LookupModule()
    defaults = {name: option["default"] for name, option in yaml.safe_load(DOCUMENTATION)["options"].items()}
    plugin.set_options, plugin.get_option = lambda **_how: None, {**defaults, **options}.__getitem__
    return list(plugin.run([]))


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


def test_a_host_whose_name_is_like_that_of_a_part(cache: PeerCache) -> None:
    alive(cache, "web.1.part")
    assert cache.donors("b", NEED) == ["web.1.part"]


def test_what_another_is_about_to_say_is_no_need_yet(cache: PeerCache, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    rename = os.rename

    def look_and_rename(old: str, new: str) -> None:
        seen.extend(cache.needs())
        rename(old, new)

    monkeypatch.setattr(os, "rename", look_and_rename)
    lost(cache, "web1")
    assert seen == [] and cache.needs() == [NEED]


@pytest.mark.parametrize("path", ["/" + "d" * 200 + "/" + "x" * 250, "/a\n{{ b }}/..", "/\udcff"])
def test_any_path(cache: PeerCache, path: str) -> None:
    alive(cache, "a", path=path)
    assert cache.donors("b", need_said({**NEED, "path": path})) == ["a"]


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"version": "5.1"}, "web2: it has bash 5.1 amd64, not bash 5.2 amd64"),
        ({"architecture": "arm64"}, "web2: it has bash 5.2 arm64, not bash 5.2 amd64"),
        ({"package": None, "version": None}, "web2: it has no package with that path, not bash 5.2 amd64"),
        ({"manager": "rpm"}, "web2: it has bash 5.2 amd64 of rpm, not bash 5.2 amd64 of dpkg"),
        ({"checksum": OTHER}, f"web2: it has a file with {OTHER} there, not with {NEED['checksum']}"),
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
    with pytest.raises(RescueError, match="another digest"):
        cache.keep_content(NEED, "web2", 3, [b"abd"])
    assert cache.content(NEED) is cache.packed(NEED) is cache.read_from(NEED) is None
    cache.keep_content(NEED, "web2", 3, [b"ab", b"c"])
    path = cache.content(NEED)
    assert path is not None and Path(path).read_bytes() == b"abc"
    assert zlib.decompress(base64.b64decode(cache.packed(NEED) or "")) == b"abc"
    assert cache.read_from(NEED) == "web2"
    # Once for each digest, whatever it is called and whatever package it is of.
    assert cache.content({**NEED, "version": "other", "path": "/elsewhere"}) == path
    assert not list((tmp_path / "procfs-rescue" / "parts").iterdir())


def test_nobody_fills_the_disk_of_the_controller(
    cache: PeerCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[bytes] = []

    def endless() -> Iterator[bytes]:
        while True:
            taken.append(b"abc")
            yield taken[-1]

    with pytest.raises(RescueError, match="more than it had said"):
        cache.keep_content(NEED, "web2", 5, endless())
    assert len(taken) == 2
    for free, offered, most in ((10**12, 10**12, 16 * 2**30), (100, 51, 50)):
        monkeypatch.setattr("shutil.disk_usage", lambda _path, free=free: SimpleNamespace(free=free))
        with pytest.raises(RescueError, match=f"it offers {offered} bytes, and .* takes {most} at most"):
            cache.keep_content(NEED, "web2", offered, endless())
    assert len(taken) == 2 and not list((tmp_path / "procfs-rescue" / "parts").iterdir())


def test_large_content_goes_in_pieces(cache: PeerCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_peer_cache, "PIECE", 2)
    cache.keep_content(NEED, "web2", 3, [b"ab", b"c"])
    assert cache.content(NEED) is not None and cache.packed(NEED) is None


def test_one_fetches_what_many_need(cache: PeerCache) -> None:
    with cache.fetching(NEED) as is_ours:
        assert is_ours
        cache.keep_content(NEED, "web2", 3, [b"ab", b"c"])
    with cache.fetching(NEED) as is_still_wanted:
        assert not is_still_wanted


def test_which_hosts_are_asked(cache: PeerCache) -> None:
    """Each content of one host, with others in case that gives none; no symlinks, which have no content."""
    lost(cache, "n1", "n2")
    lost(cache, "n1", **SYMLINK)
    lost(cache, "n3", checksum=OTHER)
    alive(cache, "a", "b")
    alive(cache, "c", checksum=OTHER)
    asked = peers()
    assert sorted(one["peer"] for one in asked) == ["a", "b", "c"]
    assert {one["peer"]: [need["checksum"] for need in one["needs"]] for one in asked}["c"] == [OTHER]
    cache.keep_content(NEED, "a", 3, [b"ab", b"c"])
    assert [one["peer"] for one in peers()] == ["c"]


def test_who_has_said_nothing_yet_is_waited_for_and_then_asked(cache: PeerCache) -> None:
    lost(cache, "n1")
    hosts = ["n1", "s 1", "s2"]
    assert peers() == [] and cache.silent(hosts) == ["s 1", "s2"]
    began = time.monotonic()
    asked = peers(hosts=hosts, wait=0.3)
    assert [(one["peer"], one["needs"]) for one in asked] == [("s 1", [NEED]), ("s2", [NEED])]
    assert time.monotonic() - began > 0.3
    cache.refuse("s 1", NEED, "has none")
    assert [one["peer"] for one in peers(hosts=hosts)] == ["s2"]
    later = threading.Timer(0.3, alive, (cache, "s2"))
    later.start()
    began = time.monotonic()
    assert [one["peer"] for one in peers(hosts=hosts, wait=60)] == ["s2"]
    assert 0.2 < time.monotonic() - began < 50
    later.join()


@pytest.mark.parametrize("more", [{"manager": "x"}, {"offset": "abc"}, {"offset": 1, "length": 1}, {"release": "x"}])
def test_what_one_host_says_besides_does_not_change_what_is_asked_for_others(
    cache: PeerCache, more: dict[str, Any]
) -> None:
    lost(cache, "a-hostile", **more)
    lost(cache, "b-honest")
    alive(cache, "c")
    (asked,) = [need for one in peers() if one["peer"] == "c" for need in one["needs"]]
    assert {**asked, "release": NEED["release"]} == NEED


@pytest.mark.parametrize(
    "said",
    [
        None,
        7,
        ["x"],
        [{}],
        [{"path": PATH, "status": "present", "offers": {"x": 1}}],
        [{"path": PATH, "status": "present", "offers": ["x", None]}],
        [{"path": PATH, "status": "present", "offers": [NEED]}],
        [{"path": PATH, "status": "present", "offers": [{"path": PATH, "checksum": OTHER, "checksum_by": "checksum"}]}],
        [{"path": PATH, "status": ["x"], "offers": [{**NEED, **OFFER, "leads_to": "ZGFzaA=="}]}],
        [{"path": PATH, "status": "present", "offers": [{**NEED, **OFFER, "size": float("inf")}]}],
        [{"path": PATH, "status": "present", "offers": [{**NEED, **OFFER, "size": -1}]}],
        [{"path": PATH, "status": "present", "offers": [{**NEED, **OFFER, "mtime_ns": 10**30}]}],
        [{"path": PATH, "status": "present", "offers": [{**NEED, **OFFER, "xattrs": {"user.\0": ""}}]}],
        [{"path": PATH, "status": "present", "offers": [{**NEED, **OFFER, "xattrs": {"\ud800": ""}}]}],
        [{"path": 7, "path_b64": 7, "status": "present"}],
        [{"path": PATH, "status": "failed", "needs": None}],
        [{"path": PATH, "status": "failed", "needs": {"path": "x"}}],
        [{"path": PATH, "status": "failed", "needs": {**NEED, "checksum": {}, "package": ["x"]}}],
    ],
)
def test_what_a_host_says_in_another_form_harms_nobody(cache: PeerCache, said: Any) -> None:
    lost(cache, "web1")
    cache.note("a-hostile", said)
    alive(cache, "web2")
    assert cache.donors("web1", NEED) == ["web2"] and cache.offer("web2", NEED)["leads_to"] is None
    cache.why_none("web1", NEED)
    assert "web2" in [one["peer"] for one in peers()]
