# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real host on which an attack is carried out, and what root does there about it."""

from __future__ import annotations

import json
import os
import select
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from fleet import Host

_HERE = Path(__file__).parent
_REPOSITORY = _HERE.parents[1]
_TOOLS = "/opt/attacks"
_WORK = "/home/mallory/work"


class ForbiddenError(Exception):
    """The kernel of this machine does not let the attack be carried out at all."""


class File(NamedTuple):
    """What must come back of a file."""

    content: bytes
    mode: int
    uid: int
    gid: int


class Arena:
    def __init__(self, host: Host) -> None:
        self.host = host
        tools = self.inside(_TOOLS)
        utils = tools / "ansible_collections/procfs/rescue/plugins/module_utils"
        shutil.copytree(_REPOSITORY / "plugins/module_utils", utils, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("judge.py", "stage.py"):
            shutil.copy(_HERE / name, tools)
        host.run(["sh", "-c", f"mkdir -p {_WORK} && chown mallory: {_WORK}"])

    def inside(self, path: str) -> Path:
        return self.host.root() / path.lstrip("/")

    def file(self, path: str) -> File | None:
        try:
            found = self.inside(path).lstat()
        except FileNotFoundError:
            return None
        return File(self.inside(path).read_bytes(), stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)

    def put(self, path: str, file: File) -> None:
        here = self.inside(path)
        here.unlink(missing_ok=True)
        here.write_bytes(file.content)
        shutil.chown(here, file.uid, file.gid)
        here.chmod(file.mode)

    @contextmanager
    def carried_out(self, code: str, user: str | None) -> Iterator[subprocess.Popen[bytes]]:
        """The attack up to the moment before the real file is deleted. Raises ForbiddenError."""
        self.host.run(["sh", "-c", f"rm -rf {_WORK}/* /var/tmp/m"])
        program = ["/usr/bin/python3", "-c", f"import sys\nsys.path.insert(0, {_TOOLS!r})\nfrom stage import *\n{code}"]
        pipe = subprocess.PIPE
        process = self.host.spawn([*program, _WORK], user=user, stdin=pipe, stdout=pipe, stderr=pipe)
        with process:
            try:
                self._expect(process, b"ready\n")
                yield process
            finally:
                # Its children too: they hold what is to be gone before the next attack.
                self.host.run(["pkill", "-KILL", "--session", str(self.host.host_pid(process.pid))], check=False)
                process.kill()

    def deleted(self, process: subprocess.Popen[bytes]) -> None:
        """Lets the attack go on after the deletion."""
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
        self._expect(process, b"done\n")

    def _expect(self, process: subprocess.Popen[bytes], line: bytes) -> None:
        assert process.stdout is not None and process.stderr is not None
        # What it started may keep its output open when it failed.
        answered = select.select([process.stdout], [], [], 20)[0]
        if not answered or process.stdout.readline() != line:
            process.kill()
            why = os.read(process.stderr.fileno(), 65536).decode(errors="replace").strip()
            if why.splitlines()[-1].startswith("PermissionError"):
                raise ForbiddenError(why.splitlines()[-1])
            raise RuntimeError(why)

    def honest_holder(self, path: str, file: File) -> subprocess.Popen[bytes]:
        """Puts the file there and lets a process of root's hold it."""
        self.put(path, file)
        code = "import sys; held = open(sys.argv[1], 'rb'); print('ready', flush=True); sys.stdin.readline()"
        command = ["/usr/bin/python3", "-c", code, path]
        process = self.host.spawn(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    def look(self, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._judge("look", name)
        return found

    def restore(self, **request: Any) -> list[dict[str, Any]]:
        results: list[dict[str, Any]] = self._judge(json.dumps(request))
        return results

    def _judge(self, *arguments: str) -> Any:
        done = self.host.run(["/usr/bin/python3", f"{_TOOLS}/judge.py", *arguments])
        return json.loads(done.stdout)

    def debris(self, folder: str) -> list[str]:
        return [found.name for found in self.inside(folder).iterdir() if found.name.startswith(".procfs-rescue.")]
