//! Who of a group gets an event.

use std::collections::BTreeMap;

use macula_wire::message::Balance;
use macula_wire::{NodeId, Random};

use super::channel::Reach;
use super::{GroupOffer, Replay};
use crate::Destination;

/// What is remembered of one group.
#[derive(Debug, Default)]
struct Group {
    /// Who got the last event.
    last: Option<Destination>,
    /// How many events each has that are not settled.
    inflight: BTreeMap<Destination, u64>,
}

/// Chooses for all groups of one node.
#[derive(Debug)]
pub(super) struct Picker {
    groups: BTreeMap<String, Group>,
    own: NodeId,
    max_groups: usize,
    random: Random,
}

impl<T: Clone> Replay<T> {
    /// Who gets the event of a group first.
    pub(super) fn pick_first(&mut self, group: &mut GroupOffer) -> Option<Destination> {
        let chosen = group.chosen.take();
        let chosen = chosen.filter(|one| group.candidates.contains(one));
        match chosen {
            Some(chosen) => {
                self.picker.choose(&group.name, chosen);
                Some(chosen)
            }
            None => self.pick(group),
        }
    }

    pub(super) fn pick(&mut self, group: &GroupOffer) -> Option<Destination> {
        let is_up = |to: &&Destination| match self.reach.get(to) {
            Some(Reach::Down(_)) => false,
            Some(Reach::Up) => true,
            None => !matches!(to, Destination::Member(_)),
        };
        let up: Vec<Destination> = group.candidates.iter().filter(is_up).copied().collect();
        let candidates = if up.is_empty() {
            &group.candidates
        } else {
            &up
        };
        self.picker
            .pick(&group.name, group.balance, candidates, group.key)
    }
}

impl Picker {
    pub(super) const fn new(own: NodeId, max_groups: usize, random: Random) -> Self {
        Self {
            groups: BTreeMap::new(),
            own,
            max_groups,
            random,
        }
    }

    pub(super) const fn own(&self) -> NodeId {
        self.own
    }

    /// One of `candidates`. `None` only if there are none.
    pub(super) fn pick(
        &mut self,
        name: &str,
        balance: Balance,
        candidates: &[Destination],
        key: u64,
    ) -> Option<Destination> {
        if !self.groups.contains_key(name) {
            self.make_room();
        }
        let random = &mut self.random;
        let own = self.own;
        let group = self.groups.entry(name.to_owned()).or_default();
        let chosen = match balance {
            Balance::RoundRobin => group.after_last(candidates),
            Balance::Random => candidates
                .get(random.index(candidates.len().max(1)))
                .copied(),
            Balance::Sticky => match group.last {
                Some(last) if candidates.contains(&last) => Some(last),
                _ => group.after_last(candidates),
            },
            Balance::LeastInflight => {
                let load = |one: &Destination| group.inflight.get(one).copied().unwrap_or(0);
                let least = candidates.iter().map(load).min();
                let free = candidates.iter().filter(|one| Some(load(one)) == least);
                group.after_last(&free.copied().collect::<Vec<_>>())
            }
            Balance::Hash => {
                let weight = |one: &Destination| (weight(key, node_of(own, *one)), *one);
                candidates.iter().copied().max_by_key(weight)
            }
            Balance::LocalFirst => {
                let is_here = |one: &&Destination| !matches!(one, Destination::Member(_));
                let here: Vec<_> = candidates.iter().filter(is_here).copied().collect();
                group.after_last(if here.is_empty() { candidates } else { &here })
            }
            Balance::Failover => {
                let order = |one: &Destination| (node_of(own, *one), *one);
                candidates.iter().copied().min_by_key(order)
            }
        };
        if let Some(chosen) = chosen {
            group.last = Some(chosen);
            let inflight = group.inflight.entry(chosen).or_insert(0);
            *inflight = inflight.saturating_add(1);
        }
        chosen
    }

    /// An event of a group goes to `chosen`, whose turn that was.
    pub(super) fn choose(&mut self, name: &str, chosen: Destination) {
        if !self.groups.contains_key(name) {
            self.make_room();
        }
        let group = self.groups.entry(name.to_owned()).or_default();
        group.last = Some(chosen);
        let inflight = group.inflight.entry(chosen).or_insert(0);
        *inflight = inflight.saturating_add(1);
    }

    /// An event of a group is settled at `by`, or taken from it.
    pub(super) fn settled(&mut self, name: &str, by: Destination) {
        if let Some(group) = self.groups.get_mut(name)
            && let Some(inflight) = group.inflight.get_mut(&by)
        {
            *inflight = inflight.saturating_sub(1);
            if *inflight == 0 {
                group.inflight.remove(&by);
            }
        }
    }

    /// A group of which nothing is under way loses its turn, where there are too many.
    fn make_room(&mut self) {
        if self.groups.len() >= self.max_groups.max(1) {
            let idle = self
                .groups
                .iter()
                .find(|(_, group)| group.inflight.is_empty());
            let name = idle
                .or_else(|| self.groups.iter().next())
                .map(|(name, _)| name.clone());
            if let Some(name) = name {
                self.groups.remove(&name);
            }
        }
    }
}

impl Group {
    /// The candidate whose turn follows the last one's.
    fn after_last(&self, candidates: &[Destination]) -> Option<Destination> {
        let later = candidates
            .iter()
            .filter(|one| Some(**one) > self.last)
            .min();
        later.or_else(|| candidates.iter().min()).copied()
    }
}

/// On which node a candidate is, so that every publisher of the realm orders them alike.
const fn node_of(own: NodeId, candidate: Destination) -> NodeId {
    match candidate {
        Destination::Local(_) | Destination::Session(_) => own,
        Destination::Member(node) => node,
    }
}

/// Who has the greatest weight gets a key: that does not change when others come and go.
fn weight(key: u64, node: NodeId) -> u64 {
    let each = node.as_bytes().chunks(8);
    each.fold(mix(key), |sum, part| {
        let part = part
            .iter()
            .fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        mix(sum ^ part)
    })
}

/// Spreads the bits of a number (the finaliser of SplitMix64).
const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LocalId;

    fn local(id: u64) -> Destination {
        Destination::Local(LocalId::new(id))
    }

    fn member(id: u8) -> Destination {
        Destination::Member(NodeId::from_bytes([id; 32]))
    }

    fn picks(balance: Balance, candidates: &[Destination], keys: &[u64]) -> Vec<Destination> {
        let mut picker = Picker::new(NodeId::from_bytes([1; 32]), 4, Random::new(1));
        let each = keys.iter();
        each.map(|key| picker.pick("g", balance, candidates, *key).unwrap())
            .collect()
    }

    #[test]
    fn each_balance_does_what_it_says() {
        let all = [local(1), member(2), member(3)];
        let keys = [0; 6];
        let turns = [local(1), member(2), member(3)].repeat(2);
        assert_eq!(picks(Balance::RoundRobin, &all, &keys), turns);
        assert_eq!(picks(Balance::LeastInflight, &all, &keys), turns);
        assert_eq!(picks(Balance::Sticky, &all, &keys), [local(1)].repeat(6));
        assert_eq!(
            picks(Balance::LocalFirst, &all, &keys),
            [local(1)].repeat(6)
        );
        assert_eq!(picks(Balance::LocalFirst, &all[1..], &keys[..2]), all[1..]);
        assert_eq!(picks(Balance::Failover, &all, &keys), [local(1)].repeat(6));
        let random = picks(Balance::Random, &all, &[0; 60]);
        assert!(all.iter().all(|one| random.contains(one)));
    }

    #[test]
    fn a_key_keeps_its_subscriber_when_another_leaves() {
        let all: Vec<_> = (1..6).map(member).collect();
        let keys: Vec<u64> = (0..200).collect();
        let before = picks(Balance::Hash, &all, &keys);
        assert!(all.iter().all(|one| before.contains(one)));
        let after = picks(Balance::Hash, &all[..4], &keys);
        for (before, after) in before.iter().zip(after) {
            assert!(*before == after || *before == all[4]);
        }
    }

    #[test]
    fn the_least_busy_is_chosen() {
        let mut picker = Picker::new(NodeId::from_bytes([1; 32]), 4, Random::new(1));
        let all = [local(1), local(2)];
        let pick = |picker: &mut Picker| picker.pick("g", Balance::LeastInflight, &all, 0);
        assert_eq!(pick(&mut picker), Some(local(1)));
        assert_eq!(pick(&mut picker), Some(local(2)));
        picker.settled("g", local(2));
        assert_eq!(pick(&mut picker), Some(local(2)));
        assert_eq!(pick(&mut picker), Some(local(1)));
    }

    #[test]
    fn groups_beyond_the_bound_take_the_place_of_idle_ones() {
        let mut picker = Picker::new(NodeId::from_bytes([1; 32]), 2, Random::new(1));
        for name in 0..100 {
            assert!(
                picker
                    .pick(&name.to_string(), Balance::Sticky, &[local(1)], 0)
                    .is_some()
            );
        }
        assert!(picker.groups.len() <= 2);
        assert_eq!(picker.pick("g", Balance::Sticky, &[], 0), None);
    }
}
