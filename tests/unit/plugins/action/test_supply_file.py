# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What supply_file gives a host of what peers offered, and what it makes of the host's answer, or of none."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible import constants
from ansible.errors import AnsibleConnectionFailure

from ansible_collections.procfs.rescue.plugins.action import supply_file
from ansible_collections.procfs.rescue.plugins.plugin_utils._peer_cache import PeerCache
from unit.plugins.samples import NEED, OFFER

FAILED = {"path": NEED["path"], "status": "failed", "changed": False, "msg": "Not held.", "refused": [], "needs": NEED}
RESTORED = {"path": "/usr/bin/other", "status": "restored", "changed": True, "msg": "It was restored."}
FOUND = {"files": [RESTORED, FAILED], "changed": True, "failed": True, "msg": "x", "way": "module"}

Host = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PeerCache:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    return PeerCache()


@pytest.fixture
def supply(cache: PeerCache, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """``supply(host, found=, sources=, ...)`` runs the action; ``host`` answers the module's arguments."""

    def run(host: Host, **options: Any) -> dict[str, Any]:
        task = SimpleNamespace(args={}, delegate_to=None, async_val=0, check_mode=False, diff=False)
        connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/nowhere"))
        action: Any = supply_file.ActionModule(task, connection, None, None, None, None)  # type: ignore[arg-type]
        given = {"files": None, "found": None, "looked": False, "sources": ["peer", "package"], "accept": []}
        given.update(transport="module", parents=True, try_start=False, **options)
        monkeypatch.setattr(action, "validate_argument_spec", lambda **_spec: (None, given))
        monkeypatch.setattr(action, "_execute_module", lambda module_args, **_how: host(module_args))
        monkeypatch.setattr(action, "_is_pipelining_enabled", lambda _style: False)
        return dict(action.run(None, {"inventory_hostname": "web1"}))

    return run


def offers(cache: PeerCache, *peers: str, **other: Any) -> None:
    for peer in peers:
        cache.keep_offer(peer, {**NEED, **OFFER, **other})


def cut(_arguments: dict[str, Any]) -> dict[str, Any]:
    raise AnsibleConnectionFailure("The link was cut.")


def no_way(_arguments: dict[str, Any]) -> dict[str, Any]:
    return {"module_stdout": "", "module_stderr": "sh: not found", "msg": "x"}


def crash(_arguments: dict[str, Any]) -> dict[str, Any]:
    return {"failed": True, "msg": "MODULE FAILURE: MemoryError"}


@pytest.mark.parametrize(("host", "why"), [(cut, "link was cut"), (no_way, "not found"), (crash, "MemoryError")])
def test_what_came_back_is_told_where_the_host_does_not_answer_again(
    supply: Callable[..., dict[str, Any]], host: Host, why: str
) -> None:
    told = supply(host, found=FOUND)
    assert [file["path"] for file in told["files"]] == [RESTORED["path"], NEED["path"]]
    assert told["files"][0] == RESTORED and told["files"][1]["status"] == "failed"
    assert (told.get("unreachable", False), told["failed"]) == (host is cut, host is not cut)
    assert told["changed"] is False, "by this task"
    assert why in told["msg"]


def test_the_size_is_that_of_the_content(cache: PeerCache, supply: Callable[..., dict[str, Any]]) -> None:
    offers(cache, "peer", size=10**18)
    cache.keep_content(NEED, "peer", 3, [b"abc"])
    given: list[dict[str, Any]] = []

    def host(arguments: dict[str, Any]) -> dict[str, Any]:
        given.extend(arguments["files"])
        return {"files": [{**FAILED, "status": "restored", "changed": True}]}

    assert supply(host, files=[NEED])["changed"] and given[0]["offer"]["size"] == 3


def test_a_peer_that_says_nothing_of_what_it_has_leaves_the_other_sources(
    cache: PeerCache, supply: Callable[..., dict[str, Any]]
) -> None:
    cache.note("evil", [{"path": NEED["path"], "status": "present", "offers": [{"path": NEED["path"]}]}])
    sources: list[Any] = []

    def host(arguments: dict[str, Any]) -> dict[str, Any]:
        sources.extend(arguments["sources"])
        assert "evil: what it has there is nothing that its package" in arguments["files"][0]["no_peer"]
        return {"files": [{**FAILED, "status": "restored", "changed": True}]}

    assert supply(host, files=[NEED])["files"][0]["status"] == "restored" and sources == ["peer", "package"]


@pytest.mark.parametrize(
    ("modes", "given"),
    [
        (["0775", "0755", "0755"], ["0775", "0755"]),
        (["0775", "0775", "0775"], ["0775"]),
        (["0771", "0772", "0773", "0774", "0775", "0776", "0755"], ["0771", "0772", "0773", "0774", "0775"]),
    ],
)
@pytest.mark.parametrize("is_large", [False, True])
def test_the_host_gets_it_as_all_peers_have_it_at_once(
    cache: PeerCache,
    supply: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    modes: list[str],
    given: list[str],
    is_large: bool,
) -> None:
    """It knows the order of the sources: no package is asked before the last peer."""
    for number, mode in enumerate(modes):
        offers(cache, f"peer{number}", mode=mode, size=10**18)
    cache.keep_content(NEED, "peer0", 3, [b"abc"])
    monkeypatch.setattr(supply_file, "PIECE", 2 if is_large else 3)
    seen: list[Any] = []
    calls: list[str] = []

    def host(arguments: dict[str, Any]) -> dict[str, Any]:
        calls.append(next(("stage" if "stage" in file else "file" for file in arguments["files"]), "way in"))
        if calls[-1] != "file":
            time.sleep(0.1)
            return {"files": []}
        seen.append(arguments)
        (file,) = arguments["files"]
        assert ("token" in file) == is_large
        offers = [file, *file["others"]]
        assert [one["offer"]["mode"] for one in offers] == given and {one["offer"]["size"] for one in offers} == {3}
        assert [one["by"] for one in offers] == [f"peer peer{modes.index(mode)}" for mode in given]
        return {"files": [{**FAILED, "msg": "No.", "refused": ["owner_differs"]}]}

    told = supply(host, files=[NEED])
    assert told["failed"] and [one["sources"] for one in seen] == [["peer", "package"]]
    assert not is_large or told["files"][0]["seconds"] >= 0.2, "with the pieces"
    assert calls == (["way in", "stage", "stage", "file"] if is_large else ["file"])
