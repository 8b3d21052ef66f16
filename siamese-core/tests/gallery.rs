//! Galleries against the plainest way to say the same.

mod common;

use common::aligned::Aligned;
use common::{Layer, Parts};
use proptest::prelude::*;
use siamese_core::checksum::checksum;
use siamese_core::gallery::{
    Decision, Entry, Gallery, GalleryError, Identified, Label, LoadError, Neighbour, Thresholds,
    Verified, Voted,
};
use siamese_core::image::{Input, Pooling};
use siamese_core::model::{Calibration, Precision};
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

/// What a threshold says, in the plainest words.
fn judged(distance_squared: u64, threshold: Option<u64>) -> Decision {
    if threshold.is_none() {
        Decision::Uncalibrated
    } else if Some(distance_squared) <= threshold {
        Decision::Accepted
    } else {
        Decision::Rejected
    }
}

/// Whether this entry accepts: by the pair threshold if it is an exemplar.
fn judged_by<const D: usize>(
    entry: &Entry<D>,
    distance_squared: u64,
    thresholds: Thresholds,
) -> Decision {
    let threshold = if entry.is_exemplar() {
        thresholds.pair
    } else {
        thresholds.prototype
    };
    judged(distance_squared, threshold)
}

/// All entries, nearest first, lower labels first among equals.
fn sorted<const D: usize, const N: usize>(
    gallery: &Gallery<D, N>,
    query: &Embedding<D>,
) -> Vec<Neighbour> {
    let mut all: Vec<Neighbour> = gallery
        .entries()
        .iter()
        .map(|entry| {
            let distance_squared = (0..D)
                .map(|i| (i128::from(entry.point().0[i]) - i128::from(query.0[i])).pow(2) as u64)
                .sum();
            Neighbour {
                label: entry.label(),
                distance_squared,
                decision: judged_by(entry, distance_squared, gallery.thresholds()),
            }
        })
        .collect();
    all.sort_by_key(|neighbour| (neighbour.distance_squared, neighbour.label));
    all
}

/// Thresholds that decide both ways, and none.
fn thresholds() -> impl Strategy<Value = Thresholds> {
    let one = || proptest::option::of(prop_oneof![0u64..20, any::<u64>()]);
    (one(), one()).prop_map(|(prototype, pair)| Thresholds { prototype, pair })
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

    /// The order of the enrolments, and of other labels between them, changes no
    /// prototype.
    #[test]
    fn a_prototype_does_not_depend_on_the_order(
        examples in proptest::collection::vec((0u16..3, embedding::<2>()), 1..40)
            .prop_flat_map(|examples| (Just(examples.clone()), Just(examples).prop_shuffle())),
    ) {
        let enrol = |examples: &[(Label, Embedding<2>)]| {
            let mut gallery = Gallery::<2, 3>::for_fingerprint(0);
            for (label, example) in examples {
                gallery.enrol(*label, example).unwrap();
            }
            let mut entries = gallery.entries().to_vec();
            entries.sort_by_key(|entry| entry.label());
            entries
        };
        prop_assert_eq!(enrol(&examples.0), enrol(&examples.1));
    }

    #[test]
    fn identification_finds_the_nearest_and_the_next_label(
        examples in examples::<2>(),
        query in embedding::<2>(),
        thresholds in thresholds(),
    ) {
        let mut gallery: Gallery<2, 24> = enrolled(&examples);
        gallery.set_user_thresholds(thresholds);
        let sorted = sorted(&gallery, &query);
        let found = gallery.identify(&query);
        prop_assert_eq!(found.map(|found| found.nearest.label), sorted.first().map(|n| n.label));
        if let (Some(found), Some(first)) = (found, sorted.first()) {
            prop_assert_eq!(found.nearest.distance_squared, first.distance_squared);
            let other = sorted.iter().find(|neighbour| neighbour.label != first.label);
            prop_assert_eq!(found.runner_up.map(|n| n.label), other.map(|n| n.label));
            // One entry of the label that accepts is enough.
            let accepted = |n: &Neighbour| n.label == first.label && n.decision.is_accepted();
            let accepted = sorted.iter().any(accepted);
            prop_assert_eq!(found.decision.is_accepted(), accepted);
            prop_assert_eq!(found.label(), accepted.then_some(first.label));
            if !accepted {
                prop_assert_eq!(found.decision, found.nearest.decision);
            }
            let verified = gallery.verify(first.label, &query).unwrap();
            prop_assert_eq!(verified.distance_squared, first.distance_squared);
            prop_assert_eq!(verified.decision, found.decision);
        }
    }

    #[test]
    fn any_label_is_verified_by_its_own_entries(
        examples in examples::<2>(),
        query in embedding::<2>(),
        thresholds in thresholds(),
        label in 0u16..5,
    ) {
        let mut gallery: Gallery<2, 24> = enrolled(&examples);
        gallery.set_user_thresholds(thresholds);
        let mut own = sorted(&gallery, &query);
        own.retain(|neighbour| neighbour.label == label);
        match gallery.verify(label, &query) {
            Err(error) => {
                prop_assert!(own.is_empty());
                prop_assert_eq!(error, GalleryError::NotEnrolled { label });
            }
            Ok(verified) => {
                prop_assert_eq!(verified.distance_squared, own[0].distance_squared);
                let accepted = own.iter().any(|n| n.decision.is_accepted());
                prop_assert_eq!(verified.is_accepted(), accepted);
                let nearest = |n: &&Neighbour| n.distance_squared == own[0].distance_squared;
                let decisions: Vec<Decision> =
                    own.iter().filter(nearest).map(|n| n.decision).collect();
                prop_assert!(accepted || decisions.contains(&verified.decision));
            }
        }
    }

    #[test]
    fn two_embeddings_are_verified_by_the_pair_threshold(
        a in embedding::<3>(),
        b in embedding::<3>(),
        thresholds in thresholds(),
    ) {
        let mut gallery = Gallery::<3, 1>::for_fingerprint(0);
        gallery.set_user_thresholds(thresholds);
        let distance_squared = a.distance_squared(&b);
        let decision = judged(distance_squared, thresholds.pair);
        let expected = Verified { distance_squared, decision };
        prop_assert_eq!(gallery.verify_pair(&a, &b), expected);
        prop_assert_eq!(gallery.verify_pair(&b, &a), expected);
    }

    /// Labels that are enrolled far away take nothing in.
    #[test]
    fn what_is_unknown_stays_unknown(
        near in proptest::array::uniform2(-50i16..50),
        far in proptest::collection::vec(
            (1u16..9, proptest::array::uniform2(5_000i16..9_000), any::<bool>()), 0..10),
        threshold in 0u64..1_000_000,
    ) {
        let mut gallery = Gallery::<2, 12>::for_fingerprint(0);
        gallery.set_user_thresholds(Thresholds {
            prototype: Some(threshold),
            pair: Some(threshold),
        });
        gallery.enrol(0, &Embedding([0, 3_000])).unwrap();
        let query = Embedding(near);
        let before = gallery.identify(&query).unwrap();
        prop_assert_eq!(before.label(), None);
        for (label, at, exemplar) in far {
            if exemplar {
                gallery.enrol_exemplar(label, &Embedding(at)).unwrap();
            } else {
                gallery.enrol(label, &Embedding(at)).unwrap();
            }
            let after = gallery.identify(&query).unwrap();
            prop_assert_eq!(after.label(), None);
            prop_assert_eq!(after.nearest, before.nearest);
            prop_assert_eq!(gallery.identify_by_vote::<5>(&query).unwrap().label(), None);
        }
    }

    #[test]
    fn neighbours_and_votes_are_those_of_a_full_sort(
        examples in examples::<2>(),
        query in embedding::<2>(),
        thresholds in thresholds(),
    ) {
        let mut gallery: Gallery<2, 24> = enrolled(&examples);
        gallery.set_user_thresholds(thresholds);
        let mut sorted = sorted(&gallery, &query);
        sorted.truncate(5);
        prop_assert_eq!(&gallery.nearest::<5>(&query)[..], &sorted[..]);
        prop_assert!(gallery.nearest::<0>(&query).is_empty());
        prop_assert_eq!(gallery.identify_by_vote::<0>(&query), None);

        let of = |decision| -> Vec<Neighbour> {
            sorted.iter().copied().filter(|n| n.decision == decision).collect()
        };
        let (accepted, uncalibrated) = (of(Decision::Accepted), of(Decision::Uncalibrated));
        let (voters, decision) = if !accepted.is_empty() {
            (accepted, Decision::Accepted)
        } else if !uncalibrated.is_empty() {
            (uncalibrated, Decision::Uncalibrated)
        } else {
            (Vec::new(), Decision::Rejected)
        };
        let votes = |label| voters.iter().filter(|n| n.label == label).count();
        let most = voters.iter().map(|n| votes(n.label)).max().unwrap_or(0);
        let winner = voters.iter().find(|n| votes(n.label) == most).or(sorted.first());
        let expected = winner.map(|n| Voted { winner: n.label, votes: most as u16, decision });
        let voted = gallery.identify_by_vote::<5>(&query);
        prop_assert_eq!(voted, expected);
        if let Some(voted) = voted {
            let label = (decision == Decision::Accepted).then_some(voted.winner);
            prop_assert_eq!(voted.label(), label);
        }
    }

    /// Whoever has sent it.
    #[test]
    fn no_message_can_panic(
        distances in proptest::array::uniform2(prop_oneof![Just(u64::MAX), Just(0), any::<u64>()]),
    ) {
        let [nearest, second] = distances.map(|distance_squared| Neighbour {
            label: 1,
            distance_squared,
            decision: Decision::Rejected,
        });
        prop_assert_eq!(u64::from(nearest.distance()), nearest.distance_squared.isqrt());
        let answer = Identified {
            nearest,
            runner_up: Some(second),
            decision: Decision::Uncalibrated,
        };
        let margin = answer.margin().unwrap();
        if second.distance() >= nearest.distance() {
            prop_assert_eq!(margin, second.distance() - nearest.distance());
        } else {
            prop_assert_eq!(margin, 0);
        }
    }

    #[test]
    fn what_is_stored_comes_back(examples in examples::<3>(), thresholds in thresholds()) {
        let file = small_model(3);
        let model = Model::parse(&file).unwrap();
        let mut gallery = Gallery::<3, 24>::new(&model).unwrap();
        gallery.set_user_thresholds(thresholds);
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

    /// What is read is exactly what would be written.
    #[test]
    fn the_stored_form_is_canonical(
        examples in examples::<2>(),
        changes in proptest::collection::vec((5usize..150, any::<u8>()), 0..3),
        thresholds in thresholds(),
    ) {
        let file = small_model(2);
        let model = Model::parse(&file).unwrap();
        let mut gallery = Gallery::<2, 24>::new(&model).unwrap();
        gallery.set_user_thresholds(thresholds);
        for (label, example, exemplar) in &examples {
            if *exemplar {
                gallery.enrol_exemplar(*label, example).unwrap();
            } else {
                gallery.enrol(*label, example).unwrap();
            }
        }
        let mut buffer = [0; Gallery::<2, 24>::STORED_MAX];
        let mut stored = gallery.to_bytes(&mut buffer).unwrap().to_vec();
        let length = stored.len();
        for (at, byte) in changes {
            stored[at % length] = byte;
        }
        reseal(&mut stored);
        if let Ok(read) = Gallery::<2, 24>::from_bytes(&model, &stored) {
            let mut buffer = [0; Gallery::<2, 24>::STORED_MAX];
            prop_assert_eq!(read.to_bytes(&mut buffer).unwrap(), &stored[..]);
        }
    }

    #[test]
    fn no_bytes_can_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let file = small_model(2);
        let model = Model::parse(&file).unwrap();
        let mut like = b"SGAL\x02".to_vec();
        like.extend(&bytes);
        like.resize(like.len().max(13), 0);
        reseal(&mut like);
        let _ = Gallery::<2, 4>::from_bytes(&model, &like);
        prop_assert!(Gallery::<2, 4>::from_bytes(&model, &bytes).is_err());
    }
}

/// Makes length and checksum right.
fn reseal(bytes: &mut [u8]) {
    let (length, body) = (bytes.len() as u32, bytes.len() - 4);
    bytes[5..9].copy_from_slice(&length.to_le_bytes());
    let crc = checksum(&bytes[..body]);
    bytes[body..].copy_from_slice(&crc.to_le_bytes());
}

/// A model whose embedding has `dim` coordinates.
fn small_model(dim: usize) -> Aligned {
    model_of(dim, 1)
}

/// A model of 3x3 pixels whose weights all are `weight`.
fn model_of(dim: usize, weight: i8) -> Aligned {
    let layer = |inputs: usize, outputs: usize| Layer {
        weights: vec![weight; inputs * outputs],
        biases: vec![1; outputs],
        requantise: vec![Requantise::new(1 << 30, 36).unwrap(); outputs],
    };
    let input = Input {
        width: 3,
        height: 3,
        pooling: Pooling::None,
        deskew: false,
    };
    let layers = [layer(9, 7), layer(7, 5), layer(5, dim)];
    let precision = Precision::INT8;
    Parts {
        input,
        precision,
        layers,
    }
    .encode()
    .unwrap()
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

/// In place as by value, whatever was there before; after an error nothing is left.
#[test]
fn a_gallery_is_loaded_in_place() {
    let file = small_model(2);
    let model = Model::parse(&file).unwrap();
    let mut gallery = Gallery::<2, 4>::new(&model).unwrap();
    gallery.enrol(3, &Embedding([30, -7])).unwrap();
    gallery.enrol_exemplar(3, &Embedding([31, -9])).unwrap();
    let mut buffer = [0; Gallery::<2, 4>::STORED_MAX];
    let stored = gallery.to_bytes(&mut buffer).unwrap();

    let full = || {
        let mut full = Gallery::<2, 4>::for_fingerprint(1);
        for label in 0..4 {
            full.enrol(label, &Embedding([300, 300])).unwrap();
        }
        full.set_user_thresholds(Thresholds {
            prototype: Some(9),
            pair: Some(8),
        });
        full
    };
    let mut place = full();
    assert_eq!(place.load(&model, stored), Ok(()));
    assert_eq!(place, gallery);

    let empty = Gallery::<2, 4>::new(&model).unwrap();
    let last = stored.len() - 1;
    let mut damaged = stored.to_vec();
    damaged[last] ^= 1;
    for bytes in [&stored[..last], &damaged, &[]] {
        let mut place = full();
        let expected = Gallery::<2, 4>::from_bytes(&model, bytes);
        assert_eq!(place.load(&model, bytes), Err(expected.unwrap_err()));
        assert_eq!(place, empty);
    }
    let (found, expected) = (2, 3);
    assert_eq!(
        Gallery::<3, 4>::for_fingerprint(1).load(&model, stored),
        Err(LoadError::Dimension { found, expected })
    );
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

/// The file of `small_model(2)`, with other thresholds.
fn calibrated(prototype_threshold: u64, pair_threshold: u64) -> siamese_build::OwnedModel {
    allowing(prototype_threshold, pair_threshold, 0)
}

/// The same with an allowance.
fn allowing(
    prototype_threshold: u64,
    pair_threshold: u64,
    allowance: u8,
) -> siamese_build::OwnedModel {
    let model = siamese_build::OwnedModel::new(&small_model(2)).unwrap();
    let calibration = Calibration {
        false_accept_rate: 0.01,
        false_reject_rate: 0.02,
        prototype_threshold,
        pair_threshold,
        spread: 1,
        allowance,
    };
    model.calibrated(Some(calibration)).unwrap()
}

#[test]
fn without_a_threshold_nothing_is_known() {
    let file = small_model(2);
    let model = Model::parse(&file).unwrap();
    let mut gallery = Gallery::<2, 4>::new(&model).unwrap();
    assert_eq!(gallery.thresholds(), Thresholds::NONE);
    gallery.enrol(1, &Embedding([i16::MIN; 2])).unwrap();
    gallery.enrol_exemplar(2, &Embedding([0; 2])).unwrap();
    for at in [[i16::MAX; 2], [i16::MIN; 2], [0, 0]] {
        let found = gallery.identify(&Embedding(at)).unwrap();
        assert_eq!(found.decision, Decision::Uncalibrated);
        assert_eq!(found.label(), None);
        for label in [1, 2] {
            let verified = gallery.verify(label, &Embedding(at)).unwrap();
            assert_eq!(verified.decision, Decision::Uncalibrated);
            assert!(!verified.is_accepted());
        }
        let pair = gallery.verify_pair(&Embedding(at), &Embedding(at));
        assert_eq!(pair.decision, Decision::Uncalibrated);
        let voted = gallery.identify_by_vote::<2>(&Embedding(at)).unwrap();
        assert_eq!(
            (voted.decision, voted.label()),
            (Decision::Uncalibrated, None)
        );
        assert_eq!((voted.winner, voted.votes), (found.nearest.label, 1));
    }
    // The nearest is still told.
    let found = gallery.identify(&Embedding([5, 5])).unwrap();
    assert_eq!(
        (found.nearest.label, found.nearest.distance_squared),
        (2, 50)
    );
    assert_eq!(Decision::Uncalibrated.to_string(), "not calibrated");
    assert_eq!(Decision::Accepted.to_string(), "accepted");
    assert_eq!(Decision::Rejected.to_string(), "rejected");
}

#[test]
fn a_new_gallery_has_the_models_thresholds() {
    let model = calibrated(100, 30);
    let mut gallery = Gallery::<2, 4>::new(&model.model()).unwrap();
    let expected = Thresholds {
        prototype: Some(100),
        pair: Some(30),
    };
    assert_eq!(gallery.thresholds(), expected);
    assert_eq!(gallery.model_thresholds(), expected);
    assert_eq!(gallery.user_thresholds(), Thresholds::NONE);
    assert_eq!(Thresholds::of_model(&model.model()), expected);

    gallery.enrol(1, &Embedding([0, 0])).unwrap();
    gallery.enrol_exemplar(2, &Embedding([1000, 0])).unwrap();
    // The largest squared distances, and one more.
    let decide = |at: [i16; 2]| gallery.identify(&Embedding(at)).unwrap().decision;
    assert_eq!(decide([10, 0]), Decision::Accepted);
    assert_eq!(decide([10, 1]), Decision::Rejected);
    assert_eq!(decide([1000 - 5, 2]), Decision::Accepted); // 29
    assert_eq!(decide([1000 - 5, 3]), Decision::Rejected); // 34
    let pair = |x| gallery.verify_pair(&Embedding([0, 0]), &Embedding([x, 0]));
    assert!(pair(5).is_accepted());
    assert_eq!(pair(6).decision, Decision::Rejected);
    assert_eq!(pair(6).distance_squared, 36);
}

#[test]
fn what_is_farther_out_may_be_farther_away() {
    let model = allowing(100, 50, 64);
    let mut gallery = Gallery::<2, 4>::new(&model.model()).unwrap();
    assert_eq!(gallery.allowance(), 64);
    gallery.enrol(1, &Embedding([100, 0])).unwrap();
    gallery.enrol_exemplar(2, &Embedding([-100, 0])).unwrap();
    // From the prototype: 100, and a quarter of the query's own squared norm.
    let prototype = |x: i16| gallery.identify(&Embedding([x, 0])).unwrap();
    for x in [62, 65, 66, 120, 200, 221, 222, 300] {
        let (distance, norm) = ((i64::from(x) - 100).pow(2), i64::from(x).pow(2));
        let found = prototype(x);
        assert_eq!(found.nearest.distance_squared, distance as u64);
        assert_eq!(
            found.decision.is_accepted(),
            distance <= 100 + norm / 4,
            "{x}"
        );
    }
    assert!(prototype(66).decision.is_accepted() && !prototype(65).decision.is_accepted());
    // From the exemplar: 50, and a quarter of the mean of both norms.
    for x in [-61, -63, -66, -68, -120, -185, -190] {
        let (distance, norm) = ((i64::from(x) + 100).pow(2), i64::from(x).pow(2) + 10_000);
        let accepted = distance <= 50 + norm / 8;
        let (at, exemplar) = (Embedding([x, 0]), Embedding([-100, 0]));
        assert_eq!(prototype(x).decision.is_accepted(), accepted, "{x}");
        assert_eq!(gallery.verify(2, &at).unwrap().is_accepted(), accepted);
        for (a, b) in [(at, exemplar), (exemplar, at)] {
            assert_eq!(gallery.verify_pair(&a, &b).is_accepted(), accepted, "{x}");
        }
        assert_eq!(
            gallery.nearest::<1>(&at)[0].decision.is_accepted(),
            accepted
        );
    }
    // The user's threshold is judged by the same excess.
    gallery.set_user_thresholds(Thresholds {
        prototype: Some(0),
        pair: None,
    });
    let decide = |x| gallery.identify(&Embedding([x, 0])).unwrap().decision;
    assert_eq!(decide(67), Decision::Accepted); // 1089 of 1122
    assert_eq!(decide(66), Decision::Rejected); // 1156 of 1089
    // Another model has no allowance, nor has a gallery that is read for it.
    let mut buffer = [0; Gallery::<2, 4>::STORED_MAX];
    let stored = gallery.to_bytes(&mut buffer).unwrap().to_vec();
    let plain = calibrated(100, 50);
    let read = |model: &Model<'_>| Gallery::<2, 4>::from_bytes(model, &stored).unwrap();
    assert_eq!(read(&plain.model()).allowance(), 0);
    assert_eq!(read(&model.model()).allowance(), 64);
    gallery.reset_for(&plain.model()).unwrap();
    assert_eq!(gallery.allowance(), 0);
}

#[test]
fn a_recalibrated_model_counts_for_what_was_stored_before() {
    let before = calibrated(100, 30);
    let mut gallery = Gallery::<2, 4>::new(&before.model()).unwrap();
    gallery.enrol(1, &Embedding([0, 0])).unwrap();
    let mut buffer = [0; Gallery::<2, 4>::STORED_MAX];
    let stored = gallery.to_bytes(&mut buffer).unwrap().to_vec();
    let user = Thresholds {
        prototype: None,
        pair: Some(7),
    };
    gallery.set_user_thresholds(user);
    let mut buffer = [0; Gallery::<2, 4>::STORED_MAX];
    let with_user = gallery.to_bytes(&mut buffer).unwrap().to_vec();

    let after = calibrated(1, 2);
    assert_eq!(after.model().fingerprint(), before.model().fingerprint());
    let new = Thresholds {
        prototype: Some(1),
        pair: Some(2),
    };
    let load = |model: &Model<'_>, bytes: &[u8]| Gallery::<2, 4>::from_bytes(model, bytes).unwrap();
    assert_eq!(load(&after.model(), &stored).thresholds(), new);
    // The user's own value stays, and only that.
    let loaded = load(&after.model(), &with_user);
    assert_eq!(loaded.user_thresholds(), user);
    let both = Thresholds {
        prototype: Some(1),
        pair: Some(7),
    };
    assert_eq!(loaded.thresholds(), both);
    let uncalibrated = siamese_build::OwnedModel::new(&small_model(2)).unwrap();
    let loaded = load(&uncalibrated.model(), &with_user);
    assert_eq!(loaded.thresholds(), user);

    // Also when the gallery is reset in place; and other steps are other numbers.
    gallery.reset_for(&after.model()).unwrap();
    assert!(gallery.entries().is_empty());
    assert_eq!(gallery.thresholds(), both);
    let other = model_of(2, 2);
    let other = Model::parse(&other).unwrap();
    gallery.reset_for(&other).unwrap();
    assert_eq!(gallery.thresholds(), Thresholds::NONE);
    assert_eq!(gallery.fingerprint(), other.fingerprint());
}

/// A near exemplar that rejects and a prototype farther away that accepts.
#[test]
fn mixed_labels_are_accepted_by_any_entry_and_only_their_own() {
    let mut gallery = Gallery::<1, 4>::for_fingerprint(0);
    gallery.set_user_thresholds(Thresholds {
        prototype: Some(400),
        pair: Some(16),
    });
    gallery.enrol_exemplar(1, &Embedding([10])).unwrap();
    gallery.enrol(2, &Embedding([-15])).unwrap();
    let query = Embedding([0]);
    let found = gallery.identify(&query).unwrap();
    // Label 2 would be accepted, and is not as near: it is no answer.
    assert_eq!(
        (found.nearest.label, found.decision),
        (1, Decision::Rejected)
    );
    assert_eq!(found.label(), None);
    assert!(gallery.verify(2, &query).unwrap().is_accepted());
    assert_eq!(found.runner_up.unwrap().decision, Decision::Accepted);

    // With a prototype of its own, label 1 is accepted.
    gallery.enrol(1, &Embedding([18])).unwrap();
    let found = gallery.identify(&query).unwrap();
    assert_eq!(found.nearest.distance_squared, 100);
    assert_eq!(found.nearest.decision, Decision::Rejected);
    assert_eq!(found.label(), Some(1));
    let verified = gallery.verify(1, &query).unwrap();
    assert_eq!(
        (verified.distance_squared, verified.is_accepted()),
        (100, true)
    );
    // Only accepted entries vote.
    let voted = gallery.identify_by_vote::<3>(&query).unwrap();
    assert_eq!((voted.label(), voted.votes), (Some(2), 1));
}

#[test]
fn of_one_labels_entries_that_are_as_near_the_first_decides() {
    let decide = |exemplar_first: bool| {
        let mut gallery = Gallery::<1, 2>::for_fingerprint(0);
        gallery.set_user_thresholds(Thresholds {
            prototype: Some(3),
            pair: None,
        });
        if exemplar_first {
            gallery.enrol_exemplar(1, &Embedding([2])).unwrap();
        }
        gallery.enrol(1, &Embedding([-2])).unwrap();
        if !exemplar_first {
            gallery.enrol_exemplar(1, &Embedding([2])).unwrap();
        }
        let decision = gallery.verify(1, &Embedding([0])).unwrap().decision;
        let found = gallery.identify(&Embedding([0])).unwrap();
        assert_eq!(found.decision, decision);
        decision
    };
    assert_eq!(decide(true), Decision::Uncalibrated);
    assert_eq!(decide(false), Decision::Rejected);
}

#[test]
fn a_prototype_of_one_example_is_still_a_prototype() {
    let mut gallery = Gallery::<1, 4>::for_fingerprint(0);
    gallery.set_user_thresholds(Thresholds {
        prototype: Some(100),
        pair: Some(1),
    });
    gallery.enrol(1, &Embedding([0])).unwrap();
    gallery.enrol_exemplar(2, &Embedding([100])).unwrap();
    let entry = |number: usize| gallery.entries()[number];
    assert_eq!((entry(0).examples(), entry(0).is_exemplar()), (1, false));
    assert_eq!((entry(1).examples(), entry(1).is_exemplar()), (1, true));
    let mut more = gallery.clone();
    more.enrol(1, &Embedding([2])).unwrap();
    assert_eq!(more.entries()[0].examples(), 2);
    assert!(gallery.verify(1, &Embedding([10])).unwrap().is_accepted());
    assert!(!gallery.verify(2, &Embedding([98])).unwrap().is_accepted());
}

/// The stored form, byte by byte, from its description.
#[test]
fn a_stored_gallery_is_as_it_is_described() {
    let file = small_model(2);
    let model = Model::parse(&file).unwrap();
    let mut gallery = Gallery::<2, 4>::new(&model).unwrap();
    gallery.set_user_thresholds(Thresholds {
        prototype: None,
        pair: Some(0x0102_0304),
    });
    gallery.enrol(0x1234, &Embedding([-2, 5])).unwrap();
    gallery.enrol(0x1234, &Embedding([-3, 5])).unwrap();
    gallery
        .enrol_exemplar(7, &Embedding([i16::MIN, 1]))
        .unwrap();
    let mut expected = b"SGAL".to_vec();
    expected.push(2);
    expected.extend(76u32.to_le_bytes());
    expected.push(0b10);
    expected.extend(2u16.to_le_bytes());
    expected.extend(model.fingerprint().to_le_bytes());
    expected.extend([0; 8]);
    expected.extend([0; 8]);
    expected.extend([4, 3, 2, 1, 0, 0, 0, 0]);
    expected.extend(2u32.to_le_bytes());
    expected.extend(0u32.to_le_bytes());
    // A mean of -2.5, which is rounded upwards: the sum is -2 * 2 - 1.
    for number in [0x1234, 2, -2, 5, -1, 0, 7, 0, i16::MIN, 1, 0, 0] {
        expected.extend(number.to_le_bytes());
    }
    expected.extend(checksum(&expected).to_le_bytes());
    assert_eq!(Gallery::<2, 4>::STORED_MAX, 48 + 4 * 12 + 4);
    let mut buffer = [0; Gallery::<2, 4>::STORED_MAX];
    assert_eq!(gallery.to_bytes(&mut buffer).unwrap(), &expected[..]);
    assert_eq!(Gallery::<2, 4>::from_bytes(&model, &expected), Ok(gallery));
}

/// One stored entry of one coordinate, with an even number of labels before it.
fn stored_entry(model: &Model<'_>, examples: u16, mean: i16, remainder: i16) -> Vec<u8> {
    let mut gallery = Gallery::<1, 4>::new(model).unwrap();
    gallery.enrol(3, &Embedding([0])).unwrap();
    let mut buffer = [0; Gallery::<1, 4>::STORED_MAX];
    let mut stored = gallery.to_bytes(&mut buffer).unwrap().to_vec();
    stored[50..52].copy_from_slice(&examples.to_le_bytes());
    stored[52..54].copy_from_slice(&mean.to_le_bytes());
    stored[54..56].copy_from_slice(&remainder.to_le_bytes());
    reseal(&mut stored);
    stored
}

#[test]
fn only_entries_that_enrolments_can_make_are_read() {
    let file = small_model(1);
    let model = Model::parse(&file).unwrap();
    let read = |examples, mean, remainder| {
        let stored = stored_entry(&model, examples, mean, remainder);
        Gallery::<1, 4>::from_bytes(&model, &stored)
    };
    // All that a few examples can make, and nothing else: of each sum in reach the
    // one rounding.
    for examples in 0..6u16 {
        let count = i64::from(examples.max(1));
        for (means, extreme) in [
            (-3..=3, 40),
            (i16::MIN..=i16::MIN + 2, 5),
            (i16::MAX - 2..=i16::MAX, 5),
        ] {
            for mean in means {
                for remainder in -extreme..=extreme {
                    let sum = i64::from(mean) * count + i64::from(remainder);
                    let in_reach =
                        (count * i64::from(i16::MIN)..=count * i64::from(i16::MAX)).contains(&sum);
                    let rounded = (2 * sum + count).div_euclid(2 * count);
                    let possible = in_reach && rounded == i64::from(mean);
                    let found = read(examples, mean, remainder);
                    assert_eq!(found.is_ok(), possible, "{examples}, {mean}, {remainder}");
                    if !possible {
                        assert_eq!(found, Err(LoadError::Contents));
                    }
                }
            }
        }
    }
    for (mean, remainder, possible) in [
        (i16::MAX, 0, true),
        (i16::MAX, 1, false),
        (i16::MAX, -32_767, true),
        (i16::MAX, i16::MIN, false),
        (i16::MIN, 0, true),
        (i16::MIN, 32_767, true),
        (i16::MIN, -1, false),
        (i16::MIN, i16::MIN, false),
        (0, 32_767, true),
        (0, -32_767, true),
        (0, i16::MIN, false),
    ] {
        assert_eq!(
            read(u16::MAX, mean, remainder).is_ok(),
            possible,
            "{mean}, {remainder}"
        );
    }
}

#[test]
fn every_field_has_one_form() {
    let file = small_model(2);
    let model = Model::parse(&file).unwrap();
    let mut gallery = Gallery::<2, 4>::new(&model).unwrap();
    gallery.set_user_thresholds(Thresholds {
        prototype: Some(9),
        pair: None,
    });
    gallery.enrol(1, &Embedding([1, 2])).unwrap();
    gallery.enrol(2, &Embedding([3, 4])).unwrap();
    gallery.enrol_exemplar(2, &Embedding([3, 4])).unwrap();
    let mut buffer = [0; Gallery::<2, 4>::STORED_MAX];
    let stored = gallery.to_bytes(&mut buffer).unwrap().to_vec();
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut stored = stored.clone();
        change(&mut stored);
        reseal(&mut stored);
        Gallery::<2, 4>::from_bytes(&model, &stored)
    };
    assert_eq!(changed(&|_| ()), Ok(gallery));
    let contents = Err(LoadError::Contents);
    // Flags without meaning, and a threshold that is not set.
    assert_eq!(changed(&|stored| stored[9] |= 4), contents);
    assert_eq!(changed(&|stored| stored[9] |= 0x80), contents);
    assert_eq!(changed(&|stored| stored[32] = 1), contents);
    assert_eq!(changed(&|stored| stored[9] = 0), contents);
    // A generation, and a record that isn't whole.
    assert_eq!(changed(&|stored| stored[16] = 1), contents);
    assert_eq!(changed(&|stored| stored[23] = 1), contents);
    assert_eq!(changed(&|stored| stored[40] = 2), contents);
    assert_eq!(changed(&|stored| stored[40] = 4), contents);
    assert_eq!(changed(&|stored| stored[44] = 1), contents);
    assert_eq!(changed(&|stored| stored[44..48].fill(0xFF)), contents);
    // Bytes behind the last entry, and too few.
    for extra in 1..12 {
        let longer = |stored: &mut Vec<u8>| stored.extend(vec![0; extra]);
        assert_eq!(changed(&longer), contents, "{extra} more");
        let shorter = |stored: &mut Vec<u8>| stored.truncate(stored.len() - extra);
        assert_eq!(changed(&shorter), contents, "{extra} less");
    }
    for length in 13..52 {
        assert_eq!(
            changed(&|stored| stored.truncate(length)),
            contents,
            "{length}"
        );
    }
    // A second prototype of one label; a second exemplar is fine.
    assert_eq!(changed(&|stored| stored[60] = 1), contents);
    assert_eq!(changed(&|stored| stored[74] = 1), contents);
    assert!(changed(&|stored| stored[62] = 0).is_ok());
    assert!(changed(&|stored| stored[72] = 1).is_ok());
    // Other coordinates.
    let dimension = LoadError::Dimension {
        found: 3,
        expected: 2,
    };
    assert_eq!(changed(&|stored| stored[10] = 3), Err(dimension));
    let wide = small_model(3);
    let wide = Model::parse(&wide).unwrap();
    assert_eq!(
        Gallery::<2, 4>::from_bytes(&wide, &stored),
        Err(LoadError::Dimension {
            found: 3,
            expected: 2
        })
    );
}

#[test]
fn version_1_is_refused_in_words() {
    let file = small_model(2);
    let model = Model::parse(&file).unwrap();
    let mut old = b"SGAL\x01....0123456789012345678".to_vec();
    reseal(&mut old);
    let error = Gallery::<2, 4>::from_bytes(&model, &old).unwrap_err();
    assert_eq!(error, LoadError::Version { found: 1 });
    let words = error.to_string();
    assert!(
        words.contains("version 1") && words.contains("version 2"),
        "{words}"
    );
    for length in 4..9 {
        let start = b"SGAL\x02\x40\0\0\0";
        let error = LoadError::Truncated {
            expected: 9,
            found: length,
        };
        let found = Gallery::<2, 4>::from_bytes(&model, &start[..length]);
        assert_eq!(found, Err(error));
    }
}

/// More entries than 16 bits count.
#[test]
#[cfg_attr(miri, ignore = "safe code, in so many cases that Miri takes hours")]
fn a_very_large_gallery_comes_back() {
    type Large = Gallery<1, 66_000>;
    let run = || {
        let file = small_model(1);
        let model = Model::parse(&file).unwrap();
        let mut gallery = Box::new(Large::new(&model).unwrap());
        for number in 0..65_537u32 {
            gallery
                .enrol_exemplar(1, &Embedding([number as i16]))
                .unwrap();
        }
        let mut buffer = vec![0; Large::STORED_MAX];
        let stored = gallery.to_bytes(&mut buffer).unwrap();
        let back = Box::new(Large::from_bytes(&model, stored).unwrap());
        assert_eq!(back.entries().len(), 65_537);
        assert_eq!(back, gallery);
    };
    let thread = std::thread::Builder::new().stack_size(1 << 24);
    thread.spawn(run).unwrap().join().unwrap();
}
