//! `kad-churn`: lookups while nodes die and join all the time.

use std::time::Duration;

use macula_testkit::NodeIndex;

use super::lookup::tables;
use super::measure::Lookups;
use super::start::{Run, add, join, joined};
use crate::progress::Progress;
use crate::report::{Figures, Outcome};
use crate::scenario::Fault;
use crate::settings::Settings;
use crate::statistics::number;

/// How long a node stays, in the mean.
const SESSION: Duration = Duration::from_secs(600);
/// How long nodes have come and gone before the first lookup.
const BEFORE: Duration = Duration::from_secs(60);
/// The time from one lookup to the next.
const BETWEEN: Duration = Duration::from_millis(60);

/// Nodes that die and join, as many of either, at times that know nothing of each other.
#[derive(Debug, Default)]
struct Churn {
    /// How many deaths are owed for the time that has passed.
    owed: f64,
    departures: usize,
}

impl Churn {
    /// `passed` more has passed.
    fn go_on(&mut self, run: &mut Run<'_>, passed: Duration) {
        let rate = number(run.settings.nodes) / SESSION.as_secs_f64();
        // Exponential times between deaths, as those of independent sessions of a fixed mean are.
        let chance = 1.0 - number(run.random.index(1_000_000)) / 1e6;
        self.owed += rate * passed.as_secs_f64() * -chance.ln();
        while self.owed >= 1.0 {
            self.owed -= 1.0;
            self.departures = self.departures.saturating_add(1);
            for node in run.some(1) {
                run.net.kill(node);
            }
            let newcomer = add(&mut run.net);
            let others = run.some(2);
            if let Some(by) = others.into_iter().find(|other| *other != newcomer) {
                join(&mut run.net, newcomer, by);
            }
        }
    }
}

/// Runs the scenario.
pub(crate) fn run(settings: &Settings, progress: &Progress) -> Result<Outcome, Fault> {
    let mut run = joined(settings, progress)?;
    let mut figures = Figures::default();
    let mut churn = Churn::default();
    run.begins();
    progress.says("nodes come and go");
    let begin = run.net.now();
    while run.net.now().saturating_since(begin) < BEFORE {
        run.run_for(BETWEEN)?;
        churn.go_on(&mut run, BETWEEN);
    }
    let who: Vec<NodeIndex> = run.net.running().collect();
    let lookups = Lookups::make(&mut run, &who, |run| {
        churn.go_on(run, BETWEEN);
        run.run_for(BETWEEN)
    })?;
    lookups.measures(&mut figures);
    tables(&run, &mut figures);
    figures.count("departures", churn.departures);
    figures.count("arrivals", churn.departures);
    Ok(run.finish(figures))
}
