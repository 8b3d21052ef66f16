//! The host and the firmware's build mean the same by a board.

#[path = "../../firmware-example/boards.rs"]
#[allow(dead_code, reason = "memory is the linker's matter")]
mod boards;

use boards::BOARDS;
use siamese_device::firmware::Board;

#[test]
fn both_sides_know_the_same_boards() {
    let names: Vec<&str> = BOARDS.iter().map(|board| board.name).collect();
    assert_eq!(names, Board::ALL.map(Board::name));
    for (built, known) in BOARDS.iter().zip(Board::ALL) {
        assert_eq!(built.core, known.core_name());
        assert_eq!(built.target, known.target());
        assert_eq!(u64::from(built.flash_kib) * 1024, known.flash_bytes());
        assert_eq!(built.is_riscv(), known.emulator().ends_with("riscv32"));
    }
}
