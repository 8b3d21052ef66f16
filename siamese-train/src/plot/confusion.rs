//! The confusion matrix as a picture.

use super::palette::{colour, hex, mix};
use super::svg::{Anchor, Drawing, Picture, TextStyle, cut, grouped};
use crate::dataset::{Class, ClassNames};
use crate::evaluate::Confusion;

const LEFT: f64 = 190.0;
const TOP: f64 = 190.0;
/// The side of a cell, at least and at most, where every class is named.
const CELL: (f64, f64) = (30.0, 96.0);
/// The most classes whose names and numbers are written; of more, only colours
/// are shown, beside a list of the worst pairs.
const WRITTEN: usize = 32;
/// The side of a matrix of more classes.
const SIDE: f64 = 1000.0;
/// The most classes of a picture: those with the most mistakes are chosen.
const MOST: usize = 250;
/// The worst pairs that are listed.
const LISTED: usize = 30;
/// The width of their list.
const LIST: f64 = 460.0;

/// Draws the confusion matrix: a row a class, a column what its images were
/// taken for. Right answers and mistakes are shaded on scales of their own,
/// because the former are far more. Of many classes the worst pairs are named
/// beside it.
#[must_use]
pub fn confusion(confusion: &Confusion, names: &ClassNames, title: &str) -> Picture {
    let chosen = chosen(confusion);
    let written = chosen.len() <= WRITTEN;
    let cell = if written {
        (1000.0 / chosen.len().max(1) as f64).clamp(CELL.0, CELL.1)
    } else {
        SIDE / chosen.len() as f64
    };
    let side = cell * chosen.len() as f64;
    let list = if written { 0.0 } else { LIST };
    let (width, height) = (LEFT + side.max(620.0) + 60.0 + list, TOP + side + 40.0);
    let mut drawing = Drawing::new(width as u32, height as u32, "#ffffff");
    head(&mut drawing, confusion, chosen.len(), title, width - 80.0);
    drawing.rect((LEFT, TOP), (side, side), "#fafafa");
    cells(&mut drawing, confusion, &chosen, cell, written);
    if written {
        write_names(&mut drawing, confusion, &chosen, names, cell);
    } else {
        list_worst(&mut drawing, confusion, names, LEFT + side + 50.0);
    }
    drawing.finish()
}

/// The places of the classes that are shown, ascending.
fn chosen(confusion: &Confusion) -> Vec<usize> {
    let mut places: Vec<usize> = (0..confusion.classes.len()).collect();
    if places.len() > MOST {
        let mistakes = |&place: &usize| -> u64 {
            let row: u64 = confusion.counts[place].iter().sum();
            let column: u64 = confusion.counts.iter().map(|row| row[place]).sum();
            row + column - 2 * confusion.counts[place][place]
        };
        places.sort_by_cached_key(|place| std::cmp::Reverse(mistakes(place)));
        places.truncate(MOST);
        places.sort_unstable();
    }
    places
}

/// Draws the title and the score.
fn head(drawing: &mut Drawing, confusion: &Confusion, shown: usize, title: &str, width: f64) {
    let heading = TextStyle {
        size: 30.0,
        bold: true,
        ..TextStyle::default()
    };
    drawing.fitted((40.0, 56.0), heading, title, width);
    let remark = TextStyle {
        size: 19.0,
        fill: "#555555",
        ..TextStyle::default()
    };
    let all: u64 = confusion.counts.iter().flatten().sum();
    let own = confusion.counts.iter().enumerate();
    let right: u64 = own.map(|(place, row)| row[place]).sum();
    let mut score = format!(
        "row: what it is; column: what it was taken for. {} of {} right",
        grouped(right as usize),
        grouped(all as usize)
    );
    let classes = confusion.classes.len();
    if shown < classes {
        score = format!("{score}; the {shown} of {classes} classes with the most mistakes");
    }
    drawing.fitted((40.0, 88.0), remark, &score, width);
}

/// Draws the cells, with their numbers if they are `written`.
fn cells(drawing: &mut Drawing, confusion: &Confusion, chosen: &[usize], cell: f64, written: bool) {
    let mistakes = confusion.mistakes();
    let most = mistakes.first().map_or(1, |&(_, _, times)| times) as f64;
    let size = (cell * 0.3).clamp(9.0, 22.0);
    let gap = if written { 1.0 } else { 0.0 };
    for (row, &class) in chosen.iter().enumerate() {
        let counts = &confusion.counts[class];
        let of_class = counts.iter().sum::<u64>().max(1) as f64;
        for (column, &taken) in chosen.iter().enumerate() {
            let count = counts[taken];
            if count == 0 {
                continue;
            }
            let (base, strength) = if row == column {
                (colour(2), 0.8 * count as f64 / of_class)
            } else {
                (colour(7), 0.85 * (count as f64 / most).sqrt())
            };
            let corner = (LEFT + column as f64 * cell, TOP + row as f64 * cell);
            drawing.rect(
                (corner.0 + gap, corner.1 + gap),
                (cell - 2.0 * gap, cell - 2.0 * gap),
                &hex(mix(base, [250; 3], strength)),
            );
            if written {
                let style = TextStyle {
                    size,
                    anchor: Anchor::Middle,
                    fill: if strength > 0.6 { "#ffffff" } else { "#333333" },
                    ..TextStyle::default()
                };
                let at = (corner.0 + cell / 2.0, corner.1 + cell / 2.0 + 0.36 * size);
                drawing.text(at, style, &count.to_string());
            }
        }
    }
}

/// Draws the names of the rows and of the columns.
fn write_names(
    drawing: &mut Drawing,
    confusion: &Confusion,
    chosen: &[usize],
    names: &ClassNames,
    cell: f64,
) {
    let name = |&place: &usize| names.get(confusion.classes[place]);
    let short = chosen.iter().all(|place| name(place).chars().count() <= 3);
    for (row, place) in chosen.iter().enumerate() {
        let label = TextStyle {
            anchor: Anchor::End,
            ..TextStyle::default()
        };
        let middle = (row as f64 + 0.5) * cell;
        let name = cut(label, &name(place), LEFT - 24.0);
        drawing.text((LEFT - 14.0, TOP + middle + 7.0), label, &name);
        let (anchor, rotation) = if short {
            (Anchor::Middle, 0.0)
        } else {
            (Anchor::Start, -40.0)
        };
        let style = TextStyle {
            anchor,
            rotation,
            ..label
        };
        // Turned, it has the height above the matrix and must not leave it.
        let name = cut(style, &name, 120.0);
        drawing.text((LEFT + middle, TOP - 12.0), style, &name);
    }
}

/// Draws the worst pairs by name.
fn list_worst(drawing: &mut Drawing, confusion: &Confusion, names: &ClassNames, left: f64) {
    const PITCH: f64 = 31.0;
    let mistakes = confusion.mistakes();
    let heading = TextStyle {
        bold: true,
        ..TextStyle::default()
    };
    drawing.text((left, TOP + 16.0), heading, "most often mistaken");
    let style = TextStyle {
        size: 18.0,
        ..TextStyle::default()
    };
    let mut y = TOP + 16.0 + PITCH;
    for &(label, prediction, times) in mistakes.iter().take(LISTED) {
        let name = |class: Class| names.get(class);
        let line = format!("{} taken for {}", name(label), name(prediction));
        drawing.text((left, y), style, &cut(style, &line, LIST - 80.0));
        let count = TextStyle {
            anchor: Anchor::End,
            fill: "#777777",
            ..style
        };
        drawing.text((left + LIST - 20.0, y), count, &grouped(times as usize));
        y += PITCH;
    }
    if mistakes.len() > LISTED {
        let more = format!("and {} other pairs", grouped(mistakes.len() - LISTED));
        drawing.text((left, y), style, &more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_what_it_is_and_columns_what_it_was_taken_for() {
        // Of class 3, one image of five was taken for class 8; of 8, none for 3.
        let table = Confusion::new(&[3, 3, 3, 3, 3, 8, 8], &[3, 3, 3, 3, 8, 8, 8]);
        let svg = confusion(&table, &ClassNames::numbers(), "title");
        let texts: Vec<&str> = svg
            .svg()
            .lines()
            .filter(|line| line.ends_with(">1</text>"))
            .collect();
        let [one] = texts[..] else {
            panic!("the one mistake is written {} times", texts.len())
        };
        // Right column, upper row.
        let at = |axis: &str| -> f64 {
            let rest = one.split_once(&format!("{axis}=\"")).unwrap().1;
            rest.split('"').next().unwrap().parse().unwrap()
        };
        let cell = CELL.1;
        assert!(
            (LEFT + cell..LEFT + 2.0 * cell).contains(&at(" x")),
            "{one}"
        );
        assert!((TOP..TOP + cell).contains(&at(" y")), "{one}");
    }

    #[test]
    fn of_many_classes_the_worst_pairs_are_named() {
        for classes in [33u16, 100, 1000] {
            let labels: Vec<Class> = (0..classes).flat_map(|class| [class; 3]).collect();
            let mut predictions = labels.clone();
            // Class 5 is taken for class 17 twice, 20 for 4 once.
            (predictions[15], predictions[16], predictions[60]) = (17, 17, 4);
            let table = Confusion::new(&labels, &predictions);
            let picture = confusion(&table, &ClassNames::numbers(), "title");
            let svg = picture.svg();
            let first = svg.find("5 taken for 17").unwrap();
            assert!(first < svg.find("20 taken for 4").unwrap());
            assert_eq!(
                svg.contains("of 1000 classes with the most"),
                classes == 1000
            );
            let raster = picture.rasterise().unwrap();
            assert!(raster.width() < 2000 && raster.height() < 2000);
        }
    }
}
