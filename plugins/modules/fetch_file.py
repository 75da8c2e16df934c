#!/usr/bin/python
# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: fetch_file
short_description: Fetch deleted files that processes still hold to the controller
version_added: 1.0.0
author:
  - procfs.rescue contributors (@procfs)
description:
  - Works like M(ansible.builtin.fetch), for files that were deleted and that a process on the host still holds.
  - Over SSH the content comes as one stream, whatever the size, where nobody has to be asked for a password; else, and over other
    connections, in pieces of 8 MiB. Nothing of it is written on the host, no end holds more than a few MiB of it in memory (of pieces a few
    times 8 MiB), and holes of sparse files stay holes. Long runs of zeros become holes.
  - The module is piped to Python and unpacked in C(/dev/shm) where that can be, whatever C(pipelining) is, so that a full disk is no hindrance.
  - Digests are computed on both ends while it is read and written; of pieces the host computes it before, by reading all of the file once
    more. When they differ nothing is left under the final name.
  - Somebody who sits before a terminal is told every few seconds how far it is, or what is waited for, others from C(-v) on.
  - Files arrive with mode V(0600), unless O(mode) says otherwise, in folders with mode V(0700). Owner and mode that they had are in the
    result.
extends_documentation_fragment:
  - procfs.rescue._attributes
  - procfs.rescue._attributes.actiongroup_rescue
  - procfs.rescue._source
  - procfs.rescue._transport
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Shows size and digest, never content.
options:
  dest:
    description:
      - Folder on the controller. The file goes to C(DEST/INVENTORY_HOSTNAME/PATH), unless O(flat=true).
    type: str
    required: true
  flat:
    description:
      - Whether O(dest) is the file itself, or, when it ends with C(/), the folder that the file goes to under its own name.
    type: bool
    default: false
  mode:
    description: Permissions of the file on the controller as an octal string, such as V('0644'). Without it a new file has V('0600').
    type: raw
  fail_on_missing:
    description: Whether it is a failure when no process holds the file.
    type: bool
    default: true
  executable:
    description:
      - Whether the program that O(pid) runs is meant, deleted, replaced or still there, as what an intruder started may be. O(start_time) and
        O(inode) must be right where they are given. Needs the module on the host, not SFTP.
    type: bool
    default: false
  resume:
    description:
      - Whether what arrived of a transfer that broke off is kept, as a hidden C(.procfs-rescue.*.part) beside the file, and the next run with
        this option goes on after it. It is compared with the file on the host by its digest before, and thrown away when that differs.
      - With O(transport=sftp) each transfer starts anew.
    type: bool
    default: false
  validate_checksum:
    description: Whether a file whose digest differs on both ends is a failure. The digests are in the result in any case.
    type: bool
    default: true
seealso:
  - module: procfs.rescue.deleted_files_facts
  - module: procfs.rescue.restore_file
  - module: ansible.builtin.fetch
"""

EXAMPLES = r"""
- name: Keep a copy of a deleted /bin/bash in rescued/HOST/usr/bin/bash
  procfs.rescue.fetch_file:
    path: /bin/bash
    dest: rescued

- name: Fetch what process 4711 runs, whether its file is deleted or not
  procfs.rescue.fetch_file:
    pid: 4711
    executable: true
    dest: evidence

- name: Find deleted executables of a folder
  procfs.rescue.deleted_files_facts:
    paths:
      - /tmp

- name: Fetch them
  procfs.rescue.fetch_file:
    source: "{{ item }}"
    dest: evidence
  loop: "{{ ansible_facts.deleted_files }}"
  loop_control:
    label: "{{ item.inode }}"
"""

RETURN = r"""
way:
  description: The way that led to the host, C(module), C(module through SHELL), C(sftp) or C(lifeline).
  type: str
  returned: always
  sample: module
ways_closed:
  description: The ways that were tried before RV(way), each with the reason why it did not lead in.
  type: list
  elements: str
  returned: always
  sample: []
file:
  description:
    - The same as RV(path), by the name that M(ansible.builtin.fetch) has for it.
    - Where no process holds one, O(path), or null where that was not given.
  type: str
  returned: when a file was found, and when none was with O(fail_on_missing=false)
  sample: /usr/bin/bash
path:
  description: Path that the file had on the host.
  type: str
  returned: when a file was found
  sample: /usr/bin/bash
path_b64:
  description: The exact bytes of the path in base64.
  type: str
  returned: when RV(path) is not exact
  sample: L3RtcC//
dest:
  description: Where the file is on the controller.
  type: str
  returned: when a file was found
  sample: /home/oncall/rescued/web1/usr/bin/bash
dest_b64:
  description: The exact bytes of RV(dest) in base64.
  type: str
  returned: when RV(dest) is not exact
  sample: L2hvbWUvb25jYWxsL3Jlc2N1ZWQvd2ViMS90bXAv/w==
checksum:
  description:
    - Digest of the file on the controller. M(ansible.builtin.fetch) has a SHA-1 without its name here.
  type: str
  returned: when a file was found
  sample: sha256:2b2a2d3d4c2f3e7f0a6c9b8f2f4c5b1a0a8c1d2e3f405162738495a6b7c8d9e0
remote_checksum:
  description: Digest of the file on the host. Over SFTP that of what was read from there; twice, where somebody may write to it.
  type: str
  returned: when a file was found
  sample: sha256:2b2a2d3d4c2f3e7f0a6c9b8f2f4c5b1a0a8c1d2e3f405162738495a6b7c8d9e0
md5sum:
  description: Always null. It is there for playbooks that expect what M(ansible.builtin.fetch) returns.
  type: str
  returned: when a file was found
  sample: null
remote_md5sum:
  description: Always null, as RV(md5sum).
  type: str
  returned: when a file was found
  sample: null
size:
  description: Size in bytes.
  type: int
  returned: when a file was found
  sample: 1265648
owner:
  description: Owner that the file has on the host.
  type: str
  returned: when a file was found
  sample: root
group:
  description: Group that the file has on the host.
  type: str
  returned: when a file was found
  sample: root
mode:
  description: Permissions that the file has on the host.
  type: str
  returned: when a file was found
  sample: '0755'
consistent:
  description:
    - Whether the file stayed the same while it was read. If not, it may be a mixture of states, or lack what was added, and a warning says so.
    - What comes in pieces is read twice, for its digest before. Where something was only added this is V(false), too; where what was
      there was changed, it fails with a checksum mismatch, unless O(validate_checksum=false).
    - V(false) as well where it comes as a stream and a process has the file mapped to write to it, since the kernel need not tell when
      that is done.
  type: bool
  returned: when a file was found
  sample: true
came_as:
  description: Whether the content came as one V(stream) or in V(pieces).
  type: str
  returned: when a file was transferred
  sample: stream
resumed_from:
  description: How many bytes of an earlier transfer were used, see O(resume).
  type: int
  returned: when a file was transferred
  sample: 0
mtime:
  description: Time of last modification in seconds since the epoch.
  type: float
  returned: when a file was found
  sample: 1682253120.5
source:
  description: The holder that it came from, as in RV(procfs.rescue.deleted_files_facts#module:ansible_facts.deleted_files[].holders).
  type: dict
  returned: when a file was found
  sample: {"pid": 812, "via": "exe", "link": "/proc/812/exe", "inode": 392841}
refused:
  description: Names of the reasons for which no file was fetched.
  type: list
  elements: str
  returned: on failure
  sample: ["not_held"]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.procfs.rescue.plugins.module_utils._fetch_task import run
from ansible_collections.procfs.rescue.plugins.module_utils._options import FETCH_SPEC
from ansible_collections.procfs.rescue.plugins.module_utils._task import run_module


def main() -> None:
    # The action plugin of this name runs on the controller and does what dest and so on say.
    module = AnsibleModule(argument_spec=FETCH_SPEC, supports_check_mode=True)
    run_module(module, module.params, run)


if __name__ == "__main__":
    main()
