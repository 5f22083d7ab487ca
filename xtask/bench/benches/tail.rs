//! How long the slowest matches take: each is timed by itself, with topics in random order.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench reads the clock and tells what it found"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use macula_bench::matching::{table, topics};

/// How many matches are timed.
const MATCHES: usize = 200_000;

fn main() {
    let empty = (0..MATCHES).map(|_| timed(|| ())).collect();
    tell("nothing", empty);
    for patterns in [10_000, 100_000] {
        let table = table(patterns);
        let topics = topics(patterns, MATCHES);
        let mut owed = Vec::with_capacity(64);
        let mut round = || {
            let each = topics.iter().map(|topic| {
                timed(|| {
                    table.matches_into(black_box(topic), &mut owed);
                    black_box(&owed);
                })
            });
            each.collect()
        };
        // The first round fills the caches as far as they reach.
        let _first: Vec<Duration> = round();
        tell(&format!("match among {patterns} patterns"), round());
    }
}

fn timed(act: impl FnOnce()) -> Duration {
    let start = Instant::now();
    act();
    start.elapsed()
}

fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    let share = |permille: usize| {
        let at = last.saturating_mul(permille).checked_div(1_000);
        at.and_then(|at| times.get(at)).copied().unwrap_or_default()
    };
    println!(
        "{what}: p50 {:?}, p90 {:?}, p99 {:?}, p99.9 {:?}",
        share(500),
        share(900),
        share(990),
        share(999)
    );
}
