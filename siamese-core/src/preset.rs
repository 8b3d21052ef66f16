//! Embedders for the usual layer sizes; `D` is the embedding's number of
//! coordinates, 2 if not said.

use crate::embedder::Embedder;

/// 784-1024-1024-`D`, 1.8 MiB of weights: the host, and parts with 2 MiB of flash.
pub type Reference<'m, const D: usize = 2> = Embedder<'m, D, 1024, 1024>;
/// 784-256-128-`D`, 228 KiB of weights: parts with 512 KiB of flash.
pub type Medium<'m, const D: usize = 2> = Embedder<'m, D, 784, 256>;
/// Checkerboard 392-128-64-`D`, 57 KiB of weights: parts with 128 KiB of flash. For
/// up to 4 coordinates; with more, training makes [`SmallWide`].
pub type Small<'m, const D: usize = 2> = Embedder<'m, D, 392, 128>;
/// Checkerboard 392-128-24-`D` with weights of 3 bits in the first layer, 28 KiB of weights:
/// the fastest, for parts with 64 KiB of flash. The buffers are those of [`Small`].
pub type Swift<'m, const D: usize = 2> = Small<'m, D>;
/// 784-128-64-`D`, 107 KiB of weights and more: `small` with 5 coordinates or more.
pub type SmallWide<'m, const D: usize> = Embedder<'m, D, 784, 128>;
/// 784-128-64-16, 107 KiB of weights: identification.
pub type SmallD16<'m> = SmallWide<'m, 16>;
/// 784-128-64-64, 112 KiB of weights: classes that are enrolled later.
pub type SmallFewshot<'m> = SmallWide<'m, 64>;
/// 2x2-pooled 144-64-28-`D`, 11 KiB of weights: the smallest parts. Its buffers hold 196-48-32-`D`
/// as well, which training makes of images without an empty border.
pub type Tiny<'m, const D: usize = 2> = Embedder<'m, D, 196, 64>;
/// 2x2-pooled 144-64-28-16, 11 KiB of weights: identification on the smallest parts.
pub type TinyD16<'m> = Tiny<'m, 16>;
