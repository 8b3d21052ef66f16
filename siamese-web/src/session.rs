//! What the page talks to: a model, the points of its map, and a gallery.
//!
//! All that goes in and out passes through one piece of memory, the *mailbox*. So nothing here
//! handles an address, and nothing is unsafe. Numbers are little-endian.

use std::fmt::Display;

use siamese_core::embedder::{Buffers, embed_into};
use siamese_core::embedding::{distance_squared, norm_squared};
use siamese_core::gallery::names::{self, Names};
use siamese_core::gallery::{Decision, Label, Thresholds, allowed};
use siamese_core::model::{ALIGNMENT, Model};
use siamese_core::preprocess::{Grey, Ink, fit};

use crate::gallery::{AnyGallery, CAPACITY, any_gallery};
use crate::pad::Pad;

/// The bytes of a name in a gallery's file, as on other hosts.
const MAX_NAME: usize = 63;

/// The names of a gallery's labels.
type LabelNames = Names<CAPACITY, MAX_NAME>;

/// Bytes of the answer at the mailbox's start; or a sentence that says what to do.
pub type Answer = Result<usize, String>;

/// The page's end of the core.
#[derive(Default)]
pub struct Session {
    mailbox: Vec<u8>,
    pad: Pad,
    loaded: Option<Loaded>,
}

/// What follows from a model.
struct Loaded {
    model: Model<'static>,
    shared: Vec<u8>,
    hidden1: Vec<u8>,
    /// Coordinates of all points, point after point.
    points: Vec<i16>,
    gallery: Box<dyn AnyGallery>,
    names: Box<LabelNames>,
}

impl Loaded {
    fn new(bytes: &[u8]) -> Result<Self, String> {
        let model = Model::parse(kept(bytes)).map_err(said)?;
        let (shared, hidden1) = model.buffer_sizes();
        Ok(Self {
            model,
            shared: vec![0; shared],
            hidden1: vec![0; hidden1],
            points: Vec::new(),
            gallery: any_gallery(&model).map_err(said)?,
            names: Box::default(),
        })
    }
}

impl Session {
    /// Makes room for so many bytes in the mailbox, and lends it. What was in it may be gone.
    pub fn mailbox(&mut self, bytes: usize) -> &mut [u8] {
        if self.mailbox.len() < bytes {
            self.mailbox.resize(bytes, 0);
        }
        &mut self.mailbox
    }

    /// Opens the model file of `length` bytes in the mailbox. Answers nothing.
    ///
    /// # Errors
    /// If it is none, or a damaged one.
    pub fn open(&mut self, length: usize) -> Answer {
        self.loaded = Some(Loaded::new(self.taken(length)?)?);
        Ok(0)
    }

    /// Wipes the pad. Answers nothing.
    ///
    /// # Errors
    /// Never.
    pub fn wipe(&mut self) -> Answer {
        self.pad.clear();
        Ok(0)
    }

    /// Draws a line on the pad between two places, in 16ths of a pixel. Answers nothing.
    ///
    /// # Errors
    /// Never.
    pub fn line(&mut self, x: i32, y: i32, to_x: i32, to_y: i32) -> Answer {
        self.pad.line((x, y), (to_x, to_y));
        Ok(0)
    }

    /// Answers the grey values of the pad, 140x140: for [`fit`](Self::fit), with bright ink.
    ///
    /// # Errors
    /// Never.
    pub fn pad(&mut self) -> Answer {
        let pixels = self.pad.pixels().to_vec();
        Ok(self.answer(&pixels))
    }

    /// Brings the grey picture in the mailbox, `width` x `height`, into the model's frame.
    /// `ink` is 0 for what the border tells, 1 for bright, 2 for dark.
    ///
    /// Answers the frame's pixels, then left, top, width and height of the ink in the picture
    /// (`u16` each), and a byte for the ink, 1 or 2.
    ///
    /// # Errors
    /// If the picture is blank.
    pub fn fit(&mut self, width: u16, height: u16, ink: u8) -> Answer {
        let picture = self.taken(usize::from(width) * usize::from(height))?;
        let ink = match ink {
            1 => Ink::Bright,
            2 => Ink::Dark,
            _ => Ink::Auto,
        };
        let input = self.opened()?.model.header().input;
        let mut frame = vec![0; input.pixels()];
        let mut picture = Grey::new(width, height, picture).map_err(said)?;
        let found = fit(&mut picture, ink, input.width, input.height, &mut frame);
        let found = found.map_err(said)?;
        let ink_box = found.ink_box;
        for side in [ink_box.left, ink_box.top, ink_box.width, ink_box.height] {
            frame.extend(side.to_le_bytes());
        }
        frame.push(if found.ink == Ink::Dark { 2 } else { 1 });
        Ok(self.answer(&frame))
    }

    /// Embeds the frame in the mailbox.
    ///
    /// Answers the coordinates (`i16` each), then the activations, a byte each: of the input, of
    /// the first and of the second hidden layer.
    ///
    /// # Errors
    /// If no model is open, or the mailbox is too short.
    pub fn embed(&mut self) -> Answer {
        let Self {
            mailbox, loaded, ..
        } = self;
        let loaded = loaded.as_mut().ok_or_else(not_opened)?;
        let header = loaded.model.header();
        let pixels = mailbox.get(..header.input.pixels());
        let pixels = pixels.ok_or_else(too_short)?;
        let mut inputs = vec![0; header.input.activations()];
        header.input.quantise(pixels, &mut inputs);
        for input in &mut inputs {
            *input >>= 7 - header.precision.input.min(7);
        }
        let mut embedding = vec![0; loaded.model.dim()];
        let buffers = Buffers {
            shared: &mut loaded.shared,
            hidden1: &mut loaded.hidden1,
        };
        embed_into(&loaded.model, pixels, buffers, &mut embedding).map_err(said)?;
        let [first, second, _] = loaded.model.layers();
        let mut answer: Vec<u8> = embedding
            .iter()
            .flat_map(|step| step.to_le_bytes())
            .collect();
        answer.extend(inputs);
        answer.extend(loaded.hidden1.iter().take(first.outputs()));
        answer.extend(loaded.shared.iter().take(second.outputs()));
        Ok(self.answer(&answer))
    }

    /// Takes the coordinates (`i16` each) of the map's points, `length` bytes of them, from the
    /// mailbox. Answers nothing.
    ///
    /// # Errors
    /// If no model is open, or they are no whole number of points.
    pub fn points(&mut self, length: usize) -> Answer {
        let points = steps(self.taken(length)?);
        let loaded = self.opened_mut()?;
        if !points.len().is_multiple_of(loaded.model.dim()) {
            return Err("the points are of another model".to_owned());
        }
        loaded.points = points;
        Ok(0)
    }

    /// Finds the points that are nearest to the embedding in the mailbox.
    ///
    /// Answers the index (`u32`) and the squared distance in squared steps (`f64`) of each, at
    /// most `count`, the nearest first; of equals, the lower index.
    ///
    /// # Errors
    /// If no model is open, or the mailbox is too short.
    pub fn nearest(&mut self, count: usize) -> Answer {
        let query = self.embedding()?;
        let mut found: Vec<(u64, u32)> = Vec::with_capacity(count + 1);
        let points = self.opened()?.points.chunks_exact(query.len());
        for (index, point) in (0u32..).zip(points) {
            let distance = distance_squared(&query, point);
            if found.len() == count && found.last().is_none_or(|last| last.0 <= distance) {
                continue;
            }
            let place = found.partition_point(|&(other, _)| other <= distance);
            found.insert(place, (distance, index));
            found.truncate(count);
        }
        let mut answer = Vec::with_capacity(12 * found.len());
        for (distance, index) in found {
            answer.extend(index.to_le_bytes());
            answer.extend(exact(distance));
        }
        Ok(self.answer(&answer))
    }

    /// Takes the embedding in the mailbox into the prototype of a label. Answers the number of
    /// examples in it (`u16`).
    ///
    /// # Errors
    /// If the gallery is full.
    pub fn enrol(&mut self, label: Label) -> Answer {
        let embedding = self.embedding()?;
        let loaded = self.opened_mut()?;
        let examples = loaded.gallery.enrol(label, &embedding).map_err(said)?;
        Ok(self.answer(&examples.to_le_bytes()))
    }

    /// Forgets a label and its name. Answers the number of entries that it had (`u16`).
    ///
    /// # Errors
    /// If no model is open.
    pub fn forget(&mut self, label: Label) -> Answer {
        let loaded = self.opened_mut()?;
        let entries = loaded.gallery.forget(label) as u16;
        loaded.names.remove(label);
        Ok(self.answer(&entries.to_le_bytes()))
    }

    /// Says what the embedding in the mailbox looks like. Answers nothing if the gallery is
    /// empty; otherwise 40 bytes:
    ///
    /// ```text
    /// offset  bytes
    ///  0      2      label of the nearest entry: u16
    ///  2      1      0 it is that, 1 it is unknown, 2 there is no threshold
    ///  3      1      1 if another label is enrolled
    ///  4      2      label of the nearest entry of another: u16
    ///  6      2      0
    ///  8      8      squared distance to the nearest, in squared steps: f64
    /// 16      8      the same to the other: f64
    /// 24      8      the squared distance up to which it would be the nearest's, with what the
    ///                model allows for its distance from the origin: f64; below 0 if there is no
    ///                threshold
    /// 32      8      the threshold alone, below 0 if there is none: f64
    /// ```
    ///
    /// # Errors
    /// If no model is open, or the mailbox is too short.
    pub fn identify(&mut self) -> Answer {
        let embedding = self.embedding()?;
        let loaded = self.opened()?;
        let Some(found) = loaded.gallery.identify(&embedding) else {
            return Ok(0);
        };
        let nearest = found.nearest;
        let other = found.runner_up;
        let calibration = loaded.model.header().calibration;
        let allowance = calibration.map_or(0, |found| found.allowance);
        let threshold = loaded.gallery.thresholds().prototype;
        let allowed = allowed(norm_squared(&embedding), allowance);
        let limit = threshold.map(|threshold| threshold.saturating_add(allowed));
        let decision = match found.decision {
            Decision::Accepted => 0,
            Decision::Rejected => 1,
            Decision::Uncalibrated => 2,
        };
        let mut answer = nearest.label.to_le_bytes().to_vec();
        answer.extend([decision, other.is_some().into()]);
        answer.extend(other.map_or(0, |other| other.label).to_le_bytes());
        answer.extend([0; 2]);
        answer.extend(exact(nearest.distance_squared));
        answer.extend(exact(other.map_or(0, |other| other.distance_squared)));
        answer.extend(limit.map_or((-1.0f64).to_le_bytes(), exact));
        answer.extend(threshold.map_or((-1.0f64).to_le_bytes(), exact));
        Ok(self.answer(&answer))
    }

    /// Sets the user's own threshold for prototypes, in squared steps; below 0 it is the model's
    /// again. Answers nothing.
    ///
    /// # Errors
    /// If no model is open.
    pub fn threshold(&mut self, squared_steps: f64) -> Answer {
        let gallery = &mut self.opened_mut()?.gallery;
        gallery.set_user_thresholds(Thresholds {
            // Saturating: no number is out of range.
            prototype: (squared_steps >= 0.0).then_some(squared_steps as u64),
            ..gallery.user_thresholds()
        });
        Ok(0)
    }

    /// Lists the gallery. Answers the user's own threshold for prototypes (`f64`, below 0 if
    /// there is none), and for each entry label and examples (`u16` each) and the coordinates
    /// (`i16` each).
    ///
    /// # Errors
    /// If no model is open.
    pub fn entries(&mut self) -> Answer {
        let gallery = &self.opened()?.gallery;
        let threshold = gallery.user_thresholds().prototype;
        let mut answer = threshold.map_or((-1.0f64).to_le_bytes(), exact).to_vec();
        for (label, examples, point) in gallery.entries() {
            answer.extend(label.to_le_bytes());
            answer.extend(examples.to_le_bytes());
            answer.extend(point.iter().flat_map(|step| step.to_le_bytes()));
        }
        Ok(self.answer(&answer))
    }

    /// Names a label by the `length` bytes of UTF-8 in the mailbox. Answers nothing.
    ///
    /// # Errors
    /// If a name can't be that, or another label has it.
    pub fn name(&mut self, label: Label, length: usize) -> Answer {
        let name = self.taken(length)?.to_vec();
        let name = String::from_utf8(name).map_err(said)?;
        self.opened_mut()?.names.set(label, &name).map_err(said)?;
        Ok(0)
    }

    /// Lists the names. Answers for each the label (`u16`), its length (a byte) and its UTF-8.
    ///
    /// # Errors
    /// If no model is open.
    pub fn names(&mut self) -> Answer {
        let mut answer = Vec::new();
        for (label, name) in self.opened()?.names.iter() {
            answer.extend(label.to_le_bytes());
            answer.push(name.len() as u8);
            answer.extend(name.as_bytes());
        }
        Ok(self.answer(&answer))
    }

    /// Answers the gallery's file, with the names: what devices and `siamese-train` take.
    ///
    /// # Errors
    /// If no model is open.
    pub fn save(&mut self) -> Answer {
        let loaded = self.opened()?;
        let mut file = loaded.gallery.to_bytes();
        if loaded.names.iter().next().is_some() {
            let mut buffer = vec![0; LabelNames::STORED_MAX];
            file.extend_from_slice(loaded.names.to_bytes(&mut buffer).map_err(said)?);
        }
        Ok(self.answer(&file))
    }

    /// Takes the gallery's file of `length` bytes in the mailbox in place of what is enrolled.
    /// Answers nothing.
    ///
    /// # Errors
    /// If it is damaged, of another model, or too large: what is enrolled stays then.
    pub fn load(&mut self, length: usize) -> Answer {
        let file = self.taken(length)?.to_vec();
        let loaded = self.opened_mut()?;
        let (stored, rest) = names::split(&file).map_err(said)?;
        let names = match rest {
            [] => LabelNames::new(),
            rest => LabelNames::from_bytes(rest).map_err(said)?,
        };
        let mut gallery = any_gallery(&loaded.model).map_err(said)?;
        gallery.load(&loaded.model, stored).map_err(said)?;
        (loaded.gallery, *loaded.names) = (gallery, names);
        Ok(0)
    }

    fn opened(&self) -> Result<&Loaded, String> {
        self.loaded.as_ref().ok_or_else(not_opened)
    }

    fn opened_mut(&mut self) -> Result<&mut Loaded, String> {
        self.loaded.as_mut().ok_or_else(not_opened)
    }

    /// So many bytes of the mailbox.
    fn taken(&self, length: usize) -> Result<&[u8], String> {
        self.mailbox.get(..length).ok_or_else(too_short)
    }

    /// The embedding in the mailbox.
    fn embedding(&self) -> Result<Vec<i16>, String> {
        let dim = self.opened()?.model.dim();
        Ok(steps(self.taken(2 * dim)?))
    }

    /// Puts an answer into the mailbox; its length.
    fn answer(&mut self, answer: &[u8]) -> usize {
        let place = self.mailbox(answer.len()).iter_mut();
        place.zip(answer).for_each(|(place, byte)| *place = *byte);
        answer.len()
    }
}

/// A model's bytes where it wants them, for as long as the page is open: a page has one model.
fn kept(bytes: &[u8]) -> &'static [u8] {
    let memory = vec![0; bytes.len() + ALIGNMENT].leak();
    let start = memory.as_ptr().align_offset(ALIGNMENT);
    let place = memory.get_mut(start..).unwrap_or_default();
    let place = place.get_mut(..bytes.len()).unwrap_or_default();
    let to = place.iter_mut();
    to.zip(bytes).for_each(|(to, byte)| *to = *byte);
    place
}

/// A distance as JavaScript has it: below 2^53, so that no digit is lost.
const fn exact(squared: u64) -> [u8; 8] {
    (squared as f64).to_le_bytes()
}

/// Coordinates from their bytes.
fn steps(bytes: &[u8]) -> Vec<i16> {
    let (pairs, _) = bytes.as_chunks::<2>();
    pairs.iter().map(|&pair| i16::from_le_bytes(pair)).collect()
}

fn said(error: impl Display) -> String {
    error.to_string()
}

fn not_opened() -> String {
    "no model is open yet".to_owned()
}

fn too_short() -> String {
    "the mailbox is shorter than what it should hold".to_owned()
}
