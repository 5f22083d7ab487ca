//! The places in the topics of some publishers.

use macula_wire::{Epoch, Instant, NodeId, Sequence, Topic};

use super::recent::Recent;
use super::{Acceptance, ForwarderStats, Missing};

/// What is remembered of the publishers of one shard.
#[derive(Debug)]
pub(super) struct Shard {
    publishers: Recent<NodeId, Publisher>,
    max_topics: usize,
    evicted: u64,
}

#[derive(Debug)]
struct Publisher {
    epoch: Epoch,
    heard: Instant,
    topics: Recent<Topic, Place>,
}

/// How far a topic has come.
#[derive(Debug)]
struct Place {
    /// That of the publisher, or an earlier one if nothing of the topic has come since.
    epoch: Epoch,
    next: Sequence,
    /// Whether the publisher has restarted and the next batch is to tell so.
    restarted: bool,
    /// Whether it was told that the publisher is lost, and nothing has come since.
    lost: bool,
}

impl Shard {
    pub(super) const fn new(max_publishers: usize, max_topics: usize) -> Self {
        Self {
            publishers: Recent::new(max_publishers),
            max_topics,
            evicted: 0,
        }
    }

    pub(super) fn accept(
        &mut self,
        now: Instant,
        publisher: NodeId,
        epoch: Epoch,
        topic: &Topic,
        base: Sequence,
        count: u64,
    ) -> Acceptance {
        match self.place(now, publisher, epoch, topic, base) {
            Found::Stale => Acceptance::Stale,
            Found::New(place) | Found::Known(place) => place.accept(base, count),
        }
    }

    /// See [`Forwarder::accept_kept`](super::Forwarder::accept_kept).
    pub(super) fn accept_kept(
        &mut self,
        now: Instant,
        publisher: NodeId,
        epoch: Epoch,
        topic: &Topic,
        base: Sequence,
        count: u64,
    ) -> Acceptance {
        let known = self.publishers.get(&publisher);
        if let Some(known) = known.filter(|known| epoch < known.epoch) {
            known.heard = known.heard.max(now);
            match known.topics.get(topic) {
                Some(place) if place.epoch > epoch => return Acceptance::Stale,
                Some(place) if place.epoch == epoch => return place.accept(base, count),
                Some(_) | None => {}
            }
            // The publisher has begun a later run, but not on this topic.
            let place = Place {
                epoch,
                next: base.plus(count),
                restarted: false,
                lost: false,
            };
            known.topics.remove(topic);
            let gone = known.topics.insert(topic.clone(), place);
            self.evicted = self.evicted.saturating_add(u64::from(gone.is_some()));
            return Acceptance::Accepted {
                skip: 0,
                gap: None,
                restarted: false,
            };
        }
        self.accept(now, publisher, epoch, topic, base, count)
    }

    pub(super) fn announced(
        &mut self,
        now: Instant,
        publisher: NodeId,
        epoch: Epoch,
        topic: &Topic,
        next: Sequence,
    ) -> Option<Missing> {
        match self.place(now, publisher, epoch, topic, next) {
            Found::Stale | Found::New(_) => None,
            Found::Known(place) => {
                let missing = missing(place.next, next).filter(|_| !place.lost);
                if next > place.next {
                    place.lost = false;
                }
                place.next = place.next.max(next);
                missing
            }
        }
    }

    pub(super) fn lose(&mut self, publisher: &NodeId) {
        if let Some(publisher) = self.publishers.get(publisher) {
            publisher
                .topics
                .values_mut()
                .for_each(|place| place.lost = true);
        }
    }

    pub(super) fn forget(&mut self, publisher: &NodeId) {
        self.publishers.remove(publisher);
    }

    /// The topics of a publisher with the next sequence of each in the publisher's present epoch.
    pub(super) fn following(&self, publisher: &NodeId) -> Vec<(Topic, Epoch, Sequence)> {
        let Some(publisher) = self.publishers.peek(publisher) else {
            return Vec::new();
        };
        publisher
            .topics
            .iter()
            .filter(|(_, place)| place.epoch == publisher.epoch && !place.lost)
            .map(|(topic, place)| (topic.clone(), place.epoch, place.next))
            .collect()
    }

    pub(super) fn retain(&mut self, mut wanted: impl FnMut(&Topic) -> bool) {
        for publisher in self.publishers.values_mut() {
            publisher.topics.retain(&mut wanted);
        }
    }

    pub(super) fn last_heard(&self, publisher: &NodeId) -> Option<Instant> {
        let publisher = self.publishers.peek(publisher)?;
        Some(publisher.heard)
    }

    pub(super) fn add_to(&self, stats: &mut ForwarderStats) {
        stats.publishers = stats.publishers.saturating_add(self.publishers.len());
        for publisher in self.publishers.values() {
            stats.topics = stats.topics.saturating_add(publisher.topics.len());
        }
        stats.evicted = stats.evicted.saturating_add(self.evicted);
    }

    /// The place in a topic; one that is not known, or is of an earlier epoch, begins at `start`.
    fn place(
        &mut self,
        now: Instant,
        id: NodeId,
        epoch: Epoch,
        topic: &Topic,
        start: Sequence,
    ) -> Found<'_> {
        if self.publishers.peek(&id).is_none() {
            let publisher = Publisher {
                epoch,
                heard: now,
                topics: Recent::new(self.max_topics),
            };
            if let Some(gone) = self.publishers.insert(id, publisher) {
                let topics = u64::try_from(gone.topics.len()).unwrap_or(u64::MAX);
                self.evicted = self.evicted.saturating_add(topics);
            }
        }
        let Some(publisher) = self.publishers.get(&id) else {
            return Found::Stale;
        };
        if epoch < publisher.epoch {
            return Found::Stale;
        }
        publisher.epoch = epoch;
        publisher.heard = publisher.heard.max(now);
        let known = match publisher.topics.peek(topic) {
            Some(place) => place.epoch == epoch,
            None => {
                let place = Place {
                    epoch,
                    next: start,
                    restarted: false,
                    lost: false,
                };
                let gone = publisher.topics.insert(topic.clone(), place);
                self.evicted = self.evicted.saturating_add(u64::from(gone.is_some()));
                false
            }
        };
        let Some(place) = publisher.topics.get(topic) else {
            return Found::Stale;
        };
        if known {
            return Found::Known(place);
        }
        if place.epoch < epoch {
            *place = Place {
                epoch,
                next: start,
                restarted: !place.lost,
                lost: false,
            };
        }
        Found::New(place)
    }
}

impl Place {
    fn accept(&mut self, base: Sequence, count: u64) -> Acceptance {
        let end = base.plus(count);
        if end <= self.next {
            return Acceptance::Duplicate;
        }
        let expected = self.next;
        self.next = end;
        let was_lost = std::mem::take(&mut self.lost);
        Acceptance::Accepted {
            skip: expected.since(base),
            gap: missing(expected, base).filter(|_| !was_lost),
            restarted: std::mem::take(&mut self.restarted),
        }
    }
}

/// What is known of a topic.
enum Found<'a> {
    /// The epoch is over.
    Stale,
    /// It begins here.
    New(&'a mut Place),
    /// It goes on here.
    Known(&'a mut Place),
}

/// What lies between the next event that was expected and the one that comes next.
fn missing(expected: Sequence, next: Sequence) -> Option<Missing> {
    (expected < next).then_some(Missing {
        from: expected,
        to: next,
    })
}
