# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The plots, as SVG by pygal where the controller has it. Colours and fonts are the page's own style sheet's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

try:
    import pygal
except ImportError as error:
    PYGAL_ERROR: str | None = str(error)
else:
    PYGAL_ERROR = None
    # It puts itself into all further imports of the process, for maps that nobody draws here.
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != "pygal"]

from ansible_collections.procfs.rescue.plugins.plugin_utils._report_text import readable
from ansible_collections.procfs.rescue.plugins.plugin_utils._report_view import Row, View

MOST = 15
_LABEL = 34


class Plots(NamedTuple):
    """SVG texts; empty where there is nothing to draw, or no pygal."""

    by_host: str = ""
    by_mount: str = ""
    by_unit: str = ""


def plots(view: View) -> Plots:
    if PYGAL_ERROR is not None:
        return Plots()
    return Plots(
        _bars("Bytes held per host", view.by_host, lambda row: row.host),
        _room(
            "Room of file systems with deleted files",
            [row for row in view.by_mount if row.size and row.free is not None],
        ),
        _bars("Bytes held per service", view.by_unit, lambda row: row.name),
    )


def _bars(title: str, rows: Sequence[Row], name: Callable[[Row], str]) -> str:
    rows = [row for row in rows if row.disk][:MOST]
    chart = _chart(pygal.HorizontalBar, [f"{_short(name(row))} {readable(row.disk):>8}" for row in rows])
    chart.add("held", [row.disk for row in reversed(rows)])
    return _svg(chart, title, "; ".join(f"{name(row)}: {readable(row.disk)}" for row in rows))


def _room(title: str, rows: Sequence[Row]) -> str:
    """Each file system is a full bar: what is used otherwise, what deleted files hold, what is free."""
    rows = [row for row in rows if row.disk][:MOST]

    def name(row: Row) -> str:
        return f"{row.host} {row.name}"

    chart = _chart(
        pygal.HorizontalStackedBar,
        [_short(name(row)) for row in rows],
        range=(0, 100),
        print_values=True,
        value_formatter=lambda share: f"{share:.0f} %" if share >= 4 else "",
    )
    parts: list[tuple[float, float, float]] = []
    for row in reversed(rows):
        size = row.size or 1
        free = min(100.0, 100 * (row.free or 0) / size)
        held = min(100.0 - free, 100 * row.disk / size)
        parts.append((100.0 - free - held, held, free))
    for index, what in enumerate(("other files", "deleted files", "free")):
        chart.add(what, [part[index] for part in parts])
    told = (
        f"{name(row)}: {readable(row.disk)} held, {readable(row.free)} of {readable(row.size)} free" for row in rows
    )
    return _svg(chart, title, "; ".join(told))


def _chart(kind: Any, labels: Sequence[str], **options: Any) -> Any:
    # Neither scripts nor styles of pygal's own: it would load them from the network, and the page allows only its own.
    chart = kind(
        js=[],
        css=[],
        show_legend=False,
        show_x_labels=False,
        show_x_guides=False,
        width=900,
        height=len(labels) * 26 + 16,
        margin=4,
        spacing=4,
        style=pygal.style.Style(label_font_size=13, major_label_font_size=13, value_font_size=13),
        **options,
    )
    chart.x_labels = labels[::-1]
    return chart


def _short(text: str) -> str:
    return text if len(text) <= _LABEL else f"{text[: _LABEL // 2]}…{text[-_LABEL // 2 + 1 :]}"


def _svg(chart: Any, title: str, told: str) -> str:
    """The drawing alone, with the title and the numbers for those who do not see it."""
    if not told:
        return ""
    root = chart.render_tree()
    for parent in list(root.iter()):
        for child in list(parent):
            is_for_scripts = child.tag in ("defs", "title", "desc") or "tooltip-overlay" in child.get("class", "")
            if child.tag is ET.Comment or is_for_scripts:
                parent.remove(child)
    root.attrib.pop("id", None)
    root.set("role", "img")
    root.set("aria-label", f"{title}. {told}"[:4000])
    return ET.tostring(root, encoding="unicode")
