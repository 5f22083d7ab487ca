//! The table of members.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use macula_wire::message::SignedAccusation;
use macula_wire::{Instant, NODE_ID_LEN, NodeId, Random};

use crate::altered::Altered;
use crate::digest::Digest;
use crate::index::Index;
use crate::kept::Kept;
use crate::member::{Counts, Member, State};
use crate::snapshot::Snapshot;

/// All members: found by id, by place or by chance without looking at all of them.
///
/// It is a shared snapshot, and what differs from it: members that changed or were forgotten, and members that came.
#[derive(Debug)]
pub(crate) struct Members {
    own: Member,
    base: Arc<Snapshot>,
    /// What is not as in the snapshot.
    altered: Altered,
    added: Vec<Member>,
    /// Where those that came stand.
    index: Index,
    counts: Counts,
    digest: Digest,
    /// Who is dead, and what shows it.
    dead: BTreeMap<NodeId, Option<Arc<SignedAccusation>>>,
    /// Who is dead or has left, the longest first.
    tombstones: BTreeSet<(Instant, NodeId)>,
}

impl Members {
    /// A table that holds its owner and those of `base`.
    pub(crate) fn new(own: Kept, base: Arc<Snapshot>, now: Instant) -> Self {
        let mut members = Self {
            digest: base.digest().clone(),
            own: Member::new(own, now),
            altered: Altered::default(),
            added: Vec::new(),
            index: Index::default(),
            counts: Counts::default(),
            dead: BTreeMap::new(),
            tombstones: BTreeSet::new(),
            base,
        };
        members.counts.alive = members.base.len();
        if let Some(place) = members.base.place(&members.own.node()) {
            if let Some(earlier) = members.base.at(place) {
                members.digest.toggle(earlier);
            }
            members.altered.insert(place, None);
        } else {
            members.count(State::Alive, 1);
        }
        members.digest.toggle(&members.own);
        members
    }

    /// How many members there are, this node included.
    pub(crate) fn len(&self) -> usize {
        let counts = self.counts;
        let gone = counts.dead.saturating_add(counts.left);
        counts.present().saturating_add(gone)
    }

    pub(crate) const fn counts(&self) -> Counts {
        self.counts
    }

    pub(crate) const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// This node first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Member> {
        let others = (0..self.places()).filter_map(|place| self.at(place));
        std::iter::once(&self.own).chain(others)
    }

    pub(crate) fn get(&self, node: &NodeId) -> Option<&Member> {
        if *node == self.own.node() {
            return Some(&self.own);
        }
        self.at(self.place(node)?)
    }

    /// Whether a member is taken for dead.
    pub(crate) fn is_dead(&self, node: &NodeId) -> bool {
        self.dead.contains_key(node)
    }

    /// What shows that a member is dead, if it is.
    pub(crate) fn evidence(&self, node: &NodeId) -> Option<Arc<SignedAccusation>> {
        self.dead.get(node)?.clone()
    }

    /// Keeps what shows that a member is dead, for as long as it is taken for that.
    pub(crate) fn set_evidence(&mut self, node: &NodeId, evidence: Arc<SignedAccusation>) {
        if let Some(kept) = self.dead.get_mut(node) {
            *kept = Some(evidence);
        }
    }

    fn place(&self, node: &NodeId) -> Option<u32> {
        let (first, added) = (self.base_len(), &self.added);
        let is = |place| stands_at(added, first, place, node);
        self.base.place(node).or_else(|| self.index.get(node, is))
    }

    /// How many places there are for others; not all of them are taken.
    pub(crate) fn places(&self) -> u32 {
        let places = self.base.len().saturating_add(self.added.len());
        u32::try_from(places).unwrap_or(u32::MAX)
    }

    fn base_len(&self) -> u32 {
        u32::try_from(self.base.len()).unwrap_or(u32::MAX)
    }

    /// The member at a place; places change when a member is forgotten.
    pub(crate) fn at(&self, place: u32) -> Option<&Member> {
        match place.checked_sub(self.base_len()) {
            Some(added) => self.added.get(usize::try_from(added).ok()?),
            None => match self.altered.get(place) {
                Some(altered) => altered.as_ref(),
                None => self.base.at(place),
            },
        }
    }

    /// A member to be changed in what its state and its version do not depend on.
    pub(crate) fn get_mut(&mut self, node: &NodeId) -> Option<&mut Member> {
        if *node == self.own.node() {
            return Some(&mut self.own);
        }
        let place = self.place(node)?;
        match place.checked_sub(self.base_len()) {
            Some(added) => self.added.get_mut(usize::try_from(added).ok()?),
            None => {
                let base = &self.base;
                let altered = self.altered.entry(place, || base.at(place).cloned());
                altered.as_mut()
            }
        }
    }

    /// Adds a member that is not in the table as alive; does nothing for one that is.
    pub(crate) fn insert(&mut self, kept: Kept, now: Instant) {
        let node = kept.node();
        if self.get(&node).is_some() {
            return;
        }
        let place = self.places();
        if place == u32::MAX {
            return;
        }
        let member = Member::new(kept, now);
        self.digest.toggle(&member);
        self.count(State::Alive, 1);
        if let Some(place) = self.base.place(&node) {
            self.altered.insert(place, Some(member));
        } else {
            let (first, added) = (self.base_len(), &self.added);
            let at = |place| node_at(added, first, place);
            self.index.insert(&node, place, at);
            self.added.push(member);
        }
    }

    /// Replaces the record of a member.
    pub(crate) fn set_record(&mut self, node: &NodeId, kept: Kept) {
        let Some(member) = self.get_mut(node) else {
            return;
        };
        let before = member.clone();
        member.kept = kept;
        let after = member.clone();
        if before.state().is_present() {
            self.digest.toggle(&before);
            self.digest.toggle(&after);
        }
    }

    /// Changes the state of a member; its time in the state starts anew even if it is the same.
    pub(crate) fn set_state(&mut self, node: &NodeId, state: State, now: Instant) {
        let Some(member) = self.get_mut(node) else {
            return;
        };
        let (before, since) = (member.state(), member.since());
        member.enter(state, now);
        let member = member.clone();
        if before.is_present() != state.is_present() {
            self.digest.toggle(&member);
        }
        self.count(before, -1);
        self.count(state, 1);
        self.tombstones.remove(&(since, *node));
        let evidence = self.dead.remove(node).flatten();
        if !state.is_present() {
            self.tombstones.insert((member.since(), *node));
        }
        if state == State::Dead {
            self.dead.insert(*node, evidence);
        }
    }

    /// Forgets another member that is dead or has left.
    pub(crate) fn remove(&mut self, node: &NodeId) {
        let (Some(place), Some(member)) = (self.place(node), self.get(node).cloned()) else {
            return;
        };
        if *node == self.own.node() {
            return;
        }
        self.count(member.state(), -1);
        if member.state().is_present() {
            self.digest.toggle(&member);
        }
        self.dead.remove(node);
        self.tombstones.remove(&(member.since(), *node));
        let Some(added) = place.checked_sub(self.base_len()) else {
            self.altered.insert(place, None);
            return;
        };
        let (first, members) = (self.base_len(), &self.added);
        let at = |place| node_at(members, first, place);
        self.index.remove(node, at);
        let Ok(at) = usize::try_from(added) else {
            return;
        };
        let last = self.places().saturating_sub(1);
        if at < self.added.len() {
            self.added.swap_remove(at);
        }
        if let Some(moved) = self.added.get(at) {
            self.index.moved(&moved.node(), last, place);
        }
    }

    /// Who is dead or has left for the longest, and since when.
    pub(crate) fn oldest_tombstone(&self) -> Option<(Instant, NodeId)> {
        self.tombstones.first().copied()
    }

    /// One of the dead, by chance.
    pub(crate) fn any_dead(&self, random: &mut Random) -> Option<NodeId> {
        let mut bytes = [0; NODE_ID_LEN];
        random.fill(&mut bytes);
        let behind = self.dead.range(NodeId::from_bytes(bytes)..).next();
        let (node, _) = behind.or_else(|| self.dead.first_key_value())?;
        Some(*node)
    }

    /// The members whose id begins with `byte`, in no order.
    pub(crate) fn bucket(&self, byte: u8) -> impl Iterator<Item = &Member> {
        let of_base = self.base.bucket(byte).filter_map(|place| self.at(place));
        let begins = move |member: &&Member| member.node().as_bytes().first() == Some(&byte);
        let added = self.index.near(byte).filter_map(|place| self.at(place));
        let others = std::iter::once(&self.own).chain(added).filter(begins);
        of_base.chain(others)
    }

    fn count(&mut self, state: State, change: isize) {
        let count = self.counts.of_mut(state);
        *count = count.saturating_add_signed(change);
    }
}

/// Whether a node stands at a place, in a list of which the first member has the place `first`.
pub(crate) fn stands_at(members: &[Member], first: u32, place: u32, node: &NodeId) -> bool {
    let place = place.checked_sub(first).map(usize::try_from);
    let member = place.and_then(|place| members.get(place.ok()?));
    member.is_some_and(|member| member.kept.is_of(node))
}

/// Who stands at a place, in a list of which the first member has the place `first`.
pub(crate) fn node_at(members: &[Member], first: u32, place: u32) -> Option<NodeId> {
    let member = members.get(usize::try_from(place.checked_sub(first)?).ok()?);
    member.map(Member::node)
}

#[cfg(test)]
pub(crate) mod tests {
    use macula_testkit::{StubSigner, node_id};
    use macula_wire::message::SignedRecord;
    use macula_wire::{Epoch, RealmName};

    use super::*;
    use crate::OwnRecord;
    use crate::own::Pen;

    pub(crate) fn record(number: usize) -> Arc<SignedRecord> {
        let realm = RealmName::new("be.acme").unwrap();
        let pen = Pen::new(realm, Arc::new(StubSigner::new(node_id(number))));
        let own = OwnRecord::new(Epoch::new(1)).into_record(node_id(number));
        pen.record(own).unwrap()
    }

    pub(crate) fn kept(number: usize) -> Kept {
        Kept::new(&record(number)).unwrap()
    }

    #[expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
    fn check(members: &Members) {
        let mut digest = Digest::default();
        for member in members.iter() {
            assert_eq!(members.get(&member.node()).unwrap().since(), member.since());
            if member.state().is_present() {
                digest.toggle(member);
            }
        }
        let counts = members.counts();
        assert_eq!(
            counts.present() + counts.dead + counts.left,
            members.iter().count(),
            "{counts:?}"
        );
        assert_eq!(members.len(), members.iter().count());
        assert_eq!(members.tombstones.len(), counts.dead + counts.left);
        assert_eq!(members.dead.len(), counts.dead);
        assert_eq!(digest.view(), members.digest.view());
        let buckets = (0..=255).flat_map(|byte| members.bucket(byte)).count();
        assert_eq!(buckets, members.len());
    }

    /// A table of ten, of which the first `shared` come from a snapshot.
    fn table(shared: usize) -> Members {
        let base = Snapshot::new((0..shared).map(record).collect());
        let mut members = Members::new(kept(0), Arc::new(base), Instant::ZERO);
        (0..10).for_each(|number| members.insert(kept(number), Instant::from_millis(1)));
        check(&members);
        members
    }

    #[test]
    fn the_table_is_the_same_whatever_part_of_it_is_shared() {
        let now = Instant::from_millis;
        let mut views = BTreeSet::new();
        for shared in 0..=10 {
            let mut members = table(shared);
            assert_eq!(members.len(), 10);
            assert_eq!(members.iter().next().unwrap().node(), node_id(0));
            members.set_state(&node_id(3), State::Dead, now(3));
            members.set_state(&node_id(9), State::Left, now(4));
            members.set_state(&node_id(5), State::Dead, now(5));
            check(&members);
            assert_eq!(members.oldest_tombstone(), Some((now(3), node_id(3))));
            members.remove(&node_id(3));
            members.remove(&node_id(9));
            members.remove(&node_id(0));
            check(&members);
            assert!(members.get(&node_id(3)).is_none());
            members.set_state(&node_id(5), State::Alive, now(6));
            check(&members);
            assert_eq!(members.oldest_tombstone(), None);
            assert_eq!(members.counts().alive, 8);
            members.insert(kept(3), now(7));
            check(&members);
            views.insert(members.digest.view());
        }
        assert_eq!(views.len(), 1, "equal views have one digest");
    }

    #[test]
    fn the_dead_are_chosen_by_chance() {
        let mut random = Random::new(1);
        let mut members = table(5);
        assert_eq!(members.any_dead(&mut random), None);
        for number in 1..9 {
            members.set_state(&node_id(number), State::Dead, Instant::ZERO);
        }
        let found: BTreeSet<_> = (0..500)
            .filter_map(|_| members.any_dead(&mut random))
            .collect();
        assert_eq!(found.len(), 8);
    }
}
