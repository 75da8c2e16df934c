# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What hosts told, from this run or saved earlier, as one well-formed record each, whatever they really sent."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError, fault

FORMAT = "procfs.rescue.report/1"

# Longer than any path of Linux: what is cut is no name.
LONGEST = 4096

ANY = "*"
# A tuple is for what may be null.
_HOLDER = {
    **dict.fromkeys(("comm", "exe", "exe_b64", "user", "via", "access", "link"), str),
    **dict.fromkeys(("unit", "user_unit", "container"), (str,)),
    **dict.fromkeys(("pid", "start_time", "device", "inode"), int),
    "fd": (int,),
    "executable": bool,
}
_ENTRY = {
    **dict.fromkeys(("path", "path_b64", "host_path", "host_path_b64", "state", "kind", "mode", "owner", "group"), str),
    **dict.fromkeys(("checksum", "package"), (str,)),
    **dict.fromkeys(("size", "allocated", "reclaimable", "device", "inode", "nlink"), int),
    **dict.fromkeys(("in_memory", "restorable"), bool),
    "visible": (bool,),
    "mtime": float,
    "refused": [str],
    "holders": [_HOLDER],
    "holders_count": int,
}
_TOTAL = {"count": int, "reclaimable": int, "memory": int}
_RUNNERS = {"units": [str], "careful_units": [str], "containers": [str], "processes": [_HOLDER]}
_SUMMARY = {
    **dict.fromkeys(("processes", "unreadable_processes", "unvisited_processes", "count", "wanted", "listed"), int),
    **dict.fromkeys(("reclaimable", "memory"), int),
    "complete": bool,
    "way": str,
    "ways_closed": [str],
    "skipped_mounts": {ANY: int},
    "silent_processes": [int],
    "kinds": {ANY: int},
    "mount_points": {ANY: {**_TOTAL, "size": (int,), "free": (int,)}},
    "units": {ANY: _TOTAL},
    "users": {ANY: _TOTAL},
    "running": dict.fromkeys(("replaced", "removed", "unknown"), _RUNNERS),
    "suspicious": [{**_HOLDER, "reasons": [str]}],
    "critical_missing": [str],
}
_RESCUED = {
    **dict.fromkeys(("path", "path_b64", "dest", "status", "msg", "checksum", "content_by", "metadata_by"), str),
    **dict.fromkeys(("method", "owner", "group", "mode", "target", "way"), str),
    **{name: [str] for name in ("refused", "dropped", "not_kept", "fix", "accepted")},
    "size": int,
    "seconds": float,
    "when": float,
    "usable": bool,
    "consistent": bool,
    "source": str,
}


class HostReport(NamedTuple):
    """One host. ``entries`` and ``summary`` are its facts, ``scanned`` when they were gathered (None: they were not).

    ``error`` tells why there are no facts. ``rescued`` has a result for each file that a rescue dealt with, and
    ``when``; ``lifeline`` is None where nobody looked, else ``ready``, ``problems`` and what is
    ``only_kept`` by the keeper.
    """

    name: str
    scanned: float | None
    error: str
    entries: list[dict[str, Any]]
    summary: dict[str, Any]
    rescued: list[dict[str, Any]]
    lifeline: dict[str, Any] | None


PARTS = HostReport._fields[1:]


def shown(text: str) -> str:
    r"""``text`` without anything that a screen acts on: control, format and bidirectional characters are escaped."""
    if len(text) > LONGEST:
        text = text[:LONGEST] + " (cut)"
    if text.isprintable():
        return text[:]  # plain str, without what ansible-core ties to it
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def shaped(value: Any, shape: Any) -> Any:
    """``value`` in the form of ``shape``: what is missing or of another type is empty, what is not named is left out.

    A host that was taken over may send anything.
    """
    if shape is str:
        return shown(value if isinstance(value, str) else "" if value is None else str(value))
    if shape is bool:
        return value is True
    if shape in (int, float):
        # Neither NaN nor infinity passes.
        is_one = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 2**63
        return shape(value if is_one else 0)
    if isinstance(shape, tuple):
        return None if value is None else shaped(value, shape[0])
    if isinstance(shape, list):
        return [shaped(one, shape[0]) for one in value] if isinstance(value, (list, tuple)) else []
    given = value if isinstance(value, Mapping) else {}
    if ANY in shape:
        return {shown(str(key)): shaped(one, shape[ANY]) for key, one in given.items()}
    return {key: shaped(given.get(key), its) for key, its in shape.items()}


def from_run(name: str, variables: Mapping[str, Any], now: float) -> HostReport:
    """What this run knows of a host, in the variables that the playbooks of this collection register."""
    facts = variables.get("report_scan")
    if not isinstance(facts, Mapping):
        facts = variables.get("ansible_facts")
    told = {
        **(facts if isinstance(facts, Mapping) else {}),
        "rescue": variables.get("rescue_result"),
        "lifeline": _lifeline(variables.get("lifeline_way_in"), variables.get("lifeline_kept")),
    }
    return _host(name, told, now)


def from_saved(data: Any, where: str, saved: float) -> list[HostReport]:
    """The hosts in what a report or a rescue wrote, or what maps hosts to facts; ``saved`` is when that was.

    Raises RescueError where it is none of these.
    """
    if isinstance(data, dict) and data.get("format", FORMAT) != FORMAT:
        raise RescueError(f"{where} has the format {shown(str(data['format']))}, this release reads {FORMAT}.")
    hosts = data.get("hosts", data) if isinstance(data, dict) else None
    if not isinstance(hosts, dict) or not all(isinstance(told, dict) for told in hosts.values()):
        raise RescueError(f"{where} does not map hosts to what they told. Give what a report or a rescue wrote.")
    return [_host(name, told, saved) for name, told in hosts.items()]


def read_saved(path: str) -> list[HostReport]:
    """Raises RescueError."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return from_saved(json.load(file), path, os.fstat(file.fileno()).st_mtime)
    except OSError as error:
        raise RescueError(f"{path} could not be read: {fault(error)}.") from error
    except (ValueError, RecursionError) as error:
        raise RescueError(f"{path} is not JSON: {error}. Give what a report or a rescue wrote.") from error


def merged(reports: Iterable[HostReport]) -> list[HostReport]:
    """One for each host, by name: its latest facts, the outcome of every file. Of equally late ones the last counts."""
    hosts: dict[str, HostReport] = {}
    for new in reports:
        old = hosts.get(new.name, HostReport(new.name, None, "", [], {}, [], None))
        has_facts = new.scanned is not None and (old.scanned is None or new.scanned >= old.scanned)
        facts = new if has_facts else old
        outcomes = {(one["path"], one["dest"]): one for one in old.rescued}
        for one in new.rescued:
            key = one["path"], one["dest"]
            # A second run that finds everything in place does not take away what the first one did.
            if key not in outcomes or one["status"] not in FINE:
                outcomes[key] = one
        hosts[new.name] = HostReport(
            new.name,
            facts.scanned,
            new.error or ("" if facts.scanned is not None else old.error),
            facts.entries,
            facts.summary,
            list(outcomes.values()),
            new.lifeline if new.lifeline is not None else old.lifeline,
        )
    return [hosts[name] for name in sorted(hosts)]


# How a result says that the file was there already.
FINE = ("present", "was_fine", "fine")


def to_json(reports: Iterable[HostReport], made: float) -> Iterator[str]:
    """What `from_saved` reads."""
    # A line for each host: to be read by people too, and quickly written.
    hosts = (f"{json.dumps(one.name)}: {json.dumps(dict(zip(PARTS, one[1:], strict=True)))}" for one in reports)
    yield f'{{"format": {json.dumps(FORMAT)}, "made": {made}, "hosts": {{\n'
    for index, line in enumerate(hosts):
        yield (",\n" if index else "") + line
    yield "\n}}\n"


def _host(name: str, told: Mapping[str, Any], when: float) -> HostReport:
    facts = told.get("ansible_facts", told)
    facts = facts if isinstance(facts, Mapping) else {}
    entries = told.get("entries", facts.get("deleted_files"))
    summary = told.get("summary", facts.get("deleted_files_summary"))
    rescue = told.get("rescue")
    rescue = rescue if isinstance(rescue, Mapping) else told
    files = told.get("rescued", rescue.get("files"))
    if rescue is not told and not files and _failed(rescue):
        files = [{"status": "failed", "msg": rescue.get("msg")}]
    # A summary of another kind is none of facts.
    is_scan = isinstance(entries, (list, tuple)) and isinstance(summary, Mapping) and "processes" in summary
    scanned = told.get("scanned", when)
    error = told.get("error", told.get("msg") if _failed(told) and files is None else "")
    lifeline = told.get("lifeline")
    return HostReport(
        shown(str(name)),
        shaped(scanned, float) if is_scan else None,
        "" if is_scan and "error" not in told else shaped(error, str),
        shaped(entries, [_ENTRY]) if is_scan else [],
        shaped(summary, _SUMMARY) if is_scan else {},
        [_outcome(one, rescue.get("way"), when) for one in files if isinstance(one, Mapping)]
        if isinstance(files, list)
        else [],
        None if lifeline is None else shaped(lifeline, {"ready": bool, "problems": [str], "only_kept": [str]}),
    )


def _failed(told: Mapping[str, Any]) -> bool:
    return bool(told.get("failed") or told.get("unreachable"))


def _outcome(told: Mapping[str, Any], way: Any, when: float) -> dict[str, Any]:
    source = told.get("source")
    if isinstance(source, Mapping):
        names = ("host", "peer", "package", "version", "link", "comm", "user", "unit")
        parts = [f"{name} {source[name]}" for name in names if source.get(name)]
        source = ", ".join(parts).replace("link /proc", "/proc")
    # The way is told once for all files of a host; a file of which nothing else is said is as it was.
    usual = {"way": way, "when": when, "usable": True, "consistent": True}
    outcome: dict[str, Any] = shaped({**usual, **told, "source": source}, _RESCUED)
    return outcome


def _lifeline(way_in: Any, kept: Any) -> dict[str, Any] | None:
    """What the role lifeline registered; None if it did not run."""
    if not isinstance(way_in, Mapping):
        return None
    problems = []
    if way_in.get("logged_in") is not True:
        problems.append(str(way_in.get("msg") or "Nobody logged in by it."))
    keeper: Any = {}
    if isinstance(kept, Mapping) and not kept.get("skipped"):
        try:
            keeper = json.loads(str(kept.get("stdout", "")))
        except (ValueError, RecursionError):
            keeper = {"problems": ["The keeper did not answer."]}
        keeper = keeper if isinstance(keeper, dict) else {}
    keeper = shaped(keeper, {"problems": [str], "gone": [str]})
    problems += keeper["problems"]
    return {"ready": not problems, "problems": problems, "only_kept": keeper["gone"]}
