//! What in a program can panic, by its symbols.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget, SymbolKind};
use rustc_demangle::demangle;

use crate::error::Error;
use crate::firmware::read;

/// A function that a program contains only because something can panic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panic {
    /// Its name, for example `core::panicking::panic_bounds_check`.
    pub function: String,
    /// The functions that call it, as far as the file has relocations. A caller
    /// may stand for others that were compiled into it.
    pub callers: Vec<String>,
}

/// The functions of `core::panicking` in a linked program, and `handler`, a
/// function that its panic handler calls: that one is there also where those of
/// `core` were compiled into their callers.
///
/// # Errors
/// [`Error::File`] if the file can't be read, [`Error::Elf`] if it is no ELF file
/// or has no symbols, so that it can't tell.
pub fn panics(elf: &Path, handler: &str) -> Result<Vec<Panic>, Error> {
    let bytes = read(elf)?;
    let unusable = |reason: String| Error::Elf {
        path: elf.into(),
        reason,
    };
    let file = object::File::parse(&*bytes).map_err(|error| unusable(error.to_string()))?;
    let functions: BTreeMap<u64, String> = file
        .symbols()
        .filter(|symbol| symbol.is_definition() && symbol.kind() == SymbolKind::Text)
        .filter_map(|symbol| {
            // Arm marks Thumb code by an odd address.
            let address = symbol.address() & !1;
            Some((address, format!("{:#}", demangle(symbol.name().ok()?))))
        })
        .collect();
    if functions.is_empty() {
        return Err(unusable("it has no symbols".into()));
    }
    let can_panic = |name: &str| name.contains("core::panicking::") || name == handler;
    let mut found: BTreeMap<&str, BTreeSet<&str>> = functions
        .values()
        .filter(|name| can_panic(name))
        .map(|name| (name.as_str(), BTreeSet::new()))
        .collect();
    let function_at = |address: u64| functions.range(..=address).next_back();
    for section in file.sections() {
        for (address, relocation) in section.relocations() {
            let RelocationTarget::Symbol(index) = relocation.target() else {
                continue;
            };
            let Ok(symbol) = file.symbol_by_index(index) else {
                continue;
            };
            let called = functions.get(&(symbol.address() & !1));
            let callers = called.and_then(|name| found.get_mut(name.as_str()));
            if let (Some(callers), Some((_, caller))) = (callers, function_at(address)) {
                callers.insert(caller);
            }
        }
    }
    Ok(found
        .into_iter()
        .map(|(function, callers)| Panic {
            function: function.into(),
            callers: callers
                .into_iter()
                .filter(|caller| !can_panic(caller))
                .map(str::to_owned)
                .collect(),
        })
        .collect())
}
