//! Constants as C or as Rust, for the programs in `xtask/peers/`.

use std::fmt::Write;

/// The language of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    C,
    Rust,
}

/// A type of the numbers in an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    I8,
    I32,
    F32,
}

impl Kind {
    const fn name(self, language: Language) -> &'static str {
        match (self, language) {
            (Self::I8, Language::C) => "int8_t",
            (Self::I32, Language::C) => "int32_t",
            (Self::F32, Language::C) => "float",
            (Self::I8, Language::Rust) => "i8",
            (Self::I32, Language::Rust) => "i32",
            (Self::F32, Language::Rust) => "f32",
        }
    }
}

/// A file of constants.
#[derive(Debug)]
pub struct Source {
    language: Language,
    text: String,
}

impl Source {
    /// An empty one.
    pub fn new(language: Language) -> Self {
        let text = match language {
            Language::C => "#pragma once\n#include <stdint.h>\n",
            Language::Rust => "",
        };
        Self {
            language,
            text: text.to_owned(),
        }
    }

    /// What is in the file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Adds a size; the name is in capitals.
    pub fn size(&mut self, name: &str, value: usize) {
        let line = match self.language {
            Language::C => format!("#define {name} {value}\n"),
            Language::Rust => format!("pub const {name}: usize = {value};\n"),
        };
        self.text += &line;
    }

    /// Adds an array; the name is in small letters.
    pub fn array(&mut self, name: &str, kind: Kind, values: &[f64]) {
        let length = values.len();
        let is_float = kind == Kind::F32;
        let kind = kind.name(self.language);
        self.text += &match self.language {
            Language::C => format!("static const {kind} {name}[{length}] = {{"),
            Language::Rust => format!("pub const {}: [{kind}; {length}] = [", name.to_uppercase()),
        };
        for value in values {
            // Writing to a string can't fail.
            let _ = match is_float {
                true => write!(self.text, "{value:?},"),
                false => write!(self.text, "{value},"),
            };
        }
        self.text += match self.language {
            Language::C => "};\n",
            Language::Rust => "];\n",
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_of_their_language() {
        let written = |language| {
            let mut source = Source::new(language);
            source.size("DIM", 2);
            source.array("biases1", Kind::I32, &[-1.0, 2.0]);
            source.array("factor1", Kind::F32, &[1.0]);
            source.text
        };
        assert!(written(Language::C).ends_with(
            "#define DIM 2\nstatic const int32_t biases1[2] = {-1,2,};\nstatic const float factor1[1] = {1.0,};\n"
        ));
        assert_eq!(
            written(Language::Rust),
            "pub const DIM: usize = 2;\npub const BIASES1: [i32; 2] = [-1,2,];\npub const FACTOR1: [f32; 1] = [1.0,];\n"
        );
    }
}
