# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What a scan saw, by path."""

from typing import Dict, List, Optional, Sequence, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._choose import Candidate, Wish, find, paths_of
from ansible_collections.procfs.rescue.plugins.module_utils._group import group, kind_of
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._model import Scan, Sighting, Target, Witness


class Seen:
    """A scan, with its sightings by path: thousands of wishes must not each look at thousands of sightings."""

    def __init__(self, scan: Scan, host: Host) -> None:
        self.scan = scan
        self.host = host
        self._by_path: Dict[bytes, List[Sighting]] = {}
        self._by_file: Dict[Tuple[int, int], List[Sighting]] = {}
        for sighting in scan.sightings:
            self._by_file.setdefault(sighting.file.identity, []).append(sighting)
            for path in set(paths_of(sighting)):
                self._by_path.setdefault(path, []).append(sighting)

    def find(
        self, wish: Wish, origin: Optional[Target], accept: Sequence[str], witness: Optional[Witness]
    ) -> Candidate:
        """As `_choose.find`, but with everybody who holds the file, by whatever name: one of them may write to it."""
        found = find(wish, origin, self._named(wish), self.scan, accept, witness, self.host)
        sighting = found.sighting
        [file] = group(
            [one for one in self._by_file[sighting.file.identity] if self.host.is_of_one_file(sighting, one)]
        )
        return found._replace(file=found.file._replace(sightings=file.sightings))

    def meant(self, wish: Wish) -> List[Sighting]:
        return [sighting for sighting in self._named(wish) if wish.means(sighting)]

    def _named(self, wish: Wish) -> Sequence[Sighting]:
        return self.scan.sightings if wish.path is None else self._by_path.get(wish.path, [])

    def paths_below(self, prefix: bytes) -> List[bytes]:
        """What was deleted below a folder, as it was called at last."""
        return [
            sighting.host_path
            for sighting in self.scan.sightings
            if sighting.host_path is not None
            and _is_below(sighting, prefix)
            and kind_of(sighting) in ("regular", "shared_memory")
        ]


def _is_below(sighting: Sighting, prefix: bytes) -> bool:
    path = sighting.host_path
    return path is not None and path.startswith(prefix.rstrip(b"/") + b"/")
