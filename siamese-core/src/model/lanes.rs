//! Weights of 2, 3 or 4 bits, eight rows in a word.
//!
//! A weight `w` of `b` bits is stored as its level `u = (w + 2^b - 1) / 2`, which is 0 to
//! `2^b - 1`, in 4 bits. A little-endian word of 32 bits has the levels of 8 neighbouring
//! rows for one input, the first row's in the lowest bits. Rows that fill up the last word
//! have the level 0.
//!
//! A layer's words come in *blocks* of 16 neighbouring words, and what is left over in
//! blocks of 8, 4, 2 and 1, so that each is there at most once. A block has its words for
//! the first input, then those for the second, and so on.
//!
//! ```text
//! 200 rows = 25 words:   16 words x inputs | 8 words x inputs | 1 word x inputs
//! ```

/// The rows of a word.
pub(crate) const ROWS: usize = 8;
/// The bits of a lane.
const LANE: usize = 4;
/// The words of the largest block.
pub(crate) const LARGEST: usize = 16;

/// The largest level of weights of so many bits.
pub(crate) const fn largest_level(bits: u8) -> u8 {
    (1u8 << (bits & 7)).wrapping_sub(1)
}

/// The weight of a level.
pub(super) const fn weight(bits: u8, level: u8) -> i8 {
    (2 * level as i16 - largest_level(bits) as i16) as i8
}

/// The level of a weight; `None` if there is none.
pub(super) const fn level(bits: u8, weight: i8) -> Option<u8> {
    let largest = largest_level(bits) as i16;
    let twice = weight as i16 + largest;
    if twice < 0 || twice > 2 * largest || twice % 2 != 0 {
        return None;
    }
    Some((twice / 2) as u8)
}

/// Where the word of a weight is in the layer's bytes.
pub(super) const fn position(inputs: usize, outputs: usize, row: usize, column: usize) -> usize {
    let word = row / ROWS;
    let (start, width) = block_of(outputs.div_ceil(ROWS), word);
    size_of::<u32>() * (start * inputs + column * width + (word - start))
}

/// Where the block of a word begins, in words of one input, and how wide it is.
const fn block_of(words: usize, word: usize) -> (usize, usize) {
    let mut start = 0;
    loop {
        let width = block_width(words - start);
        if word < start + width || width == 0 {
            return (start, width);
        }
        start += width;
    }
}

/// The width of the next block, of so many words that are left; 0 if none is.
pub(crate) const fn block_width(left: usize) -> usize {
    if left >= LARGEST {
        LARGEST
    } else if left == 0 {
        0
    } else {
        1 << left.ilog2()
    }
}

/// The bytes of a layer's words; `None` if they can't be counted.
pub(super) const fn length(inputs: usize, outputs: usize) -> Option<usize> {
    (outputs.div_ceil(ROWS) * size_of::<u32>()).checked_mul(inputs)
}

/// Writes a level.
pub(super) fn put(bytes: &mut [u8], position: usize, row: usize, level: u8) {
    let half = row % ROWS;
    if let Some(byte) = bytes.get_mut(position + half / 2) {
        *byte |= level << (half % 2 * LANE);
    }
}

/// The level of a row in the word at a position; 0 behind the end.
pub(super) fn level_at(bytes: &[u8], position: usize, row: usize) -> u8 {
    let half = row % ROWS;
    let byte = bytes.get(position + half / 2).copied().unwrap_or(0);
    byte >> (half % 2 * LANE) & 0xF
}

/// The levels of a row, one for each input; also of the rows that fill up the last word.
pub(super) fn levels(
    bytes: &[u8],
    inputs: usize,
    outputs: usize,
    row: usize,
) -> impl Iterator<Item = u8> {
    let (_, width) = block_of(outputs.div_ceil(ROWS), row / ROWS);
    let first = position(inputs, outputs, row, 0);
    let step = size_of::<u32>() * width;
    (0..inputs).map(move |column| level_at(bytes, first + column * step, row))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn every_weight_has_lanes_of_its_own() {
        for (inputs, outputs) in [(1, 1), (3, 7), (5, 8), (2, 9), (4, 130), (3, 255)] {
            let length = length(inputs, outputs).unwrap();
            let mut taken = HashSet::new();
            for row in 0..outputs {
                for column in 0..inputs {
                    let position = position(inputs, outputs, row, column);
                    assert!(position.is_multiple_of(4) && position + 4 <= length);
                    assert!(taken.insert((position, row % ROWS)), "{row} {column}");
                }
            }
            assert_eq!(length, inputs * outputs.next_multiple_of(ROWS) / 2);
        }
    }

    #[test]
    fn a_row_that_is_walked_has_what_was_put_there() {
        for (inputs, outputs) in [(1, 1), (3, 7), (4, 130), (3, 255), (2, 256)] {
            let mut bytes = std::vec![0; length(inputs, outputs).unwrap()];
            let expected = |row: usize, column: usize| ((row * 5 + column * 3) % 16) as u8;
            for row in 0..outputs {
                for column in 0..inputs {
                    let position = position(inputs, outputs, row, column);
                    put(&mut bytes, position, row, expected(row, column));
                }
            }
            for row in 0..outputs.next_multiple_of(ROWS) {
                let found: Vec<u8> = levels(&bytes, inputs, outputs, row).collect();
                let level = |column| {
                    if row < outputs {
                        expected(row, column)
                    } else {
                        0
                    }
                };
                assert_eq!(found, (0..inputs).map(level).collect::<Vec<_>>(), "{row}");
            }
        }
    }

    #[test]
    fn levels_are_odd_weights() {
        assert_eq!([0, 1, 2, 3].map(|level| weight(2, level)), [-3, -1, 1, 3]);
        for bits in [2, 3, 4] {
            for found in 0..=largest_level(bits) {
                assert_eq!(level(bits, weight(bits, found)), Some(found));
            }
            let largest = largest_level(bits) as i8;
            for none in [0, 2, -2, largest + 1, largest + 2, -largest - 2] {
                assert_eq!(level(bits, none), None, "{bits} bits: {none}");
            }
        }
    }
}
