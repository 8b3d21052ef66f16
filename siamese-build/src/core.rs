//! Processor cores: the table of them, with Rust's targets and the order of
//! weights that each core is fastest with.

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

/// How floating-point numbers are passed to functions: a build for one can't be
/// linked with a build for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Abi {
    /// In integer registers: runs with and without a floating-point unit.
    #[default]
    Soft,
    /// In the registers of the floating-point unit (`eabihf`), which start-up
    /// code has to enable.
    Hard,
}

impl Abi {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Soft, Self::Hard];
}

/// What the table says of a core.
struct Facts {
    name: &'static str,
    /// A few letters, for tables.
    short: &'static str,
    layout: Layout,
    /// The soft-float one first.
    targets: &'static [&'static str],
}

/// The targets of Armv6-M.
const V6M: &[&str] = &["thumbv6m-none-eabi"];
/// The targets of Armv7-M.
const V7M: &[&str] = &["thumbv7m-none-eabi"];
/// The targets of Armv7E-M.
const V7EM: &[&str] = &["thumbv7em-none-eabi", "thumbv7em-none-eabihf"];
/// The targets of Armv8-M's baseline.
const V8M_BASE: &[&str] = &["thumbv8m.base-none-eabi"];
/// The targets of Armv8-M's mainline, and of Armv8.1-M.
const V8M_MAIN: &[&str] = &["thumbv8m.main-none-eabi", "thumbv8m.main-none-eabihf"];
/// The targets of 32-bit RISC-V with multiplication.
const RV32: &[&str] = &[
    "riscv32imac-unknown-none-elf",
    "riscv32imc-unknown-none-elf",
    "riscv32im-unknown-none-elf",
];

impl Core {
    /// All cores.
    pub const ALL: [Self; 15] = [
        Self::Any,
        Self::CortexM0,
        Self::CortexM0Plus,
        Self::CortexM1,
        Self::CortexM23,
        Self::CortexM3,
        Self::CortexM4,
        Self::CortexM7,
        Self::CortexM33,
        Self::CortexM33NoDsp,
        Self::CortexM35P,
        Self::CortexM55,
        Self::CortexM85,
        Self::Rv32,
        Self::X86_64,
    ];

    /// The table.
    #[rustfmt::skip] // A line a core.
    const fn facts(self) -> Facts {
        let (name, short, layout, targets) = match self {
            Self::Any => ("any", "any", Layout::Rows, &[] as &[&str]),
            Self::CortexM0 => ("cortex-m0", "M0", Layout::Columns, V6M),
            Self::CortexM0Plus => ("cortex-m0plus", "M0+", Layout::Columns, V6M),
            Self::CortexM1 => ("cortex-m1", "M1", Layout::Columns, V6M),
            Self::CortexM23 => ("cortex-m23", "M23", Layout::Columns, V8M_BASE),
            Self::CortexM3 => ("cortex-m3", "M3", Layout::Columns, V7M),
            Self::CortexM4 => ("cortex-m4", "M4", Layout::Interleaved, V7EM),
            Self::CortexM7 => ("cortex-m7", "M7", Layout::Interleaved, V7EM),
            Self::CortexM33 => ("cortex-m33", "M33", Layout::Interleaved, V8M_MAIN),
            Self::CortexM33NoDsp => ("cortex-m33+nodsp", "M33", Layout::Rows, V8M_MAIN),
            Self::CortexM35P => ("cortex-m35p", "M35P", Layout::Interleaved, V8M_MAIN),
            Self::CortexM55 => ("cortex-m55", "M55", Layout::Quads, V8M_MAIN),
            Self::CortexM85 => ("cortex-m85", "M85", Layout::Quads, V8M_MAIN),
            Self::Rv32 => ("rv32imac", "RISC-V", Layout::Columns, RV32),
            Self::X86_64 => ("x86-64", "x86", Layout::WideTiles, &["x86_64-unknown-linux-gnu"] as &[&str]),
        };
        Facts { name, short, layout, targets }
    }

    /// How compilers name it, for example `cortex-m4`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// Its name in tables, for example `M4`.
    #[must_use]
    pub const fn short_name(self) -> &'static str {
        self.facts().short
    }

    /// The order of the weights that its kernel reads.
    #[must_use]
    pub const fn layout(self) -> Layout {
        self.facts().layout
    }

    /// Rust's target for it, or `None` if it has none with this ABI.
    #[must_use]
    pub fn target(self, abi: Abi) -> Option<&'static str> {
        let hard = |target: &&str| target.ends_with("eabihf");
        let mut targets = self.facts().targets.iter().copied();
        targets.find(|target| hard(target) == (abi == Abi::Hard))
    }

    /// Whether code for a target (of Rust, or one of the user's own for the same
    /// architecture) is code for this core. Any target is for [`Core::Any`].
    #[must_use]
    pub fn is_of_target(self, target: &str) -> bool {
        let mut targets = self.facts().targets.iter();
        self == Self::Any || targets.any(|known| architecture(known) == architecture(target))
    }

    /// The core of a target. Where a target is for several, that is the first of
    /// them, if all are fastest with the same order of weights; where no core is
    /// known for the target, [`Core::Any`].
    ///
    /// # Errors
    /// [`AmbiguousTarget`] if they aren't, as for `thumbv8m.main`.
    pub fn of_target(target: &str) -> Result<Self, AmbiguousTarget> {
        let cores: Vec<Self> = Self::ALL
            .into_iter()
            .filter(|&core| core != Self::Any && core.is_of_target(target))
            .collect();
        let first = cores.first().copied().unwrap_or(Self::Any);
        if cores.iter().all(|core| core.layout() == first.layout()) {
            Ok(first)
        } else {
            Err(AmbiguousTarget {
                target: target.into(),
                cores,
            })
        }
    }
}

/// The part of a target's name that says which instructions there are.
fn architecture(target: &str) -> &str {
    target.split('-').next().unwrap_or(target)
}

impl fmt::Display for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Core {
    type Err = UnknownCore;

    fn from_str(name: &str) -> Result<Self, UnknownCore> {
        let found = Self::ALL.into_iter().find(|core| core.name() == name);
        found.ok_or_else(|| UnknownCore(name.into()))
    }
}

/// A name that no [`Core`] has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownCore(String);

impl fmt::Display for UnknownCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = names(Core::ALL);
        write!(
            f,
            "there is no core '{}'; the known ones are {names}",
            self.0
        )
    }
}

impl std::error::Error for UnknownCore {}

/// A target whose cores are fastest with different orders of weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmbiguousTarget {
    target: String,
    cores: Vec<Core>,
}

impl fmt::Display for AmbiguousTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (target, names) = (&self.target, names(self.cores.iter().copied()));
        write!(
            f,
            "the target {target} is for several cores: name one of {names}"
        )
    }
}

impl std::error::Error for AmbiguousTarget {}

fn names(cores: impl IntoIterator<Item = Core>) -> String {
    let names: Vec<&str> = cores.into_iter().map(Core::name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_refused() {
        for core in Core::ALL {
            assert_eq!(core.name().parse(), Ok(core));
            assert_eq!(core.to_string(), core.name());
        }
        let error = "cortex-m4f".parse::<Core>().unwrap_err();
        assert!(error.to_string().contains("cortex-m4,"), "{error}");
    }

    /// Named here once more: a layout that a core has no kernel for still gives
    /// the right integers, only slowly, so no other test on a host sees it.
    #[test]
    fn cores_with_special_instructions_get_the_layout_for_them() {
        use Core::*;
        let multiplies_in_pairs = [CortexM4, CortexM7, CortexM33, CortexM35P];
        let has_helium = [CortexM55, CortexM85];
        let only_scalar = [CortexM0, CortexM0Plus, CortexM1, CortexM23, CortexM3, Rv32];
        let portable = [Any, CortexM33NoDsp];
        let groups: [(Layout, &[Core]); 5] = [
            (Layout::Interleaved, &multiplies_in_pairs),
            (Layout::Quads, &has_helium),
            (Layout::Columns, &only_scalar),
            (Layout::Rows, &portable),
            (Layout::WideTiles, &[X86_64]),
        ];
        for (layout, cores) in groups {
            for core in cores {
                assert_eq!(core.layout(), layout, "{core}");
            }
        }
        let named: usize = groups.iter().map(|(_, cores)| cores.len()).sum();
        assert_eq!(named, Core::ALL.len());
    }

    #[test]
    fn both_float_abis_have_a_target_where_there_may_be_a_floating_point_unit() {
        for core in Core::ALL {
            let hard = core.target(Abi::Hard);
            let may = matches!(core.layout(), Layout::Interleaved | Layout::Quads);
            assert_eq!(
                hard.is_some(),
                may || core == Core::CortexM33NoDsp,
                "{core}"
            );
            for target in Abi::ALL.iter().filter_map(|&abi| core.target(abi)) {
                assert!(core.is_of_target(target), "{core}");
            }
        }
        let m7 = Core::CortexM7;
        assert_eq!(m7.target(Abi::Soft), Some("thumbv7em-none-eabi"));
        assert_eq!(m7.target(Abi::Hard), Some("thumbv7em-none-eabihf"));
        assert_eq!(Core::CortexM0.target(Abi::Hard), None);
    }

    #[test]
    fn a_target_names_its_core_unless_there_are_several_kinds() {
        let core = |target| Core::of_target(target).unwrap();
        assert_eq!(core("thumbv6m-none-eabi"), Core::CortexM0);
        assert_eq!(core("thumbv7m-none-eabi"), Core::CortexM3);
        assert_eq!(core("thumbv7em-none-eabihf"), Core::CortexM4);
        assert_eq!(core("thumbv7em-nuttx-eabi"), Core::CortexM4);
        assert_eq!(core("thumbv8m.base-none-eabi"), Core::CortexM23);
        assert_eq!(core("riscv32imc-unknown-none-elf"), Core::Rv32);
        assert_eq!(core("x86_64-apple-darwin"), Core::X86_64);
        assert_eq!(core("aarch64-unknown-linux-gnu"), Core::Any);
        let error = Core::of_target("thumbv8m.main-none-eabi").unwrap_err();
        let words = error.to_string();
        assert!(words.contains("cortex-m33, "), "{words}");
        assert!(words.contains("cortex-m55"), "{words}");
    }

    #[test]
    fn a_core_is_of_its_own_targets_only() {
        assert!(!Core::CortexM0.is_of_target("thumbv7em-none-eabi"));
        assert!(!Core::CortexM4.is_of_target("thumbv6m-none-eabi"));
        assert!(!Core::CortexM4.is_of_target("thumbv7m-none-eabi"));
        assert!(!Core::CortexM23.is_of_target("thumbv8m.main-none-eabi"));
        assert!(Core::Any.is_of_target("thumbv7em-none-eabi"));
    }
}
