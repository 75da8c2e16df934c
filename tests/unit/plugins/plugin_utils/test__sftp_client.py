# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Against OpenSSH's own sftp-server, started without an sshd."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest

from ansible_collections.procfs.rescue.plugins.plugin_utils import _paramiko
from ansible_collections.procfs.rescue.plugins.plugin_utils import _sftp_requests as sftp
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_client import Client, Pipe, SessionError
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_requests import READ
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_session import Session
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_verify import Contents
from unit.plugins.holders import in_child

SERVER = b"/usr/lib/openssh/sftp-server"

Connect = Callable[..., Client]


@pytest.fixture
def connect() -> Iterator[Connect]:
    clients: list[Client] = []

    def start(*command: bytes, limit: float = 10) -> Client:
        clients.append(Client(Pipe(command or [SERVER], limit)))
        return clients[-1]

    yield start
    for client in clients:
        client.close()


@pytest.fixture
def client(connect: Connect) -> Client:
    return connect()


def test_the_extensions_of_the_server(client: Client) -> None:
    assert client.extensions[b"hardlink@openssh.com"] == b"1"
    assert {b"copy-data", b"fsync@openssh.com", b"statvfs@openssh.com"} <= set(client.extensions)


class Patient(Pipe):
    """Waits until the server has answered all it was sent: who is scheduled when does not change what is counted."""

    written = 0

    def of_server(self, name: str) -> str:
        return Path(f"/proc/{self._process.pid}/{name}").read_text()

    def reads(self) -> int:
        """System calls, as proc_pid_io(5) counts them."""
        return int(self.of_server("io").partition("syscr: ")[2].split()[0])

    def _wait(self, readers: list[Any], writers: list[Any]) -> None:
        self.written += bool(writers)
        super()._wait(readers, writers)
        unread = bytearray(4)
        while readers and self._process.poll() is None:
            fcntl.ioctl(self._input, termios.FIONREAD, unread)
            if not any(unread) and self.of_server("stat").rpartition(")")[2].split()[0] == "S":
                break
            time.sleep(0.001)


def test_few_system_calls_for_many_requests(tmp_path: Path) -> None:
    """What tasks ask for together is written and read together; the end of a file on a disk is not asked for."""
    for number in range(50):
        (tmp_path / str(number)).write_text(str(number))
    pipe = Patient([SERVER], 10)
    client = Client(pipe)
    try:
        read, written = pipe.reads(), pipe.written
        paths = [os.fsencode(tmp_path / str(number)) for number in range(50)]
        contents = client.together([sftp.content(path, is_on_disk=True) for path in paths])
        assert contents == [b"%d" % number for number in range(50)]
        assert pipe.written - written == 3, "to open all, to read all, to close all"
        assert pipe.reads() - read == 50 + 3, "of each file once, and of many requests at once"
    finally:
        client.close()


def test_what_another_paramiko_user_has_loaded_stays() -> None:
    loader = "from ansible.plugins.loader import init_plugin_loader; init_plugin_loader(); import sys; "
    before = "import invoke; import {0}; assert sys.modules['invoke'] is invoke"
    after = "import {0}; assert 'invoke' not in sys.modules; import invoke; assert invoke.run"
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(Path(__file__).parents[4] / "collections")}
    for code in (before, after):
        subprocess.run([sys.executable, "-c", loader + code.format(_paramiko.__name__)], check=True, env=environment)


def test_together_the_results_are_in_the_order_of_the_tasks(client: Client, tmp_path: Path) -> None:
    paths = []
    for number in range(200):
        (tmp_path / str(number)).write_bytes(b"%d" % number * number)
        paths.append(os.fsencode(tmp_path) + b"/%d" % number)
    paths[100] += b"gone"
    results = client.together([sftp.content(path) for path in paths])
    assert isinstance(results[100], FileNotFoundError)
    assert all(results[number] == b"%d" % number * number for number in range(200) if number != 100)
    assert client.together([]) == []


def test_together_shares_the_round_trips(connect: Connect, tmp_path: Path) -> None:
    """A server 10 ms away, to which a hundred questions are put."""
    slow = tmp_path / "slow"
    slow.write_text(
        "#!/usr/bin/python3\n"
        "import os, subprocess, sys, threading, time\n"
        "server = subprocess.Popen(['/usr/lib/openssh/sftp-server'], stdin=0, stdout=subprocess.PIPE)\n"
        "while True:\n"
        "    data = os.read(server.stdout.fileno(), 1 << 20)\n"
        "    if not data: break\n"
        "    time.sleep(0.01)\n"
        "    os.write(1, data)\n"
    )
    slow.chmod(0o755)
    client = connect(os.fsencode(slow))
    started = time.monotonic()
    assert len(client.together([sftp.readlink(b"/proc/self") for _number in range(100)])) == 100
    shared = time.monotonic() - started
    started = time.monotonic()
    for _number in range(100):
        client.run(sftp.readlink(b"/proc/self"))
    assert shared * 4 < time.monotonic() - started


def test_a_server_that_does_not_answer(connect: Connect, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    client = connect(limit=0.3)
    path = os.fsencode(tmp_path) + b"/fifo"
    with pytest.raises(SessionError, match="did not answer over SFTP within 0") as caught:
        client.together([sftp.readlink(b"/proc/self"), sftp.content(path), sftp.readlink(b"/proc/self")])
    assert caught.value.stuck is not None and caught.value.stuck.arguments[0] == path
    with pytest.raises(SessionError, match="given up before"):
        client.run(sftp.readlink(b"/proc/self"))


def test_a_server_that_ends(client: Client) -> None:
    pid = int(client.run(sftp.readlink(b"/proc/self")))
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(SessionError, match="the SFTP session ended"):
        client.run(sftp.readlink(b"/proc/self"))


def test_why_ssh_ended_is_told(connect: Connect) -> None:
    with pytest.raises(SessionError, match="the SFTP session ended: Permission denied"):
        connect(b"/bin/sh", b"-c", b"echo Permission denied >&2; exit 255")


def test_what_is_no_sftp_server(connect: Connect) -> None:
    """Such as a shell that greets everybody."""
    with pytest.raises(SessionError, match="what answers there is no SFTP server"):
        connect(b"/bin/sh", b"-c", b"printf 'Welcome to this host'; cat")


def test_tasks_that_are_cut_off_close_nothing_over_the_dead_session(client: Client) -> None:
    """Their ends would ask for more: that must neither hang nor hide why the session was lost."""
    pid = int(client.run(sftp.readlink(b"/proc/self")))
    os.kill(pid, signal.SIGSTOP)
    client.sock.limit = 0.2
    with pytest.raises(SessionError, match="did not answer"):
        client.together([sftp.content(b"/proc/self/stat") for _number in range(100)])


@pytest.mark.parametrize("step", ["_send_packet", "_read_packet", "add_int"])
def test_what_is_collected_in_the_middle_of_a_request_waits_for_nothing(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Python may do so whenever it makes an object: an iterator that nobody read to its end then closes its file."""
    (tmp_path / "file").write_bytes(bytes(100))
    session = Session(lambda: client)
    number = session.open_file(os.fsencode(tmp_path / "file"), READ)
    left = [Contents(session).content(number)]
    next(left[0])
    owner = paramiko.Message if step == "add_int" else client
    real = getattr(owner, step)

    def collect(*arguments: Any) -> Any:
        left.clear()
        return real(*arguments)

    monkeypatch.setattr(owner, step, collect)

    def work() -> bool:
        return session.run(sftp.stat(os.fsencode(tmp_path / "file"))).st_size == 100 and not left

    assert in_child(work, seconds=10)
