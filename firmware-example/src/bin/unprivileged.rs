//! Does the network run without privileges, as tasks do under an operating
//! system that protects itself? The program parses the model and embeds some
//! images with privileges, gives them up, and embeds the same images again. The
//! emulator's exit code is 0 if it reaches the end with equal embeddings. It is for
//! Arm's cores only.

#![no_std]
#![no_main]

#[path = "../alone.rs"]
mod alone;
#[path = "../board/semihosting.rs"]
mod semihosting_board;

use core::panic::PanicInfo;

use alone::Memory;
#[cfg(target_arch = "arm")]
use alone::{arch, model};

/// Images to embed.
#[cfg(target_arch = "arm")]
const IMAGES: usize = 8;

#[cfg(target_arch = "arm")]
fn start(memory: &'static mut Memory) -> ! {
    arch::start();
    let Some(network) = memory.load() else {
        panic!("the model in flash can't be used");
    };
    // Any bytes are an image, and the model's are there.
    let mut all = || {
        core::array::from_fn::<_, IMAGES, _>(|image| {
            let pixels = model::bytes().get(image..image + model::PIXELS);
            network.embed(pixels.unwrap_or_default()).ok()
        })
    };
    let privileged = all();
    privilege::give_up();
    let unprivileged = all();
    let whole = privileged.iter().all(Option::is_some);
    privilege::end(if whole && privileged == unprivileged {
        privilege::EQUAL
    } else {
        privilege::DIFFERENT
    })
}

#[cfg(target_arch = "arm")]
mod privilege {
    //! Giving privileges up, and the one call for which they come back: without
    //! them the program can't reach the emulator.

    use core::sync::atomic::{AtomicU32, Ordering};

    use cortex_m::register::control::{self, Npriv};
    use cortex_m_rt::exception;
    use semihosting::{eprintln, println, process};

    /// The embeddings are the same.
    pub const EQUAL: u32 = 1;
    /// They are not.
    pub const DIFFERENT: u32 = 2;

    /// What the program found.
    static FOUND: AtomicU32 = AtomicU32::new(0);

    /// Goes on without privileges.
    pub fn give_up() {
        let mut control = control::read();
        control.set_npriv(Npriv::Unprivileged);
        // SAFETY: the program needs none from here on, but for `end`.
        unsafe { control::write(control) };
        assert!(
            control::read().npriv().is_unprivileged(),
            "this core has no unprivileged mode"
        );
    }

    /// Ends the program with what it found.
    pub fn end(found: u32) -> ! {
        FOUND.store(found, Ordering::Relaxed);
        // SAFETY: the handler below doesn't return.
        unsafe { core::arch::asm!("svc 0", options(noreturn)) }
    }

    /// Handles `svc`, with privileges.
    #[exception]
    fn SVCall() {
        if FOUND.load(Ordering::Relaxed) == EQUAL {
            println!("equal");
            process::exit(0);
        }
        eprintln!("the embeddings differ without privileges");
        process::exit(1);
    }
}

#[cfg(not(target_arch = "arm"))]
fn start(_: &'static mut Memory) -> ! {
    panic!("this program is for Arm's cores");
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    semihosting_board::die(info)
}
