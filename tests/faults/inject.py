# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run of restore_file's main() with one fault, and what is wrong afterwards."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

from ansible.module_utils import basic

from ansible_collections.procfs.rescue.plugins.modules import restore_file
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_metadata import NOT_CARRIED
from faults import over_sftp
from faults.situations import FOLDER, Lost, Situation, inodes, lost, state, tree
from faults.supervisor import CUT, KILL, LOST, Call, Decide, End, Point, run

# A service, such as the log, or D-Bus; for names of users, files of /etc first.
ASKING = {"connect", "sendto", "sendmsg", "socket", "/etc"}
_HIDDEN = re.compile(r"\.procfs-rescue\.[0-9a-f]{16}\Z")
# What a failure may say of a file that is back.
_IS_THERE = re.compile("is there again and complete|Whether .* is there again is not known", re.S)
_BACKUP = re.compile(r"tool\.\d+\..*~\Z")


class Trial(NamedTuple):
    """``calls`` are those that were seen up to the end, ``reached`` whether the fault was injected."""

    calls: list[Call]
    reached: bool
    wrong: list[str]


def trial(situation: Situation, top: Path, point: Point | None = None) -> Trial:
    with lost(situation, top) as this:
        calls: list[Call] = []
        end = over_sftp.module(this, calls, point) if situation.sftp else module(this, _disturb(this, calls, point))
        reached = point is None or _count(calls, point.name) >= point.number
        wrong = []
        if point is not None and reached and end.was_killed != (point.fault in (KILL, CUT, LOST)):
            wrong.append(f"it ended with status {end.status}")
        elif point is None and (end.was_killed or _failed(end)):
            wrong.append(f"undisturbed it failed: {end.output.decode(errors='replace')}")
        if point is None and situation.written and "copy_file_range" not in this.meanwhile:
            wrong.append("nobody stood still while it was copied")
        if this.meanwhile & ASKING:
            wrong.append(f"somebody was asked while the one who could answer may have stood still: {this.meanwhile}")
        wrong += [f"after the fault: {what}" for what in _wrong(this, end)]
        excused = _excused(this, _files(end))
        again = over_sftp.module(this, [], None) if situation.sftp else module(this, None)
        wrong += [f"after the next run: {what}" for what in _wrong_in_the_end(this, again, excused)]
        return Trial(calls, reached, wrong)


def module(this: Lost, decide: Decide | None) -> End:
    arguments = json.dumps({"ANSIBLE_MODULE_ARGS": this.options()}).encode()

    def main() -> None:
        this.close()
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = arguments, "legacy"
        try:
            restore_file.main()
        except SystemExit:
            sys.stdout.flush()

    return run(main, decide)


def _disturb(this: Lost, calls: list[Call], point: Point | None) -> Decide:
    situation = this.situation

    def decide(call: Call) -> int | None:
        if this.stands_still():
            this.meanwhile.add("/etc" if call.path.startswith(b"/etc/") else call.name)
        if not calls and not (call.name == "openat" and call.path == FOLDER.encode()):
            return situation.refused(call)
        calls.append(call)
        if point is not None and call.name == point.name and _count(calls, point.name) == point.number:
            return point.fault
        return situation.refused(call)

    return decide


def _count(calls: list[Call], name: str) -> int:
    return sum(call.name == name for call in calls)


def _answer(end: End) -> dict[str, Any]:
    """What the module answered; nothing where it could not."""
    try:
        answer: dict[str, Any] = json.loads(end.output)
    except ValueError:
        return {}
    return answer


def _files(end: End) -> list[dict[str, Any]]:
    files: list[dict[str, Any]] = _answer(end).get("files", [])
    return files


def _failed(end: End) -> bool:
    files = _files(end)
    return not files or any(file["status"] == "failed" for file in files)


def _excused(this: Lost, files: list[dict[str, Any]]) -> set[str]:
    """The fields of State that the module said are not the original's."""
    told = {name for file in files for name in file.get("not_kept", ())}
    if this.situation.sftp:  # that is always said, and there was nothing of it
        told -= set(NOT_CARRIED)
    fields = {"owner": "uid", "group": "gid", "mtime": "mtime_ns"}
    return {fields.get(name, "mode" if name == "mode" else "xattrs") for name in told}


def _equals(found: Any, wanted: Any, excused: set[str]) -> bool:
    same = {field: getattr(wanted, field) for field in excused}
    return bool(found._replace(**same) == wanted)


def _wrong(this: Lost, end: End) -> list[str]:
    """Right after the fault: the names are as before or hold the complete file, and what was said is true."""
    after, numbers = tree(this.top), inodes(this.top)
    prefix = f"{this.folder.relative_to(this.top)}/"
    files = _files(end)
    excused = _excused(this, files)
    wrong = []
    back = set()
    for name, wanted in this.targets.items():
        path = prefix + name
        old, new = this.before.get(path), after.get(path)
        if new is not None and _equals(new, wanted, excused):
            back.add(name)
        elif new != old or numbers.get(path) != this.inodes.get(path):
            wrong.append(f"{name} is {new}, it was {old} and should be {wanted}")
    targets = {prefix + name for name in this.targets}
    wrong += [
        f"{path} changed"
        for path in set(this.before) - targets
        if after.get(path) != this.before[path] or numbers[path] != this.inodes[path]
    ]
    wrong += _foreign(this, after, prefix, back, 1, end.was_killed)
    wrong += _untrue(this, files, back)
    if back - set(this.before) and not files and _answer(end):
        wrong.append(f"said to have failed as a whole: {end.output.decode(errors='replace')}")
    if this.is_stopped():
        wrong.append("the writer stands still")
    return wrong + _sources(this)


def _foreign(
    this: Lost, after: dict[str, Any], prefix: str, back: set[str], hidden_allowed: int, was_killed: bool
) -> list[str]:
    new = set(after) - set(this.before) - {prefix + name for name in this.targets}
    # Made again; a folder for a file that did not come back is left only by who was killed.
    if this.situation.gone and after.get(prefix[:-1]) == after[FOLDER] and (back or was_killed):
        new.discard(prefix[:-1])
    hidden = {path for path in new if any(map(_HIDDEN.match, path.split("/")))}
    backups = {path for path in new if _BACKUP.match(path[len(prefix) :])}
    wrong = [f"foreign: {path}" for path in new - hidden - backups]
    if sum(bool(_HIDDEN.match(path.split("/")[-1])) for path in hidden) > hidden_allowed:
        wrong.append(f"debris: {sorted(hidden)}")
    if backups and ("tool" not in back or not this.situation.backup or len(backups) > 1):
        wrong.append(f"foreign backups: {sorted(backups)}")
    if any(after[path] != this.before[prefix + "tool"] for path in backups):
        wrong.append("the backup is not what was replaced")
    return wrong


def _untrue(this: Lost, files: list[dict[str, Any]], back: set[str]) -> list[str]:
    wrong = []
    for file, name in zip(files, this.targets, strict=True) if files else ():
        status, msg = file["status"], file["msg"]
        if status == "restored" and name not in back:
            wrong.append(f"said to be restored: {name}")
        if status == "failed" and name in back and not _IS_THERE.search(msg):
            wrong.append(f"said not to be restored: {msg}")
        if status == "restorable" and back:
            wrong.append(f"restored in check mode: {name}")
    return wrong


def _sources(this: Lost) -> list[str]:
    return [f"the source of {name} changed" for name, fd in this.sources.items() if state(fd) != this.originals[name]]


def _wrong_in_the_end(this: Lost, end: End, excused: set[str]) -> list[str]:
    if _failed(end):
        return [f"it failed: {end.output.decode(errors='replace')}"]
    after = tree(this.top)
    prefix = f"{this.folder.relative_to(this.top)}/"
    if "_ansible_check_mode" in this.situation.options:
        return [] if after == this.before else ["check mode changed something"]
    excused = excused | _excused(this, _files(end))
    wrong = [
        f"{name} is {after.get(prefix + name)} and should be {wanted}"
        for name, wanted in this.targets.items()
        if prefix + name not in after or not _equals(after[prefix + name], wanted, excused)
    ]
    if not excused:  # else it was replaced once more
        wrong += _foreign(this, after, prefix, set(this.targets), 0, False)
    if this.situation.backup and not any(_BACKUP.match(path[len(prefix) :]) for path in after):
        wrong.append("there is no backup")
    return wrong + _sources(this)
