//! The calibration as a header writes it: an enum of its own, because most have no
//! allowance, and a file without one stays as it was before there were any.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Calibration;

/// The forms, by their numbers in a file.
#[derive(Serialize, Deserialize)]
enum Form {
    /// Not calibrated.
    None,
    /// Without an allowance.
    Plain(Plain),
    /// With one, which is not 0: a calibration has one form.
    Allowing(Plain, u8),
}

/// All but the allowance.
#[derive(Serialize, Deserialize)]
struct Plain {
    false_accept_rate: f32,
    false_reject_rate: f32,
    prototype_threshold: u64,
    pair_threshold: u64,
    spread: u64,
}

impl Plain {
    const fn with(self, allowance: u8) -> Calibration {
        Calibration {
            false_accept_rate: self.false_accept_rate,
            false_reject_rate: self.false_reject_rate,
            prototype_threshold: self.prototype_threshold,
            pair_threshold: self.pair_threshold,
            spread: self.spread,
            allowance,
        }
    }
}

/// Writes it.
pub(super) fn serialize<S: Serializer>(
    calibration: &Option<Calibration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let form = calibration.map_or(Form::None, |found| {
        let plain = Plain {
            false_accept_rate: found.false_accept_rate,
            false_reject_rate: found.false_reject_rate,
            prototype_threshold: found.prototype_threshold,
            pair_threshold: found.pair_threshold,
            spread: found.spread,
        };
        match found.allowance {
            0 => Form::Plain(plain),
            allowance => Form::Allowing(plain, allowance),
        }
    });
    form.serialize(serializer)
}

/// Reads it. That an allowance is not 0 is checked by the header's length.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Calibration>, D::Error> {
    Ok(match Form::deserialize(deserializer)? {
        Form::None => None,
        Form::Plain(plain) => Some(plain.with(0)),
        Form::Allowing(plain, allowance) => Some(plain.with(allowance)),
    })
}
