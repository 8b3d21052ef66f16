//! Bytes of a model file where flash would have them.

use std::ops::{Deref, DerefMut, Range};

use siamese_core::model::ALIGNMENT;

/// Bytes at a multiple of [`ALIGNMENT`]: a vector's are wherever the allocator put them, which is
/// at such a place here and at another under Miri.
#[derive(Debug)]
pub struct Aligned {
    memory: Vec<u8>,
    place: Range<usize>,
}

impl Aligned {
    /// So many bytes of one value.
    pub fn filled(value: u8, length: usize) -> Self {
        let memory = vec![value; length + ALIGNMENT];
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        Self {
            memory,
            place: start..start + length,
        }
    }
}

impl Clone for Aligned {
    /// The memory of a vector's clone would lie elsewhere.
    fn clone(&self) -> Self {
        let mut copy = Self::filled(0, self.len());
        copy.copy_from_slice(self);
        copy
    }
}

impl Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.place.clone()]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.place.clone()]
    }
}
