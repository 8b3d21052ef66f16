//! Libtorch's integer path and the core give the same integers at every layer.

use siamese_core::preset::Small;
use siamese_tests::{committed_models, golden_vectors, layers, model_path};
use siamese_train::embed::ModelFile;

#[test]
fn golden_vectors_match_at_every_layer() {
    for model in committed_models() {
        let golden = golden_vectors(&model);
        assert!(golden.len() >= 100, "{}", model.path().display());
        for (index, (pixels, expected)) in golden.iter().enumerate() {
            let found = layers(&model.model(), pixels);
            assert_eq!(
                &found,
                expected,
                "{}, image {index}",
                model.path().display()
            );
        }
    }
}

#[test]
fn the_static_embedder_matches_at_every_layer() {
    let file = ModelFile::read(&model_path("small.siam")).unwrap();
    let mut embedder: Small = Small::new(file.model()).unwrap();
    for (pixels, expected) in golden_vectors(&file) {
        let embedding = embedder.embed(&pixels).unwrap();
        assert_eq!(embedding.0[..], expected.embedding);
        assert_eq!(
            embedder.hidden(),
            [&expected.hidden1[..], &expected.hidden2]
        );
    }
}

/// Golden vectors that are all zero, or alike, would prove little.
#[test]
fn golden_vectors_are_varied() {
    for model in committed_models() {
        let golden = golden_vectors(&model);
        let mut embeddings: Vec<_> = golden.iter().map(|(_, layers)| &layers.embedding).collect();
        embeddings.sort();
        embeddings.dedup();
        // Where a single unit of a narrow second layer is active, points lie on a ray, and
        // some coincide.
        assert!(embeddings.len() * 8 > golden.len() * 7);
        let used = |layer: fn(&siamese_tests::Layers) -> &Vec<u8>| {
            golden
                .iter()
                .flat_map(|(_, layers)| layer(layers))
                .filter(|&&a| a > 0)
                .count()
        };
        assert!(used(|layers| &layers.hidden1) > golden.len());
        assert!(used(|layers| &layers.hidden2) > golden.len());
    }
}

#[cfg(feature = "torch")]
mod with_libtorch {
    use super::*;
    use siamese_tests::test_images;
    use siamese_train::embed::golden::ADVERSARIAL;
    use siamese_train::export::golden::{TorchModel, adversarial_images};

    #[test]
    fn all_test_images_match_at_every_layer() {
        let images = test_images().images;
        for file in committed_models() {
            let model = file.model();
            let input = model.header().input;
            let strange = adversarial_images(input.width.into(), input.height.into()).unwrap();
            assert_eq!(strange.len(), ADVERSARIAL);
            for set in [&images, &strange] {
                let torch = TorchModel::new(&model).forward(set).unwrap();
                let [mut hidden1, mut hidden2] = [Vec::new(), Vec::new()];
                let mut embeddings = Vec::new();
                for pixels in set {
                    let found = layers(&model, pixels);
                    hidden1.extend(found.hidden1);
                    hidden2.extend(found.hidden2);
                    embeddings.extend(found.embedding);
                }
                assert!(
                    torch.hidden[0] == hidden1,
                    "{}: hidden 1",
                    file.path().display()
                );
                assert!(
                    torch.hidden[1] == hidden2,
                    "{}: hidden 2",
                    file.path().display()
                );
                assert!(
                    torch.embeddings == embeddings,
                    "{}: embedding",
                    file.path().display()
                );
            }
        }
    }
}
