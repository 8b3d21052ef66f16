//! How libtorch's threads wait for each other.

/// Lets libtorch's threads sleep while they wait for each other, by starting this
/// program once again with the environment variable that says so.
///
/// By default they spin, which on a busy machine takes the core from the very
/// thread that is waited for: training then is not twice but thirty times as slow.
/// The variable is read when the library is loaded, so it can't be set from within.
/// If the program can't be started again, it goes on as it is. Whoever sets one of
/// the variables is left alone.
#[cfg(unix)]
pub fn wait_without_spinning() {
    use std::os::unix::process::CommandExt;

    const SPINNING: [&str; 2] = ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"];
    if SPINNING.iter().any(|name| std::env::var_os(name).is_some()) {
        return;
    }
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    let mut arguments = std::env::args_os();
    let mut again = std::process::Command::new(program);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    // Comes back only if it fails.
    let _ = again.args(arguments).env(SPINNING[0], "passive").exec();
}

#[cfg(not(unix))]
pub const fn wait_without_spinning() {}
