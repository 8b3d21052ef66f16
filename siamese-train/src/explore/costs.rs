//! What the page tells of a model's layers, and of what a drawing costs on each core.

use serde::Serialize;
use siamese_build::Core;
use siamese_build::cost::{Measured, Work};
use siamese_core::image::{Input, Pooling};
use siamese_core::model::{LAYERS, Model};

/// The cores of the page, and what there is to say of each.
const CORES: [(Core, &str, &str); 4] = [
    (
        Core::CortexM0,
        "Cortex-M0",
        "the smallest and cheapest; no vectors, no floats",
    ),
    (Core::CortexM4, "Cortex-M4", "in watches and sensors"),
    (Core::CortexM55, "Cortex-M55", "a newer one, with vectors"),
    (Core::Rv32, "RISC-V", "32 bits, as in a Raspberry Pi Pico 2"),
];

/// Instructions of a core for each unit of [`Work`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CoreCost {
    name: &'static str,
    about: &'static str,
    active: f64,
    product: f64,
    output: f64,
    word: f64,
    multiplied: f64,
    /// Of an image in which nothing can be skipped.
    most: f64,
}

impl CoreCost {
    /// Of all cores of the page.
    #[must_use]
    pub fn all(model: &Model<'_>) -> Vec<Self> {
        let most = Work::most(model);
        let of = |(core, name, about): (Core, &'static str, &'static str)| {
            let measured = core.measured()?;
            Some(Self {
                name,
                about,
                active: factor(measured, |work| &mut work.active),
                product: factor(measured, |work| &mut work.products),
                output: factor(measured, |work| &mut work.outputs),
                word: factor(measured, |work| &mut work.words),
                multiplied: factor(measured, |work| &mut work.multiplied),
                most: measured.instructions(&most).round(),
            })
        };
        CORES.into_iter().filter_map(of).collect()
    }
}

/// What one unit of a kind of work costs: estimates are sums of these.
fn factor(measured: &Measured, kind: fn(&mut Work) -> &mut f64) -> f64 {
    let mut work = Work::default();
    *kind(&mut work) = 1.0;
    measured.instructions(&work)
}

/// A layer's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LayerShape {
    inputs: usize,
    outputs: usize,
    /// Whether its weights are in words of eight rows.
    words: bool,
    /// Whether these are added, and not multiplied.
    adds: bool,
}

impl LayerShape {
    /// Those of all layers.
    #[must_use]
    pub fn all(model: &Model<'_>) -> [Self; LAYERS] {
        std::array::from_fn(|index| {
            let layer = &model.layers()[index];
            Self {
                inputs: layer.inputs(),
                outputs: layer.outputs(),
                words: layer.has_lanes(),
                adds: model.adds(index, &[]),
            }
        })
    }
}

/// The columns of the picture that the input activations make.
#[must_use]
pub const fn input_columns(input: &Input) -> u16 {
    match input.pooling {
        Pooling::None | Pooling::Checkerboard | Pooling::InnerCheckerboard => {
            input.width - 2 * input.border() as u16
        }
        Pooling::Sum2x2 | Pooling::Inner2x2 => input.width / 2 - input.border() as u16,
    }
}
