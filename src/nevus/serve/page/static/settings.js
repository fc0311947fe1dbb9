// The operating point and the prevalence chosen, and what an answer means at them.

import { byId, make } from "./element.js";
import { band, estimate, isMalignant, percent, rebase } from "./risk.js";

/** @import { Answer, Model, Reading } from "../contract" */

const [LEAST, MOST] = [0.01, 99.9]; // In 100.

export class Settings {
  #point = byId("operating-point", HTMLSelectElement);
  #prevalence = byId("prevalence", HTMLSelectElement);
  #other = byId("other-prevalence", HTMLInputElement);

  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    for (const { name } of model.operating_points) {
      const isDefault = name === model.default_operating_point;
      const text = name + (isDefault ? " (default)" : "");
      this.#point.append(make("option", { value: name, selected: isDefault }, text));
    }
    this.#prevalence.options[0].textContent = `as the model assumes (${percent(model.assumed_prevalence)})`;
  }

  /** @param {() => void} listener */
  whenChanged(listener) {
    for (const field of [this.#point, this.#prevalence, this.#other]) field.addEventListener("input", listener);
  }

  get point() {
    return this.model.operating_points[this.#point.selectedIndex];
  }

  /** The share chosen; null for the one that the model assumes, and for a text that is none. */
  get prevalence() {
    const chosen = this.#chosenPrevalence();
    return Number.isNaN(chosen) ? null : chosen;
  }

  /** Null for the share that the model assumes, NaN for a text that is none. */
  #chosenPrevalence() {
    const choice = this.#prevalence.value;
    if (choice === "") return null;
    if (choice !== "other") return Number(choice);
    const text = this.#other.value.trim().replace(",", ".");
    const share = /^[\d.]+$/.test(text) ? Number(text) : NaN;
    return share >= LEAST && share <= MOST ? share / 100 : NaN;
  }

  /**
   * A risk or threshold of the model at the prevalence chosen.
   * @param {number} risk
   */
  here(risk) {
    return rebase(risk, this.model.assumed_prevalence, this.prevalence);
  }

  /**
   * What an answer means at the settings chosen.
   * @param {{ file: File, answer: Answer | null }} item
   * @returns {Reading}
   */
  read({ file, answer }) {
    const { model, point, prevalence } = this;
    const asked = { file: file.name, operating_point: point.name, threshold: point.threshold, prevalence };
    if (answer === null || answer.error !== null) {
      const nothing = { risk: null, decision: null, triage: null, risk_at_prevalence: null, probabilities: {} };
      return { ...asked, ...nothing, familiarity: null, unfamiliar: null, note: null, error: answer && answer.error };
    }
    const { risk, probabilities, familiarity } = answer;
    const limit = model.familiarity?.limit ?? null;
    return {
      ...asked,
      risk,
      decision: isMalignant(risk, point) ? "malignant" : "benign",
      triage: band(risk, model.triage),
      risk_at_prevalence: prevalence === null ? null : this.here(risk),
      familiarity,
      unfamiliar: familiarity === null || limit === null ? null : familiarity < limit,
      probabilities,
      note: answer.note,
      error: null,
    };
  }

  /** Says below the fields what was chosen, and in the legend where the bands begin. */
  show() {
    const { sensitivity, specificity, rule, threshold } = this.point;
    const known = [
      sensitivity.value === null ? "" : `finds ${estimate(sensitivity, percent)} of the malignant images`,
      specificity.value === null ? "" : `correctly clears ${estimate(specificity, percent)} of the benign images`,
    ].filter(Boolean).join(" and ");
    byId("operating-point-help").textContent =
      `Malignant from ${percent(this.here(threshold))} on: ${rule}.${known && ` There it ${known}.`}`;
    byId("other-prevalence-field").hidden = this.#prevalence.value !== "other";
    this.#other.setAttribute("aria-invalid", String(Number.isNaN(this.#chosenPrevalence())));
    byId("prevalence-help").textContent = this.#prevalenceInWords();
    const { rule_out, rule_in } = this.model.triage;
    byId("low-help").textContent = `below ${percent(this.here(rule_out))}`;
    byId("uncertain-help").textContent = "in between: for a person to look at";
    byId("high-help").textContent = rule_in === null ? "never, with this model" : `from ${percent(this.here(rule_in))} on`;
  }

  #prevalenceInWords() {
    const chosen = this.#chosenPrevalence();
    const assumed = percent(this.model.assumed_prevalence);
    if (chosen === null) {
      return `The risks assume ${assumed}, as in the images that the model was fitted on. Where fewer are malignant, every risk is lower.`;
    }
    if (Number.isNaN(chosen)) return `Expected a number from ${LEAST} to ${MOST}; the risks below still assume ${assumed}.`;
    return `The risks are re-based by Bayes' theorem from ${assumed} to ${percent(chosen)}. Triage and decision stay as they are.`;
  }
}
