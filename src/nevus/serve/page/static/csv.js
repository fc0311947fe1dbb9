// The gallery as a table, with the columns of `nevus predict --csv`.

/** @import { Reading } from "../contract" */

/**
 * A text that a spreadsheet would take for a formula has an apostrophe before it.
 * @param {string | number | boolean | null} value
 */
const cell = (value) => {
  const isFormula = typeof value === "string" && /^[=+\-@\t\r]/.test(value);
  const text = value === null ? "" : `${isFormula ? "'" : ""}${value}`;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

const COLUMNS = /** @type {const} */ (
  ["file", "risk", "decision", "operating_point", "threshold", "triage", "prevalence", "risk_at_prevalence", "familiarity", "unfamiliar"]
);

/**
 * CSV text, a line for each reading.
 * @param {Reading[]} readings
 * @param {string[]} classNames
 */
export function csvOf(readings, classNames) {
  /** @type {(string | number | boolean | null)[][]} */
  const lines = [[...COLUMNS, ...classNames.map((name) => `p_${name}`), "error", "error_code", "note"]];
  for (const reading of readings) {
    const shares = classNames.map((name) => reading.probabilities[name] ?? null);
    lines.push([...COLUMNS.map((name) => reading[name]), ...shares, reading.error?.message ?? null, reading.error?.code ?? null, reading.note]);
  }
  return lines.map((line) => line.map(cell).join(",")).join("\n") + "\n";
}
