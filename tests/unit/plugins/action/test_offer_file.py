# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a peer may answer: it is a source with what was asked for, or none; the others are asked, and nobody fails."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible import constants
from ansible.errors import AnsibleConnectionFailure

from ansible_collections.procfs.rescue.plugins.action import offer_file
from ansible_collections.procfs.rescue.plugins.plugin_utils._peer_cache import PeerCache
from unit.plugins.samples import NEED, OFFER

OTHER: dict[str, Any] = {**NEED, "path": "/usr/bin/other", "checksum": "md5:" + "0" * 32}
ABC = base64.b64encode(b"abc").decode("ascii")
GOOD = {"offer": OFFER, "content": ABC}


class Peer:
    """``offer_file`` delegated to it answers what it is told to, one answer after the other, the last one for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **task: Any) -> None:
        self.asked: list[list[dict[str, Any]]] = []
        self.answers: list[Any] = []
        args = {"files": [NEED], "transport": "module", "timeout": 60}
        self.task = SimpleNamespace(args=args, delegate_to="peer", async_val=0, check_mode=False, diff=False)
        self.task.__dict__.update(task)
        self._monkeypatch = monkeypatch

    def run(self, *answers: Any, needs: list[dict[str, Any]] | None = None, **task_vars: Any) -> list[dict[str, Any]]:
        self.answers = list(answers)
        self.task.args["files"] = needs or [NEED]
        shell = SimpleNamespace(tmpdir="/nowhere")
        action: Any = offer_file.ActionModule(
            self.task,
            SimpleNamespace(_shell=shell),
            None,
            None,
            None,
            None,  # type: ignore[arg-type]
        )
        spec = {name: self.task.args[name] for name in ("transport", "timeout")}
        self._monkeypatch.setattr(action, "validate_argument_spec", lambda **_spec: (None, spec))
        self._monkeypatch.setattr(action, "_execute_module", self._execute)
        self._monkeypatch.setattr(action, "_is_pipelining_enabled", lambda _style: False)
        result = action.run(None, {"inventory_hostname": "web1", **task_vars})
        assert not result.get("failed") and not result["changed"]
        return list(result["offers"])

    def _execute(self, module_args: dict[str, Any], **_how: Any) -> Any:
        self.asked.append(module_args["files"])
        told = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(told, Exception):
            raise told
        return told() if callable(told) else told


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PeerCache:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    return PeerCache()


@pytest.fixture
def peer(cache: PeerCache, monkeypatch: pytest.MonkeyPatch) -> Peer:
    return Peer(monkeypatch)


def test_what_is_as_expected_is_kept(cache: PeerCache, peer: Peer) -> None:
    assert peer.run({"offers": [GOOD]}) == [{"path": NEED["path"], "size": 3}]
    assert cache.donors("web1", NEED) == ["peer"] and cache.offer("peer", NEED) == {**NEED, **OFFER}
    path = cache.content(NEED)
    assert path and Path(path).read_bytes() == b"abc" and cache.read_from(NEED) == "peer"
    assert peer.run({"offers": [GOOD]}) == [] and len(peer.asked) == 1, "it was read before"


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"offers": None},
        {"offers": []},
        {"offers": [GOOD, GOOD, GOOD]},
        {"offers": ["x"]},
        {"offers": [{}]},
        {"offers": [{"offer": None}]},
        {"offers": [{"offer": OFFER}]},
        {"offers": [{"offer": {"size": 3}, "content": ABC}]},
        {"offers": [{"offer": OFFER, "content": None}]},
        {"offers": [{"offer": OFFER, "content": "a"}]},
        {"offers": [{"offer": {**OFFER, "size": "abc"}, "content": ABC}]},
        {"offers": [{"offer": {**OFFER, "leads_to": "eA=="}, "content": ABC}]},
        {"offers": [{"msg": "no"}]},
        {"failed": True},
        {"failed": True, "msg": {"x": "y"}},
        RecursionError("too deep"),
        AnsibleConnectionFailure("cut"),
    ],
)
def test_any_other_answer_makes_it_no_source(cache: PeerCache, peer: Peer, told: Any) -> None:
    (offer,) = peer.run(told)
    assert set(offer) == {"path", "msg", "refused"} and offer["path"] == NEED["path"]
    assert cache.donors("web1", NEED) == [] and cache.content(NEED) is None
    (why,) = cache.why_none("web1", NEED)
    assert why == f"peer: {offer['msg']}"
    peer.task.delegate_to = "another"
    assert peer.run({"offers": [GOOD]}) == [{"path": NEED["path"], "size": 3}]


def test_one_bad_answer_leaves_those_beside_it(cache: PeerCache, peer: Peer) -> None:
    asked = sorted([NEED, OTHER], key=lambda need: str(need["checksum"]))
    told = peer.run({"offers": ["x" if need is OTHER else GOOD for need in asked]}, needs=[NEED, OTHER])
    assert [("size" in one, one["path"]) for one in told] == [(need is NEED, need["path"]) for need in asked]
    assert cache.donors("web1", NEED) == ["peer"] and cache.donors("web1", OTHER) == []


def test_an_offer_is_of_what_was_asked_for(cache: PeerCache, peer: Peer) -> None:
    forged = {**OTHER, **OFFER, "manager": "x"}
    peer.run({"offers": [{"offer": forged, "content": ABC}]})
    assert cache.donors("web1", OTHER) == [] and cache.offer("peer", NEED) == {**NEED, **OFFER}


@pytest.mark.parametrize("task", [{"check_mode": True}, {}])
def test_what_is_asked_for_is_only_what_is_needed(cache: PeerCache, peer: Peer, task: dict[str, Any]) -> None:
    peer.task.__dict__.update(task)
    peer.run({"offers": [GOOD]}, needs=[{**NEED, "offset": "abc", "length": "x"}])
    length = {} if task else {"length": offer_file.PIECE}
    assert peer.asked == [[{**NEED, **length}]]


def pieces(size: int, *contents: bytes) -> list[dict[str, Any]]:
    return [
        {"offers": [{"offer": {**OFFER, "size": size}, "content": base64.b64encode(content).decode("ascii")}]}
        for content in contents
    ]


def test_large_content_comes_in_pieces(cache: PeerCache, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offer_file, "PIECE", 1)
    assert peer.run(*pieces(3, b"a", b"b", b"c")) == [{"path": NEED["path"], "size": 3}]
    assert [need[0].get("offset") for need in peer.asked] == [None, 1, 2] and cache.content(NEED)


@pytest.mark.parametrize(
    ("answers", "why", "calls"),
    [
        (pieces(3, b"abcd"), "it gave more than it had said", 1),
        (pieces(10**18, b"abc"), "bytes, and", 1),
        (pieces(10**6, b"abc", b"a"), "it broke off in the middle", 2),
        (pieces(10**6, b"abc", b"a" * 10**7), "it gave more than it had said", 2),
        (pieces(10**6, b"abc", b""), "it broke off in the middle", 2),
        ([*pieces(10**6, b"abc"), {"failed": True, "msg": "gone"}], "it broke off in the middle", 2),
        ([*pieces(10**6, b"abc"), {"offers": []}], "its answer could not be read", 2),
        ([*pieces(10**6, b"abc"), {"offers": [{"content": "a"}]}], "its answer could not be read", 2),
        ([*pieces(10**6, b"abc"), AnsibleConnectionFailure("cut")], "cut", 2),
        (pieces(3, b"abd"), "what arrived has another digest", 1),
    ],
)
def test_content_without_an_end(
    cache: PeerCache, peer: Peer, answers: list[Any], why: str, calls: int, tmp_path: Path
) -> None:
    (offer,) = peer.run(*answers)
    assert why in offer["msg"] and len(peer.asked) == calls
    assert cache.donors("web1", NEED) == [] and cache.content(NEED) is None
    assert not any(path.stat().st_size > 10**5 for path in tmp_path.rglob("*"))


def test_a_peer_that_says_nothing_is_given_up(cache: PeerCache, peer: Peer) -> None:
    """What it has said before is kept; the time begins anew with each piece."""
    first, second = sorted([NEED, {**OTHER, "checksum": "md5:" + "f" * 32}], key=lambda need: str(need["checksum"]))
    assert first is NEED
    peer.task.args["timeout"] = 1

    def slow() -> Any:
        time.sleep(0.6)
        return {"offers": [GOOD, {"offer": {**OFFER, "size": 10**7}, "content": base64.b64encode(b"a").decode()}]}

    def slower() -> Any:
        time.sleep(60)

    began = time.monotonic()
    (kept, silent) = peer.run(slow, slower, needs=[NEED, second])
    assert 1.5 < time.monotonic() - began < 10
    assert kept == {"path": NEED["path"], "size": 3} and cache.donors("web1", NEED) == ["peer"]
    assert silent["msg"] == "it gave no answer for 1 seconds" and silent["refused"] == ["unreachable"]
    assert cache.donors("web1", second) == [] and cache.content(second) is None


@pytest.mark.parametrize(("size", "seconds"), [(3, 60), (10**9, 160), (2**62, 60 + 16 * 1024**3 // 10**7)])
def test_who_has_to_read_much_may_take_longer(
    cache: PeerCache, peer: Peer, monkeypatch: pytest.MonkeyPatch, size: int, seconds: int
) -> None:
    cache.keep_offer("peer", {**NEED, **OFFER, "size": size})
    given: list[float] = []

    @contextmanager
    def patience(seconds: float) -> Iterator[Any]:
        given.append(seconds)
        yield lambda: None

    monkeypatch.setattr(offer_file, "patience", patience)
    peer.run({"offers": [GOOD]})
    assert given == [seconds]


@pytest.mark.parametrize(
    ("web1", "other", "expected"),
    [
        ({"lifeline_port": 1, "lifeline_user": "web1"}, {"lifeline_port": 2}, {"lifeline_port": 2}),
        ({"lifeline_port": 1, "lifeline_private_key_file": "/web1"}, {}, {"lifeline_user": "play"}),
        ({}, {"lifeline_port": 2}, {"lifeline_port": 2, "lifeline_user": "play"}),
        ({}, {}, {"lifeline_user": "play"}),
    ],
)
def test_a_peer_is_asked_by_its_own_lifeline(
    peer: Peer, monkeypatch: pytest.MonkeyPatch, web1: Any, other: Any, expected: Any
) -> None:
    used: list[Any] = []
    monkeypatch.setattr(
        offer_file, "answer", lambda *arguments: used.append(arguments[3]) or {"answers": [{"msg": ""}]}
    )
    peer.run({}, **{"lifeline_user": "play", **web1}, hostvars={"web1": web1, "peer": other})
    assert {name: value for name, value in used[0].items() if name.startswith("lifeline") and value} == expected
    assert used[0]["inventory_hostname"] == "web1"


def test_no_host_of_the_role_fails_because_of_a_peer() -> None:
    """Not even where there is no answer at all: the tasks are run once, for all."""
    role = Path(__file__).parents[4] / "roles" / "rescue" / "tasks" / "main.yml"
    tasks = [task for task in yaml.safe_load(role.read_text())[0]["block"] if "procfs.rescue.offer_file" in task]
    assert len(tasks) == 2 and all(task["ignore_errors"] and task["ignore_unreachable"] for task in tasks)
