//! What waits in a queue that keeps the newest event of each key only.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use macula_wire::{NodeId, Sequence, Topic};

use super::options::Order;
use super::waiting::Item;
use crate::event::{Event, Gap, Origin};

/// Events of which only the newest waits.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum LatestKey {
    OfTopic(Topic, Option<Bytes>),
    OfPublisher(NodeId, Topic),
}

impl LatestKey {
    pub(super) fn new(order: Order, event: &Event) -> Self {
        let topic = event.origin.topic.clone();
        match order {
            Order::PerKey | Order::None => Self::OfTopic(topic, event.key().cloned()),
            Order::Latest => Self::OfPublisher(event.origin.publisher, topic),
        }
    }
}

/// The newest event of each key, and gaps, in the order in which they came.
///
/// A newer event takes its own place, not that of the one before: so events of one publisher and topic that have
/// different keys keep their order.
#[derive(Debug, Default)]
pub(super) struct Latest {
    next: u64,
    items: BTreeMap<u64, Item>,
    places: BTreeMap<LatestKey, u64>,
    pub(super) events: u64,
    pub(super) bytes: usize,
}

impl Latest {
    /// Adds an event. Whether another one of its key was dropped, or this one because a newer one waits that came ahead of its
    /// turn.
    pub(super) fn push(&mut self, order: Order, event: Event) -> bool {
        let key = LatestKey::new(order, &event);
        let waits = self.places.get(&key).and_then(|at| self.items.get(at));
        if waits
            .map(Item::place)
            .is_some_and(|(origin, sequence)| *origin == event.origin && sequence > event.sequence)
        {
            return true;
        }
        let place = self.place();
        self.events = self.events.saturating_add(1);
        self.bytes = self.bytes.saturating_add(event.payload.len());
        self.items.insert(place, Item::One(event));
        let older = self.places.insert(key, place);
        older.is_some_and(|older| self.remove(older))
    }

    /// Adds a gap. `false` if there is no room for it.
    pub(super) fn push_gap(&mut self, gap: Gap, max: usize) -> bool {
        if self.items.len() >= max.saturating_mul(2).max(64) {
            return false;
        }
        let place = self.place();
        self.items.insert(place, Item::Gap(gap));
        true
    }

    pub(super) fn pop(&mut self, order: Order) -> Option<Item> {
        let (_, item) = self.items.pop_first()?;
        self.count_out(&item);
        if let Item::One(event) = &item {
            self.places.remove(&LatestKey::new(order, event));
        }
        Some(item)
    }

    /// Drops the oldest event. `false` if none waits.
    pub(super) fn drop_oldest(&mut self, order: Order) -> bool {
        let mut events = self.items.iter().filter(|(_, item)| item.is_events());
        let Some((place, Item::One(event))) = events.next() else {
            return false;
        };
        let place = *place;
        self.places.remove(&LatestKey::new(order, event));
        self.remove(place)
    }

    /// Where each item stands.
    pub(super) fn each_place(&self, note: &mut impl FnMut(&Arc<Origin>, Sequence)) {
        for item in self.items.values() {
            let (origin, at) = item.place();
            note(origin, at);
        }
    }

    fn place(&mut self) -> u64 {
        let place = self.next;
        self.next = self.next.wrapping_add(1);
        place
    }

    fn remove(&mut self, place: u64) -> bool {
        let removed = self.items.remove(&place);
        if let Some(item) = &removed {
            self.count_out(item);
        }
        removed.is_some()
    }

    fn count_out(&mut self, item: &Item) {
        self.events = self.events.saturating_sub(item.events());
        self.bytes = self.bytes.saturating_sub(item.bytes());
    }
}
