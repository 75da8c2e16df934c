# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import csv
import io

import pytest

from ansible_collections.procfs.rescue.plugins.plugin_utils._report_text import lines, readable, to_csv
from ansible_collections.procfs.rescue.plugins.plugin_utils._report_view import view
from unit.plugins.report_samples import HOSTILE, a_holder, an_entry, bash, facts, reports


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_line_for_each_entry() -> None:
    holders = [a_holder(pid=1), a_holder(pid=2, user="root")]
    first, second = rows(to_csv(reports(h1=facts(an_entry("/a b", 5, holders=holders, refused=["x", "y"]), bash()))))
    assert (first["host"], first["path"], first["size"], first["refused"]) == ("h1", "/a b", "5", "x y")
    assert (first["holders_pid"], first["holders_user"], first["holders_unit"]) == (
        "1 2",
        "www-data root",
        "nginx.service",
    )
    assert (second["path"], second["restorable"], second["holders_unit"]) == ("/usr/bin/bash", "true", "")


@pytest.mark.parametrize("start", [*"=+-@|%＝＋－＠", " =", "\t=", "\r="])  # noqa: RUF001
def test_no_cell_is_a_formula(start: str) -> None:
    name = start + "cmd|' /C calc'!A0"
    holder = a_holder(comm=name, user=name, unit=name)
    for row in rows(to_csv(reports(**{name: facts(an_entry(name, owner=name, holders=[holder]))}))):
        for cell in row.values():
            assert cell.strip()[:1] not in tuple("=+-@|%＝＋－＠"), cell  # noqa: RUF001


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_in_their_cell_and_line(name: str) -> None:
    hosts = reports(**{name: facts(an_entry(name), critical_missing=[name], complete=False)})
    assert len(rows(to_csv(hosts))) == 1 and to_csv(hosts).count("\r\n") == 2
    assert all(line.isprintable() for line in lines(view(hosts), "page"))


def test_the_terminal_gets_the_worst_first_and_an_end() -> None:
    told = {f"h{number:02}": facts(complete=False, unreadable_processes=1) for number in range(30)}
    table = lines(view(reports(**told, z=facts(bash(), critical_missing=["/bin/bash"]))), "The page is /r.html")
    assert table[1].split()[0] == "z" and "missing: /bin/bash" in table[1]
    assert table[-4] == "and 11 more hosts"
    assert table[-3].startswith("31 of 31 hosts looked at, 1 of them fully: 1 deleted files hold 1.21 MiB of disks")
    assert table[-2].startswith("Do not reboot, do not restart or end the holders. ansible-playbook ")
    assert table[-1] == "The page is /r.html"


def test_sizes() -> None:
    sizes = [0, 1023, 1024, 1536, 1023 * 1024, 5 << 40, 2**63 - 1, None]
    assert [readable(size) for size in sizes] == (
        ["0 B", "1023 B", "1 KiB", "1.5 KiB", "1023 KiB", "5 TiB", "8 EiB", "unknown"]
    )
