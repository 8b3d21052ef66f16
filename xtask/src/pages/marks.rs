//! Marks and words of a picture in SVG.

use std::fmt::Write;

/// The form of a mark: it says whose a point is, as its colour can't to everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Disc,
    Diamond,
    Square,
    Up,
    Down,
    Cross,
}

impl Shape {
    /// Those of other libraries: hollow, where ours is filled.
    pub const HOLLOW: [Self; 5] = [
        Self::Diamond,
        Self::Square,
        Self::Up,
        Self::Down,
        Self::Cross,
    ];

    /// Its outline about the origin.
    const fn path(self) -> &'static str {
        match self {
            Self::Disc => "m-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z",
            Self::Diamond => "m0 -7l7 7l-7 7l-7 -7z",
            Self::Square => "m-5 -5h10v10h-10z",
            Self::Up => "m0 -6l6 11h-12z",
            Self::Down => "m0 6l6 -11h-12z",
            Self::Cross => "m-5 -5l10 10m0 -10l-10 10",
        }
    }
}

/// A picture that grows line by line.
pub struct Picture(String);

impl Picture {
    /// An empty one, of so many units.
    pub fn new([width, height]: [f64; 2], title: &str) -> Self {
        let mut picture = Self(String::new());
        picture.push(&format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"sans-serif\" font-size=\"13\">\n\
             <title>{title}</title>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
        ));
        picture
    }

    /// All of it.
    pub fn finish(self) -> String {
        self.0 + "</svg>\n"
    }

    /// A mark of a colour.
    pub fn mark(&mut self, shape: Shape, [x, y]: [f64; 2], colour: &str) {
        let style = match shape {
            Shape::Disc => format!("fill=\"{colour}\""),
            _ => format!(
                "fill=\"white\" fill-opacity=\"0.6\" stroke=\"{colour}\" stroke-width=\"2\""
            ),
        };
        self.push(&format!(
            "<path d=\"M{x:.1} {y:.1}{}\" {style}/>",
            shape.path()
        ));
    }

    /// A line through points.
    pub fn line(&mut self, points: &[[f64; 2]], style: &str) {
        let points: Vec<String> = points
            .iter()
            .map(|[x, y]| format!("{x:.1},{y:.1}"))
            .collect();
        self.push(&format!(
            "<polyline points=\"{}\" fill=\"none\" {style}/>",
            points.join(" ")
        ));
    }

    /// Wipes a rectangle.
    pub fn clear(&mut self, [x, y]: [f64; 2], [width, height]: [f64; 2]) {
        self.push(&format!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"white\"/>"
        ));
    }

    /// Words whose start, middle or end is at a point.
    pub fn text(&mut self, [x, y]: [f64; 2], anchor: &str, words: &str) {
        self.push(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>"
        ));
    }

    fn push(&mut self, line: &str) {
        // Writing to a string can't fail.
        let _ = writeln!(self.0, "{line}");
    }
}
