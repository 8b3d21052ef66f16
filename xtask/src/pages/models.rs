//! The committed models, as tables: from the report and the model file of each.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;
use siamese_build::{Board, OwnedModel};
use siamese_core::image::Pooling;

use super::budget;
use super::seeds::{self, Spread};
use super::table::{grouped, table};
use crate::bench::MODELS;

/// What is known of a model.
#[derive(Clone)]
pub struct Report {
    name: &'static str,
    /// Its layers, as `checkerboard 392-128-64-2`.
    layers: String,
    /// Bytes of its weights.
    weights: usize,
    /// The training's report.
    training: Value,
}

/// Reads all models that are measured, but for those that are there for what is enrolled
/// later: docs/learning-in-the-field.md says how good they are at that.
pub fn read(folder: &Path) -> Result<Vec<Report>> {
    MODELS
        .into_iter()
        .filter(|name| !name.contains("fewshot"))
        .map(|name| read_one(folder, name))
        .collect()
}

fn read_one(folder: &Path, name: &'static str) -> Result<Report> {
    let path = folder.join(format!("{name}.siam"));
    let owned =
        OwnedModel::read(&path).with_context(|| format!("can't read {}", path.display()))?;
    let model = owned.model();
    let (input, sizes) = (model.header().input, model.header().sizes);
    let inputs = input.activations();
    let bits = match model.has_lanes() {
        true => {
            let [a, b, c] = model.layers().map(|layer| layer.weight_bits());
            format!(", weights of {a}, {b} and {c} bits")
        }
        false => String::new(),
    };
    let pooling = match input.pooling {
        Pooling::None => "",
        Pooling::Sum2x2 => "2x2-pooled ",
        Pooling::Checkerboard => "checkerboard ",
        Pooling::Inner2x2 => "inner 2x2-pooled ",
        Pooling::InnerCheckerboard => "inner checkerboard ",
    };
    let deskewed = if input.deskew { "deskewed, " } else { "" };
    let [first, second, dim] = sizes;
    let path = folder.join(format!("{name}.json"));
    let text =
        fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))?;
    Ok(Report {
        name,
        layers: format!("{deskewed}{pooling}{inputs}-{first}-{second}-{dim}{bits}"),
        weights: model
            .layers()
            .iter()
            .map(|layer| layer.weights().len())
            .sum(),
        training: serde_json::from_str(&text)
            .with_context(|| format!("{} is no report", path.display()))?,
    })
}

impl Report {
    /// The name of the model.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The share of test images that are right, the mean of all seeds.
    pub fn right(&self, seeds: &[Value]) -> f64 {
        self.spread(seeds, "/int8/knn25").mean()
    }

    fn figure(&self, pointer: &str) -> f64 {
        let value = self.training.pointer(pointer).and_then(Value::as_f64);
        value.unwrap_or(f64::NAN)
    }

    /// A figure with the model's own seed and the others that were measured.
    fn spread(&self, seeds: &[Value], pointer: &str) -> Spread {
        let others = seeds::of_model(seeds, self.name, pointer);
        Spread::new([self.figure(pointer)].into_iter().chain(others))
    }

    fn size(&self) -> String {
        format!("{:.0} KiB", self.weights as f64 / 1024.0)
    }
}

/// Which model for whom: sizes, quality, instructions on two cores, and time on two boards.
pub fn overview(models: &[Report], seeds: &[Value], bench: &[Value]) -> String {
    const CORES: [&str; 2] = ["M0", "M4"];
    const BOARDS: [(Board, &str); 2] = [(Board::Pico, "Pico"), (Board::Nrf52840dk, "nRF52840")];
    let head = ["model", "layers", "weights", "right", "equal error rate"]
        .map(str::to_owned)
        .into_iter()
        .chain(CORES.map(|core| format!("instructions, {core}")))
        .chain(BOARDS.map(|(_, name)| format!("estimated, {name}")));
    let rows = models.iter().map(|model| {
        let cost = |core: &str| {
            let row = bench
                .iter()
                .find(|row| row["core"] == core && row["model"] == model.name);
            let count = row.and_then(|row| row["instructions_per_image"].as_f64());
            count.map_or("too large".to_owned(), grouped)
        };
        let about = [
            format!("`{}`", model.name),
            model.layers.clone(),
            model.size(),
            model.spread(seeds, "/int8/knn25").percent(2),
            model.spread(seeds, "/int8/eer").percent(2),
        ];
        let times = BOARDS.map(|(board, _)| budget::time(bench, model.name, board));
        about
            .into_iter()
            .chain(CORES.map(cost))
            .chain(times)
            .collect()
    });
    table(head.collect(), rows)
}

/// What a training reached after its steps.
pub fn in_steps(training: &Value) -> String {
    let figure = |pointer: &str| {
        let value = training.pointer(pointer).and_then(Value::as_f64);
        value.unwrap_or(f64::NAN)
    };
    let head = [
        "steps",
        "knn25, float",
        "knn25, integers",
        "equal error rate, integers",
        "silhouette, integers",
    ];
    let row = vec![
        grouped(figure("/steps")),
        format!("{:.4}", figure("/float/knn25")),
        format!("{:.4}", figure("/int8/knn25")),
        format!("{:.4}", figure("/int8/eer")),
        format!("{:.3}", figure("/int8/silhouette")),
    ];
    table(head.map(str::to_owned).to_vec(), [row].into_iter())
}

/// Quality with floats and with integers, and how long the training took.
pub fn in_full(models: &[Report], seeds: &[Value]) -> String {
    let head = [
        "model",
        "layers",
        "weights",
        "knn25, float",
        "knn25, integers",
        "equal error rate, integers",
        "seeds",
        "knn25 of all seeds",
        "equal error rate of all",
        "trained in",
    ];
    let rows = models.iter().map(|model| {
        vec![
            format!("`{}`", model.name),
            model.layers.clone(),
            model.size(),
            format!("{:.4}", model.figure("/float/knn25")),
            format!("{:.4}", model.figure("/int8/knn25")),
            format!("{:.4}", model.figure("/int8/eer")),
            model.spread(seeds, "/int8/knn25").seeds().to_string(),
            model.spread(seeds, "/int8/knn25").share(4),
            model.spread(seeds, "/int8/eer").share(4),
            format!("{:.1} min", model.figure("/seconds") / 60.0),
        ]
    });
    table(head.map(str::to_owned).to_vec(), rows)
}
