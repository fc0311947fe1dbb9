// The images taken: each is asked about in its turn, has a card, and may be the one that is shown in full.

import { csvOf } from "./csv.js";
import { byId, make } from "./element.js";
import { Picture } from "./picture.js";
import { answerOf, cardOf } from "./views.js";

/** @import { Answer, Engine } from "../contract" */
/** @import { KeyDialog } from "./key.js" */
/** @import { Settings } from "./settings.js" */

/** @typedef {{ file: File, url: string, answer: Answer | null, card: HTMLButtonElement }} Item  No answer yet: null. */

export class Gallery {
  #engine;
  #keyDialog;
  #settings;
  #picture = new Picture();
  /** @type {Item[]} */
  #items = [];
  /** @type {Item[]} */
  #waiting = [];
  /** @type {Item | null} */
  #selected = null;
  #working = 0;

  /**
   * @param {Engine} engine
   * @param {KeyDialog} keyDialog
   * @param {Settings} settings
   */
  constructor(engine, keyDialog, settings) {
    this.#engine = engine;
    this.#keyDialog = keyDialog;
    this.#settings = settings;
  }

  /** @param {Iterable<File>} files */
  take(files) {
    const before = this.#items.length;
    for (const file of files) {
      const item = { file, url: URL.createObjectURL(file), answer: null, card: make("button", { type: "button" }) };
      item.card.addEventListener("click", () => this.#select(item));
      this.#items.push(item);
      this.#waiting.push(item);
      byId("cards").append(make("li", {}, item.card));
      this.#selected ??= item;
    }
    if (this.#items.length === before) return;
    this.show();
    if (before === 0) byId("result").scrollIntoView({ block: "nearest" });
    while (this.#working < this.#engine.atOnce && this.#waiting.length) this.#work();
  }

  clear() {
    for (const { url } of this.#items) URL.revokeObjectURL(url);
    this.#items = [];
    this.#waiting = [];
    this.#selected = null;
    byId("cards").replaceChildren();
    this.show();
    byId("choose").focus();
  }

  downloadCsv() {
    const text = csvOf(this.#items.map((item) => this.#settings.read(item)), this.#settings.model.classes.names);
    const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    make("a", { href: url, download: "nevus.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }

  /** Shows every image as it is to be read at the settings chosen. */
  show() {
    for (const item of this.#items) this.#showCard(item);
    this.#showSelected();
    this.#showStatus();
  }

  /** @param {Item} item */
  #select(item) {
    this.#selected = item;
    this.#showSelected();
    byId("result").scrollIntoView({ block: "nearest" });
  }

  /** Asks about what waits until nothing does. */
  async #work() {
    this.#working += 1;
    for (let item = this.#waiting.shift(); item; item = this.#waiting.shift()) {
      item.answer = await this.#ask(item.file);
      if (!this.#items.includes(item)) continue; // Removed meanwhile.
      this.#showCard(item);
      if (item === this.#selected) this.#showSelected();
      this.#showStatus();
    }
    this.#working -= 1;
  }

  /**
   * @param {File} file
   * @returns {Promise<Answer>}
   */
  async #ask(file) {
    try {
      return await this.#keyDialog.answerTo(() => this.#engine.predict(file));
    } catch (problem) {
      if (await isThere(file)) {
        const message = `There is no answer (${/** @type {Error} */ (problem).message}). ${this.#engine.advice}`;
        return { error: { code: "no_answer", message } };
      }
      const message = "The file cannot be read: it is a folder, or was moved or deleted.";
      return { error: { code: "not_readable", message } };
    }
  }

  /** @param {Item} item */
  #showCard(item) {
    item.card.replaceChildren(...cardOf(this.#settings.read(item), item.url, this.#settings));
  }

  #showSelected() {
    const selected = this.#selected;
    byId("result").hidden = selected === null;
    for (const { card } of this.#items) card.setAttribute("aria-pressed", String(card === selected?.card));
    if (selected === null) return;
    const { file, url, answer } = selected;
    this.#picture.show(file.name, url, answer?.error === null ? answer.heatmap : null);
    byId("answer").replaceChildren(...answerOf(this.#settings.read(selected), this.#settings));
  }

  #showStatus() {
    const total = this.#items.length;
    const done = this.#items.filter(({ answer }) => answer !== null).length;
    const refused = this.#items.filter(({ answer }) => answer?.error).length;
    byId("gallery").hidden = total < 2;
    byId("drop").classList.toggle("small", total > 0);
    byId("csv", HTMLButtonElement).disabled = done < total;
    const failed = refused ? `, ${refused} without an answer` : "";
    byId("status").textContent = total ? `${done} of ${total} ${total === 1 ? "image" : "images"} read${failed}.` : "";
  }
}

/**
 * Whether the browser can still read a file.
 * @param {File} file
 */
async function isThere(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}
