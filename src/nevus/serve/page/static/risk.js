// What a risk means at an operating point, a triage and a prevalence. Numbers only; the same as in
// nevus.core.operating_point, nevus.core.triage, nevus.core.prevalence and nevus.assess.sections.screening.

const odds = (share) => share / (1 - share);

/** The risk at another prevalence, by Bayes' theorem; unchanged if none is asked for. */
export function rebase(risk, assumed, prevalence) {
  if (prevalence === null) return risk;
  const factor = odds(prevalence) / odds(assumed);
  return (risk * factor) / (1 - risk + risk * factor);
}

/** Class probabilities where the risk, their malignant part, has become another: each part keeps its proportions. */
export function rebaseClasses(probabilities, malignant, risk, rebased) {
  const factor = (before, after) => (before > 0 ? after / before : 1);
  const [ill, well] = [factor(risk, rebased), factor(1 - risk, 1 - rebased)];
  const shares = Object.entries(probabilities).map(([name, share]) => [name, share * (malignant.includes(name) ? ill : well)]);
  return Object.fromEntries(shares.map(([name, share]) => [name, Math.min(share, 1)]));
}

/** low, uncertain or high; a model whose rule_in is null calls nothing high. */
export function band(risk, triage) {
  if (risk < triage.rule_out) return "low";
  return triage.rule_in !== null && risk >= triage.rule_in ? "high" : "uncertain";
}

export const isMalignant = (risk, point) => risk >= point.threshold;

const isKnown = (point) => point.sensitivity.value !== null && point.specificity.value !== null;

/** Of those called malignant, the share that is; NaN if nobody is called or the point's figures are not known. */
export function positivePredictiveValue(point, prevalence) {
  if (!isKnown(point)) return NaN;
  const caught = point.sensitivity.value * prevalence;
  return caught / (caught + (1 - point.specificity.value) * (1 - prevalence));
}

/** Of those called benign, the share that is malignant all the same; NaN as above. */
export function missedShare(point, prevalence) {
  if (!isKnown(point)) return NaN;
  const missed = (1 - point.sensitivity.value) * prevalence;
  return missed / (missed + point.specificity.value * (1 - prevalence));
}

/** A figure and its interval, or that it has none, as text; `print` makes text of a number. */
export function estimate({ value, low, high }, print) {
  return `${print(value)} (${low === null || high === null ? "no interval" : `${print(low)} to ${print(high)}`})`;
}

/** A share as a percentage with as many digits as it deserves: 0.04 %, 3.1 %, 44 %, 99.7 %. */
export function percent(share) {
  if (share === null || Number.isNaN(share)) return "not known";
  const value = 100 * share;
  const edge = Math.min(value, 100 - value);
  if (edge > 0 && edge < 0.01) return value < 50 ? "under 0.01\u00a0%" : "over 99.99\u00a0%";
  const digits = edge === 0 || edge >= 10 ? 0 : edge < 1 ? 2 : 1;
  return `${value.toFixed(digits)}\u00a0%`;
}
