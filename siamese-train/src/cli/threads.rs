//! How many threads libtorch works with, and how they wait for each other.

use std::sync::OnceLock;

use siamese_train::recipe::Plan;

/// Weights from which a network's training gains more by all cores than by one that is
/// left alone: with 350,000, two cores are 8 % ahead of one.
const LARGE: usize = 300_000;

/// Sets the threads of one tensor operation: as many as were asked for, or one a core.
///
/// A small network's training leaves a core to the threads that distort images. They need
/// as much time as it does, and where they share a core with one of libtorch's threads, all
/// others wait for that one. With two cores and `small`, one thread is then almost twice as
/// fast as two.
pub fn share_cores(plan: &Plan, asked: Option<u16>) {
    // What libtorch begins with.
    static CORES: OnceLock<i32> = OnceLock::new();
    let cores = *CORES.get_or_init(tch::get_num_threads);
    let told = std::env::var_os("OMP_NUM_THREADS").is_some();
    let weights = plan.shapes().iter().map(|(from, to)| from * to).sum();
    let threads = match asked {
        Some(threads) => threads.into(),
        None if told => cores,
        None => threads_for(weights, cores),
    };
    tch::set_num_threads(threads);
}

/// The threads for a network of so many weights.
fn threads_for(weights: usize, cores: i32) -> i32 {
    if weights < LARGE {
        (cores - 1).max(1)
    } else {
        cores
    }
}

/// What is set, if none of it is, for the library that shares libtorch's work among
/// threads. GNU's spins for so many turns, some tens of microseconds, and then sleeps;
/// another one sleeps at once.
#[cfg(unix)]
const WAITING: [(&str, &str); 2] = [("GOMP_SPINCOUNT", "1000"), ("OMP_WAIT_POLICY", "passive")];

/// Lets libtorch's threads sleep soon while they wait for each other, by starting this
/// program once again with the environment variables that say so.
///
/// By default they spin for milliseconds, which on a busy machine takes the core from the
/// very thread that is waited for: training then is not twice but thirty times as slow.
/// Where they sleep at once, every small operation pays for being woken: training on two
/// idle cores is then half as fast.
/// The variables are read when the library is loaded, so they can't be set from within.
/// If the program can't be started again, it goes on as it is. Whoever sets one of
/// the variables is left alone.
#[cfg(unix)]
pub fn sleep_soon() {
    use std::os::unix::process::CommandExt;

    if WAITING
        .iter()
        .any(|(name, _)| std::env::var_os(name).is_some())
    {
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
    let _ = again.args(arguments).envs(WAITING).exec();
}

#[cfg(not(unix))]
pub const fn sleep_soon() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_network_leaves_a_core_if_there_is_one_to_leave() {
        let small = 392 * 128 + 128 * 64 + 64 * 2;
        let reference = 784 * 1024 + 1024 * 1024 + 1024 * 2;
        for (cores, left) in [(1, 1), (2, 1), (8, 7)] {
            assert_eq!(threads_for(small, cores), left);
            assert_eq!(threads_for(reference, cores), cores);
        }
    }
}
