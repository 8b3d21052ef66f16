//! Time on this machine.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use siamese_core::embedder::{Buffers, embed_into, embed_with};
use siamese_core::host::OwnedModel;
use siamese_core::kernel::{self, Kernel, Portable};
use siamese_core::model::Model;

use super::{HOST, name};
use crate::shell;

/// Images of a large batch.
const BATCH: usize = 1000;
/// Rounds, in each of which every way gets its turn.
const ROUNDS: usize = 15;

/// One way to embed.
struct Way<'a> {
    kernel: &'static str,
    batch: usize,
    embed: &'a mut dyn FnMut(&[Vec<u8>]),
    /// Nanoseconds an image, in each round.
    times: Vec<f64>,
}

/// The rows of one model.
pub fn measure(model: &Path, images: &[Vec<u8>]) -> Result<Vec<Value>> {
    let file = OwnedModel::read(model).with_context(|| format!("can't use {}", model.display()))?;
    let fast = file.for_this_machine()?;
    let (rows, fast) = (file.model(), fast.model());
    let step = (images.len() / BATCH).max(1);
    let images: Vec<Vec<u8>> = images.iter().step_by(step).take(BATCH).cloned().collect();

    let mut plain = embedder(&rows, embed_with::<Portable>);
    let mut plain_batch = embedder(&rows, embed_with::<Portable>);
    let mut chosen = embedder(&fast, embed_into);
    let mut chosen_batch = embedder(&fast, embed_into);
    let chosen_name = kernel::name(fast.layout());
    let mut ways: [Way<'_>; 4] = [
        way(Portable::NAME, 1, &mut plain),
        way(Portable::NAME, BATCH, &mut plain_batch),
        way(chosen_name, 1, &mut chosen),
        way(chosen_name, BATCH, &mut chosen_batch),
    ];
    for _ in 0..ROUNDS {
        for way in &mut ways {
            way.times.push(time(way.batch, &images, way.embed));
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

fn way<'a>(kernel: &'static str, batch: usize, embed: &'a mut dyn FnMut(&[Vec<u8>])) -> Way<'a> {
    Way {
        kernel,
        batch,
        embed,
        times: Vec::new(),
    }
}

/// A function that embeds images one after the other in buffers of its own.
fn embedder<'m, F, E>(model: &'m Model<'m>, embed: F) -> impl FnMut(&[Vec<u8>]) + use<'m, F, E>
where
    F: Fn(&Model<'_>, &[u8], Buffers<'_>, &mut [i16]) -> Result<(), E>,
    E: std::fmt::Debug,
{
    let (shared, hidden1) = model.buffer_sizes();
    let (mut shared, mut hidden1) = (vec![0; shared], vec![0; hidden1]);
    let mut embedding = vec![0; model.dim()];
    move |images| {
        for image in images {
            let buffers = Buffers {
                shared: &mut shared,
                hidden1: &mut hidden1,
            };
            embed(model, image, buffers, &mut embedding).expect("MNIST's images fit");
            black_box(&mut embedding);
        }
    }
}

/// Nanoseconds an image. One at a time, each image is timed by itself, with the
/// clock's own time in it, and the median counts.
fn time(batch: usize, images: &[Vec<u8>], embed: &mut dyn FnMut(&[Vec<u8>])) -> f64 {
    let nanoseconds = |images: &[Vec<u8>], embed: &mut dyn FnMut(&[Vec<u8>])| {
        let start = Instant::now();
        embed(black_box(images));
        start.elapsed().as_nanos() as f64 / images.len() as f64
    };
    median(
        images
            .chunks(batch)
            .map(|images| nanoseconds(images, embed))
            .collect(),
    )
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
