// What a risk means at an operating point, a triage and a prevalence. Numbers only; the same as in
// nevus.core.operating_point, nevus.core.triage, nevus.core.prevalence and nevus.assess.sections.screening.

/** @import { Band, Estimate, OperatingPoint, Triage } from "../contract" */

/** @param {number} share */
const odds = (share) => share / (1 - share);

/**
 * The risk at another prevalence, by Bayes' theorem; unchanged if none is asked for.
 * @param {number} risk
 * @param {number} assumed
 * @param {number | null} prevalence
 */
export function rebase(risk, assumed, prevalence) {
  if (prevalence === null) return risk;
  const factor = odds(prevalence) / odds(assumed);
  return (risk * factor) / (1 - risk + risk * factor);
}

/**
 * Class probabilities where the risk, their malignant part, has become another: each part keeps its proportions.
 * @param {Record<string, number>} probabilities
 * @param {string[]} malignant
 * @param {number} risk
 * @param {number} rebased
 * @returns {Record<string, number>}
 */
export function rebaseClasses(probabilities, malignant, risk, rebased) {
  /** @param {number} before @param {number} after */
  const factor = (before, after) => (before > 0 ? after / before : 1);
  const [ill, well] = [factor(risk, rebased), factor(1 - risk, 1 - rebased)];
  return Object.fromEntries(
    Object.entries(probabilities).map(([name, share]) => [name, Math.min(share * (malignant.includes(name) ? ill : well), 1)]),
  );
}

/**
 * low, uncertain or high; a model whose rule_in is null calls nothing high.
 * @param {number} risk
 * @param {Triage} triage
 * @returns {Band}
 */
export function band(risk, triage) {
  if (risk < triage.rule_out) return "low";
  return triage.rule_in !== null && risk >= triage.rule_in ? "high" : "uncertain";
}

/**
 * @param {number} risk
 * @param {OperatingPoint} point
 */
export const isMalignant = (risk, point) => risk >= point.threshold;

/**
 * Of those called malignant, the share that is; NaN if nobody is called or the point's metrics are not known.
 * @param {OperatingPoint} point
 * @param {number} prevalence
 */
export function positivePredictiveValue({ sensitivity, specificity }, prevalence) {
  if (sensitivity.value === null || specificity.value === null) return NaN;
  const caught = sensitivity.value * prevalence;
  return caught / (caught + (1 - specificity.value) * (1 - prevalence));
}

/**
 * Of those called benign, the share that is malignant all the same; NaN as above.
 * @param {OperatingPoint} point
 * @param {number} prevalence
 */
export function missedShare({ sensitivity, specificity }, prevalence) {
  if (sensitivity.value === null || specificity.value === null) return NaN;
  const missed = (1 - sensitivity.value) * prevalence;
  return missed / (missed + specificity.value * (1 - prevalence));
}

/**
 * A metric and its interval, or that it has none, as text; nothing where the metric is not known.
 * @param {Estimate} estimate
 * @param {(value: number) => string} print
 */
export function estimate({ value, low, high }, print) {
  if (value === null) return "";
  return `${print(value)} (${low === null || high === null ? "no interval" : `${print(low)} to ${print(high)}`})`;
}

/**
 * A share as a percentage with as many digits as it deserves: 0.04 %, 3.1 %, 44 %, 99.7 %.
 * @param {number} share
 */
export function percent(share) {
  const value = 100 * share;
  const edge = Math.min(value, 100 - value);
  if (edge > 0 && edge < 0.01) return value < 50 ? "under 0.01\u00a0%" : "over 99.99\u00a0%";
  const digits = edge === 0 || edge >= 10 ? 0 : edge < 1 ? 2 : 1;
  return `${value.toFixed(digits)}\u00a0%`;
}
