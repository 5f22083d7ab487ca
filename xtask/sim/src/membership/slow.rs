//! `membership-slow`: Lifeguard's matrix of members that stand still now and then, against plain SWIM.
//!
//! In each cell, so many members stand still for so long, all at the same time, then run for a while, and so on for two
//! minutes. None of them is dead, and those that never stand still are not even slow.

use std::time::Duration;

use crate::load::Load;
use crate::machine::Watch;
use crate::progress::Progress;
use crate::report::{Figures, Outcome};
use crate::scenario::Fault;
use crate::settings::{Cells, Settings};
use crate::statistics::number;
use crate::{machine, parallel};

use super::start;

/// How many cells run by default, so that the run ends within 45 s on two cores: each time to run three times, each
/// count two or three times, each pause about four times.
pub(crate) const DEFAULT_CELLS: usize = 24;

/// How many members stand still.
const COUNTS: [usize; 9] = [1, 4, 8, 12, 16, 20, 24, 28, 32];
/// For how long, in milliseconds.
const PAUSES: [u64; 6] = [128, 512, 2_048, 8_192, 16_384, 32_768];
/// How long they run in between, in milliseconds.
const RUNS: [u64; 8] = [1, 4, 16, 64, 256, 1_024, 4_096, 16_384];
/// How long each cell goes on at least.
const LENGTH: Duration = Duration::from_secs(120);
/// How long suspicions that are left have to end.
const AFTER: Duration = Duration::from_secs(20);

/// One cell of the matrix.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Cell {
    slow: usize,
    pause: Duration,
    run: Duration,
}

/// What came of one run of one cell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Tally {
    false_dead: usize,
    healthy: usize,
    messages: f64,
    bytes: f64,
    simulated: f64,
    events: u64,
    trace: u64,
}

/// The first `count` of all cells, in an order in which any number of them is spread evenly.
///
/// 72 of them hold each count with each run once, and each pause about twelve times; 432 are all.
fn cells(choice: Cells) -> Vec<Cell> {
    let all = COUNTS
        .len()
        .saturating_mul(RUNS.len())
        .saturating_mul(PAUSES.len());
    let count = match choice {
        Cells::Some(count) => count.min(all),
        Cells::All => all,
    };
    let turn = |place: usize, of: usize| place.checked_rem(of).unwrap_or(0);
    let pick = |list: &[u64], at: usize| list.get(turn(at, list.len())).copied().unwrap_or(1);
    (0..count)
        .map(|place| {
            // Nine and eight have no common divisor, so both may turn at once.
            let (slow, run) = (turn(place, COUNTS.len()), turn(place, RUNS.len()));
            let round = place.div_euclid(COUNTS.len().saturating_mul(RUNS.len()));
            let pause = place.saturating_add(round);
            Cell {
                slow: COUNTS.get(slow).copied().unwrap_or(1),
                pause: Duration::from_millis(pick(&PAUSES, pause)),
                run: Duration::from_millis(pick(&RUNS, run)),
            }
        })
        .collect()
}

/// Runs the scenario.
pub(crate) fn run(settings: &Settings, progress: &Progress) -> Result<Outcome, Fault> {
    let watch = Watch::start();
    let cells = cells(settings.cells);
    progress.says(format!("{} cells", cells.len()));
    let done = parallel::map(&cells, progress, |place, cell| {
        let settings = Settings {
            seed: settings
                .seed
                .wrapping_add(u64::try_from(place).unwrap_or(0)),
            ..settings.clone()
        };
        let plain = Settings {
            plain: true,
            without: Vec::new(),
            with: Vec::new(),
            ..settings.clone()
        };
        Ok::<_, Fault>((tally(&settings, *cell)?, tally(&plain, *cell)?))
    });
    let done: Vec<(Tally, Tally)> = done.into_iter().collect::<Result<_, _>>()?;
    Ok(outcome(&done, settings, watch))
}

/// One run of one cell.
fn tally(settings: &Settings, cell: Cell) -> Result<Tally, Fault> {
    let progress = Progress::hidden();
    let mut run = start::start(settings, &progress)?;
    run.run_for(Duration::from_secs(5))?;
    let slow = run.some(cell.slow);
    for node in &slow {
        run.net.host_mut().watch.slow(*node);
    }
    let before = Load::until_now(&run.net);
    run.net.schedule_pauses(&slow, cell.pause, cell.run);
    run.run_for(LENGTH)?;
    run.net.end_pauses();
    run.run_for(AFTER)?;
    let counts = run.net.host().watch.counts();
    let load = Load::until_now(&run.net).since(before);
    Ok(Tally {
        false_dead: counts.false_dead,
        healthy: counts.false_dead_healthy,
        messages: load.messages,
        bytes: load.bytes,
        simulated: run.simulated(),
        events: run.net.events(),
        trace: run.net.trace_hash(),
    })
}

/// The sums over all cells, side by side.
fn outcome(done: &[(Tally, Tally)], settings: &Settings, watch: Watch) -> Outcome {
    let sum = |of: fn(&Tally) -> f64, side: fn(&(Tally, Tally)) -> &Tally| -> f64 {
        done.iter().map(|both| of(side(both))).sum()
    };
    let ratio = |of: fn(&Tally) -> f64| {
        let plain = sum(of, |both| &both.1);
        (plain > 0.0).then(|| sum(of, |both| &both.0) / plain)
    };
    let all: fn(&Tally) -> f64 = |tally| number(tally.false_dead);
    let healthy: fn(&Tally) -> f64 = |tally| number(tally.healthy);
    let mut figures = Figures::default();
    figures.count("cells", done.len());
    figures.add("fp_ratio", ratio(all));
    figures.add("fp_healthy_ratio", ratio(healthy));
    figures.add("fp_events", sum(all, |both| &both.0));
    figures.add("fp_healthy_events", sum(healthy, |both| &both.0));
    figures.add("fp_events_plain", sum(all, |both| &both.1));
    figures.add("fp_healthy_events_plain", sum(healthy, |both| &both.1));
    figures.add("msgs_ratio", ratio(|tally| tally.messages));
    figures.add("bytes_ratio", ratio(|tally| tally.bytes));
    let simulated =
        sum(|tally| tally.simulated, |both| &both.0) + sum(|tally| tally.simulated, |both| &both.1);
    figures.add("node_hours", simulated * number(settings.nodes) / 3_600.0);
    figures.add("simulated_s", simulated);
    let wall = watch.seconds();
    figures.add("wall_s", wall / simulated * 60.0);
    figures.add("total_s", wall);
    figures.add("rss_mib", machine::peak_mib());
    let (mut events, mut trace) = (0_u64, 0_u64);
    for tally in done.iter().flat_map(|both| [&both.0, &both.1]) {
        events = events.saturating_add(tally.events);
        trace = trace.rotate_left(7).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ tally.trace;
    }
    Outcome {
        figures,
        events,
        trace_hash: trace,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn all_cells_are_all_combinations() {
        let all: BTreeSet<Cell> = cells(Cells::All).into_iter().collect();
        assert_eq!(all.len(), 432);
        assert_eq!(cells(Cells::Some(1_000)).len(), 432);
    }

    #[test]
    fn a_cell_is_worse_for_plain_swim() {
        let mut settings = Settings {
            nodes: 40,
            ..Settings::default()
        };
        let cell = Cell {
            slow: 12,
            pause: Duration::from_millis(8_192),
            run: Duration::from_millis(256),
        };
        let full = tally(&settings, cell).unwrap();
        settings.plain = true;
        let plain = tally(&settings, cell).unwrap();
        assert!(plain.false_dead > 0, "{plain:?}");
        assert!(full.false_dead < plain.false_dead, "{full:?} {plain:?}");
        // Nobody stands still: nobody is declared dead.
        let calm = Cell { slow: 0, ..cell };
        assert_eq!(tally(&settings, calm).unwrap().false_dead, 0);
    }

    #[test]
    fn the_cells_of_a_default_run_are_spread_evenly() {
        let some = cells(Cells::Some(DEFAULT_CELLS));
        let count = |fits: &dyn Fn(&&Cell) -> bool| some.iter().filter(fits).count();
        for slow in COUNTS {
            assert!((2..=3).contains(&count(&|cell| cell.slow == slow)));
        }
        for millis in RUNS {
            assert_eq!(count(&|cell| cell.run == Duration::from_millis(millis)), 3);
        }
        for millis in PAUSES {
            let same = count(&|cell| cell.pause == Duration::from_millis(millis));
            assert!((3..=6).contains(&same), "{millis} ms: {same}");
        }
    }
}
