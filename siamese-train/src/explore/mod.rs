//! A page of one file: the map, a pad to draw on, and the core that embeds what is drawn.
//!
//! What is the same for every model is built once, by `cargo xtask page`, from `siamese-web`, and
//! is part of this program. This module adds the rest: the model as it is in flash, the points,
//! the images, and what the costs and the thresholds are.

mod costs;
mod pack;
mod rates;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use siamese_core::model::Model;

use crate::dataset::{Class, Dataset, Images};
use crate::embed::points::Points;
use crate::embed::{IntEmbeddings, ModelFile, embed_images};
use crate::evaluate::Labelled;
use crate::evaluate::neighbours::classify_leave_one_out;
use crate::gallery::measured::Measured;
use crate::plot::palette::{colour, colour_on_dark, hex};
use crate::plot::plane::Principal;
use crate::progress::Progress;
use crate::train::history::Film;
use costs::{CoreCost, LayerShape, input_columns};
use rates::Rates;

/// The page without a model.
const PAGE: &str = include_str!("../../explore/page.html");
/// `siamese-core` as WebAssembly.
const CORE: &[u8] = include_bytes!("../../explore/core.wasm");
/// Where its title goes.
const TITLE: &str = "<!-- siamese:title -->";
/// Where a model, points and images go.
const DATA: &str = "<!-- siamese:data -->";
/// Directions that can be looked along.
const DIRECTIONS: usize = 4;
/// The nearest points that say where a point lies.
const VOTERS: usize = 25;
/// The name of a film's file in the folder of a model's pictures.
pub const FILM: &str = "film.safetensors";
/// Steps from the middle of a film's pictures to the farthest point.
const FARTHEST: f32 = 32_000.0;
/// Grey levels of thumbnails, the best first.
const LEVELS: [u8; 4] = [16, 8, 4, 2];
/// Images whose size tells that of all.
const SAMPLE: usize = 1000;

/// What the page says of itself, as `siamese-web/page/src/data.ts` reads it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    title: &'a str,
    subject: &'a str,
    model: About<'a>,
    points: usize,
    classes: Vec<ClassLook>,
    plane: Plane,
    thumb_levels: u8,
    rates: Option<Rates>,
    cores: Vec<CoreCost>,
    film: Option<AboutFilm>,
}

/// The model.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct About<'a> {
    name: &'a str,
    width: u16,
    height: u16,
    dim: usize,
    scale: f32,
    layers: [LayerShape; 3],
    input_columns: u16,
    flash: usize,
    ram: usize,
    calibrated: Option<f32>,
}

/// The film.
#[derive(Debug, Serialize)]
struct AboutFilm {
    frames: usize,
    points: usize,
    /// Real units in a step.
    scale: f32,
}

/// A class, and its colours on light and dark ground.
#[derive(Debug, Serialize)]
struct ClassLook {
    label: Class,
    name: String,
    light: String,
    dark: String,
}

/// The middle of the points, in steps, and the directions that they are seen along.
#[derive(Debug, Serialize)]
struct Plane {
    middle: Vec<f64>,
    axes: Vec<Axis>,
}

#[derive(Debug, Serialize)]
struct Axis {
    share: f64,
    direction: Vec<f64>,
}

/// A page, and what is in it.
#[derive(Debug)]
pub struct Page {
    /// The file's text.
    pub html: String,
    /// The points.
    pub points: usize,
    /// Those whose neighbours are of another class.
    pub mistakes: usize,
    /// Grey levels of the thumbnails.
    pub grey_levels: u8,
}

/// Makes the page of a model and of images that training has not seen; `subject` says what these
/// are, such as "MNIST's test images", and `film` is the map while it formed. The images get as many grey levels as make it no larger
/// than `most_bytes`, 16, 8, 4 or 2 of them.
///
/// # Errors
/// If the images are not of the model's size or there are none, or the film is of other classes.
pub fn page(
    file: &ModelFile,
    set: &Dataset,
    subject: &str,
    film: Option<&Film>,
    most_bytes: usize,
    progress: Progress,
) -> Result<Page> {
    ensure!(set.len() > 1, "a map needs two images at least");
    let model = file.model();
    let embeddings = embed_images(&model, &set.images)?;
    let points = embeddings.to_points()?;
    let labelled = Labelled::new(&points, &set.labels)?;
    let waiting = progress.waiting("map", "asking each point's neighbours");
    let votes = classify_leave_one_out(labelled, &[VOTERS])?.remove(0);
    waiting.finish_and_clear();
    let mut labels = set.labels.clone();
    labels.sort_unstable();
    labels.dedup();
    let places = |classes: &[Class]| {
        let place = |class: &Class| labels.binary_search(class).unwrap_or(0) as u16;
        pack::halves(classes.iter().map(place))
    };
    let waiting = progress.waiting("page", "packing");
    let mut sections = vec![
        section("core", CORE)?,
        section("model", file.bytes())?,
        section("points", &columns(&embeddings))?,
        section("classes", &places(&set.labels))?,
        section("votes", &places(&votes))?,
    ];
    let mut meta = meta(file, &model, set, &labels, (&embeddings, &points), subject)?;
    if let Some(film) = film {
        let (about, numbers) = filmed(film, &labels)?;
        meta.film = Some(about);
        sections.push(section("film", &numbers)?);
    }
    let before = PAGE.len() + serde_json::to_string(&meta)?.len();
    let before = before + sections.iter().map(String::len).sum::<usize>();
    let (levels, thumbs) = thumbs(&set.images, most_bytes.saturating_sub(before))?;
    meta.thumb_levels = levels;
    sections.push(thumbs);
    waiting.finish_and_clear();
    let mistakes = set
        .labels
        .iter()
        .zip(&votes)
        .filter(|(is, vote)| is != vote);
    Ok(Page {
        html: fill(&meta, &sections)?,
        points: set.len(),
        mistakes: mistakes.count(),
        grey_levels: meta.thumb_levels,
    })
}

/// The thumbnails in as many grey levels as fit, and how many these are.
fn thumbs(images: &Images, room: usize) -> Result<(u8, String)> {
    // What some take tells what all do.
    let count = images.len().min(SAMPLE);
    let some = images.subset(&(0..count).collect::<Vec<_>>());
    let [better @ .., least] = LEVELS;
    for levels in better {
        let sample = section("thumbs", &pack::thumbs(&some, levels))?;
        if sample.len() * images.len() / count <= room {
            let all = section("thumbs", &pack::thumbs(images, levels))?;
            if all.len() <= room {
                return Ok((levels, all));
            }
        }
    }
    Ok((least, section("thumbs", &pack::thumbs(images, least))?))
}

/// A film, and its numbers: the place of each point's class, and for each picture the first
/// coordinates of all points and then the second.
fn filmed(film: &Film, labels: &[Class]) -> Result<(AboutFilm, Vec<u8>)> {
    let places = film.labels.iter().map(|class| labels.binary_search(class));
    let places: Result<Vec<usize>, _> = places.collect();
    let places = places
        .ok()
        .context("the film has classes that the images have not")?;
    let coordinates = film.frames.iter().flatten();
    let farthest = coordinates.fold(0.0f32, |most, coordinate| most.max(coordinate.abs()));
    let scale = farthest.max(f32::MIN_POSITIVE) / FARTHEST;
    let step = |coordinate: &f32| (coordinate / scale).round() as i16;
    let axis = |frame: &Vec<f32>, axis: usize| -> Vec<i16> {
        frame[axis..].iter().step_by(2).map(step).collect()
    };
    let frames = film.frames.iter();
    let steps: Vec<i16> = frames
        .flat_map(|frame| [axis(frame, 0), axis(frame, 1)].concat())
        .collect();
    let places = places.into_iter().map(|place| place as u16);
    let numbers: Vec<u16> = places
        .chain(steps.into_iter().map(i16::cast_unsigned))
        .collect();
    let about = AboutFilm {
        frames: film.frames.len(),
        points: film.labels.len(),
        scale,
    };
    Ok((about, pack::halves(numbers.into_iter())))
}

fn meta<'a>(
    file: &'a ModelFile,
    model: &Model<'a>,
    set: &Dataset,
    labels: &[Class],
    (embeddings, points): (&IntEmbeddings, &Points),
    subject: &'a str,
) -> Result<Meta<'a>> {
    // Costs are those of the weights as devices have them.
    let stored = file.stored().model();
    let header = model.header();
    let (shared, hidden1) = stored.buffer_sizes();
    let measured = Measured::beside(file.path(), model.fingerprint());
    let reach = measured.and_then(|measured| measured.reach);
    let principal = Principal::of(points, DIRECTIONS);
    let round = |value: f64, digits: f64| (value * digits).round() / digits;
    Ok(Meta {
        title: "Siamese: it learns what you draw",
        subject,
        model: About {
            name: header.name,
            width: header.input.width,
            height: header.input.height,
            dim: model.dim(),
            scale: header.scales.embedding,
            layers: LayerShape::all(&stored),
            input_columns: input_columns(&header.input),
            flash: file.bytes().len(),
            ram: shared + hidden1,
            calibrated: header.calibration.map(|found| found.false_accept_rate),
        },
        points: set.len(),
        classes: labels
            .iter()
            .map(|&label| ClassLook {
                label,
                name: set.names.get(label),
                light: hex(colour(label)),
                dark: hex(colour_on_dark(label)),
            })
            .collect(),
        plane: Plane {
            middle: principal.middle,
            axes: principal
                .directions
                .into_iter()
                .map(|found| Axis {
                    share: round(found.share, 1e4),
                    direction: found.vector,
                })
                .collect(),
        },
        thumb_levels: 0,
        // Of few images nothing can be said.
        rates: Rates::of(model, reach.as_ref(), embeddings, &set.labels).ok(),
        cores: CoreCost::all(&stored),
        film: None,
    })
}

/// The coordinates of all points, one coordinate after the other.
fn columns(embeddings: &IntEmbeddings) -> Vec<u8> {
    let dim = embeddings.dim;
    let column = |axis: usize| embeddings.steps[axis..].iter().step_by(dim);
    let steps = (0..dim).flat_map(column);
    pack::halves(steps.map(|step| step.cast_unsigned()))
}

/// Bytes as an element of the page.
fn section(name: &str, bytes: &[u8]) -> Result<String> {
    let text = pack::packed(bytes)?;
    Ok(format!(
        "<script type=\"application/octet-stream\" id=\"siamese-{name}\">{text}</script>\n"
    ))
}

/// The page with everything in it.
fn fill(meta: &Meta<'_>, sections: &[String]) -> Result<String> {
    // No text can end the element.
    let json = serde_json::to_string(meta)?.replace('<', "\\u003c");
    let described =
        format!("<script type=\"application/json\" id=\"siamese-meta\">{json}</script>\n");
    let (before, rest) = PAGE.split_once(TITLE).context("the page has no title")?;
    let (between, after) = rest.split_once(DATA).context("the page has no data")?;
    Ok([
        before,
        meta.title,
        between,
        &described,
        &sections.concat(),
        after,
    ]
    .concat())
}
