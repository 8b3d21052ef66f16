//! The firmware on emulated boards, against the core on the host: one program, whose tests
//! fill all cores while one of them waits for a slow board.
//!
//! QEMU, rp2040js and the bare-metal targets are needed: without them these tests fail, and
//! say so (`cargo xtask setup`).

#[path = "../common/mod.rs"]
mod common;
mod embassy;
mod float_abi;
mod gallery;
mod interrupt;
mod link;
mod named;
mod pico;
mod pictures;
mod sensor;
mod unprivileged;
mod updates;
mod usb;
