//! `import`: from a network that was trained elsewhere to a model for devices.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use siamese_core::image::Input;
use siamese_core::model::MAX_NAME;
use siamese_train::dataset::{Class, ClassNames, Dataset, Images, Source, Split, read_labels};
use siamese_train::import::{Data, InputRange, NormPlace, Report, Roles, Weights, convert};
use siamese_train::pipeline::Files;

use super::choice::PoolingArg;
use super::train::losses_and_files;
use super::{Output, SourceArg};

/// The part of the test images that should get the same class from integers as
/// from floats.
const CLOSE: f64 = 0.999;

/// Turn a network that was trained elsewhere, in PyTorch say, into a model for devices
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The network: three fully connected layers with ReLU between them, in a safetensors file
(safetensors.torch.save_file(net.state_dict(), \"net.safetensors\")), with batch norm or without,
of 16-, 32- or 64-bit floats. Layers are found by their shapes; --map names them where the file
holds more. Train with black as the background and pixels from 0 to 1, or say what was done to
them with --mean and --std, or --white.

Writes, like `train`, into the folder OUT: NAME.siam, NAME.golden.safetensors, NAME.json (what the
integers lose, layer by layer and class by class), and NAME/ with embed.txt and the maps.

Examples:
  siamese-train import --weights net.safetensors --calibration data
  siamese-train import --weights net.safetensors --calibration data --mean 0.1307 --std 0.3081
  siamese-train import --weights net.safetensors --map layer1=fc1,layer2=fc2,layer3=head,norm1=bn1 \\
      --calibration images.idx.gz --labels labels.idx.gz --out parts")]
pub struct Args {
    /// The trained network
    #[arg(long, value_name = "FILE.safetensors")]
    weights: PathBuf,
    /// Which tensors are which layer: layer1=fc1,layer2=fc2,layer3=fc3, and norm1=bn1 and so on for
    /// batch norms [default: found by their shapes]
    #[arg(long, value_name = "ROLES")]
    map: Option<Roles>,
    /// Where batch norm stands
    #[arg(long, value_enum, default_value_t = NormPlace::BeforeRelu)]
    norm: NormPlace,
    /// What batch norm adds to a variance (eps)
    #[arg(long, value_name = "EPS", default_value_t = 1e-5)]
    norm_epsilon: f64,
    /// The folder to write to
    #[arg(long, value_name = "DIR", default_value = "imported")]
    out: PathBuf,
    /// The model's name, and its files' [default: that of the weights' file]
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    pixels: Pixels,
    #[command(flatten)]
    calibration: CalibrationArgs,
}

/// What the network takes for pixels.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Input")]
struct Pixels {
    /// Columns and rows of an image, such as 28x28 [default: those of the calibration images]
    #[arg(long, value_name = "WxH", value_parser = size)]
    input: Option<(u16, u16)>,
    /// What the first layer takes of an image
    #[arg(long, value_enum, default_value_t = PoolingArg::None)]
    pooling: PoolingArg,
    /// Whether what is drawn is set upright first, as siamese-core does it
    #[arg(long)]
    deskew: bool,
    /// The mean that Normalize subtracted
    #[arg(
        long,
        value_name = "MEAN",
        default_value_t = 0.0,
        allow_negative_numbers = true
    )]
    mean: f64,
    /// The deviation that Normalize divided by
    #[arg(long, value_name = "DEVIATION", default_value_t = 1.0)]
    std: f64,
    /// What a white pixel was before Normalize: 1 after ToTensor, 255 for raw bytes
    #[arg(long, alias = "scale", value_name = "VALUE", default_value_t = 1.0)]
    white: f64,
}

/// The images that scales are fitted to and that both networks are compared on.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Images")]
struct CalibrationArgs {
    /// Images like those of the training: an IDX file, raw or .gz, or the folder of a known set
    #[arg(long, value_name = "DATA")]
    calibration: PathBuf,
    /// The set, if --calibration is a folder
    #[arg(long, value_enum, default_value_t = SourceArg(Source::Mnist))]
    dataset: SourceArg,
    /// The labels of an IDX file; without them only precision is measured
    #[arg(long, value_name = "IDX")]
    labels: Option<PathBuf>,
    /// Images to compare on; without them, a tenth of the others
    #[arg(long, value_name = "IDX", requires_all = ["test_labels", "labels"])]
    test_images: Option<PathBuf>,
    /// Their labels
    #[arg(long, value_name = "IDX", requires = "test_images")]
    test_labels: Option<PathBuf>,
}

/// The images, with labels if there are any.
enum Loaded {
    Images(Images),
    Labelled(Box<(Dataset, Dataset)>),
}

impl CalibrationArgs {
    fn load(&self) -> Result<(Loaded, ClassNames)> {
        let path = &self.calibration;
        if path.is_dir() {
            ensure!(
                self.labels.is_none(),
                "--labels goes with an IDX file; {} is a folder",
                path.display()
            );
            let source = self.dataset.0;
            let gallery = Dataset::load(path, source, Split::Train)?;
            let test = Dataset::load(path, source, Split::Test)?;
            let sets = Box::new((gallery, test));
            return Ok((Loaded::Labelled(sets), ClassNames::from(source)));
        }
        let images = Images::read(path)?;
        let Some(labels) = &self.labels else {
            return Ok((Loaded::Images(images), ClassNames::numbers()));
        };
        let labels: Vec<Class> = read_labels(labels)?.into_iter().map(Class::from).collect();
        let all = Dataset::new(images, labels).with_context(|| {
            format!(
                "{} and --labels are no two files of one set",
                path.display()
            )
        })?;
        let sets = match (&self.test_images, &self.test_labels) {
            (Some(images), Some(labels)) => (all, Dataset::read(images, labels)?),
            _ => {
                ensure!(
                    all.len() >= 20,
                    "{} images are too few to hold some out; give --test-images and --test-labels",
                    all.len()
                );
                all.hold_out(0.1, 1)
            }
        };
        Ok((Loaded::Labelled(Box::new(sets)), ClassNames::numbers()))
    }
}

pub fn run(args: &Args, output: Output) -> Result<()> {
    let weights = Weights::read(&args.weights)?;
    let roles = match &args.map {
        Some(roles) => roles.clone(),
        None => weights
            .roles()
            .with_context(|| format!("cannot use {}", args.weights.display()))?,
    };
    output.note(&format!("taking {}", told(&roles)));
    let (loaded, names) = args.calibration.load()?;
    let data = match &loaded {
        Loaded::Images(images) => Data::Images(images),
        Loaded::Labelled(sets) => Data::Labelled(&sets.0, &sets.1),
    };
    let images = match data {
        Data::Images(images) => images,
        Data::Labelled(gallery, _) => &gallery.images,
    };
    let (width, height) = match args.pixels.input {
        Some(size) => size,
        None => sides(images)?,
    };
    let input = Input {
        width,
        height,
        pooling: args.pixels.pooling.into(),
        deskew: args.pixels.deskew,
    };
    let range = InputRange {
        white: args.pixels.white,
        mean: args.pixels.mean,
        deviation: args.pixels.std,
    };
    let network = weights
        .network(&roles, input, range, args.norm, args.norm_epsilon)
        .with_context(|| format!("cannot use {}", args.weights.display()))?;
    let files = Files::new(&args.out, &name(args)?);
    let report = convert(&network, weights.digest(), data, &names, &files, |stage| {
        output.note(stage)
    })?;
    output.report(&summary(&report, &files)?, &report)
}

/// The model's name.
fn name(args: &Args) -> Result<String> {
    let name = match &args.name {
        Some(name) => name.clone(),
        None => args
            .weights
            .file_stem()
            .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned()),
    };
    ensure!(
        !name.is_empty()
            && name.len() <= MAX_NAME
            && Path::new(&name).file_name() == Some(name.as_ref()),
        "'{name}' can't be the name of a model, which has 1 to {MAX_NAME} bytes and is a file's \
         name; give another with --name"
    );
    Ok(name)
}

/// Which tensors were taken, for people.
fn told(roles: &Roles) -> String {
    let layers = roles.layers.iter().zip(&roles.norms);
    let layers = layers.map(|(layer, norm)| match norm {
        Some(norm) => format!("{layer} with {norm}"),
        None => layer.clone(),
    });
    layers.collect::<Vec<_>>().join(", ")
}

/// Columns and rows of images as a model can hold them.
fn sides(images: &Images) -> Result<(u16, u16)> {
    let side = |pixels: usize| {
        u16::try_from(pixels)
            .with_context(|| format!("images of {pixels} pixels a side are too large"))
    };
    Ok((side(images.width())?, side(images.height())?))
}

/// Reads `28x28`.
fn size(text: &str) -> Result<(u16, u16)> {
    let sides = text.split_once(['x', 'X']).and_then(|(width, height)| {
        Some((width.trim().parse().ok()?, height.trim().parse().ok()?))
    });
    sides.context("give columns and rows, such as 28x28")
}

fn summary(report: &Report, files: &Files) -> Result<String> {
    let mut text = String::new();
    let [first, second, dim] = report.sizes;
    writeln!(
        text,
        "{}: {}-{first}-{second}-{dim}, the same integers from the core and from libtorch for {} \
         images\n",
        report.name,
        report.input.activations(),
        report.images
    )?;
    if let (Some(float), Some(int8), Some(same)) = (report.float, report.int8, report.same_class) {
        writeln!(text, "  on the test images    float     int8  same class")?;
        let mut line = |name: &str, float: f64, int8: f64, same: Option<f64>| {
            let same = same.map_or_else(String::new, |same| format!("{:>10.2} %", 100.0 * same));
            writeln!(text, "  {name:<18}{float:>9.4}{int8:>9.4}{same}")
        };
        line("knn25", float.knn25, int8.knn25, Some(same.knn25))?;
        line(
            "centroid",
            float.centroid,
            int8.centroid,
            Some(same.centroid),
        )?;
        line("eer", float.eer, int8.eer, None)?;
        if same.knn25.min(same.centroid) < CLOSE {
            writeln!(
                text,
                "\n  The integers give another class than the floats for more than one image in a \
                 thousand:\n  look at where it is lost below; weights that differ much within a \
                 row lose most."
            )?;
        }
        writeln!(text)?;
    }
    text.push_str(&losses_and_files(&report.precision, files)?);
    Ok(text)
}
