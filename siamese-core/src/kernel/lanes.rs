//! Layers of low-bit weights: eight rows in a word, added and not multiplied. One order for all
//! cores, and plain Rust; the modules `thumb` and `helium` have what assembly does in half of the
//! instructions: lists of pixels, sums of words, and the rounding of rows.
//!
//! `model/lanes.rs` tells where each weight is. A sum `Σ weight * activation` is made of the
//! levels `u`, which have no sign, as `2 * Σ u * activation - (2^bits - 1) * Σ activation`.
//!
//! # Few levels
//!
//! Activations of few bits need no multiplication. The inputs that aren't zero are listed:
//! pixels of 1 or 2 bits in one list for each of the levels 1, 2 and 3, other activations of up
//! to 4 bits in one for each bit. The words of a list are added, all eight rows at a time:
//!
//! ```text
//! lanes of 4 bits     7 6 5 4 3 2 1 0   a word; 2 of 3 bits can be added as they are
//! bytes, even lanes     6   4   2   0   up to 36 words of 3 bits
//! bytes, odd lanes      7   5   3   1
//! halves                  4       0     all words,
//!                         6       2     (and two more, of the odd lanes); times twice the list's
//!                                       weight
//! ```
//!
//! # Any activations
//!
//! Each word is taken apart into four of two lanes, 16 bits apart, and these are multiplied by
//! the activation: two products in one multiplication of 32 bits.

#[cfg(kernel_helium)]
mod helium;
#[cfg(any(kernel_narrow, kernel_thumb2))]
mod thumb;

use core::array;
use core::mem::MaybeUninit;
use core::slice;

use heapless::Vec;

use super::portable::one_by_one;
use crate::image::Input;
use crate::model::lanes::{LARGEST, ROWS, block_width, largest_level};
use crate::model::{CommonRounding, Layer};

/// Words of 3 bits whose sums fit bytes.
const ADDED: usize = 36;
/// Inputs that a list has room for. A handwritten digit has 25 of each grey level, at the most
/// 112 of one; what has more is taken by multiplications.
const LISTED: usize = 4 * ADDED;
/// Lists of a layer, at most.
const LISTS: usize = 4;
/// Inputs that are multiplied at a time.
const PRODUCTS: usize = 64;
/// Words that are summed at a time, as a core has registers for them.
const AT_A_TIME: usize = if cfg!(target_arch = "arm") { 2 } else { 4 };

/// Every other lane of a word.
const NIBBLES: u32 = 0x0F0F_0F0F;
/// Every other byte of a word.
const BYTES: u32 = 0x00FF_00FF;
/// The first lane of each half of a word.
const ENDS: u32 = 0x000F_000F;

/// Twice the sums of the rows of a word: of rows 0 and 4, of 1 and 5, of 2 and 6, of 3 and 7.
type Halves = [u32; 4];

/// How words are added.
#[derive(Clone, Copy)]
pub enum Adder {
    /// A few at a time.
    Words,
    /// As many as a vector has, by instructions that this proves to be there.
    #[cfg(kernel_helium)]
    Helium(super::Helium),
}

/// Where a layer's outputs go.
pub(crate) enum Target<'o> {
    /// To the activations of a layer with a common shift.
    Activations(&'o mut [u8], CommonRounding),
    /// As sums, with the number of the first row.
    Sums(&'o mut dyn FnMut(usize, &[i32])),
}

/// Where a layer's activations come from.
pub(crate) enum Source<'s> {
    /// From the pixels of an image, of 1 or 2 bits.
    Pixels(&'s Input, u8, &'s [u8]),
    /// From the layer before.
    Activations(&'s [u8]),
}

/// The outputs of a layer of few levels ([`takes`]); false if its lists have no room for all
/// of its activations, and then nothing is put anywhere.
pub(crate) fn add(
    adder: Adder,
    layer: &Layer<'_>,
    source: &Source<'_>,
    outputs: &mut Target<'_>,
) -> bool {
    blocks(layer, |block| {
        let mut lists: Lists = Default::default();
        let (all, weights) = match *source {
            Source::Pixels(input, bits, pixels) => (
                block.list_levels(input, bits, pixels, &mut lists),
                [1, 2, 3, 0],
            ),
            Source::Activations(activations) => {
                (block.list_bits(activations, &mut lists), [1, 2, 4, 8])
            }
        };
        // The same of every block.
        if !all {
            return false;
        }
        let counts = weights.iter().zip(&lists);
        let total = counts
            .map(|(weight, list)| weight * list.len() as u32)
            .sum();
        let finish = Finish::new(&block, total);
        add_lists(adder, &finish, &mut lists, weights, outputs);
        true
    })
}

/// Whether a layer's activations and weights have so few levels, and its inputs are so few,
/// that no sum of levels can leave 15 bits, and no sum of two weights' levels 4.
pub(crate) fn takes(layer: &Layer<'_>) -> bool {
    let largest = usize::from(layer.largest_input());
    let level = usize::from(largest_level(layer.weight_bits()));
    layer.weight_bits() < 4
        && words_of(layer).is_some()
        && largest < 1 << LISTS
        && layer.inputs() * largest * level <= usize::from(u16::MAX / 2)
}

/// Whether [`add`]'s lists have room for these activations, listed by their levels or by their
/// bits. A core whose lists are filled by assembly gives up somewhat earlier.
pub(crate) fn have_room(activations: &[u8], by_level: bool) -> bool {
    let mut counts = [0; LISTS];
    for &activation in activations {
        for (count, list) in counts.iter_mut().zip(0u8..) {
            let is_listed = if by_level {
                activation == list + 1
            } else {
                activation >> list & 1 == 1
            };
            *count += usize::from(is_listed);
        }
    }
    counts.iter().all(|&count| count < LISTED)
}

/// The outputs of a layer for any activations.
pub(crate) fn multiply(layer: &Layer<'_>, inputs: &[u8], outputs: &mut Target<'_>) {
    if words_of(layer).is_none() {
        return one_by_one(layer, inputs, |first, accs| match outputs {
            Target::Activations(outputs, round) => {
                let outputs = outputs.get_mut(first..).unwrap_or_default();
                for (output, &acc) in outputs.iter_mut().zip(accs) {
                    *output = round.apply(acc);
                }
            }
            Target::Sums(emit) => emit(first, accs),
        });
    }
    let inputs = inputs.get(..layer.inputs()).unwrap_or(inputs);
    blocks(layer, |block| {
        let mut products = Products::new();
        let mut total = 0;
        let mut start = block.words.as_ptr();
        for &activation in inputs {
            if activation > 0 {
                if products.push((start, activation.into())).is_err() {
                    multiply_many(&block, inputs, outputs);
                    return true;
                }
                total += u32::from(activation);
            }
            start = start.wrapping_add(block.width);
        }
        let finish = Finish::new(&block, total);
        for word in 0..block.width {
            let sums = products_of(&products, word, layer.weight_bits());
            finish.put(word, &sums, outputs);
        }
        true
    });
}

/// The words of a layer, and its biases, unless they don't lie at a multiple of their size,
/// which the parser allows to tools alone.
fn words_of<'w>(layer: &Layer<'w>) -> Option<(&'w [u32], &'w [i32])> {
    let words = bytemuck::try_cast_slice(layer.weights()).ok()?;
    let biases = bytemuck::try_cast_slice(layer.biases()).ok()?;
    Some((words, biases))
}

/// Neighbouring words of all inputs.
struct Block<'l, 'w> {
    layer: &'l Layer<'w>,
    words: &'w [u32],
    /// Words of an input.
    width: usize,
    /// The biases of its rows.
    biases: &'w [i32],
    /// The number of the first row.
    first: usize,
}

/// Calls `run` for each block, until it returns false; whether it never did.
fn blocks<'l, 'w>(layer: &'l Layer<'w>, mut run: impl FnMut(Block<'l, 'w>) -> bool) -> bool {
    let (mut words, biases) = words_of(layer).unwrap_or_default();
    let mut left = layer.outputs().div_ceil(ROWS);
    let mut first = 0;
    while left > 0 {
        let width = block_width(left);
        let Some((block, later)) = words.split_at_checked(width * layer.inputs()) else {
            return false;
        };
        let block = Block {
            layer,
            words: block,
            width,
            biases: biases.get(first..).unwrap_or_default(),
            first,
        };
        if !run(block) {
            return false;
        }
        (words, left, first) = (later, left - width, first + ROWS * width);
    }
    true
}

/// The first word of each input of a list, which the others of a block follow. A list that isn't
/// full has room to fill up the last four.
type Lists = [Vec<*const u32, LISTED>; LISTS];

/// Words that stand for no input.
static NONE: [u32; LARGEST] = [0; LARGEST];

impl Block<'_, '_> {
    /// Lists the inputs of each level, 1 to 3; false if there isn't room for all.
    #[inline(never)]
    fn list_levels(&self, input: &Input, bits: u8, pixels: &[u8], lists: &mut Lists) -> bool {
        let first = self.words.as_ptr();
        #[cfg(any(kernel_narrow, kernel_thumb2))]
        if let Some(all) = thumb::list_levels(first, self.width, input, bits, pixels, lists) {
            return all;
        }
        let [one, two, three, _] = lists;
        // The image has as many activations as the layer inputs.
        input.each_active(bits, pixels, |column, level| {
            let list = match level {
                1 => &mut *one,
                2 => &mut *two,
                _ => &mut *three,
            };
            let _ = list.push(first.wrapping_add(usize::from(column) * self.width));
        });
        !lists.iter().any(Vec::is_full)
    }

    /// Lists the inputs that have each of the lowest four bits; false if there isn't room for all.
    #[inline(never)]
    fn list_bits(&self, activations: &[u8], lists: &mut Lists) -> bool {
        let mut start = self.words.as_ptr();
        for &activation in activations.iter().take(self.layer.inputs()) {
            as_written();
            let mut left = activation;
            for list in &mut *lists {
                if left & 1 == 1 {
                    let _ = list.push(start);
                }
                left >>= 1;
            }
            start = start.wrapping_add(self.width);
        }
        !lists.iter().any(Vec::is_full)
    }
}

/// Inputs of one list, no more than can be added in bytes.
struct Part<'s> {
    starts: &'s mut [[*const u32; 4]],
    /// Twice the weight of the list.
    twice: u32,
}

type Parts<'s> = Vec<Part<'s>, { LISTS * LISTED.div_ceil(ADDED) }>;

/// Adds the words of lists that aren't full, times their weights.
#[inline(never)]
#[allow(unsafe_code)]
fn add_lists(
    adder: Adder,
    finish: &Finish<'_, '_>,
    lists: &mut Lists,
    weights: [u32; LISTS],
    outputs: &mut Target<'_>,
) {
    let bits = finish.block.layer.weight_bits();
    // Fours whose sums fit bytes.
    let most = if bits == 2 { 84 / 4 } else { ADDED / 4 };
    let mut parts: Parts<'_> = Vec::new();
    for (weight, list) in weights.into_iter().zip(lists) {
        while !list.len().is_multiple_of(4) {
            let _ = list.push(NONE.as_ptr());
        }
        for starts in list.as_chunks_mut().0.chunks_mut(most) {
            let twice = 2 * weight;
            let _ = parts.push(Part { starts, twice });
        }
    }
    let mut memory = Sums::uninit();
    let sums = slots_of(&mut memory);
    let sums = sums.get_mut(..finish.block.width).unwrap_or_default();
    // The width is a power of two.
    match adder {
        #[cfg(kernel_helium)]
        Adder::Helium(kernel) if finish.block.width >= helium::WORDS => {
            for words in sums.as_chunks_mut().0 {
                let mut sums = Default::default();
                for part in &mut parts {
                    helium::add_four(kernel, part.starts, part.twice, &mut sums);
                }
                helium::by_words(&sums, words);
            }
        }
        _ => sum_words(&mut parts, sums),
    }
    // SAFETY: one of the two has written the sums of all words.
    let sums = unsafe { sums.assume_init_ref() };
    finish.put_halves(adder, sums, outputs);
}

/// Room for the sums of a block, which needs not be initialised: on some cores that costs as
/// much as a fiftieth of an embedding.
type Sums = MaybeUninit<[Halves; LARGEST]>;

/// The room as slots.
#[allow(unsafe_code)]
fn slots_of(memory: &mut Sums) -> &mut [MaybeUninit<Halves>] {
    // SAFETY: the memory is borrowed, and has so many slots, which may be uninitialised.
    unsafe { slice::from_raw_parts_mut(memory.as_mut_ptr().cast(), LARGEST) }
}

/// Slots with zeros.
#[cfg(any(kernel_narrow, kernel_thumb2))]
#[inline(always)]
#[allow(unsafe_code)]
fn zeroed(slots: &mut [MaybeUninit<Halves>; 2]) -> &mut [Halves; 2] {
    for slot in &mut *slots {
        slot.write([0; 4]);
    }
    // SAFETY: both were written, and are as one.
    unsafe { &mut *slots.as_mut_ptr().cast() }
}

/// The sums of the words of all parts, times twice their weights.
fn sum_words(parts: &mut [Part<'_>], sums: &mut [MaybeUninit<Halves>]) {
    let (several, single) = sums.as_chunks_mut::<AT_A_TIME>();
    for (sums, word) in several.iter_mut().zip((0..).step_by(AT_A_TIME)) {
        sum_some(parts, word, sums);
    }
    for (sum, word) in single.iter_mut().zip(0..) {
        sum_some(parts, word, array::from_mut(sum));
    }
}

/// [`sum_words`] for some words from number `first` on.
#[inline(never)]
fn sum_some<const WORDS: usize>(
    parts: &mut [Part<'_>],
    first: usize,
    sums: &mut [MaybeUninit<Halves>; WORDS],
) {
    #[cfg(any(kernel_narrow, kernel_thumb2))]
    if let Some((sums, [])) = sums.split_first_chunk_mut::<2>() {
        let sums = zeroed(sums);
        for part in parts {
            thumb::add_two(part.starts, part.twice, sums);
        }
        return;
    }
    let mut totals = [[0; 4]; WORDS];
    for part in parts {
        // The sums of words as numbers of 32 bits, and of their odd lanes in bytes.
        let mut whole = [0u32; WORDS];
        let mut odd = [0u32; WORDS];
        for &mut [a, b, c, d] in &mut *part.starts {
            for index in 0..WORDS {
                let at = |start| at(start, first + index);
                let [a, b, c, d] = [at(a), at(b), at(c), at(d)];
                let mut add = |sum: u32| {
                    whole[index] = whole[index].wrapping_add(sum);
                    odd[index] = odd[index].wrapping_add(sum >> 4 & NIBBLES);
                };
                // Two levels of 3 bits fit a lane.
                add(a + b);
                add(c + d);
            }
        }
        for ((sums, whole), odd) in totals.iter_mut().zip(whole).zip(odd) {
            // Without the odd lanes, the even ones are left.
            let even = whole.wrapping_sub(odd << 4);
            sums[0] += (even & BYTES) * part.twice;
            sums[1] += (odd & BYTES) * part.twice;
            sums[2] += (even >> 8 & BYTES) * part.twice;
            sums[3] += (odd >> 8 & BYTES) * part.twice;
        }
    }
    for (sums, totals) in sums.iter_mut().zip(totals) {
        sums.write(totals);
    }
}

/// Inputs' first words, and their activations.
type Products = Vec<(*const u32, u32), PRODUCTS>;

/// Twice the sums of a word's rows.
#[inline(never)]
fn products_of(products: &[(*const u32, u32)], word: usize, bits: u8) -> [u32; ROWS] {
    // 127 times the largest level, as often as 16 bits hold.
    let most = if bits < 4 { 64 } else { 32 };
    let mut sums = [0; ROWS];
    for products in products.chunks(most) {
        let [mut a, mut b, mut c, mut d] = [0u32; 4];
        for &(start, activation) in products {
            as_written();
            let word = at(start, word);
            a += (word & ENDS) * activation;
            b += (word >> 4 & ENDS) * activation;
            c += (word >> 8 & ENDS) * activation;
            d += (word >> 12 & ENDS) * activation;
        }
        for (sum, products) in sums.iter_mut().zip(rows_of([a, b, c, d])) {
            *sum += 2 * products;
        }
    }
    sums
}

/// The outputs of a block for more activations than are multiplied at a time.
#[cold]
#[inline(never)]
fn multiply_many(block: &Block<'_, '_>, inputs: &[u8], outputs: &mut Target<'_>) {
    let bits = block.layer.weight_bits();
    let mut sums = [[0; ROWS]; LARGEST];
    let mut products = Products::new();
    let mut total = 0;
    let mut left = inputs;
    while !left.is_empty() {
        products.clear();
        while let Some((&activation, later)) = left.split_first()
            && !products.is_full()
        {
            if activation > 0 {
                let column = inputs.len() - left.len();
                let start = block.words.as_ptr().wrapping_add(column * block.width);
                let _ = products.push((start, activation.into()));
                total += u32::from(activation);
            }
            left = later;
        }
        for (word, sums) in sums.iter_mut().enumerate().take(block.width) {
            for (sum, more) in sums.iter_mut().zip(products_of(&products, word, bits)) {
                *sum += more;
            }
        }
    }
    let finish = Finish::new(block, total);
    for (word, sums) in sums.iter().enumerate().take(block.width) {
        finish.put(word, sums, outputs);
    }
}

/// From the sums of levels to outputs.
struct Finish<'b, 'w> {
    block: &'b Block<'b, 'w>,
    /// What the levels' sums are too high by.
    offset: i32,
}

impl<'b, 'w> Finish<'b, 'w> {
    /// For activations of that sum.
    fn new(block: &'b Block<'b, 'w>, total: u32) -> Self {
        let level = largest_level(block.layer.weight_bits());
        Self {
            block,
            offset: i32::from(level) * total.cast_signed(),
        }
    }

    /// Puts the outputs of all words where they belong.
    fn put_halves(&self, adder: Adder, sums: &[Halves], outputs: &mut Target<'_>) {
        let mut later = sums;
        if let Target::Activations(outputs, round) = outputs {
            let (biases, outputs) = self.rows(0, outputs);
            let (biases, outputs) = (biases.as_chunks().0, outputs.as_chunks_mut().0);
            let whole = biases.len().min(outputs.len()).min(sums.len());
            let now;
            (now, later) = sums.split_at_checked(whole).unwrap_or_default();
            activations(adder, round.less(self.offset), biases, now, outputs);
        }
        let whole = sums.len() - later.len();
        for (word, &sums) in (whole..).zip(later) {
            self.put(word, &rows_of(sums), outputs);
        }
    }

    /// Puts the outputs of a word where they belong.
    #[inline(never)]
    fn put(&self, word: usize, sums: &[u32; ROWS], outputs: &mut Target<'_>) {
        match outputs {
            Target::Activations(outputs, round) => {
                let (biases, outputs) = self.rows(word, outputs);
                let round = round.less(self.offset);
                for ((output, &bias), &sum) in outputs.iter_mut().zip(biases).zip(sums) {
                    as_written();
                    *output = round.apply(plus(bias, sum));
                }
            }
            Target::Sums(emit) => {
                let (biases, _) = self.rows(word, &mut []);
                let mut accs = [0; ROWS];
                for ((out, &bias), &sum) in accs.iter_mut().zip(biases).zip(sums) {
                    *out = plus(bias, sum).wrapping_sub(self.offset);
                }
                let first = self.block.first + word * ROWS;
                emit(first, accs.get(..biases.len()).unwrap_or(&accs));
            }
        }
    }

    /// The biases and, of a layer's, the outputs from word `word` on.
    #[inline]
    fn rows<'o>(&self, word: usize, outputs: &'o mut [u8]) -> (&'w [i32], &'o mut [u8]) {
        let biases = self.block.biases.get(word * ROWS..).unwrap_or_default();
        let outputs = outputs.get_mut(self.block.first + word * ROWS..);
        (biases, outputs.unwrap_or_default())
    }
}

/// The outputs of whole words, from biases and sums, of which there are the fewest.
fn activations(
    adder: Adder,
    round: CommonRounding,
    biases: &[[i32; ROWS]],
    sums: &[Halves],
    outputs: &mut [[u8; ROWS]],
) {
    if let Some((base, shift)) = round.to_7_bits() {
        return match adder {
            #[cfg(kernel_helium)]
            Adder::Helium(kernel) => helium::finish(kernel, base, shift, biases, sums, outputs),
            #[cfg(any(kernel_narrow, kernel_thumb2))]
            Adder::Words => thumb::finish(base, shift, biases, sums, outputs),
            #[cfg(not(any(kernel_narrow, kernel_thumb2)))]
            Adder::Words => each_row(biases, sums, outputs, |acc| {
                acc.wrapping_add(base).wrapping_shr(shift).clamp(0, 127) as u8
            }),
        };
    }
    each_row(biases, sums, outputs, |acc| round.apply(acc));
}

/// The outputs of whole words, each from its row's bias and sum.
#[inline(always)]
fn each_row(
    biases: &[[i32; ROWS]],
    sums: &[Halves],
    outputs: &mut [[u8; ROWS]],
    output_of: impl Fn(i32) -> u8,
) {
    for ((biases, outputs), &sums) in biases.iter().zip(outputs).zip(sums) {
        for ((output, &bias), sum) in outputs.iter_mut().zip(biases).zip(rows_of(sums)) {
            *output = output_of(plus(bias, sum));
        }
    }
}

/// A row's sum, but for what the levels' is too high by.
#[inline(always)]
fn plus(bias: i32, twice: u32) -> i32 {
    i32::from_le(bias).wrapping_add(twice.cast_signed())
}

/// The sums of eight rows.
#[inline(always)]
fn rows_of([a, b, c, d]: Halves) -> [u32; ROWS] {
    const LOW: u32 = 0xFFFF;
    [
        a & LOW,
        b & LOW,
        c & LOW,
        d & LOW,
        a >> 16,
        b >> 16,
        c >> 16,
        d >> 16,
    ]
}

/// A word of an input, by its first one and a number below the block's width.
#[inline(always)]
#[allow(unsafe_code)]
fn at(start: *const u32, word: usize) -> u32 {
    // SAFETY: as many words follow each start as the block is wide.
    u32::from_le(unsafe { *start.add(word) })
}

/// Keeps a loop from being unrolled, which on small cores takes more registers than there
/// are: compilers leave assembly alone.
#[inline(always)]
#[allow(unsafe_code)]
pub(crate) fn as_written() {
    #[cfg(target_arch = "arm")]
    // SAFETY: it is empty.
    unsafe {
        core::arch::asm!("", options(nomem, nostack, preserves_flags));
    }
}
