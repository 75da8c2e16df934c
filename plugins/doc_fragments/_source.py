# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this doc fragment is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""How a deleted file is chosen."""


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  path:
    description:
      - Absolute path that the deleted file had on the host. Symlinks such as C(/bin) are resolved.
      - It is taken literally, neither C(~) nor variables are expanded, since file names may contain anything.
    type: str
  path_b64:
    description:
      - The exact bytes of O(path) in base64, for names that are not printable text, as in the facts.
    type: str
  source:
    description:
      - An entry of RV(procfs.rescue.deleted_files_facts#module:ansible_facts.deleted_files), or one of its holders, unchanged.
      - What it says of process, start time, device and inode must still be true of the opened file.
    type: dict
  pid:
    description: Only a file that this process holds.
    type: int
  start_time:
    description: Only if the process with O(pid) started at this time, in clock ticks since boot (field 22 of C(/proc/PID/stat)).
    type: int
  device:
    description: Only a file with this device number (C(st_dev)).
    type: int
  inode:
    description: Only a file with this inode number.
    type: int
  checksum:
    description:
      - The digest that the content must have, as C(ALGORITHM:HEX), for example C(sha256:...).
      - The algorithms are V(md5), V(sha1), V(sha224), V(sha256), V(sha384) and V(sha512).
      - It proves the content, whoever holds the file.
    type: str
"""
