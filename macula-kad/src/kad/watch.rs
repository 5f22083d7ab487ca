//! Watching keys: being told of records by some of those that keep them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use macula_wire::message::{Contact, KadAnswer, KadWatch, RecordKind};
use macula_wire::{ErrorCode, Instant, Key, NodeId, RecordId};

use super::moves::Moves;
use super::publish::millis;
use super::query::Asker;
use super::request::Purpose;
use super::seen::AllSeen;
use super::{Kad, LookupOptions, Output};
use crate::WatchError;
use crate::distance::{Distance, Place};
use crate::timer::Timer;

/// How long a node that failed to tell of a key is not asked again, at first; doubles five times.
const PAUSE: Duration = Duration::from_secs(5);

/// How long whoever waits for all that is there waits at most.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long more of what is to be asked again is waited for.
const SOON: Duration = Duration::from_millis(50);

/// A node by which a key is watched.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) contact: Arc<Contact>,
    /// The version up to which it told; 0 for none.
    pub(super) version: u64,
    /// When it was asked last.
    pub(super) asked: Instant,
    /// A full statement is under way; what it named so far.
    pub(super) stating: Option<BTreeSet<RecordId>>,
    /// Whether it has made a full statement.
    pub(super) stated: bool,
}

/// A key that this node watches.
#[derive(Debug, Default)]
pub(crate) struct Watching {
    pub(super) holders: BTreeMap<NodeId, Holder>,
    /// Who failed to tell: how often, and until when it is not asked again.
    failed: BTreeMap<NodeId, (u32, Instant)>,
    pub(super) seen: AllSeen,
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
        self.after(Timer::Ready(key, kind), PATIENCE);
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
        self.timers.cancel(Timer::Ready(key, kind));
        let Some(watching) = self.watchings.remove(&(key, kind)) else {
            return false;
        };
        self.forget_seen((key, kind), &watching.seen);
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
            let (reach, closest) = (closest.reach(), closest.into_contacts());
            if let Some(watching) = self.watchings.get_mut(&at) {
                watching.reach = Some(reach);
            }
            self.watch_at(at, &closest, renew);
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
        watching
            .failed
            .retain(|node, _| closest.iter().any(|contact| contact.node == *node));
        let may_tell = |contact: &&Arc<Contact>| {
            let failed = watching.failed.get(&contact.node);
            failed.is_none_or(|(_, until)| *until <= now)
        };
        let wanted: Vec<&Arc<Contact>> = closest.iter().filter(may_tell).take(count).collect();
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

    pub(super) fn ask_to_tell(
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
        watching.seen.leave(node);
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

    /// A node does not tell of a key: another is asked at once, and this one again after a while.
    pub(super) fn watch_failed(&mut self, from: &NodeId, at: (Key, RecordKind)) {
        let now = self.now;
        let Some(watching) = self.watchings.get_mut(&at) else {
            return;
        };
        if watching.holders.remove(from).is_some() {
            let (times, until) = watching.failed.entry(*from).or_insert((0, now));
            *until = now + PAUSE.saturating_mul(1 << (*times).min(5));
            *times = times.saturating_add(1);
            self.find_holders(at, false);
            self.know_if_told(at);
        }
    }

    /// Whoever waits for all that is there has waited long enough: some holder says yes and then nothing.
    pub(super) fn on_ready(&mut self, at: (Key, RecordKind)) {
        if let Some(watching) = self.watchings.get_mut(&at) {
            for holder in watching.holders.values_mut() {
                holder.stated = true;
            }
            self.know_if_told(at);
        }
    }

    /// Everything is known when all that were asked have told it. Those that cannot are not waited for.
    pub(super) fn know_if_told(&mut self, at: (Key, RecordKind)) {
        if let Some(watching) = self.watchings.get_mut(&at)
            && !watching.ready
            && watching.holders.values().all(|holder| holder.stated)
        {
            watching.ready = true;
            let (key, kind) = at;
            self.timers.cancel(Timer::Ready(key, kind));
            self.outputs.push_back(Output::Watching { key, kind });
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
        let mut keys = Vec::new();
        for (at, watching) in &mut self.watchings {
            if watching.failed.remove(node).is_some() || watching.holders.contains_key(node) {
                keys.push(*at);
            }
        }
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
