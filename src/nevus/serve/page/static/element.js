// Elements from code: text is always set as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";
const SHAPES = {
  low: ["circle", { cx: 12, cy: 12, r: 8.5 }],
  uncertain: ["path", { d: "M12 2.5 21.5 12 12 21.5 2.5 12z" }],
  high: ["path", { d: "M12 3 22 20.5H2z" }],
  none: ["path", { d: "M4 4h16v16H4z" }],
};

export const byId = (id) => document.getElementById(id);

/** An element with a class, properties and children: strings become text. */
export function make(tag, { className = "", ...properties } = {}, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  Object.assign(element, properties);
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** The shape of a band: a circle, a diamond, a triangle; a square where there is no answer. */
export function shape(band) {
  const [kind, attributes] = SHAPES[band];
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `shape ${band}`);
  svg.setAttribute("aria-hidden", "true");
  const inner = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) inner.setAttribute(name, value);
  svg.append(inner);
  return svg;
}
