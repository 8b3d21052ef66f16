//! What a firmware in C or C++ takes: a folder with the header, the static library for its
//! core, and a model as C.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use siamese_build::{Abi, CModel, Core, OwnedModel};

use crate::error::Error;
use crate::firmware::{at, cargo, errors_of, failed, read};

/// The static library of `siamese-c` for a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CLibrary {
    core: Core,
    abi: Abi,
    lanes: bool,
}

impl CLibrary {
    /// The name of the header.
    pub const HEADER: &str = "siamese.h";
    /// The name of the library.
    pub const ARCHIVE: &str = "libsiamese_c.a";
    /// The name of the golden vectors as C.
    pub const GOLDEN: &str = "siamese_golden.h";

    /// The one for a core, with the soft-float ABI.
    #[must_use]
    pub const fn new(core: Core) -> Self {
        Self {
            core,
            abi: Abi::Soft,
            lanes: true,
        }
    }

    /// Another float ABI: that of the firmware's other code.
    #[must_use]
    pub const fn abi(mut self, abi: Abi) -> Self {
        self.abi = abi;
        self
    }

    /// Whether it has code for weights of 2, 3 and 4 bits, as it has unless it is told.
    #[must_use]
    pub const fn lanes(mut self, lanes: bool) -> Self {
        self.lanes = lanes;
        self
    }

    /// Builds the library; its path.
    ///
    /// # Errors
    /// [`Error::Build`] with cargo's words, or if the core has no target with this ABI.
    pub fn build(&self) -> Result<PathBuf, Error> {
        let target = self.core.target(self.abi).ok_or_else(|| {
            Error::Build(format!(
                "there is no target of Rust for {} with this float ABI",
                self.core
            ))
        })?;
        let root = root()?;
        // Each has a place of its own, which no other build writes to.
        let (features, folder) = match self.lanes {
            true => ("lanes,panic-handler", "c"),
            false => ("panic-handler", "c-without-lanes"),
        };
        let built = root.join("target").join(folder);
        let failed = failed(
            cargo(&root)
                .args(["rustc", "--locked", "--package=siamese-c", "--lib"])
                .args(["--crate-type=staticlib", "--profile=firmware"])
                .args(["--no-default-features", "--features", features])
                .args(["--target", target, "--target-dir"])
                .arg(&built),
        )?;
        if let Some(said) = failed {
            return Err(Error::Build(errors_of(&said)));
        }
        Ok(built.join(target).join("firmware").join(Self::ARCHIVE))
    }

    /// Builds the library, and writes all that a firmware takes to a folder: the header, the
    /// library with the code that the model needs, the model for the core as C, and its golden
    /// vectors where they lie beside it.
    ///
    /// # Errors
    /// As [`build`](Self::build); [`Error::File`] if a file can't be read or written, or is
    /// no model.
    pub fn write(&self, model: &Path, folder: &Path) -> Result<(), Error> {
        let owned = OwnedModel::read(model).map_err(at(model))?;
        let c = CModel::new(&owned, self.core).map_err(|error| {
            Error::Build(format!("{} can't be packed: {error}", model.display()))
        })?;
        let library = self.lanes(owned.model().has_lanes()).build()?;
        fs::create_dir_all(folder).map_err(at(folder))?;
        let header = root()?.join("siamese-c/include").join(Self::HEADER);
        for (from, name) in [(header, Self::HEADER), (library, Self::ARCHIVE)] {
            fs::copy(&from, folder.join(name)).map_err(at(&from))?;
        }
        let [header, source] = CModel::FILES;
        save(&folder.join(header), &c.header)?;
        save(&folder.join(source), &c.source)?;
        let golden = model.with_extension("golden.safetensors");
        if golden.is_file() {
            let text = golden_as_c(&read(&golden)?).ok_or_else(|| {
                Error::Build(format!("{} has no golden vectors", golden.display()))
            })?;
            save(&folder.join(Self::GOLDEN), &text)?;
        }
        Ok(())
    }
}

/// The repository, in which the library's source is.
fn root() -> Result<PathBuf, Error> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::canonicalize(&root).map_err(at(&root))
}

fn save(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(at(path))
}

/// Golden vectors as arrays of C; `None` if a file has none.
fn golden_as_c(file: &[u8]) -> Option<String> {
    let (pixels, count) = tensor(file, "pixels")?;
    let (embedding, images) = tensor(file, "embedding")?;
    if count == 0 || images != count {
        return None;
    }
    let mut text = format!(
        "/* Golden vectors: images, and the points that the model gives them. Made, not written. */\n\
         #ifndef SIAMESE_GOLDEN_H\n\
         #define SIAMESE_GOLDEN_H\n\
         \n\
         #include \"siamese_model.h\"\n\
         \n\
         #define SIAMESE_GOLDEN_COUNT {count}\n\
         \n\
         static const uint8_t siamese_golden_images[SIAMESE_GOLDEN_COUNT][SIAMESE_MODEL_PIXELS] = {{\n"
    );
    rows(&mut text, pixels.chunks((pixels.len() / count).max(1)));
    text += "};\n\n\
        static const int16_t siamese_golden_points[SIAMESE_GOLDEN_COUNT][SIAMESE_DIM] = {\n";
    let (pairs, _) = embedding.as_chunks::<2>();
    let coordinates: Vec<i16> = pairs.iter().map(|&pair| i16::from_le_bytes(pair)).collect();
    rows(
        &mut text,
        coordinates.chunks((coordinates.len() / count).max(1)),
    );
    text += "};\n\n#endif\n";
    Some(text)
}

/// Rows of numbers.
fn rows<'r, T: ToString + 'r>(text: &mut String, rows: impl Iterator<Item = &'r [T]>) {
    for row in rows {
        let numbers: Vec<String> = row.iter().map(ToString::to_string).collect();
        // Writing to a string can't fail.
        let _ = writeln!(text, "{{{}}},", numbers.join(","));
    }
}

/// The bytes of a tensor in a file of the form safetensors, and its rows.
fn tensor<'f>(file: &'f [u8], name: &str) -> Option<(&'f [u8], usize)> {
    let (&length, rest) = file.split_first_chunk()?;
    let length = usize::try_from(u64::from_le_bytes(length)).ok()?;
    let (header, data) = rest.split_at_checked(length)?;
    let header = std::str::from_utf8(header).ok()?;
    let (_, after) = header.split_once(&format!("\"{name}\":{{"))?;
    let (entry, _) = after.split_once('}')?;
    let numbers = |field: &str| -> Option<Vec<usize>> {
        let (_, after) = entry.split_once(&format!("\"{field}\":["))?;
        let (list, _) = after.split_once(']')?;
        list.split(',').map(|number| number.parse().ok()).collect()
    };
    let offsets = numbers("data_offsets")?;
    let bytes = data.get(*offsets.first()?..*offsets.get(1)?)?;
    Some((bytes, *numbers("shape")?.first()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file as `train` writes it.
    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let length = (header.len() as u64).to_le_bytes();
        [&length, header.as_bytes(), data].concat()
    }

    #[test]
    fn golden_vectors_become_rows_of_numbers() {
        let header = r#"{"embedding":{"dtype":"I16","shape":[2,2],"data_offsets":[6,14]},"pixels":{"dtype":"U8","shape":[2,3],"data_offsets":[0,6]}}"#;
        let data = [1, 2, 3, 4, 5, 255, 1, 0, 255, 255, 0, 128, 7, 0];
        let text = golden_as_c(&file(header, &data)).unwrap();
        assert!(text.contains("#define SIAMESE_GOLDEN_COUNT 2\n"), "{text}");
        assert!(text.contains("{1,2,3},\n{4,5,255},\n};"), "{text}");
        assert!(text.contains("{1,-1},\n{-32768,7},\n};"), "{text}");
    }

    #[test]
    fn a_file_without_golden_vectors_is_noticed() {
        assert_eq!(golden_as_c(b"nonsense"), None);
        assert_eq!(golden_as_c(&file("{}", &[])), None);
        let short = r#"{"embedding":{"shape":[1,2],"data_offsets":[3,7]},"pixels":{"shape":[1,3],"data_offsets":[0,3]}}"#;
        assert_eq!(golden_as_c(&file(short, &[0; 6])), None);
        assert!(golden_as_c(&file(short, &[0; 7])).is_some());
    }

    #[test]
    fn a_core_without_a_target_is_named() {
        let error = CLibrary::new(Core::CortexM0).abi(Abi::Hard).build();
        assert!(error.unwrap_err().to_string().contains("cortex-m0"));
    }
}
