//! Batches made ahead of the training steps, by threads of their own.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use rand::Rng;
use siamese_core::image::Input;

use crate::batch::augment::{Augmenter, SYMMETRIES, turn};
use crate::batch::mixtures::Mixtures;
use crate::batch::pairs::{Drawn, Sampler};
use crate::dataset::{Class, Dataset};
use crate::recipe::{MODEL_BITS, Recipe, bits::largest};

/// The images of one step, ready for the first layer.
#[derive(Debug, Default)]
pub struct Batch {
    /// Input activations of `b` bits as `activation / (2^b - 1)`, or pixels as `pixel / 255`,
    /// `[images][inputs]`.
    pub inputs: Vec<f32>,
    /// The class of each image; with symmetries, the class times eight plus the
    /// symmetry.
    pub labels: Vec<i64>,
}

/// Gives the batches of a range of steps in order. Each worker makes every
/// n-th one, and each batch depends on its step's number alone, so that the
/// number of workers changes nothing.
pub struct Loader {
    workers: Vec<Worker>,
    next: usize,
}

struct Worker {
    batches: Receiver<Batch>,
    /// Used batches go back, so that their memory is used again.
    used: Sender<Batch>,
}

/// Batches that a worker makes ahead.
const AHEAD: usize = 2;

impl Loader {
    /// Starts `workers` threads that make the batches of `steps`, distorted and
    /// turned by the recipe. They end by themselves when the loader is dropped.
    #[must_use]
    pub fn start(
        data: &Arc<Dataset>,
        input: Input,
        recipe: &Recipe,
        sampler: &Sampler,
        steps: Range<usize>,
        workers: usize,
    ) -> Self {
        let start_worker = |worker: usize| {
            let (sender, batches) = sync_channel(AHEAD);
            let (used, recycled) = channel();
            let maker = Maker {
                data: Arc::clone(data),
                input,
                augmenter: Augmenter::new(
                    recipe.augmentation,
                    input.width.into(),
                    input.height.into(),
                ),
                symmetries: recipe.symmetries,
                mixtures: recipe.mixtures,
                grey_bits: recipe.bits.grey,
                whole_pixels: recipe.pixel_bits > MODEL_BITS,
                other: vec![0; input.pixels()],
                sampler: sampler.clone(),
                image: vec![0; input.pixels()],
                turned: vec![0; input.pixels()],
                activations: vec![0; input.activations()],
            };
            let steps = steps.clone().skip(worker).step_by(workers);
            thread::spawn(move || maker.run(steps, &sender, &recycled));
            Worker { batches, used }
        };
        Self {
            workers: (0..workers).map(start_worker).collect(),
            next: 0,
        }
    }

    /// The next step's batch; `None` after the last.
    pub fn next_batch(&mut self) -> Option<Batch> {
        let worker = &self.workers[self.next % self.workers.len()];
        worker.batches.recv().ok()
    }

    /// Gives a batch back for its memory, and moves on to the next step.
    pub fn recycle(&mut self, batch: Batch) {
        let worker = &self.workers[self.next % self.workers.len()];
        // A worker that has made its last batch needs no more memory.
        let _ = worker.used.send(batch);
        self.next += 1;
    }
}

/// What one worker owns.
struct Maker {
    data: Arc<Dataset>,
    input: Input,
    augmenter: Augmenter,
    symmetries: bool,
    mixtures: f64,
    /// Whether all bits of a pixel are seen.
    whole_pixels: bool,
    /// Of an input activation, if not.
    grey_bits: u8,
    other: Vec<u8>,
    sampler: Sampler,
    image: Vec<u8>,
    turned: Vec<u8>,
    activations: Vec<u8>,
}

impl Maker {
    fn run(
        mut self,
        steps: impl Iterator<Item = usize>,
        sender: &SyncSender<Batch>,
        recycled: &Receiver<Batch>,
    ) {
        for step in steps {
            let mut batch = recycled.try_recv().unwrap_or_default();
            self.fill(step, &mut batch);
            if sender.send(batch).is_err() {
                return;
            }
        }
    }

    fn fill(&mut self, step: usize, batch: &mut Batch) {
        let mut generator = self.sampler.generator(step as u64);
        batch.inputs.clear();
        batch.labels.clear();
        let Drawn { images, symmetries } = self.sampler.draw(step as u64, &mut generator);
        let label_of = |image: u32, symmetry: usize| {
            let class = i64::from(self.data.labels[image as usize]);
            if self.symmetries {
                class * SYMMETRIES as i64 + symmetry as i64
            } else {
                class
            }
        };
        let drawn = images.iter().zip(&symmetries);
        batch
            .labels
            .extend(drawn.map(|(&image, &symmetry)| label_of(image, symmetry)));
        let mixtures = if self.mixtures > 0.0 {
            let classes: Vec<(u32, Class)> = images
                .iter()
                .map(|&image| (image, self.data.labels[image as usize]))
                .collect();
            let ways = if self.symmetries { SYMMETRIES } else { 1 };
            Mixtures::draw(&classes, &batch.labels, self.mixtures, ways, &mut generator)
        } else {
            Mixtures::default()
        };
        for (place, (image, symmetry)) in images.into_iter().zip(symmetries).enumerate() {
            self.lay(image, symmetry, &mut generator);
            if let Some((image, mixture)) = mixtures.partner(batch.labels[place], &mut generator) {
                std::mem::swap(&mut self.image, &mut self.other);
                self.lay(image, mixture.symmetry, &mut generator);
                std::mem::swap(&mut self.image, &mut self.other);
                mixture.mix(self.input.width.into(), &mut self.image, &self.other);
            }
            if self.whole_pixels {
                let pixels = self.image.iter();
                batch.inputs.extend(pixels.map(|&p| f32::from(p) / 255.0));
            } else {
                self.input.quantise(&self.image, &mut self.activations);
                let activations = self.activations.iter();
                let bits = self.grey_bits;
                batch
                    .inputs
                    .extend(activations.map(|&a| real_input(bits, a)));
            }
        }
    }

    /// Leaves a distorted copy of an image in `self.image`, laid in one of its
    /// symmetries if the recipe has them.
    fn lay(&mut self, image: u32, symmetry: usize, generator: &mut impl Rng) {
        let source = self.data.images.get(image as usize);
        self.augmenter.distort(source, &mut self.image, generator);
        if self.symmetries {
            let side = self.input.width.into();
            turn(&self.image, side, symmetry, &mut self.turned);
            std::mem::swap(&mut self.image, &mut self.turned);
        }
    }
}

/// What an activation of 7 bits, `0..=127`, means to a float network whose inputs have so
/// many bits, 1 to 7: the upper ones, from 0 to 1.
#[must_use]
pub fn real_input(bits: u8, activation: u8) -> f32 {
    f32::from(activation >> (MODEL_BITS - bits)) / largest(bits) as f32
}

/// The first layer's inputs, of so many bits, for pixels of whole images,
/// `[images][inputs]`.
#[must_use]
pub fn inputs_of(input: Input, bits: u8, pixels: &[u8]) -> Vec<f32> {
    let mut activations = vec![0; input.activations()];
    let images = pixels.chunks_exact(input.pixels());
    let mut inputs = Vec::with_capacity(images.len() * activations.len());
    for image in images {
        input.quantise(image, &mut activations);
        let reals = activations.iter().map(|&a| real_input(bits, a));
        inputs.extend(reals);
    }
    inputs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Images;
    use crate::recipe::{Pairing, RecipeName, Sampling};

    #[test]
    fn pixels_are_seen_with_as_many_bits_as_were_asked_for() {
        // Two images of one pixel, of grey values that seven bits don't tell apart.
        let images = Images::new(1, 1, vec![100, 101]).unwrap();
        let data = Arc::new(Dataset::new(images, vec![0, 1]).unwrap());
        let seen = |pixel_bits, divisor: f32| {
            let recipe = Recipe {
                pixel_bits,
                ..RecipeName::Original.recipe()
            };
            let sampler =
                Sampler::new(&data.labels, 4, Sampling::Passes, Pairing::Drawn, false, 1).unwrap();
            let input = Input {
                width: 1,
                height: 1,
                pooling: siamese_core::image::Pooling::None,
                deskew: false,
            };
            let mut loader = Loader::start(&data, input, &recipe, &sampler, 0..1, 1);
            let batch = loader.next_batch().unwrap();
            let both = batch.labels.iter().zip(batch.inputs);
            let of = |class| {
                let mut inputs = both.clone().filter(|(label, _)| **label == class);
                inputs.next().map(|(_, input)| (input * divisor).round())
            };
            [of(0), of(1)]
        };
        assert_eq!(seen(8, 255.0), [Some(100.0), Some(101.0)]);
        assert_eq!(seen(7, 127.0), [Some(50.0), Some(50.0)]);
    }
}
