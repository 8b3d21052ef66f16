//! The page of `siamese-train explore`, without a model: built from `siamese-web` into two files
//! that the trainer has inside. They are committed, so that a user needs no Node.js.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::setup::{self, Need};
use crate::shell::{self, Run};
use crate::workspace::Workspace;

/// What `cargo xtask page --help` says in the end.
pub const HELP: &str = "\
Compiles siamese-web to WebAssembly, checks and bundles the TypeScript in siamese-web/page, and
writes siamese-train/explore/core.wasm and page.html. Run it after a change of siamese-web, or of
what siamese-core computes, and commit both files: --check, which `cargo xtask test` calls, fails
if they are old.";

/// How to build.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write nothing, and fail if the committed files are others
    #[arg(long)]
    check: bool,
}

/// Where the files are.
const FOLDER: &str = "siamese-train/explore";
/// The target of the module.
const TARGET: &str = "wasm32-unknown-unknown";
/// The oldest browsers that it runs in: of 2023.
const BROWSERS: &str = "--target=chrome111,firefox115,safari16.4";
/// The parts of the page, and where each goes in `index.html`.
const PARTS: [(&str, &str); 3] = [
    ("src/style.css", "/* siamese:style */"),
    ("src/theme.js", "/* siamese:theme */"),
    ("src/main.ts", "/* siamese:program */"),
];

/// Builds the page.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    setup::run(workspace, &[Need::Rust])?;
    setup::programs_of_the_page(workspace)?;
    build(workspace, args.check)
}

/// Fails if the committed files are not what is built from the sources.
pub fn check(workspace: &Workspace) -> Result<()> {
    build(workspace, true)
}

fn build(workspace: &Workspace, check: bool) -> Result<()> {
    let why = "siamese-core for browsers, and the page around it";
    shell::step("Page", why, || {
        let built = [
            ("core.wasm", core(workspace)?),
            ("page.html", page(workspace)?),
        ];
        for (name, bytes) in built {
            let path = workspace.root().join(FOLDER).join(name);
            let is_new = fs::read(&path).is_ok_and(|before| before == bytes);
            if !is_new && check {
                let kept = workspace.target().join(name);
                fs::write(&kept, bytes)?;
                bail!(
                    "{FOLDER}/{name} is old: run `cargo xtask page` and commit it (what is built \
                     now is {})",
                    workspace.short(&kept).display()
                );
            }
            if !is_new {
                fs::write(&path, bytes)
                    .with_context(|| format!("can't write {}", path.display()))?;
                shell::note(&format!("{FOLDER}/{name}"));
            }
        }
        Ok(())
    })
}

/// The module. Nothing in it tells where it was built.
fn core(workspace: &Workspace) -> Result<Vec<u8>> {
    let module = [
        "--package=siamese-web",
        "--profile=web",
        "--crate-type=cdylib",
    ];
    let root = workspace.root().display().to_string();
    let home = cargo_home().context("there is no home folder, and no CARGO_HOME")?;
    let flags = format!(
        "--remap-path-prefix={root}=. --remap-path-prefix={}=cargo",
        home.display()
    );
    let call = ["rustc", "--quiet", "--target", TARGET];
    let build = workspace.cargo(call.into_iter().chain(module));
    let variable = "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS";
    build
        .quiet_env(variable, flags)
        .quiet_env("CARGO_TARGET_DIR", workspace.target())
        .run()?;
    read(&workspace.target().join(TARGET).join("web/siamese_web.wasm"))
}

fn cargo_home() -> Option<PathBuf> {
    let named = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
}

/// The page without a model.
fn page(workspace: &Workspace) -> Result<Vec<u8>> {
    let folder = workspace.page();
    let program = |name: &str| Run::new(folder.join("node_modules/.bin").join(name)).dir(&folder);
    program("tsc").args(["--project", "."]).run()?;
    let mut html = String::from_utf8(read(&folder.join("index.html"))?)?;
    for (source, mark) in PARTS {
        let esbuild = program("esbuild").arg(source).args([
            "--bundle",
            "--minify",
            "--format=iife",
            "--charset=utf8",
            "--legal-comments=none",
            BROWSERS,
        ]);
        let text = esbuild.capture()?;
        ensure!(
            !text.contains("</script") && !text.contains("<!--"),
            "{source} has a text that would end the page's script"
        );
        let (before, after) = html
            .split_once(mark)
            .with_context(|| format!("index.html has no {mark}"))?;
        html = [before, text.trim(), after].concat();
    }
    Ok(html.into_bytes())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("can't read {}", path.display()))
}
