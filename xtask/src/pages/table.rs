//! Tables in Markdown.

use serde_json::Value;

/// A table with chosen columns: each one's title and key.
pub fn chosen<'r>(columns: &[(&str, &str)], rows: impl Iterator<Item = &'r Value>) -> String {
    let titles = columns.iter().map(|(title, _)| (*title).to_owned());
    let cells = rows.map(|row| columns.iter().map(|(_, key)| text(row, key)).collect());
    table(titles.collect(), cells)
}

/// A table from its head and its rows.
pub fn table(head: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule = vec!["---".to_owned(); head.len()];
    let mut table = line(&head) + &line(&rule);
    rows.for_each(|row| table += &line(&row));
    table
}

/// What a report says under `key`, for people.
pub fn text(row: &Value, key: &str) -> String {
    match &row[key] {
        Value::String(text) => text.clone(),
        Value::Number(number) => grouped(number.as_f64().unwrap_or(0.0)),
        _ => "-".to_owned(),
    }
}

/// A whole number with commas.
pub fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(
            [0.0, 999.0, 1000.4, 26_492.0, 1_234_567.0].map(grouped),
            ["0", "999", "1,000", "26,492", "1,234,567"]
        );
    }
}
