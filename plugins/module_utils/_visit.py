# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""scan: one visit to a process; a handle is opened on every deleted file the moment it is seen."""

import errno
import os
from typing import Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils import _procfs
from ansible_collections.procfs.rescue.plugins.module_utils._allowance import Allowance
from ansible_collections.procfs.rescue.plugins.module_utils._deadline import Tell
from ansible_collections.procfs.rescue.plugins.module_utils._handle import file_of, link_text, mount_id_of, read_at
from ansible_collections.procfs.rescue.plugins.module_utils._holder import GONE, Holder
from ansible_collections.procfs.rescue.plugins.module_utils._links import Numbers, descriptors, mappings
from ansible_collections.procfs.rescue.plugins.module_utils._model import File, Process, Sighting
from ansible_collections.procfs.rescue.plugins.module_utils._mounts import HolderMounts, OwnMounts
from ansible_collections.procfs.rescue.plugins.module_utils._names import DELETED, TOO_LONG, printable
from ansible_collections.procfs.rescue.plugins.module_utils._place import place_of
from ansible_collections.procfs.rescue.plugins.module_utils._sighted import (
    Link,
    access_by,
    host_path_of,
    is_believed,
    names_meant,
    says_deleted,
    sighting_of,
)

# Sightings are told so many at a time: a message has room for 253 descriptors.
_AT_ONCE = 100

# How often mappings are looked for that are elsewhere as soon as they are to be opened.
_LOOKS = 4


class News(NamedTuple):
    """What the one who walks tells of the next process: what was seen, and of ``pinned`` ones the handles come along.

    ``skipped`` are (mount id, mount point) of links into a mount that does not answer, ``back`` is as in `Scan`. Only
    the last news of a process say ``done``.
    """

    sightings: Sequence[Sighting] = ()
    pinned: Sequence[int] = ()
    skipped: Sequence[Tuple[int, str]] = ()
    program: bytes = b""
    back: Sequence[Sighting] = ()
    done: bool = False
    there: bool = True
    unreadable: bool = False


class Common(NamedTuple):
    """What all visits of a walk share; with ``threads`` each thread is looked at."""

    own: OwnMounts
    allowance: Allowance
    numbers: Numbers
    threads: bool


class Visit:
    def __init__(self, holder: Holder, common: Common, tell: Tell) -> None:
        self.holder = holder
        self.own, self.allowance, self.numbers, self.threads = common
        self.mounts = HolderMounts(holder, self.own)
        self.tell = tell
        self._held: Set[Tuple[int, Tuple[int, int], Optional[int]]] = set()
        self._mapped: Set[Tuple[Tuple[int, int], bytes]] = set()
        self._has_moved = False
        self._seen: List[Sighting] = []
        self._back: List[Sighting] = []
        self._pinned: List[int] = []
        self._handles: List[int] = []
        self._skipped: List[Tuple[int, str]] = []
        self._program = b""

    def tell_all(self) -> None:
        process = None
        for link in self._links():
            if self.allowance.is_late():
                self.holder.unreadable = True
                break
            try:
                process = process or self.holder.process()
                sighting = self._look(process, link)
            except OSError as error:
                self._has_moved = self._has_moved or (link.via == "map" and error.errno in GONE)
                self.holder.note(error)
                continue
            if sighting is not None:
                if sighting.handle is not None:
                    self._pinned.append(len(self._seen))
                    self._handles.append(sighting.handle)
                self._seen.append(sighting._replace(handle=None))
            if len(self._seen) >= _AT_ONCE:
                self._tell_what_was_seen()
        self._tell_what_was_seen(done=True)

    def _tell_what_was_seen(self, done: bool = False) -> None:
        """Before a question that may never be answered, and now and then."""
        if done or self._seen or self._skipped or self._back:
            news = News(
                self._seen, self._pinned, self._skipped, self._program, self._back, done, True, self.holder.unreadable
            )
            self.tell(news, self._handles)
            self._program = b""
        for handle in self._handles:
            os.close(handle)
        self._seen, self._pinned, self._handles, self._skipped, self._back = [], [], [], [], []

    def _links(self) -> Iterator[Link]:
        """The links that say deleted, the executable first: it is what people miss most."""
        text = self.holder.program()
        self._program = self._as_this_host_sees(os.fsencode(text))
        if text.endswith(" (deleted)"):
            yield Link(self.holder.pid, "exe", self.holder.thread + "exe", None, True, "read")
        yield from self._descriptors(self.holder.thread)
        if self.threads:
            for thread in self.holder.other_threads():
                yield from self._descriptors(thread)
        self._tell_what_was_seen()
        yield from self._mappings()

    def _mappings(self) -> Iterator[Link]:
        """A program may move one (mremap(2)) between our reading where it is and our opening it."""
        for _look in range(_LOOKS):
            self._has_moved = False
            yield from mappings(self.holder)
            if not self._has_moved:
                return
        self.holder.unreadable = True

    def _descriptors(self, thread: str) -> Iterator[Link]:
        return descriptors(self.holder, thread, self.numbers, self.allowance.is_late)

    def _as_this_host_sees(self, program: bytes) -> bytes:
        """The path of the executable on this host, empty where it has none, as in a container.

        Where a user made the namespace nothing else than the text is to be had, and what she runs is not to be hidden.
        """
        try:
            namespace = os.stat(self.holder.thread + "ns/mnt", dir_fd=self.holder.directory).st_ino
            if namespace == self.own.namespace:
                return program
            handle = os.open(self.holder.thread + "exe", os.O_PATH | os.O_CLOEXEC, dir_fd=self.holder.directory)
            try:
                mount, foreign = self.mounts.of(mount_id_of(handle))
            finally:
                os.close(handle)
        except OSError:
            return program
        if foreign != "trusted" or mount is None:
            return program
        path = program[: -len(DELETED)] if program.endswith(DELETED) else program
        return host_path_of(path, place_of(mount, path), mount, self.own.mounts) or b""

    def _look(self, process: Process, link: Link) -> Optional[Sighting]:
        handle = os.open(link.name, os.O_PATH | os.O_CLOEXEC, dir_fd=self.holder.directory)
        pinned = False
        try:
            sighting = self._sighting(process, link, handle)
            if sighting is None or self._is_held_by_another_thread(sighting, link) or self._was_mapped(sighting):
                return None
            if self.allowance.pins(sighting):
                pinned = True
                return sighting._replace(handle=handle)
            return sighting
        finally:
            if not pinned:
                os.close(handle)

    def _is_held_by_another_thread(self, sighting: Sighting, link: Link) -> bool:
        """Nearly all threads share one table of descriptors, and procfs shows it for each of them.

        Of a table of its own the same number may lead to the same file, opened in another way.
        """
        if sighting.fd is None or not self.threads:
            return False
        try:
            flags = _procfs.flags(read_at(link.name.replace("fd/", "fdinfo/"), self.holder.directory))
        except OSError:  # it was closed since
            flags = None
        key = (sighting.fd, sighting.file.identity, flags)
        if key in self._held:
            return True
        self._held.add(key)
        return False

    def _was_mapped(self, sighting: Sighting) -> bool:
        """At an earlier look."""
        if sighting.via != "map":
            return False
        key = (sighting.file.identity, sighting.path)
        if key in self._mapped:
            return True
        self._mapped.add(key)
        return False

    def _sighting(self, process: Process, link: Link, handle: int) -> Optional[Sighting]:
        """None where the file is live, or its file system does not answer."""
        # What the link said before it was opened may have been said of another file: descriptors are quickly exchanged.
        text = _text_of(handle)
        if not says_deleted(text):
            return None
        mount_id = mount_id_of(handle)
        mount, foreign = self.mounts.of(mount_id)
        if not self.allowance.answers(mount_id, mount, foreign, handle):
            self._skipped.append((mount_id, "(detached)" if mount is None else printable(mount.mount_point)))
            return None
        if not is_believed(text, mount):
            return None
        file = file_of(handle)
        if text == TOO_LONG + DELETED and file.nlink:
            return None
        found = sighting_of(process, link, self._access(link), text, file, mount, foreign, self.own.mounts)
        if not self._is_live(text, file, foreign):
            return found
        self._back.append(found)
        return None

    def _access(self, link: Link) -> str:
        if link.access is not None:
            return link.access
        return access_by(os.stat(link.name, dir_fd=self.holder.directory, follow_symlinks=False).st_mode)

    def _is_live(self, text: bytes, file: File, foreign: Optional[str]) -> bool:
        """Whether this very file has one of the names that its link may mean: then it is not deleted.

        nlink does not tell: overlayfs keeps 1 for a deleted file of its lower layer. An untrusted holder's root is not
        looked into: whoever made it may have mounted there something that never answers.
        """
        if file.nlink == 0 or foreign == "untrusted":
            return False
        top = b"/" if foreign is None else b"/proc/%d/root/" % self.holder.pid
        for name in names_meant(text):
            try:
                named = os.stat(top + name.lstrip(b"/"), follow_symlinks=False)
            except OSError:
                continue
            if (named.st_dev, named.st_ino) == file.identity:
                return True
        return False


def _text_of(handle: int) -> bytes:
    try:
        return link_text(handle)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return TOO_LONG + DELETED
