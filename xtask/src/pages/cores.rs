//! What was measured of each core, as the rows of `siamese-build/src/cost.rs`.

use std::fmt::Write;

use serde_json::Value;
use siamese_build::cost::{Mix, Work};
use siamese_build::{Board, Core};

/// Numbers that the instructions of an image follow from.
const FEATURES: usize = 3;
/// Times that samples are weighed anew; what comes out has long ceased to change.
const ROUNDS: usize = 1_000;
/// Parts that estimates are off by, in the mean, where nothing is left to improve.
const EXACT: f64 = 1e-12;

/// A row a core.
pub fn rows(bench: &[Value]) -> String {
    let mut text = String::new();
    for core in Core::ALL {
        if let Some(row) = row(core, bench) {
            let _ = writeln!(text, "    {row},");
        }
    }
    text
}

/// The instructions of a Cortex-M0+ are those of a Cortex-M0: one program is for both.
fn counted_as(core: Core) -> Core {
    match core {
        Core::CortexM0Plus => Core::CortexM0,
        core => core,
    }
}

/// Whether a row was measured on a core.
fn is_of(core: Core, row: &Value) -> bool {
    let board = row["machine"].as_str().and_then(|name| name.parse().ok());
    board.is_some_and(|board: Board| board.core() == core)
}

fn row(core: Core, bench: &[Value]) -> Option<String> {
    let of = |core: Core| bench.iter().filter(move |row| is_of(core, row));
    let counted: Vec<&Value> = of(counted_as(core))
        .filter(|row| row["instructions_per_image"].is_u64())
        .collect();
    let cycles = core.timing().and_then(|timing| {
        let mixes = counted.iter().filter_map(|row| mix(&row["mix"]));
        let mixes: Vec<f64> = mixes.map(|mix| timing.cycles(&mix)).collect();
        (!mixes.is_empty()).then(|| mixes.iter().sum::<f64>() / mixes.len() as f64)
    });
    let samples = of(core).map(|row| sample(row, cycles));
    let samples: Vec<Sample> = samples.collect::<Option<_>>()?;
    let eights: Vec<_> = samples
        .iter()
        .filter(|sample| sample.work.all_words() == 0.0)
        .collect();
    let [active, product, output] = fit(&eights)?;
    let of_eights = |sample: &Sample| {
        let [a, p, o] = sample.features();
        active * a + product * p + output * o
    };
    let mean = |words: Vec<f64>| {
        (!words.is_empty()).then(|| words.iter().sum::<f64>() / words.len() as f64)
    };
    // What a word takes more: of the dearest images, which have no zeros, all are multiplied.
    let dense = of(core).filter_map(|row| worst_sample(row, cycles));
    let dense = dense.filter(|sample| sample.work.all_words() > 0.0);
    let of_dense = |sample: Sample| (sample.counted - of_eights(&sample)) / sample.work.all_words();
    let dense_word = mean(dense.map(of_dense).collect());
    // And one that is added.
    let but_for_added = |sample: &Sample| {
        of_eights(sample) + dense_word.unwrap_or_default() * sample.work.multiplied
    };
    let added = samples.iter().filter(|sample| sample.work.words > 0.0);
    let of_added = |sample: &Sample| (sample.counted - but_for_added(sample)) / sample.work.words;
    let word = mean(added.map(of_added).collect());
    let optional =
        |word: Option<f64>| word.map_or("None".into(), |word| format!("Some({word:.3})"));
    let off = samples.iter().map(|sample| {
        let estimated = but_for_added(sample) + word.unwrap_or_default() * sample.work.words;
        (estimated / sample.counted - 1.0).abs()
    });
    let within = off.fold(0.0, f64::max);
    let [word, dense_word] = [word, dense_word].map(optional);
    let cycles = cycles.map_or("None".into(), |cycles| format!("Some({cycles:.3})"));
    let most = |rows: &[&Value], key: &str| rows.iter().filter_map(|row| row[key].as_u64()).max();
    let code = |lanes: bool| {
        let rows = counted.iter().filter(|row| has_lanes(row) == lanes);
        rows.filter_map(|row| Some(row["flash_code"].as_u64()? + row["flash_loader"].as_u64()?))
            .max()
    };
    let lanes = code(true).map_or(0, |with| {
        with.saturating_sub(code(false).unwrap_or_default())
    });
    let embedding = bytes(
        code(false)?,
        most(&counted, "embedding_data")?,
        most(&counted, "ram_stack")?,
    );
    let own: Vec<&Value> = of(core).filter(|row| !has_lanes(row)).collect();
    let device = bytes(
        most(&own, "device_code")?,
        most(&own, "device_data")?,
        most(&own, "device_stack")?,
    );
    Some(format!(
        "Measured {{ core: Core::{core:?}, instructions: [{active:.2}, {product:.4}, {output:.2}], \
         word: {word}, dense_word: {dense_word}, lanes: {lanes}, within: {within:.3}, cycles: {cycles}, embedding: {embedding}, device: {device} }}"
    ))
}

fn bytes(code: u64, data: u64, stack: u64) -> String {
    format!("Bytes {{ code: {code}, data: {data}, stack: {stack} }}")
}

/// What a row of a report says of the work of an image.
pub fn work(row: &Value) -> Option<Work> {
    work_of(&row["work"])
}

fn work_of(value: &Value) -> Option<Work> {
    let of = |key: &str| value[key].as_f64();
    Some(Work {
        active: of("active")?,
        products: of("products")?,
        outputs: of("outputs")?,
        // Older rows are of models without, or don't tell them apart.
        words: of("words").unwrap_or_default(),
        multiplied: of("multiplied").unwrap_or_default(),
    })
}

/// Whether a row is of a model with weights of 2, 3 or 4 bits.
fn has_lanes(row: &Value) -> bool {
    work(row).is_some_and(|work| work.all_words() > 0.0)
}

fn mix(value: &Value) -> Option<Mix> {
    let of = |key: &str| value[key].as_f64();
    Some(Mix {
        memory: of("memory")?,
        runs: of("runs")?,
        words: of("words")?,
        taken: of("taken")?,
    })
}

/// What a row says of a model.
struct Sample {
    /// What the instructions follow from.
    work: Work,
    /// The instructions: counted, or as many as the counted cycles make by the cycles that an
    /// instruction takes.
    counted: f64,
}

impl Sample {
    /// What the instructions of layers with weights of 8 bits follow from.
    fn features(&self) -> [f64; FEATURES] {
        let Work {
            active,
            products,
            outputs,
            ..
        } = self.work;
        [active, products, outputs]
    }
}

/// The sample of a row's mean.
fn sample(row: &Value, cycles: Option<f64>) -> Option<Sample> {
    let keys = ["instructions_per_image", "cycles_per_image"];
    sample_of(work(row)?, row, keys, cycles)
}

/// The sample of a row's dearest image.
fn worst_sample(row: &Value, cycles: Option<f64>) -> Option<Sample> {
    let keys = ["instructions_worst_image", "cycles_worst_image"];
    sample_of(work_of(&row["worst_work"])?, row, keys, cycles)
}

fn sample_of(
    work: Work,
    row: &Value,
    [instructions, by_cycles]: [&str; 2],
    cycles: Option<f64>,
) -> Option<Sample> {
    let by_cycles = || Some(row[by_cycles].as_f64()? / cycles?);
    Some(Sample {
        work,
        counted: row[instructions].as_f64().or_else(by_cycles)?,
    })
}

/// The factors whose sum of products with the features is, of the sample that it fits worst, the
/// smallest part off: that part is what users are told. Least squares, in which samples weigh the
/// more the farther off they were each time before (Lawson, "Contributions to the Theory of Linear
/// Least Maximum Approximation", 1961). `None` of too few samples.
fn fit(samples: &[&Sample]) -> Option<[f64; FEATURES]> {
    let mut weights = vec![1.0; samples.len()];
    let mut factors = least_squares(samples, &weights)?;
    for _ in 0..ROUNDS {
        for (weight, sample) in weights.iter_mut().zip(samples) {
            let products = sample.features().into_iter().zip(factors);
            let estimated: f64 = products.map(|(feature, factor)| feature * factor).sum();
            *weight *= (estimated / sample.counted - 1.0).abs();
        }
        let mean = weights.iter().sum::<f64>() / samples.len() as f64;
        if mean < EXACT {
            break;
        }
        weights.iter_mut().for_each(|weight| *weight /= mean);
        factors = least_squares(samples, &weights)?;
    }
    Some(factors)
}

/// The factors of the least sum of the weighted squares of the parts that are off, by the normal
/// equations.
fn least_squares(samples: &[&Sample], weights: &[f64]) -> Option<[f64; FEATURES]> {
    let mut rows = [[0.0; FEATURES + 1]; FEATURES];
    for (sample, weight) in samples.iter().zip(weights) {
        let features = sample.features().map(|feature| feature / sample.counted);
        for (row, a) in rows.iter_mut().zip(features) {
            for (cell, b) in row.iter_mut().zip(features.into_iter().chain([1.0])) {
                *cell += weight * a * b;
            }
        }
    }
    // Elimination by Gauss and Jordan; the matrix is positive definite, so no pivot is
    // sought.
    for pivot in 0..FEATURES {
        let scale = rows[pivot][pivot];
        if scale.abs() < 1e-12 {
            return None;
        }
        rows[pivot] = rows[pivot].map(|cell| cell / scale);
        let of_pivot = rows[pivot];
        for (_, row) in rows
            .iter_mut()
            .enumerate()
            .filter(|(index, _)| *index != pivot)
        {
            let factor = row[pivot];
            for (cell, subtracted) in row.iter_mut().zip(of_pivot) {
                *cell -= factor * subtracted;
            }
        }
    }
    Some(rows.map(|row| row[FEATURES]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Workspace;

    #[test]
    fn a_linear_cost_is_found_again() {
        let factors = [30.0, 1.5, 60.0];
        let samples = [
            [60.0, 2700.0, 82.0],
            [105.0, 11_000.0, 194.0],
            [190.0, 21_000.0, 208.0],
            [270.0, 240_000.0, 2050.0],
        ];
        let value = |features: [f64; 3]| features.iter().zip(factors).map(|(a, b)| a * b).sum();
        let samples = samples.map(|[active, products, outputs]| Sample {
            work: Work {
                active,
                products,
                outputs,
                ..Work::default()
            },
            counted: value([active, products, outputs]),
        });
        let found = fit(&samples.each_ref()).unwrap();
        for (found, factor) in found.into_iter().zip(factors) {
            assert!((found / factor - 1.0).abs() < 1e-6, "{found}");
        }
        assert_eq!(fit(&[]), None);
    }

    #[test]
    fn what_was_counted_is_predicted_as_well_as_is_said() {
        let path = Workspace::find().unwrap().root().join("docs/bench.json");
        let text = std::fs::read_to_string(path).unwrap();
        let bench: Vec<Value> = serde_json::from_str(&text).unwrap();
        let mut cores = 0;
        for core in Core::ALL {
            let Some(measured) = core.measured() else {
                continue;
            };
            cores += 1;
            assert!(measured.within < 0.1, "{core}");
            let mut rows = 0;
            for row in bench.iter().filter(|row| is_of(core, row)) {
                let Sample { counted, .. } = sample(row, measured.cycles).unwrap();
                let off = measured.instructions(&work(row).unwrap()) / counted - 1.0;
                // The factors are rounded.
                let most = measured.within + 0.002;
                assert!(off.abs() <= most, "{core}, {}: {off:.3}", row["model"]);
                rows += 1;
            }
            assert!(rows > FEATURES, "{core}");
        }
        assert_eq!(cores, 8);
    }
}
