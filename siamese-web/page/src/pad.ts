// The pad: strokes by mouse, pen, finger or keys; pictures from files, the clipboard, the camera.

import { type Core, PAD, PARTS } from "./core";

/** A stroke: places on the pad in 16ths of a pixel, x and y in turn. */
export type Stroke = number[];

/** What there is to be embedded. */
export interface Picture {
  pixels: Uint8Array;
  width: number;
  height: number;
  /** Drawings are bright; of other pictures the border tells. */
  ink: "bright" | "auto";
}

/** Pixels that an arrow key moves the pen by. */
const STEP = 5;
/** Pixels of a picture's longer side: more are averaged before. */
const MOST = 512;

export class Pad {
  private readonly canvas: CanvasRenderingContext2D;
  private stroke: Stroke = [];
  private pointer: number | null = null;
  private wipeFirst = false;
  private picture: Picture | null = null;
  private pen = { x: PAD / 2, y: PAD / 2, down: false, shown: false };
  strokes: Stroke[] = [];

  /** Called when the picture has changed; `null` for an empty pad. */
  onChange: (picture: Picture | null) => void = () => {};
  onSay: (text: string) => void = () => {};

  constructor(
    private readonly element: HTMLCanvasElement,
    private readonly core: Core,
  ) {
    element.width = PAD;
    element.height = PAD;
    this.canvas = element.getContext("2d") as CanvasRenderingContext2D;
    this.listen();
    this.show();
  }

  clear(): void {
    this.core.wipe();
    this.strokes = [];
    this.stroke = [];
    this.picture = null;
    this.pen.down = false;
    this.wipeFirst = false;
    this.show();
    this.onChange(null);
  }

  /** Leaves the drawing until the next stroke begins. */
  wipeBeforeNext(): void {
    this.wipeFirst = true;
  }

  /** Draws strokes as if by hand, in place of what is there. */
  draw(strokes: Stroke[]): void {
    this.clear();
    for (const stroke of strokes) {
      this.begin(stroke[0], stroke[1]);
      for (let i = 2; i + 1 < stroke.length; i += 2) this.extend(stroke[i], stroke[i + 1]);
    }
    this.changed();
  }

  /** Takes a picture's file, or says why not. */
  async take(file: Blob): Promise<void> {
    try {
      this.takeImage(await createImageBitmap(file));
    } catch {
      this.onSay("This is no picture that the browser can read. Try a PNG or a JPEG file.");
    }
  }

  /** Takes a picture, or a frame of the camera. */
  takeImage(source: ImageBitmap | HTMLVideoElement): void {
    const [width, height] =
      source instanceof HTMLVideoElement ? [source.videoWidth, source.videoHeight] : [source.width, source.height];
    const shrink = Math.min(1, MOST / Math.max(width, height, 1));
    const size = [Math.max(1, Math.round(width * shrink)), Math.max(1, Math.round(height * shrink))];
    const canvas = new OffscreenCanvas(size[0], size[1]);
    const context = canvas.getContext("2d") as OffscreenCanvasRenderingContext2D;
    context.fillStyle = "#fff";
    context.fillRect(0, 0, size[0], size[1]);
    context.drawImage(source, 0, 0, size[0], size[1]);
    const { data } = context.getImageData(0, 0, size[0], size[1]);
    const pixels = new Uint8Array(size[0] * size[1]);
    for (let i = 0; i < pixels.length; i++) {
      // Weights of brightness, in 256ths.
      pixels[i] = (77 * data[4 * i] + 150 * data[4 * i + 1] + 29 * data[4 * i + 2]) >> 8;
    }
    this.clear();
    this.picture = { pixels, width: size[0], height: size[1], ink: "auto" };
    const scale = PAD / Math.max(...size);
    this.canvas.fillStyle = "#000";
    this.canvas.fillRect(0, 0, PAD, PAD);
    const [w, h] = [size[0] * scale, size[1] * scale];
    this.canvas.drawImage(canvas, (PAD - w) / 2, (PAD - h) / 2, w, h);
    this.wipeFirst = true;
    this.onChange(this.picture);
  }

  private begin(x: number, y: number): void {
    if (this.wipeFirst || this.picture !== null) this.clear();
    this.stroke = [x, y];
    this.strokes.push(this.stroke);
    this.core.line(x, y, x, y);
  }

  private extend(x: number, y: number): void {
    const [fromX, fromY] = this.stroke.slice(-2);
    this.stroke.push(x, y);
    this.core.line(fromX, fromY, x, y);
  }

  private changed(): void {
    this.show();
    if (this.strokes.length === 0) return this.onChange(null);
    this.onChange({ pixels: this.core.pad(), width: PAD, height: PAD, ink: "bright" });
  }

  private show(): void {
    const pixels = this.core.pad();
    const image = this.canvas.createImageData(PAD, PAD);
    for (let i = 0; i < pixels.length; i++) {
      image.data.fill(pixels[i], 4 * i, 4 * i + 3);
      image.data[4 * i + 3] = 255;
    }
    this.canvas.putImageData(image, 0, 0);
    if (this.strokes.length === 0 && !this.pen.shown) {
      this.canvas.fillStyle = "#8b93a0";
      this.canvas.font = "11px system-ui, sans-serif";
      this.canvas.textAlign = "center";
      this.canvas.fillText("draw here", PAD / 2, PAD / 2 + 4);
    }
    if (this.pen.shown) {
      this.canvas.strokeStyle = this.pen.down ? "#ff9f1c" : "#7fd1ff";
      this.canvas.lineWidth = 1.5;
      this.canvas.beginPath();
      this.canvas.arc(this.pen.x, this.pen.y, 6, 0, 2 * Math.PI);
      this.canvas.stroke();
    }
  }

  private listen(): void {
    const place = (event: PointerEvent): [number, number] => {
      const box = this.element.getBoundingClientRect();
      const parts = (at: number, length: number) => Math.round((at / length) * PAD * PARTS);
      return [parts(event.clientX - box.left, box.width), parts(event.clientY - box.top, box.height)];
    };
    this.element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || this.pointer !== null) return;
      event.preventDefault();
      this.pointer = event.pointerId;
      this.pen.shown = false;
      this.element.setPointerCapture(event.pointerId);
      this.begin(...place(event));
      this.changed();
    });
    this.element.addEventListener("pointermove", (event) => {
      if (event.pointerId !== this.pointer) return;
      const events = event.getCoalescedEvents?.() ?? [];
      for (const one of events.length > 0 ? events : [event]) this.extend(...place(one));
      this.changed();
    });
    const release = (event: PointerEvent) => {
      if (event.pointerId === this.pointer) this.pointer = null;
    };
    this.element.addEventListener("pointerup", release);
    this.element.addEventListener("pointercancel", release);
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.element.addEventListener("blur", () => {
      this.pen.shown = false;
      this.pen.down = false;
      if (this.picture === null) this.show();
    });
  }

  /** Arrows move a pen, space sets it down and lifts it. */
  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const moves: Record<string, [number, number]> = {
      ArrowLeft: [-STEP, 0],
      ArrowRight: [STEP, 0],
      ArrowUp: [0, -STEP],
      ArrowDown: [0, STEP],
    };
    const move = moves[event.key];
    const parts = (): [number, number] => [this.pen.x * PARTS, this.pen.y * PARTS];
    if (event.key === " ") {
      this.pen.down = !this.pen.down;
      if (this.pen.down) {
        this.begin(...parts());
        this.pen.down = true;
      }
      this.onSay(this.pen.down ? "Pen down" : "Pen up");
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.clear();
      this.onSay("The pad is empty");
    } else if (move !== undefined) {
      const within = (at: number) => Math.min(Math.max(at, 5), PAD - 5);
      this.pen.x = within(this.pen.x + move[0]);
      this.pen.y = within(this.pen.y + move[1]);
      if (this.pen.down) this.extend(...parts());
    } else {
      return;
    }
    event.preventDefault();
    this.pen.shown = true;
    if (this.picture === null) this.changed();
  }
}
