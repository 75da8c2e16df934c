# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may import whom in plugins/."""

from __future__ import annotations

import ast
import fnmatch
import graphlib
import re
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
PREFIX = "ansible_collections.procfs.rescue.plugins."
# What takes options from Ansible and gives it an answer.
ANSIBLES_SIDE = ("_*_task.py", "_sizes.py", "_restore_spec.py")


def imports(path: Path) -> set[str]:
    """The names of all modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: relative imports are not followed here"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


FILES = {
    ".".join(path.relative_to(PLUGINS).with_suffix("").parts): imports(path) for path in sorted(PLUGINS.rglob("*.py"))
}
GRAPH = {
    name: {found.removeprefix(PREFIX) for found in used if found.removeprefix(PREFIX) in FILES}
    for name, used in FILES.items()
}


def test_no_import_goes_in_a_circle() -> None:
    assert len(GRAPH) > 50 and "module_utils._judge" in GRAPH["module_utils._choose"]
    graphlib.TopologicalSorter(GRAPH).prepare()  # raises CycleError


def test_what_runs_on_hosts_knows_nothing_of_the_controller() -> None:
    for name, used in GRAPH.items():
        if name.startswith(("module_utils.", "modules.")):
            assert all(one.startswith("module_utils.") for one in used), f"{name} imports {sorted(used)}"


def test_steps_work_without_ansible() -> None:
    steps = (PLUGINS / "module_utils").glob("*.py")
    asking = {path.name for path in steps if any(name.split(".")[0] == "ansible" for name in imports(path))}
    assert "_sizes.py" in asking
    assert [name for name in asking if not any(fnmatch.fnmatch(name, one) for one in ANSIBLES_SIDE)] == []


def test_only_who_starts_a_task_on_a_host_decides_that_it_is_this_one() -> None:
    """Everything else takes a `Host`, whichever it is."""
    users = {name for name, used in GRAPH.items() if "module_utils._local_host" in used}
    assert users == {"module_utils._task", "module_utils._collect", "modules.reclaim_space"}


def test_sanity_of_2_16_compiles_no_unit_test_with_python_3_6() -> None:
    tests = (PLUGINS.parent / "tests" / "unit" / "plugins").glob("module*/test_*.py")
    ignored = (PLUGINS.parent / "tests" / "sanity" / "ignore-2.16.txt").read_text(encoding="utf-8").splitlines()
    named = [line.partition(" compile-3.6!skip #")[0] for line in ignored]
    assert named == sorted(str(path.relative_to(PLUGINS.parent)) for path in tests)


def test_unit_tests_of_what_runs_on_hosts_need_nothing_newer_than_hosts_have() -> None:
    """With Python 3.6 `make matrix` converts tests, and no plugin_utils."""
    tests = PLUGINS.parent / "tests"
    to_see = [path for kind in ("module_utils", "modules") for path in (tests / "unit/plugins" / kind).glob("*.py")]
    to_see.append(tests / "unit/plugins/conftest.py")
    found: dict[Path, set[str]] = {}
    while to_see:
        path = to_see.pop()
        found[path] = imports(path)
        helpers = {tests / f"{name.replace('.', '/')}.py" for name in found[path] if name.startswith("unit.")}
        to_see += [helper for helper in helpers if helper.exists() and helper not in found]
    assert len(found) > 40 and tests / "unit/plugins/holders.py" in found
    of_controller = f"{PREFIX}plugin_utils"
    assert [path.name for path, used in found.items() if any(name.startswith(of_controller) for name in used)] == []


def test_coverage_counts_all_code_that_is_shipped() -> None:
    root = PLUGINS.parent
    shipped = {"plugins", *(str(path.parent.relative_to(root)) for path in root.glob("roles/*/files/*.py"))}
    assert set(re.findall(r"--cov=(\S+)", (root / "Makefile").read_text(encoding="utf-8"))) == shipped


def test_the_changelog_names_the_plugins_that_there_are() -> None:
    text = (PLUGINS.parent / "changelogs" / "changelog.yaml").read_text(encoding="utf-8")
    releases = yaml.safe_load(text)["releases"].values()
    named = {("modules", one["name"]) for release in releases for one in release.get("modules", ())}
    for release in releases:
        for kind, plugins in release.get("plugins", {}).items():
            named |= {(kind, one["name"]) for one in plugins}
    kinds = ("modules", "filter", "lookup")
    assert named == {(kind, path.stem) for kind in kinds for path in (PLUGINS / kind).glob("[a-z]*.py")}


@pytest.mark.parametrize(
    ("before", "first"), [("2.16.13", "2.16.14"), ("2.17.0", "2.17.7"), ("2.17.6", "2.17.7"), ("2.18.0", "2.18.1")]
)
def test_no_release_that_executes_what_a_host_answers(before: str, first: str) -> None:
    """Seen with a host that answers a template (CVE-2024-11079)."""
    runtime = yaml.safe_load((PLUGINS.parent / "meta" / "runtime.yml").read_text(encoding="utf-8"))
    allowed = SpecifierSet(runtime["requires_ansible"])
    assert (before in allowed, first in allowed) == (False, True)
