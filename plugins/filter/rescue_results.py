# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role rescue keeps of a host: the results of one source, and then of another for what is still missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.procfs.rescue.plugins.module_utils._errors import DO_NOT

Answer = Mapping[str, Any]

_NOT_A_SOURCE = "%s is held by a process, which is not among the sources that were asked for."


def rescue_needs(answer: Answer) -> list[Any]:
    """The needs of what failed, see rescue_needs.yml."""
    _check("rescue_needs", answer)
    return [file["needs"] for file in answer.get("files", ()) if file["status"] == "failed" and "needs" in file]


def rescue_merged(answer: Answer, later: Answer | Iterable[Answer] = (), looked: bool = False) -> dict[str, Any]:
    """See rescue_merged.yml."""
    _check("rescue_merged", answer)
    answers = [later] if isinstance(later, Mapping) else list(later)
    files = {file["path"]: dict(file) for file in answer.get("files", ())}
    if looked:
        for path, file in files.items():
            if file["status"] == "restorable":
                file.update(status="failed", changed=False, msg=_NOT_A_SOURCE % path, refused=["not_a_source"])
    merged = dict(answer)
    for one in answers:
        if not one.get("files"):
            merged["msg"] = one.get("msg", merged.get("msg"))
        for file in one.get("files", ()):
            known = files.get(file["path"])
            if known is None or known["status"] != "failed":
                files.setdefault(file["path"], file)
            elif file["status"] == "failed":
                # Why each of the sources is none.
                known.update(file, msg=f"{known['msg']} {file['msg']}", refused=[*known["refused"], *file["refused"]])
            else:
                files[file["path"]] = file
        merged.update((name, one[name]) for name in ("way", "ways_closed") if name in one and name not in answer)
    sentences = [file["msg"] for file in files.values() if file["status"] == "failed"]
    merged.update(files=list(files.values()), changed=any(file["changed"] for file in files.values()))
    merged.pop("msg", None)
    if sentences:
        merged["msg"] = DO_NOT + " ".join(sentences)
    merged["failed"] = bool(sentences)
    return merged


def _check(name: str, answer: Any) -> None:
    if not isinstance(answer, Mapping):
        raise AnsibleFilterError(f"{name} takes what restore_file or supply_file answered.")


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"rescue_merged": rescue_merged, "rescue_needs": rescue_needs}
