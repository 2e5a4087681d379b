// A table of which the server gives a page at a time: there are never more rows than can be read.

import { button, el, newId, say } from "./dom.js";
import { thousands } from "./text.js";

/**
 * @param caption What it lists.
 * @param columns `title`, `cell(row)` and perhaps a `class`.
 * @param load Gives a page (from 0) as `results` and `pagination`.
 * @returns The element, and `show(page)`.
 */
export function pagedTable({ caption, columns, load, empty = "Nothing." }) {
  const label = newId("table");
  const body = el("tbody", { role: "rowgroup" });
  // On a phone rows are laid out as cards: roles keep it a table for those who hear it.
  const head = el("tr", { role: "row" }, columns.map((one) => el("th", { scope: "col", role: "columnheader", class: one.class }, one.title)));
  const table = el("table", { class: "cards-if-narrow", role: "table" }, el("caption", { id: label, class: "hidden" }, caption), el("thead", { role: "rowgroup" }, head), body);
  const box = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-labelledby": label }, table);
  const count = el("span", { class: "count" });
  const first = button("First", () => show(0));
  const previous = button("Previous", () => show(current - 1));
  const next = button("Next", () => show(current + 1));
  const last = button("Last", () => show(pages - 1));
  const pager = el("nav", { class: "pager", "aria-label": `Pages of: ${caption}` }, count, first, previous, next, last);
  let current = 0;
  let pages = 1;
  let asked = 0;

  async function show(page) {
    asked += 1;
    const mine = asked;
    box.setAttribute("aria-busy", "true");
    let found;
    try {
      found = await load(page);
    } catch (error) {
      if (mine === asked) body.replaceChildren(el("tr", {}, el("td", { colspan: columns.length }, error.message)));
      return;
    }
    if (mine !== asked) return; // something else was asked for meanwhile
    const { results, pagination } = found;
    current = pagination.page;
    pages = Math.max(1, Math.ceil(pagination.total / pagination.page_size));
    const rows = results.map((row) =>
      el(
        "tr",
        { role: "row" },
        columns.map((one) => el("td", { role: "cell", class: one.class, "data-title": one.title }, el("div", {}, one.cell(row)))),
      ),
    );
    body.replaceChildren(...(rows.length ? rows : [el("tr", {}, el("td", { colspan: columns.length }, empty))]));
    const start = current * pagination.page_size;
    const range = `${thousands(Math.min(start + 1, pagination.total))}–${thousands(start + results.length)}`;
    count.textContent = `${range} of ${thousands(pagination.total)}`;
    pager.hidden = pages === 1;
    first.disabled = previous.disabled = current === 0;
    next.disabled = last.disabled = current >= pages - 1;
    box.removeAttribute("aria-busy");
    box.scrollTo(0, 0);
    say(`${caption}: ${count.textContent}`);
  }

  return { element: el("div", { class: "paged" }, box, pager), show };
}
