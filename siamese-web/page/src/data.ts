// What `siamese-train explore` has put into the page: a description, and packed bytes.

/** A layer of the network. */
export interface LayerShape {
  inputs: number;
  outputs: number;
  /** Whether its weights are in words of eight rows. */
  words: boolean;
  /** Whether these are added, and not multiplied. */
  adds: boolean;
}

/** What an image costs a processor core: instructions for each unit of work. */
export interface CoreCost {
  name: string;
  about: string;
  active: number;
  product: number;
  output: number;
  word: number;
  multiplied: number;
  /** Instructions of an image in which nothing can be skipped. */
  most: number;
}

/** What thresholds mean: see `siamese-train/src/explore/rates.rs`. */
export interface Rates {
  /** Whether the strangers are classes that training never saw. */
  newClasses: boolean;
  /** By the share of strangers that is accepted: thresholds in squared steps, by the number of
   * labels, the last for all larger numbers. */
  steps: { accept: number; thresholds: number[] }[];
  /** Thresholds and the share of what is enrolled that each refuses. */
  refused: [number, number][];
  /** The step that the page starts with. */
  start: number;
}

/** The description. */
export interface Meta {
  title: string;
  subject: string;
  model: {
    name: string;
    width: number;
    height: number;
    dim: number;
    /** Real units in a step. */
    scale: number;
    layers: LayerShape[];
    /** Columns of the picture that the input activations make. */
    inputColumns: number;
    flash: number;
    ram: number;
    /** The share of wrong acceptances that the model was calibrated for. */
    calibrated: number | null;
  };
  points: number;
  classes: { label: number; name: string; light: string; dark: string }[];
  /** The middle of the points, in steps, and directions of unit length, the widest first. */
  plane: { middle: number[]; axes: { share: number; direction: number[] }[] };
  /** Grey levels of the thumbnails. */
  thumbLevels: number;
  rates: Rates | null;
  cores: CoreCost[];
  film: { frames: number; points: number; scale: number; steps: string } | null;
}

/** The packed bytes, unpacked. */
export interface Data {
  meta: Meta;
  /** `dim` coordinates a point, in steps. */
  points: Int16Array;
  /** The class of each point, as its place among the description's classes. */
  classes: Uint16Array;
  /** What the others around it say that it is. */
  votes: Uint16Array;
}

function element(id: string): string {
  return document.getElementById(id)?.textContent?.trim() ?? "";
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** The bytes of a section, unpacked; none if the page has no such section. */
export async function section(name: string): Promise<Uint8Array<ArrayBuffer>> {
  const text = element(`siamese-${name}`);
  if (text === "") return new Uint8Array();
  const unpacked = new Blob([fromBase64(text)])
    .stream()
    .pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(unpacked).arrayBuffer());
}

/** Numbers of 16 bits whose upper bytes come first, all of them, and then the lower ones. */
export function joined(bytes: Uint8Array): Uint16Array<ArrayBuffer> {
  const count = bytes.length >> 1;
  const numbers = new Uint16Array(count);
  for (let i = 0; i < count; i++) numbers[i] = (bytes[i] << 8) | bytes[count + i];
  return numbers;
}

/** Reads what the map needs. The thumbnails come later: they are most of the page. */
export async function read(): Promise<Data> {
  const meta = JSON.parse(element("siamese-meta")) as Meta;
  const [columns, classes, votes] = await Promise.all(
    ["points", "classes", "votes"].map(async (name) => joined(await section(name))),
  );
  // Coordinate after coordinate, as they pack best; the core wants point after point.
  const { dim } = meta.model;
  const points = new Int16Array(columns.length);
  for (let axis = 0; axis < dim; axis++) {
    const start = axis * meta.points;
    for (let i = 0; i < meta.points; i++) points[i * dim + axis] = columns[start + i];
  }
  return { meta, points, classes, votes };
}

/** The thumbnails: grey values 0 to 255, image after image. */
export class Thumbs {
  readonly size: number;

  private constructor(
    readonly width: number,
    readonly height: number,
    private readonly pixels: Uint8Array,
  ) {
    this.size = width * height;
  }

  static async read(meta: Meta): Promise<Thumbs> {
    const packed = await section("thumbs");
    const { width, height } = meta.model;
    const bits = meta.thumbLevels <= 2 ? 1 : meta.thumbLevels <= 4 ? 2 : 4;
    const each = 8 / bits;
    const mask = (1 << bits) - 1;
    const most = meta.thumbLevels - 1;
    const pixels = new Uint8Array(meta.points * width * height);
    for (let i = 0, at = 0; at < pixels.length; i++) {
      const byte = packed[i];
      for (let j = 0; j < each && at < pixels.length; j++) {
        pixels[at++] = Math.round((((byte >> (j * bits)) & mask) * 255) / most);
      }
    }
    return new Thumbs(width, height, pixels);
  }

  /** The grey values of one. */
  get(index: number): Uint8Array {
    return this.pixels.subarray(index * this.size, (index + 1) * this.size);
  }
}
