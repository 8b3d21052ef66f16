//! STM32F4: the controller of RM0090 and RM0383.

use std::collections::HashMap;

use siamese_build::Board;

use super::chip::{Chip, Keys, Memory, Rig};
use super::{erases, keeps, recovers, survives};

facts!(Board::NucleoF411re);

#[path = "../../../firmware-example/src/board/stm32f4_flash.rs"]
mod controller;
#[path = "../../../firmware-example/src/board/nor.rs"]
mod nor;
mod register {
    pub use crate::chip::Register;
}
#[allow(dead_code, reason = "its pins are not tested here")]
#[path = "../../../firmware-example/src/board/stm32.rs"]
mod stm32;
#[path = "../../../firmware-example/src/board/stm32_flash.rs"]
mod stm32_flash;

/// Bits of the control register, and all that may be used of it.
const PG: u32 = 1 << 0;
const SER: u32 = 1 << 1;
const STRT: u32 = 1 << 16;
const LOCK: u32 = 1 << 31;
const WIDTH: u32 = 0b11 << 8;
const BY_WORDS: u32 = 0b10 << 8;
const USED: u32 = PG | SER | (0xF << 3) | WIDTH | STRT | LOCK;
/// Errors of the status register.
const OPERR: u32 = 1 << 1;
const PGAERR: u32 = 1 << 5;
const PGPERR: u32 = 1 << 6;
const PGSERR: u32 = 1 << 7;
const WRPERR: u32 = 1 << 4;
const ERRORS: u32 = OPERR | PGAERR | PGPERR | PGSERR | WRPERR;
const BSY: u32 = 1 << 16;
/// The caches for instructions and data in the access register, and what empties them.
const CACHES: u32 = 0b11 << 9;
const DATA_CACHE: u32 = 1 << 10;
const EMPTY: u32 = 0b11 << 11;

/// The model: the first sectors.
struct Controller {
    memory: Memory,
    /// Keys that were right.
    keys: Keys,
    access: u32,
    control: u32,
    status: u32,
    busy: u32,
    /// Lines of 16 bytes that are in the cache for data.
    cache: HashMap<usize, [u8; 16]>,
}

impl Controller {
    fn start(&mut self) {
        assert_eq!(self.busy, 0, "it is still at work");
        self.busy = 3;
    }

    fn sector(&self) -> core::ops::Range<usize> {
        const KIB: usize = 1024;
        match self.control as usize >> 3 & 0xF {
            small @ 0..=3 => 16 * KIB * small..16 * KIB * (small + 1),
            4 => 64 * KIB..128 * KIB,
            large => 128 * KIB * (large - 4)..128 * KIB * (large - 3),
        }
    }

    fn command(&mut self, value: u32) {
        assert_eq!(self.control & LOCK, 0, "the control register is locked");
        assert_eq!(self.busy, 0, "the control register is written during work");
        assert_eq!(value & !USED, 0, "these bits do something else");
        self.control = value & !STRT;
        if value & LOCK != 0 {
            (self.control, self.keys) = (LOCK, Keys::default());
        } else if value & STRT != 0 {
            assert_eq!(value & (PG | SER), SER, "what is to be done?");
            assert_eq!(value & WIDTH, BY_WORDS, "other widths take longer");
            if self.status & ERRORS != 0 {
                self.status |= PGSERR;
            } else if self.memory.refuses() {
                self.status |= WRPERR;
            } else {
                self.start();
                let sector = self.sector();
                self.memory.erase(sector);
            }
        }
    }

    fn program(&mut self, at: usize, value: u32) {
        let wrong = match self.control & LOCK != 0 || self.control & PG == 0 {
            true => PGSERR,
            false if self.control & WIDTH != BY_WORDS => PGPERR,
            false if !at.is_multiple_of(4) => PGAERR,
            false if self.status & ERRORS != 0 => PGSERR,
            false if self.memory.refuses() => WRPERR,
            false => 0,
        };
        self.status |= wrong;
        if wrong == 0 {
            self.start();
            self.memory.program(at, &value.to_le_bytes());
            // The cache follows writes, but no erasure.
            if let Some(line) = self.cache.get_mut(&(at / 16)) {
                let written = &self.memory.bytes[at / 16 * 16..][..16];
                line.copy_from_slice(written);
            }
        }
    }

    fn set_access(&mut self, value: u32) {
        if value & EMPTY != 0 {
            assert_eq!(
                value & CACHES,
                0,
                "caches can be emptied while they are off"
            );
            self.cache.clear();
        }
        self.access = value;
    }
}

impl Chip for Controller {
    fn read(&mut self, address: usize) -> u32 {
        match address {
            0x4002_3C00 => self.access,
            0x4002_3C0C => {
                let busy = if self.busy > 0 { BSY } else { 0 };
                self.busy = self.busy.saturating_sub(1);
                self.status | busy
            }
            0x4002_3C10 => self.control,
            0x0800_0000.. => {
                let at = address - 0x0800_0000;
                assert!(address < 0x4000_0000, "nothing is at {address:#x}");
                if self.access & DATA_CACHE == 0 {
                    return self.memory.word(at);
                }
                let start = at / 16 * 16;
                let bytes: [u8; 16] = self.memory.bytes[start..start + 16].try_into().unwrap();
                let line = self.cache.entry(at / 16).or_insert(bytes);
                u32::from_le_bytes(line[at % 16..at % 16 + 4].try_into().unwrap())
            }
            _ => panic!("nothing is at {address:#x}"),
        }
    }

    fn write(&mut self, address: usize, value: u32) {
        match address {
            0x4002_3C00 => self.set_access(value),
            0x4002_3C04 => {
                if self.keys.take(value) {
                    self.control &= !LOCK;
                }
            }
            0x4002_3C0C => {
                assert_eq!(value & !ERRORS, 0, "these bits are no errors");
                self.status &= !value;
            }
            0x4002_3C10 => self.command(value),
            0x0800_0000..0x4000_0000 => self.program(address - 0x0800_0000, value),
            _ => panic!("nothing is at {address:#x}"),
        }
    }

    fn is_locked(&self) -> bool {
        self.control == LOCK
    }

    fn reset(&mut self) {
        (self.control, self.status, self.busy) = (LOCK, 0, 0);
        self.keys = Keys::default();
        self.cache.clear();
    }

    fn memory(&mut self) -> &mut Memory {
        &mut self.memory
    }
}

/// The chip, with its caches on or off; all of the sectors that the store has may change.
fn rig(caches: bool) -> Rig<Controller> {
    let mut chip = Controller {
        memory: Memory::new(256 * 1024),
        keys: Keys::default(),
        access: if caches { CACHES | 2 } else { 0 },
        control: 0,
        status: 0,
        busy: 0,
        cache: HashMap::new(),
    };
    chip.reset();
    let mut rig = Rig::new(chip, facts::BOARD);
    // The rest of the last sector is erased with it.
    rig.store.end = 128 * 1024;
    rig
}

#[test]
fn both_boards_have_the_same_sectors() {
    let (one, other) = (facts::BOARD, Board::Netduinoplus2);
    assert_eq!(other.store(), one.store());
    assert_eq!(other.flash().origin, one.flash().origin);
}

#[test]
fn its_sectors_are_erased_and_written() {
    for caches in [true, false] {
        erases(&rig(caches), controller::Flash::open);
    }
}

#[test]
fn its_sectors_keep_galleries_and_names() {
    for caches in [true, false] {
        let rig = rig(caches);
        keeps(&rig, controller::Flash::open);
        let erased = rig.memory(|memory| memory.erased.clone());
        // The gallery's two sectors, then the names' two.
        let expected = [1, 2, 1, 2, 3, 4, 3, 4].map(|unit| unit * 16 * 1024);
        assert_eq!(erased, expected);
    }
}

#[test]
fn its_sectors_survive_power_cuts() {
    survives(&rig(true), controller::Flash::open);
}

#[test]
fn a_refusal_is_an_error_and_passes() {
    recovers(&rig(true), controller::Flash::open);
}

/// As on QEMU's board, where all registers are 0.
#[test]
fn without_a_controller_there_is_no_flash() {
    struct Nothing(Memory);

    impl Chip for Nothing {
        fn read(&mut self, _: usize) -> u32 {
            0
        }

        fn write(&mut self, _: usize, _: u32) {}

        fn is_locked(&self) -> bool {
            true
        }

        fn reset(&mut self) {}

        fn memory(&mut self) -> &mut Memory {
            &mut self.0
        }
    }

    let _rig = Rig::new(Nothing(Memory::new(0)), facts::BOARD);
    assert!(controller::Flash::open().is_none());
}
