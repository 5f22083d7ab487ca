//! Something that is going to happen.

use macula_wire::Instant;

use super::host::NodeIndex;
use super::link::{LinkRef, Pair};
use super::parcel::ParcelId;

/// Something that is going to happen.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// A machine's time-out may be due.
    Wake { node: NodeIndex },
    /// A datagram arrives.
    Datagram {
        link: LinkRef,
        from: NodeIndex,
        to: NodeIndex,
        number: u32,
        parcel: ParcelId,
    },
    /// A message arrives on a stream.
    Message {
        link: LinkRef,
        from: NodeIndex,
        to: NodeIndex,
        parcel: ParcelId,
    },
    /// A message that needs no link arrives.
    Posted {
        from: NodeIndex,
        to: NodeIndex,
        parcel: ParcelId,
    },
    /// What waited for the end of a block arrives.
    Flush {
        link: LinkRef,
        from: NodeIndex,
        to: NodeIndex,
    },
    /// A dial ends.
    Dialled {
        link: LinkRef,
        from: NodeIndex,
        to: NodeIndex,
    },
    /// A link was silent for too long, unless it spoke in between.
    Idle {
        link: LinkRef,
        pair: Pair,
        since: Instant,
    },
    /// A node learns that a link is gone.
    Down {
        node: NodeIndex,
        life: u32,
        peer: NodeIndex,
    },
    /// The nodes of a schedule of pauses begin to pause.
    Pause { schedule: u32 },
    /// They go on.
    Resume { schedule: u32 },
}

impl Event {
    /// The node at which it happens; `None` if it is the network's own affair.
    pub(super) const fn place(&self) -> Option<NodeIndex> {
        match self {
            Self::Wake { node } | Self::Down { node, .. } => Some(*node),
            Self::Datagram { to, .. }
            | Self::Message { to, .. }
            | Self::Posted { to, .. }
            | Self::Flush { to, .. }
            | Self::Dialled { to, .. } => Some(*to),
            Self::Idle { .. } | Self::Pause { .. } | Self::Resume { .. } => None,
        }
    }

    /// The message that travels with it.
    pub(super) const fn parcel(&self) -> Option<ParcelId> {
        match self {
            Self::Datagram { parcel, .. }
            | Self::Message { parcel, .. }
            | Self::Posted { parcel, .. } => Some(*parcel),
            Self::Wake { .. }
            | Self::Flush { .. }
            | Self::Dialled { .. }
            | Self::Idle { .. }
            | Self::Down { .. }
            | Self::Pause { .. }
            | Self::Resume { .. } => None,
        }
    }

    /// A number for the kind, who does it and to whom it happens; for the trace.
    pub(super) const fn trace(&self) -> (Traced, Option<NodeIndex>, Option<NodeIndex>) {
        match self {
            Self::Wake { node } => (Traced::Timeout, Some(*node), None),
            Self::Datagram { from, to, .. } => (Traced::Datagram, Some(*from), Some(*to)),
            Self::Message { from, to, .. } => (Traced::Message, Some(*from), Some(*to)),
            Self::Posted { from, to, .. } => (Traced::Posted, Some(*from), Some(*to)),
            Self::Flush { from, to, .. } => (Traced::Flush, Some(*from), Some(*to)),
            Self::Dialled { from, to, .. } => (Traced::Dialled, Some(*from), Some(*to)),
            Self::Idle { pair, .. } => (Traced::Idle, Some(pair.0), Some(pair.1)),
            Self::Down { node, peer, .. } => (Traced::Down, Some(*peer), Some(*node)),
            Self::Pause { .. } => (Traced::Pause, None, None),
            Self::Resume { .. } => (Traced::Resume, None, None),
        }
    }
}

/// The kind of an event, as the trace names it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Traced {
    Timeout,
    Datagram,
    Message,
    Flush,
    Dialled,
    Idle,
    Down,
    Pause,
    Resume,
    Posted,
}

impl Traced {
    pub(super) const fn number(self) -> u8 {
        self as u8
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Datagram => "datagram",
            Self::Message => "message",
            Self::Flush => "flush",
            Self::Dialled => "dialled",
            Self::Idle => "idle",
            Self::Down => "down",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Posted => "posted",
        }
    }
}
