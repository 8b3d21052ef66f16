//! A little SVG writer, and SVG to pixels. Knows nothing of embeddings.

use std::fmt::{self, Write};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, anyhow};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

use crate::files::write_atomic;

/// Text is set in this; the pictures bring it along, so they look the same on
/// a machine without fonts.
const FONT: &str = "DejaVu Sans";

/// A finished drawing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    width: u32,
    height: u32,
    svg: String,
}

impl Picture {
    /// The drawing as SVG text.
    #[must_use]
    pub fn svg(&self) -> &str {
        &self.svg
    }

    /// The drawing as pixels, one a unit of the drawing.
    ///
    /// # Errors
    /// If the drawing can't be rendered, which is a bug.
    pub fn rasterise(&self) -> Result<Raster> {
        let mut raster = Raster::new(self.width, self.height)?;
        raster.draw(&self.svg)?;
        Ok(raster)
    }

    /// Writes the drawing as SVG.
    ///
    /// # Errors
    /// As [`write_atomic`].
    pub fn write_svg(&self, path: &Path) -> Result<()> {
        write_atomic(path, |out| Ok(out.write_all(self.svg.as_bytes())?))
    }

    /// Writes the drawing as PNG.
    ///
    /// # Errors
    /// As [`rasterise`](Self::rasterise) and [`write_atomic`].
    pub fn write_png(&self, path: &Path) -> Result<()> {
        self.rasterise()?.write_png(path)
    }
}

/// A finished picture of pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Raster {
    pixmap: Pixmap,
}

impl Raster {
    /// A transparent picture.
    pub(super) fn new(width: u32, height: u32) -> Result<Self> {
        let pixmap = Pixmap::new(width, height)
            .with_context(|| format!("a picture of {width}x{height} pixels is not possible"))?;
        Ok(Self { pixmap })
    }

    /// The width in pixels.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.pixmap.width()
    }

    /// The height in pixels.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.pixmap.height()
    }

    /// The pixels, row by row, four bytes each: red, green, blue, alpha.
    #[must_use]
    pub fn rgba(&self) -> &[u8] {
        self.pixmap.data()
    }

    /// Sets an opaque pixel, if there is such a pixel.
    pub(super) fn set(&mut self, x: u32, y: u32, [red, green, blue]: [u8; 3]) {
        if x < self.width() && y < self.height() {
            let at = (y as usize * self.width() as usize + x as usize) * 4;
            self.pixmap.data_mut()[at..at + 4].copy_from_slice(&[red, green, blue, 255]);
        }
    }

    /// Draws SVG over what is there.
    pub(super) fn draw(&mut self, svg: &str) -> Result<()> {
        let tree = parse(svg)?;
        resvg::render(&tree, Transform::identity(), &mut self.pixmap.as_mut());
        Ok(())
    }

    /// Writes the picture as PNG.
    ///
    /// # Errors
    /// As [`write_atomic`].
    pub fn write_png(&self, path: &Path) -> Result<()> {
        let png = self
            .pixmap
            .encode_png()
            .map_err(|error| anyhow!("cannot pack a PNG: {error}"))?;
        write_atomic(path, |out| Ok(out.write_all(&png)?))
    }
}

/// The fonts of the pictures, and no others.
fn fonts() -> Arc<fontdb::Database> {
    static FONTS: OnceLock<Arc<fontdb::Database>> = OnceLock::new();
    let load = || {
        let mut fonts = fontdb::Database::new();
        for font in [dejavu::sans::regular(), dejavu::sans::bold()] {
            fonts.load_font_data(font.to_vec());
        }
        Arc::new(fonts)
    };
    Arc::clone(FONTS.get_or_init(load))
}

/// How a text stands to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct TextStyle<'a> {
    pub size: f64,
    pub bold: bool,
    pub anchor: Anchor,
    pub fill: &'a str,
    /// The width of a white rim, so that the text can be read on anything.
    pub halo: f64,
    /// Degrees, clockwise, around the text's point.
    pub rotation: f64,
}

impl Default for TextStyle<'_> {
    fn default() -> Self {
        Self {
            size: 20.0,
            bold: false,
            anchor: Anchor::Start,
            fill: "#222222",
            halo: 0.0,
            rotation: 0.0,
        }
    }
}

/// The width that a text takes, in units of the drawing; 0 if there is nothing
/// to see of it.
pub(super) fn text_width(style: TextStyle<'_>, text: &str) -> f64 {
    let mut drawing = Drawing::new(1, 1, "none");
    let style = TextStyle {
        halo: 0.0,
        rotation: 0.0,
        ..style
    };
    drawing.text((0.0, 0.0), style, text);
    let tree = parse(&drawing.finish().svg);
    tree.map_or(0.0, |tree| tree.root().abs_bounding_box().width().into())
}

/// A text cut, with an ellipsis at its end, until it takes no more than
/// `width`.
pub(super) fn cut(style: TextStyle<'_>, text: &str, width: f64) -> String {
    if text_width(style, text) <= width {
        return text.to_owned();
    }
    let characters: Vec<char> = text.chars().collect();
    let shown = |count: usize| -> String {
        let kept: String = characters[..count].iter().collect();
        format!("{}\u{2026}", kept.trim_end())
    };
    let (mut fits, mut fails) = (0, characters.len());
    while fits + 1 < fails {
        let middle = usize::midpoint(fits, fails);
        if text_width(style, &shown(middle)) <= width {
            fits = middle;
        } else {
            fails = middle;
        }
    }
    shown(fits)
}

/// SVG as a tree, with our fonts.
fn parse(svg: &str) -> Result<Tree> {
    let options = Options {
        font_family: FONT.to_owned(),
        fontdb: fonts(),
        ..Options::default()
    };
    Tree::from_str(svg, &options).context("cannot render a picture")
}

/// A drawing in the making.
pub(super) struct Drawing {
    width: u32,
    height: u32,
    body: String,
}

impl Drawing {
    /// An empty drawing; `background` is a colour or `none`.
    pub(super) fn new(width: u32, height: u32, background: &str) -> Self {
        let mut drawing = Self {
            width,
            height,
            body: String::new(),
        };
        drawing.rect(
            (0.0, 0.0),
            (f64::from(width), f64::from(height)),
            background,
        );
        drawing
    }

    /// Adds an element; writing to a string can't fail.
    pub(super) fn add(&mut self, element: fmt::Arguments<'_>) {
        let _ = self.body.write_fmt(element);
        self.body.push('\n');
    }

    pub(super) fn rect(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), fill: &str) {
        self.add(format_args!(
            r#"<rect x="{x:.2}" y="{y:.2}" width="{width:.2}" height="{height:.2}" fill="{fill}"/>"#
        ));
    }

    /// A line from point to point.
    pub(super) fn line(&mut self, points: &[(f64, f64)], colour: &str, width: f64) {
        let path: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("{x:.2},{y:.2}"))
            .collect();
        self.add(format_args!(
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"/>"#,
            path.join(" ")
        ));
    }

    pub(super) fn text(&mut self, (x, y): (f64, f64), style: TextStyle<'_>, text: &str) {
        let anchor = match style.anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let weight = if style.bold {
            r#" font-weight="bold""#
        } else {
            ""
        };
        let turn = match style.rotation {
            0.0 => String::new(),
            angle => format!(r#" transform="rotate({angle} {x:.2} {y:.2})""#),
        };
        let place = format!(
            r#"x="{x:.2}" y="{y:.2}" font-family="{FONT}, Verdana, sans-serif" font-size="{}" text-anchor="{anchor}"{weight}{turn}"#,
            style.size
        );
        let text = escape(text);
        // The rim is a text of its own below, for viewers without `paint-order`.
        if style.halo > 0.0 {
            self.add(format_args!(
                r##"<text {place} fill="#ffffff" stroke="#ffffff" stroke-width="{}" stroke-linejoin="round">{text}</text>"##,
                2.0 * style.halo
            ));
        }
        self.add(format_args!(
            r#"<text {place} fill="{}">{text}</text>"#,
            style.fill
        ));
    }

    /// A text that takes no more than `width`: set smaller, down to two thirds,
    /// and cut where that is not enough.
    pub(super) fn fitted(&mut self, at: (f64, f64), style: TextStyle<'_>, text: &str, width: f64) {
        let needed = text_width(style, text);
        let part = (width / needed.max(1.0)).clamp(2.0 / 3.0, 1.0);
        let style = TextStyle {
            size: (style.size * part * 10.0).floor() / 10.0,
            ..style
        };
        self.text(at, style, &cut(style, text, width));
    }

    pub(super) fn finish(self) -> Picture {
        let Self {
            width,
            height,
            body,
        } = self;
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\">\n{body}</svg>\n"
        );
        Picture { width, height, svg }
    }
}

/// A number with commas between its thousands.
pub(super) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Text as SVG can hold it: XML has no control characters.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            _ if character.is_control() => escaped.push(' '),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(
            [0, 999, 1000, 1234567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
    }

    #[test]
    fn long_texts_are_made_to_fit() {
        let style = TextStyle::default();
        let (short, long) = (text_width(style, "word"), text_width(style, "word word"));
        assert!(short > 30.0 && long > 2.0 * short && long < 2.5 * short);
        assert_eq!(cut(style, "word", 100.0), "word");
        for width in [40.0, 80.0, 300.0] {
            let cut = cut(style, &"many words ".repeat(9), width);
            assert!(cut.ends_with('\u{2026}'), "{cut}");
            let found = text_width(style, &cut);
            assert!(found <= width && found > width - 25.0, "{found} of {width}");
        }
    }

    #[test]
    fn text_is_drawn_without_fonts_of_the_system() {
        let mut drawing = Drawing::new(60, 30, "#ffffff");
        drawing.text((5.0, 22.0), TextStyle::default(), "a<&>\u{0}b");
        let raster = drawing.finish().rasterise().unwrap();
        assert!(raster.rgba().chunks_exact(4).any(|pixel| pixel[0] < 64));
    }
}
