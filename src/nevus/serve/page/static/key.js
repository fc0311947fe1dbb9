// The key of a server that wants one: asked for in a dialog, which several questions may wait for.

import { byId } from "./element.js";

/** @import { Engine } from "../contract" */

export class KeyDialog {
  #engine;
  #dialog = byId("key-dialog", HTMLDialogElement);
  #key = byId("key", HTMLInputElement);
  /** @type {Promise<void> | null} */
  #asking = null;

  /** @param {Engine} engine */
  constructor(engine) {
    this.#engine = engine;
  }

  /**
   * The answer to a question, which is put again with a key where one is wanted.
   * @template T
   * @param {() => Promise<T>} question
   */
  async answerTo(question) {
    for (;;) {
      try {
        return await question();
      } catch (problem) {
        if (!(problem instanceof this.#engine.KeyRequired)) throw problem;
        this.#asking ??= this.#ask();
        await this.#asking;
      }
    }
  }

  /** Shows the dialog until a key is given; fails if it is closed without one. */
  async #ask() {
    this.#dialog.returnValue = "";
    this.#key.value = "";
    this.#dialog.showModal();
    await new Promise((resume) => this.#dialog.addEventListener("close", resume, { once: true }));
    if (this.#dialog.returnValue === "") {
      throw new Error("This server asks for a key, and none was given. Reload the page to try again.");
    }
    this.#engine.useKey(this.#key.value);
    byId("key-refused").hidden = false; // Seen only if the server asks once more.
    this.#asking = null;
  }
}
