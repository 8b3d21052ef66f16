//! What a static library must have on bare metal, though nothing in it can panic.

use core::panic::PanicInfo;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    siamese_panicked()
}

/// Is in a firmware only if something in it can panic; a test sees that it is not.
#[unsafe(no_mangle)] // SAFETY: nothing else has this name.
#[inline(never)]
extern "C" fn siamese_panicked() -> ! {
    loop {
        core::hint::spin_loop();
    }
}
