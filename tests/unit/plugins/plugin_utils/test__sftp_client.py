# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Against OpenSSH's own sftp-server, started without an sshd."""

from __future__ import annotations

import errno
import os
import signal
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.procfs.rescue.plugins.plugin_utils import _sftp_client as sftp
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_client import Client, Pipe, SessionError

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


def fault(client: Client, task: sftp.Task[object]) -> int | None:
    try:
        client.run(task)
    except OSError as error:
        return error.errno
    return None


def test_the_extensions_of_the_server(client: Client) -> None:
    assert client.extensions[b"hardlink@openssh.com"] == b"1"
    assert {b"copy-data", b"fsync@openssh.com", b"statvfs@openssh.com"} <= set(client.extensions)


def test_names_are_bytes(client: Client, tmp_path: Path) -> None:
    names = [b"plain", b"\xff\n{{ 7*7 }}", b"a" * 255]
    for name in names:
        (tmp_path / os.fsdecode(name)).touch()
    assert sorted(client.run(sftp.names(os.fsencode(tmp_path)))) == sorted(names)


def test_more_names_than_one_answer_holds(client: Client, tmp_path: Path) -> None:
    for number in range(1000):
        (tmp_path / str(number)).touch()
    assert len(client.run(sftp.names(os.fsencode(tmp_path)))) == 1000


def test_content_and_links(client: Client, tmp_path: Path) -> None:
    content = os.urandom(300_000)
    (tmp_path / "file").write_bytes(content)
    (tmp_path / "link").symlink_to(os.fsdecode(b"\xffnowhere"))
    top = os.fsencode(tmp_path)
    assert client.run(sftp.content(top + b"/file")) == content
    assert client.run(sftp.content(b"/proc/self/stat")).endswith(b"\n"), "its size is said to be 0"
    assert client.run(sftp.readlink(top + b"/link")) == b"\xffnowhere"
    assert stat.S_ISLNK(client.run(sftp.lstat(top + b"/link")).st_mode)
    assert client.run(sftp.stat(top + b"/file")).st_size == 300_000


def test_reading_part_of_a_file(client: Client, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    handle = client.run(sftp.open_file(os.fsencode(tmp_path) + b"/file", sftp.READ))
    parts = [client.run(sftp.read(handle, *where)) for where in ((2, 3), (8, 9), (10, 1), (99, 1))]
    assert parts == [b"234", b"89", b"", b""]


def test_writing_and_changing(client: Client, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/file"
    handle = client.run(sftp.open_file(path, sftp.WRITE | sftp.CREATE | sftp.EXCLUSIVE, 0o600))
    client.run(sftp.write(handle, 5, b"end"))
    client.run(sftp.fsync(handle))
    client.run(sftp.close(handle))
    client.run(sftp.change(path, st_mode=0o640))
    client.run(sftp.change(path, st_atime=1, st_mtime=2))
    client.run(sftp.change(path, st_uid=7, st_gid=8))
    found = (tmp_path / "file").stat()
    assert (tmp_path / "file").read_bytes() == bytes(5) + b"end"
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, found.st_mtime) == (0o640, 7, 8, 2)
    assert fault(client, sftp.open_file(path, sftp.WRITE | sftp.CREATE | sftp.EXCLUSIVE, 0o600)) == errno.EREMOTEIO


def test_links_renames_and_folders(client: Client, tmp_path: Path) -> None:
    top = os.fsencode(tmp_path)
    (tmp_path / "one").write_text("one")
    client.run(sftp.hardlink(top + b"/one", top + b"/two"))
    assert fault(client, sftp.hardlink(top + b"/one", top + b"/two")) == errno.EREMOTEIO
    (tmp_path / "three").write_text("three")
    assert fault(client, sftp.rename(top + b"/three", top + b"/two")) == errno.EREMOTEIO
    client.run(sftp.posix_rename(top + b"/three", top + b"/two"))
    assert (tmp_path / "two").read_text() == "three"
    client.run(sftp.mkdir(top + b"/folder", 0o700))
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o700
    client.run(sftp.rmdir(top + b"/folder"))
    client.run(sftp.remove(top + b"/one"))
    assert os.listdir(tmp_path) == ["two"]


def test_copying_on_the_server(client: Client, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"0123456789")
    (tmp_path / "target").touch()
    top = os.fsencode(tmp_path)
    source = client.run(sftp.open_file(top + b"/source", sftp.READ))
    target = client.run(sftp.open_file(top + b"/target", sftp.WRITE))
    for offset in (0, 4, 8):
        client.run(sftp.copy_data(source, target, offset, min(4, 10 - offset)))
    assert (tmp_path / "target").read_bytes() == b"0123456789"


def test_faults_are_those_of_files(client: Client, tmp_path: Path) -> None:
    nothing = os.fsencode(tmp_path) + b"/nothing"
    assert fault(client, sftp.lstat(nothing)) == errno.ENOENT
    assert fault(client, sftp.content(nothing)) == errno.ENOENT


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
