// Runs the model in the browser itself: no image leaves this machine. ONNX Runtime is compiled to WebAssembly.

import * as ort from "./ort.wasm.bundle.min.js";

export const privacy = "Images stay on this device: the model runs in this page, which asks no server for anything.";
export const atOnce = 1;

/** What to do where a question had no answer. */
export const advice = "Reload the page.";

/** Never thrown here: the server's engine wants a key. */
export class KeyRequired extends Error {}
export function useKey() {}

const INPUT = "pixels";
let described, model, quality;

/** A file of this folder, as the server has it now: the browser's own cache may hold one of another version. */
async function load(name) {
  const response = await fetch(`./${name}`, { cache: "no-cache" });
  if (!response.ok) throw new Error(`${name} is missing from this folder.`);
  return response;
}

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

/** The model's description and the colours of its heatmaps. */
export async function loadModel() {
  // One thread needs no headers that a plain static server does not send.
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { wasm: new URL("./ort-wasm-simd-threaded.wasm", import.meta.url).href };
  described = await (await load("model.json")).json();
  quality = await loadGraph("quality.onnx");
  model = await loadGraph("model.onnx");
  if ("serviceWorker" in navigator) navigator.serviceWorker.register("./service-worker.js").catch(() => {});
  return described;
}

/** Pixels of a file, upright, transparent ones over white: { data, width, height }, data as uint8 RGB. */
export async function decode(file, maxPixels) {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const { width, height } = bitmap;
  if (width * height > maxPixels) {
    bitmap.close();
    throw new RangeError(`${width} x ${height} pixels is over the limit of ${maxPixels.toLocaleString("en")}.`);
  }
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
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

/** What the model says of pixels: probabilities in the order of the classes, risk, and the raw heatmap. */
export async function score({ data, width, height }) {
  const { probabilities, risk, heatmap } = await model.run({ [INPUT]: new ort.Tensor("uint8", data, [1, height, width, 3]) });
  return { probabilities: [...probabilities.data], risk: risk.data[0], heatmap };
}

/** Whether a file holds several frames. Not every browser tells; one that does not decodes the first. */
async function isAnimated(file) {
  const type = await animatedType(file);
  if (type === null || typeof ImageDecoder === "undefined") return false;
  const decoder = new ImageDecoder({ type, data: file.stream() });
  try {
    await decoder.completed;
    return decoder.tracks.selectedTrack.frameCount > 1;
  } catch {
    return false; // Damaged: `decode` says so.
  } finally {
    decoder.close();
  }
}

/** The type of a file that may hold several frames, by its first bytes: names may be wrong. */
async function animatedType(file) {
  const head = String.fromCharCode(...new Uint8Array(await file.slice(0, 12).arrayBuffer()));
  if (head.startsWith("GIF8")) return "image/gif";
  if (head.startsWith("\x89PNG")) return "image/png";
  return head.startsWith("RIFF") && head.endsWith("WEBP") ? "image/webp" : null;
}

async function refusal({ data, width, height }) {
  const { margins } = await quality.run({ [INPUT]: new ort.Tensor("uint8", data, [1, height, width, 3]) });
  const place = margins.data.findIndex((margin) => margin < 0);
  return place < 0 ? null : described.refusals[place];
}

/** Risk, probabilities and heatmap of one file, or the error. */
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
  const { probabilities, risk, heatmap } = await score(pixels);
  if (!Number.isFinite(risk)) return { error: { code: "no_answer", message: "The model gave no finite risk for this image." } };
  const named = Object.fromEntries(described.model.classes.names.map((name, index) => [name, probabilities[index]]));
  const picture = { url: await colour(heatmap), ratio: pixels.width / pixels.height };
  return { risk, probabilities: named, error: null, heatmap: picture };
}

/** A heatmap as a picture: the same colours as nevus.serve.heatmap; the browser smooths it when it stretches it. */
async function colour({ data, dims: [, height, width] }) {
  const { raises, lowers, strongest } = described.heatmap_colours;
  const [above, below] = [raises, lowers].map((text) => [1, 3, 5].map((start) => parseInt(text.slice(start, start + 2), 16)));
  const most = data.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
  const picture = new ImageData(width, height);
  data.forEach((value, index) => {
    picture.data.set(value > 0 ? above : below, 4 * index);
    picture.data[4 * index + 3] = most > 0 ? (255 * strongest * Math.abs(value)) / most : 0;
  });
  const small = new OffscreenCanvas(width, height);
  small.getContext("2d").putImageData(picture, 0, 0);
  const size = described.model.image_size;
  const large = new OffscreenCanvas(size, size);
  const context = large.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, size, size);
  return URL.createObjectURL(await large.convertToBlob());
}
