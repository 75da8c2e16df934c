# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""Modules whose output is read while they run: by an ssh process of our own, with the options of the ssh plugin.

The ssh plugin keeps all that a command says in memory. Everything else stays Ansible's: how the module is packed, the
interpreter, the environment, become.
"""

from __future__ import annotations

import fcntl
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import IO, Any, Protocol

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ansible_collections.procfs.rescue.plugins.module_utils._stream import MAGIC
from ansible_collections.procfs.rescue.plugins.plugin_utils._receive import BrokenStreamError

# Of a connection that is there nobody can take the compression away, which Ansible asks for (-C) and which takes a
# whole processor for 30 MB/s. Another login is worth it from so many bytes on.
LARGE = 32 * 1024 * 1024
_OF_ITS_OWN = [b"-oControlMaster=no", b"-oControlPath=none", b"-oBatchMode=yes"]

# What a shell, sudo or a banner may say before the module does, and the module after its content, in bytes.
_PREFACE = 1024 * 1024
_ANSWER = 16 * 1024 * 1024

# Bytes that the pipe from ssh holds, so that both processes get on (fcntl(2), Linux).
_PIPE = 1024 * 1024


class Take(Protocol):
    def __call__(self, stream: IO[bytes], /, *, is_old: bool) -> bytes | None:
        """Reads what comes after `_stream.MAGIC`; ``is_old``: over a connection that was there before.

        What it gives is taken for the module's answer, and the rest is not wanted; None: the module answers itself.
        """


@contextmanager
def own_ssh(action: ActionBase, take: Take, size: int | None) -> Iterator[bool]:
    """Whether modules of the block run in an own ssh process; then ``take`` gets what they send.

    That will be about ``size`` bytes, None: nobody knows. Many come over a connection of their own, where the host lets
    one more in. Where none is there yet the first one becomes what Ansible goes on with, without compression.

    False where somebody has to be asked for a password, where the module is not fed to Python over standard input (su),
    and over connections that are not ssh's.
    """
    connection: Any = action._connection
    if not hasattr(connection, "_build_command") or _asks_for_a_password(action):
        yield False
        return
    before = connection.get_option("pipelining"), connection.exec_command
    is_ours = False  # Ansible may look for the interpreter first

    def exec_command(command: str, in_data: bytes | None = None, **_how: object) -> tuple[int, bytes, bytes]:
        nonlocal is_ours
        connection.host = connection.get_option("host") or action._play_context.remote_addr
        ssh = connection._build_command(connection.get_option("ssh_executable"), "ssh", connection.host, command)
        is_ours = is_ours or not _is_connected(ssh)
        if is_ours:
            return _run(_fast(ssh), in_data or b"", partial(take, is_old=False))
        if size is not None and size >= LARGE:
            with suppress(AnsibleConnectionFailure):  # it had not begun
                return _run(_fast(ssh, _OF_ITS_OWN), in_data or b"", partial(take, is_old=False))
        return _run(ssh, in_data or b"", partial(take, is_old=True))

    try:
        connection.set_option("pipelining", True)
        connection.exec_command = exec_command
        yield action._is_pipelining_enabled("new")
    finally:
        connection.set_option("pipelining", before[0])
        connection.exec_command = before[1]


def _is_connected(ssh: list[bytes]) -> bool:
    """Whether a connection to the host is there that others can use (ControlPersist)."""
    command = [ssh[0], b"-O", b"check", *ssh[1:-1]]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.returncode == 0


def _fast(ssh: list[bytes], first: Sequence[bytes] = ()) -> list[bytes]:
    """The command without compression; of two settings ssh takes the ``first``."""
    options = [*first, b"-oCompression=no", *(part for part in ssh[1:-1] if part != b"-C")]
    return [ssh[0], *_fast_cipher(ssh[0], options), *options, ssh[-1]]


def _fast_cipher(program: bytes, options: list[bytes]) -> list[bytes]:
    """Of the ciphers that ssh would offer those first that processors compute by themselves; nothing where the user, or
    who packed ssh, has chosen ciphers.

    OpenSSH prefers ChaCha20, with which a stream takes twice the processor time where there are instructions for AES.
    """
    if not re.search(rb"^(?:flags|Features)\b.*\baes\b", _read("/proc/cpuinfo"), re.MULTILINE):
        return []
    offered = _ciphers(program, options)
    if not offered or offered != _ciphers(program, [b"-Fnone", b"localhost"]):
        return []
    ordered = sorted(offered, key=lambda name: b"-gcm@" not in name)
    return [b"-oCiphers=" + b",".join(ordered)]


def _ciphers(program: bytes, options: list[bytes]) -> list[bytes]:
    done = subprocess.run([program, b"-G", *options], capture_output=True, check=False)
    found = re.search(rb"^ciphers (\S+)$", done.stdout, re.MULTILINE)
    return found[1].split(b",") if found and not done.returncode else []


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:  # another system
        return b""


def _asks_for_a_password(action: ActionBase) -> bool:
    become = action._connection.become
    return bool(
        action._connection.get_option("password")
        or (become and become.get_option("become_pass", playcontext=action._play_context))
    )


def _run(command: list[bytes], in_data: bytes, take: Callable[[IO[bytes]], bytes | None]) -> tuple[int, bytes, bytes]:
    """(exit code, what the command said besides the stream, its complaints). Raises AnsibleConnectionFailure, and
    BrokenStreamError where it says too much."""
    begun = False
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(command, 0, None, subprocess.PIPE, subprocess.PIPE, complaints) as process,
    ):
        stdin, stdout = process.stdin, process.stdout
        if stdin is None or stdout is None:
            raise AnsibleConnectionFailure("ssh was started without pipes")
        try:
            with suppress(AttributeError, OSError):  # another system's, or the user's limit is reached
                fcntl.fcntl(stdout, fcntl.F_SETPIPE_SZ, _PIPE)
            with suppress(BrokenPipeError):  # ssh says why
                stdin.write(in_data)
                stdin.close()
            said = _until_magic(stdout)
            if said.endswith(MAGIC):
                said = said[: -len(MAGIC)]
                begun = True
                answer = take(stdout)
                if answer is not None:
                    process.kill()
                    return 0, answer, b""
            said += _all_there_is(stdout)
            process.wait()
        except BaseException:
            process.kill()
            raise
        complaints.seek(0)
        complaint = complaints.read()
    if process.returncode == 255 and not begun:  # ssh's own (ssh(1)); a stream without an end says so itself
        why = complaint.decode("utf-8", "replace").strip()
        raise AnsibleConnectionFailure(f"Failed to connect to the host via ssh: {why}")
    return process.returncode, said, complaint


def _until_magic(stdout: IO[bytes]) -> bytes:
    """What comes up to the magic and with it, or all there is. Not a byte more is read: the rest is the stream."""
    said = bytearray()
    while len(said) < _PREFACE and not said.endswith(MAGIC):
        byte = stdout.read(1)
        if not byte:
            break
        said += byte
    return bytes(said)


def _all_there_is(stdout: IO[bytes]) -> bytes:
    said = bytearray()
    for piece in iter(lambda: stdout.read(_PIPE), b""):
        said += piece
        if len(said) > _ANSWER:
            raise BrokenStreamError("the host says more than any module of this collection does")
    return bytes(said)
