#!/usr/bin/python
# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: reclaim_space
short_description: Free the disk space that deleted files hold, without restarting the holders
version_added: 1.0.0
author:
  - procfs.rescue contributors (@procfs)
description:
  - A file that was deleted while a process has it open takes its place on the disk until that process ends or closes it. This frees the place
    while the process goes on, as with a deleted log that nobody rotates any more.
  - What is freed is gone. By default only files are freed that no program can read again, namely ordinary files whose name is free, without a
    link, that B(every) holder has open for writing only, at the end of the file (C(O_APPEND)), and that nobody has mapped. Everything else is
    refused by the name of the reason, see RV(files[].refused).
  - When not everything could be looked at, because a process could not be read or a file system did not answer, nothing is freed. Holders are
    looked for among all processes and threads that are seen from where the module runs; in a container it does not see those outside, and a
    descriptor that is under way in a socket, or what only the kernel has open (a loop device, a file that io_uring registered), is seen nowhere.
  - Right before anything is freed all holders and mappings are looked at a second time.
extends_documentation_fragment:
  - procfs.rescue._attributes
  - procfs.rescue._attributes.actiongroup_rescue
attributes:
  check_mode:
    support: full
    details:
      - Tells the bytes that would be freed. A holder that writes meanwhile changes them.
  diff_mode:
    support: full
    details:
      - Shows the bytes that each file takes on its file system, never content.
options:
  path:
    description:
      - Absolute path that the deleted file had, literally.
    type: str
  path_b64:
    description:
      - The exact bytes of O(path) in base64, for names that are not printable text, as in the facts.
    type: str
  source:
    description:
      - An entry of RV(procfs.rescue.deleted_files_facts#module:ansible_facts.deleted_files), or one of its holders, unchanged. Its device and
        inode must still be held.
      - It is one file, whatever O(excludes), O(units) and O(min_size) say.
    type: dict
  paths:
    description:
      - All files with one of these paths, shell patterns or folders. V(*) matches C(/) too.
    type: list
    elements: str
    default: []
  excludes:
    description:
      - No files with one of these paths, shell patterns or folders.
    type: list
    elements: str
    default: []
  units:
    description:
      - Only files that one of these systemd units holds, shell patterns.
    type: list
    elements: str
    default: []
  min_size:
    description:
      - Only files of at least this size, in bytes or with a unit such as V(10M) or V(1G) (powers of 1024). It says of no file that it can be
        done without, so it needs O(path), O(source), O(paths) or O(units) beside it; V(paths=[/]) means all.
    type: str
    default: '0'
  keep_last:
    description:
      - Leave so much of the end of each file, in bytes or with a unit, so that it can still be restored. The rest is freed where it is, which
        needs a file system that can do that (ext4, XFS, tmpfs; Btrfs gives a large extent back only as a whole). Whole blocks are freed.
    type: str
    default: '0'
  archive:
    description:
      - A folder on the host, on another file system. Each file is first copied there as C(NAME.INODE), as M(procfs.rescue.restore_file) does
        with O(procfs.rescue.restore_file#module:dest), and only what is in the copy is freed.
    type: str
  max_bytes:
    description:
      - Free so much at most, the largest files first, in bytes or with a unit.
    type: str
  readable:
    description:
      - Free the file of O(source) although a holder may read it again. It will find an end where there was none, which databases and sort
        programs do not survive. The file is cut off, never made sparse.
    type: bool
    default: false
  sparse_writer:
    description:
      - Free files although a holder writes at an offset of its own. It goes on there, and its file will seem to be as large as before, with
        a hole at its beginning.
    type: bool
    default: false
  deadline:
    description:
      - Seconds that each network or FUSE mount is given to answer.
    type: float
    default: 5
seealso:
  - module: procfs.rescue.deleted_files_facts
  - module: procfs.rescue.restore_file
"""

EXAMPLES = r"""
- name: What would be freed of the logs?
  procfs.rescue.reclaim_space:
    paths:
      - /var/log
    min_size: 100M
  check_mode: true

- name: Free it, and keep a copy on another disk
  procfs.rescue.reclaim_space:
    paths:
      - /var/log
    min_size: 100M
    archive: /mnt/backup/deleted

- name: Free all but the last megabyte of what a service holds
  procfs.rescue.reclaim_space:
    units:
      - app.service
    keep_last: 1M
"""

RETURN = r"""
refused:
  description: Names of the reasons why nothing at all was freed. V(not_held), no process holds that file. V(incomplete), not all processes could be read.
  type: list
  elements: str
  returned: failure, unless RV(files) has the reasons
  sample:
    - incomplete
files:
  description: One result for each file that was meant.
  returned: success, or when a file of O(path) or O(source) was refused
  type: list
  elements: dict
  contains:
    path:
      description: Path that it had.
      type: str
      returned: always
      sample: /var/log/app.log
    path_b64:
      description: The exact bytes of the path in base64.
      type: str
      returned: when RV(files[].path) is not exact
      sample: L3RtcC//
    status:
      description:
        - V(freed), V(would_free) in check mode, V(refused), V(gone) when its last holder ended meanwhile, or V(failed).
      type: str
      returned: always
      sample: freed
    freed:
      description: Bytes that were freed, or would be.
      type: int
      returned: always
      sample: 10737418240
    refused:
      description:
        - Names of the reasons why it was left as it is. V(not_ordinary), it is a memfd, shared memory, a file that never had a name, or the like.
          V(not_removed), its name is not free or cannot be seen. V(linked), a link is left or it lies in the lower layer of an overlay.
          V(may_read), a holder may read it. V(mapped), a holder maps or executes it. V(sparse_writer), a holder writes at an offset of its own.
          V(max_bytes), more than O(max_bytes) would be freed. V(not_archived), it could not be copied. V(changed), it changed while it was
          copied, and not only at its end. V(failed), the system refused.
      type: list
      elements: str
      returned: always
      sample: []
    msg:
      description: The same for people.
      type: str
      returned: always
      sample: 10737418240 bytes of /var/log/app.log were freed.
    size:
      description: Size in bytes before.
      type: int
      returned: always
      sample: 10737418240
    allocated:
      description: Bytes that it took on its file system before.
      type: int
      returned: always
      sample: 10737422336
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
    link:
      description: The magic link that led to it.
      type: str
      returned: always
      sample: /proc/812/fd/3
    archived:
      description: The copy, with the fields of RV(procfs.rescue.restore_file#module:files).
      type: dict
      returned: with O(archive)
      sample: {"path": "/mnt/backup/deleted/app.log.392841", "status": "restored", "method": "copy", "size": 10737418240, "consistent": true}
freed:
  description: Bytes of all files together.
  returned: with RV(files)
  type: int
  sample: 10737418240
mount_points:
  description:
    - By mount point what was C(freed), and the free bytes of the file system before and after (C(free_before), C(free_after)). C(less_because)
      tells why these do not fit, as when snapshots or reflinks have the same blocks.
  returned: with RV(files)
  type: dict
  sample: {"/": {"freed": 10737418240, "free_before": 1048576, "free_after": 10738466816}}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.procfs.rescue.plugins.module_utils._courtesy import give_way
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError, fault
from ansible_collections.procfs.rescue.plugins.module_utils._local_host import local_host
from ansible_collections.procfs.rescue.plugins.module_utils._reclaim import choice_from, manner_from, reclaim
from ansible_collections.procfs.rescue.plugins.module_utils._sizes import with_sizes


def main() -> None:
    names = {"type": "list", "elements": "str", "default": []}
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "str"},
            "path_b64": {"type": "str"},
            "source": {"type": "dict"},
            "paths": names,
            "excludes": names,
            "units": names,
            "min_size": {"type": "str", "default": "0"},
            "keep_last": {"type": "str", "default": "0"},
            "archive": {"type": "str"},
            "max_bytes": {"type": "str"},
            "readable": {"type": "bool", "default": False},
            "sparse_writer": {"type": "bool", "default": False},
            "deadline": {"type": "float", "default": 5},
        },
        supports_check_mode=True,
    )
    give_way()
    try:
        params = with_sizes(module.params, "min_size", "keep_last", "max_bytes")
        choice = choice_from(params)
        manner = manner_from(params, choice, module.check_mode)
        with local_host(module.warn) as host:
            answer = reclaim(choice, manner, module.params["deadline"], module.log, host)
    except RescueError as error:
        module.fail_json(msg=str(error), refused=error.reasons)
    except OSError as error:
        module.fail_json(msg="The host's processes could not be looked at: %s." % fault(error))
    answer["diff"] = [
        {
            "before_header": result["path"],
            "after_header": result["path"],
            "before": "allocated: %d\n" % result["allocated"],
            "after": "allocated: %d\n" % (result["allocated"] - result["freed"]),
        }
        for result in answer["files"]
        if result["freed"]
    ]
    answer["changed"] = any(result["status"] in ("freed", "would_free") for result in answer["files"])
    refused = [result["msg"] for result in answer["files"] if result["refused"]]
    if choice.is_one and refused:
        module.fail_json(msg=" ".join(refused), **answer)
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
