#!/usr/bin/python
# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: collect_files
short_description: Collect what deleted files hold as evidence
version_added: 1.0.0
author:
  - procfs.rescue contributors (@procfs)
description:
  - Fetches the content of deleted files that processes still hold to a folder of the controller, each distinct content once for all hosts,
    and writes a manifest for each host with all that is known of the files and of who holds them.
  - The playbook C(procfs.rescue.collect) runs it on all hosts and seals the folder at the end.
  - All files are opened before any is read, those first whose youngest holder started last, and a process named C(procfs-rescue) keeps
    them open on the host until the contents are here, an hour at most, should nobody end it.
  - Nothing is written on the disks of the hosts. With pipelining Ansible pipes its modules to Python, which unpacks them in a folder of
    C($TMPDIR); that is C(/dev/shm), in memory, unless the play sets another one. Without pipelining Ansible writes its modules to the disk,
    so that it refuses to run.
  - Somebody who sits before a terminal is told every few seconds how far it is, for each host that is busy, others from C(-v) on.
extends_documentation_fragment:
  - procfs.rescue._attributes
attributes:
  check_mode:
    support: none
  diff_mode:
    support: none
options:
  dest:
    description:
      - Folder on the controller, relative to the one that C(ansible-playbook) was started in. Contents go to C(content/SHA256), manifests to
        C(hosts/INVENTORY_HOSTNAME.jsonl). What an earlier run sealed, or wrote of the same host, is not replaced.
    type: str
    required: true
  via:
    description: Only files that somebody holds in one of these ways.
    type: list
    elements: str
    choices:
      - exe
      - fd
      - map
    default: []
  suspicious_only:
    description:
      - Only files that a process executes which is in RV(procfs.rescue.deleted_files_facts#module:ansible_facts.deleted_files_summary.suspicious).
    type: bool
    default: false
  min_size:
    description: Only files of at least this size, in bytes or with a unit such as V(10M) or V(1G) (powers of 1024).
    type: bytes
    default: '0'
  max_size:
    description: No content of files that are larger; what is known of them is in the manifest nevertheless.
    type: bytes
  md5:
    description: Whether the manifest has MD5 digests too, which some collections of known files need.
    type: bool
    default: false
  allow_tmp:
    description: Whether Ansible may write its module, but no content, to the disk of the host where pipelining is not possible.
    type: bool
    default: false
  seal:
    description:
      - Collect nothing, but write C(SHA256SUMS) with the digest of every file in the folder, for C(sha256sum -c). Runs on the controller only.
      - Fails where the folder was sealed before, and where a content is not what its name says.
    type: bool
    default: false
  results:
    description:
      - With O(seal), what this module gave on each host that was asked, by its name. C(run.json) in the folder keeps who was unreachable or
        failed, why, and who answered.
    type: dict
seealso:
  - module: procfs.rescue.deleted_files_facts
  - module: procfs.rescue.fetch_file
"""

EXAMPLES = r"""
- name: Collect the programs that run from deleted files
  procfs.rescue.collect_files:
    dest: evidence
    via:
      - exe

- name: Seal the folder
  procfs.rescue.collect_files:
    dest: evidence
    seal: true
  run_once: true
"""

RETURN = r"""
manifest:
  description: Name of the host's manifest in the folder.
  type: str
  returned: when files were collected
  sample: hosts/web1.jsonl
filters:
  description: O(via), O(suspicious_only), O(min_size) and O(max_size), by which the files were chosen; sizes in bytes.
  type: dict
  returned: when files were collected
  sample: {"via": ["exe"], "suspicious_only": false, "min_size": 0, "max_size": null}
files:
  description: How many deleted files the manifest has.
  type: int
  returned: when files were collected
  sample: 3
contents:
  description: How many distinct contents these have.
  type: int
  returned: when files were collected
  sample: 2
new_contents:
  description: How many of these were not in the folder before.
  type: int
  returned: when files were collected
  sample: 1
unread:
  description: Files whose content is not in the folder, and why.
  type: list
  elements: str
  returned: when files were collected
  sample: ["/var/log/huge: it is larger than max_size"]
complete:
  description: Whether all processes could be looked at and all contents were read.
  type: bool
  returned: when files were collected
  sample: true
unreadable_processes:
  description: How many processes could not be read fully.
  type: int
  returned: when files were collected
  sample: 0
silent_processes:
  description: Processes about which the kernel gave no answer.
  type: list
  elements: int
  returned: when files were collected
  sample: []
skipped_mounts:
  description: Mount points that did not answer, with the number of links into them.
  type: dict
  returned: when files were collected
  sample: {}
seal:
  description: The file with the digests.
  type: str
  returned: with O(seal)
  sample: /home/oncall/evidence/SHA256SUMS
sealed:
  description: How many files are in it.
  type: int
  returned: with O(seal)
  sample: 101
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.procfs.rescue.plugins.module_utils._collect import COLLECT_SPEC, collect
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError, fault


def main() -> None:
    # The action plugin of this name fetches the contents and writes what this tells.
    module = AnsibleModule(argument_spec=COLLECT_SPEC)
    try:
        module.exit_json(changed=False, **collect(module.params))
    except RescueError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg="The host's processes could not be looked at: %s." % fault(error))


if __name__ == "__main__":
    main()
