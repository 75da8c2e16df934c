# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What the archives of all package managers have in common: a member, and programs of the host that read them."""

import subprocess
from contextlib import contextmanager
from typing import IO, Iterator, NamedTuple, Optional, Sequence

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._names import printable

# Seconds for a download.
_PATIENCE = 300

_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent"}


class Member(NamedTuple):
    """A file or symlink of a package. ``mtime`` is in seconds, ``leads_to`` is where a symlink leads."""

    name: bytes
    size: int
    mode: int
    owner: str
    group: str
    mtime: int
    leads_to: Optional[bytes]


def run(command: Sequence[str], folder: str) -> bytes:
    """What the command says, started in ``folder``. Raises RescueError with its complaints."""
    try:
        done = subprocess.run(  # noqa: UP022  (Python 3.6)  # pylint: disable=ansible-bad-function
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_ENVIRONMENT,
            cwd=folder,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RescueError("The package could not be got: %s." % error, ["no_package"]) from error
    if done.returncode:
        said = " ".join(printable(line) for line in done.stderr.strip().split(b"\n"))
        raise RescueError("The package could not be got: %s: %s" % (command[0], said), ["no_package"])
    return done.stdout


@contextmanager
def output_of(command: Sequence[str]) -> Iterator[IO[bytes]]:
    """Its output as it comes. It is ended when no more is wanted. Raises RescueError where it cannot be run."""
    try:
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function,consider-using-with
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_ENVIRONMENT
        )
    except OSError as error:
        raise RescueError("%s cannot be run: %s." % (command[0], error.strerror), ["no_package"]) from error
    with process:
        try:
            if process.stdout is not None:
                yield process.stdout
        finally:
            process.kill()
