//! The committed models, trained anew.

use anyhow::Result;

use crate::setup::{self, Need};
use crate::shell;
use crate::workspace::Workspace;

/// What `cargo xtask train-all --help` says in the end.
pub const HELP: &str = "\
Trains the models of model/ on MNIST, each as `siamese-train train` does by itself, which also
calibrates it; writes their files there: about an hour on 2 cores, half of it for `reference`.
Name some to train only those. What was finished before Ctrl-C stays: name those that are left.
`cargo xtask seeds` says how much of their figures is chance.

Examples:
  cargo xtask train-all
  cargo xtask train-all tiny small-d16";

/// A model's name, and the options that make it.
pub const MODELS: [(&str, &[&str]); 9] = [
    ("tiny", &["--preset", "tiny"]),
    ("tiny-d16", &["--preset", "tiny", "--dim", "16"]),
    ("swift", &["--preset", "swift"]),
    ("small", &["--preset", "small"]),
    ("small-d16", &["--preset", "small", "--dim", "16"]),
    ("medium", &["--preset", "medium"]),
    ("reference", &["--preset", "reference"]),
    ("small-fewshot", &["--recipe", "few-shot"]),
    (
        "small-fewshot-without-789",
        &["--recipe", "few-shot", "--without", "7,8,9"],
    ),
];

/// Which models.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The models to train [default: all]
    #[arg(value_name = "MODEL", value_parser = MODELS.map(|(name, ..)| name))]
    models: Vec<String>,
}

/// Trains them one after the other.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    prepare(workspace)?;
    for (name, options) in MODELS {
        if args.models.is_empty() || args.models.iter().any(|chosen| chosen == name) {
            let call = [&["train", "--out", "model", "--fresh"], options].concat();
            shell::step("Training", name, || workspace.trainer(call).run())?;
        }
    }
    Ok(())
}

/// Sets up what training needs.
pub fn prepare(workspace: &Workspace) -> Result<()> {
    setup::run(workspace, Need::DEMO)?;
    shell::step("Trainer and data", "libtorch's binding, and MNIST", || {
        workspace.build_trainer()?;
        workspace.trainer(["data", "--dataset", "mnist"]).run()
    })
}
