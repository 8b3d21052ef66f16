//! Time on this machine.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use siamese_build::{BatchEmbedder, OwnedModel};
use siamese_core::embedder::{Buffers, embed_into, embed_with};
use siamese_core::kernel::{Kernel, Portable};
use siamese_core::model::Model;

use super::{HOST, name};
use crate::shell;

/// Images of a large batch.
const BATCH: usize = 1000;
/// Rounds, in each of which every way gets its turn.
const ROUNDS: usize = 15;

/// Embeds images, which come one after the other.
type Embed<'a> = dyn FnMut(&[u8]) + 'a;

/// One way to embed.
struct Way<'a> {
    kernel: &'static str,
    batch: usize,
    embed: &'a mut Embed<'a>,
    /// Nanoseconds an image, in each round.
    times: Vec<f64>,
}

/// The rows of one model.
pub fn measure(model: &Path, images: &[Vec<u8>]) -> Result<Vec<Value>> {
    let file = OwnedModel::read(model).with_context(|| format!("can't use {}", model.display()))?;
    let fast = file.for_this_machine()?;
    let (rows, fast) = (file.model(), fast.model());
    let step = (images.len() / BATCH).max(1);
    let images: Vec<&[u8]> = images.iter().step_by(step).map(Vec::as_slice).collect();
    let pixels = images[..BATCH.min(images.len())].concat();
    let size = rows.header().input.pixels();

    let portable = |model: &Model<'_>, pixels: &[u8], buffers: Buffers<'_>, out: &mut [i16]| {
        embed_with(Portable, model, pixels, buffers, out)
    };
    let mut plain = one_by_one(&rows, portable);
    let mut plain_batch = one_by_one(&rows, portable);
    let mut chosen = one_by_one(&fast, embed_into);
    let mut chosen_batch = at_once(&fast);
    let chosen_name = fast.backend().name();
    let mut ways: [Way<'_>; 4] = [
        way(Portable.name(), 1, &mut plain),
        way(Portable.name(), BATCH, &mut plain_batch),
        way(chosen_name, 1, &mut chosen),
        way(chosen_name, BATCH, &mut chosen_batch),
    ];
    for _ in 0..ROUNDS {
        for way in &mut ways {
            way.times
                .push(time(way.batch * size, size, &pixels, way.embed));
        }
    }
    Ok(ways
        .into_iter()
        .map(|way| {
            let ns = median(way.times);
            shell::note(&format!(
                "{}, {}, {} at once: {ns:.0} ns an image",
                name(model),
                way.kernel,
                way.batch
            ));
            json!({
                "core": HOST,
                "machine": std::env::consts::ARCH,
                "model": name(model),
                "kernel": way.kernel,
                "batch": way.batch,
                "ns_per_image": (ns * 10.0).round() / 10.0,
            })
        })
        .collect())
}

fn way<'a>(kernel: &'static str, batch: usize, embed: &'a mut Embed<'a>) -> Way<'a> {
    Way {
        kernel,
        batch,
        embed,
        times: Vec::new(),
    }
}

/// A function that embeds images one after the other in buffers of its own.
fn one_by_one<'m, F, E>(model: &'m Model<'m>, embed: F) -> impl FnMut(&[u8]) + use<'m, F, E>
where
    F: Fn(&Model<'_>, &[u8], Buffers<'_>, &mut [i16]) -> Result<(), E>,
    E: std::fmt::Debug,
{
    let (shared, hidden1) = model.buffer_sizes();
    let (mut shared, mut hidden1) = (vec![0; shared], vec![0; hidden1]);
    let mut embedding = vec![0; model.dim()];
    let size = model.header().input.pixels();
    move |images| {
        for image in images.chunks_exact(size) {
            let buffers = Buffers {
                shared: &mut shared,
                hidden1: &mut hidden1,
            };
            embed(model, image, buffers, &mut embedding).expect("MNIST's images fit");
            black_box(&mut embedding);
        }
    }
}

/// A function that embeds images as one batch.
fn at_once<'m>(model: &Model<'m>) -> impl FnMut(&[u8]) + use<'m> {
    let mut embedder = BatchEmbedder::new(*model);
    let (size, dim) = (model.header().input.pixels(), model.dim());
    let mut embeddings = vec![0; BATCH * dim];
    move |images| {
        let embeddings = &mut embeddings[..images.len() / size * dim];
        let embedded = embedder.embed(images, embeddings);
        embedded.expect("MNIST's images fit");
        black_box(embeddings);
    }
}

/// Nanoseconds an image of `size` pixels, so many pixels at a time. One image at
/// a time, each is timed by itself, with the clock's own time in it, and the
/// median counts.
fn time(at_a_time: usize, size: usize, pixels: &[u8], embed: &mut Embed<'_>) -> f64 {
    let mut nanoseconds = |pixels: &[u8]| {
        let start = Instant::now();
        embed(black_box(pixels));
        start.elapsed().as_nanos() as f64 / (pixels.len() / size) as f64
    };
    median(pixels.chunks(at_a_time).map(&mut nanoseconds).collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
