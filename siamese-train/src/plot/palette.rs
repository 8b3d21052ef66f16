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

/// The same for dark ground, found in the same way: each is at least 2.1 times as light as that
/// (as WCAG counts contrast), and resembles its light ground's colour as far as that goes.
const COLOURS_ON_DARK: [[u8; 3]; 10] = [
    [0x20, 0x00, 0xff],
    [0xff, 0xa0, 0x80],
    [0xa0, 0xc0, 0xff],
    [0x80, 0x20, 0xa0],
    [0xff, 0xe0, 0x20],
    [0xa0, 0x00, 0x00],
    [0x60, 0x80, 0xff],
    [0xe0, 0x40, 0x20],
    [0x60, 0xff, 0xe0],
    [0xa0, 0x80, 0xa0],
];

use crate::dataset::Class;

/// Lightness of the colours beyond the ten, one after the other, in OKLab.
const LIGHTNESS: [f64; 4] = [0.74, 0.5, 0.84, 0.6];
/// Their chroma.
const CHROMA: f64 = 0.13;
/// The turn of hue from one of them to the next, in degrees, after which no hue
/// comes back.
const TURN: f64 = 137.507_764;

/// The colour of a class. Beyond the ten, colours differ by hue and lightness
/// but can no longer be told apart by everybody, and the names at the clusters
/// must help.
pub(crate) fn colour(class: Class) -> [u8; 3] {
    let class = usize::from(class);
    if let Some(&colour) = COLOURS.get(class) {
        return colour;
    }
    let beyond = class - COLOURS.len();
    let lightness = LIGHTNESS[beyond % LIGHTNESS.len()];
    from_oklab(lightness, CHROMA, (beyond as f64 * TURN).to_radians())
}

/// The colour of a class on dark ground. Those beyond the ten are light enough for both.
pub(crate) fn colour_on_dark(class: Class) -> [u8; 3] {
    let known = COLOURS_ON_DARK.get(usize::from(class)).copied();
    known.unwrap_or_else(|| colour(class))
}

/// The sRGB colour of a lightness, chroma and hue (radians) in OKLab (Ottosson,
/// 2020); what sRGB doesn't have is cut off.
fn from_oklab(lightness: f64, chroma: f64, hue: f64) -> [u8; 3] {
    let (a, b) = (chroma * hue.cos(), chroma * hue.sin());
    let long = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let medium = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let short = (lightness - 0.089_484_177_5 * a - 1.291_485_548 * b).powi(3);
    let linear = [
        4.076_741_662_1 * long - 3.307_711_591_3 * medium + 0.230_969_929_2 * short,
        -1.268_438_004_6 * long + 2.609_757_401_1 * medium - 0.341_319_396_5 * short,
        -0.004_196_086_3 * long - 0.703_418_614_7 * medium + 1.707_614_701 * short,
    ];
    linear.map(|light| {
        let light = light.clamp(0.0, 1.0);
        let value = if light <= 0.003_130_8 {
            12.92 * light
        } else {
            1.055 * light.powf(1.0 / 2.4) - 0.055
        };
        (255.0 * value).round() as u8
    })
}

/// The colour for SVG.
pub(crate) fn hex(colour: [u8; 3]) -> String {
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
        apart(COLOURS);
        apart(COLOURS_ON_DARK);
    }

    fn apart(colours: [[u8; 3]; 10]) {
        for vision in VISION {
            let seen = colours.map(|colour| {
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
    fn a_hundred_classes_have_a_hundred_colours() {
        let colours: Vec<[u8; 3]> = (0..100).map(colour).collect();
        let mut nearest = u32::MAX;
        for (i, a) in colours.iter().enumerate() {
            for b in &colours[..i] {
                let parts = a.iter().zip(b);
                let difference: u32 = parts.map(|(&a, &b)| u32::from(a.abs_diff(b)).pow(2)).sum();
                nearest = nearest.min(difference);
            }
        }
        // The farthest two are 441 apart.
        assert!(
            nearest >= 8 * 8,
            "two colours differ by {}",
            f64::from(nearest).sqrt()
        );
    }

    #[test]
    fn ink_is_dark() {
        for class in 0..100 {
            let [r, g, b] = ink(class).map(f64::from);
            assert!(0.3 * r + 0.59 * g + 0.11 * b < 110.0);
        }
    }
}
