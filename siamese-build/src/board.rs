//! The table of the boards that the example firmware runs on. The firmware's
//! build, the emulators and the documentation take what they need from here.

use std::fmt::{self, Write};
use std::ops::Range;
use std::str::FromStr;

use crate::budget::FlashWait;
use crate::core::{Abi, Core};

/// A board that the example firmware can be built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Board {
    /// BBC micro:bit.
    Microbit,
    /// Arm MPS2 with the image AN385.
    Mps2An385,
    /// Arm MPS2 with the image AN386.
    #[default]
    Mps2An386,
    /// Arm MPS2 with the image AN500.
    Mps2An500,
    /// Arm MPS2 with the image AN505.
    Mps2An505,
    /// Arm MPS3 with the image AN547.
    Mps3An547,
    /// BBC micro:bit, second version.
    MicrobitV2,
    /// Netduino Plus 2.
    Netduinoplus2,
    /// Nordic's nRF52840 DK.
    Nrf52840dk,
    /// ST's Nucleo-F411RE.
    NucleoF411re,
    /// ST's Nucleo-L432KC.
    NucleoL432kc,
    /// Raspberry Pi Pico.
    Pico,
    /// Raspberry Pi Pico 2, its Arm cores.
    Pico2,
    /// QEMU's `virt`.
    Virt,
    /// Raspberry Pi Pico 2, its RISC-V cores.
    Pico2Riscv,
}

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// The first address.
    pub origin: u32,
    /// Bytes.
    pub bytes: u32,
}

impl Region {
    const fn new(origin: u32, kib: u32) -> Self {
        Self {
            origin,
            bytes: kib * 1024,
        }
    }

    /// The addresses; `u64`, because a region may end where addresses do.
    #[must_use]
    pub const fn range(self) -> Range<u64> {
        self.origin as u64..self.origin as u64 + self.bytes as u64
    }
}

/// A kind of UART, which needs a driver of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UartKind {
    /// Of the CMSDK, on Arm's MPS boards.
    Cmsdk,
    /// Of Nordic's nRF51 and nRF52 series.
    Nrf,
    /// Of ST's STM32F4 series.
    Stm32F4,
    /// Of ST's STM32L4 series.
    Stm32L4,
    /// The 16550.
    Ns16550,
    /// A PL011, as the RP2040 has it.
    Rp2040,
    /// The same, as the RP2350 has it.
    Rp2350,
}

impl UartKind {
    /// Its name in a `cfg`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cmsdk => "cmsdk",
            Self::Nrf => "nrf",
            Self::Stm32F4 => "stm32f4",
            Self::Stm32L4 => "stm32l4",
            Self::Ns16550 => "ns16550",
            Self::Rp2040 => "rp2040",
            Self::Rp2350 => "rp2350",
        }
    }

    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Cmsdk,
        Self::Nrf,
        Self::Stm32F4,
        Self::Stm32L4,
        Self::Ns16550,
        Self::Rp2040,
        Self::Rp2350,
    ];
}

/// The UART that the link uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uart {
    /// What it is.
    pub kind: UartKind,
    /// The address of its registers.
    pub base: u32,
    /// The line of its interrupt for a byte received, or `None` where the
    /// firmware asks the UART again and again.
    pub receive_interrupt: Option<u16>,
    /// The pins that it sends and receives on, as a chip numbers them that can choose.
    pub pins: [u8; 2],
}

impl Uart {
    const fn new(kind: UartKind, base: u32, receive_interrupt: u16) -> Self {
        Self {
            kind,
            base,
            receive_interrupt: Some(receive_interrupt),
            pins: [0; 2],
        }
    }

    /// That of the nRF51 and nRF52 series.
    const fn nrf(pins: [u8; 2]) -> Self {
        let uart = Self::new(UartKind::Nrf, 0x4000_2000, 2);
        Self { pins, ..uart }
    }

    /// One of the STM32 series, on pins of port A.
    const fn stm32(kind: UartKind, base: u32, line: u16, pins: [u8; 2]) -> Self {
        let uart = Self::new(kind, base, line);
        Self { pins, ..uart }
    }
}

/// How what a board learns lies in its flash: units that are erased one by one, first those
/// of its gallery, then those of its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Store {
    /// The part of the flash; `None` where a file of the emulator's stands for it.
    pub region: Option<Region>,
    /// Bytes of a unit.
    pub unit: u32,
    /// Bytes for the gallery.
    pub gallery: u32,
    /// Bytes for the names.
    pub names: u32,
}

/// The units of a store, as the table has them.
#[derive(Clone, Copy)]
struct Units {
    place: Place,
    /// Bytes of one.
    unit: u32,
    /// How many are the gallery's.
    gallery: u32,
    /// How many are the names'.
    names: u32,
}

/// Where a store is.
#[derive(Clone, Copy)]
enum Place {
    /// In a file of the emulator's.
    File,
    /// In the flash, after the program.
    AfterProgram,
    /// In the flash, between the table of vectors, with which it begins, and the program.
    BeforeProgram {
        /// Bytes before the store.
        vectors: u32,
        /// Bytes before the program.
        program: u32,
    },
}

impl Units {
    /// In pages of 4 KiB, as most have them: as many as a gallery and names of
    /// `firmware-example` need, so that saves seldom erase.
    const PAGES: Self = Self {
        place: Place::AfterProgram,
        unit: 4096,
        gallery: 4,
        names: 2,
    };
    /// The same in a file.
    const FILE: Self = Self {
        place: Place::File,
        ..Self::PAGES
    };
    /// The sectors 1 to 4 of an STM32F4, for want of others that are small. The last has 64 KiB,
    /// of which the first quarter is used: sectors are all that can be erased. Sector 0 has the
    /// table of vectors, and the program begins with sector 5.
    const STM32F4: Self = Self {
        place: Place::BeforeProgram {
            vectors: 16 * 1024,
            program: 128 * 1024,
        },
        unit: 16 * 1024,
        gallery: 2,
        names: 2,
    };

    const fn bytes(self) -> u32 {
        self.unit * (self.gallery + self.names)
    }
}

/// Vendor and product by which a host finds the firmware on USB: the first pair that pid.codes
/// keeps for tests on one's own desk. A device that leaves the desk needs a pair of its own.
pub const USB_ID: [u16; 2] = [0x1209, 0x0001];
/// What it calls itself there.
pub const USB_PRODUCT: &str = "Siamese";

/// What the table says of a board.
struct Facts {
    name: &'static str,
    title: &'static str,
    core: Core,
    flash: Region,
    ram: Region,
    clock_hz: u32,
    uart: Uart,
    flashing: Flashing,
    emulation: Option<Emulation>,
    /// Bytes of flash that start the program, before all else.
    boot: u32,
    store: Units,
    flash_wait: Option<FlashWait>,
}

/// How a firmware gets onto a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flashing {
    /// Not at all: the firmware is for the emulated board alone.
    Emulated,
    /// By a debug probe.
    Probe {
        /// What `probe-rs` calls the chip.
        chip: &'static str,
    },
    /// As a file that is copied to the drive that the board is to a host.
    Uf2 {
        /// The drive's name.
        drive: &'static str,
        /// What its boot loader calls the chip.
        family: u32,
        /// What `probe-rs` calls it, if it knows these cores of the chip's.
        chip: Option<&'static str>,
    },
}

/// What emulates a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Emulation {
    /// QEMU.
    Qemu {
        /// Whether the firmware uses the emulator's console, files and exit code: by
        /// semihosting, at which a board without a debugger stops.
        semihosting: bool,
    },
    /// rp2040js, which runs on Node.js.
    Rp2040js,
}

impl Emulation {
    /// Its name, for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Qemu { .. } => "QEMU",
            Self::Rp2040js => "rp2040js",
        }
    }
}

/// QEMU with a firmware that knows it.
const QEMU: Option<Emulation> = Some(Emulation::Qemu { semihosting: true });

impl Board {
    /// All boards.
    pub const ALL: [Self; 15] = [
        Self::Microbit,
        Self::Mps2An385,
        Self::Mps2An386,
        Self::Mps2An500,
        Self::Mps2An505,
        Self::Mps3An547,
        Self::MicrobitV2,
        Self::Netduinoplus2,
        Self::Nrf52840dk,
        Self::NucleoF411re,
        Self::NucleoL432kc,
        Self::Pico,
        Self::Pico2,
        // Before the next, so that the first RISC-V is one that QEMU has.
        Self::Virt,
        Self::Pico2Riscv,
    ];

    /// The table.
    const fn facts(self) -> Facts {
        /// UART0 and SRAM of the MPS2 images for Armv7-M.
        const MPS2_UART: Uart = Uart::new(UartKind::Cmsdk, 0x4000_4000, 0);
        const MPS2_FLASH: Region = Region::new(0, 4096);
        const MPS2_RAM: Region = Region::new(0x2000_0000, 4096);
        match self {
            Self::Microbit => Facts {
                name: "microbit",
                title: "BBC micro:bit (nRF51822)",
                core: Core::CortexM0,
                flash: Region::new(0, 256),
                ram: Region::new(0x2000_0000, 16),
                clock_hz: 16_000_000,
                // The pins to the USB interface.
                uart: Uart::nrf([24, 25]),
                // The chip has no SysTick, which the stopwatch needs; QEMU's has.
                flashing: Flashing::Emulated,
                emulation: QEMU,
                boot: 0,
                store: Units::FILE,
                flash_wait: None,
            },
            Self::Mps2An385 => Facts {
                name: "mps2-an385",
                title: "Arm MPS2, image AN385",
                core: Core::CortexM3,
                flash: MPS2_FLASH,
                ram: MPS2_RAM,
                clock_hz: 25_000_000,
                uart: MPS2_UART,
                flashing: Flashing::Emulated,
                emulation: QEMU,
                boot: 0,
                store: Units::FILE,
                flash_wait: None,
            },
            Self::Mps2An386 => Facts {
                name: "mps2-an386",
                title: "Arm MPS2, image AN386",
                core: Core::CortexM4,
                ..Self::Mps2An385.facts()
            },
            Self::Mps2An500 => Facts {
                name: "mps2-an500",
                title: "Arm MPS2, image AN500",
                core: Core::CortexM7,
                ..Self::Mps2An385.facts()
            },
            // It starts in secure state; these are the secure addresses of SSRAM1,
            // of SSRAM2 and 3, and of UART0.
            Self::Mps2An505 => Facts {
                name: "mps2-an505",
                title: "Arm MPS2, image AN505",
                core: Core::CortexM33,
                flash: Region::new(0x1000_0000, 4096),
                ram: Region::new(0x3800_0000, 4096),
                clock_hz: 20_000_000,
                uart: Uart::new(UartKind::Cmsdk, 0x5020_0000, 32),
                flashing: Flashing::Emulated,
                emulation: QEMU,
                boot: 0,
                store: Units::FILE,
                flash_wait: None,
            },
            Self::Mps3An547 => Facts {
                name: "mps3-an547",
                title: "Arm MPS3, image AN547",
                core: Core::CortexM55,
                // The tightly coupled memories.
                flash: Region::new(0, 512),
                ram: Region::new(0x2000_0000, 512),
                clock_hz: 32_000_000,
                uart: Uart::new(UartKind::Cmsdk, 0x5930_3000, 33),
                flashing: Flashing::Emulated,
                emulation: QEMU,
                boot: 0,
                store: Units::FILE,
                flash_wait: None,
            },
            Self::Netduinoplus2 => Facts {
                name: "netduinoplus2",
                title: "Netduino Plus 2 (STM32F405)",
                core: Core::CortexM4,
                flash: Region::new(0x0800_0000, 1024),
                ram: Region::new(0x2000_0000, 128),
                // The internal oscillator, which runs after reset.
                clock_hz: 16_000_000,
                // PA9 and PA10.
                uart: Uart::stm32(UartKind::Stm32F4, 0x4001_1000, 37, [9, 10]),
                flashing: Flashing::Probe {
                    chip: "STM32F405RGTx",
                },
                emulation: Some(Emulation::Qemu { semihosting: false }),
                boot: 0,
                store: Units::STM32F4,
                flash_wait: None,
            },
            Self::MicrobitV2 => Facts {
                name: "microbit-v2",
                title: "BBC micro:bit v2 (nRF52833)",
                flash: Region::new(0, 512),
                ram: Region::new(0x2000_0000, 128),
                // P0.06 and P1.08, to the USB interface.
                uart: Uart::nrf([6, 32 + 8]),
                flashing: Flashing::Probe {
                    chip: "nRF52833_xxAA",
                },
                ..Self::Nrf52840dk.facts()
            },
            Self::Nrf52840dk => Facts {
                name: "nrf52840dk",
                title: "Nordic nRF52840 DK",
                core: Core::CortexM4,
                flash: Region::new(0, 1024),
                ram: Region::new(0x2000_0000, 256),
                clock_hz: 64_000_000,
                // P0.06 and P0.08, to the USB interface.
                uart: Uart::nrf([6, 8]),
                flashing: Flashing::Probe {
                    chip: "nRF52840_xxAA",
                },
                emulation: None,
                boot: 0,
                store: Units::PAGES,
                // At the most, and the cache is for instructions alone (nRF52840 product
                // specification, chapters CPU and NVMC).
                flash_wait: Some(FlashWait {
                    line: 4,
                    cycles: 2,
                    cache: 0,
                }),
            },
            Self::NucleoF411re => Facts {
                name: "nucleo-f411re",
                title: "ST Nucleo-F411RE (STM32F411RE)",
                core: Core::CortexM4,
                flash: Region::new(0x0800_0000, 512),
                ram: Region::new(0x2000_0000, 128),
                // The most at the voltage that the core has after reset.
                clock_hz: 84_000_000,
                // USART2 on PA2 and PA3, to the USB interface.
                uart: Uart::stm32(UartKind::Stm32F4, 0x4000_4400, 38, [2, 3]),
                flashing: Flashing::Probe {
                    chip: "STM32F411RETx",
                },
                emulation: None,
                boot: 0,
                store: Units::STM32F4,
                // RM0383, chapter 3.4: lines of 128 bits, two wait states from 64 MHz up to
                // 90, and 128 bytes of cache for data.
                flash_wait: Some(FlashWait {
                    line: 16,
                    cycles: 2,
                    cache: 0,
                }),
            },
            Self::NucleoL432kc => Facts {
                name: "nucleo-l432kc",
                title: "ST Nucleo-L432KC (STM32L432KC)",
                core: Core::CortexM4,
                flash: Region::new(0x0800_0000, 256),
                // SRAM1, and SRAM2 after it.
                ram: Region::new(0x2000_0000, 64),
                clock_hz: 80_000_000,
                // USART2 on PA2 and PA15, to the USB interface.
                uart: Uart::stm32(UartKind::Stm32L4, 0x4000_4400, 38, [2, 15]),
                flashing: Flashing::Probe {
                    chip: "STM32L432KCUx",
                },
                emulation: None,
                boot: 0,
                // Pages of 2 KiB.
                store: Units {
                    unit: 2048,
                    gallery: 8,
                    ..Units::PAGES
                },
                // RM0394, chapter 3.3: 64 bits, four wait states above 64 MHz, and 256 bytes
                // of cache for data.
                flash_wait: Some(FlashWait {
                    line: 8,
                    cycles: 4,
                    cache: 0,
                }),
            },
            Self::Pico => Facts {
                name: "pico",
                title: "Raspberry Pi Pico (RP2040)",
                core: Core::CortexM0Plus,
                flash: Region::new(0x1000_0000, 2048),
                // All six banks.
                ram: Region::new(0x2000_0000, 264),
                clock_hz: 125_000_000,
                uart: Uart::new(UartKind::Rp2040, 0x4003_4000, 20),
                flashing: Flashing::Uf2 {
                    drive: "RPI-RP2",
                    family: 0xE48B_FF56,
                    chip: Some("RP2040"),
                },
                emulation: Some(Emulation::Rp2040js),
                // The second stage of booting.
                boot: 256,
                store: Units::PAGES,
                // RP2040 datasheet, chapters 2.6.3 and 4.10: at half the clock and four bits at
                // a time an address and mode of 32 bits, 4 of waiting, a line of 64 bits.
                flash_wait: Some(FlashWait {
                    line: 8,
                    cycles: 2 * (8 + 4 + 16),
                    cache: 16 * 1024,
                }),
            },
            Self::Pico2 => Facts {
                name: "pico2",
                title: "Raspberry Pi Pico 2 (RP2350)",
                core: Core::CortexM33,
                flash: Region::new(0x1000_0000, 4096),
                // All ten banks.
                ram: Region::new(0x2000_0000, 520),
                clock_hz: 150_000_000,
                uart: Uart::new(UartKind::Rp2350, 0x4007_0000, 33),
                flashing: Flashing::Uf2 {
                    drive: "RP2350",
                    family: 0xE48B_FF59,
                    chip: Some("RP235x"),
                },
                emulation: None,
                // The image's definition. The table of vectors after it, which has room for
                // 480 interrupts, begins at a multiple of its size.
                boot: 2048,
                store: Units::PAGES,
                // As the RP2040's, at a third of the clock, which the ROM tries first (RP2350
                // datasheet, chapters 4.4 and 5.2.7).
                flash_wait: Some(FlashWait {
                    line: 8,
                    cycles: 3 * (8 + 4 + 16),
                    cache: 16 * 1024,
                }),
            },
            Self::Pico2Riscv => Facts {
                name: "pico2-riscv",
                title: "Raspberry Pi Pico 2 (RP2350), its RISC-V cores",
                core: Core::Rv32,
                uart: Uart {
                    receive_interrupt: None,
                    ..Self::Pico2.facts().uart
                },
                flashing: Flashing::Uf2 {
                    drive: "RP2350",
                    family: 0xE48B_FF5A,
                    chip: None,
                },
                ..Self::Pico2.facts()
            },
            Self::Virt => Facts {
                name: "virt",
                title: "QEMU's virt, which exists nowhere else",
                core: Core::Rv32,
                // All of its memory is RAM; the lower part stands for flash.
                flash: Region::new(0x8000_0000, 4096),
                ram: Region::new(0x8040_0000, 4096),
                // The stopwatch counts instructions; QEMU runs one a nanosecond.
                clock_hz: 1_000_000_000,
                uart: Uart {
                    kind: UartKind::Ns16550,
                    base: 0x1000_0000,
                    receive_interrupt: None,
                    pins: [0; 2],
                },
                flashing: Flashing::Emulated,
                emulation: QEMU,
                boot: 0,
                store: Units::FILE,
                flash_wait: None,
            },
        }
    }

    /// Its name: of the firmware's feature, of QEMU's machine, and in the
    /// device's own answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// What it is, for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.facts().title
    }

    /// Its core.
    #[must_use]
    pub const fn core(self) -> Core {
        self.facts().core
    }

    /// Its flash, or the memory that stands for it.
    #[must_use]
    pub const fn flash(self) -> Region {
        self.facts().flash
    }

    /// Its RAM, as far as the firmware uses it.
    #[must_use]
    pub const fn ram(self) -> Region {
        self.facts().ram
    }

    /// Bytes of RAM that are the stack's: half of the RAM, and at most 32 KiB,
    /// because all of the stack is painted at boot to see how deep it gets.
    #[must_use]
    pub const fn stack_bytes(self) -> u32 {
        const MOST: u32 = 32 * 1024;
        let half = self.ram().bytes / 2;
        if half < MOST { half } else { MOST }
    }

    /// The clock of the stopwatch, which is the core's, in hertz.
    #[must_use]
    pub const fn clock_hz(self) -> u32 {
        self.facts().clock_hz
    }

    /// The UART of the link.
    #[must_use]
    pub const fn uart(self) -> Uart {
        self.facts().uart
    }

    /// How the firmware gets onto the board itself.
    #[must_use]
    pub const fn flashing(self) -> Flashing {
        self.facts().flashing
    }

    /// Whether the firmware is made for the board itself too. It was run on emulated
    /// boards alone.
    #[must_use]
    pub const fn is_real(self) -> bool {
        !matches!(self.flashing(), Flashing::Emulated)
    }

    /// What emulates it; `None` if nothing does that could be had.
    #[must_use]
    pub const fn emulation(self) -> Option<Emulation> {
        self.facts().emulation
    }

    /// The boards that are emulated.
    pub fn emulated() -> impl Iterator<Item = Self> {
        Self::ALL
            .into_iter()
            .filter(|board| board.emulation().is_some())
    }

    /// Whether the firmware uses the emulator's console, files and exit code.
    #[must_use]
    pub const fn has_semihosting(self) -> bool {
        matches!(
            self.emulation(),
            Some(Emulation::Qemu { semihosting: true })
        )
    }

    /// The part of the flash that programs have, or of the memory that stands for it: but
    /// for the [table of vectors](Self::vectors), if that is apart.
    #[must_use]
    pub const fn program(self) -> Region {
        let Facts {
            flash, boot, store, ..
        } = self.facts();
        let (before, after) = match store.place {
            Place::File => (boot, 0),
            Place::AfterProgram => (boot, store.bytes()),
            Place::BeforeProgram { program, .. } => (program, 0),
        };
        Region {
            origin: flash.origin + before,
            bytes: flash.bytes - before - after,
        }
    }

    /// The address of the table of vectors: the program's, or the flash's where the program
    /// begins behind the store.
    #[must_use]
    pub const fn vectors(self) -> u32 {
        match self.facts().store.place {
            Place::BeforeProgram { .. } => self.flash().origin,
            _ => self.program().origin,
        }
    }

    /// Where the board keeps its gallery and names.
    #[must_use]
    pub const fn store(self) -> Store {
        let Facts { flash, store, .. } = self.facts();
        let program = self.program();
        let origin = match store.place {
            Place::File => None,
            Place::AfterProgram => Some(program.origin + program.bytes),
            Place::BeforeProgram { vectors, .. } => Some(flash.origin + vectors),
        };
        Store {
            region: match origin {
                Some(origin) => Some(Region {
                    origin,
                    bytes: store.bytes(),
                }),
                None => None,
            },
            unit: store.unit,
            gallery: store.unit * store.gallery,
            names: store.unit * store.names,
        }
    }

    /// The two slots for updates of the model, with the firmware's feature `updates`: the end of
    /// what is the [program](Self::program)'s otherwise. `None` where there is no room for them,
    /// or nothing that the processor reads in place and that can be written.
    #[must_use]
    pub const fn update_slots(self) -> Option<[Region; 2]> {
        let kib = match self {
            // QEMU has RAM where these boards' programs are.
            Self::Mps2An385 | Self::Mps2An386 | Self::Mps2An500 | Self::Mps2An505 => 256,
            Self::Pico | Self::Pico2 | Self::Pico2Riscv => 256,
            Self::Nrf52840dk => 256,
            Self::MicrobitV2 => 96,
            _ => return None,
        };
        let program = self.program();
        let end = program.origin + program.bytes;
        Some([
            Region::new(end - 2 * kib * 1024, kib),
            Region::new(end - kib * 1024, kib),
        ])
    }

    /// How its core waits for its flash; `None` where it doesn't.
    #[must_use]
    pub const fn flash_wait(self) -> Option<FlashWait> {
        self.facts().flash_wait
    }

    /// Whether a debug probe can read logs out of its RAM (RTT), which an
    /// emulator can't.
    #[must_use]
    pub const fn has_rtt(self) -> bool {
        matches!(
            self.flashing(),
            Flashing::Probe { .. } | Flashing::Uf2 { chip: Some(_), .. }
        )
    }

    /// Whether the firmware's link can go over the USB of the chip itself: its feature `usb`.
    #[must_use]
    pub const fn has_usb(self) -> bool {
        matches!(self, Self::Pico | Self::Nrf52840dk)
    }

    /// The program that emulates it, if there is any.
    #[must_use]
    pub const fn emulator(self) -> Option<&'static str> {
        match (self.emulation(), self.core()) {
            (Some(Emulation::Rp2040js), _) => Some("node"),
            (Some(Emulation::Qemu { .. }), Core::Rv32) => Some("qemu-system-riscv32"),
            (Some(Emulation::Qemu { .. }), _) => Some("qemu-system-arm"),
            (None, _) => None,
        }
    }

    /// Rust's target for its core, or `None` if there is none with this ABI.
    #[must_use]
    pub fn target(self, abi: Abi) -> Option<&'static str> {
        self.core().target(abi)
    }

    /// All builds that there are: each board with each of its targets.
    pub fn builds() -> impl Iterator<Item = (Self, Abi, &'static str)> {
        Self::ALL.into_iter().flat_map(|board| {
            let build = move |abi| Some((board, abi, board.target(abi)?));
            Abi::ALL.into_iter().filter_map(build)
        })
    }

    /// The first board of each core.
    pub fn one_a_core() -> impl Iterator<Item = Self> {
        let same = |a: Self, b: Self| a.core() == b.core();
        let first = move |board| Self::ALL.into_iter().find(|&other| same(other, board));
        Self::ALL
            .into_iter()
            .filter(move |&board| first(board) == Some(board))
    }

    /// The table in Markdown.
    #[must_use]
    pub fn markdown() -> String {
        let mut table = String::from(
            "| board | what it is | core | Rust's targets | flash | RAM | clock | runs on |\n\
             |---|---|---|---|---|---|---|---|\n",
        );
        for board in Self::ALL {
            let targets: Vec<String> = Abi::ALL
                .into_iter()
                .filter_map(|abi| board.target(abi))
                .map(|target| format!("`{target}`"))
                .collect();
            let _ = writeln!(
                table,
                "| `{}` | {} | {} | {} | {} | {} | {} MHz | {} |",
                board.name(),
                board.title(),
                board.core(),
                targets.join(", "),
                size(board.flash()),
                size(board.ram()),
                board.clock_hz() / 1_000_000,
                match (board.emulation().map(Emulation::name), board.is_real()) {
                    (Some(emulator), true) => {
                        format!("{emulator}; made for the board, not yet run on it")
                    }
                    (Some(emulator), false) => emulator.into(),
                    (None, _) => "builds, not yet run".into(),
                },
            );
        }
        table
    }
}

/// `256 KiB at 0x20000000`.
fn size(region: Region) -> String {
    format!("{} KiB at {:#010x}", region.bytes / 1024, region.origin)
}

impl fmt::Display for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Board {
    type Err = UnknownBoard;

    fn from_str(name: &str) -> Result<Self, UnknownBoard> {
        let found = Self::ALL.into_iter().find(|board| board.name() == name);
        found.ok_or_else(|| UnknownBoard(name.into()))
    }
}

/// A name that no [`Board`] has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownBoard(String);

impl fmt::Display for UnknownBoard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Board::ALL.map(Board::name).join(", ");
        write!(
            f,
            "there is no board '{}'; the known ones are {names}",
            self.0
        )
    }
}

impl std::error::Error for UnknownBoard {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_refused() {
        for board in Board::ALL {
            assert_eq!(board.name().parse(), Ok(board));
        }
        let error = "mps2".parse::<Board>().unwrap_err();
        assert!(error.to_string().contains("mps2-an386, "), "{error}");
    }

    #[test]
    fn memories_are_apart_and_the_stack_is_part_of_the_ram() {
        for board in Board::ALL {
            let (flash, ram) = (board.flash().range(), board.ram().range());
            assert!(flash.end <= ram.start || ram.end <= flash.start, "{board}");
            assert!(ram.end <= 1 << 32 && flash.end <= 1 << 32, "{board}");
            assert!(board.stack_bytes() <= board.ram().bytes / 2, "{board}");
            assert!(board.stack_bytes() >= 8 * 1024, "{board}");
            assert!(board.stack_bytes().is_multiple_of(8), "{board}");
        }
    }

    #[test]
    fn every_board_has_a_target_and_every_core_one_board() {
        for board in Board::ALL {
            assert!(board.target(Abi::Soft).is_some(), "{board}");
            let same = Board::one_a_core().filter(|one| one.core() == board.core());
            assert_eq!(same.count(), 1, "{board}");
        }
        let hard = Board::builds().filter(|(_, abi, _)| *abi == Abi::Hard);
        assert_eq!(hard.count(), 10);
    }

    #[test]
    fn the_program_and_the_store_share_the_flash() {
        for board in Board::ALL {
            let (flash, program) = (board.flash().range(), board.program().range());
            assert!(flash.start <= program.start && program.start.is_multiple_of(256));
            let store = board.store();
            // Two tables of names, and a gallery in two halves.
            for bytes in [store.gallery, store.names] {
                assert!(bytes > 0 && bytes.is_multiple_of(2 * store.unit), "{board}");
            }
            let vectors = u64::from(board.vectors());
            let Some(region) = store.region.map(Region::range) else {
                assert!(board.has_semihosting(), "{board}");
                assert_eq!(
                    (vectors, program.end),
                    (program.start, flash.end),
                    "{board}"
                );
                continue;
            };
            assert_eq!(
                region.end - region.start,
                u64::from(store.gallery + store.names),
                "{board}"
            );
            assert!(region.start.is_multiple_of(store.unit.into()), "{board}");
            if region.start == program.end {
                assert_eq!((vectors, region.end), (program.start, flash.end), "{board}");
            } else {
                // Vectors, store and program, in this order.
                assert_eq!((vectors, program.end), (flash.start, flash.end), "{board}");
                assert!(vectors + 1024 <= region.start, "{board}");
                assert!(region.end <= program.start, "{board}");
            }
        }
        let pico = Board::Pico;
        let origin = |board: Board| board.store().region.unwrap().origin;
        assert_eq!(pico.program().origin, 0x1000_0100);
        assert_eq!(origin(pico), 0x101F_A000);
        for pico2 in [Board::Pico2, Board::Pico2Riscv] {
            assert_eq!(pico2.program().origin, 0x1000_0800);
            assert_eq!(origin(pico2), 0x103F_A000);
        }
        for stm32f4 in [Board::Netduinoplus2, Board::NucleoF411re] {
            assert_eq!(stm32f4.program().origin, 0x0802_0000);
            assert_eq!(origin(stm32f4), 0x0800_4000);
        }
        assert_eq!(origin(Board::NucleoL432kc), 0x0803_B000);
        assert_eq!(origin(Board::MicrobitV2), 0x0007_A000);
    }
}
