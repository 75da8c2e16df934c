# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What makes a file the original besides its bytes: owner, mode, times, ACLs, capabilities, labels, other xattrs."""

import binascii
import errno
import os
import re
import shlex
import stat
import struct
from contextlib import suppress
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._names import is_exact, printable

CAPABILITY = "security.capability"
ACL = "system.posix_acl_access"

# linux/posix_acl_xattr.h; the mask limits all but the owner and others.
_ACL_VERSION = 2
_ACL_OWNER, _ACL_MASK, _ACL_OTHER = 0x01, 0x10, 0x20
_ACL_WRITE = 2

# A file system without them; one that was taken away meanwhile.
_NO_XATTRS = (errno.EOPNOTSUPP, errno.ENODATA)


def parsed_mode(value: Any) -> int:
    """Permissions as a user writes them: octal digits, or the number that YAML made of them. Raises RescueError."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 0o7777:
        return value
    if isinstance(value, str) and re.match("0?[0-7]{1,4}\\Z", value):
        return int(value, 8)
    raise RescueError("mode must be an octal string such as '0644', it is %r." % (value,))


class Metadata(NamedTuple):
    """Times are nanoseconds since the epoch; ``mode`` is the permission bits with setuid, setgid and sticky.

    ``unread`` are names of xattrs that are there but could not be read, or ``xattrs`` where nobody knows which are.
    """

    mode: int
    uid: int
    gid: int
    atime_ns: int
    mtime_ns: int
    xattrs: Dict[str, bytes]
    unread: Tuple[str, ...] = ()

    def privileges(self) -> Tuple[str, ...]:
        """What gives whoever runs the file rights that the caller does not have."""
        named = (("setuid", self.mode & stat.S_ISUID), ("setgid", self.mode & stat.S_ISGID))
        found = [name for name, bit in named if bit]
        return tuple(found + (["capabilities"] if CAPABILITY in self.xattrs else []))

    def without_privileges(self) -> "Metadata":
        return self._replace(
            mode=self.mode & ~(stat.S_ISUID | stat.S_ISGID),
            xattrs={name: value for name, value in self.xattrs.items() if name != CAPABILITY},
        )

    def as_own(self, uid: int, gid: int) -> "Metadata":
        """For content that nobody vouches for: private to whoever copies it out."""
        return self._replace(mode=0o600, uid=uid, gid=gid, xattrs={}, unread=())

    def with_owner(self, uid: Optional[int], gid: Optional[int], mode: Optional[int]) -> "Metadata":
        """With what the user gave instead."""
        return self._replace(
            uid=self.uid if uid is None else uid,
            gid=self.gid if gid is None else gid,
            mode=self.mode if mode is None else mode,
        )


def read_metadata(fd: int) -> Metadata:
    result = os.fstat(fd)
    xattrs = {}
    unread = []
    names: List[str] = []
    try:
        names = os.listxattr(fd)
    except OSError as error:
        if error.errno not in _NO_XATTRS:
            unread.append("xattrs")
    for name in names:
        try:
            xattrs[name] = os.getxattr(fd, name)
        except OSError as error:
            if error.errno not in _NO_XATTRS:
                unread.append(name)
    return Metadata(
        mode=stat.S_IMODE(result.st_mode),
        uid=result.st_uid,
        gid=result.st_gid,
        atime_ns=result.st_atime_ns,
        mtime_ns=result.st_mtime_ns,
        xattrs=xattrs,
        unread=tuple(unread),
    )


def apply_metadata(fd: int, wanted: Metadata) -> None:
    """Gives ``fd`` as much of ``wanted`` as the file system takes; `differences` tells what it did not take.

    The order matters: chown(2) clears setuid and capabilities, chmod(2) an ACL's mask. Who may not give the file
    to its owner must not give it the owner's privileges either.
    """
    try:
        os.fchown(fd, wanted.uid, wanted.gid)
    except OSError:
        wanted = wanted.without_privileges()
    for name in _inherited(fd, wanted):
        with suppress(OSError):
            os.removexattr(fd, name)
    with suppress(OSError):
        os.fchmod(fd, wanted.mode)
    for name in sorted(wanted.xattrs, key=_capability_last):
        with suppress(OSError):
            os.setxattr(fd, name, wanted.xattrs[name])
    with suppress(OSError):
        os.utime(fd, ns=(wanted.atime_ns, wanted.mtime_ns))


def differences(fd: int, wanted: Metadata) -> List[str]:
    """Names of what ``fd`` has not as ``wanted``: owner, group, mode, mtime, xattr names. atime moves when read."""
    found = read_metadata(fd)
    lost = [name for name, value in wanted.xattrs.items() if found.xattrs.get(name) != value]
    return differing(found, wanted) + sorted([*lost, *wanted.unread, *_inherited(fd, wanted)])


def differing(found: Metadata, wanted: Metadata) -> List[str]:
    """Names of what everybody can tell of a file, and is not as ``wanted``."""
    fields = (
        ("owner", wanted.uid, found.uid),
        ("group", wanted.gid, found.gid),
        ("mode", wanted.mode, found.mode),
        ("mtime", wanted.mtime_ns, found.mtime_ns),
    )
    return [name for name, wants, has in fields if wants != has]


def _inherited(fd: int, wanted: Metadata) -> List[str]:
    """ACLs that a new file has from its folder's default ACL and that the original did not have."""
    found = read_metadata(fd).xattrs
    return [name for name in found if name.startswith("system.posix_acl") and name not in wanted.xattrs]


def acl_lets_others_write(acl: bytes) -> bool:
    """Whether what `ACL` has lets more than the owner write, also where it cannot be read."""
    if len(acl) % 8 != 4 or struct.unpack_from("<I", acl) != (_ACL_VERSION,):
        return True
    entries = list(struct.iter_unpack("<HHI", acl[4:]))
    masked = next((permissions for tag, permissions, _id in entries if tag == _ACL_MASK), _ACL_WRITE)
    return any(
        permissions & _ACL_WRITE & (_ACL_WRITE if tag == _ACL_OTHER else masked)
        for tag, permissions, _id in entries
        if tag not in (_ACL_OWNER, _ACL_MASK)
    )


def _capability_last(name: str) -> bool:
    return name == CAPABILITY


def repairs(path: bytes, original: Metadata, missing: Iterable[str]) -> List[str]:
    """The shell commands that would give ``path`` what it lacks to be usable as before: owner, mode, capabilities."""
    lacks = set(missing)
    commands = []
    owner = lacks & {"owner", "group"}  # chown(2) takes the privileges away, so that they follow it
    if owner:
        commands.append("chown %d:%d" % (original.uid, original.gid))
    if owner or lacks & {"mode", "setuid", "setgid"}:
        commands.append("chmod %04o" % original.mode)
    if (owner or lacks & {"capabilities", CAPABILITY}) and CAPABILITY in original.xattrs:
        value = binascii.hexlify(original.xattrs[CAPABILITY]).decode("ascii")
        commands.append("setfattr -n %s -v 0x%s" % (CAPABILITY, value))
    return [_on(path, command) for command in commands]


def _on(path: bytes, command: str) -> str:
    if is_exact(path):
        return "%s %s" % (command, shlex.quote(printable(path)))
    octal = "".join("\\%03o" % byte for byte in path)
    return "printf '%s\\0' | xargs -0 %s" % (octal, command)
