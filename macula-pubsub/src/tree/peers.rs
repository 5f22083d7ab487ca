//! The nodes that a tree has or wants links to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use macula_wire::NodeId;

use super::TreeConfig;

/// What is known of a node that has a link, or is wanted as a neighbour.
#[derive(Clone, Copy, Debug, Default)]
struct Peer {
    up: bool,
    lagging: bool,
    rtt: Option<Duration>,
    /// As a neighbour of how many topics it is wanted.
    wanted: usize,
}

/// All of them. Bounded by the links and by the neighbours of all topics.
#[derive(Debug, Default)]
pub(super) struct Peers {
    known: BTreeMap<NodeId, Peer>,
    absent: BTreeSet<NodeId>,
    patience: Patience,
}

/// By how much longer than usual what is late is waited for, because it did come in the end when others were asked.
///
/// Where packets are lost, a batch is late by a round trip for each loss on its way. Asking others for it then moves
/// branches about for nothing.
#[derive(Clone, Copy, Debug)]
struct Patience(u32);

impl Patience {
    /// In this unit, once the usual time.
    const ONE: u32 = 1_024;
    const MOST: u32 = 8 * Self::ONE;
    /// What one batch adds that came after others were asked, and what one takes away that came in time: about one in
    /// 64 is asked for in vain.
    const LATE: u32 = Self::ONE / 4;
    const TIMELY: u32 = Self::LATE / 64;
}

impl Default for Patience {
    fn default() -> Self {
        Self(Self::ONE)
    }
}

impl Peers {
    /// Whether events can be exchanged with a node.
    pub(super) fn usable(&self, node: &NodeId) -> bool {
        let peer = self.known.get(node);
        peer.is_some_and(|peer| peer.up && !peer.lagging) && !self.absent.contains(node)
    }

    pub(super) fn is_absent(&self, node: &NodeId) -> bool {
        self.absent.contains(node)
    }

    pub(super) fn absent(&self) -> &BTreeSet<NodeId> {
        &self.absent
    }

    /// How long to wait for what `node` has.
    pub(super) fn graft_timeout(&self, node: &NodeId, config: &TreeConfig) -> Duration {
        let rtt = self.known.get(node).and_then(|peer| peer.rtt);
        let usual = rtt.map_or(config.graft_timeout, |rtt| rtt.saturating_mul(2));
        let most = config.max_graft_timeout.max(config.min_graft_timeout);
        self.patient(usual).clamp(config.min_graft_timeout, most)
    }

    /// A usual time, prolonged where much is late.
    pub(super) fn patient(&self, usual: Duration) -> Duration {
        let prolonged = usual.saturating_mul(self.patience.0);
        prolonged.checked_div(Patience::ONE).unwrap_or(usual)
    }

    /// A batch came by the usual way after all, when another was asked for it already.
    pub(super) fn was_late(&mut self) {
        let more = self.patience.0.saturating_add(Patience::LATE);
        self.patience.0 = more.min(Patience::MOST);
    }

    /// A batch came by the usual way without anybody being asked.
    pub(super) fn was_in_time(&mut self) {
        let less = self.patience.0.saturating_sub(Patience::TIMELY);
        self.patience.0 = less.max(Patience::ONE);
    }

    pub(super) fn link_up(&mut self, node: NodeId, rtt: Option<Duration>) {
        let peer = self.known.entry(node).or_default();
        (peer.up, peer.lagging, peer.rtt) = (true, false, rtt);
    }

    /// Whether the link is wanted still.
    pub(super) fn link_down(&mut self, node: &NodeId) -> bool {
        let Some(peer) = self.known.get_mut(node) else {
            return false;
        };
        (peer.up, peer.lagging) = (false, false);
        let wanted = peer.wanted > 0;
        self.tidy(node);
        wanted
    }

    /// Whether that is new.
    pub(super) fn set_lagging(&mut self, node: &NodeId, lagging: bool) -> bool {
        let peer = self.known.get_mut(node).filter(|peer| peer.up);
        peer.is_some_and(|peer| std::mem::replace(&mut peer.lagging, lagging) != lagging)
    }

    /// Whether that is new.
    pub(super) fn set_absent(&mut self, node: NodeId, absent: bool) -> bool {
        if absent {
            self.absent.insert(node)
        } else {
            self.absent.remove(&node)
        }
    }

    /// Forgets that nodes are absent whom no topic has to do with.
    pub(super) fn retain_absent(&mut self, keep: impl Fn(&NodeId) -> bool) {
        self.absent.retain(keep);
    }

    /// One topic more has the node as a neighbour; whether a link has to be made for it.
    pub(super) fn want(&mut self, node: NodeId) -> bool {
        let peer = self.known.entry(node).or_default();
        peer.wanted = peer.wanted.saturating_add(1);
        peer.wanted == 1 && !peer.up
    }

    /// One topic less; whether none is left.
    pub(super) fn unwant(&mut self, node: &NodeId) -> bool {
        let Some(peer) = self.known.get_mut(node) else {
            return false;
        };
        peer.wanted = peer.wanted.saturating_sub(1);
        let last = peer.wanted == 0;
        self.tidy(node);
        last
    }

    fn tidy(&mut self, node: &NodeId) {
        let needed = |peer: &Peer| peer.up || peer.wanted > 0;
        if self.known.get(node).is_some_and(|peer| !needed(peer)) {
            self.known.remove(node);
        }
    }
}
