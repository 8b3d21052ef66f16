//! How much of a figure is chance: the committed models' recipes with other seeds.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::train_all::{self, MODELS};
use crate::workspace::Workspace;
use crate::{pages, shell};

/// What `cargo xtask seeds --help` says in the end.
pub const HELP: &str = "\
Trains the models of model/ with the seeds that follow theirs, which is 1, each in
target/seeds/SEED; measures, with every seed, how well digits are known that training never saw
(`siamese-train fewshot`, 7, 8 and 9 left out, then 3, 5 and 8). Then writes docs/seeds.json, and
the tables that give a mean and a spread. What target/seeds holds already isn't trained again; a
folder removed there is. Some hours on 2 idle cores, half of them for `reference`; Ctrl-C and the
same command go on with the model that was interrupted.

Examples:
  cargo xtask seeds
  cargo xtask seeds tiny small
  cargo xtask seeds few-shot";

/// What stands for the measurements of classes that training never saw.
const FEW_SHOT: &str = "few-shot";
/// The digits that these leave out.
const HELD_OUT: [&str; 2] = ["7,8,9", "3,5,8"];

/// What can be named.
fn names() -> impl Iterator<Item = &'static str> {
    let models = MODELS.into_iter().map(|(name, ..)| name);
    let measured = models.filter(|name| !name.contains("fewshot"));
    measured.chain([FEW_SHOT])
}

/// Which ones, and with how many seeds.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The models to train, and few-shot [default: all]
    #[arg(value_name = "NAME", value_parser = names().collect::<Vec<_>>())]
    names: Vec<String>,
    /// How many seeds, 1 among them
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
}

/// Trains what isn't there, and writes the reports.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    train_all::prepare(workspace)?;
    let mut rows = Vec::new();
    for name in names() {
        if !args.names.is_empty() && !args.names.iter().any(|chosen| chosen == name) {
            continue;
        }
        if name == FEW_SHOT {
            for held_out in HELD_OUT {
                for seed in 1..=args.seeds {
                    rows.push(new_classes(workspace, held_out, seed)?);
                }
            }
        } else {
            for seed in 2..=args.seeds {
                rows.push(trained(workspace, name, seed)?);
            }
        }
    }
    pages::write_seeds(workspace.root(), &rows)
}

/// Where a seed's models are.
fn folder(workspace: &Workspace, seed: u64) -> PathBuf {
    workspace.target().join("seeds").join(seed.to_string())
}

/// What a model's recipe reaches with another seed.
fn trained(workspace: &Workspace, name: &str, seed: u64) -> Result<Value> {
    let folder = folder(workspace, seed);
    let report = folder.join(name).with_extension("json");
    if !report.is_file() {
        let options = MODELS.into_iter().find(|(model, _)| *model == name);
        let (_, options) = options.with_context(|| format!("there is no model {name}"))?;
        let title = format!("{name}, seed {seed}");
        shell::step("Training", &title, || {
            let seed = seed.to_string();
            let train = workspace.trainer(["train", "--seed", &seed]);
            let train = train.args(options).arg("--out");
            train.arg(workspace.short(&folder)).run()
        })?;
    }
    let report = read(&report)?;
    let figures = |of: &str| json!({"knn25": report[of]["knn25"], "eer": report[of]["eer"]});
    Ok(json!({
        "model": name,
        "seed": report["plan"]["seed"],
        "float": figures("float"),
        "int8": figures("int8"),
    }))
}

/// How well classes are known that a training with this seed has never seen.
fn new_classes(workspace: &Workspace, held_out: &str, seed: u64) -> Result<Value> {
    let folder = folder(workspace, seed);
    let kept = folder.join(format!("{FEW_SHOT}-{held_out}.json"));
    if !kept.is_file() {
        let title = format!("without {held_out}, seed {seed}");
        let report = shell::step("Training", &title, || {
            let seed = seed.to_string();
            let call = ["--json", "fewshot", "--held-out", held_out, "--seed", &seed];
            let out = folder.join(FEW_SHOT).join(held_out);
            let measure = workspace.trainer(call).arg("--out");
            measure.arg(workspace.short(&out)).capture()
        })?;
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(&kept, report))
            .with_context(|| format!("can't write {}", kept.display()))?;
    }
    let report = read(&kept)?;
    Ok(json!({
        "held_out": report["held_out"],
        "seed": seed,
        "draws": report["draws"],
        "shots": report["shots"],
    }))
}

fn read(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path);
    let text = text.with_context(|| format!("can't read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no report", path.display()))
}
