// A window of residues that moves along a sequence of any length. Only what is seen is fetched, and a
// window ahead and behind.

import { part, text } from "./api.js";
import { button, el, newId, say, svg } from "./dom.js";
import { thousands } from "./text.js";

const GROUP = 10;
const CHUNK = 8192;
const KEPT = 64; // chunks
const STILL = 60; // milliseconds without movement before anything is fetched
const BAR = 1000; // units of the overview bar

/** `1,000-2,000`, `5000`, `1,000-` as [start, end], end null for a position; null if it is neither. */
export function parsedRange(given, length, isCircular) {
  const match = /^\s*([\d,._\s]+?)\s*(?:(-|–|\.\.|to)\s*([\d,._\s]*?))?\s*$/.exec(given);
  if (match === null) return null;
  const number = (digits) => Number(digits.replace(/[,._\s]/g, ""));
  const start = number(match[1]);
  const end = match[2] === undefined ? null : match[3] ? number(match[3]) : length;
  if (!Number.isSafeInteger(start) || start > length || (start === length && length > 0)) return null;
  if (end !== null && (!Number.isSafeInteger(end) || end > length || (end < start && !isCircular))) return null;
  return [start, end];
}

class Chunks {
  constructor(digest, length, size) {
    Object.assign(this, { digest, length, size, found: new Map() });
  }

  /** The residue at a position; null if it is not there yet. */
  at(position) {
    const chunk = this.found.get(Math.floor(position / this.size));
    return typeof chunk === "string" ? chunk[position % this.size] : null;
  }

  /** Fetch what is missing of a part; true if anything came. */
  async fetch(start, end) {
    const waiting = [];
    for (let n = Math.floor(start / this.size); n * this.size < end; n += 1) {
      const known = this.found.get(n);
      this.found.delete(n); // the one that was used last stays longest
      this.found.set(n, known ?? this.ask(n));
      if (typeof known !== "string") waiting.push(this.found.get(n));
    }
    for (const n of [...this.found.keys()].slice(0, Math.max(0, this.found.size - KEPT))) this.found.delete(n);
    await Promise.all(waiting);
    return waiting.length > 0;
  }

  async ask(n) {
    const start = n * this.size;
    try {
      const chunk = await text(`sequence/${part(this.digest)}`, {
        start,
        end: Math.min(start + this.size, this.length),
      });
      if (this.found.has(n)) this.found.set(n, chunk);
    } catch (error) {
      this.found.delete(n);
      throw error;
    }
  }
}

/**
 * @param sequence `digest` (SQ.), `length`, `circular`, `limit` of one answer.
 * @param range [start, end] that is marked, end null for a position only; or null.
 * @param changed Called with the range that is marked from now on.
 * @returns The element, `residues(start, end)`, and `profile(values)` for the overview bar.
 */
export function residueWindow(sequence, range, changed) {
  const { length, circular } = sequence;
  if (length === 0) {
    return { element: el("p", { class: "message" }, "This sequence is empty: it has no residues."), profile() {} };
  }
  const chunks = new Chunks(sequence.digest, length, Math.min(CHUNK, sequence.limit ?? CHUNK));
  const hint = newId("hint");
  const rows = el("div", {
    class: "residues",
    tabindex: "0",
    role: "group",
    "aria-label": "Residues",
    "aria-describedby": hint,
  });
  const where = el("p", { class: "where" });
  const problem = el("p", { class: "message", role: "alert", hidden: true });
  let perRow = 60;
  let nRows = 16;
  let top = 0;
  let marked = range;
  let isColoured = false;
  let timer = null;

  const perWindow = () => perRow * nRows;
  const lastTop = () => Math.max(0, (Math.ceil(length / perRow) - nRows) * perRow);

  // --- the overview bar -------------------------------------------------------------------------

  const thumb = svg("rect", { class: "thumb", y: 0, height: 40, rx: 2 });
  const mark = svg("rect", { class: "mark", y: 0, height: 40 });
  const picture = svg("g", { class: "profile", "aria-hidden": "true" });
  const bar = svg(
    "svg",
    {
      class: "overview",
      viewBox: `0 0 ${BAR} 40`,
      preserveAspectRatio: "none",
      tabindex: "0",
      role: "slider",
      "aria-label": "Position in the whole sequence",
      "aria-valuemin": 0,
      "aria-valuemax": length,
    },
    picture,
    mark,
    thumb,
  );

  function pointed(event) {
    const box = bar.getBoundingClientRect();
    const part = (event.clientX - box.left) / box.width;
    move(Math.round(part * length - perWindow() / 2));
  }

  bar.addEventListener("pointerdown", (event) => {
    bar.setPointerCapture(event.pointerId);
    pointed(event);
  });
  bar.addEventListener("pointermove", (event) => {
    if (bar.hasPointerCapture(event.pointerId)) pointed(event);
  });

  function placeBar() {
    const width = Math.max(3, (BAR * Math.min(perWindow(), length)) / length);
    thumb.setAttribute("width", width);
    thumb.setAttribute("x", Math.min(BAR - width, (BAR * top) / length));
    const isRange = marked !== null && marked[1] !== null && marked[1] >= marked[0];
    mark.setAttribute("x", isRange ? (BAR * marked[0]) / length : 0);
    mark.setAttribute("width", isRange ? Math.max(2, (BAR * (marked[1] - marked[0])) / length) : 0);
    bar.setAttribute("aria-valuenow", top);
    bar.setAttribute("aria-valuetext", `${thousands(top)} of ${thousands(length)}`);
  }

  function profile(values, known) {
    if (!values.length) return;
    const seen = values.filter((one) => one !== null);
    const [low, high] = [Math.min(...seen), Math.max(...seen)];
    const width = BAR / values.length;
    picture.replaceChildren(
      ...values.map((value, n) => {
        const height = value === null ? 0 : 6 + (30 * (value - low)) / (high - low || 1);
        return svg("rect", {
          class: known[n] < 0.5 ? "gap" : "gc",
          x: n * width,
          width: width + 0.3,
          y: known[n] < 0.5 ? 0 : 40 - height,
          height: known[n] < 0.5 ? 40 : height,
        });
      }),
    );
  }

  // --- the rows ---------------------------------------------------------------------------------

  function isMarked(position) {
    if (marked === null || marked[1] === null) return false;
    const [start, end] = marked;
    return start <= end ? position >= start && position < end : position >= start || position < end;
  }

  function group(start, end) {
    const found = el("span", { class: "group" });
    let piece = "";
    let style = "";
    const flush = () => {
      if (piece) found.append(style ? el(style.startsWith("m") ? "mark" : "span", { class: style.slice(1) }, piece) : piece);
      piece = "";
    };
    for (let at = start; at < end; at += 1) {
      const letter = chunks.at(at) ?? "·";
      const colour = isColoured && "ACGTUN".includes(letter) ? `letter-${letter}` : "";
      const wanted = isMarked(at) ? `m${colour}` : colour ? `s${colour}` : "";
      if (wanted !== style) flush();
      style = wanted;
      piece += letter;
    }
    flush();
    return found;
  }

  function draw() {
    const lines = [];
    for (let start = top; start < Math.min(length, top + perWindow()); start += perRow) {
      const end = Math.min(start + perRow, length);
      const groups = [];
      for (let at = start; at < end; at += GROUP) groups.push(group(at, Math.min(at + GROUP, end)));
      lines.push(
        el(
          "div",
          { class: "row" },
          el("span", { class: "ruler" }, thousands(start)),
          el("span", { class: "letters" }, groups),
        ),
      );
    }
    rows.replaceChildren(...lines);
    rows.dataset.start = top;
    rows.dataset.end = Math.min(length, top + perWindow());
    where.textContent = `Residues ${thousands(top)}–${thousands(Math.min(length, top + perWindow()))} of ${thousands(length)}${circular ? ", circular" : ""}`;
    back.disabled = top === 0;
    on.disabled = top >= lastTop();
    placeBar();
  }

  function move(wanted) {
    const to = Math.max(0, Math.min(lastTop(), Math.floor(wanted / perRow) * perRow));
    top = to;
    draw();
    clearTimeout(timer);
    timer = setTimeout(load, STILL);
  }

  async function load() {
    timer = null;
    const [start, end] = [top, Math.min(length, top + perWindow())];
    try {
      rows.setAttribute("aria-busy", "true");
      if (await chunks.fetch(start, end)) draw();
      rows.removeAttribute("aria-busy");
      problem.hidden = true;
      await chunks.fetch(Math.max(0, start - perWindow()), Math.min(length, end + perWindow()));
    } catch (error) {
      problem.textContent = `${error.message} Move the window to try it again.`;
      problem.hidden = false;
    }
  }

  function fit() {
    const ruler = thousands(length).length + 2;
    const probe = el("span", { class: "probe" }, "0".repeat(100));
    rows.append(probe);
    const letter = probe.getBoundingClientRect().width / 100;
    probe.remove();
    if (!letter) return;
    const room = (rows.clientWidth - 24) / letter - ruler;
    const groups = Math.max(1, Math.min(10, Math.floor((room + 1) / (GROUP + 1))));
    const wanted = groups * GROUP;
    nRows = Math.max(1, Math.min(window.innerWidth < 600 ? 14 : 16, Math.ceil(length / wanted)));
    rows.style.setProperty("--ruler", `${ruler}ch`);
    perRow = wanted;
    move(top);
  }

  // --- moving -----------------------------------------------------------------------------------

  const KEYS = {
    ArrowDown: () => top + perRow,
    ArrowUp: () => top - perRow,
    ArrowRight: () => top + perRow,
    ArrowLeft: () => top - perRow,
    PageDown: () => top + perWindow(),
    PageUp: () => top - perWindow(),
    Home: () => 0,
    End: () => length,
  };

  function pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(KEYS, event.key)) return;
    event.preventDefault();
    move(KEYS[event.key]());
  }

  rows.addEventListener("keydown", pressed);
  // On the bar a step is a hundredth, so that the end of a chromosome is not a million steps away.
  bar.addEventListener("keydown", (event) => {
    const step = Math.max(perRow, Math.round(length / 100));
    const steps = { ArrowRight: step, ArrowUp: step, ArrowLeft: -step, ArrowDown: -step, PageUp: 10 * step, PageDown: -10 * step };
    if (Object.hasOwn(steps, event.key)) {
      event.preventDefault();
      move(top + steps[event.key]);
    } else if (event.key === "Home" || event.key === "End") {
      event.preventDefault();
      move(event.key === "Home" ? 0 : length);
    }
  });
  rows.addEventListener(
    "wheel",
    (event) => {
      // Only where one is at work: otherwise nobody would get past a chromosome with the wheel.
      if (document.activeElement !== rows || event.ctrlKey) return;
      const to = top + Math.sign(event.deltaY) * perRow * Math.max(1, Math.round(Math.abs(event.deltaY) / 40));
      if ((event.deltaY < 0 && top === 0) || (event.deltaY > 0 && top >= lastTop())) return;
      event.preventDefault();
      move(to);
    },
    { passive: false },
  );

  const field = newId("goto");
  const trouble = newId("trouble");
  const box = el("input", {
    id: field,
    type: "text",
    inputmode: "text",
    autocomplete: "off",
    placeholder: "1,000-2,000",
    "aria-describedby": trouble,
  });
  const wrong = el("p", { id: trouble, class: "message", role: "alert", hidden: true });

  function go(event) {
    event.preventDefault();
    const wanted = box.value.trim() ? parsedRange(box.value, length, circular) : [0, null];
    wrong.hidden = wanted !== null;
    box.setAttribute("aria-invalid", wanted === null);
    if (wanted === null) {
      wrong.textContent = `“${box.value}” is no position in this sequence: say 5000 or 1,000-2,000, from 0 to ${thousands(length)}.`;
      return;
    }
    marked = wanted[1] === null ? null : wanted;
    move(wanted[0]);
    changed(marked);
    say(where.textContent);
  }

  const back = button("Previous", () => move(top - perWindow()));
  const on = button("Next", () => move(top + perWindow()));
  const colours = newId("colours");
  const tools = el(
    "form",
    { class: "tools", on: { submit: go } },
    el("label", { for: field }, "Go to"),
    box,
    el("button", { type: "submit" }, "Go"),
    back,
    on,
    el(
      "span",
      { class: "check" },
      el("input", {
        id: colours,
        type: "checkbox",
        on: {
          change: (event) => {
            isColoured = event.target.checked;
            draw();
          },
        },
      }),
      el("label", { for: colours }, "Colours"),
    ),
  );
  const element = el(
    "div",
    { class: "window" },
    tools,
    wrong,
    bar,
    rows,
    problem,
    where,
    el("p", { id: hint, class: "hint" }, "Arrow and page keys, Home and End move it once it is chosen; so does the wheel. The bar above is the whole sequence."),
  );
  if (range !== null) {
    top = range[0];
    box.value = range[1] === null ? `${range[0]}` : `${range[0]}-${range[1]}`;
  }
  new ResizeObserver(fit).observe(element);

  /** The residues of a part, for copying. */
  async function residues(start, end) {
    if (start <= end) return text(`sequence/${part(sequence.digest)}`, { start, end });
    return (await residues(start, length)) + (await residues(0, end));
  }

  return { element, residues, profile };
}
