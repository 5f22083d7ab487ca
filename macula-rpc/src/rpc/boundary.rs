//! What the machine is told, and what it wants done.

use std::sync::Arc;

use macula_wire::announce::Offence;
use macula_wire::message::Offer;
use macula_wire::{NodeId, Procedure};

use crate::ProviderTable;

/// What happened outside.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever feeds the machine constructs them"
)]
pub enum Input {
    /// A member can be reached. Given anew for each new link to it, because what was said on the old one may be lost: it
    /// is told everything again.
    MemberUp {
        /// The member.
        node: NodeId,
    },
    /// A member is gone: dead, left, or without a link. What it offered is forgotten.
    MemberDown {
        /// The member.
        node: NodeId,
    },
    /// A member says what it offers, on a stream that keeps the order of messages. It may come before
    /// [`MemberUp`](Self::MemberUp), because its sender may learn of this node first.
    Offer {
        /// The member at the other end of the link.
        from: NodeId,
        /// What it says.
        message: Offer,
    },
}

/// What the caller has to do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Output {
    /// Send `offer` on control streams.
    Announce {
        /// To whom.
        to: Audience,
        /// What.
        offer: Offer,
    },
    /// A peer broke the rules: close the link, so that both sides start again.
    Misbehaved {
        /// Who.
        peer: NodeId,
        /// How.
        offence: Offence,
    },
    /// Call by this table from here on.
    Table(Arc<ProviderTable>),
    /// Nobody calls the procedure any more: stop looking for providers.
    Unwatch {
        /// The procedure.
        procedure: Procedure,
    },
    /// Find out who offers the procedure, now and later. In a small realm every member announces to all, so there is
    /// nothing to do.
    Watch {
        /// The procedure.
        procedure: Procedure,
    },
}

/// To whom an announcement goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "whoever sends has to act on each")]
pub enum Audience {
    /// Everybody for whom [`Input::MemberUp`] was given and no [`Input::MemberDown`] since.
    AllMembers,
    /// One member.
    Member(NodeId),
}
