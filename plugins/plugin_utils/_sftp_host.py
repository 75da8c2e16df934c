# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The steps over SFTP: nothing is executed on the host, everything is decided by the same code as there.

A descriptor is the number that the server has for what it opened for us (see `_sftp_session`).
"""

from __future__ import annotations

import binascii
import errno
import hashlib
import os
import re
import stat as modes
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast

from ansible_collections.procfs.rescue.plugins.module_utils._accounts import names_by_number
from ansible_collections.procfs.rescue.plugins.module_utils._draft import (
    DRAFT,
    Draft,
    backed_up,
    backup_names,
)
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._folder import Opened, Walk, walk_to_folder, walk_to_target
from ansible_collections.procfs.rescue.plugins.module_utils._freeze import Frozen
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host, Room
from ansible_collections.procfs.rescue.plugins.module_utils._installed import (
    dpkg_paths_below,
    installed_by_dpkg,
    recorded_by_dpkg,
    release_in,
)
from ansible_collections.procfs.rescue.plugins.module_utils._metadata import Metadata
from ansible_collections.procfs.rescue.plugins.module_utils._model import (
    Effort,
    Folder,
    Made,
    Missing,
    Mount,
    Scan,
    Sighting,
    Target,
    Witness,
)
from ansible_collections.procfs.rescue.plugins.module_utils._packages import INFO, Records, dpkg_witnesses, witnesses_of
from ansible_collections.procfs.rescue.plugins.module_utils._publish import (
    NotKnownError,
    NotSavedError,
    to_make,
)
from ansible_collections.procfs.rescue.plugins.module_utils._reach import unreachable_by
from ansible_collections.procfs.rescue.plugins.module_utils._record import RECORD, is_roots
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_client import (
    CREATE,
    EXCLUSIVE,
    PIECE,
    READ,
    WRITE,
    Client,
    SessionError,
    Task,
    change,
    close,
    copy_data,
    fsync,
    hardlink,
    lstat,
    mkdir,
    names,
    open_file,
    posix_rename,
    read,
    readlink,
    remove,
    rename,
    rmdir,
    stat,
    statvfs,
    symlink,
    write,
)
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_client import (
    content as content_of,
)
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_scan import file_of, process, scan
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_session import Session, path_of

_HIDDEN = re.compile(rb"\.procfs-rescue\.[0-9a-f]{16}\Z")

# One copy-data request must be answered within the time limit.
_COPY = 16 * 1024 * 1024
# Bytes that are read at once: as many as the requests of a window carry.
_SPAN = 32 * PIECE

# What SFTP carries of no file. Holes: the server fills them where it copies; through here all zeros become holes.
NOT_CARRIED = ("xattrs", "acls", "capabilities", "subsecond_times", "holes")

_READ_ONLY = 1  # ST_RDONLY, also of statvfs@openssh.com


@contextmanager
def sftp_host(connect: Callable[[], Client], warn: Callable[[str], object] = lambda _line: None) -> Iterator[Host]:
    """The host that ``connect`` opens an SFTP session to. Raises OSError."""
    session = Session(connect)
    try:
        yield _host(session, warn)
    finally:
        session.client.close()


def _host(session: Session, warn: Callable[[str], object]) -> Host:
    host = _SftpHost(session, warn)
    return Host(
        scan=host.scan,
        unpin=host.unpin,
        pin=lambda _sightings, _seconds: 0,
        readable=host.readable,
        close=session.close,
        give_way=lambda: None,
        unreachable=host.unreachable,
        open_folder=host.open_folder,
        open_target=host.open_target,
        mode_of=host.mode_of,
        mode_seen_by=host.mode_seen_by,
        readlink=lambda folder, name: session.run(readlink(path_of(folder, name))),
        open_file=host.open_file,
        room=host.room,
        process=lambda pid: session.run(process(pid)),
        witnesses=host.witnesses,
        installed=lambda paths, packages=None: installed_by_dpkg(paths, host.records, packages),
        paths_below=lambda folder: dpkg_paths_below(folder, host.records),
        recorded=lambda path: recorded_by_dpkg(path, host.records),
        release=lambda: release_in(lambda path: session.run(content_of(path))),
        user_names=lambda: host.names_of(b"/etc/passwd"),
        group_names=lambda: host.names_of(b"/etc/group"),
        read_record=host.read_record,
        symlink=host.symlink,
        own_ids=host.own_ids,
        make_folders=host.make_folders,
        unmake_folders=host.unmake_folders,
        while_frozen=_while_running,
        size=host.size,
        content=host.content,
        digests=host.digests,
        read_metadata=host.read_metadata,
        apply_metadata=host.apply_metadata,
        differences=host.differences,
        sweep_once=host.sweep_once,
        draft_in=host.draft_in,
        clone_content=lambda _source, _target: False,
        copy_content=host.copy_content,
        write_content=host.write_content,
        publish=host.publish,
        replace=host.replace,
        link_again=lambda *_arguments: None,
        is_named=host.is_named,
        does_start=lambda _fd, _name: None,
    )


def _while_running(
    work: Callable[[], Any], writers: Iterable[int], _identity: tuple[int, int], _seconds: float
) -> tuple[Any, Frozen]:
    return work(), Frozen({}, dict.fromkeys(writers, "over SFTP nobody can be stopped"))


class _SftpHost:
    def __init__(self, session: Session, warn: Callable[[str], object]) -> None:
        self.session = session
        self.warn = warn
        self.records = Records(lambda: session.run(names(INFO)), self._records, self._real_folder)
        self._alive: set[bytes] = set()
        self._parents_of_remote: set[bytes] = set()
        self._walk = Walk(
            start=lambda folder: b"/" if folder is None else path_of(folder),
            enter=self._enter,
            owner_and_mode=self._owner_and_mode,
            readlink=lambda path: session.run(readlink(path)),
            leave=lambda _path: None,
            open=self._open,
            close=session.close,
        )

    # The walk: what has been reached is a path, and what is opened in the end must have that very name.

    def _enter(self, folder: bytes, name: bytes) -> bytes:
        path = os.path.join(folder, name)
        status = self.session.run(lstat(folder + b"/."))
        if not modes.S_ISDIR(status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        self.session.run(lstat(path))
        return path

    def _owner_and_mode(self, path: bytes) -> tuple[int, int]:
        status = self.session.run(lstat(path))
        return status.st_uid, status.st_mode

    def _open(self, path: bytes) -> Opened:
        if not modes.S_ISDIR(self._owner_and_mode(path)[1]):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        folder = self.session.open_folder(path)
        facts = self.session.facts_of(folder)
        if facts.name != path:
            self.session.close(folder)
            raise OSError(errno.ESTALE, "it was exchanged for another while it was looked at")
        return Opened(folder, facts.name, facts.mount_id)

    def unreachable(self, paths: Iterable[bytes], mounts: dict[int, Mount]) -> set[bytes]:
        return unreachable_by(paths, mounts, lambda some, _seconds: self._answered(some, mounts))

    def _answered(self, paths: Sequence[bytes], mounts: dict[int, Mount]) -> int:
        """In a session of its own: what is pinned goes with one that hangs."""
        try:
            session = self.session.another()
        except OSError:  # no second one can be had; then nobody knows before
            return len(paths)
        other = _SftpHost(session, self.warn)
        try:
            for number, path in enumerate(paths):
                try:
                    target = other.open_target(path, mounts)
                    other.room(target.folder.fd)
                    session.close(target.folder.fd)
                except (OSError, RescueError) as error:
                    if SessionError in (type(error), type(error.__cause__)):
                        return number
        finally:
            session.client.close()
        return len(paths)

    def open_folder(self, path: bytes, mounts: dict[int, Mount]) -> Folder:
        return walk_to_folder(path, mounts, self._walk)

    def open_target(self, path: bytes, mounts: dict[int, Mount]) -> Target:
        return walk_to_target(path, mounts, self._walk)

    def mode_of(self, folder: int, name: bytes) -> int | None:
        try:
            mode: int = self.session.run(lstat(path_of(folder, name))).st_mode
        except FileNotFoundError:
            return None
        return mode

    def open_file(self, folder: int, name: bytes) -> int | None:
        mode = self.mode_of(folder, name)
        if mode is None or not modes.S_ISREG(mode):
            return None
        return self.session.open_file(path_of(folder, name), READ)

    def room(self, folder: int) -> Room:
        if not self.session.has(b"statvfs@openssh.com"):
            return Room(False, None, None)
        found = self.session.run(statvfs(path_of(folder, b".")))
        fragment_size, blocks, free, flags = found[1], found[2], found[3], found[9]
        if not blocks:
            return Room(bool(flags & _READ_ONLY), None, None)
        return Room(bool(flags & _READ_ONLY), fragment_size * free, fragment_size * blocks)

    def mode_seen_by(self, pid: int, path: bytes) -> int | None:
        try:
            mode: int = self.session.run(lstat(b"/proc/%d/root%s" % (pid, path))).st_mode
        except FileNotFoundError:
            return None
        return mode

    # Who is who.

    def names_of(self, path: bytes) -> dict[int, str]:
        try:
            return names_by_number(self.session.run(content_of(path)))
        except FileNotFoundError:
            return {}

    def read_record(self) -> bytes:
        try:
            status = self.session.run(lstat(RECORD))
            return self.session.run(content_of(RECORD)) if is_roots(status.st_uid, status.st_mode) else b""
        except SessionError:
            raise
        except OSError:
            return b""

    def symlink(self, folder: int, name: bytes, target: bytes) -> None:
        self.session.run(symlink(target, path_of(folder, name)))

    def own_ids(self) -> tuple[int, int]:
        status = self.session.run(stat(b"/proc/self"))
        return status.st_uid, status.st_gid

    def witnesses(self, paths: Iterable[bytes]) -> dict[bytes, Witness]:
        """rpm's database is one that only rpm itself can read."""
        return witnesses_of(paths, self.warn, self.records, [dpkg_witnesses])

    def _records(self, wanted: list[bytes]) -> Iterator[bytes]:
        for found in self.session.together([content_of(os.path.join(INFO, name)) for name in wanted]):
            if isinstance(found, FileNotFoundError):
                yield b""
            elif isinstance(found, OSError):
                raise found
            else:
                yield found

    def _real_folder(self, folder: bytes) -> bytes | None:
        try:
            target = self.session.run(readlink(folder))
        except OSError:
            return None
        return os.path.normpath(os.path.join(os.path.dirname(folder), target))

    # Holders.

    def scan(self, pin: Callable[[Sighting], bool], effort: Effort) -> Scan:
        seen = scan(self.session, pin, self._alive, effort)
        remote = [mount for mount in seen.mounts.values() if mount.may_never_answer]
        self._parents_of_remote = {os.path.dirname(mount.mount_point) for mount in remote}
        return seen

    def unpin(self, sightings: Iterable[Sighting]) -> None:
        self.session.close_all(one.handle for one in sightings if one.handle is not None)

    @contextmanager
    def readable(self, sighting: Sighting) -> Iterator[int]:
        number = sighting.handle
        if number is None:
            number = self._reopened(sighting)
        try:
            self._check(sighting, number)
            yield number
        finally:
            if sighting.handle is None:
                self.session.close(number)

    def _reopened(self, sighting: Sighting) -> int:
        link = sighting.link.encode()
        try:
            if not modes.S_ISREG(self.session.run(stat(link)).st_mode):
                raise RescueError("%s leads to no regular file." % sighting.link, ["not_regular"])
            return self.session.open_file(link, READ)
        except FileNotFoundError as error:
            gone = "%s is gone: its holder ended or closed the file." % sighting.link
            raise RescueError(gone, ["holder_changed"]) from error

    def _check(self, sighting: Sighting, number: int) -> None:
        now, then = file_of(self.session.facts_of(number), sighting.mount, sighting.file.inode), sighting.file
        if (now.identity, now.uid, now.mode) != (then.identity, then.uid, then.mode):
            other = "%s leads to another file by now, or its owner or mode changed." % sighting.link
            raise RescueError(other, ["holder_changed"])

    # Content and metadata of what is open.

    def size(self, number: int) -> int:
        size: int = self.session.run(stat(path_of(number))).st_size
        return size

    def content(self, number: int, size: int | None = None) -> Iterator[bytes]:
        """The first ``size`` bytes, or as many as it has now, piece by piece; a file may grow without an end."""
        size = self.size(number) if size is None else size
        handle = self.session.run(open_file(path_of(number), READ))
        try:
            for start in range(0, size, _SPAN):
                offsets = range(start, min(start + _SPAN, size), PIECE)
                tasks = [read(handle, offset, min(PIECE, size - offset)) for offset in offsets]
                for piece in self.session.together(tasks):
                    if isinstance(piece, OSError):
                        raise piece
                    yield piece
        finally:
            with suppress(OSError):  # also long after the session was lost, when it is collected
                self.session.run(close(handle))

    def digests(self, number: int, algorithms: Iterable[str], size: int | None = None) -> dict[str, str]:
        hashes = {algorithm: hashlib.new(algorithm, usedforsecurity=False) for algorithm in algorithms}
        for piece in self.content(number, size):
            for state in hashes.values():
                state.update(piece)
        return {algorithm: state.hexdigest() for algorithm, state in hashes.items()}

    def read_metadata(self, number: int) -> Metadata:
        status = self.session.run(stat(path_of(number)))
        return Metadata(
            mode=modes.S_IMODE(status.st_mode),
            uid=status.st_uid,
            gid=status.st_gid,
            atime_ns=status.st_atime * 10**9,
            mtime_ns=status.st_mtime * 10**9,
            xattrs={},
        )

    def apply_metadata(self, number: int, wanted: Metadata) -> None:
        """In the order of `_metadata.apply_metadata`: chown(2) takes setuid away."""
        path = path_of(number)
        try:
            self.session.run(change(path, st_uid=wanted.uid, st_gid=wanted.gid))
        except OSError:
            wanted = wanted.without_privileges()
        with suppress(OSError):
            self.session.run(change(path, st_mode=wanted.mode))
        with suppress(OSError):
            self.session.run(change(path, st_atime=wanted.atime_ns // 10**9, st_mtime=wanted.mtime_ns // 10**9))

    def differences(self, number: int, wanted: Metadata) -> list[str]:
        found = self.read_metadata(number)
        fields = (
            ("owner", wanted.uid, found.uid),
            ("group", wanted.gid, found.gid),
            ("mode", wanted.mode, found.mode),
            ("mtime", wanted.mtime_ns // 10**9, found.mtime_ns // 10**9),
        )
        return [name for name, wants, has in fields if wants != has] + list(NOT_CARRIED)

    # copy and publish.

    def sweep_once(self, folder: int, swept: set[tuple[int, int]]) -> None:
        facts = self.session.facts_of(folder)
        key = (facts.mount_id, facts.inode or folder)
        # To list a folder the server asks for the attributes of all in it, of dead mounts too.
        if key in swept or facts.name in self._parents_of_remote:
            return
        swept.add(key)
        for name in self.session.run(names(path_of(folder))):
            # SFTP has no locks; a run that lives has its hidden folder open, and the scan saw that.
            if _HIDDEN.match(name) and name not in self._alive:
                with suppress(OSError):
                    self._is_swept(path_of(folder, name), folder)

    def _is_swept(self, path: bytes, folder: int) -> None:
        if modes.S_ISDIR(self.session.run(lstat(path)).st_mode):
            self._remove_hidden(path, self.session.open_folder(path), folder)

    def _remove_hidden(self, path: bytes, hidden: int, folder: int) -> None:
        """As `_draft` does; what else somebody put into it is not ours to delete."""
        for remove_draft in remove, rmdir:
            with suppress(OSError):
                self.session.run(remove_draft(path_of(hidden, DRAFT)))
        with suppress(OSError):
            if self.session.run(stat(path_of(hidden))).st_uid == self.own_ids()[0]:
                self._settle_backups(hidden, folder)
        with suppress(OSError):
            self.session.close(hidden)
        with suppress(OSError):
            self.session.run(rmdir(path))

    def _settle_backups(self, hidden: int, folder: int) -> None:
        for saved in self.session.run(names(path_of(hidden))):
            replaced = backed_up(saved)
            waiting = None if replaced is None else self.open_file(hidden, saved)
            if replaced is None or waiting is None:
                continue
            try:
                if not any(self.is_named(waiting, folder, name) for name in (replaced, saved)):
                    self.session.run(hardlink(path_of(hidden, saved), path_of(folder, saved)))
            finally:
                self.session.close(waiting)
            self.session.run(remove(path_of(hidden, saved)))

    @contextmanager
    def hidden_in(self, folder: int) -> Iterator[int]:
        path = path_of(folder, b".procfs-rescue." + binascii.hexlify(os.urandom(8)))
        try:
            self.session.run(mkdir(path, 0o700))
        except SessionError:
            raise
        except OSError as error:
            if self.room(folder).read_only:  # SFTP has no word for it
                raise OSError(errno.EROFS, os.strerror(errno.EROFS)) from error
            raise
        try:
            hidden = self.session.open_folder(path)
        except OSError:
            with suppress(OSError):
                self.session.run(rmdir(path))
            raise
        try:
            yield hidden
        finally:
            self._remove_hidden(path, hidden, folder)

    @contextmanager
    def draft_in(self, folder: int, nameless: bool = False) -> Iterator[Draft]:
        if nameless:
            raise OSError(errno.EOPNOTSUPP, "SFTP knows no files without names")
        with self.hidden_in(folder) as hidden:
            number = self.session.open_file(path_of(hidden, DRAFT), READ | WRITE | CREATE | EXCLUSIVE, 0o600)
            try:
                yield Draft(number, hidden)
            finally:
                with suppress(OSError):
                    self.session.close(number)

    def copy_content(self, source: int, target: int) -> None:
        size = self.size(source)
        self.session.run(change(path_of(target), st_size=0))
        if self.session.has(b"copy-data"):
            self._copy_on_server(source, target, size)
        else:
            self._copy_through_here(source, target)
        self.session.run(change(path_of(target), st_size=size))

    def _copy_on_server(self, source: int, target: int, size: int) -> None:
        reader = self.session.run(open_file(path_of(source), READ))
        writer = self.session.handle(target)
        try:
            for offset in range(0, size, _COPY):
                self.session.run(copy_data(reader, writer, offset, min(_COPY, size - offset)))
        finally:
            self.session.run(close(reader))

    def _copy_through_here(self, source: int, target: int) -> None:
        self.write_content(self.content(source), target)

    def write_content(self, pieces: Iterable[bytes], target: int) -> int:
        handle = self.session.handle(target)
        offset = self.size(target)
        for piece in pieces:
            for start in range(0, len(piece), PIECE):
                part = piece[start : start + PIECE]
                if part.strip(b"\0"):  # what is all zeros stays a hole
                    self.session.run(write(handle, offset, part))
                offset += len(part)
        self.session.run(change(path_of(target), st_size=offset))
        return offset

    def make_folders(self, folder: int, missing: Sequence[Missing]) -> tuple[int, list[Made]]:
        """As `_publish.make_folders`."""
        made: list[Made] = []
        last = self.session.open_folder(path_of(folder, b"."))
        try:
            for one in missing:
                around = self.session.run(stat(path_of(last)))
                owned = to_make(one, around.st_uid, around.st_gid, around.st_mode)
                new = self._made(last, owned)
                self.session.close(last)
                last = new
                made.append(owned)
        except OSError:
            self.session.close(last)
            self.unmake_folders(folder, made)
            raise
        return last, made

    def _made(self, folder: int, owned: Made) -> int:
        with self.hidden_in(folder) as hidden:
            draft = path_of(hidden, DRAFT)
            self.session.run(mkdir(draft, 0o700))
            new = self.session.open_folder(draft)
            try:
                self.session.run(change(path_of(new), st_uid=owned.uid, st_gid=owned.gid))
                self.session.run(change(path_of(new), st_mode=owned.mode))
                # Of a folder OpenSSH looks first whether the name is taken; what could come between is an empty folder.
                self.session.run(rename(draft, path_of(folder, owned.path)))
            except OSError:
                self.session.close(new)
                raise
            return new

    def unmake_folders(self, folder: int, made: Sequence[Made]) -> None:
        if made:
            path = path_of(folder, made[0].path)
            with suppress(OSError):
                if modes.S_ISDIR(self.session.run(lstat(path)).st_mode):
                    inner = self.session.open_folder(path)
                    self.unmake_folders(inner, made[1:])
                    self.session.close(inner)
                    self.session.run(rmdir(path))

    def publish(self, draft: Draft, folder: int, name: bytes) -> None:
        self._fsync(draft.fd)
        old, new = _hidden_path(draft), path_of(folder, name)
        try:
            self._name(hardlink(old, new))
        except NotKnownError:
            raise
        except OSError as error:
            if self.mode_of(folder, name) is not None:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
            # Without that extension, or on a file system without hard links; SFTP's own rename never replaces.
            self._name(rename(old, new))

    def replace(self, draft: Draft, folder: int, name: bytes, backup: bool) -> bytes | None:
        """Cut at any moment, what was replaced is a backup or becomes one in the next run, as in `_publish`."""
        self._fsync(draft.fd)
        hidden, new = cast(int, draft.hidden), path_of(folder, name)
        saved = None
        if backup and self.mode_of(folder, name) is not None:
            saved = next(one for one in backup_names(name) if self.mode_of(folder, one) is None)
            self.session.run(hardlink(new, path_of(hidden, saved)))
        self._name(posix_rename(_hidden_path(draft), new))
        try:
            if saved is not None:
                self._settle_backups(hidden, folder)
        except OSError as error:
            raise NotSavedError(error.errno, error.strerror) from error
        return saved

    def _name(self, task: Task[None]) -> None:
        try:
            self.session.run(task)
        except SessionError as error:
            raise NotKnownError(error.errno, error.strerror) from error

    def _fsync(self, number: int) -> None:
        if self.session.has(b"fsync@openssh.com"):
            self.session.run(fsync(self.session.handle(number)))

    def is_named(self, number: int, folder: int, name: bytes) -> bool:
        found = self.open_file(folder, name)
        if found is None:
            return False
        try:
            return self._identity(found) == self._identity(number)
        finally:
            self.session.close(found)

    def _identity(self, number: int) -> tuple[Any, ...]:
        facts = self.session.facts_of(number)
        if facts.inode is not None:
            return facts.mount_id, facts.inode
        status = facts.stat  # before Linux 5.14 nothing tells more
        return facts.mount_id, status.st_uid, status.st_gid, status.st_mode, status.st_size, status.st_mtime


def _hidden_path(draft: Draft) -> bytes:
    return path_of(cast(int, draft.hidden), DRAFT)  # nothing over SFTP is nameless
