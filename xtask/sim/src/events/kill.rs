//! `events-kill`: a share of the nodes is killed at once, in silence, and everybody who is left sends.

use std::time::Duration;

use macula_pubsub::TreeInput;
use macula_testkit::NodeIndex;
use macula_wire::{Instant, Machine};

use super::measure::{ALL, Message, extremes, measures};
use super::start::{Run, WARM_UP, messages_from, round, started, warm_up};
use crate::progress::Progress;
use crate::report::{Figures, Outcome};
use crate::scenario::Fault;
use crate::settings::{Detection, Settings};
use crate::statistics::{Sample, number};

/// When survivors learn of the dead: the first after so long, the last as much later. What `membership-kill` measures
/// of suspicions (mean 1.1 s, at most 1.65 s, 0.15 s to spread) and of verdicts (4.0 to 4.65 s, and the same).
const SUSPICION: [Duration; 2] = [Duration::from_secs(1), Duration::from_millis(800)];
const VERDICT: [Duration; 2] = [Duration::from_secs(4), Duration::from_millis(800)];
/// How often time is stopped to tell somebody.
const STEP: Duration = Duration::from_millis(20);
/// When nobody has been told anything yet.
const UNAIDED: Duration = Duration::from_millis(950);

/// Runs the scenario.
pub(crate) fn run(settings: &Settings, progress: &Progress) -> Result<Outcome, Fault> {
    let mut run = started(settings, progress)?;
    warm_up(&mut run)?;
    let mut figures = Figures::default();
    figures.add("killed", settings.kill);
    let mut news = kill(&mut run);
    let live: Vec<NodeIndex> = run.net.running().collect();
    run.progress.says("sending to those who are left");
    let killed = run.net.now();
    round(&mut run)?;
    let firsts = |run: &Run<'_>| -> Sample {
        let senders = run.net.host().messages.iter();
        let firsts = senders.filter_map(|(_, messages)| messages.get(WARM_UP));
        let share = |message: &Message| number(message.reached_of(&live)) / number(live.len());
        firsts.map(share).collect()
    };
    until(&mut run, killed + UNAIDED, &mut news)?;
    figures.add("reached_unaided", firsts(&run).mean());
    until(&mut run, killed + Duration::from_secs(3), &mut news)?;
    let reached = firsts(&run);
    figures.add("reached_3s", reached.mean());
    figures.add("reached_3s_min", reached.quantile(0.0));
    until(&mut run, killed + Duration::from_secs(10), &mut news)?;
    figures.add("reached_10s", firsts(&run).quantile(0.0));
    later(&mut run, &live, &mut figures)?;
    Ok(run.finish(figures))
}

/// What messages are like when all is mended: those of the fourth round from here on.
fn later(run: &mut Run<'_>, live: &[NodeIndex], figures: &mut Figures) -> Result<(), Fault> {
    run.progress.says("sending once all is mended");
    for _ in 0..6 {
        round(run)?;
    }
    run.run_for(super::tree::END)?;
    let later = messages_from(run, WARM_UP.saturating_add(4));
    measures(&later, ALL, figures);
    extremes(&messages_from(run, WARM_UP.saturating_add(4)), figures);
    let complete = |message: &&&Message| message.reached_of(live) == live.len();
    let whole = later.iter().filter(complete).count();
    figures.add("complete", crate::statistics::share(whole, later.len()));
    Ok(())
}

/// Kills a share of the nodes, but for the first sender, and says who is told when.
fn kill(run: &mut Run<'_>) -> Vec<(Instant, NodeIndex)> {
    let first = run.net.host().messages.first().map(|(sender, _)| *sender);
    let victims = run.share(run.settings.kill);
    for victim in victims {
        if Some(victim) != first {
            run.net.kill(victim);
        }
    }
    let [begin, width] = match run.settings.detection {
        Detection::Suspicions => SUSPICION,
        Detection::Verdicts => VERDICT,
    };
    let now = run.net.now();
    let survivors: Vec<NodeIndex> = run.net.running().collect();
    let mut news: Vec<(Instant, NodeIndex)> = survivors
        .into_iter()
        .map(|node| (now + begin + run.within(width), node))
        .collect();
    news.sort_unstable();
    news.reverse();
    news
}

/// Runs until `at`, and tells survivors of the dead when it is time.
fn until(
    run: &mut Run<'_>,
    at: Instant,
    news: &mut Vec<(Instant, NodeIndex)>,
) -> Result<(), Fault> {
    while run.net.now() < at {
        let now = run.net.now();
        while let Some((_, node)) = news.pop_if(|(due, _)| *due <= now) {
            tell(run, node);
        }
        let left = at.saturating_since(now);
        let step = if news.is_empty() {
            left
        } else {
            left.min(STEP)
        };
        run.run_for(step)?;
    }
    Ok(())
}

/// Tells a node of all the dead that it has to do with: its neighbours, and whom it finds in their places.
fn tell(run: &mut Run<'_>, node: NodeIndex) {
    let topic = run.net.host().topic.clone();
    loop {
        let neighbours = run.net.machine(node).map(|tree| tree.neighbours(&topic));
        let gone: Vec<_> = neighbours
            .unwrap_or_default()
            .iter()
            .filter(|id| {
                run.net
                    .find(**id)
                    .is_none_or(|peer| run.net.machine(peer).is_none())
            })
            .copied()
            .collect();
        if gone.is_empty() {
            return;
        }
        for peer in gone {
            run.net.with(node, |tree, now| {
                tree.handle_input(now, TreeInput::Absent { peer });
            });
        }
    }
}
