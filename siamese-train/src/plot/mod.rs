//! Pictures of an embedding.
//!
//! [`map`] draws every image as a point in the colour of its class, and
//! [`preview`] draws the images themselves at their points. [`write_maps`]
//! writes both under their usual names. [`distances`] and [`confusion`] show what
//! an evaluation found. All of them bring their fonts along.

mod axes;
mod confusion;
mod distances;
mod labels;
mod map;
mod palette;
mod plane;
mod preview;
mod svg;

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::dataset::{Images, Source};
use crate::evaluate::Labelled;

pub use confusion::confusion;
pub use distances::distances;
pub use map::map;
pub use preview::preview;
pub use svg::{Picture, Raster};

/// The names that pictures give to classes.
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
    pub fn get(&self, class: u8) -> String {
        let name = self.0.get(usize::from(class));
        name.cloned().unwrap_or_else(|| class.to_string())
    }
}

impl From<Source> for ClassNames {
    fn from(source: Source) -> Self {
        Self::new(source.class_names())
    }
}

/// Writes `embed.svg`, `embed.png` and `embed_preview.png` into a folder and
/// returns their paths.
///
/// # Errors
/// As [`preview`], and [`write_atomic`](crate::files::write_atomic).
pub fn write_maps(
    dir: &Path,
    points: Labelled<'_>,
    images: &Images,
    names: &ClassNames,
    title: &str,
) -> Result<Vec<PathBuf>> {
    let paths = ["embed.svg", "embed.png", "embed_preview.png"].map(|name| dir.join(name));
    let map = map(points, names, title);
    map.write_svg(&paths[0])?;
    map.write_png(&paths[1])?;
    preview(points, images, names, title)?.write_png(&paths[2])?;
    Ok(paths.into())
}
