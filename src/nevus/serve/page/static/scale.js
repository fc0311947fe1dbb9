// The risk on a scale of log-odds: low risks are as easy to tell apart as high ones, and another prevalence
// moves everything by the same step.

import { make } from "./element.js";
import { percent } from "./risk.js";

const ENDS = [0.001, 0.999];
const TICKS = [1e-6, 1e-5, 1e-4, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999];
const MIN_BETWEEN_TICKS = 15; // In percent of the scale, which is 300 pixels long on a phone.
/** @param {number} share */
const logit = (share) => Math.log(share / (1 - share));

/**
 * The ends of the scale: wider where a prevalence has moved one of the lines beyond them.
 * @param {number[]} lines
 */
function endsFor(lines) {
  const inside = lines.filter((line) => line > 0 && line < 1);
  const low = Math.min(ENDS[0], ...inside.map((line) => line / 3));
  const high = Math.max(ENDS[1], ...inside.map((line) => 1 - (1 - line) / 3));
  return [low, high];
}

/**
 * Place on the scale in percent of its length; what lies beyond its ends is at the end.
 * @param {number[]} ends
 */
function placeOn(ends) {
  const [low, high] = ends.map(logit);
  /** @param {number} share */
  return (share) => (100 * (logit(Math.min(Math.max(share, ends[0]), ends[1])) - low)) / (high - low);
}

/**
 * Puts an element on the scale; its own width is shifted with it, so that it never leaves the scale.
 * @param {HTMLElement} element
 * @param {number} left
 */
function put(element, left) {
  element.style.left = `${left}%`;
  element.style.setProperty("--shift", `${-left}%`);
}

/**
 * @param {Element} parent
 * @param {string} className
 * @param {string} text
 */
function add(parent, className, text = "") {
  const element = make("div", { className }, text);
  parent.append(element);
  return element;
}

/**
 * The scale: bands of the triage, threshold of the operating point, the risk itself.
 * @param {{ risk: number, threshold: number, ruleOut: number, ruleIn: number | null, pointName: string }} lines
 */
export function drawScale({ risk, threshold, ruleOut, ruleIn, pointName }) {
  const scale = make("div", { className: "scale" });
  scale.setAttribute("role", "img");
  const called = risk >= threshold ? "at or over" : "below";
  scale.setAttribute("aria-label", `Risk ${percent(risk)}, ${called} the operating point ${pointName} at ${percent(threshold)}`);

  const track = add(scale, "track");
  const ends = endsFor([threshold, ruleOut, ruleIn ?? threshold]);
  const place = placeOn(ends);
  const lines = [risk, threshold].map(place);
  const edges = [ends[0], ruleOut, ruleIn ?? ends[1], ends[1]].map(place);
  ["low", "uncertain", "high"].forEach((name, index) => {
    const width = edges[index + 1] - edges[index];
    if (width <= 0) return;
    // A name that a line would cross is left out: the verdict above says it anyway.
    const middle = edges[index] + width / 2;
    const isFree = width > 14 && lines.every((line) => Math.abs(line - middle) > 9);
    const zone = add(track, `zone ${name}`, isFree ? name : "");
    zone.style.left = `${edges[index]}%`;
    zone.style.width = `${width}%`;
  });
  put(add(track, "threshold"), place(threshold));
  put(add(track, "marker"), place(risk));
  put(add(scale, "label risk-label", percent(risk)), place(risk));
  put(add(scale, "label threshold-label", `${pointName}: ${percent(threshold)}`), place(threshold));
  const ticks = add(scale, "ticks");
  let last = -Infinity;
  for (const tick of TICKS.filter((share) => share >= ends[0] && share <= ends[1])) {
    if (place(tick) - last < MIN_BETWEEN_TICKS) continue;
    last = place(tick);
    put(add(ticks, "tick", `${+(100 * tick).toPrecision(6)} %`), last);
  }
  return scale;
}
