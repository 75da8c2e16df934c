# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No check of the judge is there in vain: each has a case that passes as soon as that one check is switched off."""

from __future__ import annotations

import ast
import inspect
import stat
import sys
from types import ModuleType
from typing import Any

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils import _judge
from ansible_collections.procfs.rescue.plugins.module_utils._judge import ANY, Claim
from ansible_collections.procfs.rescue.plugins.module_utils._model import Place, Witness
from unit.plugins.samples import a_file, a_folder, a_sighting, an_ancestor

USER = 1000
CHECKSUM = Witness("checksum", "md5", "aa", "")
PACKAGE = Witness("package", "md5", "aa", "tool")

# The one thing that is wrong.
CASES: dict[str, dict[str, Any]] = {
    "not_regular": {"sighting": a_sighting(file=a_file(mode=stat.S_IFIFO | 0o755))},
    "holder_changed": {"claim": Claim(pid=812, start_time=78)},
    "no_name": {"kind": "memfd"},
    "mount_unknown": {"sighting": a_sighting(mount=None)},
    "namespace_untrusted": {"sighting": a_sighting(foreign="untrusted")},
    "place_differs": {"sighting": a_sighting(place=Place("254:0", b"/var/tmp/mallory/tool"))},
    "unproven": {"sighting": a_sighting(foreign="unproven")},
    "owner_differs": {"sighting": a_sighting(file=a_file(uid=USER))},
    "ancestor_writable": {"folder": a_folder(an_ancestor(b"/"), an_ancestor(uid=USER), an_ancestor(b"/srv/deep"))},
    "checksum_wanted": {
        "folder": a_folder(an_ancestor(b"/"), an_ancestor(mode=0o777)),
        "accept": ["ancestor_writable"],
    },
    "superseded": {"witness": PACKAGE, "digest": "bb"},
    "checksum_differs": {"witness": CHECKSUM, "digest": "bb"},
}


def verdict(judge: ModuleType, **case: Any) -> list[str]:
    """All that ``judge`` has against putting a file back in place that is as it should be, but for the ``case``."""
    sighting = case.get("sighting", a_sighting())
    folder = case.get("folder", a_folder())
    reasons = [
        *judge.judge_handle(sighting, case.get("claim", ANY)),
        *judge.judge_place(sighting, case.get("kind", "regular"), folder, b"tool"),
        *judge.judge_folder(sighting.file, folder.ancestors),
        *judge.judge_content(case.get("witness"), case.get("digest")),
    ]
    return judge.standing(reasons, case.get("accept", ()))  # type: ignore[no-any-return]


# Before, the syntax tree had no Constant.
pytestmark = pytest.mark.skipif(sys.version_info < (3, 8), reason="the tree of Python 3.8 is changed here")


class _Without(ast.NodeTransformer):
    """Takes a check out of the code: its ``if`` is never true, and a list that may hold its name does not."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.places = 0

    def visit_If(self, node: ast.If) -> ast.AST:
        if not any(self._names(statement) for statement in node.body):
            return self.generic_visit(node)
        self.places += 1
        node.test = ast.Constant(False)
        return node

    def visit_List(self, node: ast.List) -> ast.AST:
        if not self._names(node):
            return node
        self.places += 1
        without = ast.parse(f"[one for one in these if one != {self.reason!r}]", mode="eval").body
        assert isinstance(without, ast.ListComp)
        without.generators[0].iter = node
        return without

    def _names(self, node: ast.AST) -> bool:
        return any(isinstance(part, ast.Constant) and part.value == self.reason for part in ast.walk(node))


def judge_without(reason: str) -> ModuleType:
    tree = ast.parse(inspect.getsource(_judge))
    without = _Without(reason)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("judge_"):
            without.visit(node)
    assert without.places, f"{reason} is no check of the judge"
    module = ModuleType("judge_without_" + reason)
    exec(compile(ast.fix_missing_locations(tree), module.__name__, "exec"), vars(module))
    return module


def test_an_honest_file_passes() -> None:
    assert verdict(_judge) == []


@pytest.mark.parametrize("reason", CASES)
def test_a_case_that_only_this_check_refuses(reason: str) -> None:
    assert verdict(_judge, **CASES[reason]) == [reason]
    assert verdict(judge_without(reason), **CASES[reason]) == []


def test_no_check_is_left_out() -> None:
    """What is no check of the judge is told where it is found out: in the scan, at the folder, among candidates."""
    assert set(CASES) == set(_judge.REASONS) - {"not_held", "folder_gone", "ambiguous"}
