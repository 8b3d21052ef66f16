//! Which class was taken for which.

use crate::dataset::{Class, class_slots};
use serde::Serialize;

/// How often each class was taken for each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Confusion {
    /// The classes that occur as a label or a prediction, ascending.
    pub classes: Vec<Class>,
    /// `counts[i][j]`: how many of class `classes[i]` were taken for `classes[j]`.
    pub counts: Vec<Vec<u64>>,
}

impl Confusion {
    /// Counts labels against predictions of the same queries.
    #[must_use]
    pub fn new(labels: &[Class], predictions: &[Class]) -> Self {
        let mut place = vec![None; class_slots(labels).max(class_slots(predictions))];
        for &class in labels.iter().chain(predictions) {
            place[usize::from(class)] = Some(0);
        }
        let mut classes = Vec::new();
        for (class, place) in (0..=Class::MAX).zip(&mut place) {
            if let Some(place) = place {
                *place = classes.len();
                classes.push(class);
            }
        }
        let mut counts = vec![vec![0; classes.len()]; classes.len()];
        for (&label, &prediction) in labels.iter().zip(predictions) {
            let cell = (place[usize::from(label)], place[usize::from(prediction)]);
            if let (Some(row), Some(column)) = cell {
                counts[row][column] += 1;
            }
        }
        Self { classes, counts }
    }

    /// The pairs of classes that are mixed up, with the number of times, most
    /// frequent first: `(label, prediction, times)`.
    #[must_use]
    pub fn mistakes(&self) -> Vec<(Class, Class, u64)> {
        let mut mistakes: Vec<_> = self
            .counts
            .iter()
            .zip(&self.classes)
            .flat_map(|(row, &label)| {
                row.iter()
                    .zip(&self.classes)
                    .map(move |(&times, &prediction)| (label, prediction, times))
            })
            .filter(|&(label, prediction, times)| label != prediction && times > 0)
            .collect();
        mistakes.sort_by_key(|&(_, _, times)| std::cmp::Reverse(times));
        mistakes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_the_worst_first() {
        let confusion = Confusion::new(&[1, 1, 1, 5, 5, 9], &[1, 5, 5, 5, 7, 9]);
        assert_eq!(confusion.classes, [1, 5, 7, 9]);
        assert_eq!(confusion.counts[0], [1, 2, 0, 0]);
        assert_eq!(confusion.counts[2], [0, 0, 0, 0]);
        assert_eq!(confusion.mistakes(), [(1, 5, 2), (5, 7, 1)]);
    }
}
