//! What is done with something forwarded.

use macula_wire::{ErrorCode, NodeId};

/// What is done with something on its way to a target: a message `M`, which is answered by an `A`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever carries it out has to act on each"
)]
pub enum Fate<M, A> {
    /// This node is the target.
    Arrived {
        /// What arrived, as it came.
        message: M,
        /// What is to be sent back; never for a FORWARD.
        answer: Option<Onward<A>>,
    },
    /// Send it on.
    Pass(Onward<M>),
    /// It ends here.
    Dropped {
        /// Why.
        cause: DropCause,
        /// What is to be sent back; none where the cause has no code or the limit on answers is reached.
        answer: Option<Onward<A>>,
    },
}

/// What is done with something on its way back to an origin.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever carries it out has to act on each"
)]
pub enum BackFate<M> {
    /// This node is the origin.
    Arrived(M),
    /// Send it on.
    Pass(Onward<M>),
    /// It ends here. Nothing is sent because of it.
    Dropped(DropCause),
}

/// A message and the peer that it is to be sent to.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "a pair, and nothing else")]
pub struct Onward<M> {
    /// The peer.
    pub to: NodeId,
    /// The message, with its way or way back brought up to date.
    pub message: M,
}

impl<M> Onward<M> {
    pub(super) fn map<N>(self, change: impl FnOnce(M) -> N) -> Onward<N> {
        Onward {
            to: self.to,
            message: change(self.message),
        }
    }
}

/// Why something forwarded ends at a node that it is not for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum DropCause {
    /// It has passed this node before.
    Loop,
    /// It may be passed on no further, or its trail is full.
    HopLimit,
    /// Every peer has passed it on before, or there is none.
    Unreachable,
    /// Its trail or path is not one by which the peer can have sent it.
    Malformed,
    /// It claims to be from this node.
    ForgedOrigin,
    /// It answers what this node did not pass to the peer lately.
    Unasked,
    /// The next node of its way back is no peer.
    NoWayBack,
    /// The limit on answers is reached.
    Limited,
}

impl DropCause {
    /// What the origin is told; nothing where the origin cannot be believed, or what ends is an answer itself.
    #[must_use]
    pub const fn code(self) -> Option<ErrorCode> {
        match self {
            Self::Loop => Some(ErrorCode::LOOP_DETECTED),
            Self::HopLimit => Some(ErrorCode::HOP_LIMIT),
            Self::Unreachable => Some(ErrorCode::UNREACHABLE),
            Self::Malformed
            | Self::ForgedOrigin
            | Self::Unasked
            | Self::NoWayBack
            | Self::Limited => None,
        }
    }
}

/// Why nothing could be sent from this node to a target.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no peer to pass it to.
    #[error("no peer is linked that could pass it on: connect to another member first")]
    Unreachable,
    /// The target is this node.
    #[error("the target is this node itself")]
    Own,
}

/// How much a [`Wayfinder`](super::Wayfinder) remembers, and what it dropped since it was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct WayfinderStats {
    /// Origins of which it is known by which peer they were heard; at most 1,024.
    pub routes: usize,
    /// Pairs of a target and a peer to which something for it was passed; at most 2,048.
    pub attempts: usize,
    /// Origins or peers for which answers are counted; at most 1,024.
    pub counted: usize,
    /// Dropped by [`DropCause::Loop`].
    pub loops: u64,
    /// Dropped by [`DropCause::HopLimit`].
    pub hop_limits: u64,
    /// Dropped by [`DropCause::Unreachable`].
    pub unreachable: u64,
    /// Dropped by [`DropCause::Malformed`].
    pub malformed: u64,
    /// Dropped by [`DropCause::ForgedOrigin`].
    pub forged_origins: u64,
    /// Dropped by [`DropCause::Unasked`].
    pub unasked: u64,
    /// Dropped by [`DropCause::NoWayBack`].
    pub no_way_back: u64,
    /// Dropped by [`DropCause::Limited`], and answers of this node that were not made for the same cause.
    pub limited: u64,
}

impl WayfinderStats {
    pub(super) const fn count(&mut self, cause: DropCause) {
        let counter = match cause {
            DropCause::Loop => &mut self.loops,
            DropCause::HopLimit => &mut self.hop_limits,
            DropCause::Unreachable => &mut self.unreachable,
            DropCause::Malformed => &mut self.malformed,
            DropCause::ForgedOrigin => &mut self.forged_origins,
            DropCause::Unasked => &mut self.unasked,
            DropCause::NoWayBack => &mut self.no_way_back,
            DropCause::Limited => &mut self.limited,
        };
        *counter = counter.saturating_add(1);
    }
}
