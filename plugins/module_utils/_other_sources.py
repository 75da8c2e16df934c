# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What a result of restore_file says beyond its host: what another source must have, and what others could get here."""

import os
import shlex
from contextlib import suppress
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._model import Mount, Witness
from ansible_collections.procfs.rescue.plugins.module_utils._names import printable
from ansible_collections.procfs.rescue.plugins.module_utils._needs import Need, need_fields
from ansible_collections.procfs.rescue.plugins.module_utils._offer import Offer, offer_alive, offer_fields
from ansible_collections.procfs.rescue.plugins.module_utils._restore_job import Job, Result


def tell_needs(jobs: Iterable[Job], look: bool, host: Host) -> None:
    """What another host, or a package, must have to be a source in place of a holder."""
    missing = ("failed", "restorable") if look else ("failed",)
    wanted = (job for job in jobs if job.named or job.packaged or look)
    asked = [job for job in wanted if job.result["status"] in missing]
    # A full disk is as full for another source.
    refused = (job for job in asked if job.result["status"] != "failed" or job.result["refused"])
    lost = [(job.result, *job.lost) for job in refused if job.lost is not None]
    for (result, path, witness), need in zip(lost, _needs([place for _result, *place in lost], host)):
        result["needs"] = need_fields(need)
        if result["status"] == "failed" and witness is None and need.installed is not None:
            result["msg"] += " If it was a symlink, make it again: ln -s TARGET %s" % shlex.quote(printable(path))


def tell_offers(jobs: Iterable[Job], witnesses: Dict[bytes, Witness], mounts: Dict[int, Mount], host: Host) -> None:
    """What other hosts could get of what is there: the very content that a package or the user vouches for."""
    alive: List[Tuple[Result, Offer, bytes, Optional[Witness]]] = []
    for job in jobs:
        if job.result["status"] == "failed" or not job.wish.in_place or job.wish.path is None:
            continue
        witness = job.wish.checksum or witnesses.get(job.wish.path)
        named = [(job.wish.path, witness)]
        named += [(path, None) for path in _symlink(job.asked, mounts, host) if path != job.wish.path]
        job.result["offers"] = []
        for path, known in named:
            with suppress(OSError, RescueError):  # it is no source then
                offer = job.offer if path == job.wish.path else None
                offer = offer or offer_alive(Need(path, known, None, ""), host)
                if offer is not None:
                    alive.append((job.result, offer, path, known))
    needs = _needs([(path, witness) for _result, _offer, path, witness in alive], host)
    for (result, offer, _path, _witness), need in zip(alive, needs):
        result["offers"].append(dict(need_fields(need), **offer_fields(offer)))


def _symlink(path: Optional[bytes], mounts: Dict[int, Mount], host: Host) -> List[bytes]:
    """The name that was asked for, where it may be a symlink to what has been found."""
    if path is None:
        return []
    with suppress(OSError, RescueError):
        folder = host.open_folder(os.path.dirname(path), mounts)
        host.close(folder.fd)
        return [os.path.join(folder.path, os.path.basename(path))]
    return []


def _needs(places: Sequence[Sequence[Any]], host: Host) -> List[Need]:
    """For each path and witness what a host must have to be a source of it."""
    if not places:
        return []
    witnesses = [witness for _path, witness in places]
    of_packages = all(witness is not None and witness.by == "package" for witness in witnesses)
    packages = {witness.package for witness in witnesses} if of_packages else None
    try:
        release, installed = host.release(), host.installed([path for path, _witness in places], packages)
    except (OSError, RescueError):  # no package is known then, and only a checksum proves
        release, installed = "", {}
    return [Need(path, witness, installed.get(path), release) for path, witness in places]
