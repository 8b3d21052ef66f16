//! Short trainings that leave out some of the classes each, for thresholds that
//! hold for classes that nobody has seen yet: [`crate::gallery::folds`] says why.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use tch::Device;

use crate::dataset::{Class, Dataset};
use crate::embed::IntEmbeddings;
use crate::embed::points::Points;
use crate::gallery::folds::Fold;
use crate::gallery::prototypes::by_class;
use crate::pipeline::embed_float;
use crate::recipe::{Plan, Recipe};
use crate::train::checkpoint::Checkpoint;
use crate::train::network::FoldedTensors;
use crate::train::{Event, Outcome, fit};

/// The most trainings.
const TRAININGS: usize = 4;
/// The steps of each, as a part of the whole training's.
const LENGTH: f64 = 0.05;
/// Passes over the images that they take at least, if that is no more than
/// [`LONGEST`]: after two, what is known lies so much nearer to the middle than after
/// forty that thresholds come out far too low.
const PASSES: f64 = 10.0;
/// The longest that these may make them, as a part of the whole training's.
const LONGEST: f64 = 0.25;
/// The part of the images that these trainings don't see.
const SPARE: f64 = 0.1;
/// The most images of a class that are compared.
const IMAGES: usize = 500;

/// The classes that each training leaves out: every class once, as many each, and
/// at least two classes left to train with. Empty if there are fewer than three.
#[must_use]
pub fn groups(classes: &[Class]) -> Vec<BTreeSet<Class>> {
    let count = if classes.len() < 3 {
        0
    } else {
        TRAININGS.min(classes.len())
    };
    let group = |first: usize| classes.iter().copied().skip(first).step_by(count).collect();
    (0..count).map(group).collect()
}

/// The plan of the training that leaves out a group.
#[must_use]
pub fn plan(whole: &Plan, group: &BTreeSet<Class>) -> Plan {
    let epochs = whole.recipe.epochs;
    Plan {
        without: whole.without.union(group).copied().collect(),
        recipe: Recipe {
            epochs: (epochs * LENGTH).max(PASSES.min(epochs * LONGEST)),
            // A small set's training is counted in steps.
            steps: whole
                .recipe
                .steps
                .map(|steps| (steps as f64 * LENGTH).ceil() as usize),
            // The integers are those of the whole training; here, floats will do.
            tuning: 0.0,
            validation: 0.0,
            patience: 0,
            ..whole.recipe.clone()
        },
        ..whole.clone()
    }
}

/// Trains without each of the [`groups`] of the classes of `train`, as `whole` says
/// but shorter, and embeds images that it didn't train with. `partial` is the file
/// in which a training saves itself; it is gone in the end. `None` if it was told
/// to stop: the same call goes on from there, at the training that it was at.
///
/// # Errors
/// As [`fit`]'s.
pub fn train_without_each(
    whole: &Plan,
    train: &Dataset,
    device: Device,
    partial: &Path,
    stop: &AtomicBool,
    mut report: impl FnMut(usize, Event<'_>),
) -> Result<Option<Vec<Fold>>> {
    let (train, spare) = train.hold_out(SPARE, whole.seed);
    let spare = thinned(&spare);
    let mut folds = Vec::new();
    for (number, group) in groups(&train.classes()).into_iter().enumerate() {
        let plan = plan(whole, &group);
        let partial = numbered(partial, number);
        // One that another plan left behind would be refused, and is of no use.
        let saved = Checkpoint::read(&partial);
        if partial.exists() && !saved.is_ok_and(|saved| saved.plan == plan) {
            remove(&partial)?;
        }
        let told = |event: Event<'_>| report(number, event);
        let outcome = fit(&plan, &train.without(&group), device, &partial, stop, told)?;
        let Outcome::Finished(trained) = outcome else {
            return Ok(None);
        };
        if partial.exists() {
            remove(&partial)?;
        }
        let tensors = FoldedTensors::new(&trained.network, Device::Cpu);
        folds.push(Fold {
            embeddings: in_steps(&embed_float(&tensors, &trained.network, &spare.images)?),
            labels: spare.labels.clone(),
            unseen: group,
        });
    }
    Ok(Some(folds))
}

fn remove(path: &Path) -> Result<()> {
    std::fs::remove_file(path).with_context(|| format!("can't remove {}", path.display()))
}

/// At most [`IMAGES`] of each class.
fn thinned(set: &Dataset) -> Dataset {
    let mut kept: Vec<usize> = by_class(&set.labels)
        .into_iter()
        .flat_map(|members| members.into_iter().take(IMAGES))
        .collect();
    kept.sort_unstable();
    set.subset(&kept)
}

/// The points in steps, of which the largest coordinate takes 16,000.
fn in_steps(points: &Points) -> IntEmbeddings {
    let coords = points.coords();
    let largest = coords.iter().fold(f32::MIN_POSITIVE, |m, c| m.max(c.abs()));
    let scale = largest / 16_000.0;
    IntEmbeddings {
        dim: points.dim(),
        scale,
        steps: coords.iter().map(|c| (c / scale).round() as i16).collect(),
    }
}

/// The file of one of the trainings.
fn numbered(partial: &Path, number: usize) -> PathBuf {
    let name = partial.file_name().unwrap_or_default().to_string_lossy();
    partial.with_file_name(format!("without-{number}.{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Images;
    use crate::recipe::{Preset, RecipeName};

    #[test]
    fn every_class_is_left_out_once_and_two_remain() {
        for count in 3..=30 {
            let classes: Vec<Class> = (0..count).map(|class| 3 * class).collect();
            let groups = groups(&classes);
            assert!((2..=TRAININGS).contains(&groups.len()));
            let mut left_out: Vec<Class> = groups.iter().flatten().copied().collect();
            left_out.sort_unstable();
            assert_eq!(left_out, classes);
            assert!(groups.iter().all(|group| group.len() + 2 <= classes.len()));
        }
        assert!(groups(&[1, 2]).is_empty());
    }

    #[test]
    fn a_training_that_leaves_out_is_short_however_long_the_whole_one_is_counted() {
        let images = Images::new(8, 8, vec![0; 64 * 60]).unwrap();
        let set = Dataset::new(images, (0..60).map(|image| image % 6).collect()).unwrap();
        for recipe in [
            RecipeName::Default.recipe(),
            RecipeName::Default.recipe().for_images(60),
        ] {
            let whole = Plan::new(Preset::Tiny, 2, recipe, 1, &set).unwrap();
            let part = plan(&whole, &BTreeSet::from([1]));
            let steps = |plan: &Plan| plan.recipe.steps(6_000_000);
            assert!(steps(&part) * 9 <= steps(&whole) && steps(&part) > 0);
            assert!(part.without.contains(&1));
        }
        let epochs = |epochs| {
            let recipe = Recipe {
                epochs,
                ..RecipeName::Default.recipe()
            };
            let whole = Plan::new(Preset::Tiny, 2, recipe, 1, &set).unwrap();
            plan(&whole, &BTreeSet::from([1])).recipe.epochs
        };
        for (whole, part) in [(400.0, 20.0), (100.0, 10.0), (40.0, 10.0), (8.0, 2.0)] {
            assert!((epochs(whole) - part).abs() < 1e-9, "{whole}");
        }
    }
}
