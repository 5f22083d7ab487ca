//! What the machine takes in, and what it puts out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use macula_wire::message::SignedRecord;
use macula_wire::{Body, Epoch, NodeId};

use crate::Offence;

/// Something that happened outside.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Input {
    /// A message came over the link to a peer, and [`verify`](crate::verify()) has accepted it.
    Message {
        /// The peer.
        from: NodeId,
        /// The message.
        body: Body,
    },
    /// A node is a neighbour in the overlay: it and this node watch each other, and news floods along. Its link may be up
    /// or not yet.
    NeighbourUp {
        /// The neighbour.
        peer: NodeId,
    },
    /// A node is no neighbour any more. This says nothing about whether it is there.
    NeighbourDown {
        /// The former neighbour.
        peer: NodeId,
    },
    /// The transport has measured the path to a peer. Optional: probes measure it as well.
    Rtt {
        /// The peer.
        peer: NodeId,
        /// How long a round trip takes.
        rtt: Duration,
    },
    /// A link to a member, or to a node that may become one, is there; once for each peer, however many links it has.
    LinkUp {
        /// The node at its other end.
        peer: NodeId,
    },
    /// The last link to a peer is gone. This is no proof of death, and reason enough to look.
    LinkDown {
        /// The node that was at its other end.
        peer: NodeId,
    },
}

/// How a message has to travel.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "a link has these two ways")]
pub enum Class {
    /// In a datagram: it fits into [`Config::max_datagram_len`](crate::Config::max_datagram_len) and may get lost.
    Datagram,
    /// On the control stream.
    Reliable,
}

/// Something the caller has to do or may want to know.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Output {
    /// Send a message over the link to a peer; drop it if there is none.
    Send {
        /// The peer.
        to: NodeId,
        /// How.
        class: Class,
        /// The message.
        body: Body,
    },
    /// A member has no link: dial it, without trying again by yourself. Asked again while the link is missing.
    Connect {
        /// The member.
        node: NodeId,
        /// Where it can be dialled, best first.
        addresses: Vec<SocketAddr>,
    },
    /// The link to a member is not needed by membership any more. Others may need it.
    Release {
        /// The member.
        node: NodeId,
    },
    /// Everything that a node knows has arrived, after it was asked: this node is a member.
    Joined {
        /// The node.
        via: NodeId,
    },
    /// A member is there: new, in a new run, or alive again after it was declared dead.
    Up {
        /// The member.
        node: NodeId,
        /// Its record.
        record: Arc<SignedRecord>,
    },
    /// A member does not answer.
    Suspect {
        /// The member.
        node: NodeId,
    },
    /// A member says something new of itself, or its suspicion ended well.
    Changed {
        /// The member.
        node: NodeId,
        /// Its record.
        record: Arc<SignedRecord>,
    },
    /// A member's run is over: it was declared dead, or has begun another run.
    Down {
        /// The member.
        node: NodeId,
        /// The run.
        epoch: Epoch,
    },
    /// A member has left on purpose.
    Left {
        /// The member.
        node: NodeId,
    },
    /// A later run of this very node is known: its clock went back, or its key is in use elsewhere. Others ignore this
    /// run; a run with a higher epoch is needed.
    Superseded {
        /// The epoch of the later run.
        epoch: Epoch,
    },
    /// A peer did something wrong.
    Misbehaved {
        /// The peer over whose link it came.
        peer: NodeId,
        /// What it did.
        offence: Offence,
    },
}

/// Counts since the machine was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Probes of this node's own.
    pub probes: u64,
    /// Those that nobody answered.
    pub probes_failed: u64,
    /// Those that another had to answer for the member.
    pub probes_indirect: u64,
    /// Helpers that said nothing when they were asked to probe, which Lifeguard holds against oneself.
    pub nacks_missed: u64,
    /// Times that a member became suspected.
    pub suspicions: u64,
    /// Times that this node refuted.
    pub refutations: u64,
    /// Views that were found to differ from a peer's.
    pub differences: u64,
    /// Times that this node found out that it had stood still, and began its probes and suspicions anew.
    pub stalls: u64,
    /// Members that were refused because the table was full.
    pub refused_full: u64,
    /// Accusations that were refused because their accuser had brought too many.
    pub refused_accusations: u64,
    /// Records that were refused because of their epoch or incarnation.
    pub refused_records: u64,
}
