//! nRF52: the controller NVMC.

use super::chip::{Chip, Memory, Rig};
use super::{erases, keeps, survives};

facts!(Board::MicrobitV2);

#[path = "../../../firmware-example/src/board/nrf_flash.rs"]
mod controller;
#[path = "../../../firmware-example/src/board/nor.rs"]
mod nor;
mod register {
    pub use crate::chip::Register;
}

/// The model.
struct Nvmc {
    memory: Memory,
    config: u32,
    busy: u32,
}

impl Nvmc {
    fn start(&mut self) {
        assert_eq!(self.busy, 0, "it is still at work");
        self.busy = 3;
    }
}

impl Chip for Nvmc {
    fn read(&mut self, address: usize) -> u32 {
        match address {
            0x4001_E400 => {
                let ready = self.busy == 0;
                self.busy = self.busy.saturating_sub(1);
                ready.into()
            }
            _ => {
                assert_eq!(self.config, 0, "the flash is read while it may be changed");
                self.memory.word(address)
            }
        }
    }

    fn write(&mut self, address: usize, value: u32) {
        match address {
            0x4001_E504 => {
                assert_eq!(self.busy, 0, "the way changes during work");
                assert!(value < 3);
                self.config = value;
            }
            0x4001_E508 => {
                assert_eq!(self.config, 2, "erasing isn't allowed");
                self.start();
                let page = value as usize;
                assert!(page.is_multiple_of(4096));
                self.memory.erase(page..page + 4096);
            }
            _ => {
                assert_eq!(self.config, 1, "writing isn't allowed");
                self.start();
                self.memory.program(address, &value.to_le_bytes());
            }
        }
    }

    fn is_locked(&self) -> bool {
        self.config == 0
    }

    fn reset(&mut self) {
        (self.config, self.busy) = (0, 0);
    }

    fn memory(&mut self) -> &mut Memory {
        &mut self.memory
    }
}

fn rig() -> Rig<Nvmc> {
    let chip = Nvmc {
        memory: Memory::new(facts::BOARD.flash().bytes as usize),
        config: 0,
        busy: 0,
    };
    Rig::new(chip, facts::BOARD)
}

#[test]
fn its_pages_are_erased_and_written() {
    erases(&rig(), controller::Flash::open);
}

#[test]
fn its_pages_keep_galleries_and_names() {
    keeps(&rig(), controller::Flash::open);
}

#[test]
fn its_pages_survive_power_cuts() {
    survives(&rig(), controller::Flash::open);
}
