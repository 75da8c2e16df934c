# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What a host needs of a file that it lost: enough for another host, or for a package, to be its source."""

from typing import Any, Dict, NamedTuple, Optional

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._model import Installed, Witness
from ansible_collections.procfs.rescue.plugins.module_utils._names import path_bytes, path_fields
from ansible_collections.procfs.rescue.plugins.module_utils._verify import parsed_checksum


class Need(NamedTuple):
    """``witness`` is None for what no digest is known of, such as a symlink; ``release`` is the host's own."""

    path: bytes
    witness: Optional[Witness]
    installed: Optional[Installed]
    release: str

    @property
    def checksum(self) -> Optional[str]:
        return None if self.witness is None else "%s:%s" % (self.witness.algorithm, self.witness.digest)


def need_fields(need: Need) -> Dict[str, Any]:
    """As plain data, for results and tasks."""
    fields: Dict[str, Any] = dict(path_fields(need.path), checksum=need.checksum, release=need.release)
    fields["checksum_by"] = None if need.witness is None else need.witness.by
    fields.update(need.installed._asdict() if need.installed else dict.fromkeys(Installed._fields))
    return fields


def need_from(fields: Dict[str, Any]) -> Need:
    """From what `need_fields` gave. Raises RescueError."""
    path = path_bytes(fields)
    if path is None or not path.startswith(b"/"):
        raise RescueError("Each of files must be the needs of a result of restore_file: path is missing.")
    witness = installed = None
    if fields.get("checksum"):
        algorithm, digest = parsed_checksum(str(fields["checksum"]))
        by = "package" if fields.get("checksum_by") == "package" else "checksum"
        witness = Witness(by, algorithm, digest, str(fields.get("package") or ""))
    if fields.get("package"):
        installed = Installed(*(str(fields.get(name) or "") for name in Installed._fields))
    return Need(path, witness, installed, str(fields.get("release") or ""))
