//! The order and the coding of the weights in a file.

/// How the weights within a tile are ordered and coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// Row after row, int8.
    Plain,
    /// Row after row, the weight plus 128.
    Offset,
    /// For two rows `a` and `b` below each other, and each column, the 16-bit
    /// number `256 * b + a`.
    Interleaved,
}

impl Coding {
    /// Where the byte of a weight lies in a tile of that many columns.
    #[inline]
    const fn offset(self, tile_columns: usize, row: usize, column: usize) -> usize {
        match self {
            Self::Plain | Self::Offset => row * tile_columns + column,
            Self::Interleaved => row / 2 * 2 * tile_columns + column * 2 + row % 2,
        }
    }

    /// The weight in its byte. `below` is the byte before it, which holds the
    /// low half of the 16 bits in [`Interleaved`](Self::Interleaved) for an odd
    /// row.
    #[inline]
    const fn decode(self, row: usize, byte: u8, below: u8) -> i8 {
        match self {
            Self::Plain => byte as i8,
            Self::Offset => (byte ^ 0x80) as i8,
            // A negative low half has borrowed one from the high half.
            Self::Interleaved if row % 2 == 1 => byte.wrapping_add(below >> 7) as i8,
            Self::Interleaved => byte as i8,
        }
    }

    /// The byte of a weight: [`decode`](Self::decode) undoes it.
    #[inline]
    const fn encode(self, row: usize, weight: i8, below: u8) -> u8 {
        match self {
            Self::Plain => weight as u8,
            Self::Offset => weight as u8 ^ 0x80,
            Self::Interleaved if row % 2 == 1 => (weight as u8).wrapping_sub(below >> 7),
            Self::Interleaved => weight as u8,
        }
    }
}

/// Defines [`Layout`] by the table in `table.rs`.
macro_rules! define_layout {
    ($(
        $(#[$attribute:meta])*
        $layout:ident = $number:literal, $name:literal,
            $rows:literal x $columns:literal = $bytes:literal, $coding:ident, $cores:literal;
    )*) => {
        /// How the weights of all three layers are ordered and coded.
        ///
        /// [`Rows`](Self::Rows) is what training exports and what every kernel
        /// runs. The others are made from it by [`repack`](super::repack), each
        /// for the cores whose kernel then reads memory in the order in which it
        /// needs the weights: tile after tile, a tile being a few columns of a few
        /// neighbouring rows. The tiles of a group of rows follow each other, then
        /// comes the next group. Rows and columns that fill up the last tiles have
        /// the weight 0.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[non_exhaustive]
        pub enum Layout {
            $($(#[$attribute])* $layout = $number,)*
        }

        impl Layout {
            /// All layouts, by their numbers.
            pub const ALL: [Self; [$($number),*].len()] = [$(Self::$layout),*];

            /// A short name, for reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$layout => $name,)*
                }
            }

            /// The cores that it is made for, in words.
            #[must_use]
            pub const fn cores(self) -> &'static str {
                match self {
                    $(Self::$layout => $cores,)*
                }
            }

            /// The layout of a number in the file.
            pub(super) const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$layout),)*
                    _ => None,
                }
            }

            /// Rows and columns of a tile.
            #[inline]
            #[must_use]
            pub const fn tile(self) -> (usize, usize) {
                match self {
                    $(Self::$layout => ($rows, $columns),)*
                }
            }

            const fn coding(self) -> Coding {
                match self {
                    $(Self::$layout => Coding::$coding,)*
                }
            }

            /// Hands the rows of a layer, one after the other, to `visitor`;
            /// `weights` are whole groups of tiles, `columns` a multiple of the
            /// tile's.
            pub(super) fn visit_rows<V: Visitor>(
                self,
                weights: &[u8],
                columns: usize,
                visitor: &mut V,
            ) -> Result<(), V::Error> {
                match self {
                    $(Self::$layout => visit_rows::<V, $rows, $columns, $bytes>(
                        Coding::$coding, weights, columns, visitor,
                    ),)*
                }
            }
        }

        $(const _: () = assert!($rows * $columns == $bytes && $rows >= 1 && $columns >= 1);)*
    };
}

layouts!(define_layout);

impl Layout {
    /// The number in the file.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Rows and columns of a layer with those that fill up the tiles; `None` if
    /// they can't be counted.
    pub(super) const fn padded(self, inputs: usize, outputs: usize) -> Option<(usize, usize)> {
        let (tile_rows, tile_columns) = self.tile();
        match (
            outputs.checked_next_multiple_of(tile_rows),
            inputs.checked_next_multiple_of(tile_columns),
        ) {
            (Some(rows), Some(columns)) => Some((rows, columns)),
            _ => None,
        }
    }

    /// Where the byte of a weight lies, in a layer of that many inputs.
    #[inline]
    pub(super) const fn position(self, inputs: usize, row: usize, column: usize) -> usize {
        let (tile_rows, tile_columns) = self.tile();
        let columns = inputs.next_multiple_of(tile_columns);
        let tile = row / tile_rows * tile_rows * columns
            + column / tile_columns * (tile_rows * tile_columns);
        let (row, column) = (row % tile_rows, column % tile_columns);
        tile + self.coding().offset(tile_columns, row, column)
    }

    /// The weight in its byte, `below` being the byte before it.
    #[inline]
    pub(super) const fn decode(self, row: usize, byte: u8, below: u8) -> i8 {
        self.coding().decode(row, byte, below)
    }

    /// The byte of a weight, `below` being the byte before it.
    #[inline]
    pub(super) const fn encode(self, row: usize, weight: i8, below: u8) -> u8 {
        self.coding().encode(row, weight, below)
    }

    /// Whether a row's sums stay exact in the layout's arithmetic, if their
    /// magnitude is at most `worst` for every image.
    /// [`Interleaved`](Self::Interleaved) sums `256 * b + a` in 32 bits, which
    /// leaves 24 for `b`.
    pub(super) const fn holds(self, row: usize, worst: u32) -> bool {
        match self {
            Self::Interleaved if row % 2 == 1 => worst < 1 << 23,
            _ => true,
        }
    }
}

/// What takes the rows of a layer, decoded.
pub(super) trait Visitor {
    type Error;

    /// Takes one row: its weights tile by tile, with those that fill up the last
    /// tile. The rows that fill up the last group come, too.
    fn row<const COLUMNS: usize>(
        &mut self,
        tiles: impl Iterator<Item = [i8; COLUMNS]>,
    ) -> Result<(), Self::Error>;
}

/// [`Layout::visit_rows`] for one layout. A row is walked from tile to tile, which
/// is a constant step, so that no weight's position needs to be computed.
#[inline(never)]
fn visit_rows<V: Visitor, const ROWS: usize, const COLUMNS: usize, const BYTES: usize>(
    coding: Coding,
    mut weights: &[u8],
    columns: usize,
    visitor: &mut V,
) -> Result<(), V::Error> {
    // Of a parsed layer, nothing is left in the end.
    while let Some((group, rest)) = weights.split_at_checked(columns * ROWS) {
        if group.is_empty() {
            break;
        }
        let (tiles, _) = group.as_chunks::<BYTES>();
        for row in 0..ROWS {
            visitor.row(tiles.iter().map(|tile| {
                core::array::from_fn::<i8, COLUMNS, _>(|column| {
                    let offset = coding.offset(COLUMNS, row, column);
                    let byte = |offset: usize| tile.get(offset).copied().unwrap_or(0);
                    coding.decode(row, byte(offset), byte(offset.wrapping_sub(1)))
                })
            }))?;
        }
        weights = rest;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;

    /// Keeps all rows.
    struct Rows(Vec<Vec<i8>>);

    impl Visitor for Rows {
        type Error = ();

        fn row<const COLUMNS: usize>(
            &mut self,
            tiles: impl Iterator<Item = [i8; COLUMNS]>,
        ) -> Result<(), ()> {
            self.0.push(tiles.flatten().collect());
            Ok(())
        }
    }

    #[test]
    fn walking_rows_agrees_with_looking_up_each_weight() {
        for layout in Layout::ALL {
            for (inputs, outputs) in [(1, 1), (3, 2), (4, 8), (7, 9), (13, 33), (64, 32)] {
                let (rows, columns) = layout.padded(inputs, outputs).unwrap();
                // Every pair of neighbouring bytes that the coding can make.
                let bytes: Vec<u8> = (0..rows * columns)
                    .map(|i| (i * 89 + i / 251) as u8)
                    .collect();
                let mut found = Rows(vec![]);
                layout.visit_rows(&bytes, columns, &mut found).unwrap();
                assert_eq!(found.0.len(), rows, "{layout:?}");
                for (row, weights) in found.0.iter().enumerate() {
                    assert_eq!(weights.len(), columns, "{layout:?}");
                    for (column, &weight) in weights.iter().enumerate() {
                        let position = layout.position(inputs, row, column);
                        let below = position.checked_sub(1).map_or(0, |below| bytes[below]);
                        let expected = layout.decode(row, bytes[position], below);
                        assert_eq!(weight, expected, "{layout:?} {row} {column}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_weight_has_a_byte_of_its_own() {
        for layout in Layout::ALL {
            let (inputs, outputs) = (13, 35);
            let (rows, columns) = layout.padded(inputs, outputs).unwrap();
            let mut taken = vec![0; rows * columns];
            for row in 0..rows {
                for column in 0..columns {
                    taken[layout.position(inputs, row, column)] += 1;
                }
            }
            assert!(taken.iter().all(|&times| times == 1), "{layout:?}");
        }
    }

    #[test]
    fn decoding_undoes_encoding() {
        for layout in Layout::ALL {
            for low in -127..=127i8 {
                let below = layout.encode(0, low, 0);
                assert_eq!(layout.decode(0, below, 0), low);
                for high in -127..=127i8 {
                    let byte = layout.encode(1, high, below);
                    assert_eq!(layout.decode(1, byte, below), high, "{layout:?} {low}");
                }
            }
        }
    }

    #[test]
    fn numbers_are_read_back() {
        for (index, layout) in Layout::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(layout.number()), index);
            assert_eq!(Layout::from_number(layout.number()), Some(layout));
        }
        assert_eq!(Layout::from_number(Layout::ALL.len() as u8), None);
        assert_eq!(Layout::default(), Layout::Rows);
    }

    #[test]
    fn interleaved_sums_leave_24_bits_to_odd_rows() {
        let most = (1 << 23) - 1;
        assert!(Layout::Interleaved.holds(1, most));
        assert!(!Layout::Interleaved.holds(1, most + 1));
        assert!(!Layout::Interleaved.holds(3, u32::MAX));
        assert!(Layout::Interleaved.holds(0, u32::MAX));
        assert!(Layout::Quads.holds(1, u32::MAX));
    }
}
