# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""ioctl(2) numbers that Python does not know; some architectures build them otherwise (asm/ioctl.h)."""

import os
import struct

_OTHER = os.uname().machine.startswith(("ppc", "mips", "sparc", "alpha"))

# ioctl_ns(2), Linux 4.9: the user namespace that owns a namespace.
NS_GET_USERNS = 0x2000B701 if _OTHER else 0xB701

# ioctl_ficlonerange(2), Linux 4.5: share the blocks (xfs, btrfs, ...).
FICLONE = 0x80049409 if _OTHER else 0x40049409

# FS_IOC_GETFLAGS (ioctl_iflags(2)): what lsattr shows. The size of a long is part of the number.
GET_FLAGS = (0x40006601 if _OTHER else 0x80006601) | struct.calcsize("l") << 16
