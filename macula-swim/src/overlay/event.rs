//! What the overlay takes in, and what it puts out.

use std::net::SocketAddr;
use std::time::Duration;

use macula_wire::{Body, NodeId};
use thiserror::Error;

use crate::Class;

/// Something that happened outside.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Input {
    /// A message came over the link to a peer that is a member of the realm.
    Message {
        /// The peer.
        from: NodeId,
        /// The message.
        body: Body,
    },
    /// A link to a member is there; once for each peer, however many links it has, and whoever made it.
    LinkUp {
        /// The node at its other end.
        peer: NodeId,
    },
    /// The last link to a peer is gone. An edge to it is gone with it.
    LinkDown {
        /// The node that was at its other end.
        peer: NodeId,
    },
    /// A node is a member, for the passive view. Told of as many as there are, the view keeps a fair sample.
    Known {
        /// The node.
        node: NodeId,
        /// Where it can be dialled, best first.
        addresses: Vec<SocketAddr>,
    },
    /// A member is dead or has left. An edge to it is gone.
    Gone {
        /// The member.
        peer: NodeId,
    },
    /// How long a round trip to a peer with a link takes.
    Rtt {
        /// The peer.
        peer: NodeId,
        /// The round trip.
        rtt: Duration,
    },
    /// A node that was thought dead is alive, so there may be a second overlay: edges are exchanged with it.
    Bridge {
        /// The node.
        node: NodeId,
        /// Where it can be dialled, best first.
        addresses: Vec<SocketAddr>,
    },
}

/// Something the caller has to do or may want to know.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Output {
    /// Send a message over the link to a peer, after those that were sent before; drop it if there is no link.
    Send {
        /// The peer.
        to: NodeId,
        /// How; always reliable.
        class: Class,
        /// The message.
        body: Body,
    },
    /// Dial a member if there is no link to it, without trying again by yourself.
    Connect {
        /// The member.
        node: NodeId,
        /// Where it can be dialled, best first.
        addresses: Vec<SocketAddr>,
    },
    /// The overlay does not need the link to a node any more. It may be closed, or be kept for others.
    Release {
        /// The node.
        node: NodeId,
    },
    /// A node has become a neighbour; there is a link to it.
    NeighbourUp {
        /// The node.
        node: NodeId,
    },
    /// A node is no neighbour any more.
    NeighbourDown {
        /// The node.
        node: NodeId,
    },
    /// A peer did something wrong.
    Misbehaved {
        /// The peer.
        peer: NodeId,
        /// What it did.
        offence: Offence,
    },
}

/// What a peer did wrong.
#[derive(Clone, Copy, Debug, Eq, Error, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Offence {
    /// A message that is not one of the overlay.
    #[error("the message is not one of the overlay")]
    NotOverlay,
    /// More walks than a peer may send or pass on.
    #[error("too many walks")]
    TooManyWalks,
}

/// Why a node cannot join. Nothing is changed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum JoinError {
    /// The node has left the overlay.
    #[error("the node has left the overlay")]
    Left,
    /// The contact named is the node itself.
    #[error("a node cannot join through itself")]
    Own,
}

/// Counts since the machine was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Walks that this node began.
    pub walks: u64,
    /// Those that came to nothing.
    pub walks_failed: u64,
    /// Walks of others that passed through this node.
    pub walks_passed: u64,
    /// Walks of others that ended at this node with an edge.
    pub walks_served: u64,
    /// Walks of others that ended at this node for want of further steps.
    pub walks_lost: u64,
    /// Newcomers that were told to ask again later.
    pub newcomers_deferred: u64,
    /// Exchanges of edges that were given up.
    pub deals_failed: u64,
    /// Edges that were dropped because the other end did not hold them.
    pub edges_one_sided: u64,
    /// Edges that were exchanged for the sake of mixing and nearness, counted where it began.
    pub flips: u64,
    /// Times that edges were exchanged for the sake of healing a split.
    pub bridges: u64,
}
