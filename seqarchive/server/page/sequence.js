// A sequence: its residues, its names with their history, what it consists of.

import { address, json, part, summary } from "./api.js";
import { composition } from "./composition.js";
import { commands, copyButton, word } from "./copying.js";
import { el, facts, section } from "./dom.js";
import { parsedRange, residueWindow } from "./residues.js";
import { note, to } from "./router.js";
import { pagedTable } from "./table.js";
import { counted, digest, thousands, time } from "./text.js";

/** A batch, as it is said of a name: when, by whom, from which file. */
function batchOf(batches, number) {
  const about = batches[String(number)];
  if (about === undefined) return `batch ${number}`;
  const files = about.sources.map((one) => one.name);
  const what = files.length ? files.slice(0, 3).join(", ") + (files.length > 3 ? ", …" : "") : about.kind;
  return el(
    "span",
    { class: "batch" },
    time(about.created),
    el("span", { class: "by" }, `batch ${number}${about.user ? ` by ${about.user}` : ""}: ${what}`),
  );
}

function until(row, batches) {
  if (row.to_batch === null) return el("span", { class: "now" }, "now");
  const found = [batchOf(batches, row.to_batch)];
  if (row.now) found.push(el("span", { class: "by" }, "now means ", el("a", { href: to(["sequence", row.now]) }, digest(row.now))));
  return found;
}

function namesWithHistory(identifier) {
  let batches = {};
  return pagedTable({
    caption: "Names of this sequence, with their history",
    columns: [
      { title: "Name", class: "name", cell: (row) => el(row.to_batch === null ? "span" : "del", {}, `${row.namespace}:${row.alias}`) },
      { title: "Since", cell: (row) => batchOf(batches, row.from_batch) },
      { title: "Until", cell: (row) => until(row, batches) },
    ],
    empty: "It has no names but its digests.",
    load: async (page) => {
      const found = await json(`sequence/${part(identifier)}/history`, { page, page_size: 50 });
      batches = found.batches;
      return found;
    },
  });
}

/** All that the name one came by ever meant, if that was more than one thing. */
function meanings(name, history, current) {
  if (history === null || !history.meanings.some((one) => one.sequence !== current)) return null;
  return section(
    "What this name meant",
    el(
      "ol",
      { class: "meanings" },
      history.meanings.map((one) =>
        el(
          "li",
          {},
          el("span", {}, el("strong", {}, name), one.to_batch === null ? " means " : " meant "),
          one.sequence === current
            ? el("span", {}, digest(one.sequence), " (this sequence)")
            : el("a", { href: to(["sequence", one.sequence]) }, digest(one.sequence)),
          el("span", {}, `, ${counted(one.length, "residue")}${one.is_reclaimed ? ", whose residues are gone" : ""}`),
          el("span", { class: "span" }, "since ", batchOf(history.batches, one.from_batch)),
          one.to_batch === null ? null : el("span", { class: "span" }, "until ", batchOf(history.batches, one.to_batch)),
        ),
      ),
    ),
  );
}

function simpleNames(aliases) {
  return pagedTable({
    caption: "Names of this sequence",
    columns: [{ title: "Name", class: "name", cell: (row) => `${row.naming_authority}:${row.alias}` }],
    empty: "It has no names but its digests.",
    load: async (page) => ({
      results: aliases.slice(page * 50, (page + 1) * 50),
      pagination: { page, page_size: 50, total: aliases.length },
    }),
  });
}

function digests(about) {
  const whole = [
    ["GA4GH", about.id.startsWith("ga4gh:") ? about.id : `ga4gh:${about.id}`],
    ["MD5", about.md5],
    ["TRUNC512", about.trunc512],
  ];
  return el(
    "ul",
    { class: "digests" },
    whole.map(([what, text]) => el("li", {}, el("span", { class: "what" }, what), digest(text), copyButton(what, () => text))),
  );
}

function elsewhere(name, about, range) {
  const query = range === null ? {} : { start: range[0], end: range[1] };
  const suffix = range === null ? "" : `:${range[0]}-${range[1]}`;
  const url = address(`sequence/${part(about.id)}`, query);
  return commands([
    [range === null ? "Address of the residues" : "Address of the range", url],
    ["Address of this view", address("") + to(["sequence", name], { range: range && range.join("-") })],
    ["In an archive", `seqarchive get ${word(name, about.id)}${suffix}`],
    ["With curl", `curl '${url}'`],
    ["samtools: sequences of a CRAM", `export REF_PATH='${address("md5/")}%s'`],
  ]);
}

function former(name, history) {
  return {
    title: name,
    elements: [
      el("p", { class: "lead" }, "This name means nothing any more."),
      meanings(name, history, null),
    ],
  };
}

export async function sequence([...parts], parameters) {
  const name = parts.join("/");
  const about = await summary();
  const history = about.has_history ? await json(`sequence/${part(name)}/history`, { page_size: 1 }) : null;
  if (history !== null && history.sequence === null) return former(name, history);
  const found = (await json(`sequence/${part(name)}/metadata`)).metadata;
  const asked = parameters.get("range");
  let range = asked ? parsedRange(asked, found.length, found.circular) : null;
  const isBad = asked !== null && range === null;
  const isDigest = name.includes(found.id) || name === found.md5;
  const title = isDigest && found.aliases.length ? `${found.aliases[0].naming_authority}:${found.aliases[0].alias}` : name;

  const use = el("div", {}, elsewhere(name, found, range && range[1] !== null ? range : null));
  const view = residueWindow(
    { digest: found.id, length: found.length, circular: found.circular, limit: about.subsequence_limit },
    range,
    (marked) => {
      range = marked;
      note({ range: marked && marked.join("-") });
      use.replaceChildren(elsewhere(name, found, marked));
      copyRange.hidden = marked === null;
    },
  );
  const copyRange = el(
    "p",
    { class: "range", hidden: range === null || range[1] === null },
    "The residues of the marked range: ",
    copyButton("the residues of the marked range", () => view.residues(...range)),
  );
  const letters = el("div", { "aria-live": "polite" }, el("p", { class: "hint" }, "Counting …"));
  json(`sequence/${part(found.id)}/composition`).then(
    (counts) => {
      letters.replaceChildren(composition(counts));
      view.profile(counts.profile, counts.known);
    },
    (error) => letters.replaceChildren(el("p", { class: "message" }, error.message)),
  );
  const names = history === null ? simpleNames(found.aliases) : namesWithHistory(found.id);
  names.show(0);
  const records = history === null ? [] : history.records;
  const elements = [
    facts(
      ["Length", counted(found.length, "residue")],
      ["Shape", found.circular ? "circular" : null],
      ["Names", history === null ? thousands(found.aliases.length) : null],
      ["Added", history === null ? null : time(history.added.time)],
    ),
    digests(found),
    isBad ? el("p", { class: "message", role: "alert" }, `The sequence has no range “${asked}”; all of it is shown.`) : null,
    section("Residues", view.element, copyRange),
    meanings(name, history, found.id),
    section(history === null ? "Names" : "Names and their history", names.element),
    records.length
      ? section(
          "Records that were this sequence",
          el(
            "ul",
            { class: "records" },
            records.map((one) => el("li", {}, el("code", {}, `>${one.defline}`), el("span", { class: "by" }, `${one.source}, batch ${one.batch}`))),
          ),
        )
      : null,
    section("Composition", letters),
    section("Use it elsewhere", use),
  ];
  return { title, elements: elements.filter((one) => one !== null) };
}
