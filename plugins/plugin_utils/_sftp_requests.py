# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What an SFTP server is asked, each as a task of `_sftp_client`: the draft's requests and OpenSSH's extensions."""

from __future__ import annotations

import errno
import struct
from typing import Any

from ansible_collections.procfs.rescue.plugins.plugin_utils._paramiko import SFTPAttributes, sftp
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_client import Request, Task

# What one READ or WRITE carries: all servers take 32 KiB, OpenSSH takes 256 KiB with its header.
PIECE = 128 * 1024
# What all servers give at once (section 3): of a file on a disk less is its end (section 6.4).
_AT_ONCE = 32 * 1024
# Section 6.3 of draft-ietf-secsh-filexfer-02, how a file is opened.
READ, WRITE, CREATE, EXCLUSIVE = 0x1, 0x2, 0x8, 0x20
# Section 5, what attributes are made of: bytes by flag.
_NUMBER = struct.Struct(">I")
_SIZES = {0x1: 8, 0x2: 8, 0x4: 4, 0x8: 8}
_EXTENDED = 0x80000000


def lstat(path: bytes) -> Task[SFTPAttributes]:
    return SFTPAttributes._from_msg((yield Request(sftp.CMD_LSTAT, (path,))))


def stat(path: bytes) -> Task[SFTPAttributes]:
    return SFTPAttributes._from_msg((yield Request(sftp.CMD_STAT, (path,))))


def readlink(path: bytes) -> Task[bytes]:
    answer = yield Request(sftp.CMD_READLINK, (path,))
    answer.get_int()
    target: bytes = answer.get_string()
    return target


def names(path: bytes) -> Task[list[bytes]]:
    """What is in a folder, without ``.`` and ``..``."""
    handle = yield from open_folder(path)
    found: list[bytes] = []
    try:
        while True:
            try:
                answer = yield Request(sftp.CMD_READDIR, (handle,))
            except OSError as error:
                if error.errno == errno.ENODATA:
                    return [name for name in found if name not in (b".", b"..")]
                raise
            found += _names_in(answer.get_int(), answer.get_remainder())
    finally:
        yield from close(handle)


def _names_in(count: int, entries: bytes) -> list[bytes]:
    """Of READDIR's answer. paramiko would read all attributes for them, one number at a time."""
    found: list[bytes] = []
    at = 0
    try:
        for _entry in range(count):
            (length,) = _NUMBER.unpack_from(entries, at)
            found.append(entries[at + 4 : at + 4 + length])
            at += 4 + length
            (length,) = _NUMBER.unpack_from(entries, at)
            at += 4 + length
            (flags,) = _NUMBER.unpack_from(entries, at)
            at += 4 + sum(size for flag, size in _SIZES.items() if flags & flag)
            if flags & _EXTENDED:
                (pairs,) = _NUMBER.unpack_from(entries, at)
                at += 4
                for _text in range(2 * pairs):
                    (length,) = _NUMBER.unpack_from(entries, at)
                    at += 4 + length
    except struct.error:
        at = len(entries) + 1
    if at > len(entries):
        raise OSError(errno.EPROTO, "the SFTP server's list of a folder ends too early")
    return found


def open_folder(path: bytes) -> Task[bytes]:
    handle: bytes = (yield Request(sftp.CMD_OPENDIR, (path,))).get_string()
    return handle


def open_file(path: bytes, flags: int, mode: int | None = None) -> Task[bytes]:
    attributes = SFTPAttributes()
    attributes.st_mode = mode
    handle: bytes = (yield Request(sftp.CMD_OPEN, (path, flags, attributes))).get_string()
    return handle


def close(handle: bytes) -> Task[None]:
    yield Request(sftp.CMD_CLOSE, (handle,))


def read(handle: bytes, offset: int, count: int, at_least: int = 1) -> Task[bytes]:
    """``count`` bytes, fewer only at the end of the file: a server may give less than it is asked for.

    An answer of less than ``at_least`` bytes is taken for the end.
    """
    parts: list[bytes] = []
    while count:
        try:
            answer = yield Request(sftp.CMD_READ, (handle, sftp.int64(offset), count))
        except OSError as error:
            if error.errno == errno.ENODATA:
                break
            raise
        part = answer.get_string()
        parts.append(part)
        offset += len(part)
        count -= len(part)
        if len(part) < at_least:
            break
    return b"".join(parts)


def content(path: bytes, is_on_disk: bool = False) -> Task[bytes]:
    """The whole content of a small file, such as those of /proc, whose size is not known before.

    Where it is known to be on a disk its end needs not be asked for.
    """
    handle = yield from open_file(path, READ)
    try:
        parts: list[bytes] = []
        offset = 0
        while True:
            part = yield from read(handle, offset, PIECE, at_least=_AT_ONCE if is_on_disk else 1)
            parts.append(part)
            offset += len(part)
            if len(part) < PIECE:
                return b"".join(parts)
    finally:
        yield from close(handle)


def write(handle: bytes, offset: int, data: bytes) -> Task[None]:
    yield Request(sftp.CMD_WRITE, (handle, sftp.int64(offset), data))


def change(path: bytes, **wanted: Any) -> Task[None]:
    """SETSTAT: ``st_size``, ``st_mode``, ``st_uid`` with ``st_gid``, ``st_atime`` with ``st_mtime`` (seconds)."""
    attributes = SFTPAttributes()
    for name, value in wanted.items():
        setattr(attributes, name, value)
    yield Request(sftp.CMD_SETSTAT, (path, attributes))


def rename(old: bytes, new: bytes) -> Task[None]:
    """Fails where the new name is taken."""
    yield Request(sftp.CMD_RENAME, (old, new))


def symlink(target: bytes, path: bytes) -> Task[None]:
    """In the order that OpenSSH wants, which is not that of the draft."""
    yield Request(sftp.CMD_SYMLINK, (target, path))


def mkdir(path: bytes, mode: int) -> Task[None]:
    attributes = SFTPAttributes()
    attributes.st_mode = mode
    yield Request(sftp.CMD_MKDIR, (path, attributes))


def rmdir(path: bytes) -> Task[None]:
    yield Request(sftp.CMD_RMDIR, (path,))


def remove(path: bytes) -> Task[None]:
    yield Request(sftp.CMD_REMOVE, (path,))


# OpenSSH's extensions (its file PROTOCOL). Where the server has one not they raise OSError ENOSYS.


def hardlink(old: bytes, new: bytes) -> Task[None]:
    """link(2): fails where the new name is taken."""
    yield Request(sftp.CMD_EXTENDED, ("hardlink@openssh.com", old, new))


def posix_rename(old: bytes, new: bytes) -> Task[None]:
    """rename(2): replaces."""
    yield Request(sftp.CMD_EXTENDED, ("posix-rename@openssh.com", old, new))


def fsync(handle: bytes) -> Task[None]:
    yield Request(sftp.CMD_EXTENDED, ("fsync@openssh.com", handle))


def copy_data(source: bytes, target: bytes, offset: int, count: int) -> Task[None]:
    """Copies on the server, from one handle to the same place behind the other (OpenSSH 9.0)."""
    place = sftp.int64(offset)
    yield Request(sftp.CMD_EXTENDED, ("copy-data", source, place, sftp.int64(count), target, place))


def statvfs(path: bytes) -> Task[list[int]]:
    """The fields of statvfs(3) in their order, from f_bsize to f_namemax."""
    answer = yield Request(sftp.CMD_EXTENDED, ("statvfs@openssh.com", path))
    return [answer.get_int64() for _field in range(11)]
