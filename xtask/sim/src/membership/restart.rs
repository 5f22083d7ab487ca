//! `membership-restart`: all nodes restart at once, with what they knew.

use std::time::Duration;

use crate::progress::Progress;
use crate::report::{Figures, Outcome};
use crate::scenario::Fault;
use crate::settings::Settings;

use super::{STEP, start, views_are_equal};

/// How long the views may take to be equal.
const LIMIT: Duration = Duration::from_secs(300);

/// Runs the scenario.
pub(crate) fn run(settings: &Settings, progress: &Progress) -> Result<Outcome, Fault> {
    let mut run = start::start(settings, progress)?;
    let mut figures = Figures::default();
    run.run_for(Duration::from_secs(10))?;
    progress.says("restarting");
    start::restart_all(&mut run);
    if views_are_equal(&run.net) {
        return Err("nobody has restarted".to_owned());
    }
    let took = run.wait(LIMIT, STEP, views_are_equal)?;
    let took = took.ok_or_else(|| format!("views differ after {} s", LIMIT.as_secs()))?;
    figures.add("views_equal_s", took.as_secs_f64());
    Ok(run.finish(figures))
}
