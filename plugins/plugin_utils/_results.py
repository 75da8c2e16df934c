# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What is known of a host's files after one source, and then another for what is still missing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ansible_collections.procfs.rescue.plugins.module_utils._errors import DO_NOT

Answer = Mapping[str, Any]

_NOT_A_SOURCE = "%s is held by a process, which is not among the sources that were asked for."


def merged(answer: Answer, later: Answer | Iterable[Answer] = (), looked: Collection[str] = ()) -> dict[str, Any]:
    """``answer``, and ``later`` ones for what it lacked, as one: the result that is no failure, else all reasons.

    Of the paths ``looked`` the first one only looked whether a process holds them.
    """
    answers = [later] if isinstance(later, Mapping) else list(later)
    files = {_path(file): dict(file) for file in answer.get("files", ())}
    for path, file in files.items():
        if file["status"] == "restorable" and path in looked:
            why = _NOT_A_SOURCE % file["path"]
            file.update(status="failed", changed=False, msg=why, refused=["not_a_source"])
    # Nothing else: what failed_when and the like made of an answer is not said of this one.
    result: dict[str, Any] = {name: answer[name] for name in ("way", "ways_closed", "on_its_own") if name in answer}
    for one in answers:
        for file in one.get("files", ()):
            known = files.get(_path(file))
            if known is None or known["status"] not in ("failed", "restorable"):
                files.setdefault(_path(file), file)
            elif known["status"] == "restorable":
                files[_path(file)] = file
            elif file["status"] == "failed":
                # Why each of the sources is none.
                known.update(file, msg=f"{known['msg']} {file['msg']}", refused=[*known["refused"], *file["refused"]])
            else:
                files[_path(file)] = file
        result = {**{name: one[name] for name in ("way", "ways_closed") if name in one}, **result}
    # An answer without files says why it has none; where it was not answered at all nothing is known to be fine.
    sentences = [
        str(one["msg"]).replace(DO_NOT, "") for one in (answer, *answers) if "files" not in one and "msg" in one
    ]
    sentences += [file["msg"] for file in files.values() if file["status"] == "failed"]
    if not any("files" in one for one in (answer, *answers)):
        sentences = sentences or ["It was not tried."]
    else:
        result["files"] = list(files.values())
    result["changed"] = any(file["changed"] for file in files.values())
    if sentences:
        result["msg"] = DO_NOT + " ".join(sentences)
    result["failed"] = bool(sentences)
    return result


def needs_of(answer: Answer, looked: bool = False) -> list[Any]:
    """What another source must have of what failed, or was only ``looked`` at."""
    missing = ("failed", "restorable") if looked else ("failed",)
    return [file["needs"] for file in answer.get("files", ()) if file["status"] in missing and "needs" in file]


def _path(file: Answer) -> str:
    return str(file.get("path_b64", file["path"]))
