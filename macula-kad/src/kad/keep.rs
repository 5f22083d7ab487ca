//! Keeping records for others.

use std::sync::Arc;
use std::time::Duration;

use macula_wire::message::{
    Contact, KadAnswer, KadDigest, KadStore, KadWant, RecordKind, RecordVersion,
    SignedRoutingRecord,
};
use macula_wire::{ErrorCode, Instant, Key};

use super::Kad;
use super::publish::millis;
use crate::Refusal;
use crate::distance::{Place, key_of, record_id};
use crate::store::Put;
use crate::timer::Timer;

impl Kad {
    /// The wall clock in milliseconds since 1970, as it was when the machine was made or last told, and the time since.
    pub(super) fn wall_ms(&self) -> u64 {
        let passed = self.now.saturating_since(self.wall.0);
        self.wall.1.saturating_add(millis(passed))
    }

    /// The first moment at which the wall clock is as late as that. It lies ahead if the clock is not.
    pub(super) fn when(&self, wall_ms: u64) -> Instant {
        let (at, then) = self.wall;
        at + Duration::from_millis(wall_ms.saturating_sub(then))
    }

    /// Takes in a record whose signature is right, and tells those who watch its key.
    pub(super) fn keep(&mut self, record: &Arc<SignedRoutingRecord>) -> Result<Put, Refusal> {
        let put = if self.has_room_for(record) {
            self.store.put(record, self.wall_ms())
        } else {
            Err(Refusal::Full)
        };
        match put {
            Ok(Put::New) => {
                self.plan_expiry();
                self.on_kept(record);
            }
            Ok(Put::Known | Put::Outdated(_)) => {}
            Err(refusal) => self.stats.refused(refusal),
        }
        put
    }

    /// Whether a record may take room: when more than half of it is taken, only those whose keys are near, so that some
    /// owners cannot fill a node that has nothing to do with them.
    fn has_room_for(&self, record: &SignedRoutingRecord) -> bool {
        if !self.store.is_crowded() || self.members.is_empty() {
            return true;
        }
        let inner = &record.record;
        let key = key_of(&self.realm, &inner.owner, &inner.content);
        let (own, place) = (self.table.place(), Place::of(&key));
        let near = self.closest_but(&key, self.config.k.saturating_mul(2), own);
        place.to(own) <= near.reach()
    }

    pub(super) fn on_store(&mut self, from: Arc<Contact>, store: &KadStore, forged: &[usize]) {
        let mut codes = Vec::with_capacity(store.records.len());
        let mut later = Vec::new();
        for (index, record) in store.records.iter().enumerate() {
            let id = record_id(&record.record.owner, &record.record.content);
            let code = if forged.contains(&index) {
                self.stats.refused(Refusal::Forged);
                Refusal::Forged.code()
            } else if self.owns.contains_key(&id) {
                // Of what is its own it has the latest version, or is about to make it.
                ErrorCode::OK
            } else {
                let put = self.keep(record);
                if let Ok(Put::Outdated(sequence)) = put
                    && record.record.owner == from.node
                {
                    later.push(RecordVersion { id, sequence });
                }
                put.map_or_else(Refusal::code, |_| ErrorCode::OK)
            };
            codes.push(code);
        }
        let request = store.request;
        self.answer(Arc::clone(&from), KadAnswer { request, codes });
        self.name_later(from, later);
    }

    pub(super) fn on_digest(&mut self, from: Arc<Contact>, digest: &KadDigest) {
        let mut lacking = Vec::new();
        for version in &digest.versions {
            let is_new = self.store.named(self.now, &from.node, version);
            let lacks = match self.owns.get(&version.id) {
                Some(own) => own.record.record.sequence < version.sequence,
                None => is_new,
            };
            if lacks {
                lacking.push(version.id);
            }
        }
        let (request, ids) = (digest.request, lacking);
        self.answer(from, KadWant { request, ids });
    }

    fn plan_expiry(&mut self) {
        if let Some(expires) = self.store.next_expiry() {
            self.timers.set(Timer::Expire, self.when(expires));
        }
    }

    /// The time of some records is over.
    pub(super) fn on_expire(&mut self) {
        while self.store.expire(self.wall_ms()).is_some() {}
        self.plan_expiry();
    }

    /// How many records this node keeps, and how many bytes they take.
    #[must_use]
    pub fn kept(&self) -> (usize, usize) {
        self.store.len()
    }

    /// The records of a kind that this node keeps under a key.
    pub fn kept_under(
        &self,
        key: Key,
        kind: RecordKind,
    ) -> impl Iterator<Item = &Arc<SignedRoutingRecord>> {
        let records = self.store.under(key, kind);
        records.filter(|record| !record.record.withdrawn)
    }
}
