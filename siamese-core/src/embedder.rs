//! The three layers, with static buffers.

use crate::embedding::Embedding;
use crate::error::SizeError;
use crate::image::Input;
use crate::kernel::Kernel;
use crate::kernel::lanes::{self, Source, Target};
use crate::model::{Layer, Model};

/// Activation memory for one embedding, borrowed from anywhere.
///
/// The hidden layers can be read in it afterwards: the first
/// `layers()[1].outputs()` bytes of `shared` are the second hidden layer, and
/// `hidden1` is the first.
#[derive(Debug)]
pub struct Buffers<'b> {
    /// The input activations, later overwritten by the second hidden layer.
    pub shared: &'b mut [u8],
    /// The first hidden layer.
    pub hidden1: &'b mut [u8],
}

/// Embeds an image with sizes that are known only at run time; a host tool
/// that takes any model uses this. A firmware uses [`Embedder`].
///
/// `pixels` has [`Input::pixels`](crate::image::Input::pixels) grey values,
/// `buffers` are at least [`Model::buffer_sizes`] long, and `embedding` has
/// [`Model::dim`] coordinates.
///
/// # Errors
/// [`SizeError`] if one of them has another size; nothing is written then.
pub fn embed_into(
    model: &Model<'_>,
    pixels: &[u8],
    buffers: Buffers<'_>,
    embedding: &mut [i16],
) -> Result<(), SizeError> {
    embed_with(model.backend(), model, pixels, buffers, embedding)
}

/// [`embed_into`] with a backend of the caller's choice, for tests and benchmarks.
///
/// # Errors
/// As [`embed_into`].
pub fn embed_with<K: Kernel>(
    kernel: K,
    model: &Model<'_>,
    pixels: &[u8],
    buffers: Buffers<'_>,
    embedding: &mut [i16],
) -> Result<(), SizeError> {
    let input = &model.header().input;
    if pixels.len() != input.pixels() {
        return Err(SizeError::Image {
            expected: input.pixels(),
            found: pixels.len(),
        });
    }
    check_dimension(model, embedding.len())?;
    let Buffers { shared, hidden1 } = buffers;
    let too_small = SizeError::Buffers {
        needed: model.buffer_sizes(),
        found: (shared.len(), hidden1.len()),
    };

    let [first, second, last] = model.layers();
    let (needed, _) = model.buffer_sizes();
    let shared = shared.get_mut(..needed).ok_or(too_small)?;
    let hidden1 = hidden1.get_mut(..first.outputs()).ok_or(too_small)?;
    // Both are within `needed`.
    let inputs = shared.get_mut(..first.inputs()).ok_or(too_small)?;
    run_first_layer(kernel, model, pixels, inputs, hidden1);
    let hidden2 = shared.get_mut(..second.outputs()).ok_or(too_small)?;
    run_layer(kernel, second, hidden1, Outputs::Hidden(hidden2));
    run_layer(kernel, last, hidden2, Outputs::Coordinates(embedding));
    Ok(())
}

/// Embeds a batch of images: the same integers as [`embed_into`] gives one after
/// the other, but faster on hosts, because weights are used for many images while
/// they are in the nearest cache. `siamese_build::BatchEmbedder` brings the memory.
///
/// `pixels` has the images one after the other, and `embeddings` becomes their
/// coordinates in the same order. As many images are embedded at a time as the
/// buffers have room for; each takes [`Model::buffer_sizes`].
///
/// # Errors
/// [`SizeError`] if the last image is incomplete, `embeddings` has not
/// [`Model::dim`] coordinates an image, or the buffers don't hold one image;
/// nothing is written then.
pub fn embed_batch(
    model: &Model<'_>,
    pixels: &[u8],
    buffers: Buffers<'_>,
    embeddings: &mut [i16],
) -> Result<(), SizeError> {
    embed_batch_with(model.backend(), model, pixels, buffers, embeddings)
}

/// [`embed_batch`] with a backend of the caller's choice, for tests and benchmarks.
///
/// # Errors
/// As [`embed_batch`].
pub fn embed_batch_with<K: Kernel>(
    kernel: K,
    model: &Model<'_>,
    mut pixels: &[u8],
    buffers: Buffers<'_>,
    mut embeddings: &mut [i16],
) -> Result<(), SizeError> {
    let input = &model.header().input;
    // A parsed model takes pixels.
    let (image, dim) = (input.pixels().max(1), model.dim());
    let (images, rest) = (pixels.len() / image, pixels.len() % image);
    if rest != 0 {
        return Err(SizeError::Image {
            expected: image,
            found: rest,
        });
    }
    if images.checked_mul(dim) != Some(embeddings.len()) {
        return Err(SizeError::Dimension {
            model: images.saturating_mul(dim),
            asked: embeddings.len(),
        });
    }
    let Buffers { shared, hidden1 } = buffers;
    check_buffers(model, (shared.len(), hidden1.len()))?;

    let [first, second, last] = model.layers();
    let sizes = model.buffer_sizes();
    let room = (shared.len() / sizes.0.max(1)).min(hidden1.len() / sizes.1.max(1));
    while !pixels.is_empty() {
        // No product is larger than the length of a slice that was counted above.
        let count = room.min(pixels.len() / image);
        let now;
        (now, pixels) = pixels.split_at_checked(count * image).unwrap_or_default();
        let (coordinates, later) = embeddings
            .split_at_mut_checked(count * dim)
            .unwrap_or_default();
        embeddings = later;
        let part = |length: usize| ..count * length;
        let activations = shared.get_mut(part(first.inputs())).unwrap_or_default();
        let outputs = hidden1.get_mut(part(first.outputs())).unwrap_or_default();
        if first.has_lanes() {
            let images = now
                .chunks_exact(image)
                .zip(outputs.chunks_exact_mut(first.outputs()));
            let inputs = activations.get_mut(..first.inputs()).unwrap_or_default();
            for (pixels, outputs) in images {
                run_first_layer(kernel, model, pixels, inputs, outputs);
            }
        } else {
            quantise_all(model, now, activations);
            run_layer_batch(kernel, first, activations, Outputs::Hidden(outputs));
        }
        let activations = shared.get_mut(part(second.outputs())).unwrap_or_default();
        run_layer_batch(kernel, second, outputs, Outputs::Hidden(activations));
        run_layer_batch(kernel, last, activations, Outputs::Coordinates(coordinates));
    }
    Ok(())
}

/// The first layer, from the pixels of an image; `inputs` has room for its activations.
fn run_first_layer<K: Kernel>(
    kernel: K,
    model: &Model<'_>,
    pixels: &[u8],
    inputs: &mut [u8],
    hidden1: &mut [u8],
) {
    let (input, bits) = (&model.header().input, model.header().precision.input);
    let [first, ..] = model.layers();
    let mut outputs = Outputs::Hidden(hidden1);
    let source = Source::Pixels(input, bits, pixels);
    let added = bits <= 2
        && first.has_lanes()
        && lanes::takes(first)
        && outputs.of_lanes(first, 0, |target| {
            lanes::add(kernel.adder(), first, &source, target)
        });
    if added {
        return;
    }
    quantise(input, bits, pixels, inputs);
    run_layer(kernel, first, inputs, outputs);
}

/// The input activations of so many bits.
fn quantise(input: &Input, bits: u8, pixels: &[u8], activations: &mut [u8]) {
    input.quantise(pixels, activations);
    if bits < 7 {
        activations
            .iter_mut()
            .for_each(|activation| *activation >>= 7 - bits);
    }
}

/// The input activations of many images.
fn quantise_all(model: &Model<'_>, mut pixels: &[u8], mut activations: &mut [u8]) {
    let (input, bits) = (&model.header().input, model.header().precision.input);
    while let Some((image, later)) = pixels.split_at_checked(input.pixels().max(1)) {
        let Some((inputs, rest)) = activations.split_at_mut_checked(input.activations()) else {
            return;
        };
        quantise(input, bits, image, inputs);
        (pixels, activations) = (later, rest);
    }
}

/// Where a layer's outputs go.
enum Outputs<'b> {
    /// To activations, by the ReLU.
    Hidden(&'b mut [u8]),
    /// To the coordinates of an embedding.
    Coordinates(&'b mut [i16]),
}

impl Outputs<'_> {
    /// Runs a layer in lanes, the outputs of which are those of image `image`.
    fn of_lanes<T>(
        &mut self,
        layer: &Layer<'_>,
        image: usize,
        run: impl FnOnce(&mut Target<'_>) -> T,
    ) -> T {
        let start = image * layer.outputs();
        if let Outputs::Hidden(outputs) = self
            && let Some(round) = layer.common_rounding()
        {
            let outputs = outputs.get_mut(start..).unwrap_or_default();
            return run(&mut Target::Activations(outputs, round));
        }
        run(&mut Target::Sums(&mut |first, accs| {
            self.put(layer, start + first, first, accs);
        }))
    }

    /// Rounds the sums of neighbouring rows, from row `first` on, to the outputs
    /// from number `start` on.
    #[inline(always)] // Into a backend that is compiled for a later processor.
    fn put(&mut self, layer: &Layer<'_>, start: usize, first: usize, accs: &[i32]) {
        let range = start..start + accs.len();
        match self {
            Outputs::Hidden(outputs) => {
                if let Some(outputs) = outputs.get_mut(range) {
                    layer.hidden(first, accs, outputs);
                }
            }
            Outputs::Coordinates(outputs) => {
                let outputs = outputs.get_mut(range).unwrap_or_default();
                for (row, (out, &acc)) in (first..).zip(outputs.iter_mut().zip(accs)) {
                    *out = layer.coordinate(row, acc);
                }
            }
        }
    }
}

/// One layer: sums by the kernel, rounding and clamps here.
#[inline(never)] // One copy of the code for all layers.
fn run_layer<K: Kernel>(kernel: K, layer: &Layer<'_>, inputs: &[u8], mut outputs: Outputs<'_>) {
    if layer.has_lanes() {
        return outputs.of_lanes(layer, 0, |to| run_lanes(kernel, layer, inputs, to));
    }
    kernel.accumulate(
        layer,
        inputs,
        #[inline(always)] // Into a backend that is compiled for a later processor.
        |first, accs| outputs.put(layer, first, first, accs),
    );
}

/// A layer in lanes, by additions if that is possible.
fn run_lanes<K: Kernel>(kernel: K, layer: &Layer<'_>, inputs: &[u8], outputs: &mut Target<'_>) {
    let source = Source::Activations(inputs);
    if !(lanes::takes(layer) && lanes::add(kernel.adder(), layer, &source, outputs)) {
        lanes::multiply(layer, inputs, outputs);
    }
}

/// [`run_layer`] for a batch, whose outputs come one image after the other.
fn run_layer_batch<K: Kernel>(
    kernel: K,
    layer: &Layer<'_>,
    inputs: &[u8],
    mut outputs: Outputs<'_>,
) {
    if layer.has_lanes() {
        let images = inputs.chunks_exact(layer.inputs().max(1));
        for (image, inputs) in images.enumerate() {
            outputs.of_lanes(layer, image, |to| run_lanes(kernel, layer, inputs, to));
        }
        return;
    }
    kernel.accumulate_batch(
        layer,
        inputs,
        #[inline(always)] // As above.
        |image, first, accs| outputs.put(layer, image * layer.outputs() + first, first, accs),
    );
}

fn check_dimension(model: &Model<'_>, asked: usize) -> Result<(), SizeError> {
    if model.dim() == asked {
        Ok(())
    } else {
        Err(SizeError::Dimension {
            model: model.dim(),
            asked,
        })
    }
}

fn check_buffers(model: &Model<'_>, found: (usize, usize)) -> Result<(), SizeError> {
    let needed = model.buffer_sizes();
    if found.0 >= needed.0 && found.1 >= needed.1 {
        Ok(())
    } else {
        Err(SizeError::Buffers { needed, found })
    }
}

/// Embeds images with one model, in memory of its own that is known at compile
/// time: [`Embedder::RAM`] bytes, most of them the two activation buffers.
///
/// `D`, the number of coordinates, is exact, because the application's own
/// types ([`Embedding<D>`], galleries) follow from it. The buffers `SHARED` (of
/// the input and the second hidden layer) and `HIDDEN1` (of the first) are
/// capacities, checked once in [`Embedder::new`]: a model is data, and a
/// smaller or retrained one must run in a firmware that is already built. The
/// aliases in [`crate::preset`] name the sizes of the usual models.
#[derive(Debug, Clone)]
pub struct Embedder<'m, const D: usize, const SHARED: usize, const HIDDEN1: usize> {
    model: Model<'m>,
    shared: [u8; SHARED],
    hidden1: [u8; HIDDEN1],
}

impl<'m, const D: usize, const SHARED: usize, const HIDDEN1: usize>
    Embedder<'m, D, SHARED, HIDDEN1>
{
    /// The bytes of RAM that one embedder takes, the view of the model
    /// included. An embedding needs nothing else but some stack.
    pub const RAM: usize = size_of::<Self>();

    /// An embedder for `model`.
    ///
    /// # Errors
    /// [`SizeError::Dimension`] if the model's embedding has not exactly `D`
    /// coordinates, [`SizeError::Buffers`] if a buffer is too small for it.
    pub fn new(model: Model<'m>) -> Result<Self, SizeError> {
        check_dimension(&model, D)?;
        check_buffers(&model, (SHARED, HIDDEN1))?;
        Ok(Self {
            model,
            shared: [0; SHARED],
            hidden1: [0; HIDDEN1],
        })
    }

    /// The model that it embeds with.
    #[must_use]
    pub const fn model(&self) -> &Model<'m> {
        &self.model
    }

    /// The embedding of an image: 8-bit grey values, row-major, 0 = background.
    ///
    /// # Errors
    /// [`SizeError::Image`] if the image has another number of pixels than the
    /// model takes.
    pub fn embed(&mut self, pixels: &[u8]) -> Result<Embedding<D>, SizeError> {
        let mut embedding = [0; D];
        let buffers = Buffers {
            shared: &mut self.shared,
            hidden1: &mut self.hidden1,
        };
        embed_into(&self.model, pixels, buffers, &mut embedding)?;
        Ok(Embedding(embedding))
    }

    /// The two hidden layers of the last image that was embedded: activations
    /// in `0..=127`. All zero before the first image.
    #[must_use]
    pub fn hidden(&self) -> [&[u8]; 2] {
        let [first, second, _] = self.model.layers();
        // The buffers were checked when the embedder was made.
        [
            self.hidden1.get(..first.outputs()).unwrap_or_default(),
            self.shared.get(..second.outputs()).unwrap_or_default(),
        ]
    }
}
