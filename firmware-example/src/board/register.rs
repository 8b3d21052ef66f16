//! A 32-bit register of a peripheral: the one place that reads and writes by address.

/// A register that may be read and written at any time.
pub struct Register(*mut u32);

impl Register {
    /// The register at `address`.
    ///
    /// # Safety
    /// A peripheral's 32-bit register must be there, and neither reading nor
    /// writing it may change memory that Rust knows of (as starting a DMA
    /// transfer would).
    pub const unsafe fn at(address: usize) -> Self {
        Self(core::ptr::without_provenance_mut(address))
    }

    /// Reads it.
    pub fn read(&self) -> u32 {
        // SAFETY: `at`'s caller vouches for the address.
        unsafe { self.0.read_volatile() }
    }

    /// Writes it.
    pub fn write(&self, value: u32) {
        // SAFETY: `at`'s caller vouches for the address and the harmlessness.
        unsafe { self.0.write_volatile(value) }
    }
}
