// A window of a chromosome as a picture: a signal, intervals one by one, or how many there are.

import { svg } from "./dom.js";
import { thousands } from "./text.js";

const ROW = 20; // of intervals
const MOST_ROWS = 16;
const HEIGHT = 180; // of a signal
const TOP = 12;
const AXIS = 34;

/** Units across: those of the screen, so that positions can be read on a phone. */
export function across() {
  return window.innerWidth < 640 ? 340 : 960;
}

/** Round positions, at most so many, between two. */
export function ticks(start, end, most) {
  const raw = Math.max(1, (end - start) / most);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = Math.max(1, [1, 2, 5, 10].find((one) => one * power >= raw) * power);
  const found = [];
  for (let at = Math.ceil(start / step) * step; at <= end; at += step) found.push(at);
  return found;
}

function axis(shown, x, y) {
  const { start, end } = shown;
  const marks = ticks(start, end, across() < 600 ? 3 : 7).map((at) => {
    const place = x(at);
    const anchor = place < 50 ? "start" : place > across() - 50 ? "end" : "middle";
    return [svg("path", { class: "tick", d: `M${place} ${y}v6` }), svg("text", { x: place, y: y + 21, "text-anchor": anchor }, thousands(at))];
  });
  return [svg("path", { class: "tick", d: `M0 ${y}H${across()}` }), marks];
}

function framed(height, shown, x, title, ...children) {
  const label = `${title}, ${shown.chrom}:${thousands(shown.start)}-${thousands(shown.end)}`;
  return svg(
    "svg",
    { class: "window-picture", viewBox: `0 0 ${across()} ${height + AXIS}`, role: "img", "aria-label": label },
    svg("title", {}, label),
    children,
    axis(shown, x, height),
  );
}

function scale(shown) {
  return (at) => ((at - shown.start) / Math.max(1, shown.end - shown.start)) * across();
}

/** Numbers as people read them. */
export function value(number) {
  if (number === null) return "";
  const size = Math.abs(number);
  return size !== 0 && (size < 0.001 || size >= 1e7) ? number.toExponential(3) : String(Number(number.toPrecision(6)));
}

/** Stretches of bins that have something. */
function stretches(values) {
  const found = [];
  values.forEach((one, n) => {
    if (one === null) return;
    if (n && values[n - 1] !== null) found.at(-1).push(n);
    else found.push([n]);
  });
  return found;
}

/** A step for each bin, from left to right or back. */
function outline(bins, edges, x, y, values, isBack = false) {
  const points = bins.map((n) => [x(edges[n]), x(edges[n + 1]), y(values[n])]);
  if (isBack) return points.reverse().map(([left, right, at]) => `L${right} ${at}L${left} ${at}`).join("");
  return points.map(([left, right, at]) => `L${left} ${at}L${right} ${at}`).join("");
}

function plot(shown, edges, values, band, range, title, unit) {
  const x = scale(shown);
  const [low, high] = range;
  const height = TOP + HEIGHT;
  const y = (one) => Number((height - ((one - low) / (high - low || 1)) * HEIGHT).toFixed(2));
  const base = y(Math.min(Math.max(0, low), high));
  const areas = stretches(values).map((bins) => {
    const closed = (line) => `M${line.slice(1)}Z`;
    const from = `L${x(edges[bins[0]])} ${base}`;
    const to = `L${x(edges[bins.at(-1) + 1])} ${base}`;
    return [
      svg("path", { class: "area", d: closed(from + outline(bins, edges, x, y, values) + to) }),
      band ? svg("path", { class: "band", d: closed(outline(bins, edges, x, y, band[1]) + outline(bins, edges, x, y, band[0], true)) }) : null,
      svg("path", { class: "mean", d: `M${outline(bins, edges, x, y, values).slice(1)}` }),
    ];
  });
  const labels = [
    svg("text", { class: "scale", x: 4, y: TOP + 10 }, `${value(high)}${unit}`),
    svg("text", { class: "scale", x: 4, y: height - 5 }, `${value(low)}${unit}`),
  ];
  return framed(height, shown, x, title, areas, labels);
}

/** A signal: an area of its mean, and a band from the lowest to the highest value. */
export function signalPicture(found) {
  const { region, edges, mean, min, max } = found;
  const there = [...min, ...max].filter((one) => one !== null);
  if (!there.length) return framed(TOP + HEIGHT, region, scale(region), "No values here");
  const low = Math.min(0, ...there);
  const high = Math.max(0, ...there);
  const title = `Values from ${value(Math.min(...there))} to ${value(Math.max(...there))}`;
  return plot(region, edges, mean, [min, max], [low, high], title, "");
}

/** Intervals that are too many to be drawn: which part of each bin they cover. */
export function coveragePicture(found) {
  const { region, edges, coverage, count } = found;
  const percents = coverage.map((one) => (one === null ? null : 100 * one));
  const title = `Part that intervals cover, up to ${thousands(Math.max(...count))} in ${thousands(edges[1] - edges[0])} residues`;
  return plot(region, edges, percents, null, [0, Math.max(...percents, 1e-9)], title, " %");
}

/** The row of each interval, so that none is on another; null if there are too many rows. */
function packed(boxes) {
  const ends = [];
  for (const box of boxes) {
    let row = ends.findIndex((end) => end <= box.left);
    if (row < 0) row = ends.length;
    if (row >= MOST_ROWS) return null;
    ends[row] = box.right + 3;
    box.row = row;
  }
  return ends.length;
}

/** Intervals one by one, with names and strands; null if they do not fit. */
export function intervalPicture(shown, regions) {
  const x = scale(shown);
  const letter = across() < 600 ? 6.5 : 7;
  const boxes = regions.map((one) => {
    const left = Math.max(0, x(one.start));
    const width = Math.max(2, Math.min(across(), x(one.end)) - left);
    const text = one.name.length > 24 ? `${one.name.slice(0, 23)}…` : one.name;
    const room = text ? text.length * letter + 8 : 0;
    const isBehind = left + width + room < across();
    return { one, left, width, text: isBehind || width > room ? text : "", isBehind: isBehind && width <= room, right: left + width + (isBehind && width <= room ? room : 0) };
  });
  const nRows = packed(boxes);
  if (nRows === null) return null;
  const height = TOP + Math.max(3, nRows) * ROW + 6;
  const drawn = boxes.map(({ one, left, width, text, isBehind, row }) => {
    const y = TOP + row * ROW;
    const tip = 5;
    const isPlus = one.strand === "+" && width > 2 * tip;
    const isMinus = one.strand === "-" && width > 2 * tip;
    const right = left + width;
    const shape = isPlus
      ? `M${left} ${y}H${right - tip}L${right} ${y + 7}L${right - tip} ${y + 14}H${left}Z`
      : isMinus
        ? `M${right} ${y}H${left + tip}L${left} ${y + 7}L${left + tip} ${y + 14}H${right}Z`
        : `M${left} ${y}H${right}V${y + 14}H${left}Z`;
    const place = `${shown.chrom}:${thousands(one.start)}-${thousands(one.end)}`;
    const about = [one.name, place, one.strand === "." ? "" : `strand ${one.strand}`, one.score === null ? "" : `score ${value(one.score)}`];
    return svg(
      "g",
      {},
      svg("path", { class: `interval strand-${{ "+": "plus", "-": "minus", ".": "none" }[one.strand]}`, d: shape }, svg("title", {}, about.filter(Boolean).join(", "))),
      text ? svg("text", { class: isBehind ? "label" : "inside", x: isBehind ? right + 4 : left + 6, y: y + 11 }, text) : null,
    );
  });
  return framed(height, shown, x, `${thousands(regions.length)} intervals`, drawn);
}
