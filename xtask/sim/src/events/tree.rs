//! `events-tree`: many send to all, and all is well.

use std::time::Duration;

use super::measure::{ALL, FIRST, extremes, measures};
use super::start::{Run, WARM_UP, messages_from, round, started, warm_up};
use crate::load::Load;
use crate::progress::Progress;
use crate::report::{Figures, Outcome};
use crate::scenario::Fault;
use crate::settings::Settings;
use crate::statistics::{number, share};

/// How many messages of each sender are measured.
const ROUNDS: usize = 5;
/// How long the last ones may take.
pub(super) const END: Duration = Duration::from_secs(3);

/// Runs the scenario.
pub(crate) fn run(settings: &Settings, progress: &Progress) -> Result<Outcome, Fault> {
    let mut run = started(settings, progress)?;
    let figures = spread(&mut run)?;
    Ok(run.finish(figures))
}

/// Warms up, sends, and measures; for a network in which something may be wrong.
pub(super) fn spread(run: &mut Run<'_>) -> Result<Figures, Fault> {
    warm_up(run)?;
    let mut figures = Figures::default();
    let senders = run.net.host().messages.iter();
    let firsts: Vec<_> = senders.filter_map(|(_, sent)| sent.first()).collect();
    measures(&firsts, FIRST, &mut figures);
    run.progress.says("sending");
    let before = Load::until_now(&run.net);
    for round_number in 0..ROUNDS {
        round(run)?;
        run.progress.reached(number(round_number), number(ROUNDS));
    }
    run.run_for(END)?;
    let load = Load::until_now(&run.net).since(before);
    let messages = messages_from(run, WARM_UP);
    figures.count("senders", run.net.host().messages.len());
    figures.count("messages", messages.len());
    measures(&messages, ALL, &mut figures);
    extremes(&messages, &mut figures);
    let nodes: Vec<_> = run.net.nodes().collect();
    let reached = |message: &&super::measure::Message| message.reached_of(&nodes) == nodes.len();
    let whole = messages_from(run, 0);
    let complete = whole.iter().filter(|message| reached(message)).count();
    figures.add("complete", share(complete, whole.len()));
    let deliveries = number(messages.len()) * number(nodes.len());
    figures.add("msgs_per_delivery", load.messages / deliveries.max(1.0));
    figures.add("bytes_per_delivery", load.bytes / deliveries.max(1.0));
    Ok(figures)
}
