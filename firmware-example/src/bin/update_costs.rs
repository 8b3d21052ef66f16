//! What verifying an update costs: a line each on the emulator's console, with a name and what
//! the stopwatch says.
//!
//! | name | what was measured |
//! |---|---|
//! | `signature` | ticks of checking an Ed25519 signature of a header |
//! | `digest` | ticks of the SHA-512 of so many bytes |
//! | `bytes` | those bytes: the model's |
//! | `stack` | bytes of stack that both took, at the deepest |

#![no_std]
#![no_main]

#[path = "../alone.rs"]
mod alone;
#[path = "../board/semihosting.rs"]
mod semihosting_board;

use core::hint::black_box;
use core::panic::PanicInfo;

use semihosting::{println, process};
use siamese_update::{DEVELOPMENT_KEY, SIGNED_LEN, digest, is_signed_by};

use alone::{Memory, arch, model};

/// Of [`SIGNED_LEN`] zeros, by the development key.
const SIGNATURE: [u8; 64] = [
    0xb8, 0xfc, 0xfe, 0x98, 0xeb, 0xa2, 0xaa, 0x95, 0xee, 0x20, 0x65, 0x9b, 0x15, 0xfb, 0x60, 0xb3,
    0x4a, 0xb7, 0x13, 0xe5, 0xea, 0x82, 0xa6, 0x21, 0xc3, 0x21, 0x0c, 0xbc, 0xfe, 0x1f, 0x35, 0x4e,
    0x30, 0x6a, 0xf4, 0x5c, 0x9b, 0xd6, 0xe0, 0x16, 0x70, 0x4e, 0x01, 0x80, 0xc7, 0xf3, 0xd7, 0x5a,
    0xcd, 0x3a, 0xb6, 0xe1, 0x28, 0x09, 0x02, 0x00, 0x19, 0x1f, 0x6a, 0xfb, 0xc2, 0x2d, 0x5d, 0x05,
];

/// Measures, and ends.
fn start(_: &'static mut Memory) -> ! {
    let mut ticks = arch::Ticks::new(arch::start());
    let signature = took(&mut ticks, || {
        is_signed_by(
            black_box(&DEVELOPMENT_KEY),
            black_box(&[0; SIGNED_LEN]),
            black_box(&SIGNATURE),
        )
    });
    let hash = took(&mut ticks, || digest(black_box(model::bytes())) != [0; 64]);
    let stack = arch::stack::peak();
    println!("signature {signature}");
    println!("digest {hash}");
    println!("bytes {}", model::bytes().len());
    println!("stack {stack}");
    process::exit(0);
}

/// The ticks of work that has to succeed.
#[inline(never)]
fn took(ticks: &mut arch::Ticks, work: impl FnOnce() -> bool) -> u32 {
    let start = ticks.now();
    let done = black_box(work());
    let end = ticks.now();
    assert!(done, "the signature isn't taken");
    end.wrapping_sub(start)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    semihosting_board::die(info)
}
