# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the documentation says of the facts is what they are: no key, type or null that it does not tell."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.procfs.rescue.plugins.module_utils._facts import Filters, Listing, gather
from ansible_collections.procfs.rescue.plugins.module_utils._local_host import LOCAL
from ansible_collections.procfs.rescue.plugins.module_utils._model import Scan
from ansible_collections.procfs.rescue.plugins.module_utils._scan import scan
from ansible_collections.procfs.rescue.plugins.modules.deleted_files_facts import RETURN
from unit.plugins.holders import Holders, memfd

FACTS = yaml.safe_load(RETURN)["ansible_facts"]
TYPES = {"str": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict}

# By the action plugin, and where a holder sees another path than the host.
NOT_IN_THIS_TEST = {"way", "ways_closed", "host_path", "host_path_b64"}


def of_one(documented: dict[str, Any], key: str) -> dict[str, Any] | None:
    """The documentation of a key; one in capitals stands for any."""
    if set(documented) == {"".join(documented).upper()}:
        return next(iter(documented.values()))
    return documented.get(key)


def complaints(value: Any, about: dict[str, Any], path: str) -> Iterator[str]:
    if value is None:
        if "null" not in f"{about['description']} {about['returned']}".lower():
            yield f"{path} is null"
        return
    if value.__class__ is not TYPES[about["type"]]:  # True is an int as well
        yield f"{path} is a {type(value).__name__}, no {about['type']}"
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from complaints(one, {**about, "type": about["elements"]}, f"{path}[{number}]")
    elif isinstance(value, dict):
        documented = about.get("contains", {})
        for key, one in value.items():
            below = of_one(documented, key)
            if below is None:
                yield f"{path}.{key} is not documented"
            else:
                yield from complaints(one, below, f"{path}.{key}")
        always = {key for key, one in documented.items() if one["returned"] == "always"}
        yield from (f"{path}.{key} is missing" for key in always - set(value))


def seen_keys(value: Any) -> Iterator[str]:
    for one in value if isinstance(value, list) else value.values() if isinstance(value, dict) else ():
        yield from seen_keys(one)
    if isinstance(value, dict):
        yield from value


def leaves(about: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if "contains" in about:
        for key, one in about["contains"].items():
            yield from leaves(one, f"{path}.{key}")
    else:
        yield path, about


def test_each_has_a_type_and_a_sample_that_fits() -> None:
    for path, about in leaves(FACTS, "ansible_facts"):
        assert {"description", "returned", "type", "sample"} <= set(about), path
        assert list(complaints(about["sample"], about, path)) == []


def scan_with_a_dead_mount(*arguments: Any) -> Scan:
    return scan(*arguments)._replace(skipped={"/mnt/dead": 2})


@pytest.fixture
def scene(open_to_all: Path, holders: Holders) -> Path:
    """Each kind of entry and of who runs it."""
    hostile = Path(os.fsdecode(os.fsencode(open_to_all) + b"/\xff"))
    for program in (open_to_all / "program", hostile):
        holders.run(program)
        program.unlink()
    library = open_to_all / "library.so"
    holders.map_library(library)
    library.unlink()
    library.touch()
    holders.open(open_to_all / "log", os.O_RDWR | os.O_CREAT)
    (open_to_all / "log").unlink()
    fd = memfd("memory")
    holders.keep(fd)
    os.close(fd)
    everybodys = open_to_all / "everybodys"
    everybodys.mkdir()
    everybodys.chmod(0o777)
    holders.run(everybodys / "live")
    return open_to_all


def test_facts_are_as_documented(scene: Path) -> None:
    listing = Listing(sort="path", checksum="sha256", package=True)
    host = LOCAL._replace(scan=scan_with_a_dead_mount)
    facts = gather(Filters(), listing=listing, host=host)
    assert list(complaints(facts, {**FACTS, "type": "dict"}, "")) == []
    assert {os.path.basename(one["path"]) for one in facts["deleted_files"]} >= {"program", "\\xff", "log"}
    running = facts["deleted_files_summary"]["running"]
    assert running["replaced"]["processes"] or running["replaced"]["units"] or running["replaced"]["careful_units"]
    documented = {path.rpartition(".")[2] for path, _about in leaves(FACTS, "")}
    wild = {key for key in documented if key.isupper()}
    assert documented - wild - set(seen_keys(facts)) <= NOT_IN_THIS_TEST
