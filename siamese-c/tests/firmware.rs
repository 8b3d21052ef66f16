//! The library in firmwares of C: the example runs on emulated boards, and nothing that a
//! firmware calls can panic.

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use object::read::archive::ArchiveFile;
use object::{Object, ObjectSymbol};
use siamese_build::{Abi, Board, Core};
use siamese_c::gallery::DIMS;
use siamese_device::{CLibrary, firmware, panics};

use common::{repository, text};

/// Runs a program; its errors are the test's.
fn call(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; try `cargo xtask setup`"));
    assert!(
        output.status.success(),
        "{command:?}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The example for a core, built by CMake.
fn example(core: Core, abi: Abi, model: &str, folder: &Path) -> PathBuf {
    let written = CLibrary::new(core).abi(abi).write(
        &repository(&format!("model/{model}.siam")),
        &folder.join("siamese"),
    );
    written.unwrap_or_else(|error| panic!("{error}"));
    built(core, abi, folder)
}

/// What CMake builds of the example with the library in a folder.
fn built(core: Core, abi: Abi, folder: &Path) -> PathBuf {
    let siamese = folder.join("siamese");
    let built = folder.join("build");
    let option = |name: &str, value: &str| format!("-D{name}={value}");
    call(
        Command::new("cmake")
            .args(["-G", "Unix Makefiles", "-S"])
            .arg(repository("siamese-c/examples/c"))
            .arg("-B")
            .arg(&built)
            .arg(option("CORE", core.name()))
            .arg(option(
                "FLOAT_ABI",
                if abi == Abi::Hard { "hard" } else { "soft" },
            ))
            .arg(option("SIAMESE", siamese.to_str().unwrap())),
    );
    call(Command::new("cmake").arg("--build").arg(&built));
    built.join("firmware.elf")
}

#[test]
fn the_example_finds_all_right_on_emulated_boards() {
    let boards = [
        (Board::Microbit, Abi::Soft),
        (Board::Mps2An386, Abi::Soft),
        (Board::Mps2An386, Abi::Hard),
    ];
    for (board, abi) in boards {
        let folder = tempfile::tempdir().unwrap();
        let elf = example(board.core(), abi, "small", folder.path());
        let said = firmware::run(&elf, board, Duration::from_secs(120));
        let said = said.unwrap_or_else(|error| panic!("{board}, {abi:?}: {error}"));
        for line in [
            "of a part of the model: the model is cut off",
            "golden vectors equal: 128",
            "enrolled and identified: 4",
            "all is right",
        ] {
            let lines: Vec<&str> = said.lines().collect();
            assert!(lines.contains(&line), "{board}, {abi:?}: {line}\n{said}");
        }
        println!(
            "{board}, {abi:?}: {said}{:?}",
            std::fs::read(&elf).map(|elf| sizes(&elf))
        );
    }
}

#[test]
fn a_library_without_lanes_refuses_weights_of_few_bits_and_one_with_them_runs_them() {
    let board = Board::Mps2An386;
    let folder = tempfile::tempdir().unwrap();
    let elf = example(board.core(), Abi::Soft, "swift", folder.path());
    let said = firmware::run(&elf, board, Duration::from_secs(120));
    let said = said.unwrap_or_else(|error| panic!("{error}"));
    assert!(said.contains("golden vectors equal: 128"), "{said}");

    let without = CLibrary::new(board.core()).lanes(false).build();
    let without = without.unwrap_or_else(|error| panic!("{error}"));
    let library = folder.path().join("siamese").join(CLibrary::ARCHIVE);
    std::fs::copy(without, library).unwrap();
    std::fs::remove_dir_all(folder.path().join("build")).unwrap();
    let elf = built(board.core(), Abi::Soft, folder.path());
    let error = firmware::run(&elf, board, Duration::from_secs(120)).unwrap_err();
    assert!(error.to_string().contains("built without code"), "{error}");
}

/// Bytes of the code and constants of an ELF file, and of its static data.
fn sizes(elf: &[u8]) -> (u64, u64) {
    use object::ObjectSection;
    let file = object::File::parse(elf).unwrap();
    let size = |name| {
        file.section_by_name(name)
            .map_or(0, |section| section.size())
    };
    (size(".text") + size(".data"), size(".bss") + size(".data"))
}

/// The functions that the header declares, as the linker knows them.
fn functions() -> BTreeSet<String> {
    let header = text("siamese-c/include/siamese.h");
    let families: BTreeSet<&str> = header
        .lines()
        .filter_map(|line| line.strip_prefix("#define siamese_"))
        .filter_map(|line| line.split_once(' '))
        .filter(|(_, value)| value.starts_with("SIAMESE_JOIN"))
        .map(|(name, _)| name)
        .collect();
    let mut functions = BTreeSet::new();
    for line in header.lines() {
        let declared = ["siamese_error siamese_", "const char *siamese_"];
        let name = declared.iter().find_map(|start| line.strip_prefix(start));
        let Some((name, _)) = name.and_then(|name| name.split_once('(')) else {
            continue;
        };
        if families.contains(name) {
            functions.extend(DIMS.iter().map(|dim| format!("siamese_{name}_d{dim}")));
        } else {
            functions.insert(format!("siamese_{name}"));
        }
    }
    assert!(functions.contains("siamese_embed") && functions.contains("siamese_load_d64"));
    functions
}

#[test]
fn the_library_has_what_the_header_declares_and_nothing_else() {
    for core in [Core::CortexM0, Core::CortexM4, Core::Rv32] {
        let library = CLibrary::new(core).build();
        let library = library.unwrap_or_else(|error| panic!("{error}"));
        let bytes = std::fs::read(library).unwrap();
        let mut found = BTreeSet::new();
        for member in ArchiveFile::parse(&*bytes).unwrap().members() {
            let data = member.unwrap().data(&*bytes).unwrap();
            let Ok(file) = object::File::parse(data) else {
                continue;
            };
            let names = file
                .symbols()
                .filter(|symbol| symbol.is_definition() && symbol.is_global())
                .filter_map(|symbol| symbol.name().ok().map(str::to_owned));
            found.extend(names.filter(|name| name.starts_with("siamese_")));
        }
        assert!(found.remove("siamese_panicked"), "{core}");
        assert_eq!(found, functions(), "{core}");
    }
}

#[test]
fn nothing_in_the_library_can_panic() {
    for core in [Core::CortexM0, Core::CortexM4] {
        let folder = tempfile::tempdir().unwrap();
        let library = CLibrary::new(core).build();
        let library = library.unwrap_or_else(|error| panic!("{error}"));
        let link = |name: &str, more: &[&str]| {
            let elf = folder.path().join(name);
            let functions = functions();
            let required = functions
                .iter()
                .map(|function| format!("-Wl,--require-defined={function}"));
            call(
                Command::new("arm-none-eabi-gcc")
                    .arg(format!("-mcpu={core}"))
                    .args(["-mthumb", "-nostdlib"])
                    .arg("-Wl,--gc-sections,--emit-relocs,--entry=siamese_embed")
                    .args(required)
                    .args(more)
                    .arg(&library)
                    .arg("-o")
                    .arg(&elf),
            );
            panics(&elf, "siamese_panicked").unwrap()
        };
        assert_eq!(link("library.elf", &[]), [], "{core}");
        // A check that finds nothing may be blind.
        let seen = link("handler.elf", &["-Wl,--require-defined=siamese_panicked"]);
        assert!(
            seen.iter()
                .any(|panic| panic.function == "siamese_panicked")
        );
    }
}
