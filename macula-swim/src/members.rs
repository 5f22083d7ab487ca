//! The dense table of members.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use macula_wire::message::SignedRecord;
use macula_wire::{Instant, NodeId, Random};

use crate::member::{Counts, Member, MemberIndex, State};

/// All members: found by id in logarithmic time, by index or by chance in constant time.
#[derive(Debug)]
pub(crate) struct Members {
    list: Vec<Member>,
    by_id: BTreeMap<NodeId, MemberIndex>,
    counts: Counts,
    dead: BTreeSet<NodeId>,
    /// Who is dead or has left, the longest first.
    tombstones: BTreeSet<(Instant, NodeId)>,
}

impl Members {
    /// A table that holds its owner.
    pub(crate) fn new(own: Arc<SignedRecord>, now: Instant) -> Self {
        let mut members = Self {
            list: Vec::new(),
            by_id: BTreeMap::new(),
            counts: Counts::default(),
            dead: BTreeSet::new(),
            tombstones: BTreeSet::new(),
        };
        members.insert(own, now);
        members
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) const fn counts(&self) -> Counts {
        self.counts
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.list.iter()
    }

    pub(crate) fn get(&self, node: &NodeId) -> Option<&Member> {
        self.at(*self.by_id.get(node)?)
    }

    pub(crate) fn get_mut(&mut self, node: &NodeId) -> Option<&mut Member> {
        let index = usize::try_from(self.by_id.get(node)?.0).ok()?;
        self.list.get_mut(index)
    }

    pub(crate) fn at(&self, index: MemberIndex) -> Option<&Member> {
        self.list.get(usize::try_from(index.0).ok()?)
    }

    /// Adds a member that is not in the table as alive; does nothing for one that is.
    pub(crate) fn insert(&mut self, record: Arc<SignedRecord>, now: Instant) {
        let node = record.record.node;
        let Ok(index) = u32::try_from(self.list.len()) else {
            return;
        };
        if self.by_id.contains_key(&node) {
            return;
        }
        let index = MemberIndex(index);
        self.by_id.insert(node, index);
        self.list.push(Member::new(index, record, now));
        self.count(State::Alive, 1);
    }

    /// Changes the state of a member; its time in the state starts anew even if it is the same.
    pub(crate) fn set_state(&mut self, node: &NodeId, state: State, now: Instant) {
        let Some(member) = self.get_mut(node) else {
            return;
        };
        let (before, since) = (member.state, member.since);
        member.state = state;
        member.since = now;
        if state != State::Dead {
            member.evidence = None;
            member.told = None;
        }
        self.count(before, -1);
        self.count(state, 1);
        self.tombstones.remove(&(since, *node));
        self.dead.remove(node);
        if !state.is_present() {
            self.tombstones.insert((now, *node));
        }
        if state == State::Dead {
            self.dead.insert(*node);
        }
    }

    /// Forgets a member that is dead or has left.
    pub(crate) fn remove(&mut self, node: &NodeId) {
        let Some(member) = self.get(node) else {
            return;
        };
        let (index, state, since) = (member.index, member.state, member.since);
        self.count(state, -1);
        self.by_id.remove(node);
        self.dead.remove(node);
        self.tombstones.remove(&(since, *node));
        let Ok(at) = usize::try_from(index.0) else {
            return;
        };
        if at < self.list.len() {
            self.list.swap_remove(at);
        }
        if let Some(moved) = self.list.get_mut(at) {
            moved.index = index;
            self.by_id.insert(moved.node(), index);
        }
    }

    /// Who is dead or has left for the longest, and since when.
    pub(crate) fn oldest_tombstone(&self) -> Option<(Instant, NodeId)> {
        self.tombstones.first().copied()
    }

    /// The dead one behind `last`, all by turns.
    pub(crate) fn next_dead(&self, last: Option<NodeId>) -> Option<NodeId> {
        let behind = last.and_then(|last| {
            use std::ops::Bound::{Excluded, Unbounded};
            self.dead.range((Excluded(last), Unbounded)).next()
        });
        behind.or_else(|| self.dead.first()).copied()
    }

    /// Up to `count` different members by chance that `fits`; fewer if they are hard to find.
    pub(crate) fn sample(
        &self,
        random: &mut Random,
        count: usize,
        fits: impl Fn(&Member) -> bool,
    ) -> Vec<NodeId> {
        let mut found = Vec::new();
        // In a small table every member is seen, in a large one chance is good enough.
        if self.list.len() <= count.saturating_mul(8) {
            let all = self.list.iter().filter(|member| fits(member));
            found.extend(all.map(Member::node));
            random.shuffle(&mut found);
            found.truncate(count);
            return found;
        }
        for _ in 0..count.saturating_mul(8) {
            if found.len() >= count {
                break;
            }
            let member = self.list.get(random.index(self.list.len()));
            if let Some(member) = member.filter(|member| fits(member))
                && !found.contains(&member.node())
            {
                found.push(member.node());
            }
        }
        found
    }

    fn count(&mut self, state: State, change: isize) {
        let count = self.counts.of_mut(state);
        *count = count.saturating_add_signed(change);
    }
}

#[cfg(test)]
mod tests {
    use macula_testkit::{StubSigner, node_id};
    use macula_wire::{Epoch, RealmName};

    use super::*;
    use crate::OwnRecord;
    use crate::own::Pen;

    fn record(number: usize) -> Arc<SignedRecord> {
        let realm = RealmName::new("be.acme").unwrap();
        let pen = Pen::new(realm, Arc::new(StubSigner::new(node_id(number))));
        let own = OwnRecord::new(Epoch::new(1)).into_record(node_id(number));
        pen.record(own).unwrap()
    }

    #[expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
    fn check(members: &Members) {
        for (at, member) in members.iter().enumerate() {
            assert_eq!(member.index.get(), u32::try_from(at).unwrap());
            assert_eq!(members.get(&member.node()).unwrap().index, member.index);
        }
        let counts = members.counts();
        assert_eq!(
            counts.present() + counts.dead + counts.left,
            members.len(),
            "{counts:?}"
        );
        assert_eq!(members.tombstones.len(), counts.dead + counts.left);
        assert_eq!(members.dead.len(), counts.dead);
    }

    #[test]
    fn the_table_stays_dense() {
        let now = Instant::from_millis;
        let mut members = Members::new(record(0), now(0));
        for number in 1..10 {
            members.insert(record(number), now(1));
        }
        members.insert(record(3), now(2));
        assert_eq!(members.len(), 10);
        members.set_state(&node_id(3), State::Dead, now(3));
        members.set_state(&node_id(9), State::Left, now(4));
        members.set_state(&node_id(5), State::Dead, now(5));
        check(&members);
        assert_eq!(members.oldest_tombstone(), Some((now(3), node_id(3))));
        members.remove(&node_id(3));
        check(&members);
        assert_eq!(members.get(&node_id(9)).unwrap().index, MemberIndex(3));
        members.remove(&node_id(9));
        members.set_state(&node_id(5), State::Alive, now(6));
        check(&members);
        assert_eq!(members.oldest_tombstone(), None);
        assert_eq!(members.counts().alive, 8);
    }

    #[test]
    fn the_dead_take_turns() {
        let mut members = Members::new(record(0), Instant::ZERO);
        assert_eq!(members.next_dead(None), None);
        for number in 1..4 {
            members.insert(record(number), Instant::ZERO);
            members.set_state(&node_id(number), State::Dead, Instant::ZERO);
        }
        let mut seen = BTreeSet::new();
        let mut last = None;
        for _ in 0..3 {
            last = members.next_dead(last);
            seen.extend(last);
        }
        assert_eq!(seen.len(), 3);
    }

    #[test]
    fn a_sample_has_no_doubles_and_fits() {
        let mut members = Members::new(record(0), Instant::ZERO);
        for number in 1..100 {
            members.insert(record(number), Instant::ZERO);
        }
        let mut random = Random::new(1);
        for count in [0, 1, 3, 20] {
            let found = members.sample(&mut random, count, |member| member.index.get() != 0);
            assert_eq!(found.len(), count);
            assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), count);
            assert!(!found.contains(&node_id(0)));
        }
    }
}
