//! `kad-kill`: lookups right after a share of the nodes was killed at once, before anything is repaired.

use macula_testkit::NodeIndex;

use super::lookup::tables;
use super::measure::Lookups;
use super::start::joined;
use crate::progress::Progress;
use crate::report::{Figures, Outcome};
use crate::scenario::Fault;
use crate::settings::Settings;
use crate::statistics::number;

/// Runs the scenario.
pub(crate) fn run(settings: &Settings, progress: &Progress) -> Result<Outcome, Fault> {
    let mut run = joined(settings, progress)?;
    let mut figures = Figures::default();
    tables(&run, &mut figures);
    run.begins();
    let dead = run.share(settings.kill);
    for node in &dead {
        run.net.kill(*node);
    }
    figures.add("killed", number(dead.len()) / number(settings.nodes));
    let mut who: Vec<NodeIndex> = run.net.running().collect();
    // Each asks once, so that no lookup profits from what an earlier one of the same node found dead.
    run.random.shuffle(&mut who);
    Lookups::make(&mut run, &who, |_| Ok(()))?.measures(&mut figures);
    Ok(run.finish(figures))
}
