//! The network runs without privileges, as it must in a task of an operating
//! system that protects itself.

use std::time::Duration;

use siamese_device::firmware::{Abi, Board, Build, Program, run};

use crate::common::random_model;

#[test]
fn embedding_needs_no_privileges() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.siam");
    std::fs::write(&path, random_model(1)).unwrap();
    for board in [Board::Mps2An386, Board::Mps2An505, Board::Mps3An547] {
        for abi in Abi::ALL {
            let build = Build::new(&path, board).program(Program::Unprivileged);
            let elf = build.abi(abi).run();
            let elf = elf.unwrap_or_else(|error| panic!("{error}"));
            let said = run(&elf, board, Duration::from_secs(60));
            let said = said.unwrap_or_else(|error| panic!("{board}, {abi:?}: {error}"));
            assert_eq!(said.trim(), "equal", "{board}, {abi:?}");
        }
    }
}
