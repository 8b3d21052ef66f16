//! The tables of `docs/trust.md`, from `docs/fuzz.json`.

use serde_json::Value;

use super::table::{chosen, grouped, table, text};

/// The rows of a part of the report.
fn rows<'r>(report: &'r Value, part: &str) -> impl Iterator<Item = &'r Value> + Clone {
    report[part]["rows"].as_array().into_iter().flatten()
}

/// What a table says whose command has not been run for the page.
fn missing(report: &Value, part: &str, command: &str) -> Option<String> {
    let missing = report[part].is_null();
    missing.then(|| format!("Not measured yet: `cargo xtask {command} --write`.\n"))
}

/// A sum over rows.
fn total<'r>(rows: impl Iterator<Item = &'r Value>, key: &str) -> f64 {
    rows.filter_map(|row| row[key].as_f64()).sum()
}

/// Executions of each target, and of all.
pub fn executions(report: &Value) -> String {
    if let Some(text) = missing(report, "fuzz", "fuzz") {
        return text;
    }
    let columns = [
        ("target", "target"),
        ("by", "runner"),
        ("executions", "executions"),
        ("seconds", "seconds"),
        ("edges reached", "edges"),
        ("inputs kept", "inputs"),
    ];
    let all = rows(report, "fuzz");
    let sum = |key| grouped(total(all.clone(), key));
    chosen(&columns, all.clone())
        + &format!(
            "\nTogether {} executions in {} seconds, on {}: no crash, no hang, no difference.\n",
            sum("executions"),
            sum("seconds"),
            text(&report["fuzz"], "date")
        )
}

/// How much of each reader the inputs reach.
pub fn coverage(report: &Value) -> String {
    if let Some(text) = missing(report, "coverage", "fuzz --coverage") {
        return text;
    }
    let share = |reached: f64, all: f64| format!("{:.1} %", 100.0 * reached / all.max(1.0));
    let line = |name: String, reached: f64, all: f64| {
        vec![name, grouped(all), grouped(reached), share(reached, all)]
    };
    let number = |row: &Value, key: &str| row[key].as_f64().unwrap_or(0.0);
    let all = rows(report, "coverage");
    let body = all
        .clone()
        .map(|row| {
            let name = format!("`{}`", text(row, "file"));
            line(name, number(row, "reached"), number(row, "regions"))
        })
        .chain([line(
            "all".to_owned(),
            total(all.clone(), "reached"),
            total(all.clone(), "regions"),
        )]);
    let head = ["reader", "regions", "reached", "share"].map(str::to_owned);
    table(head.to_vec(), body) + &format!("\nMeasured on {}.\n", text(&report["coverage"], "date"))
}

/// Flipped bits.
pub fn flips(report: &Value) -> String {
    if let Some(text) = missing(report, "flips", "flips") {
        return text;
    }
    let columns = [
        ("file", "file"),
        ("bytes", "bytes"),
        ("single bits", "single"),
        ("pairs of bits", "double"),
        ("accepted", "accepted"),
    ];
    chosen(&columns, rows(report, "flips")) + &dated(&report["flips"])
}

/// Faults at every step of a save.
pub fn power(report: &Value) -> String {
    if let Some(text) = missing(report, "power_cuts", "power-cuts") {
        return text;
    }
    let columns = [
        ("flash", "flash"),
        ("saves", "saves"),
        ("power cuts", "cuts"),
        ("failing reads", "reads"),
        ("failing writes", "writes"),
        ("lost", "lost"),
    ];
    chosen(&columns, rows(report, "power_cuts")) + &dated(&report["power_cuts"])
}

/// A noisy line.
pub fn noise(report: &Value) -> String {
    if let Some(text) = missing(report, "noise", "noise") {
        return text;
    }
    let columns = [
        ("requests", "requests"),
        ("damaged frames", "damaged"),
        ("wrong answers", "wrong"),
        ("on", "date"),
    ];
    chosen(&columns, [&report["noise"]].into_iter())
}

/// The same on emulated boards.
pub fn noisy_boards(report: &Value) -> String {
    if let Some(text) = missing(report, "noisy_boards", "noise --boards") {
        return text;
    }
    let columns = [
        ("board", "board"),
        ("requests", "requests"),
        ("damaged frames", "damaged"),
        ("wrong answers", "wrong"),
    ];
    chosen(&columns, rows(report, "noisy_boards")) + &dated(&report["noisy_boards"])
}

/// Other hosts and stricter eyes.
pub fn sanitised(report: &Value) -> String {
    if let Some(text) = missing(report, "sanitised", "sanitise") {
        return text;
    }
    let columns = [
        ("by", "on"),
        ("what", "what"),
        ("tests passed", "passed"),
        ("on", "date"),
    ];
    chosen(
        &columns,
        report["sanitised"].as_array().into_iter().flatten(),
    )
}

fn dated(part: &Value) -> String {
    format!("\nMeasured on {}.\n", text(part, "date"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_not_run_is_told() {
        let report = json!({});
        for table in [
            executions,
            coverage,
            flips,
            power,
            noise,
            noisy_boards,
            sanitised,
        ] {
            assert!(table(&report).starts_with("Not measured yet: `cargo xtask "));
        }
    }

    #[test]
    fn sums_are_those_of_the_rows() {
        let row = |executions: u64| json!({"target": "a", "runner": "plain", "executions": executions, "seconds": 2});
        let report = json!({"fuzz": {"date": "today", "rows": [row(1000), row(500)]}});
        let text = executions(&report);
        assert!(text.contains("| a | plain | 1,000 | 2 | - | - |"), "{text}");
        assert!(
            text.contains("Together 1,500 executions in 4 seconds, on today"),
            "{text}"
        );
        let row = |reached: u64| json!({"file": "x.rs", "regions": 10, "reached": reached});
        let report = json!({"coverage": {"date": "today", "rows": [row(9), row(10)]}});
        let text = coverage(&report);
        assert!(text.contains("| all | 20 | 19 | 95.0 % |"), "{text}");
    }
}
