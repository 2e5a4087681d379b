// Tracks: a list of them, and where one came from.

import { address, json, part } from "./api.js";
import { el, section } from "./dom.js";
import { to } from "./router.js";
import { pagedTable } from "./table.js";
import { bytes, thousands, time } from "./text.js";

const NUMBER = "number";

/** How a track was computed, in a line; null if it was not. */
export function how(provenance) {
  if (!provenance) return null;
  const params = Object.entries(provenance.params).filter(([, one]) => one !== null).map(([name, value]) => `${name}=${value}`);
  return `${provenance.operation}(${params.join(", ")})`;
}

/** A table of tracks, or of those over a genome. */
function trackTable(genome) {
  return pagedTable({
    caption: "Tracks",
    columns: [
      { title: "Track", class: "name", cell: (row) => el("a", { href: to(["track", row.id]) }, row.name || row.id) },
      { title: "Type", cell: (row) => row.track_type ?? "dropped" },
      { title: "Genome", class: "name", cell: (row) => el("a", { href: to(["collection", row.genome_id]) }, row.genome) },
      { title: "Entries", class: NUMBER, cell: (row) => (row.n_entries === null ? "" : thousands(row.n_entries)) },
      { title: "Size", class: NUMBER, cell: (row) => (row.size === null ? "" : bytes(row.size)) },
      { title: "Stored", cell: (row) => time(row.created_at) },
      { title: "Computed by", class: "name", cell: (row) => how(row.provenance) ?? "" },
    ],
    empty: "There are no tracks here.",
    load: (page) => json("api/tracks", { genome, page, page_size: 50 }),
  });
}

export async function tracks(parts, parameters) {
  const genome = parameters.get("genome");
  const table = trackTable(genome);
  await table.show(0);
  return {
    title: genome ? "Tracks over a genome" : "Tracks",
    elements: [
      el("p", { class: "lead" }, "Values and intervals over genomes, with how they were computed."),
      genome ? el("p", {}, el("a", { href: to(["collection", genome]) }, "The genome"), " · ", el("a", { href: "#/tracks" }, "All tracks")) : null,
      table.element,
    ].filter((one) => one !== null),
  };
}

/** The tracks over a collection as a section, once they are known; nothing if there are none. */
export function tracksOver(digest) {
  const place = el("div", {});
  json("api/tracks", { genome: digest, page_size: 8 }).then(
    ({ results, pagination }) => {
      if (!results.length) return;
      const all = pagination.total > results.length ? el("p", {}, el("a", { href: to(["tracks"], { genome: digest }) }, `All ${thousands(pagination.total)} tracks`)) : null;
      const one = (row) =>
        el("li", {}, el("a", { class: "card", href: to(["track", row.id]) }, el("strong", {}, row.name || row.id), el("span", {}, how(row.provenance) ?? row.track_type)));
      place.replaceChildren(section("Tracks over it", el("ul", { class: "cards" }, results.map(one)), all ?? ""));
    },
    () => {},
  );
  return place;
}

function place(node) {
  if (node.kind === "track") return el("a", { href: to(["track", node.id]) }, node.label);
  return node.kind === "genome" ? el("a", { href: to(["collection", node.id]) }, node.label) : node.label;
}

/** The graph of what leads to a track as nested lists; what was said above is not said again. */
function tree(found, id, seen) {
  const node = found.nodes.find((one) => one.id === id);
  const isNew = !seen.has(id);
  seen.add(id);
  const inputs = isNew ? found.arrows.filter(([, after]) => after === id).map(([before]) => before) : [];
  const operation = node.provenance ? el("span", { class: "by" }, `${node.provenance.operation}, version ${node.provenance.version}`) : null;
  return el("li", {}, place(node), operation, inputs.length ? el("ul", {}, inputs.map((one) => tree(found, one, seen))) : null);
}

/** Where a track came from, as a picture and in words; and what was computed from it. */
export function origin(track) {
  const how_ = el("div", { class: "origin" });
  const label = `Where ${track.name || track.id} came from`;
  const picture = el("img", { src: address(`api/tracks/${part(track.id)}/lineage`, { format: "svg" }), alt: `${label}: the list below says the same` });
  how_.append(el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, picture));
  const words = el("div", {});
  how_.append(words);
  Promise.all([json(`api/tracks/${part(track.id)}/lineage`), json(`api/tracks/${part(track.id)}/descendants`)]).then(
    ([before, behind]) => {
      const from = el("ul", { class: "lineage" }, tree(before, before.id, new Set()));
      const others = behind.nodes.slice(1);
      words.replaceChildren(from);
      if (others.length) words.append(el("p", {}, "Computed from it: ", others.flatMap((one, n) => [n ? ", " : "", place(one)])));
    },
    (error) => words.replaceChildren(el("p", { class: "message" }, error.message)),
  );
  return section("Where it came from", how_);
}
