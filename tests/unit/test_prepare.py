# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""tests/prepare.py: what it refuses, said to those who start it, and the little that it decides."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import prepare

NOBODY = 65534
ROOT = prepare.ROOT
LOCKS = [prepare.CONTROLLER_LOCK, prepare.TESTS_LOCK]


class Answer(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the script reads, and nothing made yet."""
    for folder in [tmp_path, *tmp_path.parents[:2]]:  # pytest lets nobody else in
        folder.chmod(0o755)
    for name in "bindep.txt", "tests/prepare.py", *LOCKS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    monkeypatch.setattr(prepare, "ROOT", tmp_path)
    monkeypatch.setattr(prepare, "VENV", tmp_path / ".venv")
    return tmp_path


def start(clone: Path, *arguments: str, user: int = 0, path: str = os.defpath, platform: str = "linux") -> Answer:
    """The script as ``python3 tests/prepare.py``, on a machine that is a little different."""
    pretend = f"import runpy, sys; sys.platform = {platform!r}; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    done = subprocess.run(
        ["/usr/bin/python3", "-c", pretend, clone / "tests" / "prepare.py", *arguments],
        user=user,
        group=user,
        extra_groups=[],
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def refused(clone: Path, answer: Answer) -> str:
    """The sentence of a run that changed nothing."""
    assert (answer.code, answer.out) == (1, "")
    assert sorted(path.name for path in clone.iterdir()) == ["bindep.txt", "requirements.txt", "tests"]
    sentence, end = answer.err.split(" Nothing was changed.")
    assert end == "\n"
    return sentence


def test_without_root(clone: Path) -> None:
    sentence = refused(clone, start(clone, user=NOBODY))
    assert sentence == "The test hosts have mounts, networks and processes of their own: this needs root."


def test_without_linux(clone: Path) -> None:
    sentence = refused(clone, start(clone, platform="freebsd14"))
    assert sentence == "The test hosts are made of Linux namespaces: this needs Linux."


@pytest.mark.parametrize(
    ("programs", "missing"),
    [
        pytest.param(["dpkg-query"], ["no-such-package"], id="Debian"),
        pytest.param([], sorted(prepare.packages_for_tests((ROOT / "bindep.txt").read_text())), id="no dpkg"),
    ],
)
def test_a_package_missing_and_no_apt(clone: Path, programs: list[str], missing: list[str]) -> None:
    if programs:
        with (clone / "bindep.txt").open("a") as bindep:
            bindep.write("no-such-package [platform:dpkg test]\n")
    path = clone / "tests" / "bin"
    path.mkdir()
    for program in programs:
        (path / program).symlink_to(f"/usr/bin/{program}")
    sentence = refused(clone, start(clone, path=str(path)))
    assert sentence == f"Missing here: {', '.join(missing)}; and there is no apt-get to install them with."


def test_python_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 18))
    monkeypatch.setattr(sys, "version", "3.9.18 (main)")
    with pytest.raises(prepare.PrepareError) as refusal:
        prepare.check_python([])
    assert str(refusal.value) == "ansible-core 2.16 needs Python 3.10 or newer; python3 is 3.9.18 here."


def test_a_ready_machine_is_left_alone(clone: Path) -> None:
    stamp(clone, LOCKS)
    before = sorted(clone.rglob("*"))
    assert start(clone) == Answer(0, "", "")
    link = clone / "collections" / "ansible_collections" / "procfs" / "rescue"
    assert link.resolve() == clone
    assert start(clone) == Answer(0, "", "")
    assert sorted(set(clone.rglob("*")) - set(before)) == [*reversed(link.parents[:3]), link]


def test_a_controller_needs_no_root(clone: Path) -> None:
    stamp(clone, LOCKS[:1])
    os.chown(clone, NOBODY, NOBODY)
    assert start(clone, "controller", user=NOBODY) == Answer(0, "", "")


def stamp(clone: Path, locks: list[str]) -> None:
    """As if .venv had been made by the Python that start() uses."""
    version = subprocess.check_output(
        ["/usr/bin/python3", "-c", "import sys; print(sys.version.split()[0])"], text=True
    )
    lines = [f"python {version.strip()} {clone}", *prepare.missing_stamp(locks)[1:]]
    (clone / ".venv").mkdir()
    (clone / ".venv" / "stamp").write_text("\n".join(lines) + "\n")


def test_the_venv_of_the_tests_serves_a_controller_but_not_the_other_way_round(clone: Path) -> None:
    stamp_this(clone, LOCKS)
    assert prepare.missing_stamp(LOCKS[:1]) == []
    stamp_this(clone, LOCKS[:1])
    assert prepare.missing_stamp(LOCKS) != []


def another_python(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version", "3.99.0 (main)")


def another_folder(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = clone.rename(clone.with_name("moved"))
    monkeypatch.setattr(prepare, "ROOT", moved)
    monkeypatch.setattr(prepare, "VENV", moved / ".venv")


def another_lock(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (clone / prepare.CONTROLLER_LOCK).open("a") as lock:
        lock.write("# another\n")


@pytest.mark.parametrize("change", [another_python, another_folder, another_lock])
def test_what_makes_a_venv_stale(
    clone: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path, pytest.MonkeyPatch], None]
) -> None:
    stamp_this(clone, LOCKS)
    assert prepare.missing_stamp(LOCKS) == []
    change(clone, monkeypatch)
    assert prepare.missing_stamp(LOCKS) != []


def stamp_this(clone: Path, locks: list[str]) -> None:
    (clone / ".venv").mkdir(exist_ok=True)
    (clone / ".venv" / "stamp").unlink(missing_ok=True)
    (clone / ".venv" / "stamp").write_text("\n".join(prepare.missing_stamp(locks)))


def test_reads_bindep_as_bindep_does() -> None:
    bindep = [str(Path(sys.executable).with_name("bindep")), "--file", "bindep.txt", "--list_all", "newline", "test"]
    wanted = subprocess.check_output(bindep, cwd=ROOT, text=True).split()
    assert len(wanted) > 10
    assert sorted(prepare.packages_for_tests((ROOT / "bindep.txt").read_text())) == sorted(wanted)


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(prepare, "POLICY", tmp_path / "policy-rc.d")
    return tmp_path / "policy-rc.d"


def test_no_service_is_started_while_installing(policy: Path) -> None:
    with prepare.no_service_started():
        # In this process's name, which grep looks for.
        assert "pytest" in Path("/proc/self/cmdline").read_text()
        policy.write_text(policy.read_text().replace("prepare", "pytest"))
        assert allows(policy) is False
    assert not policy.exists()


def test_a_policy_left_by_a_killed_run_denies_nothing_and_goes_with_the_next(policy: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    policy.write_text(prepare.DENY.format(pid=ended.pid))
    policy.chmod(0o755)
    assert allows(policy) is True
    with prepare.no_service_started():
        assert f"/proc/{os.getpid()}/" in policy.read_text()
    assert not policy.exists()


def test_the_machines_own_policy_stays(policy: Path) -> None:
    policy.write_text("#!/bin/sh\nexit 0\n")
    with prepare.no_service_started():
        pass
    assert policy.read_text() == "#!/bin/sh\nexit 0\n"


def allows(policy: Path) -> bool:
    """Whether ssh may start; see invoke-rc.d(8)."""
    code = subprocess.run([policy, "ssh", "start"], stderr=subprocess.DEVNULL, check=False).returncode
    assert code in {0, 101}
    return code == 0


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_an_interruption_waits_for_the_package_manager(number: signal.Signals) -> None:
    steps = []

    def install() -> None:
        with prepare.uninterrupted():
            os.kill(os.getpid(), number)
            steps.append("installed")

    with pytest.raises(SystemExit) as stop:
        install()
    assert (steps, stop.value.code) == (["installed"], 128 + number)
