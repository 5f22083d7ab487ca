//! Lookups, and what is measured of them.

use std::time::Duration;

use macula_kad::{Distance, Goal, LookupOptions, Outcome, position};
use macula_testkit::NodeIndex;
use macula_wire::{Key, NodeId};

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

/// Lookups that were made and ended.
#[derive(Debug)]
pub(super) struct Lookups {
    done: Vec<(Outcome, Vec<NodeId>)>,
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

/// Makes lookups of random keys, one after the other, each by one of `who`.
pub(super) fn lookups(
    run: &mut Run<'_>,
    who: &[NodeIndex],
    mut between: impl FnMut(&mut Run<'_>) -> Result<(), Fault>,
) -> Result<Lookups, Fault> {
    let settings = run.settings;
    run.progress.says(format!("{} lookups", settings.lookups));
    let watch = Watch::start();
    let mut options = LookupOptions::default();
    options.paths = settings.paths;
    options.seeded = settings.seeded;
    let mut lookups = Lookups {
        done: Vec::new(),
        asked: 0,
        wall_s: 0.0,
    };
    for count in 0..settings.lookups {
        let key = random_key(run);
        let at = run.random.index(who.len());
        let asker = who.get(at).copied();
        let begun = asker.and_then(|asker| {
            run.net.with(asker, |kad, now| {
                kad.lookup(now, Goal::Closest(key), options)
            })
        });
        lookups.asked = lookups.asked.saturating_add(usize::from(begun.is_some()));
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

impl Lookups {
    /// Takes in those that have ended, beside who was really closest just now: by a scan of all nodes.
    fn collect(&mut self, run: &mut Run<'_>) {
        for (asker, outcome) in std::mem::take(&mut run.net.host_mut().outcomes) {
            if let Goal::Closest(key) = outcome.goal {
                let closest = closest(run, &key, asker);
                self.done.push((outcome, closest));
            }
        }
    }

    /// What they were like.
    pub(super) fn measures(&self, figures: &mut Figures) {
        let of = |value: fn(&Outcome) -> f64| -> Sample {
            self.done
                .iter()
                .map(|(outcome, _)| value(outcome))
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
        let found = |(outcome, closest): &&(Outcome, Vec<NodeId>)| {
            let first = outcome.closest.first().map(|contact| contact.node);
            first.is_some() && first == closest.first().copied()
        };
        let successes = self.done.iter().filter(found).count();
        figures.add("success", share(successes, self.asked));
        let recalled: usize = self.done.iter().map(recalled).sum();
        let all: usize = self.done.iter().map(|(_, closest)| closest.len()).sum();
        figures.add("recall", share(recalled, all));
        let requests = of(|outcome| f64::from(outcome.requests));
        figures.add("rpcs_per_lookup", requests.mean());
        figures.add("wall_s", self.wall_s);
    }

    /// Milliseconds until the closest had answered.
    pub(super) fn until_closest(&self) -> Sample {
        let done = self.done.iter();
        done.map(|(outcome, _)| ms(outcome.closest_after)).collect()
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// How many of the closest were found.
fn recalled((outcome, closest): &(Outcome, Vec<NodeId>)) -> usize {
    let found = |node: &&NodeId| outcome.closest.iter().any(|contact| contact.node == **node);
    closest.iter().filter(found).count()
}

/// The k nodes that are closest to `key` and run, but for `asker`, who does not ask itself.
fn closest(run: &Run<'_>, key: &Key, asker: NodeIndex) -> Vec<NodeId> {
    let host = run.net.host();
    let honest = |node: &NodeIndex| *node != asker && !host.liars.contains(*node);
    let nodes = run.net.running().filter(honest);
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
