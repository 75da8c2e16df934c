#!/usr/bin/python
# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: offer_file
short_description: Read files that other hosts lost from one that has them
version_added: 1.0.0
author:
  - procfs.rescue contributors (@procfs)
description:
  - Reads, from the host that the task is delegated to, files that others lost, alive on disk or held by a process.
  - A host has what another needs if it said so with M(procfs.rescue.restore_file) and O(procfs.rescue.restore_file#module:offer) in this run, with the
    very digest that the other's package database or the user gives, from the same package in the same version and architecture; a symlink only
    with the same release of the same distribution. The lookup P(procfs.rescue.rescue_peers#lookup) names those.
  - The content is kept on the controller until the run ends, and read from one host only, whoever else needs the same.
  - Nothing is changed on any host. A host that cannot be reached, or that has the file no longer, is no failure, the answer says why.
  - The role P(procfs.rescue.rescue#role) does all of it.
extends_documentation_fragment:
  - procfs.rescue._attributes
  - procfs.rescue._attributes.actiongroup_rescue
  - procfs.rescue._transport
attributes:
  check_mode:
    support: full
    details:
      - Reads no content.
  diff_mode:
    support: none
options:
  files:
    description: The C(needs) of results of M(procfs.rescue.restore_file).
    type: list
    elements: dict
    required: true
  timeout:
    description:
      - For how many seconds the host may give no answer. Then it is no source, what it gave before is kept, and the answer says so.
      - One more is added for each 10 MB that it said to have of O(files), since it proves them before it answers.
      - A task timeout (C(timeout), C(ANSIBLE_TASK_TIMEOUT)) that ends before goes first. Over SFTP one request takes 20 seconds at most.
    type: int
    default: 60
seealso:
  - module: procfs.rescue.restore_file
  - module: procfs.rescue.supply_file
  - plugin: procfs.rescue.rescue_peers
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Read what hosts of the play lost from those that have it
  procfs.rescue.offer_file:
    files: "{{ item.needs }}"
  delegate_to: "{{ item.peer }}"
  loop: "{{ query('procfs.rescue.rescue_peers') }}"
  run_once: true
"""

RETURN = r"""
offers:
  description: How many bytes were read, or why none were, for each content that was not read before.
  type: list
  elements: dict
  returned: always
  sample:
    - path: /usr/bin/bash
      size: 1265648
    - path: /usr/bin/zsh
      msg: it broke off in the middle
      refused:
        - unreachable
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.procfs.rescue.plugins.module_utils._offer_task import OFFER_SPEC, run
from ansible_collections.procfs.rescue.plugins.module_utils._task import run_module


def main() -> None:
    # The action plugin of this name keeps on the controller what this answers.
    module = AnsibleModule(supports_check_mode=True, **OFFER_SPEC)
    run_module(module, module.params, run)


if __name__ == "__main__":
    main()
