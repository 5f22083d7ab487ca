//! `kad-liars`: lookups while a share of the nodes answers with each other only.
//!
//! They conspire: each knows all of them, and names those closest to what is looked for. What it cannot do is to make up
//! nodes or to choose where it stands, because ids are certified keys.

use macula_testkit::NodeIndex;

use super::lookup::tables;
use super::measure::Lookups;
use super::node::Liars;
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
    let liars = run.share(settings.liars);
    figures.add("liars", number(liars.len()) / number(settings.nodes));
    let named: Vec<_> = liars
        .iter()
        .filter_map(|node| Some((*node, run.net.id(*node)?)))
        .collect();
    run.net.host_mut().liars = Liars::new(named);
    let liars = &run.net.host().liars;
    let who: Vec<NodeIndex> = run
        .net
        .running()
        .filter(|node| !liars.contains(*node))
        .collect();
    Lookups::make(&mut run, &who, |_| Ok(()))?.measures(&mut figures);
    Ok(run.finish(figures))
}
