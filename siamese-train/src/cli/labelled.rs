//! Which images: the options that `train` and `fewshot` have in common.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use siamese_train::dataset::ClassNames;
use siamese_train::dataset::{Dataset, Source, Split};

use super::SourceArg;

/// Which images.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Images")]
pub struct Data {
    /// The folder of all data sets, or one with the files of this set
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// The set
    #[arg(long, value_enum, default_value_t = SourceArg(Source::Mnist))]
    dataset: SourceArg,
    /// Training images of your own: IDX, raw or .gz
    #[arg(
        long,
        value_name = "IDX",
        requires = "labels",
        conflicts_with = "dataset"
    )]
    images: Option<PathBuf>,
    /// Their labels
    #[arg(long, value_name = "IDX", requires = "images")]
    labels: Option<PathBuf>,
    /// Test images of your own; without them, a tenth of the training images is held out
    #[arg(long, value_name = "IDX", requires_all = ["test_labels", "images"])]
    test_images: Option<PathBuf>,
    /// Their labels
    #[arg(long, value_name = "IDX", requires = "test_images")]
    test_labels: Option<PathBuf>,
}

impl Data {
    /// The training images, the test images, and the classes' names.
    pub fn load(&self, seed: u64) -> Result<(Dataset, Dataset, ClassNames)> {
        let (Some(images), Some(labels)) = (&self.images, &self.labels) else {
            let source = self.dataset.0;
            let train = Dataset::load(&self.data, source, Split::Train)?;
            let test = Dataset::load(&self.data, source, Split::Test)?;
            return Ok((train, test, ClassNames::from(source)));
        };
        let all = Dataset::read(images, labels)?;
        let (train, test) = match (&self.test_images, &self.test_labels) {
            (Some(images), Some(labels)) => (all, Dataset::read(images, labels)?),
            _ => tenth_for_testing(&all, seed)?,
        };
        let size = |set: &Dataset| (set.images.width(), set.images.height());
        ensure!(
            size(&train) == size(&test),
            "the training images are {:?} pixels large and the test images {:?}; give both in one size",
            size(&train),
            size(&test)
        );
        Ok((train, test, ClassNames::numbers()))
    }
}

/// A tenth of the images to test with, drawn by `seed`, and the rest to train.
fn tenth_for_testing(all: &Dataset, seed: u64) -> Result<(Dataset, Dataset)> {
    ensure!(
        all.len() >= 20,
        "{} images are too few to hold some out; give --test-images and --test-labels",
        all.len()
    );
    Ok(all.hold_out(0.1, seed))
}
