//! Which simulation seeds a test runs, and how a failing one is replayed.

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

/// How many simulation seeds a test runs unless `MACULA_SEEDS` says otherwise.
pub const DEFAULT_SEEDS: u64 = 50;

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok()?.parse().ok()
}

/// The simulation seeds of this run: `1..=MACULA_SEEDS` (50 by default), or `MACULA_SEED` alone if that is set.
pub fn seeds() -> impl Iterator<Item = u64> {
    match number("MACULA_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("MACULA_SEEDS").unwrap_or(DEFAULT_SEEDS),
    }
}

/// Runs `test` once for each seed of [`seeds`].
///
/// # Panics
///
/// If `test` panics: with its message, the seed, and the one command that replays that seed.
pub fn each_seed(test: impl FnMut(u64)) {
    if let Err(failure) = run(seeds(), test) {
        fail(&failure);
    }
}

#[expect(clippy::panic, reason = "a failing test has to panic")]
fn fail(failure: &str) {
    panic!("{failure}");
}

fn run(seeds: impl Iterator<Item = u64>, mut test: impl FnMut(u64)) -> Result<(), String> {
    for seed in seeds {
        if let Err(cause) = catch_unwind(AssertUnwindSafe(|| test(seed))) {
            let text = cause
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| cause.downcast_ref::<&str>().copied())
                .unwrap_or("a panic without a text");
            return Err(format!("seed {seed}: {text}\nreplay: {}", replay(seed)));
        }
    }
    Ok(())
}

/// The command that runs the test of this thread with one seed.
pub(crate) fn replay(seed: u64) -> String {
    let package = env::var("CARGO_PKG_NAME").unwrap_or_else(|_| "PACKAGE".into());
    let test = thread::current()
        .name()
        .filter(|name| *name != "main")
        .map(Into::into)
        .or_else(|| env::var("NEXTEST_TEST_NAME").ok())
        .unwrap_or_else(|| "TEST".into());
    format!("MACULA_SEED={seed} cargo test -p {package} {test}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_its_seed_and_the_command_that_replays_it() {
        let failure = run(1..=5, |seed| assert!(seed != 3, "three")).unwrap_err();
        assert!(failure.contains("seed 3: three"), "{failure}");
        assert!(
            failure.contains("MACULA_SEED=3 cargo test -p macula-testkit"),
            "{failure}"
        );
        assert_eq!(run(1..=5, |seed| assert!(seed != 6)), Ok(()));
    }

    #[test]
    fn there_are_seeds() {
        assert!(seeds().count() > 0);
    }
}
