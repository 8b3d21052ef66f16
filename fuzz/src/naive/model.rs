//! Model files, read by `FORMAT.md` alone.

use super::{Reader, crc};

/// A model.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// Pixels in a row, and rows.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 0: none; 1: sums of 2x2; 2: checkerboard; 3 and 4: these two without the border.
    pub pooling: u8,
    /// Whether images are set upright.
    pub deskew: bool,
    /// Bits of what each layer takes.
    pub input_bits: [u8; 3],
    /// Byte 9: the order of the weights.
    pub order: u8,
    /// The layers.
    pub layers: Vec<Layer>,
    /// The fingerprint that the file states.
    pub stated_fingerprint: u32,
}

/// A layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Bits of a weight.
    pub bits: u8,
    /// Row after row.
    pub weights: Vec<Vec<i64>>,
    /// One a row.
    pub biases: Vec<i64>,
    /// Multiplier and shift of each row.
    pub rounding: Vec<(i64, u8)>,
}

/// How many bytes a section takes with the zeros behind it.
fn padded(length: usize) -> usize {
    length.div_ceil(16) * 16
}

/// A varint in its shortest form, at most `largest`.
fn varint(reader: &mut Reader<'_>, largest: u64) -> Option<u64> {
    let (mut value, mut shift) = (0u128, 0);
    loop {
        let byte = reader.number(1)?;
        value |= u128::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            let shortest = byte != 0 || shift == 0;
            return (shortest && value <= u128::from(largest)).then_some(value as u64);
        }
        shift += 7;
        if shift > 63 {
            return None;
        }
    }
}

fn float(reader: &mut Reader<'_>) -> Option<f32> {
    reader.number(4).map(|bits| f32::from_bits(bits as u32))
}

fn positive(value: f32) -> Option<()> {
    (value.is_finite() && value > 0.0).then_some(())
}

fn fraction(value: f32) -> Option<()> {
    (value.is_sign_positive() && (0.0..=1.0).contains(&value)).then_some(())
}

/// A section of `length` bytes, and the zeros behind it.
fn section<'a>(reader: &mut Reader<'a>, length: usize) -> Option<&'a [u8]> {
    let all = reader.take(padded(length))?;
    let (section, padding) = all.split_at(length);
    padding.iter().all(|&byte| byte == 0).then_some(section)
}

/// Rows and columns of a tile.
fn tile(order: u8) -> Option<(usize, usize)> {
    [(1, 1), (8, 1), (8, 2), (8, 4), (32, 2)]
        .get(usize::from(order))
        .copied()
}

/// The weights of 8 bits, in any order.
#[expect(
    clippy::needless_range_loop,
    reason = "rows and columns are counted, as on the page"
)]
fn weights_of_bytes(order: u8, bytes: &[u8], rows: usize, columns: usize) -> Option<Vec<Vec<i64>>> {
    let (high, wide) = tile(order)?;
    let (all_rows, all_columns) = (rows.next_multiple_of(high), columns.next_multiple_of(wide));
    let mut weights = vec![vec![0; all_columns]; all_rows];
    let mut bytes = bytes.iter();
    for top in (0..all_rows).step_by(high) {
        for left in (0..all_columns).step_by(wide) {
            match order {
                1 => {
                    for row in top..top + high {
                        weights[row][left] = i64::from(*bytes.next()?) - 128;
                    }
                }
                2 => {
                    for pair in (top..top + high).step_by(2) {
                        for column in left..left + wide {
                            let two = [*bytes.next()?, *bytes.next()?];
                            let number = i64::from(i16::from_le_bytes(two));
                            // `a` is what the lower byte says, with its sign.
                            let a = i64::from(two[0] as i8);
                            weights[pair][column] = a;
                            weights[pair + 1][column] = (number - a) / 256;
                        }
                    }
                }
                _ => {
                    for row in top..top + high {
                        for column in left..left + wide {
                            weights[row][column] = i64::from(*bytes.next()? as i8);
                        }
                    }
                }
            }
        }
    }
    for (number, row) in weights.iter().enumerate() {
        for (column, &weight) in row.iter().enumerate() {
            let filling = number >= rows || column >= columns;
            if filling && weight != 0 || !(-127..=127).contains(&weight) {
                return None;
            }
        }
    }
    weights.truncate(rows);
    weights.iter_mut().for_each(|row| row.truncate(columns));
    Some(weights)
}

/// The weights of fewer bits.
fn weights_of_lanes(bits: u8, bytes: &[u8], rows: usize, columns: usize) -> Option<Vec<Vec<i64>>> {
    let words = rows.div_ceil(8);
    let mut blocks = vec![16; words / 16];
    for width in [8, 4, 2, 1] {
        if (words % 16) & width != 0 {
            blocks.push(width);
        }
    }
    let largest = (1 << bits) - 1;
    let mut weights = vec![vec![0; columns]; rows];
    let (mut reader, mut first) = (Reader(bytes), 0);
    for width in blocks {
        for column in 0..columns {
            for word in first..first + width {
                let lanes = reader.number(4)?;
                for lane in 0..8 {
                    let level = (lanes >> (4 * lane) & 0xF) as i64;
                    match weights.get_mut(8 * word + lane) {
                        Some(_) if level > largest => return None,
                        Some(row) => row[column] = 2 * level - largest,
                        None if level != 0 => return None,
                        None => {}
                    }
                }
            }
        }
        first += width;
    }
    Some(weights)
}

/// Magic, version and length are right.
fn envelope(bytes: &[u8]) -> Option<()> {
    let mut reader = Reader(bytes);
    let right = reader.take(8)? == b"SIAMESE\x1a"
        && reader.number(1)? == 4
        && reader.take(3).is_some()
        && reader.number(4)? == bytes.len() as u64
        && bytes.len() >= 24;
    right.then_some(())
}

/// Reads a file; `None` if it must be refused.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Model> {
    envelope(bytes)?;
    let (body, checksum) = bytes.split_at(bytes.len() - 4);
    if crc(body).to_le_bytes() != checksum {
        return None;
    }
    let model = content(bytes)?;
    (model.fingerprint() == model.stated_fingerprint).then_some(model)
}

/// What a file holds, whatever its fingerprint and its CRC-32 are.
#[must_use]
pub fn content(bytes: &[u8]) -> Option<Model> {
    envelope(bytes)?;
    let order = bytes[9];
    tile(order)?;
    let header_length = usize::from(bytes[10]) | usize::from(bytes[11]) << 8;
    let mut reader = Reader(&bytes[16..bytes.len() - 8]);
    let mut header = Reader(section(&mut reader, header_length)?);
    let mut model = read_header(&mut header, order)?;
    if !header.0.is_empty() {
        return None;
    }
    let border = model.border();
    let [width, height] = [model.width, model.height].map(|side| side.saturating_sub(2 * border));
    let mut inputs = match model.pooling {
        0 => width * height,
        1 | 3 => (width / 2) * (height / 2),
        _ => width * (height / 2),
    };
    let too_long = model.deskew && model.width.max(model.height) > 96;
    if !(1..=65535).contains(&inputs) || too_long {
        return None;
    }
    for (layer, largest) in model.layers.iter_mut().zip(model.input_bits) {
        let outputs = layer.biases.len();
        read_layer(&mut reader, layer, order, inputs, (1 << largest) - 1)?;
        inputs = outputs;
    }
    let stated = &bytes[bytes.len() - 8..bytes.len() - 4];
    model.stated_fingerprint = Reader(stated).number(4)? as u32;
    reader.0.is_empty().then_some(model)
}

/// The header, whose layers have no numbers yet.
fn read_header(header: &mut Reader<'_>, order: u8) -> Option<Model> {
    let length = varint(header, u64::from(u32::MAX))?;
    let name = header.take(usize::try_from(length).ok()?)?;
    let name = String::from_utf8(name.to_vec()).ok()?;
    if name.len() > 32 {
        return None;
    }
    let width = varint(header, 65535)? as usize;
    let height = varint(header, 65535)? as usize;
    let code = varint(header, 12)? as u8;
    let (pooling, deskew) = (code % 8, code >= 8);
    if pooling > 4 {
        return None;
    }
    let mut sizes = [0; 3];
    for size in &mut sizes {
        *size = varint(header, 65535)? as usize;
    }
    if sizes.contains(&0) || sizes[2] > 64 {
        return None;
    }
    let mut bytes = [0; 9];
    bytes.copy_from_slice(header.take(9)?);
    let [input, hidden1, hidden2, b1, b2, b3, s1, s2, s3] = bytes;
    let right = [input, hidden1, hidden2]
        .iter()
        .all(|bits| (1..=7).contains(bits))
        && [b1, b2, b3].iter().all(|bits| [2, 3, 4, 8].contains(bits))
        && [s1, s2, s3].iter().all(|&shift| shift <= 30);
    if !right {
        return None;
    }
    for _ in 0..3 {
        positive(float(header)?)?;
    }
    header.take(32)?;
    match header.number(1)? {
        0 => {}
        1 => {
            for _ in 0..3 {
                fraction(float(header)?)?;
            }
        }
        _ => return None,
    }
    let calibration = varint(header, 2)?;
    if calibration > 0 {
        for _ in 0..2 {
            fraction(float(header)?)?;
        }
        for _ in 0..3 {
            varint(header, u64::MAX)?;
        }
    }
    if calibration == 2 && header.number(1)? == 0 {
        return None;
    }
    let layer = |outputs: usize, bits: u8, shift: u8| Layer {
        bits,
        weights: Vec::new(),
        biases: vec![0; outputs],
        // The common shift, or a 0 that is to be replaced.
        rounding: vec![(1, shift); outputs],
    };
    Some(Model {
        name,
        width,
        height,
        pooling,
        deskew,
        input_bits: [input, hidden1, hidden2],
        order,
        layers: vec![
            layer(sizes[0], b1, s1),
            layer(sizes[1], b2, s2),
            layer(sizes[2], b3, s3),
        ],
        stated_fingerprint: 0,
    })
}

/// The sections of a layer that takes activations up to `largest`.
fn read_layer(
    reader: &mut Reader<'_>,
    layer: &mut Layer,
    order: u8,
    inputs: usize,
    largest: i64,
) -> Option<()> {
    let outputs = layer.biases.len();
    let (high, wide) = tile(order)?;
    layer.weights = if layer.bits == 8 {
        let length = outputs.next_multiple_of(high) * inputs.next_multiple_of(wide);
        weights_of_bytes(order, section(reader, length)?, outputs, inputs)?
    } else {
        let bytes = section(reader, 4 * outputs.div_ceil(8) * inputs)?;
        weights_of_lanes(layer.bits, bytes, outputs, inputs)?
    };
    let mut biases = Reader(section(reader, 4 * outputs)?);
    for bias in &mut layer.biases {
        *bias = i64::from(biases.number(4)? as u32 as i32);
    }
    let common = layer.rounding[0].1;
    if common == 0 {
        let mut multipliers = Reader(section(reader, 4 * outputs)?);
        let shifts = section(reader, outputs)?;
        for (rounding, &shift) in layer.rounding.iter_mut().zip(shifts) {
            let multiplier = multipliers.number(4)? as i64;
            if !(1..1 << 31).contains(&multiplier) || !(1..=62).contains(&shift) {
                return None;
            }
            *rounding = (multiplier, shift);
        }
    }
    for (number, (row, bias)) in layer.weights.iter().zip(&layer.biases).enumerate() {
        let sum: i64 = row.iter().map(|weight| weight.abs()).sum();
        let worst = largest * sum + bias.abs();
        let half = if common > 0 { 1 << (common - 1) } else { 0 };
        let odd = order == 2 && layer.bits == 8 && number % 2 == 1;
        if worst + half > (1 << 31) - 1 || odd && worst >= 1 << 23 {
            return None;
        }
    }
    Some(())
}

impl Model {
    /// The fingerprint, as the page tells it.
    #[must_use]
    pub fn fingerprint(&self) -> u32 {
        let mut bytes = Vec::new();
        bytes.extend((self.width as u16).to_le_bytes());
        bytes.extend((self.height as u16).to_le_bytes());
        bytes.push(self.pooling + if self.deskew { 8 } else { 0 });
        if self.input_bits != [7; 3] {
            bytes.extend(self.input_bits);
        }
        for layer in &self.layers {
            bytes.extend((layer.biases.len() as u32).to_le_bytes());
            bytes.extend(layer.weights.iter().flatten().map(|&weight| weight as u8));
            bytes.extend(
                layer
                    .biases
                    .iter()
                    .flat_map(|&bias| (bias as i32).to_le_bytes()),
            );
            let rounding = || layer.rounding.iter();
            bytes.extend(rounding().flat_map(|&(multiplier, _)| (multiplier as u32).to_le_bytes()));
            bytes.extend(rounding().map(|&(_, shift)| shift));
        }
        crc(&bytes)
    }

    /// Rows and columns that are left out on each side.
    fn border(&self) -> usize {
        if self.pooling >= 3 { 2 } else { 0 }
    }

    /// How far each pair of rows has drifted to the right.
    fn drift(&self, pixels: &[u8]) -> Vec<i64> {
        let pairs = (self.height / 2) as i128;
        let [mut n, mut p, mut q, mut r, mut s] = [0i128; 5];
        for (j, rows) in (0i128..).zip(pixels.chunks_exact(2 * self.width)) {
            let (upper, lower) = rows.split_at(self.width);
            for (x, (upper, lower)) in (0i128..).zip(upper.chunks(4).zip(lower.chunks(4))) {
                let inked = i128::from(upper.iter().chain(lower).any(|&pixel| pixel >= 64));
                n += inked;
                p += inked * x;
                q += inked * j;
                r += inked * x * j;
                s += inked * j * j;
            }
        }
        let (mut d, u) = (n * s - q * q, n * r - p * q);
        let mut slope = u.abs();
        while d >= 1 << 20 {
            d /= 2;
            slope /= 2;
        }
        let slope = (1024 * slope).checked_div(d).unwrap_or(0).min(1024) * u.signum();
        let drift = |j: i128| (slope * (2 * j + 1 - pairs) + 256).div_euclid(512);
        (0..=pairs).map(|j| drift(j) as i64).collect()
    }

    /// Both hidden layers and the embedding of an image.
    #[must_use]
    pub fn embed(&self, pixels: &[u8]) -> [Vec<i64>; 3] {
        let drift = if self.deskew {
            self.drift(pixels)
        } else {
            vec![0; self.height / 2 + 1]
        };
        let at = |x: usize, y: usize| {
            let x = x as i64 + drift[y / 2];
            let inside = (0..self.width as i64).contains(&x);
            if inside {
                i64::from(pixels[y * self.width + x as usize])
            } else {
                0
            }
        };
        let border = self.border();
        let places = |side: usize, step: usize| {
            (border..side - border)
                .step_by(step)
                .filter(move |i| i + step <= side - border)
        };
        let mut activations = Vec::new();
        match self.pooling {
            0 => {
                for y in 0..self.height {
                    activations.extend((0..self.width).map(|x| at(x, y) >> 1));
                }
            }
            1 | 3 => {
                for y in places(self.height, 2) {
                    for x in places(self.width, 2) {
                        let sum = at(x, y) + at(x + 1, y) + at(x, y + 1) + at(x + 1, y + 1);
                        activations.push(sum >> 3);
                    }
                }
            }
            _ => {
                for y in places(self.height, 2) {
                    for x in places(self.width, 1) {
                        activations.push(at(x, y + (x - border) % 2) >> 1);
                    }
                }
            }
        }
        for activation in &mut activations {
            *activation >>= 7 - self.input_bits[0];
        }
        let ranges = [
            (0, (1 << self.input_bits[1]) - 1),
            (0, (1 << self.input_bits[2]) - 1),
            (-32768, 32767),
        ];
        let mut outputs = activations;
        std::array::from_fn(|number| {
            outputs = self.layers[number].outputs(&outputs, ranges[number]);
            outputs.clone()
        })
    }
}

impl Layer {
    fn outputs(&self, inputs: &[i64], (low, high): (i64, i64)) -> Vec<i64> {
        let rows = self.weights.iter().zip(&self.biases).zip(&self.rounding);
        rows.map(|((weights, bias), &(multiplier, shift))| {
            let products = weights.iter().zip(inputs).map(|(w, x)| w * x);
            let acc = bias + products.sum::<i64>();
            let rounded = (acc * multiplier + (1 << (shift - 1))) >> shift;
            rounded.clamp(low, high)
        })
        .collect()
    }
}

/// Makes length, fingerprint and CRC-32 of a file right, as far as it has them: what a
/// mutation would be refused for before anything else is looked at.
pub fn mend(bytes: &mut Vec<u8>) {
    if bytes.len() < 24 {
        bytes.resize(24, 0);
    }
    let length = bytes.len();
    bytes[..9].copy_from_slice(b"SIAMESE\x1a\x04");
    bytes[12..16].copy_from_slice(&(length as u32).to_le_bytes());
    if let Some(model) = content(bytes) {
        bytes[length - 8..length - 4].copy_from_slice(&model.fingerprint().to_le_bytes());
    }
    let checksum = crc(&bytes[..length - 4]);
    bytes[length - 4..].copy_from_slice(&checksum.to_le_bytes());
}
