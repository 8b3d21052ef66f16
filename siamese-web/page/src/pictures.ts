// The pictures behind the points: one that was picked, and those that lie among others.

import type { Core } from "./core";
import type { Data, Thumbs } from "./data";

/** Neighbours that are shown. */
const NEAR = 8;
/** Mistakes that are listed. */
const LISTED = 48;

/** Draws a grey picture, a pixel a pixel. */
export function drawThumb(canvas: HTMLCanvasElement, pixels: Uint8Array, width: number, height: number): void {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d") as CanvasRenderingContext2D;
  const image = context.createImageData(width, height);
  for (let i = 0; i < pixels.length; i++) {
    image.data.fill(pixels[i], 4 * i, 4 * i + 3);
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

function button(thumbs: Thumbs, index: number, text: string, press: () => void): HTMLButtonElement {
  const made = document.createElement("button");
  made.type = "button";
  const picture = document.createElement("canvas");
  picture.setAttribute("aria-hidden", "true");
  drawThumb(picture, thumbs.get(index), thumbs.width, thumbs.height);
  made.append(picture, text);
  made.addEventListener("click", press);
  return made;
}

/** A picture that was picked, and its neighbours. */
export class Picked {
  thumbs: Thumbs | null = null;

  constructor(
    private readonly data: Data,
    private readonly core: Core,
    private readonly go: (index: number) => void,
  ) {}

  /** A point in words. */
  about(index: number): string {
    const { meta, classes, votes } = this.data;
    const name = meta.classes[classes[index]].name;
    const vote = meta.classes[votes[index]].name;
    return vote === name ? `A “${name}”, among others of its kind` : `A “${name}” that lies among “${vote}”`;
  }

  show(index: number): void {
    const host = document.getElementById("picked") as HTMLElement;
    host.hidden = index < 0;
    if (index < 0 || this.thumbs === null) return;
    const { meta, points, classes } = this.data;
    const { dim, scale } = meta.model;
    const find = (id: string) => document.getElementById(id) as HTMLElement;
    find("picked-title").textContent = this.about(index);
    const image = find("picked-image") as HTMLCanvasElement;
    drawThumb(image, this.thumbs.get(index), this.thumbs.width, this.thumbs.height);
    image.setAttribute("aria-label", `Picture number ${index}`);
    find("picked-say").textContent = `Picture number ${index.toLocaleString("en")} of ${meta.points.toLocaleString("en")}.`;
    const near = this.core.nearest(points.slice(index * dim, (index + 1) * dim), NEAR + 1);
    const others = near.filter((one) => one.index !== index).slice(0, NEAR);
    const thumbs = this.thumbs;
    find("picked-near").replaceChildren(
      ...others.map((one) => {
        const name = meta.classes[classes[one.index]].name;
        const distance = (Math.sqrt(one.squared) * scale).toFixed(3);
        return button(thumbs, one.index, `“${name}” at ${distance}`, () => this.go(one.index));
      }),
    );
  }
}

/** Points that lie among those of another class. */
export class Mistakes {
  thumbs: Thumbs | null = null;
  /** 1 for each of them. */
  readonly chosen: Uint8Array;
  private readonly indices: number[] = [];

  constructor(
    private readonly data: Data,
    private readonly go: (index: number) => void,
  ) {
    this.chosen = new Uint8Array(data.meta.points);
    for (let i = 0; i < this.chosen.length; i++) {
      if (data.classes[i] === data.votes[i]) continue;
      this.chosen[i] = 1;
      this.indices.push(i);
    }
  }

  show(on: boolean): void {
    const host = document.getElementById("mistake-list") as HTMLElement;
    host.hidden = !on;
    if (!on || this.thumbs === null) return;
    const { meta, classes, votes } = this.data;
    const thumbs = this.thumbs;
    const say = document.createElement("p");
    say.className = "small";
    say.style.gridColumn = "1 / -1";
    const share = ((100 * this.indices.length) / meta.points).toFixed(2);
    const shown = this.indices.length > LISTED ? ` Here are ${LISTED} of them:` : "";
    say.textContent =
      `${this.indices.length.toLocaleString("en")} of ${meta.points.toLocaleString("en")} (${share} %) lie among pictures of another kind, ` +
      `by the vote of their 25 nearest.${shown}`;
    const listed = this.indices.slice(0, LISTED).map((index) => {
      const [is, among] = [meta.classes[classes[index]].name, meta.classes[votes[index]].name];
      return button(thumbs, index, `“${is}” among “${among}”`, () => this.go(index));
    });
    host.replaceChildren(say, ...listed);
  }
}
