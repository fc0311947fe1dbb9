// What the page says of its model, and in whose colours its heatmaps are.

import { byId, make } from "./element.js";
import { estimate } from "./risk.js";

/** @import { Described, Model } from "../contract" */

/** @param {Described} described */
export function showModel({ model, heatmap_colours: { raises, lowers, strongest } }) {
  const { network, num_parameters, image_size, generated, limitations } = model;
  const size = `${network}, ${num_parameters.toLocaleString("en")} parameters`;
  byId("model-line").textContent = size;
  byId("limitations").textContent = `${generated ? "This model was trained on generated images, not photographs. " : ""}${limitations}`;
  const facts = [
    ["Network", `${size}, sees ${image_size} × ${image_size} pixels`],
    ["Trained on", model.trained_on],
    ["Intended use", model.intended_use],
    ["Licence", model.licence],
    ...figuresOf(model),
  ];
  byId("model-facts").replaceChildren(...facts.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]));
  const { style } = document.documentElement;
  for (const [name, value] of Object.entries({ raises, lowers, strongest })) style.setProperty(`--${name}`, String(value));
}

/** @param {Model} model */
function figuresOf({ test_metrics, operating_points }) {
  const isAdapted = operating_points.some((point) => point.fitted_on === "adaptation");
  const where = isAdapted ? "on the images it was adapted with, by cross-fitting" : "on its own test images";
  return Object.entries(test_metrics).map(([name, [value, low, high]]) => {
    const text = estimate({ value, low, high }, (number) => number.toFixed(3));
    return [name.replaceAll("_", " "), text ? `${text}, ${where}` : "not defined"];
  });
}
