# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever mallory shows root: nothing of it is restored, and it does not keep the honest file from coming back."""

from __future__ import annotations

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils._model import Terms
from ansible_collections.procfs.rescue.plugins.module_utils._restore import restore
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_client import Client, Pipe
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_host import sftp_host
from attacks.attack import Attack
from attacks.cases import ATTACKS
from attacks.stage import ForbiddenHereError, Stage
from fleet import Fleet
from fleet.drill import table
from unit.plugins.holders import wait_until


@pytest.fixture(scope="module")
def own_fleet():
    with Fleet(1) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def stage(own_fleet):
    return Stage(own_fleet.hosts[0])


COLUMNS = {
    "text": "root saw",
    "uid": "uid",
    "mode": "mode",
    "own_namespace": "same namespace",
    "refused": "refused because",
    "honest": "honest file beside it back",
}


WAYS = (
    *("copied", "copied, without O_TMPFILE", "linked"),
    *("replaced", "replaced, without O_TMPFILE", "linked and replaced"),
)
WHAT = ("folder", "ancestor", "name", "draft")


class Report:
    """The table of what really happened, printed when all is done.

    "else" are the reasons that come forth when namespaces are believed.
    """

    def __init__(self):
        self.rows = {}

    def told(self, case, name, **columns):
        self.rows.setdefault((case, name), {}).update(columns)

    def pytest_terminal_summary(self, terminalreporter):
        rows_told = sorted(self.rows.items(), key=lambda row: int(row[0][0]))
        rows = [["", "attack", *COLUMNS.values()]]
        rows += [[*attack, *(told.get(column, "-") for column in COLUMNS)] for attack, told in rows_told]
        terminalreporter.write_line("")
        terminalreporter.write_line(table(rows))


@pytest.fixture(scope="module")
def report(pytestconfig):
    report = Report()
    pytestconfig.pluginmanager.register(report)
    return report


def try_out(stage, report, attack, *, honest, restore=None):
    name = (attack.case, attack.name)
    try:
        trial = stage.try_out(attack, honest=honest, restore=restore)
    except ForbiddenHereError as error:
        report.told(*name, refused=f"this kernel forbids it: {error}")
        pytest.skip(f"this kernel forbids it: {error}")
    if restore is not None:
        return trial
    if honest:
        report.told(*name, honest="yes" if trial.after == trial.before else "NO")
    else:
        (seen,) = trial.look.seen
        reasons = named(trial.results or trial.by_hand)
        refused = "NOT REFUSED" if trial.after else ", ".join(reasons)
        if attack.second:
            refused += " (else " + ", ".join(reason for reason in named(trial.believed) if reason not in reasons) + ")"
        report.told(*name, **seen, refused=refused)
    return trial


def named(results):
    return sorted({reason for result in results for reason in result.get("refused", ())})


def refusals(results):
    assert {result["status"] for result in results} <= {"failed"}, results
    return [set(result["refused"]) for result in results]


def assert_refused(attack, trial):
    if not attack.stale_facts:
        assert refusals(trial.results) == [set(attack.refused)]
    by_hand = attack.refused if attack.by_hand is None else attack.by_hand
    assert refusals(trial.by_hand) == ([set(by_hand)] if by_hand != ("not_held",) else [])
    assert refusals(trial.believed) == ([set(attack.second)] if attack.second else [])
    if attack.still_refused:
        assert refusals(trial.accepted) == [set(attack.still_refused)]
    assert_untouched(trial)


def assert_untouched(trial):
    assert trial.after is None
    assert trial.names[0] == trial.names[1]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_alone_it_is_refused_and_nothing_is_written(stage, report, attack):
    assert_refused(attack, try_out(stage, report, attack, honest=False))


@pytest.mark.parametrize("attack", [attack for attack in ATTACKS if attack.honest], ids=lambda attack: attack.name)
def test_beside_it_the_honest_file_comes_back(stage, report, attack):
    trial = try_out(stage, report, attack, honest=True)
    assert [result["status"] for result in trial.accepted or trial.by_hand] == ["restored"]
    assert trial.after == trial.before


@pytest.mark.parametrize("attack", {attack.case: attack for attack in ATTACKS}.values(), ids=lambda attack: attack.name)
def test_the_whole_way_by_ansible_and_ssh(stage, report, own_fleet, run_module, attack):
    """One of each kind, asked for as users do: by its path, or by the facts where these are what she makes untrue."""

    def by_ansible(requests, accept):
        if not requests or ("source" in requests[0]) != attack.stale_facts:
            return []
        arguments = {"files": requests, "accept": list(accept)}
        return run_module("restore_file", arguments, inventory=own_fleet.inventory()).files

    trial = try_out(stage, report, attack, honest=False, restore=by_ansible)
    assert refusals(trial.results + trial.by_hand) == [set(attack.refused)]
    assert_untouched(trial)


@pytest.mark.parametrize(
    "program",
    ["silent_process", *(pytest.param(f"silent_file {answers}", marks=pytest.mark.long) for answers in range(3))],
)
def test_who_never_answers_keeps_nobody_waiting(stage, program):
    """Questions about her process, or her file, wait for a file system that she serves: for ever, if she likes."""
    if not (stage.host.root() / "dev/fuse").exists():
        stage.host.run(["mknod", "-m", "0666", "/dev/fuse", "c", "10", "229"])
    name, *arguments = program.split()
    attack = Attack("14", program, name, (), arguments=tuple(arguments))
    summary, results, is_back, seconds = stage.keep_waiting(attack)
    assert seconds < 40
    told = summary["silent_processes"] or summary["skipped_mounts"] or summary["unreadable_processes"]
    if program == "silent_file 2":  # that is all that the facts ask; what is restored asks more
        assert summary["complete"]
    else:
        assert told and not summary["complete"]
    assert [result["status"] for result in results] == ["restored"]
    assert is_back
    # What is left of it would make every later test wait.
    wait_until(lambda: not stage.host.run(["find", "/proc", "-maxdepth", "1", "-user", "mallory"]).stdout)


@pytest.fixture
def over_sftp(own_fleet):
    """Restores over SFTP, which needs a shell that is not the one that gets lost."""
    (host,) = own_fleet.hosts
    host.run(["usermod", "--shell", "/usr/bin/dash", "root"])
    *command, target = host.ssh_command("root", "-oConnectTimeout=5")
    command = [part.encode() for part in (*command, "-s", target, "sftp")]

    def restore_so(requests, accept):
        with sftp_host(lambda: Client(Pipe(command, 10))) as backend:
            return restore(requests, Terms(accept=accept), print, backend)

    return restore_so


@pytest.mark.long
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_over_sftp_it_is_refused_as_well(stage, report, attack, over_sftp):
    """Less is known there, so the reasons are others at times; what is written is nothing all the same."""
    trial = try_out(stage, report, attack, honest=False, restore=over_sftp)
    refusals(trial.results + trial.by_hand + trial.accepted)
    assert_untouched(trial)


@pytest.mark.long
# Facts that were gathered by a module have other devices than SFTP knows.
@pytest.mark.parametrize(
    "attack",
    [attack for attack in ATTACKS if attack.honest and not attack.stale_facts],
    ids=lambda attack: attack.name,
)
def test_over_sftp_the_honest_file_beside_it_comes_back(stage, report, attack, over_sftp):
    trial = try_out(stage, report, attack, honest=True, restore=over_sftp)
    assert [result["status"] for result in trial.accepted or trial.by_hand] == ["restored"]
    assert trial.after[:4] == trial.before[:4]


@pytest.mark.parametrize(
    ("way", "what"),
    [(way, what) for way in WAYS for what in WHAT if what != "draft" or "replaced" in way or "without" in way],
)
def test_what_she_exchanges_meanwhile_leads_nowhere_else(stage, report, way, what):
    told = stage.exchange(way, what)
    name = f"{what} exchanged before each of {len(told['calls'])} calls of a file that is {way}"
    counts = ", ".join(f"{status} {count}" for status, count in told["told"].items())
    report.told("10", name, refused="WRITTEN ELSEWHERE" if told["wrong"] else counts)
    assert told["undisturbed"] == "restored"
    assert told["wrong"] == {}
