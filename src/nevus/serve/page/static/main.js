// The page: takes images, asks the engine, and shows what it says at the operating point and prevalence chosen.

import { answerOf, cardOf } from "./views.js";
import { csvOf } from "./csv.js";
import { byId, make } from "./element.js";
import { band, estimate, isMalignant, percent, rebase } from "./risk.js";

/** One image each: { file, url, answer, card }; answer is null until the engine has spoken. */
const items = [];
let engine = null;
let selected = null;
let ratio; // Width by height of the picture; undefined while it is on its way, null if the browser cannot show it.
let described = null;
let waiting = [];
let working = 0;
let asking = null; // The dialog, which several questions may wait for.

// Settings ----------------------------------------------------------------------------------------------------------

const model = () => described.model;
const point = () => model().operating_points.find(({ name }) => name === byId("operating-point").value);

const [LEAST, MOST] = [0.01, 99.9]; // In 100.

/** The share chosen: null for the one that the model assumes, NaN for a text that is none. */
function chosenPrevalence() {
  const choice = byId("prevalence").value;
  if (choice === "") return null;
  if (choice !== "other") return Number(choice);
  const text = byId("other-prevalence").value.trim().replace(",", ".");
  const share = /^[\d.]+$/.test(text) ? Number(text) : NaN;
  return share >= LEAST && share <= MOST ? share / 100 : NaN;
}

function prevalence() {
  const chosen = chosenPrevalence();
  return Number.isNaN(chosen) ? null : chosen;
}

/** What an answer means at the settings chosen: the columns of the CSV, and the error. */
function read({ file, answer }) {
  const known = answer !== null && !answer.error;
  const risk = known ? answer.risk : null;
  return {
    file: file.name,
    risk,
    decision: known ? (isMalignant(risk, point()) ? "malignant" : "benign") : null,
    operating_point: point().name,
    threshold: point().threshold,
    triage: known ? band(risk, model().triage) : null,
    prevalence: prevalence(),
    risk_at_prevalence: known && prevalence() !== null ? here(risk) : null,
    probabilities: known ? answer.probabilities : {},
    error: answer?.error ?? null,
  };
}

/** A risk or threshold of the model at the prevalence chosen. */
const here = (risk) => rebase(risk, model().assumed_prevalence, prevalence());

// Showing -----------------------------------------------------------------------------------------------------------

function showSettings() {
  const { sensitivity, specificity, rule } = point();
  const found = sensitivity.value === null ? [] : [`finds ${estimate(sensitivity, percent)} of the malignant images`];
  const spared = specificity.value === null ? [] : [`spares ${estimate(specificity, percent)} of the benign images`];
  const known = [...found, ...spared].join(" and ");
  byId("operating-point-help").textContent =
    `Malignant from ${percent(here(point().threshold))} on: ${rule}.${known && ` There it ${known}.`}`;
  byId("other-prevalence-field").hidden = byId("prevalence").value !== "other";
  const isWrong = Number.isNaN(chosenPrevalence());
  byId("other-prevalence").setAttribute("aria-invalid", String(isWrong));
  byId("prevalence-help").textContent = isWrong
    ? `Expected a number from ${LEAST} to ${MOST}; the risks below still assume ${percent(model().assumed_prevalence)}.`
    : prevalence() === null
      ? `The risks assume ${percent(model().assumed_prevalence)}, as in the images that the model was fitted on. Where ` +
        "fewer are malignant, every risk is lower."
      : `The risks are re-based by Bayes' theorem from ${percent(model().assumed_prevalence)} to ` +
        `${percent(prevalence())}. Triage and decision stay as they are.`;
  const { rule_out, rule_in } = model().triage;
  byId("low-help").textContent = `below ${percent(here(rule_out))}`;
  byId("uncertain-help").textContent = "in between: for a person to look at";
  byId("high-help").textContent = rule_in === null ? "never, with this model" : `from ${percent(here(rule_in))} on`;
}

function showSelected() {
  byId("result").hidden = selected === null;
  for (const { card } of items) card.setAttribute("aria-pressed", String(card === selected?.card));
  if (selected === null) return;
  const { file, url, answer } = selected;
  if (byId("image").src !== url) {
    ratio = undefined;
    byId("image").src = url;
  }
  byId("image").alt = `The image ${file.name}`;
  showHeat();
  const told = answerOf(read(selected), { here, point: point(), triage: model().triage, model: model(), waits: answer === null });
  byId("answer").replaceChildren(...told);
}

/** The heatmap, but over no other picture than the one that the model saw. */
function showHeat() {
  const heatmap = selected?.answer?.heatmap;
  if (heatmap) byId("heat").src = heatmap.url;
  const isShown = ratio !== undefined && ratio !== null;
  // Sizes may differ by a rounding.
  const isTurned = isShown && Boolean(heatmap) && Math.abs(Math.log(heatmap.ratio / ratio)) > 0.01;
  byId("stack").hidden = ratio === null;
  byId("heat-control").hidden = !heatmap || ratio === null || isTurned;
  byId("heat").hidden = !heatmap || !isShown || isTurned;
  byId("picture-note").hidden = ratio !== null && !isTurned;
  byId("picture-note").textContent = isTurned
    ? "No heatmap is shown: the model saw this picture turned otherwise than this browser shows it."
    : `This browser cannot show the file${heatmap ? ", so no heatmap lies over it" : ""}.`;
}

function showAll() {
  showSettings();
  for (const item of items) {
    const { card } = item;
    card.replaceChildren(...cardOf(read(item), { url: item.url, waits: item.answer === null, here }));
  }
  showSelected();
  showStatus();
}

function showStatus() {
  const done = items.filter(({ answer }) => answer !== null).length;
  const refused = items.filter(({ answer }) => answer?.error).length;
  byId("gallery").hidden = items.length < 2;
  byId("drop").classList.toggle("small", items.length > 0);
  byId("csv").disabled = done < items.length;
  const failed = refused ? `, ${refused} without an answer` : "";
  byId("status").textContent = items.length ? `${done} of ${items.length} ${items.length === 1 ? "image" : "images"} read${failed}.` : "";
}

function showModel() {
  const { network, image_size, num_parameters, trained_on, generated, limitations, intended_use, licence, operating_points } = model();
  byId("model-line").textContent = `${network}, ${num_parameters.toLocaleString("en")} parameters`;
  byId("privacy").textContent = engine.privacy;
  byId("limitations").textContent = `${generated ? "This model was trained on generated images, not photographs. " : ""}${limitations}`;
  for (const { name } of operating_points) {
    const isDefault = name === model().default_operating_point;
    byId("operating-point").append(make("option", { value: name, selected: isDefault }, name + (isDefault ? " (default)" : "")));
  }
  byId("prevalence").options[0].textContent = `as the model assumes (${percent(model().assumed_prevalence)})`;
  const figures = Object.entries(model().test_metrics).map(([name, [value, low, high]]) => [
    name.replaceAll("_", " "),
    value === null ? "not defined" : `${estimate({ value, low, high }, (number) => number.toFixed(3))}, on its own test images`,
  ]);
  const facts = [
    ["Network", `${network}, ${num_parameters.toLocaleString("en")} parameters, sees ${image_size} × ${image_size} pixels`],
    ["Trained on", trained_on],
    ["Intended use", intended_use],
    ["Licence", licence],
    ...figures,
  ];
  byId("model-facts").replaceChildren(...facts.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]));
  const { raises, lowers, strongest } = described.heatmap_colours;
  for (const [name, value] of Object.entries({ raises, lowers })) document.documentElement.style.setProperty(`--${name}`, value);
  document.documentElement.style.setProperty("--strongest", strongest);
  showSettings();
}

// Taking and asking -------------------------------------------------------------------------------------------------

function take(files) {
  const isFirst = items.length === 0;
  for (const file of files) {
    const item = { file, url: URL.createObjectURL(file), answer: null, card: make("button", { type: "button" }) };
    item.card.addEventListener("click", () => {
      selected = item;
      showSelected();
      byId("result").scrollIntoView({ block: "nearest" });
    });
    items.push(item);
    waiting.push(item);
    byId("cards").append(make("li", {}, item.card));
    selected ??= item;
  }
  if (files.length === 0) return;
  showAll();
  if (isFirst) byId("result").scrollIntoView({ block: "nearest" });
  while (working < engine.atOnce && waiting.length) work();
}

function takeChosen(input) {
  take([...input.files]);
  input.value = "";
}

async function work() {
  working += 1;
  while (waiting.length) {
    const item = waiting.shift();
    item.answer = await answer(item.file);
    if (!items.includes(item)) continue; // Removed meanwhile.
    item.card.replaceChildren(...cardOf(read(item), { url: item.url, waits: false, here }));
    if (item === selected) showSelected();
    showStatus();
  }
  working -= 1;
}

async function answer(file) {
  try {
    return await withKey(() => engine.predict(file));
  } catch (problem) {
    if (await isThere(file)) {
      return { error: { code: "no_answer", message: `There is no answer (${problem.message}). ${engine.advice}` } };
    }
    const message = "The file cannot be read: it is a folder, or was moved or deleted.";
    return { error: { code: "not_readable", message } };
  }
}

/** Whether the browser can still read a file. */
async function isThere(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

/** Asks, and asks for the server's key first where it wants one. */
async function withKey(question) {
  for (;;) {
    try {
      return await question();
    } catch (problem) {
      if (!(problem instanceof engine.KeyRequired)) throw problem;
      asking ??= askForKey();
      await asking;
    }
  }
}

/** Shows the dialog until a key is given; fails if it is closed without one. */
async function askForKey() {
  const dialog = byId("key-dialog");
  dialog.returnValue = "";
  byId("key").value = "";
  dialog.showModal();
  await new Promise((resume) => dialog.addEventListener("close", resume, { once: true }));
  if (dialog.returnValue === "") throw new Error("This server asks for a key, and none was given. Reload the page to try again.");
  engine.useKey(byId("key").value);
  byId("key-refused").hidden = false; // Seen only if the server asks once more.
  asking = null;
}

function clear() {
  for (const { url } of items) URL.revokeObjectURL(url);
  items.length = 0;
  waiting = [];
  selected = null;
  byId("cards").replaceChildren();
  showAll();
  byId("choose").focus();
}

function downloadCsv() {
  const text = csvOf(items.map(read), model().classes.names);
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  make("a", { href: url, download: "nevus.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

function listen() {
  for (const id of ["choose", "camera"]) {
    byId(id).addEventListener("change", ({ target }) => takeChosen(target));
    takeChosen(byId(id)); // Chosen while the model was on its way.
  }
  for (const id of ["operating-point", "prevalence", "other-prevalence"]) byId(id).addEventListener("input", showAll);
  byId("opacity").addEventListener("input", showOpacity);
  byId("csv").addEventListener("click", downloadCsv);
  byId("clear").addEventListener("click", clear);
  byId("image").addEventListener("load", ({ target }) => {
    ratio = target.naturalWidth / target.naturalHeight;
    byId("stack").style.setProperty("--ratio", ratio);
    showHeat();
  });
  byId("image").addEventListener("error", () => {
    ratio = null;
    showHeat();
  });
  addEventListener("paste", ({ clipboardData }) => take([...clipboardData.files]));
  const marks = { dragenter: true, dragover: true, dragleave: false, drop: false };
  for (const [kind, inside] of Object.entries(marks)) {
    addEventListener(kind, (event) => {
      event.preventDefault();
      byId("drop").classList.toggle("over", inside);
    });
  }
  addEventListener("drop", ({ dataTransfer }) => take([...dataTransfer.files]));
}

function showOpacity() {
  const { value } = byId("opacity");
  byId("heat").style.opacity = value / 100;
  byId("opacity-value").textContent = `${value} %`;
}

byId("status").textContent = ""; // There it said why a page may not get as far as here.
// A file that is dropped before the model is there must not replace the page.
for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());
try {
  // Named by the page, not one name for all: a browser that knows an address from before may keep the other engine.
  engine = await import(document.documentElement.dataset.engine);
  described = await withKey(engine.loadModel);
  byId("camera-button").hidden = navigator.maxTouchPoints === 0;
  showModel();
  listen();
  showOpacity();
  document.documentElement.dataset.ready = "true";
} catch (problem) {
  byId("status").textContent = `The model could not be loaded: ${problem.message}`;
}
