//! Lookups, and what is measured of them.

use std::time::Duration;

use macula_kad::{Distance, Goal, LookupOptions, Outcome, position};
use macula_testkit::NodeIndex;
use macula_wire::{Instant, Key, NodeId};

use super::start::Run;
use crate::machine::Watch;
use crate::report::Figures;
use crate::scenario::Fault;
use crate::statistics::{Sample, number, share};

/// The time from one lookup to the next.
const BETWEEN: Duration = Duration::from_millis(10);
/// How long the last ones may take.
const END: Duration = Duration::from_secs(15);
/// How many closest nodes a lookup looks for.
const K: usize = 20;

/// A lookup that ended, and who it should have found.
#[derive(Debug)]
struct Ended {
    outcome: Outcome,
    /// The closest nodes that were there all the time, closest first.
    closest: Vec<NodeId>,
}

/// Lookups that were made and ended.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    ended: Vec<Ended>,
    asked: usize,
    /// The real time that they took.
    wall_s: f64,
}

/// A random key.
fn random_key(run: &mut Run<'_>) -> Key {
    let mut bytes = [0; 32];
    run.random.fill(&mut bytes);
    Key::from_bytes(bytes)
}

impl Lookups {
    /// Makes lookups of random keys, one after the other, by the nodes `who` in turn; `between` is called after each.
    ///
    /// # Errors
    ///
    /// If the network fails.
    pub(super) fn make(
        run: &mut Run<'_>,
        who: &[NodeIndex],
        mut between: impl FnMut(&mut Run<'_>) -> Result<(), Fault>,
    ) -> Result<Self, Fault> {
        let settings = run.settings;
        run.progress.says(format!("{} lookups", settings.lookups));
        let watch = Watch::start();
        let mut options = LookupOptions::default();
        options.paths = settings.paths;
        options.seeded = settings.seeded;
        let mut lookups = Self::default();
        let mut askers = who.iter().cycle();
        for count in 0..settings.lookups {
            let key = random_key(run);
            let mut asker = askers.next();
            while asker.is_some_and(|asker| run.net.machine(*asker).is_none()) {
                asker = askers.next();
            }
            let begun = asker.and_then(|asker| {
                let goal = Goal::Closest(key);
                run.net
                    .with(*asker, |kad, now| kad.lookup(now, goal, options))
            });
            let begun = begun.is_some_and(|begun| begun.is_ok());
            lookups.asked = lookups.asked.saturating_add(usize::from(begun));
            run.run_for(BETWEEN)?;
            between(run)?;
            lookups.collect(run);
            run.progress
                .reached(number(count), number(settings.lookups));
        }
        run.run_for(END)?;
        lookups.collect(run);
        lookups.wall_s = watch.seconds();
        Ok(lookups)
    }

    /// Takes in those that have ended, beside who was really closest: by a scan of all nodes.
    fn collect(&mut self, run: &mut Run<'_>) {
        for (asker, outcome) in std::mem::take(&mut run.net.host_mut().outcomes) {
            if let Goal::Closest(key) = outcome.goal {
                let since = run.net.now().as_nanos().saturating_sub(nanos(outcome.took));
                let closest = closest(run, &key, asker, Instant::from_nanos(since));
                self.ended.push(Ended { outcome, closest });
            }
        }
    }

    /// What they were like.
    pub(super) fn measures(&self, figures: &mut Figures) {
        let of = |value: fn(&Outcome) -> f64| -> Sample {
            self.ended
                .iter()
                .map(|ended| value(&ended.outcome))
                .collect()
        };
        figures.count("lookups", self.asked);
        let hops = of(|outcome| f64::from(outcome.hops));
        figures.add("hops.mean", hops.mean());
        figures.add("hops.p99", hops.quantile(0.99));
        let (until_closest, until_end) = (self.until_closest(), of(|outcome| ms(outcome.took)));
        figures.add("lookup_ms.mean", until_closest.mean());
        figures.add("lookup_ms.p99", until_closest.quantile(0.99));
        figures.add("lookup_end_ms.mean", until_end.mean());
        figures.add("lookup_end_ms.p99", until_end.quantile(0.99));
        let successes = self.ended.iter().filter(|ended| ended.succeeded()).count();
        figures.add("success", share(successes, self.asked));
        let (recalled, all) = self
            .ended
            .iter()
            .map(Ended::recalled)
            .fold((0_usize, 0_usize), |(found, all), (one, of)| {
                (found.saturating_add(one), all.saturating_add(of))
            });
        figures.add("recall", share(recalled, all));
        let requests = of(|outcome| f64::from(outcome.requests));
        figures.add("rpcs_per_lookup", requests.mean());
        figures.add("wall_s", self.wall_s);
    }

    /// Milliseconds until the closest had answered.
    pub(super) fn until_closest(&self) -> Sample {
        let ended = self.ended.iter();
        ended.map(|ended| ms(ended.outcome.closest_after)).collect()
    }
}

impl Ended {
    fn has_found(&self, node: &NodeId) -> bool {
        let mut found = self.outcome.closest.iter();
        found.any(|contact| contact.node == *node)
    }

    fn succeeded(&self) -> bool {
        self.closest
            .first()
            .is_some_and(|first| self.has_found(first))
    }

    /// How many of the closest were found, and of how many. A node that came or went meanwhile and was found takes the
    /// place of the farthest.
    fn recalled(&self) -> (usize, usize) {
        let others = self.outcome.closest.iter();
        let others = others.filter(|contact| !self.closest.contains(&contact.node));
        let places = K.saturating_sub(others.count()).min(self.closest.len());
        let expected = self.closest.iter().take(places);
        (expected.filter(|node| self.has_found(node)).count(), places)
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The k honest nodes that are closest to `key`, run, and had found their place by `since`; but for `asker`, who does not
/// ask itself.
fn closest(run: &Run<'_>, key: &Key, asker: NodeIndex, since: Instant) -> Vec<NodeId> {
    let host = run.net.host();
    let fits = |node: &NodeIndex| {
        *node != asker && !host.liars.contains(*node) && host.is_settled(*node, since)
    };
    let nodes = run.net.running().filter(fits);
    let mut all: Vec<(Distance, NodeId)> = nodes
        .filter_map(|node| run.net.id(node))
        .map(|id| (Distance::between(key, &position(&id)), id))
        .collect();
    if all.len() > K {
        all.select_nth_unstable(K);
        all.truncate(K);
    }
    all.sort_unstable();
    all.into_iter().map(|(_, id)| id).collect()
}
