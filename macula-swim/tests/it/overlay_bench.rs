//! One machine of the overlay on its own, fed by hand.

use std::time::Duration;

use macula_swim::Overlay;
use macula_swim::overlay::{Config, Input, Offence, Output};
use macula_testkit::node_id;
use macula_wire::message::{
    Contact, OverlayAnswer, OverlayEdge, OverlayFlip, OverlayMove, OverlayOffer, OverlayVerdict,
    OverlayWalk,
};
use macula_wire::{Body, EdgeToken, Instant, Machine, NodeId, Random};

use crate::overlay::address;

pub(crate) const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

pub(crate) const fn token(number: u64) -> EdgeToken {
    EdgeToken::new(number)
}

pub(crate) fn peer(number: usize) -> Contact {
    Contact {
        node: node_id(number),
        addresses: vec![address()],
    }
}

/// Node ids in the order of their bytes.
pub(crate) fn ids(numbers: impl IntoIterator<Item = usize>) -> Vec<NodeId> {
    let mut ids: Vec<NodeId> = numbers.into_iter().map(node_id).collect();
    ids.sort_unstable();
    ids
}

pub(crate) fn walk(number: u64, origin: usize, need: u8, hops: u8) -> OverlayWalk {
    OverlayWalk {
        token: token(number),
        origin: peer(origin),
        need,
        hops,
        spare: 3,
        avoid: Vec::new(),
    }
}

pub(crate) fn offer(number: u64, instead: Option<usize>) -> OverlayOffer {
    OverlayOffer {
        token: token(number),
        addresses: vec![address()],
        instead: instead.map(node_id),
        rtt_us: None,
    }
}

pub(crate) fn order(number: u64, to: usize) -> OverlayMove {
    OverlayMove {
        token: token(number),
        peer: peer(to),
        near: false,
    }
}

pub(crate) fn answer(number: u64, verdict: OverlayVerdict) -> OverlayAnswer {
    OverlayAnswer {
        token: token(number),
        verdict,
        after_ms: 0,
    }
}

/// An OVERLAY_EDGE that says that there is an edge, and to whom others.
pub(crate) fn holds(others: impl IntoIterator<Item = usize>) -> OverlayEdge {
    OverlayEdge {
        holds: true,
        ask: false,
        neighbours: ids(others)
            .into_iter()
            .map(|node| Contact {
                node,
                addresses: vec![address()],
            })
            .collect(),
    }
}

pub(crate) fn denies() -> OverlayEdge {
    OverlayEdge {
        holds: false,
        ask: false,
        neighbours: Vec::new(),
    }
}

pub(crate) fn flip(number: u64, moved: usize, near: bool) -> OverlayFlip {
    OverlayFlip {
        token: token(number),
        peer: peer(moved),
        avoid: Vec::new(),
        near,
    }
}

/// The machine of node 0 with some neighbours.
pub(crate) struct Bench {
    pub(crate) overlay: Overlay,
    pub(crate) now: Instant,
    pub(crate) log: Vec<Output>,
}

impl Bench {
    /// A node of degree `degree` whose neighbours are the nodes 1 to `neighbours`. Each has told that it has others, so
    /// that the overlay is not small.
    pub(crate) fn new(degree: usize, neighbours: usize) -> Self {
        let mut config = Config::default();
        config.degree = degree;
        // What is not the matter of a test stays away.
        config.flip_period = Duration::ZERO;
        config.check_period = Duration::from_secs(10_000);
        config.shuffle_period = Duration::from_secs(10_000);
        Self::with(config, neighbours)
    }

    pub(crate) fn with(config: Config, neighbours: usize) -> Self {
        let now = Instant::from_millis(1_000);
        let addresses = vec![address()];
        let overlay = Overlay::new(config, node_id(0), addresses, Random::new(7), now);
        let mut bench = Self {
            overlay,
            now,
            log: Vec::new(),
        };
        for number in 1..=neighbours {
            bench.link(number);
            bench.hear(number, offer(u64::try_from(number).unwrap(), None));
            assert!(bench.holds(number), "{number}");
            let others = 10 * number..10 * number + 3;
            bench.hear(number, holds(others.chain([0])));
        }
        bench.log.clear();
        bench
    }

    fn drain(&mut self) {
        while let Some(output) = self.overlay.poll_output() {
            self.log.push(output);
        }
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.overlay.handle_input(self.now, input);
        self.drain();
    }

    pub(crate) fn link(&mut self, number: usize) {
        let peer = node_id(number);
        self.input(Input::LinkUp { peer });
    }

    pub(crate) fn unlink(&mut self, number: usize) {
        let peer = node_id(number);
        self.input(Input::LinkDown { peer });
    }

    pub(crate) fn gone(&mut self, number: usize) {
        let peer = node_id(number);
        self.input(Input::Gone { peer });
    }

    pub(crate) fn rtt(&mut self, number: usize, ms: u64) {
        let (peer, rtt) = (node_id(number), millis(ms));
        self.input(Input::Rtt { peer, rtt });
    }

    pub(crate) fn hear(&mut self, from: usize, body: impl Into<Body>) {
        let (from, body) = (node_id(from), body.into());
        self.input(Input::Message { from, body });
    }

    pub(crate) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.overlay.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.overlay.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    pub(crate) fn holds(&self, number: usize) -> bool {
        self.overlay.is_neighbour(&node_id(number))
    }

    pub(crate) fn count(&self) -> usize {
        self.overlay.neighbours().count()
    }

    /// What was sent to a node since the log was emptied.
    pub(crate) fn sent_to(&self, number: usize) -> Vec<&Body> {
        let sent = self.log.iter().filter_map(|output| match output {
            Output::Send { to, body, .. } if *to == node_id(number) => Some(body),
            _ => None,
        });
        sent.collect()
    }

    /// The verdict that a node was sent last.
    pub(crate) fn verdict_to(&self, number: usize) -> Option<OverlayVerdict> {
        let verdicts = self
            .sent_to(number)
            .into_iter()
            .filter_map(|body| match body {
                Body::OverlayAnswer(answer) => Some(answer.verdict),
                _ => None,
            });
        verdicts.last()
    }

    /// Who was ordered to take another neighbour, and which.
    pub(crate) fn orders(&self) -> Vec<(NodeId, NodeId)> {
        let orders = self.log.iter().filter_map(|output| match output {
            Output::Send {
                to,
                body: Body::OverlayMove(order),
                ..
            } => Some((*to, order.peer.node)),
            _ => None,
        });
        orders.collect()
    }

    /// The walks that were sent out or on, with whom they went to.
    pub(crate) fn walks(&self) -> Vec<(NodeId, OverlayWalk)> {
        let walks = self.log.iter().filter_map(|output| match output {
            Output::Send {
                to,
                body: Body::OverlayWalk(walk),
                ..
            } => Some((*to, walk.clone())),
            _ => None,
        });
        walks.collect()
    }

    /// Which number a node id has.
    pub(crate) fn number(node: NodeId) -> usize {
        (0..1_000).find(|number| node_id(*number) == node).unwrap()
    }

    pub(crate) fn connects(&self) -> Vec<NodeId> {
        let connects = self.log.iter().filter_map(|output| match output {
            Output::Connect { node, .. } => Some(*node),
            _ => None,
        });
        connects.collect()
    }

    pub(crate) fn blames(&self) -> Vec<Offence> {
        let blames = self.log.iter().filter_map(|output| match output {
            Output::Misbehaved { offence, .. } => Some(*offence),
            _ => None,
        });
        blames.collect()
    }
}
