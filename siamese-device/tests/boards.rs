//! Whatever tells of boards and can't take it from the table tells the same.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use object::Endianness;
use object::elf::PT_LOAD;
use object::read::elf::{ElfFile32, ProgramHeader};
use siamese_device::Emulator;
use siamese_device::firmware::{Abi, Board, Build, DESK_FEATURES, Footprint};

/// A file of the repository.
fn read(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Features that are no board.
const OTHERS: [&str; 12] = [
    "default",
    "galleries",
    "lanes",
    "log-rtt",
    "names",
    "panics",
    "pictures",
    "semihosting",
    "statistics",
    "update-code",
    "updates",
    "usb",
];

#[test]
fn the_firmware_has_a_feature_for_each_board_and_no_other() {
    let manifest: toml::Table = read("firmware-example/Cargo.toml").parse().unwrap();
    let features = manifest["features"].as_table().unwrap();
    let boards = Board::ALL.map(Board::name);
    let expected: BTreeSet<&str> = boards.iter().copied().chain(OTHERS).collect();
    let found: BTreeSet<&str> = features.keys().map(String::as_str).collect();
    assert_eq!(found, expected);
    for board in Board::ALL {
        let brings: Vec<&str> = features[board.name()]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(toml::Value::as_str)
            .collect();
        let expected: &[&str] = if board.has_semihosting() {
            &["semihosting"]
        } else {
            &[]
        };
        assert_eq!(brings, expected, "{board}");
    }
    let default = features["default"].as_array().unwrap();
    assert_eq!(default.len(), 1);
    assert_eq!(default[0].as_str(), Some(Board::default().name()));
}

#[test]
fn cargo_builds_and_runs_the_default_board() {
    let config: toml::Table = read("firmware-example/.cargo/config.toml").parse().unwrap();
    let board = Board::default();
    let target = board.target(Abi::Soft).unwrap();
    assert_eq!(config["build"]["target"].as_str(), Some(target));
    let runner = config["target"][target]["runner"].as_str().unwrap();
    let start = format!("{} -M {} ", board.emulator().unwrap(), board.name());
    assert!(runner.starts_with(&start), "{runner}");
}

#[test]
fn the_documentation_has_the_table() {
    let table = Board::markdown();
    assert!(
        read("docs/boards.md").contains(&table),
        "docs/boards.md needs this table:\n{table}"
    );
}

/// Where the parts of a program lie that are written to flash.
fn in_flash(elf: &Path) -> Vec<Range<u64>> {
    let bytes = fs::read(elf).unwrap();
    let file = ElfFile32::<Endianness>::parse(&*bytes).unwrap();
    let endian = file.endian();
    let written = file.elf_program_headers().iter().filter_map(|part| {
        let (start, bytes) = (part.p_paddr(endian), part.p_filesz(endian));
        let range = u64::from(start)..u64::from(start) + u64::from(bytes);
        (part.p_type(endian) == PT_LOAD && bytes > 0).then_some(range)
    });
    written.collect()
}

/// No emulator was found for these: what is known of them is that they build, with what
/// people want of a board on their desk, and fit.
#[test]
fn boards_that_nothing_emulates_build() {
    let model = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../model/small.siam");
    for board in Board::ALL {
        if board.emulation().is_some() {
            continue;
        }
        let elf = Build::new(&model, board)
            .features(DESK_FEATURES)
            .run()
            .unwrap_or_else(|error| panic!("{board}: {error}"));
        let footprint = Footprint::of_elf(&elf).unwrap();
        let room = u64::from(board.program().bytes);
        assert!((60_000..room).contains(&footprint.flash_bytes), "{board}");
        let store = board.store().region.unwrap().range();
        for bytes in in_flash(&elf) {
            let apart = bytes.end <= store.start || store.end <= bytes.start;
            assert!(apart, "{board}: {bytes:x?} is in the store, {store:x?}");
            assert!(board.flash().range().contains(&bytes.start), "{board}");
        }
        let ram = footprint.ram_static + u64::from(board.stack_bytes());
        assert!(ram <= u64::from(board.ram().bytes), "{board}");
        let error = Emulator::start(&elf, board).err().unwrap().to_string();
        assert!(
            error.contains("isn't emulated") && error.contains("pico"),
            "{error}"
        );
    }
}

/// With `SIAMESE_FULL`, because drivers for USB take minutes to compile. The Pico's is also run.
#[test]
fn boards_with_usb_build_with_it_and_others_refuse() {
    let model = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../model/small.siam");
    if std::env::var_os("SIAMESE_FULL").is_none() {
        return;
    }
    let build = |board| Build::new(&model, board).feature("usb").run();
    let refused = build(Board::Mps2An385).unwrap_err().to_string();
    assert!(refused.contains("mps2-an385 has none"), "{refused}");
    for board in Board::ALL.into_iter().filter(|board| board.has_usb()) {
        let elf = build(board).unwrap_or_else(|error| panic!("{board}: {error}"));
        let flash = Footprint::of_elf(&elf).unwrap().flash_bytes;
        assert!(flash < u64::from(board.program().bytes), "{board}");
    }
}
