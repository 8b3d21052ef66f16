//! Set-up: each step once, in one line, and quick when there is nothing to do.
//!
//! A step that can't do its work ends in one sentence that says what to install. As
//! root, or with a sudo that asks nothing, Debian's packages are installed by themselves.

mod c;
pub mod debian;
mod libtorch;
mod page;
mod peers;
mod qemu;
mod rp2040js;
mod rust;

use anyhow::Result;

use crate::workspace::Workspace;

/// What `cargo xtask setup --help` says in the end.
pub const HELP: &str = "\
Every other command does this by itself, as far as it needs it. In this order:
  Rust       `rustup target add` of the targets in docs/boards.md, for the firmware; clippy
             and rustfmt
  QEMU       the Debian packages qemu-system-arm and qemu-system-misc (RISC-V), to run the
             firmware without a board
  rp2040js   version 1.4.1 by npm, and Node.js if it is missing: to run the firmware of
             the Raspberry Pi Pico; `setup` and `test` alone need it
  Page       for the page of `siamese-train explore`: esbuild, TypeScript and the test's programs
             by npm, of the versions in siamese-web/page/package-lock.json, and the Debian package
             chromium; `setup` and `test` alone need them
  C          the Debian packages gcc-arm-none-eabi, cmake and make, to build the example in C
             of siamese-c; `setup` and `test` alone need them. `bench-peers` takes clang,
             libnewlib-arm-none-eabi, gcc-riscv64-unknown-elf and picolibc-riscv64-unknown-elf, too
  libtorch   version 2.13, for training: the folder that LIBTORCH names; else what an
             earlier run left in target/libtorch; else 540 MB from PyPI, which need
             510 MB in target/libtorch, and as much again while they are unpacked

With a libtorch of your own nothing of it is downloaded:
  LIBTORCH=/opt/libtorch cargo xtask setup";

/// What a command may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The bare-metal targets, clippy and rustfmt.
    Rust,
    /// The emulator of most boards.
    Qemu,
    /// The one of the Raspberry Pi Pico.
    Rp2040js,
    /// What builds the page of `siamese-train explore`, and the browser that tests it.
    Page,
    /// The compiler for C on bare metal, and CMake.
    C,
    /// What other libraries are built with, besides that.
    Peers,
    /// libtorch and a C++ compiler, for everything that compiles `tch`.
    Libtorch,
}

impl Need {
    /// All of it, but for what `bench-peers` alone needs.
    pub const ALL: &[Self] = &[
        Self::Rust,
        Self::Qemu,
        Self::Rp2040js,
        Self::Page,
        Self::C,
        Self::Libtorch,
    ];
    /// What training, and a board to try it on, need.
    pub const DEMO: &[Self] = &[Self::Rust, Self::Qemu, Self::Libtorch];
}

/// Prepares what is needed.
pub fn run(workspace: &Workspace, needs: &[Need]) -> Result<()> {
    needs.iter().try_for_each(|need| match need {
        Need::Rust => rust::prepare(workspace),
        Need::Qemu => qemu::prepare(),
        Need::Rp2040js => rp2040js::prepare(workspace),
        Need::Page => page::prepare(workspace),
        Need::C => c::prepare(),
        Need::Peers => peers::prepare(),
        Need::Libtorch => libtorch::prepare(workspace),
    })
}

/// Prepares what builds the page: without the browser.
pub fn programs_of_the_page(workspace: &Workspace) -> Result<()> {
    page::programs(workspace)
}
