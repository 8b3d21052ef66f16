//! What classes are called.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};

use super::{Class, Source};
use crate::limit;

/// The names of classes, by label. As JSON an object: `{"0":"cat","1":"dog"}`.
///
/// A name that is a number belongs to the class of that number, so that the
/// folder `7` holds class 7 and files of labels agree with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClassNames(BTreeMap<Class, String>);

impl ClassNames {
    /// Names by label, from 0 on; a label beyond them is shown as its number.
    /// An empty name is none.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let names = (0..=Class::MAX).zip(names.into_iter().map(Into::into));
        Self(names.filter(|(_, name)| !name.is_empty()).collect())
    }

    /// Every label is shown as its number.
    #[must_use]
    pub const fn numbers() -> Self {
        Self(BTreeMap::new())
    }

    /// Reads the names from a text file, one a line: the first is that of
    /// label 0. An empty line leaves its label without a name.
    ///
    /// # Errors
    /// One sentence that names the file: it is missing, not UTF-8, has more
    /// lines than there are labels, or two classes of one name.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = limit::read(path)
            .map_err(|error| anyhow!("cannot open {} ({error}); check the path", path.display()))?;
        let text = String::from_utf8(bytes).map_err(|_| {
            anyhow!(
                "{} is no UTF-8 text; save it as UTF-8, one name a line",
                path.display()
            )
        })?;
        let lines = text.trim_start_matches('\u{feff}').lines();
        // Counted before they are kept: an empty line takes 16 times its byte.
        let count = lines.clone().count();
        ensure!(
            count <= usize::from(Class::MAX) + 1,
            "{} has {count} lines, and there are {} labels",
            path.display(),
            usize::from(Class::MAX) + 1
        );
        let lines: Vec<&str> = lines.collect();
        let named: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
        let given: Vec<&str> = named.iter().copied().filter(|n| !n.is_empty()).collect();
        check(&given).with_context(|| format!("cannot use {}", path.display()))?;
        Ok(Self::new(named))
    }

    /// The name of a class; its number if it has none.
    #[must_use]
    pub fn get(&self, class: Class) -> String {
        let name = self.0.get(&class);
        name.cloned().unwrap_or_else(|| class.to_string())
    }

    /// Whether the class has a name that says more than its number.
    #[must_use]
    pub fn is_named(&self, class: Class) -> bool {
        let name = self.0.get(&class);
        name.is_some_and(|name| *name != class.to_string())
    }

    /// The classes with a name, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (Class, &str)> {
        self.0.iter().map(|(&class, name)| (class, name.as_str()))
    }

    /// The names of these classes, the numbers of those without one included:
    /// what reports record.
    #[must_use]
    pub fn of(&self, classes: &[Class]) -> Self {
        let named = classes.iter().map(|&class| (class, self.get(class)));
        Self(named.collect())
    }

    /// Names a class, or names it anew.
    ///
    /// # Errors
    /// If the name is none, or another class has it, up to case and leading
    /// zeros.
    pub fn set(&mut self, class: Class, name: &str) -> Result<()> {
        check(&[name])?;
        if let Some(other) = self.alike(name).filter(|&other| other != class) {
            bail!(
                "label {other} is called {:?} already; choose another name than {name:?}",
                self.get(other)
            );
        }
        self.0.insert(class, name.to_owned());
        Ok(())
    }

    /// Takes the name of a class away.
    pub fn remove(&mut self, class: Class) {
        self.0.remove(&class);
    }

    /// The class of this very name, or of this number if no class has the name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Class> {
        let named = self.iter().find(|&(_, other)| other == name);
        named.map(|(class, _)| class).or_else(|| name.parse().ok())
    }

    /// The classes of a list such as that of `--without`: names, or labels.
    ///
    /// # Errors
    /// If one is neither.
    pub fn find_all(&self, names: &[String]) -> Result<BTreeSet<Class>> {
        let find = |name: &String| {
            self.find(name.trim()).ok_or_else(|| {
                let known: Vec<&str> = self.iter().map(|(_, name)| name).take(20).collect();
                anyhow!(
                    "no class is called {name:?}; there are {}",
                    known.join(", ")
                )
            })
        };
        names.iter().map(find).collect()
    }

    /// The labels of classes that are told by their names, such as those of
    /// folders: the label that a name has already, its own value for a number,
    /// and otherwise the lowest that is free, in the names' order.
    ///
    /// # Errors
    /// If two names, here or among those that are known, differ in nothing but
    /// case and leading zeros: one class or two, nobody can tell. If a number
    /// is the label of a class of another name. If there are no labels left.
    pub fn label_all(&mut self, names: &[impl AsRef<str>]) -> Result<Vec<Class>> {
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        check(&names)?;
        let mut labels = Vec::with_capacity(names.len());
        // Numbers first: a name must not take the label that a number has.
        for name in &names {
            labels.push(self.known(name)?);
        }
        let mut free = 0..=Class::MAX;
        let mut result = Vec::with_capacity(names.len());
        for (name, known) in names.iter().zip(labels) {
            let label = match known {
                Some(label) => label,
                None => free
                    .find(|label| !self.0.contains_key(label))
                    .context("there are more classes than the 65,536 labels")?,
            };
            self.0.insert(label, (*name).to_owned());
            result.push(label);
        }
        Ok(result)
    }

    /// The label that a name has or, as a number, is; a number takes it at once.
    fn known(&mut self, name: &str) -> Result<Option<Class>> {
        if let Some(label) = self.alike(name) {
            let there = &self.0[&label];
            ensure!(
                there == name,
                "{there:?} and {name:?} may be one class or two; give them one name, or two that \
                 differ in more than case and leading zeros"
            );
            return Ok(Some(label));
        }
        let Ok(label) = key(name).parse::<Class>() else {
            return Ok(None);
        };
        if let Some(there) = self.0.get(&label) {
            bail!(
                "{name:?} would be label {label}, which is that of {there:?}; give it a name with \
                 a letter"
            );
        }
        self.0.insert(label, name.to_owned());
        Ok(Some(label))
    }

    /// The class whose name differs in nothing but case and leading zeros.
    fn alike(&self, name: &str) -> Option<Class> {
        let wanted = key(name);
        let found = self.iter().find(|(_, other)| key(other) == wanted);
        found.map(|(class, _)| class)
    }
}

impl From<Source> for ClassNames {
    fn from(source: Source) -> Self {
        Self::new(source.class_names())
    }
}

/// What two names have in common that people would take for one.
fn key(name: &str) -> String {
    let digits = name.strip_prefix('+').unwrap_or(name);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return name.to_lowercase();
    }
    match digits.trim_start_matches('0') {
        "" => "0".to_owned(),
        short => short.to_owned(),
    }
}

/// Refuses names that can't be shown, and pairs that can't be told apart.
fn check(names: &[&str]) -> Result<()> {
    let mut seen = BTreeMap::new();
    for &name in names {
        ensure!(
            !name.trim().is_empty() && !name.chars().any(char::is_control),
            "{name:?} is no name of a class; use letters or digits"
        );
        if let Some(other) = seen.insert(key(name), name) {
            bail!(
                "{other:?} and {name:?} may be one class or two; give them one name, or two that \
                 differ in more than case and leading zeros"
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn numbers_keep_their_number_and_names_take_what_is_free() {
        let mut names = ClassNames::numbers();
        let labels = names.label_all(&["cat", "1", "dog", "300"]).unwrap();
        assert_eq!(labels, [0, 1, 2, 300]);
        assert_eq!(names.get(2), "dog");
        // A second set has the same labels, in any order, and new ones for new classes.
        let labels = names.label_all(&["300", "bird", "dog"]).unwrap();
        assert_eq!(labels, [300, 3, 2]);
        assert_eq!(names.get(9), "9");
        assert_eq!(
            serde_json::to_string(&names).unwrap(),
            r#"{"0":"cat","1":"1","2":"dog","3":"bird","300":"300"}"#
        );
    }

    #[test]
    fn names_that_may_be_one_are_refused() {
        for pair in [["7", "07"], ["7", "+7"], ["Cat", "cat"], ["0", "000"]] {
            let error = ClassNames::numbers().label_all(&pair).unwrap_err();
            let error = error.to_string();
            assert!(
                pair.iter().all(|name| error.contains(&format!("{name:?}"))),
                "{error}"
            );
            // In two sets as in one.
            let mut names = ClassNames::numbers();
            names.label_all(&pair[..1]).unwrap();
            assert!(names.label_all(&pair[1..]).is_err(), "{pair:?}");
        }
        let mut names = ClassNames::new(["cat"]);
        let error = names.label_all(&["0"]).unwrap_err().to_string();
        assert!(error.contains("cat"), "{error}");
        assert!(names.label_all(&["a\nb"]).is_err());
        assert!(names.label_all(&[" "]).is_err());
        // Too large for a label, and so a name as any other.
        assert_eq!(names.label_all(&["70000"]).unwrap(), [1]);
    }

    #[test]
    fn a_thousand_classes_have_a_thousand_labels() {
        let given: Vec<String> = (0..1000).map(|i| format!("class {i}")).collect();
        let labels = ClassNames::numbers().label_all(&given).unwrap();
        assert_eq!(labels, (0..1000).collect::<Vec<Class>>());
    }

    #[test]
    fn classes_are_found_by_name_and_by_number() {
        let names = ClassNames::new(["cat", "dog"]);
        let given = ["dog", "0", "12"].map(str::to_owned);
        assert_eq!(names.find_all(&given).unwrap(), [0, 1, 12].into());
        let error = names.find_all(&["cow".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("cow") && error.contains("dog"), "{error}");
    }

    #[test]
    fn a_class_is_named_anew_and_no_name_is_given_twice() {
        let mut names = ClassNames::new(["cat", "dog"]);
        names.set(0, "Tiger").unwrap();
        names.set(0, "tiger").unwrap();
        assert_eq!(names.get(0), "tiger");
        assert!(names.set(1, "TIGER").is_err());
        names.remove(0);
        assert_eq!(names.get(0), "0");
        assert!(!names.is_named(0) && names.is_named(1));
    }

    #[test]
    fn a_file_of_names_is_read_and_a_bad_one_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names.txt");
        fs::write(&path, "\u{feff}cat\r\n\r\n  big dog \n").unwrap();
        let names = ClassNames::read(&path).unwrap();
        assert_eq!(
            [0, 1, 2].map(|class| names.get(class)),
            ["cat", "1", "big dog"]
        );
        for bytes in [b"cat\nCat\n".as_slice(), b"cat\n\xff\n"] {
            fs::write(&path, bytes).unwrap();
            let error = format!("{:#}", ClassNames::read(&path).unwrap_err());
            assert!(error.contains("names.txt"), "{error}");
        }
    }
}
