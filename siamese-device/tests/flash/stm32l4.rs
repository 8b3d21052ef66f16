//! STM32L4: the controller of RM0394.

use std::sync::{Mutex, MutexGuard};

use embedded_storage::nor_flash::ReadNorFlash;

use super::chip::{Chip, Keys, Memory, Rig};
use super::{erases, keeps, recovers, survives};

facts!(Board::NucleoL432kc);

#[path = "../../../firmware-example/src/board/stm32l4_flash.rs"]
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

const PAGE: usize = 2048;

/// Bits of the control register, and all that may be used of it.
const PG: u32 = 1 << 0;
const PER: u32 = 1 << 1;
const START: u32 = 1 << 16;
const LOCK: u32 = 1 << 31;
const USED: u32 = PG | PER | (0xFF << 3) | START | LOCK;
/// Errors of the status register.
const PROGERR: u32 = 1 << 3;
const WRPERR: u32 = 1 << 4;
const PGSERR: u32 = 1 << 7;
const ERRORS: u32 = 0xC3FA;
const BSY: u32 = 1 << 16;
/// Of the access register as of the STM32F4's.
const CACHES: u32 = 0b11 << 9;
const EMPTY: u32 = 0b11 << 11;
/// Eight bytes can't be read, in the register of the codes.
const ECCD: u32 = 1 << 31;

/// The model. It has no cache's contents: those follow from the STM32F4's, by the same code.
struct Controller {
    memory: Memory,
    keys: Keys,
    access: u32,
    emptied: bool,
    control: u32,
    status: u32,
    codes: u32,
    /// Whether the interrupt for the codes is due; its handler isn't interrupted by it.
    due: bool,
    busy: u32,
    /// The first word of eight bytes.
    low: Option<(usize, u32)>,
}

impl Controller {
    fn start(&mut self) {
        assert_eq!(self.busy, 0, "it is still at work");
        (self.busy, self.emptied) = (3, false);
    }

    fn command(&mut self, value: u32) {
        assert_eq!(self.control & LOCK, 0, "the control register is locked");
        assert_eq!(self.busy, 0, "the control register is written during work");
        assert_eq!(value & !USED, 0, "these bits do something else");
        assert!(self.low.is_none(), "half of eight bytes is missing");
        self.control = value & !START;
        if value & LOCK != 0 {
            (self.control, self.keys) = (LOCK, Keys::default());
        } else if value & START != 0 {
            assert_eq!(value & (PG | PER), PER, "what is to be done?");
            if self.status & ERRORS != 0 {
                self.status |= PGSERR;
            } else if self.memory.refuses() {
                self.status |= WRPERR;
            } else {
                self.start();
                let page = PAGE * (value as usize >> 3 & 0xFF);
                self.memory.erase(page..page + PAGE);
            }
        }
    }

    fn program(&mut self, at: usize, value: u32) {
        if self.control & (LOCK | PG) != PG || self.status & ERRORS != 0 {
            self.status |= PGSERR;
            return;
        }
        let Some((start, low)) = self.low.take() else {
            assert!(at.is_multiple_of(8), "eight bytes begin in the middle");
            self.low = Some((at, value));
            return;
        };
        assert_eq!(at, start + 4, "the second word is another one's");
        let both = [low.to_le_bytes(), value.to_le_bytes()].concat();
        if self.memory.refuses() {
            self.status |= WRPERR;
        } else if !self.memory.off && self.memory.bytes[start..start + 8] != [0xFF; 8] {
            self.status |= PROGERR;
        } else {
            self.start();
            self.memory.program(start, &both);
        }
    }
}

impl Chip for Controller {
    fn read(&mut self, address: usize) -> u32 {
        match address {
            0x4002_2000 => self.access,
            0x4002_2010 => {
                let busy = if self.busy > 0 { BSY } else { 0 };
                self.busy = self.busy.saturating_sub(1);
                self.status | busy
            }
            0x4002_2014 => self.control,
            0x4002_2018 => self.codes,
            0x0800_0000..0x0804_0000 => {
                assert!(self.emptied, "the caches may have what was there before");
                let at = address - 0x0800_0000;
                if self.memory.torn.contains(&(at / 8 * 8)) && self.codes & ECCD == 0 {
                    self.codes |= ECCD;
                    self.due = true;
                }
                self.memory.word(at)
            }
            _ => panic!("nothing is at {address:#x}"),
        }
    }

    fn write(&mut self, address: usize, value: u32) {
        match address {
            0x4002_2000 => {
                if value & EMPTY != 0 {
                    assert_eq!(
                        value & CACHES,
                        0,
                        "caches can be emptied while they are off"
                    );
                    self.emptied |= value & EMPTY == EMPTY;
                }
                self.access = value;
            }
            0x4002_2008 => {
                if self.keys.take(value) {
                    self.control &= !LOCK;
                }
            }
            0x4002_2010 => {
                assert_eq!(value & !ERRORS, 0, "these bits are no errors");
                self.status &= !value;
            }
            0x4002_2014 => self.command(value),
            0x4002_2018 => self.codes &= !(value & ECCD),
            0x0800_0000..0x0804_0000 => self.program(address - 0x0800_0000, value),
            _ => panic!("nothing is at {address:#x}"),
        }
    }

    fn interrupt(&mut self) -> Option<fn()> {
        std::mem::take(&mut self.due).then_some(controller::unreadable as fn())
    }

    fn is_locked(&self) -> bool {
        self.control == LOCK
    }

    fn reset(&mut self) {
        (self.control, self.status, self.busy) = (LOCK, 0, 0);
        self.keys = Keys::default();
        (self.codes, self.due, self.emptied, self.low) = (0, false, true, None);
    }

    fn memory(&mut self) -> &mut Memory {
        &mut self.memory
    }
}

/// The chip, and the right to use the driver, whose static is for one.
fn rig() -> (MutexGuard<'static, ()>, Rig<Controller>) {
    static ALONE: Mutex<()> = Mutex::new(());
    // A test that failed with it is done.
    let alone = ALONE.lock().unwrap_or_else(|failed| failed.into_inner());
    let mut chip = Controller {
        memory: Memory::new(facts::BOARD.flash().bytes as usize),
        keys: Keys::default(),
        access: CACHES | 4,
        emptied: true,
        control: 0,
        status: 0,
        codes: 0,
        due: false,
        busy: 0,
        low: None,
    };
    chip.reset();
    (alone, Rig::new(chip, facts::BOARD))
}

#[test]
fn its_pages_are_erased_and_written() {
    let (_alone, rig) = rig();
    erases(&rig, controller::Flash::open);
}

#[test]
fn its_pages_keep_galleries_and_names() {
    let (_alone, rig) = rig();
    keeps(&rig, controller::Flash::open);
}

#[test]
fn its_pages_survive_power_cuts_and_what_they_leave_unreadable() {
    let (_alone, rig) = rig();
    survives(&rig, controller::Flash::open);
}

#[test]
fn a_refusal_is_an_error_and_passes() {
    let (_alone, rig) = rig();
    recovers(&rig, controller::Flash::open);
}

#[test]
fn what_cannot_be_read_is_an_error_each_time() {
    let (_alone, rig) = rig();
    rig.memory(|memory| memory.torn.push(rig.store.start + 8));
    let mut flash = controller::Flash::open().unwrap();
    for _ in 0..2 {
        assert!(flash.read(0, &mut [0; 8]).is_ok());
        assert!(flash.read(0, &mut [0; 16]).is_err());
        assert!(flash.read(12, &mut [0; 4]).is_err());
        assert!(flash.read(16, &mut [0; 8]).is_ok());
    }
}
