//! What is recorded beside a model about its training.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;
use siamese_core::Model;

use crate::dataset::{Class, ClassNames};
use crate::files::hex;
use crate::limit;
use crate::recipe::Plan;
use crate::train::checkpoint::Checkpoint;

/// A model's training, by the report that `train` writes beside it, or by the
/// checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    classes: Option<ClassNames>,
    without: BTreeSet<Class>,
    plan: Option<Plan>,
}

/// The part of a report that is read.
#[derive(Deserialize)]
struct Report {
    training_digest: String,
    #[serde(default)]
    classes: Option<ClassNames>,
    plan: serde_json::Value,
}

/// The part of a plan that every version has.
#[derive(Default, Deserialize)]
struct LeftOut {
    #[serde(default)]
    without: BTreeSet<Class>,
}

impl Record {
    /// The record beside a model's file, `small.json` or `small.safetensors` beside
    /// `small.siam`; `None` if there is none, or one of another model.
    #[must_use]
    pub fn beside(path: &Path, model: &Model<'_>) -> Option<Self> {
        let digest = model.header().training_digest;
        let in_report = || -> Option<Self> {
            let bytes = limit::read_json(&path.with_extension("json")).ok()?;
            let report: Report = serde_json::from_slice(&bytes).ok()?;
            let left_out = LeftOut::deserialize(&report.plan).unwrap_or_default();
            let plan = Plan::deserialize(&report.plan).ok();
            (report.training_digest == hex(&digest)).then_some(Self {
                classes: report.classes,
                without: left_out.without,
                plan: plan.filter(|plan| plan.digest() == digest),
            })
        };
        let in_checkpoint = || -> Option<Self> {
            let plan = Checkpoint::read(&path.with_extension("safetensors"))
                .ok()?
                .plan;
            (plan.digest() == digest).then(|| Self {
                classes: None,
                without: plan.without.clone(),
                plan: Some(plan),
            })
        };
        in_report().or_else(in_checkpoint)
    }

    /// What the training followed from; `None` if another version has written it in
    /// a way that this one can't follow.
    #[must_use]
    pub const fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    /// The classes that training saw with their names, if they are recorded.
    #[must_use]
    pub const fn classes(&self) -> Option<&ClassNames> {
        self.classes.as_ref()
    }

    /// The classes that were taken out of the set before training.
    #[must_use]
    pub const fn without(&self) -> &BTreeSet<Class> {
        &self.without
    }

    /// Whether training saw a class of this label and name: `None` if that is
    /// not recorded. Reports of earlier versions tell only what was left out.
    #[must_use]
    pub fn has_seen(&self, class: Class, name: &str) -> Option<bool> {
        if let Some(classes) = &self.classes {
            return Some(classes.iter().any(|(_, known)| known == name));
        }
        self.without.contains(&class).then_some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_known_by_name_and_otherwise_what_was_left_out() {
        let classes = ClassNames::new(["cat", "dog"]);
        let record = Record {
            classes: Some(classes),
            without: [2].into(),
            plan: None,
        };
        assert_eq!(record.has_seen(7, "dog"), Some(true));
        assert_eq!(record.has_seen(0, "cow"), Some(false));
        let old = Record {
            classes: None,
            ..record
        };
        assert_eq!(old.has_seen(2, "cow"), Some(false));
        assert_eq!(old.has_seen(0, "cat"), None);
    }
}
