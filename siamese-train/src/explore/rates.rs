//! What thresholds mean: how many strangers each accepts, and how much of what is enrolled it
//! refuses.

use anyhow::Result;
use serde::Serialize;
use siamese_core::model::Model;

use crate::dataset::Class;
use crate::embed::IntEmbeddings;
use crate::gallery::allowance::extent;
use crate::gallery::calibrate::judged;
use crate::gallery::folds::Reach;
use crate::gallery::prototypes::classes;

/// Shares of wrong acceptances, from the strictest to the most generous step.
const LOWEST: f64 = 0.001;
const HIGHEST: f64 = 0.1;
/// Steps between them, both included.
const STEPS: usize = 21;
/// The share that the page starts with: of what a visitor draws, more is refused at less.
const START: f64 = 0.02;
/// Labels that thresholds are told for; with more, those of so many count.
const LABELS: usize = 32;
/// Examples of a prototype, and how often they are drawn.
const SHOTS: usize = 5;
const DRAWS: usize = 10;
/// Places of the curve of what is refused.
const PLACES: usize = 100;

/// Thresholds by how many strangers they accept.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rates {
    /// Whether the strangers are of classes that trainings left out. If not, each class of the
    /// images stands for them in turn, though the network was trained to part it from others.
    pub new_classes: bool,
    /// From the strictest.
    pub steps: Vec<Step>,
    /// Thresholds in squared steps, ascending, and the share of what is enrolled that each
    /// refuses.
    pub refused: Vec<(f64, f64)>,
    /// The step that is taken first.
    pub start: usize,
}

/// The thresholds of one share of accepted strangers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// The share.
    pub accept: f64,
    /// Squared steps, by the number of labels that are enrolled, from 1 on; the last holds for
    /// all larger numbers.
    pub thresholds: Vec<u64>,
}

impl Rates {
    /// Measures them with labelled images that training has not seen, and with what classes that
    /// were left out have shown, if that is known of the model.
    ///
    /// # Errors
    /// If there are fewer than two classes, or too few images of one.
    pub fn of(
        model: &Model<'_>,
        reach: Option<&Reach>,
        embeddings: &IntEmbeddings,
        labels: &[Class],
    ) -> Result<Self> {
        let calibration = model.header().calibration;
        let allowance = calibration.map_or(0, |found| found.allowance);
        let judged = judged(embeddings, labels, (SHOTS, DRAWS, 1), allowance)?;
        let reach = reach.filter(|reach| reach.allowance == allowance);
        let extent = extent(embeddings, &classes(labels));
        let mut strangers = judged.different;
        strangers.sort_unstable();
        let thresholds = |accept: f64| match reach {
            Some(reach) => (1..=LABELS)
                .map(|labels| reach.thresholds(accept, labels, extent)[0])
                .collect(),
            None => {
                let place = (strangers.len() as f64 * accept) as usize;
                let first_refused = strangers.get(place).copied().unwrap_or(i64::MAX);
                vec![(first_refused - 1).max(0).cast_unsigned()]
            }
        };
        let steps: Vec<Step> = (0..STEPS)
            .map(|step| {
                let part = step as f64 / (STEPS - 1) as f64;
                let accept = LOWEST * (HIGHEST / LOWEST).powf(part);
                Step {
                    accept: (accept * 1e5).round() / 1e5,
                    thresholds: thresholds(accept),
                }
            })
            .collect();
        let mut same = judged.same;
        same.sort_unstable();
        let last = same.len().saturating_sub(1);
        let refused = (0..=PLACES).map(|place| {
            let place = last * place / PLACES;
            let within = same.partition_point(|&other| other <= same[place]);
            let refused = 1.0 - within as f64 / same.len() as f64;
            // A device sees no excess below 0.
            (same[place].max(0) as f64, (refused * 1e4).round() / 1e4)
        });
        let mut refused: Vec<(f64, f64)> = refused.collect();
        // Of equal thresholds, the one that refuses least.
        refused.reverse();
        refused.dedup_by_key(|place| place.0);
        refused.reverse();
        Ok(Self {
            new_classes: reach.is_some(),
            start: steps
                .iter()
                .position(|step| step.accept >= 0.99 * START)
                .unwrap_or(0),
            steps,
            refused,
        })
    }
}
