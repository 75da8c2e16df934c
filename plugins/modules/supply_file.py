#!/usr/bin/python
# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: supply_file
short_description: Put lost files back that no process of the host holds
version_added: 1.0.0
author:
  - procfs.rescue contributors (@procfs)
description:
  - Puts files under their names that other hosts offered (see M(procfs.rescue.offer_file)), or that are in the package of exactly the
    version that the host has installed.
  - The content is proven on the host itself before it gets its name, by the digest of the host's own package database or by a checksum
    that the user gave to M(procfs.rescue.restore_file). What nothing proves is not written.
  - Owner and mode are those that dpkg-statoverride or rpm on the host records for the path, else those that the peer or the package has;
    C(metadata_by) says which. Owner and group are compared by name.
  - What the host refuses as one peer has it, such as with a mode that lets others write to it, and no other of O(sources) has, is put back as another peer
    has it. Five are tried at most.
  - Of a package only the one file is unpacked. Nothing is installed, and no script of it runs. It is taken from the cache of apt,
    dnf, yum or zypper on the host, else C(apt-get download), C(dnf download) or C(yum download) is asked for it; zypper and yum 3
    have no such command, there only their caches are a source. What a script of the package gives a file afterwards, such as
    capabilities, is missing.
  - A name that is taken is left alone.
  - The role P(procfs.rescue.rescue#role) does all of it.
extends_documentation_fragment:
  - procfs.rescue._attributes
  - procfs.rescue._attributes.actiongroup_rescue
  - procfs.rescue._transport
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  files:
    description: The C(needs) of results of M(procfs.rescue.restore_file) or of this module. This or O(found) is needed.
    type: list
    elements: dict
  sources:
    description:
      - V(peer) for what other hosts offered in this run, V(package) for the installed package, V(process) for processes of the host after all.
      - What the first one has not the next one may.
    type: list
    elements: str
    choices:
      - process
      - peer
      - package
    default:
      - peer
      - package
  found:
    description:
      - What M(procfs.rescue.restore_file) or this module answered before, in place of O(files). Then what it lacks is put back, and the answer is of all its
        files and fails if any is missing. V(changed) is of this task alone.
    type: dict
  looked:
    description:
      - Whether what O(found) has as restorable is missing still, since M(procfs.rescue.restore_file) only looked
        (O(procfs.rescue.restore_file#module:look)).
    type: bool
    default: false
  parents:
    description:
      - Whether a folder that is gone is made again, with owner, group and mode as dpkg-statoverride or rpm on the host records them, else as the peer has
        them if it is root's there and without what others may write, else as the one around it.
    type: bool
    default: false
  try_start:
    description: Whether a program that came back is started, as O(procfs.rescue.restore_file#module:try_start) does it.
    type: bool
    default: false
  accept:
    description: Reasons to refuse that are waived, as O(procfs.rescue.restore_file#module:accept) takes them.
    type: list
    elements: str
    choices:
      - owner_differs
      - ancestor_writable
      - superseded
    default: []
seealso:
  - module: procfs.rescue.restore_file
  - module: procfs.rescue.offer_file
"""

EXAMPLES = r"""
- name: Put back what restore_file could not, from peers or else the installed packages
  procfs.rescue.supply_file:
    found: "{{ rescue_result }}"
    sources: [peer, package]
  register: rescue_result

- name: Take what is lost out of the installed packages
  procfs.rescue.supply_file:
    files: "{{ rescue_result | procfs.rescue.rescue_needs }}"
    sources: [package]
"""

RETURN = r"""
way:
  description: The way that led to the host, C(module), C(module through SHELL), C(sftp) or C(lifeline).
  type: str
  returned: when the host was asked
  sample: module
ways_closed:
  description: The ways that were tried before RV(way), each with the reason why it did not lead in.
  type: list
  elements: str
  returned: when the host was asked
  sample: []
on_its_own:
  description: As in O(found).
  type: bool
  returned: when it is in O(found)
  sample: true
files:
  description: One result for each file, with the keys of RV(procfs.rescue.restore_file#module:files).
  type: list
  elements: dict
  returned: always
  contains:
    source:
      description: Where it came from, C(peer) or C(package), and C(link) is where it was there.
      type: dict
      returned: when restored or restorable
      sample: {"peer": "web3", "link": "/usr/bin/bash"}
    content_by:
      description: Who vouches for the content, V(checksum) for the user, V(package) for the host's package database.
      type: str
      returned: when restored or restorable
      sample: package
    metadata_by:
      description: Who vouches for owner and mode, C(dpkg-statoverride), C(rpm), or the source.
      type: str
      returned: when restored or restorable
      sample: peer web3
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.procfs.rescue.plugins.module_utils._supply_task import SUPPLY_SPEC, run
from ansible_collections.procfs.rescue.plugins.module_utils._task import run_module


def main() -> None:
    # The action plugin of this name gives each of files what a peer offered; a large content it gives in pieces before.
    # What it was invoked with are whole contents: they go into no log of the host, and not back.
    module = AnsibleModule(supports_check_mode=True, no_log=True, **SUPPLY_SPEC)
    params = dict(module.params)
    module.params.pop("files")
    run_module(module, params, run)


if __name__ == "__main__":
    main()
