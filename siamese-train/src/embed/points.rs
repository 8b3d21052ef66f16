//! Points of an embedding: where every evaluation and picture starts.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::dataset::{Class, ClassNames};
use crate::files::write_atomic;

/// Points with `dim` coordinates each, in an order that is that of the images
/// which they belong to.
///
/// Coordinates come in two kinds, told apart by [`unit`](Self::unit): the
/// float network's, which are real already, and the integer path's, which stay
/// integers here (`i16` fits `f32` exactly) so that distances between them are
/// exact and ties stay ties.
#[derive(Debug, Clone, PartialEq)]
pub struct Points {
    dim: usize,
    unit: f32,
    coords: Vec<f32>,
}

impl Points {
    /// Points in real units, from `len * dim` coordinates, point after point.
    ///
    /// # Errors
    /// If `dim` is zero, `coords` is no whole number of points, or one of them
    /// is not finite.
    pub fn new(dim: usize, coords: Vec<f32>) -> Result<Self> {
        ensure!(dim > 0, "a point needs at least one coordinate");
        ensure!(
            coords.len().is_multiple_of(dim),
            "{} coordinates are no whole number of {dim}-dimensional points",
            coords.len()
        );
        if let Some(index) = coords.iter().position(|coord| !coord.is_finite()) {
            bail!("point {} has a coordinate that is not finite", index / dim);
        }
        Ok(Self {
            dim,
            unit: 1.0,
            coords,
        })
    }

    /// Points from integer embeddings, one step being `scale` real units.
    ///
    /// # Errors
    /// If `dim` is zero, `steps` is no whole number of points, or `scale` is
    /// not finite and positive.
    pub fn from_steps(dim: usize, scale: f32, steps: &[i16]) -> Result<Self> {
        ensure!(
            scale.is_finite() && scale > 0.0,
            "an embedding scale of {scale} is not possible"
        );
        let mut points = Self::new(dim, steps.iter().map(|&step| f32::from(step)).collect())?;
        points.unit = scale;
        Ok(points)
    }

    /// The number of coordinates of a point.
    #[must_use]
    pub const fn dim(&self) -> usize {
        self.dim
    }

    /// The number of points.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.coords.len() / self.dim
    }

    /// Whether there is no point.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.coords.is_empty()
    }

    /// Real units in 1.0 of a coordinate or distance: 1 for real points, the
    /// embedding's scale for integer ones.
    #[must_use]
    pub const fn unit(&self) -> f32 {
        self.unit
    }

    /// The `dim` coordinates of point `index`.
    ///
    /// # Panics
    /// If there is no such point.
    #[must_use]
    pub fn get(&self, index: usize) -> &[f32] {
        &self.coords[index * self.dim..][..self.dim]
    }

    /// The points in order, each as its `dim` coordinates.
    pub fn iter(&self) -> std::slice::ChunksExact<'_, f32> {
        self.coords.chunks_exact(self.dim)
    }

    /// All `len * dim` coordinates, point after point.
    #[must_use]
    pub fn coords(&self) -> &[f32] {
        &self.coords
    }

    /// The points of these indices, in this order.
    ///
    /// # Panics
    /// If an index is too large.
    #[must_use]
    pub fn subset(&self, indices: &[usize]) -> Self {
        let mut coords = Vec::with_capacity(indices.len() * self.dim);
        for &index in indices {
            coords.extend_from_slice(self.get(index));
        }
        Self { coords, ..*self }
    }

    /// The same points in real units.
    #[must_use]
    pub fn to_real(&self) -> Self {
        Self {
            dim: self.dim,
            unit: 1.0,
            coords: self.coords.iter().map(|coord| coord * self.unit).collect(),
        }
    }

    /// Writes `embed.txt`: one line a point, its coordinates in real units,
    /// separated by one space, each with the fewest digits that read back as
    /// the same `f32`.
    ///
    /// # Errors
    /// As [`write_atomic`].
    pub fn write(&self, path: &Path) -> Result<()> {
        self.write_text(path, " ")
    }

    /// Writes the points, in real units, in the form that the file's name asks
    /// for: `.npy` for numpy, `[points, dim]` of 32-bit floats; `.tsv` for the
    /// projector of TensorBoard, with tabs between the coordinates; anything
    /// else as [`write`](Self::write). Returns the form.
    ///
    /// # Errors
    /// As [`write_atomic`].
    pub fn write_by_name(&self, path: &Path) -> Result<Form> {
        let form = Form::of(path);
        match form {
            Form::Text => self.write(path)?,
            Form::Numpy => self.write_numpy(path)?,
            Form::Projector => self.write_text(path, "\t")?,
        }
        Ok(form)
    }

    /// One line a point.
    fn write_text(&self, path: &Path, between: &str) -> Result<()> {
        write_atomic(path, |out| {
            for point in self {
                for (axis, coord) in point.iter().enumerate() {
                    let separator = if axis == 0 { "" } else { between };
                    write!(out, "{separator}{}", coord * self.unit)?;
                }
                writeln!(out)?;
            }
            Ok(())
        })
    }

    /// Version 1.0 of numpy's format: a magic number, the header's length, the
    /// header, padded so that the numbers begin at a multiple of 64 bytes.
    fn write_numpy(&self, path: &Path) -> Result<()> {
        const BEFORE: usize = 10;
        let (count, dim) = (self.len(), self.dim);
        let mut header =
            format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({count}, {dim}), }}");
        let length = (BEFORE + header.len() + 1).next_multiple_of(64) - BEFORE;
        header.extend(std::iter::repeat_n(' ', length - 1 - header.len()));
        header.push('\n');
        write_atomic(path, |out| {
            out.write_all(b"\x93NUMPY\x01\x00")?;
            out.write_all(&u16::try_from(length)?.to_le_bytes())?;
            out.write_all(header.as_bytes())?;
            for coord in &self.coords {
                out.write_all(&(coord * self.unit).to_le_bytes())?;
            }
            Ok(())
        })
    }

    /// Reads `embed.txt`, whose first line says how many coordinates each
    /// point has.
    ///
    /// # Errors
    /// One sentence that names the file and the line: the file can't be read,
    /// is empty, or has a line with another number of coordinates or with
    /// something else than a finite number.
    pub fn read(path: &Path) -> Result<Self> {
        let file = File::open(path)
            .map_err(|error| anyhow!("cannot open {} ({error}); check the path", path.display()))?;
        Self::parse(BufReader::new(file)).with_context(|| format!("cannot read {}", path.display()))
    }

    fn parse(text: impl BufRead) -> Result<Self> {
        let mut dim = 0;
        let mut coords = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            let line = line.with_context(|| format!("line {number} is no text"))?;
            let before = coords.len();
            for word in line.split_ascii_whitespace() {
                let coord = word.parse::<f32>().ok().filter(|coord| coord.is_finite());
                coords.push(coord.ok_or_else(|| {
                    let shown: String = word.chars().take(20).collect();
                    anyhow!("line {number} holds \"{shown}\", which is no finite number")
                })?);
            }
            let found = coords.len() - before;
            if number == 1 {
                dim = found;
            }
            ensure!(
                found == dim && dim > 0,
                "line {number} holds {found} coordinates; expected one point a line, all with as \
                 many coordinates as the first"
            );
        }
        ensure!(dim > 0, "it is empty");
        Self::new(dim, coords)
    }
}

/// The forms of a file of points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One line a point, spaces between the coordinates.
    Text,
    /// An array for `numpy.load`.
    Numpy,
    /// One line a point, tabs between the coordinates.
    Projector,
}

impl Form {
    /// The form that a file's name asks for.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let ending = path.extension().unwrap_or_default();
        match ending.to_ascii_lowercase().to_str() {
            Some("npy") => Self::Numpy,
            Some("tsv") => Self::Projector,
            _ => Self::Text,
        }
    }
}

/// Writes what TensorBoard's projector takes beside the points: one line a
/// point, the name of its class. Returns the path, `points.metadata.tsv` beside
/// `points.tsv`.
///
/// # Errors
/// As [`write_atomic`].
pub fn write_projector_labels(
    points: &Path,
    labels: &[Class],
    names: &ClassNames,
) -> Result<PathBuf> {
    let path = points.with_extension("metadata.tsv");
    write_atomic(&path, |out| {
        for &label in labels {
            // A tab would begin a column, and a line's end a point.
            writeln!(out, "{}", names.get(label).replace(['\t', '\n', '\r'], " "))?;
        }
        Ok(())
    })?;
    Ok(path)
}

impl<'a> IntoIterator for &'a Points {
    type Item = &'a [f32];
    type IntoIter = std::slice::ChunksExact<'a, f32>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_reads_back_exactly() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("embed.txt");
        let points = Points::from_steps(2, 0.001_234_5, &[i16::MIN, i16::MAX, 0, -1, 7, 300]);
        let points = points.unwrap();
        points.write(&path).unwrap();
        let read = Points::read(&path).unwrap();
        assert_eq!(read, points.to_real());
        assert_eq!((read.len(), read.dim(), read.unit()), (3, 2, 1.0));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().nth(1), Some("0 -0.0012345"));
    }

    #[test]
    fn numpy_finds_the_same_numbers_in_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("points.NPY");
        let points = Points::from_steps(3, 0.5, &[1, -2, 3, 4, 5, 6]).unwrap();
        assert_eq!(points.write_by_name(&path).unwrap(), Form::Numpy);
        let bytes = std::fs::read(&path).unwrap();
        assert!(bytes.starts_with(b"\x93NUMPY\x01\x00"));
        let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        assert!((10 + header).is_multiple_of(64));
        let text = std::str::from_utf8(&bytes[10..10 + header]).unwrap();
        assert_eq!(
            text.trim_end(),
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
        );
        assert!(text.ends_with('\n'));
        let (numbers, rest) = bytes[10 + header..].as_chunks::<4>();
        let numbers: Vec<f32> = numbers
            .iter()
            .map(|&four| f32::from_le_bytes(four))
            .collect();
        assert_eq!(
            (numbers, rest.len()),
            (vec![0.5, -1.0, 1.5, 2.0, 2.5, 3.0], 0)
        );
    }

    #[test]
    fn the_projector_finds_a_line_a_point_in_both_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("points.tsv");
        let points = Points::from_steps(2, 0.5, &[1, -2, 3, 4]).unwrap();
        assert_eq!(points.write_by_name(&path).unwrap(), Form::Projector);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "0.5\t-1\n1.5\t2\n");
        let names = ClassNames::new(["a\tcat"]);
        let labels = write_projector_labels(&path, &[0, 7], &names).unwrap();
        assert_eq!(labels, folder.path().join("points.metadata.tsv"));
        assert_eq!(std::fs::read_to_string(labels).unwrap(), "a cat\n7\n");
    }

    #[test]
    fn every_bad_line_is_named() {
        let cases = [
            ("", "empty"),
            ("1 2\n3\n", "line 2 holds 1 coordinates"),
            ("1 2\n\n3 4\n", "line 2 holds 0 coordinates"),
            ("\n", "line 1 holds 0 coordinates"),
            ("1 2\n1 x\n", "line 2 holds \"x\""),
            ("1 nan\n", "line 1 holds \"nan\""),
            ("1 1e99\n", "line 1 holds \"1e99\""),
        ];
        for (text, sentence) in cases {
            let error = format!("{:#}", Points::parse(text.as_bytes()).unwrap_err());
            assert!(error.contains(sentence), "{text:?}: {error}");
        }
        assert!(Points::parse([0xff, 0xfe, b'\n'].as_slice()).is_err());
        assert_eq!(
            Points::parse("1  2\r\n3 4".as_bytes()).unwrap().coords(),
            [1.0, 2.0, 3.0, 4.0]
        );
    }

    #[test]
    fn impossible_points_are_refused() {
        assert!(Points::new(0, vec![]).is_err());
        assert!(Points::new(2, vec![1.0; 3]).is_err());
        assert!(Points::new(1, vec![f32::NAN]).is_err());
        assert!(Points::from_steps(1, 0.0, &[1]).is_err());
        assert!(Points::from_steps(1, f32::INFINITY, &[1]).is_err());
    }
}
