# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How Sphinx makes HTML of what antsibull-docs writes: make docs."""

project = html_title = "procfs.rescue"
copyright = "procfs.rescue contributors"  # noqa: A001  (Sphinx calls it so)

extensions = ["sphinx_antsibull_ext"]
pygments_style = "ansible"
highlight_language = "YAML+Jinja"
html_theme = "alabaster"
html_theme_options = {"page_width": "1300px", "sidebar_width": "300px"}
html_show_sphinx = False
html_copy_source = False
html_use_index = False

default_role = "any"
nitpicky = True
# Ansible's own documentation is elsewhere, and nothing is fetched while these pages are made.
nitpick_ignore_regex = [
    (
        "std:ref",
        r"ansible_collections\.ansible\..*|.*_strategies|playbooks_.*|common_return_values|action_plugins|ansible_configuration_settings",
    )
]
