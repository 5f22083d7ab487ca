//! The routing table: 256 buckets by how many leading bits a position shares with this node's (Kademlia, section 2.2).

use std::sync::Arc;
use std::time::Duration;

use macula_wire::message::Contact;
use macula_wire::{Instant, Key, NodeId, Random};

use crate::bucket::{Bucket, Entry, Failed, Heard};
use crate::closest::{Nearest, Placed};
use crate::config::Config;
use crate::distance::{Place, position, set_bit};
use crate::rtt::Rtt;

/// How many requests in a row a contact may leave unanswered while nobody waits for its place.
const PATIENCE: u8 = 5;

/// The contacts that this node has heard.
#[derive(Debug)]
pub(crate) struct Table {
    position: Key,
    place: Place,
    /// As many as are needed: the last one that holds anybody is the last.
    buckets: Vec<Bucket>,
    len: usize,
}

impl Table {
    pub(crate) fn new(own: NodeId) -> Self {
        let position = position(&own);
        Self {
            position,
            place: Place::of(&position),
            buckets: Vec::new(),
            len: 0,
        }
    }

    pub(crate) const fn position(&self) -> &Key {
        &self.position
    }

    /// How many contacts have a place.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The buckets that may hold somebody, with the number of bits that they share.
    pub(crate) fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    /// The place of this node.
    pub(crate) const fn place(&self) -> Place {
        self.place
    }

    fn index(&self, place: Place) -> usize {
        let shared = self.place.to(place).shared_bits();
        usize::try_from(shared.min(255)).unwrap_or(255)
    }

    /// A contact was heard.
    pub(crate) fn hear(&mut self, now: Instant, placed: Placed, config: &Config) -> Heard {
        let Placed { place, contact } = placed;
        if place == self.place {
            return Heard::Known;
        }
        let shared = self.index(place);
        if self.buckets.len() <= shared {
            let count = shared.saturating_add(1);
            self.buckets.resize_with(count, Bucket::default);
        }
        let entry = Entry {
            place,
            contact,
            heard: now,
            rtt: Rtt::default(),
            failures: 0,
        };
        let Some(bucket) = self.buckets.get_mut(shared) else {
            return Heard::Waits;
        };
        let before = bucket.entries().len();
        let heard = bucket.hear(entry, shared, config);
        if bucket.entries().len() != before {
            self.recount();
        }
        heard
    }

    /// Another told of a contact.
    pub(crate) fn hear_of(&mut self, place: Place, contact: &Arc<Contact>, config: &Config) {
        let shared = self.index(place);
        if let Some(bucket) = self.buckets.get_mut(shared) {
            bucket.hear_of(place, contact, config);
        }
    }

    /// Takes out contacts that this node was told of, to be asked, as far as their buckets have room.
    pub(crate) fn take_told(&mut self, config: &Config) -> Vec<Arc<Contact>> {
        let buckets = self.buckets.iter_mut();
        buckets
            .flat_map(|bucket| bucket.take_told(config))
            .collect()
    }

    /// A contact answered after `rtt`.
    pub(crate) fn sample(&mut self, place: Place, rtt: Duration) {
        let index = self.index(place);
        let bucket = self.buckets.get_mut(index);
        if let Some(entry) = bucket.and_then(|bucket| bucket.get_mut(place)) {
            entry.rtt.sample(rtt);
        }
    }

    /// A contact has not answered a request, or a check of it.
    pub(crate) fn fail(&mut self, place: Place, is_check: bool, config: &Config) -> Failed {
        let index = self.index(place);
        let Some(bucket) = self.buckets.get_mut(index) else {
            return Failed::Stays;
        };
        let failed = bucket.fail(place, is_check, PATIENCE, config);
        if failed == Failed::Lost {
            self.recount();
        }
        failed
    }

    /// A node is gone for good. Whether it had a place.
    pub(crate) fn remove(&mut self, node: &NodeId, config: &Config) -> bool {
        let place = Place::of_node(node);
        let index = self.index(place);
        let bucket = self.buckets.get_mut(index);
        let had = bucket.is_some_and(|bucket| bucket.remove(place, config));
        self.recount();
        had
    }

    fn recount(&mut self) {
        self.len = self
            .buckets
            .iter()
            .map(|bucket| bucket.entries().len())
            .sum();
    }

    pub(crate) fn get(&self, place: Place) -> Option<&Entry> {
        let bucket = self.buckets.get(self.index(place))?;
        let mut entries = bucket.entries().iter();
        entries.find(|entry| entry.place == place)
    }

    /// Offers the contacts nearest to the target of `nearest`, but for those that have just failed; those are offered if
    /// nobody else is there.
    pub(crate) fn offer<'a>(&'a self, nearest: &mut Nearest<'a>) {
        self.offer_some(nearest, |entry| entry.failures == 0);
        if nearest.is_empty() {
            self.offer_some(nearest, |_| true);
        }
    }

    /// All of a bucket are nearer to the target than all of another. A bucket differs from this node in its bit: where the
    /// target does too it is nearer than all that follow, and where the target does not it is farther than those.
    fn offer_some<'a>(&'a self, nearest: &mut Nearest<'a>, some: impl Fn(&Entry) -> bool) {
        let off = self.place.to(nearest.target());
        let buckets = || self.buckets.iter().enumerate();
        let near = buckets().filter(|(index, _)| off.bit(*index));
        let far = buckets().rev().filter(|(index, _)| !off.bit(*index));
        for (index, bucket) in near.chain(far) {
            if nearest.is_full() && nearest.reach() <= off.flipped_at(index) {
                return;
            }
            for entry in bucket.entries() {
                if some(entry) {
                    nearest.offer(entry.place, &entry.contact);
                }
            }
        }
    }

    /// A random key in the bucket whose members share `shared` bits with this node, in one of its parts.
    pub(crate) fn key_in(&self, shared: usize, part: usize, random: &mut Random) -> Key {
        let mut bytes = [0; 32];
        random.fill(&mut bytes);
        let mut key = Key::from_bytes(bytes);
        for index in 0..shared {
            set_bit(&mut key, index, self.place.bit(index));
        }
        set_bit(&mut key, shared, !self.place.bit(shared));
        for (offset, mask) in [(1, 8), (2, 4), (3, 2), (4, 1)] {
            set_bit(&mut key, shared.saturating_add(offset), part & mask != 0);
        }
        key
    }
}
