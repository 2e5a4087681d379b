// What a sequence consists of, as bars.

import { el, facts } from "./dom.js";
import { percent, thousands } from "./text.js";

/** The letters of a sequence with their numbers. */
export function composition(found) {
  if (!found.letters.length) return el("p", {}, "No residues, no composition.");
  const most = found.letters[0].count;
  const rows = found.letters.map(({ letter, count }) => {
    const bar = el("span", { class: "amount" });
    bar.style.width = `${(100 * count) / most}%`;
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, el("code", {}, letter)),
      el("td", { class: "number" }, thousands(count)),
      el("td", { class: "number" }, percent(count / found.length)),
      el("td", { class: "bars", "aria-hidden": "true" }, bar),
    );
  });
  const head = ["Letter", "Number", "Part"].map((title, n) => el("th", { scope: "col", class: n ? "number" : null }, title));
  return el(
    "div",
    {},
    found.gc === null ? null : facts(["G + C", percent(found.gc)]),
    el(
      "table",
      { class: "composition" },
      el("caption", { class: "hidden" }, "How often each letter occurs"),
      el("thead", {}, el("tr", {}, head, el("td", { class: "bars" }))),
      el("tbody", {}, rows),
    ),
  );
}
