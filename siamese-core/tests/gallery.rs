//! Galleries against the plainest way to say the same.

mod common;

use common::{Layer, Parts};
use proptest::prelude::*;
use siamese_core::gallery::{Gallery, GalleryError, Label, LoadError, Neighbour};
use siamese_core::image::{Input, Pooling};
use siamese_core::{Embedding, Model, Requantise, SizeError};

/// Coordinates that collide often, and the extremes.
fn coordinate() -> impl Strategy<Value = i16> {
    prop_oneof![-3i16..=3, any::<i16>(), Just(i16::MIN), Just(i16::MAX)]
}

fn embedding<const D: usize>() -> impl Strategy<Value = Embedding<D>> {
    proptest::array::uniform(coordinate()).prop_map(Embedding)
}

/// Examples with few labels; the flag asks for an exemplar.
fn examples<const D: usize>() -> impl Strategy<Value = Vec<(Label, Embedding<D>, bool)>> {
    proptest::collection::vec((0u16..4, embedding(), any::<bool>()), 0..24)
}

fn enrolled<const D: usize, const N: usize>(
    examples: &[(Label, Embedding<D>, bool)],
) -> Gallery<D, N> {
    let mut gallery = Gallery::for_fingerprint(1);
    for (label, example, exemplar) in examples {
        if *exemplar {
            gallery.enrol_exemplar(*label, example).unwrap();
        } else {
            gallery.enrol(*label, example).unwrap();
        }
    }
    gallery
}

/// All entries, nearest first, lower labels first among equals.
fn sorted<const D: usize, const N: usize>(
    gallery: &Gallery<D, N>,
    query: &Embedding<D>,
) -> Vec<Neighbour> {
    let mut all: Vec<Neighbour> = gallery
        .entries()
        .iter()
        .map(|entry| Neighbour {
            label: entry.label(),
            distance_squared: (0..D)
                .map(|i| (i128::from(entry.point().0[i]) - i128::from(query.0[i])).pow(2) as u64)
                .sum(),
        })
        .collect();
    all.sort_by_key(|neighbour| (neighbour.distance_squared, neighbour.label));
    all
}

proptest! {
    #[test]
    fn a_prototype_is_the_rounded_mean(examples in proptest::collection::vec(embedding::<3>(), 1..60)) {
        let mut gallery = Gallery::<3, 1>::for_fingerprint(0);
        for (number, example) in examples.iter().enumerate() {
            prop_assert_eq!(gallery.enrol(5, example), Ok(number as u16 + 1));
            let count = number as i64 + 1;
            for axis in 0..3 {
                let sum: i64 = examples[..=number].iter().map(|e| i64::from(e.0[axis])).sum();
                let mean = (2 * sum + count).div_euclid(2 * count);
                prop_assert_eq!(i64::from(gallery.entries()[0].point().0[axis]), mean);
            }
        }
    }

    #[test]
    fn identification_finds_the_nearest_and_the_next_label(
        examples in examples::<2>(),
        query in embedding::<2>(),
        threshold in prop_oneof![0u64..20, any::<u64>()],
    ) {
        let mut gallery: Gallery<2, 24> = enrolled(&examples);
        gallery.set_threshold(threshold);
        let sorted = sorted(&gallery, &query);
        let found = gallery.identify(&query);
        prop_assert_eq!(found.map(|found| found.nearest), sorted.first().copied());
        if let (Some(found), Some(first)) = (found, sorted.first()) {
            let other = sorted.iter().find(|neighbour| neighbour.label != first.label);
            prop_assert_eq!(found.runner_up, other.copied());
            prop_assert_eq!(found.known, first.distance_squared <= threshold);
            prop_assert_eq!(found.label().is_some(), found.known);
            let verified = gallery.verify(first.label, &query).unwrap();
            prop_assert_eq!(verified.distance_squared, first.distance_squared);
            prop_assert_eq!(verified.accepted, found.known);
        }
    }

    #[test]
    fn neighbours_and_votes_are_those_of_a_full_sort(
        examples in examples::<2>(),
        query in embedding::<2>(),
        threshold in prop_oneof![0u64..20, any::<u64>()],
    ) {
        let mut gallery: Gallery<2, 24> = enrolled(&examples);
        gallery.set_threshold(threshold);
        let mut sorted = sorted(&gallery, &query);
        sorted.truncate(5);
        prop_assert_eq!(&gallery.nearest::<5>(&query)[..], &sorted[..]);

        sorted.retain(|neighbour| neighbour.distance_squared <= threshold);
        let votes = |label| sorted.iter().filter(|n| n.label == label).count();
        let most = sorted.iter().map(|n| votes(n.label)).max();
        let winner = sorted.iter().find(|n| Some(votes(n.label)) == most);
        prop_assert_eq!(gallery.identify_by_vote::<5>(&query), winner.map(|n| n.label));
    }

    #[test]
    fn what_is_stored_comes_back(examples in examples::<3>(), threshold in any::<u64>()) {
        let file = small_model(3);
        let model = Model::parse(&file).unwrap();
        let mut gallery = Gallery::<3, 24>::new(&model).unwrap();
        gallery.set_threshold(threshold);
        for (label, example, exemplar) in &examples {
            if *exemplar {
                gallery.enrol_exemplar(*label, example).unwrap();
            } else {
                gallery.enrol(*label, example).unwrap();
            }
        }
        let mut buffer = [0; Gallery::<3, 24>::STORED_MAX];
        let stored = gallery.to_bytes(&mut buffer).unwrap().to_vec();
        prop_assert_eq!(&Gallery::<3, 24>::from_bytes(&model, &stored), &Ok(gallery.clone()));
        // Exactly as long as it says, and no byte less is enough.
        let mut exact = vec![0; stored.len()];
        prop_assert!(gallery.to_bytes(&mut exact).is_ok());
        let error = gallery.to_bytes(&mut exact[1..]).unwrap_err();
        prop_assert_eq!(error.needed, stored.len());
    }

    #[test]
    fn no_bytes_can_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let file = small_model(2);
        let model = Model::parse(&file).unwrap();
        let mut like = b"SGAL\x01".to_vec();
        like.extend(((bytes.len() + 13) as u32).to_le_bytes());
        like.extend(&bytes);
        let crc = siamese_core::checksum::checksum(&like);
        like.extend(crc.to_le_bytes());
        let _ = Gallery::<2, 4>::from_bytes(&model, &like);
        prop_assert!(Gallery::<2, 4>::from_bytes(&model, &bytes).is_err());
    }
}

/// A model whose embedding has `dim` coordinates.
fn small_model(dim: usize) -> Vec<u8> {
    model_of(dim, 1)
}

/// A model of 3x3 pixels whose weights all are `weight`.
fn model_of(dim: usize, weight: i8) -> Vec<u8> {
    let layer = |inputs: usize, outputs: usize| Layer {
        weights: vec![weight; inputs * outputs],
        biases: vec![1; outputs],
        requantise: vec![Requantise::new(1 << 30, 36).unwrap(); outputs],
    };
    let input = Input {
        width: 3,
        height: 3,
        pooling: Pooling::None,
    };
    let layers = [layer(9, 7), layer(7, 5), layer(5, dim)];
    Parts { input, layers }.encode().unwrap()
}

#[test]
fn a_full_gallery_says_so_and_keeps_what_it_has() {
    let mut gallery = Gallery::<1, 2>::for_fingerprint(0);
    gallery.enrol(1, &Embedding([10])).unwrap();
    gallery.enrol_exemplar(1, &Embedding([20])).unwrap();
    let before = gallery.clone();
    let full = GalleryError::Full { capacity: 2 };
    assert_eq!(gallery.enrol(2, &Embedding([30])), Err(full));
    assert_eq!(gallery.enrol_exemplar(1, &Embedding([30])), Err(full));
    assert_eq!(gallery, before);
    // The prototype of a label that is there takes more.
    assert_eq!(gallery.enrol(1, &Embedding([20])), Ok(2));
    assert_eq!(gallery.entries()[0].point(), Embedding([15]));
    assert!(full.to_string().contains("forget"), "{full}");
}

#[test]
fn forgetting_removes_all_entries_of_a_label() {
    let mut gallery = Gallery::<1, 4>::for_fingerprint(0);
    for (label, at) in [(1, 0), (2, 5), (3, 9)] {
        gallery.enrol(label, &Embedding([at])).unwrap();
    }
    gallery.enrol_exemplar(2, &Embedding([6])).unwrap();
    assert_eq!(gallery.forget(2), 2);
    assert_eq!(gallery.forget(2), 0);
    let labels: Vec<Label> = gallery
        .entries()
        .iter()
        .map(|entry| entry.label())
        .collect();
    assert_eq!(labels, [1, 3]);
    let error = gallery.verify(2, &Embedding([5])).unwrap_err();
    assert_eq!(error, GalleryError::NotEnrolled { label: 2 });
}

#[test]
fn a_prototype_counts_to_its_limit_and_stays_exact() {
    let mut gallery = Gallery::<2, 1>::for_fingerprint(0);
    for _ in 0..u16::MAX {
        gallery.enrol(1, &Embedding([i16::MIN, i16::MAX])).unwrap();
    }
    let before = gallery.clone();
    assert_eq!(
        gallery.entries()[0].point(),
        Embedding([i16::MIN, i16::MAX])
    );
    assert_eq!(
        gallery.enrol(1, &Embedding([0, 0])),
        Err(GalleryError::Examples)
    );
    assert_eq!(gallery, before);
}

#[test]
fn an_empty_gallery_knows_nothing() {
    let gallery = Gallery::<2, 4>::for_fingerprint(0);
    assert_eq!(gallery.identify(&Embedding([0, 0])), None);
    assert_eq!(gallery.identify_by_vote::<3>(&Embedding([0, 0])), None);
    assert!(gallery.nearest::<3>(&Embedding([0, 0])).is_empty());
}

#[test]
fn a_galleries_size_is_the_models() {
    let file = small_model(3);
    let model = Model::parse(&file).unwrap();
    let wrong = SizeError::Dimension { model: 3, asked: 2 };
    assert_eq!(Gallery::<2, 4>::new(&model), Err(wrong));
}

#[test]
fn stored_galleries_are_refused_in_words() {
    let file = small_model(2);
    let model = Model::parse(&file).unwrap();
    let mut gallery = Gallery::<2, 4>::new(&model).unwrap();
    for label in 0..4 {
        gallery
            .enrol(label, &Embedding([label as i16, 300]))
            .unwrap();
    }
    let mut buffer = [0; Gallery::<2, 4>::STORED_MAX];
    let stored = gallery.to_bytes(&mut buffer).unwrap().to_vec();
    let load = |bytes: &[u8]| Gallery::<2, 4>::from_bytes(&model, bytes);

    let other = model_of(2, 2);
    let other = Model::parse(&other).unwrap();
    let error = Gallery::<2, 4>::from_bytes(&other, &stored).unwrap_err();
    let (expected, found) = (other.fingerprint(), model.fingerprint());
    assert_eq!(error, LoadError::OtherModel { expected, found });
    assert!(error.to_string().contains("another model"), "{error}");

    let error = Gallery::<2, 3>::from_bytes(&model, &stored).unwrap_err();
    assert_eq!(
        error,
        LoadError::Capacity {
            found: 4,
            capacity: 3
        }
    );
    assert_eq!(load(&[0xFF; 64]), Err(LoadError::NotAGallery));
    assert_eq!(load(&[]), Err(LoadError::NotAGallery));
    let mut later = stored.clone();
    later[4] = 9;
    assert_eq!(load(&later), Err(LoadError::Version { found: 9 }));
    let expected = stored.len();
    for found in 9..expected {
        let error = LoadError::Truncated { expected, found };
        assert_eq!(load(&stored[..found]), Err(error));
    }
    let mut longer = stored.clone();
    longer.push(0);
    let found = expected + 1;
    assert_eq!(
        load(&longer),
        Err(LoadError::TrailingBytes { expected, found })
    );
    for byte in 0..expected {
        for bit in 0..8 {
            let mut damaged = stored.clone();
            damaged[byte] ^= 1 << bit;
            assert!(load(&damaged).is_err(), "byte {byte}, bit {bit}");
        }
    }
}

#[test]
fn a_fingerprint_is_of_the_weights_and_not_of_their_order() {
    use siamese_build::OwnedModel;
    use siamese_core::model::Layout;
    let rows = OwnedModel::new(&model_of(2, 3)).unwrap();
    for layout in Layout::ALL {
        let packed = rows.repacked(layout).unwrap();
        assert_eq!(packed.model().fingerprint(), rows.model().fingerprint());
    }
    let other = OwnedModel::new(&model_of(2, 4)).unwrap();
    assert_ne!(other.model().fingerprint(), rows.model().fingerprint());
}

#[test]
fn a_gallery_of_32_prototypes_of_16_coordinates_takes_little_memory() {
    const { assert!(Gallery::<16, 32>::RAM <= 2_560) };
    assert_eq!(Gallery::<16, 32>::RAM, size_of::<Gallery<16, 32>>());
}
