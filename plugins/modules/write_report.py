#!/usr/bin/python
# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: write_report
short_description: Write one page that shows what deleted files a fleet holds
version_added: 1.0.0
author:
  - procfs.rescue contributors (@procfs)
description:
  - Writes one self-contained HTML page on the controller, the same as JSON and CSV beside it, and returns a short table for the terminal.
  - It says what is wrong and what not to do, where the disk space is, what must be restarted, what is suspicious, and lists every entry.
    After the roles P(procfs.rescue.rescue#role) or P(procfs.rescue.lifeline#role) it also shows what was rescued, from where and verified by
    whom, and which lifelines are ready.
  - The playbook C(procfs.rescue.report) gathers facts of all hosts and calls this.
  - The page needs no network and opens from disk. Names that hosts tell are shown as text, with control and bidirectional characters escaped.
extends_documentation_fragment:
  - procfs.rescue._attributes
attributes:
  check_mode:
    support: full
    details:
      - Writes the report in check mode too, as it changes no host.
  diff_mode:
    support: none
  platform:
    details:
      - Runs on the controller only.
options:
  dest:
    description:
      - File on the controller for the page. The JSON and the CSV have the same name with C(.json) and C(.csv). A relative path is one of the
        folder that C(ansible-playbook) was started in. The files have mode V(0600).
    type: str
    required: true
  hosts:
    description:
      - Hosts of the inventory whose variables of this run are shown, C(report_scan) and C(ansible_facts.deleted_files) as
        M(procfs.rescue.deleted_files_facts) gives them, C(rescue_result), C(lifeline_way_in) and C(lifeline_kept) as the roles register them.
        One that has none of them is shown as not looked at.
    type: list
    elements: str
    default: []
  saved:
    description:
      - Files on the controller, or shell patterns, with what an earlier report (C(.json)) or C(rescue_report_path) of the role
        P(procfs.rescue.rescue#role) wrote, or that map hosts to facts. All are merged, of each host the latest facts are shown.
    type: list
    elements: str
    default: []
requirements:
  - pygal on the controller, for the plots only. Without it the page has its tables and says what is missing.
seealso:
  - module: procfs.rescue.deleted_files_facts
"""

EXAMPLES = r"""
- name: Look at all hosts
  procfs.rescue.deleted_files_facts:
  register: report_scan

- name: Write the page once
  procfs.rescue.write_report:
    dest: deleted-files.html
    hosts: "{{ ansible_play_hosts_all }}"
  run_once: true
  delegate_to: localhost

- name: Merge what slices of a fleet wrote
  procfs.rescue.write_report:
    dest: fleet.html
    saved:
      - slices/*.json
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
page:
  description: The page.
  returned: success
  type: str
  sample: /home/oncall/deleted-files.html
json:
  description: The JSON beside it, which O(saved) reads.
  returned: success
  type: str
  sample: /home/oncall/deleted-files.json
csv:
  description: The CSV beside it, with one line for each entry.
  returned: success
  type: str
  sample: /home/oncall/deleted-files.csv
table:
  description: Lines for the terminal, hosts that cannot wait first.
  returned: success
  type: list
  elements: str
  sample: ["1 of 1 hosts looked at, 1 of them fully: 0 deleted files hold 0 B of disks and 0 B of memory."]
totals:
  description:
    - How many C(hosts) there are, how many were C(scanned), how many of these were read fully (C(complete)), run files that are gone
      (C(runs_removed), C(runs_replaced)), miss critical files (C(missing)), are C(suspicious), C(files) and bytes that are held (C(disk),
      C(memory)), files that were C(rescued) and C(not_rescued), lifelines that were checked and are ready.
  returned: success
  type: dict
  sample: {"hosts": 3, "scanned": 3, "complete": 3, "missing": 0}
"""

# What it does is done by the action plugin of this name, on the controller.
