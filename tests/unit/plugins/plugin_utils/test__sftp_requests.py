# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Against OpenSSH's own sftp-server, started without an sshd."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from paramiko import SFTPAttributes
from paramiko.message import Message

from ansible_collections.procfs.rescue.plugins.plugin_utils import _sftp_requests as sftp
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_client import Client, Pipe, Task


@pytest.fixture
def client() -> Iterator[Client]:
    client = Client(Pipe([b"/usr/lib/openssh/sftp-server"], 10))
    yield client
    client.close()


def fault(client: Client, task: Task[object]) -> int | None:
    try:
        client.run(task)
    except OSError as error:
        return error.errno
    return None


def test_names_are_bytes(client: Client, tmp_path: Path) -> None:
    names = [b"plain", b"\xff\n{{ 7*7 }}", b"a" * 255]
    for name in names:
        (tmp_path / os.fsdecode(name)).touch()
    assert sorted(client.run(sftp.names(os.fsencode(tmp_path)))) == sorted(names)


def test_more_names_than_one_answer_holds(client: Client, tmp_path: Path) -> None:
    for number in range(1000):
        (tmp_path / str(number)).touch()
    assert len(client.run(sftp.names(os.fsencode(tmp_path)))) == 1000


def listing(*entries: tuple[bytes, SFTPAttributes]) -> tuple[int, bytes]:
    """READDIR's answer, as paramiko's own server would write it."""
    message = Message()
    for name, attributes in entries:
        message.add_string(name)
        message.add_string(b"-rw-r--r-- 1 root " + name)
        attributes._pack(message)
    return len(entries), message.asbytes()


def attributes(**wanted: Any) -> SFTPAttributes:
    made = SFTPAttributes()
    for name, value in wanted.items():
        setattr(made, name, value)
    return made


ALL = {"st_size": 2**40, "st_uid": 1, "st_gid": 2, "st_mode": 0o100644, "st_atime": 3, "st_mtime": 4}


def test_attributes_of_a_list_are_read_over() -> None:
    """Whatever a server sends of them."""
    entries = [
        (b"none", attributes()),
        (b"size", attributes(st_size=5)),
        (b"all\n\xff", attributes(**ALL)),
        (b"", attributes(st_mode=0o100600, attr={b"name@example.org": b"value", b"more": b""})),
        (b"everything", attributes(**ALL, attr={b"a": b"b"})),
    ]
    assert sftp._names_in(*listing(*entries)) == [name for name, _attributes in entries]


def test_a_list_that_is_not_whole() -> None:
    count, whole = listing((b"name", attributes(**ALL, attr={b"a": b"b"})), (b"other", attributes(**ALL)))
    for length in range(len(whole)):
        with pytest.raises(OSError, match="ends too early"):
            sftp._names_in(count, whole[:length])
    with pytest.raises(OSError, match="ends too early"):
        sftp._names_in(2**32 - 1, whole)


def test_content_on_a_disk_that_is_long(client: Client, tmp_path: Path) -> None:
    for size in (0, 1, sftp._AT_ONCE - 1, sftp._AT_ONCE, sftp._AT_ONCE + 1, sftp.PIECE, sftp.PIECE + 1, 3 * sftp.PIECE):
        content = os.urandom(size)
        (tmp_path / "file").write_bytes(content)
        assert client.run(sftp.content(os.fsencode(tmp_path / "file"), is_on_disk=True)) == content


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
