//! `membership-loss`: datagrams are lost, and nobody dies.

use std::time::Duration;

use crate::progress::Progress;
use crate::report::{Figures, Outcome};
use crate::scenario::Fault;
use crate::settings::Settings;
use crate::statistics::number;

use super::start;

/// Runs the scenario.
pub(crate) fn run(settings: &Settings, progress: &Progress) -> Result<Outcome, Fault> {
    let mut run = start::start(settings, progress)?;
    let mut figures = Figures::default();
    progress.says(format!("{} node-hours", settings.hours));
    let nodes = number(settings.nodes);
    let duration = Duration::from_secs_f64(settings.hours * 3_600.0 / nodes);
    run.measure(duration, |_| Ok(()))?
        .figures(nodes, &mut figures);
    let counts = run.net.host().watch.counts();
    figures.add("node_hours", settings.hours);
    figures.count("false_dead", counts.false_dead);
    figures.count("false_dead_subjects", counts.false_dead_subjects);
    figures.add(
        "false_dead_per_node_h",
        number(counts.false_dead) / settings.hours,
    );
    figures.add(
        "suspicions_per_node_h",
        number(counts.suspicions) / settings.hours,
    );
    Ok(run.finish(figures))
}
