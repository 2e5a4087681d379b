// Collections: a list of them; and one with its sequences, what is said of it, where it came from.

import { address, json, part, summary } from "./api.js";
import { commands, copyButton, word } from "./copying.js";
import { el, facts, newId, section } from "./dom.js";
import { to } from "./router.js";
import { pagedTable } from "./table.js";
import { bytes, counted, digest, thousands, time } from "./text.js";
import { tracksOver } from "./tracks.js";

const NUMBER = "number";

export async function collections() {
  const table = pagedTable({
    caption: "Collections",
    columns: [
      {
        title: "Collection",
        class: "name",
        cell: (row) => el("a", { href: to(["collection", row.digest]) }, row.title === row.digest ? digest(row.digest) : row.title),
      },
      { title: "Other names", cell: (row) => row.aliases.slice(1, 4).join(", ") },
      { title: "Sequences", class: NUMBER, cell: (row) => thousands(row.n_sequences) },
      { title: "Residues", class: NUMBER, cell: (row) => thousands(row.n_residues) },
      { title: "Digest", cell: (row) => digest(row.digest) },
    ],
    empty: "There are no collections: each file that is loaded whole becomes one.",
    load: (page) => json("summary/collections", { page, page_size: 50 }),
  });
  await table.show(0);
  return {
    title: "Collections",
    elements: [el("p", { class: "lead" }, "Ordered sets of named sequences: files and assemblies."), table.element],
  };
}

/** A value of FHR. Only addresses of the web become links. */
function value(one) {
  if (Array.isArray(one)) return el("ul", { class: "plain" }, one.map((item) => el("li", {}, value(item))));
  if (one !== null && typeof one === "object") {
    return el("dl", { class: "inner" }, Object.entries(one).map(([name, item]) => el("div", {}, el("dt", {}, words(name)), el("dd", {}, value(item)))));
  }
  const text = typeof one === "number" ? thousands(one) : String(one);
  const isAddress = typeof one === "string" && /^https?:\/\/[^\s]+$/.test(one);
  return isAddress ? el("a", { href: one, rel: "noopener noreferrer external" }, text) : text;
}

/** `genomeSynonym` as "Genome synonym". */
function words(name) {
  if (/^ur[il]$/.test(name)) return name.toUpperCase();
  const spaced = name.replace(/([a-z])([A-Z])(?![A-Z])/g, (_, before, after) => `${before} ${after.toLowerCase()}`).replace(/([a-z])([A-Z]{2})/g, "$1 $2");
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
}

function fhrSection(fhr) {
  if (fhr === null) return null;
  return section(
    "What is said of it (FHR)",
    el("dl", { class: "fhr" }, Object.entries(fhr).map(([name, one]) => el("div", {}, el("dt", {}, words(name)), el("dd", {}, value(one))))),
  );
}

function provenanceSection(about) {
  if (!about.sources.length) return null;
  return section(
    "Where it came from",
    el(
      "ul",
      { class: "records" },
      about.sources.map((one) => {
        const batch = about.batches[String(one.batch)];
        return el(
          "li",
          {},
          el("strong", {}, one.name),
          el(
            "span",
            { class: "by" },
            `${bytes(one.bytes)}, ${counted(one.records, "record")}, loaded `,
            batch ? time(batch.created) : "",
            ` as batch ${one.batch}${batch && batch.user ? ` by ${batch.user}` : ""}`,
          ),
          el("span", { class: "by" }, "SHA-256 ", digest(one.sha256), copyButton(`the SHA-256 of ${one.name}`, () => one.sha256)),
        );
      }),
    ),
  );
}

function members(about) {
  const field = newId("filter");
  let name = "";
  let timer = null;
  const table = pagedTable({
    caption: "Sequences of the collection",
    columns: [
      { title: "No.", class: NUMBER, cell: (row) => thousands(row.number + 1) },
      { title: "Name", class: "name", cell: (row) => el("a", { href: to(["sequence", row.sequence]) }, row.name) },
      { title: "Length", class: NUMBER, cell: (row) => thousands(row.length) },
      { title: "Sequence", cell: (row) => digest(row.sequence) },
    ],
    empty: "No sequence has this in its name.",
    load: (page) => json(`collection/${part(about.digest)}/members`, { page, page_size: 50, name }),
  });
  const input = el("input", {
    id: field,
    type: "search",
    autocomplete: "off",
    on: {
      input: (event) => {
        name = event.target.value.trim();
        clearTimeout(timer);
        timer = setTimeout(() => table.show(0), 200);
      },
    },
  });
  table.show(0);
  const isLong = about.n_sequences > 20;
  return section(
    "Sequences",
    isLong ? el("p", { class: "tools" }, el("label", { for: field }, "Only names with"), input) : null,
    table.element,
  );
}

/** The name under which a collection was asked for, if it was one; namespaces have no case. */
function askedFor(aliases, identifier) {
  const at = identifier.indexOf(":");
  const namespace = identifier.slice(0, Math.max(at, 0)).toLowerCase();
  const found = aliases.find(([one, alias]) => alias === identifier || (one.toLowerCase() === namespace && alias === identifier.slice(at + 1)));
  return found && found.join(":");
}

export async function collection([...parts]) {
  const identifier = parts.join("/");
  const about = await json(`collection/${part(identifier)}/provenance`);
  const names = about.aliases.map((one) => one.join(":"));
  const name = askedFor(about.aliases, identifier) ?? names[0];
  const title = name || (about.sources.length ? about.sources[0].name : about.digest);
  const id = word(name || about.digest, about.digest);
  const elements = [
    facts(
      ["Sequences", thousands(about.n_sequences)],
      ["Residues", thousands(about.n_residues)],
      ["Names", names.length > 1 ? names.join(", ") : null],
    ),
    el("ul", { class: "digests" }, el("li", {}, el("span", { class: "what" }, "Digest"), digest(about.digest), copyButton("the digest", () => about.digest))),
    el(
      "p",
      { class: "actions" },
      el("a", { class: "action", href: to(["compare"], { a: about.digest }) }, "Compare with another"),
      el("a", { class: "action", href: address(`ga4gh/drs/v1/objects/${part(about.digest)}/bytes`), download: `${about.digest}.fa` }, "Download as FASTA"),
    ),
    members(about),
    (await summary()).has_tracks ? tracksOver(about.digest) : null,
    fhrSection(about.fhr),
    provenanceSection(about),
    section(
      "Use it elsewhere",
      commands([
        ["Address of the collection", address(`collection/${part(about.digest)}`)],
        ["Its FASTA file", `seqarchive export --collection ${id}`],
        ["Compare it", `seqarchive collection compare ${id} OTHER`],
        ["Names, lengths and digests", `curl '${address(`collection/${part(about.digest)}`, { level: 2 })}'`],
      ]),
      el(
        "details",
        {},
        el("summary", {}, "Digests of its attributes"),
        el("ul", { class: "digests" }, Object.entries(about.level1).map(([name, one]) => el("li", {}, el("span", { class: "what" }, name), digest(one), copyButton(`the digest of ${name}`, () => one)))),
      ),
    ),
  ];
  return { title, elements: elements.filter((one) => one !== null) };
}
