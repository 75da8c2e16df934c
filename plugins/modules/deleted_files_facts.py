#!/usr/bin/python
# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: deleted_files_facts
short_description: Gather files that were deleted while processes still hold them
version_added: 1.0.0
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
  - procfs.rescue._transport
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
  states:
    description:
      - Only files whose name is in one of these states.
    type: list
    elements: str
    choices:
      - removed
      - replaced
      - unknown
    default: []
  users:
    description:
      - Only files that one of these users holds, shell patterns.
    type: list
    elements: str
    default: []
  units:
    description:
      - Only files that one of these systemd units holds, shell patterns.
    type: list
    elements: str
    default: []
  via:
    description:
      - Only files that somebody holds in one of these ways.
    type: list
    elements: str
    choices:
      - exe
      - fd
      - map
    default: []
  min_size:
    description:
      - Only files of at least this size, in bytes or with a unit such as V(10M) or V(1G) (powers of 1024).
    type: str
    default: '0'
  sort:
    description:
      - In which order the files are listed, the largest, the latest or the alphabetically first one at the beginning. Without it, as found.
    type: str
    choices:
      - mtime
      - path
      - reclaimable
      - size
  limit:
    description:
      - List so many files at most. RV(ansible_facts.deleted_files_summary) covers all of them nevertheless, and names each process that executes
        what is gone and belongs to no service or container.
    type: int
  holders_limit:
    description:
      - List so many holders of each file at most, those first that were the first to be believed. A library that all programs use has a holder
        in each process. RV(ansible_facts.deleted_files[].holders_count) counts all of them, filters look at all of them.
    type: int
  get_checksum:
    description:
      - Read the files that are listed and add their digests.
    type: bool
    default: false
  checksum_algorithm:
    description:
      - The algorithm of O(get_checksum).
    type: str
    choices:
      - md5
      - sha1
      - sha224
      - sha256
      - sha384
      - sha512
    default: sha256
  get_package:
    description:
      - Ask the host's package database which packages the files that are listed belong to.
    type: bool
    default: false
  harmless:
    description:
      - Rules that tell which deleted files a process may execute without being outdated, such as what just-in-time compilers write. The first
        rule that matches decides; after these come the built-in ones, for memfd, SysV and other shared memory, C(/dev/zero), graphics drivers,
        rings of C(io_setup), files that never had a name, closures of libffi, temporary libraries of JNA and of other Java libraries.
    type: list
    elements: dict
    default: []
    suboptions:
      kind:
        description:
          - The kind that the file must be of.
        type: str
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
      path:
        description:
          - A regular expression that its whole path must match.
        type: str
      harmless:
        description:
          - V(false) takes something out of the built-in rules.
        type: bool
        default: true
  careful_units:
    description:
      - Shell patterns of units that are not simply to be restarted, because sessions, buses or the processes of others depend on them.
    type: list
    elements: str
    default:
      - init.scope
      - 'dbus*.service'
      - systemd-logind.service
      - systemd-machined.service
      - 'user@*.service'
      - 'session-*.scope'
      - 'getty@*.service'
      - 'serial-getty@*.service'
      - 'ssh@*.service'
      - 'sshd@*.service'
      - display-manager.service
      - 'gdm*.service'
      - lightdm.service
      - sddm.service
      - xdm.service
      - lxdm.service
      - containerd.service
      - docker.service
      - crio.service
      - libvirtd.service
      - 'virt*d.service'
      - 'lxc*.service'
      - 'systemd-nspawn@*.service'
      - 'machine-*.scope'
      - emergency.service
      - rescue.service
  critical_paths:
    description:
      - Paths that are to be there. Those that are not are told in RV(ansible_facts.deleted_files_summary.critical_missing).
    type: list
    elements: str
    default:
      - /bin/sh
  deadline:
    description:
      - Seconds that each network or FUSE mount is given to answer. Files on a mount that does not answer are counted in
        RV(ansible_facts.deleted_files_summary.skipped_mounts).
      - Over SFTP it is not used, there the connection's own time limit is that of each answer.
    type: float
    default: 5
  timeout:
    description:
      - Seconds for the whole scan. What was found until then is listed. Processes that it did not come to, or that gave no answer at its end,
        are counted in RV(ansible_facts.deleted_files_summary.unvisited_processes). Without it there is no limit.
      - Over SFTP it is looked at after every 64 processes.
    type: float
  threads:
    description:
      - Also look at every thread by itself. Hardly any program gives a thread descriptors of its own (C(CLONE_FILES)), and
        a Java program has hundreds of threads.
      - Refused over SFTP.
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
            - It is V((too long\)) where it has more than 4085 bytes, which the kernel does not tell.
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
            - V(removed) means that the name is free, V(replaced) that another file has it, V(unknown) that its place is not visible from here,
              or that NFS or FUSE gave it another name before.
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
          description: Bytes that it takes on its file system. Over SFTP, which does not tell, it is the size.
          type: int
          returned: always
          sample: 1269760
        reclaimable:
          description:
            - Bytes that come free when nobody holds the file any more. Zero while a link is left, or in the lower layer of an overlay.
            - Over SFTP neither links nor layers are told, it is the size of the file also then.
          type: int
          returned: always
          sample: 1269760
        in_memory:
          description:
            - Whether its bytes are memory of the host and no disk's, as of memfd, shared memory and tmpfs. A tmpfs that was detached
              (C(umount -l)) cannot be told from a disk any more.
          type: bool
          returned: always
          sample: false
        visible:
          description:
            - Whether this host has the place where it was. If not, it is only to be seen in another mount namespace, as of a container, or its
              file system was detached (C(umount -l)). Null for what never had a name, as a memfd.
          type: bool
          returned: always
          sample: true
        checksum:
          description: Digest of its content; null for what is no regular file, could not be read, or is a hole of many gigabytes.
          type: str
          returned: with O(get_checksum)
          sample: sha256:2b2a2d3d4c2f3e7f0a6c9b8f2f4c5b1a0a8c1d2e3f405162738495a6b7c8d9e0
        package:
          description: Name of the package whose file has its path now, or null.
          type: str
          returned: with O(get_package)
          sample: bash
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
          description:
            - Number of links. Not zero does not mean that a name is left, overlay file systems keep it at one. Over SFTP, which does not tell,
              it is always zero.
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
        holders_count:
          description: Number of the magic links that lead to the file.
          type: int
          returned: always
          sample: 1
        holders:
          description:
            - The magic links that lead to the file, no more than O(holders_limit). One of them can be handed to the other modules as
              O(ignore:source).
          type: list
          elements: dict
          returned: always
          contains:
            pid: &pid
              description: Process id.
              type: int
              returned: always
              sample: 812
            start_time: &start_time
              description: Start time of the process in clock ticks since boot.
              type: int
              returned: always
              sample: 114332
            comm: &comm
              description: Command name.
              type: str
              returned: always
              sample: bash
            exe: &exe
              description: What the process executes, as C(/proc/PID/exe) reads; empty where that cannot be read.
              type: str
              returned: always
              sample: /usr/bin/bash (deleted)
            exe_b64: &exe_b64
              description: The exact bytes of C(exe) in base64.
              type: str
              returned: when C(exe) is not exact
              sample: L3RtcC//
            user: &user
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
            unit: &unit
              description: The unit of the systemd of this host that the process belongs to, or null. Below it users and containers name units as they like.
              type: str
              returned: always
              sample: ssh.service
            user_unit: &user_unit
              description:
                - The unit of the user's own systemd below C(user@UID.service), or null. The user names it, it may be called like one of the host.
              type: str
              returned: always
              sample: null
            container: &container
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
          description:
            - Whether every process and mount could be read. If not, more may be held than is listed.
            - In a container without C(CAP_SYS_ADMIN) no mapping can be read, so that it is V(false) there. Descriptors that a thread has in a table
              of its own are only looked at with O(threads).
          type: bool
          returned: always
          sample: true
        way:
          description: The way that led to the host, C(module), C(module through SHELL), C(sftp) or C(lifeline).
          type: str
          returned: unless it was gathered through C(ansible_facts_modules)
          sample: module
        ways_closed:
          description: The ways that were tried before, each with the reason why it did not lead in.
          type: list
          elements: str
          returned: unless it was gathered through C(ansible_facts_modules)
          sample: []
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
        silent_processes:
          description:
            - PIDs about which the kernel gave no answer in time, as those in uninterruptible sleep. They count as unreadable, too.
          type: list
          elements: int
          returned: always
          sample: []
        skipped_mounts:
          description: Mount points that did not answer, with the number of deleted files held there.
          type: dict
          returned: always
          sample: {}
          contains:
            MOUNT_POINT:
              description: Number of files.
              type: int
              returned: for each mount point
              sample: 2
        count:
          description: Number of distinct deleted files.
          type: int
          returned: always
          sample: 3
        wanted:
          description: Number of them that the filters let through.
          type: int
          returned: always
          sample: 3
        listed:
          description: Number of them that are listed, which O(limit) may make less.
          type: int
          returned: always
          sample: 3
        reclaimable:
          description: Bytes on disks that come free when nobody holds any of them any more, each file counted once.
          type: int
          returned: always
          sample: 52428800
        memory:
          description: The same of memory, see RV(ansible_facts.deleted_files[].in_memory).
          type: int
          returned: always
          sample: 4096
        kinds:
          description: Number of files by kind.
          type: dict
          returned: always
          sample: {"regular": 2, "memfd": 1}
          contains:
            KIND:
              description: Number of files.
              type: int
              returned: for each kind that was found
              sample: 2
        mount_points:
          description:
            - Number of files, reclaimable bytes and bytes of memory by mount point of the host, each file system once. What is on file systems
              that only others have mounted, or that were detached, is under V((elsewhere\)).
          type: dict
          returned: always
          sample: {"/": {"count": 2, "reclaimable": 52428800, "memory": 0, "size": 21474836480, "free": 1048576}}
          contains:
            MOUNT_POINT:
              description: One row.
              type: dict
              returned: for each file system with deleted files
              contains:
                count: &count
                  description: Number of files.
                  type: int
                  returned: always
                  sample: 2
                reclaimable: &reclaimable
                  description: Bytes on disks that come free when nobody holds them any more.
                  type: int
                  returned: always
                  sample: 52428800
                memory: &memory
                  description: Bytes of memory that come free when nobody holds them any more.
                  type: int
                  returned: always
                  sample: 0
                size:
                  description: Size of the file system in bytes, or null where it is not known.
                  type: int
                  returned: always
                  sample: 21474836480
                free:
                  description: Free bytes of the file system, or null where they are not known.
                  type: int
                  returned: always
                  sample: 1048576
        units:
          description: The same by systemd unit of the holders. A file can count for several.
          type: dict
          returned: always
          sample: {"nginx.service": {"count": 1, "reclaimable": 52428800, "memory": 0}}
          contains:
            UNIT:
              description: One row.
              type: dict
              returned: for each unit that holds some
              contains: &total
                count: *count
                reclaimable: *reclaimable
                memory: *memory
        users:
          description: The same by user of the holders. A file can count for several.
          type: dict
          returned: always
          sample: {"root": {"count": 2, "reclaimable": 52428800, "memory": 0}}
          contains:
            USER:
              description: One row.
              type: dict
              returned: for each user who holds some
              contains: *total
        running:
          description:
            - Who runs executables and libraries whose names are V(replaced), V(removed) or in an V(unknown) state. Files that are O(harmless) and
              the processes of Ansible's own connection are left out.
          type: dict
          returned: always
          contains:
            replaced:
              description: Those who run the state before an upgrade; V(removed) and V(unknown) are of the same form.
              type: dict
              returned: always
              contains: &runners
                units:
                  description: Units that can be restarted.
                  type: list
                  elements: str
                  returned: always
                  sample: ["nginx.service"]
                careful_units:
                  description: Units of O(careful_units).
                  type: list
                  elements: str
                  returned: always
                  sample: ["dbus.service"]
                containers:
                  description: Ids or names of containers.
                  type: list
                  elements: str
                  returned: always
                  sample: []
                processes:
                  description: Processes of no unit and no container.
                  type: list
                  elements: dict
                  returned: always
                  sample: []
                  contains:
                    pid: *pid
                    start_time: *start_time
                    comm: *comm
                    exe: *exe
                    exe_b64: *exe_b64
                    user: *user
                    unit: *unit
                    user_unit: *user_unit
                    container: *container
            removed:
              description:
                - Those who run what is not there any more. Whether they would start again is another question. An upgraded library with its
                  version in its name, as C(libz.so.1.2.13), is removed, not replaced.
              type: dict
              returned: always
              contains: *runners
            unknown:
              description: Those of whose files it is not known.
              type: dict
              returned: always
              contains: *runners
        suspicious:
          description:
            - Processes whose executable is where no package puts one, and the reasons. The processes of Ansible's own connection are left out.
            - What is executed in a container is judged by its place on this host, where it has one. Over SFTP it is judged by its path alone.
            - An executable that is replaced by an upgrade is not told. One with its version in its path, as of some packages of Java, is
              V(removed) by the upgrade and told until its process is started again, for no package database knows what was there before.
          type: list
          elements: dict
          returned: always
          sample: [{"pid": 4711, "start_time": 114332, "comm": "kworker/0:1", "exe": "/tmp/.x/kw (deleted)", "user": "nobody", "unit": null,
                    "user_unit": null, "container": null, "reasons": ["removed", "world_writable_folder"]}]
          contains:
            pid: *pid
            start_time: *start_time
            comm: *comm
            exe: *exe
            exe_b64: *exe_b64
            user: *user
            unit: *unit
            user_unit: *user_unit
            container: *container
            reasons:
              description:
                - V(removed) when its name is free, V(memfd) when it never had one, V(world_writable_folder) when everybody may write in its folder
                  or in one above it. The latter is also told of executables that were not deleted.
                - V(removed_elsewhere) when it was removed in mounts that only its own namespace sees and that are not looked into, because a user
                  made them or they were detached. Another file may have its name there, as after an upgrade in a container without root.
              type: list
              elements: str
              returned: always
              sample: ["removed", "world_writable_folder"]
        critical_missing:
          description: Those of O(critical_paths) that are gone, or cannot be reached.
          type: list
          elements: str
          returned: always
          sample: []
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._facts_task import FACTS_SPEC, run
from ansible_collections.procfs.rescue.plugins.module_utils._sizes import with_sizes
from ansible_collections.procfs.rescue.plugins.module_utils._task import run_module


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **FACTS_SPEC)
    try:
        params = with_sizes(module.params, "min_size")
    except RescueError as error:
        module.fail_json(msg=str(error))
    run_module(module, params, run)


if __name__ == "__main__":
    main()
