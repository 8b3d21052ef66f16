//! The header: what compilers say of it, and that its sizes are the library's.

mod common;

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use siamese_build::{CModel, Core, OwnedModel};
use siamese_c::gallery::{self, DIMS, entries, gallery_bytes};
use siamese_c::model::{model_bytes, siamese_model, siamese_model_info};
use siamese_c::picture::siamese_fitted;

use common::{repository, text};

/// What all compilers are told.
const STRICT: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];

/// Runs a compiler on a text, with the header beside it.
fn compile(compiler: &str, options: &[&str], source: &str, out: &Path) -> Result<(), String> {
    let file = out.with_extension("txt");
    fs::write(&file, source).unwrap();
    let output = Command::new(compiler)
        .args(STRICT)
        .args(options)
        .arg("-I")
        .arg(repository("siamese-c/include"))
        .arg(&file)
        .arg("-o")
        .arg(out)
        .output()
        .unwrap_or_else(|error| panic!("{compiler}: {error}"));
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[test]
fn every_standard_of_c_and_cpp_takes_it_without_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("header.o");
    let uses = "int16_t p[SIAMESE_DIM]; siamese_gallery g;\n\
        int use(void);\n\
        int use(void) { return (int)siamese_enrol(&g, 7, p); }\n";
    for dim in DIMS {
        let source = format!("#define SIAMESE_DIM {dim}\n#include \"siamese.h\"\n{uses}");
        // All standards for one, the oldest and the newest for the others.
        let all = |standard: &&&str| *dim == 2 || ["c99", "c++98", "c++20"].contains(*standard);
        for standard in ["c99", "c11", "c17"].iter().filter(all) {
            let options = ["-x", "c", "-c", &format!("-std={standard}")];
            compile("cc", &options, &source, &out).unwrap();
        }
        for standard in ["c++98", "c++11", "c++17", "c++20"].iter().filter(all) {
            let options = ["-x", "c++", "-c", &format!("-std={standard}")];
            compile("c++", &options, &source, &out).unwrap();
        }
    }
    // Without a gallery.
    let source = "#include \"siamese.h\"\nsiamese_model m;\n";
    compile("cc", &["-x", "c", "-c", "-std=c99"], source, &out).unwrap();
}

#[test]
fn another_number_of_coordinates_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("header.o");
    let source = "#define SIAMESE_DIM 5\n#include \"siamese.h\"\n";
    let said = compile("cc", &["-x", "c", "-c"], source, &out).unwrap_err();
    let dims: Vec<String> = DIMS.iter().map(ToString::to_string).collect();
    let (last, rest) = dims.split_last().unwrap();
    let words = format!("SIAMESE_DIM is {} or {last};", rest.join(", "));
    assert!(said.contains(&words), "{said}");
}

#[test]
fn its_sizes_are_the_librarys() {
    let mut expected = format!(
        "{} {} {} {}\n",
        size_of::<siamese_model>(),
        align_of::<siamese_model>(),
        size_of::<siamese_model_info>(),
        size_of::<siamese_fitted>(),
    );
    for size in [
        size_of::<gallery::siamese_thresholds>(),
        size_of::<gallery::siamese_gallery_info>(),
        size_of::<gallery::siamese_entry>(),
        size_of::<gallery::siamese_neighbour>(),
        size_of::<gallery::siamese_identified>(),
        size_of::<gallery::siamese_verified>(),
    ] {
        let _ = writeln!(expected, "{size}");
    }
    let mut program = String::from(
        "#include <stdio.h>\n#include \"siamese.h\"\n\
         struct a { char c; siamese_model m; };\n\
         #define SIZE(type) printf(\"%zu\\n\", sizeof(type))\n\
         int main(void) {\n\
         printf(\"%zu %zu %zu %zu\\n\", sizeof(siamese_model), offsetof(struct a, m),\n\
           sizeof(siamese_model_info), sizeof(siamese_fitted));\n\
         SIZE(siamese_thresholds); SIZE(siamese_gallery_info); SIZE(siamese_entry);\n\
         SIZE(siamese_neighbour); SIZE(siamese_identified); SIZE(siamese_verified);\n\
         return 0; }\n",
    );
    assert_eq!(run(&program), expected);

    for &dim in DIMS {
        program = format!(
            "#include <stdio.h>\n#define SIAMESE_DIM {dim}\n#include \"siamese.h\"\n\
             int main(void) {{\n\
             printf(\"%d %zu %d\\n\", SIAMESE_ENTRIES, sizeof(siamese_gallery), SIAMESE_STORED_MAX);\n\
             return 0; }}\n"
        );
        let stored = 52 + entries(dim) * (4 + 4 * dim);
        let expected = format!("{} {} {stored}\n", entries(dim), gallery_bytes(dim));
        assert_eq!(run(&program), expected, "{dim} coordinates");
    }
}

/// Where a pointer has 32 bits, the library itself compares its sizes with the numbers of
/// `model_bytes` when it is compiled, and the header's with `sizeof`. This compares the numbers.
#[test]
fn both_sizes_of_a_model_are_in_the_header() {
    let header = text("siamese-c/include/siamese.h");
    let found: Vec<usize> = header
        .lines()
        .filter_map(|line| line.strip_prefix("#define SIAMESE_MODEL_BYTES "))
        .map(|number| number.parse().unwrap())
        .collect();
    assert_eq!(found, [model_bytes(4), model_bytes(8)]);
}

#[test]
fn the_page_has_the_sizes_of_all_galleries() {
    let page = text("docs/c-and-cpp.md");
    let (_, table) = page.split_once("| `SIAMESE_DIM` |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let rows: Vec<&str> = table.lines().skip(2).collect();
    let expected: Vec<String> = DIMS
        .iter()
        .map(|&dim| {
            let (entries, stored) = (entries(dim), 52 + entries(dim) * (4 + 4 * dim));
            format!("| {dim} | {entries} | {} | {stored} |", gallery_bytes(dim))
        })
        .collect();
    assert_eq!(rows, expected);
    assert!(page.contains(&format!("`siamese_model` takes {};", model_bytes(4))));
}

#[test]
fn the_pages_code_is_c_and_cpp() {
    let page = text("docs/c-and-cpp.md");
    let (_, after) = page.split_once("```c\n").unwrap();
    let (code, _) = after.split_once("```\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = OwnedModel::read(&repository("model/small.siam")).unwrap();
    let c = CModel::new(&file, Core::CortexM4).unwrap();
    let [header, _] = CModel::FILES;
    fs::write(folder.path().join(header), &c.header).unwrap();
    let out = folder.path().join("page.o");
    let include = format!("-I{}", folder.path().display());
    for (compiler, language) in [("cc", "c"), ("c++", "c++")] {
        // The page's functions are for others to call; so are the model's bytes.
        for code in [code, &c.source] {
            let options = ["-x", language, "-c", &include];
            compile(compiler, &options, code, &out).unwrap();
        }
    }
    assert!(page.contains(&format!("{} for `small`", scratch(&file))));
}

/// Bytes of scratch memory that a model needs.
fn scratch(file: &OwnedModel) -> usize {
    let (shared, hidden1) = file.model().buffer_sizes();
    shared + hidden1
}

/// What a program of C prints.
fn run(program: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("program");
    compile("cc", &["-x", "c", "-std=c99"], program, &out).unwrap();
    let output = Command::new(&out).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}
