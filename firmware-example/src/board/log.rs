//! What the firmware tells a debug probe, by defmt: the probe reads it out of the
//! RAM (RTT) while the firmware runs. With the feature `log-rtt` alone; without
//! it these functions are empty.

#![allow(unused_variables, reason = "nothing is logged without the feature")]

use core::panic::PanicInfo;

use siamese_core::Model;

#[cfg(feature = "log-rtt")]
use defmt_rtt as _;

/// The board has booted with this model.
pub fn booted(model: &Model<'_>) {
    #[cfg(feature = "log-rtt")]
    {
        let header = model.header();
        defmt::info!(
            "{=str}: model {=str}, CRC {=u32:#010x}, {}, layers {}",
            super::NAME,
            header.name,
            crate::model::CRC,
            header.input,
            header.sizes,
        );
    }
}

/// The firmware ends with this panic.
#[cfg_attr(
    board_semihosting,
    allow(dead_code, reason = "an emulator is told otherwise")
)]
pub fn died(info: &PanicInfo<'_>) {
    #[cfg(feature = "log-rtt")]
    defmt::error!("{}", defmt::Display2Format(info));
}
