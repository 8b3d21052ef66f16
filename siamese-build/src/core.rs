//! Processor cores, and the order of weights that each is fastest with.

use std::fmt;
use std::str::FromStr;

use siamese_core::model::Layout;

/// A processor core that a firmware is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Core {
    /// Any core, by the kernel that needs no special instruction.
    Any,
    /// Cortex-M0.
    CortexM0,
    /// Cortex-M0+.
    CortexM0Plus,
    /// Cortex-M1.
    CortexM1,
    /// Cortex-M23.
    CortexM23,
    /// Cortex-M3.
    CortexM3,
    /// Cortex-M4, with or without a floating-point unit.
    CortexM4,
    /// Cortex-M7, with or without a floating-point unit.
    CortexM7,
    /// Cortex-M33 with the DSP extension, which its maker may leave out.
    CortexM33,
    /// Cortex-M33 without the DSP extension.
    CortexM33NoDsp,
    /// Cortex-M35P with the DSP extension.
    CortexM35P,
    /// Cortex-M55.
    CortexM55,
    /// Cortex-M85.
    CortexM85,
    /// 32-bit RISC-V with multiplication.
    Rv32,
    /// 64-bit x86.
    X86_64,
}

impl Core {
    /// All cores: how compilers name each, and its layout.
    pub const ALL: [(Self, &'static str, Layout); 15] = [
        (Self::Any, "any", Layout::Rows),
        (Self::CortexM0, "cortex-m0", Layout::Columns),
        (Self::CortexM0Plus, "cortex-m0plus", Layout::Columns),
        (Self::CortexM1, "cortex-m1", Layout::Columns),
        (Self::CortexM23, "cortex-m23", Layout::Columns),
        (Self::CortexM3, "cortex-m3", Layout::Columns),
        (Self::CortexM4, "cortex-m4", Layout::Interleaved),
        (Self::CortexM7, "cortex-m7", Layout::Interleaved),
        (Self::CortexM33, "cortex-m33", Layout::Interleaved),
        (Self::CortexM33NoDsp, "cortex-m33+nodsp", Layout::Columns),
        (Self::CortexM35P, "cortex-m35p", Layout::Interleaved),
        (Self::CortexM55, "cortex-m55", Layout::Quads),
        (Self::CortexM85, "cortex-m85", Layout::Quads),
        (Self::Rv32, "rv32imac", Layout::Rows),
        (Self::X86_64, "x86-64", Layout::WideTiles),
    ];

    /// How compilers name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The order of the weights that its kernel reads.
    #[must_use]
    pub fn layout(self) -> Layout {
        self.row().2
    }

    fn row(self) -> (Self, &'static str, Layout) {
        let found = Self::ALL.into_iter().find(|(core, ..)| *core == self);
        found.expect("every core has a row")
    }
}

impl fmt::Display for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Core {
    type Err = UnknownCore;

    fn from_str(name: &str) -> Result<Self, UnknownCore> {
        let found = Self::ALL.into_iter().find(|(_, known, _)| *known == name);
        let (core, ..) = found.ok_or_else(|| UnknownCore(name.into()))?;
        Ok(core)
    }
}

/// A name that no [`Core`] has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownCore(String);

impl fmt::Display for UnknownCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Core::ALL.map(|(_, name, _)| name).join(", ");
        write!(
            f,
            "there is no core '{}'; the known ones are {names}",
            self.0
        )
    }
}

impl std::error::Error for UnknownCore {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_refused() {
        for (core, name, layout) in Core::ALL {
            assert_eq!(name.parse(), Ok(core));
            assert_eq!((core.name(), core.layout()), (name, layout));
        }
        let error = "cortex-m4f".parse::<Core>().unwrap_err();
        assert!(error.to_string().contains("cortex-m4,"), "{error}");
    }
}
