# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table at the end of the role rescue: hosts x files, and one line of it for a pager."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.utils.unsafe_proxy import wrap_var

from ansible_collections.procfs.rescue.plugins.module_utils._errors import DO_NOT

# What the role calls the statuses of restore_file.
_OUTCOMES = {"restored": "rescued", "present": "was_fine", "restorable": "rescuable", "failed": "failed"}

_NO_ANSWER = "no answer from this host: it is unreachable, or was not tried"

# In place of an answer that a compromised host makes up, or one with another version: the others are told all the same.
_UNREADABLE = {"failed": True, "msg": "its answer could not be read"}


def rescue_overview(results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """``results`` is what restore_file answered, by host, empty where it did not; see rescue_overview.yml."""
    if not isinstance(results, Mapping):
        raise AnsibleFilterError("rescue_overview takes what restore_file answered as a dictionary by host.")
    results = {host: result if _is_readable(result) else _UNREADABLE for host, result in results.items()}
    hosts = {host: _host(result) for host, result in results.items()}
    counted = Counter(host["outcome"] for host in hosts.values())
    line = ", ".join(f"{counted[outcome]} {outcome}" for outcome in _OUTCOMES.values() if counted[outcome])
    failed = [name for name, host in hosts.items() if host["outcome"] == "failed"]
    line = f"{len(hosts)} host{'' if len(hosts) == 1 else 's'}: {line or 'nothing was asked for'}" + (
        f" ({', '.join(failed[:5])}" if failed else ""
    )
    line += "" if not failed else ", …)" if len(failed) > 5 else ")"
    # What a host says is hostile text: it must never be taken for a template.
    notes = [f"{name}: {note}" for name, result in results.items() for note in _notes(result)]
    overview: dict[str, Any] = wrap_var({"hosts": hosts, "line": line, "table": _table(hosts), "notes": notes})
    # They came from the hosts as they are.
    overview["results"] = {name: _told_of(results[name], host) for name, host in hosts.items()}
    return overview


def _is_readable(result: Any) -> bool:
    if not isinstance(result, Mapping) or not isinstance(result.get("way"), str | None):
        return False
    files = result.get("files", [])
    return isinstance(files, list) and all(
        isinstance(file, Mapping)
        and all(isinstance(file.get(name), str) for name in ("path", "status", "msg"))
        and file["status"] in _OUTCOMES
        for file in files
    )


def _told_of(result: Mapping[str, Any], host: Mapping[str, Any]) -> dict[str, Any]:
    """All that a host answered, with what the table calls it.

    Of what Ansible adds after a task timeout it warns whoever reads it.
    """
    result = {name: value for name, value in result.items() if name != "timedout"}
    files = [{**file, "outcome": _OUTCOMES[file["status"]]} for file in result.get("files", [])]
    changed = any(file.get("changed") for file in result.get("files", []))
    return {**result, "changed": changed, "outcome": host["outcome"], "reason": host["reason"], "files": files}


def _host(result: Mapping[str, Any]) -> dict[str, Any]:
    files = [_file(file) for file in result.get("files", [])]
    outcomes = {file["outcome"] for file in files}
    failed = result.get("failed") or result.get("unreachable") or "files" not in result
    reason = str(result.get("msg", _NO_ANSWER)).replace(DO_NOT, "") if failed and "failed" not in outcomes else ""
    # Where nothing was found to be missing all was fine.
    worst = next((name for name in ("failed", "rescuable", "rescued") if name in outcomes), "was_fine")
    worst = "failed" if failed else worst
    return {"outcome": worst, "way": result.get("way"), "reason": reason, "files": files}


def _file(file: Mapping[str, Any]) -> dict[str, Any]:
    outcome = _OUTCOMES[file["status"]]
    return {
        "path": file["path"],
        "outcome": outcome,
        "reason": file["msg"] if outcome == "failed" else "",
        "source": file.get("source"),
        "checksum": file.get("checksum"),
        "content_by": file.get("content_by"),
        "metadata_by": file.get("metadata_by"),
        "seconds": file.get("seconds"),
    }


def _notes(result: Mapping[str, Any]) -> list[str]:
    """What somebody must know, or do, although the file is back."""
    return [
        file["msg"]
        for file in result.get("files", [])
        if file["status"] == "restored"
        and (file.get("fix") or file.get("starts") is False or file.get("writers") or file.get("made"))
    ]


def _table(hosts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    paths = list(dict.fromkeys(file["path"] for host in hosts.values() for file in host["files"]))
    rows = [["host", "way", *paths]]
    for name, host in hosts.items():
        found = {file["path"]: file["outcome"] + _told(file["source"]) for file in host["files"]}
        missing = "failed" if host["outcome"] == "failed" and not host["files"] else "-"
        rows.append([name, host["way"] or "-", *(found.get(path, missing) for path in paths)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _told(source: Any) -> str:
    """Where it came from, in a word."""
    if not isinstance(source, Mapping):
        return ""
    kind = next((kind for kind in ("peer", "package", "pid") if source.get(kind)), None)
    return "" if kind is None else f" ({kind} {source[kind]})"


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"rescue_overview": rescue_overview}
