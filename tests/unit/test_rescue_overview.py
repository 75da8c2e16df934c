# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role rescue tells at its end."""

from __future__ import annotations

import json

import pytest

from ansible_collections.procfs.rescue.plugins.filter.rescue_overview import rescue_overview

BASH = "/usr/bin/bash"


def answer(status):
    return {"way": "sftp", "files": [{"path": BASH, "status": status, "msg": f"{status}: {{{{ 6*7 }}}}"}]}


def test_the_worst_file_is_what_the_host_is():
    both = dict(answer("restored"), files=answer("restored")["files"] + answer("failed")["files"])
    assert rescue_overview({"h1": both})["hosts"]["h1"]["outcome"] == "failed"
    assert rescue_overview({"h1": both})["hosts"]["h1"]["files"][1]["reason"] == "failed: {{ 6*7 }}"


def test_a_host_that_did_not_answer_failed():
    told = rescue_overview({"h1": answer("present"), "gone": {}})
    assert told["line"] == "2 hosts: 1 was_fine, 1 failed (gone)"
    assert told["table"] == [f"host  way   {BASH}", "h1    sftp  was_fine", "gone  -     failed"]
    assert "no answer" in told["hosts"]["gone"]["reason"]


def test_the_line_stays_short():
    line = rescue_overview({f"h{number}": {} for number in range(200)})["line"]
    assert line == "200 hosts: 200 failed (h0, h1, h2, h3, h4, …)"


def test_nobody():
    assert rescue_overview({})["line"] == "0 hosts: nothing was asked for"


FILE = {"path": BASH, "status": "restored", "msg": "", "changed": True}


@pytest.mark.parametrize(
    "said",
    [
        "x",
        {"files": None},
        {"files": "x"},
        {"files": ["x"]},
        {"files": [{}]},
        {"files": [{**FILE, "status": "pwn"}]},
        {"files": [{**FILE, "status": ["restored"]}]},
        {"files": [{**FILE, "path": 7}]},
        {"files": [{"path": BASH, "status": "failed"}]},
        {"files": [FILE], "way": 7},
    ],
)
def test_an_answer_that_cannot_be_read_hides_nobody_else(said):
    told = rescue_overview({"evil": said, "h1": answer("restored")})
    assert told["line"] == "2 hosts: 1 rescued, 1 failed (evil)"
    assert told["table"] == [f"host  way   {BASH}", "evil  -     failed", "h1    sftp  rescued"]
    assert told["hosts"]["evil"]["reason"] == "its answer could not be read"
    results = json.loads(json.dumps(told["results"]))
    assert [results[host]["outcome"] for host in ("evil", "h1")] == ["failed", "rescued"]


def test_a_host_that_went_away_in_the_middle_failed():
    (host,) = rescue_overview({"h1": {**answer("restored"), "unreachable": True, "msg": "cut"}})["hosts"].values()
    assert (host["outcome"], host["reason"], host["files"][0]["outcome"]) == ("failed", "cut", "rescued")


def test_a_host_that_a_task_timeout_ended_failed():
    """What Ansible adds to say so is deprecated there, and it warns of it."""
    told = rescue_overview({"h1": {"failed": True, "msg": "Timed out.", "timedout": {"frame": "x", "period": 20}}})
    assert told["hosts"]["h1"]["reason"] == "Timed out." and "timedout" not in told["results"]["h1"]
