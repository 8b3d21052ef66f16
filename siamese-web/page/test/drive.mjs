// Uses pages as a visitor would, in Chromium without a screen, and tells what it found as JSON.
// It judges nothing: `tests/tests/page.rs` does.
//
//   node drive.mjs PAGE.html LARGE.html IMAGES.idx FOLDER
//
// PAGE is tested; in LARGE, frames are timed. IMAGES are embedded in PAGE. What was found, the
// gallery that was downloaded, and screenshots go to FOLDER.

import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [pageFile, largeFile, imagesFile, folder] = process.argv.slice(2);
const IMAGES = 1000;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const strokes = JSON.parse(readFileSync(new URL("strokes.json", import.meta.url), "utf8"));

const browser = await chromium.launch({
  executablePath: process.env.SIAMESE_BROWSER ?? "chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
});
const found = { browser: browser.version(), errors: [], requests: [] };

/** Opens a page from its file, without a network. */
async function open(file, options = {}) {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 900 },
    acceptDownloads: true,
    offline: true,
    ...options,
  });
  const page = await context.newPage();
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") found.errors.push(message.text());
  });
  page.on("pageerror", (error) => found.errors.push(String(error)));
  page.on("request", (request) => {
    if (!/^(data|blob):/.test(request.url())) found.requests.push(request.url());
  });
  await page.goto(pathToFileURL(resolve(file)).href);
  await ready(page);
  return page;
}

const ready = (page) => page.waitForSelector("html[data-ready]", { state: "attached", timeout: 60_000 });
const draw = (page, drawing) => page.evaluate((drawing) => window.siamese.draw(drawing), drawing);

/** What the page answers. */
const answer = (page) =>
  page.evaluate(() => ({
    kind: document.querySelector("#answer").className.replace("answer", "").trim(),
    verdict: document.querySelector("#answer .verdict").textContent,
    why: document.querySelector("#answer .why").textContent,
  }));

/** Draws what was held out, and collects the answers. */
async function ask(page) {
  const answers = [];
  for (const [name, drawings] of Object.entries(strokes)) {
    for (const drawing of drawings.slice(5)) {
      await draw(page, drawing);
      answers.push({ name, ...(await answer(page)) });
    }
  }
  return answers;
}

async function violations(page) {
  await page.evaluate(axe);
  const result = await page.evaluate(() => window.axe.run());
  return result.violations.map(({ id, help, nodes }) => ({ id, help, where: nodes.slice(0, 3).map((node) => node.html) }));
}

const page = await open(pageFile);
found.mapAfter = await page.evaluate(() => performance.getEntriesByName("siamese-map")[0].startTime);

// The same integers as everywhere.
const pixels = readFileSync(imagesFile).subarray(16, 16 + IMAGES * 784);
found.embedded = await page.evaluate((text) => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const found = [];
  for (let at = 0; at < bytes.length; at += 784) found.push(window.siamese.embed(bytes.slice(at, at + 784)));
  return found;
}, pixels.toString("base64"));

// Strokes from a file, on two screens.
const narrow = await open(pageFile, { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, hasTouch: true });
found.strokes = [];
for (const drawings of Object.values(strokes)) {
  for (const drawing of drawings) {
    const [wide, small] = [await draw(page, drawing), await draw(narrow, drawing)];
    found.strokes.push({ strokes: drawing, point: wide.point, frame: wide.frame, elsewhere: small.point });
  }
}
await page.waitForTimeout(400);
found.microseconds = await page.evaluate(() => Number(/([\d.]+) microseconds/.exec(document.querySelector("[data-time]").textContent)?.[1]));
found.costs = await page.$$eval("#cost tbody .count", (cells) => cells.map((cell) => cell.textContent));

// A hand with a mouse, and one with keys.
await page.click("#clear");
const pad = await page.locator("#pad").boundingBox();
await page.mouse.move(pad.x + pad.width / 2, pad.y + pad.height * 0.2);
await page.mouse.down();
await page.mouse.move(pad.x + pad.width / 2, pad.y + pad.height * 0.8, { steps: 12 });
await page.mouse.up();
found.byMouse = await page.textContent("#looks");
await page.click("#clear");
await page.focus("#pad");
for (const key of ["ArrowUp", "ArrowUp", "ArrowUp", "ArrowUp", " ", ...Array(9).fill("ArrowDown"), " "]) await page.keyboard.press(key);
found.byKeys = await page.textContent("#looks");
await page.keyboard.press("Delete");
found.wiped = await page.textContent("#looks");

// Teaching, by the form.
found.untaught = await answer(page);
found.taught = [];
for (const [name, drawings] of Object.entries(strokes)) {
  await page.fill("#name", name);
  for (const drawing of drawings.slice(0, 5)) {
    await draw(page, drawing);
    await page.press("#name", "Enter");
    found.taught.push(await page.textContent("#teach-say"));
  }
}
found.twice = await (async () => {
  await page.press("#name", "Enter");
  return page.textContent("#teach-say");
})();
found.recognised = await ask(page);
found.rates = await page.textContent("#strict-say");
// A digit is none of these; the more generous, the more it is taken for one. By the slider's keys.
const strangers = () =>
  page.evaluate((text) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    let known = 0;
    for (let at = 0; at < bytes.length; at += 784) {
      const { point } = window.siamese.embed(bytes.slice(at, at + 784));
      if (window.siamese.teacher.identify(Int16Array.from(point)).decision === "known") known++;
    }
    return known;
  }, pixels.toString("base64"));
found.strangers = await strangers();
await page.focus("#strict");
const start = await page.inputValue("#strict");
await page.keyboard.press("Home");
found.strictest = { strangers: await strangers(), rates: await page.textContent("#strict-say") };
await page.keyboard.press("End");
found.mostGenerous = { strangers: await strangers(), rates: await page.textContent("#strict-say") };
while ((await page.inputValue("#strict")) !== start) await page.keyboard.press("ArrowLeft");

// Out, and in again after the page was opened anew.
await page.click("summary");
const [download] = await Promise.all([page.waitForEvent("download"), page.click("#save")]);
await download.saveAs(join(folder, "my.gallery"));
found.before = await ask(page);
await page.reload();
await ready(page);
found.reloaded = await page.$$eval("#taught li", (items) => items.length);
await page.setInputFiles("#load", join(folder, "my.gallery"));
await page.waitForSelector("#taught li");
found.loaded = await page.$$eval("#taught b", (names) => names.map((name) => name.textContent));
found.after = await ask(page);
const damaged = readFileSync(join(folder, "my.gallery"));
damaged[60] ^= 1;
writeFileSync(join(folder, "damaged.gallery"), damaged);
await page.setInputFiles("#load", join(folder, "damaged.gallery"));
await page.waitForSelector("#teach-say.bad");
found.damaged = await page.textContent("#teach-say");
found.keptAfterDamage = await page.$$eval("#taught li", (items) => items.length);
await page.click("#taught li:first-child button");
found.forgotten = await page.$$eval("#taught b", (names) => names.map((name) => name.textContent));

// The map by keys, and the mistakes.
await page.focus("#glass");
for (const key of ["+", "+", "ArrowLeft", "0", "Enter"]) await page.keyboard.press(key);
found.picked = await page.textContent("#picked-title");
found.neighbours = await page.$$eval("#picked-near button", (buttons) => buttons.map((button) => button.textContent));
await page.click("#mistakes");
found.mistakes = await page.textContent("#mistake-list p");
await page.click("#mistake-list button");
found.mistake = await page.textContent("#picked-title");
await page.click("#picked-close");
await page.click("#mistakes");

// A picture file: dark ink on bright paper.
const paper = await page.evaluate(async () => {
  const canvas = new OffscreenCanvas(200, 150);
  const context = canvas.getContext("2d");
  context.fillStyle = "#e8e4da";
  context.fillRect(0, 0, 200, 150);
  context.fillStyle = "#223";
  context.fillRect(95, 20, 12, 110);
  const blob = await canvas.convertToBlob();
  return Array.from(new Uint8Array(await blob.arrayBuffer()));
});
await page.setInputFiles("#file", { name: "paper.png", mimeType: "image/png", buffer: Buffer.from(paper) });
await page.waitForFunction(() => document.querySelector("#looks").textContent !== "");
found.byFile = await page.textContent("#looks");

// For everybody: in both themes, wide and narrow.
found.violations = {};
for (const theme of ["light", "dark"]) {
  for (const [name, one] of [["wide", page], ["narrow", narrow]]) {
    await one.evaluate((theme) => {
      document.documentElement.dataset.theme = theme;
    }, theme);
    found.violations[`${name}, ${theme}`] = await violations(one);
  }
}
found.overflow = await narrow.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

// As it looks.
for (const [width, height] of [[360, 740], [1280, 860], [2560, 1400]]) {
  for (const theme of ["light", "dark"]) {
    const shot = await open(pageFile, { viewport: { width, height }, colorScheme: theme });
    await shot.fill("#name", "star");
    for (const drawing of strokes.star.slice(0, 5)) {
      await draw(shot, drawing);
      await shot.press("#name", "Enter");
    }
    await draw(shot, strokes.star[7]);
    await shot.evaluate(() => document.activeElement?.blur());
    await shot.waitForTimeout(500);
    await shot.screenshot({ path: join(folder, `${width}-${theme}.jpg`), type: "jpeg", quality: 45, fullPage: width === 360 });
    await shot.context().close();
  }
}

// Frames while a large map is panned.
const large = await open(largeFile);
found.large = await large.evaluate(() => window.siamese.data.meta.points);
found.frames = await large.evaluate(() => window.siamese.pan(60));

// The film, by its keys.
await large.focus("#film");
const film = async () => ({
  said: await large.textContent("#film-say"),
  points: await large.evaluate(() => window.siamese.map.film?.xs.length ?? 0),
  farthest: await large.evaluate(() => Math.max(...(window.siamese.map.film?.xs ?? [0]))),
});
found.film = [await film()];
for (const key of ["Home", "ArrowRight", "End"]) {
  await large.keyboard.press(key);
  found.film.push(await film());
}

await browser.close();
writeFileSync(join(folder, "found.json"), JSON.stringify(found));
