//! A model in a firmware of C or C++: two files of C.

use std::fmt::Write;

use siamese_core::error::EncodeError;

use crate::{Core, OwnedModel};

/// Bytes in a line.
const LINE: usize = 24;

/// A model as C, for `siamese.h` of `siamese-c`.
///
/// ```
/// use siamese_build::{CModel, Core, OwnedModel};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let file = OwnedModel::read("tests/tiny.siam".as_ref())?;
/// let c = CModel::new(&file, Core::CortexM4)?;
/// assert!(c.header.contains("#define SIAMESE_DIM 2"));
/// assert!(c.source.contains("const uint8_t siamese_model_bytes["));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CModel {
    /// `siamese_model.h`: the model's sizes, and the declaration of its bytes.
    pub header: String,
    /// `siamese_model.c`: its bytes, at a multiple of 16, with the weights in the order
    /// that the core is fastest with.
    pub source: String,
}

impl CModel {
    /// The names of the two files.
    pub const FILES: [&str; 2] = ["siamese_model.h", "siamese_model.c"];

    /// Makes the files for a core.
    ///
    /// # Errors
    /// As [`OwnedModel::for_core`].
    pub fn new(model: &OwnedModel, core: Core) -> Result<Self, EncodeError> {
        let packed = model.for_core(core)?;
        Ok(Self {
            header: header(&packed, core),
            source: source(packed.bytes()),
        })
    }
}

fn header(packed: &OwnedModel, core: Core) -> String {
    let model = packed.model();
    let (shared, hidden1) = model.buffer_sizes();
    let input = model.header().input;
    format!(
        "/* The model `{name}` for {core}, its weights in {layout}. Made, not written. */\n\
         #ifndef SIAMESE_MODEL_H\n\
         #define SIAMESE_MODEL_H\n\
         \n\
         #include <stdint.h>\n\
         \n\
         /* Coordinates of an embedding: `siamese.h`, included after this, has the gallery for it. */\n\
         #ifndef SIAMESE_DIM\n\
         #define SIAMESE_DIM {dim}\n\
         #endif\n\
         /* Columns and rows of the image, and its pixels. */\n\
         #define SIAMESE_MODEL_WIDTH {width}\n\
         #define SIAMESE_MODEL_HEIGHT {height}\n\
         #define SIAMESE_MODEL_PIXELS {pixels}\n\
         /* Bytes of scratch memory that an embedding needs. */\n\
         #define SIAMESE_MODEL_SCRATCH {scratch}\n\
         \n\
         #ifdef __cplusplus\n\
         extern \"C\" {{\n\
         #endif\n\
         /* The model file, at a multiple of 16, in flash. */\n\
         extern const uint8_t siamese_model_bytes[{length}];\n\
         #ifdef __cplusplus\n\
         }}\n\
         #endif\n\
         \n\
         #endif\n",
        name = plain(model.header().name),
        layout = packed.model().layout().name(),
        dim = model.dim(),
        width = input.width,
        height = input.height,
        pixels = input.pixels(),
        scratch = shared + hidden1,
        length = packed.bytes().len(),
    )
}

fn source(bytes: &[u8]) -> String {
    let alignment = siamese_core::model::ALIGNMENT;
    let mut text = format!(
        "/* The bytes of the model file. Made, not written. */\n\
         #include \"siamese_model.h\"\n\
         \n\
         #if defined(__GNUC__)\n\
         __attribute__((aligned({alignment})))\n\
         #elif defined(__ICCARM__)\n\
         #pragma data_alignment = {alignment}\n\
         #else\n\
         _Alignas({alignment})\n\
         #endif\n\
         const uint8_t siamese_model_bytes[{}] = {{\n",
        bytes.len()
    );
    for line in bytes.chunks(LINE) {
        for byte in line {
            // Writing to a string can't fail.
            let _ = write!(text, "{byte},");
        }
        text.push('\n');
    }
    text + "};\n"
}

/// A name that can't end a comment.
fn plain(name: &str) -> String {
    name.replace(
        |c: char| !(c.is_ascii_alphanumeric() || "-_. ".contains(c)),
        "?",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_not_end_the_comment() {
        assert_eq!(plain("small-d16"), "small-d16");
        assert_eq!(plain("*/ #error"), "?? ?error");
    }
}
