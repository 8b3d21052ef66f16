//! What classes are called.

use super::{Class, Source};

/// The names of classes, by label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassNames(Vec<String>);

impl ClassNames {
    /// Names by label; a label beyond them is shown as its number.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }

    /// Every label is shown as its number.
    #[must_use]
    pub const fn numbers() -> Self {
        Self(Vec::new())
    }

    /// The name of a class.
    #[must_use]
    pub fn get(&self, class: Class) -> String {
        let name = self.0.get(usize::from(class));
        name.cloned().unwrap_or_else(|| class.to_string())
    }
}

impl From<Source> for ClassNames {
    fn from(source: Source) -> Self {
        Self::new(source.class_names())
    }
}
