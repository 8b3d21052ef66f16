//! Update files: a model for devices in the field, with golden vectors and a signature. Their
//! form is in `FORMAT.md`.

use std::fmt;

use ed25519_dalek::{Signer, SigningKey};
use siamese_build::{Board, OwnedModel};
use siamese_core::model::Layout;
use siamese_update::{Header, PAYLOAD_ALIGN, digest};

use crate::reference::Reference;

/// What is said of a model in its update file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// The board that it is for; `None`: any whose core takes this order of the weights.
    pub board: Option<Board>,
    /// The order of the weights: that of the board's core.
    pub layout: Layout,
    /// The model's version: 1 or more, and higher for each release.
    pub version: u32,
    /// It may also replace versions up to this one; 0: only lower ones than its own.
    pub over: u32,
}

/// What a model has to give for an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoldenVector {
    /// The image: grey values, row-major.
    pub pixels: Vec<u8>,
    /// The coordinates in integer steps.
    pub coordinates: Vec<i16>,
    /// The checksums of the two hidden layers' activations.
    pub hidden_crc: [u32; 2],
}

/// Why no update file was made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealError {
    /// The weights can't be brought in that order.
    Repack(String),
    /// Version 0 is older than any update.
    Version,
    /// There are no golden vectors.
    NoGolden,
    /// A golden vector isn't one of this model: its image has another size, or this machine
    /// gives other integers for it.
    Golden {
        /// Its number; the first is 0.
        number: usize,
    },
    /// The file would be longer than can be said in it.
    TooLarge,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repack(reason) => write!(f, "the model can't be put in that order: {reason}"),
            Self::Version => f.write_str("a version is 1 or more, and higher for each release"),
            Self::NoGolden => f.write_str("an update needs at least one golden vector"),
            Self::Golden { number } => write!(
                f,
                "golden vector {number} isn't one of this model: this machine gives other integers"
            ),
            Self::TooLarge => f.write_str("the model is too large for an update file"),
        }
    }
}

impl std::error::Error for SealError {}

/// The update file of a model, signed with `key`. This machine must give the integers of the
/// golden vectors, too.
///
/// # Errors
/// [`SealError`].
pub fn seal(
    model: &OwnedModel,
    golden: &[GoldenVector],
    release: &Release,
    key: &SigningKey,
) -> Result<Vec<u8>, SealError> {
    if release.version == 0 {
        return Err(SealError::Version);
    }
    if golden.is_empty() {
        return Err(SealError::NoGolden);
    }
    let mut reference = Reference::new(model.model());
    for (number, vector) in golden.iter().enumerate() {
        let here = reference.embed(&vector.pixels).ok();
        if here != Some((vector.coordinates.as_slice(), vector.hidden_crc)) {
            return Err(SealError::Golden { number });
        }
    }
    let packed = model
        .repacked(release.layout)
        .map_err(|error| SealError::Repack(error.to_string()))?;
    let rows = model.repacked(Layout::Rows);
    let rows = rows.map_err(|error| SealError::Repack(error.to_string()))?;
    let crc = rows.bytes().last_chunk().copied().map(u32::from_le_bytes);
    sealed(
        packed.bytes(),
        crc.unwrap_or_default(),
        golden,
        release,
        key,
    )
}

/// The file, whatever the golden vectors say.
fn sealed(
    model: &[u8],
    rows_crc: u32,
    golden: &[GoldenVector],
    release: &Release,
    key: &SigningKey,
) -> Result<Vec<u8>, SealError> {
    let mut payload = model.to_vec();
    payload.resize(model.len().next_multiple_of(PAYLOAD_ALIGN as usize), 0);
    for vector in golden {
        payload.extend(&vector.pixels);
        payload.extend(
            vector
                .coordinates
                .iter()
                .flat_map(|value| value.to_le_bytes()),
        );
        payload.extend(vector.hidden_crc.iter().flat_map(|crc| crc.to_le_bytes()));
    }
    let length = |bytes: usize| u32::try_from(bytes).map_err(|_| SealError::TooLarge);
    let header = Header {
        layout: release.layout.number(),
        payload: length(payload.len())?,
        model: length(model.len())?,
        version: release.version,
        over: release.over,
        rows_crc,
        // Every board's name fits.
        board: release
            .board
            .and_then(|board| Header::board_of(board.name()))
            .unwrap_or_default(),
        digest: digest(&payload),
    };
    let signed = header.to_bytes();
    let signature = key.sign(&signed).to_bytes();
    Ok([&signed[..], &signature, &payload].concat())
}
