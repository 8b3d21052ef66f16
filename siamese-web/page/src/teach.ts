// What was taught: names, examples, the threshold, and the file that a board takes.

import type { Core, Entry, Identified } from "./core";
import type { Meta } from "./data";

/** Bytes of a name: as many as devices take, as a rule. */
export const MAX_NAME = 15;
/** Examples that a name should have. */
export const ENOUGH = 5;

export class Teacher {
  /** The step of the slider. */
  strictness: number;
  /** Whether the slider was moved, or a gallery came with a threshold of its own. */
  private own: "rates" | "file" | "model";

  constructor(
    private readonly core: Core,
    private readonly meta: Meta,
  ) {
    this.strictness = meta.rates?.start ?? 0;
    this.own = meta.rates === null ? "model" : "rates";
  }

  entries(): (Entry & { name: string })[] {
    const names = this.core.names();
    const { entries } = this.core.entries();
    return entries.map((entry) => ({ ...entry, name: names.get(entry.label) ?? `${entry.label}` }));
  }

  nameOf(label: number): string {
    return this.core.names().get(label) ?? `${label}`;
  }

  /** Takes an example of a name in; the number of its examples. Throws in words. */
  enrol(name: string, point: Int16Array): number {
    const clean = name.trim().replace(/\s+/g, " ");
    if (clean === "") throw new Error("Give it a name first.");
    if (new TextEncoder().encode(clean).length > MAX_NAME) {
      throw new Error(`The name is too long: a device keeps ${MAX_NAME} letters of it.`);
    }
    const label = this.labelOf(clean);
    const examples = this.core.enrol(label, point);
    if (!this.core.names().has(label)) this.core.name(label, clean);
    this.applyThreshold();
    return examples;
  }

  forget(label: number): void {
    this.core.forget(label);
    this.applyThreshold();
  }

  identify(point: Int16Array): (Identified & { name: string; otherName: string | null }) | null {
    const found = this.core.identify(point);
    if (found === null) return null;
    const otherName = found.other === null ? null : this.nameOf(found.other.label);
    return { ...found, name: this.nameOf(found.label), otherName };
  }

  setStrictness(step: number): void {
    this.strictness = step;
    this.own = "rates";
    this.applyThreshold();
  }

  /** What the threshold means: shares of strangers accepted and of the known refused. */
  rates(): { accept: number | null; refuse: number } | null {
    const { rates } = this.meta;
    if (rates === null) return null;
    const own = this.core.entries().threshold;
    const threshold = own ?? this.threshold(this.strictness);
    const fromFile = this.own === "file";
    return {
      accept: fromFile ? null : rates.steps[this.strictness].accept,
      refuse: between(rates.refused, threshold),
    };
  }

  save(): Uint8Array<ArrayBuffer> {
    return this.core.save();
  }

  /** Takes a gallery's file; throws in words. */
  load(file: Uint8Array): void {
    this.core.load(file);
    if (this.core.entries().threshold !== null) this.own = "file";
    else this.applyThreshold();
  }

  private threshold(step: number): number {
    const { rates } = this.meta;
    const thresholds = rates?.steps[step]?.thresholds ?? [];
    const labels = new Set(this.core.entries().entries.map((entry) => entry.label)).size;
    return thresholds[Math.min(Math.max(labels, 1), thresholds.length) - 1];
  }

  /** The more is enrolled, the nearer a stranger comes: the threshold goes with it. */
  private applyThreshold(): void {
    if (this.own === "rates") this.core.setThreshold(this.threshold(this.strictness));
  }

  /** The label of a name: that of a class of the data, one that is there, or a new one. */
  private labelOf(name: string): number {
    for (const [label, other] of this.core.names()) if (other === name) return label;
    const used = new Set(this.core.entries().entries.map((entry) => entry.label));
    const known = this.meta.classes.find((one) => one.name === name);
    if (known !== undefined && !used.has(known.label)) return known.label;
    // New names come after the classes of the data.
    let label = Math.max(-1, ...this.meta.classes.map((one) => one.label)) + 1;
    while (used.has(label)) label++;
    return label;
  }
}

/** The share at a threshold, between two that are known. */
function between(table: [number, number][], threshold: number): number {
  const above = table.findIndex(([at]) => at >= threshold);
  if (above < 0) return table[table.length - 1]?.[1] ?? 0;
  if (above === 0) return table[0][1];
  const [[from, first], [to, last]] = [table[above - 1], table[above]];
  return first + ((last - first) * (threshold - from)) / Math.max(to - from, 1);
}
