//! `overlay-join`: everybody joins at once through one contact.

use std::time::Duration;

use crate::load::Load;
use crate::progress::Progress;
use crate::report::{Figures, Outcome};
use crate::scenario::Fault;
use crate::settings::Settings;
use crate::statistics::number;

use super::{joined, measures, stay};

/// How long the graph may take to be complete.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs the scenario.
pub(crate) fn run(settings: &Settings, progress: &Progress) -> Result<Outcome, Fault> {
    let (mut run, took) = joined(settings, progress, LIMIT)?;
    let mut figures = Figures::default();
    figures.add("settle_s", took.map(|took| took.as_secs_f64()));
    figures.add(
        "join_bytes",
        Load::until_now(&run.net).bytes / number(settings.nodes),
    );
    progress.says("going on");
    stay(&mut run)?;
    progress.says("measuring the graph");
    measures(&run, &mut figures);
    Ok(run.finish(figures))
}
