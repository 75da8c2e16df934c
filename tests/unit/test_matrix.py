# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""tests/matrix.py: what its table says of what was not tried."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import matrix

# As ansible-core 2.21.5 says it.
SKIPPED = 'WARNING: Skipping sanity test "{}" on Python {} because it could not be found.\n'
OTHER = "WARNING: Skipping tests disabled by default without --allow-disabled: package-data\n"


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """Exit code and stderr of the next commands; the last of them goes on."""
    found: list[tuple[int, str]] = []

    def ran(command: list[str], _folder: Path, _more: dict[str, str]) -> subprocess.CompletedProcess[str]:
        code, told = found.pop(0) if len(found) > 1 else found[0]
        return subprocess.CompletedProcess(command, code, "3 passed in 1.00s\n", told)

    monkeypatch.setattr(matrix, "ran", ran)
    return found


@pytest.mark.parametrize(
    ("answer", "cell"),
    [
        ((0, ""), "passed"),
        ((0, OTHER), "passed"),
        (
            (0, OTHER + "".join(SKIPPED.format(*one) for one in (("import", "3.14"), ("compile", "3.14")))),
            "passed, without 3.14",
        ),
        ((0, SKIPPED.format("import", "3.14") + SKIPPED.format("import", "3.9")), "passed, without 3.9 and 3.14"),
        ((1, SKIPPED.format("import", "3.14")), "FAILED"),
    ],
)
def test_sanity_says_which_python_was_not_there(
    answers: list[tuple[int, str]], answer: tuple[int, str], cell: str
) -> None:
    answers.append(answer)
    assert matrix.sanity(Path("/nowhere")) == cell


def test_a_release_that_it_does_not_know(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix, "tried", lambda core: pytest.fail(f"tried {core.release}"))
    assert matrix.main(["2.21.5", "9.99"]) == 2
    screen = capsys.readouterr()
    assert screen.out == "" and screen.err.startswith("Not in the matrix: 9.99. It has 2.16.19, ")


def test_what_cannot_be_installed_is_a_row(
    answers: list[tuple[int, str]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers.append((0, ""))

    def installed(release: str, _python: str) -> Path:
        if release == "2.19.14":
            raise subprocess.CalledProcessError(1, ["pip", "install", f"ansible-core=={release}"])
        return Path(sys.executable).parent

    monkeypatch.setattr(matrix, "interpreter", lambda _version: sys.executable)
    monkeypatch.setattr(matrix, "installed", installed)
    monkeypatch.setattr(matrix, "with_pytest", lambda *_which: Path(sys.executable))
    assert matrix.main(["2.18.19", "2.19.14", "2.20.10"]) == 1
    screen = capsys.readouterr()
    table = screen.out.rpartition("\n\n")[2].splitlines()
    assert [line.split()[0] for line in table if line[0] != " "] == ["ansible-core", "2.18.19", "2.19.14", "2.20.10"]
    (row,) = [line for line in table if line.startswith("2.19.14")]
    assert row.split(maxsplit=1)[1] == "FAILED: CalledProcessError, see above"
    assert "'ansible-core==2.19.14'" in screen.err
    (good,) = [line for line in table if line.startswith("2.18.19")]
    assert good.split()[2:] == ["passed", "3", "passed", good.split()[1], "3", "passed", "3", "passed"]


def subscripted(text: str) -> Iterator[str]:
    """Names of builtins and of collections.abc that Python subscripts when it runs it, as it can from 3.9 on."""
    tree = ast.parse(text)
    names = {"dict", "frozenset", "list", "set", "tuple", "type"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "collections.abc":
            names |= {alias.asname or alias.name for alias in node.names}
        for field in "annotation", "returns":
            if getattr(node, field, None) is not None:
                setattr(node, field, None)
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in names:
            yield node.value.id


def test_what_is_subscripted() -> None:
    text = "from collections.abc import Callable\ndef f(x: list[int]) -> dict[str, int]: ...\nY: set[int]\n"
    assert list(subscripted(text)) == []
    assert list(subscripted(text + "Z = Callable[[], int]\nz: list[int] = list[int]()")) == ["Callable", "list"]


def test_tests_for_hosts_run_with_the_oldest_python(tmp_path: Path) -> None:
    """vermin does not see what is subscripted."""
    tests = [path for folder in matrix.ON_HOSTS for path in (matrix.ROOT / folder).rglob("*.py")]
    assert len(tests) > 40
    for path in tests:
        text = matrix.future(path.read_text("utf-8"))
        assert list(subscripted(text)) == [], path
        (tmp_path / f"{path.parent.name}_{path.name}").write_text(text, "utf-8")
    vermin = [Path(sys.executable).parent / "vermin", "--quiet", "--violations", "-t=3.6-", tmp_path]
    done = subprocess.run(vermin, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout
