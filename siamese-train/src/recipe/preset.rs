//! Named sets of layer sizes.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use siamese_core::image::{Input, Pooling};

use super::Bits;

/// A named set of hidden-layer sizes; the output width is set apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// 144-64-28: images pooled 2x2, without an empty border, 11 KiB of weights, for the smallest
    /// parts; 196-48-32 where images have no empty border
    Tiny,
    /// 392-128-64: every other pixel, 57 KiB of weights, for parts with 128 KiB of flash
    Small,
    /// 392-128-24: every other pixel in 4 grey levels, weights of 3 bits in the first layer, 28 KiB
    /// of weights: the fastest, for parts with 64 KiB of flash
    Swift,
    /// 784-256-128: 228 KiB of weights, for parts with 512 KiB of flash
    Medium,
    /// 784-1024-1024: 1.8 MiB of weights, the original network, for the host
    Reference,
}

impl Preset {
    /// The name, as on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Small => "small",
            Self::Swift => "swift",
            Self::Medium => "medium",
            Self::Reference => "reference",
        }
    }

    /// The name of its model files with `dim` coordinates: `small`, `small-d16`.
    #[must_use]
    pub fn model_name(self, dim: usize) -> String {
        match dim {
            2 => self.name().to_owned(),
            _ => format!("{}-d{dim}", self.name()),
        }
    }

    /// Outputs of the two hidden layers, for images that are pooled like this.
    #[must_use]
    pub const fn hidden(self, pooling: Pooling) -> [usize; 2] {
        match self {
            // As much flash, and more units where there are fewer inputs.
            Self::Tiny if matches!(pooling, Pooling::Inner2x2) => [64, 28],
            Self::Tiny => [48, 32],
            Self::Small => [128, 64],
            Self::Swift => [128, 24],
            Self::Medium => [256, 128],
            Self::Reference => [1024, 1024],
        }
    }

    /// Bits of the model's numbers.
    #[must_use]
    pub const fn bits(self) -> Bits {
        match self {
            Self::Swift => Bits {
                grey: 2,
                // In the second layer, 3 bits save little time and cost half a point.
                weights: [3, 8, 8],
                hidden: [7, 7],
            },
            Self::Tiny | Self::Small | Self::Medium | Self::Reference => Bits::INT8,
        }
    }

    /// What the first layer takes from an image of `width` by `height` pixels,
    /// for an embedding of `dim` coordinates. `has_empty_border` says that the outermost pixels
    /// hold next to nothing.
    ///
    /// An image is pooled only if it has more pixels than the first layer takes of
    /// a 28x28 image: a smaller one costs no more as it is, and has nothing to
    /// spare.
    #[must_use]
    pub const fn input(self, width: u16, height: u16, dim: usize, has_empty_border: bool) -> Input {
        let (pooling, inputs) = match self {
            Self::Tiny => (Pooling::Sum2x2, 196),
            // Half of the weights and of the time. That costs nothing where few
            // coordinates are the bottleneck, and 0.2 points with 16 of them.
            Self::Small | Self::Swift if dim <= 4 => (Pooling::Checkerboard, 392),
            Self::Small | Self::Swift | Self::Medium | Self::Reference => (Pooling::None, 784),
        };
        let pooled = Input {
            width,
            height,
            pooling,
            deskew: false,
        };
        // A line of pixels has no 2x2 neighbours.
        if pooled.pixels() <= inputs || width < 2 || height < 2 {
            return Input {
                pooling: Pooling::None,
                ..pooled
            };
        }
        let inner = Input {
            pooling: Pooling::Inner2x2,
            ..pooled
        };
        let inputs = inner.activations();
        if matches!(self, Self::Tiny) && has_empty_border && 0 < inputs && inputs <= 144 {
            return inner;
        }
        pooled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_images_with_pixels_to_spare_are_pooled() {
        let pooling = |preset: Preset, width, height| preset.input(width, height, 2, false).pooling;
        for (preset, usual) in [
            (Preset::Tiny, Pooling::Sum2x2),
            (Preset::Small, Pooling::Checkerboard),
            (Preset::Reference, Pooling::None),
        ] {
            assert_eq!(pooling(preset, 28, 28), usual);
            assert_eq!(pooling(preset, 64, 48), usual);
            // Lines have no neighbours to be pooled with.
            for (width, height) in [(8, 8), (14, 14), (1, 784), (2000, 1), (1, 1)] {
                assert_eq!(pooling(preset, width, height), Pooling::None);
            }
        }
        assert_eq!(pooling(Preset::Tiny, 16, 16), Pooling::Sum2x2);
        assert_eq!(pooling(Preset::Small, 16, 16), Pooling::None);
        let bordered = |preset: Preset, width, height| {
            let input = preset.input(width, height, 2, true);
            (
                input.pooling,
                input.activations(),
                preset.hidden(input.pooling),
            )
        };
        // An empty border saves inputs, whose flash goes to more units.
        let inner = (Pooling::Inner2x2, 144, [64, 28]);
        assert_eq!(bordered(Preset::Tiny, 28, 28), inner);
        let usual = (Pooling::Sum2x2, 224, [48, 32]);
        assert_eq!(bordered(Preset::Tiny, 28, 32), usual);
        assert_eq!(bordered(Preset::Tiny, 200, 4).0, Pooling::Sum2x2);
        assert_eq!(bordered(Preset::Small, 28, 28).0, Pooling::Checkerboard);
        assert_eq!(Preset::Small.input(28, 28, 16, true).pooling, Pooling::None);
    }
}
