//! What the harness, which is in C, asks of a crate that it measures: `harness/peer.h`.

#![no_std]

#[cfg(feature = "embedded-nn")]
mod embedded_nn;
#[cfg(feature = "microflow")]
mod microflow;

#[cfg(feature = "embedded-nn")]
use embedded_nn::Peer;
#[cfg(feature = "microflow")]
use microflow::Peer;

/// The sizes of the network.
mod sizes {
    #![allow(dead_code)]
    include!(concat!(env!("NETWORK"), "/sizes.rs"));
}

/// Its weights and what else its layers have, as the crate takes them.
mod layers {
    include!(concat!(env!("NETWORK"), "/layers.rs"));
}

/// The buffers of a crate, and what it does with them.
static mut PEER: Peer = Peer::NEW;

/// Nothing is done once.
#[unsafe(no_mangle)]
extern "C" fn peer_open() {}

/// Embeds an image of `IMAGE_PIXELS` grey values.
#[unsafe(no_mangle)]
extern "C" fn peer_embed(image: &[u8; sizes::IMAGE_PIXELS]) {
    // SAFETY: there is one thread, and nothing here calls the other functions.
    unsafe { (*&raw mut PEER).embed(image) }
}

/// A coordinate of the last embedding.
#[unsafe(no_mangle)]
extern "C" fn peer_coordinate(axis: usize) -> i32 {
    // SAFETY: as above.
    unsafe { (*&raw const PEER).coordinate(axis) }
}

/// The pixels that the network takes, as its activations: all, or every other one.
fn input_of(image: &[u8; sizes::IMAGE_PIXELS], input: &mut [i8; sizes::INPUTS]) {
    let activation = |pixel: u8| (pixel >> sizes::INPUT_SHIFT) as i8;
    if sizes::CHECKERBOARD == 0 {
        for (to, &pixel) in input.iter_mut().zip(image) {
            *to = activation(pixel);
        }
        return;
    }
    let rows = image.chunks_exact(2 * sizes::IMAGE_WIDTH);
    for (to, two) in input.chunks_exact_mut(sizes::IMAGE_WIDTH).zip(rows) {
        let (upper, lower) = two.split_at(sizes::IMAGE_WIDTH);
        let pairs = upper.chunks_exact(2).zip(lower.chunks_exact(2));
        for (to, (upper, lower)) in to.chunks_exact_mut(2).zip(pairs) {
            to[0] = activation(upper[0]);
            to[1] = activation(lower[1]);
        }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
