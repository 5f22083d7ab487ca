//! Who wants what: the subscribers of this node, and the other members as far as they said.

use std::collections::BTreeMap;

use macula_wire::announce::{Announcer, Changes, Heard, HeardLimits, Offence};
use macula_wire::message::Interest;
use macula_wire::{Instant, NodeId, Pattern, Random};

use crate::trie::Trie;
use crate::{Config, Destination};

/// The interest of everybody, as the tree that tables are made of, and what is still to be said of our own.
///
/// What a node tells of itself under reserved names stays on the node: interest in it is neither announced nor heard.
///
/// Methods that may change the tree say whether they did.
#[derive(Debug)]
pub(crate) struct Interests {
    /// How many subscriptions of a destination on this node have a pattern.
    wanted: BTreeMap<(Pattern, Destination), u32>,
    announcer: Announcer<Pattern, ()>,
    heard: Heard<Pattern, ()>,
    trie: Trie<Destination>,
}

impl Interests {
    pub(crate) fn new(config: &Config, random: Random) -> Self {
        let limits = HeardLimits {
            max_members: config.max_members,
            max_entries: config.max_patterns,
            max_lease: config.max_lease,
        };
        Self {
            wanted: BTreeMap::new(),
            announcer: Announcer::new(config.lease, random),
            heard: Heard::new(limits),
            trie: Trie::default(),
        }
    }

    /// A subscription of this node more.
    pub(crate) fn add(&mut self, pattern: &Pattern, destination: Destination) -> bool {
        let count = self
            .wanted
            .entry((pattern.clone(), destination))
            .or_insert(0);
        *count = count.saturating_add(1);
        if *count > 1 {
            return false;
        }
        if !pattern.is_reserved() && self.announcer.get(pattern).is_none() {
            self.announcer.set(pattern.clone(), ());
        }
        self.trie.insert(pattern, destination)
    }

    /// A subscription of this node less.
    pub(crate) fn remove(&mut self, pattern: &Pattern, destination: Destination) -> bool {
        let key = (pattern.clone(), destination);
        match self.wanted.get_mut(&key) {
            None => return false,
            Some(count) if *count > 1 => {
                *count = count.saturating_sub(1);
                return false;
            }
            Some(_) => self.wanted.remove(&key),
        };
        let first = (pattern.clone(), Destination::FIRST);
        let next = self.wanted.range(first..).next();
        if next.is_none_or(|((next, _), _)| next != pattern) {
            self.announcer.unset(pattern);
        }
        self.trie.remove(pattern, &destination)
    }

    /// What `member` has to be told at the start.
    pub(crate) fn member_up(
        &mut self,
        now: Instant,
        member: NodeId,
    ) -> impl Iterator<Item = Interest> + use<> {
        self.announcer
            .member_up(now, member)
            .into_iter()
            .map(Into::into)
    }

    pub(crate) fn member_down(&mut self, member: &NodeId) -> bool {
        self.announcer.member_down(member);
        let gone = self.heard.forget(member);
        self.forget(*member, &gone)
    }

    pub(crate) fn hear(
        &mut self,
        now: Instant,
        from: NodeId,
        interest: Interest,
    ) -> Result<bool, Offence> {
        let Changes { set, unset } = self.heard.hear(now, from, interest.into())?;
        let mut changed = self.forget(from, &unset);
        for (pattern, ()) in set {
            if pattern.is_reserved() {
                continue;
            }
            changed |= self.trie.insert(&pattern, Destination::Member(from));
        }
        Ok(changed)
    }

    /// Forgets what nobody renewed.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        let mut changed = false;
        while let Some((member, gone)) = self.heard.expire(now) {
            changed |= self.forget(member, &gone);
        }
        changed
    }

    /// The renewal for all members, if it is due.
    pub(crate) fn renewal(&mut self, now: Instant) -> Option<Interest> {
        self.announcer.renewal(now).map(Into::into)
    }

    /// The next part of what changed, for all members.
    pub(crate) fn next_change(&mut self, now: Instant) -> Option<Interest> {
        self.announcer.next_change(now).map(Into::into)
    }

    /// When a lease ends or a renewal is due.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let renewal = self.announcer.next_renewal();
        renewal.into_iter().chain(self.heard.next_end()).min()
    }

    /// The distinct patterns that this node announces.
    pub(crate) fn own_patterns(&self) -> usize {
        self.announcer.len()
    }

    /// Whether this node announces `pattern`.
    pub(crate) fn is_own(&self, pattern: &Pattern) -> bool {
        self.announcer.get(pattern).is_some()
    }

    pub(crate) fn of(&self, member: &NodeId) -> impl Iterator<Item = &Pattern> {
        self.heard.of(member).map(|(pattern, ())| pattern)
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &NodeId> {
        self.heard.members()
    }

    pub(crate) fn snapshot(&self) -> Trie<Destination> {
        self.trie.clone()
    }

    fn forget(&mut self, member: NodeId, patterns: &[Pattern]) -> bool {
        let mut changed = false;
        for pattern in patterns {
            changed |= self.trie.remove(pattern, &Destination::Member(member));
        }
        changed
    }
}
