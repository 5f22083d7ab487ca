//! `overlay-churn`: nodes leave, crash and join all the time.

use std::collections::VecDeque;
use std::time::Duration;

use macula_testkit::NodeIndex;
use macula_wire::Instant;

use crate::degree::degree_for;
use crate::progress::Progress;
use crate::report::{Figures, Outcome};
use crate::scenario::Fault;
use crate::settings::Settings;
use crate::statistics::Sample;

use super::{Run, VERDICT, complete, graph, measures, node, settled, tell_gone};

/// How long nodes come and go.
const CHURN: Duration = Duration::from_secs(60);
/// How long a node stays on average.
const SESSION: Duration = Duration::from_secs(600);
/// How long a leaving node keeps its links.
const GOODBYE: Duration = Duration::from_secs(4);
/// How many nodes a newcomer knows; one may be on its way out.
const CONTACTS: usize = 3;
/// How long the graph may take to be complete afterwards.
const LIMIT: Duration = Duration::from_secs(60);

/// Who is on the way out.
#[derive(Debug, Default)]
struct Departures {
    leaving: VecDeque<(Instant, NodeIndex)>,
    crashed: VecDeque<(Instant, NodeIndex)>,
    count: usize,
}

/// Runs the scenario.
pub(crate) fn run(settings: &Settings, progress: &Progress) -> Result<Outcome, Fault> {
    let mut run = complete(settings, progress)?;
    progress.says("nodes come and go");
    let each_second = settings
        .nodes
        .div_ceil(usize::try_from(SESSION.as_secs()).unwrap_or(1));
    let mut departures = Departures::default();
    let (mut exact, mut connected) = (Vec::new(), Vec::new());
    let degree = degree_for(settings.nodes);
    run.measure(CHURN, |run| {
        departures.go_on(run, each_second);
        let graph = graph(&run.net).0;
        exact.push(graph.degree_exact(degree));
        connected.push(graph.largest_part());
        Ok(())
    })?;
    progress.says("calm again");
    let calm = run.net.now();
    let mut limit = LIMIT;
    while departures.go_on(&mut run, 0) {
        run.run_for(Duration::from_secs(1))?;
        limit = limit.saturating_sub(Duration::from_secs(1));
    }
    let took = settled(&mut run, limit)?;
    let mut figures = Figures::default();
    figures.count("departures", departures.count);
    figures.count("arrivals", departures.count);
    let exact: Sample = exact.into_iter().collect();
    figures.add("degree_exact_mean", exact.mean());
    let connected: Sample = connected.into_iter().collect();
    figures.add("connected_min", connected.quantile(0.0));
    figures.add(
        "repair_s",
        took.map(|_| run.net.now().saturating_since(calm).as_secs_f64()),
    );
    measures(&run, &mut figures);
    Ok(run.finish(figures))
}

impl Departures {
    /// Lets `count` nodes depart, every second one without a word, and as many join; ends what others began. Says
    /// whether anything is left to end.
    fn go_on(&mut self, run: &mut Run<'_>, count: usize) -> bool {
        let now = run.net.now();
        for node in due(&mut self.leaving, now) {
            run.net.stop(node);
        }
        let gone = due(&mut self.crashed, now);
        if !gone.is_empty() {
            tell_gone(run, &gone);
        }
        let mut going = run.some(count.saturating_mul(CONTACTS.saturating_add(1)));
        let present = |node: &NodeIndex| {
            run.net
                .machine(*node)
                .is_some_and(|overlay| !overlay.has_left())
        };
        going.retain(present);
        let contacts = going.split_off(going.len().min(count));
        for (place, node) in going.into_iter().enumerate() {
            self.count = self.count.saturating_add(1);
            if place % 2 == 0 {
                run.net.with(node, |overlay, now| overlay.leave(now));
                self.leaving.push_back((now + GOODBYE, node));
            } else {
                run.net.kill(node);
                self.crashed.push_back((now + VERDICT, node));
            }
        }
        for contacts in contacts.chunks(CONTACTS) {
            let newcomer = node::add(&mut run.net, run.settings.nodes);
            for contact in contacts {
                node::join(&mut run.net, newcomer, *contact);
            }
        }
        !self.leaving.is_empty() || !self.crashed.is_empty()
    }
}

/// Takes out what is due.
fn due(queue: &mut VecDeque<(Instant, NodeIndex)>, now: Instant) -> Vec<NodeIndex> {
    let count = queue.iter().take_while(|(at, _)| *at <= now).count();
    queue.drain(..count).map(|(_, node)| node).collect()
}
