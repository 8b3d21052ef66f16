//! Pictures of an embedding.
//!
//! [`map`] draws every image as a point in the colour of its class, and
//! [`preview`] draws the images themselves at their points. [`write_maps`]
//! writes both under their usual names. [`distances`] and [`confusion`] show what
//! an evaluation found, [`curves`] and [`write_film`] what training
//! did; [`panels`] puts several maps side by side. All of them bring their fonts along.

mod axes;
mod confusion;
mod curves;
mod distances;
mod film;
mod labels;
mod map;
mod neighbourhood;
pub(crate) mod palette;
mod panels;
pub(crate) mod plane;
mod preview;
mod svg;

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::dataset::{ClassNames, Images};
use crate::embed::points::Points;
use crate::evaluate::Labelled;
use crate::progress::Progress;
use plane::Plane;

pub use confusion::confusion;
pub use curves::curves;
pub use distances::distances;
pub use film::write_film;
pub use map::map;
pub use panels::{Panel, panels};
pub use preview::preview;
pub use svg::{Picture, Raster};

/// How points of more than two coordinates come into the plane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Projection {
    /// So that neighbours stay neighbours (t-SNE)
    #[default]
    Neighbours,
    /// Along the two directions in which they spread most
    Plane,
}

impl Projection {
    /// The points in the plane, with a bar where that takes long.
    fn apply(self, points: &Points, progress: Progress) -> Plane {
        match self {
            Self::Neighbours if points.dim() > 2 => {
                let rounds = neighbourhood::rounds() as u64;
                let bar = progress.count("placing", "rounds", rounds);
                let plane = neighbourhood::place(points, || bar.inc(1));
                bar.finish_and_clear();
                plane
            }
            Self::Neighbours | Self::Plane => Plane::new(points),
        }
    }
}

/// Writes `embed.svg`, `embed.png` and `embed_preview.png` into a folder and
/// returns their paths. Points of more than two coordinates are placed so that
/// neighbours stay neighbours.
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
    let (projection, progress) = (Projection::default(), Progress::new(true));
    write_maps_by(projection, progress, dir, points, images, names, title)
}

/// [`write_maps`] by a projection of choice.
///
/// # Errors
/// As [`write_maps`].
pub fn write_maps_by(
    projection: Projection,
    progress: Progress,
    dir: &Path,
    points: Labelled<'_>,
    images: &Images,
    names: &ClassNames,
    title: &str,
) -> Result<Vec<PathBuf>> {
    let paths = ["embed.svg", "embed.png", "embed_preview.png"].map(|name| dir.join(name));
    let (plane, classes) = (projection.apply(points.points(), progress), points.labels());
    let map = map::map_on(&plane, classes, names, title);
    map.write_svg(&paths[0])?;
    map.write_png(&paths[1])?;
    preview::preview_on(&plane, classes, images, names, title)?.write_png(&paths[2])?;
    Ok(paths.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Class;
    use crate::evaluate::evaluate_leave_one_out;

    #[test]
    fn all_pictures_are_drawn_for_all_dimensions() {
        let labels: Vec<Class> = (0..60).map(|i| i % 12 * 20).collect();
        let images = Images::new(6, 9, (0..60 * 54).map(|i| i as u8).collect()).unwrap();
        for dim in [1, 2, 3, 16] {
            let steps: Vec<i16> = (0..60 * dim).map(|i| (i * 7919 % 4001) as i16).collect();
            let points = Points::from_steps(dim, 0.01, &steps).unwrap();
            let labelled = Labelled::new(&points, &labels).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let names = ClassNames::new(["<zero> & \"friends\""]);
            let paths = write_maps(folder.path(), labelled, &images, &names, "a < b").unwrap();
            for path in paths {
                let bytes = std::fs::read(&path).unwrap();
                let png = path.extension().is_some_and(|extension| extension == "png");
                assert_eq!(bytes.starts_with(b"\x89PNG"), png, "{}", path.display());
            }
            let evaluation = evaluate_leave_one_out(labelled).unwrap();
            distances(&evaluation.verification, "title")
                .rasterise()
                .unwrap();
            confusion(&evaluation.confusion, &names, "title")
                .rasterise()
                .unwrap();
        }
    }

    #[test]
    fn degenerate_maps_are_drawn() {
        let points = Points::new(2, vec![3.0; 8]).unwrap();
        let labelled = Labelled::new(&points, &[0, 1, 2, 3]).unwrap();
        map(labelled, &ClassNames::numbers(), "")
            .rasterise()
            .unwrap();
        let images = Images::new(1, 1, vec![0; 4]).unwrap();
        preview(labelled, &images, &ClassNames::numbers(), "").unwrap();
        assert!(preview(labelled, &images.subset(&[0]), &ClassNames::numbers(), "").is_err());
    }
}
