//! Seeing to it that the closest nodes keep what they ought to: by naming it, and sending what they lack.

use std::collections::BTreeMap;
use std::ops::Bound;
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
use crate::store::{Kept, Rank};
use crate::timer::Timer;

/// How many of the closest see to a record, so that one of them may fail.
const KEEPERS: usize = 2;
/// The shortest time from one part of the store to the next.
const LEAST_PAUSE: Duration = Duration::from_millis(1);
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

    /// Names what a part of the store keeps to those that ought to keep it. All parts together take one period, so that a
    /// full store is no more of a burden at one time than at another.
    pub(super) fn on_replicate(&mut self) {
        self.forget_withdrawn();
        let part = self.store.behind(self.replicated, MAX_RECORD_VERSIONS);
        let end = part.last().copied();
        let mut offers = Offers::new();
        let mut parts = part.chunk_by(|one, next| one.0 == next.0);
        parts
            .by_ref()
            .for_each(|under| self.replicate(under, &mut offers));
        self.name(offers);
        let is_whole = part.len() < MAX_RECORD_VERSIONS;
        let end = end.filter(|_| !is_whole);
        self.forget_reaches(self.replicated, end);
        self.replicated = end;
        self.plan_replication();
    }

    /// Names some records under one key to the others that ought to keep them, but for those that enough of these have
    /// named to this node: they see to it. Who is not among the closest any more names them to the very closest.
    fn replicate(&mut self, records: &[Rank], offers: &mut Offers) {
        let Some((key, ..)) = records.first().copied() else {
            return;
        };
        let (closest, reach) = self.keepers(&key);
        self.reaches.insert(key, reach);
        let is_keeper = Place::of(&key).to(self.table.place()) <= reach;
        let (now, within) = (self.now, self.config.replicate_every);
        let namers = if is_keeper { KEEPERS } else { 1 };
        let is_seen_to = |kept: &Kept| {
            let nodes = closest.iter().map(|contact| &contact.node);
            kept.namers.count(now, within, nodes) >= namers
        };
        let kept = records
            .iter()
            .filter_map(|(.., id)| Some((*id, self.store.kept(id)?)));
        let open = kept.filter(|(_, kept)| !is_seen_to(kept));
        let versions: Vec<RecordVersion> = open
            .map(|(id, kept)| {
                let sequence = kept.record.record.sequence;
                RecordVersion { id, sequence }
            })
            .collect();
        let count = if is_keeper { closest.len() } else { KEEPERS };
        for contact in closest.iter().take(count).filter(|_| !versions.is_empty()) {
            offer(offers, contact, &versions);
        }
    }

    /// Forgets how far those are that ought to keep what is not kept here any more, of a part of the store.
    fn forget_reaches(&mut self, begin: Option<Rank>, end: Option<Rank>) {
        let begin = begin.map_or(Bound::Unbounded, |(key, ..)| Bound::Included(key));
        let end = end.map_or(Bound::Unbounded, |(key, ..)| Bound::Included(key));
        let some = self.reaches.range((begin, end)).map(|(key, _)| *key);
        let gone: Vec<Key> = some.filter(|key| !self.store.has(key)).collect();
        for key in gone {
            self.reaches.remove(&key);
        }
    }

    pub(super) fn plan_replication(&mut self) {
        let every = self.config.replicate_every;
        let jitter = self.random.below(millis(every.div_f64(5.0)).max(1));
        let all = every.saturating_sub(Duration::from_millis(jitter));
        let parts = self.store.count().div_ceil(MAX_RECORD_VERSIONS).max(1);
        let pause = all.checked_div(u32::try_from(parts).unwrap_or(u32::MAX));
        self.after(Timer::Replicate, pause.unwrap_or(all).max(LEAST_PAUSE));
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

    /// Whether it is this node that tells newcomers at once what they ought to keep under a key: it is one of the closest
    /// of the others. Whom these leave out is named it in time by whoever has it, see [`replicate`](Self::replicate).
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
        let kept = self.store.get(id);
        kept.is_some_and(|record| !record.record.withdrawn)
    }
}

fn offer(offers: &mut Offers, contact: &Arc<Contact>, versions: &[RecordVersion]) {
    let offered = offers.entry(contact.node);
    let offered = offered.or_insert_with(|| (Arc::clone(contact), Vec::new()));
    offered.1.extend_from_slice(versions);
}
