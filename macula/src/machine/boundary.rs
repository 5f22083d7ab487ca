//! What the composed machine takes in, and what it puts out.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use macula_pubsub::Table;
use macula_rpc::ProviderTable;
use macula_swim::Class;
use macula_wire::message::Body;
use macula_wire::{Epoch, ErrorCode, NodeId};

use super::{MemberEvent, Neighbourhood};

/// What happened outside of the machine.
#[derive(Debug)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "most inputs are messages")]
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
        class: Class,
        /// What.
        body: Body,
    },
    /// Dial a member that has no link.
    Connect {
        /// Whom.
        node: NodeId,
        /// Where, best first.
        addresses: Vec<SocketAddr>,
    },
    /// The table of who is owed which topic.
    Table(Arc<Table>),
    /// The table of who serves which procedure.
    Providers(Arc<ProviderTable>),
    /// The neighbours in the overlay are these from here on.
    Neighbours(BTreeSet<NodeId>),
    /// What is forwarded goes by this neighbourhood from here on. Comes at most 20 times a second.
    Neighbourhood(Arc<Neighbourhood>),
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
