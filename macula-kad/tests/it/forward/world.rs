//! Nodes that pass things to each other at once, each knowing its neighbours and what those told.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use macula_kad::forward::{BackFate, DropCause, Fate};
use macula_kad::{Topology, Wayfinder};
use macula_testkit::node_id;
use macula_wire::message::{Forward, ForwardError, Way};
use macula_wire::{ErrorCode, Instant, NodeId, NodeMark, Random};

/// The most passes of anything.
pub(super) const MAX_PASSES: usize = 16;

pub(super) const PACKET: Bytes = Bytes::from_static(b"packet");

/// A point in time.
pub(super) const fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// What node 0 knows: its peers with what they told, and who is suspected, by numbers.
pub(super) fn around(peers: &[(usize, &[usize])], suspected: &[usize]) -> Topology {
    let told: Vec<(NodeId, Vec<NodeId>)> = peers
        .iter()
        .map(|(peer, told)| (node_id(*peer), told.iter().copied().map(node_id).collect()))
        .collect();
    let linked = told.iter().map(|(peer, told)| (*peer, told.as_slice()));
    Topology::new(node_id(0), linked, suspected.iter().copied().map(node_id))
}

pub(super) fn marks(nodes: &[usize]) -> Vec<NodeMark> {
    nodes.iter().map(|node| node_id(*node).mark()).collect()
}

/// A packet for `target` as the last in `trail` passes it on, by numbers.
pub(super) fn packet(target: usize, trail: &[usize]) -> Forward {
    let way = Way {
        target: node_id(target),
        origin: node_id(trail[0]),
        hops: u8::try_from(MAX_PASSES - trail.len()).unwrap(),
        via: Vec::new(),
        trail: marks(trail),
    };
    let packet = PACKET;
    Forward { way, packet }
}

/// To whom node 0 passes a packet that it has from the last in `trail`.
pub(super) fn next(
    finder: &Wayfinder,
    millis: u64,
    topology: &Topology,
    packet: Forward,
    from: usize,
) -> Result<NodeId, DropCause> {
    match finder.forward(at(millis), topology, node_id(from), packet) {
        Fate::Pass(onward) => Ok(onward.to),
        Fate::Dropped { cause, .. } => Err(cause),
        Fate::Arrived { .. } => panic!("the packet is for somebody else"),
    }
}

/// A simple connected graph in which every node has `degree` edges: the pairing model, in which what does not fit is
/// paired anew (Steger and Wormald, 1999).
pub(super) fn regular(random: &mut Random, nodes: usize, degree: usize) -> Vec<Vec<usize>> {
    loop {
        let mut edges = vec![BTreeSet::new(); nodes];
        let mut ends: Vec<usize> = (0..nodes * degree).map(|end| end % nodes).collect();
        let mut stuck = 0;
        while !ends.is_empty() && stuck < 100 {
            random.shuffle(&mut ends);
            let before = ends.len();
            let pairs: Vec<[usize; 2]> = ends.chunks(2).map(|pair| [pair[0], pair[1]]).collect();
            ends.clear();
            for [one, other] in pairs {
                if one == other || !edges[one].insert(other) {
                    ends.extend([one, other]);
                } else {
                    edges[other].insert(one);
                }
            }
            stuck = if ends.len() == before { stuck + 1 } else { 0 };
        }
        let edges: Vec<Vec<usize>> = edges.into_iter().map(Vec::from_iter).collect();
        if ends.is_empty() && is_connected(&edges, None) {
            assert!(edges.iter().all(|others| others.len() == degree));
            return edges;
        }
    }
}

/// Whether everybody reaches everybody, without the node `dead`.
pub(super) fn is_connected(edges: &[Vec<usize>], dead: Option<usize>) -> bool {
    let start = usize::from(dead == Some(0));
    let mut seen: BTreeSet<usize> = dead.into_iter().chain([start]).collect();
    let mut open = vec![start];
    while let Some(node) = open.pop() {
        open.extend(
            edges[node]
                .iter()
                .copied()
                .filter(|other| seen.insert(*other)),
        );
    }
    seen.len() == edges.len()
}

/// What became of a packet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// It arrived, by these nodes: the origin first, the target last.
    Arrived(Vec<usize>),
    /// The origin was told that it did not.
    Refused(ErrorCode),
    /// It was passed to a node that is dead, or an answer was.
    Lost,
    /// It was dropped without a word.
    Silent,
}

impl End {
    /// How many times it was passed, if it arrived.
    pub(super) fn passes(&self) -> Option<usize> {
        match self {
            Self::Arrived(nodes) => Some(nodes.len() - 1),
            _ => None,
        }
    }
}

/// Nodes with their topologies and what they remember.
pub(super) struct World {
    pub(super) edges: Vec<Vec<usize>>,
    ids: Vec<NodeId>,
    numbers: BTreeMap<NodeId, usize>,
    topologies: Vec<Topology>,
    /// Links beside those of the overlay, both ways.
    extra: BTreeSet<(usize, usize)>,
    finders: Vec<Wayfinder>,
    /// Those that may remember something.
    touched: BTreeSet<usize>,
    pub(super) now: Instant,
    pub(super) dead: Option<usize>,
}

impl World {
    pub(super) fn new(random: &mut Random, edges: Vec<Vec<usize>>) -> Self {
        let first = usize::try_from(random.below(1 << 40)).unwrap();
        let ids: Vec<NodeId> = (0..edges.len()).map(|node| node_id(first + node)).collect();
        let numbers = ids
            .iter()
            .enumerate()
            .map(|(node, id)| (*id, node))
            .collect();
        let mut world = Self {
            finders: ids.iter().map(|_| Wayfinder::new()).collect(),
            edges,
            ids,
            numbers,
            topologies: Vec::new(),
            extra: BTreeSet::new(),
            touched: BTreeSet::new(),
            now: at(1_000),
            dead: None,
        };
        world.tell(&[], None);
        world
    }

    /// Lets everybody know everybody's neighbours, whom it suspects, and who is gone.
    pub(super) fn tell(&mut self, suspected: &[usize], gone: Option<usize>) {
        let suspected = self.ids_of(suspected, None);
        self.topologies = (0..self.ids.len())
            .map(|own| self.topology(own, &suspected, gone))
            .collect();
    }

    fn topology(&self, own: usize, suspected: &[NodeId], gone: Option<usize>) -> Topology {
        let lives = |other: &&usize| Some(**other) != gone;
        let others = self.edges[own].iter().filter(lives).copied();
        let told: Vec<(NodeId, Vec<NodeId>)> = others
            .map(|other| (self.ids[other], self.ids_of(&self.edges[other], gone)))
            .collect();
        let told = told.iter().map(|(node, told)| (*node, told.as_slice()));
        // Only neighbours tell of theirs.
        let extra = self.extra.range((own, 0)..=(own, usize::MAX));
        let extra = extra.map(|(_, other)| (self.ids[*other], &[][..]));
        Topology::new(self.ids[own], told.chain(extra), suspected.iter().copied())
    }

    /// Makes a link beside the overlay, or ends it.
    fn set_link(&mut self, one: usize, other: usize, is_up: bool) {
        for pair in [(one, other), (other, one)] {
            if is_up {
                self.extra.insert(pair);
            } else {
                self.extra.remove(&pair);
            }
            self.topologies[pair.0] = self.topology(pair.0, &[], None);
        }
    }

    /// Sees to a way from `origin` to `target` as RTE-26 wants it: by a link to a neighbour of the target, up to four of
    /// which are dialled, each of which answers if `answers` says so. The neighbour, if a link had to be made and was.
    pub(super) fn make_way(
        &mut self,
        origin: usize,
        target: usize,
        mut answers: impl FnMut() -> bool,
    ) -> Option<usize> {
        let via = self.via(target);
        if self.topologies[origin].leads_to(&self.ids[target], &via) {
            return None;
        }
        let neighbours = self.edges[target].iter().copied();
        let made = neighbours.take(4).find(|_| answers())?;
        self.set_link(origin, made, true);
        Some(made)
    }

    /// Ends a link that was made beside the overlay.
    pub(super) fn end_link(&mut self, one: usize, other: usize) {
        self.set_link(one, other, false);
    }

    /// Lets everybody forget what it remembers.
    pub(super) fn forget(&mut self) {
        for node in std::mem::take(&mut self.touched) {
            self.finders[node] = Wayfinder::new();
        }
    }

    fn ids_of(&self, nodes: &[usize], gone: Option<usize>) -> Vec<NodeId> {
        let nodes = nodes.iter().filter(|node| Some(**node) != gone);
        nodes.map(|node| self.ids[*node]).collect()
    }

    /// The marks of up to 8 neighbours of a node.
    pub(super) fn via(&self, target: usize) -> Vec<NodeMark> {
        self.edges[target]
            .iter()
            .take(8)
            .map(|node| self.ids[*node].mark())
            .collect()
    }

    /// Sends a packet and follows it, and the error if there is one, to the end.
    pub(super) fn send(&mut self, origin: usize, target: usize, via: &[NodeMark]) -> End {
        self.touched.insert(origin);
        let finder = &self.finders[origin];
        let topology = &self.topologies[origin];
        let Ok(mut onward) = finder.send(self.now, topology, self.ids[target], via, PACKET) else {
            return End::Refused(ErrorCode::UNREACHABLE);
        };
        let mut nodes = vec![origin];
        loop {
            let (from, here) = (nodes[nodes.len() - 1], self.numbers[&onward.to]);
            if self.dead == Some(here) {
                return End::Lost;
            }
            nodes.push(here);
            self.touched.insert(here);
            assert!(nodes.len() <= MAX_PASSES + 1, "{nodes:?}");
            let finder = &self.finders[here];
            let fate = finder.forward(
                self.now,
                &self.topologies[here],
                self.ids[from],
                onward.message,
            );
            match fate {
                Fate::Arrived { message, answer } => {
                    assert_eq!((here, answer), (target, None));
                    assert_eq!(message.packet, PACKET);
                    return End::Arrived(nodes);
                }
                Fate::Pass(next) => onward = next,
                Fate::Dropped {
                    cause,
                    answer: None,
                } => {
                    assert!(cause.code().is_some(), "{cause:?}");
                    return End::Silent;
                }
                Fate::Dropped {
                    answer: Some(answer),
                    ..
                } => {
                    nodes.pop();
                    assert_eq!(answer.to, self.ids[from]);
                    return self.return_error(here, nodes, answer.message);
                }
            }
        }
    }

    fn return_error(&self, mut from: usize, mut nodes: Vec<usize>, mut error: ForwardError) -> End {
        while let Some(here) = nodes.pop() {
            if self.dead == Some(here) {
                return End::Lost;
            }
            let topology = &self.topologies[here];
            match self.finders[here].forward_error(self.now, topology, self.ids[from], error) {
                BackFate::Arrived(error) => {
                    assert!(nodes.is_empty());
                    return End::Refused(error.code);
                }
                BackFate::Pass(next) => {
                    assert_eq!(Some(&next.to), nodes.last().map(|node| &self.ids[*node]));
                    error = next.message;
                }
                BackFate::Dropped(cause) => {
                    assert_eq!(cause, DropCause::Limited);
                    return End::Silent;
                }
            }
            from = here;
        }
        panic!("the error passed its origin");
    }
}
