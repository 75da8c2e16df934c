# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import random
import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from ansible_collections.procfs.rescue.plugins.plugin_utils import _report_page, _report_plots
from ansible_collections.procfs.rescue.plugins.plugin_utils._report_data import shown
from ansible_collections.procfs.rescue.plugins.plugin_utils._report_page import FILES, MOST_HOLDERS, packed
from ansible_collections.procfs.rescue.plugins.plugin_utils._report_view import view
from unit.plugins.report_samples import HOSTILE, a_holder, a_result, an_entry, bash, facts, page_of, reports, runners


class Parsed(HTMLParser):
    """Elements with their attributes in order, texts by element, and the policy."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append((self.elements[-1][0] if self.elements else "", data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return "".join(data for tag, data in self.texts if tag not in ("script", "style"))


def unpacked(text: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(text)))
    return data


def everywhere(name: str) -> str:
    """A page with the name in every place that a host can fill."""
    holder = a_holder(comm=name, user=name, unit=name, container=None, exe=name)
    entry = an_entry(name, holders=[holder], owner=name, state=name, kind=name, package=name)
    total = {"count": 1, "reclaimable": 5, "memory": 1}
    told = facts(
        entry,
        {**bash(), "path": name},
        an_entry(name, refused=["place_differs", name]),
        complete=False,
        way=name,
        critical_missing=[name],
        skipped_mounts={name: 1},
        mount_points={name: {**total, "size": 10, "free": 1}},
        units={name: total},
        suspicious=[{**holder, "reasons": ["removed", name]}],
        running={"replaced": runners(units=[name], careful_units=[name], containers=[name], processes=[holder])},
    )
    texts = ("path", "dest", "msg", "source", "checksum", "content_by", "metadata_by", "way")
    rescued = a_result(**dict.fromkeys(texts, name), usable=False, fix=[name], not_kept=[name], status=name)
    failed = a_result(name, "failed", msg=name)
    lifeline = {"ready": False, "problems": [name], "only_kept": [name]}
    # The second host is the second in every order.
    hosts = {name: {**told, "files": [rescued, failed], "lifeline": lifeline}, "€2": {"unreachable": True, "msg": name}}
    return page_of(reports(**hosts))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text_wherever_they_are(name: str) -> None:
    page, harmless = Parsed(everywhere(name)), Parsed(everywhere("a harmless name"))
    assert [tag for tag, _attributes in page.elements] == [tag for tag, _attributes in harmless.elements]
    assert [sorted(attributes) for _tag, attributes in page.elements] == (
        [sorted(attributes) for _tag, attributes in harmless.elements]
    )
    assert page.text.count(shown(name)) >= 30
    assert all(char.isprintable() or char == "\n" for char in page.text)


def test_templates_of_hosts_are_not_templated() -> None:
    assert "{{ 7 * 7 }}" in everywhere("{{ 7 * 7 }}") and "49" not in Parsed(everywhere("{{ 7 * 7 }}")).text


def test_only_its_own_script_and_style_and_nothing_from_elsewhere() -> None:
    text = page_of(reports(h1=facts(an_entry())))
    page = Parsed(text)
    policy = page.all("meta")[1]["content"] or ""
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    styles = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    for (content,), directive in ((scripts, "script-src"), (styles, "style-src")):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy
    assert len(page.all("script")) == 2 and {"type": "application/gzip;base64", "id": "entries-data"} in page.all(
        "script"
    )
    for _tag, attributes in page.elements:
        assert not set(attributes) & {"src", "style", "onclick", "onload"}, attributes
        address = attributes.get("href") or "#"
        assert address.startswith("#") or address in ("r.json", "r.csv")
    assert "innerHTML" not in scripts[0] and "fetch(" not in scripts[0]


def test_entries_travel_whole() -> None:
    many = [a_holder(pid=pid) for pid in range(1, 101)]
    entries = [an_entry("/b", 5, holders=many), an_entry("/a", 7, refused=["superseded"], restorable=False)]
    data = unpacked(packed(reports(h1=facts(*entries), h2=facts(bash()))))
    strings, columns = data["strings"], data["entries"]
    assert [strings[index] for index in columns["path"]] == ["/usr/bin/bash", "/a", "/b"], "the largest first"
    assert [strings[index] for index in columns["host"]] == ["h2", "h1", "h1"]
    assert columns["size"] == [1265648, 7, 5] and columns["restorable"] == [1, 0, 1]
    assert [strings[index] for index in columns["refused"]] == ["", "superseded", ""]
    assert columns["holders"] == [1, 1, 100] and columns["first"] == [0, 1, 2, 2 + MOST_HOLDERS]
    assert data["holders"]["pid"] == [812, 812, *range(1, MOST_HOLDERS + 1)]


def test_the_answers_are_there_without_a_script() -> None:
    told = facts(
        bash(),
        *(an_entry(f"/srv/{number}", number) for number in range(100, 130)),
        critical_missing=["/bin/bash"],
        running={"replaced": runners(units=["nginx.service"]), "removed": runners(processes=[a_holder()])},
    )
    text = Parsed(page_of(reports(h1=told, h2=facts(), h3={"unreachable": True, "msg": "timed out"}))).text
    assert text.index("Do not reboot. Do not restart") < text.index("1. Is anything wrong?")
    for said in ("missing: /bin/bash", "could not be looked at: timed out", "nginx.service", "Not yet", "r.csv"):
        assert said in text
    assert "/srv/129" in text and "/srv/121" in text and "/srv/120" not in text, "the ten largest, bash among them"


def test_a_host_section_for_each_link() -> None:
    page = Parsed(page_of(reports(**{"web1.example": facts(an_entry()), "a b/ü&c": facts(complete=False)})))
    assert {attributes.get("id") for attributes in page.all("div")} >= {"host=web1.example", "host=a b/ü&c"}
    assert {attributes.get("href") for attributes in page.all("a")} >= {
        "#host=web1.example",
        "#host=a%20b%2F%C3%BC%26c",
    }


def test_what_was_rescued_from_where_and_who_vouches() -> None:
    text = Parsed(page_of(reports(h1={"files": [a_result()], "way": "lifeline"}))).text
    for said in (
        "/usr/bin/bash",
        "restored",
        "/proc/812/exe",
        "the host's package database",
        "sha256:2b2a",
        "lifeline",
    ):
        assert said in text
    assert "nobody: its place only" in Parsed(page_of(reports(h1={"files": [a_result(content_by="none")]}))).text


def test_plots_are_clean_svg_with_a_text_for_those_who_do_not_see_them() -> None:
    drawn = _report_plots.plots(view(reports(h1=facts(an_entry()), **{HOSTILE[2]: facts(an_entry())})))
    for svg in drawn:
        root = ET.fromstring(svg)
        tags = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert tags <= {"svg", "g", "rect", "text", "path"} and "rect" in tags
        assert not any("style" in element.attrib for element in root.iter())
        assert root.get("role") == "img" and " GiB" in (root.get("aria-label") or "")
    assert "102 GiB" not in drawn.by_mount and "1 GiB of 100 GiB free" in drawn.by_mount


def test_without_pygal_the_tables_stay_and_the_page_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_report_plots, "PYGAL_ERROR", "No module named 'pygal'")
    monkeypatch.setattr(_report_page, "PYGAL_ERROR", "No module named 'pygal'")
    page = Parsed(page_of(reports(h1=facts(an_entry()))))
    assert not page.all("svg") and "pip install pygal" in page.text and "1 GiB" in page.text
    assert [attributes for attributes in page.all("details") if "open" in attributes], "nobody has to look for them"


def colours(scheme: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", scheme))


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    shares = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_light_and_dark_have_contrast() -> None:
    style = (FILES / "page.css").read_text(encoding="utf-8")
    light, dark = (colours(part) for part in style.split("@media (prefers-color-scheme: dark)", 1))
    dark = colours(style.split("@media (prefers-color-scheme: dark)")[1].split("* { box-sizing")[0])
    light = colours(style.split("@media (prefers-color-scheme: dark)")[0])
    for name, scheme in ("light", light), ("dark", dark):
        assert len(scheme) == 13, name
        for text in ("ink", "muted", "link", "bad", "warn", "good"):
            for behind in ("paper", "raised"):
                assert contrast(scheme[text], scheme[behind]) >= 4.5, (name, text, behind)
        for text, behind in (
            ("ink", "bad-paper"),
            ("bad", "bad-paper"),
            ("ink", "other"),
            ("ink", "held"),
            ("ink", "free"),
        ):
            assert contrast(scheme[text], scheme[behind]) >= 4.5, (name, text, behind)


def test_a_hundred_hosts_take_less_than_their_share_of_25_megabytes() -> None:
    chance = random.Random(1)

    def entry() -> dict[str, Any]:
        # Nothing in it repeats itself, as hardly a real fleet's names do.
        holders = [a_holder(pid=chance.randrange(1 << 22)) for _holder in range(chance.choice((1, 1, 1, 3, 8)))]
        return an_entry(f"/srv/app/releases/{chance.getrandbits(64):x}.dat", chance.randrange(1 << 34), holders=holders)

    hosts = {f"host-{number}.example": facts(*(entry() for _entry in range(200))) for number in range(100)}
    assert len(page_of(reports(**hosts)).encode()) < 2_500_000
