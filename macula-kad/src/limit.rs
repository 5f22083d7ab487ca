//! How much each peer may ask.

use std::collections::BTreeMap;

use macula_wire::{Instant, NodeId};

/// How many peers are remembered; beyond it those that have saved up all they may are forgotten.
const MAX_PEERS: usize = 4_096;

/// What a peer may still ask.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    /// In billionths of a request.
    left: u64,
    at: Instant,
}

/// A token bucket for each peer: so many requests a second, saved up for two.
#[derive(Debug)]
pub(crate) struct Allowances {
    per_second: u32,
    peers: BTreeMap<NodeId, Allowance>,
}

const REQUEST: u64 = 1_000_000_000;

impl Allowances {
    pub(crate) const fn new(per_second: u32) -> Self {
        Self {
            per_second,
            peers: BTreeMap::new(),
        }
    }

    fn full(&self) -> u64 {
        u64::from(self.per_second)
            .saturating_mul(2)
            .saturating_mul(REQUEST)
    }

    /// Whether `peer` may ask once more.
    pub(crate) fn take(&mut self, now: Instant, peer: &NodeId) -> bool {
        let (full, rate) = (self.full(), u64::from(self.per_second));
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(peer) {
            self.peers
                .retain(|_, allowance| filled(*allowance, now, rate, full) < full);
            if self.peers.len() >= MAX_PEERS {
                self.peers.pop_first();
            }
        }
        let fresh = Allowance {
            left: full,
            at: now,
        };
        let allowance = self.peers.entry(*peer).or_insert(fresh);
        allowance.left = filled(*allowance, now, rate, full);
        allowance.at = now;
        let may = allowance.left >= REQUEST;
        if may {
            allowance.left = allowance.left.saturating_sub(REQUEST);
        }
        may
    }
}

fn filled(allowance: Allowance, now: Instant, rate: u64, full: u64) -> u64 {
    let nanos = now.saturating_since(allowance.at).as_nanos();
    let gained = u64::try_from(nanos)
        .unwrap_or(u64::MAX)
        .saturating_mul(rate);
    allowance.left.saturating_add(gained).min(full)
}

#[cfg(test)]
mod tests {
    use macula_testkit::node_id;

    use super::*;

    #[test]
    fn a_storm_is_limited_and_others_are_not() {
        let mut allowances = Allowances::new(10);
        let at = Instant::from_millis;
        let admitted = (0..100)
            .filter(|_| allowances.take(at(0), &node_id(1)))
            .count();
        assert_eq!(admitted, 20);
        assert!(allowances.take(at(0), &node_id(2)));
        let admitted = (0..100)
            .filter(|_| allowances.take(at(1_000), &node_id(1)))
            .count();
        assert_eq!(admitted, 10);
    }

    #[test]
    fn the_number_of_peers_is_bounded() {
        let mut allowances = Allowances::new(10);
        for number in 0..MAX_PEERS * 2 {
            assert!(allowances.take(Instant::ZERO, &node_id(number)));
            assert!(allowances.peers.len() <= MAX_PEERS);
        }
    }
}
