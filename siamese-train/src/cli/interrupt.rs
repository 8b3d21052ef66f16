//! Ctrl-C asks a run to save itself and stop; so do the signals that end programs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

/// The exit code of a program that ctrl-C ended.
pub const INTERRUPTED: i32 = 130;

/// A flag that ctrl-C sets, and on Unix SIGTERM and SIGHUP; the second time ends
/// the program at once. A program that was told to outlive its terminal, as by
/// `nohup`, does.
pub fn stop_at_ctrl_c() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let outlives_its_terminal = ignores_hang_up();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            end_at_once();
        }
    })
    .context("can't catch ctrl-C")?;
    if outlives_its_terminal {
        ignore_hang_up();
    }
    Ok(stop)
}

/// Ends the program without a word. The usual way out destroys what libtorch's
/// threads still work with, and they crash.
#[cfg(unix)]
fn end_at_once() {
    // SAFETY: `_exit` takes any number and touches no memory of ours.
    unsafe { libc::_exit(INTERRUPTED) }
}

#[cfg(not(unix))]
fn end_at_once() {
    std::process::exit(INTERRUPTED)
}

/// Whether SIGHUP is ignored.
#[cfg(unix)]
fn ignores_hang_up() -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: with no new action the call only fills `action`, which is one in size
    // and alignment, and all zeroes are a valid one where the call fails.
    let action = unsafe {
        libc::sigaction(libc::SIGHUP, std::ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_IGN
}

#[cfg(unix)]
fn ignore_hang_up() {
    // SAFETY: SIG_IGN runs no code of ours.
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
}

#[cfg(not(unix))]
const fn ignores_hang_up() -> bool {
    false
}

#[cfg(not(unix))]
const fn ignore_hang_up() {}
