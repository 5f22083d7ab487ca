//! How many answers are sent.

use std::time::Duration;

use macula_wire::{Instant, NodeId};

use super::recent::Recent;

/// To how many origins, and because of how many peers, answers are counted.
const MAX_COUNTED: usize = 1_024;

/// So many a second and at once.
#[derive(Clone, Copy, Debug)]
struct Rate(u32);

const OF_ORIGIN: Rate = Rate(4);
const OF_PEER: Rate = Rate(32);
const OF_ALL: Rate = Rate(256);

/// Answers to each origin, because of each peer, and all together.
///
/// An origin is merely claimed, so it is the limit for the peer that keeps one peer from using up those of all.
#[derive(Debug)]
pub(super) struct Allowance {
    origins: Recent<NodeId, Spent>,
    peers: Recent<NodeId, Spent>,
    all: Spent,
}

/// Until when everything sent has been paid for (the generic cell rate algorithm of ITU-T I.371).
#[derive(Clone, Copy, Debug, Default)]
struct Spent(Instant);

impl Allowance {
    pub(super) const fn new() -> Self {
        Self {
            origins: Recent::new(MAX_COUNTED),
            peers: Recent::new(MAX_COUNTED),
            all: Spent(Instant::ZERO),
        }
    }

    /// Whether one more may be sent to `origin` because of what came from `peer`. One that may not is not counted.
    pub(super) fn take(&mut self, now: Instant, origin: NodeId, peer: NodeId) -> bool {
        let spent = [
            (self.origins.entry(origin, Spent::default()), OF_ORIGIN),
            (self.peers.entry(peer, Spent::default()), OF_PEER),
            (&mut self.all, OF_ALL),
        ];
        let may = spent.iter().all(|(spent, rate)| spent.may(now, *rate));
        if may {
            for (spent, rate) in spent {
                spent.spend(now, rate);
            }
        }
        may
    }

    /// The most entries that any of its tables has.
    pub(super) fn len(&self) -> usize {
        self.origins.len().max(self.peers.len())
    }
}

impl Spent {
    fn may(self, now: Instant, rate: Rate) -> bool {
        let saved_up = rate.interval().saturating_mul(rate.0.saturating_sub(1));
        self.0.saturating_since(now) <= saved_up
    }

    fn spend(&mut self, now: Instant, rate: Rate) {
        self.0 = self.0.max(now) + rate.interval();
    }
}

impl Rate {
    fn interval(self) -> Duration {
        Duration::from_secs(1)
            .checked_div(self.0)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use macula_testkit::node_id;

    use super::*;

    /// How many of 10,000 may be sent, to as many origins and because of as many peers as stated.
    fn sent(allowance: &mut Allowance, millis: u64, origins: usize, peers: usize) -> usize {
        let now = Instant::from_millis(millis);
        let numbers = (0..origins).cycle().zip((0..peers).cycle());
        numbers
            .take(10_000)
            .filter(|(origin, peer)| allowance.take(now, node_id(*origin), node_id(*peer)))
            .count()
    }

    #[test]
    fn each_limit_holds_and_fills_up_again() {
        for (origins, peers, most) in [(1, 1, 4), (5, 5, 20), (1_000, 1, 32), (1_000, 100, 256)] {
            let mut allowance = Allowance::new();
            assert_eq!(sent(&mut allowance, 0, origins, peers), most);
            assert_eq!(sent(&mut allowance, 0, origins, peers), 0);
            assert_eq!(sent(&mut allowance, 1_000, origins, peers), most);
        }
        let mut allowance = Allowance::new();
        sent(&mut allowance, 0, 1, 1);
        assert_eq!(sent(&mut allowance, 250, 1, 1), 1);
    }

    #[test]
    fn a_peer_does_not_use_up_what_is_for_others() {
        let mut allowance = Allowance::new();
        assert_eq!(sent(&mut allowance, 0, 10_000, 1), 32);
        assert!(allowance.take(Instant::ZERO, node_id(20_001), node_id(20_002)));
        assert!(allowance.len() <= MAX_COUNTED);
    }
}
