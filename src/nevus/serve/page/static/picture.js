// The selected image with its heatmap over it, but over no other picture than the one that the model saw.

import { byId } from "./element.js";

/** @import { Heatmap } from "../contract" */

export class Picture {
  #image = byId("image", HTMLImageElement);
  #heat = byId("heat", HTMLImageElement);
  #opacity = byId("opacity", HTMLInputElement);
  /** @type {Heatmap | null} */
  #heatmap = null;
  /** @type {number | null | undefined} Width by height; undefined while it is on its way, null if it cannot be shown. */
  #ratio;

  constructor() {
    this.#image.addEventListener("load", () => this.#arrive(this.#image.naturalWidth / this.#image.naturalHeight));
    this.#image.addEventListener("error", () => this.#arrive(null));
    this.#opacity.addEventListener("input", () => this.#showOpacity());
    this.#showOpacity();
  }

  /**
   * Shows an image.
   * @param {string} name
   * @param {string} url
   * @param {Heatmap | null} heatmap
   */
  show(name, url, heatmap) {
    this.#heatmap = heatmap;
    this.#image.alt = `The image ${name}`;
    if (this.#image.src !== url) {
      this.#ratio = undefined;
      this.#image.src = url;
    }
    this.#showHeat();
  }

  /** @param {number | null} ratio */
  #arrive(ratio) {
    this.#ratio = ratio;
    byId("stack").style.setProperty("--ratio", String(ratio));
    this.#showHeat();
  }

  #showHeat() {
    const [heatmap, ratio] = [this.#heatmap, this.#ratio];
    if (heatmap) this.#heat.src = heatmap.url;
    // Sizes may differ by a rounding.
    const isTurned = Boolean(heatmap && ratio && Math.abs(Math.log(heatmap.ratio / ratio)) > 0.01);
    byId("stack").hidden = ratio === null;
    byId("heat-control").hidden = !heatmap || ratio === null || isTurned;
    this.#heat.hidden = !heatmap || !ratio || isTurned;
    byId("picture-note").hidden = ratio !== null && !isTurned;
    byId("picture-note").textContent = isTurned
      ? "No heatmap: the browser shows this picture in a different orientation from the one the model saw."
      : `This browser cannot show the file${heatmap ? ", so no heatmap lies over it" : ""}.`;
  }

  #showOpacity() {
    const { value } = this.#opacity;
    this.#heat.style.opacity = String(Number(value) / 100);
    byId("opacity-value").textContent = `${value} %`;
  }
}
