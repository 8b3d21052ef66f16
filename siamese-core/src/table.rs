//! The one table of layouts and the one table of backends. Everything else that
//! depends on them follows: the enums, file numbers, tiles and names; the cfgs
//! that `build.rs`, which includes this file, sets; and a test compares
//! `FORMAT.md` with it.
//!
//! Each macro hands its table to another macro, whose name it is given.

/// Layouts: variant = number in the file, name, rows x columns of a tile = bytes
/// of a tile, coding of the weights, cores it is made for.
#[allow(unused_macros, reason = "build.rs has no use for it")]
macro_rules! layouts {
    ($callback:ident) => {
        $callback! {
            /// One row after the other. Every core runs it.
            #[default]
            Rows = 0, "rows", 1 x 1 = 1, Plain, "any core";
            /// Tiles of 8 rows and 1 column; each weight is stored plus 128. For
            /// Cortex-M0, M0+, M1, M23 and M3, and for RISC-V of 32 bits.
            Columns = 1, "columns", 8 x 1 = 8, Offset, "Cortex-M0, M0+, M1, M23, M3, RV32";
            /// Tiles of 8 rows and 2 columns: for rows `a` and `b` below each
            /// other, and each of the columns, the 16-bit number `256 * b + a`.
            /// For Cortex-M4, M7, M33 and M35P.
            Interleaved = 2, "interleaved", 8 x 2 = 16, Interleaved,
                "Cortex-M4, M7, M33, M35P";
            /// Tiles of 8 rows and 4 columns, row after row. For Cortex-M55 and
            /// M85.
            Quads = 3, "quads", 8 x 4 = 32, Plain, "Cortex-M55, M85";
            /// Tiles of 32 rows and 2 columns, row after row. For 64-bit x86.
            WideTiles = 4, "wide-tiles", 32 x 2 = 64, Plain, "64-bit x86";
        }
    };
}

/// Backends but the portable one: type, cfg of the targets it is compiled for,
/// layout that it reads. Of several for one layout, the fastest comes last.
#[allow(unused_macros, reason = "build.rs has no use for it")]
macro_rules! backends {
    ($callback:ident) => {
        $callback! {
            /// Cortex-M0, M0+, M1, M23, M3, and RISC-V of 32 bits: one product at a
            /// time, of what is not zero.
            OneByOne, kernel_columns, Columns;
            /// Cortex-M4, M7, M33, M35P: four products in three instructions.
            ArmDsp, kernel_dsp, Interleaved;
            /// Cortex-M55, M85: 16 products in one instruction.
            Helium, kernel_helium, Quads;
            /// 64-bit x86 with AVX2.
            X86Avx2, kernel_x86, WideTiles;
            /// 64-bit x86 with AVX-512 VNNI: 64 products in one instruction.
            X86Vnni, kernel_x86, WideTiles;
        }
    };
}

/// The cfgs of the kernels, and the targets that get each, by the start of their
/// names: both float ABIs alike. Rust's own `target_feature` can't tell, because
/// on stable it doesn't know DSP and Helium.
#[allow(dead_code, reason = "only build.rs reads it")]
pub const KERNEL_TARGETS: [(&str, &[&str]); 10] = [
    (
        "kernel_columns",
        &["thumbv6m-", "thumbv7m-", "thumbv8m.base-", "riscv32"],
    ),
    ("kernel_riscv", &["riscv32"]),
    // Of Thumb, the ones with multiply-accumulate.
    ("kernel_thumb_mla", &["thumbv7m-"]),
    ("kernel_dsp", &["thumbv7em-", "thumbv8m.main-"]),
    // Cores of this target may lack DSP and Helium, so the processor is asked.
    ("kernel_armv8m", &["thumbv8m.main-"]),
    ("kernel_helium", &["thumbv8m.main-"]),
    ("kernel_x86", &["x86_64-"]),
    // Eight registers, and words at multiples of four alone.
    ("kernel_narrow", &["thumbv6m-", "thumbv8m.base-"]),
    // Thumb's instructions of 32 bits.
    (
        "kernel_thumb2",
        &["thumbv7m-", "thumbv7em-", "thumbv8m.main-"],
    ),
    // Words may lie anywhere.
    (
        "kernel_unaligned",
        &[
            "thumbv7m-",
            "thumbv7em-",
            "thumbv8m.main-",
            "x86_64-",
            "aarch64-",
            "wasm32-",
        ],
    ),
];
