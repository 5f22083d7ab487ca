//! Who is linked with this node, and whom those are linked with.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use macula_wire::limit::MAX_NEIGHBOURS;
use macula_wire::{NodeId, NodeMark};

use crate::distance::Place;

/// The most peers that a [`Topology`] holds.
const MAX_PEERS: usize = 1_024;

/// What a node knows of the links around it, as its control plane saw them last. Immutable: a new one replaces it.
///
/// It holds the peers of this node, which of them are suspected, and of each peer the neighbours that it told of. To
/// build one costs a SHA-256 for each node named, about 0.1 ms for 64 peers with 8 neighbours each.
#[derive(Clone, Debug)]
pub struct Topology {
    own: NodeId,
    /// Ascending by node, and so by mark.
    peers: Vec<Peer>,
    /// Ascending by node, and so by mark; then by peer.
    told: Vec<Told>,
    /// Those of each peer together.
    beyond: Vec<Beyond>,
    left_out: usize,
}

/// The node at the other end of a link.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) node: NodeId,
    pub(super) place: Place,
    pub(super) suspected: bool,
    beyond: Range<usize>,
}

/// That a peer told of a neighbour.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Told {
    node: NodeId,
    peer: usize,
    suspected: bool,
}

/// A neighbour of a peer that leads somewhere: it is neither this node nor suspected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beyond {
    pub(super) mark: NodeMark,
    pub(super) place: Place,
}

impl Topology {
    /// The peers of the node `own`, each with the neighbours that it told of, and the nodes that are suspected, peers or
    /// not.
    ///
    /// Of a peer that is named twice the first counts. Left out, and counted by [`left_out`](Self::left_out), are peers
    /// beyond 1,024 and neighbours of a peer beyond 32. A node is no peer of its own, and no neighbour of itself.
    #[must_use]
    pub fn new<'a>(
        own: NodeId,
        linked: impl IntoIterator<Item = (NodeId, &'a [NodeId])>,
        suspected: impl IntoIterator<Item = NodeId>,
    ) -> Self {
        let suspected: BTreeSet<NodeId> = suspected.into_iter().collect();
        let mut neighbours: BTreeMap<NodeId, &[NodeId]> = BTreeMap::new();
        let mut topology = Self {
            own,
            peers: Vec::new(),
            told: Vec::new(),
            beyond: Vec::new(),
            left_out: 0,
        };
        for (node, told) in linked {
            if node == own || neighbours.contains_key(&node) {
                continue;
            }
            if neighbours.len() < MAX_PEERS {
                neighbours.insert(node, told);
            } else {
                topology.left_out = topology.left_out.saturating_add(1);
            }
        }
        for (node, told) in neighbours {
            topology.add(node, told, &suspected);
        }
        topology.told.sort_unstable();
        topology.told.dedup();
        topology
    }

    fn add(&mut self, node: NodeId, told: &[NodeId], suspected: &BTreeSet<NodeId>) {
        let (peer, start) = (self.peers.len(), self.beyond.len());
        let (told, rest) = told.split_at_checked(MAX_NEIGHBOURS).unwrap_or((told, &[]));
        self.left_out = self.left_out.saturating_add(rest.len());
        for other in told {
            if *other == self.own || *other == node {
                continue;
            }
            let suspected = suspected.contains(other);
            self.told.push(Told {
                node: *other,
                peer,
                suspected,
            });
            if !suspected {
                self.beyond.push(Beyond {
                    mark: other.mark(),
                    place: Place::of_node(other),
                });
            }
        }
        self.peers.push(Peer {
            node,
            place: Place::of_node(&node),
            suspected: suspected.contains(&node),
            beyond: start..self.beyond.len(),
        });
    }

    /// The node whose links these are.
    #[must_use]
    pub const fn own(&self) -> NodeId {
        self.own
    }

    /// Whether there is a link to `node`.
    #[must_use]
    pub fn is_linked(&self, node: &NodeId) -> bool {
        self.find(node).is_some()
    }

    /// Whether there is a link to `node`, which is not suspected.
    pub(super) fn is_sound(&self, node: &NodeId) -> bool {
        let peer = self.find(node).and_then(|at| self.peers.get(at));
        peer.is_some_and(|peer| !peer.suspected)
    }

    /// Whether a link leads to the surroundings of `target`, so that what is passed there is passed on once more and
    /// arrives: to a node of `via`, or to one that says that it is a neighbour of `target`. Peers that are suspected do not
    /// count, and neither does `target` itself.
    #[must_use]
    pub fn leads_to(&self, target: &NodeId, via: &[NodeMark]) -> bool {
        let named = via.iter().filter_map(|mark| self.find_mark(*mark));
        let mut near = named.chain(self.told_of(target));
        near.any(|at| {
            let peer = self.peers.get(at);
            peer.is_some_and(|peer| peer.node != *target && !peer.suspected)
        })
    }

    /// The peers, ascending.
    pub fn linked(&self) -> impl Iterator<Item = NodeId> {
        self.peers.iter().map(|peer| peer.node)
    }

    /// How many peers and neighbours of peers had no room.
    #[must_use]
    pub const fn left_out(&self) -> usize {
        self.left_out
    }

    pub(super) fn peers(&self) -> &[Peer] {
        &self.peers
    }

    pub(super) fn peer(&self, at: usize) -> Option<&Peer> {
        self.peers.get(at)
    }

    /// Where a peer stands in [`peers`](Self::peers).
    pub(super) fn find(&self, node: &NodeId) -> Option<usize> {
        self.peers.binary_search_by(|peer| peer.node.cmp(node)).ok()
    }

    /// Where the peer with this mark stands; the first, if chance or somebody's labour gave two of them one mark.
    pub(super) fn find_mark(&self, mark: NodeMark) -> Option<usize> {
        let at = self.peers.partition_point(|peer| peer.node.mark() < mark);
        let found = self.peers.get(at)?;
        (found.node.mark() == mark).then_some(at)
    }

    /// The peers that told of `node`, suspected or not.
    pub(super) fn told_of(&self, node: &NodeId) -> impl Iterator<Item = usize> {
        let at = self.told.partition_point(|told| told.node < *node);
        let rest = self.told.get(at..).unwrap_or_default();
        rest.iter()
            .take_while(move |told| told.node == *node)
            .map(|told| told.peer)
    }

    /// The peers that told of a node with this mark that is not suspected.
    pub(super) fn told_of_mark(&self, mark: NodeMark) -> impl Iterator<Item = usize> {
        let at = self.told.partition_point(|told| told.node.mark() < mark);
        let rest = self.told.get(at..).unwrap_or_default();
        rest.iter()
            .take_while(move |told| told.node.mark() == mark)
            .filter(|told| !told.suspected)
            .map(|told| told.peer)
    }

    /// Where else a peer leads.
    pub(super) fn beyond(&self, peer: &Peer) -> &[Beyond] {
        self.beyond.get(peer.beyond.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use macula_testkit::node_id;

    use super::*;

    #[test]
    fn it_finds_peers_and_those_they_told_of() {
        let told = [node_id(0), node_id(1), node_id(3), node_id(4), node_id(4)];
        let linked = [
            (node_id(1), &told[..]),
            (node_id(2), &told[2..3]),
            (node_id(0), &[]),
        ];
        let topology = Topology::new(node_id(0), linked, [node_id(4), node_id(2)]);
        assert_eq!(topology.own(), node_id(0));
        assert_eq!(topology.linked().count(), 2);
        assert!(topology.is_linked(&node_id(1)) && !topology.is_linked(&node_id(0)));
        let [one, two] = [1, 2].map(|index| topology.find(&node_id(index)).unwrap());
        assert_eq!(topology.find_mark(node_id(2).mark()), Some(two));
        assert_eq!(topology.find_mark(node_id(3).mark()), None);
        let told = |index| topology.told_of(&node_id(index)).collect::<Vec<_>>();
        let mut both = vec![one, two];
        both.sort_unstable();
        assert_eq!(
            (told(3), told(4), told(0), told(1)),
            (both.clone(), vec![one], vec![], vec![])
        );
        let marked = |index: usize| {
            topology
                .told_of_mark(node_id(index).mark())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            (marked(3), marked(4)),
            (both, vec![]),
            "suspected ones lead nowhere"
        );
        let peer = |at| topology.peer(at).unwrap();
        assert_eq!(topology.beyond(peer(one)).len(), 1);
        assert!(peer(two).suspected && !peer(one).suspected);
    }

    #[test]
    fn a_link_leads_to_a_target_by_one_of_its_neighbours() {
        let told = [node_id(9)];
        let linked = [
            (node_id(1), &told[..]),
            (node_id(2), &[]),
            (node_id(8), &[]),
        ];
        let leads = |target, via: &[usize], suspected: &[usize]| {
            let suspected = suspected.iter().copied().map(node_id);
            let topology = Topology::new(node_id(0), linked, suspected);
            let via: Vec<NodeMark> = via.iter().map(|index| node_id(*index).mark()).collect();
            topology.leads_to(&node_id(target), &via)
        };
        for (target, via, suspected, expected) in [
            (9, &[][..], &[][..], true),
            (9, &[], &[1], false),
            (9, &[2], &[1], true),
            (7, &[], &[], false),
            (7, &[3, 2], &[], true),
            (7, &[2], &[2], false),
            (7, &[9], &[], false),
            (8, &[8], &[], false),
        ] {
            assert_eq!(leads(target, via, suspected), expected, "{target} {via:?}");
        }
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let told: Vec<NodeId> = (5_000..5_033).map(node_id).collect();
        let full = |peers: usize, told| {
            let linked = (1..=peers).map(|index| (node_id(index), told));
            Topology::new(node_id(0), linked, [])
        };
        let fits = full(1_024, &told[..1]);
        assert_eq!((fits.left_out(), fits.peers().len()), (0, 1_024));
        let beyond = full(1_025, &told[..1]);
        assert_eq!((beyond.left_out(), beyond.peers().len()), (1, 1_024));
        assert_eq!(full(1, &told[..32]).left_out(), 0);
        let beyond = full(1, &told);
        assert_eq!((beyond.left_out(), beyond.told.len()), (1, 32));
    }
}
