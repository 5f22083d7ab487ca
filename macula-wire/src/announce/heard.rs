//! The listening side: what the other members have said of themselves.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use thiserror::Error;

use super::Announcement;
use crate::{Instant, NodeId};

/// The shortest lease that is kept; a shorter one counts as this.
const MIN_LEASE: Duration = Duration::from_secs(1);

/// What the other members have announced, until they go or their leases end.
#[derive(Clone, Debug)]
pub struct Heard<K, V> {
    limits: HeardLimits,
    members: BTreeMap<NodeId, Statement<K, V>>,
    /// The end of each member's lease.
    ends: BTreeSet<(Instant, NodeId)>,
}

/// How much is kept of what others announce.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "filled in by the crates that own the configuration"
)]
pub struct HeardLimits {
    /// The most members; a further one is refused with [`Offence::TooManyMembers`].
    pub max_members: usize,
    /// The most entries of one member; a message that leads beyond is refused with [`Offence::TooMany`].
    pub max_entries: usize,
    /// The longest lease; a longer one counts as this.
    pub max_lease: Duration,
}

/// What one member has said.
#[derive(Clone, Debug)]
struct Statement<K, V> {
    version: u64,
    ends: Instant,
    entries: BTreeMap<K, V>,
}

/// What a message or an end changed; only what differs from before.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "two lists, read by the caller")]
pub struct Changes<K, V> {
    /// Entries that are new or have a new value, ascending.
    pub set: Vec<(K, V)>,
    /// Entries that are gone, ascending.
    pub unset: Vec<K>,
}

impl<K, V> Default for Changes<K, V> {
    fn default() -> Self {
        Self {
            set: Vec::new(),
            unset: Vec::new(),
        }
    }
}

/// How a member broke the rules of announcements. Nothing of the message was applied, its lease is not extended.
///
/// On a stream that keeps its order only a faulty member does this, so the link is to be closed; on a new link
/// everything is said anew.
#[derive(Clone, Copy, Debug, Eq, Error, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Offence {
    /// A key is added and removed at once.
    #[error("a name is both added and removed")]
    Contradiction,
    /// The keys of a list do not strictly ascend.
    #[error("names do not ascend")]
    Disorder,
    /// The sender claims the identity of this member.
    #[error("the sender claims this member's identity")]
    OwnIdentity,
    /// A version is missing between the last message and this one.
    #[error("a version was skipped")]
    Skipped,
    /// More entries than [`HeardLimits::max_entries`].
    #[error("more names than the limit")]
    TooMany,
    /// More members than [`HeardLimits::max_members`].
    #[error("more members than the limit")]
    TooManyMembers,
    /// A change without a full statement before it.
    #[error("a change without a full statement before it")]
    WithoutFull,
}

impl<K: Clone + Ord, V: Clone + Eq> Heard<K, V> {
    /// Has heard nothing.
    #[must_use]
    pub const fn new(limits: HeardLimits) -> Self {
        Self {
            limits,
            members: BTreeMap::new(),
            ends: BTreeSet::new(),
        }
    }

    /// Takes in what `from` announces.
    ///
    /// A full statement replaces all that was known. A change with the version that is known already, as the further
    /// parts of a full statement and renewals have it, or with the next one is applied. One with an older version is
    /// ignored: a later statement covers it.
    ///
    /// # Errors
    ///
    /// [`Offence`]; what is known of the member is unchanged.
    pub fn hear(
        &mut self,
        now: Instant,
        from: NodeId,
        announcement: Announcement<K, V>,
    ) -> Result<Changes<K, V>, Offence> {
        check_order(&announcement)?;
        let version = announcement.version;
        if !announcement.full {
            let known = self.members.get(&from).ok_or(Offence::WithoutFull)?.version;
            if version < known {
                return Ok(Changes::default());
            }
            if version > known.saturating_add(1) {
                return Err(Offence::Skipped);
            }
        }
        self.check_room(&from, &announcement)?;
        let lease = Duration::from_millis(u64::from(announcement.lease_ms));
        let ends = after(now, lease.min(self.limits.max_lease).max(MIN_LEASE));
        let statement = self.members.entry(from).or_insert_with(|| Statement {
            version,
            ends,
            entries: BTreeMap::new(),
        });
        self.ends.remove(&(statement.ends, from));
        self.ends.insert((ends, from));
        statement.ends = ends;
        statement.version = version;
        Ok(statement.apply(announcement))
    }

    /// Forgets `member`, which is gone, and says what it had announced, ascending.
    pub fn forget(&mut self, member: &NodeId) -> Vec<K> {
        let Some(statement) = self.members.remove(member) else {
            return Vec::new();
        };
        self.ends.remove(&(statement.ends, *member));
        statement.entries.into_keys().collect()
    }

    /// Forgets the next member whose lease has ended by `now`, and says what it had announced.
    pub fn expire(&mut self, now: Instant) -> Option<(NodeId, Vec<K>)> {
        let (_, member) = *self.ends.first().filter(|(ends, _)| *ends <= now)?;
        let keys = self.forget(&member);
        Some((member, keys))
    }

    /// When [`expire`](Self::expire) has something; `None` while nothing is known.
    #[must_use]
    pub fn next_end(&self) -> Option<Instant> {
        self.ends.first().map(|(ends, _)| *ends)
    }

    /// What `member` announces, ascending.
    pub fn of(&self, member: &NodeId) -> impl Iterator<Item = (&K, &V)> {
        self.members
            .get(member)
            .into_iter()
            .flat_map(|statement| &statement.entries)
    }

    /// The members of which something is known, an empty statement included, ascending.
    pub fn members(&self) -> impl Iterator<Item = &NodeId> {
        self.members.keys()
    }

    fn check_room(&self, from: &NodeId, announcement: &Announcement<K, V>) -> Result<(), Offence> {
        let known = self.members.get(from);
        if known.is_none() && self.members.len() >= self.limits.max_members {
            return Err(Offence::TooManyMembers);
        }
        let kept = known
            .filter(|_| !announcement.full)
            .map(|known| &known.entries);
        let holds = |key: &K| kept.is_some_and(|entries| entries.contains_key(key));
        let new = announcement
            .add
            .iter()
            .filter(|(key, _)| !holds(key))
            .count();
        let gone = announcement.remove.iter().filter(|key| holds(key)).count();
        let entries = kept
            .map_or(0, BTreeMap::len)
            .saturating_add(new)
            .saturating_sub(gone);
        if entries > self.limits.max_entries {
            return Err(Offence::TooMany);
        }
        Ok(())
    }
}

impl<K: Clone + Ord, V: Clone + Eq> Statement<K, V> {
    fn apply(&mut self, announcement: Announcement<K, V>) -> Changes<K, V> {
        let mut changes = Changes::default();
        if announcement.full {
            let said: BTreeSet<&K> = announcement.add.iter().map(|(key, _)| key).collect();
            let gone = self.entries.keys().filter(|key| !said.contains(key));
            changes.unset = gone.cloned().collect();
            for key in &changes.unset {
                self.entries.remove(key);
            }
        }
        for key in announcement.remove {
            if let Some((key, _)) = self.entries.remove_entry(&key) {
                changes.unset.push(key);
            }
        }
        for (key, value) in announcement.add {
            if self.entries.get(&key) != Some(&value) {
                self.entries.insert(key.clone(), value.clone());
                changes.set.push((key, value));
            }
        }
        changes
    }
}

#[expect(clippy::arithmetic_side_effects, reason = "an `Instant` saturates")]
fn after(now: Instant, time: Duration) -> Instant {
    now + time
}

fn check_order<K: Ord, V>(announcement: &Announcement<K, V>) -> Result<(), Offence> {
    let added = || announcement.add.iter().map(|(key, _)| key);
    let ascending =
        added().is_sorted_by(|a, b| a < b) && announcement.remove.iter().is_sorted_by(|a, b| a < b);
    if !ascending {
        return Err(Offence::Disorder);
    }
    let mut removed = announcement.remove.iter().peekable();
    for key in added() {
        while removed.next_if(|other| *other < key).is_some() {}
        if removed.peek() == Some(&key) {
            return Err(Offence::Contradiction);
        }
    }
    Ok(())
}
