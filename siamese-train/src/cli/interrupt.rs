//! Ctrl-C asks a run to save itself and stop.

use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

/// The exit code of a program that ctrl-C ended.
pub const INTERRUPTED: i32 = 130;

/// A flag that ctrl-C sets; a second ctrl-C ends the program at once.
pub fn stop_at_ctrl_c() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            exit(INTERRUPTED);
        }
    })
    .context("can't catch ctrl-C")?;
    Ok(stop)
}
