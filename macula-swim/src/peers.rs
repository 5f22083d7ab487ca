//! The nodes at the other ends of links, and what is remembered of each while its link is up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use macula_wire::{Instant, NodeId, Random};

use crate::rtt::Rtt;

/// One node with a link.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Whether it has been heard from since the link came up, so that it knows this node.
    pub(crate) greeted: bool,
    pub(crate) rtt: Rtt,
    /// Whether it is taken for dead: a question of every message.
    pub(crate) dead: bool,
    /// When it was last told that it is dead.
    pub(crate) told: Option<Instant>,
    /// When it was last answered with the buckets of this node's view.
    pub(crate) compared: Option<Instant>,
    /// When the buckets of its view were last answered.
    pub(crate) listed: Option<Instant>,
}

/// All links, and which of them lead to neighbours.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    linked: BTreeMap<NodeId, Peer>,
    neighbours: BTreeSet<NodeId>,
}

impl Peers {
    /// A link is up; of an earlier one nothing is kept but the time of a round trip.
    pub(crate) fn link(&mut self, node: NodeId, dead: bool) {
        let rtt = self.rtt(&node);
        let peer = Peer {
            greeted: false,
            rtt,
            dead,
            told: None,
            compared: None,
            listed: None,
        };
        self.linked.insert(node, peer);
    }

    /// A link is gone; answers whether there was one.
    pub(crate) fn unlink(&mut self, node: &NodeId) -> bool {
        self.linked.remove(node).is_some()
    }

    pub(crate) fn contains(&self, node: &NodeId) -> bool {
        self.linked.contains_key(node)
    }

    pub(crate) fn get(&self, node: &NodeId) -> Option<&Peer> {
        self.linked.get(node)
    }

    pub(crate) fn get_mut(&mut self, node: &NodeId) -> Option<&mut Peer> {
        self.linked.get_mut(node)
    }

    pub(crate) fn rtt(&self, node: &NodeId) -> Rtt {
        self.get(node).map(|peer| peer.rtt).unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.linked.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.linked.is_empty()
    }

    /// Makes a node a neighbour; answers whether it was none.
    pub(crate) fn add_neighbour(&mut self, node: NodeId) -> bool {
        self.neighbours.insert(node)
    }

    pub(crate) fn remove_neighbour(&mut self, node: &NodeId) {
        self.neighbours.remove(node);
    }

    pub(crate) fn is_neighbour(&self, node: &NodeId) -> bool {
        self.neighbours.contains(node)
    }

    /// How many neighbours there are, with links or without.
    pub(crate) fn degree(&self) -> usize {
        self.neighbours.len()
    }

    pub(crate) fn has_neighbours(&self) -> bool {
        !self.neighbours.is_empty()
    }

    /// The neighbours with links.
    pub(crate) fn neighbours(&self) -> impl Iterator<Item = NodeId> {
        let linked = |node: &&NodeId| self.linked.contains_key(node);
        self.neighbours.iter().filter(linked).copied()
    }

    /// Up to `count` different peers by chance that `fits`.
    pub(crate) fn sample(
        &self,
        random: &mut Random,
        count: usize,
        fits: impl Fn(&NodeId) -> bool,
    ) -> Vec<NodeId> {
        let mut found: Vec<NodeId> = self
            .linked
            .keys()
            .filter(|node| fits(node))
            .copied()
            .collect();
        let wanted = count.min(found.len());
        for place in 0..wanted {
            let left = found.len().saturating_sub(place);
            found.swap(place, place.saturating_add(random.index(left)));
        }
        found.truncate(wanted);
        found
    }
}

/// How many accusations an accuser may still bring: full again after a second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Allowance {
    left: u32,
    filled: Option<Instant>,
}

impl Allowance {
    /// Takes one, if any is left.
    pub(crate) fn take(&mut self, now: Instant, max: u32) -> bool {
        let stale = |filled: Instant| now.saturating_since(filled) >= Duration::from_secs(1);
        if self.filled.is_none_or(stale) {
            self.left = max;
            self.filled = Some(now);
        }
        let granted = self.left > 0;
        self.left = self.left.saturating_sub(1);
        granted
    }
}

#[cfg(test)]
mod tests {
    use macula_testkit::node_id;

    use super::*;

    #[test]
    fn an_allowance_is_full_again_after_a_second() {
        let mut allowance = Allowance::default();
        let mut count = |millis| {
            let now = Instant::from_millis(millis);
            (0..10).filter(|_| allowance.take(now, 3)).count()
        };
        assert_eq!([count(0), count(999), count(1_000)], [3, 0, 3]);
    }

    #[test]
    fn a_sample_has_no_doubles_and_fits() {
        let mut peers = Peers::default();
        (0..100).for_each(|number| peers.link(node_id(number), false));
        let mut random = Random::new(1);
        for count in [0, 1, 3, 20, 200] {
            let found = peers.sample(&mut random, count, |node| *node != node_id(0));
            assert_eq!(found.len(), count.min(99));
            assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len());
            assert!(!found.contains(&node_id(0)));
        }
    }

    #[test]
    fn a_neighbour_counts_while_it_is_linked() {
        let mut peers = Peers::default();
        assert!(peers.add_neighbour(node_id(1)));
        assert!(!peers.add_neighbour(node_id(1)));
        assert_eq!(peers.neighbours().count(), 0);
        peers.link(node_id(1), false);
        peers.link(node_id(2), false);
        assert_eq!(peers.neighbours().collect::<Vec<_>>(), [node_id(1)]);
        assert!(peers.unlink(&node_id(1)) && !peers.unlink(&node_id(1)));
        assert!(peers.is_neighbour(&node_id(1)));
    }
}
