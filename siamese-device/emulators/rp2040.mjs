// A Raspberry Pi Pico on rp2040js. At the standard streams are its UART0, and the serial port that
// it is on USB, if its program switches USB on.
//
//   node rp2040.mjs PACKAGE FIRMWARE STORE_START STORE_BYTES SLOTS_START SLOTS_BYTES USB_NAME
//
// PACKAGE is the folder of rp2040js, FIRMWARE an ELF or UF2 file. The part of the flash that begins at
// STORE_START, counted from the flash's first byte, is kept in the file `gallery.flash` of the
// working folder: it stays when the power goes. So is the part for updates of the model, in
// `model.flash`, once something was written there. USB_NAME is what the board has to be called on USB:
// vendor and product, four hexadecimal digits each, and words.
//
// What rp2040js leaves out, and a program here needs:
// - the boot ROM. In its place are its table of functions with those that change the flash, and
//   what it does at boot: it copies the second stage to RAM, and calls it;
// - the flash itself can't be changed there. Here it can, by the rules of the real one;
// - an interrupt that wakes the processor while interrupts are masked is not to be taken;
// - the lowest bit of a handler's address, which says that it is Thumb code, is not to be in the
//   program counter, from which jump tables are reckoned;
// - the controller of the flash's cache: here it never has anything to do;
// - the controller of USB keeps a buffer to receive in until it has received something;
// - a reset by the watchdog.
// No access to the flash takes time there: cycles leave out what the real chip waits for it.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, firmware, storeStart, storeBytes, slotsStart, slotsBytes, usbName] = process.argv.slice(2);
const { RP2040, LogLevel, ConsoleLogger } = await import(
  pathToFileURL(join(folder, "dist/esm/index.js"))
);

const FLASH = 0x10000000;
const RAM = 0x20000000;
/** Where the boot ROM puts the second stage. */
const SECOND_STAGE = 0x20041f00;
const SECTOR = 4096;
const PAGE = 256;
const TIMER = 0x40054;
/** In the clock's unit; and the longest sleep that is timed. */
const MILLISECOND = 1e6;
const LONGEST = 3_600_000 * MILLISECOND;
/** The parts of the flash that stay when the power goes. */
const kept = [
  { file: "gallery.flash", start: Number(storeStart), bytes: Number(storeBytes) },
  { file: "model.flash", start: Number(slotsStart), bytes: Number(slotsBytes) },
];

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
  ["C4", copy],
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
  keep(at, bytes);
}

function program(at, from, bytes) {
  mayChange(at, bytes, PAGE);
  for (let index = 0; index < bytes; index++) {
    // Writing clears bits, and sets none.
    chip.flash[at + index] &= chip.readUint8(from + index);
  }
  keep(at, bytes);
}

function copy(to, from, bytes) {
  for (let index = 0; index < bytes; index++) chip.writeUint8(to + index, chip.readUint8(from + index));
}

/** Keeps what has to survive of a change. */
function keep(at, length) {
  for (const { file, start, bytes } of kept) {
    if (at < start + bytes && start < at + length) {
      writeFileSync(file, chip.flash.subarray(start, start + bytes));
    }
  }
}

/** The flash that has survived; the rest is as it is after an erasure. */
function survived() {
  chip.flash.fill(0xff);
  for (const { file, start, bytes } of kept) {
    try {
      chip.flash.set(readFileSync(file).subarray(0, bytes), start);
    } catch {
      // Nothing was written yet.
    }
  }
}

let chip, core, uart, usb, clock;
let restarts = false;
const parts = segments(readFileSync(firmware));

/** Switches the power on. */
function boot() {
  restarts = false;
  chip = new RP2040();
  ({ core, clock } = chip);
  [uart] = chip.uart;
  usb = new UsbHost(chip.usbCtrl, clock);
  chip.logger = new ConsoleLogger(LogLevel.Error, false);
  chip.loadBootrom(bootRom());
  survived();
  for (const [address, bytes] of parts) chip.flash.set(bytes, address - FLASH);
  chip.onBreak = call;
  chip.peripherals[0x14000] = { readUint32: () => 0, writeUint32Atomic: () => {} };
  const watchdog = chip.peripherals[0x40058];
  watchdog.onWatchdogTrigger = () => {
    restarts = true;
    // It would go on within the same cycle.
    watchdog.alarm.enable = false;
  };
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
  const enter = core.exceptionEntry.bind(core);
  core.exceptionEntry = (number) => {
    enter(number);
    core.PC &= ~1;
  };
  chip.sram.set(chip.flash.subarray(0, 256), SECOND_STAGE - RAM);
  core.SP = SECOND_STAGE;
  core.LR = 0;
  core.PC = SECOND_STAGE;
}

/** The packets of an endpoint, at most. */
const PACKET = 64;

/** The computer at the other end of the USB cable: it asks the board what it is, as computers do, and
 * opens its serial port. */
class UsbHost {
  constructor(controller, clock) {
    this.controller = controller;
    /** Control transfers that are left to do, and the one that goes on. */
    this.script = this.transfer = null;
    /** The serial port's endpoints; none before it is open. */
    this.port = {};
    /** By endpoint: the bytes that the board can take, and packets for it. */
    this.room = {};
    this.packets = { 0: [] };
    /** What the port has sent in full packets. */
    this.unfinished = [];
    this.next = clock.createAlarm(() => this.begin());
    controller.onUSBEnabled = () => {
      this.script = this.questions();
      controller.resetDevice();
    };
    controller.onResetReceived = () => this.next.schedule(MILLISECOND);
    controller.onEndpointRead = (endpoint, bytes) => {
      this.lend(endpoint, true);
      this.room[endpoint] = bytes;
      this.deliver(endpoint);
    };
    const finish = controller.finishRead.bind(controller);
    controller.finishRead = (endpoint, packet) => {
      this.lend(endpoint, false);
      finish(endpoint, packet);
    };
    controller.onEndpointWrite = (endpoint, packet) => {
      if (endpoint === 0) return this.answered(packet);
      if (endpoint !== this.port.from) return;
      // As hosts do, which hand on what has ended with a short packet.
      this.unfinished.push(...packet);
      if (packet.length < PACKET) sent.push(...this.unfinished.splice(0));
    };
  }

  /** What is asked of a new device: type, request, value, index, and the bytes to get or to give. */
  *questions() {
    const device = yield [0x80, 6, 0x0100, 0, 18];
    yield [0x00, 5, 1, 0, []];
    const [, , low, high] = yield [0x80, 6, 0x0200, 0, 9];
    const configuration = yield [0x80, 6, 0x0200, 0, low | (high << 8)];
    const words = yield [0x80, 6, 0x0300 | device[15], 0x0409, 255];
    const hex = (at) => (device[at] | (device[at + 1] << 8)).toString(16).padStart(4, "0");
    const name = `${hex(8)}:${hex(10)} ${Buffer.from(words.slice(2)).toString("utf16le")}`;
    if (name !== usbName) fail(`the board is "${name}" on USB, and not "${usbName}"`);
    const { from, to } = dataEndpoints(configuration);
    this.port = { from };
    yield [0x00, 9, 1, 0, []];
    // 115,200 baud, 8 bits; then, by two lines, that a program is there.
    yield [0x21, 0x20, 0, 0, [0x00, 0xc2, 0x01, 0x00, 0, 0, 8]];
    yield [0x21, 0x22, 3, 0, []];
    this.port = { from, to };
  }

  /** Begins the next control transfer. */
  begin() {
    const { done, value } = this.script.next(this.result);
    if (done) {
      this.script = null;
      return feed();
    }
    const [type, request, number, index, data] = value;
    const gets = type & 0x80 ? data : 0;
    const gives = type & 0x80 ? [] : data;
    this.transfer = { gets, got: [], reads: Boolean(gets) };
    this.room[0] = undefined;
    this.packets[0] = gives.length ? [Uint8Array.from(gives)] : [];
    const setup = Buffer.from([type, request, 0, 0, 0, 0, 0, 0]);
    [number, index, gets || gives.length].forEach((word, at) => setup.writeUInt16LE(word, 2 + 2 * at));
    this.controller.sendSetupPacket(setup);
  }

  /** The board's packet in a control transfer: a part of what it was asked for, or that it has done
   * what it was told. */
  answered(packet) {
    if (!this.transfer) return;
    const { gets, got, reads } = this.transfer;
    got.push(...packet);
    if (reads && got.length < gets && packet.length === PACKET) return;
    if (reads) {
      this.packets[0].push(new Uint8Array());
      this.deliver(0);
    }
    this.transfer = null;
    this.result = got;
    this.next.schedule(MILLISECOND);
  }

  /** Hands a packet over that the board has room for. */
  deliver(endpoint) {
    const room = this.room[endpoint];
    if (endpoint === this.port.to) feed();
    else if (room !== undefined && this.packets[endpoint]?.length) this.put(endpoint, this.packets[endpoint].shift());
  }

  /** Notes whether the controller has the buffer of what an endpoint receives. */
  lend(endpoint, hasIt) {
    const [at, AVAILABLE] = [0x84 + 8 * endpoint, 1 << 10];
    const state = chip.usbDPRAMView.getUint32(at, true) & ~AVAILABLE;
    chip.usbDPRAMView.setUint32(at, hasIt ? state | AVAILABLE : state, true);
  }

  put(endpoint, packet) {
    this.room[endpoint] = undefined;
    this.controller.endpointReadDone(endpoint, packet);
  }

  /** Whether something happens by itself, without the processor. */
  get isBusy() {
    const { endpointReadAlarms, endpointWriteAlarms } = this.controller;
    return this.script || [endpointReadAlarms, endpointWriteAlarms].flat().some(({ buffers }) => buffers.length);
  }
}

/** The endpoints of the interface for data, in a configuration's descriptors. */
function dataEndpoints(bytes) {
  const [INTERFACE, ENDPOINT, DATA] = [4, 5, 10];
  const port = {};
  let isData = false;
  for (let at = 0; at < bytes.length; at += bytes[at]) {
    if (bytes[at + 1] === INTERFACE) isData = bytes[at + 5] === DATA;
    if (bytes[at + 1] === ENDPOINT && isData) port[bytes[at + 2] & 0x80 ? "from" : "to"] = bytes[at + 2] & 15;
  }
  return port;
}

/** Bytes for the board that it hasn't taken. */
let waiting = Buffer.alloc(0);
/** Bytes of the board's that weren't handed on. */
let sent = [];

/** Lets the serial port or the UART receive what it has room for. */
function feed() {
  let count = 0;
  const room = usb.room[usb.port.to];
  if (room && waiting.length) {
    count = Math.min(room, PACKET, waiting.length);
    usb.put(usb.port.to, Uint8Array.from(waiting.subarray(0, count)));
  } else {
    while (count < waiting.length && uart.enabled && !uart.rxFIFO.full) uart.feedByte(waiting[count++]);
  }
  if (count) waiting = waiting.subarray(count);
}

function flush() {
  if (sent.length) process.stdout.write(Buffer.from(sent));
  sent = [];
}

/** Whether the processor sleeps. Its clock stands still meanwhile, so that runs repeat, unless its
 * timer is to wake it: then it is woken as much later in this machine's time. */
let asleep = false;
let alarm;

/** How long it is until the timer wakes the processor, if ever. */
function timeLeft() {
  const armed = chip.peripherals[TIMER].alarms.filter(({ armed }) => armed);
  return Math.min(...armed.map(({ clockAlarm }) => clockAlarm.nanos)) - clock.nanos;
}

function wake(after) {
  clearTimeout(alarm);
  asleep = false;
  clock.tick(after);
  run();
}

/** Runs until the processor sleeps, or for a while. */
function run() {
  const cycle = 1e9 / 125e6;
  for (let step = 0; step < 100_000; step++) {
    if (restarts) boot();
    if (core.waiting) {
      feed();
      if (core.waiting && core.checkForInterrupts()) core.waiting = false;
      if (core.waiting && usb.isBusy) {
        clock.tick(clock.nanosToNextAlarm);
        continue;
      }
      if (core.waiting) {
        flush();
        asleep = true;
        const left = timeLeft();
        if (left < LONGEST) alarm = setTimeout(() => wake(left), left / MILLISECOND);
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
  // A program that asks its UART is fed when it does.
  if (!asleep && usb.port.to) feed();
  if (asleep) wake(0);
});
process.stdin.on("end", () => process.exit(0));
boot();
run();
