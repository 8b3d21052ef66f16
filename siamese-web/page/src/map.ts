// The map: all points, what was drawn, and what was taught.

import type { Data, Thumbs } from "./data";
import { type Colour, Raster, type Scene, parseColour } from "./raster";
import { type Box, View, boxOf } from "./view";

/** Something with a name on the map. */
export interface Mark {
  x: number;
  y: number;
  text: string;
}

/** Which two directions are seen. */
export interface Plane {
  /** Numbers of two principal directions; both are coordinates where there are only two. */
  across: number;
  up: number;
}

/** How far a pointer may be from a point and yet mean it, in pixels. */
const REACH = 14;
/** Pixels that an arrow key moves the map by. */
const STEP = 60;

export class MapView {
  readonly view = new View();
  private readonly raster = new Raster();
  private readonly paper: CanvasRenderingContext2D;
  private readonly glass: CanvasRenderingContext2D;
  private xs = new Float32Array();
  private ys = new Float32Array();
  private names: Mark[] = [];
  private plane: Plane = { across: 0, up: 1 };
  private thumbs: Thumbs | null = null;
  private chosen: Uint8Array | null = null;
  private film: { xs: Float32Array; ys: Float32Array; classes: Uint16Array } | null = null;
  private pending = false;
  private paperIsOld = true;
  private pointers = new Map<number, [number, number]>();
  private moved = 0;
  /** What was drawn, where it went, and what was taught. */
  private drawn: { x: number; y: number; text: string } | null = null;
  private trail: [number, number][] = [];
  private taught: Mark[] = [];
  private pinned = -1;
  private hovered = -1;
  private focused = false;

  /** Called with the point that a pointer is over, and with the one that is chosen. */
  onHover: (index: number, x: number, y: number) => void = () => {};
  onPick: (index: number) => void = () => {};

  constructor(
    private readonly host: HTMLElement,
    private readonly data: Data,
  ) {
    const [paper, glass] = host.querySelectorAll("canvas");
    this.paper = paper.getContext("2d", { alpha: false }) as CanvasRenderingContext2D;
    this.glass = glass.getContext("2d") as CanvasRenderingContext2D;
    this.setPlane(this.plane);
    this.listen(glass);
    new ResizeObserver(() => this.resize()).observe(host);
    this.resize();
    this.showAll();
  }

  /** Looks along other directions. */
  setPlane(plane: Plane): void {
    this.plane = plane;
    const { meta, points } = this.data;
    const { dim } = meta.model;
    this.xs = new Float32Array(meta.points);
    this.ys = new Float32Array(meta.points);
    for (let i = 0; i < meta.points; i++) {
      [this.xs[i], this.ys[i]] = this.project(points.subarray(i * dim, (i + 1) * dim));
    }
    this.names = this.namesOf(this.xs, this.ys, this.data.classes);
    this.trail = [];
    this.showAll();
  }

  /** Where an embedding lies in the plane, in real units. */
  project(point: Int16Array): [number, number] {
    const { model, plane } = this.data.meta;
    if (model.dim === 1) return [point[0] * model.scale, 0];
    if (model.dim === 2) return [point[0] * model.scale, point[1] * model.scale];
    const along = (direction: number[]) => {
      let sum = 0;
      for (let axis = 0; axis < point.length; axis++) {
        sum += (point[axis] - plane.middle[axis]) * direction[axis];
      }
      return sum * model.scale;
    };
    const { axes } = plane;
    return [along(axes[this.plane.across].direction), along(axes[this.plane.up].direction)];
  }

  setThumbs(thumbs: Thumbs): void {
    this.thumbs = thumbs;
    this.redraw();
  }

  /** Lets some points stand out; `null` for all alike. */
  choose(chosen: Uint8Array | null): void {
    this.chosen = chosen;
    this.redraw();
  }

  /** Shows a picture of the film in place of the points. */
  setFilm(film: { xs: Float32Array; ys: Float32Array; classes: Uint16Array } | null): void {
    this.film = film;
    this.redraw();
  }

  /** Shows where a drawing lies; `null` if there is none. */
  setDrawn(point: Int16Array | null, text: string): void {
    if (point === null) {
      this.drawn = null;
      this.trail = [];
    } else {
      const [x, y] = this.project(point);
      if (this.drawn !== null) this.trail.push([this.drawn.x, this.drawn.y]);
      if (this.trail.length > 60) this.trail.shift();
      this.drawn = { x, y, text };
    }
    this.overlay();
  }

  /** Shows what was taught. */
  setTaught(entries: { point: Int16Array; text: string }[]): void {
    this.taught = entries.map(({ point, text }) => {
      const [x, y] = this.project(point);
      return { x, y, text };
    });
    this.overlay();
  }

  /** Marks a point, and moves there if it isn't in sight. */
  pin(index: number, zoom = false): void {
    this.pinned = index;
    if (index >= 0) {
      const [x, y] = this.view.toScreen(this.xs[index], this.ys[index]);
      const inside = x > 20 && y > 20 && x < this.view.width - 20 && y < this.view.height - 20;
      if (zoom || !inside) {
        this.view.x = this.xs[index];
        this.view.y = this.ys[index];
        if (zoom) this.view.scale = Math.max(this.view.scale, this.view.whole * 9);
        this.redraw();
      }
    }
    this.overlay();
  }

  showAll(): void {
    const box = this.whole();
    this.view.setWhole(box);
    this.view.show(box);
    this.redraw();
  }

  /** Draws all at once; milliseconds that it took. For measuring. */
  drawNow(): number {
    const start = performance.now();
    this.paperIsOld = true;
    this.draw();
    return performance.now() - start;
  }

  zoom(factor: number): void {
    this.view.zoom(factor);
    this.redraw();
  }

  /** The point that is nearest to a place of the screen, or -1. */
  at(x: number, y: number, reach = REACH): number {
    const [px, py] = this.view.toPlane(x, y);
    let best = (reach / this.view.scale) ** 2;
    let found = -1;
    for (let i = 0; i < this.xs.length; i++) {
      const squared = (this.xs[i] - px) ** 2 + (this.ys[i] - py) ** 2;
      if (squared <= best) [best, found] = [squared, i];
    }
    return found;
  }

  private whole(): Box {
    return boxOf(this.xs, this.ys);
  }

  /** Each class's name at the medians of its points. */
  private namesOf(xs: Float32Array, ys: Float32Array, classes: Uint16Array): Mark[] {
    const { meta } = this.data;
    const members = meta.classes.map((): number[] => []);
    for (let i = 0; i < xs.length; i++) members[classes[i]].push(i);
    const marks = [];
    for (const [place, indices] of members.entries()) {
      if (indices.length === 0) continue;
      const median = (values: Float32Array) => {
        const sorted = Float32Array.from(indices, (i) => values[i]).sort();
        return sorted[sorted.length >> 1];
      };
      marks.push({ x: median(xs), y: median(ys), text: meta.classes[place].name });
    }
    return marks;
  }

  private resize(): void {
    const { clientWidth, clientHeight } = this.host;
    if (clientWidth === 0 || clientHeight === 0) return;
    const wasWhole = this.view.width <= 1 || this.view.scale === this.view.whole;
    const zoom = this.view.scale / this.view.whole;
    this.view.width = clientWidth;
    this.view.height = clientHeight;
    const ratio = this.ratio();
    for (const { canvas } of [this.paper, this.glass]) {
      canvas.width = Math.round(clientWidth * ratio);
      canvas.height = Math.round(clientHeight * ratio);
    }
    this.view.setWhole(this.whole());
    if (wasWhole) this.view.show(this.whole());
    else this.view.scale = this.view.whole * zoom;
    this.redraw();
  }

  private ratio(): number {
    return Math.min(window.devicePixelRatio || 1, 2);
  }

  /** Draws anew before the next frame. */
  redraw(): void {
    this.paperIsOld = true;
    this.overlay();
  }

  private overlay(): void {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.draw();
    });
  }

  private draw(): void {
    const dark = document.documentElement.dataset.theme === "dark";
    if (this.paperIsOld) {
      this.paperIsOld = false;
      const colours = this.data.meta.classes.map((one) => parseColour(dark ? one.dark : one.light));
      const scene: Scene = {
        xs: this.film?.xs ?? this.xs,
        ys: this.film?.ys ?? this.ys,
        classes: this.film?.classes ?? this.data.classes,
        colours,
        ground: dark ? GROUND_DARK : GROUND_LIGHT,
        chosen: this.film === null ? this.chosen : null,
        thumbs: this.film === null ? this.thumbs : null,
        ratio: this.ratio(),
      };
      this.raster.draw(this.paper, scene, this.view);
    }
    this.drawGlass(dark);
  }

  private drawGlass(dark: boolean): void {
    const ratio = this.ratio();
    const glass = this.glass;
    glass.setTransform(ratio, 0, 0, ratio, 0, 0);
    glass.clearRect(0, 0, this.view.width, this.view.height);
    const ink = dark ? "#f2f2ee" : "#15171a";
    const halo = dark ? "#101216" : "#ffffff";
    const accent = dark ? "#ffd166" : "#b3005e";
    if (this.view.scale < this.view.whole * 8) {
      const names = this.film === null ? this.names : this.namesOf(this.film.xs, this.film.ys, this.film.classes);
      for (const name of names) this.write(name, `700 ${this.view.width < 500 ? 17 : 21}px`, ink, halo);
    }
    for (const index of [this.hovered, this.pinned]) {
      if (index < 0 || this.film !== null) continue;
      const [x, y] = this.view.toScreen(this.xs[index], this.ys[index]);
      ring(glass, x, y, 9, halo, 5);
      ring(glass, x, y, 9, ink, 2);
    }
    if (this.film === null) this.drawTaught(ink, halo, accent);
    if (this.focused) {
      const [x, y] = [this.view.width / 2, this.view.height / 2];
      glass.strokeStyle = ink;
      glass.lineWidth = 1.5;
      glass.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        glass.moveTo(x + 4 * dx, y + 4 * dy);
        glass.lineTo(x + 12 * dx, y + 12 * dy);
      }
      glass.stroke();
    }
  }

  /** Prototypes as squares, the drawing as a disc that leaves a trail. */
  private drawTaught(ink: string, halo: string, accent: string): void {
    const glass = this.glass;
    for (const mark of this.taught) {
      const [x, y] = this.view.toScreen(mark.x, mark.y);
      glass.fillStyle = halo;
      glass.fillRect(x - 8, y - 8, 16, 16);
      glass.fillStyle = accent;
      glass.fillRect(x - 6, y - 6, 12, 12);
      this.write({ ...mark, text: mark.text }, "600 14px", ink, halo, 20);
    }
    if (this.drawn === null) return;
    glass.strokeStyle = accent;
    glass.globalAlpha = 0.5;
    glass.lineWidth = 2;
    glass.beginPath();
    for (const [x, y] of [...this.trail, [this.drawn.x, this.drawn.y]]) {
      glass.lineTo(...this.view.toScreen(x, y));
    }
    glass.stroke();
    glass.globalAlpha = 1;
    const [x, y] = this.view.toScreen(this.drawn.x, this.drawn.y);
    glass.fillStyle = accent;
    glass.beginPath();
    glass.arc(x, y, 7, 0, 2 * Math.PI);
    glass.fill();
    ring(glass, x, y, 8, halo, 2);
    ring(glass, x, y, 12, accent, 2);
    this.write({ ...this.drawn, text: this.drawn.text }, "600 14px", ink, halo, -24);
  }

  private write(mark: Mark, font: string, ink: string, halo: string, below = 0): void {
    const [x, y] = this.view.toScreen(mark.x, mark.y);
    const glass = this.glass;
    glass.font = `${font} system-ui, sans-serif`;
    glass.textAlign = "center";
    glass.textBaseline = "middle";
    glass.lineJoin = "round";
    glass.lineWidth = 4;
    glass.strokeStyle = halo;
    glass.strokeText(mark.text, x, y + below);
    glass.fillStyle = ink;
    glass.fillText(mark.text, x, y + below);
  }

  private listen(glass: HTMLCanvasElement): void {
    const place = (event: MouseEvent): [number, number] => {
      const box = glass.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    glass.addEventListener("pointerdown", (event) => {
      glass.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, place(event));
      this.moved = 0;
    });
    glass.addEventListener("pointermove", (event) => {
      const before = this.pointers.get(event.pointerId);
      const now = place(event);
      if (before === undefined) return this.hover(now);
      const others = [...this.pointers].filter(([id]) => id !== event.pointerId);
      const [dx, dy] = [now[0] - before[0], now[1] - before[1]];
      this.moved += Math.hypot(dx, dy);
      if (others.length > 0) {
        // Two fingers: what is between them stays between them.
        const [, other] = others[0];
        const apart = (a: [number, number]) => Math.max(Math.hypot(a[0] - other[0], a[1] - other[1]), 1);
        this.view.zoom(apart(now) / apart(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
        this.view.pan(dx / 2, dy / 2);
      } else {
        this.view.pan(dx, dy);
      }
      this.pointers.set(event.pointerId, now);
      this.redraw();
    });
    const release = (event: PointerEvent) => {
      const clicked = this.pointers.delete(event.pointerId) && event.type === "pointerup";
      if (clicked && this.moved < 5 && this.pointers.size === 0 && this.film === null) {
        const reach = event.pointerType === "touch" ? 2 * REACH : REACH;
        this.pick(this.at(...place(event), reach));
      }
    };
    glass.addEventListener("pointerup", release);
    glass.addEventListener("pointercancel", release);
    glass.addEventListener("pointerleave", () => this.hover(null));
    glass.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.view.zoom(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.0016)), ...place(event));
      this.redraw();
    }, { passive: false });
    glass.addEventListener("dblclick", (event) => {
      this.view.zoom(2, ...place(event));
      this.redraw();
    });
    glass.addEventListener("keydown", (event) => this.key(event));
    glass.addEventListener("focus", () => {
      this.focused = glass.matches(":focus-visible");
      this.overlay();
    });
    glass.addEventListener("blur", () => {
      this.focused = false;
      this.overlay();
    });
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const actions: Record<string, () => void> = {
      ArrowLeft: () => this.view.pan(STEP, 0),
      ArrowRight: () => this.view.pan(-STEP, 0),
      ArrowUp: () => this.view.pan(0, STEP),
      ArrowDown: () => this.view.pan(0, -STEP),
      "+": () => this.view.zoom(1.5),
      "=": () => this.view.zoom(1.5),
      "-": () => this.view.zoom(1 / 1.5),
      "0": () => this.showAll(),
      Enter: () => this.pick(this.at(this.view.width / 2, this.view.height / 2, 200)),
    };
    const action = actions[event.key];
    if (action === undefined) return;
    event.preventDefault();
    this.focused = true;
    action();
    this.redraw();
  }

  private hover(place: [number, number] | null): void {
    const found = place === null || this.film !== null ? -1 : this.at(...place);
    if (found === this.hovered && found < 0) return;
    this.hovered = found;
    this.onHover(found, place?.[0] ?? 0, place?.[1] ?? 0);
    this.overlay();
  }

  private pick(index: number): void {
    this.pin(index);
    this.onPick(index);
  }
}

/** The map's ground, by theme: as `--map` in style.css. */
const GROUND_LIGHT: Colour = [255, 255, 255];
const GROUND_DARK: Colour = [16, 18, 22];

function ring(to: CanvasRenderingContext2D, x: number, y: number, radius: number, colour: string, width: number): void {
  to.strokeStyle = colour;
  to.lineWidth = width;
  to.beginPath();
  to.arc(x, y, radius, 0, 2 * Math.PI);
  to.stroke();
}
