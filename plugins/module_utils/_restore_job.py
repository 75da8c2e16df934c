# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""One file on its way from the request to its result."""

from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._choose import Wish, wish_from
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._model import Target, Witness
from ansible_collections.procfs.rescue.plugins.module_utils._names import printable
from ansible_collections.procfs.rescue.plugins.module_utils._offer import Offer

Result = Dict[str, Any]


class Waiting(NamedTuple):
    """A verified draft of ``size`` bytes: how it gets to the disk, and then its name."""

    sync: Callable[[], None]
    name: Callable[[], Result]
    size: int


class Job:
    """``wish.path`` is resolved as soon as its place is known.

    ``origin`` is the place where its path leads, ``target`` where it is to go: the same, unless it is copied out.
    ``named`` is False where nobody asked for this very file, but for all of a folder; ``packaged`` where that means
    what packages have there.
    """

    def __init__(self, request: Dict[str, Any], named: bool, packaged: bool = False) -> None:
        self.named = named
        self.packaged = packaged
        source = request.get("source")
        called = source.get("path") if isinstance(source, dict) else None
        self.what = str(request.get("path") or called or source or request)
        self.wish = Wish()
        self.origin: Optional[Target] = None
        self.target: Optional[Target] = None
        # Its place, and who says what belongs there, where it is not there.
        self.lost: Optional[Tuple[bytes, Optional[Witness]]] = None
        self.asked: Optional[bytes] = None
        # Where it is to go, as soon as that was opened.
        self.place: Optional[bytes] = None
        # What other hosts could get of it, as was found when it was restored or only looked at.
        self.offer: Optional[Offer] = None
        self.ready: Optional[Waiting] = None
        # Whether nothing had its name when that was first looked at.
        self.was_free = False
        # Whether another process of ours was about to name it, and has not told yet that it did.
        self.begun = False
        self.result: Result = {}
        self.seconds = 0.0

    def understand(self, request: Dict[str, Any]) -> Result:
        self.wish = wish_from(request)
        self.asked = self.wish.path
        self.what = self.wish.link or self.what if self.wish.path is None else printable(self.wish.path)
        return {}

    def aim_in_place(self, origin: Target) -> None:
        self.origin = self.target = origin
        self.wish = self.wish._replace(path=origin.path)

    def close(self, host: Host) -> None:
        if self.target is not None:
            self.place = self.target.path
        for fd in {place.folder.fd for place in (self.origin, self.target) if place is not None}:
            host.close(fd)
        self.origin = self.target = None
