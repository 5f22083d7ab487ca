//! The links of a simulated network.

use std::collections::{BTreeMap, BTreeSet};

use macula_wire::Instant;

use super::event::Sent;
use super::host::NodeIndex;

/// Two nodes, the lower first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Pair(pub(super) NodeIndex, pub(super) NodeIndex);

impl Pair {
    pub(super) fn new(a: NodeIndex, b: NodeIndex) -> Self {
        if a <= b { Self(a, b) } else { Self(b, a) }
    }

    pub(super) fn other(self, node: NodeIndex) -> NodeIndex {
        if self.0 == node { self.1 } else { self.0 }
    }
}

/// One direction of a link.
#[derive(Debug, Default)]
pub(super) struct Direction {
    /// When the last message of the stream arrives; the next one cannot arrive earlier.
    pub(super) busy_until: Instant,
    /// What waits for a block to end.
    pub(super) held: Vec<Sent>,
    /// How many datagrams were sent.
    pub(super) sent: u64,
    /// The highest number of a datagram that arrived.
    pub(super) arrived: u64,
}

#[derive(Debug)]
pub(super) struct Link {
    /// Tells this link from earlier ones between the same nodes.
    pub(super) id: u64,
    pub(super) up: bool,
    /// Since when nothing gets through in at least one direction.
    pub(super) silent_since: Option<Instant>,
    pub(super) directions: BTreeMap<NodeIndex, Direction>,
}

/// All links and all blocks.
#[derive(Debug, Default)]
pub(super) struct Links {
    links: BTreeMap<Pair, Link>,
    blocked: BTreeSet<(NodeIndex, NodeIndex)>,
    next_id: u64,
}

impl Links {
    pub(super) fn get(&self, pair: Pair) -> Option<&Link> {
        self.links.get(&pair)
    }

    pub(super) fn get_mut(&mut self, pair: Pair) -> Option<&mut Link> {
        self.links.get_mut(&pair)
    }

    /// The link, if it is still the one with `id`.
    pub(super) fn same_mut(&mut self, pair: Pair, id: u64) -> Option<&mut Link> {
        self.links.get_mut(&pair).filter(|link| link.id == id)
    }

    pub(super) fn begin(&mut self, pair: Pair) -> u64 {
        self.next_id = self.next_id.saturating_add(1);
        let link = Link {
            id: self.next_id,
            up: false,
            silent_since: None,
            directions: BTreeMap::new(),
        };
        self.links.insert(pair, link);
        self.next_id
    }

    pub(super) fn remove(&mut self, pair: Pair) -> Option<Link> {
        self.links.remove(&pair)
    }

    pub(super) fn pairs_of(&self, node: NodeIndex) -> Vec<Pair> {
        let has = |pair: &&Pair| pair.0 == node || pair.1 == node;
        self.links.keys().filter(has).copied().collect()
    }

    pub(super) fn set_blocked(&mut self, from: NodeIndex, to: NodeIndex) {
        self.blocked.insert((from, to));
    }

    pub(super) fn clear_blocked(&mut self, from: NodeIndex, to: NodeIndex) {
        self.blocked.remove(&(from, to));
    }

    pub(super) fn blocks(&self) -> Vec<(NodeIndex, NodeIndex)> {
        self.blocked.iter().copied().collect()
    }

    pub(super) fn is_blocked(&self, from: NodeIndex, to: NodeIndex) -> bool {
        self.blocked.contains(&(from, to))
    }

    /// Whether at least one direction is blocked.
    pub(super) fn is_cut(&self, pair: Pair) -> bool {
        self.is_blocked(pair.0, pair.1) || self.is_blocked(pair.1, pair.0)
    }
}
