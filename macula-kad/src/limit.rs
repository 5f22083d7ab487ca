//! How much each peer may ask.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use macula_wire::{Body, Instant, NodeId};

use crate::check::records;

/// How many peers are remembered; beyond it the one that has saved up all it may soonest is forgotten.
const MAX_PEERS: usize = 4_096;
/// How long a peer may save up.
const SAVED: Duration = Duration::from_secs(2);
/// A billion: the nanoseconds of a second, and what counts of records are kept in.
const BILLION: u64 = 1_000_000_000;

/// A token bucket for each peer: so many requests a second, saved up for two. Of each is known when it will have saved up
/// all that it may (the generic cell rate algorithm, ITU-T I.371).
#[derive(Debug)]
pub(crate) struct Allowances {
    /// How long a request takes to be made good; `None` if nobody may ask.
    request: Option<Duration>,
    peers: BTreeMap<NodeId, Instant>,
    /// The same by time.
    by_time: BTreeSet<(Instant, NodeId)>,
}

impl Allowances {
    pub(crate) fn new(per_second: u32) -> Self {
        let nanos = BILLION.checked_div(u64::from(per_second));
        Self {
            request: nanos.map(|nanos| Duration::from_nanos(nanos.max(1))),
            peers: BTreeMap::new(),
            by_time: BTreeSet::new(),
        }
    }

    /// Whether `peer` may ask once more.
    pub(crate) fn take(&mut self, now: Instant, peer: &NodeId) -> bool {
        let Some(request) = self.request else {
            return false;
        };
        self.forget_saved(now);
        let good = self.good(now, peer) + request;
        let may = good <= now + SAVED;
        if may {
            self.set(peer, good);
            self.make_room();
        }
        may
    }

    /// What `peer` asked for cost so many requests more, because the answer is long. It may ask the less after that.
    pub(crate) fn charge(&mut self, now: Instant, peer: &NodeId, requests: u64) {
        if requests > 0
            && let Some(request) = self.request
        {
            let requests = u32::try_from(requests).unwrap_or(u32::MAX);
            let good = self.good(now, peer) + request.saturating_mul(requests);
            self.set(peer, good.min(now + SAVED));
            self.make_room();
        }
    }

    /// When all that a peer asked for will be made good.
    fn good(&self, now: Instant, peer: &NodeId) -> Instant {
        self.peers.get(peer).map_or(now, |good| now.max(*good))
    }

    fn set(&mut self, peer: &NodeId, good: Instant) {
        if let Some(before) = self.peers.insert(*peer, good) {
            self.by_time.remove(&(before, *peer));
        }
        self.by_time.insert((good, *peer));
    }

    /// Forgets peers that have saved up all they may: nothing is to be remembered of them. Two at a time are more than come.
    fn forget_saved(&mut self, now: Instant) {
        for _ in 0..2 {
            let saved = self.by_time.first().filter(|(good, _)| *good <= now);
            let Some((_, peer)) = saved.copied() else {
                return;
            };
            self.by_time.pop_first();
            self.peers.remove(&peer);
        }
    }

    fn make_room(&mut self) {
        if self.peers.len() > MAX_PEERS
            && let Some((_, peer)) = self.by_time.pop_first()
        {
            self.peers.remove(&peer);
        }
    }
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
        let owed = self.owed.saturating_add(count.saturating_mul(BILLION));
        let may = owed <= RECORDS_SAVED.saturating_mul(BILLION);
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
        allowances.charge(at(0), &node_id(1), 1_000);
        assert!(!allowances.take(at(0), &node_id(1)));
        assert!(allowances.take(at(0), &node_id(2)));
        assert!(allowances.take(at(200), &node_id(1)));
    }

    #[test]
    fn rates_that_do_not_divide_a_second_and_none() {
        for rate in [0, 1, 3, 7, 999, 1_000, 65_537] {
            let mut allowances = Allowances::new(rate);
            let mut admitted = |at, count| {
                let all = 0..count;
                all.filter(|_| allowances.take(Instant::from_millis(at), &node_id(1)))
                    .count()
            };
            let rate = usize::try_from(rate).unwrap();
            // A request takes whole nanoseconds.
            let rounded = 1 + rate / 10_000;
            for (at, expected) in [(5, rate * 2), (1_005, rate)] {
                let count = admitted(at, rate * 3);
                assert!(count.abs_diff(expected) <= rounded, "{count} of {rate}");
            }
        }
    }

    #[test]
    fn of_too_many_peers_those_that_asked_most_are_remembered() {
        let mut allowances = Allowances::new(10);
        let at = Instant::from_millis(7);
        let greedy = (0..MAX_PEERS / 2).map(node_id);
        for peer in greedy.clone() {
            assert_eq!((0..30).filter(|_| allowances.take(at, &peer)).count(), 20);
        }
        for number in MAX_PEERS..MAX_PEERS * 3 {
            assert!(allowances.take(at, &node_id(number)));
            assert!(allowances.peers.len() <= MAX_PEERS);
            assert_eq!(allowances.peers.len(), allowances.by_time.len());
        }
        // None of them gains by the others.
        let mut greedy = greedy;
        assert!(greedy.all(|peer| !allowances.take(at, &peer)));
        // Those that have saved up all they may are soon forgotten.
        let mut later = Instant::from_millis(10_000);
        for _ in 0..MAX_PEERS {
            later = later + Duration::from_millis(200);
            assert!(allowances.take(later, &node_id(0)));
        }
        assert_eq!(allowances.peers.len(), 1);
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
