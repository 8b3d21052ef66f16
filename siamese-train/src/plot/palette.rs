//! Ten colours that everybody can tell apart.
//!
//! Found by a search over a grid of sRGB for the set whose two most similar
//! members differ most, the smallest difference over four kinds of vision
//! (normal, protanopia, deuteranopia, tritanopia) being what counts. The test
//! below measures it.

const COLOURS: [[u8; 3]; 10] = [
    [0x00, 0x00, 0xa0],
    [0xe0, 0x80, 0x20],
    [0x00, 0x80, 0x80],
    [0xa0, 0x40, 0xe0],
    [0xc0, 0xe0, 0x00],
    [0x80, 0x00, 0x00],
    [0x80, 0xa0, 0xe0],
    [0xc0, 0x40, 0x00],
    [0x60, 0xe0, 0xc0],
    [0x40, 0x00, 0x40],
];

use crate::dataset::Class;
/// The colour of a class. From the eleventh class on they repeat, and the
/// names at the clusters tell the classes apart.
pub(super) const fn colour(class: Class) -> [u8; 3] {
    COLOURS[class as usize % COLOURS.len()]
}

/// The colour for SVG.
pub(super) fn hex(colour: [u8; 3]) -> String {
    let [red, green, blue] = colour;
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// `part` of colour `a` and the rest of colour `b`.
pub(super) fn mix(a: [u8; 3], b: [u8; 3], part: f64) -> [u8; 3] {
    std::array::from_fn(|i| (f64::from(a[i]) * part + f64::from(b[i]) * (1.0 - part)).round() as u8)
}

/// The colour, darkened until it reads well as ink on white paper.
pub(super) fn ink(class: Class) -> [u8; 3] {
    let colour = colour(class);
    let [red, green, blue] = colour.map(f64::from);
    let brightness = (0.3 * red + 0.59 * green + 0.11 * blue) / 255.0;
    mix(colour, [0; 3], f64::min(1.0, 0.42 / brightness.max(1e-3)))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Matrix = [[f64; 3]; 3];

    /// How linear RGB looks with each kind of vision: Machado, Oliveira and
    /// Fernandes, "A physiologically-based model for simulation of color
    /// vision deficiency" (2009), severity 1.
    const VISION: [Matrix; 4] = [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ],
    ];

    fn apply(matrix: Matrix, v: [f64; 3]) -> [f64; 3] {
        matrix.map(|row| row[0] * v[0] + row[1] * v[1] + row[2] * v[2])
    }

    /// OKLab, a space in which distances are those that people see.
    fn oklab(linear: [f64; 3]) -> [f64; 3] {
        let cones = apply(
            [
                [0.4122214708, 0.5363325363, 0.0514459929],
                [0.2119034982, 0.6806995451, 0.1073969566],
                [0.0883024619, 0.2817188376, 0.6299787005],
            ],
            linear.map(|v| v.clamp(0.0, 1.0)),
        );
        apply(
            [
                [0.2104542553, 0.7936177850, -0.0040720468],
                [1.9779984951, -2.4285922050, 0.4505937099],
                [0.0259040371, 0.7827717662, -0.8086757660],
            ],
            cones.map(f64::cbrt),
        )
    }

    #[test]
    fn all_kinds_of_vision_tell_the_colours_apart() {
        for vision in VISION {
            let seen = COLOURS.map(|colour| {
                oklab(apply(
                    vision,
                    colour.map(|v| {
                        let v = f64::from(v) / 255.0;
                        if v <= 0.04045 {
                            v / 12.92
                        } else {
                            ((v + 0.055) / 1.055).powf(2.4)
                        }
                    }),
                ))
            });
            for (i, a) in seen.iter().enumerate() {
                for (j, b) in seen.iter().enumerate().skip(i + 1) {
                    let difference: f64 = a
                        .iter()
                        .zip(b)
                        .map(|(a, b)| (a - b).powi(2))
                        .sum::<f64>()
                        .sqrt();
                    assert!(difference > 0.13, "{i} and {j} differ by {difference}");
                }
            }
        }
    }

    #[test]
    fn ink_is_dark() {
        for class in 0..10 {
            let [r, g, b] = ink(class).map(f64::from);
            assert!(0.3 * r + 0.59 * g + 0.11 * b < 110.0);
        }
    }
}
