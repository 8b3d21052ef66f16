//! Everything that can go wrong, as numbers that never change, and in words.

use core::ffi::{CStr, c_char};
use core::fmt;

use siamese_core::gallery::{GalleryError, LoadError, NoRoom};
use siamese_core::preprocess::PictureError;
use siamese_core::{ModelError, SizeError};

/// Defines [`Error`] by its table.
macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        /// Why a function did nothing. The number is what C gets.
        ///
        /// A number keeps its meaning in all versions; new ones may be added. In the
        /// header the names are `SIAMESE_ERROR_` and words of capitals, such as
        /// `SIAMESE_ERROR_NOT_INITIALISED`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(i32)]
        #[non_exhaustive]
        pub enum Error {
            $($(#[$doc])* $name = $number,)*
        }

        impl Error {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What went wrong, in a sentence without its full stop.
            #[must_use]
            pub const fn text(self) -> &'static CStr {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// The error of a number, if there is one.
            #[must_use]
            pub const fn of_number(number: i32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

errors! {
    /// A pointer is null.
    Null = 1, c"a pointer is null";
    /// A pointer isn't a multiple of what its type needs.
    Misaligned = 2, c"a pointer has not the alignment of its type";
    /// A length is impossible: the memory would go beyond the last address.
    Length = 3, c"a length is larger than memory can be";
    /// Memory that is written overlaps with other memory of the same call.
    Overlap = 4, c"memory to write to overlaps with other memory of the same call";
    /// The model or the gallery wasn't initialised, or that failed.
    NotInitialised = 5, c"the model or the gallery is not initialised, or that has failed";
    /// A number that stands for a choice stands for none.
    Choice = 6, c"a number stands for none of the choices that there are";
    /// Something that this version has no number for.
    Other = 7, c"an error that this version of the library has no number for";

    /// The bytes don't start with the magic of a model file.
    ModelMagic = 20, c"this is no .siam model: the first bytes differ";
    /// The model is of another format version.
    ModelVersion = 21, c"the model has another format version than this reader: export it again";
    /// The model has a layout of the weights that this version doesn't know.
    ModelUnknownLayout = 22, c"the model's weights have an order that this reader doesn't know";
    /// The model is shorter than its length field says.
    ModelTruncated = 23, c"the model is cut off";
    /// Bytes follow the end of the model.
    ModelTrailingBytes = 24, c"bytes follow the end of the model: the length is too large";
    /// The model's CRC-32 doesn't match.
    ModelChecksum = 25, c"the model is damaged: its CRC-32 is wrong";
    /// The model's header can't be decoded or holds an impossible value.
    ModelHeader = 26, c"the model's header holds an impossible value";
    /// The model's layer sizes are impossible.
    ModelSizes = 27, c"the model's layer sizes are impossible or don't fit its length";
    /// A padding byte of the model is not zero.
    ModelPadding = 28, c"a padding byte of the model is not zero";
    /// A weight is -128.
    ModelWeight = 29, c"the model holds the forbidden weight -128";
    /// A row's multiplier or shift is out of range.
    ModelRequantise = 30, c"the model has a multiplier or shift out of range";
    /// Some image could overflow an accumulator.
    ModelOverflow = 31, c"the model could overflow a 32-bit accumulator";
    /// Some image could overflow what a layout's packed sums leave to a row.
    ModelPacking = 32, c"the model's weights are too large for packed sums: use the order rows";
    /// The weights are ordered for another core.
    ModelLayout = 33, c"the model's weights are ordered for another core: repack it for this one";
    /// The model doesn't start at a multiple of 16, which a repacked one needs.
    ModelMisaligned = 34, c"the model must lie at an address that is a multiple of 16";
    /// The model's fingerprint isn't that of its numbers.
    ModelFingerprint = 35, c"the model's fingerprint is not that of its numbers";
    /// The model needs instructions that only privileged code can ask for.
    ModelUnprivileged = 36, c"only privileged code can ask the processor for its instructions: initialise there";
    /// The model has weights of fewer bits than this build has code for.
    ModelWeightBits = 37, c"the model has weights of 2, 3 or 4 bits, for which this library was built without code";

    /// The image has not the model's number of pixels.
    Image = 50, c"the image has not the number of pixels that the model takes";
    /// The embedding has not the model's number of coordinates.
    Dimension = 51, c"the model's embedding has another number of coordinates";
    /// The scratch memory is too small for the model.
    Scratch = 52, c"the scratch memory is too small for the model";

    /// Every entry of the gallery is taken.
    Full = 60, c"the gallery is full: forget a label first";
    /// The prototype counts 65,535 examples, and can't count more.
    Examples = 61, c"the prototype has 65,535 examples, and one more would change nothing";
    /// Nothing was enrolled under the label.
    NotEnrolled = 62, c"nothing was enrolled under the label";
    /// The two galleries are of different models.
    OtherGallery = 63, c"the other gallery was made with another model";
    /// The gallery is empty.
    Empty = 64, c"the gallery is empty: enrol something first";
    /// The gallery has no entry of this number.
    Entry = 65, c"the gallery has no entry of this number";

    /// The buffer is too small for the stored gallery.
    Room = 70, c"the buffer is too small for the stored gallery";
    /// The bytes don't start as a stored gallery does.
    StoredMagic = 71, c"there is no stored gallery";
    /// The gallery was stored in another version of the form.
    StoredVersion = 72, c"the gallery was stored in another version of the form";
    /// The stored gallery ends too early.
    StoredTruncated = 73, c"the stored gallery is cut off";
    /// Bytes follow the end of the stored gallery.
    StoredTrailingBytes = 74, c"bytes follow the end of the stored gallery";
    /// The stored gallery's CRC-32 doesn't match.
    StoredChecksum = 75, c"the stored gallery is damaged: its CRC-32 is wrong";
    /// The stored gallery holds an impossible value.
    StoredContents = 76, c"the stored gallery holds an impossible value";
    /// The stored embeddings have another number of coordinates.
    StoredDimension = 77, c"the stored gallery's embeddings have another number of coordinates";
    /// The stored gallery was made with another model.
    StoredOtherModel = 78, c"the stored gallery was made with another model: enrol anew";
    /// The stored gallery has more entries than there is room for.
    StoredCapacity = 79, c"the stored gallery has more entries than there is room for";

    /// Nothing in the picture stands out from its ground.
    PictureBlank = 90, c"the picture is blank: nothing stands out from its ground";
    /// A side of the picture is zero.
    PictureEmpty = 91, c"a picture has at least one pixel";
    /// The picture or the frame has not the pixels that its sides ask for.
    PicturePixels = 92, c"the pixels of the picture or of the frame are not as many as its sides ask for";
    /// The picture has more pixels than there is room for.
    PictureTooLarge = 93, c"the picture has more pixels than there is room for";
}

impl Error {
    /// What C gets.
    #[must_use]
    pub const fn number(self) -> i32 {
        self as i32
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // All of them are ASCII.
        f.write_str(self.text().to_str().unwrap_or_default())
    }
}

impl core::error::Error for Error {}

impl From<ModelError> for Error {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::NotAModel => Self::ModelMagic,
            ModelError::Version { .. } => Self::ModelVersion,
            ModelError::UnknownLayout { .. } => Self::ModelUnknownLayout,
            ModelError::Truncated { .. } => Self::ModelTruncated,
            ModelError::TrailingBytes { .. } => Self::ModelTrailingBytes,
            ModelError::Checksum { .. } => Self::ModelChecksum,
            ModelError::Header => Self::ModelHeader,
            ModelError::Sizes => Self::ModelSizes,
            ModelError::Padding => Self::ModelPadding,
            ModelError::Weight { .. } => Self::ModelWeight,
            ModelError::Requantise { .. } => Self::ModelRequantise,
            ModelError::Overflow { .. } => Self::ModelOverflow,
            ModelError::Packing { .. } => Self::ModelPacking,
            ModelError::Layout { .. } => Self::ModelLayout,
            ModelError::Misaligned => Self::ModelMisaligned,
            ModelError::Fingerprint { .. } => Self::ModelFingerprint,
            ModelError::Unprivileged => Self::ModelUnprivileged,
            ModelError::WeightBits { .. } => Self::ModelWeightBits,
            _ => Self::Other,
        }
    }
}

impl From<SizeError> for Error {
    fn from(error: SizeError) -> Self {
        match error {
            SizeError::Image { .. } => Self::Image,
            SizeError::Dimension { .. } => Self::Dimension,
            SizeError::Buffers { .. } => Self::Scratch,
            _ => Self::Other,
        }
    }
}

impl From<GalleryError> for Error {
    fn from(error: GalleryError) -> Self {
        match error {
            GalleryError::Full { .. } => Self::Full,
            GalleryError::Examples => Self::Examples,
            GalleryError::NotEnrolled { .. } => Self::NotEnrolled,
            GalleryError::OtherModel => Self::OtherGallery,
            _ => Self::Other,
        }
    }
}

impl From<NoRoom> for Error {
    fn from(_: NoRoom) -> Self {
        Self::Room
    }
}

impl From<LoadError> for Error {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::NotAGallery => Self::StoredMagic,
            LoadError::Version { .. } => Self::StoredVersion,
            LoadError::Truncated { .. } => Self::StoredTruncated,
            LoadError::TrailingBytes { .. } => Self::StoredTrailingBytes,
            LoadError::Checksum => Self::StoredChecksum,
            LoadError::Contents => Self::StoredContents,
            LoadError::Dimension { .. } => Self::StoredDimension,
            LoadError::OtherModel { .. } => Self::StoredOtherModel,
            LoadError::Capacity { .. } => Self::StoredCapacity,
            _ => Self::Other,
        }
    }
}

impl From<PictureError> for Error {
    fn from(error: PictureError) -> Self {
        match error {
            PictureError::Blank => Self::PictureBlank,
            PictureError::Empty => Self::PictureEmpty,
            PictureError::Pixels { .. } => Self::PicturePixels,
            PictureError::TooLarge { .. } => Self::PictureTooLarge,
            _ => Self::Other,
        }
    }
}

/// What C gets for a result: 0, or the number of the error.
pub(crate) fn status(result: Result<(), Error>) -> i32 {
    result.map_or_else(Error::number, |()| 0)
}

/// `siamese_error_text` of the header: what a number means, in words. Never null.
#[unsafe(no_mangle)] // SAFETY: nothing else has this name.
pub extern "C" fn siamese_error_text(number: i32) -> *const c_char {
    let text = match (number, Error::of_number(number)) {
        (0, _) => c"no error",
        (_, Some(error)) => error.text(),
        (_, None) => c"there is no error of this number",
    };
    text.as_ptr()
}
