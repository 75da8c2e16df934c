#!/usr/bin/python
# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: deleted_files_facts
short_description: Gather files that were deleted while processes still hold them
version_added: 0.1.0
author:
  - procfs.rescue contributors (@procfs)
description:
  - Reads C(/proc/PID/exe), C(/proc/PID/fd) and C(/proc/PID/map_files) of every process and lists each distinct file whose name is gone,
    with everybody who holds it.
  - Nothing is changed and no content is read. What is listed can be restored with M(procfs.rescue.restore_file) and fetched with
    M(procfs.rescue.fetch_file) as long as one of its holders lives.
  - Without root it sees its own processes only, and says so in RV(ansible_facts.deleted_files_summary.complete).
extends_documentation_fragment:
  - procfs.rescue._attributes
  - procfs.rescue._attributes.actiongroup_rescue
  - procfs.rescue._attributes.facts
attributes:
  check_mode:
    support: full
    details:
      - This action does not modify state.
  diff_mode:
    support: N/A
    details:
      - This action does not modify state.
options:
  paths:
    description:
      - Only files with one of these paths, shell patterns or folders. V(*) matches C(/) too.
    type: list
    elements: str
    default: []
  excludes:
    description:
      - No files with one of these paths, shell patterns or folders.
    type: list
    elements: str
    default: []
  kinds:
    description:
      - Only files of these kinds.
    type: list
    elements: str
    choices:
      - regular
      - memfd
      - sysv_shm
      - shared_memory
      - anonymous
      - tmpfile
      - nfs_silly
      - fuse_hidden
      - directory
      - fifo
      - socket
      - device
      - symlink
    default: []
  min_size:
    description:
      - Only files of at least this size, in bytes or with a unit such as V(10M) or V(1G) (powers of 1024).
    type: str
    default: '0'
  deadline:
    description:
      - Seconds that each network or FUSE mount is given to answer. Files on a mount that does not answer are counted in
        RV(ansible_facts.deleted_files_summary.skipped_mounts).
    type: float
    default: 5
  timeout:
    description:
      - Seconds for the whole scan. Processes that it did not come to are counted in
        RV(ansible_facts.deleted_files_summary.unvisited_processes). Without it there is no limit.
    type: float
  threads:
    description:
      - Also look at every thread by itself. Hardly any program gives a thread descriptors of its own (C(CLONE_FILES)), and
        a Java program has hundreds of threads.
    type: bool
    default: false
seealso:
  - module: procfs.rescue.restore_file
  - module: procfs.rescue.fetch_file
"""

EXAMPLES = r"""
- name: What is deleted and still open?
  procfs.rescue.deleted_files_facts:

- name: Large deleted logs only
  procfs.rescue.deleted_files_facts:
    paths:
      - /var/log
    min_size: 100M

- name: Show who holds them
  ansible.builtin.debug:
    msg: "{{ item.path }} is held by {{ item.holders | map(attribute='pid') | join(', ') }}"
  loop: "{{ ansible_facts.deleted_files }}"
  loop_control:
    label: "{{ item.inode }}"
"""

RETURN = r"""
ansible_facts:
  description: The facts that are added.
  returned: always
  type: dict
  contains:
    deleted_files:
      description: One entry for each distinct deleted inode. An entry can be handed to the other modules as O(ignore:source).
      returned: always
      type: list
      elements: dict
      contains:
        path:
          description:
            - Path that the file had, as its holders see it. Control characters and bytes that are not UTF-8 are escaped.
          type: str
          returned: always
          sample: /usr/bin/bash
        path_b64:
          description: The exact bytes of the path in base64.
          type: str
          returned: when RV(ansible_facts.deleted_files[].path) is not exact
          sample: L3RtcC//
        host_path:
          description: The path on the host.
          type: str
          returned: when the holder sees the file elsewhere, as in a container
          sample: /srv/app/data
        host_path_b64:
          description: The exact bytes of the path on the host in base64.
          type: str
          returned: when RV(ansible_facts.deleted_files[].host_path) is not exact
          sample: L3RtcC//
        state:
          description:
            - V(removed) means that the name is free, V(replaced) that another file has it, V(unknown) that its place is not visible from here.
          type: str
          returned: always
          sample: removed
        kind:
          description:
            - V(regular), or what else it is. V(memfd), V(sysv_shm), V(shared_memory) and V(anonymous) live in memory only, a V(tmpfile)
              never had a name, V(nfs_silly) and V(fuse_hidden) were renamed instead of deleted.
          type: str
          returned: always
          sample: regular
        size:
          description: Size in bytes.
          type: int
          returned: always
          sample: 1265648
        allocated:
          description: Bytes that it takes on its file system.
          type: int
          returned: always
          sample: 1269760
        reclaimable:
          description: Bytes that come free when nobody holds the file any more. Zero while a link is left, or in the lower layer of an overlay.
          type: int
          returned: always
          sample: 1269760
        device:
          description: Device number (C(st_dev)).
          type: int
          returned: always
          sample: 65024
        inode:
          description: Inode number.
          type: int
          returned: always
          sample: 392841
        nlink:
          description: Number of links. Not zero does not mean that a name is left, overlay file systems keep it at one.
          type: int
          returned: always
          sample: 0
        mode:
          description: Permissions as an octal string.
          type: str
          returned: always
          sample: '0755'
        owner:
          description: Name of the owner, or the uid.
          type: str
          returned: always
          sample: root
        group:
          description: Name of the group, or the gid.
          type: str
          returned: always
          sample: root
        mtime:
          description: Time of last modification in seconds since the epoch.
          type: float
          returned: always
          sample: 1682253120.5
        restorable:
          description: Whether M(procfs.rescue.restore_file) would put it back in place, short of what only its content can tell.
          type: bool
          returned: always
          sample: true
        refused:
          description: Names of the reasons why it would not.
          type: list
          elements: str
          returned: always
          sample: []
        holders:
          description: The magic links that lead to the file. One of them can be handed to the other modules as O(ignore:source).
          type: list
          elements: dict
          returned: always
          contains:
            pid:
              description: Process id.
              type: int
              returned: always
              sample: 812
            start_time:
              description: Start time of the process in clock ticks since boot.
              type: int
              returned: always
              sample: 114332
            comm:
              description: Command name.
              type: str
              returned: always
              sample: bash
            exe:
              description: What the process executes, as C(/proc/PID/exe) reads.
              type: str
              returned: always
              sample: /usr/bin/bash (deleted)
            user:
              description: Effective user of the process.
              type: str
              returned: always
              sample: root
            via:
              description: The kind of link, V(exe), V(fd) or V(map).
              type: str
              returned: always
              sample: exe
            fd:
              description: Number of the file descriptor.
              type: int
              returned: with RV(ansible_facts.deleted_files[].holders[].via=fd), else null
              sample: 3
            access:
              description: What the holder may do with it, V(read), V(write) or V(both).
              type: str
              returned: always
              sample: read
            executable:
              description: Whether the holder runs code from it.
              type: bool
              returned: always
              sample: true
            unit:
              description: The unit of the systemd of this host that the process belongs to, or null. Below it users and containers name units as they like.
              type: str
              returned: always
              sample: ssh.service
            container:
              description: Id or name of the container of the process, or null.
              type: str
              returned: always
              sample: null
            link:
              description: The magic link. Open it, never resolve it.
              type: str
              returned: always
              sample: /proc/812/exe
            device:
              description: Device number of the file.
              type: int
              returned: always
              sample: 65024
            inode:
              description: Inode number of the file.
              type: int
              returned: always
              sample: 392841
    deleted_files_summary:
      description: Of all deleted files that were seen, whatever the filters.
      returned: always
      type: dict
      contains:
        complete:
          description: Whether every process and mount could be read. If not, more may be held than is listed.
          type: bool
          returned: always
          sample: true
        processes:
          description: Number of processes looked at.
          type: int
          returned: always
          sample: 142
        unreadable_processes:
          description: Number of processes that could not be read fully, or not in time.
          type: int
          returned: always
          sample: 0
        unvisited_processes:
          description: Number of processes for which O(timeout) left no time.
          type: int
          returned: always
          sample: 0
        skipped_mounts:
          description: Mount points that did not answer, with the number of deleted files held there.
          type: dict
          returned: always
          sample: {}
        count:
          description: Number of distinct deleted files.
          type: int
          returned: always
          sample: 3
        reclaimable:
          description: Bytes that come free when nobody holds any of them any more.
          type: int
          returned: always
          sample: 52428800
        kinds:
          description: Number of files by kind.
          type: dict
          returned: always
          sample: {"regular": 2, "memfd": 1}
        mount_points:
          description: Number of files and reclaimable bytes by mount point.
          type: dict
          returned: always
          sample: {"/": {"count": 2, "reclaimable": 52428800}}
        units:
          description: Number of files and reclaimable bytes by systemd unit of the holders. A file can count for several.
          type: dict
          returned: always
          sample: {"nginx.service": {"count": 1, "reclaimable": 52428800}}
        users:
          description: Number of files and reclaimable bytes by user of the holders. A file can count for several.
          type: dict
          returned: always
          sample: {"root": {"count": 2, "reclaimable": 52428800}}
        units_running_deleted:
          description: Units that run an executable or a library whose file was deleted or replaced.
          type: list
          elements: str
          returned: always
          sample: ["nginx.service"]
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.text.formatters import human_to_bytes

from ansible_collections.procfs.rescue.plugins.module_utils._facts import Filters, gather
from ansible_collections.procfs.rescue.plugins.module_utils._group import KINDS
from ansible_collections.procfs.rescue.plugins.module_utils._model import Effort


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "paths": {"type": "list", "elements": "str", "default": []},
            "excludes": {"type": "list", "elements": "str", "default": []},
            "kinds": {"type": "list", "elements": "str", "choices": list(KINDS), "default": []},
            "min_size": {"type": "str", "default": "0"},
            "deadline": {"type": "float", "default": 5},
            "timeout": {"type": "float"},
            "threads": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    try:
        min_size = human_to_bytes(module.params["min_size"])
    except ValueError:
        module.fail_json(msg="min_size must be a size such as 4096, 10M or 1G, it is %r." % module.params["min_size"])
    filters = Filters(module.params["paths"], module.params["excludes"], module.params["kinds"], min_size)
    effort = Effort(module.params["deadline"], module.params["timeout"], module.params["threads"])
    os.nice(19)  # whatever else this host does is more urgent
    module.exit_json(ansible_facts=gather(filters, effort))


if __name__ == "__main__":
    main()
