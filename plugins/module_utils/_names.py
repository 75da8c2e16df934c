# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""Names are hostile bytes: how they are read from links, shown to people, and handed back exactly."""

import base64
import binascii
import codecs
import re
from typing import Any, Dict, Optional

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError

# What d_path() of the kernel appends to the name of an unlinked file. A live file may be called so too.
DELETED = b" (deleted)"

# In place of a path with which the kernel's text would be longer than PATH_MAX: it refuses to tell it then.
TOO_LONG = b"(too long)"

# rpm renames the old file to name;hexdigits before it unlinks it.
_RPM_SUFFIX = re.compile(rb";[0-9a-f]{8,}\Z")


# NFS and FUSE rename an open file instead of deleting it.
RENAMED = re.compile(rb"/\.(?:nfs|fuse_hidden)[0-9a-f]{8,}\Z")


def original_path(path: bytes) -> bytes:
    """The path without the suffix that rpm gives a file that it is about to replace."""
    return _RPM_SUFFIX.sub(b"", path)


def is_exact(raw: bytes) -> bool:
    """Whether ``printable(raw)`` is ``raw`` itself: UTF-8 without control, format or unassigned characters."""
    try:
        return raw.decode("utf-8").isprintable()
    except UnicodeDecodeError:
        return False


def printable(raw: bytes) -> str:
    r"""``raw`` for people and JSON: the text itself where that is exact, else escaped (``\n``, ``\xff``)."""
    if is_exact(raw):
        return raw.decode("utf-8")
    return "".join(_escaped(char) for char in raw.decode("utf-8", "surrogateescape"))


def _escaped(char: str) -> str:
    if "\udc80" <= char <= "\udcff":  # a byte that is not UTF-8, as surrogateescape keeps it
        return "\\x%02x" % (ord(char) - 0xDC00)
    if char == "\\" or not char.isprintable():
        # By str.encode Python would look for the codec in its library, which may be what was deleted.
        return codecs.unicode_escape_encode(char)[0].decode("ascii")
    return char


def path_fields(raw: bytes, key: str = "path") -> Dict[str, str]:
    """``{key: printable text}``, and ``key_b64`` with the exact bytes where the text is not exact."""
    fields = {key: printable(raw)}
    if not is_exact(raw):
        fields[key + "_b64"] = base64.b64encode(raw).decode("ascii")
    return fields


def path_bytes(fields: Dict[str, Any], key: str = "path") -> Optional[bytes]:
    """The exact bytes of what `path_fields` gave, or of a path that a user wrote; None where there is none.

    Raises RescueError where the base64 text is damaged or a NUL byte is in the name.
    """
    encoded = fields.get(key + "_b64")
    if encoded:
        try:
            raw = base64.b64decode(encoded, validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise RescueError("%s_b64 is not base64: %r." % (key, encoded)) from error
    elif fields.get(key):
        try:
            raw = str(fields[key]).encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise RescueError("%s is no file name: %r." % (key, fields[key])) from error
    else:
        return None
    if b"\0" in raw:
        raise RescueError("%s has a NUL byte in it, no file name can: %s" % (key, printable(raw)))
    return raw
