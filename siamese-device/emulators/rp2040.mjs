// A Raspberry Pi Pico on rp2040js: its UART0 at the standard streams.
//
//   node rp2040.mjs PACKAGE FIRMWARE STORE_START STORE_BYTES
//
// PACKAGE is the folder of rp2040js, FIRMWARE an ELF or UF2 file. The part of the flash that begins at
// STORE_START, counted from the flash's first byte, is kept in the file `gallery.flash` of the
// working folder: it stays when the power goes.
//
// What rp2040js leaves out, and a program here needs:
// - the boot ROM. In its place are its table of functions with those that change the flash, and
//   what it does at boot: it copies the second stage to RAM, and calls it;
// - the flash itself can't be changed there. Here it can, by the rules of the real one;
// - an interrupt that wakes the processor while interrupts are masked is not to be taken;
// - a reset by the watchdog.
// No access to the flash takes time there: cycles leave out what the real chip waits for it.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, firmware, storeStart, storeBytes] = process.argv.slice(2);
const { RP2040, LogLevel, ConsoleLogger } = await import(
  pathToFileURL(join(folder, "dist/esm/index.js"))
);

const FLASH = 0x10000000;
const RAM = 0x20000000;
/** Where the boot ROM puts the second stage. */
const SECOND_STAGE = 0x20041f00;
const SECTOR = 4096;
const PAGE = 256;
const STORE_FILE = "gallery.flash";
const store = { start: Number(storeStart), bytes: Number(storeBytes) };

/** Ends with words, which the host shows. */
function fail(words) {
  flush();
  console.error(words);
  process.exit(1);
}

/** The parts of a firmware that are in flash: address and bytes each. */
function segments(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length >= 512 && view.getUint32(0) === 0x5546320a) {
    return Array.from({ length: bytes.length / 512 }, (_, block) => [
      view.getUint32(512 * block + 12, true),
      bytes.subarray(512 * block + 32, 512 * block + 32 + view.getUint32(512 * block + 16, true)),
    ]);
  }
  if (bytes.length < 52 || view.getUint32(0) !== 0x7f454c46) fail(`${firmware} is no ELF or UF2 file`);
  const [start, size, count] = [view.getUint32(28, true), view.getUint16(42, true), view.getUint16(44, true)];
  return Array.from({ length: count }, (_, index) => start + index * size)
    .filter((at) => view.getUint32(at, true) === 1)
    .map((at) => [4, 12, 16].map((field) => view.getUint32(at + field, true)))
    .map(([offset, address, length]) => [address, bytes.subarray(offset, offset + length)])
    .filter(([address, part]) => part.length > 0 && address >= FLASH && address < RAM);
}

/** The functions of the boot ROM: two letters each, and what they do. */
const functions = [
  ["IF", null],
  ["EX", null],
  ["RE", erase],
  ["RP", program],
  ["FC", null],
];

/** The boot ROM: tables, and functions that break, do nothing else, and return. */
function bootRom() {
  const rom = new Uint16Array(256);
  const code = (index) => 0x80 + 4 * index;
  const [table, break_, return_] = [0x40, 0xbe00, 0x4770];
  rom[0x14 / 2] = table;
  rom[0x18 / 2] = code(functions.length) | 1;
  functions.forEach(([letters], index) => {
    rom[table / 2 + 2 * index] = letters.charCodeAt(0) | (letters.charCodeAt(1) << 8);
    rom[table / 2 + 2 * index + 1] = code(index) | 1;
  });
  for (let index = 0; index <= functions.length; index++) {
    rom[code(index) / 2] = break_ | index;
    rom[code(index) / 2 + 1] = return_;
  }
  return new Uint32Array(rom.buffer);
}

/** What a break instruction in the boot ROM stands for. */
function call(number) {
  const { registers } = core;
  if (number < functions.length) {
    functions[number][1]?.(...registers.subarray(0, 4));
  } else {
    // Looks a function up: a table in r0, two letters in r1.
    const letters = String.fromCharCode(registers[1] & 0xff, registers[1] >> 8);
    const found = functions.findIndex(([name]) => name === letters);
    registers[0] = found < 0 ? 0 : (0x80 + 4 * found) | 1;
  }
}

/** Nothing in flash may run while it is changed. */
function mayChange(at, bytes, unit) {
  if (core.LR < RAM) fail("the flash is changed by a program that runs in it");
  if (!core.PM) fail("the flash is changed while an interrupt may be taken");
  if (at % unit || bytes % unit || at + bytes > chip.flash.length) {
    fail(`the flash can't be changed at ${at} for ${bytes} bytes`);
  }
}

function erase(at, bytes) {
  mayChange(at, bytes, SECTOR);
  chip.flash.fill(0xff, at, at + bytes);
  keep();
}

function program(at, from, bytes) {
  mayChange(at, bytes, PAGE);
  for (let index = 0; index < bytes; index++) {
    // Writing clears bits, and sets none.
    chip.flash[at + index] &= chip.readUint8(from + index);
  }
  keep();
}

/** Keeps the flash that has to survive. */
function keep() {
  writeFileSync(STORE_FILE, chip.flash.subarray(store.start, store.start + store.bytes));
}

/** The flash that has survived, or what is in it after an erasure. */
function kept() {
  try {
    return readFileSync(STORE_FILE).subarray(0, store.bytes);
  } catch {
    return new Uint8Array(store.bytes).fill(0xff);
  }
}

let chip, core, uart, clock;
let restarts = false;
const parts = segments(readFileSync(firmware));

/** Switches the power on. */
function boot() {
  restarts = false;
  chip = new RP2040();
  ({ core, clock } = chip);
  [uart] = chip.uart;
  chip.logger = new ConsoleLogger(LogLevel.Error, false);
  chip.loadBootrom(bootRom());
  chip.flash.set(kept(), store.start);
  for (const [address, bytes] of parts) chip.flash.set(bytes, address - FLASH);
  chip.onBreak = call;
  chip.peripherals[0x40058].onWatchdogTrigger = () => (restarts = true);
  uart.onByte = (byte) => sent.push(byte);
  const flags = uart.readUint32.bind(uart);
  uart.readUint32 = (offset) => {
    if (uart.rxFIFO.empty) feed();
    return flags(offset);
  };
  const check = core.checkForInterrupts.bind(core);
  core.checkForInterrupts = () => {
    if (!core.waiting || !core.PM) return check();
    return (core.pendingInterrupts & core.enabledInterrupts) !== 0 || core.pendingSystick;
  };
  chip.sram.set(chip.flash.subarray(0, 256), SECOND_STAGE - RAM);
  core.SP = SECOND_STAGE;
  core.LR = 0;
  core.PC = SECOND_STAGE;
}

/** Bytes for the board that it hasn't taken. */
let waiting = Buffer.alloc(0);
/** Bytes of the board's that weren't handed on. */
let sent = [];

/** Lets the UART receive what it has room for. */
function feed() {
  let count = 0;
  while (count < waiting.length && uart.enabled && !uart.rxFIFO.full) uart.feedByte(waiting[count++]);
  if (count) waiting = waiting.subarray(count);
}

function flush() {
  if (sent.length) process.stdout.write(Buffer.from(sent));
  sent = [];
}

/** Whether the processor sleeps. Its clock stands still meanwhile, so that runs repeat. */
let asleep = false;

/** Runs until the processor sleeps, or for a while. */
function run() {
  const cycle = 1e9 / 125e6;
  for (let step = 0; step < 100_000; step++) {
    if (restarts) boot();
    if (core.waiting) {
      feed();
      if (core.waiting && core.checkForInterrupts()) core.waiting = false;
      if (core.waiting) {
        flush();
        asleep = true;
        return;
      }
    }
    clock.tick(core.executeInstruction() * cycle);
  }
  flush();
  setImmediate(run);
}

process.stdin.on("data", (bytes) => {
  waiting = waiting.length ? Buffer.concat([waiting, bytes]) : bytes;
  if (!asleep) return;
  asleep = false;
  run();
});
process.stdin.on("end", () => process.exit(0));
boot();
run();
