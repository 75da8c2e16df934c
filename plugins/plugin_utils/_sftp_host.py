# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The steps over SFTP: nothing is executed on the host, everything is decided by the same code as there.

A descriptor is the number that the server has for what it opened for us (see `_sftp_session`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._freeze import Frozen
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._installed import (
    dpkg_paths_below,
    installed_by_dpkg,
    may_be_symlink_by_dpkg,
    recorded_by_dpkg,
    release_in,
)
from ansible_collections.procfs.rescue.plugins.module_utils._model import Effort, Scan, Sighting
from ansible_collections.procfs.rescue.plugins.module_utils._packages import dpkg_witnesses, witnesses_of
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_client import Client
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_copy import Copier
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_draft import Drafts
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_folders import Folders
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_held import readable, unpin
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_metadata import (
    apply_metadata,
    differences,
    read_metadata,
)
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_parents import Parents
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_publish import Publisher
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_records import (
    dpkg_records,
    names_of,
    own_ids,
    read_record,
)
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_requests import content as content_of
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_requests import readlink
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_scan import process, scan
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_session import Session, path_of
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_verify import Contents


@contextmanager
def sftp_host(connect: Callable[[], Client], warn: Callable[[str], object] = lambda _line: None) -> Iterator[Host]:
    """The host that ``connect`` opens an SFTP session to. Raises OSError."""
    session = Session(connect)
    try:
        yield _host(session, warn)
    finally:
        session.client.close()


def _host(session: Session, warn: Callable[[str], object]) -> Host:
    folders, contents = Folders(session), Contents(session)
    copier = Copier(session, contents)
    drafts = Drafts(session, folders)
    parents = Parents(session, drafts)
    publisher = Publisher(session, folders, drafts)
    records = dpkg_records(session)

    def scan_it(pin: Callable[[Sighting], bool], effort: Effort) -> Scan:
        if session.has_ended():
            session.reopen()
        seen = scan(session, pin, drafts.alive, effort)
        remote = [mount for mount in seen.mounts.values() if mount.may_never_answer]
        drafts.unlisted = {os.path.dirname(mount.mount_point) for mount in remote}
        return seen

    return Host(
        scan=scan_it,
        is_of_one_file=_is_of_one_file,
        unpin=lambda sightings: unpin(session, sightings),
        keep_open=lambda _sightings, _seconds: 0,
        readable=lambda sighting: readable(session, sighting),
        close=session.close,
        give_way=lambda: None,
        unreachable=folders.unreachable,
        in_time=lambda work, _seconds, _asked, _patience: work(),  # each request has a time limit of its own
        shares=None,
        has_ended=session.has_ended,
        open_folder=folders.open_folder,
        open_target=folders.open_target,
        path_of=lambda _folder: None,
        mode_of=folders.mode_of,
        mode_seen_by=folders.mode_seen_by,
        readlink=lambda folder, name: session.run(readlink(path_of(folder, name))),
        open_file=folders.open_file,
        room=folders.room,
        process=lambda pid: session.run(process(pid)),
        program=_no_program,
        # rpm's database is one that only rpm itself can read.
        witnesses=lambda paths: witnesses_of(paths, warn, records, [dpkg_witnesses]),
        installed=lambda paths, packages=None: installed_by_dpkg(paths, records, packages),
        paths_below=lambda folder: dpkg_paths_below(folder, records),
        may_be_symlink=lambda path, _link: may_be_symlink_by_dpkg(path, records),
        recorded=lambda path: recorded_by_dpkg(path, records),
        release=lambda: release_in(lambda path: session.run(content_of(path))),
        user_names=lambda: names_of(session, b"/etc/passwd"),
        group_names=lambda: names_of(session, b"/etc/group"),
        read_record=lambda: read_record(session),
        symlink=folders.symlink,
        own_ids=lambda: own_ids(session),
        make_folders=parents.make_folders,
        unmake_folders=parents.unmake_folders,
        while_frozen=_while_running,
        size=contents.size,
        content=contents.content,
        digests=contents.digests,
        draft_digests=contents.digests,
        read_metadata=partial(read_metadata, session),
        apply_metadata=partial(apply_metadata, session),
        differences=partial(differences, session),
        sweep_once=drafts.sweep_once,
        draft_in=drafts.draft_in,
        clone_content=lambda _source, _target: False,
        copy_content=copier.copy_content,
        write_content=copier.write_content,
        drafts_at_once=lambda: 0,
        start_writing=lambda _fd: None,
        sync_draft=lambda _fd: None,
        publish=publisher.publish,
        replace=publisher.replace,
        link_again=lambda *_arguments: None,
        is_named=folders.is_named,
        does_start=lambda _fd, _name, _sha256: None,
    )


def _is_of_one_file(one: Sighting, other: Sighting) -> bool:
    """A device is told by its mount, and subvolumes of Btrfs that have the same number inodes alike."""
    if one.file.identity != other.file.identity:
        return False
    same_root = one.mount is not None and other.mount is not None and one.mount.root == other.mount.root
    return same_root or one.path == other.path


def _no_program(_pid: int) -> Sighting:
    raise RescueError("executable cannot be had over SFTP: use transport=module.")


def _while_running(
    work: Callable[[], Any], writers: Mapping[int, int], _identity: tuple[int, int], _seconds: float
) -> tuple[Any, Frozen]:
    return work(), Frozen({}, dict.fromkeys(writers, "over SFTP nobody can be stopped"))
