//! What each model takes of each board, as tables.

use serde_json::Value;
use siamese_build::{Board, Budget, OwnedModel};

use super::cores::work;
use super::table::{grouped, table};
use crate::bench::MODELS;
use crate::workspace::Workspace;

/// A model of `model/`.
fn model(name: &str) -> Option<OwnedModel> {
    let root = Workspace::find().ok()?.root().to_owned();
    OwnedModel::read(&root.join(format!("model/{name}.siam"))).ok()
}

/// The budget of a model on a board, for the images that were measured.
fn budget(bench: &[Value], name: &str, board: Board) -> Option<Budget> {
    let row = bench
        .iter()
        .find(|row| row["model"] == name && row["work"].is_object())?;
    Budget::of(&model(name)?, board, &work(row)?).ok()?
}

/// `1.23 ms`, for an image with the example firmware.
pub fn time(bench: &[Value], name: &str, board: Board) -> String {
    match budget(bench, name, board) {
        Some(budget) if budget.misfit().is_some() => "too large".into(),
        budget => budget
            .and_then(|budget| budget.mean.milliseconds(board))
            .map_or("-".into(), |milliseconds| format!("{milliseconds:.2} ms")),
    }
}

/// A row a board, a column a model: what of the flash and RAM it takes, and how long an
/// image does.
pub fn table_of_boards(bench: &[Value]) -> String {
    let head = ["board".to_owned()]
        .into_iter()
        .chain(MODELS.map(|model| format!("`{model}`")));
    let body = Board::ALL.into_iter().map(|board| {
        let cells = MODELS.map(|name| match budget(bench, name, board) {
            Some(budget) => cell(&budget),
            None => "-".into(),
        });
        [format!("`{board}`")].into_iter().chain(cells).collect()
    });
    table(head.collect(), body)
}

/// `112 + 7 KiB, 0.62 ms`, or what is missing.
fn cell(budget: &Budget) -> String {
    let kib = |bytes: u32| grouped((f64::from(bytes) / 1024.0).ceil());
    if let Some(misfit) = budget.misfit() {
        let needed = (misfit.needed as f64 / 1024.0).ceil();
        return format!("no: {} KiB of {}", grouped(needed), misfit.memory);
    }
    let memory = format!(
        "{} + {} KiB",
        kib(budget.device.code + budget.model),
        kib(budget.device.data + budget.device.stack)
    );
    match budget.mean.milliseconds(budget.board) {
        Some(milliseconds) if budget.board.is_real() => format!("{memory}, {milliseconds:.2} ms"),
        _ => memory,
    }
}

/// Cycles as they were counted, beside what the budget says.
pub fn checked(bench: &[Value]) -> String {
    let head = ["core", "model", "counted", "by the budget", "off"].map(str::to_owned);
    let rows = bench.iter().filter_map(|row| {
        let counted = row["cycles_per_image"].as_f64()?;
        let board: Board = row["machine"].as_str()?.parse().ok()?;
        let name = row["model"].as_str()?;
        let time = budget(bench, name, board)?.mean;
        // What counts them knows no waiting for the flash.
        let estimated = time.cycles? - time.waiting;
        Some(vec![
            row["core"].as_str()?.to_owned(),
            format!("`{name}`"),
            grouped(counted),
            grouped(estimated),
            format!("{:+.1} %", 100.0 * (estimated / counted - 1.0)),
        ])
    });
    table(head.into(), rows)
}
