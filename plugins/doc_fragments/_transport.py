# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this doc fragment is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""The way to the host."""


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  transport:
    description:
      - How the work is done on the host. What is decided is the same code for all of them.
      - V(module) runs the module there, as usual.
      - V(sftp) does all of it over SFTP alone and executes nothing on the host, for hosts without a shell, a Python or even a C library.
      - V(auto) runs the module. Only when nothing can be executed does it try other shells (C(/bin/dash), C(/bin/bash), C(/bin/busybox sh)),
        then SFTP through the lifeline where the inventory has C(lifeline_port) or C(lifeline_user), then SFTP over the connection that
        there is. C(way) in the result says which it was, C(-v) why not the others.
      - SFTP needs C(ansible.builtin.ssh) with a key or an agent, C(paramiko) on the controller, and a login as root, since it knows no become.
        With C(Subsystem sftp internal-sftp) on the host nothing at all is executed for it, with an external C(sftp-server) that program and
        a login shell must be there.
      - SFTP tells neither links nor blocks of a file, in facts C(nlink) is 0 and C(allocated) the size; files of other types are not listed.
        A file that has another link left is copied like any other, and one with holes needs as much room as it is long.
      - Over SFTP no extended attributes, ACLs, capabilities, holes and no times below a second can be read or written. Which mount namespace a
        holder lives in cannot be proven, nor its inode before Linux 5.14. What that leaves open is only believed with proven content, else
        refused as C(unproven).
    type: str
    choices:
      - auto
      - module
      - sftp
    default: auto
"""
