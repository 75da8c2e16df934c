#!/usr/bin/python
# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: lifeline_sshd
short_description: Give a host a way in that needs no shell
version_added: 1.0.0
author:
  - procfs.rescue contributors (@procfs)
description:
  - Role P(procfs.rescue.lifeline#role) uses it; its README says what this way in is, and who should not have it.
  - Adds a login to sshd that is SFTP only, as root, with keys of its own, and that works when root's shell is gone.
  - Nothing is written before C(sshd -T) has shown that the login is confined as it shall be, and that for root and for the user who is
    logged in now every setting on the usual ports is as before.
  - sshd is reloaded, never restarted. Then the controller logs in. If it cannot, everything is put back as it was, and the task fails.
  - The controller logs in whenever the way in is there, also in check mode and when nothing was changed.
extends_documentation_fragment:
  - procfs.rescue._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Shows the drop-in of sshd and the public keys.
options:
  state:
    description: Whether the way in is to be there. V(absent) removes what this module made, and nothing else.
    type: str
    choices:
      - present
      - absent
    default: present
  mode:
    description:
      - V(port) is a port of sshd on which only root may log in, and this is all that root may do there.
      - V(account) is a second account with the user id of root on the usual ports. It has no password, no home and no shell.
    type: str
    choices:
      - port
      - account
    default: port
  port:
    description:
      - The port of the lifeline. Required with O(mode=port).
      - With O(mode=account) the port that the controller logs in on, which is that of the connection if it is not given.
    type: int
  user:
    description: Name of the account. Required with O(mode=account), C(root) with O(mode=port).
    type: str
  keys:
    description: Lines of an authorized_keys file, the only ones that let in. Required with O(state=present).
    type: list
    elements: str
  addresses:
    description: Addresses, networks (CIDR) and patterns of those from where one may log in. Everything, if there are none.
    type: list
    elements: str
    default: []
  private_key_file:
    description: File on the controller with a private key to log in with. If not given, what the connection itself logs in with.
    type: path
  previous:
    description: The return value of this name of an earlier run, to return to. O(mode), O(keys) and so on are not looked at then.
    type: dict
seealso:
  - module: procfs.rescue.restore_file
"""

EXAMPLES = r"""
- name: Let the key of the on-call team in on port 2222, even without a shell
  procfs.rescue.lifeline_sshd:
    port: 2222
    keys:
      - "{{ lookup('ansible.builtin.file', 'keys/oncall.pub') }}"
    addresses:
      - 192.0.2.0/24
    private_key_file: keys/oncall

- name: Take it away again
  procfs.rescue.lifeline_sshd:
    state: absent
"""

RETURN = r"""
logged_in:
  description: Whether the controller logged in by the lifeline.
  type: bool
  returned: success
  sample: true
previous:
  description: What was there before, for O(previous).
  type: dict
  returned: success
  sample: {"account": null, "drop_in": null, "keys": null}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError, fault
from ansible_collections.procfs.rescue.plugins.module_utils._lifeline import (
    SPEC,
    WayIn,
    found,
    is_reached,
    planned,
    put,
    wish_from,
)


def main() -> None:
    # The action plugin of this name calls it on the host, logs in, and calls it again with what was there before if it cannot.
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    try:
        before = found()
        way = _wanted(module)
        changed = way != before or not is_reached(way)
        if changed and not module.check_mode:
            put(way, before)
    except RescueError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg="The lifeline could not be set up: %s." % fault(error))
    answer = {"changed": changed, "previous": before._asdict()}
    if module._diff:
        answer["diff"] = [
            {"before_header": name, "after_header": name, "before": old or "", "after": new or ""}
            for name, old, new in zip(WayIn._fields, before, way)
            if old != new
        ]
    with open("/proc/sys/kernel/random/boot_id") as file:
        module.exit_json(boot_id=file.read().strip(), **answer)


def _wanted(module: AnsibleModule) -> WayIn:
    if module.params["previous"] is not None:
        return WayIn(**module.params["previous"])
    return WayIn() if module.params["state"] == "absent" else planned(wish_from(module.params))


if __name__ == "__main__":
    main()
