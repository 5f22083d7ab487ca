//! The records of this node: signing them, telling those that ought to keep them, and renewing them in time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use macula_wire::message::{Contact, RecordContent};
use macula_wire::{ErrorCode, Instant, Key, NodeId, RecordId};

use super::moves::Moves;
use super::query::Asker;
use super::{Kad, LookupOptions, RecordChange};
use crate::distance::{Distance, Place, key_of, record_id};
use crate::own::{Keepers, Own, Told};
use crate::timer::Timer;
use crate::{PublishError, Refusal};

/// Over how many paths those are looked for that ought to keep a record, where membership does not know them.
const WRITE_PATHS: usize = 4;

impl Kad {
    /// Publishes a record of this node, in place of an earlier one of its kind and name: it is signed, told to the closest
    /// nodes, renewed until it is [withdrawn](Self::withdraw), and told to whoever becomes one of the closest.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; nothing has changed then.
    pub fn publish(
        &mut self,
        now: Instant,
        content: RecordContent,
    ) -> Result<RecordId, PublishError> {
        let lease = self.config.lease;
        self.publish_for(now, content, lease)
    }

    /// The same with a lease of its own, at most [`Config::max_lease`](crate::Config::max_lease).
    ///
    /// # Errors
    ///
    /// [`PublishError`]; nothing has changed then.
    pub fn publish_for(
        &mut self,
        now: Instant,
        content: RecordContent,
        lease: Duration,
    ) -> Result<RecordId, PublishError> {
        self.advance(now);
        let published = self.publish_one(content, lease);
        self.flush();
        published
    }

    /// Publishes and withdraws records of this node together, in their order, so that those for one node share messages.
    /// How many of them were not: each for a [`PublishError`] of its own, or because it was not published.
    pub fn change(&mut self, now: Instant, changes: impl IntoIterator<Item = RecordChange>) -> u64 {
        self.advance(now);
        let mut failed = 0_u64;
        for change in changes {
            let is_done = match change {
                RecordChange::Publish(content) => {
                    self.publish_one(content, self.config.lease).is_ok()
                }
                RecordChange::Withdraw(id) => self.withdraw_one(&id),
            };
            failed = failed.saturating_add(u64::from(!is_done));
        }
        self.flush();
        failed
    }

    fn publish_one(
        &mut self,
        content: RecordContent,
        lease: Duration,
    ) -> Result<RecordId, PublishError> {
        let id = record_id(&self.own, &content);
        let limit = self.config.max_own_records;
        let live = self.owns.len().saturating_sub(self.withdrawn.len());
        if live >= limit && !self.owns.contains_key(&id) {
            return Err(PublishError::TooMany { limit });
        }
        let lease = lease.min(self.config.max_lease);
        let expires = self.wall_ms().saturating_add(millis(lease));
        let record = self.pen.sign(content, false, self.wall_ms(), expires)?;
        self.store.judge(&record.record, self.wall_ms())?;
        let key = key_of(&self.realm, &self.own, &record.record.content);
        let own = Own {
            record,
            key,
            lease,
            signed: self.now,
            until_ms: self.owns.get(&id).map_or(0, |own| own.until_ms),
            reach: Distance::MAX,
            told: Keepers::default(),
        };
        if let Some(before) = self.owns.insert(id, own) {
            let expires = before.record.record.expires_ms;
            self.withdrawn.remove(&(expires, id));
        }
        self.plan_renewal(id, lease);
        self.tell(id);
        Ok(id)
    }

    /// Takes a record of this node back. Whether it was published.
    ///
    /// The withdrawal travels as the record did, until the time of the record would have been over.
    pub fn withdraw(&mut self, now: Instant, id: &RecordId) -> bool {
        self.advance(now);
        let withdrawn = self.withdraw_one(id);
        self.flush();
        withdrawn
    }

    fn withdraw_one(&mut self, id: &RecordId) -> bool {
        let is_live = |own: &Own| !own.record.record.withdrawn;
        self.owns.get(id).is_some_and(is_live) && self.sign_withdrawal(id)
    }

    /// Signs the withdrawal of a record, and tells it; also one that takes the place of another.
    pub(super) fn sign_withdrawal(&mut self, id: &RecordId) -> bool {
        let (wall, now) = (self.wall_ms(), self.now);
        let Some(own) = self.owns.get_mut(id) else {
            return false;
        };
        let mut content = own.record.record.content.clone();
        if let RecordContent::Value(value) = &mut content {
            value.value = bytes::Bytes::new();
        }
        let before = own.record.record.expires_ms;
        let expires = before.max(own.until_ms);
        let Ok(record) = self.pen.sign(content, true, wall, expires) else {
            // What could be signed with a value can be without.
            return false;
        };
        own.record = record;
        own.signed = now;
        own.told.clear();
        self.withdrawn.remove(&(before, *id));
        self.withdrawn.insert((expires, *id));
        self.forget_withdrawn();
        let left = Duration::from_millis(expires.saturating_sub(wall).max(1));
        self.after(Timer::Renew(*id), left);
        self.tell(*id);
        true
    }

    /// The records that this node owns and has not withdrawn.
    pub fn own_records(&self) -> impl Iterator<Item = &RecordContent> {
        let records = self.owns.values().map(|own| &own.record.record);
        let live = records.filter(|record| !record.withdrawn);
        live.map(|record| &record.content)
    }

    /// Tells a record to those of the closest that have not been told, or finds out who they are.
    pub(super) fn tell(&mut self, id: RecordId) {
        let Some(own) = self.owns.get(&id) else {
            return;
        };
        let key = own.key;
        if !self.members.is_empty() || self.table.len() < self.config.k {
            let closest = self.closest_but(&key, self.config.k, self.table.place());
            let (reach, closest) = (closest.reach(), closest.into_contacts());
            if let Some(own) = self.owns.get_mut(&id) {
                own.reach = reach;
            }
            self.tell_closest(id, &closest);
        } else if let Some(ids) = self.seeking.get_mut(&key) {
            // Who is closest to the key is being found out already.
            ids.insert(id);
        } else if self.queries.len() < self.config.max_queries {
            let options = LookupOptions {
                paths: WRITE_PATHS,
                ..LookupOptions::default()
            };
            self.seeking.insert(key, BTreeSet::from([id]));
            self.start(Asker::Publish(key), key, self.config.k, options);
        } else {
            self.look_later(id, false);
        }
    }

    /// A lookup has found out who is closest to a key.
    pub(super) fn tell_found(&mut self, key: &Key, closest: &[Arc<Contact>]) {
        for id in self.seeking.remove(key).into_iter().flatten() {
            self.tell_closest(id, closest);
            if closest.is_empty() {
                self.look_later(id, true);
            }
        }
    }

    /// These are the closest but for this node: tells those that have not been told.
    pub(super) fn tell_closest(&mut self, id: RecordId, closest: &[Arc<Contact>]) {
        let now = self.now;
        let is_among = self.is_among(closest, &id);
        let Some(own) = self.owns.get_mut(&id) else {
            return;
        };
        let record = Arc::clone(&own.record);
        let ought = |node: &NodeId| closest.iter().any(|contact| contact.node == *node);
        own.told.retain(ought);
        let mut news = Vec::new();
        for contact in closest {
            let times = match own.told.get(&contact.node) {
                None => 0,
                Some(Told::Failed(times, at)) if *at <= now => *times,
                Some(Told::Failed(..) | Told::Asked(_) | Told::Keeps) => continue,
            };
            own.told.set(contact.node, Told::Asked(times));
            news.push(Arc::clone(contact));
        }
        for contact in news {
            self.stage(contact, Arc::clone(&record));
        }
        if is_among {
            // Refused only for want of room, which is counted; the others keep it all the same.
            self.keep(&record).ok();
        }
    }

    /// Whether this node is as close to a record of its own as the others that ought to keep it.
    fn is_among(&self, closest: &[Arc<Contact>], id: &RecordId) -> bool {
        let Some(own) = self.owns.get(id) else {
            return false;
        };
        closest.len() < self.config.k
            || closest.last().is_some_and(|last| {
                let key = Place::of(&own.key);
                let last = Place::of_node(&last.node);
                key.to(self.table.place()) < key.to(last)
            })
    }

    /// Members came and went: some records have others to be told.
    pub(super) fn tell_after(&mut self, moves: &Moves) {
        let concerned = |own: &Own| moves.concern(Place::of(&own.key), Some(own.reach));
        let some = self.owns.iter().filter(|(_, own)| concerned(own));
        let some: Vec<RecordId> = some.map(|(id, _)| *id).collect();
        for id in some {
            self.tell(id);
        }
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl From<Refusal> for ErrorCode {
    fn from(refusal: Refusal) -> Self {
        refusal.code()
    }
}
