// Which part of the plane is on the screen.

/** A rectangle of the plane. */
export interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

/** The middle of the screen, in units of the plane, and the pixels of a unit. */
export class View {
  x = 0;
  y = 0;
  scale = 1;
  width = 1;
  height = 1;
  /** The scale at which all points are seen. */
  whole = 1;

  /** Shows a rectangle, with a margin around it. */
  show(box: Box, margin = 0.06): void {
    this.x = (box.left + box.right) / 2;
    this.y = (box.top + box.bottom) / 2;
    this.scale = this.scaleOf(box, margin);
  }

  /** Says what all points are. */
  setWhole(box: Box): void {
    this.whole = this.scaleOf(box, 0.06);
  }

  private scaleOf(box: Box, margin: number): number {
    const across = Math.max(box.right - box.left, 1e-6) * (1 + 2 * margin);
    const down = Math.max(box.bottom - box.top, 1e-6) * (1 + 2 * margin);
    return Math.min(this.width / across, this.height / down);
  }

  toScreen(x: number, y: number): [number, number] {
    return [
      (x - this.x) * this.scale + this.width / 2,
      this.height / 2 - (y - this.y) * this.scale,
    ];
  }

  toPlane(x: number, y: number): [number, number] {
    return [
      (x - this.width / 2) / this.scale + this.x,
      (this.height / 2 - y) / this.scale + this.y,
    ];
  }

  /** Moves by pixels. */
  pan(dx: number, dy: number): void {
    this.x -= dx / this.scale;
    this.y += dy / this.scale;
  }

  /** Zooms so that a place of the screen stays where it is. */
  zoom(factor: number, x = this.width / 2, y = this.height / 2): void {
    const scale = Math.min(Math.max(this.scale * factor, this.whole / 4), this.whole * 400);
    const [px, py] = this.toPlane(x, y);
    this.scale = scale;
    this.x = px - (x - this.width / 2) / scale;
    this.y = py - (this.height / 2 - y) / scale;
  }
}

/** The smallest rectangle that holds some points. */
export function boxOf(xs: Float32Array, ys: Float32Array): Box {
  const box = { left: Infinity, right: -Infinity, top: Infinity, bottom: -Infinity };
  for (let i = 0; i < xs.length; i++) {
    box.left = Math.min(box.left, xs[i]);
    box.right = Math.max(box.right, xs[i]);
    box.top = Math.min(box.top, ys[i]);
    box.bottom = Math.max(box.bottom, ys[i]);
  }
  return xs.length === 0 ? { left: -1, right: 1, top: -1, bottom: 1 } : box;
}
