// Elements from code: text is always set as text, never as markup.

/** @import { Band } from "../contract" */

const SVG = "http://www.w3.org/2000/svg";

/** @type {Record<Band | "none", [string, Record<string, string | number>]>} */
const SHAPES = {
  low: ["circle", { cx: 12, cy: 12, r: 8.5 }],
  uncertain: ["path", { d: "M12 2.5 21.5 12 12 21.5 2.5 12z" }],
  high: ["path", { d: "M12 3 22 20.5H2z" }],
  none: ["path", { d: "M4 4h16v16H4z" }],
};

/**
 * The element of index.html with this id, which must be of that kind.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @param {new () => T} kind
 */
export function byId(id, kind = /** @type {any} */ (HTMLElement)) {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new TypeError(`index.html has no ${kind.name} #${id}.`);
  return element;
}

/**
 * An element with a class, properties and children: strings become text.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {{ className?: string } & Partial<HTMLElementTagNameMap[T]>} properties
 * @param {(Element | string | null)[]} children
 */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null));
  return element;
}

/**
 * The shape of a band: a circle, a diamond, a triangle; a square where there is no answer.
 * @param {Band | "none"} band
 */
export function shape(band) {
  const [kind, attributes] = SHAPES[band];
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `shape ${band}`);
  svg.setAttribute("aria-hidden", "true");
  const inner = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) inner.setAttribute(name, String(value));
  svg.append(inner);
  return svg;
}
