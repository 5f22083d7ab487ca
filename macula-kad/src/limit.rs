//! How much each peer may ask.

use std::collections::BTreeMap;

use macula_wire::{Body, Instant, NodeId};

use crate::check::records;

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

impl Allowances {
    /// What `peer` asked for cost so many requests more, because the answer is long. It may ask the less after that.
    pub(crate) fn charge(&mut self, peer: &NodeId, requests: u64) {
        if let Some(allowance) = self.peers.get_mut(peer) {
            let cost = requests.saturating_mul(REQUEST);
            allowance.left = allowance.left.saturating_sub(cost);
        }
    }
}

fn filled(allowance: Allowance, now: Instant, rate: u64, full: u64) -> u64 {
    let nanos = now.saturating_since(allowance.at).as_nanos();
    let gained = u64::try_from(nanos)
        .unwrap_or(u64::MAX)
        .saturating_mul(rate);
    allowance.left.saturating_add(gained).min(full)
}

/// How many records a peer may bring in a second, and how many it may save up: each costs a check of a signature.
const RECORDS_PER_SECOND: u64 = 5_000;
/// The same, saved up: all records of a node of which each owner is full.
const RECORDS_SAVED: u64 = 20_000;

/// How many records one peer may still bring, for whoever checks their signatures: it asks here first.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordLimit {
    /// What was brought, less what time has made good, in billionths of a record.
    owed: u64,
    at: Instant,
}

impl RecordLimit {
    /// Nothing was brought yet: 20,000 may come at once, and 5,000 a second after that.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the records of a message may be checked. If not, the message is to be dropped as if it had been lost:
    /// whoever has need of it sends it again.
    pub fn admits(&mut self, now: Instant, body: &Body) -> bool {
        let count = u64::try_from(records(body).len()).unwrap_or(u64::MAX);
        let passed = u64::try_from(now.saturating_since(self.at).as_nanos()).unwrap_or(u64::MAX);
        self.at = self.at.max(now);
        let good = passed.saturating_mul(RECORDS_PER_SECOND);
        self.owed = self.owed.saturating_sub(good);
        let owed = self.owed.saturating_add(count.saturating_mul(REQUEST));
        let may = owed <= RECORDS_SAVED.saturating_mul(REQUEST);
        if may {
            self.owed = owed;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use macula_testkit::node_id;
    use macula_wire::message::{
        InterestContent, KadStore, RecordContent, RoutingRecord, SignedRoutingRecord,
    };
    use macula_wire::{Pattern, RequestId, Signature};

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
    fn long_answers_cost_more() {
        let mut allowances = Allowances::new(10);
        let at = Instant::from_millis;
        assert!(allowances.take(at(0), &node_id(1)));
        allowances.charge(&node_id(1), 1_000);
        assert!(!allowances.take(at(0), &node_id(1)));
        assert!(allowances.take(at(0), &node_id(2)));
        assert!(allowances.take(at(200), &node_id(1)));
    }

    #[test]
    fn the_number_of_peers_is_bounded() {
        let mut allowances = Allowances::new(10);
        for number in 0..MAX_PEERS * 2 {
            assert!(allowances.take(Instant::ZERO, &node_id(number)));
            assert!(allowances.peers.len() <= MAX_PEERS);
        }
    }

    #[test]
    fn a_peer_brings_records_no_faster_than_they_can_be_checked() {
        let record = Arc::new(SignedRoutingRecord {
            record: RoutingRecord {
                owner: node_id(1),
                sequence: 1,
                expires_ms: 1,
                withdrawn: true,
                content: RecordContent::Interest(InterestContent::each(Pattern::new("a").unwrap())),
            },
            signature: Signature::from_bytes([0; 64]),
        });
        let body: Body = KadStore {
            request: RequestId::new(1),
            records: vec![record; 50],
        }
        .into();
        let at = Instant::from_millis;
        let mut limit = RecordLimit::new();
        let admitted = (0..1_000).filter(|_| limit.admits(at(1), &body)).count();
        assert_eq!(admitted, 400);
        let admitted = (0..1_000)
            .filter(|_| limit.admits(at(1_001), &body))
            .count();
        assert_eq!(admitted, 100);
    }
}
