//! Pages whose code was run: it must be the code that was run.

use std::fs;
use std::path::Path;

use siamese_tests::{root, test_images};
use siamese_train::embed::points::Points;
use siamese_train::evaluate::Labelled;
use siamese_train::evaluate::neighbours::knn_leave_one_out;

#[test]
fn the_python_of_the_page_is_the_script() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let read = |name: &str| fs::read_to_string(docs.join(name)).unwrap();
    let page = read("coming-from-pytorch.md");
    let (_, after) = page.split_once("```python\n").expect("the page has Python");
    let (block, _) = after.split_once("```\n").expect("the block ends");
    assert_eq!(block, read("coming-from-pytorch.py"));
}

/// The kept run of the original's recipe, judged as its author's embeddings are: each point by
/// the other test points.
#[test]
fn the_kept_points_of_the_original_are_as_good_as_the_page_says() {
    let points = Points::read(&root().join("docs/original/embed.txt")).unwrap();
    let test = test_images();
    let points = Labelled::new(&points, &test.labels).unwrap();
    let knn25 = knn_leave_one_out(points, &[25]).unwrap()[0];
    let page = fs::read_to_string(root().join("docs/study.md")).unwrap();
    let said = format!("this run reaches {knn25:.3} at that");
    assert!(page.contains(&said), "the page doesn't say: {said}");
}
