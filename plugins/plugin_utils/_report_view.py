# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The answers of the report, as plain rows: what is wrong, where the space is, what to restart, what is suspicious."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from ansible_collections.procfs.rescue.plugins.module_utils._judge import REASONS
from ansible_collections.procfs.rescue.plugins.plugin_utils._report_data import FINE, HostReport

# What the judge says of files whose path is not theirs. In a container of its own that is no attack.
SPOOFED = ("mount_unknown", "namespace_untrusted", "place_differs", "owner_differs")
SUSPICIOUS = {
    "removed": "its executable was removed",
    "removed_elsewhere": "its executable was removed where only its own namespace sees what has the name now",
    "memfd": "its program never was in a file system",
    "world_writable_folder": "it runs from a folder in which everybody may write",
}
BACK = ("restored", "rescued")
# Names that mean nothing to a shell, to Ansible's templating and to its host patterns.
_PLAIN_PATH = re.compile(r"/[\w.+@%/-]*", re.ASCII)
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][\w.@-]*", re.ASCII)
_PLAIN_UNIT = re.compile(r"\w[\w:.@-]*", re.ASCII)
LARGEST = 10


class Trouble(NamedTuple):
    """Something that is wrong with a host, ``grave`` when it cannot wait."""

    grave: bool
    text: str


class Row(NamedTuple):
    """Bytes that are held, by host, mount point or service. ``size`` and ``free`` are a file system's."""

    host: str
    name: str
    files: int
    disk: int
    memory: int
    size: int | None = None
    free: int | None = None


class Restart(NamedTuple):
    """Who runs what was ``replaced`` or ``removed``; ``not_yet`` are those of the ``hosts`` to rescue first."""

    state: str
    kind: str
    name: str
    hosts: list[str]
    not_yet: list[str]
    command: str


class View(NamedTuple):
    """All answers. ``troubles`` has those hosts only that have some, ``totals`` are counted over all hosts."""

    hosts: list[HostReport]
    totals: dict[str, int]
    troubles: dict[str, list[Trouble]]
    rescue_hosts: list[str]
    rescue_paths: list[str]
    rescue_command: str
    by_host: list[Row]
    by_mount: list[Row]
    by_unit: list[Row]
    restarts: list[Restart]
    suspicious: list[tuple[str, dict[str, Any], str]]
    spoofed: list[tuple[str, dict[str, Any], str]]
    rescued: list[tuple[str, dict[str, Any]]]
    lifelines: list[tuple[str, dict[str, Any]]]


def view(hosts: list[HostReport]) -> View:
    found = [(one.name, some) for one in hosts if (some := _troubles(one))]
    troubles = dict(sorted(found, key=lambda item: not any(one.grave for one in item[1])))
    scanned = [one for one in hosts if one.scanned is not None]
    wanted = {one.name: paths for one in hosts if (paths := _to_rescue(one))}
    everything = sorted({path for some in wanted.values() for path in some})
    paths = sorted({path.removeprefix("/usr"): path for path in everything}.values())
    by_host = [
        Row(one.name, "", one.summary["count"], one.summary["reclaimable"], one.summary["memory"]) for one in scanned
    ]
    checked = [one for one in hosts if one.lifeline is not None]
    totals = {
        "hosts": len(hosts),
        "scanned": len(scanned),
        "complete": sum(one.summary["complete"] for one in scanned),
        "files": sum(row.files for row in by_host),
        "listed": sum(len(one.entries) for one in scanned),
        "disk": sum(row.disk for row in by_host),
        "memory": sum(row.memory for row in by_host),
        "runs_removed": sum(1 for one in scanned if _runners(one.summary["running"]["removed"])),
        "runs_replaced": sum(1 for one in scanned if _runners(one.summary["running"]["replaced"])),
        "missing": sum(
            any(path.removeprefix("/usr") not in _back(one) for path in one.summary["critical_missing"])
            for one in scanned
        ),
        "suspicious": sum(
            any(
                _looks_like_an_intruder(one, process, wanted.get(one.name, [])) for process in one.summary["suspicious"]
            )
            or any(map(is_spoofed, one.entries))
            for one in scanned
        ),
        "lifelines": len(checked),
        "lifelines_ready": sum(1 for one in checked if one.lifeline and one.lifeline["ready"]),
        "rescued": sum(1 for one in hosts for file in one.rescued if file["status"] in BACK),
        "not_rescued": sum(1 for one in hosts for file in one.rescued if file["status"] == "failed"),
    }
    return View(
        hosts=hosts,
        totals=totals,
        troubles=troubles,
        rescue_hosts=sorted(wanted),
        rescue_paths=paths,
        rescue_command=_rescue_command(sorted(wanted), paths),
        by_host=_largest(by_host),
        by_mount=_largest(_mounts(scanned)),
        by_unit=_largest(_units(scanned)),
        restarts=_restarts(scanned, set(wanted)),
        suspicious=[
            (one.name, process, _why(one, process, wanted.get(one.name, [])))
            for one in scanned
            for process in one.summary["suspicious"]
        ],
        spoofed=[
            (one.name, entry, "; ".join(REASONS.get(reason, reason) for reason in entry["refused"]))
            for one in scanned
            for entry in one.entries
            if is_spoofed(entry)
        ],
        rescued=[(one.name, file) for one in hosts for file in one.rescued],
        lifelines=[(one.name, one.lifeline) for one in hosts if one.lifeline is not None],
    )


def largest(host: HostReport) -> list[dict[str, Any]]:
    return sorted(host.entries, key=lambda entry: (-entry["reclaimable"], -entry["size"], entry["path"]))[:LARGEST]


def is_spoofed(entry: dict[str, Any]) -> bool:
    return bool(set(SPOOFED) & set(entry["refused"])) and not any(one["container"] for one in entry["holders"])


def _why(host: HostReport, process: dict[str, Any], wanted: list[str]) -> str:
    reasons = [SUSPICIOUS.get(reason, reason) for reason in process["reasons"]]
    if not _looks_like_an_intruder(host, process, wanted):
        reasons.append("the file is one of those that are to be rescued")
    return "; ".join(reasons)


def _runners(running: dict[str, list[Any]]) -> int:
    return sum(len(some) for some in running.values())


def _to_rescue(host: HostReport) -> list[str]:
    """What is missing, what somebody still runs although its name is gone, and what no rescue brought back yet."""
    run = [
        entry["host_path"] or entry["path"]
        for entry in host.entries
        if entry["state"] == "removed"
        and entry["restorable"]
        and any(holder["executable"] or holder["via"] == "exe" for holder in entry["holders"])
    ]
    failed = [file["path"] for file in host.rescued if file["status"] == "failed" and not file["dest"]]
    # /bin/bash and /usr/bin/bash are one file.
    wanted = {path.removeprefix("/usr"): path for path in [*host.summary.get("critical_missing", []), *run, *failed]}
    return sorted(path for name, path in wanted.items() if name not in _back(host))


def _back(host: HostReport) -> set[str]:
    """What was rescued since the host was looked at."""
    return {
        file["path"].removeprefix("/usr")
        for file in host.rescued
        if file["status"] in BACK and file["when"] > (host.scanned or 0)
    }


def _looks_like_an_intruder(host: HostReport, process: dict[str, Any], wanted: list[str]) -> bool:
    """Not who runs what was removed and is to be rescued: there it is the file that is in trouble."""
    exe = (process["exe"] or "").removesuffix(" (deleted)")
    return process["reasons"] != ["removed"] or exe not in {*wanted, *(file["path"] for file in host.rescued)}


def _troubles(host: HostReport) -> list[Trouble]:
    found = []
    if host.scanned is None and (host.error or not host.rescued):
        found.append(Trouble(True, f"could not be looked at: {host.error or 'no answer'}"))
    elif host.error:
        found.append(Trouble(True, f"could not be looked at again: {host.error}"))
    if host.scanned is not None:
        summary = host.summary
        back = _back(host)
        if back:
            found.append(Trouble(False, "was rescued after it was looked at: gather the facts again"))
        missing = [path for path in summary["critical_missing"] if path.removeprefix("/usr") not in back]
        if missing:
            found.append(Trouble(True, "missing: " + ", ".join(missing)))
        gone = _runners(summary["running"]["removed"])
        if gone:
            found.append(
                Trouble(
                    True, f"{gone} {_word(gone, 'service or process runs', 'services or processes run')} removed files"
                )
            )
        wanted = _to_rescue(host)
        suspects = sum(_looks_like_an_intruder(host, one, wanted) for one in summary["suspicious"])
        if suspects:
            found.append(Trouble(True, f"{suspects} suspicious {_word(suspects, 'process', 'processes')}"))
        spoofed = sum(map(is_spoofed, host.entries))
        if spoofed:
            found.append(
                Trouble(
                    True,
                    f"{spoofed} {_word(spoofed, 'path that is not what it says', 'paths that are not what they say')}",
                )
            )
        if not summary["complete"]:
            found.append(Trouble(False, "not read fully: " + unread(summary)))
    failed = [file for file in host.rescued if file["status"] == "failed"]
    found += [Trouble(True, f"not rescued: {file['path']}") for file in failed]
    found += [
        Trouble(True, f"{file['path']} is back, but not usable as before")
        for file in host.rescued
        if not file["usable"]
    ]
    if host.lifeline is not None and not host.lifeline["ready"]:
        found.append(Trouble(False, "lifeline not ready: " + " ".join(host.lifeline["problems"])))
    return found


def unread(summary: dict[str, Any]) -> str:
    parts = []
    if summary["unreadable_processes"]:
        parts.append(f"{summary['unreadable_processes']} of {summary['processes']} processes could not be read")
    if summary["unvisited_processes"]:
        parts.append(f"no time for {summary['unvisited_processes']} processes")
    if summary["silent_processes"]:
        parts.append("no answer about processes " + ", ".join(map(str, summary["silent_processes"][:10])))
    if summary["skipped_mounts"]:
        parts.append("no answer from " + ", ".join(sorted(summary["skipped_mounts"])))
    return "; ".join(parts) or "it does not say why"


def _word(number: int, one: str, many: str) -> str:
    return one if number == 1 else many


def _mounts(hosts: Iterable[HostReport]) -> list[Row]:
    return [
        Row(one.name, name, row["count"], row["reclaimable"], row["memory"], row["size"], row["free"])
        for one in hosts
        for name, row in one.summary["mount_points"].items()
    ]


def _units(hosts: Iterable[HostReport]) -> list[Row]:
    """Services over all hosts; ``host`` is how many have it."""
    table: dict[str, list[int]] = {}
    for one in hosts:
        for name, row in one.summary["units"].items():
            sums = table.setdefault(name, [0, 0, 0, 0])
            for index, number in enumerate((1, row["count"], row["reclaimable"], row["memory"])):
                sums[index] += number
    return [Row(str(hosts_), name, count, disk, memory) for name, (hosts_, count, disk, memory) in table.items()]


def _largest(rows: Iterable[Row]) -> list[Row]:
    return sorted((row for row in rows if row.files), key=lambda row: (-row.disk, -row.memory, row.host, row.name))


def _restarts(hosts: Iterable[HostReport], not_yet: Collection[str]) -> list[Restart]:
    """``not_yet`` are hosts on which something is to be rescued first: no command restarts a holder there."""
    table: dict[tuple[str, str, str], list[str]] = {}
    for one in hosts:
        for state, running in one.summary["running"].items():
            for kind in ("units", "careful_units", "containers"):
                for name in running[kind]:
                    table.setdefault((state, kind, name), []).append(one.name)
            for process in running["processes"]:
                name = f"{process['comm']} ({process['user']})"
                at = table.setdefault((state, "processes", name), [])
                if one.name not in at:
                    at.append(one.name)
    rows = [
        Restart(
            state,
            kind,
            name,
            at,
            [host for host in at if host in not_yet],
            _restart_command(name, [host for host in at if host not in not_yet])
            if (state, kind) == ("replaced", "units")
            else "",
        )
        for (state, kind, name), at in table.items()
    ]
    states = ("removed", "replaced", "unknown")
    kinds = ("units", "careful_units", "containers", "processes")
    return sorted(rows, key=lambda row: (states.index(row.state), kinds.index(row.kind), -len(row.hosts), row.name))


def limit(hosts: Iterable[str]) -> str | None:
    """For ``--limit``; None where a name would mean something else there."""
    names = list(hosts)
    return ",".join(names) if names and all(map(_PLAIN_NAME.fullmatch, names)) else None


def _restart_command(unit: str, hosts: list[str]) -> str:
    """Empty where a name could do more in it than name something."""
    wanted = limit(hosts)
    if wanted is None or not _PLAIN_UNIT.fullmatch(unit):
        return ""
    return (
        f"ansible {shlex.quote(wanted)} -i INVENTORY --become -m ansible.builtin.systemd_service "
        f"-a {shlex.quote(f'name={unit} state=restarted')}"
    )


def _rescue_command(hosts: list[str], paths: list[str]) -> str:
    wanted = limit(hosts)
    plain = [path for path in paths if _PLAIN_PATH.fullmatch(path)]
    if wanted is None or not plain:
        return ""
    variables = f"{{rescue_paths: [{', '.join(plain)}]}}"
    return f"ansible-playbook procfs.rescue.rescue -i INVENTORY --become --limit {shlex.quote(wanted)} -e '{variables}'"


def was_fine(file: dict[str, Any]) -> bool:
    return file["status"] in FINE
