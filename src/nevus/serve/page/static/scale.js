// The risk on a scale of log-odds: low risks are as easy to tell apart as high ones, and another prevalence
// moves everything by the same step.

import { percent } from "./risk.js";

const ENDS = [0.001, 0.999];
const TICKS = [0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999];
const logit = (share) => Math.log(share / (1 - share));

/** Place on the scale in percent of its length; what lies beyond its ends stands at the end. */
function place(share) {
  const [low, high] = ENDS.map(logit);
  const inside = Math.min(Math.max(share, ENDS[0]), ENDS[1]);
  return (100 * (logit(inside) - low)) / (high - low);
}

/** Puts an element on the scale; its own width is shifted with it, so that it never leaves the scale. */
function put(element, share) {
  const left = place(share);
  element.style.left = `${left}%`;
  element.style.setProperty("--shift", `${-left}%`);
}

function add(parent, name, text = "") {
  const element = document.createElement("div");
  element.className = name;
  element.textContent = text;
  parent.append(element);
  return element;
}

/** Draws the scale: bands of the triage, threshold of the operating point, the risk itself. */
export function drawScale({ risk, threshold, ruleOut, ruleIn, pointName }) {
  const scale = document.createElement("div");
  scale.className = "scale";
  scale.setAttribute("role", "img");
  const called = risk >= threshold ? "at or over" : "below";
  scale.setAttribute("aria-label", `Risk ${percent(risk)}, ${called} the operating point ${pointName} at ${percent(threshold)}`);

  const track = add(scale, "track");
  const lines = [risk, threshold].map(place);
  const edges = [ENDS[0], ruleOut, ruleIn ?? ENDS[1], ENDS[1]].map(place);
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
  put(add(track, "threshold"), threshold);
  put(add(track, "marker"), risk);
  put(add(scale, "label risk-label", percent(risk)), risk);
  put(add(scale, "label threshold-label", `${pointName}: ${percent(threshold)}`), threshold);
  const ticks = add(scale, "ticks");
  for (const tick of TICKS) put(add(ticks, "tick", `${+(100 * tick).toFixed(1)} %`), tick);
  return scale;
}
