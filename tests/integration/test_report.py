# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of a real fleet with hostile names, as its reader sees it: in a real browser."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from fleet import Fleet
from fleet.controller import run_ansible

CHROMIUM = "/usr/bin/chromium-headless-shell"
BASH = "/usr/bin/bash"
NAMES = [
    "<script>document.title='owned'<",
    "<img src=x onerror=document.title='owned'>",
    "{{ 7 * 7 }}",
    "=cmd|' !A0",
    "\u202egpj.exe",
    "new\nline\x1b[2J",
]
HOLD = """
import os, sys, time
held = []
for name in sys.argv[1:]:
    held.append(open("/srv/" + name, "wb"))
    held[-1].write(b"x" * 3_000_000)
    held[-1].flush()
    os.unlink("/srv/" + name)
print(flush=True)
time.sleep(3600)
"""


class Written(NamedTuple):
    """The pages of a fleet before and after its rescue."""

    before: Path
    after: Path
    output: str


def report(inventory: Path, dest: Path, **variables: Any) -> str:
    options = ["-e", json.dumps({"report_dest": str(dest), **variables})]
    done = run_ansible("ansible-playbook", "procfs.rescue.report", "-i", str(inventory), *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Two hosts lose bash while somebody runs it, a third while nobody does, a fourth does not answer."""
    folder = tmp_path_factory.mktemp("report")
    before, after, rescue = (folder / name for name in ("before.html", "after.html", "rescue.json"))
    with Fleet(3) as fleet:
        for host in fleet.hosts[:2]:
            host.spawn([BASH, "-c", "while :; do sleep 3600; done"])
        holder = fleet.hosts[0].spawn(["/usr/bin/python3", "-c", HOLD, *NAMES], stdout=subprocess.PIPE)
        assert holder.stdout is not None and holder.stdout.readline() == b"\n"
        for host in fleet.hosts:
            host.wreck(BASH)
        inventory = fleet.inventory()
        # Nobody listens there.
        text = inventory.read_text().replace(
            "hosts:\n", "hosts:\n        h4: {ansible_host: 127.0.0.1, ansible_port: 1}\n", 1
        )
        inventory.write_text(text)
        output = report(inventory, before, report_critical_paths=["/bin/sh", "/bin/bash"])
        command = [
            "ansible-playbook",
            "procfs.rescue.rescue",
            "-i",
            str(inventory),
            "-e",
            f"rescue_report_path={rescue}",
            "-e",
            '{"rescue_sources": ["process"]}',
        ]
        assert run_ansible(*command).returncode != 0, "two hosts cannot be rescued"
        report(
            inventory,
            after,
            report_from=[str(folder / "before.json"), str(rescue)],
            report_gather=True,
            report_lifeline=True,
        )
    return Written(before, after, output)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Its own sandbox needs what root in a container has not.
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def faults() -> list[str]:
    return []


@pytest.fixture
def show(browser: Browser, faults: list[str]) -> Iterator[Callable[..., Page]]:
    """``show(path, fragment)`` opens a page; complaints of the console, errors and requests are ``faults``."""
    contexts = []

    def opened(path: Path, fragment: str = "", **options: Any) -> Page:
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: faults.append(request.url) if request.url != f"file://{path}" else None)
        page.goto(f"file://{path}{fragment}")
        if options.get("java_script_enabled", True):
            page.wait_for_selector("html[data-ready]", state="attached")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []


def paths(page: Page) -> list[str]:
    return page.locator("#entries-body td.path").all_inner_texts()


def test_the_terminal_tells_what_needs_somebody(written: Written) -> None:
    assert "h1    17.2 MiB" in written.output and "missing: /bin/bash" in written.output
    assert "h4" in written.output and "could not be looked at: " in written.output
    assert "--limit h1,h2,h3 -e '{rescue_paths: [/usr/bin/bash]}'" in written.output
    assert "3 of 4 hosts looked at, 3 of them fully" in written.output


def test_the_first_thing_said_is_what_not_to_do(written: Written, show: Callable[..., Page]) -> None:
    page = show(written.before)
    assert page.title() != "owned"
    assert page.locator("main, .alarm").first.inner_text().startswith("Do not reboot. Do not restart or end")
    assert "--limit h1,h2,h3" in page.locator(".alarm pre").inner_text()
    assert "127.0.0.1" in page.locator("#wrong tr", has_text="h4").inner_text()


def test_hostile_names_are_shown_and_found(written: Written, show: Callable[..., Page]) -> None:
    page = show(written.before)
    held = [f"/srv/{name}" for name in NAMES[:4]] + ["/srv/\\u202egpj.exe", "/srv/new\\nline\\x1b[2J"]
    assert set(paths(page)) == {*held, BASH}
    for name in held:
        page.fill("input[type=search]", name.removeprefix("/srv/"))
        assert paths(page) == [name]
    assert page.title() != "owned"


def test_search_sort_filter_and_a_link_that_remembers_them(written: Written, show: Callable[..., Page]) -> None:
    page = show(written.before)
    page.fill("input[type=search]", "bash")
    assert paths(page) == [BASH, BASH] and "2 of 8 entries" in page.inner_text("#entries-status")
    page.select_option("select[name=host]", "h2")
    assert page.locator("#entries-body tr").count() == 1
    page.click("th[data-column=path] button")
    assert page.get_attribute("th[data-column=path]", "aria-sort") == "ascending"
    colleague = show(written.before, page.evaluate("location.hash"))
    assert paths(colleague) == [BASH] and colleague.input_value("select[name=host]") == "h2"
    colleague.click("button[type=reset]")
    expect(colleague.locator("#entries-body tr")).to_have_count(8)
    assert paths(colleague) == sorted(paths(colleague))
    colleague.click("th[data-column=path] button")
    assert paths(colleague) == sorted(paths(colleague), reverse=True)
    colleague.locator("#entries-body tr", has_text="h2").locator("summary").click()
    assert "pid " in colleague.locator("#entries-body tr", has_text="h2").inner_text()


def test_everything_by_keyboard(written: Written, show: Callable[..., Page]) -> None:
    page = show(written.before)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    reached = set()
    for _press in range(120):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.closest('[id]')?.id + ' ' + document.activeElement.tagName"))
    assert {"entries-form INPUT", "entries-form SELECT", "entries-table BUTTON", "hosts SUMMARY"} <= reached
    page.focus("th[data-column=size] button")
    page.keyboard.press("Enter")
    assert page.get_attribute("th[data-column=size]", "aria-sort") == "descending"


def test_a_link_to_a_host_opens_its_section(written: Written, show: Callable[..., Page]) -> None:
    page = show(written.before, "#host=h1")
    section = page.locator("[id='host=h1']")
    assert section.is_visible() and BASH in section.inner_text()
    assert not page.locator("[id='host=h2']").is_visible()
    page.evaluate("location.hash = 'host=h2'")
    page.locator("[id='host=h2']").wait_for(state="visible")


def test_without_javascript(written: Written, show: Callable[..., Page]) -> None:
    page = show(written.before, java_script_enabled=False)
    text = page.inner_text("main")
    for said in ("missing: /bin/bash", "2. Where is the disk space?", "bash (root)", "before.csv"):
        assert said in text
    page.locator("#hosts summary", has_text="h1").click()
    assert "/srv/{{ 7 * 7 }}" in page.inner_text("[id='host=h1']")
    assert not page.locator("#entries-form").is_visible()


def test_it_fits_a_phone_and_a_sheet_of_paper(written: Written, show: Callable[..., Page]) -> None:
    page = show(written.before, viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390, "nothing but tables scrolls sideways"
    page.emulate_media(media="print")
    assert not page.locator("#entries-form").is_visible() and page.locator("#wrong").is_visible()


def test_after_the_rescue_it_tells_what_was_rescued_from_where_and_who_vouches(
    written: Written, show: Callable[..., Page]
) -> None:
    page = show(written.after)
    rows = page.locator("#rescued tbody tr").all_inner_texts()
    for host, row in zip(("h1", "h2"), rows, strict=False):
        assert row.startswith(host) and "restored" in row and "/exe" in row and "sha256:" in row and "module" in row
    assert rows[2].startswith("h3") and "failed: No process holds" in rows[2]
    assert "--limit h3 " in page.locator(".alarm pre").inner_text()
    assert rows[3].startswith("h1") and "not ready: port must say which port" in rows[3], "there is no lifeline"


def test_json_and_csv_have_the_same(written: Written) -> None:
    hosts = json.loads(written.before.with_suffix(".json").read_text())["hosts"]
    assert len(hosts["h1"]["entries"]) == 7 and hosts["h4"]["scanned"] is None and hosts["h4"]["error"]
    with written.before.with_suffix(".csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8 and {row["host"] for row in rows} == {"h1", "h2"}
    for path in (written.before, written.before.with_suffix(".json"), written.before.with_suffix(".csv")):
        assert path.stat().st_mode & 0o777 == 0o600, "what hosts hold is nobody else's business"
