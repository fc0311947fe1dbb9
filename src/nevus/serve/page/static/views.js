// What is shown of one image: its answer in full, and its card in the gallery.

import { make, shape } from "./element.js";
import { missedShare, percent, positivePredictiveValue, rebaseClasses } from "./risk.js";
import { drawScale } from "./scale.js";

/** @import { Classes, OperatingPoint, Reading } from "../contract" */
/** @import { Settings } from "./settings.js" */

const WORDS = { none: "No answer", low: "Low risk", uncertain: "Uncertain", high: "High risk" };

/** @type {Record<string, string>} */
const REFUSED = {
  too_small: "Too small to tell",
  too_blurred: "Too blurred to tell",
  not_dermoscopic: "Not a dermoscopic image",
  blank: "Nothing to see",
  not_readable: "Cannot be read",
  too_many_pixels: "Too large",
};

/**
 * The answer in full, as a list of elements.
 * @param {Reading} reading
 * @param {Settings} settings
 */
export function answerOf(reading, settings) {
  const { risk, triage, decision, error, probabilities } = reading;
  const name = make("p", { className: "file quiet" }, reading.file);
  if (error) {
    return [
      name,
      make("p", { className: "verdict none" }, shape("none"), REFUSED[error.code] ?? "No answer"),
      make("p", { className: "why" }, error.message),
      make("p", { className: "quiet" }, "No number is given: it would mean nothing."),
    ];
  }
  if (risk === null || triage === null || decision === null) return [name, make("p", { className: "verdict" }, "Reading …")];
  const { model, point } = settings;
  const here = settings.here(risk);
  const threshold = settings.here(point.threshold);
  return [
    name,
    make("p", { className: `verdict ${triage}` }, shape(triage), WORDS[triage]),
    make("p", { className: "number" }, make("span", { className: "big" }, percent(here)), " risk of malignancy, by the model"),
    drawScale({
      risk: here,
      threshold,
      ruleOut: settings.here(model.triage.rule_out),
      ruleIn: model.triage.rule_in === null ? null : settings.here(model.triage.rule_in),
      pointName: point.name,
    }),
    make(
      "p",
      { className: "decision" },
      `At the operating point ${point.name} the model calls it `,
      make("strong", {}, decision),
      `: its risk is ${decision === "malignant" ? "at or over" : "below"} ${percent(threshold)}.`,
    ),
    reading.unfamiliar ? unfamiliarWarning() : null,
    reading.note === null ? null : make("p", {}, `On the file: ${reading.note}.`),
    predictiveValues(point, reading.prevalence ?? model.assumed_prevalence),
    model.classes.names.length > 2
      ? classTable(rebaseClasses(probabilities, model.classes.malignant, risk, here), model.classes)
      : null,
  ].filter((element) => element !== null);
}

/** The words of nevus.core.familiarity. */
function unfamiliarWarning() {
  return make(
    "p",
    { className: "unfamiliar" },
    make("strong", {}, "Unlike the images this model learned from."),
    " It is not known how often the model is right on such images: do not rely on its risk.",
  );
}

/**
 * What a call means where the lesion was seen; nothing where the model does not say how often it is right.
 * @param {OperatingPoint} point
 * @param {number} prevalence
 */
function predictiveValues(point, prevalence) {
  /** @type {[number, string][]} */
  const shares = [
    [positivePredictiveValue(point, prevalence), "of those called malignant here are"],
    [missedShare(point, prevalence), "of those called benign are malignant all the same"],
  ];
  const images = point.fitted_on === "adaptation" ? "images it was adapted with" : "model's validation images";
  const known = shares.filter(([share]) => !Number.isNaN(share)).map(([share, words]) => `${percent(share)} ${words}`);
  if (known.length === 0) return null;
  return make(
    "p",
    { className: "quiet" },
    `Where ${percent(prevalence)} of the lesions are malignant, ${known.join(", and ")}, going by the ${images}.`,
  );
}

/**
 * @param {Record<string, number>} probabilities
 * @param {Classes} classes
 */
function classTable(probabilities, { names, malignant }) {
  const rows = [...names].sort((a, b) => probabilities[b] - probabilities[a]).map((name) => {
    const bar = make("span", { className: `bar ${malignant.includes(name) ? "malignant" : ""}` });
    bar.style.width = `${100 * probabilities[name]}%`;
    return make(
      "tr",
      {},
      make("th", { scope: "row" }, name, malignant.includes(name) ? make("span", { className: "quiet" }, " malignant") : null),
      make("td", { className: "number-cell" }, percent(probabilities[name])),
      make("td", { className: "bar-cell" }, bar),
    );
  });
  return make("table", { className: "classes" }, make("caption", {}, "Probability of each class"), make("tbody", {}, ...rows));
}

/**
 * The card of an image in the gallery, as a list of elements.
 * @param {Reading} reading
 * @param {string} url
 * @param {Settings} settings
 */
export function cardOf({ file, risk, triage, unfamiliar, error }, url, settings) {
  const kind = triage ?? "none";
  const waits = risk === null && error === null;
  const second = error
    ? make("span", { className: "card-why" }, REFUSED[error.code] ?? "")
    : make("span", { className: "card-risk" }, risk === null ? "" : percent(settings.here(risk)));
  return [
    make("img", { src: url, alt: "", loading: "lazy" }),
    make(
      "span",
      { className: "card-text" },
      make("span", { className: `card-word ${kind}` }, waits ? null : shape(kind), waits ? "Reading …" : WORDS[kind]),
      second,
      unfamiliar ? make("span", { className: "card-why" }, "unlike the images it learned from") : null,
      make("span", { className: "file quiet" }, file),
    ),
  ];
}
