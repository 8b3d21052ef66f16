//! What a firmware calls can't panic: no function that panics is in the program
//! that the linker makes of it.

use anyhow::{Result, ensure};
use siamese_device::firmware::{Abi, Board, Build, DESK_FEATURES, Program};
use siamese_device::{Panic, panics};

use crate::setup::{self, Need};
use crate::shell;
use crate::workspace::Workspace;

/// What `cargo xtask panics --help` says in the end.
pub const HELP: &str = "\
Links firmware-example/src/bin/no_panic.rs, which calls everything that a firmware calls, as a
release build for one board of each architecture, and looks for symbols of core::panicking. Before
that it does the same for one board of Arm and one of RISC-V with the feature `panics`, which adds
an index that can be out of bounds, and expects to find it.";

/// A board of each architecture that has a code generator or kernel of its own.
const BOARDS: [Board; 4] = [
    Board::Microbit,
    Board::Mps2An386,
    Board::Mps2An505,
    Board::Virt,
];
/// One of them for Arm, and one for RISC-V.
const PLANTED_ON: [Board; 2] = [Board::Microbit, Board::Virt];
/// The function that the program's panic handler calls.
const HANDLER: &str = "panic_handler_was_linked";
/// The function that the feature `panics` adds.
const PLANTED: &str = "::planted";
/// The model: any serves.
const MODEL: &str = "model/small.siam";

/// Looks for panics, on a machine where nothing may be set up.
pub fn run(workspace: &Workspace) -> Result<()> {
    setup::run(workspace, &[Need::Rust])?;
    check(workspace)
}

/// Looks for panics.
pub fn check(workspace: &Workspace) -> Result<()> {
    let why = "nothing that a firmware calls can panic";
    shell::step("Panics", why, || {
        // A check that finds nothing may be blind; relocations differ by architecture.
        for board in PLANTED_ON {
            let found = of(workspace, board, Some("panics"))?;
            let mut callers = found.iter().flat_map(|panic| &panic.callers);
            ensure!(
                callers.any(|caller| caller.ends_with(PLANTED)),
                "the check is blind on {board}: it doesn't find the index of the feature `panics`"
            );
        }
        let mut found = String::new();
        for board in BOARDS {
            let target = board.target(Abi::Soft).unwrap_or_default();
            shell::note(&format!("{target}, on {board}"));
            for panic in of(workspace, board, None)? {
                found += &in_words(target, &panic);
            }
        }
        ensure!(
            found.is_empty(),
            "a firmware can panic; an index, a division or an `unwrap` that the compiler can't \
             prove to be right is on the way:{found}"
        );
        Ok(())
    })
}

/// What can panic in the program for a board.
fn of(workspace: &Workspace, board: Board, feature: Option<&str>) -> Result<Vec<Panic>> {
    let model = workspace.root().join(MODEL);
    let mut build = Build::new(&model, board)
        .program(Program::NoPanic)
        .features(DESK_FEATURES)
        .features(["lanes", "pictures", "statistics", "update-code"]);
    if let Some(feature) = feature {
        build = build.feature(feature);
    }
    Ok(panics(&build.run()?, HANDLER)?)
}

fn in_words(target: &str, panic: &Panic) -> String {
    let callers = match panic.callers.join(", ") {
        callers if callers.is_empty() => "an unknown function".to_owned(),
        callers => callers,
    };
    format!("\n  {target}: {} called by {callers}", panic.function)
}
