//! Seeing to it that the closest nodes keep what they ought to: by naming it, and sending what they lack.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use macula_wire::limit::MAX_RECORD_VERSIONS;
use macula_wire::message::{Contact, KadDigest, KadWant, RecordVersion};
use macula_wire::{Key, NodeId, RecordId};

use super::Kad;
use super::moves::Moves;
use super::publish::millis;
use super::request::Purpose;
use crate::distance::{Distance, Place};
use crate::timer::Timer;

/// How many of the closest see to a record, so that one of them may fail.
const KEEPERS: usize = 2;
/// What is named to whom.
type Offers = BTreeMap<NodeId, (Arc<Contact>, Vec<RecordVersion>)>;

impl Kad {
    /// Names to those that became one of the closest what they ought to keep.
    pub(super) fn replicate_after(&mut self, moves: &Moves) {
        let mut offers = Offers::new();
        let keys: Vec<Key> = self.store.keys().collect();
        for key in keys {
            let place = Place::of(&key);
            if !moves.concern(place, self.reaches.get(&key).copied()) {
                continue;
            }
            let (closest, reach) = self.keepers(&key);
            self.reaches.insert(key, reach);
            // Who came now has nothing to name yet.
            let has =
                |contact: &&Arc<Contact>| !moves.came.contains(&Place::of_node(&contact.node));
            if !self.has_duty(place, closest.iter().filter(has)) {
                continue;
            }
            let versions: Vec<RecordVersion> = self.store.versions(key).collect();
            // Who went leaves its place to the farthest; who came stands where it stands.
            let left = moves
                .went
                .iter()
                .filter(|went| place.to(**went) <= reach)
                .count();
            let first_new = closest.len().saturating_sub(left);
            for (index, contact) in closest.iter().enumerate() {
                if index >= first_new || moves.came.contains(&Place::of_node(&contact.node)) {
                    offer(&mut offers, contact, &versions);
                }
            }
        }
        self.name(offers);
    }

    /// Names to all of the closest what they ought to keep.
    pub(super) fn on_replicate(&mut self) {
        self.forget_withdrawn();
        let mut offers = Offers::new();
        let keys: Vec<Key> = self.store.keys().collect();
        self.reaches.clear();
        for key in keys {
            let (closest, reach) = self.keepers(&key);
            self.reaches.insert(key, reach);
            if self.has_duty(Place::of(&key), closest.iter()) {
                let versions: Vec<RecordVersion> = self.store.versions(key).collect();
                for contact in &closest {
                    offer(&mut offers, contact, &versions);
                }
            }
        }
        self.name(offers);
        self.plan_replication();
    }

    pub(super) fn plan_replication(&mut self) {
        let every = self.config.replicate_every;
        let jitter = self.random.below(millis(every.div_f64(5.0)).max(1));
        let early = Duration::from_millis(jitter);
        self.after(Timer::Replicate, every.saturating_sub(early));
    }

    /// The others that ought to keep what is under a key, and how far the farthest that ought to is.
    fn keepers(&self, key: &Key) -> (Vec<Arc<Contact>>, Distance) {
        let own = Place::of(key).to(self.table.place());
        let nearest = self.closest_but(key, self.config.k, self.table.place());
        let mut reach = nearest.reach();
        let mut found = nearest.into_found();
        if found.len() >= self.config.k && own < reach {
            // This node is one of them, and the farthest of the others is not.
            found.pop();
            let last = found.last().map_or(own, |(distance, _)| *distance);
            reach = last.max(own);
        }
        let others = found.into_iter().map(|(_, contact)| contact);
        (others.collect(), reach)
    }

    /// Whether it is this node that sees to what is under a key: it is one of the closest.
    fn has_duty<'a>(&self, place: Place, closest: impl Iterator<Item = &'a Arc<Contact>>) -> bool {
        let own = place.to(self.table.place());
        let is_closer = |contact: &&Arc<Contact>| place.to(Place::of_node(&contact.node)) < own;
        closest.take_while(is_closer).count() < KEEPERS
    }

    fn name(&mut self, offers: Offers) {
        for (contact, mut versions) in offers.into_values() {
            versions.sort_unstable_by_key(|version| version.id);
            for part in versions.chunks(MAX_RECORD_VERSIONS) {
                let versions = part.to_vec();
                let ids: Arc<[RecordId]> = part.iter().map(|version| version.id).collect();
                self.request(Arc::clone(&contact), Purpose::Digest(ids), |request| {
                    KadDigest { request, versions }.into()
                });
            }
        }
    }

    /// A node says what it lacks of those that were named.
    pub(super) fn on_want(&mut self, from: &Arc<Contact>, named: &[RecordId], want: &KadWant) {
        let named = |id: &&RecordId| named.binary_search(id).is_ok();
        for id in want.ids.iter().filter(named) {
            if let Some(record) = self.store.get(id).map(Arc::clone) {
                self.stage(Arc::clone(from), record);
            }
        }
    }

    /// Whether a record of this id is kept here.
    #[must_use]
    pub fn keeps(&self, id: &RecordId) -> bool {
        self.store.get(id).is_some()
    }
}

fn offer(offers: &mut Offers, contact: &Arc<Contact>, versions: &[RecordVersion]) {
    let offered = offers.entry(contact.node);
    let offered = offered.or_insert_with(|| (Arc::clone(contact), Vec::new()));
    offered.1.extend_from_slice(versions);
}
