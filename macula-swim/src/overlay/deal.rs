//! Edges of a node, and the exchanges of edges that it takes part in.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use macula_wire::message::{Contact, OverlayWalk};
use macula_wire::{EdgeToken, Instant, NodeId};

use super::Overlay;
use super::config::steps_for;

/// An edge as this end knows it.
#[derive(Debug)]
pub(super) struct Edge {
    /// Where the neighbour can be dialled.
    pub(super) addresses: Vec<SocketAddr>,
    /// The exchange by which it came.
    pub(super) token: EdgeToken,
    /// The exchange that it is locked for.
    pub(super) lock: Option<EdgeToken>,
    /// Whether it is there because it is short, rather than by chance.
    pub(super) near: bool,
    /// The neighbours of the neighbour.
    pub(super) list: Vec<Contact>,
    /// Since when an answer about the edge is waited for.
    pub(super) asked: Option<Instant>,
}

impl Edge {
    /// Whether the neighbour said that a node is its neighbour.
    pub(super) fn leads_to(&self, node: NodeId) -> bool {
        self.list.iter().any(|peer| peer.node == node)
    }
}

/// One end of an edge that a walk of this node found.
#[derive(Debug)]
pub(super) struct Half {
    pub(super) peer: Contact,
    /// Whose place this node takes.
    pub(super) instead: NodeId,
}

/// An exchange of edges, from the view of one of those who take part.
#[derive(Debug)]
pub(super) enum Deal {
    /// A walk of this node.
    Seek(Seek),
    /// An end that this node holds ready for another.
    Give(Give),
    /// Two edges of this node that are to become one without it.
    Part(Part),
    /// A flip that this node began.
    Head(Head),
    /// A flip that a neighbour began.
    Tail(Tail),
}

#[derive(Debug)]
pub(super) struct Seek {
    /// Since when it is under way.
    pub(super) since: Instant,
    /// How many places are kept for what it finds.
    pub(super) slots: usize,
    /// The one end that has been offered while the other is waited for.
    pub(super) half: Option<Half>,
    /// The node to which the walk was given, if that is no neighbour.
    pub(super) via: Option<NodeId>,
    /// Whether that has let it in, which gives it time once.
    pub(super) let_in: bool,
}

#[derive(Debug)]
pub(super) struct Give {
    /// For whom.
    pub(super) to: Contact,
    /// The neighbour whose place it takes; none if a free place is kept.
    pub(super) old: Option<NodeId>,
    /// Whether the other end of that edge has carried its part out, so that only this end still holds it.
    pub(super) gone: bool,
    /// What was said of it to `to`.
    pub(super) instead: Option<NodeId>,
    pub(super) near: bool,
    /// The walk that it serves, which goes on if nothing comes of it before the origin heard of it.
    pub(super) walk: Option<OverlayWalk>,
    /// How often it may be proposed again, if it was not asked for.
    pub(super) again: u8,
}

#[derive(Debug)]
pub(super) struct Part {
    pub(super) ends: [NodeId; 2],
}

/// The path is `old`, this node, `tail`, and the neighbour of `tail` that makes the offer.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) tail: NodeId,
    pub(super) old: NodeId,
    pub(super) offer: Option<Contact>,
    /// Whether the tail takes part.
    pub(super) agreed: bool,
    /// Whether the tail has the offer that it needs.
    pub(super) ready: bool,
    pub(super) near: bool,
}

/// The path is `new`, `head`, this node, `old`.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) head: NodeId,
    pub(super) old: NodeId,
    pub(super) new: Contact,
    /// Whether `old` has carried its part out.
    pub(super) gone: bool,
    pub(super) offered: bool,
    pub(super) near: bool,
}

impl Deal {
    /// How many places are kept for it.
    pub(super) fn slots(&self) -> usize {
        match self {
            Self::Seek(seek) => seek.slots,
            Self::Give(give) => usize::from(give.old.is_none()),
            Self::Part(_) | Self::Head(_) | Self::Tail(_) => 0,
        }
    }

    /// Whether it may make a node a neighbour.
    pub(super) fn brings(&self, node: NodeId) -> bool {
        match self {
            Self::Seek(seek) => seek
                .half
                .as_ref()
                .is_some_and(|half| half.peer.node == node),
            Self::Give(give) => give.to.node == node,
            Self::Part(_) => false,
            Self::Head(head) => head.offer.as_ref().is_some_and(|peer| peer.node == node),
            Self::Tail(tail) => tail.new.node == node,
        }
    }

    /// Whether it cannot come about without a node that is no neighbour by it yet.
    pub(super) fn needs(&self, node: NodeId) -> bool {
        self.brings(node)
            || match self {
                Self::Head(head) => head.tail == node || head.old == node,
                Self::Tail(tail) => tail.head == node || tail.old == node,
                Self::Seek(seek) => seek.via == Some(node),
                Self::Give(_) | Self::Part(_) => false,
            }
    }
}

/// The exchanges that are under way.
pub(super) type Deals = BTreeMap<EdgeToken, Deal>;

/// An offer that came before what it belongs to.
#[derive(Debug)]
pub(super) struct Early {
    pub(super) token: EdgeToken,
    pub(super) from: NodeId,
    pub(super) until: Instant,
}

/// A node that is to be offered an edge.
#[derive(Debug)]
pub(super) struct Mate {
    pub(super) peer: Contact,
    pub(super) at: Instant,
    pub(super) again: u8,
}

impl Overlay {
    /// How many steps a walk takes before it may end.
    pub(super) fn steps(&self) -> u8 {
        steps_for(self.members, self.degree, self.config.min_steps)
    }

    /// How many neighbours are missing.
    pub(super) fn deficit(&self) -> usize {
        self.degree.saturating_sub(self.edges.len())
    }

    /// How many neighbours are missing for which nothing is under way.
    pub(super) fn free(&self) -> usize {
        let kept = self.deals.values().map(Deal::slots);
        self.deficit().saturating_sub(kept.sum())
    }

    /// Whether an exchange may make a node a neighbour.
    pub(super) fn is_engaged(&self, node: NodeId) -> bool {
        self.deals.values().any(|deal| deal.brings(node))
    }
}
