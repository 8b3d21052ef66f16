//! What the demo measured, as a table.

use serde_json::Value;

use super::table::{self, grouped};

/// The demo's report, a row a figure.
pub fn table(report: &Value) -> String {
    let number = |key: &str| report[key].as_f64().unwrap_or(f64::NAN);
    let percent = |key: &str| format!("{:.2} %", 100.0 * number(key));
    let bytes = |key: &str| format!("{} bytes", grouped(number(key)));
    let rows = [
        (
            "right by the vote of the 25 nearest training images: float",
            percent("float_knn25"),
        ),
        (
            "the same, int8, on the host and on the device",
            percent("int8_knn25"),
        ),
        (
            "answers of the device that differ from the host's, in any layer",
            format!(
                "{} of {}",
                grouped(number("device_mismatches")),
                grouped(number("device_images"))
            ),
        ),
        (
            "flash: model, code, gallery and link",
            format!("{:.0} KiB", number("flash_bytes") / 1024.0),
        ),
        (
            "RAM, static: the UART's frame and the gallery included",
            bytes("ram_static"),
        ),
        ("RAM, peak of the stack, measured", bytes("ram_stack")),
        (
            "instructions an image",
            grouped(number("instructions_per_image")),
        ),
    ];
    let head = vec!["what".to_owned(), "measured".to_owned()];
    table::table(
        head,
        rows.into_iter()
            .map(|(what, value)| vec![what.to_owned(), value]),
    )
}
