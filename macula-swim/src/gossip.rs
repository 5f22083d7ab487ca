//! News on its way to everybody: what is piggybacked on messages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use macula_wire::NodeId;
use macula_wire::message::{SignedRecord, Update};

use crate::verify::update_len;

/// What a piece of news is about: a member, and who accuses it, if anybody.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Subject {
    node: NodeId,
    accuser: Option<NodeId>,
}

impl Subject {
    fn of(update: &Update) -> Option<Self> {
        let accusation = match update {
            Update::Record(record) => {
                return Some(Self {
                    node: record.record.node,
                    accuser: None,
                });
            }
            Update::Suspect(signed) | Update::Dead(signed) => &signed.accusation,
            _ => return None,
        };
        Some(Self {
            node: accusation.subject,
            accuser: Some(accusation.accuser),
        })
    }
}

#[derive(Clone, Debug)]
struct Item {
    /// What is told; none for the record of a member, which the table of members has.
    accusation: Option<Update>,
    length: u32,
    sent: u32,
    order: u64,
    /// From whom it came.
    from: Option<NodeId>,
    /// Whether it has not been flooded yet.
    fresh: bool,
}

impl Item {
    /// How many bytes it takes in a message.
    fn length(&self) -> usize {
        usize::try_from(self.length).unwrap_or(usize::MAX)
    }

    /// What is told of `subject`.
    fn update(
        &self,
        subject: Subject,
        record: impl Fn(&NodeId) -> Option<Arc<SignedRecord>>,
    ) -> Option<Update> {
        match &self.accusation {
            Some(accusation) => Some(accusation.clone()),
            None => record(&subject.node).map(Update::Record),
        }
    }
}

/// A piece of news that is to be flooded.
#[derive(Clone, Debug)]
pub(crate) struct Fresh {
    pub(crate) update: Update,
    /// How many bytes it takes.
    pub(crate) length: usize,
    /// From whom it came, who need not be told.
    pub(crate) from: Option<NodeId>,
}

/// Room in a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// How many bytes are left.
    pub(crate) bytes: usize,
    /// How many updates are left.
    pub(crate) updates: usize,
}

impl Room {
    /// Takes the room of an update of `length` bytes, if there is as much.
    pub(crate) const fn take(&mut self, length: usize) -> bool {
        if self.updates == 0 || length > self.bytes {
            return false;
        }
        self.updates = self.updates.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(length);
        true
    }
}

/// The news that this node still spreads, each piece a bounded number of times.
///
/// Of what a member says of itself only that it is news is kept here: the record is looked up when it is told.
#[derive(Debug, Default)]
pub(crate) struct Gossip {
    items: BTreeMap<Subject, Item>,
    /// The fewest sent first, among those the oldest.
    order: BTreeSet<(u32, u64, Subject)>,
    next: u64,
    /// What was not flooded yet, in the order of coming: what is urgent, and the rest.
    urgent: Vec<Subject>,
    later: Vec<Subject>,
}

/// No update is shorter: two ids or an id and a signature, and some numbers.
const MIN_UPDATE_LEN: usize = 100;

/// How many pieces are looked at for one message, so that a full queue of long ones costs no more.
const MAX_LOOKED_AT: usize = 256;

impl Gossip {
    /// Adds a piece of news in the place of an earlier one by the same about the same. At `max` pieces the oldest of
    /// those that were sent most often goes.
    pub(crate) fn push(&mut self, update: Update, from: Option<NodeId>, urgent: bool, max: usize) {
        let Some(subject) = Subject::of(&update) else {
            return;
        };
        let Ok(Ok(length)) = update_len(&update).map(u32::try_from) else {
            return;
        };
        if subject.accuser.is_none() {
            // A new record ends all that was said about the one before.
            self.forget(subject.node);
        }
        let waits = self.items.get(&subject).is_some_and(|item| item.fresh);
        self.remove(subject);
        self.next = self.next.saturating_add(1);
        let item = Item {
            accusation: subject.accuser.map(|_| update),
            length,
            sent: 0,
            order: self.next,
            from,
            fresh: true,
        };
        let waiting = if urgent {
            &mut self.urgent
        } else {
            &mut self.later
        };
        // It stands in one of the lists already if it was not flooded, and who has no peers does not flood.
        if !waits || urgent && !waiting.contains(&subject) {
            waiting.push(subject);
        }
        if waiting.len() > max.saturating_mul(2) {
            // At least half of it is about news that is none any more.
            let items = &self.items;
            waiting.retain(|subject| items.get(subject).is_some_and(|item| item.fresh));
        }
        self.order.insert((item.sent, item.order, subject));
        self.items.insert(subject, item);
        while self.items.len() > max {
            let Some((most, ..)) = self.order.last().copied() else {
                return;
            };
            let first = Subject {
                node: NodeId::default(),
                accuser: None,
            };
            let Some((_, _, oldest)) = self.order.range((most, 0, first)..).next().copied() else {
                return;
            };
            self.remove(oldest);
        }
    }

    /// Takes what was not flooded yet: what is urgent, or everything. `record` finds the record of a member.
    pub(crate) fn take_fresh(
        &mut self,
        everything: bool,
        record: impl Fn(&NodeId) -> Option<Arc<SignedRecord>>,
    ) -> Vec<Fresh> {
        let mut waiting = std::mem::take(&mut self.urgent);
        if everything {
            waiting.append(&mut self.later);
        }
        let mut fresh = Vec::with_capacity(waiting.len());
        for subject in waiting {
            let Some(item) = self.items.get_mut(&subject).filter(|item| item.fresh) else {
                continue;
            };
            item.fresh = false;
            let (length, from) = (item.length(), item.from);
            fresh.extend(item.update(subject, &record).map(|update| Fresh {
                update,
                length,
                from,
            }));
        }
        fresh
    }

    /// Whether something urgent was not flooded yet.
    pub(crate) fn is_urgent(&self) -> bool {
        !self.urgent.is_empty()
    }

    /// Whether anything was not flooded yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.is_urgent() || !self.later.is_empty()
    }

    /// Removes all news about a member.
    pub(crate) fn forget(&mut self, node: NodeId) {
        let first = Subject {
            node,
            accuser: None,
        };
        let about: Vec<_> = self
            .items
            .range(first..)
            .take_while(|(subject, _)| subject.node == node)
            .map(|(subject, _)| *subject)
            .collect();
        for subject in about {
            self.remove(subject);
        }
    }

    fn remove(&mut self, subject: Subject) {
        if let Some(item) = self.items.remove(&subject) {
            self.order.remove(&(item.sent, item.order, subject));
        }
    }

    /// Takes what fits into `room` and is not about `to`, the fewest sent first. What has been sent `limit` times is
    /// news no more. `record` finds the record of a member.
    pub(crate) fn take(
        &mut self,
        to: &NodeId,
        room: &mut Room,
        limit: u32,
        record: impl Fn(&NodeId) -> Option<Arc<SignedRecord>>,
    ) -> Vec<Update> {
        let mut chosen = Vec::new();
        for (_, _, subject) in self.order.iter().take(MAX_LOOKED_AT) {
            if room.updates == 0 || room.bytes < MIN_UPDATE_LEN {
                break;
            }
            let item = self.items.get(subject).filter(|_| subject.node != *to);
            if item.is_some_and(|item| room.take(item.length())) {
                chosen.push(*subject);
            }
        }
        let mut updates = Vec::with_capacity(chosen.len());
        for subject in chosen {
            let Some(item) = self.items.get_mut(&subject) else {
                continue;
            };
            updates.extend(item.update(subject, &record));
            self.order.remove(&(item.sent, item.order, subject));
            item.sent = item.sent.saturating_add(1);
            if item.sent >= limit {
                self.items.remove(&subject);
            } else {
                self.order.insert((item.sent, item.order, subject));
            }
        }
        updates
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.items.clear();
        self.order.clear();
        self.urgent.clear();
        self.later.clear();
    }
}

#[cfg(test)]
mod tests {
    use macula_testkit::node_id;
    use macula_wire::message::{Accusation, SignedAccusation};
    use macula_wire::{Epoch, Incarnation, Signature};

    use super::*;

    fn news(subject: usize, accuser: usize) -> Update {
        Update::Suspect(Arc::new(SignedAccusation {
            accusation: Accusation {
                subject: node_id(subject),
                epoch: Epoch::new(1),
                incarnation: Incarnation::new(1),
                accuser: node_id(accuser),
            },
            signature: Signature::from_bytes([0; 64]),
        }))
    }

    fn record(number: usize) -> Arc<SignedRecord> {
        crate::members::tests::record(number)
    }

    fn room(bytes: usize) -> Room {
        Room { bytes, updates: 64 }
    }

    fn about(updates: &[Update]) -> Vec<NodeId> {
        updates
            .iter()
            .filter_map(|update| Subject::of(update).map(|subject| subject.node))
            .collect()
    }

    #[test]
    fn the_fewest_sent_goes_first_and_each_a_bounded_number_of_times() {
        let mut gossip = Gossip::default();
        let length = update_len(&news(1, 0)).unwrap();
        gossip.push(news(1, 0), None, true, 10);
        gossip.push(news(2, 0), None, true, 10);
        let other = node_id(9);
        let mut sent = Vec::new();
        for _ in 0..4 {
            sent.extend(about(&gossip.take(&other, &mut room(length), 2, |_| None)));
        }
        assert_eq!(sent, [1, 2, 1, 2].map(node_id));
        assert!(gossip.is_empty() && gossip.order.is_empty());
    }

    #[test]
    fn nobody_is_told_about_itself() {
        let mut gossip = Gossip::default();
        gossip.push(news(1, 0), None, true, 10);
        assert!(
            gossip
                .take(&node_id(1), &mut room(1_000), 2, |_| None)
                .is_empty()
        );
        assert_eq!(
            gossip
                .take(&node_id(2), &mut room(1_000), 2, |_| None)
                .len(),
            1
        );
    }

    #[test]
    fn news_is_replaced_and_bounded() {
        let mut gossip = Gossip::default();
        for _ in 0..5 {
            gossip.push(news(1, 0), None, true, 3);
        }
        assert_eq!(gossip.items.len(), 1);
        for subject in 1..9 {
            gossip.push(news(subject, 0), None, true, 3);
            gossip.push(news(subject, 1), None, true, 3);
        }
        assert_eq!((gossip.items.len(), gossip.order.len()), (3, 3));
        gossip.push(news(1, 0), None, true, 3);
        gossip.push(news(1, 1), None, true, 3);
        gossip.forget(node_id(1));
        assert!(about(&gossip.take(&node_id(0), &mut room(1_000), 2, |_| None)).len() < 2);
    }

    #[test]
    fn when_all_is_new_the_oldest_goes() {
        let mut gossip = Gossip::default();
        for subject in 1..=5 {
            gossip.push(news(subject, 0), None, true, 3);
        }
        let left: Vec<_> = gossip.items.keys().map(|subject| subject.node).collect();
        let mut expected = [3, 4, 5].map(node_id);
        expected.sort_unstable();
        assert_eq!(left, expected);
        assert_eq!(gossip.take_fresh(false, |_| None).len(), 3);
    }

    #[test]
    fn news_that_cannot_be_flooded_does_not_pile_up() {
        let mut gossip = Gossip::default();
        for _ in 0..100 {
            gossip.push(news(1, 0), None, false, 10);
            gossip.push(news(1, 0), None, true, 10);
        }
        assert_eq!((gossip.urgent.len(), gossip.later.len()), (1, 1));
        assert_eq!(gossip.take_fresh(true, |_| None).len(), 1);
    }

    #[test]
    fn what_waits_to_be_flooded_is_bounded() {
        let mut gossip = Gossip::default();
        for subject in 1..=1_000 {
            gossip.push(news(subject, 0), None, subject % 2 == 0, 10);
            assert!(gossip.urgent.len().max(gossip.later.len()) <= 21);
        }
        let fresh = gossip.take_fresh(true, |_| None);
        assert_eq!(fresh.len(), 10, "what is news still is flooded");
    }

    #[test]
    fn what_is_urgent_is_flooded_first_and_each_piece_once() {
        let mut gossip = Gossip::default();
        gossip.push(news(1, 0), Some(node_id(7)), false, 10);
        gossip.push(news(2, 0), None, true, 10);
        gossip.push(news(2, 0), None, true, 10);
        assert!(gossip.is_urgent() && gossip.is_fresh());
        let updates =
            |fresh: Vec<Fresh>| fresh.into_iter().map(|one| one.update).collect::<Vec<_>>();
        assert_eq!(
            about(&updates(gossip.take_fresh(false, |_| None))),
            [node_id(2)]
        );
        assert!(!gossip.is_urgent() && gossip.is_fresh());
        let rest = gossip.take_fresh(true, |_| None);
        assert_eq!(rest[0].from, Some(node_id(7)));
        assert_eq!(about(&updates(rest)), [node_id(1)]);
        assert!(!gossip.is_fresh() && gossip.take_fresh(true, |_| None).is_empty());
    }

    #[test]
    fn a_record_is_told_as_it_is_known_when_it_is_told() {
        let mut gossip = Gossip::default();
        for number in 1..=3 {
            gossip.push(Update::Record(record(number)), None, false, 10);
        }
        let known = |node: &NodeId| (1..=2).find(|number| node_id(*number) == *node).map(record);
        let fresh = gossip.take_fresh(true, known);
        let told: Vec<_> = fresh.into_iter().map(|one| one.update).collect();
        assert_eq!(told, [1, 2].map(|number| Update::Record(record(number))));
        let piggybacked = gossip.take(&node_id(0), &mut room(1_000), 2, known);
        assert_eq!(piggybacked, told, "who is forgotten is not told of");
    }
}
