// What is shown of one image: its answer in full, and its card in the gallery.

import { make, shape } from "./element.js";
import { missedShare, percent, positivePredictiveValue, rebaseClasses } from "./risk.js";
import { drawScale } from "./scale.js";

const WORDS = { low: "Low risk", uncertain: "Uncertain", high: "High risk" };
const REFUSED = {
  too_small: "Too small to tell",
  too_blurred: "Too blurred to tell",
  not_dermoscopic: "Not a dermoscopic image",
  not_readable: "Cannot be read",
  too_many_pixels: "Too large",
};

/** The answer in full, as a list of elements. */
export function answerOf(reading, { here, point, triage, model, waits }) {
  const name = make("p", { className: "file quiet" }, reading.file);
  if (waits) return [name, make("p", { className: "verdict" }, "Reading …")];
  if (reading.error) {
    const title = REFUSED[reading.error.code] ?? "No answer";
    return [
      name,
      make("p", { className: "verdict none" }, shape("none"), title),
      make("p", { className: "why" }, reading.error.message),
      make("p", { className: "quiet" }, "No number is given: it would mean nothing."),
    ];
  }
  const risk = here(reading.risk);
  const threshold = here(point.threshold);
  const called = reading.decision === "malignant";
  return [
    name,
    make("p", { className: `verdict ${reading.triage}` }, shape(reading.triage), WORDS[reading.triage]),
    make("p", { className: "number" }, make("span", { className: "big" }, percent(risk)), " risk of malignancy, by the model"),
    drawScale({
      risk,
      threshold,
      ruleOut: here(triage.rule_out),
      ruleIn: triage.rule_in === null ? null : here(triage.rule_in),
      pointName: point.name,
    }),
    make(
      "p",
      { className: "decision" },
      `At the operating point ${point.name} the model calls it `,
      make("strong", {}, reading.decision),
      `: its risk is ${called ? "at or over" : "below"} ${percent(threshold)}.`,
    ),
    predictiveValues(point, reading.prevalence ?? model.assumed_prevalence),
    model.classes.names.length > 2
      ? classTable(rebaseClasses(reading.probabilities, model.classes.malignant, reading.risk, risk), model.classes)
      : null,
  ].filter((element) => element !== null);
}

/** What a call means where the lesion was seen; nothing where the model does not say how often it is right. */
function predictiveValues(point, prevalence) {
  const shares = [
    [positivePredictiveValue(point, prevalence), "of those called malignant here are"],
    [missedShare(point, prevalence), "of those called benign are malignant all the same"],
  ];
  const known = shares.filter(([share]) => !Number.isNaN(share)).map(([share, words]) => `${percent(share)} ${words}`);
  if (known.length === 0) return null;
  return make(
    "p",
    { className: "quiet" },
    `Where ${percent(prevalence)} of the lesions are malignant, ${known.join(", and ")}, going by the model's validation images.`,
  );
}

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

/** The card of an image in the gallery, as a list of elements. */
export function cardOf(reading, { url, waits, here }) {
  const kind = reading.triage ?? "none";
  const word = waits ? "Reading …" : reading.error ? "No answer" : WORDS[kind];
  const second = reading.error
    ? make("span", { className: "card-why" }, REFUSED[reading.error.code] ?? "")
    : make("span", { className: "card-risk" }, reading.risk === null ? "" : percent(here(reading.risk)));
  return [
    make("img", { src: url, alt: "", loading: "lazy" }),
    make(
      "span",
      { className: "card-text" },
      make("span", { className: `card-word ${kind}` }, waits ? null : shape(kind), word),
      second,
      make("span", { className: "file quiet" }, reading.file),
    ),
  ];
}
