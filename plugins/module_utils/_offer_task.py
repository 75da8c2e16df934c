# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The task of offer_file on its host: its options in, its answer out."""

import base64
import os
from contextlib import ExitStack, contextmanager
from typing import Any, Dict, Iterator, List, Optional, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError, fault
from ansible_collections.procfs.rescue.plugins.module_utils._fetch import chosen
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._model import Installed
from ansible_collections.procfs.rescue.plugins.module_utils._names import path_fields, printable
from ansible_collections.procfs.rescue.plugins.module_utils._needs import Need, need_from
from ansible_collections.procfs.rescue.plugins.module_utils._offer import Offer, alive_in, described, offer_fields
from ansible_collections.procfs.rescue.plugins.module_utils._options import TRANSPORT
from ansible_collections.procfs.rescue.plugins.module_utils._task import Setting

# How the options are checked, as AnsibleModule takes it. The action gives offset and length, which are bytes.
OFFER_SPEC: Dict[str, Any] = {
    "argument_spec": {
        "files": {"type": "list", "elements": "dict", "required": True},
        "timeout": {"type": "int", "default": 60},
        "transport": TRANSPORT,
    },
}


def run(params: Dict[str, Any], setting: Setting) -> Dict[str, Any]:
    """``offers``, one for each of ``files``: ``offer`` and perhaps ``content`` (base64), or ``refused`` and ``msg``.

    The content of an entry with ``length`` is given from ``offset`` on, at most so many bytes: nothing of it once the
    answer is long enough. One with ``source`` is the rest of what was offered from there.
    """
    offers: List[Dict[str, Any]] = []
    room = _ROOM
    for fields in params["files"]:
        offers.append(_offer(fields, setting.host, room))
        room -= len(offers[-1].get("content", "")) * 3 // 4
    return {"changed": False, "offers": offers}


# Bytes of content in one answer.
_ROOM = 8 * 1024 * 1024


@contextmanager
def offered(need: Need, host: Host, is_proven: bool = False) -> Iterator[Tuple[Offer, int]]:
    """The file that ``need`` asks for, and a descriptor of its content, -1 for a symlink.

    Raises RescueError, with the reason ``version_differs``, ``not_there``, or those of `alive_in`, and OSError.
    """
    _check_version(need, host)
    with ExitStack() as stack:
        alive = alive_in(stack, need, host, is_proven)
        if alive is not None:
            yield alive
            return
        if need.witness is None:
            raise RescueError("%s is not there" % printable(need.path), ["not_there"])
        fields = dict(path_fields(need.path), checksum=need.checksum)
        found, fd = stack.enter_context(chosen(fields, host))
        yield described(fd, need.path, found["source"]["link"], host), fd


def _check_version(need: Need, host: Host) -> None:
    """The same package in the same version and architecture; a symlink in the same release."""
    if need.witness is not None and need.witness.by == "checksum":
        return
    if need.witness is None and need.release != host.release():
        text = "it runs %s, not %s" % (host.release() or "an unknown release", need.release or "a known release")
        raise RescueError(text, ["version_differs"])
    if need.installed is not None:
        found = host.installed([need.path], {need.installed.package}).get(need.path)
        if found != need.installed:
            raise RescueError("it has %s, not %s" % (_version(found), _version(need.installed)), ["version_differs"])


def _version(found: Optional[Installed]) -> str:
    return "no package with that path" if found is None else "%s %s %s" % found[:3]


def _offer(fields: Dict[str, Any], host: Host, room: int) -> Dict[str, Any]:
    try:
        need = need_from(fields)
        # A large file must not be read once for each piece of it.
        is_proven = fields.get("source") == printable(need.path)
        with offered(need, host, is_proven) as (offer, fd):
            answer: Dict[str, Any] = {"offer": offer_fields(offer)}
            if fd != -1 and fields.get("length"):
                piece = os.pread(fd, max(min(int(fields["length"]), room), 0), int(fields.get("offset", 0)))
                answer["content"] = base64.b64encode(piece).decode("ascii")
            return answer
    except RescueError as error:
        return {"msg": str(error), "refused": error.reasons}
    except OSError as error:
        return {"msg": fault(error), "refused": []}
