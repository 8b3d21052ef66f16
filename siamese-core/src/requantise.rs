//! The one rounding rule of the integer path.

/// Turns a 32-bit accumulator into the next layer's integers by a fixed-point
/// multiplication: `(acc * multiplier + 2^(shift - 1)) >> shift`, computed in
/// 64 bits with an arithmetic shift. It rounds once, half up (towards plus
/// infinity).
///
/// The quotient `multiplier / 2^shift` stands for the real factor between the
/// two scales (`scale_in * scale_weight / scale_out`), as in Jacob et al.,
/// "Quantization and Training of Neural Networks for Efficient
/// Integer-Arithmetic-Only Inference" (2018), section 2.2. Unlike there, one
/// 64-bit rounding replaces two 32-bit ones, so that any tool that has 64-bit
/// integers repeats it exactly.
///
/// ```
/// use siamese_core::Requantise;
///
/// let half = Requantise::new(1, 1).unwrap();
/// assert_eq!([-3, -1, 1, 3].map(|acc| half.apply(acc)), [-1, 0, 1, 2]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Requantise {
    multiplier: u32,
    shift: u8,
}

impl Requantise {
    /// The largest multiplier, `2^31 - 1`.
    pub const MAX_MULTIPLIER: u32 = i32::MAX as u32;
    /// The largest shift.
    pub const MAX_SHIFT: u8 = 62;

    /// `None` unless `multiplier` is in `1..=2^31 - 1` and `shift` in `1..=62`;
    /// within those ranges [`apply`](Self::apply) can't overflow.
    #[must_use]
    pub const fn new(multiplier: u32, shift: u8) -> Option<Self> {
        if multiplier == 0
            || multiplier > Self::MAX_MULTIPLIER
            || shift == 0
            || shift > Self::MAX_SHIFT
        {
            return None;
        }
        Some(Self { multiplier, shift })
    }

    /// [`new`](Self::new) for numbers that it accepts.
    #[inline]
    pub(crate) const fn new_unchecked(multiplier: u32, shift: u8) -> Self {
        debug_assert!(Self::new(multiplier, shift).is_some());
        Self { multiplier, shift }
    }

    /// The positive 31-bit multiplier `m`.
    #[must_use]
    pub const fn multiplier(self) -> u32 {
        self.multiplier
    }

    /// The right shift `s`, in bits.
    #[must_use]
    pub const fn shift(self) -> u8 {
        self.shift
    }

    /// The requantised value, before any clamp. Any accumulator is allowed:
    /// the product is below 2^62 in magnitude and the rounding term at most
    /// 2^61, so their sum fits 64 bits.
    #[inline]
    #[must_use]
    pub const fn apply(self, acc: i32) -> i64 {
        let product = acc as i64 * self.multiplier as i64;
        (product + (1i64 << (self.shift - 1))) >> self.shift
    }

    /// A hidden activation: clamped to `0..=127`. The lower clamp is the ReLU.
    ///
    /// Two shortcuts change no bit. An accumulator of 0 or less gives 0: its
    /// product is at most 0, and the rounding term alone is half a step. And
    /// from a shift of 33 on, the rounding term is a multiple of 2^32, so that
    /// the low half of the product can't reach the result.
    #[inline]
    #[must_use]
    pub const fn hidden(self, acc: i32) -> u8 {
        if acc <= 0 {
            return 0;
        }
        if self.shift <= 32 {
            return clamp(self.apply(acc), 0, 127) as u8;
        }
        let high = ((acc as u64 * self.multiplier as u64) >> 32) as u32;
        // A bit more than the result has, then half of it, rounded up.
        let rounded = ((high >> (self.shift - 33)) + 1) >> 1;
        if rounded > 127 { 127 } else { rounded as u8 }
    }

    /// [`hidden`](Self::hidden) without branches, which compilers turn into
    /// vector instructions where there are any; for numbers that
    /// [`new`](Self::new) accepts.
    #[inline]
    pub(crate) fn hidden_of(acc: i32, multiplier: u32, shift: u8) -> u8 {
        let product = u64::from(acc.max(0).cast_unsigned()) * u64::from(multiplier);
        let half = 1u64.wrapping_shl(u32::from(shift).wrapping_sub(1));
        (product + half).wrapping_shr(shift.into()).min(127) as u8
    }

    /// [`hidden_of`](Self::hidden_of) for shifts of 33 or more, in 32 bits but for
    /// the product; why that is right, [`hidden`](Self::hidden) says.
    #[inline]
    pub(crate) fn hidden_of_usual(acc: i32, multiplier: u32, shift: u8) -> u8 {
        let product = u64::from(acc.max(0).cast_unsigned()) * u64::from(multiplier);
        let shift = u32::from(shift);
        let half = 1u32.wrapping_shl(shift.wrapping_sub(33));
        let sum = ((product >> 32) as u32).wrapping_add(half);
        sum.wrapping_shr(shift.wrapping_sub(32)).min(127) as u8
    }

    /// A coordinate of the embedding: clamped to the range of `i16`.
    #[inline]
    #[must_use]
    pub const fn output(self, acc: i32) -> i16 {
        clamp(self.apply(acc), i16::MIN as i64, i16::MAX as i64) as i16
    }
}

/// `Ord::clamp`, usable in constants.
const fn clamp(value: i64, low: i64, high: i64) -> i64 {
    if value < low {
        low
    } else if value > high {
        high
    } else {
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_do_not_overflow() {
        let widest = Requantise::new(Requantise::MAX_MULTIPLIER, 62).unwrap();
        let narrowest = Requantise::new(Requantise::MAX_MULTIPLIER, 1).unwrap();
        for acc in [i32::MIN, -1, 0, 1, i32::MAX] {
            let exact = |shift: u32| {
                (i128::from(acc) * i128::from(Requantise::MAX_MULTIPLIER) + (1 << (shift - 1)))
                    >> shift
            };
            assert_eq!(i128::from(widest.apply(acc)), exact(62));
            assert_eq!(i128::from(narrowest.apply(acc)), exact(1));
        }
    }

    #[test]
    fn rounds_half_up() {
        let quarter = Requantise::new(1, 2).unwrap();
        let rounded = [-6, -5, -2, -1, 1, 2, 3, 6].map(|acc| quarter.apply(acc));
        assert_eq!(rounded, [-1, -1, 0, 0, 0, 1, 1, 2]);
    }

    #[test]
    fn clamps_to_the_range_of_the_next_layer() {
        let double = Requantise::new(4, 1).unwrap();
        assert_eq!(
            [-1, 0, 63, 64].map(|acc| double.hidden(acc)),
            [0, 0, 126, 127]
        );
        assert_eq!(double.output(1 << 20), i16::MAX);
        assert_eq!(double.output(-(1 << 20)), i16::MIN);
    }

    #[test]
    fn shortcuts_change_no_bit() {
        let accs = [i32::MIN, -1, 0, 1, 2, 3, 1000, 65_535, 1 << 20, i32::MAX];
        for multiplier in [1, 2, 3, 0x1234_5678, Requantise::MAX_MULTIPLIER] {
            for shift in 1..=Requantise::MAX_SHIFT {
                let requantise = Requantise::new(multiplier, shift).unwrap();
                for acc in accs {
                    let plain = requantise.apply(acc).clamp(0, 127);
                    assert_eq!(
                        i64::from(requantise.hidden(acc)),
                        plain,
                        "{requantise:?} {acc}"
                    );
                    let branchless = Requantise::hidden_of(acc, multiplier, shift);
                    assert_eq!(i64::from(branchless), plain, "{requantise:?} {acc}");
                    if shift > 32 {
                        let usual = Requantise::hidden_of_usual(acc, multiplier, shift);
                        assert_eq!(i64::from(usual), plain, "{requantise:?} {acc}");
                    }
                }
            }
        }
    }

    #[test]
    fn refuses_what_could_overflow() {
        assert!(Requantise::new(0, 1).is_none());
        assert!(Requantise::new(1 << 31, 1).is_none());
        assert!(Requantise::new(1, 0).is_none());
        assert!(Requantise::new(1, 63).is_none());
    }
}
