//! Which events were handed out before, by the ids that their publishers gave them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use macula_wire::{Instant, NodeId};

/// The settings of [`Repeats`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RepeatsConfig {
    /// How long an id is remembered. Default 5 minutes.
    pub window: Duration,
    /// The most ids that are remembered of one publisher; beyond, the oldest is forgotten. Default 10,000.
    pub max_ids: usize,
    /// The most ids of all publishers together; beyond, the publisher that sent an id least recently is forgotten with
    /// all of its ids. Default 262,144, about 40 MiB with the longest ids.
    pub max_total: usize,
}

impl Default for RepeatsConfig {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(300),
            max_ids: 10_000,
            max_total: 262_144,
        }
    }
}

/// Remembers the ids of events for a while, so that one that is published again under the same id is not handed out
/// twice.
#[derive(Debug)]
pub struct Repeats {
    config: RepeatsConfig,
    publishers: BTreeMap<NodeId, Window>,
    total: usize,
}

/// The ids of one publisher.
#[derive(Debug, Default)]
struct Window {
    known: BTreeSet<Arc<[u8]>>,
    /// When each came, the oldest first.
    order: VecDeque<(Instant, Arc<[u8]>)>,
}

impl Window {
    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.order.pop_front() {
            self.known.remove(&id);
        }
    }

    fn latest(&self) -> Instant {
        self.order.back().map_or(Instant::ZERO, |(at, _)| *at)
    }
}

impl Repeats {
    /// Has seen nothing.
    #[must_use]
    pub const fn new(config: RepeatsConfig) -> Self {
        Self {
            config,
            publishers: BTreeMap::new(),
            total: 0,
        }
    }

    /// Whether an event of `publisher` with this id is the first; remembers it then. A repetition does not renew what is
    /// remembered.
    pub fn is_first(&mut self, now: Instant, publisher: NodeId, id: &[u8]) -> bool {
        let oldest = now - self.config.window;
        let window = self.publishers.entry(publisher).or_default();
        let before = window.order.len();
        while window.order.front().is_some_and(|(at, _)| *at < oldest) {
            window.forget_oldest();
        }
        let is_first = !window.known.contains(id);
        if is_first {
            let id: Arc<[u8]> = id.into();
            // Time that seems to go back would leave old ids behind newer ones.
            let at = now.max(window.latest());
            window.known.insert(Arc::clone(&id));
            window.order.push_back((at, id));
            while window.order.len() > self.config.max_ids.max(1) {
                window.forget_oldest();
            }
        }
        let after = window.order.len();
        self.total = self.total.saturating_sub(before).saturating_add(after);
        while self.total > self.config.max_total && self.forget_least_recent(&publisher) {}
        is_first
    }

    /// Forgets the publishers whose ids are all too old, so that nothing stays of those who have gone.
    pub fn tend(&mut self, now: Instant) {
        let oldest = now - self.config.window;
        self.publishers.retain(|_, window| {
            let stays = window.latest() >= oldest;
            if !stays {
                self.total = self.total.saturating_sub(window.order.len());
            }
            stays
        });
    }

    /// How many ids are remembered.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.total
    }

    /// Whether none is.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.total == 0
    }

    fn forget_least_recent(&mut self, but: &NodeId) -> bool {
        let others = self.publishers.iter().filter(|(node, _)| *node != but);
        let oldest = others.min_by_key(|(_, window)| window.latest());
        let Some(node) = oldest.map(|(node, _)| *node) else {
            return false;
        };
        if let Some(window) = self.publishers.remove(&node) {
            self.total = self.total.saturating_sub(window.order.len());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use macula_wire::Random;

    use super::*;

    fn node(byte: u8) -> NodeId {
        NodeId::from_bytes([byte; 32])
    }

    const fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds.saturating_mul(1_000))
    }

    #[test]
    fn an_id_counts_once_within_its_time_and_for_each_publisher() {
        let mut repeats = Repeats::new(RepeatsConfig::default());
        assert!(repeats.is_first(at(0), node(1), b"a"));
        assert!(repeats.is_first(at(0), node(2), b"a"));
        assert!(repeats.is_first(at(1), node(1), b"b"));
        assert!(!repeats.is_first(at(300), node(1), b"a"));
        assert!(
            repeats.is_first(at(301), node(1), b"a"),
            "five minutes later"
        );
        assert!(!repeats.is_first(at(301), node(1), b"b"));
        assert_eq!(repeats.len(), 3);
        repeats.tend(at(601));
        assert_eq!(repeats.len(), 2, "of the one that was heard of since");
        repeats.tend(at(602));
        assert!(repeats.is_empty());
    }

    #[test]
    fn the_bounds_hold_and_the_oldest_make_room() {
        let config = RepeatsConfig {
            max_ids: 3,
            max_total: 7,
            ..RepeatsConfig::default()
        };
        let mut repeats = Repeats::new(config);
        for id in 0..4_u8 {
            assert!(repeats.is_first(at(0), node(1), &[id]));
        }
        assert!(!repeats.is_first(at(0), node(1), &[1]));
        assert!(
            repeats.is_first(at(1), node(1), &[0]),
            "the fourth made room"
        );
        for publisher in 2..4 {
            for id in 0..3_u8 {
                assert!(repeats.is_first(at(2), node(publisher), &[id]));
            }
        }
        assert_eq!(repeats.len(), 6, "the first publisher was forgotten");
        assert!(repeats.is_first(at(2), node(1), &[0]));
    }

    /// Against a list of all that was seen.
    #[test]
    fn what_is_repeated_is_what_a_list_says() {
        for seed in 0..20 {
            let mut random = Random::new(seed);
            let config = RepeatsConfig {
                max_ids: 8,
                max_total: 1_000,
                window: Duration::from_secs(10),
            };
            let mut repeats = Repeats::new(config);
            let mut seen: Vec<(u64, u8, u8)> = Vec::new();
            let mut now = 0;
            for _ in 0..2_000 {
                now += random.below(3);
                let publisher = u8::try_from(random.below(3)).unwrap();
                let id = u8::try_from(random.below(14)).unwrap();
                let of_it: Vec<_> = seen.iter().filter(|one| one.1 == publisher).collect();
                let last = &of_it[of_it.len().saturating_sub(8)..];
                let known = last.iter().any(|one| one.2 == id && one.0 + 10 >= now);
                assert_eq!(
                    repeats.is_first(at(now), node(publisher), &[id]),
                    !known,
                    "{seed} {now}"
                );
                if !known {
                    seen.push((now, publisher, id));
                }
            }
        }
    }
}
