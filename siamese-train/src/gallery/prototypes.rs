//! Prototypes on the host, for embeddings of any dimension: the same integers
//! as a device's [`Gallery`](siamese_core::Gallery) has after the same
//! enrolments.

use crate::dataset::{Class, class_slots};
use rand::Rng;
use rand::seq::SliceRandom;
use siamese_core::embedding::distance_squared;

use crate::embed::IntEmbeddings;

/// The mean of some embeddings, each coordinate rounded to the nearest whole
/// step, halves upwards. All 0 if there are none.
#[must_use]
pub fn prototype(embeddings: &IntEmbeddings, examples: &[usize]) -> Vec<i16> {
    let count = examples.len().max(1) as i64;
    let mut sums = vec![0i64; embeddings.dim];
    for &example in examples {
        for (sum, &step) in sums.iter_mut().zip(embeddings.get(example)) {
            *sum += i64::from(step);
        }
    }
    // A mean of numbers in range is in range.
    let round = |sum: i64| (sum + count / 2).div_euclid(count) as i16;
    sums.into_iter().map(round).collect()
}

/// The images of each class, by label.
#[must_use]
pub fn by_class(labels: &[Class]) -> Vec<Vec<usize>> {
    let mut members = vec![Vec::new(); class_slots(labels)];
    for (index, &label) in labels.iter().enumerate() {
        members[usize::from(label)].push(index);
    }
    members
}

/// The images of each class that has any, by ascending label.
#[must_use]
pub fn classes(labels: &[Class]) -> Vec<Vec<usize>> {
    let mut classes = by_class(labels);
    classes.retain(|members| !members.is_empty());
    classes
}

/// At most `count` of the members, drawn at random.
pub fn draw(members: &[usize], count: usize, generator: &mut impl Rng) -> Vec<usize> {
    let mut members = members.to_vec();
    let (drawn, _) = members.partial_shuffle(generator, count);
    drawn.to_vec()
}

/// The squared distance to the nearest of some prototypes, and its number;
/// `None` if there are none. Of equals the first.
#[must_use]
pub fn nearest<'p>(
    embedding: &[i16],
    prototypes: impl IntoIterator<Item = (usize, &'p [i16])>,
) -> Option<(u64, usize)> {
    let distances = prototypes
        .into_iter()
        .map(|(number, prototype)| (distance_squared(embedding, prototype), number));
    distances.min()
}

/// The mean squared distance of the images of a class from their mean.
#[must_use]
pub fn spread(embeddings: &IntEmbeddings, classes: &[Vec<usize>]) -> u64 {
    let mut sum = 0u128;
    let mut count = 0u128;
    for members in classes {
        let mean = prototype(embeddings, members);
        for &member in members {
            sum += u128::from(distance_squared(embeddings.get(member), &mean));
            count += 1;
        }
    }
    (sum / count.max(1)) as u64
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use siamese_core::Embedding;
    use siamese_core::gallery::Gallery;

    use super::*;

    #[test]
    fn a_prototype_is_that_of_a_devices_gallery() {
        let mut generator = ChaCha8Rng::seed_from_u64(1);
        let steps: Vec<i16> = (0..3 * 200).map(|_| generator.random()).collect();
        let embeddings = IntEmbeddings {
            dim: 3,
            scale: 1.0,
            steps,
        };
        let mut gallery = Gallery::<3, 1>::for_fingerprint(0);
        for count in 1..=200 {
            let example = embeddings.get(count - 1).try_into().unwrap();
            gallery.enrol(1, &Embedding(example)).unwrap();
            let examples: Vec<usize> = (0..count).collect();
            let here = prototype(&embeddings, &examples);
            assert_eq!(here, gallery.entries()[0].point().0, "{count} examples");
        }
    }

    #[test]
    fn draws_are_distinct_members() {
        let mut generator = ChaCha8Rng::seed_from_u64(2);
        let mut drawn = draw(&[3, 1, 4, 15, 9], 4, &mut generator);
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), 4);
        assert!(drawn.iter().all(|member| [3, 1, 4, 15, 9].contains(member)));
        assert_eq!(draw(&[7], 5, &mut generator), [7]);
    }

    #[test]
    fn classes_are_gathered_by_label() {
        assert_eq!(by_class(&[2, 0, 2]), [vec![1], vec![], vec![0, 2]]);
    }

    #[test]
    fn the_nearest_prototype_is_found() {
        let prototypes: [&[i16]; 3] = [&[0, 10], &[3, 0], &[0, 3]];
        let found = nearest(&[0, 0], prototypes.into_iter().enumerate());
        assert_eq!(found, Some((9, 1)));
        assert_eq!(nearest(&[0, 0], []), None);
    }
}
