//! The order of a network's hidden units: those that are active together next
//! to each other. The order changes no result, and devices skip neighbouring
//! units that are all silent, two or four at a time.

use siamese_core::model::LAYERS;

use crate::train::float_network::{FloatNetwork, Linear};

/// Units in a group at the end, the columns of the widest tile that a kernel
/// skips.
const GROUP: usize = 4;

/// The same network with the units of its hidden layers in another order.
/// `hidden` are the activations of both layers for the same images, row-major.
///
/// Pairs of units are chosen so that as many images as possible have both
/// active or both silent, then pairs of pairs.
#[must_use]
pub fn arrange(network: &FloatNetwork, hidden: [&[f32]; LAYERS - 1]) -> FloatNetwork {
    let mut arranged = network.clone();
    for (index, activations) in hidden.into_iter().enumerate() {
        let units = network.layers[index].outputs;
        let order = order(&Firings::of(activations, units));
        arranged.layers[index] = with_rows(&arranged.layers[index], &order);
        arranged.layers[index + 1] = with_columns(&arranged.layers[index + 1], &order);
    }
    arranged
}

/// A layer with its outputs in another order.
fn with_rows(layer: &Linear, order: &[usize]) -> Linear {
    let row = |&unit: &usize| &layer.weight[unit * layer.inputs..][..layer.inputs];
    Linear {
        weight: order.iter().flat_map(row).copied().collect(),
        bias: order.iter().map(|&unit| layer.bias[unit]).collect(),
        ..*layer
    }
}

/// A layer with its inputs in another order.
fn with_columns(layer: &Linear, order: &[usize]) -> Linear {
    let rows = layer.weight.chunks_exact(layer.inputs);
    let weight = rows.flat_map(|row| order.iter().map(|&unit| row[unit]));
    Linear {
        weight: weight.collect(),
        bias: layer.bias.clone(),
        ..*layer
    }
}

/// For some groups of units, the images that make any of a group active: a bit
/// an image.
struct Firings(Vec<Vec<u64>>);

impl Firings {
    /// Of each unit by itself.
    fn of(activations: &[f32], units: usize) -> Self {
        let images = activations.len() / units.max(1);
        let mut firings = vec![vec![0; images.div_ceil(64)]; units];
        for (image, activations) in activations.chunks_exact(units.max(1)).enumerate() {
            for (firings, &activation) in firings.iter_mut().zip(activations) {
                firings[image / 64] |= u64::from(activation > 0.0) << (image % 64);
            }
        }
        Self(firings)
    }

    /// The images that make both groups active.
    fn shared(&self, a: usize, b: usize) -> u32 {
        let words = self.0[a].iter().zip(&self.0[b]);
        words.map(|(a, b)| (a & b).count_ones()).sum()
    }
}

/// All units, neighbours being those that belong together.
fn order(firings: &Firings) -> Vec<usize> {
    let mut groups: Vec<Vec<usize>> = (0..firings.0.len()).map(|unit| vec![unit]).collect();
    let mut level = Firings(firings.0.clone());
    let mut size = 1;
    while size < GROUP && groups.len() > 1 {
        let (pairs, single) = pairs(&level);
        let join = |&[a, b]: &[usize; 2]| [&groups[a][..], &groups[b]].concat();
        let either = |&[a, b]: &[usize; 2]| {
            let words = level.0[a].iter().zip(&level.0[b]);
            words.map(|(a, b)| a | b).collect()
        };
        // What has no partner comes last, where the layer's end cuts its tile.
        let joined = pairs.iter().map(join);
        let next = joined.chain(single.map(|group| groups[group].clone()));
        let firings = pairs.iter().map(either);
        let firings = firings.chain(single.map(|group| level.0[group].clone()));
        (groups, level) = (next.collect(), Firings(firings.collect()));
        size *= 2;
    }
    groups.concat()
}

/// Partners that share as many images as possible, each pair in order, and
/// who is left if the number is odd. Found greedily, then improved by
/// exchanging partners until no exchange of two pairs helps.
fn pairs(firings: &Firings) -> (Vec<[usize; 2]>, Option<usize>) {
    let count = firings.0.len();
    let mut shared = vec![0; count * count];
    let mut candidates = Vec::with_capacity(count * count / 2);
    for a in 0..count {
        for b in a + 1..count {
            let images = firings.shared(a, b);
            shared[a * count + b] = images;
            shared[b * count + a] = images;
            candidates.push((std::cmp::Reverse(images), a, b));
        }
    }
    candidates.sort_unstable();
    let mut free = vec![true; count];
    let mut pairs = Vec::with_capacity(count / 2);
    for (_, a, b) in candidates {
        if free[a] && free[b] {
            (free[a], free[b]) = (false, false);
            pairs.push([a, b]);
        }
    }
    let shared = |a: usize, b: usize| shared[a * count + b];
    let mut improved = true;
    while improved {
        improved = false;
        for first in 0..pairs.len() {
            for second in first + 1..pairs.len() {
                let ([a, b], [c, d]) = (pairs[first], pairs[second]);
                let now = shared(a, b) + shared(c, d);
                for (one, other) in [([a, c], [b, d]), ([a, d], [b, c])] {
                    if shared(one[0], one[1]) + shared(other[0], other[1]) > now {
                        (pairs[first], pairs[second]) = (one, other);
                        improved = true;
                        break;
                    }
                }
            }
        }
    }
    for pair in &mut pairs {
        pair.sort_unstable();
    }
    pairs.sort_unstable();
    (pairs, free.iter().position(|&free| free))
}

#[cfg(test)]
mod tests {
    use super::*;
    use siamese_core::image::{Input, Pooling};
    use siamese_core::model::Precision;

    /// Units 0 and 5, 1 and 3, 2 and 4 fire together; the first two pairs
    /// more often with each other than with the third.
    #[rustfmt::skip]
    const FIRINGS: [f32; 30] = [
        1.0, 0.0, 0.0, 0.0, 0.0, 1.0,
        1.0, 1.0, 0.0, 1.0, 0.0, 1.0,
        0.0, 1.0, 0.0, 1.0, 0.0, 0.0,
        0.0, 0.0, 1.0, 0.0, 1.0, 0.0,
        0.0, 0.0, 1.0, 0.0, 1.0, 0.0,
    ];

    #[test]
    fn units_that_fire_together_become_neighbours() {
        let order = order(&Firings::of(&FIRINGS, 6));
        assert_eq!(order, [0, 5, 1, 3, 2, 4]);
    }

    #[test]
    fn an_odd_unit_comes_last() {
        let activations = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0];
        assert_eq!(order(&Firings::of(&activations, 3)), [0, 2, 1]);
    }

    #[test]
    fn partners_are_exchanged_where_that_helps() {
        // Greedily 0 and 1 (3 images) would leave 2 and 3 with none; 0 with 2
        // and 1 with 3 share 2 each.
        let fires = [0b0001_1111, 0b1100_0111, 0b0001_1000, 0b1100_0000];
        let firings = Firings(fires.map(|images| vec![images]).to_vec());
        assert_eq!(pairs(&firings).0, [[0, 2], [1, 3]]);
    }

    #[test]
    fn the_order_changes_no_output() {
        let layer = |inputs: usize, outputs: usize, seed: u32| Linear {
            inputs,
            outputs,
            weight: (0..inputs * outputs)
                .map(|i| ((i as u32 * 37 + seed) % 17) as f32 - 8.0)
                .collect(),
            bias: (0..outputs).map(|i| ((i * 7) % 5) as f32 - 2.0).collect(),
        };
        let network = FloatNetwork {
            input: Input {
                width: 3,
                height: 1,
                pooling: Pooling::None,
                deskew: false,
            },
            precision: Precision::INT8,
            layers: [layer(3, 6, 1), layer(6, 5, 2), layer(5, 2, 3)],
        };
        // Whole numbers, which floats add exactly in any order.
        let run = |network: &FloatNetwork, image: [f32; 3]| {
            let mut values = image.to_vec();
            let mut hidden = Vec::new();
            for layer in &network.layers {
                let rows = layer.weight.chunks_exact(layer.inputs).zip(&layer.bias);
                let sums = rows.map(|(row, bias)| {
                    let products = row.iter().zip(&values).map(|(w, v)| w * v);
                    (products.sum::<f32>() + bias).max(0.0)
                });
                values = sums.collect();
                hidden.push(values.clone());
            }
            hidden
        };
        let images = [[1.0, 2.0, 3.0], [0.0, 5.0, 1.0], [4.0, 0.0, 2.0]];
        let hidden = [0, 1].map(|layer| {
            let outputs = images
                .iter()
                .map(|&image| run(&network, image)[layer].clone());
            outputs.collect::<Vec<_>>().concat()
        });
        let arranged = arrange(&network, hidden.each_ref().map(|h| &h[..]));
        assert_ne!(arranged, network);
        for image in images {
            assert_eq!(run(&arranged, image)[2], run(&network, image)[2]);
        }
    }
    #[test]
    fn an_image_has_a_bit() {
        // Of 70 images, unit 0 fires in the first and in the last, and unit 1 in all others.
        let mut activations = [0.0, 0.5].repeat(70);
        for image in [0, 69] {
            activations[2 * image..][..2].copy_from_slice(&[0.25, -1.0]);
        }
        let firings = Firings::of(&activations, 2);
        let expected = [vec![1, 1 << 5], vec![u64::MAX - 1, (1 << 5) - 1]];
        assert_eq!(firings.0, expected);
        assert_eq!((firings.shared(0, 0), firings.shared(1, 1)), (2, 68));
        assert_eq!(firings.shared(0, 1), 0);
    }

    /// Pairs of units, 0 and 1, 2 and 3, and so on, that share eight images of their own;
    /// and some more images with the units that fire in them.
    fn pairs_and(count: usize, more: &[&[usize]]) -> Firings {
        let mut firings = vec![vec![0u64; 2]; 2 * count];
        for (unit, images) in firings.iter_mut().enumerate() {
            images[0] = 0xFF << (unit / 2 * 8);
        }
        for (image, units) in more.iter().enumerate() {
            units
                .iter()
                .for_each(|&unit| firings[unit][1] |= 1 << image);
        }
        Firings(firings)
    }

    #[test]
    fn pairs_of_pairs_share_what_makes_either_of_them_fire() {
        // Twice 0 of the first pair and 6 of the last fire; once the first pair and 2.
        let firings = pairs_and(4, &[&[0, 6], &[1, 7], &[0, 1, 2]]);
        assert_eq!(order(&firings), [0, 1, 6, 7, 2, 3, 4, 5]);
        // Twice both pairs, and once one unit of the first and one of the second pair.
        let both = [0, 1, 6, 7];
        let firings = pairs_and(4, &[&both, &both, &[0, 2]]);
        assert_eq!(order(&firings), [0, 1, 6, 7, 2, 3, 4, 5]);
    }

    #[test]
    fn groups_have_four_units() {
        // The first four units often fire with the last four, which changes nothing.
        let all = [0, 1, 2, 3, 8, 9, 10, 11];
        let first = [0, 1, 2, 3];
        let last = [8, 9, 10, 11];
        let firings = pairs_and(6, &[&all, &first, &last, &[4, 6], &[4, 6], &[5, 7]]);
        assert_eq!(order(&firings), (0..12).collect::<Vec<_>>());
    }

    #[test]
    fn no_exchange_of_two_pairs_helps() {
        for seed in 1..40u64 {
            let count = 5 + (seed % 9) as usize;
            // Numbers of no pattern, by a generator of Lehmer's.
            let mut state = seed;
            let mut word = || {
                state = state * 48_271 % 0x7FFF_FFFF;
                state >> 7
            };
            let firings = Firings((0..count).map(|_| vec![word(), word()]).collect());
            let (pairs, single) = pairs(&firings);
            let mut units = pairs.concat();
            units.extend(single);
            units.sort_unstable();
            assert_eq!(units, (0..count).collect::<Vec<_>>());
            assert!(pairs.is_sorted() && pairs.iter().all(|[a, b]| a < b));
            for (place, &[a, b]) in pairs.iter().enumerate() {
                for &[c, d] in &pairs[..place] {
                    let shared = |a, b| firings.shared(a, b);
                    let now = shared(a, b) + shared(c, d);
                    let others = [[a, c, b, d], [a, d, b, c]];
                    for [a, b, c, d] in others {
                        assert!(shared(a, b) + shared(c, d) <= now, "seed {seed}");
                    }
                }
            }
        }
    }
}
