// Numbers, times, digests and files as people read them.

import { el } from "./dom.js";

/** 12345 as 12,345. */
export function thousands(number) {
  return number.toLocaleString("en-US");
}

/** "1 sequence", "2 sequences". */
export function counted(number, word, words = `${word}s`) {
  return `${thousands(number)} ${number === 1 ? word : words}`;
}

/** A part of something in percent. */
export function percent(part) {
  return `${(100 * part).toFixed(part > 0 && part < 0.001 ? 3 : 1)} %`;
}

/** A size in bytes. */
export function bytes(number) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let n = 0;
  while (number >= 1000 && n < units.length - 1) {
    number /= 1000;
    n += 1;
  }
  return `${n ? number.toFixed(1) : number} ${units[n]}`;
}

/** A length of residues with the unit that fits. */
export function residues(number, isNucleic = false) {
  return counted(number, isNucleic ? "base" : "residue");
}

/** A time of the archive (ISO 8601, UTC) without its seconds. */
export function time(iso) {
  if (!iso) return "";
  return el("time", { datetime: iso, title: iso }, `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC`);
}

/** The day of such a time. */
export function day(iso) {
  return iso ? el("time", { datetime: iso, title: iso }, iso.slice(0, 10)) : "";
}

/** A digest whose middle is not shown, but is there for whoever copies or hears it. */
export function digest(text) {
  const from = /^(ga4gh:)?(SQ\.)?/.exec(text)[0].length + 8;
  if (text.length < from + 8) return el("code", {}, text);
  return el(
    "code",
    { class: "digest", title: text },
    text.slice(0, from),
    el("span", { class: "middle" }, text.slice(from, -4)),
    text.slice(-4),
  );
}
