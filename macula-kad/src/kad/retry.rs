//! Telling records of this node again to those that failed to take them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use macula_wire::message::{KadAnswer, RecordVersion};
use macula_wire::{ErrorCode, Instant, NodeId, RecordId};

use super::Kad;
use crate::own::Told;
use crate::timer::Timer;

/// How long further failures are waited for, so that records are told again together.
const TOGETHER: Duration = Duration::from_millis(50);
/// After how long a node that failed to take a record is asked again, at first; doubles six times. After the same time
/// those are looked for again that ought to keep a record, if there were too many lookups.
const RETRY: Duration = Duration::from_secs(1);
/// The same, if a lookup found nobody.
const NOBODY: Duration = Duration::from_secs(10);

/// What is told again, to whom and when; without a node, whoever ought to keep it is to be found. There is at most one
/// of each record and node. What nobody needs to be told any more stays until it would have been.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    by_time: BTreeSet<(Instant, RecordId, Option<NodeId>)>,
    by_node: BTreeMap<Option<NodeId>, BTreeMap<RecordId, Instant>>,
}

impl Retries {
    fn set(&mut self, at: Instant, id: RecordId, node: Option<NodeId>) {
        let before = self.by_node.entry(node).or_default().insert(id, at);
        if let Some(before) = before {
            self.by_time.remove(&(before, id, node));
        }
        self.by_time.insert((at, id, node));
    }

    /// Takes out the records of which something is due.
    fn take_due(&mut self, now: Instant) -> BTreeSet<RecordId> {
        let mut ids = BTreeSet::new();
        while let Some((at, id, node)) = self.by_time.first().copied()
            && at <= now
        {
            self.by_time.pop_first();
            ids.insert(id);
            if let Some(records) = self.by_node.get_mut(&node) {
                records.remove(&id);
                if records.is_empty() {
                    self.by_node.remove(&node);
                }
            }
        }
        ids
    }

    /// Takes out the records that a node is told again.
    fn take_of(&mut self, node: NodeId) -> BTreeMap<RecordId, Instant> {
        let records = self.by_node.remove(&Some(node)).unwrap_or_default();
        for (id, at) in &records {
            self.by_time.remove(&(*at, *id, Some(node)));
        }
        records
    }

    fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, ..)| *at)
    }
}

impl Kad {
    /// Those that ought to keep a record are to be looked for again: nobody was found, or as many lookups are under way as
    /// may be.
    pub(super) fn look_later(&mut self, id: RecordId, has_looked: bool) {
        let pause = if has_looked { NOBODY } else { RETRY };
        let at = self.now + pause;
        self.retries.set(at, id, None);
        self.timers.arm(Timer::Tell, at);
    }

    /// Tells those again that failed to take records of this node, as far as it is time.
    pub(super) fn on_tell(&mut self) {
        for id in self.retries.take_due(self.now) {
            self.tell(id);
        }
        if let Some(at) = self.retries.next() {
            self.timers.arm(Timer::Tell, at.max(self.now + TOGETHER));
        }
    }

    /// A node says what became of records that it was sent.
    pub(super) fn store_answered(
        &mut self,
        node: NodeId,
        versions: &[RecordVersion],
        answer: &KadAnswer,
    ) {
        for (index, version) in versions.iter().enumerate() {
            let code = answer.codes.get(index).copied();
            if code != Some(ErrorCode::OK) {
                self.stats.stores_refused = self.stats.stores_refused.saturating_add(1);
                self.tell_again(node, version);
            } else if let Some(told) = self.told(node, version) {
                *told = Told::Keeps;
            }
        }
    }

    /// A node has not answered.
    pub(super) fn store_failed(&mut self, node: NodeId, versions: &[RecordVersion]) {
        for version in versions {
            self.tell_again(node, version);
        }
    }

    /// What a node that ought to keep a record of this node was told, if that is its latest version.
    fn told(&mut self, node: NodeId, version: &RecordVersion) -> Option<&mut Told> {
        let own = self.owns.get_mut(&version.id);
        let own = own.filter(|own| own.record.record.sequence == version.sequence);
        own?.told.get_mut(&node)
    }

    fn tell_again(&mut self, node: NodeId, version: &RecordVersion) {
        let now = self.now;
        let Some(told) = self.told(node, version) else {
            return;
        };
        let times = match told {
            Told::Failed(times, _) | Told::Asked(times) => *times,
            Told::Keeps => 0,
        };
        let at = now + RETRY.saturating_mul(1 << times.min(6));
        *told = Told::Failed(times.saturating_add(1), at);
        self.retries.set(at, version.id, Some(node));
        self.timers.arm(Timer::Tell, at);
    }

    /// A node has forgotten what it was told.
    pub(super) fn forget_told(&mut self, node: &NodeId) {
        for own in self.owns.values_mut() {
            own.told.remove(node);
        }
    }

    /// A node that failed to take records can be asked again.
    pub(super) fn retry_stores(&mut self, node: &NodeId) {
        let now = self.now;
        for id in self.retries.take_of(*node).into_keys() {
            let own = self.owns.get_mut(&id);
            if let Some(Told::Failed(_, at)) = own.and_then(|own| own.told.get_mut(node)) {
                *at = now;
                self.retries.set(now, id, Some(*node));
                self.timers.arm(Timer::Tell, now + TOGETHER);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use macula_testkit::node_id;
    use macula_wire::Random;

    use super::*;

    fn id(number: u8) -> RecordId {
        RecordId::from_bytes([number; 16])
    }

    /// The same by looking at everything.
    #[derive(Default)]
    struct Naive(BTreeMap<(RecordId, Option<NodeId>), Instant>);

    #[test]
    fn retries_are_those_that_a_scan_finds() {
        let mut random = Random::new(7);
        let (mut retries, mut naive) = (Retries::default(), Naive::default());
        for step in 0..5_000_u64 {
            let record = id(u8::try_from(random.below(9)).unwrap());
            let node = (random.below(4) > 0).then(|| node_id(random.index(5)));
            let now = Instant::from_millis(step);
            match random.below(5) {
                0..3 => {
                    let at = Instant::from_millis(step + random.below(60));
                    retries.set(at, record, node);
                    naive.0.insert((record, node), at);
                }
                3 => {
                    let mut due = BTreeSet::new();
                    naive.0.retain(|(id, _), at| {
                        let stays = *at > now;
                        if !stays {
                            due.insert(*id);
                        }
                        stays
                    });
                    assert_eq!(retries.take_due(now), due);
                }
                _ => {
                    let node = node_id(random.index(5));
                    let of = naive.0.extract_if(.., |(_, whom), _| *whom == Some(node));
                    let of: BTreeMap<RecordId, Instant> =
                        of.map(|((id, _), at)| (id, at)).collect();
                    assert_eq!(retries.take_of(node), of);
                }
            }
            assert_eq!(retries.next(), naive.0.values().min().copied());
            assert_eq!(retries.by_time.len(), naive.0.len());
        }
    }
}
