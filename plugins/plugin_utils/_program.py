# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""A module's task as a plain program, in place of what Ansible packs, where it would be piped to Python.

To unpack Ansible's own part and import it costs a host more than a rescue. Everything else stays Ansible's: the
interpreter, the environment, become. Where modules are files on the host it is Ansible's module as ever.
"""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from ansible import constants
from ansible.plugins.action import ActionBase

_SOURCES = Path(__file__).parent.parent / "module_utils"
_PACKAGE = "ansible_collections.procfs.rescue.plugins.module_utils"

# What Ansible's own program calls itself, near its beginning.
_ANSIBLES = b"_ANSIBALLZ_WRAPPER = True"

# The folder that it is started in may be anybody's: nothing is imported from there. It is not in the traceback either.
_PROGRAM = """\
import sys
sys.path[:] = [path for path in sys.path if path]
import base64, json, zlib
from importlib.machinery import ModuleSpec
sources = json.loads(zlib.decompress(base64.b64decode("%(sources)s")).decode("ascii"))
package = "%(package)s"
class Bundle:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name in sources or (package + ".").startswith(name + "."):
            return ModuleSpec(name, cls, is_package=name not in sources)
    @staticmethod
    def create_module(spec):
        return None
    @staticmethod
    def exec_module(module):
        exec(compile(sources.get(module.__name__, ""), module.__name__, "exec"), module.__dict__)
sys.meta_path.insert(0, Bundle)
from %(package)s._task import main
main(*json.loads(%(job)s))
"""


class Job(NamedTuple):
    """What `_task.main` takes."""

    name: str
    params: dict[str, Any]
    check_mode: bool
    diff: bool


@contextmanager
def as_program(action: ActionBase, job: Job | None) -> Iterator[None]:
    """Modules of the block run as ``job``, if there is one and they are piped to Python."""
    connection: Any = action._connection
    if job is None or not action._is_pipelining_enabled("new"):
        yield
        return
    before = connection.exec_command

    def exec_command(command: str, in_data: bytes | None = None, **how: Any) -> Any:
        if in_data and _ANSIBLES in in_data[:2048]:
            in_data = _program(job)
        return before(command, in_data=in_data, **how)

    connection.exec_command = exec_command
    try:
        yield
    finally:
        connection.exec_command = before


def _program(job: Job) -> bytes:
    logs = not constants.DEFAULT_NO_TARGET_SYSLOG  # type: ignore[attr-defined]
    parts = {"sources": _sources(), "package": _PACKAGE, "job": repr(json.dumps([*job, logs]))}
    return (_PROGRAM % parts).encode("ascii")


def _sources() -> str:
    """What module_utils has, packed once for a run: each host is a process of its own."""
    packed = os.path.join(constants.DEFAULT_LOCAL_TMP, "procfs-rescue-sources")  # type: ignore[attr-defined]
    with suppress(FileNotFoundError), open(packed, encoding="ascii") as file:
        return file.read()
    sources = {f"{_PACKAGE}.{path.stem}": path.read_text(encoding="utf-8") for path in _SOURCES.glob("_[a-z]*.py")}
    text = base64.b64encode(zlib.compress(json.dumps(sources).encode("ascii"), 9)).decode("ascii")
    part = f"{packed}.{os.getpid()}"
    with open(part, "w", encoding="ascii") as file:
        file.write(text)
    os.rename(part, packed)
    return text
