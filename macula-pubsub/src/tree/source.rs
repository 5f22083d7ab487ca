//! One publisher and topic: what is here of it, and by whom it comes and goes.

use std::collections::BTreeMap;

use macula_wire::message::Holding;
use macula_wire::{Epoch, Instant, NodeId};

use super::peers::Peers;

/// What is kept of a batch.
#[derive(Clone, Debug)]
pub(super) struct Stored<P> {
    /// When it came.
    pub(super) at: Instant,
    pub(super) count: u64,
    pub(super) distance: u8,
    pub(super) bytes: usize,
    pub(super) payload: P,
}

/// What a neighbour said that it has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Known {
    pub(super) first: u64,
    /// The first behind the latest that it has.
    pub(super) next: u64,
    /// The first behind those that it has without a hole from `first` on.
    pub(super) whole: u64,
    pub(super) distance: u8,
}

impl Known {
    /// What whoever sent `base..end` has, where nothing else is known of it and this node misses nothing before `next`.
    pub(super) const fn by_batch((base, end): (u64, u64), next: u64, distance: u8) -> Self {
        let whole = if base <= next { end } else { 0 };
        Self {
            first: base,
            next: end,
            whole,
            distance,
        }
    }

    /// Takes in that it sent `base..end`.
    pub(super) fn sent(&mut self, (base, end): (u64, u64), next: u64, distance: u8) {
        self.next = self.next.max(end);
        if base <= self.whole.max(next) {
            self.whole = self.whole.max(end);
        }
        self.distance = distance;
    }

    /// Whether it can send the event `next`.
    const fn can_send(&self, next: u64) -> bool {
        self.first <= next && self.whole > next
    }
}

/// A node with which the events of a source are exchanged.
#[derive(Clone, Debug)]
pub(super) struct Edge {
    pub(super) node: NodeId,
    /// Whether it is sent batches; otherwise it is told what is here.
    pub(super) eager: bool,
    /// Whether it was asked since this node last heard something new.
    pub(super) asked: bool,
    /// When it was told last that it need not send.
    pub(super) pruned: Option<Instant>,
    pub(super) known: Option<Known>,
    /// What it was told last: the next sequence, and the distance.
    pub(super) told: Option<(u64, u8)>,
    /// What came before is none of its business, because it was not interested yet.
    pub(super) owed_from: u64,
}

impl Edge {
    const fn new(node: NodeId, eager: bool) -> Self {
        Self {
            node,
            eager,
            asked: false,
            pruned: None,
            known: None,
            told: None,
            owed_from: 0,
        }
    }

    /// Whether the node is known to have all before `next`.
    pub(super) fn has(&self, next: u64) -> bool {
        self.known.is_some_and(|known| known.whole >= next)
    }
}

/// One publisher and topic.
#[derive(Debug)]
pub(super) struct Source<P> {
    pub(super) mesh: u32,
    pub(super) publisher: NodeId,
    pub(super) epoch: Epoch,
    /// Everything before it was delivered or given up; `None` before the first event.
    pub(super) next: Option<u64>,
    /// The first behind the latest event that came.
    pub(super) head: u64,
    /// When that event came.
    pub(super) heard: Instant,
    /// How many links lie between the publisher and here.
    pub(super) distance: u8,
    /// Who sends the batches at present.
    pub(super) parent: Option<NodeId>,
    /// Who sent the batches until another was asked for one that was late.
    pub(super) left: Option<NodeId>,
    /// Whether the parent was changed for a nearer one since the latest event.
    pub(super) improved: bool,
    pub(super) edges: Vec<Edge>,
    /// Batches that wait for earlier ones, by their first sequence.
    pub(super) held: BTreeMap<u64, Stored<P>>,
    /// Batches kept for neighbours, by their first sequence.
    pub(super) kept: BTreeMap<u64, Stored<P>>,
    /// When what is missing before `held` is given up.
    pub(super) gap_at: Option<Instant>,
    /// How often that was put off, because a neighbour has it.
    pub(super) put_off: u32,
    /// When somebody is asked for what is missing.
    pub(super) ask_at: Option<Instant>,
    /// When all neighbours are told once more what is here, and how often they were.
    pub(super) repeat_at: Option<Instant>,
    pub(super) repeats: usize,
    /// Whether those are told as well that are sent batches, and who sends them.
    pub(super) tells_all: bool,
    /// How often everybody was asked in vain.
    pub(super) rounds: u8,
    /// What stands among the timers.
    pub(super) timer: Option<Instant>,
}

impl<P> Source<P> {
    pub(super) const fn new(mesh: u32, publisher: NodeId, epoch: Epoch, now: Instant) -> Self {
        Self {
            mesh,
            publisher,
            epoch,
            next: None,
            head: 0,
            heard: now,
            distance: u8::MAX,
            parent: None,
            left: None,
            improved: false,
            edges: Vec::new(),
            held: BTreeMap::new(),
            kept: BTreeMap::new(),
            gap_at: None,
            put_off: 0,
            ask_at: None,
            repeat_at: None,
            repeats: 0,
            tells_all: false,
            rounds: 0,
            timer: None,
        }
    }

    /// The earliest of what falls due.
    pub(super) fn due(&self) -> Option<Instant> {
        let all = [self.gap_at, self.ask_at, self.repeat_at];
        all.into_iter().flatten().min()
    }

    /// Whether all of a batch came before.
    pub(super) fn has_seen(&self, base: u64, end: u64) -> bool {
        if self.next.is_some_and(|next| end <= next) {
            return true;
        }
        let before = self.held.range(..=base).next_back();
        before.is_some_and(|(at, stored)| at.saturating_add(stored.count) >= end)
    }

    pub(super) fn edge(&mut self, node: &NodeId) -> Option<&mut Edge> {
        self.edges.iter_mut().find(|edge| edge.node == *node)
    }

    /// The edge to a node, made if there is room.
    pub(super) fn edge_or_new(&mut self, node: NodeId, max: usize) -> Option<&mut Edge> {
        let at = self.edges.iter().position(|edge| edge.node == node);
        let at = match at {
            Some(at) => at,
            None if self.edges.len() >= max => return None,
            None => {
                self.edges.push(Edge::new(node, false));
                self.edges.len().saturating_sub(1)
            }
        };
        self.edges.get_mut(at)
    }

    /// Takes in that `node` sent the events of a range, by a way of so many links.
    pub(super) fn sent_by(&mut self, node: NodeId, range: (u64, u64), distance: u8, max: usize) {
        let next = self.next.unwrap_or(range.0);
        let distance = distance.saturating_sub(1);
        if let Some(edge) = self.edge_or_new(node, max) {
            match &mut edge.known {
                Some(known) => known.sent(range, next, distance),
                none => *none = Some(Known::by_batch(range, next, distance)),
            }
        }
    }

    /// Adds edges to the neighbours of its topic: those to whom `eager` says so are sent batches.
    pub(super) fn add_edges(&mut self, neighbours: &[NodeId], eager: impl Fn(&NodeId) -> bool) {
        for node in neighbours {
            if !self.edges.iter().any(|edge| edge.node == *node) {
                self.edges.push(Edge::new(*node, eager(node)));
            }
        }
    }

    /// The first event that came after `at`, as far as events are kept.
    pub(super) fn first_since(&self, at: Instant) -> u64 {
        let mut late = self.kept.iter().filter(|(_, stored)| stored.at >= at);
        let first = late.next().map(|(base, _)| *base);
        first.or(self.next).unwrap_or_default()
    }

    /// Nodes that are new among those interested are owed what comes from `from` on.
    pub(super) fn owe_from(&mut self, nodes: &[NodeId], from: u64) {
        for node in nodes {
            if let Some(edge) = self.edge(node) {
                edge.owed_from = from;
            }
        }
    }

    /// Sends `node` no more batches. Whether it was the parent.
    pub(super) fn cut(&mut self, node: &NodeId) -> bool {
        if let Some(edge) = self.edge(node) {
            (edge.eager, edge.told) = (false, None);
        }
        let was = self.parent.is_some_and(|parent| parent == *node);
        if was {
            self.parent = None;
        }
        was
    }

    /// Has `node` as the one that sends batches.
    pub(super) fn attach(&mut self, node: NodeId, distance: u8) {
        self.parent = Some(node);
        self.distance = distance;
        if let Some(edge) = self.edge(&node) {
            (edge.eager, edge.pruned) = (true, None);
        }
    }

    /// The events before `held` that have not come, or those that somebody else has: from, and the first behind them.
    pub(super) fn missing(&self) -> Option<(u64, u64)> {
        let next = self.next?;
        let held = self.held.first_key_value().map(|(base, _)| *base);
        let known = || {
            let known = self.edges.iter().filter_map(|edge| edge.known);
            known.map(|known| known.next).max()
        };
        let to = held.or_else(known)?;
        (to > next).then_some((next, to))
    }

    /// The nearest usable neighbour that has more than what is here and was not asked yet.
    pub(super) fn whom_to_ask(&self, peers: &Peers) -> Option<(NodeId, Known)> {
        let next = self.next?;
        self.edges
            .iter()
            .filter(|edge| !edge.asked && peers.usable(&edge.node))
            .filter_map(|edge| Some((edge.node, edge.known?)))
            .filter(|(_, known)| known.next > next)
            .min_by_key(|(node, known)| (!known.can_send(next), known.distance, *node))
    }

    /// Whether a usable neighbour has what comes next.
    pub(super) fn is_somewhere(&self, peers: &Peers) -> bool {
        self.next.is_some_and(|next| {
            let has = |edge: &Edge| edge.known.is_some_and(|known| known.can_send(next));
            let mut edges = self.edges.iter();
            edges.any(|edge| has(edge) && peers.usable(&edge.node))
        })
    }

    /// The nearest usable neighbour that is up to date and not farther from the publisher than this node.
    pub(super) fn whom_to_join(&self, peers: &Peers) -> Option<(NodeId, Known)> {
        self.edges
            .iter()
            .filter(|edge| peers.usable(&edge.node) && edge.has(self.head))
            .filter_map(|edge| Some((edge.node, edge.known?)))
            .filter(|(_, known)| known.distance <= self.distance)
            .min_by_key(|(node, known)| (known.distance, *node))
    }

    /// What is here, for a neighbour.
    pub(super) fn holding(&self) -> Option<Holding> {
        let next = self.next?;
        let first = self.kept.first_key_value().map_or(next, |(base, _)| *base);
        Some(Holding {
            publisher: self.publisher,
            epoch: self.epoch,
            first: macula_wire::Sequence::new(first.min(next)),
            next: macula_wire::Sequence::new(next),
            distance: self.distance,
        })
    }
}
