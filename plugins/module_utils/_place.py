# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""Where a file truly is. A path can be made to lie by mounts; a mount's device and the path inside it can not.

The rows come from mountinfo, found by the mount id of an opened handle. st_dev is never compared: on overlayfs a folder
and a file in it can have different ones.
"""

from typing import Iterable, Optional

from ansible_collections.procfs.rescue.plugins.module_utils._model import Mount, Place

# The kernel appends it to the root of a mount whose own root was deleted.
_DELETED_ROOT = b"//deleted"


def place_of(mount: Mount, path: bytes) -> Optional[Place]:
    """The place of ``path`` (as the owner of the mountinfo row sees it) in ``mount``; None where it is not below it."""
    below = _below(mount.mount_point, path)
    if below is None:
        return None
    root = mount.root[: -len(_DELETED_ROOT)] if mount.root.endswith(_DELETED_ROOT) else mount.root
    return Place(mount.device, _joined(root, below))


def host_path(place: Place, mounts: Iterable[Mount]) -> Optional[bytes]:
    """The path under which ``place`` can be reached through ``mounts``; None where it can not.

    Of several mounts the one that shows most of the file system wins: the others are binds of parts of it.
    """
    candidates = []
    for mount in mounts:
        below = _below(mount.root, place.inner_path) if mount.device == place.device else None
        if below is not None:
            candidates.append((len(mount.root), len(mount.mount_point), _joined(mount.mount_point, below)))
    return min(candidates)[2] if candidates else None


def _below(top: bytes, path: bytes) -> Optional[bytes]:
    if top == b"/":
        return path[1:] if path.startswith(b"/") else None
    if path == top:
        return b""
    return path[len(top) + 1 :] if path.startswith(top + b"/") else None


def _joined(top: bytes, below: bytes) -> bytes:
    # Not os.path.join: after "//" it would take the rest for a path of its own.
    return top.rstrip(b"/") + b"/" + below if below else top
