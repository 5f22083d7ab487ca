//! `membership-split`: two halves cannot reach each other for a minute.

use std::time::Duration;

use crate::progress::Progress;
use crate::report::{Figures, Outcome};
use crate::scenario::Fault;
use crate::settings::Settings;

use super::{STEP, start, views_are_equal};

/// How long the halves are apart.
const APART: Duration = Duration::from_secs(60);
/// How long the views may take to be equal again.
const LIMIT: Duration = Duration::from_secs(300);

/// Runs the scenario.
pub(crate) fn run(settings: &Settings, progress: &Progress) -> Result<Outcome, Fault> {
    let mut run = start::start(settings, progress)?;
    let mut figures = Figures::default();
    run.run_for(Duration::from_secs(3))?;
    progress.says("apart");
    let half = run.some(settings.nodes.div_euclid(2));
    run.net.partition(&half);
    run.measure(APART, |_| Ok(()))?;
    if views_are_equal(&run.net) {
        return Err("the halves did not part".to_owned());
    }
    figures.count("split_dead", run.net.host().watch.counts().false_dead);
    progress.says("healing");
    run.net.heal();
    let took = run.wait(LIMIT, STEP, views_are_equal)?;
    let took = took.ok_or_else(|| format!("views differ after {} s", LIMIT.as_secs()))?;
    figures.add("views_equal_s", took.as_secs_f64());
    Ok(run.finish(figures))
}
