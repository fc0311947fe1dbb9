// Asks the server that the page came from.

export const privacy = "Images go to this server only. It keeps them in memory while it answers, and stores none.";
export const atOnce = 4;

/** What to look at where a question had no answer. */
export const advice = "Is the server still there?";

/** @import { Answer, Described } from "../contract" */

/** @type {string | null} */
let key = null;
/** @type {string | null} */
let fingerprint = null;

/** Thrown where the server wants a key. */
export class KeyRequired extends Error {}

/** @param {string} text */
export function useKey(text) {
  key = text;
}

/**
 * @param {string} address
 * @param {RequestInit} options
 */
async function ask(address, options = {}) {
  /** @type {HeadersInit} */
  const headers = key === null ? {} : { Authorization: `Bearer ${key}` };
  for (let tries = 0; ; tries += 1) {
    const response = await fetch(address, { ...options, headers });
    if (response.status === 401) throw new KeyRequired();
    if (response.status !== 503 || tries === 20) return response;
    await new Promise((resume) => setTimeout(resume, 1000 * Number(response.headers.get("Retry-After") ?? 1)));
  }
}

/**
 * The model's description and the colours of its heatmaps.
 * @returns {Promise<Described>}
 */
export async function loadModel() {
  const response = await ask("./v1/model");
  if (!response.ok) throw new Error((await response.json()).error.message);
  const described = await response.json();
  fingerprint = described.fingerprint;
  return described;
}

/**
 * Risk, probabilities and heatmap of one file, or the error.
 * @param {File} file
 * @returns {Promise<Answer>}
 */
export async function predict(file) {
  const form = new FormData();
  form.append("images", file, file.name);
  const response = await ask("./v1/predict?heatmap=true&lenient=true", { method: "POST", body: form });
  const answer = await response.json();
  if (answer.error !== undefined) return { error: answer.error };
  if (answer.fingerprint !== fingerprint) {
    // Its risks mean nothing at the thresholds that this page knows.
    return { error: { code: "another_model", message: "The server has another model now. Reload the page." } };
  }
  const [{ risk, probabilities, familiarity, heatmap, note, error }] = answer.predictions;
  if (error) return { error };
  return { risk, probabilities, familiarity, error: null, heatmap: heatmap && pictureOf(heatmap), note: note || null };
}

/**
 * A heatmap for the page: its address, and the ratio of the picture that the model saw.
 * @param {{ png: string, width: number, height: number }} heatmap
 */
function pictureOf({ png, width, height }) {
  return { url: `data:image/png;base64,${png}`, ratio: width / height };
}
