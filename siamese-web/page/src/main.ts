// The page: what is drawn goes to the core, and what the core says is shown.

import { Core, type Embedded } from "./core";
import { type Data, Thumbs, read, section } from "./data";
import { Film } from "./film";
import { Layers, instructions, workOf } from "./layers";
import { MapView } from "./map";
import { Mistakes, Picked, drawThumb } from "./pictures";
import { Pad, type Picture, type Stroke } from "./pad";
import { ENOUGH, Teacher } from "./teach";

function $<E extends HTMLElement>(id: string): E {
  return document.getElementById(id) as E;
}

/** Neighbours whose votes say what a drawing looks like. */
const VOTERS = 25;

class Page {
  private readonly map: MapView;
  private readonly pad: Pad;
  private readonly teacher: Teacher;
  private readonly layers: Layers;
  private readonly picked: Picked;
  private readonly mistakes: Mistakes;
  private readonly examples = new Map<number, Uint8Array>();
  private thumbs: Thumbs | null = null;
  private frame: Uint8Array | null = null;
  private now: Embedded | null = null;
  private microseconds = 0;
  private timing = 0;
  /** Whether the drawing on the pad was taught already. */
  private isOld = false;

  constructor(
    readonly core: Core,
    readonly data: Data,
  ) {
    const { meta } = data;
    core.setPoints(data.points);
    this.map = new MapView($("map"), data);
    this.pad = new Pad($<HTMLCanvasElement>("pad"), core);
    this.teacher = new Teacher(core, meta);
    this.layers = new Layers($("cost"), meta);
    this.picked = new Picked(data, core, (index) => this.pick(index, true));
    this.mistakes = new Mistakes(data, (index) => this.pick(index, true));
    this.describe();
    this.listen();
    this.showGallery();
    this.showDrawing();
  }

  /** The thumbnails come after the map. */
  setThumbs(thumbs: Thumbs): void {
    this.thumbs = thumbs;
    this.map.setThumbs(thumbs);
    this.picked.thumbs = thumbs;
    this.mistakes.thumbs = thumbs;
    $<HTMLButtonElement>("mistakes").disabled = false;
  }

  setFilm(film: Film): void {
    const range = $<HTMLInputElement>("film");
    const play = $<HTMLButtonElement>("play");
    $("film-box").hidden = false;
    range.max = `${film.length}`;
    range.value = range.max;
    let playing = 0;
    const show = () => {
      const step = Number(range.value);
      const ended = step >= film.length;
      this.map.setFilm(ended ? null : film.frame(step));
      const said = ended ? "trained" : `picture ${step + 1} of ${film.length}`;
      $("film-say").textContent = said;
      range.setAttribute("aria-valuetext", said);
    };
    const stop = () => {
      clearInterval(playing);
      playing = 0;
      play.textContent = "▶ How it learned";
    };
    range.addEventListener("input", () => {
      stop();
      show();
    });
    play.addEventListener("click", () => {
      if (playing !== 0) return stop();
      if (range.value === range.max) range.value = "0";
      play.textContent = "⏸ Stop";
      playing = window.setInterval(() => {
        range.value = `${Number(range.value) + 1}`;
        show();
        if (range.value === range.max) stop();
      }, 120);
    });
    show();
  }

  /** Draws strokes; what the core says of them. */
  draw(strokes: Stroke[]): { point: number[]; frame: number[]; pad: number[] } {
    this.pad.draw(strokes);
    const point = Array.from(this.now?.point ?? []);
    return { point, frame: Array.from(this.frame ?? []), pad: Array.from(this.core.pad()) };
  }

  /** Embeds a frame, without showing it; with what it costs. */
  embed(frame: Uint8Array): { point: number[]; hidden: number[][]; costs: number[] } {
    const embedded = this.core.embed(frame);
    const work = workOf(embedded, this.data.meta.model.layers);
    return {
      point: Array.from(embedded.point),
      hidden: embedded.hidden.map((layer) => Array.from(layer)),
      costs: this.data.meta.cores.map((core) => instructions(core, work)),
    };
  }

  /** Milliseconds of so many frames in which the map is panned. */
  pan(frames: number): Promise<number[]> {
    const times: number[] = [];
    return new Promise((done) => {
      const step = () => {
        this.map.view.pan(times.length % 40 < 20 ? 9 : -9, 4);
        times.push(this.map.drawNow());
        if (times.length < frames) requestAnimationFrame(step);
        else done(times);
      };
      requestAnimationFrame(step);
    });
  }

  private describe(): void {
    const { meta } = this.data;
    const { model } = meta;
    const count = meta.points.toLocaleString("en");
    $("map-about").textContent = `${count} pictures that the network never saw in training (${meta.subject}). Alike lie together.`;
    $("frame-size").textContent = `${model.width} × ${model.height}`;
    const kib = (bytes: number) => `${(bytes / 1024).toFixed(1)} KiB`;
    $("cost-memory").textContent = `The network takes ${kib(model.flash)} of flash and ${kib(model.ram)} of memory.`;
    $("about").textContent =
      `Network ${model.name}: ${[model.layers[0].inputs, ...model.layers.map((layer) => layer.outputs)].join("-")}. ` +
      "This page is one file. It computes with siamese-core, the library that runs on the microcontroller, to the bit. " +
      "It was made by siamese-train explore.";
    const legend = $("legend");
    const names = $("known-names");
    for (const one of meta.classes) {
      const item = document.createElement("span");
      const swatch = document.createElement("i");
      swatch.style.setProperty("--light", one.light);
      swatch.style.setProperty("--dark", one.dark);
      item.append(swatch, one.name);
      legend.append(item);
      names.append(new Option(one.name, one.name));
    }
    $("digits-what").textContent = meta.classes.length > 3
      ? `“${meta.classes[0].name}” to “${meta.classes[meta.classes.length - 1].name}”`
      : meta.classes.map((one) => `“${one.name}”`).join(", ");
    const { axes } = meta.plane;
    if (model.dim > 2) {
      const select = $<HTMLSelectElement>("axes");
      $("axes-box").hidden = false;
      for (let across = 0; across < axes.length; across++) {
        for (let up = across + 1; up < axes.length; up++) {
          const shares = Math.round(100 * (axes[across].share + axes[up].share));
          const text = `directions ${across + 1} and ${up + 1} of ${model.dim} (${shares} % of the spread)`;
          select.append(new Option(text, `${across},${up}`));
        }
      }
      select.addEventListener("change", () => {
        const [across, up] = select.value.split(",").map(Number);
        this.map.setPlane({ across, up });
        this.showGallery();
        this.map.setDrawn(null, "");
        this.map.setDrawn(this.now?.point ?? null, this.label());
      });
    }
    const strict = $<HTMLInputElement>("strict");
    $("strict-box").hidden = meta.rates === null;
    strict.max = `${(meta.rates?.steps.length ?? 1) - 1}`;
    strict.value = `${this.teacher.strictness}`;
  }

  private listen(): void {
    this.pad.onChange = (picture) => this.changed(picture);
    this.pad.onSay = (text) => this.say(text);
    $("clear").addEventListener("click", () => this.pad.clear());
    $("teach").addEventListener("submit", (event) => {
      event.preventDefault();
      this.remember();
    });
    $<HTMLInputElement>("strict").addEventListener("input", (event) => {
      this.teacher.setStrictness(Number((event.target as HTMLInputElement).value));
      this.showAnswer();
    });
    $("save").addEventListener("click", () => this.save());
    this.onFile("load", async (file) => this.load(new Uint8Array(await file.arrayBuffer())));
    this.onFile("file", (file) => this.pad.take(file));
    $("digits").addEventListener("click", () => this.teachClasses());
    this.listenToPictures();
    this.listenToMap();
    this.listenToTheme();
  }

  private onFile(id: string, take: (file: File) => Promise<void>): void {
    const input = $<HTMLInputElement>(id);
    input.addEventListener("change", async () => {
      const file = input.files?.[0];
      input.value = "";
      if (file !== undefined) await take(file);
    });
  }

  /** Pictures that are pasted or dropped, and the camera. */
  private listenToPictures(): void {
    const pictureOf = (items: DataTransfer | null) =>
      Array.from(items?.files ?? []).find((file) => file.type.startsWith("image/"));
    document.addEventListener("paste", (event) => {
      const picture = pictureOf(event.clipboardData);
      if (picture !== undefined) this.pad.take(picture);
    });
    document.addEventListener("dragover", (event) => event.preventDefault());
    document.addEventListener("drop", async (event) => {
      event.preventDefault();
      const [file] = event.dataTransfer?.files ?? [];
      if (file === undefined) return;
      if (file.type.startsWith("image/")) await this.pad.take(file);
      else this.load(new Uint8Array(await file.arrayBuffer()));
    });
    const video = $<HTMLVideoElement>("video");
    const close = () => {
      for (const track of (video.srcObject as MediaStream | null)?.getTracks() ?? []) track.stop();
      video.srcObject = null;
      $("camera-box").hidden = true;
    };
    $("camera").hidden = !("mediaDevices" in navigator);
    $("camera").addEventListener("click", async () => {
      try {
        video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
        $("camera-box").hidden = false;
        await video.play();
      } catch {
        this.say("The browser lets this page use no camera. Open a picture instead.");
      }
    });
    $("snap").addEventListener("click", () => {
      if (video.videoWidth > 0) this.pad.takeImage(video);
      close();
    });
    $("camera-off").addEventListener("click", close);
  }

  private listenToMap(): void {
    for (const button of document.querySelectorAll<HTMLElement>("[data-zoom]")) {
      button.addEventListener("click", () => this.map.zoom(Number(button.dataset.zoom)));
    }
    $("whole").addEventListener("click", () => this.map.showAll());
    this.map.onHover = (index, x, y) => this.tip(index, x, y);
    this.map.onPick = (index) => this.pick(index, false);
    $("picked-close").addEventListener("click", () => {
      this.pick(-1, false);
      $("glass").focus();
    });
    const button = $<HTMLButtonElement>("mistakes");
    button.disabled = true;
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", `${on}`);
      this.map.choose(on ? this.mistakes.chosen : null);
      this.mistakes.show(on);
    });
  }

  private listenToTheme(): void {
    const root = document.documentElement;
    const show = () => {
      const dark = root.dataset.theme === "dark";
      $("theme").setAttribute("aria-pressed", `${dark}`);
      this.map.redraw();
    };
    $("theme").addEventListener("click", () => {
      root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
      try {
        localStorage.setItem("siamese-theme", root.dataset.theme);
      } catch {
        // It is forgotten with the page then.
      }
      show();
    });
    show();
  }

  /** The picture on the pad has changed. */
  private changed(picture: Picture | null): void {
    this.isOld = false;
    try {
      const { pixels, width, height, ink } = picture ?? { pixels: new Uint8Array(), width: 0, height: 0, ink: "auto" as const };
      this.frame = picture === null ? null : this.core.fit(pixels, width, height, ink).frame;
      this.now = this.frame === null ? null : this.core.embed(this.frame);
    } catch (error) {
      this.frame = this.now = null;
      this.say((error as Error).message);
    }
    this.showDrawing();
  }

  private showDrawing(): void {
    const { width, height } = this.data.meta.model;
    const empty = new Uint8Array(width * height);
    drawThumb($<HTMLCanvasElement>("frame"), this.frame ?? empty, width, height);
    this.showAnswer();
    this.layers.show(this.now, this.microseconds);
    this.showStep();
    // Measured when the hand rests.
    clearTimeout(this.timing);
    this.timing = window.setTimeout(() => {
      if (this.frame === null) return;
      this.microseconds = this.core.time(this.frame);
      this.layers.show(this.now, this.microseconds);
    }, 250);
  }

  /** What the map says of a drawing: a name, and how sure that is. */
  private looks(point: Int16Array): { name: string; text: string } {
    const near = this.core.nearest(point, VOTERS);
    const votes = new Map<number, number>();
    for (const { index } of near) {
      const place = this.data.classes[index];
      votes.set(place, (votes.get(place) ?? 0) + 1);
    }
    const [[place, count]] = [...votes].sort((a, b) => b[1] - a[1]);
    const name = this.data.meta.classes[place].name;
    return { name, text: `${count} of its ${near.length} nearest pictures on the map are “${name}”.` };
  }

  private remember(): void {
    const name = $<HTMLInputElement>("name");
    const say = $("teach-say");
    try {
      if (this.now === null) throw new Error("Draw it first.");
      if (this.isOld) throw new Error("It knows this drawing already. Draw it once more.");
      const examples = this.teacher.enrol(name.value, this.now.point);
      const entry = this.teacher.entries().find((one) => one.name === name.value.trim().replace(/\s+/g, " "));
      if (entry !== undefined && this.frame !== null) this.examples.set(entry.label, this.frame);
      this.isOld = true;
      this.pad.wipeBeforeNext();
      say.className = "say";
      say.textContent = examples < ENOUGH
        ? `Remembered: ${examples} of ${ENOUGH}. Draw it again.`
        : "Remembered. Now draw it once more, or another symbol.";
      this.say(say.textContent);
      this.showGallery();
      this.showAnswer();
      this.showStep();
    } catch (error) {
      say.className = "say bad";
      say.textContent = (error as Error).message;
      this.say(say.textContent);
      if (name.value.trim() === "") name.focus();
    }
  }

  private label(): string {
    if (this.now === null) return "";
    const found = this.teacher.identify(this.now.point);
    if (found === null || found.decision !== "known") return "your drawing";
    return `${found.name}?`;
  }

  private showAnswer(): void {
    const box = $("answer");
    const [verdict, why] = box.querySelectorAll("p");
    const found = this.now === null ? null : this.teacher.identify(this.now.point);
    const looks = this.now === null ? null : this.looks(this.now.point);
    box.className = "answer";
    box.querySelector(".meter")?.remove();
    this.map.setDrawn(this.now?.point ?? null, this.label());
    this.showStrictness();
    $("looks").textContent = looks?.text ?? "";
    if (looks === null) {
      verdict.textContent = this.teacher.entries().length > 0 ? "Draw, and it tells what it is." : "Draw, and it tells what it looks like.";
      why.textContent = "";
      return;
    }
    if (found === null || this.isOld) {
      verdict.textContent = this.isOld ? "Remembered" : `Looks like “${looks.name}”`;
      why.textContent = this.isOld ? "Draw it again: the pad wipes itself." : "That is all it knows so far. Teach it what this is.";
      return;
    }
    const { scale } = this.data.meta.model;
    const real = (squared: number) => Math.sqrt(squared) * scale;
    const distance = real(found.squared);
    const margin = found.other === null ? "" : `; “${found.otherName}” is ${(real(found.other.squared) - distance).toFixed(2)} farther`;
    const unknown = found.decision === "unknown";
    box.classList.add(unknown ? "unknown" : "known");
    verdict.textContent = unknown ? "Unknown" : found.name;
    why.textContent = unknown
      ? `Nearest is “${found.name}”, at ${distance.toFixed(2)}: too far to be that.`
      : `${distance.toFixed(2)} away from what it was taught${margin}.`;
    if (found.limit !== null) {
      const meter = document.createElement("div");
      meter.className = "meter";
      meter.setAttribute("aria-hidden", "true");
      // The mark stands at two thirds.
      const share = Math.min((distance / Math.max(real(found.limit), 1e-9)) * (2 / 3), 1);
      meter.innerHTML = `<i style="width:${(100 * share).toFixed(1)}%"></i><b></b>`;
      box.append(meter);
    }
    if (!unknown) this.markDone("know");
  }

  private showStrictness(): void {
    const rates = this.teacher.rates();
    const known = this.data.meta.rates;
    if (rates === null || known === null) return;
    const percent = (share: number) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
    const strangers = known.newClasses
      ? "symbols that it was never taught"
      : "pictures of a class that it was not taught (measured on classes of its training: of new symbols, more)";
    const accept = rates.accept === null
      ? "The loaded file brought a threshold of its own."
      : `It takes ${percent(rates.accept)} of ${strangers} for one that it knows.`;
    const text = `${accept} It refuses ${percent(rates.refuse)} of pictures of what it was taught, by many hands; of your own, fewer.`;
    $("strict-say").textContent = text;
    $("strict").setAttribute("aria-valuetext", text);
  }

  private showGallery(): void {
    const list = $("taught");
    const entries = this.teacher.entries();
    const { width, height } = this.data.meta.model;
    list.replaceChildren(
      ...entries.map((entry) => {
        const item = document.createElement("li");
        const picture = document.createElement("canvas");
        const frame = this.examples.get(entry.label);
        drawThumb(picture, frame ?? new Uint8Array(width * height), width, height);
        picture.setAttribute("aria-hidden", "true");
        const text = document.createElement("div");
        const name = document.createElement("b");
        name.textContent = entry.name;
        const dots = document.createElement("span");
        dots.className = "dots";
        dots.setAttribute("aria-hidden", "true");
        dots.textContent = "●".repeat(Math.min(entry.examples, ENOUGH)) + "○".repeat(Math.max(0, ENOUGH - entry.examples));
        const count = document.createElement("span");
        count.className = "small";
        count.textContent = ` ${entry.examples} ${entry.examples === 1 ? "example" : "examples"}`;
        text.append(name, dots, count);
        const forget = document.createElement("button");
        forget.type = "button";
        forget.textContent = "Forget";
        forget.setAttribute("aria-label", `Forget ${entry.name}`);
        forget.addEventListener("click", () => {
          this.teacher.forget(entry.label);
          this.examples.delete(entry.label);
          this.say(`${entry.name} is forgotten`);
          this.showGallery();
          this.showAnswer();
          this.showStep();
          $("name").focus();
        });
        item.append(picture, text, forget);
        return item;
      }),
    );
    this.map.setTaught(entries.map(({ point, name }) => ({ point, text: name })));
    $<HTMLButtonElement>("save").disabled = entries.length === 0;
  }

  /** Enrols the first pictures of each class, as the visitor's own. */
  private teachClasses(): void {
    const { meta, points, classes } = this.data;
    const { dim } = meta.model;
    try {
      for (const [place, one] of meta.classes.entries()) {
        let taken = 0;
        for (let i = 0; i < meta.points && taken < ENOUGH; i++) {
          if (classes[i] !== place) continue;
          this.teacher.enrol(one.name, points.slice(i * dim, (i + 1) * dim));
          if (taken === 0 && this.thumbs !== null) this.examples.set(one.label, this.thumbs.get(i));
          taken++;
        }
      }
    } catch (error) {
      this.say((error as Error).message);
    }
    this.showGallery();
    this.showAnswer();
    this.showStep();
  }

  private save(): void {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([this.teacher.save()], { type: "application/octet-stream" }));
    link.download = "my.gallery";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    this.say("Saved as my.gallery");
  }

  private load(file: Uint8Array): void {
    const say = $("teach-say");
    try {
      this.teacher.load(file);
      this.examples.clear();
      say.className = "say";
      say.textContent = `Loaded: it knows ${this.teacher.entries().length} things now.`;
    } catch (error) {
      say.className = "say bad";
      say.textContent = `This file can't be loaded: ${(error as Error).message}.`;
    }
    this.say(say.textContent);
    this.showGallery();
    this.showAnswer();
    this.showStep();
  }

  /** Which of the three steps is next. */
  private showStep(): void {
    const entries = this.teacher.entries();
    const enough = entries.some((entry) => entry.examples >= ENOUGH);
    const drawn = this.now !== null;
    this.markDone("draw", drawn || entries.length > 0);
    this.markDone("teach", enough);
    const next = !drawn && entries.length === 0 ? "draw" : enough ? "know" : "teach";
    for (const step of document.querySelectorAll<HTMLElement>("[data-step]")) {
      step.classList.toggle("now", step.dataset.step === next);
    }
  }

  private markDone(step: string, done = true): void {
    document.querySelector(`[data-step=${step}]`)?.classList.toggle("done", done);
  }

  private tip(index: number, x: number, y: number): void {
    const tip = $("tip");
    tip.hidden = index < 0 || this.thumbs === null;
    if (index < 0 || this.thumbs === null) return;
    const { width, height } = this.thumbs;
    drawThumb(tip.querySelector("canvas") as HTMLCanvasElement, this.thumbs.get(index), width, height);
    (tip.querySelector("p") as HTMLElement).textContent = this.picked.about(index);
    const { clientWidth, clientHeight } = $("map");
    const left = x + 16 + tip.offsetWidth < clientWidth ? x + 16 : x - 16 - tip.offsetWidth;
    const top = y + 16 + tip.offsetHeight < clientHeight ? y + 16 : y - 16 - tip.offsetHeight;
    tip.style.transform = `translate(${Math.max(left, 0)}px, ${Math.max(top, 0)}px)`;
  }

  private pick(index: number, move: boolean): void {
    this.map.pin(index, move);
    this.picked.show(index);
    if (index >= 0) this.say(this.picked.about(index));
  }

  private say(text: string): void {
    $("live").textContent = text;
  }
}

async function start(): Promise<void> {
  const [data, module, model] = await Promise.all([read(), section("core"), section("model")]);
  const core = await Core.start(module, model, data.meta);
  const page = new Page(core, data);
  // For the tests, and for whoever opens the console.
  Object.assign(window, { siamese: page });
  requestAnimationFrame(() => setTimeout(async () => {
    performance.mark("siamese-map");
    page.setThumbs(await Thumbs.read(data.meta));
    const film = await Film.read(data.meta);
    if (film !== null) page.setFilm(film);
    document.documentElement.dataset.ready = "true";
  }));
}

start().catch((error: unknown) => {
  const say = document.createElement("p");
  say.textContent = `This browser can't run the page: ${error instanceof Error ? error.message : error}. A newer one may.`;
  document.body.prepend(say);
  throw error;
});
