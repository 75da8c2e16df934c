#!/usr/bin/python
# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: offer_file
short_description: Let a host offer files to another one that lost them
version_added: 1.0.0
author:
  - procfs.rescue contributors (@procfs)
description:
  - Looks on the host that the task is delegated to for files that the host of the task lost, alive on disk or held by a process.
  - A file is offered only with the very digest that the host that lost it gives, and from the same package in the same version and
    architecture; a symlink only from the same release of the same distribution.
  - The content is kept on the controller until the run ends. Each content is read from one host only, and each host is asked once, whoever
    else needs the same.
  - Nothing is changed on any host. A host that cannot be reached, or that has no such file, is no failure, the answer says why.
  - The role P(procfs.rescue.rescue#role) does all of it.
extends_documentation_fragment:
  - procfs.rescue._attributes
  - procfs.rescue._attributes.actiongroup_rescue
  - procfs.rescue._transport
attributes:
  check_mode:
    support: full
    details:
      - Asks as usual, and leaves the content where it is.
  diff_mode:
    support: none
options:
  files:
    description: The C(needs) of results of M(procfs.rescue.restore_file).
    type: list
    elements: dict
    required: true
seealso:
  - module: procfs.rescue.restore_file
  - module: procfs.rescue.supply_file
  - plugin: procfs.rescue.rescue_peers
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Ask other hosts of the play for what this one lost
  procfs.rescue.offer_file:
    files: "{{ lost }}"
  delegate_to: "{{ item }}"
  loop: "{{ query('procfs.rescue.rescue_peers', lost) }}"
  vars:
    lost: "{{ rescue_result | procfs.rescue.rescue_needs }}"
"""

RETURN = r"""
offers:
  description: What was offered, or why nothing was, for each file that no other host had offered before.
  type: list
  elements: dict
  returned: always
  sample:
    - path: /usr/bin/bash
      offer: {"size": 1265648, "mode": "0755", "owner": "root", "group": "root", "source": "/usr/bin/bash"}
    - path: /usr/bin/zsh
      msg: it has no package with that path, not zsh 5.9-4+b2 amd64
      refused:
        - version_differs
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
