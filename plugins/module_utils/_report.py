# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""How files and holders look in facts and results: the public names, printable text, plain JSON types."""

from typing import Any, Dict, Iterable, List, Optional

from ansible_collections.procfs.rescue.plugins.module_utils._cgroup import container_of, unit_of, user_unit_of
from ansible_collections.procfs.rescue.plugins.module_utils._group import NAMELESS, RENAMED_KINDS
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._model import DeletedFile, File, Made, Process, Sighting
from ansible_collections.procfs.rescue.plugins.module_utils._names import path_fields, printable

_SHOWN_IN_DIFF = ("size", "owner", "group", "mode", "mtime", "checksum", "content_by")


class Reporter:
    """Knows the names of the host's users and groups."""

    def __init__(self, host: Host) -> None:
        self._users = host.user_names()
        self._groups = host.group_names()
        self._processes: Dict[Process, Dict[str, Any]] = {}  # one may hold thousands of files

    def user(self, uid: int) -> str:
        return self._users.get(uid, str(uid))

    def group(self, gid: int) -> str:
        return self._groups.get(gid, str(gid))

    def holder(self, sighting: Sighting) -> Dict[str, Any]:
        """One holder; with ``device`` and ``inode``, so that it can be handed back as a source by itself."""
        return dict(
            self.process(sighting.process),
            via=sighting.via,
            fd=sighting.fd,
            access=sighting.access,
            executable=sighting.executable,
            link=sighting.link,
            device=sighting.file.device,
            inode=sighting.file.inode,
        )

    def process(self, process: Process) -> Dict[str, Any]:
        if process not in self._processes:
            self._processes[process] = dict(
                path_fields(process.exe, "exe"),
                pid=process.pid,
                start_time=process.start_time,
                comm=printable(process.comm),
                user=self.user(process.uid),
                unit=unit_of(process.cgroup),
                user_unit=user_unit_of(process.cgroup),
                container=container_of(process.cgroup),
            )
        return dict(self._processes[process])

    def file(self, file: File) -> Dict[str, Any]:
        return {
            "size": file.size,
            "mode": "%04o" % file.permissions,
            "owner": self.user(file.uid),
            "group": self.group(file.gid),
            "mtime": file.mtime_ns / 1e9,
        }

    def folder(self, made: Made) -> Dict[str, Any]:
        """A folder that was made again."""
        owner, group = self.user(made.uid), self.group(made.gid)
        return dict(path_fields(made.path), owner=owner, group=group, mode="%04o" % made.mode, metadata_by=made.by)

    def new_folder(self, made: Made) -> str:
        """The same as a sentence."""
        known = "as the one around it" if made.by is None else "as %s has it" % made.by
        return " Its folder {path} is new, {owner}:{group} {mode} {known}.".format(known=known, **self.folder(made))

    def entry(
        self, deleted: DeletedFile, state: str, refused: Any, holders_limit: Optional[int] = None
    ) -> Dict[str, Any]:
        """One entry of ``deleted_files``; ``state`` and ``refused`` are what the caller found out about its name."""
        file = deleted.file
        best = deleted.sightings[0]
        fields = dict(self.file(file), **path_fields(best.path))
        if best.host_path is not None and best.host_path != best.path:
            fields.update(path_fields(best.host_path, "host_path"))
        fields.update(
            state=state,
            kind=deleted.kind,
            allocated=file.allocated,
            reclaimable=reclaimable(deleted),
            in_memory=in_memory(deleted),
            visible=None if _never_had_a_place(deleted) else best.host_path is not None,
            device=file.device,
            inode=file.inode,
            nlink=file.nlink,
            restorable=not refused,
            refused=list(refused),
            holders=[self.holder(sighting) for sighting in deleted.sightings[:holders_limit]],
            holders_count=len(deleted.sightings),
        )
        return fields


def reclaimable(deleted: DeletedFile) -> int:
    """Bytes that the file system gets back when nobody holds the file any more."""
    links_of_its_own = 1 if deleted.kind in RENAMED_KINDS else 0
    if deleted.file.nlink > links_of_its_own:  # a link is left, or it lies in the lower layer of an overlay
        return 0
    return deleted.file.allocated


def _never_had_a_place(deleted: DeletedFile) -> bool:
    nameless = deleted.kind in NAMELESS
    return nameless or (deleted.kind == "shared_memory" and deleted.sightings[0].mount is None)  # /dev/zero


def in_memory(deleted: DeletedFile) -> bool:
    """Whether its bytes are the memory of the host (which may be swapped out), and no disk's."""
    mount = deleted.sightings[0].mount
    if mount is None:
        return deleted.kind in ("memfd", "sysv_shm", "shared_memory", "anonymous")
    return mount.fs_type in ("tmpfs", "ramfs", "hugetlbfs", "devtmpfs")


def diff_of(results: Iterable[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """What diff mode shows of those results that changed something: metadata and digests, never content.

    Of what a process restored that was killed before it told nothing is known.
    """
    return [_difference(result) for result in results if result["changed"] and "source" in result]


def _difference(result: Dict[str, Any]) -> Dict[str, Any]:
    path, source = result.get("dest", result["path"]), result["source"]
    kind = next((kind for kind in ("peer", "package") if kind in source), None)
    return {
        "before_header": path,
        "after_header": "%s from %s" % (path, "%s %s" % (kind, source[kind]) if kind else source["link"]),
        "before": dict(result["replaced"], state="file") if "replaced" in result else {"state": "absent"},
        "after": dict({key: result[key] for key in _SHOWN_IN_DIFF}, state="link" if "target" in result else "file"),
    }
