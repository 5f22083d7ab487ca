//! The speaking side: what this member says of itself.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use super::Announcement;
use crate::limit::MAX_ANNOUNCED;
use crate::{Instant, NodeId, Random};

/// What this member announces of itself, and how far the others have been told.
///
/// Changes wait until they are asked for, so that many changes in one turn leave in few messages, and a change that was
/// taken back leaves in none. While no member is up, nothing waits: whoever comes up is told everything.
///
/// Messages to all go to the members for which [`member_up`](Self::member_up) was called and
/// [`member_down`](Self::member_down) was not; no other has a full statement to build upon.
#[derive(Clone, Debug)]
pub struct Announcer<K, V> {
    lease: Duration,
    random: Random,
    members: BTreeSet<NodeId>,
    current: BTreeMap<K, V>,
    /// The keys whose value is not what was announced, with what was announced.
    changed: BTreeMap<K, Option<V>>,
    version: u64,
    renew_at: Option<Instant>,
}

impl<K: Clone + Ord, V: Clone + Eq> Announcer<K, V> {
    /// Announces nothing yet; what it will say holds for `lease`, at most 49 days.
    #[must_use]
    pub const fn new(lease: Duration, random: Random) -> Self {
        Self {
            lease,
            random,
            members: BTreeSet::new(),
            current: BTreeMap::new(),
            changed: BTreeMap::new(),
            version: 0,
            renew_at: None,
        }
    }

    /// Says `value` of `key` from here on.
    pub fn set(&mut self, key: K, value: V) {
        let before = self.current.insert(key.clone(), value);
        self.note(key, before);
    }

    /// Says nothing of `key` from here on.
    pub fn unset(&mut self, key: &K) {
        if let Some((key, before)) = self.current.remove_entry(key) {
            self.note(key, Some(before));
        }
    }

    /// The whole statement for a member that came up or has a new link, in at least one part.
    ///
    /// It is the statement without the changes that wait; those follow to everybody.
    pub fn member_up(&mut self, now: Instant, member: NodeId) -> Vec<Announcement<K, V>> {
        if self.members.insert(member) && self.renew_at.is_none() {
            self.schedule(now);
        }
        let mut announced: BTreeMap<&K, &V> = self.current.iter().collect();
        for (key, before) in &self.changed {
            match before {
                Some(value) => announced.insert(key, value),
                None => announced.remove(key),
            };
        }
        let entries: Vec<(K, V)> = announced
            .into_iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let mut parts: Vec<_> = entries
            .chunks(MAX_ANNOUNCED)
            .map(|part| self.announcement(part.to_vec(), Vec::new()))
            .collect();
        if parts.is_empty() {
            parts.push(self.announcement(Vec::new(), Vec::new()));
        }
        if let Some(first) = parts.first_mut() {
            first.full = true;
        }
        parts
    }

    /// No longer tells `member` anything.
    pub fn member_down(&mut self, member: &NodeId) {
        self.members.remove(member);
        if self.members.is_empty() {
            self.changed.clear();
            self.renew_at = None;
        }
    }

    /// The next part of the changes that wait, for all members; renews the lease as well.
    pub fn next_change(&mut self, now: Instant) -> Option<Announcement<K, V>> {
        if self.changed.is_empty() {
            return None;
        }
        let mut add = Vec::new();
        let mut remove = Vec::new();
        for _ in 0..MAX_ANNOUNCED {
            let Some((key, _)) = self.changed.pop_first() else {
                break;
            };
            match self.current.get(&key) {
                Some(value) => add.push((key, value.clone())),
                None => remove.push(key),
            }
        }
        self.version = self.version.saturating_add(1);
        self.schedule(now);
        Some(self.announcement(add, remove))
    }

    /// The renewal for all members, if it is due.
    pub fn renewal(&mut self, now: Instant) -> Option<Announcement<K, V>> {
        self.renew_at.filter(|at| *at <= now)?;
        self.schedule(now);
        Some(self.announcement(Vec::new(), Vec::new()))
    }

    /// When [`renewal`](Self::renewal) has something; `None` while no member is up.
    #[must_use]
    pub const fn next_renewal(&self) -> Option<Instant> {
        self.renew_at
    }

    /// Whether [`next_change`](Self::next_change) has something.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        !self.changed.is_empty()
    }

    /// What is said of `key`.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.current.get(key)
    }

    /// Of how many keys something is said.
    #[must_use]
    pub fn len(&self) -> usize {
        self.current.len()
    }

    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.current.is_empty()
    }

    /// Keeps what was announced of `key`, which was `before` until a moment ago.
    fn note(&mut self, key: K, before: Option<V>) {
        if self.members.is_empty() {
            return;
        }
        let announced = self.changed.entry(key.clone()).or_insert(before);
        if announced.as_ref() == self.current.get(&key) {
            self.changed.remove(&key);
        }
    }

    /// Plans the next renewal: within the last tenth before half of the lease, so that members do not renew together.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "an `Instant` saturates and no divisor is zero"
    )]
    fn schedule(&mut self, now: Instant) {
        let half = self.lease / 2;
        let tenth = u64::try_from((half / 10).as_nanos()).unwrap_or(u64::MAX);
        let early = Duration::from_nanos(self.random.below(tenth));
        self.renew_at = Some(now + half.saturating_sub(early).max(Duration::from_millis(1)));
    }

    fn announcement(&self, add: Vec<(K, V)>, remove: Vec<K>) -> Announcement<K, V> {
        Announcement {
            version: self.version,
            full: false,
            lease_ms: u32::try_from(self.lease.as_millis()).unwrap_or(u32::MAX),
            add,
            remove,
        }
    }
}
