//! A register of a peripheral: the one place that reads and writes by address.

/// A register that may be read and written at any time.
pub struct Register<T = u32>(*mut T);

impl<T: Copy> Register<T> {
    /// The register at `address`.
    ///
    /// # Safety
    /// A peripheral's register of that width must be there, and neither reading nor
    /// writing it may change memory that Rust knows of (as starting a DMA
    /// transfer would).
    pub const unsafe fn at(address: usize) -> Self {
        Self(core::ptr::without_provenance_mut(address))
    }

    /// Reads it.
    pub fn read(&self) -> T {
        // SAFETY: `at`'s caller vouches for the address.
        unsafe { self.0.read_volatile() }
    }

    /// Writes it.
    pub fn write(&self, value: T) {
        // SAFETY: `at`'s caller vouches for the address and the harmlessness.
        unsafe { self.0.write_volatile(value) }
    }
}
