# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What is used of paramiko, which need not be installed where nothing goes over SFTP."""

from __future__ import annotations

import sys
from typing import Any

# paramiko takes invoke along, where it is there, for a kind of line in ssh_config that it does not read for us: that
# would be half of the time of the import, which is paid for each host.
_without: dict[str, Any] = {} if "invoke" in sys.modules else {"invoke": None}
sys.modules.update(_without)
try:
    from paramiko import SFTPAttributes, SFTPClient, sftp
    from paramiko.message import Message
except ImportError as error:
    PARAMIKO_ERROR: ImportError | None = error
    SFTPClient = object
    SFTPAttributes = Message = sftp = None
else:
    PARAMIKO_ERROR = None
finally:
    if _without:
        del sys.modules["invoke"]

__all__ = ("PARAMIKO_ERROR", "Message", "SFTPAttributes", "SFTPClient", "sftp")
