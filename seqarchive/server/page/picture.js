// Two collections side by side, joined by ribbons: what agrees, what differs, what moved.

import { svg } from "./dom.js";

const GAP = 4;

/** Units across: those of the screen, so that names can be read on a phone. */
function across() {
  return window.innerWidth < 640 ? 320 : 760;
}

/** What a pair can be: its name, its sentence, and its class of colour. */
export const KINDS = [
  ["same", "Same name and sequence"],
  ["renamed", "Same sequence, other name"],
  ["altered", "Same name and length, other residues"],
  ["replaced", "Same name, other sequence"],
  ["only_a", "Only in A"],
  ["only_b", "Only in B"],
];

/** A ribbon between the left (at y1, of height h1) and the right. */
function ribbon(left, right, y1, h1, y2, h2) {
  const middle = (left + right) / 2;
  return (
    `M${left} ${y1}C${middle} ${y1} ${middle} ${y2} ${right} ${y2}` +
    `L${right} ${y2 + h2}C${middle} ${y2 + h2} ${middle} ${y1 + h1} ${left} ${y1 + h1}Z`
  );
}

function cut(name, most) {
  return name.length > most ? `${name.slice(0, most - 7)}…${name.slice(-6)}` : name;
}

function framed(height, title, description, ...children) {
  return svg(
    "svg",
    { class: "picture", viewBox: `0 0 ${across()} ${height}`, role: "img", "aria-label": `${title}. ${description}` },
    svg("title", {}, title),
    svg("desc", {}, description),
    ...children,
  );
}

function heads(left, right) {
  return [
    svg("text", { class: "head", x: left, y: 14, "text-anchor": "middle" }, "A"),
    svg("text", { class: "head", x: right, y: 14, "text-anchor": "middle" }, "B"),
  ];
}

/** Each member by itself. */
export function memberPicture(found, title, description) {
  const { a, b, results } = found;
  const most = Math.max(a.n_sequences, b.n_sequences, 1);
  const isNamed = most <= 80;
  const step = isNamed ? 22 : Math.max(3, Math.min(10, 900 / most));
  const thick = isNamed ? 14 : Math.max(2, step - 1);
  const width = across();
  const margin = isNamed ? Math.min(200, 0.32 * width) : 24;
  const [left, right] = [margin, width - margin];
  const mostLetters = Math.floor(margin / 7.5);
  const top = 28;
  const y = (number) => top + number * step;
  const ribbons = [];
  const bars = [];
  for (const row of results) {
    const kind = `kind-${row.kind}${row.is_moved ? " moved" : ""}`;
    if (row.a && row.b) {
      const names = row.a.name === row.b.name ? row.a.name : `${row.a.name} → ${row.b.name}`;
      ribbons.push(
        svg(
          "path",
          { class: `ribbon ${kind}`, d: ribbon(left + 10, right - 10, y(row.a.number), thick, y(row.b.number), thick) },
          svg("title", {}, names),
        ),
      );
    }
    for (const [side, x, anchor, at] of [
      [row.a, left, "end", left - 8],
      [row.b, right - 10, "start", right + 8],
    ]) {
      if (!side) continue;
      bars.push(svg("rect", { class: `member ${kind}`, x, y: y(side.number), width: 10, height: thick, rx: isNamed ? 3 : 0 }));
      if (isNamed) {
        bars.push(svg("text", { x: at, y: y(side.number) + thick - 3, "text-anchor": anchor }, cut(side.name, mostLetters), svg("title", {}, side.name)));
      }
    }
  }
  return framed(top + most * step + GAP, title, description, ...heads(left + 5, right - 5), ribbons, bars);
}

/** So many members that they are put together in bands: a ribbon is as thick as it has members. */
export function bandPicture(found, nBands, title, description) {
  const { a, b, bands } = found;
  const height = 560;
  const top = 28;
  const [left, right] = [24, across() - 24];
  const most = Math.max(a.n_sequences, b.n_sequences);
  const unit = height / most;
  const sizes = [a, b].map((side) => Math.max(1, Math.ceil(side.n_sequences / nBands)));
  const flows = bands.map(([kind, isMoved, inA, inB, n]) => ({ kind: `kind-${kind}${isMoved ? " moved" : ""}`, inA, inB, n }));
  const order = flows.sort((one, other) => one.inA - other.inA || one.inB - other.inB); // null as 0
  const used = [new Map(), new Map()];
  const place = (side, band, n) => {
    const at = used[side].get(band) ?? 0;
    used[side].set(band, at + n);
    return top + (band * sizes[side] + at) * unit;
  };
  for (const flow of order) flow.y1 = flow.inA === null ? null : place(0, flow.inA, flow.n);
  for (const flow of [...order].sort((one, other) => one.inB - other.inB || one.inA - other.inA)) {
    flow.y2 = flow.inB === null ? null : place(1, flow.inB, flow.n);
  }
  const ribbons = [];
  const bars = [];
  for (const { kind, y1, y2, n } of order) {
    const thick = Math.max(0.4, n * unit);
    if (y1 !== null && y2 !== null) {
      ribbons.push(svg("path", { class: `ribbon ${kind}`, d: ribbon(left + 10, right - 10, y1, thick, y2, thick) }));
    }
    if (y1 !== null) bars.push(svg("rect", { class: `member ${kind}`, x: left, y: y1, width: 10, height: thick }));
    if (y2 !== null) bars.push(svg("rect", { class: `member ${kind}`, x: right - 10, y: y2, width: 10, height: thick }));
  }
  return framed(top + height + GAP, title, description, ...heads(left + 5, right - 5), ribbons, bars);
}
