// Releases, and what changed between two of them.

import { address, json, part } from "./api.js";
import { commands } from "./copying.js";
import { button, el, newId, section } from "./dom.js";
import { to } from "./router.js";
import { pagedTable } from "./table.js";
import { bytes, day, digest, thousands } from "./text.js";

const NOW = "master";

function listed(releases, latest) {
  return pagedTable({
    caption: "Releases, the newest first",
    columns: [
      { title: "Release", cell: (one) => [el("strong", {}, one.name), " ", one.name === latest ? el("span", { class: "chip latest" }, "latest") : null] },
      { title: "Taken", cell: (one) => day(one.created) },
      { title: "Size", class: "number", cell: (one) => bytes(one.bytes) },
      { title: "Changes", cell: (one) => (one.parent ? el("a", { href: to(["releases", one.parent, one.name]) }, `since ${one.parent}`) : "–") },
      { title: "Open", cell: (one) => el("a", { href: `releases/${part(one.name)}/` }, `Look at ${one.name}`) },
    ],
    load: async (page) => ({
      results: releases.slice(page * 10, (page + 1) * 10),
      pagination: { page, page_size: 10, total: releases.length },
    }),
  });
}

function chooser(names, from, until) {
  const select = (name, label, chosen) => {
    const id = newId("release");
    const options = names.map((one) => el("option", { value: one, selected: one === chosen }, one === NOW ? "now" : one));
    return el("p", { class: "field" }, el("label", { for: id }, label), el("select", { id, name }, options));
  };
  const go = (event) => {
    event.preventDefault();
    const given = new FormData(event.target);
    location.hash = to(["releases", given.get("from"), given.get("to")]);
  };
  return el("form", { class: "choose", on: { submit: go } }, select("from", "From", from), select("to", "To", until), el("button", { type: "submit", class: "primary" }, "What changed"));
}

const SIGNS = { added: "+", removed: "−", moved: "→", retired: "−" };

function named(row) {
  const sign = SIGNS[row.change.split(" ")[1]];
  return el("span", { class: `chip change-${row.change.split(" ")[1]}` }, `${sign} ${row.change}`);
}

function link(name) {
  return name ? el("a", { href: to(["sequence", name]) }, digest(name)) : el("span", { class: "none" }, "–");
}

async function changes(from, until) {
  const parameters = { from, to: until, page_size: 25 };
  const found = await json("changes", { ...parameters, page_size: 1 });
  const label = (name) => (name === NOW ? "now" : name);
  if (!found.pagination.total) {
    return [el("p", { class: "verdict" }, `Nothing changed from ${label(from)} to ${label(until)}.`)];
  }
  let kind = null;
  const table = pagedTable({
    caption: `Changes from ${label(from)} to ${label(until)}`,
    columns: [
      { title: "Change", cell: named },
      { title: "Name", class: "name", cell: (row) => row.alias || el("span", { class: "none" }, "–") },
      { title: "Before", cell: (row) => link(row.from) },
      { title: "After", cell: (row) => link(row.to) },
      { title: "Residues", class: "number", cell: (row) => (row.length === undefined ? "" : thousands(row.length)) },
    ],
    load: (page) => json("changes", { ...parameters, page, kind }),
  });
  const all = [[null, "All", found.pagination.total], ...Object.entries(found.counts).map(([one, n]) => [one, `${one.charAt(0).toUpperCase()}${one.slice(1)}`, n])];
  const buttons = all.map(([one, phrase, n]) =>
    button(
      [`${phrase} `, el("strong", {}, thousands(n))],
      (event) => {
        kind = one;
        for (const other of buttons) other.setAttribute("aria-pressed", other === event.currentTarget);
        table.show(0);
      },
      { class: "filter", "aria-pressed": one === null },
    ),
  );
  await table.show(0);
  const parts = Object.entries(found.counts).map(([one, n]) => {
    const [what, how] = one.split(" ");
    const words = { sequence: n === 1 ? "sequence" : "sequences", alias: n === 1 ? "name" : "names" };
    return `${thousands(n)} ${words[what]} ${how}`;
  });
  return [
    el("p", { class: "verdict" }, `From ${label(from)} to ${label(until)}: ${found.is_cut ? "at least " : ""}${parts.join(", ")}.`),
    el("div", { class: "filters", role: "group", "aria-label": "Show only" }, buttons),
    table.element,
  ];
}

export async function releases(parts) {
  const listing = await json("releases/releases.json");
  const rows = [...listing.releases].reverse();
  if (!rows.length) {
    return { title: "Releases", elements: [el("p", {}, "There are none yet: `seqarchive snapshot NAME` takes one.")] };
  }
  const names = [...rows.map((one) => one.name), NOW];
  const list = listed(rows, listing.latest);
  await list.show(0);
  const [from, until] = parts.length >= 2 ? parts : [rows[0].name, NOW];
  return {
    title: parts.length >= 2 ? `From ${from} to ${until === NOW ? "now" : until}` : "Releases",
    elements: [
      el("p", { class: "lead" }, "Each release is one state of the archive that never changes."),
      list.element,
      section("What changed", chooser(names, from, until), ...(await changes(from, until))),
      section(
        "Use them elsewhere",
        commands([
          ["Address of a release", address(`releases/${part(rows[0].name)}`)],
          ["Read it in Python", `seqarchive.connect("${address(`releases/${part(rows[0].name)}`)}")`],
          ["Copy it", `seqarchive pull ${address("releases")} ${rows[0].name}`],
          ["What changed, all of it", `seqarchive diff ${from} ${until}`],
        ]),
      ),
    ],
  };
}
