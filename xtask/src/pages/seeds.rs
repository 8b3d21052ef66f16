//! What the same recipes reach with several seeds, as tables: from `docs/seeds.json`, which
//! holds what `cargo xtask seeds` measured last.

use std::cmp::Reverse;

use serde_json::Value;

use super::renewed;
use super::table::table;

/// The rows of a report with new ones in place of those of the same kind and seed.
pub fn merged(before: Vec<Value>, rows: &[Value]) -> Vec<Value> {
    let mut all = renewed(before, rows, &["model", "held_out", "seed"]);
    all.sort_by_key(|row| {
        let of = |key: &str| row[key].to_string();
        (of("model"), of("held_out"), row["seed"].as_u64())
    });
    all
}

/// One figure with several seeds.
pub struct Spread(Vec<f64>);

impl Spread {
    pub fn new(figures: impl IntoIterator<Item = f64>) -> Self {
        Self(figures.into_iter().collect())
    }

    /// How many seeds.
    pub fn seeds(&self) -> usize {
        self.0.len()
    }

    pub fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    /// Half of the distance from the lowest to the highest.
    pub fn half(&self) -> f64 {
        let lowest = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (highest - lowest) / 2.0
    }

    /// In percent: the mean, and the spread where there is one.
    pub fn percent(&self, digits: usize) -> String {
        self.in_words(100.0, digits, " %")
    }

    /// As a share of one.
    pub fn share(&self, digits: usize) -> String {
        self.in_words(1.0, digits, "")
    }

    fn in_words(&self, factor: f64, digits: usize, unit: &str) -> String {
        let (mean, half) = (factor * self.mean(), factor * self.half());
        match self.seeds() {
            0 => "-".to_owned(),
            1 => format!("{mean:.digits$}{unit} (one seed)"),
            _ => format!("{mean:.digits$} ± {half:.digits$}{unit}"),
        }
    }
}

/// A figure of a model with the seeds that were measured besides its own.
pub fn of_model(rows: &[Value], model: &str, pointer: &str) -> Vec<f64> {
    let rows = rows.iter().filter(|row| row["model"] == model);
    rows.filter_map(|row| row.pointer(pointer)?.as_f64())
        .collect()
}

/// The classes that were left out, in the order in which they were.
fn left_out(rows: &[Value]) -> Vec<&Value> {
    let mut all: Vec<&Value> = Vec::new();
    for row in rows {
        let classes = &row["held_out"];
        if classes.is_array() && !all.contains(&classes) {
            all.push(classes);
        }
    }
    // Those that the committed model hasn't seen come first.
    all.sort_by_key(|classes| Reverse(classes.to_string()));
    all
}

/// How a page tells them: `7, 8, 9`.
fn told(classes: &Value) -> String {
    let classes = classes.as_array().map(Vec::as_slice).unwrap_or_default();
    let classes: Vec<String> = classes.iter().map(Value::to_string).collect();
    classes.join(", ")
}

/// The means over draws of one figure, seed by seed.
fn means(rows: &[Value], classes: &Value, shots: &Value, pointer: &str) -> Spread {
    let of = rows.iter().filter(|row| row["held_out"] == *classes);
    Spread::new(of.filter_map(|row| {
        let all = row["shots"].as_array()?;
        let row = all.iter().find(|row| row["shots"] == *shots)?;
        row.pointer(pointer)?.as_f64()
    }))
}

/// The numbers of examples that were measured.
fn shots(rows: &[Value]) -> Vec<&Value> {
    let row = rows.iter().find(|row| row["shots"].is_array());
    let all = row.and_then(|row| row["shots"].as_array());
    let all = all.map(Vec::as_slice).unwrap_or_default();
    all.iter().map(|row| &row["shots"]).collect()
}

/// How well classes are known that training never saw: a row a number of examples.
pub fn few_shot(rows: &[Value]) -> String {
    let head = [
        "held out",
        "examples of each",
        "all ten digits",
        "new among all ten",
        "draws",
        "known against unknown",
    ];
    let body = left_out(rows).into_iter().flat_map(|classes| {
        shots(rows).into_iter().map(move |shots| {
            let figure = |pointer: &str| means(rows, classes, shots, pointer);
            vec![
                told(classes),
                shots.to_string(),
                figure("/all/mean").percent(1),
                figure("/new/mean").percent(1),
                format!("{:.1} %", 100.0 * figure("/new/deviation").mean()),
                figure("/open_set_auc/mean").share(3),
            ]
        })
    });
    table(head.map(str::to_owned).to_vec(), body)
}

/// What came of the rates of false accepts that were wanted.
pub fn promises(rows: &[Value]) -> String {
    let head = [
        "held out",
        "examples of each",
        "wanted",
        "accepted",
        "known refused",
    ];
    let many = shots(rows);
    let several = many.iter().filter(|shots| **shots != &Value::from(1));
    let body = left_out(rows).into_iter().flat_map(|classes| {
        several.clone().flat_map(move |shots| {
            [(0, "1 %"), (1, "5 %")].map(|(index, wanted)| {
                let figure = |name: &str| {
                    let pointer = format!("/promises/{index}/{name}/mean");
                    means(rows, classes, shots, &pointer).percent(1)
                };
                vec![
                    told(classes),
                    shots.to_string(),
                    wanted.to_owned(),
                    figure("accepted"),
                    figure("refused"),
                ]
            })
        })
    });
    table(head.map(str::to_owned).to_vec(), body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_spread_is_half_of_the_range_about_the_mean() {
        let spread = Spread::new([0.5, 0.75, 0.625]);
        assert_eq!(
            (spread.seeds(), spread.mean(), spread.half()),
            (3, 0.625, 0.125)
        );
        assert_eq!(spread.percent(1), "62.5 ± 12.5 %");
        assert_eq!(spread.share(3), "0.625 ± 0.125");
        assert_eq!(Spread::new([0.5]).percent(0), "50 % (one seed)");
        assert_eq!(Spread::new([]).share(3), "-");
    }

    #[test]
    fn a_new_row_replaces_that_of_the_same_seed_alone() {
        let row = |model: &str, seed: u64, knn25: f64| json!({"model": model, "seed": seed, "int8": {"knn25": knn25}});
        let new = json!({"held_out": [7, 8, 9], "seed": 2, "shots": []});
        let before = vec![row("a", 2, 0.1), row("a", 3, 0.2), row("b", 2, 0.3)];
        let after = merged(before, &[row("a", 2, 0.4), new.clone()]);
        assert_eq!(of_model(&after, "a", "/int8/knn25"), [0.4, 0.2]);
        assert_eq!(of_model(&after, "b", "/int8/knn25"), [0.3]);
        assert_eq!(left_out(&after), [&new["held_out"]]);
    }

    #[test]
    fn each_figure_has_its_place() {
        let row = |classes: Value, seed: u64, new: f64| {
            let of = |shots: u64, all: f64| {
                let promise = |accepted: f64| json!({"accepted": {"mean": accepted}, "refused": {"mean": 0.25}});
                json!({"shots": shots, "all": {"mean": all}, "new": {"mean": new, "deviation": 0.02},
                    "open_set_auc": {"mean": 0.875}, "promises": [promise(0.01), promise(0.06)]})
            };
            json!({"held_out": classes, "seed": seed, "shots": [of(1, 0.5), of(5, 0.75)]})
        };
        let rows = [
            row(json!([3, 5, 8]), 1, 0.3),
            row(json!([7, 8, 9]), 1, 0.4),
            row(json!([7, 8, 9]), 2, 0.6),
        ];
        let lines: Vec<String> = few_shot(&rows).lines().map(str::to_owned).collect();
        assert_eq!(
            lines[2],
            "| 7, 8, 9 | 1 | 50.0 ± 0.0 % | 50.0 ± 10.0 % | 2.0 % | 0.875 ± 0.000 |"
        );
        assert_eq!(
            lines[5],
            "| 3, 5, 8 | 5 | 75.0 % (one seed) | 30.0 % (one seed) | 2.0 % | 0.875 (one seed) |"
        );
        let lines: Vec<String> = promises(&rows).lines().map(str::to_owned).collect();
        assert_eq!(
            lines[2],
            "| 7, 8, 9 | 5 | 1 % | 1.0 ± 0.0 % | 25.0 ± 0.0 % |"
        );
        assert_eq!(
            lines[3],
            "| 7, 8, 9 | 5 | 5 % | 6.0 ± 0.0 % | 25.0 ± 0.0 % |"
        );
        assert_eq!(lines.len(), 6);
    }
}
