//! Watching keys: being told of records by some of those that keep them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use macula_wire::message::{
    Contact, KadAnswer, KadChanges, KadWatch, RecordKind, SignedRoutingRecord,
};
use macula_wire::{ErrorCode, Instant, Key, NodeId, RecordId};

use super::moves::Moves;
use super::publish::millis;
use super::query::Asker;
use super::request::Purpose;
use super::{Kad, LookupOptions, Output};
use crate::distance::{Distance, Place, key_of, record_id};
use crate::timer::Timer;
use crate::{Refusal, WatchError};

/// After how long another node is asked in the place of one that failed.
const RETRY: Duration = Duration::from_secs(1);

/// How long more of what is to be asked again is waited for.
const SOON: Duration = Duration::from_millis(50);

/// A node by which a key is watched.
#[derive(Debug)]
struct Holder {
    contact: Arc<Contact>,
    /// The version up to which it told; 0 for none.
    version: u64,
    /// When it was asked last.
    asked: Instant,
    /// A full statement is under way; what it named so far.
    stating: Option<BTreeSet<RecordId>>,
    /// Whether it has made a full statement.
    stated: bool,
}

/// A record that is known by a watch.
#[derive(Debug)]
struct Seen {
    record: Arc<SignedRoutingRecord>,
    /// Who has it; this node itself is not named.
    holders: BTreeSet<NodeId>,
    /// Whether this node keeps it.
    here: bool,
    /// Whether the caller was told that it holds.
    shown: bool,
}

/// A key that this node watches.
#[derive(Debug, Default)]
pub(crate) struct Watching {
    holders: BTreeMap<NodeId, Holder>,
    seen: BTreeMap<RecordId, Seen>,
    /// How far the farthest of the closest to the key is.
    reach: Option<Distance>,
    /// Whether the caller was told that all is known.
    ready: bool,
}

/// The keys that this node watches.
pub(crate) type Watchings = BTreeMap<(Key, RecordKind), Watching>;

impl Kad {
    /// Watches the records of a kind under a key, from here on: each that holds is told by [`Output::Changed`], and
    /// [`Output::Watching`] once all that is there now was told.
    ///
    /// # Errors
    ///
    /// [`WatchError::TooMany`] if as many keys are watched as may be.
    pub fn watch(&mut self, now: Instant, key: Key, kind: RecordKind) -> Result<(), WatchError> {
        self.advance(now);
        let limit = self.config.max_own_watches;
        if self.watchings.contains_key(&(key, kind)) {
            return Ok(());
        }
        if self.watchings.len() >= limit {
            return Err(WatchError::TooMany { limit });
        }
        self.watchings.insert((key, kind), Watching::default());
        let here: Vec<_> = self.store.under(key, kind).map(Arc::clone).collect();
        for record in here {
            self.see((key, kind), &record, None);
        }
        self.tend_watch((key, kind));
        self.flush();
        Ok(())
    }

    /// Ends a watch; its records are forgotten without a word. Whether there was one.
    pub fn unwatch(&mut self, now: Instant, key: Key, kind: RecordKind) -> bool {
        self.advance(now);
        self.timers.cancel(Timer::Watch(key, kind));
        let Some(watching) = self.watchings.remove(&(key, kind)) else {
            return false;
        };
        for holder in watching.holders.into_values() {
            self.ask_to_tell(holder.contact, (key, kind), 0, Duration::ZERO);
        }
        true
    }

    /// Has the closest nodes tell of a key, for a while more.
    pub(super) fn tend_watch(&mut self, at: (Key, RecordKind)) {
        if self.watchings.contains_key(&at) {
            self.find_holders(at, true);
            let half = self.config.watch_lease.div_f64(2.0);
            let jitter = self.random.below(millis(half.div_f64(4.0)).max(1));
            let early = Duration::from_millis(jitter);
            let at_half = self.now + half.saturating_sub(early);
            self.timers.arm(Timer::Watch(at.0, at.1), at_half);
        }
    }

    /// Finds out who is closest to a key now; with `renew`, those that tell of it already are asked again.
    fn find_holders(&mut self, at: (Key, RecordKind), renew: bool) {
        if !self.members.is_empty() || self.table.len() < self.config.k {
            let closest = self.closest_but(&at.0, self.config.k, self.table.place());
            let reach = closest.reach();
            if let Some(watching) = self.watchings.get_mut(&at) {
                watching.reach = Some(reach);
            }
            self.watch_at(at, &closest.into_contacts(), renew);
        } else if renew && self.queries.len() < self.config.max_queries {
            let options = LookupOptions::default();
            self.start(Asker::Watch(at.0, at.1), at.0, self.config.k, options);
        }
    }

    /// These are the closest to a key but for this node. Where this node is one of them it is told by the owners, as the
    /// others are; but they may not know of it yet, so it too has others tell what there is at first.
    pub(super) fn watch_at(
        &mut self,
        at: (Key, RecordKind),
        closest: &[Arc<Contact>],
        renew: bool,
    ) {
        let place = Place::of(&at.0);
        let own = place.to(self.table.place());
        let last = closest.get(self.config.k.saturating_sub(1));
        let is_closest = last.is_none_or(|last| own < place.to(Place::of_node(&last.node)));
        let (lease, now) = (self.config.watch_lease, self.now);
        let Some(watching) = self.watchings.get_mut(&at) else {
            return;
        };
        let count = if is_closest && watching.ready {
            0
        } else {
            self.config.watch_at
        };
        let wanted = closest.get(..count.min(closest.len())).unwrap_or_default();
        let is_wanted = |node: &NodeId| wanted.iter().any(|contact| contact.node == *node);
        let gone: Vec<NodeId> = watching
            .holders
            .keys()
            .filter(|node| !is_wanted(node))
            .copied()
            .collect();
        let mut asks = Vec::new();
        for contact in wanted {
            let known = watching.holders.get(&contact.node);
            let version = known.map_or(0, |holder| holder.version);
            if known.is_some() && !renew {
                continue;
            }
            let holder = watching.holders.entry(contact.node);
            let holder = holder.or_insert_with(|| Holder {
                contact: Arc::clone(contact),
                version: 0,
                asked: now,
                stating: None,
                stated: false,
            });
            holder.asked = now;
            asks.push((Arc::clone(contact), version));
        }
        for (contact, version) in asks {
            self.ask_to_tell(contact, at, version, lease);
        }
        for node in gone {
            self.leave_holder(at, &node);
        }
        self.know_if_told(at);
    }

    fn ask_to_tell(
        &mut self,
        to: Arc<Contact>,
        at: (Key, RecordKind),
        version: u64,
        lease: Duration,
    ) {
        let lease_ms = u32::try_from(lease.as_millis()).unwrap_or(u32::MAX);
        let purpose = Purpose::Watch(at.0, at.1);
        self.request(to, purpose, |request| {
            KadWatch {
                request,
                key: at.0,
                kind: at.1,
                lease_ms,
                version,
            }
            .into()
        });
    }

    /// A node tells of a key no more.
    fn leave_holder(&mut self, at: (Key, RecordKind), node: &NodeId) {
        let Some(watching) = self.watchings.get_mut(&at) else {
            return;
        };
        watching.holders.remove(node);
        // What others have not named yet may hold none the less, and expires if not.
        for seen in watching.seen.values_mut() {
            if seen.holders.len() > 1 {
                seen.holders.remove(node);
            }
        }
    }

    pub(super) fn watch_answered(
        &mut self,
        from: &NodeId,
        at: (Key, RecordKind),
        answer: &KadAnswer,
    ) {
        if answer.codes.first() != Some(&ErrorCode::OK) {
            self.watch_failed(from, at);
        }
    }

    /// A node does not tell of a key: another is asked soon, or this one again.
    pub(super) fn watch_failed(&mut self, from: &NodeId, at: (Key, RecordKind)) {
        let Some(watching) = self.watchings.get_mut(&at) else {
            return;
        };
        if watching.holders.remove(from).is_some() {
            self.timers.arm(Timer::Watch(at.0, at.1), self.now + RETRY);
            self.know_if_told(at);
        }
    }

    pub(super) fn on_changes(&mut self, from: &NodeId, changes: &KadChanges, forged: &[usize]) {
        let at = (changes.key, changes.kind);
        let Some(holder) = self
            .watchings
            .get_mut(&at)
            .and_then(|watching| watching.holders.get_mut(from))
        else {
            self.stats.unasked = self.stats.unasked.saturating_add(1);
            return;
        };
        let expected = holder.version.saturating_add(1);
        if changes.full {
            holder.stating = Some(BTreeSet::new());
            holder.version = changes.version;
        } else if holder.stating.is_some() && changes.version == holder.version {
            // A further part.
        } else if changes.version == expected {
            holder.version = changes.version;
        } else {
            // Something is missing: everything is asked for anew, but no more often than once in a while.
            let is_asked = std::mem::take(&mut holder.version) == 0;
            holder.stating = None;
            if is_asked || self.now.saturating_since(holder.asked) < RETRY {
                self.timers.arm(Timer::Watch(at.0, at.1), self.now + RETRY);
                return;
            }
            holder.asked = self.now;
            let contact = Arc::clone(&holder.contact);
            let lease = self.config.watch_lease;
            self.ask_to_tell(contact, at, 0, lease);
            return;
        }
        for (index, record) in changes.records.iter().enumerate() {
            let fits = !forged.contains(&index);
            match if fits {
                self.fits(record, at)
            } else {
                Err(Refusal::Forged)
            } {
                Ok(id) => {
                    let holder = self
                        .watchings
                        .get_mut(&at)
                        .and_then(|watching| watching.holders.get_mut(from));
                    if let Some(named) = holder.and_then(|holder| holder.stating.as_mut()) {
                        named.insert(id);
                    }
                    self.see(at, record, Some(from));
                }
                Err(refusal) => self.stats.refused(refusal),
            }
        }
        if !changes.more {
            self.end_statement(from, at);
        }
    }

    /// Whether a record is one that was asked for.
    pub(super) fn fits(
        &self,
        record: &SignedRoutingRecord,
        at: (Key, RecordKind),
    ) -> Result<RecordId, Refusal> {
        let inner = &record.record;
        let key = key_of(&self.realm, &inner.owner, &inner.content);
        if (key, inner.content.kind()) != at {
            return Err(Refusal::Misplaced);
        }
        self.store.judge(inner, self.wall_ms())?;
        Ok(record_id(&inner.owner, &inner.content))
    }

    /// A full statement is over: what it did not name is not there.
    fn end_statement(&mut self, from: &NodeId, at: (Key, RecordKind)) {
        let Some(watching) = self.watchings.get_mut(&at) else {
            return;
        };
        let Some(holder) = watching.holders.get_mut(from) else {
            return;
        };
        let Some(named) = holder.stating.take() else {
            return;
        };
        holder.stated = true;
        let mut gone = Vec::new();
        for (id, seen) in &mut watching.seen {
            if !named.contains(id) && seen.holders.remove(from) && seen.holders.is_empty() {
                gone.push(*id);
            }
        }
        for id in gone {
            self.refresh_seen(at, id);
        }
        self.know_if_told(at);
    }

    /// Everything is known when all that were asked have told it. Those that cannot are not waited for.
    fn know_if_told(&mut self, at: (Key, RecordKind)) {
        if let Some(watching) = self.watchings.get_mut(&at)
            && !watching.ready
            && watching.holders.values().all(|holder| holder.stated)
        {
            watching.ready = true;
            let (key, kind) = at;
            self.outputs.push_back(Output::Watching { key, kind });
        }
    }

    /// A record under a watched key was told by `from`, or is kept here.
    pub(super) fn see(
        &mut self,
        at: (Key, RecordKind),
        record: &Arc<SignedRoutingRecord>,
        from: Option<&NodeId>,
    ) {
        let Some(watching) = self.watchings.get_mut(&at) else {
            return;
        };
        let inner = &record.record;
        let id = record_id(&inner.owner, &inner.content);
        let seen = watching.seen.entry(id).or_insert_with(|| Seen {
            record: Arc::clone(record),
            holders: BTreeSet::new(),
            here: false,
            shown: false,
        });
        let is_later = inner.sequence > seen.record.record.sequence;
        if is_later {
            let said = seen.record.record.content != inner.content;
            seen.record = Arc::clone(record);
            seen.holders.clear();
            seen.here = false;
            // What it says is new: it is shown again. What is withdrawn says nothing.
            seen.shown &= !said || inner.withdrawn;
        }
        if seen.record.record.sequence == inner.sequence {
            match from {
                Some(from) => {
                    seen.holders.insert(*from);
                }
                None => seen.here = true,
            }
        }
        self.refresh_seen(at, id);
    }

    /// Tells the caller whether a record holds, if that has changed.
    fn refresh_seen(&mut self, at: (Key, RecordKind), id: RecordId) {
        let wall = self.wall_ms();
        let Some(seen) = self
            .watchings
            .get(&at)
            .and_then(|watching| watching.seen.get(&id))
        else {
            return;
        };
        let record = Arc::clone(&seen.record);
        let inner = &record.record;
        let is_known = seen.here || !seen.holders.is_empty();
        let lives = is_known && !inner.withdrawn && inner.expires_ms > wall;
        let holds = lives && self.counts(inner);
        let was_shown = seen.shown;
        if let Some(watching) = self.watchings.get_mut(&at) {
            if !lives {
                watching.seen.remove(&id);
            } else if let Some(seen) = watching.seen.get_mut(&id) {
                seen.shown = holds;
            }
        }
        if lives {
            let end = self.when(inner.expires_ms);
            self.timers.arm(Timer::Seen, end);
        }
        if holds != was_shown {
            let (key, present) = (at.0, holds);
            self.outputs.push_back(Output::Changed {
                key,
                record,
                present,
            });
        }
    }

    /// A member came or went, or time passed: some of what was seen may hold now, or no more.
    pub(super) fn look_again(&mut self, of: Option<&NodeId>) {
        let fits = |seen: &Seen| of.is_none_or(|owner| seen.record.record.owner == *owner);
        let mut all = Vec::new();
        for (at, watching) in &self.watchings {
            let some = watching.seen.iter().filter(|(_, seen)| fits(seen));
            all.extend(some.map(|(id, _)| (*at, *id)));
        }
        for (at, id) in all {
            self.refresh_seen(at, id);
        }
    }

    /// Members came and went: some keys have others by which they are to be watched.
    pub(super) fn watch_after(&mut self, moves: &Moves) {
        let concerned = |at: &(Key, RecordKind), watching: &Watching| {
            moves.concern(Place::of(&at.0), watching.reach)
        };
        let some = self.watchings.iter();
        let some = some.filter(|(at, watching)| concerned(at, watching));
        let some: Vec<_> = some.map(|(at, _)| *at).collect();
        for at in some {
            self.find_holders(at, false);
        }
    }

    /// A node by which keys are watched can be asked again, and may have told something in vain.
    pub(super) fn retry_watches(&mut self, node: &NodeId) {
        let told_by = |watching: &Watching| watching.holders.contains_key(node);
        let keys = self
            .watchings
            .iter()
            .filter(|(_, watching)| told_by(watching));
        let keys: Vec<_> = keys.map(|(at, _)| *at).collect();
        for at in keys {
            self.timers.arm(Timer::Watch(at.0, at.1), self.now + SOON);
        }
    }

    /// How many keys this node watches.
    #[must_use]
    pub fn watches(&self) -> usize {
        self.watchings.len()
    }
}
