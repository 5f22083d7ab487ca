//! Probes under way, and whose turn it is.

use std::collections::BTreeMap;

use macula_wire::{Epoch, Incarnation, NodeId, ProbeId, Random};

/// One attempt to hear from a member.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub(crate) target: NodeId,
    /// The version of the target's record when the probe began: a later one shows that it lives.
    pub(crate) version: (Epoch, Incarnation),
    /// Who was asked to probe as well.
    pub(crate) helpers: Vec<NodeId>,
    /// How many of them said that they are there, but have no answer either.
    pub(crate) nacks: usize,
}

/// A probe on behalf of another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Relay {
    /// Who asked.
    pub(crate) origin: NodeId,
    /// The number of its probe.
    pub(crate) probe: ProbeId,
    pub(crate) target: NodeId,
}

/// All probes, and the order of the round.
#[derive(Debug)]
pub(crate) struct Probes {
    next: ProbeId,
    running: BTreeMap<ProbeId, Probe>,
    relays: BTreeMap<ProbeId, Relay>,
    round: Vec<NodeId>,
    turn: usize,
}

impl Probes {
    /// No probe; numbers start by chance, so that those of two runs of a node differ.
    pub(crate) fn new(random: &mut Random) -> Self {
        Self {
            next: ProbeId::new(random.next_u64() >> 1),
            running: BTreeMap::new(),
            relays: BTreeMap::new(),
            round: Vec::new(),
            turn: 0,
        }
    }

    /// A number that was not used before.
    pub(crate) const fn number(&mut self) -> ProbeId {
        self.next = self.next.next();
        self.next
    }

    pub(crate) fn start(&mut self, number: ProbeId, probe: Probe) {
        self.running.insert(number, probe);
    }

    pub(crate) fn get(&self, number: ProbeId) -> Option<&Probe> {
        self.running.get(&number)
    }

    pub(crate) fn get_mut(&mut self, number: ProbeId) -> Option<&mut Probe> {
        self.running.get_mut(&number)
    }

    pub(crate) fn end(&mut self, number: ProbeId) -> Option<Probe> {
        self.running.remove(&number)
    }

    pub(crate) fn is_probing(&self, target: &NodeId) -> bool {
        self.running.values().any(|probe| probe.target == *target)
    }

    pub(crate) fn running(&self) -> usize {
        self.running.len()
    }

    pub(crate) fn start_relay(&mut self, number: ProbeId, relay: Relay) {
        self.relays.insert(number, relay);
    }

    pub(crate) fn relay(&self, number: ProbeId) -> Option<Relay> {
        self.relays.get(&number).copied()
    }

    pub(crate) fn end_relay(&mut self, number: ProbeId) {
        self.relays.remove(&number);
    }

    pub(crate) fn relays(&self) -> usize {
        self.relays.len()
    }

    /// Gives everything under way up without a verdict; answers with the numbers.
    pub(crate) fn void(&mut self) -> Vec<ProbeId> {
        let running = std::mem::take(&mut self.running);
        let relays = std::mem::take(&mut self.relays);
        running.into_keys().chain(relays.into_keys()).collect()
    }

    /// Lets a new member have its turn in this round, at a place by chance.
    pub(crate) fn enter(&mut self, node: NodeId, random: &mut Random) {
        self.round.push(node);
        let last = self.round.len().saturating_sub(1);
        let places = self.round.len().saturating_sub(self.turn.min(last));
        let place = self.turn.min(last).saturating_add(random.index(places));
        self.round.swap(place, last);
    }

    /// Whose turn it is; `None` at the end of the round.
    pub(crate) fn turn(&mut self) -> Option<NodeId> {
        let node = self.round.get(self.turn).copied();
        self.turn = self.turn.saturating_add(1);
        node
    }

    /// Begins a round over `nodes` in an order by chance.
    pub(crate) fn begin_round(&mut self, nodes: impl Iterator<Item = NodeId>, random: &mut Random) {
        self.round.clear();
        self.round.extend(nodes);
        random.shuffle(&mut self.round);
        self.turn = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use macula_testkit::node_id;

    use super::*;

    #[test]
    fn everybody_has_one_turn_in_a_round_and_newcomers_too() {
        let mut random = Random::new(1);
        let mut probes = Probes::new(&mut random);
        probes.begin_round((0..5).map(node_id), &mut random);
        let mut seen: Vec<_> = (0..3).filter_map(|_| probes.turn()).collect();
        probes.enter(node_id(7), &mut random);
        probes.enter(node_id(8), &mut random);
        seen.extend(std::iter::from_fn(|| probes.turn()));
        assert_eq!(seen.len(), 7);
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 7);
    }

    #[test]
    fn each_round_has_an_order_of_its_own() {
        let mut random = Random::new(3);
        let mut probes = Probes::new(&mut random);
        let nodes: Vec<_> = (0..20).map(node_id).collect();
        let mut round = || {
            probes.begin_round(nodes.iter().copied(), &mut random);
            std::iter::from_fn(|| probes.turn()).collect::<Vec<_>>()
        };
        let (first, second) = (round(), round());
        assert!(first != nodes && second != nodes && first != second);
    }

    #[test]
    fn a_newcomer_behind_a_finished_round_is_kept() {
        let mut random = Random::new(2);
        let mut probes = Probes::new(&mut random);
        assert_eq!(probes.turn(), None);
        probes.enter(node_id(1), &mut random);
        probes.begin_round(std::iter::once(node_id(1)), &mut random);
        assert_eq!(probes.turn(), Some(node_id(1)));
    }
}
