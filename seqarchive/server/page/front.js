// The first view: what is served, and how to ask for it.

import { address, json, summary } from "./api.js";
import { commands } from "./copying.js";
import { el, facts, section } from "./dom.js";
import { to } from "./router.js";
import { counted, thousands, time } from "./text.js";

/** A collection as a card. */
export function card(one) {
  return el(
    "li",
    {},
    el(
      "a",
      { class: "card", href: to(["collection", one.digest]) },
      el("strong", {}, one.title),
      el("span", {}, `${counted(one.n_sequences, "sequence")} · ${counted(one.n_residues, "residue")}`),
    ),
  );
}

export async function front() {
  const [about, newest] = await Promise.all([summary(), json("summary/collections", { page_size: 6 })]);
  const elements = [
    el("p", { class: "lead" }, about.description),
    facts(
      ["Sequences", thousands(about.n_sequences)],
      ["Collections", el("a", { href: "#/collections" }, thousands(about.n_collections))],
      ["Archives", about.n_archives > 1 ? thousands(about.n_archives) : null],
      ["Last change", about.changed ? time(about.changed) : null],
    ),
    el(
      "p",
      { class: "hint" },
      "Search for any name (",
      el("code", {}, "NC_001133.9"),
      "), a name with its namespace (",
      el("code", {}, "refseq:NC_001133.9"),
      "), a range (",
      el("code", {}, "NAME:1,000-2,000"),
      "), the beginning of a name, or any digest: ",
      el("code", {}, "SQ."),
      ", MD5, SHA-1.",
    ),
  ];
  if (newest.results.length) {
    elements.push(
      section(
        about.has_history ? "Newest collections" : "Collections",
        el("ul", { class: "cards" }, newest.results.map(card)),
        newest.pagination.total > newest.results.length
          ? el("p", {}, el("a", { href: "#/collections" }, `All ${counted(newest.pagination.total, "collection")}`))
          : null,
      ),
    );
  }
  elements.push(
    section(
      "How to ask this server",
      commands([
        ["Residues of a range", `curl '${address("sequence/NAME", { start: 0, end: 60 })}'`],
        ["A collection", `curl '${address("collection/NAME")}'`],
        ["samtools: sequences of a CRAM", `export REF_PATH='${address("md5/")}%s'`],
        ["Whatever a text means", `curl '${address("search", { q: "NAME" })}'`],
      ]),
      el(
        "p",
        {},
        "GA4GH refget 2.0.0, sequence collections 1.0.0, DRS 1.5 and SeqRepo's REST interface: ",
        el("a", { href: "openapi.json" }, "openapi.json"),
        " describes them all.",
      ),
    ),
  );
  return { title: about.name, elements };
}
