//! `plot`: the pictures of a map.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::ArgGroup;
use serde_json::json;
use siamese_train::dataset::{ClassNames, Dataset, Split};
use siamese_train::embed::points::Points;
use siamese_train::embed::{ModelFile, embed_images};
use siamese_train::evaluate::neighbours::knn_leave_one_out;
use siamese_train::evaluate::{Labelled, Verification, evaluate_leave_one_out};
use siamese_train::plot::{self, Panel, Projection, write_maps_by};

use super::Output;
use super::labelled::OneSet;
use super::output::shown;

/// Maps in a row of a comparison.
const COLUMNS: usize = 3;

/// Draw the map: points by class, and the images at their points
#[derive(Debug, clap::Args)]
#[command(
    group = ArgGroup::new("what").required(true).args(["model", "embeddings", "compare"]),
    after_help = "\
Writes embed.svg and embed.png (every image a point in the colour of its class) and
embed_preview.png (the images themselves at their points). The images are the test part of a
known set unless --images and --labels are given; the points are computed by --model, or read
from the file that `embed` wrote. Maps of more than two dimensions are drawn by their two
principal components.

Examples:
  siamese-train plot --model model/small.siam --out-dir pictures
  siamese-train plot --compare model/tiny.siam model/small.siam model/medium.siam
  siamese-train plot --embeddings embed.txt --images i.idx.gz --labels l.idx.gz"
)]
pub struct Args {
    /// The quantised model that embeds the images
    #[arg(long, value_name = "FILE.siam")]
    model: Option<PathBuf>,
    /// Draw the maps of several models side by side instead, as maps.svg/.png
    #[arg(long, value_name = "FILE.siam", num_args = 1.., conflicts_with_all = ["report", "title"])]
    compare: Vec<PathBuf>,
    /// Embeddings, one line an image, in the images' order
    #[arg(long, value_name = "FILE")]
    embeddings: Option<PathBuf>,
    #[command(flatten)]
    set: OneSet,
    /// Where the pictures go
    #[arg(long, value_name = "DIR", default_value = ".")]
    out_dir: PathBuf,
    /// Also draw distances.svg/.png (same and different pairs, with the threshold of the equal error
    /// rate) and confusion.svg/.png (which class is taken for which, leave-one-out)
    #[arg(long)]
    report: bool,
    /// How points of more than two coordinates come into the plane
    #[arg(long, value_enum, default_value_t = Projection::Neighbours, conflicts_with = "compare")]
    projection: Projection,
    /// The title; made from the model's name or the file's if not given
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
}

pub fn run(args: &Args, output: Output) -> Result<()> {
    let model = args.model.as_deref().map(ModelFile::read).transpose()?;
    let size = model.as_ref().map(|file| file.model().header().input);
    let set = args.set.load(Split::Test, size, output)?;
    let names = set.names.clone();
    let what = args
        .set
        .source()
        .map(|source| format!(" on {}", source.title()));
    let what = what.unwrap_or_default();
    if !args.compare.is_empty() {
        return compare(args, &set, &names, output);
    }
    let (points, subject) = match (&model, &args.embeddings) {
        (Some(file), _) => {
            let model = file.model();
            let embeddings = embed_images(&model, &set.images)?;
            (embeddings.to_points()?, model.header().name.to_owned())
        }
        (None, Some(path)) => {
            let points = Points::read(path)?;
            ensure!(
                points.len() == set.len(),
                "{} holds {} points and there are {} images; give the images that it was made from",
                path.display(),
                points.len(),
                set.len()
            );
            let name = path.file_stem().unwrap_or(path.as_os_str());
            (points, name.to_string_lossy().into_owned())
        }
        (None, None) => anyhow::bail!("give --model or --embeddings"),
    };
    let title = args
        .title
        .clone()
        .unwrap_or_else(|| format!("{subject}{what}"));
    let labelled = Labelled::new(&points, &set.labels)?;
    let mut paths = write_maps_by(
        args.projection,
        output.progress(),
        &args.out_dir,
        labelled,
        &set.images,
        &names,
        &title,
    )
    .with_context(|| format!("cannot draw into {}", args.out_dir.display()))?;
    if args.report {
        let evaluation = evaluate_leave_one_out(labelled)?;
        let pictures = [
            (
                "distances",
                plot::distances(&evaluation.verification, &title),
            ),
            (
                "confusion",
                plot::confusion(&evaluation.confusion, &names, &title),
            ),
        ];
        for (name, picture) in pictures {
            let path = args.out_dir.join(format!("{name}.svg"));
            picture.write_svg(&path)?;
            picture.write_png(&path.with_extension("png"))?;
            paths.extend([path.clone(), path.with_extension("png")]);
        }
    }
    let human: String = paths
        .iter()
        .map(|path| format!("{}\n", path.display()))
        .collect();
    let paths: Vec<String> = paths.iter().map(|path| shown(path)).collect();
    output.report(&human, &json!({ "pictures": paths }))
}

/// Maps side by side, with how good each is for its own 25 nearest.
fn compare(args: &Args, set: &Dataset, names: &ClassNames, output: Output) -> Result<()> {
    let mut maps = Vec::new();
    let bar = output
        .progress()
        .count("embedding", "models", args.compare.len() as u64);
    for path in &args.compare {
        let file = ModelFile::read(path)?;
        let points = embed_images(&file.model(), &set.images)?.to_points()?;
        let labelled = Labelled::new(&points, &set.labels)?;
        let right = knn_leave_one_out(labelled, &[25])?;
        let eer = Verification::of(labelled)?.eer;
        let remark = format!("knn25 {:.3} (leave-one-out), EER {eer:.3}", right[0]);
        maps.push((file.model().header().name.to_owned(), remark, points));
        bar.inc(1);
    }
    bar.finish_and_clear();
    let panels = maps
        .iter()
        .map(|(title, remark, points)| {
            Ok(Panel {
                points: Labelled::new(points, &set.labels)?,
                title,
                remark,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let picture = plot::panels(&panels, panels.len().min(COLUMNS), names);
    let paths = ["maps.svg", "maps.png"].map(|name| args.out_dir.join(name));
    picture.write_svg(&paths[0])?;
    picture.write_png(&paths[1])?;
    let human = paths
        .each_ref()
        .map(|path| path.display().to_string())
        .join("\n");
    let paths = paths.each_ref().map(|path| shown(path));
    output.report(&human, &json!({ "pictures": paths }))
}
