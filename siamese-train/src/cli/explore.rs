//! `explore`: a page to look at the map, to draw, and to teach.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::json;
use siamese_train::dataset::Split;
use siamese_train::embed::ModelFile;
use siamese_train::explore::{FILM, page};
use siamese_train::files::write_atomic;
use siamese_train::train::history::Film;

use super::Output;
use super::labelled::OneSet;
use super::output::shown;

/// Bytes of a page, unless it is all that there is to leave out.
const MOST_BYTES: usize = 3_000_000;

/// Make a page for any browser: the map, a pad to draw on, and a network that learns
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Writes one file that needs no network and no server: open it, or put it on any site. It has all
points of the map with their images, the model as it is in flash, and siamese-core compiled to
WebAssembly: what is drawn gets the very integers that a device gives, and a gallery that is
downloaded from it is one that `device gallery push` takes.

The images are the test part of a known set unless --images and --labels are given. They get as
many grey levels on the page as keep it below --most-bytes.

Examples:
  siamese-train explore --model model/small-fewshot.siam --out page.html
  siamese-train explore --model parts/net.siam --images parts-test --out parts.html")]
pub struct Args {
    /// The quantised model
    #[arg(long, value_name = "FILE.siam")]
    model: PathBuf,
    #[command(flatten)]
    set: OneSet,
    /// The page to write
    #[arg(long, value_name = "FILE.html", default_value = "explore.html")]
    out: PathBuf,
    /// The map while it formed, as `train` wrote it [default: film.safetensors in the folder of the
    /// model's pictures, if it is there]
    #[arg(long, value_name = "FILE")]
    film: Option<PathBuf>,
    /// What the images are, for the page's text [default: the name of the set]
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// Bytes that the page should have at most; at two grey levels it has what it needs
    #[arg(long, value_name = "BYTES", default_value_t = MOST_BYTES)]
    most_bytes: usize,
}

pub fn run(args: &Args, output: Output) -> Result<()> {
    let file = ModelFile::read(&args.model)?;
    let input = file.model().header().input;
    let set = args.set.load(Split::Test, Some(input), output)?;
    let subject = args.subject.clone().unwrap_or_else(|| {
        let source = args.set.source();
        source.map_or_else(
            || "your own images".to_owned(),
            |source| format!("{}'s test images", source.title()),
        )
    });
    let beside = args.model.with_extension("").join(FILM);
    let film = match &args.film {
        Some(path) => Some(Film::read(path)?),
        None if beside.is_file() => Some(Film::read(&beside)?),
        None => None,
    };
    let most = args.most_bytes;
    let page = page(
        &file,
        &set,
        &subject,
        film.as_ref(),
        most,
        output.progress(),
    )?;
    write_atomic(&args.out, |out| Ok(out.write_all(page.html.as_bytes())?))?;
    let bytes = page.html.len();
    let human = format!(
        "{}: {:.1} MB, {} points, {} of them among another class. Open it in a browser.",
        args.out.display(),
        bytes as f64 / 1e6,
        page.points,
        page.mistakes
    );
    let json = json!({
        "page": shown(&args.out),
        "bytes": bytes,
        "points": page.points,
        "mistakes": page.mistakes,
        "grey_levels": page.grey_levels,
        "film": film.map_or(0, |film| film.frames.len()),
    });
    output.report(&human, &json)
}
