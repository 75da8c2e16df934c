# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The entries as CSV, and what the terminal gets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any

from ansible_collections.procfs.rescue.plugins.plugin_utils._report_data import HostReport
from ansible_collections.procfs.rescue.plugins.plugin_utils._report_view import View

COLUMNS = (
    *(
        "path",
        "path_b64",
        "host_path",
        "state",
        "kind",
        "reclaimable",
        "size",
        "allocated",
        "in_memory",
        "mode",
        "owner",
    ),
    *("group", "mtime", "package", "checksum", "device", "inode", "nlink", "restorable", "refused"),
)
HOLDER_COLUMNS = ("pid", "user", "comm", "exe", "unit", "container", "via")
# How a spreadsheet knows a formula, its full-width forms included; what is left of a control character begins with \.
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "|", "%")  # noqa: RUF001
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def to_csv(hosts: Iterable[HostReport]) -> str:
    """A line for each entry; its holders' fields are lists separated by spaces."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["host", *COLUMNS, *(f"holders_{name}" for name in HOLDER_COLUMNS)])
    for host in hosts:
        for entry in host.entries:
            cells: list[Any] = [host.name, *(entry[name] for name in COLUMNS)]
            for name in HOLDER_COLUMNS:
                values = {str(one[name]): None for one in entry["holders"] if one[name] not in (None, "")}
                cells.append(" ".join(values))
            writer.writerow([_cell(cell) for cell in cells])
    return text.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, list):
        value = " ".join(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    text = "" if value is None else str(value)
    return "'" + text if text.lstrip().startswith(_FORMULA) else text


def readable(number: int | None) -> str:
    """1536 as 1.5 KiB."""
    if number is None:
        return "unknown"
    size = float(number)
    for unit in _UNITS:
        if size < 1024 or unit == _UNITS[-1]:
            break
        size /= 1024
    return f"{number} B" if unit == "B" else f"{size:.3g} {unit}" if size < 1000 else f"{size:.0f} {unit}"


def lines(view: View, written: str, most: int = 20) -> list[str]:
    """A short table of the hosts that need somebody, those that cannot wait first."""
    totals = view.totals
    hosts = {one.name: one for one in view.hosts}
    worst = list(view.troubles.items())
    rows = [["host", "disk", "memory", "files", "what"]] if worst else []
    for name, troubles in worst[:most]:
        summary = hosts[name].summary
        told = (
            [readable(summary[key]) for key in ("reclaimable", "memory")] + [str(summary["count"])]
            if summary
            else ["?"] * 3
        )
        rows.append([name, *told, "; ".join(one.text for one in troubles)])
    widths = [max(len(cell) for cell in column) for column in list(zip(*rows, strict=True))[:-1]]
    table = ["  ".join([*map(str.ljust, row, widths), row[-1]])[:200] for row in rows]
    if len(worst) > most:
        table.append(f"and {len(worst) - most} more hosts")
    table.append(
        f"{totals['scanned']} of {totals['hosts']} hosts looked at, {totals['complete']} of them fully: "
        f"{totals['files']} deleted files hold {readable(totals['disk'])} of disks and "
        f"{readable(totals['memory'])} of memory."
    )
    if view.rescue_hosts:
        table.append(f"Do not reboot, do not restart or end the holders. {view.rescue_command}")
    return [*table, written]
