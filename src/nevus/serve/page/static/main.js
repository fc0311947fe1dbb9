// Starts the page: loads the engine that index.html names and its model, then takes images.

import { showModel } from "./about.js";
import { byId } from "./element.js";
import { Gallery } from "./gallery.js";
import { KeyDialog } from "./key.js";
import { Settings } from "./settings.js";

/** @import { Engine } from "../contract" */

async function start() {
  // Named by the page, not one name for all: a browser that knows an address from before may keep the other engine.
  /** @type {Engine} */
  const engine = await import(/** @type {string} */ (document.documentElement.dataset.engine));
  const keyDialog = new KeyDialog(engine);
  const described = await keyDialog.answerTo(engine.loadModel);
  const settings = new Settings(described.model);
  const gallery = new Gallery(engine, keyDialog, settings);
  byId("privacy").textContent = engine.privacy;
  showModel(described);
  settings.show();
  settings.whenChanged(() => {
    settings.show();
    gallery.show();
  });
  listen(gallery);
}

/** @param {Gallery} gallery */
function listen(gallery) {
  byId("camera-button").hidden = navigator.maxTouchPoints === 0;
  for (const id of ["choose", "camera"]) {
    const input = byId(id, HTMLInputElement);
    const takeChosen = () => {
      gallery.take([...(input.files ?? [])]);
      input.value = "";
    };
    input.addEventListener("change", takeChosen);
    takeChosen(); // Chosen while the model was on its way.
  }
  byId("csv").addEventListener("click", () => gallery.downloadCsv());
  byId("clear").addEventListener("click", () => gallery.clear());
  addEventListener("paste", ({ clipboardData }) => gallery.take(clipboardData?.files ?? []));
  addEventListener("drop", ({ dataTransfer }) => gallery.take(dataTransfer?.files ?? []));
  const marks = { dragenter: true, dragover: true, dragleave: false, drop: false };
  for (const [kind, inside] of Object.entries(marks)) {
    addEventListener(kind, () => byId("drop").classList.toggle("over", inside));
  }
}

byId("status").textContent = ""; // There it said why a page may not get as far as here.
// A file that is dropped must not replace the page, before the model is there either.
for (const kind of ["dragenter", "dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());
try {
  await start();
  document.documentElement.dataset.ready = "true";
} catch (problem) {
  byId("status").textContent = `The model could not be loaded: ${/** @type {Error} */ (problem).message}`;
}
