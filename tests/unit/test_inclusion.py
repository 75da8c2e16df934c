# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What docs/docsite/rst/inclusion.rst gives as evidence, compared with what there is."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/docsite/rst/inclusion.rst").read_text(encoding="utf-8")
LITERALS = re.findall(r"``([^`]+)``", TEXT)


def evidence(requirement: str) -> str:
    (row,) = [row for row in TEXT.split("\n   * - ") if requirement in row.partition("\n     - ")[0]]
    return row.partition("\n     - ")[2]


def options(module: Path) -> dict[str, Any]:
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "DOCUMENTATION":
            found: dict[str, Any] = yaml.safe_load(ast.literal_eval(node.value))["options"]
            return found
    raise AssertionError(f"{module.name} has no documentation")


def test_no_option_called_state_but_those_it_names() -> None:
    modules = {path.stem: options(path) for path in (ROOT / "plugins/modules").glob("*.py")}
    having = {name: found["state"]["choices"] for name, found in modules.items() if "state" in found}
    row = re.findall(r"``(\w+)``", evidence("no querying by a ``state`` option"))
    assert len(modules) > 5
    assert sorted(row) == sorted([*having, *{choice for choices in having.values() for choice in choices}])


def test_paths_that_it_names_exist() -> None:
    suffix = r"\.(?:md|py|rst|toml|txt|yaml|yml)"
    paths = {one for one in LITERALS if re.fullmatch(rf"[\w.*/-]+/[\w.*/-]+|[\w.*-]+{suffix}", one)}
    assert {"README.md", ".ci/run", "tests/unit"} <= paths
    assert [path for path in sorted(paths) if not any(ROOT.glob(path))] == []


def test_make_targets_that_it_names_exist() -> None:
    named = {one[len("make ") :] for one in LITERALS if one.startswith("make ")}
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert "matrix" in named and named <= set(targets)


def test_what_runs_for_each_change_is_make_test() -> None:
    """With one release alone: that all of them are tried for each change is nothing that holds."""
    assert "make test\n" in (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert "for every pull request" in TEXT.partition("left to the publisher")[2]
    assert not re.search(r"for (?:each change|every pull request)", TEXT.partition("left to the publisher")[0])
