// The gallery as a table, with the columns of `nevus predict --csv`.

/** A text that a spreadsheet would take for a formula has an apostrophe before it. */
const cell = (value) => {
  const isFormula = typeof value === "string" && /^[=+\-@\t\r]/.test(value);
  const text = value === null ? "" : `${isFormula ? "'" : ""}${value}`;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

/** CSV text of readings: see `read` in main.js. */
export function csvOf(readings, classNames) {
  const columns = ["file", "risk", "decision", "operating_point", "threshold", "triage", "prevalence", "risk_at_prevalence"];
  const lines = [[...columns, ...classNames.map((name) => `p_${name}`), "error"]];
  for (const reading of readings) {
    const shares = classNames.map((name) => reading.probabilities[name] ?? null);
    lines.push([...columns.map((name) => reading[name]), ...shares, reading.error?.message ?? null]);
  }
  return lines.map((line) => line.map(cell).join(",")).join("\n") + "\n";
}
