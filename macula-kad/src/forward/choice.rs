//! Which peer something is passed to.

use macula_wire::message::Way;
use macula_wire::{Instant, NodeId, NodeMark};

use super::topology::{Peer, Topology};
use crate::distance::{Distance, Place};

/// What was learned of a target from what passed by.
#[derive(Debug, Default)]
pub(super) struct Learned {
    /// By whom it was heard lately.
    pub(super) by: Option<NodeId>,
    /// Who said lately that it got no further, and when.
    pub(super) failed: Vec<(NodeId, Instant)>,
}

/// The peer that something is passed to; `None` when nobody is left.
///
/// Never one that it has passed. A target that is linked and not suspected gets it at once. Among all others the least
/// [`Rank`] decides.
pub(super) fn choose(topology: &Topology, way: &Way, learned: &Learned) -> Option<NodeId> {
    let mut choice = Choice {
        way,
        learned,
        best: None,
    };
    if let Some(at) = topology.find(&way.target) {
        let target = topology.peer(at)?;
        if !target.suspected {
            return Some(target.node);
        }
        choice.take(at, Rank::of_suspected_target());
    }
    choice.known(topology);
    if !choice.is_good() {
        choice.nearest(topology);
    }
    let (_, at) = choice.best?;
    topology.peer(at).map(|peer| peer.node)
}

/// How much is to be said for a peer; the least is best.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Rank {
    stage: Stage,
    /// When it said that it got no further, if it did: of those that did, the one that has had the most time to find
    /// something else.
    failed: Option<Instant>,
    class: Class,
    /// From the target, of those of which nothing else is known.
    distance: Distance,
    /// So that targets are spread over peers of one class, and each keeps to one of them.
    tie: u64,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Stage {
    /// A peer that is a neighbour of the target.
    Near,
    /// The target, where it is suspected: somebody else's link to it may be the better one; but where nobody is known
    /// to have another, its own is the only way for a target that lives.
    Target,
    /// Any other peer.
    Sound,
    /// A peer that may be gone.
    Suspected,
}

/// What is known of a peer and the target, the most certain first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Class {
    /// Peer and target both say that they are neighbours.
    Sure,
    /// The target says so: it is in `via`.
    Via,
    /// The peer says so.
    Tells,
    /// The peer says that it is a neighbour of somebody in `via`.
    TellsVia,
    /// The target was heard by the peer.
    Heard,
    /// Nothing but how far they are from each other.
    Nearest,
}

impl Rank {
    fn of_suspected_target() -> Self {
        Self {
            stage: Stage::Target,
            failed: None,
            class: Class::Sure,
            distance: Distance::default(),
            tie: 0,
        }
    }
}

struct Choice<'a> {
    way: &'a Way,
    learned: &'a Learned,
    best: Option<(Rank, usize)>,
}

impl Choice<'_> {
    /// Considers all peers of which something is known.
    fn known(&mut self, topology: &Topology) {
        let Way { target, via, .. } = self.way;
        for at in via.iter().filter_map(|mark| topology.find_mark(*mark)) {
            self.consider(topology, at, Class::Via);
        }
        for at in topology.told_of(target) {
            let peer = topology.peer(at).map(|peer| peer.node.mark());
            let sure = peer.is_some_and(|mark| via.contains(&mark));
            self.consider(topology, at, if sure { Class::Sure } else { Class::Tells });
        }
        if self.is_good() {
            return;
        }
        for mark in via.iter().filter(|mark| !self.way.trail.contains(mark)) {
            for at in topology.told_of_mark(*mark) {
                self.consider(topology, at, Class::TellsVia);
            }
        }
        if let Some(at) = self.learned.by.and_then(|peer| topology.find(&peer)) {
            self.consider(topology, at, Class::Heard);
        }
    }

    /// Whether a peer was found that neither failed nor is suspected, so that no peer of a later class is better.
    fn is_good(&self) -> bool {
        self.best
            .is_some_and(|(rank, _)| rank.stage < Stage::Suspected && rank.failed.is_none())
    }

    /// Considers all peers by what they and their neighbours are nearest to.
    fn nearest(&mut self, topology: &Topology) {
        let target = Place::of_node(&self.way.target);
        for (at, peer) in topology.peers().iter().enumerate() {
            if !self.is_open(peer) {
                continue;
            }
            let mut nearest = (peer.place.to(target), 0);
            for beyond in topology.beyond(peer) {
                let distance = (beyond.place.to(target), 1);
                if distance < nearest && !self.way.trail.contains(&beyond.mark) {
                    nearest = distance;
                }
            }
            let (distance, tie) = nearest;
            let rank = self.rank(peer, Class::Nearest, distance, tie);
            self.take(at, rank);
        }
    }

    fn consider(&mut self, topology: &Topology, at: usize, class: Class) {
        let Some(peer) = topology.peer(at) else {
            return;
        };
        if self.is_open(peer) {
            let tie = number(peer.node.mark()) ^ number(self.way.target.mark());
            let rank = self.rank(peer, class, Distance::default(), tie);
            self.take(at, rank);
        }
    }

    /// Whether a peer may get it.
    fn is_open(&self, peer: &Peer) -> bool {
        !self.way.trail.contains(&peer.node.mark())
    }

    fn rank(&self, peer: &Peer, class: Class, distance: Distance, tie: u64) -> Rank {
        let mut failures = self.learned.failed.iter();
        let failed = failures.find(|(node, _)| *node == peer.node);
        let failed = failed.map(|(_, at)| *at);
        let stage = if peer.suspected {
            Stage::Suspected
        } else if class <= Class::Tells && failed.is_none() {
            Stage::Near
        } else {
            Stage::Sound
        };
        Rank {
            stage,
            failed,
            class,
            distance,
            tie,
        }
    }

    fn take(&mut self, at: usize, rank: Rank) {
        if self.best.is_none_or(|(best, _)| rank < best) {
            self.best = Some((rank, at));
        }
    }
}

fn number(mark: NodeMark) -> u64 {
    u64::from_be_bytes(*mark.as_bytes())
}
