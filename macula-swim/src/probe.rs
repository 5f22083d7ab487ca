//! Probes under way.

use std::collections::BTreeMap;

use macula_wire::{Epoch, Incarnation, Instant, NodeId, ProbeId, Random};

/// Which ways a probe has gone so far.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Way {
    /// A datagram to the target.
    Direct,
    /// The same on the way on which nothing is lost.
    Repeated,
    /// By others, too.
    Helped,
}

/// One attempt to hear from a member.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub(crate) target: NodeId,
    pub(crate) sent: Instant,
    /// Which way it goes.
    pub(crate) way: Way,
    /// When it has failed.
    pub(crate) deadline: Instant,
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
    /// Whether the target was asked; if not, its link is waited for.
    pub(crate) asked: bool,
}

/// All probes.
#[derive(Debug)]
pub(crate) struct Probes {
    next: ProbeId,
    running: BTreeMap<ProbeId, Probe>,
    relays: BTreeMap<ProbeId, Relay>,
}

impl Probes {
    /// No probe; numbers start by chance, so that those of two runs of a node differ; below 2^31,
    /// because small numbers are short.
    pub(crate) fn new(random: &mut Random) -> Self {
        Self {
            next: ProbeId::new(random.below(1 << 31)),
            running: BTreeMap::new(),
            relays: BTreeMap::new(),
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

    /// The probes on behalf of others that wait for a link to `target`, which are asked from now on.
    pub(crate) fn ask_waiting(&mut self, target: &NodeId) -> Vec<ProbeId> {
        let mut waiting = Vec::new();
        for (number, relay) in &mut self.relays {
            if relay.target == *target && !relay.asked {
                relay.asked = true;
                waiting.push(*number);
            }
        }
        waiting
    }

    pub(crate) fn end_relay(&mut self, number: ProbeId) {
        self.relays.remove(&number);
    }

    pub(crate) fn relays(&self) -> usize {
        self.relays.len()
    }

    /// How many probes are under way on behalf of one peer.
    pub(crate) fn relays_of(&self, origin: &NodeId) -> usize {
        let own = |relay: &&Relay| relay.origin == *origin;
        self.relays.values().filter(own).count()
    }

    /// Gives everything under way up without a verdict; answers with the numbers.
    pub(crate) fn void(&mut self) -> Vec<ProbeId> {
        let running = std::mem::take(&mut self.running);
        let relays = std::mem::take(&mut self.relays);
        running.into_keys().chain(relays.into_keys()).collect()
    }
}
