//! Where things are.

use std::env;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};

use crate::setup::Need;
use crate::shell::Run;

/// The folders of this repository.
#[derive(Debug)]
pub struct Workspace {
    root: PathBuf,
    programs: PathBuf,
    own_libtorch: Option<PathBuf>,
}

impl Workspace {
    /// From the place of this program: its source and itself.
    pub fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("the folder of xtask has no parent")?
            .to_path_buf();
        let program = env::current_exe().context("can't find out where this program is")?;
        let profile = program.parent().context("this program is in no folder")?;
        let programs = profile.with_file_name("release");
        let own_libtorch = env::var_os("LIBTORCH")
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
            .filter(|folder| !same_path(folder, &root.join("target/libtorch")));
        Ok(Self {
            root,
            programs,
            own_libtorch,
        })
    }

    /// The root of the repository.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The workspace's `target/`: what is prepared lives there, also when cargo is
    /// told by `CARGO_TARGET_DIR` to build elsewhere.
    pub fn target(&self) -> PathBuf {
        self.root.join("target")
    }

    /// The folder of the libtorch that set-up prepares.
    pub fn prepared_libtorch(&self) -> PathBuf {
        self.target().join("libtorch")
    }

    /// The `LIBTORCH` of the user, if there is one.
    ///
    /// `.cargo/config.toml` sets the variable for the children of cargo, this program
    /// among them, to the prepared folder; that value is nobody's wish.
    pub fn own_libtorch(&self) -> Option<&Path> {
        self.own_libtorch.as_deref()
    }

    /// The folder of the firmware, a workspace of its own.
    pub fn firmware(&self) -> PathBuf {
        self.root.join("firmware-example")
    }

    /// The folder of the example for embassy, another one.
    pub fn embassy_example(&self) -> PathBuf {
        self.root.join("examples/embassy-pico")
    }

    /// The folder of the page of `siamese-train explore`.
    pub fn page(&self) -> PathBuf {
        self.root.join("siamese-web/page")
    }

    /// The folder of the programs that embed with other crates, another one.
    pub fn peers(&self) -> PathBuf {
        self.root.join("xtask/peers/crates")
    }

    /// A call of cargo in the root, as if typed by the user.
    pub fn cargo<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Run {
        self.cargo_in(&self.root, args)
    }

    /// A call of cargo in another folder of this repository.
    pub fn cargo_in<'a>(&self, folder: &Path, args: impl IntoIterator<Item = &'a str>) -> Run {
        let mut run = Run::new("cargo").args(args).dir(folder);
        // What cargo told this program about itself would be mistaken by a second cargo
        // for the user's wish, and change what it believes to be up to date.
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if text == "CARGO"
                || text.starts_with("CARGO_PKG_")
                || text.starts_with("CARGO_MANIFEST_")
            {
                run = run.env_remove(&name);
            }
        }
        if self.own_libtorch.is_none() {
            run = run.env_remove("LIBTORCH".as_ref());
        }
        run
    }

    /// Builds the trainer's command line, with `train` in it.
    ///
    /// All of the workspace is selected though one program is built, so that the
    /// dependencies have the features, and are the very builds, that the tests use.
    pub fn build_trainer(&self) -> Result<()> {
        self.cargo([
            "build",
            "--release",
            "--workspace",
            "--bin",
            "siamese-train",
        ])
        .run()
    }

    /// Where the trainer is once it is built.
    pub fn trainer_path(&self) -> PathBuf {
        let name = format!("siamese-train{}", env::consts::EXE_SUFFIX);
        self.programs.join(name)
    }

    /// Where a program is that was built by a profile.
    pub fn beside(&self, profile: &str, program: &str) -> PathBuf {
        let name = format!("{program}{}", env::consts::EXE_SUFFIX);
        self.programs.with_file_name(profile).join(name)
    }

    /// A call of the trainer that was built last.
    pub fn trainer<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Run {
        let program = self.trainer_path();
        Run::new(self.short(&program)).args(args).dir(&self.root)
    }

    /// The model file that an option names: a path that the user gave starts where the user
    /// is, the default one in the root.
    pub fn model(&self, named: &Path) -> Result<PathBuf> {
        [named.to_owned(), self.root.join(named)]
            .into_iter()
            .find(|path| path.is_file())
            .with_context(|| {
                let named = named.display();
                format!("there is no model file {named}; `cargo xtask demo` trains one")
            })
    }

    /// A path as seen from the root, which is where the shown commands run.
    pub fn short<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }
}

/// Whether the crates are built with what needs libtorch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Torch {
    /// As by default.
    With,
    /// Without it: no training, and nothing that compares with it.
    Without,
}

impl Torch {
    /// A call of cargo for the crates of the workspace, with the features for this.
    pub fn select<'a>(self, call: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        let option = match self {
            Self::With => None,
            Self::Without => Some("--no-default-features"),
        };
        call.into_iter().chain(option).collect()
    }

    /// Those of some needs that there are.
    pub fn needs(self, needs: &[Need]) -> Vec<Need> {
        let kept = |need: &Need| self == Self::With || *need != Need::Libtorch;
        needs.iter().copied().filter(kept).collect()
    }
}

/// Whether two paths name one place, existing or not.
fn same_path(a: &Path, b: &Path) -> bool {
    let tidy = |path: &Path| {
        let mut tidied = PathBuf::new();
        for part in path.components() {
            match part {
                Component::ParentDir => {
                    tidied.pop();
                }
                Component::CurDir => {}
                other => tidied.push(other),
            }
        }
        tidied
    };
    tidy(a) == tidy(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_through_its_parent_is_the_same_path() {
        // The form in which cargo gives a relative path of its [env] table.
        assert!(same_path(
            Path::new("/w/.cargo/../target/libtorch"),
            Path::new("/w/target/libtorch")
        ));
        assert!(!same_path(
            Path::new("/w/libtorch"),
            Path::new("/w/target/libtorch")
        ));
    }
}
