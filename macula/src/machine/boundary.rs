//! What the composed machine takes in, and what it puts out.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use macula_kad::Checked;
use macula_pubsub::{GroupTable, Table, WatchKey};
use macula_rpc::{OfferKey, ProviderTable, RegisterError, Registrant};
use macula_swim::Class;
use macula_wire::message::{Body, SignedRoutingRecord};
use macula_wire::{Epoch, ErrorCode, NodeId, Pattern};

use super::{MemberEvent, Neighbourhood};

/// What happened outside of the machine.
#[derive(Debug)]
#[non_exhaustive]
pub enum NodeInput {
    /// The link to a member is up.
    LinkUp {
        /// Who is at its other end.
        peer: NodeId,
        /// The run that HANDSHAKE named.
        epoch: Epoch,
    },
    /// The link to a member is gone.
    LinkDown(NodeId),
    /// The transport has measured the path to a member.
    Rtt {
        /// The peer of the link.
        peer: NodeId,
        /// How long a round trip takes.
        rtt: Duration,
    },
    /// A member said something; signatures in it were verified.
    Message {
        /// The peer of the link.
        from: NodeId,
        /// What it said.
        body: Body,
    },
    /// A member said something on its lookup stream.
    Routing {
        /// The peer of the link.
        from: NodeId,
        /// What it said.
        body: Checked,
    },
    /// No address of a node answers: the link that was [asked for](NodeOutput::Connect) does not come up.
    Unreachable(NodeId),
    /// The wall clock in milliseconds since 1970, by which records expire.
    WallClock(u64),
}

/// How a message travels.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever carries outputs out has to know each lane"
)]
pub enum Lane {
    /// In a datagram where it fits one, otherwise as [`Control`](Self::Control).
    Datagram,
    /// On the control stream, whose end is that of the link.
    Control,
    /// On the lookup stream; what finds no room there is dropped.
    Lookup,
}

impl From<Class> for Lane {
    fn from(class: Class) -> Self {
        match class {
            Class::Datagram => Self::Datagram,
            Class::Reliable => Self::Control,
        }
    }
}

/// Who wants a link that is to be dialled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a link has two sides")]
pub enum Wish {
    /// Both sides: they may dial each other at the same time.
    OfBoth,
    /// This node alone, and somebody waits for it.
    OfThis,
}

/// What a node wants to know of others: who wants events, or who serves procedures.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "there are events and calls")]
pub enum Watched {
    /// Who wants events of topics under a key.
    Topics(WatchKey),
    /// Who serves procedures that are announced under a key.
    Procedures(OfferKey),
}

/// What is to be done outside of the machine.
#[derive(Debug)]
#[non_exhaustive]
pub enum NodeOutput {
    /// Send a message by the link to a member; without a link it is lost.
    Send {
        /// To whom.
        to: NodeId,
        /// How.
        lane: Lane,
        /// What.
        body: Body,
    },
    /// Dial a node that has no link. If none comes up, [`NodeInput::Unreachable`] says so.
    Connect {
        /// Whom.
        node: NodeId,
        /// Where, best first.
        addresses: Vec<SocketAddr>,
        /// Who wants it.
        wish: Wish,
    },
    /// The table of who is owed which topic.
    Table(Arc<Table>),
    /// The table of who shares which topic in a group.
    Groups(Arc<GroupTable>),
    /// The table of who serves which procedure.
    Providers(Arc<ProviderTable>),
    /// Somebody on this node wants a pattern that nobody did, or nobody does any more. Not of reserved names.
    Wanted {
        /// The pattern.
        pattern: Pattern,
        /// Whether it is wanted now.
        is_wanted: bool,
    },
    /// Somebody on this node serves a pattern of procedures, or does in other words, or nobody does any more.
    Served {
        /// The pattern.
        pattern: Pattern,
        /// Whether it is served now.
        is_served: bool,
    },
    /// A registration of this node has ended by itself: whoever made it is to be told.
    RegistrationEnded {
        /// Whose.
        registrant: Registrant,
        /// Why.
        why: RegisterError,
    },
    /// Everything that others announced of a name so far is known; changes follow.
    Watching {
        /// The name.
        watched: Watched,
        /// The version of the table in which it has its effect: that of routes or that of providers.
        version: u64,
    },
    /// The neighbours in the overlay are these from here on.
    Neighbours(BTreeSet<NodeId>),
    /// What is forwarded goes by this neighbourhood from here on. Comes at most 20 times a second.
    Neighbourhood(Arc<Neighbourhood>),
    /// What a node says of itself was found: it was [asked for](super::NodeMachine::look_up_node).
    Described(Arc<SignedRoutingRecord>),
    /// Something happened to a member.
    Member(MemberEvent),
    /// Close the link to a member, unless a later run of it is at the other end by now.
    Disconnect {
        /// Which.
        node: NodeId,
        /// The run that is not wanted any more.
        epoch: Epoch,
        /// What the member is told.
        code: ErrorCode,
        /// The cause, for people.
        detail: &'static str,
    },
    /// A lookup that the application asked for has ended.
    Found(macula_kad::Outcome),
    /// A member is gone, and with it what it published.
    Lost(NodeId),
    /// A peer broke a rule.
    Misbehaved {
        /// Who.
        peer: NodeId,
        /// What it did, for the log.
        offence: String,
    },
    /// A later run of this very node is known, so the others ignore this one.
    Superseded {
        /// The later run.
        epoch: Epoch,
    },
}

/// Whether a message is one of lookups and records, which travel on lookup streams only.
#[must_use]
pub const fn is_of_routing(body: &Body) -> bool {
    matches!(
        body,
        Body::KadFind(_)
            | Body::KadFound(_)
            | Body::KadStore(_)
            | Body::KadAnswer(_)
            | Body::KadWatch(_)
            | Body::KadChanges(_)
            | Body::KadDigest(_)
            | Body::KadWant(_)
    )
}

/// Whether a message is one of forwarding, which travels in a datagram or on a lookup stream.
#[must_use]
pub const fn is_of_forwarding(body: &Body) -> bool {
    matches!(
        body,
        Body::Forward(_) | Body::ForwardError(_) | Body::Trace(_) | Body::Traced(_)
    )
}

/// Whether a message is one of the overlay. It carries no signatures then: it is its sender's, which the link proves.
#[must_use]
pub const fn is_of_overlay(body: &Body) -> bool {
    matches!(
        body,
        Body::OverlayWalk(_)
            | Body::OverlayOffer(_)
            | Body::OverlayMove(_)
            | Body::OverlayAnswer(_)
            | Body::OverlayEdge(_)
            | Body::OverlayFlip(_)
            | Body::OverlayPeers(_)
    )
}
