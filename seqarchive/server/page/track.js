// One track over its genome: a window that moves and zooms, its entries, and where it came from.

import { address, json, part } from "./api.js";
import { commands, copyButton } from "./copying.js";
import { button, el, facts, newId, say, section } from "./dom.js";
import { note, to } from "./router.js";
import { pagedTable } from "./table.js";
import { bytes, digest, thousands, time } from "./text.js";
import { how, origin } from "./tracks.js";
import { across, coveragePicture, intervalPicture, signalPicture, value } from "./window.js";

const NUMBER = "number";
const FEW = 200; // intervals that are drawn one by one
const STILL = 80; // milliseconds without movement before anything is asked
const LEAST = 20; // residues of a window
const CHOSEN = 300; // chromosomes that one can choose from

function columnsOf(type) {
  if (type === "table") {
    return [
      { title: "Key", class: "name", cell: (row) => row.key },
      { title: "Number", class: NUMBER, cell: (row) => value(row.value) },
    ];
  }
  const places = [
    { title: "Start", class: NUMBER, cell: (row) => thousands(row.start) },
    { title: "End", class: NUMBER, cell: (row) => thousands(row.end) },
    { title: type === "signal" ? "Value" : "Score", class: NUMBER, cell: (row) => value(row.score) },
  ];
  if (type === "signal") return places;
  return [
    ...places,
    { title: "Strand", cell: (row) => ({ "+": "+", "-": "−" })[row.strand] ?? "" },
    { title: "Name", class: "name", cell: (row) => row.name },
    { title: "More", class: "name", cell: (row) => Object.entries(row.tags).map(([key, one]) => `${key}=${one}`).join("; ") },
  ];
}

function entries(track, shown) {
  const size = across() < 600 ? 10 : 20; // rows: what is below them is not far
  return pagedTable({
    caption: track.track_type === "table" ? "Entries of the table" : "Entries in the window",
    columns: columnsOf(track.track_type),
    empty: "Nothing lies in this window.",
    load: async (page) => {
      const found = await json(`api/tracks/${part(track.id)}/data`, { region: shown && locus(shown()), offset: page * size, limit: size });
      const results = found.regions ?? Object.entries(found.values).map(([key, one]) => ({ key, value: one }));
      return { results, pagination: { page, page_size: size, total: found.total } };
    },
  });
}

function locus({ chrom, start, end }) {
  return `${chrom}:${start}-${end}`;
}

/** Pictures of windows, and the table of what is in them. */
function browser(track, first) {
  const lengths = track.chroms;
  const names = Object.keys(lengths);
  const path = `api/tracks/${part(track.id)}`;
  let shown = first;
  let timer = null;
  let asked = 0;
  const table = entries(track, () => shown);
  const hint = newId("hint");
  const frame = el("div", { class: "view", tabindex: "0", role: "group", "aria-label": "Picture of the window", "aria-describedby": hint });
  const where = el("p", { class: "where" });
  const trouble = newId("trouble");
  const wrong = el("p", { id: trouble, class: "message", role: "alert", hidden: true });

  function fail(error) {
    wrong.textContent = error.message;
    wrong.hidden = false;
  }

  async function pictured() {
    const region = locus(shown);
    const few = track.track_type === "interval" ? await json(`${path}/data`, { region, offset: 0, limit: FEW }) : null;
    const drawn = few && few.total <= FEW ? intervalPicture(shown, few.regions) : null;
    if (drawn) return drawn;
    const found = await json(`${path}/summary`, { region, bins: across() / 2 });
    return few ? coveragePicture(found) : signalPicture(found);
  }

  async function load() {
    asked += 1;
    const mine = asked;
    frame.setAttribute("aria-busy", "true");
    try {
      const drawn = await pictured();
      if (mine !== asked) return; // moved on meanwhile
      frame.replaceChildren(drawn);
      await table.show(0);
    } catch (error) {
      if (mine === asked) fail(error);
    }
    if (mine === asked) frame.removeAttribute("aria-busy");
  }

  /** Show another window, as far as the chromosome has it. */
  function move(chrom, start, end) {
    const length = lengths[chrom];
    const size = Math.max(Math.min(LEAST, length), Math.min(length, Math.round(end - start)));
    const from = Math.round(Math.max(0, Math.min(length - size, start)));
    shown = { chrom, start: from, end: from + size };
    where.textContent = `${chrom}, ${thousands(shown.start)}–${thousands(shown.end)} of ${thousands(length)} residues`;
    box.value = locus(shown);
    if (choice) choice.value = chrom;
    before.disabled = shown.start === 0;
    behind.disabled = shown.end === length;
    closer.disabled = size <= LEAST;
    farther.disabled = all.disabled = size === length;
    note({ region: locus(shown) });
    wrong.hidden = true;
    frame.setAttribute("aria-busy", "true");
    clearTimeout(timer);
    timer = setTimeout(load, STILL);
  }

  const slide = (part_) => move(shown.chrom, shown.start + part_ * (shown.end - shown.start), shown.end + part_ * (shown.end - shown.start));
  const zoom = (factor) => {
    const middle = (shown.start + shown.end) / 2;
    const half = ((shown.end - shown.start) * factor) / 2;
    move(shown.chrom, middle - half, middle + half);
  };
  const whole = (chrom) => move(chrom, 0, lengths[chrom]);

  const before = button("Left", () => slide(-0.5));
  const behind = button("Right", () => slide(0.5));
  const closer = button("Zoom in", () => zoom(0.25));
  const farther = button("Zoom out", () => zoom(4));
  const all = button("All of it", () => whole(shown.chrom));

  const field = newId("region");
  const box = el("input", { id: field, type: "text", autocomplete: "off", spellcheck: "false", "aria-describedby": trouble });
  async function go(event) {
    event.preventDefault();
    if (!box.value.trim()) return;
    try {
      const { region } = await json(`${path}/summary`, { region: box.value.trim().replaceAll(",", ""), bins: 1 });
      box.removeAttribute("aria-invalid");
      move(region.chrom, region.start, region.end);
      say(where.textContent);
    } catch (error) {
      box.setAttribute("aria-invalid", "true");
      fail(error);
    }
  }

  const select = newId("chromosome");
  const isChosen = names.length > 1 && names.length <= CHOSEN;
  const choice = isChosen ? el("select", { id: select, on: { change: (event) => whole(event.target.value) } }, names.map((name) => el("option", { value: name }, name))) : null;

  const KEYS = {
    ArrowLeft: () => slide(-0.25),
    ArrowRight: () => slide(0.25),
    PageUp: () => slide(-1),
    PageDown: () => slide(1),
    Home: () => move(shown.chrom, 0, shown.end - shown.start),
    End: () => move(shown.chrom, lengths[shown.chrom], lengths[shown.chrom] + shown.end - shown.start),
    "+": () => zoom(0.5),
    "=": () => zoom(0.5),
    "-": () => zoom(2),
  };
  frame.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(KEYS, event.key)) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  let width = across();
  window.addEventListener("resize", () => {
    if (!frame.isConnected || across() === width) return;
    width = across();
    load();
  });

  const element = el(
    "div",
    { class: "window" },
    el(
      "form",
      { class: "tools", on: { submit: go } },
      choice ? el("span", { class: "pair" }, el("label", { for: select }, "Chromosome"), choice) : null,
      el("span", { class: "pair" }, el("label", { for: field }, "Region"), box),
      el("button", { type: "submit" }, "Go"),
    ),
    el("p", { class: "tools" }, before, behind, closer, farther, all),
    wrong,
    frame,
    where,
    el("p", { id: hint, class: "hint" }, "Once the picture is chosen: arrow and page keys, Home and End move it, plus and minus zoom."),
  );
  move(first.chrom, first.start, first.end);
  return { element, table: table.element, fail };
}

/** The window that is asked for, or the first chromosome that has something. */
async function beginning(track, region) {
  const whole = (chrom) => ({ chrom, start: 0, end: track.chroms[chrom] });
  const path = `api/tracks/${part(track.id)}`;
  if (region) {
    try {
      return [(await json(`${path}/summary`, { region, bins: 1 })).region, null];
    } catch (error) {
      if (![400, 404].includes(error.status)) throw error;
      return [whole(Object.keys(track.chroms)[0]), error];
    }
  }
  if (track.track_type === "interval") {
    const { regions } = await json(`${path}/data`, { offset: 0, limit: 1 });
    if (regions.length) return [whole(regions[0].chrom), null];
  }
  return [whole(Object.keys(track.chroms)[0]), null];
}

const KEPT = { interval: ["bed.gz", "BED, bgzipped"], signal: ["bigwig", "bigWig"], table: ["tsv", "table"] };

export async function track([...parts], parameters) {
  const about = await json(`api/tracks/${part(parts.join("/"))}`);
  const path = `api/tracks/${part(about.id)}`;
  const type = about.track_type;
  const [format, what] = KEPT[type] ?? KEPT.interval;
  const view = [];
  if (type === "table") {
    const table = entries(about, null);
    table.show(0);
    view.push(section("Entries", table.element));
  } else {
    const [first, error] = await beginning(about, parameters.get("region"));
    const { element, table, fail } = browser(about, first);
    if (error) fail(error);
    view.push(section("Over its genome", element), section(type === "signal" ? "Values" : "Intervals", table));
  }
  const computed = how(about.provenance);
  const elements = [
    facts(
      ["Type", type],
      ["Genome", el("a", { href: to(["collection", about.genome_id]) }, about.genome)],
      [type === "signal" ? "Values" : "Entries", about.n_entries === null ? null : thousands(about.n_entries)],
      ["Size", about.size === null ? null : bytes(about.size)],
      ["Stored", time(about.created_at)],
    ),
    computed ? facts(["Computed by", el("code", {}, computed)], ["Version", about.provenance.version]) : null,
    el("ul", { class: "digests" }, el("li", {}, el("span", { class: "what" }, "Digest"), digest(about.content), copyButton("the digest", () => about.content))),
    ...view,
    el(
      "p",
      { class: "actions" },
      el("a", { class: "action", href: address(`${path}/data`, { format }), download: true }, `Download: ${what}`),
      el("a", { class: "action", href: address(`${path}/data`) }, "JSON"),
      el("a", { class: "action", href: to(["tracks"], { genome: about.genome_id }) }, "Tracks over this genome"),
    ),
    origin(about),
    section(
      "Use it elsewhere",
      commands([
        ["Address of the track", address(path)],
        ["A region of it", `curl '${address(`${path}/data`)}?region=CHROM:START-END'`],
        ["In an archive", `seqarchive track get ${about.id}`],
      ]),
    ),
  ];
  return { title: about.name || about.id, elements: elements.filter((one) => one !== null) };
}
