#!/usr/bin/python
# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: fetch_file
short_description: Fetch deleted files that processes still hold to the controller
version_added: 0.1.0
author:
  - procfs.rescue contributors (@procfs)
description:
  - Works like M(ansible.builtin.fetch), for files that were deleted and that a process on the host still holds.
  - The content goes through memory piece by piece. Nothing is written on the host, and no end holds the whole file in memory.
  - Digests are computed on both ends. When they differ nothing is left under the final name.
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
checksum:
  description: Digest of the file on the controller.
  type: str
  returned: when a file was found
  sample: sha256:2b2a2d3d4c2f3e7f0a6c9b8f2f4c5b1a0a8c1d2e3f405162738495a6b7c8d9e0
remote_checksum:
  description: Digest of the file on the host.
  type: str
  returned: when a file was found
  sample: sha256:2b2a2d3d4c2f3e7f0a6c9b8f2f4c5b1a0a8c1d2e3f405162738495a6b7c8d9e0
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

from ansible_collections.procfs.rescue.plugins.module_utils._errors import DO_NOT, RescueError, fault
from ansible_collections.procfs.rescue.plugins.module_utils._fetch import FETCH_SPEC, chosen, piece
from ansible_collections.procfs.rescue.plugins.module_utils._host import local_host


def main() -> None:
    # The action plugin of this name runs on the controller and does what dest and so on say. It calls this on the host:
    # once to choose the file, then for each piece of its content, which it names in the source.
    module = AnsibleModule(argument_spec=FETCH_SPEC, supports_check_mode=True)
    wanted = (module.params["source"] or {}).get("piece")
    try:
        if wanted is not None:
            module.exit_json(changed=False, content=piece(module.params["source"], wanted["offset"], wanted["length"]))
        with chosen(module.params, local_host(module.warn)) as (description, _fd):
            answer = description
        module.exit_json(changed=False, **answer)
    except RescueError as error:
        module.fail_json(msg=DO_NOT + str(error), refused=error.reasons)
    except OSError as error:
        module.fail_json(msg=DO_NOT + "The file could not be read: %s." % fault(error), refused=[])


if __name__ == "__main__":
    main()
