// siamese-core, compiled to WebAssembly: see `siamese-web/src/abi.rs`.

import type { Meta } from "./data";

type Call = (...numbers: number[]) => number;

/** An embedding, and what each layer made of the image. */
export interface Embedded {
  point: Int16Array;
  inputs: Uint8Array;
  hidden: [Uint8Array, Uint8Array];
}

/** A point near an embedding. */
export interface Near {
  index: number;
  /** In squared steps. */
  squared: number;
}

/** What an embedding looks like. */
export interface Identified {
  label: number;
  decision: "known" | "unknown" | "undecided";
  /** In squared steps. */
  squared: number;
  other: { label: number; squared: number } | null;
  /** The squared distance up to which it would be known, if there is a threshold. */
  limit: number | null;
}

/** An entry of the gallery. */
export interface Entry {
  label: number;
  examples: number;
  point: Int16Array;
}

/** Where the ink of a picture was. */
export interface Fitted {
  frame: Uint8Array;
  box: { left: number; top: number; width: number; height: number };
}

/** Pixels of a side of the pad, and the parts of a pixel in which strokes are told. */
export const PAD = 140;
export const PARTS = 16;

const INK = { auto: 0, bright: 1, dark: 2 };

export class Core {
  private constructor(
    private readonly exports: Record<string, Call>,
    private readonly memory: WebAssembly.Memory,
    private readonly meta: Meta,
  ) {}

  /** Starts the module, and opens the model's file. */
  static async start(
    module: Uint8Array<ArrayBuffer>,
    model: Uint8Array,
    meta: Meta,
  ): Promise<Core> {
    const { instance } = await WebAssembly.instantiate(module, {});
    const exports = instance.exports as Record<string, unknown>;
    const memory = exports.memory as WebAssembly.Memory;
    const core = new Core(exports as Record<string, Call>, memory, meta);
    core.call("open", core.put(model));
    return core;
  }

  /** Brings a picture into the model's frame; throws in words if it is blank. */
  fit(pixels: Uint8Array, width: number, height: number, ink: keyof typeof INK): Fitted {
    this.put(pixels);
    const answer = this.call("fit", width, height, INK[ink]);
    const size = this.meta.model.width * this.meta.model.height;
    const view = new DataView(answer.buffer);
    const side = (at: number) => view.getUint16(size + 2 * at, true);
    return {
      frame: answer.subarray(0, size),
      box: { left: side(0), top: side(1), width: side(2), height: side(3) },
    };
  }

  embed(frame: Uint8Array): Embedded {
    this.put(frame);
    const answer = this.call("embed");
    const { dim, layers } = this.meta.model;
    let at = 2 * dim;
    const next = (length: number) => answer.subarray(at, (at += length));
    return {
      point: new Int16Array(answer.buffer, 0, dim),
      inputs: next(layers[0].inputs),
      hidden: [next(layers[0].outputs), next(layers[1].outputs)],
    };
  }

  /** Microseconds that an embedding of this frame takes here: the median of some. */
  time(frame: Uint8Array): number {
    const bytes = frame.slice();
    const address = this.exports.siamese_mailbox(frame.length);
    const times = [];
    // Clocks of browsers are coarse: several embeddings a look.
    const ROUNDS = 20;
    for (let look = 0; look < 9; look++) {
      const start = performance.now();
      for (let round = 0; round < ROUNDS; round++) {
        new Uint8Array(this.memory.buffer, address, bytes.length).set(bytes);
        this.exports.siamese_embed();
      }
      times.push(((performance.now() - start) * 1000) / ROUNDS);
    }
    return times.sort((a, b) => a - b)[4];
  }

  setPoints(points: Int16Array): void {
    this.call("points", this.put(bytesOf(points)));
  }

  nearest(point: Int16Array, count: number): Near[] {
    this.put(bytesOf(point));
    const answer = this.call("nearest", count);
    const view = new DataView(answer.buffer);
    return Array.from({ length: answer.length / 12 }, (_, i) => ({
      index: view.getUint32(12 * i, true),
      squared: view.getFloat64(12 * i + 4, true),
    }));
  }

  wipe(): void {
    this.call("wipe");
  }

  /** Draws a line on the pad, between places in 16ths of a pixel. */
  line(x: number, y: number, toX: number, toY: number): void {
    this.call("line", x, y, toX, toY);
  }

  pad(): Uint8Array {
    return this.call("pad");
  }

  enrol(label: number, point: Int16Array): number {
    this.put(bytesOf(point));
    return new DataView(this.call("enrol", label).buffer).getUint16(0, true);
  }

  forget(label: number): void {
    this.call("forget", label);
  }

  /** `null` if nothing is enrolled. */
  identify(point: Int16Array): Identified | null {
    this.put(bytesOf(point));
    const answer = this.call("identify");
    if (answer.length === 0) return null;
    const view = new DataView(answer.buffer);
    const real = (at: number) => view.getFloat64(at, true);
    return {
      label: view.getUint16(0, true),
      decision: (["known", "unknown", "undecided"] as const)[view.getUint8(2)],
      squared: real(8),
      other: view.getUint8(3) ? { label: view.getUint16(4, true), squared: real(16) } : null,
      limit: real(24) < 0 ? null : real(24),
    };
  }

  /** Sets the threshold, in squared steps; `null` leaves it to the model. */
  setThreshold(squared: number | null): void {
    this.call("threshold", squared ?? -1);
  }

  entries(): { threshold: number | null; entries: Entry[] } {
    const answer = this.call("entries");
    const { dim } = this.meta.model;
    const view = new DataView(answer.buffer);
    const threshold = view.getFloat64(0, true);
    const entries = [];
    for (let at = 8; at < answer.length; at += 4 + 2 * dim) {
      entries.push({
        label: view.getUint16(at, true),
        examples: view.getUint16(at + 2, true),
        point: new Int16Array(answer.buffer.slice(at + 4, at + 4 + 2 * dim)),
      });
    }
    return { threshold: threshold < 0 ? null : threshold, entries };
  }

  name(label: number, name: string): void {
    this.call("name", label, this.put(new TextEncoder().encode(name)));
  }

  names(): Map<number, string> {
    const answer = this.call("names");
    const view = new DataView(answer.buffer);
    const names = new Map<number, string>();
    for (let at = 0; at < answer.length; ) {
      const length = view.getUint8(at + 2);
      const name = answer.subarray(at + 3, at + 3 + length);
      names.set(view.getUint16(at, true), new TextDecoder().decode(name));
      at += 3 + length;
    }
    return names;
  }

  /** The gallery's file. */
  save(): Uint8Array<ArrayBuffer> {
    return this.call("save");
  }

  /** Takes a gallery's file in place of what is enrolled; throws in words if it can't be. */
  load(file: Uint8Array): void {
    this.call("load", this.put(file));
  }

  /** Puts bytes into the mailbox; their number. */
  private put(bytes: Uint8Array): number {
    const address = this.exports.siamese_mailbox(bytes.length);
    new Uint8Array(this.memory.buffer, address, bytes.length).set(bytes);
    return bytes.length;
  }

  /** Calls a function; a copy of its answer. */
  private call(name: string, ...numbers: number[]): Uint8Array<ArrayBuffer> {
    const length = this.exports[`siamese_${name}`](...numbers);
    const address = this.exports.siamese_mailbox(Math.abs(length));
    const answer = new Uint8Array(this.memory.buffer, address, Math.abs(length)).slice();
    if (length < 0) throw new Error(new TextDecoder().decode(answer));
    return answer;
  }
}

function bytesOf(numbers: Int16Array): Uint8Array {
  return new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
}
