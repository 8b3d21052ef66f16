// What a drawing costs: which inputs and units are awake, and the instructions that follow.

import type { Embedded } from "./core";
import type { CoreCost, LayerShape, Meta } from "./data";

/** What an image makes a kernel do: `siamese_build::cost::Work`. */
export interface Work {
  active: number;
  products: number;
  outputs: number;
  words: number;
  multiplied: number;
}

/** Rows of a word of weights of few bits. */
const ROWS = 8;

function awake(activations: Uint8Array): number {
  let count = 0;
  for (const activation of activations) if (activation > 0) count++;
  return count;
}

export function workOf(embedded: Embedded, layers: LayerShape[]): Work {
  const work = { active: 0, products: 0, outputs: 0, words: 0, multiplied: 0 };
  [embedded.inputs, ...embedded.hidden].forEach((activations, i) => {
    const { outputs, words, adds } = layers[i];
    const active = awake(activations);
    if (words) {
      work[adds ? "words" : "multiplied"] += active * Math.ceil(outputs / ROWS);
    } else {
      work.active += active;
      work.products += active * outputs;
      work.outputs += outputs;
    }
  });
  return work;
}

export function instructions(core: CoreCost, work: Work): number {
  const eights = core.active * work.active + core.product * work.products + core.output * work.outputs;
  return Math.round(eights + core.word * work.words + core.multiplied * work.multiplied);
}

/** Columns of about as many rows. */
function square(count: number): number {
  return Math.ceil(Math.sqrt(count));
}

const number = new Intl.NumberFormat("en");

export class Layers {
  constructor(
    private readonly host: HTMLElement,
    private readonly meta: Meta,
  ) {
    const body = this.find("tbody");
    for (const core of meta.cores) {
      const row = document.createElement("tr");
      row.innerHTML = '<th scope="row"><b></b><span class="about"></span></th><td class="bar"><span></span></td><td class="count"></td>';
      (row.querySelector("b") as HTMLElement).textContent = core.name;
      (row.querySelector(".about") as HTMLElement).textContent = core.about;
      body.append(row);
    }
    this.show(null, 0);
  }

  /** Shows an embedding; `null` before anything was drawn. */
  show(embedded: Embedded | null, microseconds: number): void {
    const { layers, inputColumns } = this.meta.model;
    const work = embedded === null ? null : workOf(embedded, layers);
    const parts: [string, Uint8Array, number][] = [
      ["inputs", embedded?.inputs ?? new Uint8Array(layers[0].inputs), inputColumns],
      ["first", embedded?.hidden[0] ?? new Uint8Array(layers[0].outputs), square(layers[0].outputs)],
      ["second", embedded?.hidden[1] ?? new Uint8Array(layers[1].outputs), square(layers[1].outputs)],
    ];
    for (const [name, activations, columns] of parts) {
      paint(this.find(`[data-layer=${name}]`) as HTMLCanvasElement, activations, columns);
      const count = awake(activations);
      const kind = name === "inputs" ? "inputs carry ink" : "units are awake";
      const skipped = activations.length - count;
      this.find(`[data-count=${name}]`).textContent =
        embedded === null
          ? `${activations.length} ${name === "inputs" ? "inputs" : "units"}`
          : `${count} of ${activations.length} ${kind}; ${skipped} skipped`;
    }
    const rows = this.host.querySelectorAll("tbody tr");
    for (const [i, core] of this.meta.cores.entries()) {
      const count = work === null ? 0 : instructions(core, work);
      const cell = rows[i].querySelector(".count") as HTMLElement;
      cell.textContent = work === null ? "–" : number.format(count);
      const bar = rows[i].querySelector(".bar span") as HTMLElement;
      bar.style.width = `${Math.min(100, (100 * count) / core.most)}%`;
    }
    this.find("[data-time]").textContent =
      embedded === null ? "" : `In this browser it took ${microseconds.toFixed(0)} microseconds.`;
  }

  private find(selector: string): HTMLElement {
    return this.host.querySelector(selector) as HTMLElement;
  }
}

/** Activations as squares of light, so many in a row. */
function paint(canvas: HTMLCanvasElement, activations: Uint8Array, columns: number): void {
  const rows = Math.ceil(activations.length / columns);
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d") as CanvasRenderingContext2D;
  const image = context.createImageData(columns, rows);
  let most = 1;
  for (const activation of activations) most = Math.max(most, activation);
  for (let i = 0; i < columns * rows; i++) {
    const light = i < activations.length && activations[i] > 0 ? 0.3 + (0.7 * activations[i]) / most : 0;
    image.data[4 * i] = 34 + light * 221;
    image.data[4 * i + 1] = 38 + light * 170;
    image.data[4 * i + 2] = 46 + light * 40;
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}
