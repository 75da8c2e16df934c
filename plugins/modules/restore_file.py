#!/usr/bin/python
# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: restore_file
short_description: Put deleted files back that processes still hold
version_added: 1.0.0
author:
  - procfs.rescue contributors (@procfs)
description:
  - Finds deleted files through C(/proc/PID/exe), C(/proc/PID/fd) and C(/proc/PID/map_files) and puts them back on their host with content,
    owner, mode, times, ACLs, capabilities and other extended attributes.
  - The name is free or holds the complete, verified file at any moment, also when the module is killed or the disk is full.
  - A run that is killed leaves at most one folder C(.procfs-rescue.*) with mode V(0700) beside the file, which the next run removes. There is one
    where the file system has no C(O_TMPFILE), and anywhere with O(force=true) when a file is replaced, and with O(parents=true) when a folder
    is made.
  - A file that has the name already is left alone unless O(force=true). A second run changes nothing.
  - In place (without O(dest)) a file is only believed when the opened file and the opened folder show that it was there, and when owner,
    folders and package database do not speak against it.
  - Setuid, setgid and capabilities come back only with proven content, that is with O(checksum) or the digest of the host's package database
    (dpkg, rpm). Otherwise RV(files[].usable) is V(false) and RV(files[].fix) has the commands to run.
  - Do not reboot, do not restart or end the processes that hold a file, and do not close their shells before it is back.
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
      - Shows metadata and digests, never content.
options:
  files:
    description:
      - Files to restore in one call, each a path or a dictionary with O(path), O(path_b64), O(dest), O(source), O(pid), O(start_time),
        O(device), O(inode) and O(checksum).
      - One that fails does not stop the others. The task fails at the end and lists each.
      - Mutually exclusive with the options of the same names, which choose a single file.
    type: list
    elements: raw
  path_prefix:
    description:
      - Absolute path of a folder. Every deleted file that was below it is restored.
      - A file of more than 16 GiB that is nearly all hole is refused, since it takes long to read. Its own O(path) brings it back.
    type: str
  path_prefixes:
    description: The same for several folders. May be combined with O(files).
    type: list
    elements: str
    default: []
  packaged:
    description:
      - Whether below O(path_prefix) and O(path_prefixes) also what the host's packages have there, and nobody holds, is told as missing, with
        RV(files[].needs) for M(procfs.rescue.supply_file). Configuration is left out.
    type: bool
    default: false
  dest:
    description:
      - Absolute path to copy the file to, instead of putting it back in place.
      - It need not have been where its path says then. The copy belongs to whom the module runs as and has mode V(0600), unless its content is
        proven or O(owner), O(group) and O(mode) are given.
    type: str
  owner:
    description: Name or id of the user that the file at O(dest) is to belong to.
    type: str
  group:
    description: Name or id of the group that the file at O(dest) is to belong to.
    type: str
  mode:
    description: Permissions of the file at O(dest) as an octal string, such as V('0644').
    type: raw
  force:
    description:
      - Whether to replace a file that has the name.
      - Nothing is changed where it is equal to the deleted one, or is the very file that is held, as after a restore by hard link. One that
        somebody else put there while the deleted one was copied stays, too.
    type: bool
    default: false
  backup:
    description: Whether to keep a file that is replaced under a name with a time stamp.
    type: bool
    default: false
  accept:
    description:
      - Reasons to refuse that are waived, by their names. What is waived is in RV(files[].accepted).
      - V(owner_differs), the file belongs neither to root nor to the owner of its folder.
      - V(ancestor_writable), others may write in the folder or in one above it, so it could have been swapped. Where anybody may, and no sticky
        bit keeps them from the files of others, O(checksum) is needed too.
      - V(superseded), the package database names other content for the path, so this is an old or a changed version.
    type: list
    elements: str
    choices:
      - owner_differs
      - ancestor_writable
      - superseded
    default: []
  max_copies:
    description: How often a file that changes while it is copied is copied, until RV(files[].consistent) is reported as V(false).
    type: int
    default: 3
  freeze:
    description:
      - Whether the processes that have a file open for writing are stopped while it is copied, so that the copy is of one moment.
      - They are traced (C(PTRACE_SEIZE) and C(PTRACE_INTERRUPT) of every thread, and of what they start meanwhile). The kernel lets them go on
        when the module ends, however it ends.
      - Where tracing is refused they get C(SIGSTOP), which their parents see, and C(SIGCONT) from a watchdog that outlives the module. If both are
        killed at once, as with their whole control group, they stay stopped until somebody sends C(SIGCONT).
      - Never stopped are PID 1, the module and its ancestors, sshd, dropbear, systemd and its daemons, rsyslog, syslogd, syslog-ng, auditd, D-Bus,
        sssd, nscd, polkit, and whatever serves a FUSE file system. What happened is in RV(files[].frozen).
      - A few system calls that wait, such as C(epoll_wait), end with C(EINTR) when a process is stopped (L(signal(7),
        https://man7.org/linux/man-pages/man7/signal.7.html)).
      - Over SFTP nobody can be stopped.
    type: bool
    default: false
    version_added: 1.0.0
  freeze_timeout:
    description:
      - For how many seconds at most they are stopped with O(freeze=true). When they are over, they are let go and the copy goes on, and its second
        digest tells whether it is consistent.
    type: float
    default: 10.0
    version_added: 1.0.0
  parents:
    description:
      - Whether a folder that is gone is made again. It gets the owner, group and mode that C(dpkg-statoverride) or rpm's database has for it, else
        those of the nearest one that is there, except that only its owner may write. RV(files[].made) lists what was made.
      - dpkg itself records neither owner nor mode of what is in its packages, and over SFTP rpm's database cannot be asked.
      - A new folder does not stay when its file could not be restored.
    type: bool
    default: false
    version_added: 1.0.0
  checksums:
    description: Digests by path of O(files), and of what is below O(path_prefix) or O(path_prefixes), each as O(checksum) takes it.
    type: dict
    default: {}
  look:
    description: Whether to only look what could be restored. Nothing is changed then, and V(changed) is V(false).
    type: bool
    default: false
  pin:
    description:
      - For how many seconds what may be wanted is kept open after the task, with O(look=true) and in check mode too, by a process of its own that is called
        C(procfs-rescue). It ends when the names are there again. Meanwhile their holders may end.
      - Over SFTP that cannot be done.
    type: float
    default: 0
  try_start:
    description:
      - Whether a program that came back is started with C(--version), as root, without input, for 5 seconds at most. RV(files[].starts) tells
        what came of it. Only ELF programs that were asked for by name are tried, no libraries.
      - Nothing of a user's runs as root so. A program is tried if a checksum or the package database proves its content (RV(files[].content_by)), and it
        and all folders above it are root's and nobody else may write there.
    type: bool
    default: false
  offer:
    description:
      - Whether files that are there, or are restored, come with what other hosts could get of them, in RV(files[].offers), if they have the very content
        that the host's package database or the user vouches for. The lookup P(procfs.rescue.rescue_peers#lookup) knows of them until the run ends.
    type: bool
    default: false
notes:
  - A network or FUSE file system that does not answer is waited for some seconds, half a minute where it stops while a file is copied. What would
    go there fails and is named, and everything else comes back.
  - What is held in a sandbox that a user made (bubblewrap, a rootless container, a service of the user's own systemd with C(PrivateUsers)) cannot
    be told from a forgery and is not put back in place (V(namespace_untrusted)); it can be copied out with O(dest). Services of the host's
    systemd, whatever their sandbox, are no such case.
  - With a full or read-only disk no module of Ansible starts unless C(ansible_pipelining) is V(true) and the task has the environment variable
    C(TMPDIR) set to a place that is not on that disk, such as C(/dev/shm). The role P(procfs.rescue.rescue#role) sets both.
  - A package database that is there but cannot be asked is warned of. It then neither proves nor disowns any content.
  - In a folder where everybody may make files, such as C(/tmp), any user can hold a deleted file of the wanted name. Several different ones are
    refused as V(ambiguous) and listed with their owners. O(checksum), O(source), O(pid) or O(inode) choose.
seealso:
  - module: procfs.rescue.deleted_files_facts
  - module: procfs.rescue.fetch_file
"""

EXAMPLES = r"""
- name: Bring a deleted /bin/bash back
  procfs.rescue.restore_file:
    path: /bin/bash
  vars:
    ansible_pipelining: true

- name: Several files in one call
  procfs.rescue.restore_file:
    files:
      - /usr/bin/bash
      - /usr/bin/sudo
      - path: /var/log/app.log
        dest: /root/app.log.rescued

- name: Everything that was deleted below a folder
  procfs.rescue.restore_file:
    path_prefix: /usr/lib/x86_64-linux-gnu

- name: A movie that a player still has open, under another name
  procfs.rescue.restore_file:
    path: /srv/media/movie.mkv
    dest: /srv/media/movie-rescued.mkv
    owner: media
    group: media
    mode: '0644'

- name: Find the deleted files of a folder
  procfs.rescue.deleted_files_facts:
    paths:
      - /srv/app

- name: Bring libc and its loader back to a host on which nothing starts any more, through a connection that still lives
  procfs.rescue.restore_file:
    files:
      - /lib64/ld-linux-x86-64.so.2
      - /lib/x86_64-linux-gnu/libc.so.6
    transport: sftp

- name: A database in use, copied while nobody writes to it, into a folder that is made again
  procfs.rescue.restore_file:
    path: /srv/app/data/app.db
    freeze: true
    freeze_timeout: 30
    parents: true

- name: Restore one of them
  procfs.rescue.restore_file:
    source: "{{ ansible_facts.deleted_files | first }}"
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
release:
  description: The host's distribution and its release, such as V(debian 12).
  type: str
  returned: with O(offer=true)
  sample: debian 12
on_its_own:
  description: That hosts do not wait for each other in this play, so that not all may have answered yet.
  type: bool
  returned: with the strategies C(free) and C(host_pinned)
  sample: true
complete:
  description: Whether all processes could be looked at. Where it is V(false), there may be more than RV(files) lists, and a warning tells why.
  type: bool
  returned: with O(path_prefix) or O(path_prefixes)
  sample: true
files:
  description: One result for each file, in the order in which they were asked for.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: Path of the file, with symlinks resolved.
      type: str
      returned: always
      sample: /usr/bin/bash
    path_b64:
      description: The exact bytes of the path in base64.
      type: str
      returned: when RV(files[].path) is not exact
      sample: L3RtcC//
    dest:
      description: Where it was copied to.
      type: str
      returned: with O(dest)
      sample: /root/app.log.rescued
    dest_b64:
      description: The exact bytes of the destination in base64.
      type: str
      returned: when RV(files[].dest) is not exact
      sample: L3RtcC//
    status:
      description:
        - V(restored), V(restorable) in check mode, V(present) when a file has the name already and was left alone, or V(failed).
        - A file that came back while it was to be restored is V(present), and RV(files[].msg) says so. So is one that a process of this run
          had put back when that was killed; then RV(files[].changed) is V(true).
      type: str
      returned: always
      sample: restored
    changed:
      description: Whether this file was or would be changed.
      type: bool
      returned: always
      sample: true
    msg:
      description: What happened, as a sentence.
      type: str
      returned: always
      sample: /usr/bin/bash was restored from /proc/812/exe.
    refused:
      description: Names of the reasons for which it was refused.
      type: list
      elements: str
      returned: when it failed
      sample: ["place_differs"]
    seconds:
      description: How long it took after the scan.
      type: float
      returned: always
      sample: 0.012
    source:
      description: The holder that it came from, as in RV(procfs.rescue.deleted_files_facts#module:ansible_facts.deleted_files[].holders).
      type: dict
      returned: when restored or restorable
      sample: {"pid": 812, "via": "exe", "link": "/proc/812/exe", "inode": 392841}
    method:
      description: V(link) when the inode itself got its name back, V(reflink) when blocks are shared, V(copy), or null in check mode.
      type: str
      returned: when restored or restorable
      sample: copy
    checksum:
      description: Digest of the content, or null when nobody had to read it for a V(link) or V(reflink).
      type: str
      returned: when restored or restorable
      sample: sha256:2b2a2d3d4c2f3e7f0a6c9b8f2f4c5b1a0a8c1d2e3f405162738495a6b7c8d9e0
    metadata_by:
      description: Who vouches for owner and mode, V(process) for the file that was held, V(lifeline) for its record of a symlink.
      type: str
      returned: when restored or restorable
      sample: process
    content_by:
      description: Who vouches for the content, V(checksum) for the user, V(package) for the package database, or V(none).
      type: str
      returned: when restored or restorable
      sample: package
    size:
      description: Size in bytes.
      type: int
      returned: when restored or restorable
      sample: 1265648
    owner:
      description: Owner that it has now.
      type: str
      returned: when restored or restorable
      sample: root
    group:
      description: Group that it has now.
      type: str
      returned: when restored or restorable
      sample: root
    mode:
      description: Permissions that it has now.
      type: str
      returned: when restored or restorable
      sample: '0755'
    mtime:
      description: Time of last modification that it has now, in seconds since the epoch.
      type: float
      returned: when restored or restorable
      sample: 1682253120.5
    accepted:
      description: Reasons that were waived by O(accept), and C(unproven) where proven content overcame it.
      type: list
      elements: str
      returned: when restored or restorable
      sample: []
    dropped:
      description: Of V(setuid), V(setgid) and V(capabilities) what was withheld because nothing proves the content.
      type: list
      elements: str
      returned: when restored or restorable
      sample: []
    not_kept:
      description: Metadata that the file system did not take, that SFTP cannot carry, or that is not taken from another host.
      type: list
      elements: str
      returned: when restored or restorable
      sample: []
    usable:
      description: Whether owner, mode and capabilities are the original ones.
      type: bool
      returned: when restored or restorable
      sample: true
    fix:
      description: Commands that would make it usable as before.
      type: list
      elements: str
      returned: when restored or restorable
      sample: []
    consistent:
      description: V(false) when it changed each time it was copied, so that the copy is of no single moment.
      type: bool
      returned: when restored or restorable
      sample: true
    copies:
      description: How often it was copied.
      type: int
      returned: when restored or restorable
      sample: 1
    writers:
      description:
        - Holders that still write to the old inode and not to the restored file, as in
          RV(procfs.rescue.deleted_files_facts#module:ansible_facts.deleted_files[].holders).
        - Their V(reopen) is the command that makes their service open its files again, or null where they are no service of the host's systemd.
      type: list
      elements: dict
      returned: when restored or restorable
      sample: [{"pid": 812, "comm": "app", "unit": "app.service", "fd": 7, "reopen": "systemctl reload-or-restart app.service"}]
    frozen:
      description:
        - Who was stopped with O(freeze=true). V(stopped) has each C(pid) and V(by), which is V(ptrace) or V(signal), V(spared) each C(pid) and
          why it was not stopped.
        - V(seconds) is for how long, and V(in_time) is V(false) when O(freeze_timeout) was over before the copy was done.
      type: dict
      returned: with O(freeze=true), when it was copied
      sample: {"stopped": [{"pid": 812, "by": "ptrace"}], "spared": [], "seconds": 0.021, "in_time": true}
    starts:
      description: Whether the program starts, null where that was not tried, see O(try_start).
      type: bool
      returned: with O(try_start=true), when restored
      sample: true
    needs:
      description:
        - What another host or a package must have to be a source of the file, for M(procfs.rescue.offer_file) and
          M(procfs.rescue.supply_file), its C(path), C(checksum), C(package), C(version), C(architecture), who installed it (C(manager))
          and the C(release) of the host.
      type: dict
      returned: when a file is missing in its place
      sample:
        path: /usr/bin/bash
        checksum: md5:d2c1f3b0a9e84756f1e2d3c4b5a69788
        checksum_by: package
        package: bash
        version: 5.2.15-2+b7
        architecture: amd64
        manager: dpkg
        release: debian 12
    offers:
      description:
        - What another host could get of the file, and of the symlink that was asked for. Besides the keys of RV(files[].needs) C(size), C(mode),
          C(owner), C(group), C(mtime_ns), C(xattrs) and C(leads_to), where a symlink leads (base64), C(source) and the C(folders) around it.
        - Empty where nothing proves it.
      type: list
      elements: dict
      returned: with O(offer=true), for a file that is there or restorable
    made:
      description:
        - Folders that were made again with O(parents=true). C(metadata_by) is V(rpm) or V(dpkg-statoverride), or nothing where owner and mode are
          from the folder around it.
      type: list
      elements: dict
      returned: when any was made
      sample: [{"path": "/srv/app/data", "owner": "app", "group": "app", "mode": "0755", "metadata_by": null}]
    target:
      description: Where a symlink leads that was made again as the lifeline recorded it. No process holds symlinks.
      type: str
      returned: when a symlink was restored
      sample: dash
    replaced:
      description: Owner, group, mode, time of modification, size and SHA-256 of the file that had the name.
      type: dict
      returned: with O(force=true), when a file was replaced, or would be in check mode
      sample: {"owner": "root", "group": "root", "mode": "0644", "mtime": 1700000000.5, "size": 12, "checksum": "sha256:8c6c6a8c…"}
    backup_file:
      description: Where the replaced file is kept.
      type: str
      returned: with O(backup=true), when a file was replaced
      sample: /usr/bin/bash.4711.2026-11-23@06:30:00~
    backup_file_b64:
      description: The exact bytes of the backup's path in base64.
      type: str
      returned: when RV(files[].backup_file) is not exact
      sample: L3RtcC//
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.procfs.rescue.plugins.module_utils._errors import DO_NOT, RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._restore_spec import RESTORE_SPEC, checked
from ansible_collections.procfs.rescue.plugins.module_utils._restore_task import run
from ansible_collections.procfs.rescue.plugins.module_utils._task import run_module


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **RESTORE_SPEC)
    try:
        params = checked(module.params)
    except RescueError as error:
        module.fail_json(msg=DO_NOT + str(error))
    run_module(module, params, run)


if __name__ == "__main__":
    main()
