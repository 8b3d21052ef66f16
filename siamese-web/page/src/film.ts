// The map while the network learned: a picture for each step that was kept.

import { type Meta, joined, section } from "./data";

export interface Frame {
  xs: Float32Array;
  ys: Float32Array;
  classes: Uint16Array;
}

export class Film {
  private constructor(
    private readonly frames: Int16Array,
    private readonly classes: Uint16Array,
    private readonly meta: NonNullable<Meta["film"]>,
  ) {}

  /** The film, if the page has one. */
  static async read(meta: Meta): Promise<Film | null> {
    if (meta.film === null) return null;
    const numbers = joined(await section("film"));
    const { points, frames } = meta.film;
    const classes = numbers.slice(0, points);
    const steps = new Int16Array(numbers.buffer, 2 * points, 2 * points * frames);
    return new Film(steps, classes, meta.film);
  }

  get length(): number {
    return this.meta.frames;
  }

  frame(index: number): Frame {
    const { points, scale } = this.meta;
    const start = index * 2 * points;
    const xs = new Float32Array(points);
    const ys = new Float32Array(points);
    for (let i = 0; i < points; i++) {
      xs[i] = this.frames[start + i] * scale;
      ys[i] = this.frames[start + points + i] * scale;
    }
    return { xs, ys, classes: this.classes };
  }
}
