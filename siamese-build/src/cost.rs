//! What embedding an image costs a core, estimated from what the image makes it do and
//! from what was counted on that core.

use siamese_core::embedder::{Buffers, embed_into};
use siamese_core::error::SizeError;
use siamese_core::model::{LAYERS, Layer, Model};

use crate::Core;

/// The rows of a word of weights of 2, 3 or 4 bits.
const ROWS: usize = 8;
/// The most by which an estimate was off where words are multiplied: of 784-256-64-16 with
/// weights of 4 bits in the first layer, on an emulated M0, M4, M55 and RV32.
const WITHIN_MULTIPLIED: f64 = 0.25;

/// What embedding makes a kernel do. As it skips inputs that are 0, this is another for each
/// image, and its cost follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Work {
    /// Inputs that aren't 0, of layers with weights of 8 bits.
    pub active: f64,
    /// Weights that are multiplied: for each such input one for each of its layer's
    /// outputs.
    pub products: f64,
    /// Outputs of these layers.
    pub outputs: f64,
    /// Words of eight weights of 2 or 3 bits that are added: for each input that isn't 0 those
    /// of its layer's outputs. Such layers count in nothing else.
    pub words: f64,
    /// The same of weights of 4 bits, of many levels and of images with few zeros
    /// ([`Model::adds`]), where words are multiplied.
    pub multiplied: f64,
}

impl Work {
    /// The mean of images of the model's size; `None` of no image.
    ///
    /// # Errors
    /// [`SizeError::Image`] if one has not the model's number of pixels.
    pub fn of<'i>(
        model: &Model<'_>,
        images: impl IntoIterator<Item = &'i [u8]>,
    ) -> Result<Option<Self>, SizeError> {
        let input = model.header().input;
        let (shared, hidden1) = model.buffer_sizes();
        let (mut shared, mut hidden1) = (vec![0; shared], vec![0; hidden1]);
        let mut embedding = vec![0; model.dim()];
        let mut quantised = vec![0; input.activations()];
        let outputs: [usize; LAYERS] = model.layers().map(|layer| layer.outputs());
        let (mut sum, mut count) = (Self::default(), 0);
        for pixels in images {
            let buffers = Buffers {
                shared: &mut shared,
                hidden1: &mut hidden1,
            };
            embed_into(model, pixels, buffers, &mut embedding)?;
            input.quantise(pixels, &mut quantised);
            for activation in &mut quantised {
                *activation >>= 7 - model.header().precision.input;
            }
            let layers = [
                &quantised[..],
                &hidden1[..outputs[0]],
                &shared[..outputs[1]],
            ];
            for (index, activations) in layers.into_iter().enumerate() {
                let nonzero = activations.iter().filter(|&&activation| activation != 0);
                let adds = model.adds(index, activations);
                sum.add(&model.layers()[index], nonzero.count(), adds);
            }
            count += 1;
        }
        Ok((count > 0).then(|| sum.over(f64::from(count))))
    }

    /// Adds what a layer makes of so many inputs that aren't 0, if it adds words or not.
    fn add(&mut self, layer: &Layer<'_>, active: usize, adds: bool) {
        let outputs = layer.outputs();
        if layer.has_lanes() {
            let words = (active * outputs.div_ceil(ROWS)) as f64;
            let kind = if adds {
                &mut self.words
            } else {
                &mut self.multiplied
            };
            *kind += words;
        } else {
            self.active += active as f64;
            self.products += (active * outputs) as f64;
            self.outputs += outputs as f64;
        }
    }

    /// Words of eight weights, added or multiplied.
    #[must_use]
    pub fn all_words(&self) -> f64 {
        self.words + self.multiplied
    }

    /// The mean of so many images.
    fn over(self, images: f64) -> Self {
        Self {
            active: self.active / images,
            products: self.products / images,
            outputs: self.outputs / images,
            words: self.words / images,
            multiplied: self.multiplied / images,
        }
    }

    /// The most that any image can cost: no input is 0, and all words are multiplied.
    #[must_use]
    pub fn most(model: &Model<'_>) -> Self {
        let mut most = Self::default();
        for layer in model.layers() {
            most.add(layer, layer.inputs(), false);
        }
        most
    }
}

/// Bytes that a program takes besides what follows from the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes {
    /// Of flash: code, constants, initial values.
    pub code: u32,
    /// Of RAM, static: without the embedder's buffers, the gallery's entries and the
    /// room for an image on the link.
    pub data: u32,
    /// Of RAM: the deepest that the stack was seen.
    pub stack: u32,
}

/// What was measured on a core.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    core: Core,
    /// Instructions for an active input, for a product and for an output: fitted to what
    /// was counted for the models of this project, by least squares of the relative error.
    pub instructions: [f64; 3],
    /// Instructions for a word of weights that is added, all that its layer takes included;
    /// `None` if no such model was measured.
    pub word: Option<f64>,
    /// The same of one that is multiplied, measured with images of few zeros.
    pub dense_word: Option<f64>,
    /// Bytes of code that such weights take more.
    pub lanes: u32,
    /// The most by which an estimate is off for one of them, as a share.
    pub within: f64,
    /// Cycles that an instruction of the embedding takes in the mean, where no memory has
    /// to be waited for; `None` where no timings of the core's instructions are known.
    pub cycles: Option<f64>,
    /// Of a program that embeds, and does nothing else.
    pub embedding: Bytes,
    /// Of `firmware-example`, with a gallery, names and the link.
    pub device: Bytes,
}

impl Measured {
    /// Estimates the instructions of an image.
    #[must_use]
    pub fn instructions(&self, work: &Work) -> f64 {
        let [active, product, output] = self.instructions;
        let eights = active * work.active + product * work.products + output * work.outputs;
        // As if they had 8 bits, where nothing else is known.
        let [word, multiplied] =
            [self.word, self.dense_word].map(|word| word.unwrap_or(ROWS as f64 * product));
        eights + word * work.words + multiplied * work.multiplied
    }

    /// The most by which the estimate for this work is off, as a share.
    #[must_use]
    pub fn within(&self, work: &Work) -> f64 {
        if work.multiplied > 0.0 {
            self.within.max(WITHIN_MULTIPLIED)
        } else {
            self.within
        }
    }
}

/// Bytes of static RAM that follow from a model: the embedder's buffers, and what
/// `firmware-example` has besides them for the gallery and for an image on the link.
#[must_use]
pub fn data_of(model: &Model<'_>) -> [u32; 2] {
    let (shared, hidden1) = model.buffer_sizes();
    // A label, a count, and four bytes a coordinate.
    let entry = 4 + 4 * model.dim();
    let gallery = (4096 / entry).min(32) * entry;
    let pixels = model.header().input.pixels();
    // A frame has a byte more for each 223.
    let frame = pixels + pixels.div_ceil(223);
    [shared + hidden1, gallery + frame].map(|bytes| bytes as u32)
}

/// What a core's instructions are while it embeds: of 1,000, how many.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Mix {
    /// Load or store.
    pub memory: f64,
    /// Are the first of loads and stores that follow one another.
    pub runs: f64,
    /// Words, half-words or bytes that they load or store, all together.
    pub words: f64,
    /// Branch, and not to the instruction after them.
    pub taken: f64,
}

/// The cycles that instructions take besides one each, where nothing waits for memory.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Timing {
    /// For each word that is loaded or stored.
    pub word: f64,
    /// For each run of loads and stores that follow one another.
    pub run: f64,
    /// For each word of an instruction after its first.
    pub further_word: f64,
    /// For each branch that is taken.
    pub taken: f64,
}

impl Timing {
    /// The cycles of an instruction, in the mean.
    #[must_use]
    pub fn cycles(&self, mix: &Mix) -> f64 {
        let more = self.word * mix.words
            + self.run * mix.runs
            + self.further_word * (mix.words - mix.memory)
            + self.taken * mix.taken;
        1.0 + more / 1000.0
    }
}

/// What was measured of each core.
#[rustfmt::skip] // `cargo xtask pages` makes it, out of docs/bench.json.
const MEASURED: &[Measured] = &[
    // <!-- table: cores -->
    Measured { core: Core::CortexM0, instructions: [149.59, 2.7860, 47.58], word: Some(8.917), dense_word: Some(38.460), lanes: 8492, within: 0.031, cycles: Some(1.455), embedding: Bytes { code: 30064, data: 296, stack: 3772 }, device: Bytes { code: 86488, data: 1780, stack: 6140 } },
    Measured { core: Core::CortexM0Plus, instructions: [114.88, 2.8473, 66.68], word: Some(9.943), dense_word: Some(38.607), lanes: 8492, within: 0.044, cycles: Some(1.417), embedding: Bytes { code: 30064, data: 296, stack: 3772 }, device: Bytes { code: 87792, data: 1852, stack: 6204 } },
    Measured { core: Core::CortexM3, instructions: [65.28, 2.1908, 23.10], word: Some(7.881), dense_word: Some(20.140), lanes: 9452, within: 0.039, cycles: Some(1.566), embedding: Bytes { code: 27904, data: 296, stack: 3716 }, device: Bytes { code: 82644, data: 1780, stack: 6084 } },
    Measured { core: Core::CortexM4, instructions: [45.46, 1.1242, 32.15], word: Some(8.094), dense_word: Some(20.118), lanes: 9432, within: 0.053, cycles: Some(1.433), embedding: Bytes { code: 27880, data: 296, stack: 3708 }, device: Bytes { code: 82600, data: 1780, stack: 6108 } },
    Measured { core: Core::CortexM7, instructions: [45.46, 1.1242, 32.15], word: Some(8.094), dense_word: Some(20.118), lanes: 9432, within: 0.053, cycles: None, embedding: Bytes { code: 27880, data: 296, stack: 3708 }, device: Bytes { code: 82600, data: 1780, stack: 6108 } },
    Measured { core: Core::CortexM33, instructions: [45.29, 1.1180, 32.75], word: Some(8.117), dense_word: Some(20.115), lanes: 10052, within: 0.054, cycles: Some(1.433), embedding: Bytes { code: 31224, data: 296, stack: 3708 }, device: Bytes { code: 86004, data: 1780, stack: 6092 } },
    Measured { core: Core::CortexM55, instructions: [78.67, 0.0689, 4.67], word: Some(4.296), dense_word: Some(20.117), lanes: 9908, within: 0.094, cycles: None, embedding: Bytes { code: 31264, data: 296, stack: 3628 }, device: Bytes { code: 86036, data: 1780, stack: 5932 } },
    Measured { core: Core::Rv32, instructions: [69.07, 3.4560, 52.56], word: Some(10.545), dense_word: Some(28.187), lanes: 9036, within: 0.028, cycles: Some(1.078), embedding: Bytes { code: 29982, data: 288, stack: 3620 }, device: Bytes { code: 88658, data: 1772, stack: 5908 } },
    // <!-- end -->
];

impl Core {
    /// What was measured of it; `None` if nothing was.
    #[must_use]
    pub fn measured(self) -> Option<&'static Measured> {
        MEASURED.iter().find(|measured| measured.core == self)
    }

    /// The timings of its instructions; `None` where its maker publishes none, or where
    /// it carries out several at once.
    #[must_use]
    pub fn timing(self) -> Option<Timing> {
        let none = Timing::default();
        match self {
            // ARM DDI 0432C, table 3-1: a load or store 2, of N words 1 + N, a branch 3 if
            // it is taken.
            Self::CortexM0 | Self::CortexM1 => Some(Timing {
                word: 1.0,
                taken: 2.0,
                ..none
            }),
            // ARM DDI 0484C, table 3-1: the same, and a branch 2.
            Self::CortexM0Plus => Some(Timing {
                word: 1.0,
                taken: 1.0,
                ..none
            }),
            // ARM DDI 0337H and 0439B, table 3-1: a load 2, and 1 after another; of N words
            // 1 + N; a branch that is taken 1 and another 1 to 3, to fill the pipeline. Arm
            // publishes none of the M33, which is built alike.
            Self::CortexM3 | Self::CortexM4 | Self::CortexM33 | Self::CortexM33NoDsp => {
                Some(Timing {
                    run: 1.0,
                    further_word: 1.0,
                    taken: 2.0,
                    ..none
                })
            }
            // Hazard3, of the RP2350.
            Self::Rv32 => Some(Timing { taken: 2.0, ..none }),
            _ => None,
        }
    }
}
