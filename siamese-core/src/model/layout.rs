//! The order of the weights in a file.

/// How the weights of all three layers are ordered and coded.
///
/// [`Rows`](Self::Rows) is what training exports and what every kernel runs.
/// The others are made from it by [`repack`](super::repack), each for the cores
/// whose kernel then reads memory in the order in which it needs the weights:
/// tile after tile, a tile being a few columns of a few neighbouring rows. The
/// tiles of a group of rows follow each other, then comes the next group. Rows
/// and columns that fill up the last tiles have the weight 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Layout {
    /// One row after the other.
    #[default]
    Rows,
    /// Tiles of 8 rows and 1 column; each weight is stored plus 128. For
    /// Cortex-M0, M0+, M23 and M3.
    Columns,
    /// Tiles of 8 rows and 2 columns: for rows `a` and `b` below each other,
    /// and each of the columns, the 16-bit number `256 * b + a`. For Cortex-M4,
    /// M7 and M33.
    Pairs,
    /// Tiles of 8 rows and 4 columns, row after row. For Cortex-M55 and M85.
    Quads,
    /// Tiles of 32 rows and 2 columns, row after row. For 64-bit x86.
    WidePairs,
}

impl Layout {
    /// All layouts.
    pub const ALL: [Self; 5] = [
        Self::Rows,
        Self::Columns,
        Self::Pairs,
        Self::Quads,
        Self::WidePairs,
    ];

    /// A short name, for reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Columns => "columns",
            Self::Pairs => "pairs",
            Self::Quads => "quads",
            Self::WidePairs => "wide-pairs",
        }
    }

    /// The number in the file.
    pub(super) const fn number(self) -> u8 {
        self as u8
    }

    pub(super) fn from_number(number: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|layout| layout.number() == number)
    }

    /// Rows and columns of a tile.
    #[inline]
    #[must_use]
    pub const fn tile(self) -> (usize, usize) {
        match self {
            Self::Rows => (1, 1),
            Self::Columns => (8, 1),
            Self::Pairs => (8, 2),
            Self::Quads => (8, 4),
            Self::WidePairs => (32, 2),
        }
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
        tile + match self {
            Self::Rows | Self::Columns | Self::Quads | Self::WidePairs => {
                row * tile_columns + column
            }
            Self::Pairs => row / 2 * 4 + column * 2 + row % 2,
        }
    }

    /// The weight in its byte. `below` is the byte before it, which holds the
    /// low half of the 16 bits in [`Pairs`](Self::Pairs) for an odd row.
    #[inline]
    pub(super) const fn decode(self, row: usize, byte: u8, below: u8) -> i8 {
        match self {
            Self::Rows | Self::Quads | Self::WidePairs => byte as i8,
            Self::Columns => (byte ^ 0x80) as i8,
            // A negative low half has borrowed one from the high half.
            Self::Pairs if row % 2 == 1 => byte.wrapping_add(below >> 7) as i8,
            Self::Pairs => byte as i8,
        }
    }

    /// The byte of a weight: [`decode`](Self::decode) undoes it.
    #[inline]
    pub(super) const fn encode(self, row: usize, weight: i8, below: u8) -> u8 {
        match self {
            Self::Rows | Self::Quads | Self::WidePairs => weight as u8,
            Self::Columns => weight as u8 ^ 0x80,
            Self::Pairs if row % 2 == 1 => (weight as u8).wrapping_sub(below >> 7),
            Self::Pairs => weight as u8,
        }
    }

    /// Whether a row's sums stay exact in the layout's arithmetic, if their
    /// magnitude is at most `worst` for every image. [`Pairs`](Self::Pairs)
    /// sums `256 * b + a` in 32 bits, which leaves 24 for `b`.
    pub(super) const fn holds(self, row: usize, worst: u64) -> bool {
        match self {
            Self::Pairs if row % 2 == 1 => worst < 1 << 23,
            _ => true,
        }
    }
}
