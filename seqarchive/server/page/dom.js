// Elements. Whatever comes from an archive becomes text here, never markup.

const SVG = "http://www.w3.org/2000/svg";

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value);
    }
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** An element of HTML with attributes, event handlers (`on`) and children; texts become text. */
export function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** The same of SVG. */
export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

/** Say something to those who cannot see what changed. */
export function say(text) {
  document.getElementById("said").textContent = text;
}

/** A section with a heading. */
export function section(title, ...children) {
  return el("section", {}, el("h2", {}, title), ...children);
}

/** Facts: pairs of a term and its description; those without one are left out. */
export function facts(...pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el(
    "dl",
    { class: "facts" },
    shown.map(([term, value]) => el("div", {}, el("dt", {}, term), el("dd", {}, value))),
  );
}

/** A button that does something here. */
export function button(text, click, attributes = {}) {
  return el("button", { type: "button", ...attributes, on: { click } }, text);
}

let numbered = 0;

/** A new id, for labels. */
export function newId(stem) {
  numbered += 1;
  return `${stem}-${numbered}`;
}
