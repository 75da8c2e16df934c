# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.plugin_utils._report_data import (
    HostReport,
    from_run,
    from_saved,
    merged,
    read_saved,
    shaped,
    shown,
    to_json,
)
from ansible_collections.procfs.rescue.plugins.plugin_utils._report_text import lines, to_csv
from ansible_collections.procfs.rescue.plugins.plugin_utils._report_view import view
from unit.plugins.hostile import FEWER
from unit.plugins.report_samples import HOSTILE, a_result, an_entry, bash, facts, page_of, reports


def test_what_is_written_reads_back_as_it_was(tmp_path: Path) -> None:
    before = reports(h1=facts(an_entry(), bash()), h2={"files": [a_result()]}, h3={"unreachable": True, "msg": "no"})
    (tmp_path / "r.json").write_text("".join(to_json(before, 2000.0)), encoding="ascii")
    assert merged(read_saved(str(tmp_path / "r.json"))) == before


@pytest.mark.parametrize("name", HOSTILE)
def test_the_json_is_ascii_and_keeps_what_names_say(name: str) -> None:
    text = "".join(to_json(reports(**{name: facts(an_entry(name))}), 2000.0))
    assert text.isascii()
    (told,) = json.loads(text)["hosts"].values()
    assert told["entries"][0]["path"] == shown(name)


@pytest.mark.parametrize("data", [[], 1, {"h1": []}, {"hosts": {"h1": 3}}, {"format": "other/2", "hosts": {}}])
def test_what_is_no_report_is_refused(data: Any) -> None:
    with pytest.raises(RescueError, match=r"r\.json (does not map|has the format)"):
        from_saved(data, "r.json", 0.0)


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text("<html>")
    with pytest.raises(RescueError, match="is not JSON"):
        read_saved(str(tmp_path / "r.json"))
    with pytest.raises(RescueError, match="could not be read"):
        read_saved(str(tmp_path / "gone.json"))


def test_the_latest_facts_count_in_whatever_order_they_come() -> None:
    old, new = reports(1000.0, h1=facts(an_entry())), reports(2000.0, h1=facts())
    for order in (old + new, new + old):
        (host,) = merged(order)
        assert (host.scanned, len(host.entries)) == (2000.0, 0)


def test_a_host_that_did_not_answer_later_keeps_its_facts_and_tells_why() -> None:
    (host,) = merged(reports(h1=facts(an_entry())) + reports(2000.0, h1={"unreachable": True, "msg": "timed out"}))
    assert (host.scanned, len(host.entries), host.error) == (1000.0, 1, "timed out")


def test_a_second_run_that_finds_all_in_place_does_not_hide_the_first() -> None:
    first, second = {"files": [a_result()]}, {"files": [a_result(status="present")]}
    (host,) = merged(reports(h1=first) + reports(2000.0, h1=second))
    assert [one["status"] for one in host.rescued] == ["restored"]
    (host,) = merged(reports(h1={"files": [a_result(status="failed")]}) + reports(2000.0, h1=first))
    assert [one["status"] for one in host.rescued] == ["restored"]


def test_a_failed_rescue_is_no_failed_look() -> None:
    told = {"failed": True, "msg": "Do not reboot.", "files": [a_result(status="failed")], "way": "sftp"}
    (host,) = reports(h1=told)
    assert host.error == "" and host.scanned is None
    assert (host.rescued[0]["status"], host.rescued[0]["way"]) == ("failed", "sftp")


def test_a_peer_or_a_package_as_source() -> None:
    package = a_result(source={"package": "bash", "version": "5.2-1"})
    (host,) = reports(h1={"files": [a_result(), a_result("/a", source="peer h7"), {**package, "path": "/b"}]})
    sources = [one["source"] for one in host.rescued]
    assert sources == ["/proc/812/exe, comm bash, user root", "peer h7", "package bash, version 5.2-1"]


def test_what_this_run_registered() -> None:
    way_in = {"logged_in": True}
    kept = {"stdout": json.dumps({"problems": [], "gone": ["/usr/bin/bash"]})}
    host = from_run("h1", {"report_scan": {"ansible_facts": facts(bash())}, "lifeline_way_in": way_in}, 5.0)
    assert (host.scanned, len(host.entries), host.error) == (5.0, 1, "")
    assert host.lifeline == {"ready": True, "problems": [], "only_kept": []}
    host = from_run("h1", {"lifeline_way_in": way_in, "lifeline_kept": kept}, 5.0)
    assert host.lifeline == {"ready": True, "problems": [], "only_kept": ["/usr/bin/bash"]}
    failed = {"failed": True, "msg": "Connection refused"}
    host = from_run("h1", {"lifeline_way_in": failed, "lifeline_kept": {"stdout": "Traceback"}}, 5.0)
    assert host.lifeline is not None and not host.lifeline["ready"]
    assert host.lifeline["problems"] == ["Connection refused", "The keeper did not answer."]
    host = from_run("h1", {"report_scan": {"unreachable": True, "msg": "timed out"}}, 5.0)
    assert (host.scanned, host.error) == (None, "timed out")
    assert from_run("h1", {}, 5.0) == HostReport("h1", None, "", [], {}, [], None)
    host = from_run("h1", {"rescue_result": {"unreachable": True, "msg": "timed out"}}, 5.0)
    assert [(one["status"], one["msg"]) for one in host.rescued] == [("failed", "timed out")]


@pytest.mark.parametrize("name", HOSTILE)
def test_shown_text_has_nothing_that_a_screen_acts_on(name: str) -> None:
    assert shown(name).isprintable()
    assert shown(shown(name)) == shown(name)


def test_text_that_is_no_name_is_cut() -> None:
    assert len(shown("x" * 10**6)) < 5000


def test_numbers_that_are_none() -> None:
    for value in (-1, 2**63, 1e400, math.nan, True, "7", [], {}):
        assert shaped(value, int) == 0
    assert shaped(None, int) == 0
    assert shaped(None, (int,)) is None and shaped(-1, (int,)) == 0


_KEYS = st.sampled_from(
    [
        *facts(),
        *facts()["deleted_files_summary"],
        *an_entry(),
        *a_result(),
        "ansible_facts",
        "files",
        "failed",
        "rescue",
    ]
    + ["rescued", "lifeline", "entries", "summary", "scanned", "error", "removed", "/"]
)
_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(HOSTILE),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=5),
    max_leaves=30,
)


@FEWER
@given(_ANY, _ANY, st.dictionaries(_KEYS, _ANY))
def test_whatever_a_host_sends_there_is_a_report(entry: Any, value: Any, told: dict[str, Any]) -> None:
    almost = facts(an_entry())
    almost["deleted_files"] += [entry, {**an_entry(), "holders": value, "path": value}]
    almost["deleted_files_summary"].update(
        running=value, mount_points=value, suspicious=[value], critical_missing=value
    )
    hosts = reports(h1=told, h2=almost, h3={"files": [value, {"path": value, "source": value}]})
    assert [one.name for one in hosts] == ["h1", "h2", "h3"]
    assert page_of(hosts).startswith("<!DOCTYPE html>")
    assert to_csv(hosts) and lines(view(hosts), "") and "".join(to_json(hosts, 0.0)).isascii()
