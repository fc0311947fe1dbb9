// Runs the model in the browser itself: no image leaves this machine. ONNX Runtime is compiled to WebAssembly.

import * as ort from "./ort.wasm.bundle.min.js";

export const privacy = "Images stay on this device: the model runs in this page, which asks no server for anything.";
export const atOnce = 1;

/** What to do where a question had no answer. */
export const advice = "Reload the page.";

/** Never thrown here: the server's engine wants a key. */
export class KeyRequired extends Error {}
export function useKey() {}

/** @import { Answer, Described, Problem } from "../contract" */

/**
 * What `nevus web` writes into model.json.
 * @typedef {Described & { limits: { max_pixels: number }, blank: { levels: number, odd_share: number },
 *   refusals: Problem[], sha256: Record<string, string> }} Folder
 */
/** @typedef {{ data: Uint8Array, width: number, height: number }} Pixels  RGB, row by row. */
/** @typedef {{ data: Float32Array, dims: readonly number[] }} Floats  What both graphs answer. */

const INPUT = "pixels";
const RUNTIME = "ort-wasm-simd-threaded.wasm";
/** The smallest module of WebAssembly: its magic number and its version. */
const SMALLEST = new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
/** @type {Folder} */
let described;
/** @type {ort.InferenceSession} */
let model;
/** @type {ort.InferenceSession} */
let quality;

/**
 * A file of this folder, as the server has it now: the browser's own cache may hold one of another version.
 * @param {string} name
 */
async function load(name) {
  const response = await fetch(`./${name}`, { cache: "no-cache" });
  if (!response.ok) throw new Error(`${name} is missing from this folder.`);
  // Hosts of pages with addresses of their own answer so for any file that they lack.
  if (response.headers.get("content-type")?.startsWith("text/html")) {
    throw new Error(`the server sends a page of HTML in place of ${name}. Put the whole folder there, and let it be sent as it is.`);
  }
  return response;
}

/** Fetches ONNX Runtime's WebAssembly; its own errors do not say what keeps it from running. */
async function loadRuntime() {
  try {
    await WebAssembly.compile(SMALLEST);
  } catch {
    throw new Error("WebAssembly is forbidden here. The Content-Security-Policy that the server sends needs script-src 'self' 'wasm-unsafe-eval'.");
  }
  const bytes = await (await load(RUNTIME)).arrayBuffer();
  const begins = new Uint8Array(bytes.slice(0, 4));
  if (begins.some((byte, index) => byte !== SMALLEST[index])) {
    throw new Error(`the server sends something else in place of ${RUNTIME}. Put the whole folder there, and let it be sent as it is.`);
  }
  return bytes;
}

/** @param {string} name */
async function loadGraph(name) {
  const bytes = await (await load(name)).arrayBuffer();
  // Absent on plain HTTP, but for this machine.
  if (crypto.subtle !== undefined) {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    const found = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    if (found !== described.sha256[name]) {
      throw new Error(`${name} is not the file that model.json names: one of them is of another version. Reload the page.`);
    }
  }
  return ort.InferenceSession.create(new Uint8Array(bytes));
}

/**
 * The model's description and the colours of its heatmaps.
 * @returns {Promise<Described>}
 */
export async function loadModel() {
  // One thread needs no headers that a plain static server does not send.
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = await loadRuntime();
  described = await (await load("model.json")).json();
  quality = await loadGraph("quality.onnx");
  model = await loadGraph("model.onnx");
  if ("serviceWorker" in navigator) navigator.serviceWorker.register("./service-worker.js").catch(() => {});
  return described;
}

/**
 * Pixels of a file, upright, transparent ones over white, in sRGB if a colour profile says what they are.
 * @param {File} file
 * @param {number} maxPixels
 * @returns {Promise<Pixels>}
 */
export async function decode(file, maxPixels) {
  // Without a profile every pixel stays: a browser may also go by other words of a file on its colours.
  const colorSpaceConversion = (await hasProfile(file)) ? "default" : "none";
  const bitmap = await createImageBitmap(file, { colorSpaceConversion, premultiplyAlpha: "none" });
  const { width, height } = bitmap;
  if (width * height > maxPixels) {
    bitmap.close();
    throw new RangeError(`${width} x ${height} pixels is over the limit of ${maxPixels.toLocaleString("en")}.`);
  }
  const context = contextOf(width, height, { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const rgba = context.getImageData(0, 0, width, height).data;
  const data = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    data[to] = rgba[from];
    data[to + 1] = rgba[from + 1];
    data[to + 2] = rgba[from + 2];
  }
  return { data, width, height };
}

/**
 * Whether a colour profile is embedded in a file, which comes before its pixels in the formats that may have one.
 * @param {File} file
 */
async function hasProfile(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const word = (/** @type {number} */ at, /** @type {number} */ length) => String.fromCharCode(...bytes.subarray(at, at + length));
  const view = new DataView(bytes.buffer);
  if (word(0, 3) === "\xff\xd8\xff") {
    // Segments of a JPEG file: a marker, and a length that counts itself. From the scan on there are none to look at.
    for (let at = 2; at + 4 <= bytes.length && bytes[at] === 0xff && bytes[at + 1] !== 0xda; at += 2 + view.getUint16(at + 2)) {
      if (bytes[at + 1] === 0xe2 && word(at + 4, 12) === "ICC_PROFILE\0") return true;
    }
  } else if (word(0, 4) === "\x89PNG") {
    for (let at = 8; at + 12 <= bytes.length && word(at + 4, 4) !== "IDAT"; at += 12 + view.getUint32(at)) {
      if (word(at + 4, 4) === "iCCP") return true;
    }
  } else if (word(0, 4) === "RIFF" && word(8, 8) === "WEBPVP8X") {
    return (bytes[20] & 0x20) !== 0;
  } else if (word(4, 4) === "ftyp") {
    // AVIF: a box 'colr' of a kind that holds a profile.
    return /colr(prof|rICC)/.test(word(0, 2 ** 14));
  }
  return false;
}

/**
 * Something to draw on.
 * @param {number} width
 * @param {number} height
 * @param {CanvasRenderingContext2DSettings} options
 */
function contextOf(width, height, options = {}) {
  const context = new OffscreenCanvas(width, height).getContext("2d", options);
  if (context === null) throw new Error("This browser cannot draw.");
  return context;
}

/**
 * What a graph answers to pixels.
 * @param {ort.InferenceSession} graph
 * @param {Pixels} pixels
 */
async function run(graph, { data, width, height }) {
  const answers = await graph.run({ [INPUT]: new ort.Tensor("uint8", data, [1, height, width, 3]) });
  return /** @type {Record<string, Floats>} */ (/** @type {unknown} */ (answers));
}

/**
 * Whether a file holds several frames. Not every browser tells; one that does not decodes the first.
 * @param {File} file
 */
async function isAnimated(file) {
  const type = await animatedType(file);
  if (type === null || typeof ImageDecoder === "undefined") return false;
  const decoder = new ImageDecoder({ type, data: file.stream() });
  try {
    await decoder.completed;
    return (decoder.tracks.selectedTrack?.frameCount ?? 1) > 1;
  } catch {
    return false; // Damaged: `decode` says so.
  } finally {
    decoder.close();
  }
}

/**
 * The type of a file that may hold several frames, by its first bytes: names may be wrong.
 * @param {File} file
 */
async function animatedType(file) {
  const head = String.fromCharCode(...new Uint8Array(await file.slice(0, 12).arrayBuffer()));
  if (head.startsWith("GIF8")) return "image/gif";
  if (head.startsWith("\x89PNG")) return "image/png";
  return head.startsWith("RIFF") && head.endsWith("WEBP") ? "image/webp" : null;
}

/**
 * Whether there is nothing to see: transparent, or of one colour all over. The same rule as nevus.core.blank.
 * @param {Pixels} pixels
 */
function isBlank({ data, width, height }) {
  const { levels, odd_share: oddShare } = described.blank;
  const counts = [0, 1, 2].map(() => new Uint32Array(256));
  for (let at = 0; at < data.length; at += 3) {
    counts[0][data[at]] += 1;
    counts[1][data[at + 1]] += 1;
    counts[2][data[at + 2]] += 1;
  }
  const numOdd = Math.floor(oddShare * width * height);
  return counts.every((channel) => span(channel, numOdd) <= levels);
}

/**
 * From the lowest to the highest value, the odd pixels at both ends left out.
 * @param {Uint32Array} counts
 * @param {number} numOdd
 */
function span(counts, numOdd) {
  const ends = [counts, counts.slice().reverse()].map((from) => {
    let passed = 0;
    return from.findIndex((count) => (passed += count) > numOdd);
  });
  return 255 - ends[1] - ends[0];
}

/**
 * @param {Pixels} pixels
 * @returns {Promise<Problem | null>}
 */
async function refusal(pixels) {
  if (isBlank(pixels)) return { code: "blank", message: "There is nothing to see: all of it is transparent or of one colour." };
  const { margins } = await run(quality, pixels);
  const place = margins.data.findIndex((margin) => margin < 0);
  return place < 0 ? null : described.refusals[place];
}

/**
 * Risk, probabilities and heatmap of one file, or the error.
 * @param {File} file
 * @returns {Promise<Answer>}
 */
export async function predict(file) {
  if (await isAnimated(file)) {
    const message = "The file cannot be read as an image: 2 frames or more; expected one still image.";
    return { error: { code: "not_readable", message } };
  }
  let pixels;
  try {
    pixels = await decode(file, described.limits.max_pixels);
  } catch (problem) {
    if (problem instanceof RangeError) return { error: { code: "too_many_pixels", message: problem.message } };
    return { error: { code: "not_readable", message: "This browser cannot read the file as an image." } };
  }
  const error = await refusal(pixels);
  if (error !== null) return { error };
  const { probabilities, risk: risks, heatmap, familiarity: shares } = await run(model, pixels);
  const risk = risks.data[0];
  if (!Number.isFinite(risk)) return { error: { code: "no_answer", message: "The model gave no finite risk for this image." } };
  const named = Object.fromEntries(described.model.classes.names.map((name, index) => [name, probabilities.data[index]]));
  const picture = { url: await colour(heatmap), ratio: pixels.width / pixels.height };
  // A model that does not tell has no such output.
  const familiarity = described.model.familiarity === null ? null : shares.data[0];
  return { risk, probabilities: named, familiarity, error: null, heatmap: picture, note: null };
}

/**
 * A heatmap as a picture: the same colours as nevus.serve.heatmap; the browser smooths it when it stretches it.
 * @param {Floats} heatmap
 */
async function colour({ data, dims: [, height, width] }) {
  const { raises, lowers, strongest } = described.heatmap_colours;
  const [above, below] = [raises, lowers].map((text) => [1, 3, 5].map((start) => parseInt(text.slice(start, start + 2), 16)));
  const most = data.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
  const picture = new ImageData(width, height);
  data.forEach((value, index) => {
    picture.data.set(value > 0 ? above : below, 4 * index);
    picture.data[4 * index + 3] = most > 0 ? (255 * strongest * Math.abs(value)) / most : 0;
  });
  const small = contextOf(width, height);
  small.putImageData(picture, 0, 0);
  const size = described.model.image_size;
  const large = contextOf(size, size);
  large.imageSmoothingQuality = "high";
  large.drawImage(small.canvas, 0, 0, size, size);
  return URL.createObjectURL(await large.canvas.convertToBlob());
}
