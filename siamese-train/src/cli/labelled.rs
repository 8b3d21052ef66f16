//! Which images, and which classes they are of: the options that all commands
//! have in common.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use siamese_core::image::Input;
use siamese_train::dataset::pictures::{Ink, Options};
use siamese_train::dataset::{ClassNames, Dataset, Folders, Source, Split};

use super::{Output, SourceArg};

/// The least pixels of a side: the checkerboard and the pooling make one input
/// of two.
const LEAST_SIDE: usize = 2;

/// How pictures are read.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Pictures")]
pub struct PictureArgs {
    /// What is drawn: bright on dark or dark on bright; auto looks at each picture
    #[arg(long, value_enum, default_value_t = Ink::Auto)]
    ink: Ink,
    /// The pictures are dark on bright, as --ink dark
    #[arg(long, hide = true, conflicts_with = "ink")]
    invert: bool,
    /// Go on without the pictures that are damaged
    #[arg(long)]
    skip_bad: bool,
}

impl PictureArgs {
    /// The same for the library.
    pub const fn options(&self, output: Output) -> Options {
        Options {
            ink: if self.invert { Ink::Dark } else { self.ink },
            skip_bad: self.skip_bad,
            progress: output.progress(),
        }
    }
}

/// The training images and the test images.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Images")]
pub struct Data {
    /// The folder of all data sets, or one with the files of this set
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// The set
    #[arg(long, value_enum, default_value_t = SourceArg(Source::Mnist))]
    dataset: SourceArg,
    /// Training images of your own: a folder with one folder of pictures a class, or IDX, raw or
    /// .gz
    #[arg(long, value_name = "FOLDER|IDX", conflicts_with = "dataset")]
    images: Option<PathBuf>,
    /// The labels of IDX images
    #[arg(long, value_name = "IDX", requires = "images")]
    labels: Option<PathBuf>,
    /// Test images of your own, in the same form; without them, a tenth of the training images is
    /// held out
    #[arg(long, value_name = "FOLDER|IDX", requires = "images")]
    test_images: Option<PathBuf>,
    /// The labels of IDX test images
    #[arg(long, value_name = "IDX", requires = "test_images")]
    test_labels: Option<PathBuf>,
    /// The names of the classes of IDX images: text, one a line, the first that of label 0
    #[arg(long, value_name = "FILE", requires = "labels")]
    names: Option<PathBuf>,
    /// Pixels in a row of the network's image, into which pictures are fitted
    #[arg(long, value_name = "PIXELS", default_value_t = 28)]
    width: usize,
    /// Rows of it
    #[arg(long, value_name = "PIXELS", default_value_t = 28)]
    height: usize,
    #[command(flatten)]
    pictures: PictureArgs,
}

impl Data {
    /// The training images, the test images, and the classes' names.
    pub fn load(&self, seed: u64, output: Output) -> Result<(Dataset, Dataset, ClassNames)> {
        let Some(images) = &self.images else {
            let source = self.dataset.0;
            let train = Dataset::load(&self.data, source, Split::Train)?;
            let test = Dataset::load(&self.data, source, Split::Test)?;
            return Ok((train, test, ClassNames::from(source)));
        };
        let reader = Reader {
            names: self.names.as_deref(),
            size: (self.width, self.height),
            pictures: &self.pictures,
            output,
        };
        let none = ClassNames::numbers();
        let all = reader.read(images, self.labels.as_deref(), &none, ["images", "labels"])?;
        let (train, test) = match &self.test_images {
            Some(images) => {
                let labels = self.test_labels.as_deref();
                let options = ["test-images", "test-labels"];
                let test = reader.read(images, labels, &all.names, options)?;
                (all, test)
            }
            None => tenth_for_testing(&all, seed)?,
        };
        ensure!(
            size(&train) == size(&test),
            "the training images are {:?} pixels large and the test images {:?}; give both in one size",
            size(&train),
            size(&test)
        );
        // Those of the test images contain those of the training images.
        let names = test.names.clone();
        Ok((train, test, names))
    }
}

const fn size(set: &Dataset) -> (usize, usize) {
    (set.images.width(), set.images.height())
}

/// A tenth of the images to test with, drawn by `seed`, and the rest to train.
fn tenth_for_testing(all: &Dataset, seed: u64) -> Result<(Dataset, Dataset)> {
    ensure!(
        all.len() >= 20,
        "{} images are too few to hold some out; give --test-images",
        all.len()
    );
    Ok(all.hold_out(0.1, seed))
}

/// One set of images: a part of a known one, or one's own.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Images")]
pub struct OneSet {
    /// The folder of all data sets, or one with the files of this set
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// The set, whose test part is used
    #[arg(long, value_enum, default_value_t = SourceArg(Source::Mnist))]
    dataset: SourceArg,
    /// Images of your own: a folder with one folder of pictures a class, or IDX, raw or .gz
    #[arg(long, value_name = "FOLDER|IDX", conflicts_with_all = ["data", "dataset"])]
    images: Option<PathBuf>,
    /// The labels of IDX images
    #[arg(long, value_name = "IDX", requires = "images")]
    labels: Option<PathBuf>,
    /// The names of the classes of IDX images: text, one a line, the first that of label 0
    #[arg(long, value_name = "FILE", requires = "labels")]
    names: Option<PathBuf>,
    #[command(flatten)]
    pictures: PictureArgs,
}

impl OneSet {
    /// The set with its classes' names. Pictures are fitted into what the
    /// model takes, 28x28 pixels without one.
    pub fn load(&self, split: Split, input: Option<Input>, output: Output) -> Result<Dataset> {
        self.load_beside(split, input, &ClassNames::numbers(), output)
    }

    /// The same for a set whose classes have the labels of those of this name
    /// in another one.
    pub fn load_beside(
        &self,
        split: Split,
        input: Option<Input>,
        names: &ClassNames,
        output: Output,
    ) -> Result<Dataset> {
        match &self.images {
            None => Dataset::load(&self.data, self.dataset.0, split),
            Some(images) => self.reader(input, output).read(
                images,
                self.labels.as_deref(),
                names,
                ["images", "labels"],
            ),
        }
    }

    /// Reads other images by the same options; `options` are those that named
    /// them.
    pub fn read(
        &self,
        images: &Path,
        labels: Option<&Path>,
        options: [&str; 2],
        input: Option<Input>,
        output: Output,
    ) -> Result<Dataset> {
        let names = ClassNames::numbers();
        self.reader(input, output)
            .read(images, labels, &names, options)
    }

    /// The known set, unless one's own images were given.
    pub fn source(&self) -> Option<Source> {
        self.images.is_none().then_some(self.dataset.0)
    }

    fn reader(&self, input: Option<Input>, output: Output) -> Reader<'_> {
        let input = input.unwrap_or(Input::MNIST);
        Reader {
            names: self.names.as_deref(),
            size: (input.width.into(), input.height.into()),
            pictures: &self.pictures,
            output,
        }
    }
}

/// Reads images of one's own.
pub struct Reader<'a> {
    /// The file of the names of IDX sets.
    pub names: Option<&'a Path>,
    /// The size that pictures are fitted into.
    pub size: (usize, usize),
    /// How pictures are read.
    pub pictures: &'a PictureArgs,
    /// Who is told.
    pub output: Output,
}

impl Reader<'_> {
    /// Reads a folder of folders, or IDX images with their labels. Classes that
    /// `known` names have its labels. `options` are those that named the two.
    pub fn read(
        &self,
        images: &Path,
        labels: Option<&Path>,
        known: &ClassNames,
        options: [&str; 2],
    ) -> Result<Dataset> {
        let [images_option, labels_option] = options;
        if images.is_dir() {
            ensure!(
                labels.is_none(),
                "{} is a folder, whose folders' names are the classes; leave --{labels_option} \
                 out",
                images.display()
            );
            return Ok(self.folders(images, known)?.set);
        }
        let labels = labels.with_context(|| {
            format!(
                "give the labels of {} with --{labels_option}, or a folder with one folder of \
                 pictures a class as --{images_option}",
                images.display()
            )
        })?;
        let set = Dataset::read(images, labels)?;
        let (width, height) = size(&set);
        ensure!(
            width.min(height) >= LEAST_SIDE,
            "the images of {} are {width}x{height} pixels large; a network needs at least \
             {LEAST_SIDE} a side",
            images.display()
        );
        let names = match self.names {
            Some(path) => ClassNames::read(path)?,
            None => known.clone(),
        };
        Ok(set.with_names(names))
    }

    /// Reads a folder of folders, and says what there is to say about it.
    pub fn folders(&self, path: &Path, known: &ClassNames) -> Result<Folders> {
        let (width, height) = self.size;
        ensure!(
            width.min(height) >= LEAST_SIDE,
            "images of {width}x{height} pixels are too small; a network needs at least \
             {LEAST_SIDE} a side"
        );
        let read = Folders::read(path, known, self.size, &self.pictures.options(self.output))?;
        note_pictures(
            self.output,
            read.passed_over,
            read.turned,
            &read.bad,
            read.paths.len(),
        );
        Ok(read)
    }
}

/// Says what was done with picture files.
pub fn note_pictures(
    output: Output,
    passed_over: usize,
    turned: usize,
    bad: &[(PathBuf, String)],
    read: usize,
) {
    if passed_over > 0 {
        output.note(&format!(
            "{passed_over} files that are no pictures were passed over"
        ));
    }
    if turned > 0 {
        output.note(&format!(
            "{turned} of {read} pictures are dark on bright and were turned over; --ink says it \
             for all"
        ));
    }
    for (path, why) in bad {
        output.note(&format!("skipped {}: {why}", path.display()));
    }
}
