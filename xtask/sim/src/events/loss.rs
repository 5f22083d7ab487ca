//! `events-loss`: as `events-tree`, and datagrams are lost, which streams of QUIC repeat.

use super::start::started;
use super::tree::spread;
use crate::progress::Progress;
use crate::report::{Figures, Outcome};
use crate::scenario::Fault;
use crate::settings::Settings;

/// Runs the scenario.
pub(crate) fn run(settings: &Settings, progress: &Progress) -> Result<Outcome, Fault> {
    let mut run = started(settings, progress)?;
    let figures: Figures = spread(&mut run)?;
    Ok(run.finish(figures))
}
