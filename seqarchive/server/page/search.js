// What a text may mean.

import { json } from "./api.js";
import { el, say } from "./dom.js";
import { to } from "./router.js";
import { counted, digest, thousands } from "./text.js";

function place(one) {
  if (one.kind === "collection") return to(["collection", one.digest]);
  if (one.kind === "former") return to(["sequence", one.name]);
  const hasRange = one.start !== undefined;
  const range = hasRange ? `${one.start ?? 0}-${one.end ?? one.length}` : null;
  return to(["sequence", one.name], { range });
}

function described(one) {
  if (one.kind === "former") return ["means nothing any more; it meant ", digest(one.sequence)];
  if (one.kind === "collection") {
    return `${counted(one.n_sequences, "sequence")} · ${counted(one.n_residues, "residue")}`;
  }
  const others = one.aliases.filter((name) => name !== one.name);
  return [
    counted(one.length, "residue"),
    one.start !== undefined ? ` · range ${thousands(one.start ?? 0)}–${thousands(one.end ?? one.length)}` : "",
    others.length ? ` · also ${others.join(", ")}` : "",
  ];
}

function result(one) {
  const kinds = { sequence: "Sequence", collection: "Collection", former: "Former name" };
  const isDigest = one.name === one.sequence || one.name === one.digest;
  const name = isDigest && one.aliases && one.aliases.length ? one.aliases[0] : one.name;
  return el(
    "li",
    {},
    el(
      "a",
      { class: "card", href: place(one) },
      el("span", { class: "kind" }, kinds[one.kind]),
      el("strong", {}, name),
      el("span", {}, described(one)),
    ),
  );
}

function explained(text, found) {
  const some = counted(found.results.length, "result");
  if (found.is_exact) return `“${text}” means ${found.is_cut ? "more than " : ""}${found.results.length} things. Choose one:`;
  if (!found.results.length && found.is_cut) return `Too many names begin like “${text}”. Type more of the name.`;
  if (!found.results.length) {
    return `Nothing is called “${text}” here. Look at the spelling, or try a shorter beginning.`;
  }
  return `Nothing is called exactly “${text}”. ${found.is_cut ? `The first ${some}` : some} near it:`;
}

export async function search(_parts, parameters) {
  const text = parameters.get("q") || "";
  document.getElementById("q").value = text;
  const found = await json("search", { q: text });
  if (found.is_exact && found.results.length === 1) {
    location.replace(place(found.results[0]));
    return null; // the address changes, and with it the view
  }
  const line = explained(text, found);
  say(line);
  return {
    title: found.results.length ? "Search" : "Nothing found",
    elements: [el("p", { class: "lead" }, line), el("ul", { class: "cards results" }, found.results.map(result))],
  };
}
