# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever a name is, facts, messages, diff, fetch and commands have it to the letter, and it leads nowhere else."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.procfs.rescue.plugins.module_utils import _report
from ansible_collections.procfs.rescue.plugins.module_utils._choose import Wish, find, wish_from
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._local_host import LOCAL
from ansible_collections.procfs.rescue.plugins.module_utils._metadata import Metadata, repairs
from ansible_collections.procfs.rescue.plugins.module_utils._model import Sighting
from ansible_collections.procfs.rescue.plugins.module_utils._names import (
    is_exact,
    original_path,
    path_bytes,
    path_fields,
    printable,
)
from ansible_collections.procfs.rescue.plugins.module_utils._report import Reporter
from ansible_collections.procfs.rescue.plugins.plugin_utils._local_file import LocalFile, components
from unit.plugins.hostile import FEWER, LINKS, NAMES, PATHS, TEXTS
from unit.plugins.samples import a_deleted_file, a_process, a_scan, a_sighting, a_target


def texts_in(value: Any) -> list[str]:
    """All keys and texts of what is JSON."""
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in texts_in(part)]
    if isinstance(value, list):
        return [text for part in value for text in texts_in(part)]
    return [value] if isinstance(value, str) else []


def answer(question: Callable[[], Any]) -> tuple[Any, str]:
    """What it gives, or the message that it fails with."""
    try:
        return question(), ""
    except RescueError as error:
        return None, str(error)


@given(TEXTS.map(lambda raw: raw or b"x"))
def test_there_and_back(raw: bytes) -> None:
    fields = json.loads(json.dumps(path_fields(raw)))
    assert path_bytes(fields) == raw
    assert fields["path"].isprintable()
    assert is_exact(raw) == (fields["path"].encode() == raw and "path_b64" not in fields)


@given(TEXTS, TEXTS)
@example(b"\n", b"\\n")
def test_no_two_names_look_the_same_to_a_program(one: bytes, other: bytes) -> None:
    assert (path_fields(one) == path_fields(other)) == (one == other)


@given(st.dictionaries(st.sampled_from(["path", "path_b64"]), st.one_of(st.text(), st.none(), st.integers(), TEXTS)))
def test_a_path_that_a_user_wrote(fields: dict[str, Any]) -> None:
    raw, message = answer(lambda: path_bytes(fields))
    assert message.isprintable()
    assert raw is None or b"\0" not in raw


@given(PATHS)
def test_what_rpm_appends(path: bytes) -> None:
    assert original_path(path + b";5f3a2b1c") == path
    assert path.startswith(original_path(path))


@st.composite
def sightings(draw: st.DrawFn) -> Sighting:
    return a_sighting(
        process=a_process(comm=draw(TEXTS), exe=draw(LINKS), cgroup=draw(TEXTS)),
        path=draw(LINKS),
        host_path=draw(st.one_of(st.none(), PATHS)),
    )


@given(sightings())
def test_an_entry_of_the_facts(sighting: Sighting) -> None:
    """It is JSON that every terminal can show, and chooses the very file when it is handed back."""
    entry = json.loads(json.dumps(Reporter(LOCAL).entry(a_deleted_file(sighting), "removed", [])))
    assert all(text.isprintable() for text in texts_in(entry))
    name = sighting.path if sighting.host_path is None else sighting.host_path
    if name.startswith(b"/"):
        assert wish_from({"source": entry}).path == name
    assert wish_from({"source": entry["holders"][0]}).link == sighting.link


@given(st.lists(sightings(), max_size=3), PATHS)
def test_a_message_is_one_line_of_text(seen: list[Sighting], path: bytes) -> None:
    """Each of the sightings may be meant or not; there is no file behind any of them."""
    wishes = [Wish(path=path), *(Wish(path=one.path) for one in seen), Wish(link="/proc/812/fd/3")]
    for wish in wishes:
        _candidate, message = answer(
            lambda wish=wish: find(wish, a_target(), seen, a_scan(unreadable=1), (), None, LOCAL)
        )
        assert message.isprintable()


@given(PATHS, PATHS)
def test_a_diff(path: bytes, backup: bytes) -> None:
    link = "/proc/812/fd/3"
    shown = dict.fromkeys(_report._SHOWN_IN_DIFF, "0")
    named = {**path_fields(path), **path_fields(backup, "backup_file")}
    (diff,) = _report.diff_of([dict(shown, **named, source={"link": link}, changed=True)])
    assert all(text.isprintable() for text in texts_in(diff))
    assert diff["after_header"] == f"{printable(path)} from {link}"


@FEWER
@given(LINKS, NAMES)
@example(b"/memfd:../../../../tmp/owned", b"h1")
@example(b"/" + b"x" * 256, b"h1")
@example(b"/srv/../../..", b"h1")
def test_a_fetched_file_stays_below_its_folder(remote: bytes, host: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder, "top")
        names = [*components(host), *components(remote)]
        try:
            file = LocalFile(os.fsencode(top), names)
            with file.written() as stream:
                stream.write(b"content")
        except (OSError, RescueError):  # too long for this file system, or no name at all
            found = []
        else:
            found = [Path(os.fsdecode(file.path))]
        assert [path for path in Path(folder).rglob("*") if not path.is_dir()] == found
        assert {path.name for path in Path(folder).iterdir()} <= {"top"}
        for path in found:
            assert top in path.parents
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert {stat.S_IMODE(one.stat().st_mode) for one in path.parents if top in (one, *one.parents)} == {0o700}


@given(LINKS, LINKS)
def test_two_files_of_a_host_are_two_here(one: bytes, other: bytes) -> None:
    """Unless they only differ in what no path of a host has: empty components, and names that pose as escaped ones."""
    if b"%2E" not in one + other and b"//" not in one + other and one.strip(b"/") != other.strip(b"/"):
        assert components(one) != components(other)


ORIGINAL = Metadata(0o4751, 12, 34, 0, 0, {"security.capability": bytes.fromhex("0100000200200000" + "00" * 12)})


@FEWER
@given(NAMES)
@example(b"$(touch owned)")
@example(b"';touch owned;'\xff")
@example(b"-rf\n")
def test_the_commands_of_a_result_do_what_they_say_to_this_file_alone(name: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(os.fsencode(folder), name)
        Path(os.fsdecode(path)).touch(0o600)
        commands = repairs(path, ORIGINAL, ["owner", "setuid", "capabilities"])
        assert len(commands) == 3 and all(command.isprintable() for command in commands)
        subprocess.run(["sh", "-ec", "\n".join(commands)], cwd=folder, check=True, capture_output=True)
        assert os.listdir(os.fsencode(folder)) == [name]
        found = os.stat(path)
        assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o4751, 12, 34)
        assert os.getxattr(path, "security.capability") == ORIGINAL.xattrs["security.capability"]
