// Copyright (c) 2026, procfs.rescue contributors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
"use strict";

// The table of all entries. What hosts told is only ever set as text, never as markup.
(async () => {
  const PAGE = 100;
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  const status = byId("entries-status");
  const form = byId("entries-form");
  const body = byId("entries-body");
  const more = byId("entries-more");
  const filters = ["find", "host", "state", "kind", "restorable"];

  // #host=NAME is that host's section: what is closed around it opens.
  const openHost = () => {
    if (!location.hash.startsWith("#host=")) return;
    let name = location.hash.slice(1);
    try { name = decodeURIComponent(name); } catch { /* taken literally */ }
    const section = byId(name);
    if (!section) return;
    section.closest("details").open = true;
    section.scrollIntoView();
  };
  addEventListener("hashchange", openHost);

  const unpacked = async () => {
    const text = byId("entries-data").textContent.trim();
    const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).json();
  };

  const readable = (bytes) => {
    const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let size = bytes, unit = 0;
    while (size >= 1024 && unit < units.length - 1) { size /= 1024; unit += 1; }
    return unit ? `${Number(size.toPrecision(3))} ${units[unit]}` : `${bytes} B`;
  };

  if (typeof DecompressionStream === "undefined") {
    status.textContent = "This browser is too old for the table of all entries (it has no DecompressionStream). The CSV has them.";
    root.classList.add("scripted");
    openHost();
    return;
  }
  root.classList.add("scripted");
  openHost();
  const data = await unpacked();
  const { strings, entries, holders, columns } = data;
  const count = entries.path.length;
  const text = (column, row) => strings[entries[column][row]];
  const lower = strings.map((string) => string.toLowerCase());

  for (const name of ["host", "state", "kind"]) {
    const select = form.elements[name];
    const values = [...new Set(entries[name])].map((index) => strings[index]).sort();
    for (const value of values) select.append(new Option(value, value));
  }

  let order = { column: "reclaimable", falling: true };
  let found = [];
  let drawn = 0;

  // Each word is looked for in every string once, then rows need no more than to look up their strings.
  const hits = (word) => {
    const hit = Uint8Array.from(lower, (string) => string.includes(word));
    const pid = /^[0-9]+$/.test(word) ? Number(word) : -1;
    return (row) => {
      if (hit[entries.path[row]] || hit[entries.host[row]] || hit[entries.refused[row]] || hit[entries.package[row]]) return true;
      for (let at = entries.first[row]; at < entries.first[row + 1]; at += 1) {
        if (hit[holders.comm[at]] || hit[holders.user[at]] || hit[holders.unit[at]] || holders.pid[at] === pid) return true;
      }
      return false;
    };
  };
  const wanted = () => {
    const tests = form.elements.find.value.toLowerCase().split(/\s+/).filter(Boolean).map(hits);
    for (const name of ["host", "state", "kind"]) {
      if (!form.elements[name].value) continue;
      const [column, value] = [entries[name], strings.indexOf(form.elements[name].value)];
      tests.push((row) => column[row] === value);
    }
    const restorable = form.elements.restorable.value;
    if (restorable) tests.push((row) => entries.restorable[row] === (restorable === "yes" ? 1 : 0));
    const rows = [];
    for (let row = 0; row < count; row += 1) if (tests.every((test) => test(row))) rows.push(row);
    return rows;
  };

  // Strings are compared by their rank, which is made when it is first needed.
  let ranks;
  const rank = (index) => {
    if (!ranks) {
      ranks = new Uint32Array(strings.length);
      const compare = (a, b) => (strings[a] < strings[b] ? -1 : 1);
      Uint32Array.from(strings.keys()).sort(compare).forEach((string, place) => { ranks[string] = place; });
    }
    return ranks[index];
  };
  const sorted = (rows) => {
    if (order.column === "reclaimable" && order.falling) return rows; // as they came
    const column = entries[order.column];
    const keys = new Float64Array(count);
    for (const row of rows) keys[row] = columns[order.column] === "text" ? rank(column[row]) : column[row];
    const sign = order.falling ? -1 : 1;
    return rows.sort((a, b) => sign * (keys[a] - keys[b]) || a - b);
  };

  const cell = (line, content, kind) => {
    const made = line.insertCell();
    if (kind) made.className = kind;
    if (content instanceof Node) { made.append(content); return; }
    const isolated = document.createElement("bdi");
    isolated.textContent = content;
    made.append(isolated);
  };

  const holdersOf = (row) => {
    const [first, last, all] = [entries.first[row], entries.first[row + 1], entries.holders[row]];
    const box = document.createElement("details");
    const head = box.appendChild(document.createElement("summary"));
    head.textContent = first === last ? "nobody" : `${strings[holders.comm[first]]} ${holders.pid[first]}${all > 1 ? ` and ${all - 1} more` : ""}`;
    const list = document.createElement("ul");
    for (let at = first; at < last; at += 1) {
      const parts = [`pid ${holders.pid[at]}`, ...["comm", "user", "unit", "container", "via", "access", "exe"].map((name) => strings[holders[name][at]])];
      list.appendChild(document.createElement("li")).textContent = parts.filter(Boolean).join(" · ");
    }
    if (all > last - first) list.appendChild(document.createElement("li")).textContent = `${all - (last - first)} more are in the JSON`;
    box.append(list);
    return box;
  };

  const draw = () => {
    for (const row of found.slice(drawn, drawn + PAGE)) {
      const line = body.insertRow();
      const link = document.createElement("a");
      link.href = `#${encodeURIComponent(`host=${text("host", row)}`).replace("%3D", "=")}`;
      link.textContent = text("host", row);
      cell(line, link);
      cell(line, text("path", row), "path");
      cell(line, text("state", row));
      cell(line, text("kind", row));
      cell(line, readable(entries.reclaimable[row]), "number");
      cell(line, readable(entries.size[row]), "number");
      cell(line, text("owner", row));
      cell(line, entries.restorable[row] ? "yes" : text("refused", row) || "no");
      cell(line, holdersOf(row));
    }
    drawn = Math.min(found.length, drawn + PAGE);
    more.hidden = drawn >= found.length;
    status.textContent = `${found.length} of ${count} entries${drawn < found.length ? `, the first ${drawn} are shown` : ""}`;
  };

  const refresh = () => {
    found = sorted(wanted());
    drawn = 0;
    body.replaceChildren();
    draw();
    for (const head of document.querySelectorAll("#entries-table th[data-column]")) {
      const is = head.dataset.column === order.column;
      head.setAttribute("aria-sort", is ? (order.falling ? "descending" : "ascending") : "none");
    }
  };

  // #entries&host=…&find=… is the table as somebody saw it.
  const remember = () => {
    const state = new URLSearchParams();
    for (const name of filters) if (form.elements[name].value) state.set(name, form.elements[name].value);
    state.set("sort", (order.falling ? "-" : "") + order.column);
    history.replaceState(null, "", `#entries&${state}`);
  };
  const recall = () => {
    if (!location.hash.startsWith("#entries&")) return false;
    const state = new URLSearchParams(location.hash.slice("#entries&".length));
    for (const name of filters) form.elements[name].value = state.get(name) || "";
    const sort = state.get("sort") || "";
    const column = sort.replace(/^-/, "");
    if (Object.hasOwn(columns, column)) order = { column, falling: sort.startsWith("-") };
    return true;
  };

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => { remember(); refresh(); });
  form.addEventListener("reset", () => setTimeout(() => { remember(); refresh(); }));
  more.addEventListener("click", draw);
  for (const button of document.querySelectorAll("#entries-table th button")) {
    button.addEventListener("click", () => {
      const { column } = button.closest("th").dataset;
      order = { column, falling: order.column === column ? !order.falling : columns[column] === "number" };
      remember();
      refresh();
    });
  }
  addEventListener("hashchange", () => {
    if (!recall()) return;
    refresh();
    byId("entries").scrollIntoView();
  });
  const recalled = recall();
  refresh();
  if (recalled) byId("entries").scrollIntoView();
  root.dataset.ready = "yes";
})();
