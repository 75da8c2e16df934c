# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The page: one file without a network, whose own script and style are the only ones that it lets the browser take."""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import json
import time
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from ansible_collections.procfs.rescue.plugins.plugin_utils._report_data import HostReport, shown
from ansible_collections.procfs.rescue.plugins.plugin_utils._report_plots import MOST, PYGAL_ERROR, Plots
from ansible_collections.procfs.rescue.plugins.plugin_utils._report_text import readable
from ansible_collections.procfs.rescue.plugins.plugin_utils._report_view import View, largest, unread, was_fine

FILES = Path(__file__).with_name("report_files")
# Of one file's holders, for a library that everybody uses; the JSON has all.
MOST_HOLDERS = 20

_TEXTS = ("path", "state", "kind", "package")
_NUMBERS = ("size", "reclaimable")
_HOLDER_TEXTS = ("comm", "exe", "user", "unit", "container", "via", "access")


def page(view: View, drawn: Plots, made: float, csv_name: str, json_name: str) -> str:
    """``made`` is the time of the report; the names are of the files beside it."""
    script, style = _own("page.js"), _own("page.css")
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
    )
    return _template().render(
        view=view,
        totals=view.totals,
        plots={name: Markup(svg) for name, svg in drawn._asdict().items()},
        without_plots=PYGAL_ERROR,
        most=MOST,
        most_holders=MOST_HOLDERS,
        Markup=Markup,
        largest=largest,
        unread=unread,
        was_fine=was_fine,
        made=made,
        scans=[one.scanned for one in view.hosts if one.scanned is not None],
        csv_name=shown(csv_name),
        json_name=shown(json_name),
        policy=policy,
        script=Markup(script),
        style=Markup(style),
        entries=packed(view.hosts),
    )


@functools.cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(FILES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(readable=readable, moment=moment, fragment=_fragment)
    return environment.get_template("page.html.j2")


def moment(seconds: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
    except (OverflowError, ValueError, OSError):
        return "unknown"


def packed(hosts: Iterable[HostReport]) -> str:
    """All entries, the largest first, as columns in which a text is a number of ``strings``, gzipped, in base64.

    Holders are columns too; those of entry i are ``first[i]`` to ``first[i + 1]``, of ``holders[i]`` in all.
    """
    strings: dict[str, int] = {}

    def number(text: str | None) -> int:
        return strings.setdefault(text or "", len(strings))

    entries = [(host.name, entry) for host in hosts for entry in host.entries]
    entries.sort(key=lambda item: -item[1]["reclaimable"])
    columns = {name: array("q") for name in ("host", *_TEXTS, "owner", "refused", *_NUMBERS, "restorable", "holders")}
    first = array("q", [0])
    holders = {name: array("q") for name in ("pid", *_HOLDER_TEXTS)}
    for host, entry in entries:
        columns["host"].append(number(host))
        for name in _TEXTS:
            columns[name].append(number(entry[name]))
        for name in _NUMBERS:
            columns[name].append(entry[name] or 0)
        columns["owner"].append(number(f"{entry['owner']}:{entry['group']} {entry['mode']}"))
        columns["refused"].append(number(", ".join(entry["refused"])))
        columns["restorable"].append(entry["restorable"])
        columns["holders"].append(max(entry["holders_count"], len(entry["holders"])))
        for one in entry["holders"][:MOST_HOLDERS]:
            holders["pid"].append(one["pid"] or 0)
            for name in _HOLDER_TEXTS:
                holders[name].append(number(one[name]))
        first.append(len(holders["pid"]))
    data: dict[str, Any] = {
        "strings": list(strings),
        "columns": {name: "number" if name in (*_NUMBERS, "restorable", "holders") else "text" for name in columns},
        "entries": {**{name: column.tolist() for name, column in columns.items()}, "first": first.tolist()},
        "holders": {name: column.tolist() for name, column in holders.items()},
    }
    text = json.dumps(data, separators=(",", ":")).encode("ascii")
    return base64.b64encode(gzip.compress(text, 6, mtime=0)).decode("ascii")


def _own(name: str) -> str:
    return (FILES / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """As a content security policy names what it allows."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _fragment(name: str) -> str:
    """The address of a host's section."""
    return "#host=" + quote(name, safe="")
