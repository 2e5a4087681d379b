// What two collections have in common.

import { address, json, part } from "./api.js";
import { commands, word } from "./copying.js";
import { button, el, newId, section } from "./dom.js";
import { KINDS, bandPicture, memberPicture } from "./picture.js";
import { to } from "./router.js";
import { pagedTable } from "./table.js";
import { counted, digest, thousands } from "./text.js";

/** Members of a collection that are drawn one by one at most, and bands beyond that. */
const DRAWN = 400;
const BANDS = 60;

/** Collections in a list from which one is chosen; of more, names and digests are typed. */
const MOST_OPTIONS = 200;

const PHRASES = Object.fromEntries(KINDS);

/** A form in which two collections are chosen. */
export async function choice(_parts, parameters) {
  const known = await json("summary/collections", { page_size: MOST_OPTIONS });
  const isWhole = known.pagination.total <= MOST_OPTIONS;
  const list = newId("known");
  const options = () => known.results.map((one) => el("option", { value: one.digest }, `${one.title}, ${counted(one.n_sequences, "sequence")}`));
  const field = (name, label) => {
    const id = newId("choose");
    const input = isWhole
      ? el("select", { id, name, required: true }, el("option", { value: "" }, "Choose one"), options())
      : el("input", { id, name, type: "text", list, required: true, autocomplete: "off", spellcheck: "false" });
    input.value = parameters.get(name) || "";
    return el("p", { class: "field" }, el("label", { for: id }, label), input);
  };
  const trouble = el("p", { class: "message", role: "alert", hidden: true });
  const compare = async (event) => {
    event.preventDefault();
    const given = new FormData(event.target);
    const chosen = [given.get("a").trim(), given.get("b").trim()];
    try {
      const found = await Promise.all(chosen.map((one) => json(`collection/${part(one)}/provenance`)));
      location.hash = to(["compare", ...found.map((one) => one.digest)]);
    } catch (error) {
      trouble.textContent = `${error.message}. Choose another, or give a digest.`;
      trouble.hidden = false;
    }
  };
  const form = el(
    "form",
    { class: "choose", on: { submit: compare } },
    field("a", "Collection A"),
    field("b", "Collection B"),
    isWhole ? null : el("datalist", { id: list }, options()),
    el("button", { type: "submit", class: "primary" }, "Compare"),
  );
  return {
    title: "Compare two collections",
    elements: [el("p", { class: "lead" }, "By names or digests: which sequences agree, which were renamed, which moved."), form, trouble],
  };
}

function side(letter, one) {
  return el(
    "p",
    {},
    el("span", { class: "letter" }, letter),
    el("a", { href: to(["collection", one.digest]) }, one.title === one.digest ? digest(one.digest) : one.title),
    el("span", { class: "by" }, counted(one.n_sequences, "sequence")),
  );
}

function member(one) {
  if (!one) return el("span", { class: "none" }, "–");
  return [el("a", { href: to(["sequence", one.sequence]) }, one.name), el("span", { class: "by" }, `no. ${thousands(one.number + 1)}`), el("span", { class: "by" }, counted(one.length, "residue"))];
}

function sequencesOf(row) {
  if (row.a && row.b && row.a.sequence !== row.b.sequence) return [digest(row.a.sequence), " ≠ ", digest(row.b.sequence)];
  return digest((row.a || row.b).sequence);
}

export async function comparison([first, second]) {
  const path = `comparison/${part(first)}/${part(second)}/members`;
  const found = await json(path, { page_size: 1000, bands: BANDS });
  const { a, b, counts } = found;
  const isSmall = Math.max(a.n_sequences, b.n_sequences) <= DRAWN;
  const shown = KINDS.filter(([kind]) => counts[kind]);
  const said = shown.map(([kind, phrase]) => `${phrase}: ${thousands(counts[kind])}`);
  if (counts.moved) said.push(`moved: ${thousands(counts.moved)}`);
  const title = `${a.title} and ${b.title}`;
  const picture = isSmall
    ? memberPicture(found, `A picture of ${title}`, said.join("; "))
    : bandPicture(found, BANDS, `A picture of ${title}`, said.join("; "));

  let kind = null;
  const table = pagedTable({
    caption: "Members of both collections",
    columns: [
      { title: "In A", class: "name", cell: (row) => member(row.a) },
      { title: "In B", class: "name", cell: (row) => member(row.b) },
      { title: "What", cell: (row) => [el("span", { class: `chip kind-${row.kind}` }, PHRASES[row.kind]), row.is_moved ? el("span", { class: "chip moved" }, "Moved") : null] },
      { title: "Sequence", cell: sequencesOf },
    ],
    load: (page) => json(path, { page, page_size: 50, kind }),
  });
  const chips = [[null, "All", found.pagination.total], ...shown.map(([one, phrase]) => [one, phrase, counts[one]])];
  if (counts.moved) chips.push(["moved", "Moved", counts.moved]);
  const buttons = chips.map(([one, phrase, n]) =>
    button(
      [el("span", { class: `swatch kind-${one}`, "aria-hidden": "true" }), `${phrase} `, el("strong", {}, thousands(n))],
      (event) => {
        kind = one;
        for (const other of buttons) other.setAttribute("aria-pressed", other === event.currentTarget);
        figure.dataset.kind = one ?? "";
        table.show(0);
      },
      { class: "filter", "aria-pressed": one === null },
    ),
  );
  const figure = el("figure", { class: "comparison" }, picture, el("figcaption", {}, isSmall ? "Ribbons join what is the same member; the order is that of the collections." : `Both collections in ${BANDS} bands, in their order; a ribbon is as thick as it has members.`));
  table.show(0);
  const ids = [a, b].map((one) => word(one.title, one.digest));
  return {
    title,
    elements: [
      el("div", { class: "sides" }, side("A", a), side("B", b)),
      el("p", { class: "verdict" }, found.summary),
      el("div", { class: "filters", role: "group", "aria-label": "Show only" }, buttons),
      figure,
      section("Member by member", table.element),
      section(
        "Use it elsewhere",
        commands([
          ["In words", `seqarchive collection compare ${ids.join(" ")}`],
          ["As the standard has it", address(`comparison/${part(a.digest)}/${part(b.digest)}`)],
          ["Member by member", `curl '${address(path)}'`],
        ]),
        el("p", {}, el("a", { href: to(["compare", b.digest, a.digest]) }, "The other way round")),
      ),
    ],
  };
}
