// Draws many points into a picture, without a graphics processor: as fast on a laptop as in a
// browser that has none, and the same on both.

import type { Thumbs } from "./data";
import type { View } from "./view";

export type Colour = [number, number, number];

/** What is drawn. */
export interface Scene {
  xs: Float32Array;
  ys: Float32Array;
  classes: Uint16Array;
  colours: Colour[];
  ground: Colour;
  /** 1 for the points that stand out; the others fade. */
  chosen: Uint8Array | null;
  thumbs: Thumbs | null;
  /** Pixels of the picture in one of the page. */
  ratio: number;
}

export function parseColour(hex: string): Colour {
  const number = Number.parseInt(hex.slice(1), 16);
  return [number >> 16, (number >> 8) & 255, number & 255];
}

/** Thumbnails are drawn if there are no more points than this in sight. */
const MOST_THUMBS = 1400;

export class Raster {
  private image = new ImageData(1, 1);
  private bytes = this.image.data;
  private words = new Uint32Array(this.bytes.buffer);
  private visible = new Uint32Array();

  /** Draws the scene; `width` and `height` are pixels of the picture. */
  draw(canvas: CanvasRenderingContext2D, scene: Scene, view: View): void {
    const { width, height } = canvas.canvas;
    if (this.image.width !== width || this.image.height !== height) {
      this.image = new ImageData(width, height);
      this.bytes = this.image.data;
      this.words = new Uint32Array(this.bytes.buffer);
    }
    const [red, green, blue] = scene.ground;
    this.words.fill((0xff000000 | (blue << 16) | (green << 8) | red) >>> 0);
    const count = this.find(scene, view);
    if (scene.thumbs !== null && count <= MOST_THUMBS && view.scale > view.whole * 2.5) {
      this.thumbs(scene, view, scene.thumbs, count);
    } else {
      this.points(scene, view, count);
    }
    canvas.putImageData(this.image, 0, 0);
  }

  /** Finds the points in sight; their number. */
  private find(scene: Scene, view: View): number {
    if (this.visible.length < scene.xs.length) this.visible = new Uint32Array(scene.xs.length);
    const [left, top] = view.toPlane(-40, -40);
    const [right, bottom] = view.toPlane(view.width + 40, view.height + 40);
    const { xs, ys } = scene;
    let count = 0;
    for (let i = 0; i < xs.length; i++) {
      const x = xs[i];
      const y = ys[i];
      if (x >= left && x <= right && y <= top && y >= bottom) this.visible[count++] = i;
    }
    return count;
  }

  /** Points as discs that let others shine through: where many lie, it is dense. */
  private points(scene: Scene, view: View, count: number): void {
    const { width, height } = this.image;
    const { ratio, xs, ys, classes, colours, chosen, ground } = scene;
    const zoom = view.scale / view.whole;
    const crowd = Math.sqrt(20000 / Math.max(xs.length, 2000));
    const grown = Math.min(Math.max(Math.sqrt(zoom), 0.7), 3);
    const radius = Math.min(Math.max(1.25 * crowd * grown, 0.8), 4.5) * ratio;
    const opacity = Math.min(Math.max(0.42 * crowd * Math.sqrt(zoom), 0.22), 0.9);
    const stamp = disc(radius, opacity * 256);
    const strong = disc(Math.max(radius * 1.6, 2.6 * ratio), 256);
    const reach = Math.ceil(Math.max(radius * 1.6, 2.6 * ratio)) + 1;
    const pale = colours.map((colour) => mix(colour, ground, 0.22));
    const bytes = this.bytes;
    const scale = view.scale * ratio;
    const middleX = (view.width / 2) * ratio - view.x * scale;
    const middleY = (view.height / 2) * ratio + view.y * scale;
    // What stands out lies on top.
    for (let pass = chosen === null ? 1 : 0; pass < 2; pass++) {
      for (let n = 0; n < count; n++) {
        const i = this.visible[n];
        const out = chosen === null || chosen[i] === 1;
        if (out !== (pass === 1)) continue;
        const [red, green, blue] = (out ? colours : pale)[classes[i]];
        const { offsets, weights } = chosen !== null && out ? strong : stamp;
        const x = Math.round(middleX + xs[i] * scale);
        const y = Math.round(middleY - ys[i] * scale);
        if (x < reach || y < reach || x >= width - reach || y >= height - reach) continue;
        const at = (y * width + x) * 4;
        for (let k = 0; k < weights.length; k++) {
          const to = at + (offsets[2 * k + 1] * width + offsets[2 * k]) * 4;
          const weight = weights[k];
          bytes[to] += ((red - bytes[to]) * weight) >> 8;
          bytes[to + 1] += ((green - bytes[to + 1]) * weight) >> 8;
          bytes[to + 2] += ((blue - bytes[to + 2]) * weight) >> 8;
        }
      }
    }
  }

  /** The images themselves, at their points. */
  private thumbs(scene: Scene, view: View, thumbs: Thumbs, count: number): void {
    const { width, height } = this.image;
    const { ratio, xs, ys, classes, colours, chosen, ground } = scene;
    const room = (view.width * view.height) / Math.max(count, 1);
    const side = Math.round(Math.min(Math.max(Math.sqrt(room) * 0.8, 18), 64) * ratio);
    const pale = colours.map((colour) => mix(colour, ground, 0.25));
    const columns = new Int32Array(side);
    for (let i = 0; i < side; i++) columns[i] = ((i + 0.5) * thumbs.width) / side;
    const bytes = this.bytes;
    for (let n = 0; n < count; n++) {
      const i = this.visible[n];
      const [sx, sy] = view.toScreen(xs[i], ys[i]);
      const left = Math.round(sx * ratio - side / 2);
      const top = Math.round(sy * ratio - side / 2);
      const out = chosen === null || chosen[i] === 1;
      const [red, green, blue] = (out ? colours : pale)[classes[i]];
      const pixels = thumbs.get(i);
      for (let dy = 0; dy < side; dy++) {
        const y = top + dy;
        if (y < 0 || y >= height) continue;
        const row = Math.floor(((dy + 0.5) * thumbs.height) / side) * thumbs.width;
        for (let dx = 0; dx < side; dx++) {
          const ink = pixels[row + columns[dx]];
          const x = left + dx;
          if (ink === 0 || x < 0 || x >= width) continue;
          const to = (y * width + x) * 4;
          bytes[to] += ((red - bytes[to]) * ink) >> 8;
          bytes[to + 1] += ((green - bytes[to + 1]) * ink) >> 8;
          bytes[to + 2] += ((blue - bytes[to + 2]) * ink) >> 8;
        }
      }
    }
  }
}

/** The pixels of a disc around a pixel, and their weights of 256. */
function disc(radius: number, weight: number): { offsets: Int8Array; weights: Int32Array } {
  const offsets: number[] = [];
  const weights: number[] = [];
  const reach = Math.ceil(radius);
  for (let dy = -reach; dy <= reach; dy++) {
    for (let dx = -reach; dx <= reach; dx++) {
      const covered = Math.min(Math.max(radius + 0.5 - Math.hypot(dx, dy), 0), 1);
      if (covered * weight < 8) continue;
      offsets.push(dx, dy);
      weights.push(Math.round(covered * weight));
    }
  }
  return { offsets: new Int8Array(offsets), weights: new Int32Array(weights) };
}

/** `part` of a colour and the rest of another. */
export function mix(a: Colour, b: Colour, part: number): Colour {
  return [0, 1, 2].map((i) => Math.round(a[i] * part + b[i] * (1 - part))) as Colour;
}
