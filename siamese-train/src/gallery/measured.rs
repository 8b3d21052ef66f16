//! How a model was calibrated, and what was measured: told beside its file, because a
//! header has no room for it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use siamese_core::model::Calibration;

use super::calibrate::{Errors, Rates, Wanted, calibrate};
use super::folds::{Reach, apply};
use crate::dataset::Class;
use crate::embed::IntEmbeddings;
use crate::files::write_atomic;
use crate::limit;

/// Whose images stood for what nobody has enrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strangers {
    /// Classes that short trainings left out, one group after the other.
    LeftOut,
    /// Classes that training never saw.
    New,
    /// Each class in turn, whether training has seen it or not.
    EachInTurn,
}

/// How a model was calibrated, and what was measured: a file beside the model's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// That of the model.
    pub fingerprint: u32,
    /// The share of wrong acceptances that was asked for.
    pub wanted: f64,
    /// The rates, on classes or images that set no threshold.
    #[serde(rename = "measured")]
    pub rates: Rates,
    /// Whose images were unknown.
    pub strangers: Strangers,
    /// The labels that were enrolled.
    pub labels: usize,
    /// The examples of each.
    pub shots: usize,
    /// The threshold for prototypes, in squared steps of the embedding.
    pub prototype_threshold: u64,
    /// That for pairs.
    pub pair_threshold: u64,
    /// The allowance, in 256ths of a squared norm.
    #[serde(default)]
    pub allowance: u8,
    /// Thresholds for other rates and other numbers of labels, if classes were
    /// left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Reach>,
}

impl Measured {
    /// Thresholds by what classes that training left out have shown, with `enrolled`
    /// labels, and what they make of `embeddings`: see [`apply`].
    ///
    /// # Errors
    /// As [`apply`]'s.
    pub fn by_folds(
        fingerprint: u32,
        reach: Reach,
        enrolled: usize,
        (embeddings, labels): (&IntEmbeddings, &[Class]),
        wanted: &Wanted,
    ) -> Result<(Calibration, Self)> {
        let rate = wanted.false_accept_rate;
        let (calibration, refused) = apply(
            &reach,
            rate,
            enrolled,
            embeddings,
            labels,
            wanted.draws,
            wanted.seed,
        )?;
        let row = reach.at(rate);
        let errors = |false_accept, false_reject| Errors {
            false_accept,
            false_reject,
        };
        let measured = Self {
            fingerprint,
            wanted: rate,
            rates: Rates {
                prototype: errors(row.measured, refused.prototype),
                pair: errors(row.measured_pair, refused.pair),
            },
            strangers: Strangers::LeftOut,
            labels: enrolled,
            shots: reach.shots,
            prototype_threshold: calibration.prototype_threshold,
            pair_threshold: calibration.pair_threshold,
            allowance: calibration.allowance,
            reach: Some(reach),
        };
        Ok((calibration, measured))
    }

    /// Thresholds by images of the classes alone: see [`calibrate`].
    ///
    /// # Errors
    /// As [`calibrate`]'s.
    pub fn by_images(
        fingerprint: u32,
        (embeddings, labels): (&IntEmbeddings, &[Class]),
        wanted: &Wanted,
    ) -> Result<(Calibration, Self)> {
        let (calibration, rates) = calibrate(embeddings, labels, wanted)?;
        let classes = labels.iter().collect::<BTreeSet<_>>().len();
        let (strangers, labels) = if wanted.unseen.is_empty() {
            // Each class in turn meets the prototypes of all others.
            (Strangers::EachInTurn, classes - 1)
        } else {
            (Strangers::New, classes - wanted.unseen.len())
        };
        let measured = Self {
            fingerprint,
            wanted: wanted.false_accept_rate,
            rates,
            strangers,
            labels,
            shots: wanted.shots,
            prototype_threshold: calibration.prototype_threshold,
            pair_threshold: calibration.pair_threshold,
            allowance: calibration.allowance,
            reach: None,
        };
        Ok((calibration, measured))
    }

    /// Where the record of a model is.
    #[must_use]
    pub fn path(model: &Path) -> PathBuf {
        model.with_extension("calibration.json")
    }

    /// The record beside a model's file, if it is there and of this model.
    #[must_use]
    pub fn beside(model: &Path, fingerprint: u32) -> Option<Self> {
        let text = limit::read_json(&Self::path(model)).ok()?;
        let record: Self = serde_json::from_slice(&text).ok()?;
        (record.fingerprint == fingerprint).then_some(record)
    }

    /// Whether it tells of the thresholds that a model holds.
    #[must_use]
    pub const fn explains(&self, calibration: &Calibration) -> bool {
        self.prototype_threshold == calibration.prototype_threshold
            && self.pair_threshold == calibration.pair_threshold
            && self.allowance == calibration.allowance
    }

    /// Writes it beside a model's file.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn write(&self, model: &Path) -> Result<()> {
        write_atomic(&Self::path(model), |out| {
            Ok(serde_json::to_writer_pretty(out, self)?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_for_its_own_model_alone() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("m.siam");
        // Three classes of 40 images each, far apart.
        let embeddings = IntEmbeddings {
            dim: 1,
            scale: 1.0,
            steps: (0..120)
                .map(|image| 1000 * (image % 3) + image / 3)
                .collect(),
        };
        let labels: Vec<Class> = (0..120).map(|image| image % 3).collect();
        let wanted = Wanted {
            false_accept_rate: 0.01,
            shots: 5,
            draws: 3,
            seed: 1,
            unseen: BTreeSet::new(),
        };
        let (calibration, measured) =
            Measured::by_images(5, (&embeddings, &labels), &wanted).unwrap();
        assert_eq!(
            (measured.strangers, measured.labels),
            (Strangers::EachInTurn, 2)
        );
        measured.write(&model).unwrap();
        assert_eq!(Measured::beside(&model, 5), Some(measured.clone()));
        assert_eq!(Measured::beside(&model, 6), None);
        assert!(measured.explains(&calibration));
        for other in [
            Calibration {
                prototype_threshold: 1,
                ..calibration
            },
            Calibration {
                pair_threshold: 1,
                ..calibration
            },
            Calibration {
                allowance: 1,
                ..calibration
            },
        ] {
            assert!(!measured.explains(&other));
        }
        let new = Wanted {
            unseen: BTreeSet::from([2]),
            ..wanted
        };
        let (_, measured) = Measured::by_images(5, (&embeddings, &labels), &new).unwrap();
        assert_eq!((measured.strangers, measured.labels), (Strangers::New, 2));
    }
}
