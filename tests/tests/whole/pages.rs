//! Pages whose code was run: it must be the code that was run.

use std::fs;
use std::path::Path;

#[test]
fn the_python_of_the_page_is_the_script() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let read = |name: &str| fs::read_to_string(docs.join(name)).unwrap();
    let page = read("coming-from-pytorch.md");
    let (_, after) = page.split_once("```python\n").expect("the page has Python");
    let (block, _) = after.split_once("```\n").expect("the block ends");
    assert_eq!(block, read("coming-from-pytorch.py"));
}
