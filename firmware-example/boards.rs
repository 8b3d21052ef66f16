//! The boards, as the firmware's build sees them. `siamese-device` knows them, too,
//! and a test there compares the two.

/// What the build needs to know of a board.
pub struct Board {
    /// Its feature, and QEMU's machine.
    pub name: &'static str,
    /// The core, as compilers name it.
    pub core: &'static str,
    /// The target that its core needs.
    pub target: &'static str,
    /// Where its flash starts, or what stands for it.
    pub flash: u32,
    /// The flash in KiB.
    pub flash_kib: u32,
    /// Where its RAM starts.
    pub ram: u32,
}

impl Board {
    /// Whether its core is a RISC-V.
    pub fn is_riscv(&self) -> bool {
        self.target.starts_with("riscv")
    }
}

/// All boards.
pub const BOARDS: [Board; 8] = [
    Board {
        name: "microbit",
        core: "cortex-m0",
        target: "thumbv6m-none-eabi",
        flash: 0,
        flash_kib: 256,
        ram: 0x2000_0000,
    },
    Board {
        name: "mps2-an385",
        core: "cortex-m3",
        target: "thumbv7m-none-eabi",
        flash: 0,
        flash_kib: 4096,
        ram: 0x2000_0000,
    },
    Board {
        name: "mps2-an386",
        core: "cortex-m4",
        target: "thumbv7em-none-eabi",
        flash: 0,
        flash_kib: 4096,
        ram: 0x2000_0000,
    },
    Board {
        name: "mps2-an500",
        core: "cortex-m7",
        target: "thumbv7em-none-eabi",
        flash: 0,
        flash_kib: 4096,
        ram: 0x2000_0000,
    },
    Board {
        name: "mps2-an505",
        core: "cortex-m33",
        target: "thumbv8m.main-none-eabi",
        flash: 0x1000_0000,
        flash_kib: 4096,
        ram: 0x3000_0000,
    },
    Board {
        name: "mps3-an547",
        core: "cortex-m55",
        target: "thumbv8m.main-none-eabi",
        flash: 0,
        flash_kib: 512,
        ram: 0x2000_0000,
    },
    Board {
        name: "netduinoplus2",
        core: "cortex-m4",
        target: "thumbv7em-none-eabi",
        flash: 0x0800_0000,
        flash_kib: 1024,
        ram: 0x2000_0000,
    },
    // All of its memory is RAM; the lower part stands for flash.
    Board {
        name: "virt",
        core: "rv32imac",
        target: "riscv32imac-unknown-none-elf",
        flash: 0x8000_0000,
        flash_kib: 4096,
        ram: 0x8040_0000,
    },
];
