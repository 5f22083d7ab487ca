//! What is going to happen, in order.

use std::collections::BTreeMap;

use macula_wire::{Body, Instant};

use super::host::NodeIndex;
use super::link::Pair;

/// Something that is going to happen.
#[derive(Debug)]
pub(super) enum Event {
    /// A machine's time-out.
    Wake { node: NodeIndex },
    /// A datagram arrives.
    Datagram {
        link: u64,
        from: NodeIndex,
        to: NodeIndex,
        number: u64,
        sent: Sent,
    },
    /// A message arrives on a stream.
    Message {
        link: u64,
        from: NodeIndex,
        to: NodeIndex,
        sent: Sent,
    },
    /// What waited for the end of a block arrives.
    Flush {
        link: u64,
        from: NodeIndex,
        to: NodeIndex,
    },
    /// A dial ends.
    Dialled {
        link: u64,
        from: NodeIndex,
        to: NodeIndex,
    },
    /// A link was silent for too long, unless it spoke in between.
    Idle {
        link: u64,
        pair: Pair,
        since: Instant,
    },
    /// A node learns that a link is gone.
    Down {
        node: NodeIndex,
        life: u64,
        peer: NodeIndex,
    },
}

/// A message on its way, and the hash of its bytes.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) body: Body,
    pub(super) hash: u64,
}

impl Event {
    /// The node at which it happens; `None` if it is the network's own affair.
    pub(super) const fn place(&self) -> Option<NodeIndex> {
        match self {
            Self::Wake { node } | Self::Down { node, .. } => Some(*node),
            Self::Datagram { to, .. }
            | Self::Message { to, .. }
            | Self::Flush { to, .. }
            | Self::Dialled { to, .. } => Some(*to),
            Self::Idle { .. } => None,
        }
    }

    /// A number for the kind, who is concerned, and the hash of what travels; for the trace.
    pub(super) fn trace(&self) -> [u64; 4] {
        let of = |node: &NodeIndex| u64::try_from(node.get()).unwrap_or(u64::MAX);
        match self {
            Self::Wake { node } => [0, of(node), 0, 0],
            Self::Datagram { from, to, sent, .. } => [1, of(from), of(to), sent.hash],
            Self::Message { from, to, sent, .. } => [2, of(from), of(to), sent.hash],
            Self::Flush { from, to, .. } => [3, of(from), of(to), 0],
            Self::Dialled { from, to, .. } => [4, of(from), of(to), 0],
            Self::Idle { pair, .. } => [5, of(&pair.0), of(&pair.1), 0],
            Self::Down { node, peer, .. } => [6, of(node), of(peer), 0],
        }
    }
}

/// Events by time; those of one time in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Queue {
    events: BTreeMap<(Instant, u64), Event>,
    next: u64,
}

impl Queue {
    pub(super) fn push(&mut self, at: Instant, event: Event) -> (Instant, u64) {
        let key = (at, self.next);
        self.next = self.next.saturating_add(1);
        self.events.insert(key, event);
        key
    }

    pub(super) fn remove(&mut self, key: (Instant, u64)) {
        self.events.remove(&key);
    }

    /// The next event, if it happens by `at`.
    pub(super) fn pop_by(&mut self, at: Instant) -> Option<(Instant, Event)> {
        let entry = self.events.first_entry()?;
        let (due, _) = *entry.key();
        (due <= at).then(|| (due, entry.remove()))
    }
}
