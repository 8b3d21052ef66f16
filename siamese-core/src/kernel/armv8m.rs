//! What an Armv8-M processor with the main extension says of itself.

use core::arch::asm;

/// Instruction set attribute register 3: 3 in bits 4 to 7 for all of SIMD.
const ID_ISAR3: usize = 0xE000_ED6C;
/// Media and VFP feature register 1: bits 8 to 11 tell of Helium.
const MVFR1: usize = 0xE000_EF44;
/// Coprocessor access control register: 3 for each coprocessor that all code uses.
const CPACR: usize = 0xE000_ED88;

/// Whether this code is privileged.
pub(super) fn privileged() -> bool {
    let (control, ipsr): (u32, u32);
    // SAFETY: any code may read both registers, which has no effect.
    unsafe {
        asm!(
            "mrs {control}, CONTROL",
            "mrs {ipsr}, IPSR",
            control = out(reg) control,
            ipsr = out(reg) ipsr,
            options(nomem, nostack, preserves_flags),
        );
    }
    // A handler always is; a thread, unless CONTROL.nPRIV is set.
    ipsr & 0x1FF != 0 || control & 1 == 0
}

/// Whether there is the DSP extension; not if this code may not know.
pub(super) fn has_dsp() -> bool {
    privileged() && read(ID_ISAR3) & 0xF0 >= 0x30
}

/// Whether there is Helium, and all code may use it: a firmware must have enabled
/// the coprocessors 10 and 11. Not if this code may not know.
pub(super) fn has_helium() -> bool {
    privileged() && read(MVFR1) & 0xF00 != 0 && read(CPACR) >> 20 & 0xF == 0xF
}

/// Reads a register of the system control space.
fn read(register: usize) -> u32 {
    // SAFETY: all of them are there in every Armv8-M processor with the main
    // extension, which the target is, and the code is privileged; reading has no
    // effect.
    unsafe { core::ptr::without_provenance::<u32>(register).read_volatile() }
}
