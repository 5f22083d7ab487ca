//! 0x58 to 0x5F: the overlay.

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::Contact;
use crate::field::{record, tagged};
use crate::limit::{MAX_ADDRESSES, MAX_NEIGHBOURS, MAX_SHUFFLED};
use crate::{EdgeToken, EncodeError, NodeId, check};

record! {
    /// OVERLAY_WALK: looks for edges on behalf of `origin`, passed on from neighbour to neighbour by chance.
    pub struct OverlayWalk {
        /// Names the edges that come of it; chosen by `origin`.
        pub token: EdgeToken,
        /// Who wants edges.
        pub origin: Contact,
        /// How many edges it lacks, at least 1. With 1 it looks for another node that lacks an odd number.
        pub need: u8,
        /// How many steps it has to take before it may end.
        pub hops: u8,
        /// How many more it may take until it finds an end.
        pub spare: u8,
        /// To whom it has edges already; at most 32, strictly ascending.
        pub avoid: Vec<NodeId> [MAX_NEIGHBOURS],
    }
    check check_walk
}

fn check_walk(walk: &OverlayWalk) -> Result<(), EncodeError> {
    check::require(walk.need != 0, "need", 0)?;
    check::ascending(&walk.avoid)
}

record! {
    /// OVERLAY_OFFER: the sender holds an end of an edge ready for the receiver.
    pub struct OverlayOffer {
        /// The edge.
        pub token: EdgeToken,
        /// Where the sender can be dialled; at most 8.
        pub addresses: Vec<SocketAddr> [MAX_ADDRESSES],
        /// The neighbour whose place the receiver is to take; none if the sender had a place free.
        pub instead: Option<NodeId>,
        /// The round trip between the two in microseconds, as far as the sender knows it.
        pub rtt_us: Option<u32>,
    }
    check check_offer
}

fn check_offer(offer: &OverlayOffer) -> Result<(), EncodeError> {
    check::addresses(&offer.addresses)
}

record! {
    /// OVERLAY_MOVE: the sender gives up its end of the edge to the receiver in favour of `peer`.
    pub struct OverlayMove {
        /// The edge between the receiver and `peer`.
        pub token: EdgeToken,
        /// Who takes the sender's place.
        pub peer: Contact,
        /// Whether this serves nearness alone; a receiver that wants to keep its edges then refuses.
        pub near: bool,
    }
}

tagged! {
    /// What became of an edge that was offered or asked for.
    pub enum OverlayVerdict as "overlay verdict" {
        /// It is there: the sender holds its end.
        Take = 0,
        /// It will not be.
        Refuse = 1,
        /// The sender's part of the exchange is ready.
        Ready = 2,
        /// Not now: ask again later.
        Retry = 3,
    }
}

record! {
    /// OVERLAY_ANSWER: what became of OVERLAY_WALK, OVERLAY_OFFER, OVERLAY_MOVE or OVERLAY_FLIP.
    pub struct OverlayAnswer {
        /// That of the message answered.
        pub token: EdgeToken,
        /// What became of it.
        pub verdict: OverlayVerdict,
        /// With `Retry`, after how many milliseconds; 0 otherwise.
        pub after_ms: u32,
    }
    check check_answer
}

fn check_answer(answer: &OverlayAnswer) -> Result<(), EncodeError> {
    let fits = answer.verdict == OverlayVerdict::Retry || answer.after_ms == 0;
    check::require(fits, "after_ms", u64::from(answer.after_ms))
}

record! {
    /// OVERLAY_EDGE: whether the sender holds an edge to the receiver, and its other neighbours if it does.
    pub struct OverlayEdge {
        /// Whether it does. If not, the edge is gone.
        pub holds: bool,
        /// Whether an OVERLAY_EDGE is wanted in return.
        pub ask: bool,
        /// The sender's neighbours; at most 32, strictly ascending by node; none without an edge.
        pub neighbours: Vec<Contact> [MAX_NEIGHBOURS],
    }
    check check_edge
}

fn check_edge(edge: &OverlayEdge) -> Result<(), EncodeError> {
    let silent = !edge.ask && edge.neighbours.is_empty();
    check::require(edge.holds || silent, "holds", 0)?;
    check::ascending(edge.neighbours.iter().map(|peer| &peer.node))
}

record! {
    /// OVERLAY_FLIP: asks the receiver to exchange one of its edges for one of the sender's, whose ends change places.
    pub struct OverlayFlip {
        /// Both new edges.
        pub token: EdgeToken,
        /// The neighbour of the sender that is to become one of the receiver.
        pub peer: Contact,
        /// To whom the sender has edges; at most 32, strictly ascending.
        pub avoid: Vec<NodeId> [MAX_NEIGHBOURS],
        /// Whether the exchange counts only if both new edges are shorter.
        pub near: bool,
    }
    check check_flip
}

fn check_flip(flip: &OverlayFlip) -> Result<(), EncodeError> {
    check::ascending(&flip.avoid)
}

record! {
    /// OVERLAY_PEERS: some nodes that the sender knows.
    pub struct OverlayPeers {
        /// Whether some of the receiver's are wanted in return.
        pub ask: bool,
        /// At most 8, in no order.
        pub peers: Vec<Contact> [MAX_SHUFFLED],
    }
}
