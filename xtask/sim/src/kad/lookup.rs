//! `kad-lookup`: lookups while all is well.

use macula_testkit::NodeIndex;

use super::measure::Lookups;
use super::start::{Run, joined};
use crate::progress::Progress;
use crate::report::{Figures, Outcome};
use crate::scenario::Fault;
use crate::settings::Settings;
use crate::statistics::Sample;

/// Runs the scenario.
pub(crate) fn run(settings: &Settings, progress: &Progress) -> Result<Outcome, Fault> {
    let mut run = joined(settings, progress)?;
    let mut figures = Figures::default();
    tables(&run, &mut figures);
    run.begins();
    let who: Vec<NodeIndex> = run.net.running().collect();
    Lookups::make(&mut run, &who, |_| Ok(()))?.measures(&mut figures);
    run.net.host_mut().dials = true;
    let cold = Lookups::make(&mut run, &who, |_| Ok(()))?.until_closest();
    figures.add("lookup_cold_ms.mean", cold.mean());
    figures.add("lookup_cold_ms.p99", cold.quantile(0.99));
    Ok(run.finish(figures))
}

/// What the tables are like.
pub(super) fn tables(run: &Run<'_>, figures: &mut Figures) {
    let machines = || run.net.running().filter_map(|node| run.net.machine(node));
    let sizes: Sample = machines()
        .map(|kad| crate::statistics::number(kad.table_len()))
        .collect();
    figures.add("table_size", sizes.mean());
    let requests: Sample = machines().map(|kad| kad.stats().requests as f64).collect();
    figures.add("join_rpcs", requests.mean());
}
