# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One running host, as its tests see it."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from fleet import linux, programs, ssh
from fleet.errors import CommandFailed, FleetError
from fleet.proof import Place
from fleet.state import HostRecord, State

_NAMESPACES = linux.CLONE_NEWNS | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC | linux.CLONE_NEWPID | linux.CLONE_NEWNET
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_Stream = int | IO[Any]
_Streams = tuple[_Stream, _Stream, _Stream]


class Host:
    """A host: ``name``, ``address``, and ``pid``, its init as the machine sees it."""

    def __init__(self, record: HostRecord, fleet: State) -> None:
        self.name = record.name
        self.address = record.address
        self.pid = record.pid
        self._fleet = fleet
        self._mount_namespace = record.mount_namespace
        self._spawned: list[subprocess.Popen[bytes]] = []

    def run(
        self,
        argv: Sequence[str | bytes],
        *,
        input: bytes | None = None,  # noqa: A002  (as subprocess.run calls it)
        check: bool = True,
        timeout: float = 60,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command in the host, without ssh, in a clean environment with ``env`` added.

        A command that cannot be executed there gives 127, as a shell does.
        """
        stdin = subprocess.DEVNULL if input is None else subprocess.PIPE
        try:
            process = self._start(argv, user, env, (stdin, subprocess.PIPE, subprocess.PIPE))
        except OSError as error:
            status, stdout, stderr = 127, b"", str(error).encode(errors="surrogateescape")
        else:
            with process:
                try:
                    stdout, stderr = process.communicate(input, timeout)
                finally:
                    process.kill()
            status = process.returncode
        if check and status:
            raise CommandFailed(status, argv, stdout, stderr)
        return subprocess.CompletedProcess(argv, status, stdout, stderr)

    def spawn(
        self,
        argv: Sequence[str | bytes],
        *,
        stdin: _Stream = subprocess.DEVNULL,
        stdout: _Stream = subprocess.DEVNULL,
        stderr: _Stream = subprocess.DEVNULL,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a command in the host, without ssh; it is running when this returns, and ends with the fleet."""
        process = self._start(argv, user, env, (stdin, stdout, stderr))
        self._spawned.append(process)
        return process

    def host_pid(self, machine_pid: int) -> int:
        """The PID that a process of this host has in it."""
        if os.stat(f"/proc/{machine_pid}/ns/pid").st_ino != os.stat(f"/proc/{self.pid}/ns/pid").st_ino:
            raise FleetError(f"Process {machine_pid} is not one of {self.name}.")
        for line in Path(f"/proc/{machine_pid}/status").read_text(errors="replace").splitlines():
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
        raise FleetError(f"Process {machine_pid} has no PID in {self.name}.")

    def root(self) -> Path:
        """The host's tree seen from the machine, where absolute symlinks in it lead to the machine's own files."""
        return Path(f"/proc/{self.pid}/root")

    def ssh_command(self, user: str = "oncall", *options: str) -> list[str]:
        """The argv of an ssh to this host; what ``options`` set wins."""
        return [
            "ssh",
            *options,
            *ssh.options(self._fleet),
            "-oControlMaster=no",
            "-oControlPath=none",
            f"{user}@{self.address}",
        ]

    def wreck(self, *paths: str) -> None:
        """Delete files in the host, by a process that has proved to be in it."""
        place = Place(linux.mount_namespace(), self._mount_namespace, self._fleet.tag, self._fleet.token)
        with self._alive() as pidfd:
            request = json.dumps({"pidfd": pidfd, "place": asdict(place), "paths": paths})
            # Born in the PID namespace, for the host's procfs to know it; the rest it enters by itself.
            process = linux.elsewhere(
                lambda: linux.setns(pidfd, linux.CLONE_NEWPID),
                lambda: subprocess.Popen(
                    programs.module("wreck"),
                    env=programs.environment(),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    pass_fds=[pidfd],
                ),
            )
        # Not among the arguments, which every user of the host could read: the token is in it.
        _output, complaint = process.communicate(request.encode())
        if process.returncode:
            raise FleetError(f"{self.name}: {complaint.decode(errors='replace').strip()}")

    def reap(self) -> None:
        """End what was spawned: a PID namespace does not end before each process in it is reaped by its parent."""
        for process in self._spawned:
            with process:
                process.kill()

    def _start(
        self, argv: Sequence[str | bytes], user: str | None, env: Mapping[str, str] | None, streams: _Streams
    ) -> subprocess.Popen[bytes]:
        uid, gid, home = self._account(user) if user else (0, 0, "/root")
        stdin, stdout, stderr = streams
        with self._alive() as pidfd:
            return linux.elsewhere(
                lambda: linux.enter(pidfd, _NAMESPACES),
                lambda: subprocess.Popen(
                    argv,
                    env={"PATH": _PATH, "HOME": home, "LANG": "C.UTF-8", **(env or {})},
                    stdin=stdin,
                    stdout=stdout,
                    stderr=stderr,
                    user=uid,
                    group=gid,
                    extra_groups=[],
                    start_new_session=True,
                ),
            )

    @contextmanager
    def _alive(self) -> Iterator[int]:
        """A pidfd of the host's init, after a look whether its PID is another process's by now."""
        gone = FleetError(f"{self.name} is not running any more.")
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            raise gone from None
        try:
            if linux.mount_namespace(self.pid) != self._mount_namespace:
                raise gone
            yield pidfd
        finally:
            os.close(pidfd)

    def _account(self, user: str) -> tuple[int, int, str]:
        for line in (self.root() / "etc/passwd").read_text(errors="surrogateescape").splitlines():
            fields = line.split(":")
            if fields[0] == user:
                return int(fields[2]), int(fields[3]), fields[5]
        raise FleetError(f"{self.name} has no user {user}.")
