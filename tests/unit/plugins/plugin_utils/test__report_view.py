# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import shlex

import pytest
import yaml

from ansible_collections.procfs.rescue.plugins.plugin_utils._report_data import merged
from ansible_collections.procfs.rescue.plugins.plugin_utils._report_view import View, largest, limit, view
from unit.plugins.report_samples import GIB, HOSTILE, a_holder, a_result, an_entry, bash, facts, reports, runners


def troubles(told: View) -> dict[str, list[str]]:
    return {name: [one.text for one in found] for name, found in told.troubles.items()}


def test_a_quiet_fleet_needs_nobody() -> None:
    told = view(reports(h1=facts(), h2=facts(an_entry())))
    assert not told.troubles and not told.rescue_hosts and told.rescue_command == ""
    assert (told.totals["hosts"], told.totals["scanned"], told.totals["complete"], told.totals["disk"]) == (
        2,
        2,
        2,
        GIB,
    )


def test_what_is_missing_or_run_is_to_be_rescued() -> None:
    told = view(
        reports(
            h1=facts(bash(), critical_missing=["/bin/bash"], running={"removed": runners(processes=[a_holder()])}),
            h2=facts(critical_missing=["/bin/sh"]),
            h3=facts(an_entry()),
        )
    )
    assert told.rescue_hosts == ["h1", "h2"]
    assert told.rescue_paths == ["/bin/sh", "/usr/bin/bash"], "/bin/bash is the same file"
    assert shlex.split(told.rescue_command)[4:] == [
        *("--become", "--limit", "h1,h2", "-e", "{rescue_paths: [/bin/sh, /usr/bin/bash]}")
    ]
    assert troubles(told)["h1"] == ["missing: /bin/bash", "1 service or process runs removed files"]
    assert (told.totals["missing"], told.totals["runs_removed"]) == (2, 1)


def test_what_root_would_not_put_back_is_not_asked_for() -> None:
    told = view(reports(h1=facts(bash(restorable=False, refused=["place_differs"]))))
    assert told.rescue_command == "" and troubles(told) == {"h1": ["1 path that is not what it says"]}


def test_unknown_is_not_reported_as_none() -> None:
    told = view(
        reports(
            h1={"unreachable": True, "msg": "timed out"},
            h2=facts(complete=False, unreadable_processes=3, unvisited_processes=1, skipped_mounts={"/nfs": 2}),
            h3={},
            h4=facts(complete=False, silent_processes=[7, 8]),
        )
    )
    assert troubles(told) == {
        "h1": ["could not be looked at: timed out"],
        "h3": ["could not be looked at: no answer"],
        "h4": ["not read fully: no answer about processes 7, 8"],
        "h2": ["not read fully: 3 of 142 processes could not be read; no time for 1 processes; no answer from /nfs"],
    }, "what cannot wait comes first"
    assert (told.totals["hosts"], told.totals["scanned"], told.totals["complete"]) == (4, 2, 0)


def test_after_a_rescue() -> None:
    gone = facts(bash(), critical_missing=["/bin/bash"])
    hosts = reports(1000.0, h1=gone, h2=gone)
    after = reports(2000.0, h1={"files": [a_result()]}, h2={"files": [a_result(status="failed")]})
    told = view(merged(hosts + after))
    assert troubles(told) == {
        "h2": ["missing: /bin/bash", "not rescued: /usr/bin/bash"],
        "h1": ["was rescued after it was looked at: gather the facts again"],
    }
    assert told.rescue_hosts == ["h2"]
    assert (told.totals["rescued"], told.totals["not_rescued"], told.totals["missing"]) == (1, 1, 1)
    # The facts of a later scan say themselves what is missing.
    assert view(merged(after + reports(3000.0, h1=gone))).rescue_hosts == ["h1", "h2"]


def test_back_but_not_as_it_was() -> None:
    told = view(reports(h1={"files": [a_result(usable=False, fix=["chmod u+s /usr/bin/sudo"])]}))
    assert troubles(told) == {"h1": ["/usr/bin/bash is back, but not usable as before"]}


def test_no_command_restarts_a_holder_before_its_rescue() -> None:
    outdated = {"replaced": runners(units=["nginx.service"], careful_units=["dbus.service"])}
    told = view(
        reports(
            h1=facts(bash(), running=outdated),
            h2=facts(running=outdated),
            h3=facts(running={"removed": runners(units=["a.service"])}),
        )
    )
    removed, nginx, dbus = told.restarts
    assert (removed.name, removed.command) == ("a.service", "")
    assert (nginx.hosts, nginx.not_yet) == (["h1", "h2"], ["h1"])
    assert (
        shlex.split(nginx.command)[1] == "h2" and shlex.split(nginx.command)[-1] == "name=nginx.service state=restarted"
    )
    assert dbus.command == "", "sessions depend on it"


@pytest.mark.parametrize("name", [*HOSTILE, "all:!db", "~.*", "@/etc/passwd", "a b.service", "-x", "x\\x2d.service"])
def test_no_name_does_more_in_a_command_than_name_something(name: str) -> None:
    outdated = {"replaced": runners(units=[name])}
    run = an_entry(f"/{name}", holders=[a_holder(via="exe")])
    told = view(reports(h1=facts(run), h2=facts(running=outdated)))
    assert told.rescue_hosts == ["h1"]
    if told.rescue_command:  # it may have a path that only looks odd
        assert yaml.safe_load(shlex.split(told.rescue_command)[-1]) == {"rescue_paths": [f"/{name}"]}
        assert name not in HOSTILE
    assert [one.command for one in told.restarts] == [""]
    assert limit(["h1", name]) is None


def test_spoofed_paths_and_intruders() -> None:
    spoofed = an_entry("/usr/bin/sudo", refused=["place_differs"], restorable=False)
    contained = an_entry("/usr/bin/bash", refused=["place_differs"], holders=[a_holder(container="a1b2c3")])
    intruder = {**a_holder(exe="/tmp/.x/kw (deleted)"), "reasons": ["removed", "world_writable_folder"]}
    shell = {**a_holder(exe="/usr/bin/bash (deleted)"), "reasons": ["removed"]}
    told = view(
        reports(
            h1=facts(spoofed),
            h2=facts(contained),
            h3=facts(suspicious=[intruder]),
            h4=facts(bash(), suspicious=[shell]),
        )
    )
    assert [(name, entry["path"]) for name, entry, _why in told.spoofed] == [("h1", "/usr/bin/sudo")]
    assert [name for name, _one, _why in told.suspicious] == ["h3", "h4"]
    assert told.suspicious[1][2].endswith("one of those that are to be rescued")
    assert set(troubles(told)) == {"h1", "h3"}, "who runs the bash that is gone is listed, but nobody's intruder"
    assert told.totals["suspicious"] == 2


def test_space_by_host_mount_point_and_service() -> None:
    told = view(reports(h1=facts(an_entry()), h2=facts(an_entry(size=2 * GIB)), h3=facts()))
    assert [(row.host, row.disk) for row in told.by_host] == [("h2", 2 * GIB), ("h1", GIB)]
    assert [(row.host, row.name, row.free) for row in told.by_mount] == [("h2", "/var", GIB), ("h1", "/var", GIB)]
    assert [(row.host, row.name, row.disk) for row in told.by_unit] == [("2", "nginx.service", 3 * GIB)]


def test_the_largest_entries_of_a_host() -> None:
    (host,) = reports(h1=facts(*(an_entry(f"/{size}", size) for size in range(30))))
    assert [entry["path"] for entry in largest(host)] == [f"/{size}" for size in range(29, 19, -1)]
