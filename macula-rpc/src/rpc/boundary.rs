//! What the machine is told, and what it wants done.

use std::sync::Arc;

use macula_wire::{NodeId, Pattern};

use crate::{Offer, OfferKey, ProviderTable, RegisterError, Registrant};

/// What happened outside.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever feeds the machine constructs them"
)]
pub enum Input {
    /// A member offers something, or in other words, as the watch of it tells. What is not watched is ignored, and
    /// so is what this node itself offers.
    Offered {
        /// The member.
        node: NodeId,
        /// What it offers.
        pattern: Pattern,
        /// In which words.
        offer: Offer,
    },
    /// A member offers it no more.
    Unoffered {
        /// The member.
        node: NodeId,
        /// What it offered.
        pattern: Pattern,
    },
    /// A member is gone: dead, or left. What it offered is forgotten.
    MemberDown {
        /// The member.
        node: NodeId,
    },
}

/// What the caller has to do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Output {
    /// Let the other members know that this node offers a pattern of procedures, until it is withdrawn.
    Announce {
        /// What its own registrations serve.
        pattern: Pattern,
        /// What they amount to, in place of what was announced before.
        offer: Offer,
    },
    /// A registration of this node has ended by itself: tell whoever made it. Calls that run go on.
    Ended {
        /// Whose.
        registrant: Registrant,
        /// Why: [`RegisterError::Conflict`] or [`RegisterError::Taken`].
        why: RegisterError,
    },
    /// Let them know that this node offers it no more.
    Withdraw {
        /// What it offered.
        pattern: Pattern,
    },
    /// Call by this table from here on.
    Table(Arc<ProviderTable>),
    /// Nobody needs to know any more what is offered under a key. The members that were known are forgotten already.
    Unwatch {
        /// The key.
        key: OfferKey,
    },
    /// Find out what is offered under a key, now and later, and tell by [`Input::Offered`] and [`Input::Unoffered`].
    Watch {
        /// The key.
        key: OfferKey,
    },
}
