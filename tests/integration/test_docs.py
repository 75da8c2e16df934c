# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation as `make docs` builds it, in a real browser."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / ".work" / "docs" / "html"
GUIDES = sorted(f"docsite/{path.stem}" for path in (ROOT / "docs/docsite/rst").glob("*.rst"))
KINDS = {"modules": "module", "filter": "filter", "lookup": "lookup"}
REFERENCES = sorted(
    [f"{path.stem}_{kind}" for folder, kind in KINDS.items() for path in (ROOT / "plugins" / folder).glob("[a-z]*.py")]
    + [f"{path.name}_role" for path in (ROOT / "roles").iterdir()]
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    subprocess.run(["make", "docs"], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    with sync_playwright() as playwright:
        # Its own sandbox needs what root in a container has not.
        arguments = {"executable_path": "/usr/bin/chromium-headless-shell", "args": ["--no-sandbox"]}
        started = playwright.chromium.launch(**arguments)
        yield started
        started.close()


@pytest.mark.parametrize("name", ["index", *GUIDES, *REFERENCES, "changelog"])
def test_a_page(browser: Browser, name: str) -> None:
    faults: list[str] = []
    page = browser.new_page()
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("requestfailed", lambda request: faults.append(request.url))
    page.on("request", lambda request: None if request.url.startswith("file://") else faults.append(request.url))
    page.goto(f"file://{HTML}/{name}.html")
    heading = page.locator("h1").first.inner_text().removesuffix("¶")
    assert heading and page.title() == f"{heading} — procfs.rescue"
    assert len(page.locator("[role=main]").inner_text()) > 500
    assert page.evaluate("[...document.images].filter((one) => !one.naturalWidth).length") == 0
    if name in GUIDES and name != "docsite/inclusion":
        assert "do not reboot" in page.locator("h1 ~ .admonition.warning").first.inner_text().lower()
    page.close()
    assert faults == []


def test_the_index_leads_to_every_guide_and_reference(browser: Browser) -> None:
    page = browser.new_page()
    page.goto(f"file://{HTML}/index.html")
    links = page.locator("[role=main] a").evaluate_all("(all) => all.map((one) => one.getAttribute('href'))")
    page.close()
    assert len(REFERENCES) > 10
    assert {f"{name}.html" for name in [*GUIDES, *REFERENCES]} <= {str(link).partition("#")[0] for link in links}
